"""Books as text: chapters with their titles, of plain text files (`book_epub` reads the epub ones)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from moksori.errors import BadInput, TextError

MAXIMUM_BYTES = 64 * 2**20
"""The longest text that is taken: ten times the longest novels."""
_TITLE_CHARACTERS = 120
_EXPLICIT = re.compile(r"#{1,3}\s+(\S.*)")
SCRIPTED = re.compile(r"\[\s*chapter\b[\s:]*(.*?)\s*\]", re.IGNORECASE)
_NUMBERED = re.compile(
    r"(?:chapter|part|book|section|kapitel|teil|buch|hoofdstuk|deel|boek)\s+"
    r"(?:\d{1,4}|[ivxlcdm]{1,8}|(?!and\b|of\b|is\b|was\b)[a-z]+(?:-[a-z]+)?)\b(?:\s*[.:–—-]\s*.{1,80}|\.)?"
    r"|제?\s*\d{1,4}\s*[장부편권화](?:\s.{1,80})?",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(?:prologue|epilogue|preface|foreword|introduction|afterword|prolog|epilog|vorwort|nachwort|voorwoord|nawoord"
    r"|머리말|프롤로그|에필로그)\.?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Chapter:
    """A chapter as it is read aloud, its heading included; line: of the file where its text starts, from 1."""

    title: str
    text: str
    line: int = 1


@dataclass(frozen=True)
class Book:
    """A book's text; cover: a JPEG or PNG. language: as the file names it, `en` or `de-AT`; empty where it does not."""

    title: str
    chapters: Sequence[Chapter]
    author: str = ""
    language: str = ""
    cover: bytes | None = None
    notes: Sequence[str] = field(default=())


def read_book(path: str | Path, script: bool = False) -> Book:
    """A book of a UTF-8 text file or an epub; script: the text is one of lines `name: text`, see `dialogue.Script`.

    Chapters of a text begin at lines `# Title`, `[chapter Title]`, or such as "Chapter 7. The Sea" and "Prologue" that
    stand alone between blank lines; in a script only at `[chapter Title]`, which nobody says.
    Raises TextError for a text that is missing, empty, no UTF-8 or longer than 64 MiB, BadInput for an epub that cannot
    be read, MissingExtra without the package that reads them.
    """
    path = Path(path)
    if path.suffix.lower() == ".epub":
        if script:
            raise BadInput(f"{path}: a cast reads a script, which is a text file of lines 'name: text'")
        from moksori.pipeline.book_epub import read_epub

        return read_epub(path)
    return Book(path.stem.replace("_", " "), chapters_of(read_text(path), path.stem.replace("_", " "), script))


def chapters_of(text: str, title: str, script: bool = False) -> list[Chapter]:
    """The chapters of a text; what stands before the first heading is a chapter with the book's title.

    Headings without a text of their own, such as "Part One" above "Chapter 1", go with the next one.
    Raises TextError for a text without a word.
    """
    found: list[Chapter] = []
    heading, spoken, start = "", "", 1
    body: list[str] = []

    def close() -> bool:
        """Ends a chapter; False where it has nothing but its heading."""
        if not _has_words("".join(body)):
            return False
        found.append(Chapter(heading or title, spoken + "".join(body), start))
        return True

    for number, line, new in _lines(text, script):
        if new is None:
            body.append(line)
            continue
        closed = close()
        heading = new if closed or not heading else f"{heading}, {new}"
        # A heading is said as a paragraph of its own; in a script nobody is named who would say it.
        spoken = "" if script else ("" if closed else spoken) + f"{new}\n\n"
        body, start = [], number + 1
    if not close() and heading and not script and not found:
        raise TextError(f"{title}: has headings and no text: give some words")
    if not found:
        raise TextError(f"{title}: nothing to say, it holds no words: give some words")
    if script:  # the cast may be named before the first chapter: lines of it count for all
        return _with_cast(found, text)
    return found


def chosen_chapters(book: Book, wanted: str) -> Book:
    """The book with chapters such as "2-5,8" only, counted from 1; raises BadInput for what is not there."""
    numbers: list[int] = []
    for part in wanted.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})(?:\s*-\s*(\d{1,5}))?\s*", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= low <= high <= len(book.chapters):
            raise BadInput(f"chapters {wanted!r}: {part.strip()!r}: expected numbers from 1 to {len(book.chapters)}")
        numbers += range(low, high + 1)
    return replace(book, chapters=[book.chapters[number - 1] for number in sorted(set(numbers))])


def _lines(text: str, script: bool) -> Iterator[tuple[int, str, str | None]]:
    """Each line with its number, and the title where it is a heading."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        bare = line.strip()
        new = None
        if bare and len(bare) <= _TITLE_CHARACTERS:
            scripted = SCRIPTED.fullmatch(bare)
            if scripted is not None:
                new = scripted[1] or f"Chapter {number}"
            elif not script:
                around = [*lines[max(number - 2, 0) : number - 1], *lines[number : number + 1]]
                alone = not any(other.strip() for other in around)
                explicit = _EXPLICIT.fullmatch(bare)
                if explicit is not None:
                    new = explicit[1].rstrip("# ")
                elif alone and (_NUMBERED.fullmatch(bare) or _NAMED.fullmatch(bare)):
                    new = bare.rstrip(".")
        yield number, line, new


def _with_cast(chapters: list[Chapter], text: str) -> list[Chapter]:
    """Without a first chapter that only names the cast or comments."""
    kept = [c for c in chapters if any(_spoken_line(line) for line in c.text.splitlines())]
    if not kept:
        raise TextError("script: nobody speaks in it: write lines such as 'Anna: Hello.'")
    return kept


def _spoken_line(line: str) -> bool:
    bare = line.strip()
    return bool(bare) and not bare.startswith(("#", "[")) and not bare.lower().startswith("cast:")


def _has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


def read_text(path: Path) -> str:
    """A UTF-8 text file; raises TextError as `read_book` does."""
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise TextError(f"{path}: is longer than {MAXIMUM_BYTES // 2**20} MiB: cut it into several books")
        data = path.read_bytes()
    except OSError as error:
        raise TextError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}: check the name") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: no UTF-8 text at byte {error.start}: convert it (iconv -t utf-8)") from error
    if "\0" in text:
        raise TextError(f"{path}: holds zero bytes, so it is no text: name a UTF-8 text file or an epub")
    if not _has_words(text):
        raise TextError(f"{path}: nothing to say, it is empty: give some words")
    return text
