"""Do two pieces of speech come from one person? Verification trials of short segments, and their equal error rate.

Segments of 3 seconds of held-out speakers: the same person or two of the same sex, so that telling women from men is no
help. Within files both segments of a person are of one recording (the same day, room and microphone: an easy trial);
across files they are of two. Whatever turns a segment into a vector is judged by the cosine of two vectors: a speaker
encoder, a model's speaker code, or the mean over time of its content code, which should know nothing of the speaker.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int

from moksori.evaluation.speaker import equal_error_rate
from moksori.evaluation.statistics import Estimate
from moksori.types import Waveform

SEGMENT_SECONDS = 3.0
SEGMENTS_A_FILE = 4
FILES_A_SPEAKER = 10
_ACTIVE_DB = 30.0
_LEAST_ACTIVE = 0.5
_FRAME_SECONDS = 0.02
_RESAMPLES = 500


@dataclass(frozen=True)
class Segment:
    """A piece of a recording. sex: as the speakers' table has it; "" where it is not known."""

    speaker: str
    sex: str
    file: str
    waveform: Waveform


@dataclass(frozen=True)
class Trials:
    """Pairs of segments by their places, and whether one person speaks in both. speakers: table index of each place."""

    first: Int[np.ndarray, " trials"]
    second: Int[np.ndarray, " trials"]
    same: Bool[np.ndarray, " trials"]
    speakers: Int[np.ndarray, " segments"]

    @property
    def targets(self) -> int:
        """Trials of one person."""
        return int(self.same.sum())

    @property
    def impostors(self) -> int:
        """Trials of two."""
        return len(self.same) - self.targets


def cut_segments(recording: Waveform, seconds: float = SEGMENT_SECONDS, count: int = SEGMENTS_A_FILE) -> list[Waveform]:
    """At most `count` segments that do not overlap, spread over the recording; none of those that are mostly pauses."""
    size = round(seconds * recording.sample_rate)
    pieces = [recording.samples[k * size : (k + 1) * size] for k in range(len(recording.samples) // size)]
    frame = max(1, round(_FRAME_SECONDS * recording.sample_rate))
    whole = len(recording.samples) // frame * frame
    if whole == 0:
        return []
    loudest = float(_powers(recording.samples[:whole], frame).max())
    limit = loudest * 10.0 ** (-_ACTIVE_DB / 10.0)
    spoken = [piece for piece in pieces if loudest > 0 and (_powers(piece, frame) >= limit).mean() >= _LEAST_ACTIVE]
    chosen = min(count, len(spoken))
    return [Waveform(spoken[k * len(spoken) // chosen], recording.sample_rate) for k in range(chosen)]


def within_files(segments: Sequence[Segment]) -> Trials:
    """Both segments of a person are of one file."""
    return _trials(segments, range(len(segments)), lambda one, two: one.file == two.file)


def across_files(segments: Sequence[Segment]) -> Trials:
    """Both segments of a person are of two files; only speakers with several of them take part."""
    files: dict[str, set[str]] = {}
    for segment in segments:
        files.setdefault(segment.speaker, set()).add(segment.file)
    places = [place for place, segment in enumerate(segments) if len(files[segment.speaker]) > 1]
    return _trials(segments, places, lambda one, two: one.file != two.file)


def trial_error_rate(embeddings: Float[np.ndarray, "segments size"], trials: Trials, seed: int = 0) -> Estimate:
    """Equal error rate of the cosines, NaN without trials of both kinds; n counts the trials.

    The interval draws speakers anew, not trials: those of one person are no independent observations.
    """
    if trials.targets == 0 or trials.impostors == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    scores = _cosines(embeddings, trials)
    value = equal_error_rate(scores[trials.same], scores[~trials.same])
    one, two = trials.speakers[trials.first], trials.speakers[trials.second]
    taking_part = np.unique(np.concatenate([one, two]))
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(_RESAMPLES):
        drawn = generator.choice(taking_part, len(taking_part))
        counts = np.bincount(drawn, minlength=int(taking_part.max()) + 1).astype(np.float64)
        # A speaker that was drawn twice has each of his own trials twice, and each with another speaker as often.
        weights = np.where(trials.same, counts[one], counts[one] * counts[two])
        found.append(weighted_error_rate(scores, trials.same, weights))
    kept = [rate for rate in found if not np.isnan(rate)]
    low, high = np.percentile(kept, [2.5, 97.5]) if kept else (float("nan"), float("nan"))
    return Estimate(value, float(low), float(high), len(scores))


def weighted_error_rate(
    scores: Float[np.ndarray, " trials"], same: Bool[np.ndarray, " trials"], weights: Float[np.ndarray, " trials"]
) -> float:
    """The equal error rate where each trial counts `weights` times; NaN where one of the two kinds weighs nothing."""
    targets, impostors = float(weights[same].sum()), float(weights[~same].sum())
    if targets == 0 or impostors == 0:
        return float("nan")
    limits, place = np.unique(scores, return_inverse=True)
    kept_out = np.concatenate([[0.0], np.cumsum(np.bincount(place, weights * same, len(limits)))]) / targets
    passed = np.concatenate([[0.0], np.cumsum(np.bincount(place, weights * ~same, len(limits)))]) / impostors
    let_in = 1.0 - passed
    nearest = int(np.argmin(np.abs(kept_out - let_in)))
    return float((kept_out[nearest] + let_in[nearest]) / 2)


def equal_error_threshold(targets: Sequence[float], impostors: Sequence[float]) -> float:
    """The cosine above which a verification at its equal error rate takes two for one person; NaN without both."""
    if not len(targets) or not len(impostors):
        return float("nan")
    right, wrong = np.sort(np.asarray(targets, float)), np.sort(np.asarray(impostors, float))
    limits = np.unique(np.concatenate([right, wrong]))
    kept_out = np.searchsorted(right, limits, side="left") / len(right)
    let_in = 1.0 - np.searchsorted(wrong, limits, side="left") / len(wrong)
    return float(limits[int(np.argmin(np.abs(kept_out - let_in)))])


def segments_of(recordings: Iterable[tuple[str, str, str, Waveform]]) -> list[Segment]:
    """Segments of (speaker, sex, file, recording)s, with what they are of."""
    return [
        Segment(speaker, sex, file, piece)
        for speaker, sex, file, recording in recordings
        for piece in cut_segments(recording)
    ]


def _trials(segments: Sequence[Segment], places: Iterable[int], of_one_person: object) -> Trials:
    names = {name: index for index, name in enumerate(dict.fromkeys(segment.speaker for segment in segments))}
    speakers = np.array([names[segment.speaker] for segment in segments], dtype=np.int64)
    assert callable(of_one_person)
    pairs = []
    for one, two in combinations(places, 2):
        a, b = segments[one], segments[two]
        if a.speaker == b.speaker:
            if of_one_person(a, b):
                pairs.append((one, two, True))
        elif a.sex == b.sex:
            pairs.append((one, two, False))
    first, second, same = (np.array(column) for column in zip(*pairs, strict=True)) if pairs else (np.zeros(0),) * 3
    return Trials(first.astype(np.int64), second.astype(np.int64), same.astype(bool), speakers)


def _cosines(embeddings: Float[np.ndarray, "segments size"], trials: Trials) -> Float[np.ndarray, " trials"]:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = (embeddings / np.maximum(lengths, 1e-8)).astype(np.float64)
    return np.einsum("ts,ts->t", unit[trials.first], unit[trials.second])


def _powers(samples: Float[np.ndarray, " samples"], frame: int) -> Float[np.ndarray, " frames"]:
    whole = len(samples) // frame * frame
    return np.square(samples[:whole], dtype=np.float64).reshape(-1, frame).mean(axis=1)
