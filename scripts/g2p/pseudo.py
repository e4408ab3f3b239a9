"""Words that nobody wrote: parts of real ones put together anew, so that a network sees all of espeak's rules at work.

espeak reads anything, so words for training have no end. They should look like English, since rules look at whole
endings and beginnings; and no held-out word may be among them, nor any of its kin, nor stand at either end of one.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence

from words import use_of

VOWELS = frozenset("aeiou")
SHORTEST, LONGEST = 3, 18
SEAM = 2
"""Letters that two words must share where one goes over into the other."""
AFFIXES = 200
_KINDS = {"spliced": 40, "spliced twice": 10, "affixed": 25, "compound": 10, "mutated": 15}
_LONGEST_HALF = 8


class PseudoWords:
    """Draws words like those of a pool.

    pool: lower-case words of a-z and apostrophes that training may see. kept_out: words that it may not.
    """

    def __init__(self, pool: Sequence[str], kept_out: Collection[str], seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.pool = sorted(word for word in set(pool) if len(word) >= SHORTEST)
        self.known = frozenset(pool)
        self.kept_out = frozenset(word for word in kept_out if len(word) > SHORTEST)
        self.short = [word for word in self.pool if len(word) <= _LONGEST_HALF]
        self.seams: dict[str, list[tuple[int, int]]] = defaultdict(list)
        endings: Counter[str] = Counter()
        beginnings: Counter[str] = Counter()
        for k, word in enumerate(self.pool):
            for place in range(SEAM, len(word)):
                self.seams[word[place - SEAM : place]].append((k, place))
            for size in range(1, len(word) - SHORTEST + 1):
                if size <= 6 and word[:-size] in self.known:
                    endings[word[-size:]] += 1
                if 1 < size <= 5 and word[size:] in self.known and len(word) - size > SHORTEST:
                    beginnings[word[:size]] += 1
        self.endings = _weighted(endings)
        self.beginnings = _weighted(beginnings)

    def draw(self) -> Iterator[str]:
        """Words without end, none twice."""
        ways = {
            "spliced": lambda: self._spliced(self.random.choice(self.pool)),
            "spliced twice": lambda: self._spliced(self._spliced(self.random.choice(self.pool))),
            "affixed": self._affixed,
            "compound": lambda: self.random.choice(self.short) + self.random.choice(self.short),
            "mutated": self._mutated,
        }
        done: set[str] = set()
        kinds, weights = list(_KINDS), list(_KINDS.values())
        while True:
            for kind in self.random.choices(kinds, weights, k=1000):
                word = ways[kind]()
                if SHORTEST <= len(word) <= LONGEST and word not in done and self.allowed(word):
                    done.add(word)
                    yield word

    def allowed(self, word: str) -> bool:
        """Whether a word is new and no kin of one that is kept out."""
        if word in self.known or use_of(word) != "train":
            return False
        cuts = range(len(word) + 1)
        return not any(word[:cut] in self.kept_out or word[cut:] in self.kept_out for cut in cuts)

    def _spliced(self, word: str) -> str:
        """The beginning of a word and the end of another, which meet in SEAM letters that both have."""
        if len(word) <= SEAM:
            return word
        place = self.random.randrange(SEAM, len(word) + 1)
        others = self.seams.get(word[place - SEAM : place])
        if not others:
            return word
        other, start = self.random.choice(others)
        return word[:place] + self.pool[other][start:]

    def _affixed(self) -> str:
        word = self.random.choice(self.pool)
        if self.random.random() < 0.3:
            word = self.random.choices(*self.beginnings)[0] + word
            if self.random.random() < 0.5:
                return word
        ending = self.random.choices(*self.endings)[0]
        if word[-1] == "e" and ending[0] in VOWELS | {"y"}:
            word = word[:-1]
        elif word[-1] == "y" and word[-2] not in VOWELS and ending[0] != "i":
            word = f"{word[:-1]}i"
        return word + ending

    def _mutated(self) -> str:
        """A word with one letter changed, left out or put in, by the letters of another word."""
        word, other = self.random.choice(self.pool), self.random.choice(self.pool)
        place = self.random.randrange(len(word))
        letter = self.random.choice(other) * self.random.randrange(2)
        return word[:place] + letter + word[place + self.random.randrange(2) :]


def _weighted(counts: Counter[str]) -> tuple[list[str], list[float]]:
    """The commonest affixes, drawn by the root of their count, so that rare ones are seen too."""
    common = counts.most_common(AFFIXES)
    return [affix for affix, _ in common], [count**0.5 for _, count in common]
