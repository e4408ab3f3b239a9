"""A user's pronunciations: files and mappings, which entry counts, and what they keep from the normaliser."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.errors import MoksoriError, TextError
from moksori.text.inline import all_given
from moksori.text.lexicon import Entry, Lexicon, read_lexicon


def written_with(lexicon: Lexicon, text: str, language: str = "en-us") -> list[tuple[str, str]]:
    return [(given.written, given.sounds) for given in all_given(lexicon.marked(text, language))]


def test_a_file_holds_ipa_respellings_scopes_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    path.write_text(
        "\ufeff# mine\r\nmoksori\tmˈoʊksoʊɹi\r\nSQL\tsequel\n\nGIF=dʒˈɪf\nkat\t/kat/\n"
        "Weg\tvɛk\tde\nread\tɹˈɛd\ten\tbob\nx\ty\t*\n",
        encoding="utf-8",
    )
    assert read_lexicon(path).entries == (
        Entry("moksori", "mˈoʊksoʊɹi"),
        Entry("SQL", "sequel", respelled=True),
        Entry("GIF", "dʒˈɪf"),
        Entry("kat", "kat"),
        Entry("Weg", "vɛk", language="de"),
        Entry("read", "ɹˈɛd", language="en", voice="bob"),
        Entry("x", "y", respelled=True),
    )
    other = tmp_path / "more.tsv"
    other.write_text("SQL\t/ɛs/\n", encoding="utf-8")
    assert written_with(read_lexicon(path, other), "SQL") == [("SQL", "ɛs")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("just a word", "'just a word': expected a word, a tab"),
        ("word\t", "expected a word, a tab"),
        ("\tsounds", "expected a word, a tab"),
        ("a\tb\ten\tbob\tmore", "5 columns: expected word, sounds, language, voice"),
        ("word\thəʬl", "'word': the sounds 'həʬl' hold 'ʬ', which is no symbol of the IPA known here"),
        ("word\t/ʬ1/", "'ʬ', '1'"),
        ("word\t/ˈ/", "hold nothing"),
        ("word\t...", "is neither IPA nor a respelling"),
        ("...\tword", "the word '...': expected letters or digits"),
        ("wo[r]d\tword", "brackets and bars cannot be part of it"),
        ("word\tword\tEnglish please", "the language 'English please': expected a name such as en"),
    ],
)
def test_bad_lines_are_named_by_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "words.tsv"
    path.write_text(f"# first\nfine\tfaɪn\n{line}\n", encoding="utf-8")
    with pytest.raises(TextError) as raised:
        read_lexicon(path)
    assert str(raised.value).startswith(f"{path}:3: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_no_lexicon() -> None:
    with pytest.raises(TextError, match="expected a mapping of word to IPA, a file"):
        Lexicon.of(5)  # type: ignore[arg-type]
    with pytest.raises(TextError, match="expected two strings"):
        Lexicon.of({"word": 5})  # type: ignore[dict-item]


def test_the_longest_entry_counts_and_its_words_are_protected() -> None:
    lexicon = Lexicon.of({"New York": "nˈuː jˈɔɹk", "New York City": "big apple", "No. 5": "nˈʌmbɚ", "C++": "see plus"})
    assert written_with(lexicon, "New  York City, new york, No. 5 and C++!") == [
        ("New York City", "big apple"),
        ("new york", "nˈuː jˈɔɹk"),
        ("No. 5", "nˈʌmbɚ"),
        ("C++", "see plus"),
    ]


def test_case_counts_with_a_capital_inside_alone() -> None:
    lexicon = Lexicon.of({"moksori": "mˈoʊ", "Polish": "pˈoʊ", "US": "juː ɛs", "reading": "ɹˈiː", "Reading": "ɹˈɛ"})
    assert written_with(lexicon, "MOKSORI Moksori polish us US reading Reading READING")[:7] == [
        ("MOKSORI", "mˈoʊ"),
        ("Moksori", "mˈoʊ"),
        ("polish", "pˈoʊ"),
        ("US", "juː ɛs"),
        ("reading", "ɹˈiː"),
        ("Reading", "ɹˈɛ"),
        ("READING", "ɹˈɛ"),
    ]


def test_parts_of_words_are_left_alone() -> None:
    lexicon = Lexicon.of({"can": "kˈæn", "us": "ˈʌs", "cat": "kˈæt", "example": "ɛɡ"})
    assert written_with(lexicon, "can't cannot U.S. bus concat example.com me@example.org") == []
    assert written_with(lexicon, "can us, (cat)-like") == [("can", "kˈæn"), ("us", "ˈʌs"), ("cat", "kˈæt")]


def test_possessives_of_english_words() -> None:
    lexicon = Lexicon.of({"cat": "kˈæt", "moksori": "mˈoʊɹi", "fox": "fˈɑks", "SQL": "sequel"})
    assert written_with(lexicon, "cat's moksori’s fox's SQL's") == [
        ("cat's", "kˈæts"),
        ("moksori's", "mˈoʊɹiz"),
        ("fox's", "fˈɑksɪz"),
        ("SQL's", "sequel's"),
    ]


def test_scopes_of_language_and_voice(tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    path.write_text("a b\tɑ\nword\tɪ\nword\tʊ\ten\nword\tɛ\ten-gb\nword\tɔ\tde\nword\tæ\t*\tbob\n", encoding="utf-8")
    lexicon = read_lexicon(path)
    said = {name: written_with(lexicon.for_voice("ann"), "word", name)[0][1] for name in ("en-us", "en-gb", "de", "nl")}
    assert said == {"en-us": "ʊ", "en-gb": "ɛ", "de": "ɔ", "nl": "ɪ"}
    assert written_with(lexicon.for_voice("toy", "bob"), "word", "en-gb") == [("word", "æ")]


def test_later_entries_count_and_sums_keep_both() -> None:
    first, second = Lexicon.of({"word": "ɪ", "one": "ʌ"}), Lexicon.of({"word": "ʊ"})
    assert written_with(first + second, "word one") == [("word", "ʊ"), ("one", "ʌ")]
    assert not Lexicon()
    assert Lexicon().marked("word", "en-us") == "word"


def test_given_sounds_are_not_looked_up() -> None:
    assert Lexicon.of({"hello": "ɪ"}).marked("[[həl|hello]]", "en-us") == "[[həl|hello]]"


def test_large_lexicons_are_fast() -> None:
    import time

    lexicon = Lexicon.of({f"word{number}": "ɪ" for number in range(5000)})
    text = "word17 other " * 2000
    lexicon.marked("word1", "en-us")
    started = time.process_time()
    assert lexicon.marked(text, "en-us").count("|word17]]") == 2000
    assert time.process_time() - started < 1.0


@settings(max_examples=150, deadline=None)
@given(
    st.text(alphabet="abAB'’.-+ 12[]|\u0301é가\n", max_size=60),
    st.dictionaries(
        st.text(alphabet="abA'. 1é", min_size=1, max_size=6), st.sampled_from(["ɪ", "b a", "/a/"]), max_size=5
    ),
)
def test_any_text_keeps_its_characters(text: str, words: dict[str, str]) -> None:
    """Whatever is found, the written words with what stands between them are the text."""
    try:
        lexicon = Lexicon.of(words)
    except TextError:
        return
    if "[" in text or "|" in text or "]" in text:
        lexicon.marked(text, "en-us")
        return
    marked = lexicon.marked(text, "en-us")
    back = marked
    for item in all_given(marked):
        found = marked[marked.index("[[") :]
        back = back.replace(found[: found.index("]]") + 2], item.written, 1)
        marked = found[found.index("]]") + 2 :]
    assert " ".join(back.replace("’", "'").split()) == " ".join(text.replace("’", "'").split())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120))
def test_any_file_is_read_or_refused_on_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("lexicon") / "words.tsv"
    path.write_bytes(data)
    with contextlib.suppress(MoksoriError):
        assert all(entry.written and entry.said for entry in read_lexicon(path).entries)
