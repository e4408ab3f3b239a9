"""Scoring a system: anything that has a name and one recording a test sentence, a person or a machine.

`score_system` takes waveforms; `score_folder` a folder of `NAME.wav`, for experiments. Every system that is compared
goes through the same judges, built once: `Judges`.
"""

import base64
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float

from moksori.audio import io
from moksori.audio.resample import resample
from moksori.errors import AudioError, BadInput, MissingExtra
from moksori.evaluation import recognisers, speaker_encoders
from moksori.evaluation.intelligibility import WordErrors, count_errors, require_jiwer
from moksori.evaluation.mcd import align, analyse, mel_cepstral_distortion, require_pyworld
from moksori.evaluation.mel_distance import mel_distance
from moksori.evaluation.melody import compare_melodies, sung_f0
from moksori.evaluation.memory import Memory
from moksori.evaluation.naturalness import Dnsmos, Opinion
from moksori.evaluation.pesq import pesq
from moksori.evaluation.pitch import pitch_distance, pitch_moments
from moksori.evaluation.recognisers import SpeechRecogniser
from moksori.evaluation.speaker import Voices, equal_error_rate, identified
from moksori.evaluation.speaker_encoders import VoiceEncoder
from moksori.evaluation.statistics import Estimate, mean_estimate, ratio_estimate, resampled_estimate
from moksori.evaluation.stoi import stoi
from moksori.types import Waveform

MEASURES = ("words", "opinion", "spectrum", "speaker", "durations", "likelihood")
"""Groups of measures: word and character error rate; DNSMOS; MCD and F0 against the reference; whose voice it is.

The last two need an aligner, which is no judge here: whoever has one adds its figures to `Item.values`.
"""
GROUPS = (*MEASURES, "copy", "melody")
"""All groups: also PESQ, STOI and mel distance of a copy against its reference, and the tune of singing."""
_MELODY_HOP = 80
_MELODY_RATE = 16000

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Item:
    """One test sentence as a system says it, beside the human recording of it (the same object for the recordings).

    compute_seconds: what making `waveform` took, NaN where it is a recording. speaker: who is heard, or should be.
    values: measures that are known already, by name. impostors: cosines of other people with whoever should be heard,
    for the equal error rate, where `Judges.voices` has none. transposed: the tune may be in another key. key_semitones:
    the key that it should be in, from the reference's.
    """

    name: str
    text: str
    reference: Waveform
    waveform: Waveform
    compute_seconds: float = float("nan")
    speaker: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    impostors: tuple[float, ...] = ()
    transposed: bool = False
    key_semitones: float = 0.0


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
    measures: some of GROUPS. threads: of the networks. voices: of the speakers, made of other recordings.
    recogniser_name, encoder_name: of `recognisers` and `speaker_encoders`. memory: where figures are kept.
    """

    texts: Sequence[str]
    measures: Sequence[str] = ("words", "opinion", "spectrum")
    threads: int = 1
    voices: Voices | None = None
    recogniser_name: str = recognisers.DEFAULT
    encoder_name: str = speaker_encoders.DEFAULT
    memory: Memory = field(default_factory=Memory, repr=False)
    _recogniser: SpeechRecogniser | None = field(default=None, repr=False)
    _dnsmos: Dnsmos | None = field(default=None, repr=False)
    _encoder: VoiceEncoder | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in self.measures:
            if name not in GROUPS:
                raise BadInput(f"measure {name!r}: expected some of {', '.join(GROUPS)}")
        recognisers.check_recogniser(self.recogniser_name)
        speaker_encoders.check_encoder(self.encoder_name)

    @property
    def recogniser(self) -> SpeechRecogniser:
        self._recogniser = self._recogniser or recognisers.build_recogniser(self.recogniser_name, self.texts)
        return self._recogniser

    @property
    def dnsmos(self) -> Dnsmos:
        self._dnsmos = self._dnsmos or Dnsmos(self.threads)
        return self._dnsmos

    @property
    def encoder(self) -> VoiceEncoder:
        self._encoder = self._encoder or speaker_encoders.build_encoder(self.encoder_name)
        return self._encoder

    def opinion(self, waveform: Waveform) -> Opinion:
        """DNSMOS of a sound."""
        found = self.memory.get(self.dnsmos.identity, [waveform], lambda: asdict(self.dnsmos(waveform)))
        return Opinion(**found)

    def heard(self, waveform: Waveform) -> str:
        """What the recogniser writes down."""
        return self.memory.get(self.recogniser.identity, [waveform], lambda: self.recogniser.transcribe(waveform))

    def embed(self, waveform: Waveform) -> Float[np.ndarray, " size"]:
        """The voice, as the speaker encoder hears it."""

        def packed() -> str:
            vector = np.asarray(self.encoder.embed(waveform), dtype="<f4")
            return base64.b64encode(vector.tobytes()).decode("ascii")

        return np.frombuffer(base64.b64decode(self.memory.get(self.encoder.identity, [waveform], packed)), "<f4")

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
        elif group == "copy":
            for package, extra in (("pesq", "evaluate-full"), ("pystoi", "evaluate")):
                if find_spec(package) is None:
                    raise MissingExtra(package, extra, "comparing copies with recordings")
        elif group == "melody":
            require_pyworld()
            if find_spec("mir_eval") is None:
                raise MissingExtra("mir_eval", "evaluate", "comparing melodies")

    def only(self, measures: Sequence[str]) -> "Judges":
        """The same judges for some of the measures."""
        return replace(self, measures=tuple(measures))

    def score(self, item: Item) -> ItemScores:
        """All chosen measures of one sentence."""
        if not np.isfinite(item.waveform.samples).all():
            raise AudioError(f"{item.name}: the waveform holds NaN or infinity and cannot be scored; make it again")
        values: dict[str, float] = {}
        impostors = item.impostors
        heard, words = None, None
        if "words" in self.measures and self.recogniser.covers(item.text):
            heard = self.heard(item.waveform)
            words = count_errors(item.text, heard)
        if "opinion" in self.measures:
            opinion = self.opinion(item.waveform)
            values |= {"ovrl": opinion.ovrl, "sig": opinion.sig, "bak": opinion.bak, "p808": opinion.p808}
        if "spectrum" in self.measures:
            values |= _spectrum(item)
        if "speaker" in self.measures:
            found, others = self._voice(item)
            values |= found
            impostors = impostors or others
        if "copy" in self.measures and item.waveform is not item.reference:
            values |= self._copy(item)
        if "melody" in self.measures and item.waveform is not item.reference:
            values |= self._melody(item)
        values |= item.values
        seconds = item.waveform.duration_seconds
        if not np.isnan(item.compute_seconds) and seconds > 0:
            values["rtf"] = item.compute_seconds / seconds
        return ItemScores(item.name, item.text, seconds, heard, words, values, impostors)

    def _voice(self, item: Item) -> tuple[dict[str, float], tuple[float, ...]]:
        """Likeness to the recording of the sentence, to the speaker's other ones, and to other speakers."""
        values = {}
        reference = self.embed(item.reference)
        embedding = reference if item.waveform is item.reference else self.embed(item.waveform)
        if item.waveform is not item.reference:
            values["speaker"] = float(embedding @ reference)
        likeness = self.voices.likeness(embedding) if self.voices is not None else {}
        if item.speaker not in likeness:
            return values, ()
        values["speaker_centroid"] = likeness[item.speaker]
        if len(likeness) > 1:
            values["speaker_identified"] = identified(likeness, item.speaker)
        return values, tuple(cosine for name, cosine in likeness.items() if name != item.speaker)

    def _copy(self, item: Item) -> dict[str, float]:
        """PESQ, STOI and mel distance of a copy against its reference."""
        pair = item.reference, item.waveform
        versions = f"pesq {_version('pesq')} pystoi {_version('pystoi')} mel-16khz"

        def compared() -> dict[str, float]:
            return {"pesq": pesq(*pair), "stoi": stoi(*pair), "mel_distance": mel_distance(*pair)}

        return self.memory.get(f"copy {versions}", pair, compared)

    def _melody(self, item: Item) -> dict[str, float]:
        """The tune against the reference's; nothing where that has none."""
        pair = item.reference, item.waveform
        judge = f"melody pyworld {_version('pyworld')} mir_eval {_version('mir_eval')} {item.transposed}"
        judge += f" {item.key_semitones:+g}" if item.key_semitones else ""

        def compared() -> dict[str, float]:
            first, second = (sung_f0(resample(sound, _MELODY_RATE), _MELODY_HOP) for sound in pair)
            if not (first > 0).any():
                return {}
            first = first * np.float32(2.0 ** (item.key_semitones / 12.0))
            found = compare_melodies(first, second, _MELODY_HOP / _MELODY_RATE, item.transposed)
            return {"pitch_correlation" if key == "correlation" else key: value for key, value in asdict(found).items()}

        values = self.memory.get(judge, pair, compared)
        return values if item.transposed else {k: v for k, v in values.items() if k != "transposition"}


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
    own = [item.values.get("speaker_centroid", item.values.get("speaker", np.nan)) for item in items]
    return equal_error_rate(own, others)


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


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "?"


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
    fresh = replace(judges, _recogniser=None, _dnsmos=None, _encoder=None)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(fresh,)) as pool:
        yield from pool.map(_score_in_worker, items)
