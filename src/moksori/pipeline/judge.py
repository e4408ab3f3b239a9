"""A corpus judged by a model of it: recordings that are unlikely, or do not go with their texts, stand out.

A model with an exact likelihood knows how likely each frame is. Measures are taken of each clip, and what lies far
under the others of its speaker is named: the clip's mean, its worst half second, by how much its own text makes it
likelier than another one, and how well the attention finds its way through the text.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moksori.corpus.collate import collate
from moksori.corpus.features import prepare
from moksori.corpus.ingest import open_imported
from moksori.corpus.manifest import Corpus, Dropped, read_dropped, write_dropped, write_text
from moksori.corpus.segment import LONGEST_SECONDS
from moksori.errors import BadInput, CorpusError, MoksoriError, UnsupportedTask
from moksori.models.checkpoint import Loaded, load_model
from moksori.models.contract import CanJudge
from moksori.pipeline.models import find_model
from moksori.pipeline.progress import Progress, no_progress
from moksori.types import Example, Judged, SpeechBatch, SpeechNeeds

logger = logging.getLogger(__name__)

THRESHOLD = 4.0
"""Robust z-score under which a measure is named: 1 clip in 30,000 of a normal distribution lies there."""
WINDOW_SECONDS = 0.5
BATCH_CLIPS = 8
ENOUGH_CLIPS = 20
"""Clips of a speaker from which on they are compared among themselves; fewer are compared with all."""
FEWEST_CLIPS = 5
OTHER_TEXTS = 3
"""So many others' texts each clip is set against; each costs as much as judging it once."""
TELLS_TEXTS = 0.9
"""Where so many clips are likelier with their own text than with others', one that is not stands out by that alone."""
LEAST_COVERAGE = 0.5
"""Median coverage under which the model's attention is no alignment, and says little of texts."""
STAGE = "judge"

REASONS = {
    "likelihood": "unlikely",
    "worst": "unlikely in part",
    "text_gain": "another text would do as well",
    "fit": "does not go with its text",
    "coverage": "part of the text is not heard",
    "monotonic": "jumps in its text",
}
"""Measure -> what is said of a clip whose measure is far under the others'."""
_LEAST_UNITS = {"likelihood": 0.02, "worst": 0.04, "text_gain": 0.001, "fit": 0.05, "coverage": 0.04, "monotonic": 0.04}
"""What deviations are measured in at least, so that clips that hardly differ have no outliers."""


@dataclass(frozen=True)
class JudgedClip:
    """One recording.

    likelihood: mean, and worst: mean of the worst half second, which begins at `worst_seconds`; nats a number of the
    mel. text_gain: likelihood less that with another clip's text; None where there was none to compare with.
    fit, coverage, monotonic: see Judged. scores: robust z-score of each measure. reasons: what stands out.
    """

    name: str
    split: str
    speaker: str
    seconds: float
    text: str
    likelihood: float
    worst: float
    worst_seconds: float
    text_gain: float | None
    fit: float
    coverage: float
    monotonic: float
    scores: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """The lowest of its scores."""
        return min(self.scores.values(), default=0.0)


@dataclass(frozen=True)
class JudgeReport:
    """A corpus, judged. clips: all, the most suspect first. skipped: too long, or without a text.

    medians: of each measure. aligned: whether the attention reaches most tokens of most clips.
    """

    model: str
    corpus: str
    threshold: float
    clips: tuple[JudgedClip, ...]
    skipped: int
    medians: Mapping[str, float]

    @property
    def suspects(self) -> tuple[JudgedClip, ...]:
        """What stands out, the most suspect first."""
        return tuple(clip for clip in self.clips if clip.reasons)

    @property
    def aligned(self) -> bool:
        return self.medians["coverage"] >= LEAST_COVERAGE

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"


def judge_corpus(
    corpus: Path | str,
    model: Path | str,
    splits: Sequence[str] = (),
    threshold: float = THRESHOLD,
    limit: int | None = None,
    *,
    drop: bool = False,
    json_path: Path | None = None,
    progress: Progress = no_progress,
) -> JudgeReport:
    """Judges the clips of a corpus by a model.

    splits: all by default. threshold: robust z-score under which a measure stands out. limit: so many clips of each
    split. drop: leaves what stands out out of the corpus from now on (stage `judge` of dropped.tsv).
    Raises UnsupportedTask for a model that cannot judge, CorpusError for a corpus with too few clips.
    """
    if not threshold > 0.0 or not np.isfinite(threshold):
        raise BadInput(f"threshold {threshold!r}: expected a number above 0, such as {THRESHOLD:g}")
    if limit is not None and limit < FEWEST_CLIPS:
        raise BadInput(f"limit {limit}: expected {FEWEST_CLIPS} or more: fewer clips have no outliers")
    if drop and (limit is not None or splits):
        raise BadInput("to drop what stands out all clips must be judged: leave splits and limit out")
    loaded = load_model(find_model(model))
    opened = _opened(Path(corpus))
    needs = _needs(loaded)
    clips: list[JudgedClip] = []
    skipped, done = 0, 0
    chosen = [name for name in splits or opened.splits if splits or opened.utterances[name]]
    total = sum(len(opened.split(name)[:limit]) for name in chosen)
    for split in chosen:
        examples = prepare(_limited(opened, split, limit), split, needs, loaded.manifest.text)
        fitting = [e for e in examples if _fits(e, needs)]
        skipped += len(examples) - len(fitting)
        done += len(examples) - len(fitting)
        for batch in _batches(fitting):
            clips += _judged(loaded, batch, needs, split)
            done += len(batch)
            progress(done, total)
    if len(clips) < FEWEST_CLIPS:
        raise CorpusError(
            f"{corpus}: {len(clips)} clips can be judged, {FEWEST_CLIPS} are needed to tell what is usual"
        )
    report = _reported(clips, loaded.manifest.name, opened.info.name, threshold, skipped)
    if json_path is not None:
        write_text(json_path, report.as_json())
    if drop:
        rows = [Dropped(clip.name, STAGE, "; ".join(clip.reasons), clip.text) for clip in report.suspects]
        write_dropped(opened.folder, rows, STAGE)
    return report


def _opened(folder: Path) -> Corpus:
    """The corpus with what an earlier judgement dropped, which is judged anew."""
    opened = open_imported(folder)
    whole = Corpus.open(opened.folder, with_dropped=True)
    return whole.without(row.name for row in read_dropped(opened.folder) if row.stage != STAGE)


def _limited(corpus: Corpus, split: str, limit: int | None) -> Corpus:
    return corpus if limit is None else corpus.without(u.name for u in corpus.split(split)[limit:])


def _needs(loaded: Loaded) -> SpeechNeeds:
    model = loaded.model
    if not isinstance(model, CanJudge) or loaded.manifest.text is None:
        raise UnsupportedTask(
            f"{loaded.manifest.name}: a {loaded.manifest.family!r} model gives no likelihoods of recordings: use a "
            "Flowtron, trained on this corpus if possible"
        )
    return SpeechNeeds(model.sample_rate, model.hop_length, f0=model.hears_pitch)


def _fits(example: Example, needs: SpeechNeeds) -> bool:
    assert example.tokens is not None
    return len(example.tokens) > 0 and len(example.waveform) <= LONGEST_SECONDS * needs.sample_rate


def _batches(examples: Sequence[Example]) -> list[list[Example]]:
    """Clips of like length together, none alone: another's text is needed."""
    ordered = sorted(examples, key=lambda e: len(e.waveform))
    count = max(1, round(len(ordered) / BATCH_CLIPS))
    return [list(part) for part in _parted(ordered, count) if part]


def _parted(items: Sequence[Example], count: int) -> list[Sequence[Example]]:
    edges = np.linspace(0, len(items), count + 1).round().astype(int)
    return [items[first:last] for first, last in pairwise(edges)]


def _judged(loaded: Loaded, examples: Sequence[Example], needs: SpeechNeeds, split: str) -> list[JudgedClip]:
    model = loaded.model
    assert isinstance(model, CanJudge)
    rows = torch.tensor([_row(loaded, example.utterance.speaker) for example in examples])
    batch = replace(collate(examples, needs), speaker=rows).to(loaded.device)
    own = model.judge(batch)
    means, gains = _means(own), _gains(model, batch, examples, _means(own))
    window = max(1, round(WINDOW_SECONDS * needs.sample_rate / needs.hop_length))
    if not all(np.isfinite(means)):
        raise MoksoriError(f"{loaded.manifest.name}: gives NaN or infinity for recordings: take another model")
    clips = []
    for index, example in enumerate(examples):
        worst, place = _worst(own.log_likelihood[index, : int(own.frame_lengths[index])], window)
        clips.append(
            JudgedClip(
                name=example.utterance.name,
                split=split,
                speaker=example.utterance.speaker,
                seconds=round(len(example.waveform) / needs.sample_rate, 3),
                text=example.utterance.text,
                likelihood=means[index],
                worst=worst,
                worst_seconds=round(place * needs.hop_length / needs.sample_rate, 3),
                text_gain=gains[index],
                fit=float(own.fit[index]),
                coverage=float(own.coverage[index]),
                monotonic=float(own.monotonic[index]),
            )
        )
    return clips


_told: set[tuple[str, str]] = set()


def _row(loaded: Loaded, speaker: str) -> int:
    """The speaker's row in the model's table; the first for one that it does not know."""
    names = loaded.manifest.speakers
    if len(names) < 2 or speaker in names:
        return names.index(speaker) if speaker in names else 0
    if (loaded.manifest.name, speaker) not in _told:
        _told.add((loaded.manifest.name, speaker))
        logger.warning("%s does not know the speaker %r: judged as %r", loaded.manifest.name, speaker, names[0])
    return 0


def _gains(
    model: CanJudge, batch: SpeechBatch, examples: Sequence[Example], own: Sequence[float]
) -> list[float | None]:
    """By how much the own text makes a clip likelier than those of others of like length do, on average."""
    others = [_others(examples, index) for index in range(len(examples))]
    found: list[list[float]] = [[] for _ in examples]
    for turn in range(max(map(len, others))):
        order = [of_one[turn] if turn < len(of_one) else index for index, of_one in enumerate(others)]
        for index, mean in enumerate(_means(model.judge(_with_texts_of(batch, order)))):
            if turn < len(others[index]):
                found[index].append(own[index] - mean)
    return [float(np.mean(differences)) if differences else None for differences in found]


def _others(examples: Sequence[Example], index: int) -> list[int]:
    """The next clips that say something else."""
    texts = {examples[index].utterance.text}
    found: list[int] = []
    for step in range(1, len(examples)):
        other = (index + step) % len(examples)
        if examples[other].utterance.text not in texts and len(found) < OTHER_TEXTS:
            texts.add(examples[other].utterance.text)
            found.append(other)
    return found


def _with_texts_of(batch: SpeechBatch, order: Sequence[int]) -> SpeechBatch:
    """The recordings with the texts of others."""
    index = torch.tensor(order, device=batch.waveform.device)
    assert batch.tokens is not None
    assert batch.token_lengths is not None
    stress = None if batch.stress is None else batch.stress[index]
    return replace(batch, tokens=batch.tokens[index], stress=stress, token_lengths=batch.token_lengths[index])


def _means(judged: Judged) -> list[float]:
    lengths = judged.frame_lengths.clamp(min=1)
    return [float(value) for value in judged.log_likelihood.sum(dim=1) / lengths]


def _worst(likelihood: Float[Tensor, " frames"], window: int) -> tuple[float, int]:
    """The least mean over a window, and the frame where it begins."""
    window = min(window, len(likelihood))
    sums = torch.cat([likelihood.new_zeros(1, dtype=torch.float64), likelihood.double().cumsum(0)])
    means = (sums[window:] - sums[:-window]) / window
    place = int(means.argmin())
    return float(means[place]), place


def _reported(clips: Sequence[JudgedClip], model: str, corpus: str, threshold: float, skipped: int) -> JudgeReport:
    speakers = {clip.speaker for clip in clips}
    counted = {speaker: sum(clip.speaker == speaker for clip in clips) for speaker in speakers}
    scored: list[dict[str, float]] = [{} for _ in clips]
    for measure in REASONS:
        for speaker in (*(s for s in speakers if counted[s] >= ENOUGH_CLIPS), None):
            among = [k for k, clip in enumerate(clips) if speaker in (clip.speaker, None)]
            values = {k: v for k in among if (v := getattr(clips[k], measure)) is not None}
            if len(values) < FEWEST_CLIPS:
                continue
            found = robust_low(np.array(list(values.values())), _LEAST_UNITS[measure])
            for k, score in zip(values, found, strict=True):
                if speaker is not None or counted[clips[k].speaker] < ENOUGH_CLIPS:
                    scored[k][measure] = round(float(score), 2)
    gains = [clip.text_gain for clip in clips if clip.text_gain is not None]
    tells_texts = len(gains) >= FEWEST_CLIPS and np.mean(np.array(gains) > 0.0) >= TELLS_TEXTS
    judged = []
    for clip, scores in zip(clips, scored, strict=True):
        outlying = {measure for measure, score in scores.items() if score < -threshold}
        if tells_texts and clip.text_gain is not None and clip.text_gain <= 0.0:
            outlying.add("text_gain")
        reasons = tuple(REASONS[measure] for measure in REASONS if measure in outlying)
        judged.append(replace(clip, scores=scores, reasons=reasons))
    medians = {}
    for measure in REASONS:
        known = [v for clip in clips if (v := getattr(clip, measure)) is not None]
        medians[measure] = float(np.median(known)) if known else 0.0
    ordered = tuple(sorted(judged, key=lambda clip: (not clip.reasons, clip.score, clip.name)))
    return JudgeReport(model, corpus, threshold, ordered, skipped, medians)


def robust_low(values: Float[np.ndarray, " values"], least_unit: float) -> Float[np.ndarray, " values"]:
    """Distance from the median in units of the spread below it: 1.4826 times the median of what lies under.

    Likelihoods are skewed: few clips are far better than most, many a little worse. least_unit: see `_LEAST_UNITS`.
    """
    middle = float(np.median(values))
    below = middle - values[values <= middle]
    unit = 1.4826 * float(np.median(below)) if len(below) else 0.0
    return (values - middle) / max(unit, least_unit)
