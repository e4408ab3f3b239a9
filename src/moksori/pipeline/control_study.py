"""The study of control: what variation, style, blends and takes do to a voice whose latents can be chosen, measured.

A study is a folder with `control.json`. It has sections, each kept under a key of model, corpus and settings: what was
measured of the same is not measured again.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from moksori.corpus.manifest import Corpus, write_text
from moksori.errors import BadInput, UnsupportedTask
from moksori.models.checkpoint import fingerprint
from moksori.pipeline.control_sections import GROUP_CLIPS, ControlWork
from moksori.pipeline.manner import DEFAULT_MODE, check_number
from moksori.pipeline.mel_voice import MelVoice, latent_model
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.say import load
from moksori.pipeline.seeds import chosen_seed
from moksori.types import MAXIMUM_VARIATION

RESULT_NAME = "control.json"
VERSION = 3
SAMPLES = 20
WHOLE_CLIPS = ("batch", "time_and_batch")
"""Modes of styles that need no parts of clips to be named."""


@dataclass
class ControlStudy:
    """What is measured, and of what. sections: by name, as they stand in `control.json`."""

    folder: Path
    settings: dict[str, Any]
    sections: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {**self.settings, "sections": self.sections}

    @classmethod
    def read(cls, path: Path) -> "ControlStudy":
        """From its `control.json`; raises BadInput where that is none."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(path.parent, {k: v for k, v in stored.items() if k != "sections"}, dict(stored["sections"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: no result of a study ({error}): run 'moksori study control'") from error


def study_control(
    model: str | Path | None,
    corpus: str | Path,
    folder: str | Path,
    *,
    split: str = "test",
    references: str | Path | None = None,
    limit: int | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    mode: str = DEFAULT_MODE,
    variation: float | None = None,
    clips: int = 1,
    vocoder: str | Path | None = None,
    progress: Progress = no_progress,
) -> ControlStudy:
    """Measures a voice's controls and writes the result into `folder`.

    corpus: whose split gives sentences and, without `references`, clips of styles. references: a corpus of other
    speakers. limit: sentences of each curve, and five pairs of styles for each of them; None: 16 and 20. samples: of
    each setting. mode: of the styles; clips: of each, 1 to 5. variation: of all but its own curve, 0 to 10; None: the
    voice's. Raises BadInput for values out of range before anything is loaded, UnsupportedTask for a voice without
    latents, CorpusError for a corpus without enough clips.
    """
    _check(limit, samples, seed, mode, variation, clips)
    speaker = load(model, vocoder=vocoder)
    able = latent_model(speaker.model)
    if able is None or not isinstance(speaker.model, MelVoice):
        raise UnsupportedTask(
            f"{speaker.name}: a {speaker.manifest.family!r} model has no latents whose control could be measured"
        )
    found = Corpus.open(corpus)
    elsewhere = found if references is None else Corpus.open(references)
    settings = {
        "model": speaker.name,
        "fingerprint": fingerprint(speaker.loaded.folder),
        "vocoder": speaker.model.vocoder.name,
        "steps": speaker.manifest.steps,
        "corpus": found.info.name,
        "references": elsewhere.info.name,
        "split": split,
        "seed": seed,
        "samples": samples,
        "mode": mode,
        "variation": variation,
        "clips": clips,
        "limit": limit,
        "version": VERSION,
    }
    study = ControlStudy(Path(folder), settings, _kept(Path(folder) / RESULT_NAME, settings))
    study.folder.mkdir(parents=True, exist_ok=True)
    work = ControlWork(speaker, able, found, elsewhere, split, limit, samples, seed, mode, variation, clips, progress)
    sections: dict[str, Callable[[], Any]] = {
        "round_trip": work.round_trip,
        "variation": work.variation_curve,
        "interpolation": work.interpolation,
        "speakers": work.speakers,
        "components": work.components,
        "prosody": work.takes,
        "style": work.styles,
    }
    for name, measure in sections.items():
        if name not in study.sections:
            study.sections[name] = _rounded(measure())
            write_text(study.folder / RESULT_NAME, json.dumps(study.as_json(), indent=2) + "\n")
    return study


def _check(limit: int | None, samples: int, seed: int, mode: str, variation: float | None, clips: int) -> None:
    """Raises BadInput for what no section could be measured with: before minutes have gone into those before it."""
    if limit is not None and limit < 1:
        raise BadInput(f"limit {limit}: expected at least 1")
    if samples < 2:
        raise BadInput(f"samples {samples}: a spread needs at least 2")
    if not 1 <= clips <= GROUP_CLIPS:
        raise BadInput(f"clips {clips}: expected 1 to {GROUP_CLIPS}")
    if mode not in WHOLE_CLIPS:
        raise BadInput(f"style mode {mode!r}: expected {' or '.join(WHOLE_CLIPS)}")
    if variation is not None:
        check_number("variation", variation, 0.0, MAXIMUM_VARIATION)
    chosen_seed(seed)


def _kept(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that were measured of the same before."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        same = {k: v for k, v in stored.items() if k != "sections"} == json.loads(json.dumps(settings))
        return dict(stored["sections"]) if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _rounded(value: Any) -> Any:
    """Six digits; JSON has no NaN."""
    if isinstance(value, Mapping):
        return {str(k): _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    if isinstance(value, float | np.floating):
        return None if value != value else float(f"{value:.6g}")
    return value
