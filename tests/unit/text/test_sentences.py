"""Sentences: where they end, what is kept, and that streams are read a little at a time."""

import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.errors import TextError
from moksori.text.sentences import split_paragraphs, split_sentences

CASES = [
    ("en-us", "One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
    ("en-us", "Mr. Smith met Dr. Jones. They left.", ["Mr. Smith met Dr. Jones.", "They left."]),
    ("en-us", "It cost 3.14 dollars. Cheap.", ["It cost 3.14 dollars.", "Cheap."]),
    ("en-us", '"Stop!" he said. "Why?" She left.', ['"Stop!" he said.', '"Why?"', "She left."]),
    ("en-us", "Well... maybe. Wait... No.", ["Well... maybe.", "Wait...", "No."]),
    ("en-us", "J. R. R. Tolkien wrote. It was I. He left.", ["J. R. R. Tolkien wrote.", "It was I.", "He left."]),
    ("en-us", "Cats, dogs, etc. Then more.", ["Cats, dogs, etc.", "Then more."]),
    ("en-us", "Cats, dogs, etc. are pets.", ["Cats, dogs, etc. are pets."]),
    ("en-us", "At 5 p.m. He left.", ["At 5 p.m.", "He left."]),
    ("en-us", "He said no. Then he left. See no. 5 there.", ["He said no.", "Then he left.", "See no. 5 there."]),
    ("en-us", "In 1984. Next.", ["In 1984.", "Next."]),
    ("en-us", "1. First point. 2. Second.", ["1. First point.", "2. Second."]),
    ("en-us", "e.g. this one. Done.", ["e.g. this one.", "Done."]),
    ("en-us", "See www.example.com for more. Bye.", ["See www.example.com for more.", "Bye."]),
    ("en-us", "A heading\n\nA paragraph that\ngoes on.", ["A heading", "A paragraph that goes on."]),
    ("en-us", "First line\nSecond line", ["First line", "Second line"]),
    (
        "en-us",
        "This line is long enough to have been wrapped by\nAnn's editor.",
        ["This line is long enough to have been wrapped by Ann's editor."],
    ),
    ("en-us", "Roses are red,\nViolets are blue.", ["Roses are red, Violets are blue."]),
    ("en-us", "He left (so she said). Then.", ["He left (so she said).", "Then."]),
    ("de", "Am 3. März kam Dr. Braun. Er ging.", ["Am 3. März kam Dr. Braun.", "Er ging."]),
    ("de", "Das ist z. B. Unsinn. Ja.", ["Das ist z. B. Unsinn.", "Ja."]),
    ("nl", "Dhr. Jansen kwam. Hij ging.", ["Dhr. Jansen kwam.", "Hij ging."]),
    ("ko", "안녕하세요. 반갑습니다! 네?", ["안녕하세요.", "반갑습니다!", "네?"]),
    ("en-us", "Windows\r\n\r\nends here.\r\n", ["Windows", "ends here."]),
    ("en-us", "", []),
    ("en-us", " \n\n ", []),
]


@pytest.mark.parametrize(("language", "text", "expected"), CASES)
def test_cases(language: str, text: str, expected: list[str]) -> None:
    assert list(split_sentences(text, language)) == expected


def test_long_sentences_are_cut_where_one_breathes() -> None:
    text = "We went up the long hill, over the wide river; we saw the old town and the sea"
    assert list(split_sentences(text, maximum_characters=60)) == [
        "We went up the long hill, over the wide river;",
        "we saw the old town and the sea",
    ]
    assert list(split_sentences("one two three, four five six seven", maximum_characters=20)) == [
        "one two three,",
        "four five six seven",
    ]
    assert list(split_sentences("a" * 25, maximum_characters=10)) == ["a" * 10, "a" * 10, "a" * 5]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab AB.,;!?…\"' \n\r1—。", max_size=200), st.integers(1, 80), st.integers(0, 99))
def test_nothing_is_lost_and_parts_do_not_matter(text: str, maximum: int, seed: int) -> None:
    whole = list(split_sentences(text, maximum_characters=maximum))
    assert "".join("".join(whole).split()) == "".join(text.split())
    assert all(0 < len(sentence) <= maximum for sentence in whole)
    generator = random.Random(seed)
    parts, rest = [], text
    while rest:
        size = generator.randint(1, 20)
        parts.append(rest[:size])
        rest = rest[size:]
    assert list(split_sentences(parts, maximum_characters=maximum)) == whole
    paragraphs = list(split_paragraphs(text, maximum_characters=maximum))
    assert list(split_paragraphs(parts, maximum_characters=maximum)) == paragraphs
    assert [sentence for sentence, _ in paragraphs] == whole


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["One. ", "two", "Mr. ", "Stop! ", "\n", "\n\n", " ", "。", "5", '"', "he "])))
def test_what_was_given_stays_true_whatever_follows(parts: list[str]) -> None:
    """A sentence is never given too early: it is there in every continuation of the text."""
    taken = 0

    def counted() -> Iterator[str]:
        nonlocal taken
        for part in parts:
            taken += 1
            yield part

    given: list[str] = []
    for sentence in split_sentences(counted()):
        given.append(sentence)
        if taken < len(parts):
            for follows in (["x"], [" He"], [". "], ["\n\nA"], [" 5"]):
                assert list(split_sentences([*parts[:taken], *follows]))[: len(given)] == given


@pytest.mark.parametrize(
    ("parts", "after"),
    [
        (["It", " is", " done", ".", " Then", " we"], 5),  # the next word tells that no name was abbreviated
        (['"Stop!"', " he", " said.", " Then"], 4),
        (["Dr.", " Who", " left.", "\n", "\n", "Later", " on"], 5),  # a blank line ends all
        (["A heading", "\n\n", "x"], 2),
        (["그는 갔다.", " 왔다"], 2),
        (["終わり。", "次"], 2),
        (["Windows.\r", "\n", "\r", "\n", "x"], 3),  # \r\n is one line end, but another \r is a second
        (["x" * 300, "x", "x"], 2),
    ],
)
def test_a_sentence_is_given_as_soon_as_it_is_complete(parts: list[str], after: int) -> None:
    taken = 0

    def counted() -> Iterator[str]:
        nonlocal taken
        for part in parts:
            taken += 1
            yield part

    assert next(split_sentences(counted()))
    assert taken == after


def test_the_last_sentence_of_a_paragraph_is_marked() -> None:
    text = "One. Two.\n\nThree.\n \n\nFour. \n"
    expected = [("One.", False), ("Two.", True), ("Three.", True), ("Four.", True)]
    assert list(split_paragraphs(text)) == expected
    assert list(split_paragraphs(list(text))) == expected


def test_the_line_end_does_not_count_for_the_length() -> None:
    assert list(split_sentences("We, all of us\n\nNext", maximum_characters=13)) == ["We, all of us", "Next"]


def test_parts_must_be_strings() -> None:
    with pytest.raises(TextError, match=r"part 2 of the text: expected a string, found bytes"):
        list(split_sentences(["Hello. ", b"World."]))  # type: ignore[list-item]


def test_streams_are_read_a_little_at_a_time() -> None:
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"This is sentence number {read} of a stream without end. "

    sentences = split_sentences(lines(), maximum_characters=100)
    assert [next(sentences) for _ in range(3)][2] == "This is sentence number 3 of a stream without end."
    assert read < 10


@pytest.mark.parametrize("unit", ["a", "a ", ".", "A. ", "a.\n", " ", "\n", "Mr. "])
def test_time_is_linear(unit: str) -> None:
    start = time.process_time()
    for _ in split_sentences(unit * (100_000 // len(unit))):
        pass
    assert time.process_time() - start < 5


def test_bad_maximum() -> None:
    with pytest.raises(TextError, match="maximum_characters = 0"):
        split_sentences("Hello.", maximum_characters=0)
