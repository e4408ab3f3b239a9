"""What is wrong with a corpus: a report, and `dropped.tsv` with what is left out of it from now on.

Nothing is deleted: `Corpus.open` skips the utterances that `dropped.tsv` names, and removing a row brings one back.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from moksori.corpus.manifest import Corpus, Dropped, read_utterance, write_dropped
from moksori.corpus.segment import LONGEST_SECONDS, SHORTEST_SECONDS
from moksori.corpus.splits import sentence_key
from moksori.errors import AudioError, CorpusError
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import Utterance

SILENT_PEAK = 1e-3
"""A peak below -60 dB: nothing is said, or nobody will hear it."""
OUTLIER_SCORE = 6.0
"""Robust z-score of the log length, against that expected of the text, beyond which the two cannot belong together."""
SLACK_SECONDS = 0.5
CLIPPED_FRACTION = 1e-4
"""Share of the samples in flat tops from which on a recording counts as clipped."""

REASONS = ("unreadable", "silent", "too long", "too short", "no text", "unknown symbols", "outlier", "duplicate")
"""Why an utterance is dropped, in the order of precedence. Clipped ones are counted and kept."""


@dataclass(frozen=True)
class CheckReport:
    """What a check found. hours: of all utterances, and of those kept. found: reason -> names, "clipped" among them.

    unknown_symbols: symbol -> in how many utterances. repeated: sentences with more than one take.
    speakers: name -> (utterances, hours).
    """

    hours: float
    kept_hours: float
    utterances: int
    kept: int
    speakers: Mapping[str, tuple[int, float]]
    found: Mapping[str, tuple[str, ...]]
    unknown_symbols: Mapping[str, int]
    repeated: int
    seconds_per_token: float
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True)
class _Facts:
    """What decoding one recording told."""

    peak: float = 0.0
    clipped: float = 0.0
    digest: str = ""
    error: str = ""


def check_corpus(
    corpus: Corpus,
    text: TextConfig | None = None,
    *,
    write: bool = True,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Checks every utterance, those dropped by an earlier check too, and writes `dropped.tsv` (if `write`).

    text: the front end whose symbols count as known; it also gives the tokens by which speaking rates are compared.
    A corpus without any text (noise, singing) is not checked for texts.
    Raises CorpusError if `dropped.tsv` cannot be written.
    """
    corpus = Corpus.open(corpus.folder, with_dropped=True)
    utterances = [u for split in corpus.splits for u in corpus.utterances[split]]
    facts = _decode(utterances, workers, progress)
    reasons: dict[str, dict[str, str]] = {reason: {} for reason in (*REASONS, "clipped")}
    for utterance, fact in zip(utterances, facts, strict=True):
        _check_sound(utterance, fact, reasons)
    symbols: dict[str, int] = {}
    rate = _check_texts(utterances, text or TextConfig(), reasons, symbols) if any(u.text for u in utterances) else 0.0
    _check_duplicates(utterances, facts, reasons)
    dropped = []
    for utterance in utterances:
        for reason in REASONS:
            if utterance.name in reasons[reason]:
                detail = reasons[reason][utterance.name]
                dropped.append(Dropped(utterance.name, "check", f"{reason}: {detail}", utterance.text))
                break
    gone = {row.name for row in dropped}
    kept = [u for u in utterances if u.name not in gone]
    if write:
        write_dropped(corpus.folder, dropped, "check")
    return CheckReport(
        hours=_hours(utterances),
        kept_hours=_hours(kept),
        utterances=len(utterances),
        kept=len(kept),
        speakers={
            s: (sum(u.speaker == s for u in kept), _hours([u for u in kept if u.speaker == s]))
            for s in corpus.info.speakers
        },
        found={reason: tuple(names) for reason, names in reasons.items()},
        unknown_symbols=dict(sorted(symbols.items(), key=lambda item: -item[1])),
        repeated=_repeated(kept),
        seconds_per_token=rate,
        dropped=tuple(dropped),
    )


def clipped_fraction(samples: Float[np.ndarray, " samples"]) -> float:
    """Share of the samples that lie in flat tops: three or more equal samples in a row within 1 % of the peak.

    Equal to half a 16-bit step, so it also finds clipping of a recording whose level was changed afterwards; a codec or
    a resampler after the clipping hides it.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0.0 or len(samples) < 3:
        return 0.0
    high = np.abs(samples) >= 0.99 * peak
    flat = high[1:] & high[:-1] & (np.abs(np.diff(samples)) < 0.5 / 32768)
    run = flat[1:] & flat[:-1]
    return float(run.sum()) / len(samples)


def robust_scores(values: Float[np.ndarray, " values"]) -> Float[np.ndarray, " values"]:
    """Distance from the median in units of 1.4826 times the median absolute deviation (a normal's standard deviation).

    The unit is at least 0.05 in the values' own unit: recordings of even pace have no outliers.
    """
    middle = np.median(values)
    unit = 1.4826 * np.median(np.abs(values - middle))
    return (values - middle) / max(float(unit), 0.05)


def _decode(utterances: Sequence[Utterance], workers: int, progress: Callable[[int, int], None] | None) -> list[_Facts]:
    def one(utterance: Utterance) -> _Facts:
        try:
            samples = read_utterance(utterance).samples
        except AudioError as error:
            return _Facts(error=str(error))
        digest = hashlib.sha256(np.rint(samples * 32768).astype(np.int16).tobytes()).hexdigest()
        return _Facts(float(np.abs(samples).max(initial=0.0)), clipped_fraction(samples), digest)

    facts = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            for fact in pool.map(one, utterances):
                facts.append(fact)
                if progress is not None:
                    progress(len(facts), len(utterances))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return facts


def _check_sound(utterance: Utterance, fact: _Facts, reasons: Mapping[str, dict[str, str]]) -> None:
    name, seconds = utterance.name, utterance.duration_seconds
    if fact.error:
        reasons["unreadable"][name] = fact.error
        return
    if fact.peak < SILENT_PEAK:
        reasons["silent"][name] = f"peak {fact.peak:.5f}"
    if seconds > LONGEST_SECONDS:
        reasons["too long"][name] = (
            f"{seconds:.1f} s, the limit is {LONGEST_SECONDS:g} s ('moksori corpus split' cuts it)"
        )
    if seconds < SHORTEST_SECONDS:
        reasons["too short"][name] = f"{seconds:.2f} s, the limit is {SHORTEST_SECONDS:g} s"
    if fact.clipped > CLIPPED_FRACTION:
        reasons["clipped"][name] = f"{100 * fact.clipped:.2f} % of the samples are flat tops"


def _check_texts(
    utterances: Sequence[Utterance], text: TextConfig, reasons: Mapping[str, dict[str, str]], symbols: dict[str, int]
) -> float:
    """Fills in what is wrong with texts; returns the median seconds per token."""
    tokenizer = Tokenizer(text)
    rated: list[Utterance] = []
    rates: list[float] = []
    for utterance in utterances:
        if not utterance.text.strip():
            reasons["no text"][utterance.name] = "the text is empty"
            continue
        encoded = tokenizer.encode(utterance.text, utterance.language)
        if encoded.unknown:
            reasons["unknown symbols"][utterance.name] = " ".join(encoded.unknown)
            for symbol in encoded.unknown:
                symbols[symbol] = symbols.get(symbol, 0) + 1
        if sentence_key(utterance.text) == "" or len(encoded.tokens) == 0:
            reasons["no text"][utterance.name] = "nothing to speak in the text"
            continue
        rated.append(utterance)
        rates.append(utterance.duration_seconds / len(encoded.tokens))
    if not rated:
        return 0.0
    middle = float(np.median(rates))
    # Half a second of slack, so that a drawn-out "Ah, indeed." is no outlier while a long text still is.
    expected = (
        np.array([u.duration_seconds / rate for u, rate in zip(rated, rates, strict=True)]) * middle + SLACK_SECONDS
    )
    scores = robust_scores(np.log(np.array([u.duration_seconds for u in rated]) + SLACK_SECONDS) - np.log(expected))
    for utterance, rate, score in zip(rated, rates, scores, strict=True):
        if abs(score) > OUTLIER_SCORE:
            pace = "slow" if score > 0 else "fast"
            reasons["outlier"][utterance.name] = (
                f"{rate:.3f} s a token is too {pace} for its text (robust z {score:+.1f})"
            )
    return middle


def _check_duplicates(
    utterances: Sequence[Utterance], facts: Sequence[_Facts], reasons: Mapping[str, dict[str, str]]
) -> None:
    first: dict[str, str] = {}
    for utterance, fact in zip(utterances, facts, strict=True):
        if not fact.digest or utterance.name in reasons["silent"]:
            continue
        other = first.setdefault(fact.digest, utterance.name)
        if other != utterance.name:
            reasons["duplicate"][utterance.name] = f"the same samples as {other}"


def _repeated(utterances: Sequence[Utterance]) -> int:
    takes: dict[tuple[str, str], int] = {}
    for utterance in utterances:
        if utterance.text:
            key = (utterance.speaker, sentence_key(utterance.text))
            takes[key] = takes.get(key, 0) + 1
    return sum(number > 1 for number in takes.values())


def _hours(utterances: Sequence[Utterance]) -> float:
    return sum(u.duration_seconds for u in utterances) / 3600


def require_known_symbols(report: CheckReport) -> None:
    """Raises CorpusError naming the symbols that the table lacks, if there are any."""
    if report.unknown_symbols:
        listed = ", ".join(f"{symbol!r} ({number})" for symbol, number in list(report.unknown_symbols.items())[:8])
        raise CorpusError(
            f"unknown symbols in {len(report.found['unknown symbols'])} texts: {listed}; correct the texts in the "
            "source or set the corpus's language; they are left out (dropped.tsv)"
        )
