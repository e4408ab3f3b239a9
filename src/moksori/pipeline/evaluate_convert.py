"""Conversion, measured: what is said stays, the target is reached, the source is left. Also speech in a prompt's voice.

Beside the model stand the people themselves, their recordings unchanged, copies by the vocoder alone, and the plainest
conversion of all, a moved pitch. Models that imitate are measured on people that no training heard; models of speakers
of their own on these, with recordings that no training heard.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from moksori.audio.f0 import extract_f0
from moksori.audio.mel import MelSpectrogram
from moksori.audio.resample import resample
from moksori.corpus.manifest import read_utterance
from moksori.errors import UnsupportedTask
from moksori.evaluation.bars import NOISE_DB, TrialScores
from moksori.evaluation.mean_pitch_shift import mean_pitch_shift
from moksori.evaluation.names import COPY, HUMAN, PITCH_SHIFT, UNCHANGED, at_snr
from moksori.evaluation.report import Group, Picture
from moksori.evaluation.score import Item, Judges, SystemScores, score_system
from moksori.evaluation.trials import equal_error_threshold
from moksori.models.checkpoint import Loaded
from moksori.models.contract import CanConvertMels, CanEnroll, CanTellSpeakers
from moksori.models.contract_latents import CanSayLatents
from moksori.pipeline.codecs import required_codec
from moksori.pipeline.convert import Converter
from moksori.pipeline.evaluate_material import Noises, Pair, Person, acquaintances, pairs, strangers
from moksori.pipeline.evaluate_settings import PICTURED, Findings, Settings
from moksori.pipeline.evaluate_trials import held_out_segments, verification
from moksori.pipeline.evaluation_run import Steps
from moksori.pipeline.seeds import sentence_generator
from moksori.pipeline.vocoding import find_vocoder
from moksori.types import Voice, Waveform

CONVERT = ("words", "opinion", "speaker", "pitch", "noise", "trials")
LIKE = ("words", "opinion", "speaker")
_JUDGED = {"words": "words", "opinion": "opinion", "speaker": "speaker", "noise": "speaker", "trials": "speaker"}
TARGETS = 2
"""Targets of each source where the voices are anybody's: one of the same sex, one of the other."""
SENTENCES, REFERENCES = 3, 12
"""Of each speaker of a model's own: what is converted, and training recordings that judges know."""
_HOP = 256

Convert = Callable[[Pair], Waveform]


def evaluate_convert(loaded: Loaded, settings: Settings, task: str = "convert") -> Findings:
    """Measures a model that changes who speaks; `like`: how well it takes the voice of its prompt.

    Raises UnsupportedTask where the model cannot, CorpusError where the corpus has nobody to convert to.
    """
    converter = Converter(loaded, settings.vocoder)
    groups = settings.chosen(LIKE if task == "like" else CONVERT, task)
    imitating = not converter.speakers
    if task == "like" and not imitating:
        raise UnsupportedTask(f"{converter.name}: speaks as its own speakers only, and takes no prompt: use convert")
    everybody = _people(converter, settings)
    sources = everybody[: settings.limit] if imitating else everybody
    count = settings.targets or (TARGETS if imitating else None)
    made = pairs(sources, everybody, count, settings.seed)
    texts = sorted({u.text for u in settings.clips() if u.text and u.language.lower().startswith("en")})
    if "words" in groups and not texts:
        groups.remove("words")
        settings.notes.append("word error rate: not measured, the recogniser knows English only")
    judges, groups = settings.judges(texts, groups, _JUDGED)
    run = _Run(converter, settings, judges, groups, everybody, task, Steps(settings.progress))
    found, pictures = run.measured(made) if set(groups) - {"trials"} else ((), ())
    if found and not imitating:
        run.tell_who_is_found_out(made)
    trials: tuple[TrialScores, ...] = ()
    if "trials" in groups and isinstance(loaded.model, CanEnroll):
        segments = held_out_segments(settings.corpus, settings.split, settings.limit)
        trials = verification(loaded, judges, segments, settings.seed, run.steps.part())
    return Findings(found, judges, pictures, trials, _material(made, everybody, imitating))


def _people(converter: Converter, settings: Settings) -> list[Person]:
    if not converter.speakers:
        return strangers(settings.corpus, settings.split)
    limit = settings.limit or SENTENCES
    return acquaintances(settings.corpus, settings.split, converter.speakers, REFERENCES, limit)


def _material(made: Sequence[Pair], everybody: Sequence[Person], imitating: bool) -> str:
    kind = "people that no training heard" if imitating else "speakers of the model"
    sources = len({pair.utterance.name for pair in made})
    return f"{len(made)} conversions of {sources} recordings among {len(everybody)} {kind}"


@dataclass
class _Known:
    """What judges know of a person: the mean of the embeddings, the prompt's, and the median of ln F0."""

    centroid: np.ndarray
    prompt: np.ndarray
    log_f0: float


@dataclass
class _Run:
    """One evaluation: the systems, and what is known of everybody."""

    converter: Converter
    settings: Settings
    judges: Judges
    groups: Sequence[str]
    everybody: Sequence[Person]
    task: str
    steps: Steps
    _known: dict[str, _Known] = field(default_factory=dict)
    _voices: dict[tuple[str, bool], Voice] = field(default_factory=dict)
    _sounds: dict[str, Waveform] = field(default_factory=dict)

    def measured(self, made: Sequence[Pair]) -> tuple[tuple[Group, ...], tuple[Picture, ...]]:
        """Each system over the pairs, apart by sex where everybody's is known."""
        self.noises = Noises(self.settings.noises, self.settings.seed)
        if "noise" in self.groups:
            self.settings.notes.append(
                f"noise at {NOISE_DB:g} dB SNR over sources and prompts: {self.noises.description}"
            )
        parts = _parts(made)
        systems = self._systems()
        heard = sum(len(part) for part in parts.values())
        self.steps.total = heard * (2 * len(systems)) + len(self.everybody)
        groups, pictures = [], []
        for name, part in parts.items():
            found, sounds = self._group(part, systems)
            groups.append(Group(name, "en" if "words" in self.groups else "", len(part), len(part), tuple(found)))
            pictures += [Picture(pair.name, sound) for pair, sound in zip(part, sounds, strict=False)]
        return tuple(groups), tuple(pictures[:PICTURED])

    def _systems(self) -> dict[str, Convert]:
        """Beside the model: nothing done, the vocoder alone, the pitch alone; and the model with noise."""
        name = self.converter.name
        own = {name: lambda pair: self._converted(pair, False)}
        if self.task == "like":
            return own
        systems: dict[str, Convert] = {UNCHANGED: lambda pair: self._recording(pair)}
        systems[COPY] = lambda pair: self._once(f"copy {pair.utterance.name}", lambda: copy(pair))
        copy = self._made_own if self.converter.speakers else self._copied()
        if "pitch" in self.groups or "speaker" in self.groups:
            systems[PITCH_SHIFT] = lambda pair: mean_pitch_shift(self._recording(pair), pair.target.known[0])
        systems |= own
        if "noise" in self.groups:
            systems[at_snr(name, NOISE_DB)] = lambda pair: self._converted(pair, True)
        return systems

    def _group(
        self, part: Sequence[Pair], systems: dict[str, Convert]
    ) -> tuple[list[SystemScores], list[dict[str, Waveform]]]:
        found = [self._score(HUMAN, [self._human(person, part) for person in _targets(part)], self.judges)]
        sounds: list[dict[str, Waveform]] = [{HUMAN: self._shown(pair.target)} for pair in part[:PICTURED]]
        for name, convert in systems.items():
            items = self._items(name, part, convert)
            noisy = name == at_snr(self.converter.name, NOISE_DB)
            found.append(self._score(name, items, self.judges.only([]) if noisy else self.judges))
            for sound, item in zip(sounds, items, strict=False):
                sound[name] = item.waveform
        return found, sounds

    def _score(self, name: str, items: Sequence[Item], judges: Judges) -> SystemScores:
        judges = judges.only([m for m in judges.measures if m in ("words", "opinion")])
        settings = self.settings
        progress = self.steps.part()
        return score_system(name, items, judges, workers=settings.workers, seed=settings.seed, progress=progress)

    def _items(self, name: str, part: Sequence[Pair], convert: Convert) -> list[Item]:
        progress = self.steps.part()
        timed = name.startswith(self.converter.name)
        if timed:
            convert(part[0])  # the first call compiles, and hears the prompt: not timed
        items = []
        for pair in part:
            if timed:
                self._voice(pair, name != self.converter.name)
                self._recording(pair)
            started = time.perf_counter()
            sound = convert(pair)
            seconds = time.perf_counter() - started if timed else math.nan
            # Words are the source's; of other languages none are counted.
            text = pair.utterance.text if pair.utterance.language.lower().startswith("en") else ""
            values, impostors = self._likeness(sound, pair)
            items.append(Item(pair.name, text, pair.target.prompt, sound, seconds, pair.target.name, values, impostors))
            progress(len(items), len(part))
        return items

    def _human(self, person: Person, part: Sequence[Pair]) -> Item:
        """A recording of the target that judges do not know, as the pair of a source that has the person as target."""
        pair = next(pair for pair in part if pair.target.name == person.name)
        sound = self._shown(person)
        values, impostors = self._likeness(sound, pair)
        for measure in ("melody", "speaker_prompt"):  # of a recording with itself
            values.pop(measure, None)
        return Item(person.name, "", sound, sound, math.nan, person.name, values, impostors)

    def _shown(self, person: Person) -> Waveform:
        """A recording of the person that is no part of what the cosines are with."""
        return person.known[0] if self.task == "like" else person.prompt

    # ---- what is made

    def _recording(self, pair: Pair) -> Waveform:
        return self._once(pair.utterance.name, lambda: read_utterance(pair.utterance))

    def _converted(self, pair: Pair, noisy: bool) -> Waveform:
        recording = self._recording(pair)
        if noisy:
            recording = self.noises.over(recording, NOISE_DB, pair.place)
        seed, variation = self.settings.seed + pair.place, self.settings.variation
        if self.converter.speakers:
            source, target = pair.source.name if self.converter.takes_source else None, pair.target.name
            return self.converter.convert(recording, target, source, seed=seed, variation=variation).waveform
        voice = self._voice(pair, noisy)
        said = pair.utterance
        known: dict[str, Any] = {}
        if self.converter.takes_text and said.text:
            known = {"text": said.text, "language": said.language}
        return self.converter.convert(recording, like=voice, seed=seed, variation=variation, **known).waveform

    def _voice(self, pair: Pair, noisy: bool) -> Voice | None:
        """The target's, heard once in its prompt."""
        key = pair.target.name, noisy
        if key not in self._voices and not self.converter.speakers:
            prompt = pair.target.prompt
            place = 1_000_000 + [person.name for person in self.everybody].index(pair.target.name)
            heard = self.noises.over(prompt, NOISE_DB, place) if noisy else prompt
            self._voices[key] = self.converter.enroll([heard], name=pair.target.name)
        return self._voices.get(key)

    def _made_own(self, pair: Pair) -> Waveform:
        """The source, converted to the source."""
        name = pair.source.name
        return self.converter.convert(self._recording(pair), name, name, seed=self.settings.seed).waveform

    def _copied(self) -> Convert:
        """Through what makes the model's sound, its codec or the vocoder of its mels, and nothing else."""
        loaded, rate = self.converter.loaded, self.converter.sample_rate
        if isinstance(loaded.model, CanSayLatents):
            codec = required_codec(loaded.manifest, self.settings.vocoder, loaded.device)
            return lambda pair: codec.copied(self._recording(pair))
        assert isinstance(loaded.model, CanConvertMels)
        config = loaded.model.mel_config
        vocoder, front_end = find_vocoder(loaded.manifest, config, self.settings.vocoder), MelSpectrogram(config)

        def vocoded(pair: Pair) -> Waveform:
            samples = torch.from_numpy(np.ascontiguousarray(resample(self._recording(pair), rate).samples))
            with torch.inference_mode():
                mel = front_end(samples[None])
                made = list(vocoder.sound([mel], mel.shape[2], sentence_generator(self.settings.seed, 0)))
            return Waveform(np.clip(torch.cat(made, dim=1)[0].float().cpu().numpy(), -1.0, 1.0), rate)

        return vocoded

    def tell_who_is_found_out(self, made: Sequence[Pair]) -> None:
        """Notes for how many sources the model knows by itself who speaks, where it has to know."""
        if not isinstance(self.converter.loaded.model, CanTellSpeakers):
            return
        first = list({pair.utterance.name: pair for pair in made}.values())
        seed = self.settings.seed
        told = [self.converter.convert(self._recording(p), p.source.name, seed=seed).source for p in first]
        right = sum(name == pair.source.name for name, pair in zip(told, first, strict=True))
        self.settings.notes.append(f"who speaks in the source: found out by itself for {right} of {len(first)}")

    def _once(self, key: str, make: Callable[[], Waveform]) -> Waveform:
        if key not in self._sounds:
            self._sounds[key] = make()
        return self._sounds[key]

    # ---- what is measured here: the other judges are score_system's

    def _person(self, person: Person) -> _Known:
        if person.name not in self._known:
            embeddings = [self.judges.embed(sound) for sound in person.known]
            mean = np.mean(embeddings, axis=0)
            prompt = self.judges.embed(person.prompt)
            middle = _middle([_log_f0(sound) for sound in person.known]) if "pitch" in self.groups else math.nan
            self._known[person.name] = _Known(mean / max(float(np.linalg.norm(mean)), 1e-8), prompt, middle)
        return self._known[person.name]

    def _likeness(self, sound: Waveform, pair: Pair) -> tuple[dict[str, float], tuple[float, ...]]:
        """Cosines with target and source, who else there is, and the pitch."""
        values: dict[str, float] = {}
        impostors: tuple[float, ...] = ()
        if "speaker" in self.groups or "noise" in self.groups:
            embedding = self.judges.embed(sound)
            target, source = self._person(pair.target), self._person(pair.source)
            rivals = [p for p in self.everybody if p.sex == pair.target.sex and p.name != pair.target.name]
            if self.task == "like":
                values["speaker"] = float(embedding @ target.prompt)
                impostors = tuple(float(embedding @ self._person(p).prompt) for p in rivals)
            else:
                own, theirs = float(embedding @ target.centroid), float(embedding @ source.centroid)
                impostors = tuple(float(self._person(p).prompt @ target.centroid) for p in rivals)
                values = {"speaker": own, "speaker_source": theirs, "nearer": float(own > theirs)}
                values |= {"speaker_prompt": float(embedding @ target.prompt)} if not self.converter.speakers else {}
                values["speaker_accepted"] = float(own >= self._threshold(pair.target))
        if "pitch" in self.groups and self.task == "convert":
            spoken, recorded = _log_f0(sound), _log_f0(self._recording(pair))
            values["f0_error"] = abs(_middle([spoken]) - self._person(pair.target).log_f0) * 12 / math.log(2)
            values["melody"] = _melody(spoken, recorded)
        return values, impostors

    def _threshold(self, target: Person) -> float:
        """Where a verification of recordings of people of the target's sex makes as many errors of either kind."""
        people = [p for p in self.everybody if p.sex == target.sex]
        right = [float(self._person(p).prompt @ self._person(p).centroid) for p in people]
        wrong = [
            float(self._person(a).prompt @ self._person(b).centroid) for a in people for b in people if a.name != b.name
        ]
        return equal_error_threshold(right, wrong)


def _parts(made: Sequence[Pair]) -> dict[str, list[Pair]]:
    if not all(pair.source.sex and pair.target.sex for pair in made):
        return {"all": list(made)}
    parts: dict[str, list[Pair]] = {}
    for pair in made:
        parts.setdefault("same sex" if pair.source.sex == pair.target.sex else "other sex", []).append(pair)
    return parts


def _targets(part: Sequence[Pair]) -> list[Person]:
    return list({pair.target.name: pair.target for pair in part}.values())


def _log_f0(waveform: Waveform) -> np.ndarray:
    """Natural log of F0 every 16 ms, NaN where unvoiced."""
    f0 = extract_f0(resample(waveform, 16000), _HOP, method="fast").astype(np.float64)
    return np.log(np.where(f0 > 0, f0, np.nan))


def _middle(tracks: Sequence[np.ndarray]) -> float:
    """The median, which errs little where the tracker errs by octaves."""
    voiced = np.concatenate(tracks)
    voiced = voiced[~np.isnan(voiced)]
    return float(np.median(voiced)) if len(voiced) else math.nan


def _melody(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of the melody with the source's, in its place in time."""
    frames = min(len(one), len(other))
    both = ~np.isnan(one[:frames]) & ~np.isnan(other[:frames])
    if both.sum() < 20:
        return math.nan
    first, second = one[:frames][both], other[:frames][both]
    return float(np.corrcoef(first, second)[0, 1]) if first.std() > 1e-6 and second.std() > 1e-6 else math.nan
