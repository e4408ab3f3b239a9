"""Audiobooks: a book's chapters, spoken one after another into an m4b file or a folder; interrupted, it goes on.

Beside the output stands `OUT.parts` while the work lasts: `book.json` with what decides the sound, and each chapter as
`001.flac` and `001.json` once it is whole (`001.flac.job` while it is being spoken, see `speech_job`).
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moksori.audio import m4b
from moksori.audio.io import probe
from moksori.audio.stream import check_suffix, read_blocks, write_blocks
from moksori.errors import BadInput, MoksoriError, TextError
from moksori.pipeline.book_reading import Reading
from moksori.pipeline.book_text import Book, Chapter
from moksori.pipeline.performer import Performer
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.say import check_folder, speak_to_file
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.seeds import chosen_seed, sentence_seed
from moksori.pipeline.speech import synthetic_metadata
from moksori.pipeline.watermark import Block, in_file
from moksori.pipeline.whole_files import written_whole

CHAPTER_PAUSE_SECONDS = 1.5
"""Of silence after each chapter, beside that at the ends of what is spoken."""
_VERSION = 1
_PNG = b"\x89PNG"


@dataclass(frozen=True)
class WrittenBook:
    """What `write_book` did; resumed: chapters that were there already. compute_seconds: for `spoken_seconds` of new
    sound."""

    path: Path
    seed: int
    chapters: int
    resumed: int
    duration_seconds: float
    spoken_seconds: float
    compute_seconds: float


def check_book_output(path: Path, form: str) -> None:
    """Raises BadInput unless a book can be written to `path`: an .m4b file, or a folder that is not there yet.

    form: suffix of the files in a folder. Raises MissingExtra where an m4b is wanted and PyAV is not installed.
    """
    if path.suffix.lower() == ".m4b":
        m4b.encoder()
        check_folder(path)
        return
    if path.suffix:
        raise BadInput(f"{path}: has the suffix {path.suffix!r}: name a file book.m4b, or a folder without a suffix")
    check_suffix(Path(f"a.{form}"))
    if path.exists():
        raise BadInput(f"{path}: exists already: name another folder, or move it away")
    check_folder(path)


def write_book(
    book: Book,
    performer: Performer,
    read: Reading,
    path: str | Path,
    *,
    options: SayOptions | None = None,
    seed: int | None = None,
    form: str = "mp3",
    watermark: bool = False,
    kbps: int = m4b.DEFAULT_KBPS,
    progress: Progress = no_progress,
) -> WrittenBook:
    """Speaks a book into an .m4b file with chapters, or a folder with a file a chapter; memory does not grow with it.

    seed: None takes that of the interrupted work, or draws one. form: suffix of the files in a folder. watermark: with
    the mark that `moksori verify` finds. kbps: of the m4b's AAC. progress: is told sentences.
    The output appears when it is whole. Interrupted, the same call goes on where it stopped; chapters whose text
    changed since are spoken anew, and all of them where the voice or its options did.
    Raises BadInput for an output that cannot be written, TextError for a chapter that cannot be spoken, MoksoriError
    where the disk is full.
    """
    path, options = Path(path), options or SayOptions()
    check_book_output(path, form)
    if path.suffix.lower() == ".m4b":
        m4b.check_rate(performer.sample_rate)
        if book.cover is not None:
            m4b.check_cover(book.cover)
    counts = [performer.check(read(chapter), options) for chapter in book.chapters]
    started = time.perf_counter()
    parts = path.with_name(path.name + ".parts")
    work = _Work(parts, {**performer.identity, "options": options.as_json(), "rate": performer.sample_rate}, seed)
    done = resumed = 0
    seconds = 0.0
    for number, (chapter, count) in enumerate(zip(book.chapters, counts, strict=True)):
        if work.has(number, chapter):
            resumed += 1
        else:
            try:
                made = speak_to_file(
                    performer,
                    read(chapter),
                    work.sound(number),
                    options=options,
                    seed=sentence_seed(work.seed, number),
                    progress=_beyond(progress, done, sum(counts)),
                    total=count,
                )
            except TextError as error:
                raise TextError(f"chapter {number + 1}, {chapter.title[:60]!r}: {error}, or leave it out") from error
            seconds += made.spoken_seconds
            work.finish(number, chapter)
        done += count
        progress(done, sum(counts))
    sounds = [work.sound(number) for number in range(len(book.chapters))]
    tags = synthetic_metadata(performer.name, work.seed)
    if path.suffix.lower() == ".m4b":
        duration = _as_m4b(path, book, sounds, tags, watermark, kbps, performer.sample_rate)
    else:
        duration = _as_folder(path, book, sounds, tags, watermark, form, performer.sample_rate)
    shutil.rmtree(parts)
    compute = time.perf_counter() - started
    return WrittenBook(path, work.seed, len(sounds), resumed, duration, seconds, compute)


def _beyond(progress: Progress, before: int, total: int) -> Progress:
    """Tells of a chapter as of a part of the book."""
    return lambda done, _: progress(before + done, total)


class _Work:
    """The folder of what is done; with other settings than it was begun with it starts anew."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], seed: int | None) -> None:
        self.folder = folder
        wanted = json.loads(json.dumps({"moksori_book": _VERSION, **settings}))
        found = self._header()
        if found is not None and {**found, "seed": None} == {**wanted, "seed": None} and seed in (None, found["seed"]):
            self.seed = int(found["seed"])
            return
        if folder.exists():
            if found is None and any(folder.iterdir()):
                raise BadInput(f"{folder}: is no unfinished book, but stands where its chapters go: move it away")
            shutil.rmtree(folder)
        self.seed = chosen_seed(seed)
        folder.mkdir()
        (folder / "book.json").write_text(json.dumps({**wanted, "seed": self.seed}), encoding="utf-8")

    def _header(self) -> dict[str, Any] | None:
        try:
            header = json.loads((self.folder / "book.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return header if isinstance(header, dict) and isinstance(header.get("seed"), int) else None

    def sound(self, number: int) -> Path:
        """Where the sound of a chapter is, or will be."""
        return self.folder / f"{number + 1:03d}.flac"

    def has(self, number: int, chapter: Chapter) -> bool:
        """Whether a chapter is there with this text."""
        try:
            noted = json.loads(self._note(number).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return noted == {"text": _digest(chapter.text)} and self.sound(number).is_file()

    def finish(self, number: int, chapter: Chapter) -> None:
        """Notes that a chapter is whole."""
        with written_whole(self._note(number)) as part:
            part.write_text(json.dumps({"text": _digest(chapter.text)}), encoding="utf-8")

    def _note(self, number: int) -> Path:
        return self.folder / f"{number + 1:03d}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _as_m4b(
    path: Path, book: Book, sounds: Sequence[Path], tags: Mapping[str, str], watermark: bool, kbps: int, rate: int
) -> float:
    """All chapters as one file; returns its seconds."""
    lengths = [probe(sound).frames + round(CHAPTER_PAUSE_SECONDS * rate) for sound in sounds]
    ends = np.cumsum(lengths).tolist()
    chapters = [
        m4b.Chapter(chapter.title, end - length, end)
        for chapter, length, end in zip(book.chapters, lengths, ends, strict=True)
    ]
    blocks, said = in_file(_all_blocks(sounds, rate), rate, {**tags, **_book_tags(book)}, watermark)
    with written_whole(path) as part:
        m4b.write_m4b(part, blocks, rate, chapters, said, book.cover, kbps)
    return float(ends[-1] / rate)


def _all_blocks(sounds: Sequence[Path], rate: int) -> Iterator[Block]:
    for sound in sounds:
        yield from read_blocks(sound, rate)
        yield np.zeros(round(CHAPTER_PAUSE_SECONDS * rate), np.float32)


def _as_folder(
    path: Path, book: Book, sounds: Sequence[Path], tags: Mapping[str, str], watermark: bool, form: str, rate: int
) -> float:
    """A file a chapter, a playlist and the cover; returns the seconds in all."""
    part = path.with_name(path.name + ".parts") / "whole"
    if part.exists():
        shutil.rmtree(part)
    part.mkdir()
    seconds, lines = 0.0, ["#EXTM3U"]
    for number, (chapter, sound) in enumerate(zip(book.chapters, sounds, strict=True), start=1):
        frames = probe(sound).frames
        name = f"{number:0{len(str(len(sounds)))}d} {_file_name(chapter.title)}.{form}"
        own = {**tags, **_book_tags(book), "title": chapter.title, "tracknumber": str(number)}
        blocks, said = in_file(read_blocks(sound, rate), rate, own, watermark)
        write_blocks(part / name, blocks, rate, frames, said)
        lines += [f"#EXTINF:{frames / rate:.0f},{chapter.title}", name]
        seconds += frames / rate
    (part / "book.m3u8").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if book.cover is not None:
        kind = "png" if book.cover.startswith(_PNG) else "jpg"
        (part / f"cover.{kind}").write_bytes(book.cover)
    try:
        part.rename(path)
    except OSError as error:
        raise MoksoriError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error
    return seconds


def _book_tags(book: Book) -> dict[str, str]:
    tags = {"title": book.title, "album": book.title, "genre": "Audiobook"}
    return {**tags, "artist": book.author} if book.author else tags


def _file_name(title: str) -> str:
    """A title as a file name that all systems take."""
    kept = "".join(c if c.isalnum() or c in " -_,'()" else " " for c in title)
    return " ".join(kept.split())[:60].strip() or "chapter"
