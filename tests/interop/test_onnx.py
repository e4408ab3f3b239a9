"""ONNX graphs say what torch says, a wrong graph is not written, and bad input is told in one line."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_vits import small

from moksori.cli.main import main
from moksori.errors import MissingExtra, MoksoriError
from moksori.models.checkpoint import Manifest, save_model
from moksori.models.onnx_file import session
from moksori.models.vits import Vits
from moksori.models.vits.interop import onnx as onnx_layout
from moksori.models.vits.interop.onnx import checked, speech_graph
from moksori.pipeline.import_model import export_model
from moksori.pipeline.run_config import run_config
from moksori.text.tokenizer import TextConfig

HOMOMORPHIC = {"kind": "homomorphic", "channels": 16, "inner_channels": 24, "num_layers": 1, "rate": 2, "n_fft": 32,
               "fine_channels": 8, "fine_inner_channels": 12, "fine_layers": 1, "pulse_quefrencies": 8,
               "noise_quefrencies": 8, "pitch_channels": 8, "pitch_layers": 1}  # fmt: skip
COMPACT = {
    "text": TextConfig(),
    "text_encoder": {"channels": 16, "hidden_channels": 24, "num_layers": 1, "pre_norm": True,
                     "stress_embedding": True},
    "prior": {"kind": "frame", "inner_channels": 20, "num_layers": 1},
    "duration": {"stochastic": True, "deterministic": True, "channels": 16, "deterministic_channels": 20, "mix": 0.3,
                 "rounding": "nearest"},
    "clamp_log_std": True,
    "weight_norm": False,
}  # fmt: skip
"""All that `vits/compact` does otherwise than the paper, small."""
ISTFT = {"kind": "istft", "channels": 16, "inner_channels": 24, "num_layers": 2}
MODELS = {
    "the paper's, three speakers": {"speakers": 3},
    "deterministic durations, smaller HiFi-GAN": {"stochastic": False, "block": 2},
    "compact": {**COMPACT, "decoder": HOMOMORPHIC},
    "inverse STFT, two speakers": {"decoder": ISTFT, "speakers": 2, "stochastic": False},
}


def saved(folder: Path, model: Vits, speakers: tuple[str, ...] = ()) -> Path:
    manifest = Manifest(
        family="vits",
        name=folder.name,
        model=model.config.model_dump(mode="json"),
        text=model.config.text,
        sample_rate=model.config.mel.sample_rate,
        speakers=speakers,
        licence="CC0-1.0",
    )
    save_model(folder, model, manifest, exact=True)
    return folder


@pytest.mark.parametrize("kind", MODELS)
def test_the_graph_says_what_torch_says(kind: str) -> None:
    model = small(**MODELS[kind])
    graph = speech_graph(model)
    assert checked("small", model, graph) < 2e-5
    assert {"If", "Loop", "Scan", "DFT", "STFT"}.isdisjoint(node.op_type for node in graph.graph.node)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(2.0)
    with pytest.raises(MoksoriError, match=r"differs from torch|another pitch"):
        checked("small", model, graph)


def test_what_is_written(tmp_path: Path) -> None:
    model = small(**COMPACT, decoder=HOMOMORPHIC, speakers=2)
    export_model(saved(tmp_path / "duo", model, ("ann", "bob")), tmp_path / "out", "onnx")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["duo.json", "duo.onnx"]
    described = json.loads((tmp_path / "out" / "duo.json").read_text(encoding="utf-8"))
    assert described["speakers"] == ["ann", "bob"]
    assert described["sample_rate"] == 16000
    assert described["text"]["symbols"] == list(model.config.text.symbols)

    runner = session(tmp_path / "out" / "duo.onnx")
    assert [value.name for value in runner.get_inputs()] == ["input", "input_lengths", "stress", "scales", "sid"]
    assert [value.name for value in runner.get_outputs()] == ["output", "durations"]
    tokens = np.arange(14, dtype=np.int64).reshape(2, 7) + 40
    feeds = {
        "input": tokens,
        "input_lengths": np.array([7, 4]),
        "stress": np.zeros_like(tokens),
        "sid": np.array([0, 1]),
    }

    def said(noise: float, length: float) -> tuple[np.ndarray, np.ndarray]:
        output, durations = runner.run(None, {**feeds, "scales": np.array([noise, length, noise], np.float32)})
        return output, durations

    output, durations = said(0.0, 1.0)
    lengths = durations.sum(axis=1) * described["hop_length"]
    assert output.shape == (2, lengths.max())
    assert (durations[1, 4:] == 0).all()
    assert (durations[durations > 0] >= 1).all()
    assert not output[1, lengths[1] :].any()
    assert np.abs(output[:, : lengths.min()]).max() > 1e-4
    assert (said(0.0, 1.0)[1] == durations).all()
    assert said(0.0, 3.0)[1].sum() > 1.5 * durations.sum()
    assert (said(0.0, 1.0)[0] != output).any()  # the decoder's own noise is drawn anew in every run


def test_a_graph_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    folder = saved(tmp_path / "voice", small(stochastic=False, decoder=ISTFT))
    monkeypatch.setattr(onnx_layout, "TOLERANCE", -1.0)
    assert main(["export", str(folder), "--format", "onnx", "-o", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert "differs from torch by" in message
    assert message.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["voice"]


def test_bad_input_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    folder = saved(tmp_path / "voice", small(stochastic=False))
    config = run_config("aligner/tiny")
    aligner = tmp_path / "aligner"
    settings = Manifest(family="aligner", name="aligner", model=config.model.model_dump(mode="json"), sample_rate=16000)
    save_model(aligner, config.family.model(config.model), settings)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine", encoding="utf-8")
    for code, expected, arguments in (
        (2, "unknown export format 'onix'", [folder, "--format", "onix", "-o", tmp_path / "out"]),
        (2, "'flowtron', 'codec' and 'naturalspeech2' models", [aligner, "--format", "onnx", "-o", tmp_path / "out"]),
        (2, "is there already", [folder, "--format", "piper", "-o", full]),
        (1, "cannot be written", [folder, "--format", "onnx", "-o", full / "mine.txt" / "out"]),
    ):
        assert main(["export", *map(str, arguments)]) == code
        message = capsys.readouterr().err
        assert expected in message
        assert message.count("\n") == 1
    monkeypatch.setitem(sys.modules, "onnx", None)
    for layout in ("onnx", "piper"):
        with pytest.raises(MissingExtra, match=r"moksori\[export\]"):
            export_model(folder, tmp_path / "out", layout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aligner", "full", "voice"]
