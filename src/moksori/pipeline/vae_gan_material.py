"""What every model of the comparison is given: the same speakers, sentences, conversions, and labels of the frames."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus, rewrite
from moksori.corpus.splits import order, sentence_key
from moksori.errors import BadInput, CorpusError, MissingExtra, unknown_name
from moksori.evaluation.mcd import HOP_LENGTH, SAMPLE_RATE, Envelopes
from moksori.pipeline.align import align
from moksori.pipeline.progress import Progress, no_progress
from moksori.text.tokenizer import TextConfig
from moksori.types import SpeechNeeds, Utterance

logger = logging.getLogger(__name__)

CORPUS_NAME = "corpus"
LEAST_KNOWN_SECONDS = 2.0
"""Of a training recording that judges learn a voice from."""
KNOWN, NATURAL = 12, 30
"""Recordings of each speaker: training ones that judges know, test ones that conversions are to be like."""
ALIGNED = 150
"""Training recordings of each speaker that the aligner learns from."""
LEAST_ALIGNED = 60
_ALIGNER = SpeechNeeds(22050, 256)


@dataclass(frozen=True)
class Trial:
    """A conversion to be made. place: its number, for the seed. parallel: the target saying the same; None: nobody."""

    place: int
    source: Utterance
    target: str
    parallel: Utterance | None

    @property
    def name(self) -> str:
        return f"{self.source.name} to {self.target}"


@dataclass(frozen=True)
class Material:
    """corpus: of the chosen speakers alone. natural: test recordings of each, which conversions are to be like. known:
    training recordings of each, which judges and probes learn from. texts: English ones of all that is converted."""

    corpus: Corpus
    trials: Sequence[Trial]
    natural: Mapping[str, Sequence[Utterance]]
    known: Mapping[str, Sequence[Utterance]]

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(self.natural)

    @property
    def texts(self) -> list[str]:
        return sorted({t.source.text for t in self.trials if is_english(t.source) and t.source.text})

    @property
    def parallel(self) -> int:
        """Trials whose target says the same."""
        return sum(trial.parallel is not None for trial in self.trials)


def is_english(utterance: Utterance) -> bool:
    """Whether the recogniser knows the language."""
    return utterance.language.lower().startswith("en")


def of_speakers(corpus: Corpus, names: Sequence[str], folder: Path) -> Corpus:
    """The corpus with the recordings of some speakers only, as a corpus in `folder` whose recordings stay in place.

    Raises UnknownName for a speaker that it has not, CorpusError for a packed corpus or fewer than two speakers.
    """
    for name in names:
        if name not in corpus.info.speakers:
            raise unknown_name("speaker", name, corpus.info.speakers)
    chosen = tuple(name for name in corpus.info.speakers if not names or name in names)
    if len(chosen) < 2:
        raise CorpusError(
            f"{corpus.folder}: conversion needs two speakers, and {len(chosen)} "
            f"{'is chosen' if names else 'is there'}: take a corpus of several, or name more with --speaker"
        )
    if chosen == tuple(corpus.info.speakers):
        return corpus
    if corpus.info.packed:
        raise CorpusError(
            f"{corpus.folder}: is packed, and of a packed corpus all speakers are taken: leave --speaker out, or take "
            "the corpus that it was packed from"
        )
    parts = {split: [u for u in corpus.split(split) if u.speaker in chosen] for split in corpus.splits}
    folder.mkdir(parents=True, exist_ok=True)
    info = replace(corpus.info, name=f"{corpus.info.name}-{'-'.join(chosen)}", speakers=chosen)
    rewrite(folder, info, {split: items for split, items in parts.items() if items})
    return Corpus.open(folder)


def gather(corpus: Corpus, sentences: int, known: int = KNOWN) -> Material:
    """The trials: for each ordered pair of speakers that say the same so many of these sentences; and of each English
    speaker so many sentences, to the others in turn, so that there are words to count.

    known: training recordings of each speaker for judges. Who is drawn follows from names alone.
    Raises CorpusError where a speaker has no test or training recordings, or there is nothing to convert.
    """
    if "train" not in corpus.splits or "test" not in corpus.splits:
        raise CorpusError(f"{corpus.folder}: the comparison needs the splits 'train' and 'test': import it anew")
    natural: dict[str, list[Utterance]] = {}
    heard: dict[str, list[Utterance]] = {}
    for name in corpus.info.speakers:
        natural[name] = _drawn(u for u in corpus.split("test") if u.speaker == name)
        mine = [u for u in corpus.split("train") if u.speaker == name]
        long = [u for u in mine if u.duration_seconds >= LEAST_KNOWN_SECONDS]
        heard[name] = _drawn(long or mine)[:known]
        if not natural[name] or not heard[name]:
            raise CorpusError(
                f"{corpus.folder}: {name!r} has {len(natural[name])} recordings in 'test' and {len(heard[name])} in "
                "'train': leave this speaker out with --speaker, naming the others"
            )
    trials: list[Trial] = []
    for source in natural:
        for target in natural:
            if source != target:
                trials += _parallel(natural[source], natural[target], target, sentences, len(trials))
    trials += _spoken(natural, trials, sentences)
    if not trials:
        raise CorpusError(
            f"{corpus.folder}: no two speakers share a test sentence, and none of them is English: take "
            "speakers with parallel sentences, such as nathalie and flemishguy"
        )
    most = max(NATURAL, sentences)
    for name, own in natural.items():  # the parallel ones first, so that the same sentences are compared
        same = {t.parallel.name for t in trials if t.parallel is not None and t.target == name}
        natural[name] = sorted(own, key=lambda u: u.name not in same)[:most]
    return Material(corpus, trials, natural, heard)


def _drawn(utterances: Iterable[Utterance]) -> list[Utterance]:
    return sorted(utterances, key=lambda u: order(u.name))


def _parallel(
    mine: Sequence[Utterance], theirs: Sequence[Utterance], target: str, sentences: int, begun: int
) -> list[Trial]:
    """Ordered by the sentence, so that both directions have the same ones."""
    same = {sentence_key(u.text): u for u in theirs if sentence_key(u.text)}
    shared = sorted((u for u in mine if sentence_key(u.text) in same), key=lambda u: order(sentence_key(u.text)))
    kept = list({sentence_key(u.text): u for u in shared}.values())[:sentences]
    return [Trial(begun + k, u, target, same[sentence_key(u.text)]) for k, u in enumerate(kept)]


def _spoken(natural: Mapping[str, Sequence[Utterance]], made: Sequence[Trial], sentences: int) -> list[Trial]:
    """English sentences of those who have too few among the trials already."""
    found: list[Trial] = []
    for source, own in natural.items():
        others = [name for name in natural if name != source]
        counted = sum(t.source.speaker == source and is_english(t.source) for t in made)
        used = {t.source.name for t in made}
        more = [u for u in own if is_english(u) and u.text.strip() and u.name not in used]
        for k, utterance in enumerate(more[: max(sentences - counted, 0)]):
            target = others[k % len(others)]
            found.append(Trial(len(made) + len(found), utterance, target, None))
    return found


@dataclass
class Labels:
    """The phone of each moment of some recordings; where nobody knows phones, there are none.

    kind: what they are, for the report; "" where there are none.
    """

    kind: str = ""
    _durations: Mapping[str, Int[np.ndarray, " frames"]] = field(default_factory=dict)

    def known(self, name: str) -> bool:
        return name in self._durations

    def at(self, name: str, seconds: Float[np.ndarray, " frames"]) -> Int[np.ndarray, " frames"]:
        """The labels at moments of a recording that is known; the last one's holds beyond the end."""
        labels = self._durations[name]
        places = (seconds * _ALIGNER.sample_rate / _ALIGNER.hop_length).astype(int)
        return np.asarray(labels[np.clip(places, 0, len(labels) - 1)])

    def of(self, name: str, found: Envelopes) -> Int[np.ndarray, " frames"]:
        """The labels of the frames that WORLD gave of a recording, or of one that is in step with it."""
        times = found.start_seconds + (np.arange(len(found.f0)) + 0.5) * HOP_LENGTH / SAMPLE_RATE
        return self.at(name, times)


def phone_labels(material: Material, folder: Path, progress: Progress = no_progress) -> Labels:
    """Phones of the recordings that are converted, compared with and learnt from, by an aligner that learns them first.

    folder: where the alignment of this part of the corpus is kept. No labels where texts are missing, where there is
    too little to align by, or where the language's phonemes are not installed.
    """
    corpus = material.corpus
    wanted = {u.name for group in (material.natural, material.known) for items in group.values() for u in items}
    wanted |= {trial.source.name for trial in material.trials}
    parts: dict[str, tuple[Utterance, ...]] = {}
    for split in ("train", "test"):
        chosen: list[Utterance] = []
        for name in material.speakers:
            mine = _drawn(u for u in corpus.split(split) if u.speaker == name and u.text.strip())
            needed = [u for u in mine if u.name in wanted]
            chosen += needed + [u for u in mine if u.name not in wanted][: max(ALIGNED - len(needed), 0)]
        parts[split] = tuple(chosen if split == "train" else [u for u in chosen if u.name in wanted])
    if len(parts["train"]) < LEAST_ALIGNED or not parts["test"]:
        return Labels()
    # Under the study's folder: the corpus's own caches are of all its recordings.
    part = replace(corpus, folder=folder, utterances=parts)
    text = TextConfig(language=corpus.info.language)
    try:
        durations = align(part, _ALIGNER, text, ("train", "test"), progress=progress).durations
        found: dict[str, Int[np.ndarray, " frames"]] = {}
        for split in parts:
            for example in prepare(part, split, replace(_ALIGNER, tokens=True), text):
                if example.tokens is not None and example.utterance.name in durations:
                    found[example.utterance.name] = np.repeat(example.tokens, durations[example.utterance.name])
    except (MissingExtra, BadInput) as error:
        logger.warning("phones are not measured: %s", error)
        return Labels()
    return Labels("phones", found)
