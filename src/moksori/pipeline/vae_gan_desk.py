"""Measuring the models of the comparison: each converts the same, and its sounds and latents are looked at in one way.

A run's figures are kept in its folder, and some of its sounds; what has been measured is not measured again.
"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator

from moksori.audio.io import read, write
from moksori.audio.mel import MelSpectrogram
from moksori.audio.resample import resample
from moksori.corpus.manifest import read_utterance
from moksori.errors import ConfigError, MissingExtra, MoksoriError
from moksori.evaluation.mean_pitch_shift import mean_pitch_shift
from moksori.evaluation.names import HUMAN, PITCH_SHIFT, UNCHANGED
from moksori.evaluation.score import Judges
from moksori.models.checkpoint import Loaded, fingerprint
from moksori.models.contract import CanConvertMels, CanEncode, CanEnroll
from moksori.pipeline.convert import Converter, find_converter
from moksori.pipeline.models import find_model
from moksori.pipeline.study_measures import Disentangler, content_of
from moksori.pipeline.study_runs import failure, keep, kept, numbers, rounded
from moksori.pipeline.train import Listener
from moksori.pipeline.vae_gan_costs import cost_of, last_validation
from moksori.pipeline.vae_gan_material import Labels, Material, Trial, phone_labels
from moksori.pipeline.vae_gan_measures import Encode, Gauge, loaded_judges, mel_cepstra, probe_latents
from moksori.pipeline.vae_gan_result import Row, Run
from moksori.pipeline.vae_gan_tour import latent_tour
from moksori.pipeline.vae_gan_variants import Variant
from moksori.pipeline.vae_gan_verdicts import MEASURES
from moksori.types import Voice, Waveform

MEASURES_NAME, REFERENCES_NAME = "measures.json", "references.json"
PICTURED = 4
"""Conversions whose sounds are kept, of each variant's first seed."""


class Desk:
    """Measures model after model on the same material; what is expensive is made when it is first needed."""

    def __init__(
        self,
        material: Material,
        folder: Path,
        key: Sequence[Any],
        vocoder: str | None,
        judges: Judges,
        listener: Listener,
    ) -> None:
        self.material, self.folder, self.vocoder, self.listener = material, folder, vocoder, listener
        self.key = list(key)
        unheard = "words" in judges.measures and not material.texts
        if unheard:
            judges = judges.only([name for name in judges.measures if name != "words"])
        judges, self.notes = loaded_judges(judges)
        if unheard:
            self.notes.append("word errors: not measured, nothing that is converted is English")
        if not material.parallel:
            self.notes.append(
                "MCD, STOI and F0 against the target: not measured, no two speakers share a test sentence"
            )
        self.key += [judges.measures, self.notes]
        self._judges = judges
        self._gauge: Gauge | None = None

    @property
    def gauge(self) -> Gauge:
        if self._gauge is None:
            labels = phone_labels(self.material, self.folder / "labels", self.listener.progress)
            self._gauge = Gauge(self.material, self._judges, labels)
        return self._gauge

    @property
    def labels(self) -> Labels:
        return self.gauge.labels

    # ---- what the models stand beside

    def references(self) -> dict[str, Mapping[str, float]]:
        """People's own recordings, no conversion at all, and the pitch alone."""
        path = self.folder / REFERENCES_NAME
        stored = kept(path, self.key)
        if stored is not None:
            return {name: numbers(found) for name, found in stored["references"].items()}
        gauge, material = self.gauge, self.material
        trials = list(material.trials)
        found = {HUMAN: gauge.measure(*gauge.recordings(material.known))}
        if "speaker" in self._judges.measures:  # the training recordings are what judges know voices by
            tests = {name: own[: len(material.known[name])] for name, own in material.natural.items()}
            found[HUMAN] |= gauge.voices(*gauge.recordings(tests))
        found[HUMAN] |= probe_latents(mel_cepstra, material, self.labels)
        sources = [read_utterance(trial.source) for trial in trials]
        found[UNCHANGED] = gauge.measure(trials, sources)
        # What was said as it was recorded: the word errors of recordings are those of the sources.
        found[HUMAN]["wer"] = found[UNCHANGED].get("wer", math.nan)
        known = {name: read_utterance(own[0]) for name, own in material.known.items()}
        moved = [mean_pitch_shift(sound, known[trial.target]) for trial, sound in zip(trials, sources, strict=True)]
        found[PITCH_SHIFT] = gauge.measure(trials, moved)
        found = {name: {k: rounded(v) for k, v in row.items()} for name, row in found.items()}  # type: ignore[misc]
        keep(path, self.key, {"references": found})
        return {name: numbers(row) for name, row in found.items()}

    # ---- models

    def variant(self, variant: Variant, seeds: int) -> Row | None:
        """Its seeds; None where none of them has been trained."""
        runs = []
        for seed in range(1, seeds + 1):
            folder = self.folder / run_name(variant, seed)
            if not folder.is_dir():
                continue
            self.listener.stage(f"measuring {folder.name}")
            runs.append(self._run(folder, seed))
            self.listener.progress(len(runs), seeds)
        return Row(variant.name, variant.note, variant.preset, tuple(runs)) if runs else None

    def model(self, name: str) -> Row:
        """A model that is there already, under its own weights; one run, as there is one training."""
        path = find_model(name)
        folder = self.folder / f"beside-{path.name}"
        folder.mkdir(parents=True, exist_ok=True)
        self.listener.stage(f"measuring {path.name}")
        run = self._measured(folder, path, 1, "")
        return Row(f"{path.name} (as it is)", "trained before, on its own data, for its own steps", "", (run,))

    def _run(self, folder: Path, seed: int) -> Run:
        reason = failure(folder)
        weights = folder / "model"
        if not (weights / "config.json").is_file():
            return Run(seed, 0, reason or "no weights yet", _every({}), cost_of(folder), last_validation(folder))
        return self._measured(folder, weights, seed, reason)

    def _measured(self, folder: Path, weights: Path, seed: int, reason: str) -> Run:
        key = [*self.key, fingerprint(weights), seed]
        path = folder / MEASURES_NAME
        stored = kept(path, key)
        if stored is not None:
            return Run.of_json(stored)
        converter = find_converter(weights, vocoder=self.vocoder)
        loaded = converter.loaded
        try:
            sounds = self._converted(converter, seed)
            measures = self.gauge.measure(self.material.trials, sounds)
            if seed == 1:
                self._show(folder, sounds)
            encode = latent_reader(loaded)
            if encode is not None:
                measures |= probe_latents(encode, self.material, self.labels)
                measures |= latent_tour(loaded, encode, self.gauge)
        except (MissingExtra, ConfigError):
            raise
        except MoksoriError as error:
            reason, measures = f"could not be measured: {error}", {}
        run = Run(seed, loaded.manifest.steps, reason, _every(measures), cost_of(folder), last_validation(folder))
        keep(path, key, run.as_json())
        return Run.of_json(json.loads(json.dumps(run.as_json())))

    def _converted(self, converter: Converter, seed: int) -> list[Waveform]:
        voices: dict[str, Voice] = {}
        sounds = []
        for trial in self.material.trials:
            recording = read_utterance(trial.source)
            number = 1000 * seed + trial.place
            if converter.speakers:
                found = converter.convert(recording, trial.target, _source(converter, trial), seed=number)
            else:
                if trial.target not in voices:
                    prompts = [read_utterance(u) for u in self.material.known[trial.target]]
                    voices[trial.target] = converter.enroll(cast(Any, prompts), name=trial.target)
                found = converter.convert(recording, like=voices[trial.target], seed=number)
            sounds.append(found.waveform)
        return sounds

    def _show(self, folder: Path, sounds: Sequence[Waveform]) -> None:
        """Keeps some sounds, for the page."""
        target = folder / "sounds"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for trial in pictured(self.material.trials):
            write(target / f"{trial.place}.flac", sounds[list(self.material.trials).index(trial)])


def _every(measures: Mapping[str, float]) -> dict[str, float]:
    """All of the table's measures, NaN for those that a run lacks, and what else there is."""
    return {**{measure.key: math.nan for measure in MEASURES}, **measures}


def run_name(variant: Variant, seed: int) -> str:
    """Of a run's folder."""
    return f"{variant.name}-seed-{seed}"


def pictured(trials: Sequence[Trial]) -> list[Trial]:
    """Conversions to be heard: of different sources and targets first, those with a parallel sentence before others."""
    seen: set[tuple[str, str]] = set()
    first = []
    for trial in sorted(trials, key=lambda t: t.parallel is None):
        pair = trial.source.speaker, trial.target
        if pair not in seen:
            seen.add(pair)
            first.append(trial)
    return first[:PICTURED]


def shown_sounds(folder: Path, trial: Trial) -> Waveform | None:
    """The sound of a conversion that a run has kept; None where it has not."""
    path = folder / "sounds" / f"{trial.place}.flac"
    return read(path) if path.is_file() else None


def _source(converter: Converter, trial: Trial) -> str | None:
    known = converter.takes_source and trial.source.speaker in converter.speakers
    return trial.source.speaker if known else None


def latent_reader(loaded: Loaded) -> Encode | None:
    """How a model's latents are read off a recording; None where they cannot be looked at."""
    model: Any = loaded.model
    rate = loaded.manifest.sample_rate
    if isinstance(model, CanEncode):
        window = model.window_samples

        def encode(sound: Waveform) -> tuple[Float[np.ndarray, "frames size"], Float[np.ndarray, " frames"]]:
            samples = resample(sound, rate).samples
            samples = np.ascontiguousarray(samples[: len(samples) // window * window])
            with torch.inference_mode():
                codes = model.encode(torch.from_numpy(samples)[None], Generator().manual_seed(0))[0].float().numpy()
            return codes.T, (np.arange(codes.shape[1]) + 0.5) * window / rate

        return encode
    if isinstance(model, CanEnroll) and isinstance(model, CanConvertMels):
        front_end, hop = MelSpectrogram(model.mel_config), model.mel_config.hop_length

        def content(sound: Waveform) -> tuple[Float[np.ndarray, "frames size"], Float[np.ndarray, " frames"]]:
            samples = torch.from_numpy(np.ascontiguousarray(resample(sound, model.mel_config.sample_rate).samples))
            with torch.inference_mode():
                found = content_of(cast(Disentangler, model), front_end(samples[None])[0].numpy())
            return found, (np.arange(len(found)) + 0.5) * hop / model.mel_config.sample_rate

        return content
    return None
