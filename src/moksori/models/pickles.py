"""The one place where a pickle is opened: other projects' checkpoints, read by torch's restricted unpickler.

It rebuilds tensors and plain containers and refuses every name beyond those. Some trainers put paths and numpy scalars
beside the weights; these few names, listed below, become objects that hold and do nothing. Nothing named in the file is
imported or called.
"""

import pickle
import warnings
from pathlib import Path
from typing import Any

from moksori.errors import CheckpointError

_INERT_NAMES = (
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in (
        "Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"
    )),
    *(f"{module}.{name}" for module in ("numpy.core.multiarray", "numpy._core.multiarray") for name in (
        "scalar", "_reconstruct"
    )),
    "numpy.dtype",
    "numpy.ndarray",
    "_codecs.encode",
    "argparse.Namespace",
    "collections.defaultdict",
    "torch.optim.lr_scheduler.ExponentialLR",
)  # fmt: skip
"""Harmless company of the weights in checkpoints of the known trainers; none of these becomes what it says it is."""


class Inert:
    """Stands for an object of a class that is not rebuilt: takes any arguments and any state, and does nothing."""

    def __new__(cls, *arguments: object, **named: object) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *arguments: object, **named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_pickle(path: Path) -> Any:
    """The tensors and plain values of a file of `torch.save`, on the CPU; nothing in it is executed.

    Raises CheckpointError, in one line, for a file that is damaged, is no checkpoint, or names anything but data.
    """
    import torch
    from torch.serialization import safe_globals

    if not path.is_file():
        raise CheckpointError(f"{path}: no such file: check the name")
    try:
        with safe_globals([(Inert, name) for name in _INERT_NAMES]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: refused, it holds more than weights ({_reason(error)}): {_REMEDY}") from error
    except Exception as error:  # whatever a damaged file makes of the reader
        raise CheckpointError(
            f"{path}: damaged, or no checkpoint of torch ({_reason(error)}): copy it again"
        ) from error


_REMEDY = "take a checkpoint of weights alone, or the model as safetensors"


def _reason(error: Exception) -> str:
    """What the unpickler tripped over, without torch's advice on how to allow it."""
    text = " ".join(str(error).split()) or type(error).__name__
    for start in ("Unsupported global: GLOBAL ", "Trying to load unsupported GLOBAL ", "WeightsUnpickler error: "):
        if start in text:
            text = text.partition(start)[2]
    return text.partition(" was not an allowed")[0].partition(" whose module")[0][:120]
