"""Errors that a person sees: each message names the value, what was expected, and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches


class MoksoriError(Exception):
    """Root of all errors that moksori raises on purpose; the command line prints its message on one line.

    exit_code: 1 for a job that failed, 2 for bad usage or bad input.
    """

    exit_code = 1


class BadInput(MoksoriError):
    """The input or the usage is wrong; nothing was started."""

    exit_code = 2


class ConfigError(BadInput):
    """A configuration key or value is wrong."""


class TextError(BadInput):
    """A text cannot be spoken."""


class AudioError(BadInput):
    """A recording cannot be read or used."""


class CorpusError(BadInput):
    """A corpus folder, its metadata or one of its splits cannot be used."""


class CheckpointError(BadInput):
    """A model folder or training checkpoint is missing, broken or of another family."""


class UnknownName(BadInput):
    """A family, voice, speaker, preset or language that does not exist; the message suggests the nearest."""


class UnsupportedTask(BadInput):
    """The model cannot do what was asked; the message names the families that can."""


class TrainingCollapsed(MoksoriError):
    """A run has gone wrong in a way that more steps do not mend; the message says what was seen and what to change."""


class MissingExtra(MoksoriError):
    """An optional package is needed; the message gives the command that installs it."""

    exit_code = 2

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}: pip install 'moksori[{extra}]'")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """An UnknownName that suggests the nearest known names, and lists a few when none is near."""
    known = sorted(known)
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        hint = "did you mean " + " or ".join(repr(n) for n in near) + "?"
    elif known:
        hint = "known: " + ", ".join(known[:12]) + (" ..." if len(known) > 12 else "")
    else:
        hint = "none is known here"
    return UnknownName(f"unknown {kind} {name!r}: {hint}")
