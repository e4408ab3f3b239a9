"""The one symbol table of all text models: ids are positions, so entries are appended and never re-ordered.

0-177 are the 178 symbols of the official English VITS models, in their order. Their IPA list holds the ASCII apostrophe
twice (ids 174 and 176); a dict filled in order keeps the last, so `'` is 176, as in the released checkpoints.
After them: further characters that espeak prints, the phones of several characters that its phone separator yields
(collected over the project's corpora and word lists of each language, sorted by code points), the ends of an utterance,
and one token a language. Behind these comes what was added since; a new language appends its characters, phones and
token at the end.
"""

PAD = "_"
PUNCTUATION = ';:,.!?¡¿—…"«»“”'
GAP = " "
START = "^"
END = "$"
STRESS_MARKS = {"ˈ": 1, "ˌ": 2}
"""IPA mark -> entry of the stress array: 1 primary, 2 secondary; 0 is none."""

LANGUAGES = ("en-us", "de", "nl", "ko")

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_IPA = (
    "ɑɐɒæɓʙβɔɕçɗɖðʤəɘɚɛɜɝɞɟʄɡɠɢʛɦɧħɥʜɨɪʝɭɬɫɮʟɱɯɰŋɳɲɴøɵɸθœɶʘɹɺɾɻʀʁɽʂʃʈʧʉʊʋⱱʌɣɤʍχʎʏʑʐʒʔʡʕʢǀǁǂǃˈˌːˑʼʴʰʱʲʷˠˤ˞↓↑→↗↘'\u0329'ᵻ"
)
_CHARACTERS = (
    "\u0303",  # combining tilde: nasal vowels of borrowed words
    "-",  # espeak's mark of Korean tense consonants
)
# fmt: off
_PHONES = (
    "aɪ", "aɪə", "aɪɚ", "aʊ", "aː", "dʑ", "dʒ", "eə", "eɪ", "eʊ", "eː", "iə", "iː", "k-", "kh", "l\u0329", "mh", "nh",
    "n\u0329", "oʊ", "oː", "p-", "pf", "ph", "q-", "s-", "t-", "ts", "tɕ", "tʃ", "tʲ", "uː", "yʊ", "yː", "øː", "œy",
    "œ\u0303", "ɑː", "ɑːɹ", "ɑ\u0303", "ɔø", "ɔɪ", "ɔː", "ɔːɹ", "ɔ\u0303", "əl", "əʊ", "ɛɪ", "ɛɹ", "ɛː", "ɛ\u0303",
    "ɜː", "ɪɹ", "ɪː", "ʊɐ", "ʊɹ", "ʌʊ",
)
# fmt: on

ESPEAK_BREATHED = ("kh", "mh", "nh", "ph")
"""How espeak spells some Korean phones; nobody else does."""

_KOREAN = (
    "\u031a",  # not released
    "kʰ", "tʰ", "pʰ", "tɕʰ", "tɕ-", "ɕ-", "k\u031a", "t\u031a", "p\u031a",
)  # fmt: skip
"""What the Korean rules tell apart and espeak has no symbol of its own for."""

OFFICIAL_SYMBOLS: tuple[str, ...] = (PAD, *PUNCTUATION, GAP, *_LETTERS, *_IPA)
"""The 178 of the official English VITS models."""

SYMBOLS: tuple[str, ...] = (
    *OFFICIAL_SYMBOLS,
    *_CHARACTERS,
    *_PHONES,
    START,
    END,
    *(f"<{language}>" for language in LANGUAGES),
    *_KOREAN,
)


ARPABET_VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
_ARPABET_CONSONANTS = (
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y",
    "Z", "ZH",
)  # fmt: skip
ARPABET: tuple[str, ...] = tuple(
    sorted([*_ARPABET_CONSONANTS, *(vowel + stress for vowel in ARPABET_VOWELS for stress in ("", "0", "1", "2"))])
)
"""The units of CMUdict: consonants, and vowels bare or with the stress 0 (none), 1 (primary) or 2 (secondary)."""
UNIT = "@"
"""Before an ARPAbet unit in a table that has letters too: `@K` is the sound, `K` the letter."""

FLOWTRON_SYMBOLS: tuple[str, ...] = (
    *"!'\",.:;? ",
    *"#%&*+-/[]()",
    *"_@©°½—₩€$",
    *"áçéêëñöøćž",
    *"0123456789",
    *_LETTERS,
    *(UNIT + unit for unit in ARPABET),
)
"""The 185 of the published Flowtron models, letters and sounds in one table; padding is 0 too, which is `!`."""


def symbol_ids(symbols: tuple[str, ...]) -> dict[str, int]:
    """Symbol -> id; of a symbol that is there twice the last id, as the reference code has it."""
    return {symbol: index for index, symbol in enumerate(symbols)}


SYMBOL_IDS: dict[str, int] = symbol_ids(SYMBOLS)
PAD_ID = SYMBOL_IDS[PAD]
GAP_ID = SYMBOL_IDS[GAP]
START_ID = SYMBOL_IDS[START]
END_ID = SYMBOL_IDS[END]

VOWELS = frozenset("aeiouyæɐɑɒɔəɘɚɛɜɝɞɤɨɪɯɵøœɶʉʊʌʏᵻ")
"""First characters of phones that are vowels."""


def is_vowel(phone: str) -> bool:
    """Whether a phone can carry a syllable: a vowel, a diphthong or a syllabic consonant."""
    return phone[:1] in VOWELS or "\u0329" in phone
