"""Sounds written into a text: what is said, what the timings show, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.errors import TextError
from moksori.text.inline import as_sounds, as_words, links_inlined, read_given
from moksori.text.phonemes import sounds_of
from moksori.text.symbols import OFFICIAL_SYMBOLS, SYMBOLS
from moksori.text.tokenizer import Encoded, TextConfig, Tokenizer

try:
    import espeakng_loader  # noqa: F401
    import phonemizer  # noqa: F401

    HAS_ESPEAK = True
except ImportError:
    HAS_ESPEAK = False
needs_espeak = pytest.mark.skipif(not HAS_ESPEAK, reason="the extra 'espeak' is not installed")


def spoken(encoded: Encoded) -> list[tuple[str, str]]:
    return [(w.text, "".join(SYMBOLS[t] for t in encoded.tokens[w.start_token : w.end_token])) for w in encoded.words]


def test_links_become_sounds_with_their_word() -> None:
    encoded = Tokenizer().encode("[hello](/həˈloʊ/) [[wˈɜːld]], [a](/ˈeɪ/)")
    assert spoken(encoded) == [("hello", "həloʊ"), ("wˈɜːld", "wɜːld"), ("a", "eɪ")]
    assert encoded.phonemes == "həlˈoʊ wˈɜːld, ˈeɪ"
    assert encoded.unknown == ()


def test_several_words_share_sounds_one_by_one_or_as_a_whole() -> None:
    assert spoken(Tokenizer().encode("[New York](/nˈuː jˈɔːɹk/)")) == [("New", "nuː"), ("York", "jɔːɹk")]
    assert spoken(Tokenizer().encode("[IBM](/ˈaɪ biː ˈɛm/)")) == [("IBM", "aɪ biː ɛm")]


@needs_espeak
def test_respellings_are_read_as_text_and_shown_as_written() -> None:
    encoded = Tokenizer().encode(f"Use {as_words('SQL', 'sequel')} {as_words('10:30', 'half past 10, sir')}.")
    words = spoken(encoded)
    assert [word for word, _ in words] == ["Use", "SQL", "10:30"]
    assert words[1][1] == "siːkwəl"
    assert words[2][1].startswith("hæf pæst tɛn,")
    assert not any(SYMBOLS[token] == "…" for token in encoded.tokens)


@needs_espeak
def test_protected_words_are_kept_from_the_normaliser() -> None:
    words = [
        word
        for word, _ in spoken(Tokenizer(lexicon={"Dr. No": "dˈɑk nˈoʊ", "5G": "five gee"}).encode("Dr. No's 5G, 5 G"))
    ]
    assert words == ["Dr.", "No's", "5G", "five", "G"]


def test_plain_brackets_and_markdown_links_are_text() -> None:
    for text in ("[a](b)", "[a](/b)", "see [1]", "[](/b/)", "[a](/b/c/)"):
        assert links_inlined(text) == text


@pytest.mark.parametrize(
    ("text", "named"), [("[[həʬl]]", "'ʬ'"), ("[x](/a1ʬ/)", "'1', 'ʬ'"), ("[[a|b]] [[♥|c]]", "'♥'")]
)
def test_unknown_symbols_are_named(text: str, named: str) -> None:
    with pytest.raises(TextError, match="this voice has no symbol") as raised:
        Tokenizer().check_sounds(text)
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)


def test_known_symbols_and_respellings_pass() -> None:
    Tokenizer().check_sounds("[[həˈloʊ]], [x](/t͡ʃaɪ ɡgː/) [[=1 ♥|x]] plain ♥")
    Tokenizer(TextConfig(mode="characters", symbols=OFFICIAL_SYMBOLS, ends=False)).check_sounds("[[tʃaɪ]]")


def test_voices_that_read_letters_take_the_written_word() -> None:
    symbols = ("_", " ", *"abcdefghijklmnopqrstuvwxyz'")
    reader = Tokenizer(TextConfig(mode="letters", symbols=symbols, ends=False))
    encoded = reader.encode(f"{as_sounds('hello', 'həloʊ')} {as_words('SQL', 'sequel')}")
    assert "".join(symbols[token] for token in encoded.tokens) == "hello sequel"
    with pytest.raises(TextError, match="this voice reads letters"):
        reader.encode("[[həloʊ]]")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_written_word_and_sounds_go_there_and_back(written: str, sounds: str) -> None:
    given_words = read_given(as_words(written, sounds)[2:-2])
    assert given_words.respelled
    assert not set(given_words.written + given_words.sounds) & set("[]|\n")
    assert not read_given(as_sounds(written, sounds)[2:-2]).respelled


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="[]()/|= aɪˈ.\n", max_size=60))
def test_brackets_of_any_shape_are_spoken_or_refused(text: str) -> None:
    tokenizer = Tokenizer(lexicon={"a": "ɪ"})
    try:
        tokenizer.check_sounds(text)
    except TextError:
        return
    if HAS_ESPEAK:
        assert tokenizer.encode(text).tokens.size >= 2


@pytest.mark.parametrize(
    ("ipa", "sounds"),
    [
        ("ɪnhˈɛɹənt", "ɪ n h ɛ ɹ ə n t"),
        ("ʌphˈɪl", "ʌ p h ɪ l"),
        ("kʰa", "kʰ a"),
        ("həlˈoʊ", "h ə l oʊ"),
        ("lˈɪɾəl", "l ɪ ɾ əl"),
        ("ˈɛɹi", "ɛ ɹ i"),
        ("ˈɛɹ", "ɛɹ"),
        ("stˈɔːɹɪ", "s t ɔː ɹ ɪ"),
        ("dˈɔːɹz", "d ɔːɹ z"),
    ],
)
def test_written_sounds_are_cut_as_espeak_cuts_them(ipa: str, sounds: str) -> None:
    assert sounds_of(ipa) == tuple(sounds.split())
