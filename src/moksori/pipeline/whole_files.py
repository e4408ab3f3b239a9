"""Files that are written whole or not at all."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moksori.errors import MoksoriError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives the name of a file beside `path` to write to, which takes its place at the end; after an error neither it
    nor a half-written one is there. Raises MoksoriError where the disk refuses."""
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, path)  # noqa: PTH105 (one name for tests that simulate a full disk)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MoksoriError(f"{path}: cannot be written: {reason}: free space or choose another folder") from error
    finally:
        part.unlink(missing_ok=True)


def why_unwritable(folder: Path) -> str:
    """Why no file can be put into a folder, or into the nearest one above where it is yet to be made: that one and the
    system's reason. Empty where one can; leaves nothing there."""
    nearest = folder
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        with tempfile.NamedTemporaryFile(dir=nearest) as file:
            file.write(b"moksori")
    except OSError as error:
        return f"{nearest}: {(error.strerror or str(error)).lower()}"
    return ""
