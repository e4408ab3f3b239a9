"""Chapters of plain text files and of scripts."""

import pytest

from moksori.errors import BadInput, TextError
from moksori.pipeline.book_text import chapters_of, chosen_chapters, read_book

NOVEL = """Before it all begins.

Part One

Chapter 1. The Sea

It was bright. Chapter two was a word here.
Chapter 3 stands in a paragraph.

CHAPTER II

The storm came.

# A Title of One's Own
Words right below.

Epilogue

The end.
"""


def test_headings_begin_chapters():
    found = chapters_of(NOVEL, "Novel")
    assert [chapter.title for chapter in found] == [
        "Novel", "Part One, Chapter 1. The Sea", "CHAPTER II", "A Title of One's Own", "Epilogue",
    ]  # fmt: skip
    assert found[0].text.split() == ["Before", "it", "all", "begins."]
    assert found[1].text.startswith("Part One\n\nChapter 1. The Sea\n\n"), "headings are read aloud too"
    assert "Chapter 3 stands" in found[1].text
    assert [chapter.line for chapter in found[1:3]] == [6, 11]


@pytest.mark.parametrize(
    "heading",
    [
        "Chapter One",
        "PART IV",
        "Chapter 12: Night",
        "Kapitel 3",
        "Hoofdstuk 7",
        "제3장",
        "제 12 장 바다",
        "Prologue",
        "프롤로그",
    ],
)
def test_headings_of_several_languages(heading):
    found = chapters_of(f"Words.\n\n{heading}\n\nMore words.\n", "B")
    assert [chapter.title for chapter in found] == ["B", heading]


@pytest.mark.parametrize("line", ["Chapter and verse", "part of it", "Book is here", "Chapter", "12 장면이 있다"])
def test_what_is_no_heading(line):
    assert len(chapters_of(f"Words.\n\n{line}\n\nMore words.\n", "B")) == 1


def test_a_text_without_headings_is_one_chapter(tmp_path):
    (tmp_path / "my_book.txt").write_text("Just words.", encoding="utf-8")
    book = read_book(tmp_path / "my_book.txt")
    assert book.title == "my book"
    assert [chapter.title for chapter in book.chapters] == ["my book"]


def test_chapters_of_a_script_are_not_spoken():
    script = "cast: A = kathleen\n# a comment\n[chapter The Door]\nA: Hello.\n[Chapter: The Window]\nA: Bye.\n"
    found = chapters_of(script, "Play", script=True)
    assert [(chapter.title, chapter.text, chapter.line) for chapter in found] == [
        ("The Door", "A: Hello.\n", 4),
        ("The Window", "A: Bye.\n", 6),
    ]


def test_chapters_are_chosen():
    book = read_book_of(NOVEL)
    assert [c.title for c in chosen_chapters(book, "2-3, 5").chapters] == [
        "Part One, Chapter 1. The Sea", "CHAPTER II", "Epilogue",
    ]  # fmt: skip
    for wrong in ("0", "6", "3-2", "x", ""):
        with pytest.raises(BadInput, match="expected numbers from 1 to 5"):
            chosen_chapters(book, wrong)


def read_book_of(text):
    from moksori.pipeline.book_text import Book

    return Book("Novel", chapters_of(text, "Novel"))


@pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"\xff\xfe\x00", "UTF-8"), (b"a\0b", "zero bytes")])
def test_what_is_no_text_is_told(tmp_path, content, said):
    (tmp_path / "b.txt").write_bytes(content)
    with pytest.raises(TextError, match=said):
        read_book(tmp_path / "b.txt")


def test_headings_alone_are_no_book():
    with pytest.raises(TextError, match="no text"):
        chapters_of("Chapter 1\n\nChapter 2\n", "B")
