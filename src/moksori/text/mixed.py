"""English text -> letters and ARPAbet mixed, for models whose one table has both: the front end of published Flowtrons.

A word is said by its sounds where a dictionary knows one way to say it, and stays as it is written elsewhere, so that
words that nobody listed can still be spoken. Signs, case and spaces are kept. The cleaning, in this order: single
spaces; hyphens inside words become spaces; clock times; numbers (money, measures, ordinals, years in pairs); `no.`
before a number; acronyms by their sounds, or the names of their letters. Nothing is folded to ASCII or small letters,
but for letters that the table lacks. A writer's own units stand in braces: `{HH AH0 L OW1}`.
"""

import hashlib
import re
import unicodedata
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, islice, repeat

from moksori.text.arpabet import LETTER_NAMES, Pronunciations, Units, given_units, units_of
from moksori.text.english_amounts import MEASURES, MONEY
from moksori.text.english_dates import DECADES, TIMES
from moksori.text.english_numbers import FRACTIONS, ORDINALS, PLAIN_NUMBERS
from moksori.text.english_rules import UK, US, Rule, rule
from moksori.text.heteronyms import heteronyms
from moksori.text.inline import read_given
from moksori.text.normalize import RAW_PHONEMES, cleaned, normalize
from moksori.text.phonemes import Pause, Phonemizer, SpokenWord
from moksori.text.symbols import GAP, UNIT

MINIMUM_TOKENS = 4
"""Shorter texts get spaces around them: statistics over one or two tokens, as an instance norm takes, mean nothing."""
END_MARKS = ".!?;:,"
_LONGEST_SPELLED = 5
"""Capitals that are no word and more than these are not spelled: somebody shouts."""

_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")
_COUNTED = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen"
    "|nineteen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|oh|zero"
)
_NUMBER_SIGN = rule(rf"(?<![\w.'])[Nn]os?\. ?(?=(?:{_COUNTED})\b)", "number ")
_RULES: tuple[Rule, ...] = (
    *TIMES,
    *MONEY,
    *DECADES,
    *MEASURES,
    *FRACTIONS,
    *ORDINALS,
    *PLAIN_NUMBERS,
    _NUMBER_SIGN,
    rule("½", " one half "),
    rule("¼", " one quarter "),
    rule("¾", " three quarters "),
)
_PIECE = re.compile(r"([^\W\d_]+(?:'[^\W\d_]{1,2}(?![^\W\d_]))?)|.")
_ACRONYM = re.compile(r"([A-Z]{2,})(s?)")
_DROPPED = "_~{}"
_SINGLE = re.compile(r"(?<!\S)([A-Z])(?=[ .,;:!?]|$)(?:(?<=[A-Z] [A-Z])|(?= [A-Z](?![^\W_])))")
"""A capital beside another one: A M is no article."""
_SIBILANTS = ("S", "Z", "SH", "ZH", "CH", "JH")


@dataclass(frozen=True)
class Mixing:
    """Which words are said by their sounds.

    share: of the words that can be, how many: 1 all, 0 none; between them a word is drawn by a hash of the text and of
    its place in it, so that a text has the same mixture whenever it is read. keep_ambiguous: also words with several
    pronunciations, by the first. said: what knows pronunciations. known: the table's symbols.
    """

    said: Pronunciations
    known: Container[str]
    share: float = 1.0
    keep_ambiguous: bool = False


def mixed(text: str, language: str, how: Mixing) -> tuple[SpokenWord | Pause, ...]:
    """Words and what stands between them, in order; the `phones` of a word are its letters, or units after `@`.

    language: English is cleaned as above and mixed; of another one numbers and signs are read out by its rules where
    there are some, and all words stay letters. `[[...]]` as in text.inline. A text that ends with a word gets a full
    stop. Nothing for a text without a word.
    """
    english = language.split("-")[0] == "en"
    drawn = _drawn(text, how.share)
    items: list[SpokenWord | Pause] = []
    position = 0
    for match in (*RAW_PHONEMES.finditer(text), None):
        part = text[position : match.start() if match else None]
        items += _written(part, language, how, drawn) if english else _letters_only(part, language, how)
        if match is None:
            break
        items += _given(match[1], language, how)
        position = match.end()
    return _finished(items, how.known)


def clean(text: str, language: str = US) -> str:
    """An English text with times, numbers and `no.` as words; acronyms are found when words are."""
    text = _HYPHEN.sub(" ", cleaned(text))
    spoken = UK if language.startswith("en-gb") else US
    for pattern, speak in _RULES:
        text = pattern.sub(partial(_call, speak, spoken), text)
    return " ".join(text.split())


def _call(speak: object, language: str, match: re.Match[str]) -> str:
    assert callable(speak)
    return str(speak(match, language))


def _written(part: str, language: str, how: Mixing, drawn: Iterator[bool]) -> Iterator[SpokenWord | Pause]:
    """English text between what a writer gave the sounds of."""
    if part[:1].isspace():
        yield Pause(GAP)
    shouted = part.isupper()
    # What stands in braces is kept from the cleaning, whose numbers would be read out.
    for piece in re.split(r"(\{[^{}]*\})", part):
        units = given_units(piece[1:-1]) if piece.startswith("{") else None
        if units is not None:
            yield _word(piece, units)
            continue
        if piece[:1].isspace():
            yield Pause(GAP)
        cleaned_piece = clean(piece, language)
        initials = {match.start() for match in _SINGLE.finditer(cleaned_piece)}
        for match in _PIECE.finditer(cleaned_piece):
            word = match[1]
            if word is None:
                yield from _sign(match[0])
                continue
            sounds = LETTER_NAMES[word] if match.start() in initials else _sounds(word, how, shouted, next(drawn))
            yield _word(word, sounds) if sounds else _spelled(word, how.known)
        if piece[-1:].isspace():
            yield Pause(GAP)
    if part[-1:].isspace():
        yield Pause(GAP)


def _sounds(word: str, how: Mixing, shouted: bool, drawn: bool) -> Units:
    """How a word is said; nothing for one that stays letters."""
    acronym = None if shouted else _ACRONYM.fullmatch(word)
    found = how.said(word)
    if acronym is not None:  # whatever is drawn: its letters alone would be read as a word
        if found:
            return found[0]
        if len(acronym[1]) <= _LONGEST_SPELLED:
            return _plural(acronym[1], how) if acronym[2] else _named(acronym[1])
        return ()
    if not drawn or word.lower() in heteronyms():
        return ()
    if not found and word.endswith(("'s", "'S")) and word[:-2].lower() not in heteronyms():
        found = tuple((*units, "Z") for units in how.said(word[:-2]))
    return found[0] if found and (how.keep_ambiguous or len(found) == 1) else ()


def _plural(letters: str, how: Mixing) -> Units:
    whole = how.said(letters)
    units = whole[0] if whole else _named(letters)
    return (*units, *(("AH0", "Z") if units[-1] in _SIBILANTS else ("Z",)))


def _named(letters: str) -> Units:
    return tuple(unit for letter in letters for unit in LETTER_NAMES[letter])


def _drawn(text: str, share: float) -> Iterator[bool]:
    """For each word of a text in turn whether it is among the `share`, from a hash of the text."""
    if share in (0.0, 1.0):
        yield from repeat(bool(share))
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    for place in count():
        drawn = hashlib.blake2b(digest + place.to_bytes(8, "big"), digest_size=8).digest()
        yield int.from_bytes(drawn, "big") < share * 2**64


def _sign(character: str) -> Iterator[Pause]:
    """A sign, a digit or a space; these models drop some that are in their table."""
    if character not in _DROPPED:
        yield Pause(character)


def _word(written: str, units: Units) -> SpokenWord:
    return SpokenWord(written, tuple(UNIT + unit for unit in units), (0,) * len(units))


def _spelled(word: str, known: Container[str]) -> SpokenWord:
    """A word as its letters; one that the table lacks loses its marks."""
    letters: list[str] = []
    for letter in word:
        plain = unicodedata.normalize("NFD", letter)[0]
        letters.append(plain if letter not in known and plain in known else letter)
    return SpokenWord(word, tuple(letters), (0,) * len(letters))


def _letters_only(part: str, language: str, how: Mixing) -> Iterator[SpokenWord | Pause]:
    if part[:1].isspace():
        yield Pause(GAP)
    for match in _PIECE.finditer(normalize(part, language)):
        if match[1]:
            yield _spelled(match[1], how.known)
        else:
            yield from _sign(match[0])
    if part[-1:].isspace():
        yield Pause(GAP)


def _given(content: str, language: str, how: Mixing) -> tuple[SpokenWord | Pause, ...]:
    """What stands between `[[` and `]]`: other words to read, or sounds in IPA or in ARPAbet."""
    given = read_given(content)
    if given.respelled:
        items = mixed(given.sounds, language, how)
        return tuple(item for item in items if isinstance(item, SpokenWord) or item.text == GAP)
    written = given.written or given.sounds
    units = given_units(given.sounds)
    if units is None:
        said = Phonemizer("en-us").phonemize(f"[[{given.sounds}]]")
        words = [item for item in said if isinstance(item, SpokenWord)]
        units = tuple(unit for word in words for unit in _known_units(word))
    return (_word(written, units),) if units else (_spelled(given.written, how.known),)


def _known_units(word: SpokenWord) -> Iterator[str]:
    for phone, stress in zip(word.phones, word.stress, strict=True):
        yield from units_of((phone,), (stress,)) or ()


def _finished(items: list[SpokenWord | Pause], known: Container[str]) -> tuple[SpokenWord | Pause, ...]:
    """With single spaces, none at both ends, a mark at the end, and long enough."""
    joined: list[SpokenWord | Pause] = []
    for item in items:
        before = joined[-1] if joined else Pause(GAP)
        if isinstance(item, Pause) and item.text == GAP and isinstance(before, Pause) and before.text == GAP:
            continue
        if isinstance(item, SpokenWord) and not item.phones:
            continue
        joined.append(item)
    while joined and isinstance(joined[-1], Pause) and joined[-1].text == GAP:
        joined.pop()
    if not any(isinstance(item, SpokenWord) for item in joined):
        return ()
    if isinstance(joined[-1], SpokenWord):
        joined.append(Pause("."))
    symbols = (symbol for item in joined for symbol in (item.phones if isinstance(item, SpokenWord) else item.text))
    missing = MINIMUM_TOKENS - sum(symbol in known for symbol in islice(symbols, 100))
    if missing > 0:
        joined = [*[Pause(GAP)] * (missing // 2), *joined, *[Pause(GAP)] * (missing - missing // 2)]
    return tuple(joined)
