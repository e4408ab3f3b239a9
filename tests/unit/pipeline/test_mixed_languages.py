"""Korean inside English and the reverse, by tags, through a made-up voice of several languages."""

import pytest

from moksori.pipeline import say
from moksori.text import phonemes
from moksori.text.symbols import SYMBOLS
from moksori.text.tokenizer import TextConfig


def _has_espeak() -> bool:
    try:
        phonemes._espeak_library()
    except ImportError:
        return False
    return True


needs_english = pytest.mark.skipif(
    "en-us" not in phonemes._FRONT_ENDS and not _has_espeak(), reason="no way to English sounds is installed"
)


@pytest.fixture
def heard(toy_family, tmp_path, monkeypatch):
    """What a voice of two languages is given for a text: its symbols, sentence part by part."""
    folder = toy_family.save_toy(
        tmp_path / "both",
        speakers=("ann", "bora"),
        speaker_languages={"bora": "ko"},
        text=TextConfig(language_token=True),
    )
    voice = say.load(folder)
    given = []
    spoken = voice._model.say

    def noted(text, controls, generator=None):
        given.append(" ".join(SYMBOLS[t] if SYMBOLS[t] != " " else "_" for t in text.tokens[0].tolist()))
        return spoken(text, controls, generator)

    monkeypatch.setattr(voice._model, "say", noted)

    def parts(text, **options):
        given.clear()
        speech = voice.say(text, seed=1, **options)
        return list(given), [word.text for word in speech.timings]

    return parts


@needs_english
def test_korean_inside_english(heard):
    parts, words = heard('<speak>We eat <lang xml:lang="ko-KR">국물 1개</lang> now.</speak>')
    assert parts[0].startswith("^ <en-us> w iː _ iː t")
    assert parts[1].startswith("^ <ko> k u ŋ m u l _ h ɐ n _ k ɛ $")
    assert parts[2].startswith("^ <en-us> n aʊ")
    assert words == ["We", "eat", "국물", "한", "개", "now"]


@needs_english
def test_english_inside_korean(heard):
    parts, words = heard('<speak xml:lang="ko">나는 <lang xml:lang="en">tea</lang> 마셔.</speak>')
    assert [part.split()[1] for part in parts] == ["<ko>", "<en-us>", "<ko>"]
    assert parts[0].startswith("^ <ko> n ɐ n ɯ n")
    assert parts[1].startswith("^ <en-us> t iː")
    assert words == ["나는", "tea", "마셔"]


def test_a_korean_speaker_reads_korean(heard):
    parts, _ = heard("국물 3개", speaker="bora")
    assert parts == ["^ <ko> k u ŋ m u l _ s e _ k ɛ $"]
    parts, _ = heard('<speak><voice name="bora" xml:lang="ko">국물</voice></speak>')
    assert parts == ["^ <ko> k u ŋ m u l $"]


@needs_english
def test_latin_words_without_a_tag_are_read_the_korean_way(heard):
    parts, words = heard("KBS와 hot 뉴스", language="ko")
    assert parts == ["^ <ko> kʰ e i b i e s ɯ w ɐ _ h ɐ n _ n j u s ɯ $"]
    assert words == ["케이비에스와", "hot", "뉴스"]
