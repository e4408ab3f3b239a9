"""The letters-to-phones model: an averaged perceptron with a margin over hashed features (text.letters_to_phones)."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from align import Aligned
from numba import njit

from moksori.text.letter_features import ALPHABET, codes_of, fixed_features
from moksori.text.letters_to_phones import Labels, LetterModel, bucket_and_mark

BUCKETS = 1 << 20
HISTORY_BUCKETS = 1 << 17
MARGIN = 10.0
"""By how much the right label must lead before nothing is learned."""
MOST_LABELS = 64
RARE_LABEL = 8

_log = logging.getLogger(__name__)


@dataclass
class Rows:
    """Letters of many words: bucket of each fixed feature (0 = off), halves of history features, label, letter code."""

    fixed: np.ndarray
    halves: np.ndarray
    labels: np.ndarray
    codes: np.ndarray
    starts: np.ndarray


def labels_of(items: Sequence[Aligned], names: Mapping[str, str]) -> Labels:
    """The labels that are common enough, the commonest first."""
    counts: dict[str, Counter[str]] = {letter: Counter() for letter in ALPHABET}
    for item in items:
        for letter, label in zip(item.letters, item.labels, strict=True):
            counts[letter][label] += 1
    return Labels(
        {c: [label for label, n in found.most_common(MOST_LABELS) if n >= RARE_LABEL] for c, found in counts.items()},
        names,
    )


def rows_of(items: Sequence[Aligned], labels: Labels) -> Rows:
    """Features as hashes; `Rows.fixed` still holds whole hashes."""
    codes, letters = codes_of([item.letters for item in items])
    fixed, halves = fixed_features(codes, letters)
    index = {letter: {label: k for k, label in enumerate(some)} for letter, some in labels.written.items()}
    numbers = [index[c].get(label, -1) for item in items for c, label in zip(item.letters, item.labels, strict=True)]
    starts = np.concatenate([[0], np.cumsum([len(item.letters) for item in items])])
    return Rows(fixed, halves, np.array(numbers, dtype=np.int16), codes[letters].astype(np.int16), starts)


@njit(cache=True)
def _owners(hashes, owner, rare):  # type: ignore[no-untyped-def]
    """The mark of the commonest feature of each bucket; buckets of rare features alone are left empty."""
    size = len(owner)
    counts = np.zeros((size, 256), dtype=np.uint16)
    for row in range(hashes.shape[0]):
        for f in range(hashes.shape[1]):
            h = hashes[row, f]
            place, mark = h & np.uint64(size - 1), (h >> np.uint64(40)) & np.uint64(255)
            if counts[place, mark] < 65535:
                counts[place, mark] += 1
    filled = np.zeros(size, dtype=np.bool_)
    for place in range(size):
        best = 0
        for mark in range(256):
            if counts[place, mark] > counts[place, best]:
                best = mark
        owner[place] = best
        filled[place] = counts[place, best] >= rare
    filled[0] = False
    return filled


@njit(cache=True)
def _row(half, added, mask):  # type: ignore[no-untyped-def]
    h = (half + np.uint64(added) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    h ^= h >> np.uint64(29)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return (h ^ (h >> np.uint64(27))) & mask


@njit(cache=True)
def _pass(
    order, fixed, halves, gold, codes, starts, w, sw, v, sv, labels, number, primary, vowel, clock, learn, follow
):  # type: ignore[no-untyped-def]
    """One pass; returns the clock and the labels chosen. follow: earlier choices are taken as right."""
    features, mask = fixed.shape[1], np.uint64(v.shape[0] - 1)
    chosen = np.zeros(len(gold), dtype=np.int16)
    places = np.zeros(6, dtype=np.int64)
    scores = np.zeros(w.shape[1], dtype=np.float32)
    for word in order:
        before, before2, seen, last = 0, 0, 0, 0
        for i in range(starts[word], starts[word + 1]):
            code = codes[i]
            n = labels[code]
            places[0] = _row(halves[i, 0], before, mask)
            places[1] = _row(halves[i, 1], before * 1000 + before2, mask)
            places[2] = _row(halves[i, 2], seen, mask)
            places[3] = _row(halves[i, 3], seen * 1000 + last, mask)
            places[4] = _row(halves[i, 4], seen, mask)
            places[5] = _row(halves[i, 5], seen * 1000 + before, mask)
            for k in range(n):
                scores[k] = 0.0
            for f in range(features):
                place = fixed[i, f]
                if place:
                    for k in range(n):
                        scores[k] += w[place, k]
            for f in range(6):
                for k in range(n):
                    scores[k] += v[places[f], k]
            best = 0
            for k in range(1, n):
                if scores[k] > scores[best]:
                    best = k
            chosen[i] = best
            right = gold[i]
            if learn and right >= 0:
                rival = -1
                for k in range(n):
                    if k != right and (rival < 0 or scores[k] > scores[rival]):
                        rival = k
                if rival >= 0 and scores[right] - scores[rival] < MARGIN:
                    for f in range(features):
                        place = fixed[i, f]
                        if place:
                            w[place, right] += 1
                            sw[place, right] += clock
                            w[place, rival] -= 1
                            sw[place, rival] -= clock
                    for f in range(6):
                        v[places[f], right] += 1
                        sv[places[f], right] += clock
                        v[places[f], rival] -= 1
                        sv[places[f], rival] -= clock
            clock += 1.0
            taken = right if follow and right >= 0 else best
            before2, before = before, number[code, taken]
            if primary[code, taken]:
                seen = 1
            if vowel[code, taken]:
                last = number[code, taken]
    return clock, chosen


@dataclass
class Learned:
    """Averaged weights in full: of the fixed features' buckets, of the history's, and who owns the buckets."""

    labels: Labels
    marks: np.ndarray
    filled: np.ndarray
    weights: np.ndarray
    history: np.ndarray

    def compressed(self, features: int, least: float) -> LetterModel:
        """As bytes, the `features` heaviest features alone, without weights under `least`."""
        scale = 127 / float(np.quantile(np.abs(self.weights[np.abs(self.weights) > least]), 0.998))
        small, past = (
            np.where(np.abs(x) < least, 0, np.clip(np.rint(x * scale), -127, 127)).astype(np.int8)
            for x in (self.weights, self.history)
        )
        norms = np.abs(small).sum(axis=1, dtype=np.int32)
        keep = np.argsort(-norms, kind="stable")[:features]
        keep = np.sort(keep[norms[keep] > 0])
        rows = np.zeros(BUCKETS, dtype=np.int32)
        rows[keep] = np.arange(1, len(keep) + 1)
        dense = np.concatenate([np.zeros((1, small.shape[1]), dtype=np.int8), small[keep]])
        return LetterModel(self.labels, np.where(rows > 0, self.marks, 0).astype(np.uint8), rows, dense, past)


def learn(
    items: Sequence[Aligned], check: Sequence[Aligned], labels: Labels, passes: int, rare: int, seed: int = 0
) -> Learned:
    """Averaged weights from the words `items`; progress on `check` is logged. rare: see `_owners`."""
    known = {letter: set(some) for letter, some in labels.written.items()}
    items = [x for x in items if all(label in known[c] for c, label in zip(x.letters, x.labels, strict=True))]
    rows, unseen = rows_of(items, labels), rows_of(check, labels)
    marks = np.zeros(BUCKETS, dtype=np.uint8)
    filled = _owners(rows.fixed, marks, rare)
    for some in (rows, unseen):
        places = np.empty(some.fixed.shape, dtype=np.int32)
        for f in range(places.shape[1]):
            bucket, mark = bucket_and_mark(some.fixed[:, f], BUCKETS)
            places[:, f] = np.where(filled[bucket] & (marks[bucket] == mark), bucket, 0)
        some.fixed = places
    most = max(map(len, labels.written.values()))
    meaning = _meaning(labels, most)
    w, w_sum = (np.zeros((BUCKETS, most), dtype=np.float32) for _ in range(2))
    v, v_sum = (np.zeros((HISTORY_BUCKETS, most), dtype=np.float32) for _ in range(2))
    _log.info("%d words, %d letters, %d features", len(items), len(rows.labels), int(filled.sum()))
    clock = 1.0
    everything = np.arange(len(unseen.starts) - 1)
    for number in range(passes):
        began = time.process_time()
        order = np.random.default_rng((seed, number)).permutation(len(items))
        clock, chosen = _pass(
            order, rows.fixed, rows.halves, rows.labels, rows.codes, rows.starts, w, w_sum, v, v_sum,
            *meaning, clock, True, number == 0,
        )  # fmt: skip
        average, past = w - w_sum / np.float32(clock), v - v_sum / np.float32(clock)
        _, said = _pass(
            everything, unseen.fixed, unseen.halves, unseen.labels, unseen.codes, unseen.starts,
            average, w_sum, past, v_sum, *meaning, 1.0, False, False,
        )  # fmt: skip
        right = np.logical_and.reduceat(said == unseen.labels, unseen.starts[:-1]).mean()
        _log.info(
            "pass %d: %.4f of letters right while learning, %.4f of unseen words, %.0f CPU s",
            number + 1, (chosen == rows.labels).mean(), right, time.process_time() - began,
        )  # fmt: skip
    return Learned(labels, marks, filled, average, past)


def said_otherwise(model: LetterModel, items: Sequence[Aligned]) -> set[str]:
    """The words (their letters) that a model does not say as they are labelled."""
    labels = model.labels
    rows = rows_of(items, labels)
    places = np.empty(rows.fixed.shape, dtype=np.int32)
    for f in range(places.shape[1]):
        bucket, mark = bucket_and_mark(rows.fixed[:, f], BUCKETS)
        places[:, f] = np.where((model.rows[bucket] > 0) & (model.marks[bucket] == mark), model.rows[bucket], 0)
    w, v = model.weights.astype(np.float32), model.history.astype(np.float32)
    _, chosen = _pass(
        np.arange(len(items)), places, rows.halves, rows.labels, rows.codes, rows.starts, w, w, v, v,
        *_meaning(labels, w.shape[1]), 1.0, False, False,
    )  # fmt: skip
    right = np.logical_and.reduceat(chosen == rows.labels, rows.starts[:-1])
    return {item.letters for item, well in zip(items, right, strict=True) if not well}


def _meaning(labels: Labels, most: int) -> tuple[np.ndarray, ...]:
    """For each letter's code the count of its labels; for each label its number, its stress, whether it has a vowel."""
    size = len(ALPHABET) + 1
    count = np.zeros(size, dtype=np.int64)
    number, primary, vowel = (np.zeros((size, most), dtype=np.int64) for _ in range(3))
    for letter, some in labels.of.items():
        code = ALPHABET.index(letter) + 1
        count[code] = len(some)
        for k, label in enumerate(some):
            number[code, k], primary[code, k], vowel[code, k] = label.number, label.primary, label.vowel
    return count, number, primary, vowel
