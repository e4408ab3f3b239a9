"""Words and what espeak says for them: in the middle of a sentence, beside words that leave them alone."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from moksori.text import phonemes
from moksori.text.english_context import Sounds

_LEVEL = re.compile(r".+\.(\d+)")
_NAME = re.compile(r"[a-z]+('[a-z]+)?")
_CARRIER = Sounds(("θ", "ɪ", "ŋ"), (0, 1, 0))
_ENDINGS = (
    "ations", "ation", "ness", "ments", "ment", "ings", "ing", "edly", "ed", "ers", "er", "est", "ily", "ly", "ies",
    "es", "s", "e", "y", "i",
)  # fmt: skip
_CLIPPED = ("'tis", "'twas", "'em", "'til", "'cause", "'bout", "'round", "'twill", "'twere", "'twould")
NUMBERS = tuple(
    f"{ten}-{one}"
    for ten in ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
    for one in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
)
MOST_COMMON = 80
"""The rarest of SCOWL's lists that is read (10, 20, 35, ... 95)."""
NAMES = 85
"""The level of what CMUdict alone has."""


def word_lists(scowl: Path, cmudict: Path) -> dict[str, int]:
    """Words of SCOWL's lists and of CMUdict with their level, the rarer the higher, and the letters; no possessives."""
    words: dict[str, int] = dict.fromkeys((*"BCDEFGHJKLMNOPQRSTUVWXYZ", *_CLIPPED), 10)
    for path in sorted(scowl.iterdir()):
        match = _LEVEL.fullmatch(path.name)
        if not match or int(match[1]) > MOST_COMMON:
            continue
        for word in path.read_text(encoding="utf-8", errors="replace").split():
            if not word.endswith("'s") and "\ufffd" not in word:
                words[word] = min(words.get(word, NAMES), int(match[1]))
    known = {word.lower() for word in words}
    for line in cmudict.read_text(encoding="utf-8").splitlines():
        word = line.split()[0]
        if _NAME.fullmatch(word) and not word.endswith("'s") and word not in known:
            words[word.capitalize()] = NAMES
    return {word: level for word, level in words.items() if all(c.isalpha() or c == "'" for c in word)}


def beside(before: str, word: str, after: str = "thing") -> Sounds | None:
    """espeak's sounds of a word in a clause of its own; None where it runs together or is said as several."""
    groups = phonemes._groups.__wrapped__("en-us", f"thing {before} {word} {after}".replace("  ", " "))
    if len(groups) != 3 + bool(before) or (groups[-1].phones, groups[-1].stress) != (_CARRIER.phones, _CARRIER.stress):
        return None
    return Sounds(groups[-2].phones, groups[-2].stress)


def said(words: Iterable[str]) -> Iterator[tuple[str, Sounds]]:
    """Each word with its sounds, those left out that espeak says as several words."""
    for word in words:
        sounds = beside("", word)
        if sounds is not None:
            yield word, sounds


def by_letters(sounds: Mapping[str, Sounds], levels: Mapping[str, int]) -> dict[str, str]:
    """Lower-case spelling -> the written word whose sounds it has: the commonest, a lower-case one among equals."""
    found: dict[str, str] = {}
    for word in sorted(sounds, key=lambda word: (levels[word], word != word.lower(), word)):
        found.setdefault(word.lower(), word)
    return found


def family(word: str) -> str:
    """What a word's inflections and commonest derivations share."""
    stem = re.sub("[^a-z]", "", word.lower())
    for _ in range(3):
        ending = next((e for e in _ENDINGS if stem.endswith(e) and len(stem) - len(e) >= 3), None)
        if ending is None:
            break
        stem = stem.removesuffix(ending)
    return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem


def use_of(word: str) -> str:
    """ "train", or for one family in forty each "valid" and "test": words and inflections that training never sees."""
    place = int(hashlib.sha1(family(word).encode()).hexdigest()[:8], 16) % 1000
    return "valid" if place < 25 else "test" if place < 50 else "train"
