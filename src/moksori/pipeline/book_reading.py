"""Who reads a book aloud: one voice, or the cast of a script."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moksori.errors import BadInput
from moksori.pipeline.book_text import SCRIPTED, Book, Chapter, read_text
from moksori.pipeline.dialogue import Cast, Script, Voices, parse_cast
from moksori.pipeline.performer import Performer
from moksori.pipeline.say import load
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.sentences import Sentence, sentences
from moksori.pipeline.speaker import Speaker

MAXIMUM_COVER_BYTES = 16 * 2**20

Reading = Callable[[Chapter], Iterator[Sentence]]
"""The sentences of a chapter, anew each time."""


@dataclass(frozen=True)
class Reader:
    """What `book.write_book` takes beside the book; notes: what a person should know of it."""

    performer: Performer
    read: Reading
    notes: Sequence[str] = ()


def named(book: Book, title: str | None = None, author: str | None = None, cover: Path | None = None) -> Book:
    """The book with a title, an author or the picture of a cover of one's own.

    Raises BadInput for a cover that cannot be read or has more than 16 MiB.
    """
    picture = book.cover
    if cover is not None:
        try:
            if cover.stat().st_size > MAXIMUM_COVER_BYTES:
                raise BadInput(f"{cover}: has more than {MAXIMUM_COVER_BYTES // 2**20} MiB: make it smaller")
            picture = cover.read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise BadInput(f"{cover}: cannot be read: {reason}: check the name") from error
    return replace(book, title=title or book.title, author=author or book.author, cover=picture)


def reader(
    book: Book,
    source: str | Path,
    options: SayOptions,
    voice: str | Path | None = None,
    script: bool = False,
    cast: Sequence[str] = (),
) -> Reader:
    """Who reads the book of a file: a voice by its name, or with `script` a cast such as "Anna=kathleen,Bob=DIR".

    Raises UnknownName for voices that are not there, TextError for a script that cannot be read.
    """
    if script:
        voices = {role: spec for part in cast for role, spec in parse_cast(part, "--cast").items()}
        return Reader(*scripted(read_text(Path(source)), options, voices, voice))
    speaker = load(voice)
    return Reader(speaker, plain_reading(speaker, options), _other_language(book, speaker, options))


def plain_reading(speaker: Speaker, options: SayOptions) -> Reading:
    """How one voice reads chapters."""
    language = options.language or speaker.language_of(options.speaker)
    return lambda chapter: sentences(chapter.text, language)


def scripted(
    text: str, options: SayOptions, voices: Voices | None = None, voice: str | Path | Speaker | None = None
) -> tuple[Cast, Reading]:
    """The cast of a book that is a script, and how it reads the chapters; text: all of it.

    Raises as `dialogue.Script` and `Cast.of` do.
    """
    lines = text.splitlines(keepends=True)
    whole = Script("".join("\n" if SCRIPTED.fullmatch(line.strip()) else line for line in lines))
    cast = Cast.of(whole, voices, voice)
    languages = cast.languages(options)
    names = {role.casefold(): role for role in whole.roles}

    def read(chapter: Chapter) -> Iterator[Sentence]:
        # Empty lines before it, so that what is told of a line names that of the file.
        own = Script("\n" * (chapter.line - 1) + chapter.text)
        spelled = {role: languages[names[role.casefold()]] for role in own.roles}
        for sentence in own.sentences(spelled):
            yield replace(sentence, role=names.get(sentence.role.casefold(), ""))

    return cast, read


def _other_language(book: Book, speaker: Speaker, options: SayOptions) -> Sequence[str]:
    spoken = options.language or speaker.language_of(options.speaker)
    if not book.language or book.language.lower().split("-")[0] == spoken.split("-")[0]:
        return ()
    return (f"{book.title}: its language is {book.language!r}, {speaker.name} reads it as {spoken!r}",)
