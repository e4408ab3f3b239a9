"""Scoring a system: anything that has a name and one recording a test sentence, a person or a machine.

`score_system` takes waveforms; `score_folder` a folder of `NAME.wav`, for experiments. Every system that is compared
goes through the same judges, built once: `Judges`.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from moksori.audio import io
from moksori.errors import AudioError, BadInput
from moksori.evaluation.intelligibility import Recogniser, WordErrors, count_errors, require_jiwer
from moksori.evaluation.mcd import align, analyse, mel_cepstral_distortion, require_pyworld
from moksori.evaluation.naturalness import Dnsmos
from moksori.evaluation.pitch import pitch_distance, pitch_moments
from moksori.evaluation.speaker import SpeakerEncoder, Voices, equal_error_rate, identified
from moksori.evaluation.statistics import Estimate, mean_estimate, ratio_estimate, resampled_estimate
from moksori.types import Waveform

MEASURES = ("words", "opinion", "spectrum", "speaker", "durations", "likelihood")
"""Groups of measures: word and character error rate; DNSMOS; MCD and F0 against the reference; whose voice it is.

The last two need an aligner, which is no judge here: whoever has one adds its figures to `Item.values`.
"""

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Item:
    """One test sentence as a system says it, beside the human recording of it (the same object for the recordings).

    compute_seconds: what making `waveform` took, NaN where it is a recording. speaker: who is heard, or should be.
    values: measures that are known already, by name.
    """

    name: str
    text: str
    reference: Waveform
    waveform: Waveform
    compute_seconds: float = float("nan")
    speaker: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemScores:
    """The measures of one sentence by name.

    words: None where the recogniser cannot know the sentence. impostors: cosines with the speakers that it is not of.
    """

    name: str
    text: str
    seconds: float
    heard: str | None
    words: WordErrors | None
    values: Mapping[str, float]
    impostors: tuple[float, ...] = ()


@dataclass(frozen=True)
class SystemScores:
    """A system's measures over all sentences, each with its 95 % interval and n, and the sentences one by one."""

    name: str
    measures: Mapping[str, Estimate]
    items: tuple[ItemScores, ...]
    note: str = ""


@dataclass
class Judges:
    """What is measured and by whom; the networks are loaded when they are first needed.

    texts: of all test sentences, for the recogniser's language model; give the whole list even to score a part of it.
    measures: groups of MEASURES. threads: of the networks. voices: of the speakers, made of other recordings.
    """

    texts: Sequence[str]
    measures: Sequence[str] = ("words", "opinion", "spectrum")
    threads: int = 1
    voices: Voices | None = None
    _recogniser: Recogniser | None = field(default=None, repr=False)
    _dnsmos: Dnsmos | None = field(default=None, repr=False)
    _encoder: SpeakerEncoder | None = field(default=None, repr=False)
    _references: dict[str, tuple[Waveform, np.ndarray]] = field(default_factory=dict, repr=False)
    """Embeddings of the human recordings by their items' names, which every system is set against."""

    def __post_init__(self) -> None:
        for name in self.measures:
            if name not in MEASURES:
                raise BadInput(f"measure {name!r}: expected some of {', '.join(MEASURES)}")

    @property
    def recogniser(self) -> Recogniser:
        self._recogniser = self._recogniser or Recogniser(self.texts)
        return self._recogniser

    @property
    def dnsmos(self) -> Dnsmos:
        self._dnsmos = self._dnsmos or Dnsmos(self.threads)
        return self._dnsmos

    @property
    def encoder(self) -> SpeakerEncoder:
        self._encoder = self._encoder or SpeakerEncoder()
        return self._encoder

    def load(self, group: str) -> None:
        """Loads what a group of measures needs; raises MissingExtra where it is not installed."""
        if group == "words":
            require_jiwer()
            _ = self.recogniser
        elif group == "opinion":
            _ = self.dnsmos
        elif group == "spectrum":
            require_pyworld()
        elif group == "speaker":
            _ = self.encoder

    def only(self, measures: Sequence[str]) -> "Judges":
        """The same judges for some of the measures."""
        return replace(self, measures=tuple(measures))

    def score(self, item: Item) -> ItemScores:
        """All chosen measures of one sentence."""
        if not np.isfinite(item.waveform.samples).all():
            raise AudioError(f"{item.name}: the waveform holds NaN or infinity and cannot be scored; make it again")
        values: dict[str, float] = {}
        impostors: tuple[float, ...] = ()
        heard, words = None, None
        if "words" in self.measures and self.recogniser.covers(item.text):
            heard = self.recogniser.transcribe(item.waveform)
            words = count_errors(item.text, heard)
        if "opinion" in self.measures:
            opinion = self.dnsmos(item.waveform)
            values |= {"ovrl": opinion.ovrl, "sig": opinion.sig, "bak": opinion.bak, "p808": opinion.p808}
        if "spectrum" in self.measures:
            values |= _spectrum(item)
        if "speaker" in self.measures:
            found, impostors = self._voice(item)
            values |= found
        values |= item.values
        seconds = item.waveform.duration_seconds
        if not np.isnan(item.compute_seconds) and seconds > 0:
            values["rtf"] = item.compute_seconds / seconds
        return ItemScores(item.name, item.text, seconds, heard, words, values, impostors)

    def _voice(self, item: Item) -> tuple[dict[str, float], tuple[float, ...]]:
        """Likeness to the recording of the sentence, to the speaker's other ones, and to other speakers."""
        known = self._references.get(item.name)
        if known is None or known[0] is not item.reference:
            known = self._references[item.name] = item.reference, self.encoder.embed(item.reference)
        reference, values = known[1], {}
        embedding = reference if item.waveform is item.reference else self.encoder.embed(item.waveform)
        if item.waveform is not item.reference:
            values["speaker"] = float(embedding @ reference)
        likeness = self.voices.likeness(embedding) if self.voices is not None else {}
        if item.speaker not in likeness:
            return values, ()
        values["speaker_centroid"] = likeness[item.speaker]
        if len(likeness) > 1:
            values["speaker_identified"] = identified(likeness, item.speaker)
        return values, tuple(cosine for name, cosine in likeness.items() if name != item.speaker)


def score_system(
    name: str,
    items: Iterable[Item],
    judges: Judges,
    *,
    workers: int = 1,
    seed: int = 0,
    note: str = "",
    progress: Tell | None = None,
) -> SystemScores:
    """A system's scores over its items; several workers are processes and give the same numbers.

    seed: of the bootstrap. Raises BadInput if there are no items.
    """
    items = list(items)
    if not items:
        raise BadInput(f"{name}: nothing to score, there are no sentences")
    tell = progress or (lambda done, total: None)
    scored: list[ItemScores] = []
    tell(0, len(items))
    for scores in _scored(items, judges, workers):
        scored.append(scores)
        tell(len(scored), len(items))
    return SystemScores(name, summarise(scored, seed), tuple(scored), note)


def summarise(scored: Sequence[ItemScores], seed: int = 0) -> dict[str, Estimate]:
    """Measures over sentences: error rates are errors over words, `rtf` is work over sound, the others are means."""
    measures: dict[str, Estimate] = {}
    words = [item.words for item in scored if item.words is not None]
    if words:
        measures["wer"] = ratio_estimate([w.word_errors for w in words], [w.words for w in words], seed)
        measures["cer"] = ratio_estimate([w.character_errors for w in words], [w.characters for w in words], seed)
    for key in dict.fromkeys(key for item in scored for key in item.values):
        with_key = [item for item in scored if key in item.values]
        if key == "rtf":
            work = [item.values[key] * item.seconds for item in with_key]
            measures[key] = ratio_estimate(work, [item.seconds for item in with_key], seed)
        else:
            measures[key] = mean_estimate([item.values[key] for item in with_key], seed)
    with_others = [item for item in scored if item.impostors]
    if with_others:
        measures["speaker_eer"] = resampled_estimate(len(with_others), partial(_verification_error, with_others), seed)
    return measures


def _verification_error(scored: Sequence[ItemScores], drawn: np.ndarray) -> float:
    items = [scored[place] for place in drawn]
    others = [cosine for item in items for cosine in item.impostors]
    return equal_error_rate([item.values["speaker_centroid"] for item in items], others)


def with_other_texts(name: str, scored: SystemScores, judges: Judges, seed: int = 0) -> SystemScores:
    """The control that the recogniser listens: what it heard, against the text of the next of all test sentences.

    Raises BadInput if the recogniser knows fewer than two sentences.
    """
    texts = list(dict.fromkeys(text for text in judges.texts if judges.recogniser.covers(text)))
    if len(texts) < 2:
        raise BadInput(f"{name}: the control needs two sentences that the recogniser knows, there are {len(texts)}")
    shifted = []
    for item in scored.items:
        if item.heard is not None and item.text in texts:
            other = texts[(texts.index(item.text) + 1) % len(texts)]
            shifted.append(ItemScores(item.name, other, item.seconds, item.heard, count_errors(other, item.heard), {}))
    return SystemScores(name, summarise(shifted, seed), tuple(shifted), "must be above 80 % WER")


def noise_like(waveform: Waveform, seed: int, index: int = 0) -> Waveform:
    """White noise as long as a recording and as loud: the control that the recogniser does not guess."""
    generator = np.random.default_rng([seed, index])
    level = float(np.sqrt(np.mean(waveform.samples.astype(np.float64) ** 2))) if len(waveform.samples) else 0.0
    noise = generator.standard_normal(len(waveform.samples)) * max(level, 1e-3)
    return Waveform(np.clip(noise, -1, 1).astype(np.float32), waveform.sample_rate)


def score_folder(
    folder: Path | str,
    sentences: Sequence[tuple[str, str, Path]],
    judges: Judges,
    *,
    workers: int = 1,
    seed: int = 0,
    progress: Tell | None = None,
) -> SystemScores:
    """Scores the recordings `NAME.wav` (or .flac, .ogg, .opus, .mp3) of a folder.

    sentences: name, text and human recording of each; names that the folder lacks are skipped.
    Raises AudioError if it holds none of them.
    """
    folder = Path(folder)
    items = []
    for name, text, reference in sentences:
        found = [path for suffix in io.SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
        if found:
            items.append(Item(name, text, io.read(reference), io.read(found[0])))
    if not items:
        expected = sentences[0][0] if sentences else "NAME"
        raise AudioError(f"{folder}: holds none of the {len(sentences)} test recordings, such as {expected}.wav")
    return score_system(folder.name, items, judges, workers=workers, seed=seed, progress=progress)


def _spectrum(item: Item) -> dict[str, float]:
    if item.waveform is item.reference:  # the human recording: no distance to itself
        return {"f0_deviation": pitch_moments(analyse(item.reference).f0).deviation_semitones}
    aligned = align(analyse(item.reference), analyse(item.waveform))
    distance = pitch_distance(aligned)
    theirs, ours = pitch_moments(aligned.reference.f0), pitch_moments(aligned.spoken.f0)
    return {
        "mcd": mel_cepstral_distortion(aligned),
        "log_f0_rmse": distance.log_f0_rmse,
        "log_f0_correlation": distance.log_f0_correlation,
        "voicing_error": distance.voicing_error,
        "duration_ratio": aligned.spoken.duration_seconds / aligned.reference.duration_seconds,
        "f0_ratio": ours.mean_hz / theirs.mean_hz,
        "f0_deviation": ours.deviation_semitones,
    }


_judges: Judges | None = None  # of this worker process


def _start_worker(judges: Judges) -> None:
    global _judges
    _judges = judges


def _score_in_worker(item: Item) -> ItemScores:
    assert _judges is not None
    return _judges.score(item)


def _scored(items: Sequence[Item], judges: Judges, workers: int) -> Iterable[ItemScores]:
    if workers <= 1:
        yield from map(judges.score, items)
        return
    # Fresh judges: a loaded recogniser cannot be sent to another process.
    fresh = Judges(judges.texts, judges.measures, judges.threads, judges.voices)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(fresh,)) as pool:
        yield from pool.map(_score_in_worker, items)
