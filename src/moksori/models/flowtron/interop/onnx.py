"""Flowtron as ONNX graphs, compared with torch before they are written; the loop over frames is the host's.

    NAME-text.onnx    tokens [, stress] [, speaker] ─► keys_1, values_1, keys_2, values_2, ...   once a text
    NAME-latent.onnx  latent ─► z, in groups of frames
    NAME-flow1.onnx, NAME-flow2.onnx, ...   one step: z, before, keys, values, allowed, states ─► x, weights, states
    NAME-mel.onnx     x, in groups of frames ─► mel

Flows are numbered from the mel to the latent, so speaking begins with the last one, which has the gate. `spoken` below
is the whole loop, in NumPy; docs/families/flowtron.md has it too.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moksori.errors import UnsupportedTask
from moksori.models.checkpoint import Loaded
from moksori.models.flowtron.flows import AffineFlow
from moksori.models.flowtron.interop.step_graph import LatentGraph, MelGraph, StepGraph, TextGraph
from moksori.models.flowtron.model import Flowtron
from moksori.models.flowtron.prior import MixturePrior
from moksori.models.flowtron.speaking import GATE, LONGEST_TIMES, sample
from moksori.models.interop import Layout
from moksori.models.onnx_file import GraphCheck, described, require_onnx, session, traced, write_graphs
from moksori.types import TextBatch

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-4
"""Largest difference of any number of a step from torch's, where both go on from the same frames."""
LOOP_TOLERANCE = 1e-3
"""Likewise of the mels of whole texts: each frame is made of the one before, and so rounding grows on the way."""
CASES = ((5, 12, 1.0), (23, 20, 1.0), (9, 30, GATE))
"""Tokens of a text, most frames, and gate of what graphs and torch both say."""
STATES = ("state_h", "state_c")
TEXT_STATES = ("text_h", "text_c", "mean_before")

Run = Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]
"""A graph: inputs by name to outputs in order."""


def spoken(
    runs: Mapping[str, Run],
    about: Mapping[str, Any],
    inputs: Mapping[str, np.ndarray],
    latent: Float[np.ndarray, "1 bands frames"],
    gate: float = GATE,
) -> Float[np.ndarray, "1 mels made"]:
    """The mel of a text: the loop that a host runs. Needs NumPy alone.

    runs: the graphs by the last part of their names. about: the JSON beside them. inputs: of the text graph. latent:
    noise, as many frames as there may be at most. gate: probability beyond which to stop; 1 or more: never.
    """
    keys_and_values = runs["text"](inputs)
    (z,) = runs["latent"]({"latent": latent})
    flows = about["flows"]
    for number in range(len(flows), 0, -1):
        flow = flows[number - 1]
        keys, values = keys_and_values[2 * number - 2 : 2 * number]
        backward = flow["direction"] == "backward"
        before = np.zeros_like(z[:, 0])
        h, c = (np.zeros((flow["layers"], 1, flow["hidden"]), np.float32) for _ in range(2))
        sizes = ((1, 1, flow["text"]), (1, 1, flow["text"]), before.shape) if flow["text"] else ()
        text = [np.zeros(size, np.float32) for size in sizes]
        allowed = np.ones(keys.shape[:2], bool)  # a host may narrow it, so that the attention cannot run away
        made: list[np.ndarray] = []
        for index in range(z.shape[1])[:: -1 if backward else 1]:
            given = {"z": z[:, index], "before": before, "keys": keys, "values": values, "allowed": allowed}
            given |= {"state_h": h, "state_c": c, **dict(zip(TEXT_STATES, text, strict=False))}
            before, _, h, c, *rest = runs[f"flow{number}"](given)
            text, stop = rest[: len(text)], rest[len(text) :]
            made.append(before)
            if stop and float(stop[0][0]) > gate:
                break
        z = np.stack(made[:: -1 if backward else 1], axis=1)
    (mel,) = runs["mel"]({"x": z})
    return mel


def graphs(model: Flowtron) -> "dict[str, ModelProto]":
    """All graphs by the last part of their names, not yet compared with the model.

    Raises UnsupportedTask for cumulative attention, whose keys are made anew at every step.
    """
    if model.config.cumulative_attention:
        raise UnsupportedTask("cumulative attention makes its keys anew at every step: it has no ONNX graphs here")
    config, channels = model.config, model.config.group * model.config.bands
    text = TextGraph(model)
    example = {name: torch.ones((1, 5) if name != "speaker" else (1,), dtype=torch.int64) for name in text.inputs}
    if "speaker" in example:
        example["speaker"] = torch.zeros_like(example["speaker"])
    outputs = [f"{kind}_{number}" for number in range(1, config.num_flows + 1) for kind in ("keys", "values")]
    tokens = {name: {1: "tokens"} for name in (*text.inputs, *outputs) if name != "speaker"}
    latent = {"latent": torch.zeros(1, config.bands, 6 * config.group)}
    made = {
        "text": traced(text, example, outputs, tokens),
        "latent": traced(LatentGraph(model), latent, ("z",), {"latent": {2: "frames"}, "z": {1: "groups"}}),
        "mel": traced(
            MelGraph(model), {"x": torch.zeros(1, 6, channels)}, ("mel",), {"x": {1: "groups"}, "mel": {2: "frames"}}
        ),
    }
    for number, flow in enumerate(model.flows, start=1):
        assert isinstance(flow, AffineFlow)
        made[f"flow{number}"] = _step(flow, config.attention_channels, channels)
    return made


def _step(flow: AffineFlow, attention: int, channels: int) -> "ModelProto":
    size = (1 + flow.step.decoder_lstm.num_layers, 1, flow.step.attention_lstm.hidden_size)
    inputs = {
        "z": torch.zeros(1, channels),
        "before": torch.zeros(1, channels),
        "keys": torch.zeros(1, 5, attention),
        "values": torch.zeros(1, 5, attention),
        "allowed": torch.ones(1, 5, dtype=torch.bool),
        **{name: torch.zeros(size) for name in STATES},
    }
    told: tuple[str, ...] = ()
    if flow.step.text_mean is not None:
        told = ("new_text_h", "new_text_c", "mean")
        inputs |= {name: torch.zeros(1, 1, flow.step.text_mean.lstm.hidden_size) for name in TEXT_STATES[:2]}
        inputs[TEXT_STATES[2]] = torch.zeros(1, channels)
    outputs = ("x", "weights", "new_h", "new_c", *told, *["gate"] * (flow.step.gate is not None))
    axes = {name: {1: "tokens"} for name in ("keys", "values", "allowed", "weights")}
    return traced(StepGraph(flow.step), inputs, outputs, axes)


def runs_of(made: "Mapping[str, ModelProto | Path]") -> dict[str, Run]:
    """The graphs, ready to run under onnxruntime."""

    def run_of(graph: "ModelProto | Path") -> Run:
        runner = session(graph)
        return lambda inputs: runner.run(None, dict(inputs))

    return {part: run_of(graph) for part, graph in made.items()}


@torch.no_grad()
def checked(
    name: str, model: Flowtron, made: "Mapping[str, ModelProto]", about: Mapping[str, Any]
) -> tuple[float, float]:
    """Says texts with the graphs and with the model; returns the largest difference of a step, where both go on from
    the model's frames, and of the mels that the host's loop and the model come to, each on its own.

    Raises MoksoriError if these are more than 1e-4 and 1e-3, or one says more frames than the other.
    """
    check, runs = GraphCheck(name, "speaks"), runs_of(made)
    names, of_steps, worst = TextGraph(model).inputs, 0.0, 0.0
    draw = torch.Generator().manual_seed(0)
    for tokens, frames, gate in CASES:
        text = _text(model, tokens, draw)
        latent = torch.randn(1, model.config.bands, frames * model.config.group, generator=draw)
        latent = model.config.variation * latent
        given = {"tokens": text.tokens, "stress": text.stress, "speaker": text.speaker}
        most = torch.tensor([latent.shape[2]])
        said = sample(model, model.memory(text), latent, most, None, gate)
        expected, inputs = model.spoken_mel(said.frames).numpy(), {key: given[key].numpy() for key in names}
        try:
            difference = _steps(model, runs, text, inputs, said.frames)
            found = spoken(runs, about, inputs, latent.numpy(), gate)
        except Exception as error:
            raise check.fails(error, f" for {tokens} tokens") from error
        if not difference <= TOLERANCE:
            raise check.error(f"differ from torch in a step by {difference:.1e} (at most {TOLERANCE:.0e})")
        of_steps = max(of_steps, difference)
        if found.shape != expected.shape:
            raise check.error(f"say {found.shape[2]} frames, torch {expected.shape[2]}")
        difference = float(np.abs(found - expected).max())
        if not difference <= LOOP_TOLERANCE:
            raise check.error(f"differ from torch by {difference:.1e} (at most {LOOP_TOLERANCE:.0e})")
        worst = max(worst, difference)
    return of_steps, worst


def _steps(
    model: Flowtron, runs: Mapping[str, Run], text: TextBatch, inputs: Mapping[str, np.ndarray], heard: Tensor
) -> float:
    """The largest difference of any step's x, each after the model's own frames, not after the graphs'."""
    keys_and_values = runs["text"](inputs)
    memory, frames = model.memory(text), torch.tensor([heard.shape[2]])
    x, lengths, worst = model.grouped(heard, frames), model.group_lengths(frames), 0.0
    for number, flow in enumerate(model.flows, start=1):
        assert isinstance(flow, AffineFlow)
        z = flow(x, lengths, flow.step.attention.project(memory.states, memory.mask)).z
        way = -1 if flow.backward_in_time else 1
        own_x, own_z = (np.ascontiguousarray(rows.numpy()[0, ::way]) for rows in (x, z))
        size = (1 + flow.step.decoder_lstm.num_layers, 1, flow.step.attention_lstm.hidden_size)
        h, c = (np.zeros(size, np.float32) for _ in range(2))
        given = {"keys": keys_and_values[2 * number - 2], "values": keys_and_values[2 * number - 1]}
        given["allowed"] = np.ones(given["keys"].shape[:2], bool)
        before, told = np.zeros_like(own_x[:1]), {}
        if flow.step.text_mean is not None:
            shape = (1, 1, flow.step.text_mean.lstm.hidden_size)
            sizes = (shape, shape, before.shape)
            told = {name: np.zeros(size, np.float32) for name, size in zip(TEXT_STATES, sizes, strict=True)}
        for index in range(len(own_x)):
            step = {**given, **told, "z": own_z[index : index + 1], "before": before, "state_h": h, "state_c": c}
            found, _, h, c, *rest = runs[f"flow{number}"](step)
            told = dict(zip(told, rest, strict=False))
            before = own_x[index : index + 1]
            worst = max(worst, float(np.abs(found - before).max()))
        x = z
    return worst


def _text(model: Flowtron, tokens: int, draw: torch.Generator) -> TextBatch:
    symbols = model.text_encoder.embedding.num_embeddings
    ids: Int[Tensor, "1 tokens"] = torch.randint(0, symbols, (1, tokens), generator=draw)
    stress = torch.randint(0, 3, (1, tokens), generator=draw)
    speaker = torch.randint(0, model.config.num_speakers, (1,), generator=draw)
    return TextBatch(ids, stress, torch.tensor([tokens]), speaker)


def describe(loaded: Loaded) -> dict[str, Any]:
    """The JSON beside the graphs: all that a host has to know."""
    manifest, model = loaded.manifest, loaded.model
    assert isinstance(model, Flowtron)
    config = model.config
    return {
        **described(manifest),
        "mel": config.mel.model_dump(mode="json"),
        "latent_bands": config.bands,
        "speakers": list(manifest.speakers),
        "inputs": list(TextGraph(model).inputs),
        "variation": config.variation,
        "gate": GATE,
        "frames": {
            "group": config.group,
            "a_token": round(float(model.length_slope), 4),
            "a_text": round(float(model.length_offset), 4),
            "at_most_times": LONGEST_TIMES,
        },
        "flows": [
            {
                "direction": direction,
                "layers": 1 + config.num_decoder_layers,
                "hidden": config.hidden_channels,
                "text": 0 if index else config.text_mean_channels,
            }
            for index, direction in enumerate(config.flow_directions)
        ],
        "prior": _prior(model.prior),
        "vocoder": dict(manifest.requires),
        "text": config.text.model_dump(mode="json"),
    }


def _prior(prior: nn.Module) -> dict[str, Any]:
    if not isinstance(prior, MixturePrior):
        return {"kind": "gaussian"}
    tables = {"weights": prior.average_weights, "mean": prior.average_mean, "log_variance": prior.average_log_variance}
    return {"kind": "mixture", **{key: table.tolist() for key, table in tables.items()}}


def write(loaded: Loaded, folder: Path) -> tuple[str, ...]:
    """Fills a folder with the graphs and NAME.json; raises MissingExtra, and MoksoriError where the check fails."""
    require_onnx()
    model, name = loaded.model, loaded.manifest.name
    assert isinstance(model, Flowtron)
    made, about = graphs(model), describe(loaded)
    of_steps, worst = checked(name, model, made, about)
    write_graphs(folder, loaded.manifest, made, about)
    notes = [
        f"differs from torch by at most {of_steps:.0e} in a step, and by {worst:.0e} in the mels of {len(CASES)} texts"
    ]
    if model.config.attention_window is not None:
        notes.append("the attention's window is the host's: `allowed` of the step graphs; without it, it may run away")
    return (*notes, "mels come out: a vocoder makes them sound")


LAYOUT = Layout("onnx", "ONNX graphs", lambda path: False, None, write, family="flowtron")
