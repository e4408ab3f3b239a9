"""Recordings with a text file of the same name beside each; subfolders are speakers."""

from pathlib import Path

from moksori.corpus.importers.base import AUDIO_SUFFIXES, Row, Source, unique
from moksori.corpus.manifest import Dropped
from moksori.errors import CorpusError


def matches(folder: Path) -> bool:
    """Whether some recording has its text beside it, in the folder or below."""
    return any(path.with_suffix(".txt").is_file() for path in _recordings(folder))


def read(folder: Path) -> Source:
    """`NAME.wav` with `NAME.txt`; the first folder below `folder` names the speaker, else `folder` itself does.

    Recordings without a text and unreadable texts are dropped. Raises CorpusError if there is no recording at all.
    """
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for path in _recordings(folder):
        relative = path.relative_to(folder)
        name = relative.with_suffix("").as_posix()
        beside = path.with_suffix(".txt")
        if not beside.is_file():
            dropped.append(Dropped(name, "import", f"no text {beside.name} beside the recording"))
            continue
        try:
            text = " ".join(beside.read_text(encoding="utf-8-sig").split())
        except (OSError, UnicodeDecodeError) as error:
            dropped.append(Dropped(name, "import", f"{beside.name} cannot be read as UTF-8 text: {error}"))
            continue
        rows.append(Row(name, text, relative.parts[0] if len(relative.parts) > 1 else folder.name, path))
    if not rows and not dropped:
        raise CorpusError(
            f"{folder}: no recordings ({', '.join(AUDIO_SUFFIXES)}) in it; the folder form is NAME.wav + NAME.txt"
        )
    return Source(folder, "folder", unique(rows, dropped), tuple(dropped))


def _recordings(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
