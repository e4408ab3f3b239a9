"""A codec's graphs encode and decode as torch does, wrong ones are not written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from moksori.cli.main import main
from moksori.errors import MoksoriError, UnsupportedTask
from moksori.models.checkpoint import Loaded, Manifest, save_model
from moksori.models.codec import Codec
from moksori.models.codec.interop.onnx import LAYOUT, checked, graphs
from moksori.models.onnx_file import session
from moksori.pipeline.run_config import run_config

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: it runs the graphs")


def small(*settings: str) -> Codec:
    torch.manual_seed(0)
    return Codec(run_config("codec/tiny", settings).model).eval()


def manifest_of(model: Codec) -> Manifest:
    described = model.config.model_dump(mode="json")
    return Manifest(family="codec", name="ear", model=described, sample_rate=16000, licence="CC0-1.0")


@pytest.mark.parametrize(
    "settings", [(), ("model.decoder={kind: istft, channels: 16, inner_channels: 32, num_layers: 1}",)],
    ids=["restored", "istft"],
)  # fmt: skip
def test_graphs_and_torch_agree(settings: tuple[str, ...]) -> None:
    model = small(*settings)
    made = graphs(model)
    assert checked("small", model, made) < 2e-2  # latents of an untrained codec are noise: Griffin-Lim's worst case
    with torch.no_grad():
        model.decoder.head.weight.mul_(1.2)
    with pytest.raises(MoksoriError, match="differ from torch in waveform"):
        checked("small", model, made)


def test_a_recording_goes_through_the_files_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small("model.decoder.sound.refinements=0")
    save_model(tmp_path / "ear", model, manifest_of(model), exact=True)
    out = tmp_path / "out"
    assert main(["export", str(tmp_path / "ear"), "-o", str(out), "--format", "onnx"]) == 0
    assert "takes 3 frames or more" in capsys.readouterr().out
    about = json.loads((out / "ear.json").read_text(encoding="utf-8"))
    draw = np.random.default_rng(0)
    waveform = 0.1 * draw.standard_normal((1, 20 * about["hop_length"])).astype(np.float32)
    codes, _ = session(out / "ear-encoder.onnx").run(None, {"waveform": waveform})
    assert codes.shape == (1, about["stages"], 20)
    books = np.load(out / "ear-codebooks.npy")
    latent = sum(book[row] for book, row in zip(books, codes[0], strict=True)).T[None]
    (sound,) = session(out / "ear-decoder.onnx").run(None, {"latent": latent})
    expected = model.reconstruct(torch.from_numpy(waveform), torch.zeros(1, dtype=torch.int64))
    np.testing.assert_allclose(sound, expected.numpy(), atol=1e-4)


def test_codecs_with_a_source_have_no_graphs_yet(tmp_path: Path) -> None:
    model = small("model.decoder.sound={kind: sourced, channels: 16, inner_channels: 32, num_layers: 1}")
    assert LAYOUT.write is not None
    with pytest.raises(UnsupportedTask, match=r"model\.decoder\.sound\.kind=refined"):
        LAYOUT.write(Loaded(model, manifest_of(model), tmp_path), tmp_path)


def test_codecs_of_samples_have_no_graphs(tmp_path: Path) -> None:
    settings = "encoder={kind: seanet, channels: 4, strides: [2, 4, 5, 5], residual_layers: 1}"
    model = small(f"model.{settings}")
    assert LAYOUT.write is not None
    with pytest.raises(UnsupportedTask, match="only codecs that hear mels"):
        LAYOUT.write(Loaded(model, manifest_of(model), tmp_path), tmp_path)
