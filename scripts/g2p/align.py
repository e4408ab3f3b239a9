"""Letters and phones of words, matched: each letter stands for none to four phones (hard expectation maximisation)."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numba import njit, types
from numba.typed import Dict

from moksori.text.english_context import Sounds
from moksori.text.letters_to_phones import ALPHABET, SPELLED
from moksori.text.symbols import is_vowel

MOST_PHONES = 4
ROUNDS = 4
SAMPLE = 25_000
_VOWEL_LETTERS = frozenset("aeiouy")
_LETTER_BITS, _PHONE_BITS = 5, 8


class Aligner:
    """What phones each letter tends to stand for, learned from words (in lower case, with their sounds).

    names: letters with their names; words that are just these are labelled SPELLED.
    """

    def __init__(self, words: Sequence[tuple[str, Sounds]], names: Mapping[str, Sounds]) -> None:
        self.names = names
        self.numbers: dict[str, int] = {}
        self._vowels = [False]
        self._written: dict[Sounds, str] = {}
        self._costs = Dict.empty(types.int64, types.float64)
        others = [(letters, sounds) for letters, sounds in words if not self._is_spelled(letters, sounds)]
        some = random.Random(0).sample(others, min(SAMPLE, len(others)))
        for round_ in range(ROUNDS):
            counts: Counter[int] = Counter()
            for letters, sounds in some:
                borders = self._borders(letters, sounds, guess=round_ == 0)
                phones = self._ids(sounds)
                for k in range(len(borders) - 1):
                    counts[_key(letters[k], phones[borders[k] : borders[k + 1]])] += 1
            totals: Counter[int] = Counter()
            for key, n in counts.items():
                totals[key & ((1 << _LETTER_BITS) - 1)] += n
            self._costs = Dict.empty(types.int64, types.float64)
            for key, n in counts.items():
                if n > 1 or round_ < 2:
                    self._costs[key] = max(-math.log(n / totals[key & ((1 << _LETTER_BITS) - 1)]), 1e-6)

    def labels(self, letters: str, sounds: Sounds) -> tuple[str, ...] | None:
        """What each letter of a word in lower case stands for, as Sounds are written; None for too many phones."""
        if self._is_spelled(letters, sounds):
            return (SPELLED,) * len(letters)
        borders = self._borders(letters, sounds)
        if not len(borders):
            return None
        return tuple(self._label(Sounds(sounds.phones[a:b], sounds.stress[a:b])) for a, b in pairwise(borders))

    def _label(self, sounds: Sounds) -> str:
        if sounds not in self._written:
            self._written[sounds] = sounds.written
        return self._written[sounds]

    def _is_spelled(self, letters: str, sounds: Sounds) -> bool:
        named = tuple(phone for letter in letters if letter in self.names for phone in self.names[letter].phones)
        return len(letters) > 1 and sounds.phones == named

    def _ids(self, sounds: Sounds) -> list[int]:
        for phone in sounds.phones:
            if phone not in self.numbers:
                self.numbers[phone] = len(self.numbers) + 1
                self._vowels.append(is_vowel(phone))
        return [self.numbers[phone] for phone in sounds.phones]

    def _borders(self, letters: str, sounds: Sounds, guess: bool = False) -> np.ndarray:
        """Where the phones of each letter start, and the end; empty where there are too many phones."""
        phones = np.array(self._ids(sounds), dtype=np.int64)
        codes = np.array([ALPHABET.index(letter) for letter in letters], dtype=np.int64)
        vowel_letters = np.array([letter in _VOWEL_LETTERS for letter in letters])
        vowels = np.array([self._vowels[phone] for phone in phones], dtype=np.bool_)
        borders: np.ndarray = _cheapest(codes, phones, vowel_letters, vowels, self._costs, guess)
        return borders


def _key(letter: str, phones: Sequence[int]) -> int:
    key = ALPHABET.index(letter)
    for k, phone in enumerate(phones):
        key |= phone << (_LETTER_BITS + _PHONE_BITS * k)
    return key


@njit(cache=True)
def _cheapest(codes, phones, vowel_letters, vowels, costs, guess):  # type: ignore[no-untyped-def]
    """Cheapest cut of the phones into one chunk a letter. guess: a first guess stands for costs that are not known."""
    count, letters = len(phones), len(codes)
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    steps = np.zeros((letters, count + 1), dtype=np.int64)
    for done in range(letters):
        after = np.full(count + 1, np.inf)
        for start in range(max(0, count - (letters - done) * MOST_PHONES), min(count, done * MOST_PHONES) + 1):
            if best[start] == np.inf:
                continue
            key = codes[done]
            for size in range(min(MOST_PHONES, count - start) + 1):
                if size:
                    key |= phones[start + size - 1] << (_LETTER_BITS + _PHONE_BITS * (size - 1))
                cost = costs.get(key, 0.0)
                if cost == 0.0:
                    if not guess:
                        cost = 12.0 + 3.0 * size
                    elif size == 0:
                        cost = 3.0
                    else:
                        unlike = size == 1 and vowels[start] != vowel_letters[done]
                        cost = 1.0 + 4.0 * (size - 1) + 3.0 * unlike
                if best[start] + cost < after[start + size]:
                    after[start + size] = best[start] + cost
                    steps[done, start + size] = size
        best = after
    if best[count] == np.inf:
        return np.zeros(0, dtype=np.int64)
    borders = np.zeros(letters + 1, dtype=np.int64)
    borders[letters] = count
    for done in range(letters - 1, -1, -1):
        borders[done] = borders[done + 1] - steps[done, borders[done + 1]]
    return borders
