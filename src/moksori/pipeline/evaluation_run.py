"""The systems of an evaluation: human recordings, other takes, copy-synthesis, the model and the controls."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from moksori.audio.resample import resample
from moksori.corpus.manifest import read_utterance
from moksori.errors import BadInput
from moksori.evaluation.durations import TimedWord, duration_errors
from moksori.evaluation.names import COPY, HUMAN, NOISE, OTHER_TAKES, OTHER_TEXTS
from moksori.evaluation.report import Picture
from moksori.evaluation.score import (
    Item,
    ItemScores,
    Judges,
    SystemScores,
    noise_like,
    score_system,
    summarise,
    with_other_texts,
)
from moksori.models.contract import CanReconstruct
from moksori.pipeline.aligner_judge import AlignerJudge, timed_words
from moksori.pipeline.mel_voice import MelVoice
from moksori.pipeline.progress import Progress
from moksori.pipeline.seeds import sentence_generator
from moksori.pipeline.speaker import Speaker
from moksori.types import Utterance, Waveform

NOISE_SENTENCES = 40
"""The noise control needs no more: it is far from its limit."""
STREAMED_SENTENCES = 20
"""Of each speaker: how long the first sound takes needs no more."""


@dataclass(frozen=True)
class Sentences:
    """What one speaker says: the sentences that are measured, another take of some, and all of the speaker's texts."""

    speaker: str
    language: str
    chosen: Sequence[Utterance]
    takes: Mapping[str, Utterance]
    texts: Sequence[str]

    @property
    def english(self) -> bool:
        """Whether the recogniser knows the language."""
        return all(u.language.lower().startswith("en") for u in self.chosen)


@dataclass(frozen=True)
class Said:
    """A sentence as a system says it. words: when each is heard, where the system knows; else None."""

    waveform: Waveform
    words: Sequence[TimedWord] | None = None


@dataclass(frozen=True)
class System:
    """What is measured: a name, and how it says an utterance (it may look at the recording, as copy-synthesis does)."""

    name: str
    say: Callable[[int, Utterance, Waveform], Said]


@dataclass(frozen=True)
class _Recorded:
    """A human recording as the aligner hears it. likelihood: of its text, None where that is not measured."""

    waveform: Waveform
    values: Mapping[str, float] = field(default_factory=dict)
    words: Sequence[TimedWord] = ()

    @property
    def likelihood(self) -> float | None:
        return self.values.get("log_likelihood")


@dataclass
class Run:
    """Everything that stays the same while speaker after speaker and system after system is scored."""

    speaker: Speaker
    judges: Judges
    aligner: AlignerJudge | None
    seed: int
    variation: float | None
    workers: int
    notes: list[str]
    steps: "Steps"

    def work(self, sentences: Sentences) -> int:
        """The steps that a speaker's sentences take."""
        others, noise = len(self._retaken(sentences)), len(self._noisy(sentences))
        return len(sentences.chosen) * (1 + 2 * len(self.machines)) + others + noise

    @property
    def machines(self) -> list[System]:
        """The model, and its copy-synthesis where it has one."""
        speaking = _speaking(self.speaker, self.seed, self.variation)
        if "posterior_encoder" in self.speaker.manifest.absent or not self._copies:
            return [speaking]
        return [_copying(self.speaker, self.seed), speaking]

    @property
    def _copies(self) -> bool:
        return isinstance(self.speaker.model, CanReconstruct)

    def tell_what_is_missing(self) -> None:
        """Notes the vocoder, where there is one, and why there is no copy-synthesis, where there is none."""
        if isinstance(self.speaker.model, MelVoice):
            self.notes.append(f"{self.speaker.name} is heard through the vocoder {self.speaker.model.vocoder.name}")
        if "posterior_encoder" in self.speaker.manifest.absent:
            self.notes.append("no copy-synthesis: the voice was imported without its posterior encoder")
        elif not self._copies:
            self.notes.append(
                f"no copy-synthesis: {self.speaker.manifest.family} models cannot reconstruct a recording"
            )

    def systems(self, sentences: Sentences, pictured: int) -> tuple[list[SystemScores], list[Picture]]:
        """The scores of all systems in the order of the table, and the sounds of the first `pictured` sentences."""
        judges = self._judges(sentences)
        recorded = [self._recorded(read_utterance(u), u, sentences) for u in sentences.chosen]
        pairs = list(zip(sentences.chosen, recorded, strict=True))
        human = [Item(u.name, u.text, r.waveform, r.waveform, speaker=u.speaker, values=r.values) for u, r in pairs]
        found = [self._score(HUMAN, human, judges)]
        others = self._other_takes(pairs, sentences)
        if others:
            note = "the same sentences by the same speaker: the distance that a person keeps"
            distances = [group for group in judges.measures if group in ("spectrum", "speaker")]
            found.append(self._score(OTHER_TAKES, others, judges.only(distances), note))
        sounds: list[dict[str, Waveform]] = [{HUMAN: item.waveform} for item in human[:pictured]]
        for machine in self.machines:
            items = self._said(machine, pairs, sentences)
            note = _model_note(items) if machine.name == self.speaker.name else ""
            found.append(self._score(machine.name, items, judges, note))
            for sound, item in zip(sounds, items, strict=False):
                sound[machine.name] = item.waveform
        found += self._controls(found[0], pairs, sentences, judges)
        return found, [Picture(item.name, sound) for item, sound in zip(human, sounds, strict=False)]

    def _judges(self, sentences: Sentences) -> Judges:
        return self.judges.only([m for m in self.judges.measures if m != "words" or sentences.english])

    def _measures(self, group: str) -> bool:
        return self.aligner is not None and group in self.judges.measures

    def _retaken(self, sentences: Sentences) -> list[Utterance]:
        """The sentences with another take, where anything is measured of it."""
        measured = {"spectrum", "speaker", "durations", "likelihood"} & set(self.judges.measures)
        return [u for u in sentences.chosen if u.name in sentences.takes] if measured else []

    def _noisy(self, sentences: Sentences) -> list[Utterance]:
        """The sentences for whose recordings noise stands."""
        listening = "words" in self._judges(sentences).measures
        return list(sentences.chosen[:NOISE_SENTENCES]) if listening or self._measures("likelihood") else []

    def _score(self, name: str, items: Sequence[Item], judges: Judges, note: str = "") -> SystemScores:
        progress = self.steps.part()
        return score_system(name, items, judges, workers=self.workers, seed=self.seed, note=note, progress=progress)

    def _recorded(self, waveform: Waveform, utterance: Utterance, sentences: Sentences) -> _Recorded:
        assert self.aligner is not None or not {"durations", "likelihood"} & set(self.judges.measures)
        values: Mapping[str, float] = {}
        words: Sequence[TimedWord] = ()
        if self.aligner is not None and self._measures("likelihood"):
            values = self.aligner.fit(waveform, utterance.text, sentences.texts, utterance)
        if self.aligner is not None and self._measures("durations"):
            words = self.aligner.words(waveform, utterance)
        return _Recorded(waveform, values, words)

    def _against(self, said: Said, recorded: _Recorded, utterance: Utterance, sentences: Sentences) -> dict[str, float]:
        """The aligner's figures of a sound beside the recording of its sentence."""
        values: dict[str, float] = {}
        if self.aligner is None:
            return values
        if self._measures("likelihood"):
            values |= self.aligner.fit(said.waveform, utterance.text, sentences.texts, utterance, recorded.likelihood)
        if self._measures("durations") and said.words is not None:
            errors = duration_errors(said.words, recorded.words)
            values |= {"duration_mae": errors.mae, "duration_rmse": errors.rmse, "pause_mae": errors.pause_mae}
            values["durations_compared"] = errors.compared
        return values

    def _other_takes(self, pairs: Sequence[tuple[Utterance, _Recorded]], sentences: Sentences) -> list[Item]:
        items, retaken = [], {u.name for u in self._retaken(sentences)}
        for utterance, recorded in pairs:
            if utterance.name in retaken:
                take = read_utterance(sentences.takes[utterance.name])
                heard = self.aligner.words(take, utterance) if self.aligner and self._measures("durations") else None
                values = self._against(Said(take, heard), recorded, utterance, sentences)
                items.append(
                    Item(
                        utterance.name, utterance.text, recorded.waveform, take, float("nan"), utterance.speaker, values
                    )
                )
        return items

    def _said(self, system: System, pairs: Sequence[tuple[Utterance, _Recorded]], sentences: Sentences) -> list[Item]:
        progress = self.steps.part()
        # The first call also loads espeak and compiles: not timed.
        system.say(0, pairs[0][0], pairs[0][1].waveform)
        items = []
        for place, (utterance, recorded) in enumerate(pairs):
            started = time.perf_counter()
            said = system.say(place, utterance, recorded.waveform)
            seconds = time.perf_counter() - started
            values = self._against(said, recorded, utterance, sentences)
            if system.name == self.speaker.name and place < STREAMED_SENTENCES:
                values["first_audio"] = 1000 * self._first_seconds(place, utterance)
            if self.aligner is not None and "duration_mae" in values and said.words is not None:
                heard = self.aligner.words(said.waveform, utterance)
                values["duration_judge_mae"] = duration_errors(said.words, heard).mae
            items.append(
                Item(
                    utterance.name, utterance.text, recorded.waveform, said.waveform, seconds, utterance.speaker, values
                )
            )
            progress(len(items), len(pairs))
        return items

    def _first_seconds(self, place: int, utterance: Utterance) -> float:
        """Until the first sound of a stream of the sentence is there."""
        voice = utterance.speaker if utterance.speaker in self.speaker.speakers else None
        seed = sentence_generator(self.seed, place).initial_seed()
        started = time.perf_counter()
        stream = self.speaker.stream(utterance.text, seed=seed, variation=self.variation, pause=0.0, speaker=voice)
        next(iter(stream))
        seconds = time.perf_counter() - started
        stream.close()
        return seconds

    def _controls(
        self,
        human: SystemScores,
        pairs: Sequence[tuple[Utterance, _Recorded]],
        sentences: Sentences,
        judges: Judges,
    ) -> list[SystemScores]:
        """What must fail: recordings against other texts, and noise; where it does not, the figures mean nothing."""
        listening, fitting = "words" in judges.measures, self._measures("likelihood")
        found: list[SystemScores] = []
        if listening or fitting:
            other = self._with_other_texts(human, pairs, sentences, judges if listening else None)
            found += [other] if other is not None else []
            noise = []
            for place, utterance in enumerate(self._noisy(sentences)):
                recorded = pairs[place][1]
                sound = noise_like(recorded.waveform, self.seed, place)
                values: Mapping[str, float] = {}
                if fitting:
                    values = self._against(Said(sound), recorded, utterance, sentences)
                noise.append(Item(utterance.name, utterance.text, recorded.waveform, sound, values=values))
            found.append(
                self._score(NOISE, noise, judges.only(["words"] if listening else []), _must(0.9, listening, fitting))
            )
        for control in found:
            self.notes += _warnings(control, 0.9 if control.name == NOISE else 0.8, sentences.speaker)
        return found

    def _with_other_texts(
        self,
        human: SystemScores,
        pairs: Sequence[tuple[Utterance, _Recorded]],
        sentences: Sentences,
        listening: Judges | None,
    ) -> SystemScores | None:
        """The recordings against texts that they do not say; `listening`: judges with a recogniser."""
        heard: dict[str, ItemScores] = {}
        if listening is not None:
            try:
                shifted = with_other_texts(OTHER_TEXTS, human, listening, self.seed)
                heard = {item.name: item for item in shifted.items}
            except BadInput as error:
                self.notes.append(str(error))
        texts = list(dict.fromkeys(sentences.texts))
        if self.aligner is not None and self._measures("likelihood") and len(texts) > 1:
            for utterance, recorded in pairs:
                text = texts[(texts.index(utterance.text) + 1) % len(texts)]
                item = heard.get(utterance.name)
                item = item or ItemScores(utterance.name, text, recorded.waveform.duration_seconds, None, None, {})
                found = self.aligner.fit(recorded.waveform, item.text, texts, utterance, recorded.likelihood)
                heard[utterance.name] = replace(item, values=found)
        if not heard:
            return None
        items = tuple(heard.values())
        note = _must(0.8, listening is not None, any(item.values for item in items))
        return SystemScores(OTHER_TEXTS, summarise(items, self.seed), items, note)


def _must(least: float, listening: bool, fitting: bool) -> str:
    words = [f"above {100 * least:.0f} % WER"] if listening else []
    return f"must be {' and '.join([*words, *(['far under a likelihood ratio of 0'] if fitting else [])])}"


def _warnings(control: SystemScores, least: float, speaker: str) -> list[str]:
    """What to say of a control that does not fail."""
    found = []
    rate = control.measures.get("wer")
    if rate is not None and rate.value <= least:
        found.append(
            f"WARNING: the control {control.name!r} of {speaker} has {100 * rate.value:.1f} % word errors instead of "
            f"more than {100 * least:.0f} %: the recogniser guesses, do not rely on these word error rates"
        )
    ratio = control.measures.get("likelihood_ratio")
    if ratio is not None and ratio.n and not ratio.high < 0:
        found.append(
            f"WARNING: the control {control.name!r} of {speaker} has a likelihood ratio of {ratio.value:.2f} nats, not "
            "surely below 0: the aligner does not know these sounds, do not rely on its likelihood ratios and durations"
        )
    return found


def _speaking(speaker: Speaker, seed: int, variation: float | None) -> System:
    def say(place: int, utterance: Utterance, recording: Waveform) -> Said:
        voice = utterance.speaker if utterance.speaker in speaker.speakers else None
        # Without silence at the ends, which would make the real-time factor look better than it is. A seed a sentence:
        # each is the first of its own text, and would draw the same noise otherwise.
        sentence_seed = sentence_generator(seed, place).initial_seed()
        speech = speaker.say(utterance.text, seed=sentence_seed, variation=variation, pause=0.0, speaker=voice)
        return Said(speech.waveform, timed_words(speech.timings))

    return System(speaker.name, say)


def _copying(speaker: Speaker, seed: int) -> System:
    model, table = speaker.model, speaker.manifest.speakers
    assert isinstance(model, CanReconstruct)
    device = speaker.loaded.device

    def say(place: int, utterance: Utterance, recording: Waveform) -> Said:
        samples = resample(recording, speaker.sample_rate).samples
        index = table.index(utterance.speaker) if utterance.speaker in table else 0
        with torch.inference_mode():
            copied = model.reconstruct(
                torch.from_numpy(np.ascontiguousarray(samples))[None].to(device),
                torch.tensor([index], device=device),
                sentence_generator(seed, place, device),
            )
        return Said(Waveform(np.clip(copied[0].float().cpu().numpy(), -1.0, 1.0), speaker.sample_rate))

    return System(COPY, say)


def _model_note(items: Sequence[Item]) -> str:
    total = sum(item.waveform.duration_seconds for item in items)
    theirs = sum(item.reference.duration_seconds for item in items)
    note = f"{total:.1f} s of speech made, the recordings last {theirs:.1f} s"
    judged = [v for item in items if np.isfinite(v := item.values.get("duration_judge_mae", np.nan))]
    if not judged:
        return note
    return f"{note}; the aligner's durations of it are {np.mean(judged):.0f} ms a phone off the model's own"


class Steps:
    """One progress over several jobs one after the other; `total` is to be told before the first."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.total, self.done = progress, 0, 0

    def part(self) -> Progress:
        """The progress of the next job; what it reports is added to what the jobs before it did."""
        before: list[int] = []

        def tell(done: int, total: int) -> None:
            if not before:
                before.append(self.done)
            self.done = before[0] + done
            self.progress(self.done, self.total)

        return tell
