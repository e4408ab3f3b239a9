"""NaturalSpeech 2 as ONNX graphs, compared with torch before they are written; the diffusion's loop is the host's.

    NAME-prior.onnx        tokens, stress, prompt, speed, shift_semitones ─► condition, prompt_tokens, null_condition,
                           null_tokens, durations, f0, voice, believed_noise                         once a text
    NAME-step.onnx         noised, time, condition, prompt_tokens ─► guess                           once an evaluation
    NAME-postfilter.onnx   latent, condition, voice ─► moved            where the model has one,     once a text

A prompt goes in as the codec's latents; what comes out of the diffusion is standardised: times `latent_std`, plus
`latent_mean` of NAME.json it is the codec's, whose own graphs `moksori export CODEC --format onnx` writes. Guidance is
null + w (full - null), its deviation held at that of full in the second around each frame, both rows of one batch.
Where `mean_correction` is not 0, a guess from `believed_noise` without a text tells what the model believes of the
prompt's mean; that share of what it misses is added to all frames.
`spoken` below is the whole loop for the sampler `karras`, in NumPy; docs/families/naturalspeech2.md has it too.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moksori.errors import UnsupportedTask
from moksori.models.checkpoint import Loaded
from moksori.models.interop import Layout
from moksori.models.naturalspeech2.interop.graphs import PRIOR_OUTPUTS, PostfilterGraph, PriorGraph, StepGraph
from moksori.models.naturalspeech2.model import Naturalspeech2
from moksori.models.naturalspeech2.speaking import LEVEL_FRAMES, believed_noise, planned
from moksori.models.onnx_file import GraphCheck, described, require_onnx, session, traced, write_graphs
from moksori.types import LatentBatch, SayControls, TextBatch

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-4
"""Largest difference of any number from torch's that a written graph may have; of F0, in parts of 100 Hz."""
CASES = ((3, 9), (17, 50), (40, 161))
"""Tokens of a text and frames of a prompt that graph and torch both look at."""
TIMES = (0.02, 0.6, 1.0)

Run = Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]
"""A graph: inputs by name to outputs in order."""


def spoken(
    runs: Mapping[str, Run],
    about: Mapping[str, Any],
    inputs: Mapping[str, np.ndarray],
    noise: Callable[[tuple[int, ...]], np.ndarray],
) -> Float[np.ndarray, "1 latent frames"]:
    """The codec's latents of a text: what a host runs, by Heun's method as `karras` does. Needs NumPy alone.

    runs: the graphs by the last part of their names. about: the JSON beside them. inputs: of the prior. noise: standard
    normal numbers of a shape.
    """
    told = dict(zip(PRIOR_OUTPUTS, runs["prior"](inputs), strict=True))
    condition = np.concatenate([told["condition"], told["null_condition"]])
    tokens = np.concatenate([told["prompt_tokens"], told["null_tokens"]])
    weight, rows = about["guidance"], 1 if about["guidance"] == 1.0 else 2
    beta_0, beta_1 = about["beta_0"], about["beta_1"]

    def shares(t: float) -> tuple[float, float]:
        integral = beta_0 * t + 0.5 * (beta_1 - beta_0) * t * t
        return float(np.exp(-0.5 * integral)), float(np.sqrt(-np.expm1(-integral)))

    def guess(z: np.ndarray, t: float) -> np.ndarray:
        now = {"noised": np.repeat(z, rows, axis=0), "time": np.array([t], np.float32)}
        found = runs["step"]({**now, "condition": condition[:rows], "prompt_tokens": tokens[:rows]})[0]
        if rows == 1:
            return found
        mixed = found[1:] + weight * (found[:1] - found[1:])
        held = deviation(found[0], about["level_frames"]) / np.maximum(deviation(mixed[0], about["level_frames"]), 1e-6)
        return np.asarray(mixed * np.minimum(held, 1.0), np.float32)

    def slope(z: np.ndarray, t: float) -> np.ndarray:
        alpha, sigma = shares(t)
        score = (alpha * guess(z, t) - z) / sigma**2
        return -0.5 * (beta_0 + (beta_1 - beta_0) * t) * (z + score)

    steps = about["steps"]
    times = [(1.0 + step / steps * (np.sqrt(1e-3) - 1.0)) ** 2 for step in range(steps + 1)]
    z = about["variation"] * noise((1, about["latent_channels"], condition.shape[2])).astype(np.float32)
    for now, then in pairwise(times[:-1]):
        first = slope(z, now)
        second = slope((z + (then - now) * first).astype(np.float32), then)
        z = (z + 0.5 * (then - now) * (first + second)).astype(np.float32)
    (alpha, sigma), (alpha_then, sigma_then) = shares(times[-2]), shares(times[-1])
    ratio = sigma_then / sigma
    z = ratio * z + (alpha_then - ratio * alpha) * guess(z, times[-2])
    std, mean = (np.array(about[name], np.float32)[:, None] for name in ("latent_std", "latent_mean"))
    if about["mean_correction"]:
        noised = told["believed_noise"]
        without = np.repeat(told["null_condition"][:, :, :1], noised.shape[2], axis=2)
        given = {"noised": noised, "time": np.ones(1, np.float32), "condition": without}
        believed = runs["step"]({**given, "prompt_tokens": told["prompt_tokens"]})[0].mean(axis=2, keepdims=True)
        heard = ((inputs["prompt"] - mean) / std).mean(axis=2, keepdims=True)
        z = z + about["mean_correction"] * (heard - believed)
    if about["postfilter"]:
        z = runs["postfilter"]({"latent": z.astype(np.float32), "condition": condition[:1], "voice": told["voice"]})[0]
    return np.asarray(z * std + mean, np.float32)


def deviation(z: Float[np.ndarray, "latent frames"], side: int) -> Float[np.ndarray, " frames"]:
    """Of the numbers of all frames at most `side` away from each."""
    frames = z.shape[1]
    first, last = (np.clip(np.arange(frames) + end, 0, frames) for end in (-side, side + 1))

    def around(values: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0.0], values.sum(axis=0, dtype=np.float64).cumsum()])
        found: np.ndarray = (total[last] - total[first]) / ((last - first) * len(z))
        return found

    return np.sqrt(np.maximum(around(z.astype(np.float64) ** 2) - around(z) ** 2, 0.0))


def graphs(model: Naturalspeech2) -> "dict[str, ModelProto]":
    """`prior` and `step`, and `postfilter` where there is one, not yet compared with the model."""
    config = model.config
    latent, hidden = config.latent_channels, config.hidden_channels
    prior = {
        "tokens": _sounds(model)[:5].unsqueeze(0),
        "stress": torch.zeros(1, 5, dtype=torch.int64),
        "prompt": torch.zeros(1, latent, 20),
        "speed": torch.ones(1),
        "shift_semitones": torch.zeros(1),
    }
    step = {
        "noised": torch.zeros(2, latent, 9),
        "time": torch.ones(1),
        "condition": torch.zeros(2, hidden, 9),
        "prompt_tokens": torch.zeros_like(model.prompt_tokens.none).expand(2, -1, -1),
    }
    text, frames = {1: "tokens"}, {2: "frames"}
    prior_axes = {
        "tokens": text, "stress": text, "prompt": {2: "heard"}, "condition": frames, "null_condition": frames,
        "durations": text, "f0": {1: "frames"},
    }  # fmt: skip
    rows = {0: "batch", 2: "frames"}
    step_axes = {"noised": rows, "condition": rows, "prompt_tokens": {0: "batch"}, "guess": rows}
    made = {
        "prior": traced(PriorGraph(model), prior, PRIOR_OUTPUTS, prior_axes),
        "step": traced(StepGraph(model), step, ("guess",), step_axes),
    }
    if model.postfilter is not None:
        behind = {name: torch.zeros(1, size, 9) for name, size in (("latent", latent), ("condition", hidden))}
        behind["voice"] = torch.zeros(1, hidden, 1)
        behind_axes = {name: frames for name in ("latent", "condition", "moved")}
        made["postfilter"] = traced(PostfilterGraph(model), behind, ("moved",), behind_axes)
    return made


@torch.no_grad()
def checked(name: str, model: Naturalspeech2, made: "Mapping[str, ModelProto]") -> float:
    """The largest difference between a number of the graphs, run by onnxruntime, and torch's.

    Raises MoksoriError where one differs by more than TOLERANCE, or a graph does not run.
    """
    check = GraphCheck(name, "speaks")
    runs = {part: session(graph) for part, graph in made.items()}
    config, draw = model.config, torch.Generator().manual_seed(0)
    worst, sounds = 0.0, _sounds(model)
    for size, frames in CASES:
        tokens = torch.randint(0, len(model.sounding), (1, size), generator=draw)
        tokens[0, 0] = sounds[0]  # so that there is a frame
        stress = torch.randint(0, 3, (1, size), generator=draw)
        prompt = model.standardize.inverse(torch.randn(1, config.latent_channels, frames, generator=draw))
        text = TextBatch(tokens, stress, torch.tensor([size]), torch.zeros(1, dtype=torch.int64))
        controls = SayControls(speed=0.8, shift_semitones=2.0)
        plan = planned(model, text, LatentBatch(prompt, torch.tensor([frames])), controls)
        null = model.null_condition.expand_as(plan.condition)
        f0 = plan.pitch.hertz(plan.mask) / 100.0
        wanted = [
            plan.condition,
            plan.prompt.tokens,
            null,
            model.prompt_tokens.none,
            plan.durations,
            f0,
            plan.prompt.summary,
            believed_noise(config.latent_channels),
        ]
        inputs = {"tokens": tokens, "stress": stress, "prompt": prompt, "speed": torch.tensor([0.8])}
        found = check.run(runs["prior"], {**inputs, "shift_semitones": torch.tensor([2.0])})
        in_hundreds = PRIOR_OUTPUTS.index("f0")
        found[in_hundreds] = found[in_hundreds] / np.float32(100.0)
        noised = torch.randn(2, config.latent_channels, plan.mask.shape[2], generator=draw)
        both = torch.cat([plan.condition, null]), torch.cat([plan.prompt.tokens, model.prompt_tokens.none])
        masks = torch.cat([plan.mask, plan.mask])
        names: list[str] = [*PRIOR_OUTPUTS]
        for t in TIMES:
            time = torch.tensor([t])
            given = {"noised": noised, "time": time, "condition": both[0], "prompt_tokens": both[1]}
            found += check.run(runs["step"], given)
            wanted.append(model.guess(noised, time, model.denoiser.prepare(*both), masks))
            names.append("guess")
        if model.postfilter is not None:
            behind = {"latent": noised[:1], "condition": plan.condition, "voice": plan.prompt.summary}
            found += check.run(runs["postfilter"], behind)
            wanted.append(model.postfilter(*behind.values(), plan.mask))
            names.append("moved")
        for output, value, other in zip(names, found, wanted, strict=True):
            worst = max(worst, check.difference(output, value, other, TOLERANCE))
    return worst


def _sounds(model: Naturalspeech2) -> Tensor:
    """The symbols that take a frame at least."""
    return model.sounding.nonzero()[:, 0]


def describe(loaded: Loaded) -> dict[str, Any]:
    """The JSON beside the graphs."""
    manifest, model = loaded.manifest, loaded.model
    assert isinstance(model, Naturalspeech2)
    config, sampling = model.config, model.config.sampling
    return {
        **described(manifest),
        "hop_length": config.hop_length,
        "codec": dict(manifest.requires) or {config.codec: ""},
        "latent_channels": config.latent_channels,
        "latent_mean": model.standardize.mean.tolist(),
        "latent_std": model.standardize.std.tolist(),
        "beta_0": config.beta_0,
        "beta_1": config.beta_1,
        "sampler": sampling.sampler,
        "steps": sampling.steps,
        "guidance": sampling.guidance,
        "level_frames": LEVEL_FRAMES,
        "variation": sampling.variation,
        "mean_correction": sampling.mean_correction,
        "postfilter": model.postfilter is not None,
        "text": config.text.model_dump(mode="json"),
    }


def write(loaded: Loaded, folder: Path) -> tuple[str, ...]:
    """Fills a folder with the graphs and NAME.json; raises MissingExtra, UnsupportedTask for a model whose denoiser
    hears no tokens, and MoksoriError where the check fails."""
    require_onnx()
    model, name = loaded.model, loaded.manifest.name
    assert isinstance(model, Naturalspeech2)
    if model.config.denoiser.prompt != "tokens":
        raise UnsupportedTask(
            f"{name}: its denoiser's prompt is {model.config.denoiser.prompt!r}: only models that hear tokens have "
            "graphs"
        )
    made = graphs(model)
    worst = checked(name, model, made)
    write_graphs(folder, loaded.manifest, made, describe(loaded))

    codec = next(iter(loaded.manifest.requires), model.config.codec)
    return (
        f"differs from torch by at most {worst:.0e}",
        f"latents come in and go out: they are those of the codec {codec}, whose graphs 'moksori export' writes too",
    )


LAYOUT = Layout("onnx", "ONNX graphs", lambda path: False, None, write, family="naturalspeech2")
