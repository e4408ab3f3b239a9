"""Readers of corpora as they are found: `read(FORMAT | None, folder)` lists recordings and texts, decoding nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from moksori.corpus.importers import csv, folder, recipes
from moksori.corpus.importers.base import Row, Source
from moksori.errors import CorpusError, unknown_name

__all__ = ["FORMATS", "Row", "Source", "detect", "read"]


@dataclass(frozen=True)
class _Importer:
    matches: Callable[[Path], bool]
    read: Callable[[Path], Source]


# In the order of detection: the strictest signs first.
FORMATS: Mapping[str, _Importer] = {
    "csv": _Importer(csv.matches, csv.read),
    "ljspeech": _Importer(recipes.matches_ljspeech, recipes.read_ljspeech),
    "vctk": _Importer(recipes.matches_vctk, recipes.read_vctk),
    "libritts": _Importer(recipes.matches_libritts, recipes.read_libritts),
    "folder": _Importer(folder.matches, folder.read),
}


def detect(path: Path) -> str:
    """The format of a folder; raises CorpusError naming the formats if none fits."""
    for name, importer in FORMATS.items():
        if importer.matches(path):
            return name
    raise CorpusError(
        f"{path}: no known corpus form in it; expected metadata.csv with a header id|speaker|text (csv), wav + txt "
        "pairs (folder), or the layout of LJ Speech, VCTK or LibriTTS"
    )


def read(format_name: str | None, path: Path) -> Source:
    """All recordings of a folder with their texts; the format is detected where None is given.

    Raises CorpusError if the folder is missing or empty of recordings, UnknownName for an unknown format.
    """
    if format_name is not None and format_name not in FORMATS:
        raise unknown_name("corpus format", format_name, FORMATS)
    if not path.is_dir():
        raise CorpusError(f"{path}: no such folder")
    source = FORMATS[format_name or detect(path)].read(path)
    if not source.rows:
        reason = f"; first reason: {source.dropped[0].reason}" if source.dropped else ""
        raise CorpusError(f"{path}: no usable recording in it{reason}")
    return source
