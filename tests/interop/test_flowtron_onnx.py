"""Flowtron as ONNX graphs: the host's loop in NumPy says what torch says, and graphs that differ are not written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from moksori.errors import MoksoriError, UnsupportedTask
from moksori.models.checkpoint import Loaded, Manifest, load_model, save_model
from moksori.models.flowtron import Flowtron, FlowtronConfig
from moksori.models.flowtron.interop.onnx import LAYOUT, checked, describe, graphs, runs_of, spoken
from moksori.models.flowtron.speaking import sample
from moksori.models.flowtron.text_mean import PitchedTextMean
from moksori.pipeline.import_model import export_model
from moksori.types import TextBatch

pytest.importorskip("onnxruntime")
SMALL = {
    "num_symbols": 20, "hidden_channels": 16, "attention_channels": 12, "speaker_channels": 4,
    "text_encoder": {"channels": 8, "num_layers": 1},
}  # fmt: skip


def small(seed: int = 0, **settings: object) -> Flowtron:
    """Random everywhere, in evaluation mode."""
    torch.manual_seed(seed)
    model = Flowtron(FlowtronConfig.model_validate({**SMALL, **settings})).eval()
    for flow in model.flows:
        nn.init.normal_(flow.step.head.weight, std=0.05)
        nn.init.normal_(flow.step.head.bias, std=0.05)
        if flow.step.text_mean is not None:
            nn.init.normal_(flow.step.text_mean.out.weight, std=0.5)
        if isinstance(flow.step.text_mean, PitchedTextMean):
            for layer in (flow.step.text_mean.level, flow.step.text_mean.depth, flow.step.text_mean.tilt):
                nn.init.normal_(layer.weight, std=0.1)
            flow.step.text_mean.place.copy_(torch.tensor([5.2, 0.1]))
    if model.postfilter is not None:
        nn.init.normal_(model.postfilter.out.weight, std=0.2)
    if model.detail is not None:
        model.detail.gain.uniform_(0.8, 2.0)
    model.standardize.mean.normal_()
    model.standardize.std.uniform_(0.5, 2.0)
    return model


def stored(model: Flowtron, folder: Path, name: str = "small") -> Path:
    settings = model.config.model_dump(mode="json")
    manifest = Manifest(family="flowtron", name=name, model=settings, text=model.config.text, sample_rate=22050)
    save_model(folder, model, manifest, exact=True)
    return folder


VARIANTS = [
    {"group": 2, "standardize": True, "decorrelate": True, "log_scale_limit": 6.0},
    {"group": 2, "text_mean_channels": 5},
    {"num_flows": 1, "text_mean_channels": 5},
    {"group": 2, "text_mean_channels": 5, "standardize": True, "decorrelate": True, "pitch": True, "match_spread": 1.0},
    {
        "group": 2,
        "text_mean_channels": 5,
        "standardize": True,
        "pitch": True,
        "match_spread": 1.0,
        "postfilter": {"channels": 8, "inner_channels": 12, "num_layers": 2},
    },
    {"num_flows": 3, "num_speakers": 3, "num_dense_layers": 0, "num_decoder_layers": 1},
    {"num_flows": 1, "speaker_channels": 0, "text_encoder": {"channels": 8, "num_layers": 2, "stress_embedding": True}},
    {"prior": {"kind": "mixture", "num_components": 3, "channels": 8}},
]


@pytest.mark.parametrize("settings", VARIANTS)
def test_what_is_written_says_what_torch_says(tmp_path: Path, settings: dict[str, object]) -> None:
    model = small(**settings)
    made = export_model(stored(model, tmp_path / "model"), tmp_path / "graphs", "onnx")
    assert "differs from torch by at most" in made.notes[0]
    about = json.loads((tmp_path / "graphs" / "small.json").read_text())
    parts = ["text", "latent", "mel", *(f"flow{number}" for number in range(1, model.config.num_flows + 1))]
    runs = runs_of({part: tmp_path / "graphs" / f"small-{part}.onnx" for part in parts})
    draw = torch.Generator().manual_seed(5)
    tokens = torch.randint(0, 20, (1, 14), generator=draw)
    latent = torch.randn(1, model.config.bands, 24, generator=draw)
    given = {"tokens": tokens, "stress": tokens % 3, "speaker": torch.tensor([model.config.num_speakers - 1])}
    text = TextBatch(tokens, given["stress"], torch.tensor([14]), given["speaker"])
    loaded = load_model(tmp_path / "model").model
    assert isinstance(loaded, Flowtron)
    for gate in (1.0, 0.5):
        with torch.no_grad():
            said = sample(loaded, loaded.memory(text), latent, torch.tensor([24]), None, gate)
            expected = loaded.spoken_mel(said.frames).numpy()
        inputs = {name: given[name].numpy() for name in about["inputs"]}
        found = spoken(runs, about, inputs, latent.numpy(), gate)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-4
    assert np.abs(expected).max() > 0.1


def test_the_gate_stops_the_host_too() -> None:
    model = small()
    gate = model.flows[-1].step.gate
    assert gate is not None
    nn.init.constant_(gate.bias, 9.0)
    manifest = Manifest(family="flowtron", name="x", model=model.config.model_dump(mode="json"), sample_rate=22050)
    about = describe(Loaded(model, manifest, Path()))
    runs = runs_of(graphs(model))
    found = spoken(runs, about, {"tokens": np.ones((1, 4), np.int64)}, np.zeros((1, 80, 9), np.float32))
    assert found.shape[2] == 1


def test_other_weights_are_noticed() -> None:
    model, other = small(), small(seed=1)
    manifest = Manifest(family="flowtron", name="x", model=model.config.model_dump(mode="json"), sample_rate=22050)
    about = describe(Loaded(model, manifest, Path()))
    made = graphs(model)
    assert max(checked("x", model, made, about)) < 1e-4
    with pytest.raises(MoksoriError, match="differ from torch in a step"):
        checked("x", other, made, about)
    with pytest.raises(MoksoriError, match="do not run"):
        checked("x", model, made | {"text": made["mel"]}, about)


def test_cumulative_attention_is_refused(tmp_path: Path) -> None:
    folder = stored(small(cumulative_attention=True), tmp_path / "model")
    with pytest.raises(UnsupportedTask, match="cumulative"):
        export_model(folder, tmp_path / "graphs", "onnx")
    assert not (tmp_path / "graphs").exists()
    assert LAYOUT.family == "flowtron"
