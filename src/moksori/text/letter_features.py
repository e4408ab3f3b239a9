"""What a letter sees of its word: the features of the letters-to-phones model, as hashes.

A feature is a run of letters around the letter (up to six of them), or the letter with the word's end, start or shape,
or the letter with what was decided before it. Each is one 64-bit hash; training and speaking use these very functions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt64

ALPHABET = "abcdefghijklmnopqrstuvwxyz'"
VOWEL_LETTERS = "aeiouy"
PAD = 6
"""Codes of 0 before, between and after the words of a row of codes."""
HISTORY = 6
"""Features that hold earlier decisions beside letters."""

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_WINDOWS = tuple((start, end) for size in range(1, 7) for start in range(-size + 1, 1) for end in [start + size - 1])
_SHAPE = 8
_MOST_GROUPS = 5


def codes_of(words: Sequence[str]) -> tuple[Int[np.ndarray, " codes"], Int[np.ndarray, " letters"]]:
    """Words in lower case as one row of codes with PAD zeros around each, and where their letters stand in it."""
    row: list[int] = [0] * PAD
    for word in words:
        row += [ALPHABET.index(letter) + 1 for letter in word] + [0] * PAD
    codes = np.array(row, dtype=np.int64)
    return codes, np.flatnonzero(codes)


def mixed(hashes: Any) -> Any:
    """The bits of 64-bit hashes spread evenly."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX
    return hashes ^ (hashes >> np.uint64(27))


def fixed_features(
    codes: Int[np.ndarray, " codes"], letters: Int[np.ndarray, " letters"]
) -> tuple[UInt64[np.ndarray, "letters fixed"], UInt64[np.ndarray, "letters history"]]:
    """Hashes of all that does not depend on decisions, and the halves of HISTORY features to which decisions are added.

    codes, letters: of `codes_of`.
    """
    vowels = np.isin(codes, [ALPHABET.index(v) + 1 for v in VOWEL_LETTERS])
    groups = np.cumsum(vowels & ~np.roll(vowels, 1))
    filled = codes > 0
    # Where the word of each letter starts and ends: the last border before it, the first after it.
    starts = np.maximum.accumulate(np.where(filled & ~np.roll(filled, 1), np.arange(len(codes)), 0))[letters]
    ends = np.where(filled & ~np.roll(filled, -1), np.arange(len(codes)), len(codes))
    ends = np.minimum.accumulate(ends[::-1])[::-1][letters]
    right = np.minimum(groups[ends] - groups[letters], _MOST_GROUPS)
    left = np.minimum(groups[letters] - groups[starts], _MOST_GROUPS)

    def near(offset: int) -> Int[np.ndarray, " letters"]:
        return codes[letters + offset]

    def shape(step: int) -> Int[np.ndarray, " letters"]:
        """Vowels and consonants on one side, to the word's end: three signs a letter."""
        total = np.zeros(len(letters), dtype=np.int64)
        going = np.ones(len(letters), dtype=bool)
        for distance in range(1, _SHAPE + 1):
            place = np.clip(letters + step * distance, 0, len(codes) - 1)
            going &= codes[place] > 0
            total = total * 3 + np.where(going, 1 + vowels[place], 0)
        return total

    def hashed(number: int, *values: Int[np.ndarray, " letters"]) -> UInt64[np.ndarray, " letters"]:
        total = np.full(len(letters), number + 1, dtype=np.uint64)
        for value in values:
            total = (total + value.astype(np.uint64) + np.uint64(1)) * _PRIME
            total ^= total >> np.uint64(29)
        return total

    focus, last, third = near(0), codes[ends], codes[np.maximum(ends - 2, starts)]
    second, fourth = codes[np.maximum(ends - 1, starts)], codes[np.maximum(ends - 3, starts)]
    first = (codes[starts], codes[np.minimum(starts + 1, ends)], codes[np.minimum(starts + 2, ends)])
    shape_right, shape_left = shape(1), shape(-1)
    groups_of = [(near(offset) for offset in range(start, end + 1)) for start, end in _WINDOWS]
    found = [hashed(100 + 10 * a - b, *values) for (a, b), values in zip(_WINDOWS, groups_of, strict=True)]
    found += [
        hashed(1, focus, right, left),
        hashed(2, focus, near(1), right, third, second, last),
        hashed(3, focus, right, fourth, third, second, last),
        hashed(4, near(-1), focus, near(1), right, second, last),
        hashed(5, focus, left, right, *first),
        hashed(6, near(-1), focus, near(1), left, right),
        hashed(7, focus, near(1), near(2), right),
        hashed(8, focus, shape_right),
        hashed(9, focus, shape_left, shape_right),
        hashed(10, near(-1), focus, near(1), shape_right),
        hashed(11, focus, near(1), near(2), last, right),
    ]
    history = [
        hashed(21, focus, near(1)),
        hashed(22, focus, near(1), near(-1)),
        hashed(23, focus, right, last),
        hashed(24, focus, near(1), near(2)),
        hashed(25, focus, right, third, second, last),
        hashed(26, focus, near(1), near(2), right),
    ]
    return mixed(np.stack(found, axis=1)), np.stack(history, axis=1)


_MASK = (1 << 64) - 1


def history_rows(
    halves: UInt64[np.ndarray, " history"], before: int, before2: int, seen: int, vowel: int, buckets: int
) -> list[int]:
    """Buckets of the HISTORY features of one letter.

    before, before2: numbers of the last two labels. seen: whether the primary stress was given. vowel: the number of
    the last label that held a vowel. 0 stands for none.
    """
    added = (before, before * 1000 + before2, seen, seen * 1000 + vowel, seen, seen * 1000 + before)
    found = []
    for half, value in zip(halves.tolist(), added, strict=True):
        total = (half + value + 1) * int(_PRIME) & _MASK
        total ^= total >> 29
        total = (total ^ (total >> 30)) * int(_MIX) & _MASK
        found.append((total ^ (total >> 27)) & (buckets - 1))
    return found
