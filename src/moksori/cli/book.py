"""`moksori book`: a text or an epub as an audiobook."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori.cli.options import Lexicons, Liveliness, Model, Pause, Pitch, Seed, Volume, Watermark
from moksori.cli.progress import progress_bar
from moksori.errors import BadInput

if TYPE_CHECKING:
    from moksori.pipeline.book_text import Book


def register(app: typer.Typer) -> None:
    app.command("book")(book)


def book(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A UTF-8 text file, or an epub.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A file book.m4b, or a folder with a file a chapter.")
    ] = None,
    voice: Model = None,
    speaker: Annotated[str | None, typer.Option("--speaker", help="A speaker of the model.")] = None,
    script: Annotated[
        bool, typer.Option("--script", help="The text is a script: lines of 'name: text', chapters at '[chapter X]'.")
    ] = False,
    cast: Annotated[
        list[str] | None,
        typer.Option("--cast", help="Who speaks whom in it: 'Anna=kathleen,Bob=DIR:SPEAKER'; may be repeated."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Only print the chapters.")] = False,
    chapters: Annotated[
        str | None, typer.Option("--chapters", help="Which of them, such as 2-5,8.", show_default="all")
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", help="Of the book.", show_default="the epub's, or the file's name")
    ] = None,
    author: Annotated[
        str | None, typer.Option("--author", help="Who wrote it.", show_default="as the epub says")
    ] = None,
    cover: Annotated[Path | None, typer.Option("--cover", help="A JPEG or PNG.", show_default="the epub's")] = None,
    form: Annotated[
        str, typer.Option("--format", help="Of the files in a folder: mp3, opus, ogg, flac or wav.")
    ] = "mp3",
    kbps: Annotated[int, typer.Option("--kbps", min=16, max=320, help="Of an m4b, in kbit/s.")] = 64,
    language: Annotated[
        str | None, typer.Option("--language", help="Of the text, as espeak-ng names it.", show_default="the voice's")
    ] = None,
    speed: Annotated[float, typer.Option("--speed", help="Factor; 2 is half as long.")] = 1.0,
    variation: Liveliness = None,
    pause: Pause = None,
    pitch: Pitch = 0.0,
    volume: Volume = 0.0,
    lexicon: Lexicons = None,
    seed: Seed = None,
    watermark: Watermark = False,
) -> None:
    """Read a book aloud: chapters, titles and the cover are kept. Interrupted, the same command goes on.

    Examples: moksori book novel.epub -o novel.m4b; moksori book novel.txt --list; moksori book play.txt --script --cast
    "Anna=kathleen,Bob=kerstin" -o play --format opus
    """
    from moksori.pipeline import book_text

    if cast and not script:
        raise BadInput("--cast: is for a script: add --script")
    read = book_text.read_book(source, script)
    if chapters is not None:
        read = book_text.chosen_chapters(read, chapters)
    if listing:
        _print(read)
        return
    if output is None:
        raise BadInput("no output: name a file or a folder: -o book.m4b (or --list to see the chapters)")
    from moksori.pipeline import book as books
    from moksori.pipeline import book_reading
    from moksori.pipeline import say as speaking

    books.check_book_output(output, form)
    read = book_reading.named(read, title, author, cover)

    options = speaking.SayOptions(
        speed=speed,
        variation=variation,
        pause_seconds=pause,
        speaker=speaker,
        language=language,
        volume_db=volume,
        lexicon=speaking.read_lexicon(*(lexicon or [])),
        shift_semitones=pitch,
    )
    reader = book_reading.reader(read, source, options, voice, script, cast or [])
    for note in reader.notes:
        typer.echo(f"moksori: {note}", err=True)
    with progress_bar("reading") as progress:
        written = books.write_book(
            read, reader.performer, reader.read, output, options=options, seed=seed, form=form, watermark=watermark,
            kbps=kbps, progress=progress,
        )  # fmt: skip
    factor = written.compute_seconds / written.spoken_seconds if written.spoken_seconds else 0.0
    went_on = f", {written.resumed} of them there already" if written.resumed else ""
    typer.echo(
        f"{written.path}: {_clock(written.duration_seconds)} in {written.chapters} chapters{went_on}, "
        f"real-time factor {factor:.3f}, seed {written.seed}"
    )


def _print(read: "Book") -> None:
    by = f" by {read.author}" if read.author else ""
    typer.echo(f"{read.title}{by}: {len(read.chapters)} chapters{', with a cover' if read.cover else ''}")
    for number, chapter in enumerate(read.chapters, start=1):
        typer.echo(f"{number:4d}  {chapter.title}  ({len(chapter.text.split())} words)")


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
