"""The form `id|speaker|text|...`: `metadata.csv` with header, pipes, no quoting; `<id>.flac|.ogg|...` beside it."""

import re
from pathlib import Path

from moksori.corpus.importers.base import AUDIO_SUFFIXES, Row, Source, find_audio, read_text, unique
from moksori.corpus.manifest import Dropped
from moksori.errors import CorpusError

REQUIRED = ("id", "speaker", "text")
_SUFFIXES = f"{', '.join(AUDIO_SUFFIXES[:-1])} or {AUDIO_SUFFIXES[-1]}"


def matches(folder: Path) -> bool:
    """Whether the folder's `metadata.csv` starts with a header that names id, speaker and text."""
    path = folder / "metadata.csv"
    if not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        header = stream.readline().strip().split("|")
    return all(column in header for column in REQUIRED)


def read(folder: Path) -> Source:
    """The rows of `metadata.csv`; columns `language` and `sex` are taken where the header has them.

    Rows with too few columns, without an id or without a recording are dropped. Raises CorpusError without
    `metadata.csv` or without the header.
    """
    path = folder / "metadata.csv"
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; the csv form needs metadata.csv with a header line id|speaker|text")
    lines = read_text(path).splitlines()
    header = lines[0].split("|") if lines else []
    missing = [column for column in REQUIRED if column not in header]
    if missing:
        shown = lines[0][:60] if lines else "an empty file"
        raise CorpusError(
            f"{path}: the header line lacks {', '.join(missing)} (found {shown!r}); it must name id|speaker|text"
        )
    place = {column: header.index(column) for column in header}
    needed = 1 + max(place[column] for column in REQUIRED)
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < needed:
            dropped.append(
                Dropped(cells[0], "import", f"metadata.csv line {number}: {len(cells)} columns, need {needed}")
            )
            continue
        name, text = cells[place["id"]], cells[place["text"]]
        audio = find_audio(folder, name)
        if audio is None:
            dropped.append(
                Dropped(name, "import", f"metadata.csv line {number}: no recording {name} ({_SUFFIXES})", text)
            )
            continue
        extra = {key: cells[place[key]] for key in ("language", "sex") if key in place and place[key] < len(cells)}
        rows.append(Row(name, text, cells[place["speaker"]] or folder.name, audio, **extra))
    return Source(folder, "csv", unique(rows, dropped), tuple(dropped), licence=_licence(folder))


def _licence(folder: Path) -> str:
    """The line `Licence: ...` of the folder's README, if there is one."""
    readme = folder / "README.md"
    if readme.is_file():
        found = re.search(
            r"^[-*\s]*licen[cs]e:\s*(.+)$", readme.read_text(encoding="utf-8", errors="replace"), re.I | re.M
        )
        if found:
            return found.group(1).strip()
    return ""
