"""Files that were sent: kept in a folder of their own while a request lasts, looked at before anything reads them."""

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import anyio
from fastapi import UploadFile

from moksori.audio.foreign import check_foreign
from moksori.pipeline.score import MIDI, MOST_BYTES, MUSICXML
from moksori.serving.errors import UPLOAD_PREFIX, Refused
from moksori.serving.settings import Settings

_MOST_MEMBERS = 64
_NAME_CHARACTERS = 80


class Uploads:
    """A folder for the files of one request. Their own names stand in messages only, never in a path."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = Path(tempfile.mkdtemp(prefix=UPLOAD_PREFIX))
        self._names: dict[Path, str] = {}

    def named(self, text: str) -> str:
        """A message with the names that the sender knows in place of those in the folder."""
        for path, name in self._names.items():
            text = text.replace(str(path), name).replace(path.stem, name)
        return text

    async def recordings(self, files: Sequence[UploadFile]) -> list[Path]:
        """The files of recordings; raises AudioError where one may not be decoded."""
        return [await anyio.to_thread.run_sync(self._recording, file) for file in files]

    async def score(self, file: UploadFile) -> Path:
        """The file of a score; raises Refused where it is none, or would become too large."""
        return await anyio.to_thread.run_sync(self._score, file)

    def close(self) -> None:
        """Deletes them."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _recording(self, file: UploadFile) -> Path:
        path = self._saved(file, "recording")
        check_foreign(path, shown_name(file), self._settings.most_upload_seconds)
        return path

    def _score(self, file: UploadFile) -> Path:
        suffix = Path(file.filename or "").suffix.lower()
        if suffix not in (*MUSICXML, *MIDI):
            known = ", ".join((*MUSICXML, *MIDI))
            raise Refused(400, f"{shown_name(file)}: is no score: expected {known}", "bad_input", "score")
        path = self._saved(file, "score", suffix)
        if suffix == ".mxl":
            _check_zip(path, shown_name(file))
        return path

    def _saved(self, file: UploadFile, kind: str, suffix: str = "") -> Path:
        path = self._folder / f"{kind}-{len(self._names) + 1}{suffix}"
        self._names[path] = shown_name(file)
        with path.open("xb") as kept:
            shutil.copyfileobj(file.file, kept)
        return path


def shown_name(file: UploadFile) -> str:
    """What a file is called in messages."""
    name = plain(file.filename or "").replace("\\", "/").rpartition("/")[2]
    return name[-_NAME_CHARACTERS:] or "the file"


def plain(text: str) -> str:
    """A line of text without what cannot be seen."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _check_zip(path: Path, name: str) -> None:
    """Raises Refused for what is no zip, or would become far larger than a score."""
    try:
        with zipfile.ZipFile(path) as packed:
            members = packed.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise Refused(400, f"{name}: is no .mxl, or damaged: export the score again", "bad_input", "score") from error
    if len(members) > _MOST_MEMBERS or sum(member.file_size for member in members) > MOST_BYTES:
        raise Refused(400, f"{name}: unpacks to more than a score holds: export it again", "too_large", "score")
