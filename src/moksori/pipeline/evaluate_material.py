"""Whom an evaluation hears: people that no training heard, what is known of each, and noise to lay over them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from moksori.corpus.augment import Sounds, coloured_noise, cut, mixed
from moksori.corpus.manifest import Corpus, read_utterance
from moksori.corpus.splits import order
from moksori.errors import ConfigError, CorpusError
from moksori.evaluation.speaker_sexes import speaker_sexes
from moksori.types import Utterance, Waveform

PROMPT_SECONDS = 10.0
"""The longest prompt: most of what is to be imitated is heard in ten seconds."""
LEAST_SECONDS = 6.0
"""Of a person's only recording: half of it is the prompt, the other half is what judges know."""
KNOWN_FILES = 5
"""Recordings of a person that judges know, where there are many."""
_LEAST_CLIP = 2.0


@dataclass(frozen=True)
class Person:
    """Somebody who is to be imitated, and to be converted from.

    sex: "F", "M", or "" where it is not known. prompt: what the model hears of the person. known: what judges know, in
    no prompt. sources: what is converted; texts may be empty.
    """

    name: str
    sex: str
    prompt: Waveform
    known: tuple[Waveform, ...]
    sources: tuple[Utterance, ...]


@dataclass(frozen=True)
class Pair:
    """A conversion to be made: who speaks, which utterance, and who is to be heard. place: its number, for the seed."""

    place: int
    source: Person
    utterance: Utterance
    target: Person

    @property
    def name(self) -> str:
        return f"{self.utterance.name} to {self.target.name}"


def held_out(corpus: Corpus, split: str) -> list[Utterance]:
    """The split's utterances by people who are in no other split."""
    known = {u.speaker for name in corpus.splits if name != split for u in corpus.split(name)}
    return [u for u in corpus.split(split) if u.speaker not in known]


def strangers(corpus: Corpus, split: str) -> list[Person]:
    """People that no training heard, in the order of their names' hash.

    Of several recordings one is the prompt, another the source and up to five more what judges know; one recording is
    cut in two, and is the source as a whole. Recordings without text (songs, noises) are left out.
    Raises CorpusError where there are fewer than two such people.
    """
    spoken: dict[str, list[Utterance]] = {}
    for utterance in held_out(corpus, split):
        if utterance.text and utterance.duration_seconds >= _LEAST_CLIP:
            spoken.setdefault(utterance.speaker, []).append(utterance)
    found = []
    for name in sorted(spoken, key=order):
        clips = sorted(spoken[name], key=lambda u: order(u.name))
        if len(clips) == 1:
            if clips[0].duration_seconds < LEAST_SECONDS:
                continue
            prompt, rest = _halves(read_utterance(clips[0]))
            known: tuple[Waveform, ...] = (rest,)
        else:
            prompt = _beginning(read_utterance(clips[0]), PROMPT_SECONDS)
            known = tuple(read_utterance(u) for u in (clips[2:] or clips[1:])[:KNOWN_FILES])
        found.append(Person(name, speaker_sexes().get(name, ""), prompt, known, tuple(clips[1:2] or clips)))
    if len(found) < 2:
        raise CorpusError(
            f"{corpus.folder}: {len(found)} people in its split {split!r} are in no other split, and two are needed: "
            "take a corpus with held-out speakers, such as one with librispeech-many or vctk-mini"
        )
    return found


def acquaintances(corpus: Corpus, split: str, names: Sequence[str], known: int, limit: int | None) -> list[Person]:
    """The speakers of a model: judges know `known` training recordings of each, what is converted are test utterances.

    limit: utterances of each. Raises CorpusError where the corpus has fewer than two of them in both splits.
    """
    if split == "train" or "train" not in corpus.splits:
        raise CorpusError(f"{corpus.folder}: conversion between a model's speakers needs the split 'train' and another")
    training = sorted(corpus.split("train"), key=lambda u: u.name)
    tests = sorted(corpus.split(split), key=lambda u: u.name)
    found = []
    for name in names:
        own = [u for u in training if u.speaker == name]
        long = [u for u in own if u.duration_seconds >= 3.0] or own
        sources = tuple(u for u in tests if u.speaker == name)[: limit or len(tests)]
        if not long or not sources:
            continue
        heard = tuple(read_utterance(u) for u in long[:known])
        found.append(Person(name, speaker_sexes().get(name, ""), read_utterance(sources[0]), heard, sources))
    if len(found) < 2:
        raise CorpusError(
            f"{corpus.folder}: has recordings of {len(found)} of the speakers {', '.join(names)} in 'train' and "
            f"{split!r}, and two are needed: take the corpus that the model was trained on"
        )
    return found


def pairs(sources: Sequence[Person], targets: Sequence[Person], count: int | None, seed: int) -> list[Pair]:
    """Each source utterance with `count` targets, in turn of its own sex and of another; None: with all of them.

    Who is drawn follows from seed and names alone.
    """
    found: list[Pair] = []
    for source in sources:
        others = sorted(
            (p for p in targets if p.name != source.name), key=lambda p: order(f"{seed} {source.name} {p.name}")
        )
        alike = [p for p in others if p.sex == source.sex]
        different = [p for p in others if p.sex != source.sex]
        turns: list[Person] = []
        while alike or different:
            turns += alike[:1] + different[:1]
            alike, different = alike[1:], different[1:]
        for utterance in source.sources:
            found += [Pair(len(found) + k, source, utterance, person) for k, person in enumerate(turns[:count])]
    return found


@dataclass
class Noises:
    """Sounds that are laid over recordings: of a folder (the house's held-out ones where it has some), or made up."""

    folder: Path | None
    seed: int
    _sounds: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict, repr=False)

    @property
    def description(self) -> str:
        return "made-up coloured noise" if self.folder is None else f"noise and music of {self.folder.name}"

    def over(self, clean: Waveform, snr_db: float, place: int) -> Waveform:
        """`clean` with noise at that ratio; the same excerpt for the same place, whatever the ratio."""
        draw = np.random.default_rng([self.seed, 11, place])
        rate = clean.sample_rate
        pool = self._pool(rate)
        if pool:
            noise = cut(pool[int(draw.integers(len(pool)))], len(clean.samples), draw)
        else:
            noise = coloured_noise(len(clean.samples), rate, draw)
        noisy = mixed(clean.samples, noise, snr_db, rate)
        peak = float(np.abs(noisy).max(initial=0.0))
        return Waveform((noisy / max(peak, 1.0)).astype(np.float32), rate)

    def _pool(self, rate: int) -> tuple[np.ndarray, ...]:
        if self.folder is None:
            return ()
        if rate not in self._sounds:
            try:
                sounds = Sounds.read(self.folder, rate, held_out=True)
            except ConfigError:  # not the house's folder: none of it was in a training of ours
                sounds = Sounds.read(self.folder, rate)
            self._sounds[rate] = (*sounds.noise, *sounds.music)
        return self._sounds[rate]


def _halves(recording: Waveform) -> tuple[Waveform, Waveform]:
    """Cut at the quietest tenth of a second of the middle third, so that no word is in both."""
    samples, step = recording.samples, max(1, recording.sample_rate // 10)
    start, stop = len(samples) // 3, 2 * len(samples) // 3
    powers = [float(np.mean(np.square(samples[k : k + step]))) for k in range(start, stop, step)]
    middle = start + int(np.argmin(powers)) * step + step // 2
    first = _beginning(Waveform(samples[:middle], recording.sample_rate), PROMPT_SECONDS)
    return first, Waveform(samples[middle:], recording.sample_rate)


def _beginning(recording: Waveform, seconds: float) -> Waveform:
    return Waveform(recording.samples[: int(seconds * recording.sample_rate)], recording.sample_rate)
