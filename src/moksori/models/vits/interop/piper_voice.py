"""VITS as a voice of Piper: NAME.onnx and NAME.onnx.json, which `piper -m NAME.onnx` and its kin speak with."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from moksori.errors import CheckpointError
from moksori.models.checkpoint import Loaded
from moksori.models.onnx_file import require_onnx, traced
from moksori.models.vits.interop.onnx import (
    Case,
    checked,
    metadata,
    noise_scales,
    output_names,
    save,
)
from moksori.models.vits.interop.piper_graph import PiperGraph
from moksori.models.vits.interop.piper_symbols import (
    PIPER_END,
    PIPER_PAD,
    PIPER_START,
    PiperTable,
    translated,
)
from moksori.models.vits.interop.reading import DURATION_NOISE
from moksori.models.vits.model import Vits
from moksori.types import SayControls, TextBatch

if TYPE_CHECKING:
    from onnx import ModelProto

LENGTHS = (1, 2, 40, 15)
"""Characters of the texts that graph and torch both say."""


@dataclass(frozen=True)
class PiperCase(Case):
    """A comparison of a graph that reads Piper's ids; places: the id that each token's frames are counted to."""

    places: tuple[int, ...]

    def durations(self, frames: np.ndarray) -> np.ndarray:
        counted = np.zeros_like(self.feeds["input"])
        np.add.at(counted[0], list(self.places), frames[0])
        return counted


def piper_graph(model: Vits, table: PiperTable) -> "ModelProto":
    """The graph of a model with Piper's inputs, not yet compared with it."""
    case = next(_cases(model, table, (12,)))
    inputs = {name: torch.from_numpy(value) for name, value in case.feeds.items()}
    axes = {"input": {1: "phonemes"}, "output": {3: "time"}, "durations": {1: "phonemes"}}
    return traced(PiperGraph(model, table), inputs, output_names(model), axes)


def _cases(model: Vits, table: PiperTable, lengths: tuple[int, ...] = LENGTHS) -> Iterator[PiperCase]:
    """Random characters of Piper's alphabet, parted by pads as Piper does, and what they should become."""
    draw = np.random.default_rng(0)
    config = model.config
    for index, length in enumerate(lengths):
        characters = draw.integers(PIPER_END + 1, len(table.characters), length)
        characters[0] = table.grams[index % len(table.grams)].codes[0]  # a sound, also where there is but one character
        ids = [PIPER_START, PIPER_PAD, *(int(x) for c in characters for x in (c, PIPER_PAD)), PIPER_END]
        speed, noise = (1.0, 0.75, 1.3)[index % 3], (config.variation, 0.0)[index % 2]
        yield case_of(model, table, ids, speed, noise, index % 2 == 1)


def case_of(
    model: Vits, table: PiperTable, ids: list[int], length_scale: float, variation: float, last_speaker: bool = False
) -> PiperCase:
    """The comparison of one text."""
    reading = translated(table, ids)
    speaker = model.config.num_speakers - 1 if last_speaker else 0
    scale, noise = np.float32(length_scale), np.float32(variation)
    feeds: dict[str, np.ndarray] = {
        "input": np.array([ids]),
        "input_lengths": np.array([len(ids)]),
        "scales": np.array([noise, scale, np.float32(DURATION_NOISE * float(noise))], np.float32),
    }
    if model.config.num_speakers > 1:
        feeds["sid"] = np.array([speaker])
    text = TextBatch(
        torch.tensor([reading.tokens]),
        torch.tensor([reading.stress]),
        torch.tensor([len(reading.tokens)]),
        torch.tensor([speaker]),
    )
    return PiperCase(feeds, text, SayControls(float(noise), 1.0 / float(scale)), tuple(reading.places))


def describe(loaded: Loaded, table: PiperTable) -> dict[str, Any]:
    """Piper's JSON."""
    model, manifest, text = loaded.model, loaded.manifest, table.text
    assert isinstance(model, Vits)
    family, _, region = text.language.partition("-")
    return {
        "audio": {"sample_rate": manifest.sample_rate, "quality": manifest.name},
        "espeak": {"voice": text.language},
        "language": {"code": f"{family}_{region.upper()}" if region else family, "family": family},
        "inference": noise_scales(model),
        "phoneme_type": "text" if text.mode == "letters" else "espeak",
        "phoneme_map": {},
        "phoneme_id_map": table.id_map(),
        "num_symbols": len(table.characters),
        "num_speakers": max(model.config.num_speakers, 1),
        "speaker_id_map": {name: index for index, name in enumerate(manifest.speakers)}
        if model.config.num_speakers > 1
        else {},
        "dataset": manifest.name,
        "hop_length": model.hop_length,
        "piper_version": "1.0.0",
        "licence": manifest.licence,
    }


def write(loaded: Loaded, folder: Path) -> tuple[str, ...]:
    """Fills a folder with NAME.onnx and NAME.onnx.json; returns what Piper does otherwise.

    Raises MissingExtra without onnx, CheckpointError for a voice that nothing of Piper's could be read by, MoksoriError
    where the comparison with torch fails.
    """
    require_onnx()
    model, name = loaded.model, loaded.manifest.name
    assert isinstance(model, Vits)
    table = PiperTable(model.config.text)
    if not table.grams:
        raise CheckpointError(f"{name}: none of its symbols is a character of text or IPA: Piper cannot speak with it")
    graph = piper_graph(model, table)
    worst = checked(name, model, graph, _cases(model, table))
    save(graph, folder / f"{name}.onnx", {**metadata(loaded), "has_espeak": str(int(table.text.mode != "letters"))})
    text = json.dumps(describe(loaded, table), indent=1, ensure_ascii=False)
    (folder / f"{name}.onnx.json").write_text(text + "\n", encoding="utf-8")
    return (
        "Piper reads texts by espeak alone: our normalisation, lexicons and word timings stay behind",
        *_notes(loaded, table),
        f"differs from torch by at most {worst:.0e} with equal noise",
    )


def _notes(loaded: Loaded, table: PiperTable) -> tuple[str, ...]:
    text = table.text
    lost = sorted({s for s in text.symbols if len(unicodedata.normalize("NFD", s)) > 6 and s[:1] != "<"})
    return (
        *((f"speaks {text.language} only, of its languages",) if text.language_token else ()),
        *((f"its symbol {lost[0]!r} and others as long cannot be reached",) if lost else ()),
    )
