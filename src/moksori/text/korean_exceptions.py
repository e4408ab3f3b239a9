"""What the spelling of a Korean word does not tell of its pronunciation: a list of words, kept as marked spellings.

`data/korean_exceptions.txt` holds words by article of the Standard Pronunciation Rules, under heads `[article place]`;
place is `start` (of a written word), `any` (also inside one) or `end` (a last part, two syllables or more before it).
Marks stand before the syllable that they change:

    '  its onset is tense (갈'등)          +  ㄴ is added to it (솜+이불)       -  its ㄹ is said ㄴ (생산-량)
    =  the coda before it moves to it, made neutral (겉=옷)  ~  the ㅅ before it is silent, its onset tense (냇~가)
    at the end: ' a tense ending follows (껴안'), | only a particle or nothing may follow (한_+일|, with _ for a space)

`written:respelled` says the rest (넓죽:넙죽). A word without marks is protected: no shorter entry is looked for in it.
A word becomes a respelling of as many syllables, so that particles and endings after it go on by the rules.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from moksori.text.hangul import NEUTRAL, TENSE, compose, decompose

PARTICLE = re.compile(
    r"(?:이(?:나|며|라|랑|든|야|고|다|지|네|니|었|에|예|ㄴ)?|은|을|도|만|에|의|가|는|를|과|와|로|으로|부터|까지|께|한테|하고|처럼|보다|마다|"
    r"조차|마저|들|뿐|밖에|인|일|임|입니|였|였다|역시|같|쯤|씩|만큼|라|나|며|든|랑|야|요)"
)
"""How what follows a noun within one written word begins."""

_HEAD = re.compile(r"\[(\S+) (start|any|end)\]")
_ENDING = frozenset("고다지던더든도게거건자소습죠구길")
_MARKS = "'+-=~"
_MARKABLE = {(mark, onset) for mark in "'~" for onset in TENSE} | {("-", "ㄹ"), ("+", "ㅇ"), ("=", "ㅇ")}


@dataclass(frozen=True)
class Entry:
    """A word as written and respelled (as many characters); what has to follow it."""

    written: str
    respelled: str
    article: str
    before_ending: bool = False
    before_particle: bool = False


@dataclass(frozen=True)
class Exceptions:
    """Words of a list by where they may stand: at the start of a written word, anywhere, or as its last part."""

    start: dict[str, Entry]
    any: dict[str, Entry]
    end: dict[str, Entry]
    longest: int

    def __len__(self) -> int:
        return len(self.start) + len(self.any) + len(self.end)

    def respelled(self, text: str) -> tuple[str, frozenset[int]]:
        """Text (Hangul syllables and single spaces) with its exceptions respelled, longest first from left to right.

        Also the positions of the spaces inside what was respelled, where two words are said as one.
        """
        characters = list(text)
        spaces: set[int] = set()
        position = word_start = 0
        while position < len(text):
            entry = self._at(text, position, word_start)
            if entry is None:
                word_start = position + 1 if text[position] == " " else word_start
                position += 1
                continue
            end = position + len(entry.written)
            if entry.written != entry.respelled:
                characters[position:end] = entry.respelled
                spaces.update(k for k in range(position, end) if text[k] == " ")
            if entry.before_ending:
                characters[end] = tensed(text[end])
            word_start = max(word_start, text.rfind(" ", 0, end) + 1)
            position = end
        return "".join(characters), frozenset(spaces)

    def _at(self, text: str, position: int, word_start: int) -> Entry | None:
        for length in range(min(self.longest, len(text) - position), 0, -1):
            piece = text[position : position + length]
            entry = self.any.get(piece)
            if entry is None and position == word_start:
                entry = self.start.get(piece)
            if entry is None and position - word_start >= 2:
                entry = self.end.get(piece)
                if entry is not None and not _continues(text[position - 1], entry):
                    entry = None
            if entry is not None and _fits(entry, text, position + length):
                return entry
        return None


def read_exceptions(text: str) -> Exceptions:
    """The exceptions of a list as the head of this module describes it. Raises ValueError naming a bad line or word."""
    places: dict[str, dict[str, Entry]] = {"start": {}, "any": {}, "end": {}}
    article = place = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if head := _HEAD.fullmatch(line.strip()):
            article, place = head[1], head[2]
            continue
        if not place:
            raise ValueError(f"{line!r} stands before the first head such as [26 any]")
        for marked in line.split():
            entry = read_entry(marked.replace("_", " "), article)
            places[place][entry.written] = entry
    longest = max((len(written) for words in places.values() for written in words), default=0)
    return Exceptions(places["start"], places["any"], places["end"], longest)


def read_entry(marked: str, article: str = "") -> Entry:
    """One marked spelling. Raises ValueError for a mark that does not fit what it stands before."""
    spelling, particle = marked.removesuffix("|"), marked.endswith("|")
    spelling, ending = spelling.removesuffix("'"), spelling.endswith("'")
    written, colon, respelled = spelling.partition(":")
    if not colon:
        written, respelled = "".join(c for c in spelling if c not in _MARKS), _unmarked(spelling)
    if len(written) != len(respelled) or not written:
        raise ValueError(f"{marked!r}: {written!r} and {respelled!r} differ in length")
    return Entry(written, respelled, article, ending, particle)


def tensed(character: str) -> str:
    """A syllable with its plain onset made tense; others as they are."""
    letters = decompose(character)
    if letters is None:
        return character
    return compose(TENSE.get(letters.onset, letters.onset), letters.vowel, letters.coda)


def _unmarked(spelling: str) -> str:
    result: list[str] = []
    mark = ""
    for character in spelling:
        if character in _MARKS:
            mark = character
            continue
        letters = decompose(character)
        if mark and letters is None:
            raise ValueError(f"{spelling!r}: the mark {mark!r} stands before no syllable")
        if mark and letters is not None:
            onset = letters.onset
            if (mark, onset) not in _MARKABLE:
                raise ValueError(f"{spelling!r}: the mark {mark!r} does not fit {character!r}")
            if mark == "=":
                result[-1], onset = _without_coda(spelling, result[-1], mark)
            elif mark == "~":
                result[-1], _ = _without_coda(spelling, result[-1], mark)
                onset = TENSE[onset]
            else:
                onset = "ㄴ" if mark in "+-" else TENSE[onset]
            character = compose(onset, letters.vowel, letters.coda)
        result.append(character)
        mark = ""
    return "".join(result)


def _without_coda(spelling: str, character: str, mark: str) -> tuple[str, str]:
    """A syllable without its coda, and the coda made neutral."""
    letters = decompose(character)
    if letters is None or not letters.coda or (mark == "~" and letters.coda != "ㅅ"):
        raise ValueError(f"{spelling!r}: the mark {mark!r} stands after {character!r}, which has no coda for it")
    return compose(letters.onset, letters.vowel), NEUTRAL[letters.coda]


def _fits(entry: Entry, text: str, end: int) -> bool:
    rest = text[end : end + 4]
    if entry.before_ending:
        return rest[:1] in _ENDING and rest[:1] != ""
    if entry.before_particle:
        return not rest or rest[0] == " " or PARTICLE.match(rest) is not None
    return True


def _continues(before: str, entry: Entry) -> bool:
    """Whether an entry for last parts fits the syllable before it: ㄴ is added after any coda, ㄹ stays ㄴ after ㄴ."""
    last, first = decompose(before), decompose(entry.written[0])
    if last is None or first is None:
        return False
    return last.coda == "ㄴ" if first.onset == "ㄹ" else last.coda != ""


@lru_cache(maxsize=1)
def bundled() -> Exceptions:
    """The list that the package brings."""
    path = files("moksori.text").joinpath("data/korean_exceptions.txt")
    return read_exceptions(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def word_classes() -> dict[str, tuple[str, ...]]:
    """The words of `data/korean_word_classes.txt` by the name of their class."""
    classes: dict[str, list[str]] = {}
    name = ""
    for line in files("moksori.text").joinpath("data/korean_word_classes.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[] ")
        elif line and not line.startswith("#"):
            classes.setdefault(name, []).extend(line.split())
    return {name: tuple(words) for name, words in classes.items()}
