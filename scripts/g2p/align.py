"""Letters and phones of words, matched: each letter stands for none to four phones (hard expectation maximisation)."""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from moksori.text.english_context import Sounds
from moksori.text.letters_to_phones import SPELLED
from moksori.text.symbols import is_vowel

MOST_PHONES = 4
ROUNDS = 4
SAMPLE = 25_000
_VOWEL_LETTERS = frozenset("aeiouy")

Chunk = tuple[str, ...]
Costs = Mapping[tuple[str, Chunk], float]
Fallback = Callable[[str, Chunk], float]


@dataclass(frozen=True)
class Aligned:
    """A word with one label a letter (as Sounds are written). level: its word list, the rarer the higher."""

    written: str
    letters: str
    sounds: Sounds
    level: int
    labels: tuple[str, ...]


def aligned(words: Sequence[tuple[str, Sounds, int]], names: Mapping[str, Sounds]) -> list[Aligned]:
    """Words (as written, sounds, level) with their labels; those that no alignment fits are left out."""
    spelled = [(w, s, n) for w, s, n in words if len(w) > 1 and s.phones == _named(w.lower(), names)]
    done = {w for w, _, _ in spelled}
    others = [(w, s, n) for w, s, n in words if w not in done]
    costs, fallback = _learned([(w.lower(), s.phones) for w, s, _ in others])
    found = [Aligned(w, w.lower(), s, n, (SPELLED,) * len(w)) for w, s, n in spelled]
    for written, sounds, level in others:
        borders = _matched(written.lower(), sounds.phones, costs, fallback)
        if borders is not None:
            labels = tuple(Sounds(sounds.phones[a:b], sounds.stress[a:b]).written for a, b in borders)
            found.append(Aligned(written, written.lower(), sounds, level, labels))
    return found


def _named(letters: str, names: Mapping[str, Sounds]) -> Chunk:
    return tuple(phone for letter in letters if letter in names for phone in names[letter].phones)


def _learned(words: Sequence[tuple[str, Chunk]]) -> tuple[Costs, Fallback]:
    some = random.Random(0).sample(words, min(SAMPLE, len(words)))
    costs: dict[tuple[str, Chunk], float] = {}
    fallback: Fallback = _first_guess
    for round_ in range(ROUNDS):
        counts: Counter[tuple[str, Chunk]] = Counter()
        for letters, phones in some:
            borders = _matched(letters, phones, costs, fallback)
            counts.update((c, phones[a:b]) for c, (a, b) in zip(letters, borders or (), strict=False))
        totals: Counter[str] = Counter()
        for (letter, _), n in counts.items():
            totals[letter] += n
        common = {key: n for key, n in counts.items() if n > 1 or round_ < 2}
        costs = {key: max(-math.log(n / totals[key[0]]), 1e-6) for key, n in common.items()}
        fallback = _rare
    return costs, fallback


def _first_guess(letter: str, chunk: Chunk) -> float:
    if not chunk:
        return 3.0
    unlike = len(chunk) == 1 and is_vowel(chunk[0]) != (letter in _VOWEL_LETTERS)
    return 1.0 + 4.0 * (len(chunk) - 1) + 3.0 * unlike


def _rare(letter: str, chunk: Chunk) -> float:
    return 12.0 + 3.0 * len(chunk)


def _matched(letters: str, phones: Chunk, costs: Costs, fallback: Fallback) -> list[tuple[int, int]] | None:
    """Cheapest cut of the phones into one chunk a letter; None where there are too many phones."""
    count, infinite = len(phones), float("inf")
    best = [0.0] + [infinite] * count
    steps: list[list[int]] = []
    for done, letter in enumerate(letters):
        after, step = [infinite] * (count + 1), [0] * (count + 1)
        for start in range(max(0, count - (len(letters) - done) * MOST_PHONES), min(count, done * MOST_PHONES) + 1):
            if best[start] == infinite:
                continue
            for size in range(min(MOST_PHONES, count - start) + 1):
                chunk = phones[start : start + size]
                cost = best[start] + (costs.get((letter, chunk)) or fallback(letter, chunk))
                if cost < after[start + size]:
                    after[start + size], step[start + size] = cost, size
        best = after
        steps.append(step)
    if best[count] == infinite:
        return None
    borders, end = [], count
    for step in reversed(steps):
        borders.append((end - step[end], end))
        end -= step[end]
    return borders[::-1]
