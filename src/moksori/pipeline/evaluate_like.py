"""Speech in the voice of a prompt, measured: the voice, the words, and the manner, phoneme by phoneme.

Beside the model stand the people themselves, their recordings through the codec, others of their sex, which any voice
is as like by chance, and the road that there was before: one voice says it, and a converter gives it the prompt's.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from moksori.audio.f0 import extract_f0
from moksori.audio.resample import resample
from moksori.corpus.splits import order
from moksori.errors import MoksoriError
from moksori.evaluation.names import COPY, HUMAN, OTHER_PEOPLE, one_after_the_other
from moksori.evaluation.prosody import (
    FEWEST_VOICED,
    PhonemeProsody,
    phoneme_prosody,
    prosody_distance,
    prosody_errors,
    usual_f0,
)
from moksori.evaluation.report import Group, Picture
from moksori.evaluation.score import Item, Judges, SystemScores, score_system
from moksori.models.checkpoint import Loaded
from moksori.pipeline.aligner_judge import AlignerJudge, timed_words
from moksori.pipeline.evaluate_like_material import PROMPT_SECONDS, Aligned, Clone, clones
from moksori.pipeline.evaluate_relay import Relay, relay_of
from moksori.pipeline.evaluate_settings import PICTURED, Findings, Settings
from moksori.pipeline.evaluation_run import Steps
from moksori.pipeline.prompted_voice import PromptedVoice
from moksori.pipeline.seeds import sentence_generator
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.timings import ALIGNED_HOP, ALIGNED_RATE
from moksori.types import Voice, Waveform

LIKE_PROMPTS = ("words", "opinion", "speaker", "prosody")
"""Groups of measures of models that speak in the voice of a prompt."""
UNSEEN, SEEN = "unseen people", "seen people"
_JUDGED = {"words": "words", "opinion": "opinion", "speaker": "speaker"}
_LIMITS_HZ = (60.0, 500.0)


def evaluate_prompted(loaded: Loaded, settings: Settings, task: str = "like") -> Findings:
    """Measures a model that speaks in the voice of a prompt: what the split's people say, in their voices.

    Raises CorpusError where the corpus has nothing for its aligner to learn, or nobody who says enough; BadInput for a
    baseline that cannot be one.
    """
    speaker = Speaker(loaded, None, settings.vocoder)
    groups = settings.chosen(LIKE_PROMPTS, task)
    english = sorted({u.text for u in settings.clips() if u.text and u.language.lower().startswith("en")})
    if "words" in groups and not english:
        groups.remove("words")
        settings.notes.append("word error rate: not measured, the recogniser knows English only")
    judges, groups = settings.judges(english, groups, _JUDGED)
    try:
        relay = relay_of(settings.baseline)
    except MoksoriError as error:  # where nobody asked for it, it is no error that there is none
        if settings.baseline.named:
            raise
        relay = None
        settings.notes.append(f"no baseline: {error}")
    aligner = AlignerJudge(settings.corpus, settings.progress)
    made = clones(settings.corpus, settings.split, aligner, settings.limit, PROMPT_SECONDS)
    return _Run(speaker, relay, settings, judges, groups, aligner, made, Steps(settings.progress)).findings()


@dataclass(frozen=True)
class _Made:
    """A system's sound of a text. seconds: of work, NaN where there was none. words: where they are known already."""

    sound: Waveform
    seconds: float = math.nan
    words: Aligned | None = None


_Make = Callable[[Clone], _Made | None]
"""What a system makes of a text; None where it has nothing."""


@dataclass
class _Run:
    """One evaluation: systems over the same texts, and what is known of everybody."""

    speaker: Speaker
    relay: Relay | None
    settings: Settings
    judges: Judges
    groups: Sequence[str]
    aligner: AlignerJudge
    made: Sequence[Clone]
    steps: Steps
    _embeddings: dict[int, np.ndarray] = field(default_factory=dict)
    _copied: dict[int, np.ndarray] = field(default_factory=dict)
    _prosodies: dict[int, PhonemeProsody] = field(default_factory=dict)
    _voices: dict[int, Voice] = field(default_factory=dict)
    _left_out: dict[str, int] = field(default_factory=dict)

    def findings(self) -> Findings:
        """People that no training heard and the others apart; the former stand for the whole."""
        parts = {name: [c for c in self.made if c.seen == seen] for name, seen in ((UNSEEN, False), (SEEN, True))}
        parts = {name: part for name, part in parts.items() if part}
        systems = self._systems()
        self.steps.total = 2 * len(self.made) * len(systems)
        found, pictures = [], []
        for name, part in parts.items():
            scored, sounds = self._group(part, systems)
            language = "en" if "words" in self.groups else ""
            found.append(Group(name, language, len(part), len(part), tuple(scored)))
            pictures += [Picture(clone.name, sound) for clone, sound in zip(part, sounds, strict=False)]
        if UNSEEN not in parts:
            self.settings.notes.append(
                "all who are imitated are in the corpus's training too: what it can do with voices that it never heard "
                "is not told"
            )
        if "prosody" in self.groups:
            told = ", ".join(f"{count} of {name}" for name, count in self._left_out.items() if count)
            self.settings.notes.append(
                f"manner: utterances left out, as they or their prompts have fewer than {FEWEST_VOICED} phonemes with "
                f"a pitch: {told or 'none'}"
            )
        headline = UNSEEN if len(parts) > 1 else ""
        return Findings(tuple(found), self.judges, tuple(pictures[:PICTURED]), (), self._material(parts), headline)

    def _material(self, parts: dict[str, list[Clone]]) -> str:
        least, most = PROMPT_SECONDS
        people = ", ".join(f"{len({c.utterance.speaker for c in part})} {name}" for name, part in parts.items())
        return f"{len(self.made)} texts in the voices of prompts of {least:g} to {most:g} s: {people}"

    def _systems(self) -> dict[str, _Make]:
        systems: dict[str, _Make] = {
            HUMAN: lambda clone: _Made(clone.recording.sound, words=clone.recording),
            COPY: lambda clone: _Made(self._through_codec(clone.recording.sound)),
            self.speaker.name: self._said,
        }
        if (relay := self.relay) is not None:
            name = one_after_the_other(relay.voice.name, relay.converter.name)
            systems[name] = lambda clone: _relayed(relay, clone, self.settings.seed)
        if {"speaker", "prosody"} & set(self.groups):
            systems[OTHER_PEOPLE] = self._somebody_else
        return systems

    def _group(
        self, part: Sequence[Clone], systems: dict[str, _Make]
    ) -> tuple[list[SystemScores], list[dict[str, Waveform]]]:
        found: list[SystemScores] = []
        sounds: list[dict[str, Waveform]] = [{"prompt": clone.prompt.sound} for clone in part[:PICTURED]]
        shown = {clone.name: sound for clone, sound in zip(part, sounds, strict=False)}
        for name, make in systems.items():
            items = self._items(name, part, make)
            if not items:
                self.settings.notes.append(f"{name}: nothing to be had for these texts and prompts")
                continue
            judges = self.judges.only(
                [m for m in self.judges.measures if m in ("words", "opinion") and name != OTHER_PEOPLE]
            )
            settings, progress = self.settings, self.steps.part()
            found.append(
                score_system(name, items, judges, workers=settings.workers, seed=settings.seed, progress=progress)
            )
            for item in items:
                if item.name in shown:
                    shown[item.name][name] = item.waveform
        return found, sounds

    def _items(self, name: str, part: Sequence[Clone], make: _Make) -> list[Item]:
        progress, items = self.steps.part(), []
        if name == self.speaker.name:
            make(part[0])  # the first call loads and compiles: not timed
        for place, clone in enumerate(part, start=1):
            made = make(clone)
            if made is not None:
                text = clone.utterance.text if clone.utterance.language.lower().startswith("en") else ""
                values = {**self._likeness(name, made, clone), **self._manner(name, made, clone)}
                text = "" if name == OTHER_PEOPLE else text
                prompt, who, impostors = clone.prompt.sound, clone.utterance.speaker, self._impostors(name, made, clone)
                items.append(Item(clone.name, text, prompt, made.sound, made.seconds, who, values, impostors))
            progress(place, len(part))
        return items

    # ---- what is made

    def _said(self, clone: Clone) -> _Made:
        voice = self._voice(clone)
        seed = sentence_generator(self.settings.seed, clone.place).initial_seed()
        started = time.perf_counter()
        speech = self.speaker.say(
            clone.utterance.text, seed=seed, variation=self.settings.variation, pause=0.0, like=voice,
            language=clone.utterance.language or None,
        )  # fmt: skip
        return _Made(speech.waveform, time.perf_counter() - started)

    def _somebody_else(self, clone: Clone) -> _Made | None:
        """A recording of another person of the same sex, drawn by the seed."""
        others = [c for c in self.made if c.sex == clone.sex != "" and c.utterance.speaker != clone.utterance.speaker]
        if not others:
            return None
        drawn = min(others, key=lambda other: order(f"{self.settings.seed} {clone.name} {other.name}"))
        return _Made(drawn.recording.sound, words=drawn.recording)

    def _voice(self, clone: Clone) -> Voice:
        """The prompt, heard once."""
        if clone.place not in self._voices:
            self._voices[clone.place] = self.speaker.enroll(clone.prompt.sound, clone.utterance.speaker)
        return self._voices[clone.place]

    def _through_codec(self, recording: Waveform) -> Waveform:
        model = self.speaker.model
        assert isinstance(model, PromptedVoice)
        return model.codec.copied(recording)

    # ---- what is measured here: the other judges are score_system's

    def _likeness(self, name: str, made: _Made, clone: Clone) -> dict[str, float]:
        """Cosines with the prompt (Sim-o of the paper's successors) and with its copy by the codec (Sim-r)."""
        if "speaker" not in self.groups:
            return {}
        embedding = self.judges.embed(made.sound)
        if clone.place not in self._copied:
            self._copied[clone.place] = self.judges.embed(self._through_codec(clone.prompt.sound))
        copied = {} if name == OTHER_PEOPLE else {"speaker_copied": float(embedding @ self._copied[clone.place])}
        return {"speaker": float(embedding @ self._prompt(clone)), **copied}

    def _impostors(self, name: str, made: _Made, clone: Clone) -> tuple[float, ...]:
        """Cosines with the prompts of others of the same sex."""
        if "speaker" not in self.groups or name == OTHER_PEOPLE:
            return ()
        embedding = self.judges.embed(made.sound)
        rivals = {c.utterance.speaker: c for c in self.made if c.sex == clone.sex and c.seen == clone.seen}
        rivals.pop(clone.utterance.speaker, None)
        return tuple(float(embedding @ self._prompt(rival)) for rival in rivals.values())

    def _prompt(self, clone: Clone) -> np.ndarray:
        if clone.place not in self._embeddings:
            self._embeddings[clone.place] = self.judges.embed(clone.prompt.sound)
        return self._embeddings[clone.place]

    def _manner(self, name: str, made: _Made, clone: Clone) -> dict[str, float]:
        """Pitch and lengths of the phonemes, against the prompt's and against the recording's of the same text."""
        if "prosody" not in self.groups:
            return {}
        if clone.place not in self._prosodies:
            self._prosodies[clone.place] = prosody_of(clone.prompt)
        words = made.words or Aligned(*self.aligner.timed(made.sound, clone.utterance))
        spoken = prosody_of(words)
        values = prosody_distance(self._prosodies[clone.place], spoken)
        self._left_out[name] = self._left_out.get(name, 0) + (not values)
        if name not in (HUMAN, OTHER_PEOPLE):
            values |= prosody_errors(prosody_of(clone.recording), spoken)
        return values


def prosody_of(said: Aligned) -> PhonemeProsody:
    """Pitch and length of the phonemes of an aligned sound."""
    f0 = extract_f0(resample(said.sound, ALIGNED_RATE), ALIGNED_HOP, *_LIMITS_HZ)
    return phoneme_prosody(timed_words(said.words), usual_f0(f0), ALIGNED_HOP / ALIGNED_RATE)


def _relayed(relay: Relay, clone: Clone, seed: int) -> _Made | None:
    started = time.perf_counter()
    sound = relay.say(clone, seed)
    return None if sound is None else _Made(sound, time.perf_counter() - started)
