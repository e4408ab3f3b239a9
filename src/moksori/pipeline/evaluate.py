"""Measuring a voice on a corpus: human recordings, copy-synthesis, the model and the controls, by the same judges."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from moksori.audio.resample import resample
from moksori.corpus.manifest import Corpus, read_utterance
from moksori.corpus.splits import sentence_key
from moksori.errors import BadInput, CorpusError, MissingExtra
from moksori.evaluation.intelligibility import LEVEL_LUFS
from moksori.evaluation.report import (
    COPY,
    HUMAN,
    NOISE,
    OTHER_TAKES,
    OTHER_TEXTS,
    Picture,
    Report,
    environment,
)
from moksori.evaluation.score import MEASURES, Item, Judges, SystemScores, noise_like, score_system, with_other_texts
from moksori.models.checkpoint import fingerprint
from moksori.models.contract import CanReconstruct
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.say import load
from moksori.pipeline.speaker import Speaker, chosen_seed, sentence_generator
from moksori.types import Utterance, Waveform

if TYPE_CHECKING:
    from collections.abc import Iterator

NOISE_SENTENCES = 40
"""The noise control needs no more: it is far from its limit."""
PICTURED = 3
_OPTIONAL = ("spectrum", "speaker")
"""Groups whose packages exist only as source: left out with a note where they are not installed."""


@dataclass(frozen=True)
class System:
    """What is measured: a name, and how it says an utterance (it may look at the recording, as copy-synthesis does)."""

    name: str
    say: Callable[[int, Utterance, Waveform], Waveform]


def evaluate(
    model: str | Path | None,
    corpus_folder: str | Path,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    *,
    variation: float | None = None,
    threads: int = 1,
    workers: int = 1,
    measures: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> Report:
    """Measures a model over the sentences of a split, beside the human recordings and copy-synthesis of the same.

    Where a sentence was recorded several times, one take is the reference and one other is a system of its own.

    limit: only the first so many sentences; the recogniser's language model is of all of them even then.
    seed: of the model's noise (sentence k: from seed and k) and of the bootstrap. variation: None = the model's own.
    threads: of the model and of DNSMOS. workers: scoring processes, 1 or 2; the numbers do not depend on it.
    measures: groups of `score.MEASURES`; None takes all whose packages are here and that suit the language, and the
    report's notes tell what is missing.
    Raises UnknownName, CheckpointError or UnsupportedTask for the model, CorpusError for the corpus, BadInput for a
    limit under 1, MissingExtra without the packages of [evaluate].
    """
    seed = chosen_seed(seed)
    for name, value in (("limit", limit), ("threads", threads), ("workers", workers)):
        if value is not None and value < 1:
            raise BadInput(f"{name} {value}: expected at least 1")
    corpus = Corpus.open(corpus_folder)
    utterances, takes = _one_take(corpus.split(split))
    if not utterances:
        raise CorpusError(f"{corpus.folder}: the split {split!r} is empty; name another with --split")
    chosen = utterances[:limit]
    speaker = load(model)
    notes: list[str] = []
    judges = _judges(measures, utterances, corpus.info.language, threads, notes)
    here = environment(threads)
    with _torch_threads(threads):
        run = _Run(speaker, judges, seed, variation, workers, notes, progress)
        systems, pictures = run.systems(chosen, takes)
    listening = "words" in judges.measures
    return Report(
        model=speaker.name,
        model_hash=fingerprint(speaker.loaded.folder),
        corpus=corpus.info.name,
        split=split,
        language=corpus.info.language,
        n=len(chosen),
        of=len(utterances),
        seed=seed,
        level_lufs=LEVEL_LUFS,
        systems=tuple(systems),
        environment=here,
        language_model=judges.recogniser.description if listening else "",
        left_out=dict(judges.recogniser.left_out) if listening else {},
        notes=tuple(notes),
        pictures=tuple(pictures),
    )


@dataclass
class _Run:
    """Everything that stays the same while system after system is scored."""

    speaker: Speaker
    judges: Judges
    seed: int
    variation: float | None
    workers: int
    notes: list[str]
    progress: Progress

    def systems(
        self, utterances: Sequence[Utterance], takes: Mapping[str, Utterance]
    ) -> tuple[list[SystemScores], list[Picture]]:
        """The scores of all systems in the order of the table, and the sounds of the first sentences."""
        references = [read_utterance(u) for u in utterances]
        human = [Item(u.name, u.text, wave, wave) for u, wave in zip(utterances, references, strict=True)]
        others = [
            Item(item.name, item.text, item.reference, read_utterance(takes[item.name]))
            for item in human
            if item.name in takes
        ]
        machines = [_speaking(self.speaker, self.seed, self.variation)]
        if "posterior_encoder" in self.speaker.manifest.absent:
            self.notes.append("no copy-synthesis: the voice was imported without its posterior encoder")
        elif isinstance(self.speaker.loaded.model, CanReconstruct):
            machines.insert(0, _copying(self.speaker, self.seed))
        else:
            self.notes.append(
                f"no copy-synthesis: {self.speaker.manifest.family} models cannot reconstruct a recording"
            )
        distances = [group for group in self.judges.measures if group in ("spectrum", "speaker")]
        others = others if distances else []
        listening = "words" in self.judges.measures
        noisy = human[:NOISE_SENTENCES] if listening else []
        steps = _Steps(self.progress, len(human) * (1 + 2 * len(machines)) + len(others) + len(noisy))

        found = [self._score(HUMAN, human, steps)]
        if others:
            note = "the same sentences by the same speaker: the distance that a person keeps"
            found.append(self._score(OTHER_TAKES, others, steps, distances, note))
        sounds: list[dict[str, Waveform]] = [{HUMAN: item.waveform} for item in human[:PICTURED]]
        for machine in machines:
            items = _said(machine, utterances, references, steps.part())
            note = _length_note(items) if machine.name == self.speaker.name else ""
            found.append(self._score(machine.name, items, steps, note=note))
            for sound, item in zip(sounds, items, strict=False):
                sound[machine.name] = item.waveform
        if listening:
            found += self._controls(found[0], noisy, steps)
        return found, [Picture(item.name, sound) for item, sound in zip(human, sounds, strict=False)]

    def _score(
        self, name: str, items: Sequence[Item], steps: "_Steps", measures: Sequence[str] | None = None, note: str = ""
    ) -> SystemScores:
        judges = self.judges if measures is None else self.judges.only(measures)
        return score_system(name, items, judges, workers=self.workers, seed=self.seed, note=note, progress=steps.part())

    def _controls(self, human: SystemScores, items: Sequence[Item], steps: "_Steps") -> list[SystemScores]:
        """What must fail: recordings against other texts, and noise; where it does not, word errors mean nothing."""
        noise = [Item(i.name, i.text, i.reference, noise_like(i.reference, self.seed, k)) for k, i in enumerate(items)]
        found = [self._score(NOISE, noise, steps, ["words"], "must be above 90 % WER")]
        try:
            found.insert(0, with_other_texts(OTHER_TEXTS, human, self.judges, self.seed))
        except BadInput as error:
            self.notes.append(str(error))
        for control, least in zip(reversed(found), (0.9, 0.8), strict=False):
            rate = control.measures.get("wer")
            if rate is not None and rate.value <= least:
                self.notes.append(
                    f"WARNING: the control {control.name!r} has {100 * rate.value:.1f} % word errors instead of more "
                    f"than {100 * least:.0f} %: the recogniser guesses, do not rely on these word error rates"
                )
        return found


def _one_take(utterances: Sequence[Utterance]) -> tuple[list[Utterance], dict[str, Utterance]]:
    """One recording of each sentence and speaker, the first by name; and by that name another take, if there is one."""
    groups: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault((utterance.speaker, sentence_key(utterance.text)), []).append(utterance)
    ordered = [sorted(group, key=lambda u: u.name) for group in groups.values()]
    return [group[0] for group in ordered], {group[0].name: group[1] for group in ordered if len(group) > 1}


def _speaking(speaker: Speaker, seed: int, variation: float | None) -> System:
    def say(place: int, utterance: Utterance, recording: Waveform) -> Waveform:
        voice = utterance.speaker if utterance.speaker in speaker.speakers else None
        # Without silence at the ends, which would make the real-time factor look better than it is. A seed a sentence:
        # each is the first of its own text, and would draw the same noise otherwise.
        sentence_seed = sentence_generator(seed, place).initial_seed()
        speech = speaker.say(utterance.text, seed=sentence_seed, variation=variation, pause=0.0, speaker=voice)
        return speech.waveform

    return System(speaker.name, say)


def _copying(speaker: Speaker, seed: int) -> System:
    model, table = speaker.loaded.model, speaker.manifest.speakers
    assert isinstance(model, CanReconstruct)
    device = next(model.parameters()).device

    def say(place: int, utterance: Utterance, recording: Waveform) -> Waveform:
        samples = resample(recording, speaker.sample_rate).samples
        index = table.index(utterance.speaker) if utterance.speaker in table else 0
        with torch.inference_mode():
            copied = model.reconstruct(
                torch.from_numpy(np.ascontiguousarray(samples))[None].to(device),
                torch.tensor([index], device=device),
                sentence_generator(seed, place, device),
            )
        return Waveform(np.clip(copied[0].float().cpu().numpy(), -1.0, 1.0), speaker.sample_rate)

    return System(COPY, say)


def _said(
    system: System, utterances: Sequence[Utterance], references: Sequence[Waveform], progress: Progress
) -> list[Item]:
    system.say(0, utterances[0], references[0])  # the first call also loads espeak and compiles: not timed
    items = []
    for place, (utterance, reference) in enumerate(zip(utterances, references, strict=True)):
        started = time.perf_counter()
        waveform = system.say(place, utterance, reference)
        seconds = time.perf_counter() - started
        items.append(Item(utterance.name, utterance.text, reference, waveform, seconds))
        progress(len(items), len(utterances))
    return items


def _length_note(items: Sequence[Item]) -> str:
    total = sum(item.waveform.duration_seconds for item in items)
    theirs = sum(item.reference.duration_seconds for item in items)
    return f"{total:.1f} s of speech made, the recordings last {theirs:.1f} s"


def _judges(
    wanted: Sequence[str] | None, utterances: Sequence[Utterance], language: str, threads: int, notes: list[str]
) -> Judges:
    """The judges, loaded: a missing package is told before the model speaks for minutes."""
    chosen = list(MEASURES if wanted is None else wanted)
    if "words" in chosen and not all((u.language or language).lower().startswith("en") for u in utterances):
        chosen.remove("words")
        notes.append(f"word error rate: not measured, the recogniser knows English only and this is {language!r}")
    if not chosen:
        raise BadInput(f"nothing left to measure for the language {language!r}; choose opinion or spectrum")
    judges = Judges([u.text for u in utterances], chosen, threads)
    for group in chosen:
        try:
            judges.load(group)
        except MissingExtra as error:
            if wanted is not None or group not in _OPTIONAL:
                raise
            judges.measures = [name for name in judges.measures if name != group]
            notes.append(f"not measured: {error}")
    return judges


@contextmanager
def _torch_threads(threads: int) -> "Iterator[None]":
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Steps:
    """One progress over several jobs one after the other."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def part(self) -> Progress:
        """The progress of the next job; what it reports is added to what the jobs before it did."""
        before: list[int] = []

        def tell(done: int, total: int) -> None:
            if not before:
                before.append(self.done)
            self.done = before[0] + done
            self.progress(self.done, self.total)

        return tell
