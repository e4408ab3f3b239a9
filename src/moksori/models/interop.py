"""What another project's model format is: how it is recognised, read and written."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moksori.errors import CheckpointError
from moksori.models.checkpoint import Loaded, Manifest

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Imported:
    """A model read from another project's files.

    manifest: its `name` is the source's, for the caller to replace. discriminators: where the source has them.
    notes: what could not be taken over, a line each.
    """

    model: "nn.Module"
    manifest: Manifest
    discriminators: "Mapping[str, Tensor] | None" = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """One format. Both functions raise CheckpointError with a remedy for files or models that do not fit.

    name: as in `--format`. recognises: whether a path looks like it; opens no pickle. read: the model of a path; None
    where the format can only be written. write: fills a new, empty folder with a model in this format and returns what
    it has lost or what should be known of it, a line each; None where the format can only be read. family: of the
    models that it holds.
    """

    name: str
    title: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Imported] | None = None
    write: Callable[[Loaded, Path], tuple[str, ...]] | None = None
    family: str = "vits"


def parsed_settings(path: Path) -> Any:
    """What a JSON file of settings holds, `//` lines of comment aside, as Coqui writes them; CheckpointError else."""
    try:
        text = path.read_text(encoding="utf-8")
        try:
            return json.loads(text)
        except ValueError:
            return json.loads("\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//")))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error}): copy the model again") from error
