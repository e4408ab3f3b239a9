"""From the characters of espeak, as Piper hands them over, to a voice's own tokens.

Piper has an id for each character of espeak's IPA, stress and length marks too, with the pad id between them. Our
tokens are phones of one to three characters with the stress beside them, exactly one token between two words, and
blanks only where the voice wants them. `PiperTable` holds what the translation needs as numbers, `translated` does it a
character at a time; the exported graph does the same with tensors (piper_graph) and is compared with it.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moksori.text.symbols import END, GAP, PAD, PUNCTUATION, START, STRESS_MARKS, VOWELS, symbol_ids
from moksori.text.tokenizer import STRENGTH, TextConfig

PIPER_PAD, PIPER_START, PIPER_END = 0, 1, 2
"""Ids of `_`, `^` and `$` in every Piper voice."""
GLIDE = "ʲ"
"""After a vowel espeak prints it for Piper where another vowel follows ("ðɪʲ ɛnd"), and not for us."""
TRILL, TAP, PLOSIVES = "r", "ɾ", frozenset("pbtdkɡ")
"""In German words espeak prints a trill after a plosive for Piper ("pr", "ɡr"), and a tap for us."""
_LONGEST = 6
"""Characters of a symbol; the longer ones of other projects' tables (`<PAD>`) stand for no sound."""

ALWAYS, BEFORE_NO_VOWEL, BEFORE_NO_VOWEL_NEAR = range(3)
"""When characters are one phone: always; unless a vowel follows in the word; unless one follows, in the next word or
this one."""

_APART: Mapping[str, frozenset[str]] = {
    "en": frozenset(("ts", "kh", "mh", "nh", "ph", "pf", "tɕ", "dʑ")),
    "de": frozenset(("tʃ", "kh", "mh", "nh", "ph", "pf", "əl", "aɪə", "iə")),
    "nl": frozenset(("ts", "kh", "mh", "nh", "ph", "pf", "əl", "iə")),
}
"""Symbols of the common table that espeak prints as two phones in a language: its "its" ends in t and s.

Counted over 1,351 English, 469 German and 1,117 Dutch sentences; what goes either way is decided by the majority."""
_CONDITIONS: Mapping[str, int] = {
    "əl": BEFORE_NO_VOWEL,
    "ɑːɹ": BEFORE_NO_VOWEL_NEAR,
    "ɔːɹ": BEFORE_NO_VOWEL_NEAR,
    "ɛɹ": BEFORE_NO_VOWEL_NEAR,
    "ɪɹ": BEFORE_NO_VOWEL_NEAR,
    "ʊɹ": BEFORE_NO_VOWEL_NEAR,
}
"""English: "air" is one phone, "airy" and "air is" have a vowel and an r."""


@dataclass(frozen=True)
class Gram:
    """Codes that together are one token, and when they are."""

    codes: tuple[int, ...]
    token: int
    condition: int = ALWAYS


@dataclass(frozen=True)
class Translated:
    """Tokens with their stress, and the place among Piper's ids where each began."""

    tokens: list[int]
    stress: list[int]
    places: list[int]


class PiperTable:
    """The alphabet of a voice, as Piper is told it, and what its codes mean for the voice's tokens.

    ids: character -> the id that Piper gives it. characters: by id. stress: 0, 1, 2 by id. pause: by id, the place in
    `pause_tokens` of the token that a pause with it alone has, -1 for sounds; the lowest of several is said. grams:
    which codes are which token.
    """

    def __init__(self, text: TextConfig) -> None:
        self.text = text
        own = {
            symbol: token
            for symbol, token in symbol_ids(text.symbols).items()
            if symbol and symbol not in (PAD, START, END) and not (symbol[0] == "<" and symbol[-1] == ">")
        }
        phones = text.mode == "phones"
        # In the other modes stress marks are tokens, and no token has several characters, whatever the table holds.
        own = {s: token for s, token in own.items() if (s not in STRESS_MARKS if phones else len(s) == 1)}
        sounds = {unicodedata.normalize("NFD", symbol): token for symbol, token in own.items()}
        sounds = {symbol: token for symbol, token in sounds.items() if len(symbol) <= _LONGEST}
        marks = tuple(STRESS_MARKS) if phones else ()
        characters = dict.fromkeys(marks + tuple(character for symbol in sounds for character in symbol))
        self.characters = (PAD, START, END, *(c for c in characters if c not in (PAD, START, END)))
        self.ids = {character: index for index, character in enumerate(self.characters)}
        pauses = [mark for mark in (*STRENGTH, GAP) if mark in self.ids] if phones else []
        self.pause_tokens = [sounds[mark] for mark in pauses]
        self.stress = [STRESS_MARKS.get(character, 0) if phones else 0 for character in self.characters]
        self.pause = [pauses.index(character) if character in pauses else -1 for character in self.characters]
        self.vowel = [character in VOWELS for character in self.characters]
        self.gap = self.ids[GAP] if phones and GAP in self.ids else -1
        self.glide = self.ids[GLIDE] if phones and GLIDE in self.ids else -1
        self.before_glide = [character in VOWELS or character == "ː" for character in self.characters]
        language = text.language.partition("-")[0]
        self.trill, self.tap = -1, -1
        if phones and language == "de" and {TRILL, TAP} <= set(self.ids):
            self.trill, self.tap = self.ids[TRILL], sounds[TAP]
        self.before_tap = [character in PLOSIVES for character in self.characters]
        apart = _APART.get(language, frozenset()) if phones else frozenset()
        conditions = _CONDITIONS if phones and language == "en" else {}
        self.grams = [
            Gram(tuple(self.ids[character] for character in symbol), token, conditions.get(symbol, ALWAYS))
            for symbol, token in sounds.items()
            if symbol not in apart and not (phones and symbol in PUNCTUATION + GAP)
        ]
        self.longest = max((len(gram.codes) for gram in self.grams), default=1)
        ids = symbol_ids(text.symbols)
        self.head = [ids[START]] if text.ends else []
        if text.language_token:
            self.head.append(ids[f"<{text.language}>"])
        self.tail = [ids[END]] if text.ends else []
        self.blank = ids[text.blank] if text.blanks else None

    def id_map(self) -> dict[str, list[int]]:
        """Piper's `phoneme_id_map`; capitals that a voice of letters lacks are their small ones."""
        found = {character: [index] for character, index in self.ids.items()}
        if self.text.mode == "letters":
            for character, index in self.ids.items():
                if index > PIPER_END and len(character.upper()) == 1:
                    found.setdefault(character.upper(), [index])
        return found


def translated(table: PiperTable, ids: Sequence[int]) -> Translated:
    """The tokens of one text of Piper's."""
    codes: list[tuple[int, int, int]] = []  # code, stress, place
    waiting = 0
    for place, code in enumerate(ids):
        if code in (PIPER_PAD, PIPER_START, PIPER_END):
            continue
        if table.stress[code]:
            waiting = table.stress[code]
            continue
        codes.append((code, waiting, place))
        waiting = 0
    grams = {gram.codes: gram for gram in table.grams}
    found = Translated(list(table.head), [0] * len(table.head), [0] * len(table.head))
    position = 0
    while position < len(codes):
        code, stress, place = codes[position]
        length = 1
        if table.pause[code] >= 0:
            while position + length < len(codes) and table.pause[codes[position + length][0]] >= 0:
                length += 1
            strongest = min(table.pause[c] for c, _, _ in codes[position : position + length])
            token, stress = table.pause_tokens[strongest], 0
        else:
            gram = _longest(table, grams, codes, position)
            length, token = (1, -1) if gram is None else (len(gram.codes), gram.token)
            if code == table.glide and length == 1 and position and table.before_glide[codes[position - 1][0]]:
                token = -1
            if code == table.trill and length == 1 and position and table.before_tap[codes[position - 1][0]]:
                token = table.tap
        if token >= 0:
            found.tokens.append(token)
            found.stress.append(stress)
            found.places.append(place)
        position += length
    found.tokens.extend(table.tail)
    found.stress.extend([0] * len(table.tail))
    found.places.extend([len(ids) - 1] * len(table.tail))
    return found if table.blank is None else _with_blanks(table, found)


def _longest(
    table: PiperTable, grams: Mapping[tuple[int, ...], Gram], codes: Sequence[tuple[int, int, int]], position: int
) -> Gram | None:
    """The longest token that starts at a position; stress can only be at its first character."""
    for length in range(min(table.longest, len(codes) - position), 0, -1):
        part = codes[position : position + length]
        gram = grams.get(tuple(code for code, _, _ in part))
        if gram is None or any(stress for _, stress, _ in part[1:]):
            continue
        following = [code for code, _, _ in codes[position + length : position + length + 2]]
        vowel = bool(following) and table.vowel[following[0]]
        near = vowel or (len(following) == 2 and following[0] == table.gap and table.vowel[following[1]])
        if gram.condition == ALWAYS or not (vowel if gram.condition == BEFORE_NO_VOWEL else near):
            return gram
    return None


def _with_blanks(table: PiperTable, plain: Translated) -> Translated:
    """Blanks between all tokens and, where the voice has them, at both ends; counted to the token before them."""
    assert table.blank is not None
    tokens, stress, places = [table.blank], [0], [0]
    for token, mark, place in zip(plain.tokens, plain.stress, plain.places, strict=True):
        tokens += [token, table.blank]
        stress += [mark, 0]
        places += [place, place]
    if table.text.blank_places == "between":
        tokens, stress, places = tokens[1:-1], stress[1:-1], places[1:-1]
    return Translated(tokens, stress, places)
