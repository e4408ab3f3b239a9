"""VAE or GAN? The same speakers, sentences, seeds and steps for eight models of the lineage and D-DSVAE, one table.

A study is a folder: a run for each variant and seed (`vawgan-gp-seed-2/`), with `measures.json` and some of its sounds
once it is measured, `references.json`, and at the end `vae_gan.json`. What is there already is not done again, and a
run that fails has its reason in the table instead of a place among the dropped.
"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator

from moksori.audio.io import read, write
from moksori.audio.resample import resample
from moksori.corpus.manifest import Corpus, read_utterance, write_text
from moksori.errors import BadInput, ConfigError, MissingExtra, MoksoriError, unknown_name
from moksori.evaluation.mean_pitch_shift import mean_pitch_shift
from moksori.evaluation.memory import Memory
from moksori.evaluation.names import HUMAN, PITCH_SHIFT, UNCHANGED
from moksori.evaluation.score import Judges
from moksori.models.checkpoint import Loaded, fingerprint
from moksori.models.contract import CanConvertMels, CanEncode, CanEnroll
from moksori.pipeline.convert import Converter, find_converter
from moksori.pipeline.models import find_model
from moksori.pipeline.run_config import run_config
from moksori.pipeline.study_measures import Disentangler, content_of
from moksori.pipeline.study_runs import keep, kept, numbers, rounded, train_or_tell
from moksori.pipeline.train import Listener
from moksori.pipeline.vae_gan_costs import MemoryWatch, cost_of, last_validation
from moksori.pipeline.vae_gan_material import (
    CORPUS_NAME,
    Labels,
    Material,
    Trial,
    gather,
    of_speakers,
    phone_labels,
)
from moksori.pipeline.vae_gan_measures import Encode, Gauge, loaded_judges, mel_cepstra, probe_latents
from moksori.pipeline.vae_gan_tour import latent_tour
from moksori.pipeline.vae_gan_variants import VARIANTS, Variant, overrides_for
from moksori.pipeline.vae_gan_verdicts import MEASURES
from moksori.types import Voice, Waveform

RESULT_NAME, MEASURES_NAME, REFERENCES_NAME = "vae_gan.json", "measures.json", "references.json"
MEASURES_VERSION = 1
STEPS, SEEDS, SENTENCES = 3000, 3, 10
PICTURED = 4
"""Conversions whose sounds are kept, of each variant's first seed."""
JUDGES = ("words", "opinion", "speaker")
"""Words by a recogniser, DNSMOS, voices by a speaker encoder."""


@dataclass(frozen=True)
class Run:
    """A seed of a variant. reason: why it failed or stopped early, "" where it did not. measures: none where nothing
    could be converted. cost: of training. validation: the last terms of the held-out recordings, by name."""

    seed: int
    steps: int
    reason: str
    measures: Mapping[str, float]
    cost: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "steps": self.steps,
            "reason": self.reason,
            "measures": {name: rounded(value) for name, value in self.measures.items()},
            "cost": {name: rounded(value) for name, value in self.cost.items()},
            "validation": {name: rounded(value) for name, value in self.validation.items()},
        }

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> "Run":
        parts = (numbers(stored[name]) for name in ("measures", "cost", "validation"))
        return cls(stored["seed"], stored["steps"], stored["reason"], *parts)


@dataclass(frozen=True)
class Row:
    """A variant with its seeds, or a model that was there before: then there is one run. preset: "" for the latter."""

    name: str
    note: str
    preset: str
    runs: tuple[Run, ...]

    def values(self, key: str) -> list[float]:
        """A measure, seed by seed; NaN where a seed has none."""
        return [run.measures.get(key, math.nan) for run in self.runs]

    @property
    def failures(self) -> list[Run]:
        return [run for run in self.runs if run.reason]


@dataclass(frozen=True)
class Comparison:
    """Everything that was measured, and of what. references: name -> measures. notes: what a reader should know."""

    folder: Path
    settings: Mapping[str, Any]
    notes: Sequence[str]
    references: Mapping[str, Mapping[str, float]]
    rows: Sequence[Row]

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.name == name), None)

    def as_json(self) -> dict[str, Any]:
        return {
            **self.settings,
            "notes": list(self.notes),
            "references": {n: {k: rounded(v) for k, v in found.items()} for n, found in self.references.items()},
            "variants": [
                {"name": r.name, "note": r.note, "preset": r.preset, "runs": [run.as_json() for run in r.runs]}
                for r in self.rows
            ],
        }

    @classmethod
    def read(cls, path: Path) -> "Comparison":
        """From its `vae_gan.json`; raises BadInput where that is none."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            rows = [
                Row(v["name"], v["note"], v["preset"], tuple(Run.of_json(run) for run in v["runs"]))
                for v in stored.pop("variants")
            ]
            references = {name: numbers(found) for name, found in stored.pop("references").items()}
            return cls(path.parent, stored, stored.pop("notes"), references, rows)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: no result of a study ({error}): run 'moksori study vae_gan'") from error


def study_vae_gan(
    corpus: str | Path,
    folder: str | Path,
    assignments: Sequence[str] = (),
    *,
    variants: Sequence[Variant] = VARIANTS,
    speakers: Sequence[str] = (),
    seeds: int = SEEDS,
    steps: int = STEPS,
    sentences: int = SENTENCES,
    beside: Sequence[str] = ("dsvae",),
    vocoder: str | None = None,
    encoder: str = "resemblyzer",
    recogniser: str = "pocketsphinx",
    judges: Sequence[str] = JUDGES,
    measure_only: bool = False,
    listener: Listener | None = None,
) -> Comparison:
    """Trains what is not trained, measures what is not measured, and writes the result into `folder`.

    assignments: overrides of every run, such as training.batch_size=64, or of one variant's,
    vae-gan:objective.adversarial_weight=2. speakers: of the corpus; all where none is named. sentences: of each ordered
    pair of speakers that share sentences, and of each English speaker. beside: models that are there already, which
    convert the same. vocoder: of those that make mels. judges: some of JUDGES; what needs none of them is always
    measured. measure_only: leaves out what has no trained weights yet.
    Raises ConfigError for overrides that a variant decides itself, CorpusError for a corpus with too little to convert,
    MissingExtra without pyworld. What goes wrong within a run is no error: it is that run's reason.
    """
    listener, folder = listener or Listener(), Path(folder)
    _check(assignments, variants, seeds, steps, sentences)
    for name in judges:
        if name not in JUDGES:
            raise unknown_name("judge", name, JUDGES)
    whole = Corpus.open(corpus)
    for name in beside:
        find_model(name)
    part = of_speakers(whole, speakers, folder / CORPUS_NAME)
    material = gather(part, sentences)
    folder.mkdir(parents=True, exist_ok=True)
    key = [
        MEASURES_VERSION,
        whole.info.name,
        whole.info.counts,
        list(material.speakers),
        sentences,
        encoder,
        recogniser,
    ]
    key.append(vocoder or "")
    for variant in variants if not measure_only else ():
        for seed in range(1, seeds + 1):
            listener.stage(_run_name(variant, seed))
            _train(variant, seed, steps, part.folder, folder, assignments, listener)
    listener.stage("measuring")
    chosen = Judges(
        material.texts,
        tuple(judges),
        recogniser_name=recogniser,
        encoder_name=encoder,
        memory=Memory(folder / "judgements.jsonl"),
    )
    desk = _Desk(material, folder, key, vocoder, chosen, listener)
    references = desk.references()
    rows = [row for variant in variants if (row := desk.variant(variant, seeds)) is not None]
    rows += [desk.model(name) for name in beside]
    settings = {
        "corpus": whole.info.name,
        "speakers": list(material.speakers),
        "steps": steps,
        "seeds": seeds,
        "sentences": sentences,
        "trials": len(material.trials),
        "parallel": material.parallel,
        "overrides": list(assignments),
        "encoder": encoder,
        "recogniser": recogniser,
    }
    study = Comparison(folder, settings, desk.notes, references, rows)
    write_text(folder / RESULT_NAME, json.dumps(study.as_json(), indent=2) + "\n")
    return study


def _check(assignments: Sequence[str], variants: Sequence[Variant], seeds: int, steps: int, sentences: int) -> None:
    """Every run's configuration, before the first is trained."""
    for name, value in (("seeds", seeds), ("steps", steps), ("sentences", sentences)):
        if value < 1:
            raise BadInput(f"{name} {value}: expected at least 1")
    if not variants:
        raise ConfigError("a comparison of no variants: name at least one")
    for variant in variants:
        own, given = variant.assignments(steps, 1), overrides_for(variant, assignments)
        fixed = {a.partition("=")[0] for a in own}
        for assignment in assignments:
            name, _, key = assignment.partition("=")[0].rpartition(":")
            # What makes a variant what it is cannot be set for all; for one, by its name, it can.
            if key in fixed and (not name or key.startswith("training.")):
                raise ConfigError(f"{assignment}: the study sets this itself, run by run: leave it out")
        family, expected = run_config(variant.preset).family.name, variant.family
        if family != expected:
            raise ConfigError(f"{variant.preset}: a preset of {family!r}; {variant.name!r} is one of {expected!r}")
        run_config(variant.preset, [*own, *given])


def _run_name(variant: Variant, seed: int) -> str:
    return f"{variant.name}-seed-{seed}"


def _train(
    variant: Variant,
    seed: int,
    steps: int,
    corpus: Path,
    folder: Path,
    assignments: Sequence[str],
    listener: Listener,
) -> None:
    run = folder / _run_name(variant, seed)
    if (run / MEASURES_NAME).is_file():
        return  # it was finished, or failed, before it was measured
    with MemoryWatch(run) as watch:
        watched = Listener(listener.stage, listener.progress, watch.on_step(listener.step), listener.tell)
        own = [*variant.assignments(steps, seed), *overrides_for(variant, assignments)]
        train_or_tell(variant.preset, corpus, run, own, watched)


class _Desk:
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
            folder = self.folder / _run_name(variant, seed)
            if not folder.is_dir():
                continue
            runs.append(self._run(folder, seed))
            self.listener.progress(len(runs), seeds)
        return Row(variant.name, variant.note, variant.preset, tuple(runs)) if runs else None

    def model(self, name: str) -> Row:
        """A model that is there already, under its own weights; one run, as there is one training."""
        path = find_model(name)
        folder = self.folder / f"beside-{path.name}"
        folder.mkdir(parents=True, exist_ok=True)
        run = self._measured(folder, path, 1, "")
        return Row(f"{path.name} (as it is)", "trained before, on its own data, for its own steps", "", (run,))

    def _run(self, folder: Path, seed: int) -> Run:
        reason = str((kept(folder / "failed.json", []) or {}).get("reason", ""))
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
    return trial.source.speaker if trial.source.speaker in converter.speakers else None


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
        from moksori.audio.mel import MelSpectrogram

        front_end, hop = MelSpectrogram(model.mel_config), model.mel_config.hop_length

        def content(sound: Waveform) -> tuple[Float[np.ndarray, "frames size"], Float[np.ndarray, " frames"]]:
            samples = torch.from_numpy(np.ascontiguousarray(resample(sound, model.mel_config.sample_rate).samples))
            with torch.inference_mode():
                found = content_of(cast(Disentangler, model), front_end(samples[None])[0].numpy())
            return found, (np.arange(len(found)) + 0.5) * hop / model.mel_config.sample_rate

        return content
    return None
