"""What every importer returns, and the small checks they share."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from moksori.corpus.manifest import Dropped
from moksori.errors import CorpusError

AUDIO_SUFFIXES = (".flac", ".ogg", ".opus", ".wav", ".mp3")


@dataclass(frozen=True)
class Row:
    """One recording of a source: where it lies and what is said. language: empty where the source does not tell."""

    name: str
    text: str
    speaker: str
    audio: Path
    language: str = ""
    sex: str = ""


@dataclass(frozen=True)
class Source:
    """All that an importer found in a folder. dropped: rows it could not use. licence: empty where nothing tells."""

    folder: Path
    format: str
    rows: tuple[Row, ...]
    dropped: tuple[Dropped, ...] = ()
    licence: str = ""
    speakers: tuple[str, ...] = field(default=())


def read_text(path: Path) -> str:
    """A UTF-8 text file; raises CorpusError naming the file where it is missing or no UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}: not UTF-8 (byte {error.start}); convert it, for example with iconv -t utf-8"
        ) from error


def find_audio(folder: Path, name: str) -> Path | None:
    """The recording `folder/name.SUFFIX`; None where there is none, or where the name leads out of the folder."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        return None
    for suffix in AUDIO_SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    return None


def unique(rows: Iterable[Row], dropped: list[Dropped]) -> tuple[Row, ...]:
    """The rows with distinct names, the first of each; the others go to `dropped`."""
    seen: dict[str, Row] = {}
    for row in rows:
        if row.name in seen:
            dropped.append(
                Dropped(row.name, "import", "duplicate id: the first recording of this id is kept", row.text)
            )
        else:
            seen[row.name] = row
    return tuple(seen.values())
