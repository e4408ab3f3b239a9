"""Korean words as phones: allophones, word spans, what is no Hangul, and that espeak is never asked."""

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.errors import MissingExtra
from moksori.text import korean_loanwords, phonemes
from moksori.text.korean_loanwords import hangul_of_latin, hangul_of_phones, letters_named
from moksori.text.korean_phonemes import FRONT_END, PHONES, as_hangul
from moksori.text.phonemes import Pause, Phonemizer, SpokenWord
from moksori.text.symbols import SYMBOL_IDS, SYMBOLS
from moksori.text.tokenizer import TextConfig, Tokenizer

KOREAN = TextConfig(language="ko")


def tokens(text: str) -> str:
    encoded = Tokenizer(KOREAN).encode(text)
    assert encoded.unknown == ()
    return " ".join(SYMBOLS[t] if SYMBOLS[t] != " " else "_" for t in encoded.tokens)


@pytest.fixture
def no_espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> None:
        raise AssertionError("espeak was asked")

    monkeypatch.setattr(phonemes, "_espeak_library", asked)
    monkeypatch.setattr(phonemes, "_groups", lambda *_: asked())


def test_all_phones_are_in_the_table() -> None:
    assert set(SYMBOL_IDS) >= PHONES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("안녕하세요", "^ ɐ n n j ʌ ŋ h ɐ s e j o $"),
        ("가 아가 아까 아카", "^ k ɐ _ ɐ ɡ ɐ _ ɐ k- ɐ _ ɐ kʰ ɐ $"),
        ("다 바다 자 아자", "^ t ɐ _ p ɐ d ɐ _ tɕ ɐ _ ɐ dʑ ɐ $"),
        ("감기, 담배, 알지", "^ k ɐ m ɡ i , t ɐ m b ɛ , ɐ l dʑ i $"),
        ("학교", "^ h ɐ k\u031a k- j o $"),
        ("밭, 집, 국", "^ p ɐ t\u031a , tɕ i p\u031a , k u k\u031a $"),
        ("나라 달 달라", "^ n ɐ ɾ ɐ _ t ɐ l _ t ɐ l l ɐ $"),
        ("시 사 씨 싸 쉬", "^ ɕ i _ s ɐ _ ɕ- i _ s- ɐ _ ɕ w i $"),
        ("의사의 희망", "^ ɰ i s ɐ e _ h i m ɐ ŋ $"),
        ("짜장 차장 타자 파자", "^ tɕ- ɐ dʑ ɐ ŋ _ tɕʰ ɐ dʑ ɐ ŋ _ tʰ ɐ dʑ ɐ _ pʰ ɐ dʑ ɐ $"),
        ("외국, 위", "^ w e ɡ u k\u031a , w i $"),
    ],
)
def test_allophones(no_espeak: None, text: str, expected: str) -> None:
    assert tokens(text) == expected


def test_what_moves_over_a_space_begins_the_next_word(no_espeak: None) -> None:
    encoded = Tokenizer(KOREAN).encode("밭 아래 옷 한 벌")
    spans = [(w.text, [SYMBOLS[t] for t in encoded.tokens[w.start_token : w.end_token]]) for w in encoded.words]
    assert spans == [
        ("밭", ["p", "ɐ"]),
        ("아래", ["d", "ɐ", "ɾ", "ɛ"]),
        ("옷", ["o"]),
        ("한", ["tʰ", "ɐ", "n"]),
        ("벌", ["p", "ʌ", "l"]),
    ]
    assert tokens("밭 아래") == "^ p ɐ d ɐ ɾ ɛ $"


def test_punctuation_keeps_words_apart(no_espeak: None) -> None:
    assert tokens("밭, 아래") == "^ p ɐ t\u031a , ɐ ɾ ɛ $"


def test_given_sounds_stand_between_words_and_part_them(no_espeak: None) -> None:
    assert tokens("옷 [[nˈoʊ|한]] 벌") == "^ o t\u031a _ n oʊ _ p ʌ l $"
    assert tokens("[[=밭 아래|곳]] 위") == "^ p ɐ d ɐ ɾ ɛ _ w i $"


def test_no_stress(no_espeak: None) -> None:
    assert not Tokenizer(KOREAN).encode("대한민국 만세").stress.any()


def test_a_word_that_cannot_be_read_has_no_phones_and_no_gap(no_espeak: None) -> None:
    encoded = Tokenizer(KOREAN).encode("漢字 한자 Привет 나라")
    assert [(w.text, w.end_token > w.start_token) for w in encoded.words] == [
        ("漢字", False),
        ("한자", True),
        ("Привет", False),
        ("나라", True),
    ]
    assert tokens("漢字 한자") == "^ h ɐ n tɕ- ɐ $"
    assert tokens("한자 漢字 나라") == "^ h ɐ n tɕ- ɐ _ n ɐ ɾ ɐ $"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ㅋㅋㅋ", "크크크"),
        ("ㄱ", "기역"),
        (unicodedata.normalize("NFD", "한국어"), "한국어"),
        ("\u1112\u119e\u11ab글", "한글"),
        ("한😀글", "한글"),
        ("漢", ""),
    ],
)
def test_readings(written: str, expected: str) -> None:
    assert as_hangul(written) == expected


@pytest.mark.parametrize(
    ("phones", "expected"),
    [
        (("h", "ɑː", "t"), "핫"),
        (("s", "t", "ɹ", "aɪ", "k"), "스트라이크"),
        (("p", "aɪ", "θ", "ɑː", "n"), "파이산"),
        (("k", "w", "ɪ", "k"), "퀵"),
        (("ʃ", "oʊ"), "쇼"),
        (("f", "ɪ", "ʃ"), "피시"),
        (("b", "ɛ", "l", "oʊ"), "벨로"),
        (("s", "ɪ", "ŋ", "ə", "l"), "싱얼"),
        (("j", "uː", "t", "uː", "b"), "유투브"),
        (("k", "ɑːɹ", "d"), "카드"),
        (("b", "ʌ", "t", "n\u0329"), "버턴"),
        (("s", "w", "iː", "t"), "스위트"),
    ],
)
def test_english_sounds_in_hangul(phones: tuple[str, ...], expected: str) -> None:
    assert hangul_of_phones(phones) == expected


def test_latin_words_are_named_by_letters_where_there_is_no_english(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(word: str) -> tuple[str, ...]:
        raise MissingExtra("phonemizer", "espeak", "turning text into phonemes")

    monkeypatch.setattr(Phonemizer, "phonemize", lambda self, text: missing(text))
    korean_loanwords.hangul_of_latin.cache_clear()
    try:
        assert hangul_of_latin("abc") == letters_named("abc") == "에이비시"
    finally:
        korean_loanwords.hangul_of_latin.cache_clear()


def test_korean_needs_no_module_of_espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonemizer", None)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    phonemes._espeak_library.cache_clear()
    try:
        assert tokens("KBS 뉴스 3개") == "^ kʰ e i b i e s ɯ _ n j u s ɯ _ s e _ k ɛ $"
    finally:
        phonemes._espeak_library.cache_clear()


HANGUL = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
MIXED = st.one_of(
    HANGUL,
    st.characters(min_codepoint=0x1100, max_codepoint=0x11FF),
    st.characters(min_codepoint=0x3130, max_codepoint=0x318F),
    st.sampled_from(" .,!?~1290A'😀漢é\u0301\u200d-"),
)


@settings(max_examples=300, deadline=None)
@given(st.text(MIXED, max_size=40), st.sampled_from(["NFC", "NFD"]))
def test_any_hangul_gives_phones_of_the_table(text: str, form: str) -> None:
    encoded = Tokenizer(KOREAN).encode(unicodedata.normalize(form, text))
    assert encoded.unknown == ()
    for word in encoded.words:
        spoken = {SYMBOLS[t] for t in encoded.tokens[word.start_token : word.end_token]}
        assert spoken <= PHONES
        assert spoken or not any("가" <= c <= "힣" for c in word.text)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(HANGUL, min_size=1, max_size=5), st.none()), min_size=1, max_size=8))
def test_one_spoken_word_a_written_one(words: list[str | None]) -> None:
    spoken = FRONT_END.words(words)
    assert [word.text for word in spoken] == [word or "" for word in words]
    assert all(bool(said.phones) == (word is not None) for said, word in zip(spoken, words, strict=True))
    items = Phonemizer("ko").phonemize(" ".join(word for word in words if word))
    assert all(isinstance(item, (SpokenWord, Pause)) for item in items)
