"""VITS as an ONNX graph from tokens to samples, compared with torch before it is written.

Inputs `input`, `input_lengths`, `stress` (where the voice reads it), `scales` = [noise_scale, length_scale, noise_w],
and `sid` (where there are several speakers); outputs `output` and `durations`. The names are those that Piper and
others give their graphs. Noise is drawn inside. A JSON beside it tells what a program needs to make tokens.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from moksori.errors import MoksoriError
from moksori.models.checkpoint import Loaded
from moksori.models.decoders.decoders import HomomorphicDecoder
from moksori.models.decoders.pitch import PitchPredictor
from moksori.models.interop import Layout
from moksori.models.onnx_file import RecordedNoise, require_onnx, session, traced, with_noise_inputs
from moksori.models.vits.interop.reading import DURATION_NOISE
from moksori.models.vits.interop.speech_graph import SpeechGraph
from moksori.models.vits.model import Vits
from moksori.text.tokenizer import TextConfig
from moksori.types import SayControls, TextBatch

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-4
"""Largest difference of a sample from torch's that a written graph may have."""
PITCH = "f0"
PITCH_TOLERANCE = 1e-4
"""Largest difference of F0, as a share of it: 0.002 semitones."""
LENGTHS = ((1,), (2,), (33,), (19, 4, 1))
"""Tokens of the texts that graph and torch both say: a batch each, with rows of different lengths."""


@dataclass(frozen=True)
class Case:
    """One comparison: what the graph is fed, and what torch is given for the same sound.

    durations: what the graph's second output should be, from torch's frames per token.
    """

    feeds: Mapping[str, np.ndarray]
    text: TextBatch
    controls: SayControls

    def durations(self, frames: np.ndarray) -> np.ndarray:
        return frames


class TokenGraph(SpeechGraph):
    """SpeechGraph with the inputs of the written file, in their order."""

    def __init__(self, model: Vits) -> None:
        super().__init__(model)
        self.reads_stress = model.config.text_encoder.stress_embedding
        self.many = model.config.num_speakers > 1

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = list(inputs)
        tokens, lengths = given.pop(0), given.pop(0)
        stress = given.pop(0) if self.reads_stress else None
        scales = given.pop(0)
        return self.speak(tokens, lengths, stress, given.pop(0) if self.many else None, scales)


def speech_graph(model: Vits) -> "ModelProto":
    """The graph of a model, not yet compared with it."""
    inputs = {name: torch.from_numpy(value) for name, value in next(_cases(model, ((5, 3),))).feeds.items()}
    texts = {0: "batch", 1: "tokens"}
    axes = {"input": texts, "input_lengths": {0: "batch"}, "durations": texts, "output": {0: "batch", 1: "samples"}}
    axes |= {name: {"stress": texts, "sid": {0: "batch"}}[name] for name in inputs if name in ("stress", "sid")}
    return traced(TokenGraph(model), inputs, output_names(model), axes)


def output_names(model: Vits) -> tuple[str, ...]:
    """Of a graph that is not written yet: PITCH is there for the comparison."""
    return ("output", "durations", PITCH) if model.takes_pitch else ("output", "durations")


def _cases(model: Vits, batches: tuple[tuple[int, ...], ...] = LENGTHS) -> Iterator[Case]:
    """Random tokens, at other lengths, speeds, variations and speakers from case to case."""
    draw = np.random.default_rng(0)
    config, symbols = model.config, model.text_encoder.embedding.num_embeddings
    for index, lengths in enumerate(batches):
        batch, longest = len(lengths), max(lengths)
        present = np.arange(longest) < np.array(lengths)[:, None]
        tokens = np.where(present, draw.integers(0, symbols, (batch, longest)), 0)
        stress = np.where(present, draw.integers(0, 3, (batch, longest)), 0)
        speakers = draw.integers(0, config.num_speakers, batch)
        speakers[0] = (config.num_speakers - 1) * (index % 2)
        length_scale = np.float32((1.0, 0.75, 1.0, 1.3)[index % 4])
        variation = np.float32((config.variation, 1.0, 0.0)[index % 3])
        scales = np.array([variation, length_scale, np.float32(DURATION_NOISE * float(variation))], np.float32)
        feeds = {"input": tokens, "input_lengths": np.array(lengths)}
        feeds |= {"stress": stress} if config.text_encoder.stress_embedding else {}
        feeds |= {"scales": scales} | ({"sid": speakers} if config.num_speakers > 1 else {})
        text = TextBatch(*(torch.from_numpy(value) for value in (tokens, stress, np.array(lengths), speakers)))
        yield Case(feeds, text, SayControls(float(variation), 1.0 / float(length_scale)))


def checked(name: str, model: Vits, graph: "ModelProto", cases: Iterator[Case] | None = None) -> float:
    """The largest difference between a sample of the graph, run by onnxruntime, and of `Vits.say` with equal noise.

    Where there is a pitch the pulses of both follow torch's, and the pitches are compared by themselves: the phase of
    the pulses is a running sum of F0, in which the last bit of a float32 becomes 6e-4 in a sample after some seconds.
    cases: what is compared; None: random tokens. Raises MoksoriError where durations differ, a sample by more than
    TOLERANCE or a pitch by more than PITCH_TOLERANCE.
    """
    pitched = (PITCH,) if model.takes_pitch else ()
    comparable, noise_names = with_noise_inputs(graph, pitched)
    runner = session(comparable)
    worst = 0.0
    for case in _cases(model) if cases is None else cases:
        with RecordedNoise() as noise, _recorded_pitch(model) as pitch:
            spoken = model.say(case.text, case.controls, torch.Generator().manual_seed(1))
        if len(noise.drawn) != len(noise_names):
            raise _differs(name, f"draws noise {len(noise_names)} times, torch {len(noise.drawn)} times")
        fed = dict(zip((*noise_names, *pitched), (*noise.drawn, *pitch), strict=True))
        where = f"for texts of {case.text.token_lengths.tolist()} tokens"
        try:
            found, durations, *own_pitch = runner.run(None, {**case.feeds, **fed})
        except Exception as error:  # onnxruntime's errors have no class of their own
            raise _differs(name, f"does not run {where}: {' '.join(str(error).split())[:300]}") from error
        if not np.array_equal(durations, case.durations(spoken.durations.numpy())):
            raise _differs(name, f"gives other durations than torch {where}")
        for value, other in zip(own_pitch, pitch, strict=True):
            if not np.abs(value / other - 1.0).max() <= PITCH_TOLERANCE:
                raise _differs(name, f"gives another pitch than torch {where}")
        expected, found = spoken.waveform.numpy(), found.reshape(len(found), -1)
        if found.shape != expected.shape:
            raise _differs(name, f"gives {found.shape[1]} samples, torch {expected.shape[1]} {where}")
        difference = float(np.abs(found - expected).max())
        if not difference <= TOLERANCE:
            raise _differs(name, f"differs from torch by {difference:.1e} (at most {TOLERANCE:.0e}) {where}")
        worst = max(worst, difference)
    return worst


@contextmanager
def _recorded_pitch(model: Vits) -> Iterator[list[np.ndarray]]:
    """F0 in Hz as the pulses of the decoder have followed it; empty for a decoder without pitch."""
    found: list[np.ndarray] = []
    decoder = model.decoder
    if not isinstance(decoder, HomomorphicDecoder):
        yield found
        return
    predictor = decoder.pitch_predictor

    def predict(*arguments: Any) -> Any:
        pitch = PitchPredictor.predict(predictor, *arguments)
        found.append(pitch.finer(decoder.config.rate).log_f0.exp().numpy())
        return pitch

    vars(predictor)["predict"] = predict  # stands before the method of the class
    try:
        yield found
    finally:
        del vars(predictor)["predict"]


def _differs(name: str, how: str) -> MoksoriError:
    return MoksoriError(
        f"{name}: its ONNX graph {how}; nothing was written: another version of torch or onnxruntime may make a right "
        "one; moksori itself speaks with the model as it is"
    )


def metadata(loaded: Loaded) -> dict[str, str]:
    """Properties inside the file, for programs that look for them there."""
    manifest = loaded.manifest
    return {
        "model_type": manifest.family,
        "name": manifest.name,
        "language": manifest.language,
        "sample_rate": str(manifest.sample_rate),
        "n_speakers": str(max(len(manifest.speakers), 1)),
        "licence": manifest.licence,
        "comment": "moksori",
    }


def save(graph: "ModelProto", path: Path, properties: Mapping[str, str]) -> None:
    """Writes a graph with properties, and without the output that only the comparison needs."""
    import onnx

    del graph.graph.output[2:]
    onnx.helper.set_model_props(graph, dict(properties))
    path.write_bytes(graph.SerializeToString())


def noise_scales(model: Vits) -> dict[str, float]:
    """What `scales` should hold where nobody asks for anything else."""
    variation = round(model.config.variation, 6)
    return {"noise_scale": variation, "length_scale": 1.0, "noise_w": round(DURATION_NOISE * variation, 6)}


def describe(loaded: Loaded, text: TextConfig) -> dict[str, Any]:
    """The JSON beside the graph."""
    model, manifest = loaded.model, loaded.manifest
    assert isinstance(model, Vits)
    return {
        "format": "moksori-onnx",
        "format_version": 1,
        "name": manifest.name,
        "licence": manifest.licence,
        "training_data": list(manifest.data),
        "sample_rate": manifest.sample_rate,
        "hop_length": model.hop_length,
        "speakers": list(manifest.speakers),
        "scales": noise_scales(model),
        "reads_stress": model.config.text_encoder.stress_embedding,
        "text": text.model_dump(mode="json"),
    }


def write(loaded: Loaded, folder: Path) -> tuple[str, ...]:
    """Fills a folder with NAME.onnx and NAME.json; raises MissingExtra, and MoksoriError where the check fails."""
    require_onnx()
    model, name = loaded.model, loaded.manifest.name
    assert isinstance(model, Vits)
    graph = speech_graph(model)
    worst = checked(name, model, graph)
    save(graph, folder / f"{name}.onnx", metadata(loaded))
    text = json.dumps(describe(loaded, model.config.text), indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return (f"differs from torch by at most {worst:.0e} with equal noise",)


LAYOUT = Layout("onnx", "an ONNX graph", lambda path: False, None, write)
