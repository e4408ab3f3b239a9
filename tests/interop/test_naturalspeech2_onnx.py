"""NaturalSpeech 2's graphs compute what torch computes, and a host with NumPy speaks with them as the model does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from moksori.cli.main import main
from moksori.errors import MoksoriError, UnsupportedTask
from moksori.models.checkpoint import Loaded, Manifest, save_model
from moksori.models.naturalspeech2 import Naturalspeech2
from moksori.models.naturalspeech2.interop.onnx import LAYOUT, checked, describe, graphs, spoken
from moksori.models.naturalspeech2.speaking import LEVEL_FRAMES, alike, say_latents_like
from moksori.models.onnx_file import session
from moksori.nn.diffusion_samplers import item_noise
from moksori.pipeline.run_config import run_config
from moksori.types import LatentBatch, SayControls, TextBatch

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: it runs the graphs")


def small(*settings: str) -> Naturalspeech2:
    """With nothing that is 0, which would hide what comes before it."""
    torch.manual_seed(0)
    few = [f"model.{part}.num_layers=2" for part in ("denoiser", "duration", "pitch.predictor", "phoneme_encoder")]
    model = Naturalspeech2(run_config("naturalspeech2/tiny", [*few, *settings]).model).eval()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if not bool(parameter.any()):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
        model.standardize.mean.copy_(torch.linspace(-1.0, 1.0, model.latent_channels))
        model.standardize.std.copy_(torch.linspace(0.5, 2.0, model.latent_channels))
    return model


def manifest_of(model: Naturalspeech2) -> Manifest:
    described = model.config.model_dump(mode="json")
    return Manifest(
        family="naturalspeech2", name="any", model=described, text=model.config.text, sample_rate=16000,
        licence="CC0-1.0", requires={"codec-compact": "0123"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("postfilter", "correction"), [("null", 0.0), ("{channels: 8, inner_channels: 12, num_layers: 2}", 0.5)]
)
def test_a_host_speaks_with_the_graphs_as_the_model_does(postfilter: str, correction: float) -> None:
    model = small(
        "model.sampling.steps=3", "model.sampling.sampler=karras", "model.sampling.guidance=1.5",
        f"model.postfilter={postfilter}", f"model.sampling.mean_correction={correction}",
    )  # fmt: skip
    made = graphs(model)
    assert ("postfilter" in made) == (postfilter != "null")
    assert checked("small", model, made) < 5e-5
    for graph in made.values():
        kinds = {node.op_type for node in graph.graph.node}
        assert {"RandomNormalLike", "RandomUniformLike", "If", "Loop"}.isdisjoint(kinds)
    runs = {part: session(graph) for part, graph in made.items()}
    draw = torch.Generator().manual_seed(3)
    tokens, prompt = torch.randint(1, 60, (1, 180), generator=draw), torch.randn(1, 16, 44, generator=draw)
    text = TextBatch(tokens, torch.zeros_like(tokens), torch.tensor([180]), torch.tensor([0]))
    with torch.no_grad():
        said = say_latents_like(
            model, text, LatentBatch(prompt, torch.tensor([44])), SayControls(), generator=torch.manual_seed(5)
        )
    assert int(said.frame_lengths) > 2 * LEVEL_FRAMES  # guidance looks at a second, not at all of it
    noise = item_noise(alike(1, torch.manual_seed(5)))
    one = np.ones(1, np.float32)
    inputs = {"tokens": tokens.numpy(), "stress": np.zeros_like(tokens.numpy()), "prompt": prompt.numpy()}
    found = spoken(
        {part: lambda given, run=run: run.run(None, dict(given)) for part, run in runs.items()},
        describe(Loaded(model, manifest_of(model), Path())),
        {**inputs, "speed": one, "shift_semitones": 0.0 * one},
        lambda shape: noise(torch.zeros(shape)).numpy(),
    )
    np.testing.assert_allclose(found, said.latent.numpy(), atol=2e-4)

    with torch.no_grad():
        model.denoiser.skip.weight.mul_(1.02)
    with pytest.raises(MoksoriError, match="differ from torch in guess"):
        checked("small", model, made)


def test_export_writes_both_graphs_and_what_a_host_must_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small("model.pitch.interpolate=false", "model.pitch.voicing=false", "model.denoiser.preconditioned=false")
    save_model(tmp_path / "any", model, manifest_of(model), exact=True)
    out = tmp_path / "out"
    assert main(["export", str(tmp_path / "any"), "-o", str(out), "--format", "onnx"]) == 0
    assert "those of the codec codec-compact" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["any-prior.onnx", "any-step.onnx", "any.json"]
    about = json.loads((out / "any.json").read_text(encoding="utf-8"))
    assert about["codec"] == {"codec-compact": "0123"}
    assert len(about["latent_mean"]) == len(about["latent_std"]) == about["latent_channels"] == 16


def test_a_denoiser_that_hears_frames_has_no_graphs(tmp_path: Path) -> None:
    model = small("model.denoiser.prompt=frames")
    assert LAYOUT.write is not None
    with pytest.raises(UnsupportedTask, match="'frames': only models that hear tokens"):
        LAYOUT.write(Loaded(model, manifest_of(model), tmp_path), tmp_path)
