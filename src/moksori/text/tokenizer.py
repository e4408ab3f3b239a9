"""Text -> token ids, stress and word spans: what every text model is given.

Mode "phones" (house default): a token is a phone of espeak's, so affricates, diphthongs and long vowels are one token;
stress is an array beside the tokens; exactly one token stands between two words, the gap or the strongest mark of the
punctuation there; none where espeak runs two words together. Mode "characters" (official VITS and Piper): a token is a
character of the IPA text, stress and length marks included. Mode "letters" (MMS and other voices without phonemes): a
token is a character of the written text. Mode "arpabet" (published Flowtrons): a token is a character of the written
text or an ARPAbet unit of a word that a dictionary knows (text.mixed).
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int
from pydantic import Field, model_validator

from moksori.config import Config
from moksori.errors import ConfigError, TextError
from moksori.text.arpabet import given_units, pronunciations, units_of
from moksori.text.inline import all_given, links_inlined, without_sounds
from moksori.text.letters import spelled
from moksori.text.lexicon import Lexicon, LexiconSource
from moksori.text.mixed import Mixing, mixed
from moksori.text.normalize import normalize
from moksori.text.phonemes import Pause, Phonemizer, SpokenWord, sounds_of, split_phones
from moksori.text.symbols import END, FLOWTRON_SYMBOLS, GAP, PAD, START, SYMBOLS, UNIT, symbol_ids

STRENGTH = '?!.…;:—,¡¿"“”«»'
"""Of several punctuation marks between two words the first in this order stands for all."""


class TextConfig(Config):
    """How text becomes tokens; saved with each model, so that its ids never change."""

    language: str = "en-us"
    """An espeak voice; `encode` can be told another one."""
    mode: Literal["phones", "characters", "letters", "arpabet"] = "phones"
    """A token a phone with stress beside it, a token a character of the IPA text, one a character as written, or words
    in ARPAbet among such characters (its symbols and ends are those of the published Flowtrons, unless set)."""
    blanks: bool = False
    """A blank between all tokens, and where `blank_places` says: 2N + 1 or 2N - 1 tokens."""
    blank: str = PAD
    """The symbol of the blanks; imported voices have others."""
    blank_places: Literal["around", "between"] = "around"
    """`around`: also before the first and after the last token; `between` (Piper): not there."""
    ends: bool = True
    """`^` and `$` around the text: they take the silence before and after speech."""
    language_token: bool = False
    """A token such as `<de>` after the start, for models of several languages."""
    symbols: tuple[str, ...] = SYMBOLS
    """Position is id; appended only."""
    phoneme_share: float = Field(default=1.0, ge=0.0, le=1.0)
    """Mode "arpabet": share of the words in training texts that become sounds, of those that can. Where a text is
    spoken all do, or with 0 none."""
    dictionary: str | None = None
    """Mode "arpabet": a file of CMUdict's format; null: the lexicon of this package."""
    keep_ambiguous: bool = False
    """Mode "arpabet": whether words with several pronunciations become sounds too, the first of them."""

    @model_validator(mode="before")
    @classmethod
    def _flowtron_table(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("mode") == "arpabet":
            return {"symbols": FLOWTRON_SYMBOLS, "ends": False, **values}
        return values


@dataclass(frozen=True)
class Word:
    """A written word and its tokens `[start_token, end_token)`; empty where espeak says nothing for it."""

    text: str
    start_token: int
    end_token: int


@dataclass(frozen=True)
class Encoded:
    """Tokens of one text.

    stress: 0 none, 1 primary, 2 secondary, on the vowels that carry it (all 0 in mode "characters").
    unknown: symbols that the table lacks, each once; they were left out. phonemes: the IPA text, with punctuation.
    """

    tokens: Int[np.ndarray, " tokens"]
    stress: Int[np.ndarray, " tokens"]
    words: tuple[Word, ...]
    unknown: tuple[str, ...]
    phonemes: str


class Tokenizer:
    """Token ids of texts under a TextConfig.

    lexicon: pronunciations that come before normalisation and espeak; those bound to a voice hold here whatever voice
    it is. `[[həlˈoʊ]]` and `[hello](/həlˈoʊ/)` in a text hold sounds (text.inline). training: whether texts are learnt
    from, see `TextConfig.phoneme_share`.
    Raises ConfigError for a symbol table that lacks what the other settings need.
    """

    def __init__(
        self, config: TextConfig | None = None, lexicon: LexiconSource | None = None, training: bool = False
    ) -> None:
        self.config = config or TextConfig()
        self._training = training
        self.ids = symbol_ids(self.config.symbols)
        self.lexicon = Lexicon.of(lexicon)
        self._phonemizers: dict[str, Phonemizer] = {}
        needed = [(self.config.blank, "blanks=true")] if self.config.blanks else []
        if self.config.mode == "phones":
            needed += [(PAD, "padding"), (GAP, "the gap between words")]
        if self.config.ends:
            needed += [(START, "ends=true"), (END, "ends=true")]
        for symbol, purpose in needed:
            if symbol not in self.ids:
                raise ConfigError(
                    f"setting symbols lacks {symbol!r}, which {purpose} needs: append it or change the setting"
                )

    @property
    def vocabulary_size(self) -> int:
        """Rows that an embedding of these tokens needs."""
        return len(self.config.symbols)

    def encode(self, text: str, language: str | None = None) -> Encoded:
        """Tokens of a text, normalised first; never fails on odd symbols, which are reported in `unknown`.

        language: of this text, the configuration's by default. Text with nothing to speak gives the ends alone.
        Raises UnknownName for a language that espeak lacks, MissingExtra without the espeak extra, and TextError for a
        dictionary that cannot be read.
        """
        language = language or self.config.language
        text = self._marked(text, language)
        items = self._items(text, language)
        draft = _Draft(self.ids)
        if self.config.ends:
            draft.add(START)
        if self.config.language_token:
            draft.add(f"<{Phonemizer(language).language}>")
        for item in items:
            if isinstance(item, Pause):
                self._add_pause(draft, item)
            else:
                self._add_word(draft, item)
        if self.config.ends:
            draft.add(END)
        return draft.finished(
            "".join(i.text if isinstance(i, Pause) else _shown(i) for i in items).strip(),
            self.ids[self.config.blank] if self.config.blanks else None,
            self.config.blank_places == "around",
        )

    def check_sounds(self, text: str, language: str | None = None) -> None:
        """Raises TextError naming the symbols of given sounds, in the text or the lexicon, that the table lacks."""
        for given in all_given(self._marked(text, language or self.config.language)):
            if given.respelled:
                continue
            draft = _Draft(self.ids)
            in_units = self.config.mode == "arpabet" and given_units(given.sounds) is not None
            for phone in () if in_units else sounds_of(given.sounds):
                if self.config.mode == "arpabet":
                    if units_of((phone,), (0,)) is None:
                        draft.unknown[phone] = None
                elif self.config.mode == "phones":
                    draft.add_phone(phone, 0)
                else:
                    for character in phone:
                        draft.add(character)
            if draft.unknown:
                named = ", ".join(f"{symbol!r}" for symbol in draft.unknown)
                raise TextError(
                    f"the sounds {given.sounds[:40]!r}: this voice has no symbol {named}: write IPA as in [[həlˈoʊ]]"
                )

    def _marked(self, text: str, language: str) -> str:
        """Text whose words with sounds of their own carry them."""
        text = self.lexicon.marked(links_inlined(text), language)
        return without_sounds(text) if self.config.mode == "letters" else text

    def _items(self, text: str, language: str) -> tuple[SpokenWord | Pause, ...]:
        if self.config.mode == "letters":
            return spelled(text, language, self.ids)
        if self.config.mode != "arpabet":
            return self._spoken(text, language)
        share = self.config.phoneme_share
        how = Mixing(
            pronunciations(self.config.dictionary),
            self.ids,
            share if self._training else float(share > 0.0),
            self.config.keep_ambiguous,
        )
        return mixed(text, language, how)

    def _spoken(self, text: str, language: str) -> tuple[SpokenWord | Pause, ...]:
        if language not in self._phonemizers:
            self._phonemizers[language] = Phonemizer(language)
        return self._phonemizers[language].phonemize(normalize(text, language))

    def _add_pause(self, draft: "_Draft", pause: Pause) -> None:
        if self.config.mode != "phones":
            for character in pause.text:
                draft.add(character)
        else:
            marks = sorted(pause.marks, key=STRENGTH.index)
            draft.add("…" if "..." in pause.marks else marks[0] if marks else GAP)

    def _add_word(self, draft: "_Draft", word: SpokenWord) -> None:
        start = len(draft.tokens)
        if self.config.mode == "arpabet":
            for symbol in word.phones:
                draft.add(symbol)
        elif self.config.mode != "phones":
            for character in word.ipa:
                draft.add(character)
        else:
            for phone, stress in zip(word.phones, word.stress, strict=True):
                draft.add_phone(phone, stress)
        draft.words.append(Word(word.text, start, len(draft.tokens)))


class _Draft:
    """Tokens being collected."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self.ids = ids
        self.tokens: list[int] = []
        self.stress: list[int] = []
        self.words: list[Word] = []
        self.unknown: dict[str, None] = {}

    def add(self, symbol: str, stress: int = 0) -> None:
        if symbol in self.ids:
            self.tokens.append(self.ids[symbol])
            self.stress.append(stress)
            return
        # Some tables (Piper's) hold letters and their marks apart: ç as c and a cedilla.
        parts = unicodedata.normalize("NFD", symbol)
        if len(parts) > 1 and all(part in self.ids for part in parts):
            for part in parts:
                self.add(part, stress)
        else:
            self.unknown[symbol] = None

    def add_phone(self, phone: str, stress: int) -> None:
        """A phone as one token, or cut into known symbols; the first that is known carries the stress."""
        if phone in self.ids:
            self.add(phone, stress)
            return
        for part in split_phones(phone, self.ids):
            before = len(self.tokens)
            self.add(part, stress)
            stress = 0 if len(self.tokens) > before else stress

    def finished(self, phonemes: str, blank: int | None, around: bool) -> Encoded:
        tokens = np.array(self.tokens, dtype=np.int64)
        stress = np.array(self.stress, dtype=np.int64)
        words = tuple(self.words)
        if blank is not None:
            tokens, stress = _interspersed(tokens, blank), _interspersed(stress, 0)
            words = tuple(_between_blanks(word) for word in words)
            if not around and len(tokens) > 1:
                tokens, stress = tokens[1:-1], stress[1:-1]
                words = tuple(Word(w.text, max(w.start_token - 1, 0), max(w.end_token - 1, 0)) for w in words)
        return Encoded(tokens, stress, words, tuple(self.unknown), phonemes)


def _shown(word: SpokenWord) -> str:
    """A word as it is said, ARPAbet in braces."""
    units = [phone.removeprefix(UNIT) for phone in word.phones if len(phone) > 1 and phone.startswith(UNIT)]
    return f"{{{' '.join(units)}}}" if units else word.ipa


def _interspersed(values: Int[np.ndarray, " tokens"], filler: int) -> Int[np.ndarray, " spaced"]:
    """N values with a filler between all and at both ends: 2N + 1."""
    result = np.full(2 * len(values) + 1, filler, dtype=np.int64)
    result[1::2] = values
    return result


def _between_blanks(word: Word) -> Word:
    if word.end_token == word.start_token:
        return Word(word.text, 2 * word.start_token, 2 * word.start_token)
    return Word(word.text, 2 * word.start_token + 1, 2 * word.end_token)
