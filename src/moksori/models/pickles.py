"""The one place where a pickle is opened: other projects' checkpoints, read by torch's restricted unpickler.

It rebuilds tensors and plain containers and refuses every name beyond those. Some trainers put paths and numpy scalars
beside the weights; these few names, listed below, become objects that hold and do nothing. Some keep a whole module:
`read_modules` makes a shell of every class, which holds what the module held, and gives out the tensors. Nothing named
in the file is imported or called.
"""

import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from moksori.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

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


class Shell(Inert):
    """Stands for an object of any class and holds its state, by name; has none of the class's behaviour."""

    dump_patches = False
    """What torch asks of a class beside the source text that old files hold."""

    def __init__(self, *arguments: object, **named: object) -> None:
        self.held: dict[str, object] = {}

    def __setstate__(self, state: object) -> None:
        self.held = dict(state) if isinstance(state, dict) else {}


def read_pickle(path: Path) -> Any:
    """The tensors and plain values of a file of `torch.save`, on the CPU; nothing in it is executed.

    Raises CheckpointError, in one line, for a file that is damaged, is no checkpoint, or names anything but data.
    """
    return _read(path, {})


def read_modules(path: Path) -> Any:
    """As `read_pickle`, for files that hold whole modules too: every class that is not data becomes a `Shell`.

    Raises CheckpointError, in one line, for a file that is damaged or is no checkpoint.
    """
    shells: dict[str, type[Shell]] = {}
    if path.is_file() and not zipfile.is_zipfile(path):
        return _read_old(path)
    while True:
        try:
            return _read(path, shells)
        except CheckpointError as error:
            name = _refused(error.__cause__)
            if name is None or name in shells or len(shells) >= _MOST_CLASSES:
                raise
            for found in (name, *_other_classes(path)):
                shells[found] = _shell()


def tensors_of(module: object) -> "dict[str, Tensor]":
    """The parameters and buffers of a module that became a `Shell`, by the names that its own state dict gives them."""
    return dict(_tensors(module, "", 0))


def _tensors(module: object, prefix: str, depth: int) -> "Iterator[tuple[str, Tensor]]":
    from torch import Tensor

    if not isinstance(module, Shell) or depth > _DEEPEST:
        return
    gone = module.held.get("_non_persistent_buffers_set")
    for kind in ("_parameters", "_buffers"):
        held = module.held.get(kind)
        for name, tensor in held.items() if isinstance(held, dict) else ():
            if isinstance(tensor, Tensor) and not (kind == "_buffers" and isinstance(gone, set) and name in gone):
                yield f"{prefix}{name}", tensor.detach()
    children = module.held.get("_modules")
    for name, child in children.items() if isinstance(children, dict) else ():
        yield from _tensors(child, f"{prefix}{name}.", depth + 1)


def _read(path: Path, shells: dict[str, type[Shell]]) -> Any:
    import torch
    from torch.serialization import safe_globals

    if not path.is_file():
        raise CheckpointError(f"{path}: no such file: check the name")
    stand_ins: list[Any] = [
        *((Inert, name) for name in _INERT_NAMES),
        *((shell, name) for name, shell in shells.items()),
    ]
    try:
        with safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: refused, it holds more than weights ({_reason(error)}): {_REMEDY}") from error
    except Exception as error:  # whatever a damaged file makes of the reader
        raise CheckpointError(
            f"{path}: damaged, or no checkpoint of torch ({_reason(error)}): copy it again"
        ) from error


def _shell() -> type[Shell]:
    return type("Shell", (Shell,), {})


class _OldUnpickler(pickle.Unpickler):
    """Rebuilds tensors and containers; whatever else a file names is a shell, and no module is imported."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module in ("builtins", "__builtin__") and name == "set":
            return set
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"):
            import torch._utils

            return getattr(torch._utils, name)
        return _shell()


class _OldPickle:
    """What torch asks of a pickle module."""

    Unpickler = _OldUnpickler

    @staticmethod
    def load(file: IO[bytes], **settings: Any) -> Any:
        return _OldUnpickler(file, **settings).load()


def _read_old(path: Path) -> Any:
    """A file of torch before 1.6, whose modules torch's own restricted unpickler refuses."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that sources of classes differ
            return torch.load(path, map_location="cpu", pickle_module=_OldPickle, weights_only=False)
    except Exception as error:  # whatever a damaged file makes of the reader
        raise CheckpointError(
            f"{path}: damaged, or no checkpoint of torch ({_reason(error)}): copy it again"
        ) from error


def _refused(error: BaseException | None) -> str | None:
    """The name that the unpickler does not know; None if that was not what it stumbled over."""
    text = " ".join(str(error).split()) if isinstance(error, pickle.UnpicklingError) else ""
    for start in _UNKNOWN:
        if start in text:
            return text.partition(start)[2].split(" ")[0]
    return None


def _other_classes(path: Path) -> tuple[str, ...]:
    """All names of a file that are not data; the format tells them without reading the tensors."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    return tuple(name for name in get_unsafe_globals_in_checkpoint(path) if name not in _INERT_NAMES)


_DEEPEST = 32
_MOST_CLASSES = 200
_UNKNOWN = ("Unsupported global: GLOBAL ", "Trying to load unsupported GLOBAL ")
_REMEDY = "take a checkpoint of weights alone, or the model as safetensors"


def _reason(error: Exception) -> str:
    """What the unpickler tripped over, without torch's advice on how to allow it."""
    text = " ".join(str(error).split()) or type(error).__name__
    for start in (*_UNKNOWN, "WeightsUnpickler error: "):
        if start in text:
            text = text.partition(start)[2]
    return text.partition(" was not an allowed")[0].partition(" whose module")[0][:120]
