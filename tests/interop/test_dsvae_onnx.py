"""D-DSVAE's graphs encode and decode as torch does, wrong ones are not written, and a conversion needs no moksori."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from moksori.cli.main import main
from moksori.errors import MoksoriError, UnsupportedTask
from moksori.models.checkpoint import Manifest, save_model
from moksori.models.dsvae import Dsvae
from moksori.models.dsvae.interop.onnx import checked, graphs
from moksori.models.onnx_file import session
from moksori.pipeline.import_model import export_model, readable_layouts, writable_layouts
from moksori.pipeline.run_config import run_config


def small(*settings: str) -> Dsvae:
    torch.manual_seed(0)
    return Dsvae(run_config("dsvae/tiny", settings).model).eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = small()
    manifest = Manifest(
        family="dsvae", name="ear", model=model.config.model_dump(mode="json"), sample_rate=16000, licence="CC0-1.0"
    )
    save_model(tmp_path / "ear", model, manifest, exact=True)
    return tmp_path / "ear"


@pytest.mark.parametrize(
    "settings",
    [(), ("model.speaker.pooling=false", "model.speaker.num_layers=2", "model.decoder.recurrent_layers=2")],
    ids=["compact", "the paper's shape, without pooling"],
)
def test_graphs_and_torch_agree(settings: tuple[str, ...]) -> None:
    model = small(*settings)
    made = graphs(model)
    assert checked("small", model, made) < 2e-5
    for graph in made.values():
        kinds = {node.op_type for node in graph.graph.node}
        assert {"RandomNormalLike", "RandomUniformLike", "If", "Loop"}.isdisjoint(kinds)
    with torch.no_grad():
        model.decoder.pre_net.output.bias.add_(0.01)
    with pytest.raises(MoksoriError, match="differ from torch in mel"):
        checked("small", model, made)


def test_a_conversion_with_the_files_alone(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["export", str(saved), "-o", str(out), "--format", "onnx"]) == 0
    assert "differs from torch by at most" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["ear-decoder.onnx", "ear-encoder.onnx", "ear.json"]
    about = json.loads((out / "ear.json").read_text(encoding="utf-8"))
    assert (about["mel"]["n_mels"], about["sample_rate"], about["speaker_channels"]) == (40, 16000, 16)
    draw = np.random.default_rng(0)
    source, target = (draw.normal(-5.0, 2.0, (1, 40, size)).astype(np.float32) for size in (60, 90))
    encoder, decoder = (session(out / f"ear-{part}.onnx") for part in ("encoder", "decoder"))
    (content,) = encoder.run(["content"], {"mel": source})
    (speaker,) = encoder.run(["speaker"], {"mel": target})
    (mel,) = decoder.run(None, {"speaker": speaker, "content": content})
    model = small()
    expected = model.converted(torch.from_numpy(source), model.speaker_vector(torch.from_numpy(target)))
    np.testing.assert_allclose(mel, expected.numpy(), atol=1e-4)


def test_a_format_of_two_families_and_one_of_another(saved: Path, tmp_path: Path) -> None:
    assert writable_layouts().count("onnx") == 1
    assert "onnx" not in readable_layouts()
    with pytest.raises(UnsupportedTask, match=r"'dsvae' model, --format piper is for 'vits' models"):
        export_model(saved, tmp_path / "voice", "piper")
    assert not (tmp_path / "voice").exists()
