"""The command `moksori`: a file per verb; errors on one line, never a traceback unless MOKSORI_DEBUG=1 asks for it.

Exit codes: 0 done, 1 the job failed, 2 bad usage or bad input, 130 interrupted.
"""

import errno
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from moksori import __version__
from moksori.errors import MoksoriError

VERBS = (
    "say",
    "sing",
    "convert",
    "denoise",
    "voice",
    "vocode",
    "codec",
    "corpus",
    "train",
    "evaluate",
    "scoreboard",
    "study",
    "import_model",
    "book",
    "dub",
    "verify",
    "serve",
    "models",
    "doctor",
)
"""Modules of moksori.cli, in the order of the help; each has `register(app)` and imports what is heavy when run."""

_INTERRUPTED = 130
# Threads of torch that wait for each other should sleep, not spin: on a busy machine spinning costs minutes. Read when
# torch is loaded, which no verb does before it runs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

# Usage errors have a class in typer's own copy of click or in click, depending on the version: found by inheritance.
_USAGE_ERROR = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="moksori",
    help="Neural voice models: text to speech, trained and spoken on a laptop.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"moksori {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for _verb in VERBS:
    import_module(f"moksori.cli.{_verb}").register(app)


def run(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs the command line and exits with its code."""
    sys.exit(main(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code; errors are printed on one line of stderr."""
    logging.basicConfig(level=logging.WARNING, format="moksori: %(message)s", stream=sys.stderr)
    debug = os.environ.get("MOKSORI_DEBUG", "") not in ("", "0")
    try:
        result = app(args=None if arguments is None else list(arguments), prog_name="moksori", standalone_mode=False)
        sys.stdout.flush()
        if result == _INTERRUPTED:  # newer versions of typer turn the interruption into this code
            return _fail("interrupted", _INTERRUPTED)
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        # The reader of our output has gone; without this Python complains again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", _INTERRUPTED)
    except typer.Exit as stop:
        return stop.exit_code
    except Exception as error:
        if debug and not isinstance(error, _USAGE_ERROR):
            raise
        return _explain(error)


def _explain(error: Exception) -> int:
    if isinstance(error, _USAGE_ERROR):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "moksori"
        message = error.format_message()  # type: ignore[attr-defined]
        return _fail(f"{message.rstrip('.')}: see '{command} --help'" if message else f"see '{command} --help'", 2)
    if isinstance(error, MoksoriError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
        return _fail(
            f"{error.filename or 'writing'}: {(error.strerror or str(error)).lower()}: free space or change folder",
            1,
        )
    if isinstance(error, MemoryError):
        return _fail("out of memory: close other programs, or give a shorter text or recording", 1)
    detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _fail(f"unexpected error: {detail} (MOKSORI_DEBUG=1 shows the traceback)", 1)


def _fail(message: str, code: int) -> int:
    print("moksori: " + " ".join(message.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    run()
