"""Where the text of `moksori say` comes from: its argument, a file or stdin."""

import codecs
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from moksori.cli.stream import STDIO
from moksori.errors import BadInput, TextError


def text_source(text: str | None, file: Path | None) -> Callable[[], TextIO]:
    """Opens the text, as often as asked; raises before anything is loaded if there is none."""
    if file is not None and str(file) != STDIO:
        if text is not None:
            raise BadInput(f"both a text ({text[:30]!r}) and --file {file} are given: give one of them")
        _check_text_file(file)
        return lambda: file.open(encoding="utf-8-sig")
    if text is None or text == STDIO:
        check_stdin()
        try:
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TextError(f"stdin: no UTF-8 text at byte {error.start}: convert it (iconv -t utf-8)") from error
        where = "stdin"
    else:
        where = "text"
    if not text.strip():
        raise TextError(f"{where}: nothing to say, it is empty: give some words")
    text = text.encode("utf-8", "replace").decode("utf-8")  # bytes of the command line that were no UTF-8
    return lambda: io.StringIO(text)


def check_stdin() -> None:
    """Raises BadInput where nobody pipes a text in."""
    if sys.stdin is None or sys.stdin.isatty():
        raise BadInput('no text: give it in quotes (moksori say "Hello." -o hello.wav), with --file, or on stdin')


def _check_text_file(path: Path) -> None:
    """Reads the file through once, in pieces, so that a bad byte in its last line is told before any work."""
    position = 0
    blank, ended = True, False
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        with path.open("rb") as file:
            while not ended:
                block = file.read(2**16)
                ended = not block
                piece = decoder.decode(block, final=ended)
                blank = blank and not piece.strip()
                if "\0" in piece:
                    raise TextError(f"{path}: holds zero bytes, so it is no text: name a UTF-8 text file")
                position += len(piece)
    except UnicodeDecodeError as error:
        position += len(error.object[: error.start].decode("utf-8"))  # what was text in the last block
        raise TextError(f"{path}: no UTF-8 text after {position} characters: convert it (iconv -t utf-8)") from error
    except OSError as error:
        raise TextError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}: check the name") from error
    if blank:
        raise TextError(f"{path}: nothing to say, it is empty: give some words")
