"""A model on disk: a folder with `config.json`, weights in safetensors and a model card `README.md`.

Weights are stored as fp16 in files of at most 16 MiB and loaded into fp32. A folder is written beside its place and
renamed, so that it is there whole or not at all. Pickles are never opened. Nothing here imports torch before a model
is built or saved, so that listing models is quick.
"""

import hashlib
import json
import os
import re
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from moksori.config import Config, validate
from moksori.errors import CheckpointError, ConfigError, UnknownName
from moksori.staging import staged
from moksori.text.tokenizer import TextConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FORMAT = 1
MAXIMUM_FILE_BYTES = 16 * 2**20
CONFIG_NAME = "config.json"
CARD_NAME = "README.md"
MODEL_STEM = "model"
DISCRIMINATORS_STEM = "discriminators"
_WEIGHTS = re.compile(
    rf"(?:{MODEL_STEM}|{DISCRIMINATORS_STEM})(?:-[0-9]{{5,9}}-of-[0-9]{{5,9}})?\.safetensors", re.ASCII
)
_PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".pyth")
_FP16_MAXIMUM = 65504.0
_HEADER_BYTES = 2**18  # room for the names and shapes of a file inside the 16 MiB


class Manifest(Config):
    """What `config.json` holds: all that is needed to build the model, and where it comes from."""

    format: int = FORMAT
    """Version of the folder's layout; a newer one than this installation knows is refused."""
    family: str
    """The registered family, for example `vits`."""
    name: str
    """The model's short name, as in `--voice NAME`."""
    model: dict[str, Any]
    """The family's settings, complete."""
    text: TextConfig | None = None
    """Language, symbols and form of the texts; None for models without text."""
    speakers: tuple[str, ...] = ()
    """Names of the speaker table, in its order; empty or one name for a single speaker."""
    language: str = "en-us"
    """Language of the training texts, as espeak-ng names it."""
    licence: str = ""
    """Licence of the weights (SPDX identifier)."""
    data: tuple[str, ...] = ()
    """The corpora it was trained on, with their licences."""
    steps: int = Field(default=0, ge=0)
    """Optimizer steps of training."""
    scores: dict[str, float] = Field(default_factory=dict)
    """Measures of `moksori evaluate` on the test sentences."""
    sample_rate: int = Field(gt=0)
    """Samples per second of what it makes, in Hz."""
    requires: dict[str, str] = Field(default_factory=dict)
    """Other models it needs (a vocoder, a codec): name -> fingerprint."""
    speaker_languages: dict[str, str] = Field(default_factory=dict)
    """Language of each speaker whose own is not `language`; what they speak where none is asked for."""
    speaker_pitch: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Mean and standard deviation of ln F0 (Hz) in each speaker's training recordings, where conversion needs them."""
    absent: tuple[str, ...] = ()
    """Parts that its source lacked and that hold zeros: without `posterior_encoder` a model speaks, but it can neither
    convert nor be trained on."""


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode with fp32 weights, what its folder says of it, and the folder."""

    model: "nn.Module"
    manifest: Manifest
    folder: Path

    @property
    def device(self) -> "torch.device":
        """Where the weights are; the CPU for a model without any."""
        import torch

        parameter = next(self.model.parameters(), None)
        return parameter.device if parameter is not None else torch.device("cpu")


def save_model(
    folder: Path,
    model: "nn.Module",
    manifest: Manifest,
    card: str = "",
    discriminators: "Mapping[str, Tensor] | None" = None,
    exact: bool = False,
) -> None:
    """Writes a model folder: `config.json`, fp16 weights and the card; a model folder already there is replaced whole.

    discriminators: the state of what only training needs, for a second file from which fine-tuning starts well.
    exact: tensors that fp16 would round stay fp32, so that an imported model sounds as it did where it comes from.
    Raises CheckpointError for weights that are not finite, and as `refuse_other_things` does.
    """
    folder = Path(folder)
    refuse_other_things(folder)
    with staged(folder) as staging:
        _write_weights(staging, MODEL_STEM, model.state_dict(), exact)
        if discriminators is not None:
            _write_weights(staging, DISCRIMINATORS_STEM, discriminators)
        text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
        (staging / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
        (staging / CARD_NAME).write_text(
            card or f"# {manifest.name}\n\nA `{manifest.family}` model of moksori.\n", encoding="utf-8"
        )
        _replace_folder(staging, folder)


def refuse_other_things(folder: Path) -> None:
    """Raises CheckpointError unless a model may be put there: in a new or empty folder, or in place of a model.

    A folder is replaced whole, so one with anything in it that is not a model's own file is never taken for a model.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: a file is there and is left alone: name another folder")
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return
    others = [name for name in names if not _is_own_file(folder / name)]
    if not others and CONFIG_NAME not in names:
        others = names
    elif not others:
        try:
            read_manifest(folder)
        except CheckpointError:
            others = [CONFIG_NAME]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise CheckpointError(
            f"{folder}: holds something else than a model ({others[0]}{more}) and is left alone: name another folder"
        )


def _is_own_file(path: Path) -> bool:
    return path.is_file() and (path.name in (CONFIG_NAME, CARD_NAME) or _WEIGHTS.fullmatch(path.name) is not None)


def _replace_folder(staging: Path, folder: Path) -> None:
    """Puts `staging` in the place of `folder`; a folder cannot be renamed over a full one, so the old steps aside."""
    if not folder.exists():
        os.replace(staging, folder)  # noqa: PTH105 (one name for tests that simulate a full disk)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    os.replace(folder, aside)  # noqa: PTH105
    try:
        os.replace(staging, folder)  # noqa: PTH105
    except OSError:
        os.replace(aside, folder)  # noqa: PTH105
        raise
    shutil.rmtree(aside, ignore_errors=True)


def read_manifest(folder: Path) -> Manifest:
    """What a model folder's `config.json` says; raises CheckpointError if it is missing, broken or too new."""
    path = Path(folder) / CONFIG_NAME
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder}: not a model folder: it has no {CONFIG_NAME}{_pickle_hint(Path(folder))}"
        ) from error
    except NotADirectoryError as error:
        raise CheckpointError(
            f"{folder}: a file, expected a model folder with a {CONFIG_NAME}{_pickle_hint(Path(folder))}"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error}): copy the model again") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(settings).__name__}: copy the model again")
    version = settings.get("format", FORMAT)
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointError(f"{path}: format {version}, this moksori reads up to {FORMAT}: install a newer moksori")
    try:
        return validate(Manifest, settings)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def load_model(folder: Path, family: str | None = None, device: "str | torch.device" = "cpu") -> Loaded:
    """The model of a folder, in evaluation mode, with fp32 weights, on `device`.

    family: the family that is expected; None takes any.
    Raises CheckpointError, naming file and remedy, if the folder is of another family, if a weight is missing, unknown,
    of another shape or not finite, if a file is truncated, and for a pickle, which is never opened.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if family is not None and manifest.family != family:
        raise CheckpointError(
            f"{folder}: a {manifest.family!r} model, expected {family!r}: name a model of that family"
        )

    from moksori.models import registry

    try:
        found = registry.family(manifest.family)
    except UnknownName as error:
        raise CheckpointError(f"{folder / CONFIG_NAME}: {error}") from error
    try:
        model = found.model(validate(found.config, manifest.model, "model"))
    except ConfigError as error:
        raise CheckpointError(f"{folder / CONFIG_NAME}: {error}") from error
    load_weights(model, folder)
    return Loaded(model.eval().to(device), manifest, folder)


def load_weights(model: "nn.Module", folder: Path, stem: str = MODEL_STEM) -> None:
    """Fills a built model with a folder's weights, after comparing every name and shape; errors as in `load_model`."""
    stored = read_weights(folder, stem)
    expected = model.state_dict()
    missing = [name for name in expected if name not in stored]
    unknown = [name for name in stored if name not in expected]
    if missing or unknown:
        parts = [
            f"{len(names)} weights {what} ({names[0]!r} first)"
            for what, names in (("missing", missing), ("unknown", unknown))
            if names
        ]
        raise CheckpointError(
            f"{folder}: {' and '.join(parts)}: config.json and the weights are of different models, copy both again"
        )
    for name, tensor in expected.items():
        if stored[name].shape != tensor.shape:
            raise CheckpointError(
                f"{folder}: weight {name!r} has the shape {list(stored[name].shape)}, config.json asks for "
                f"{list(tensor.shape)}: copy the model again, or undo what was changed in its config.json"
            )
        if stored[name].is_floating_point() and not bool(stored[name].isfinite().all()):
            raise CheckpointError(
                f"{folder}: weight {name!r} holds NaN or infinity: the training diverged, use an earlier checkpoint"
            )
    model.load_state_dict({name: stored[name].to(tensor.dtype) for name, tensor in expected.items()})


def read_weights(folder: Path, stem: str = MODEL_STEM) -> "dict[str, Tensor]":
    """All tensors of `stem`'s files as stored (fp16); raises CheckpointError for missing or truncated files."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = {}
    for path in weight_files(folder, stem):
        try:
            tensors.update(load_file(path))
        except (OSError, SafetensorError, ValueError) as error:
            raise CheckpointError(
                f"{path}: truncated, or not a safetensors file ({error}): copy the model again"
            ) from error
    return tensors


def has_discriminators(folder: Path) -> bool:
    """Whether the folder brings its discriminators, for fine-tuning."""
    return any(Path(folder).glob(f"{DISCRIMINATORS_STEM}*.safetensors"))


def weight_files(folder: Path, stem: str = MODEL_STEM) -> list[Path]:
    """The files that hold `stem`'s weights, in order; raises CheckpointError if one or all are missing."""
    folder = Path(folder)
    single = folder / f"{stem}.safetensors"
    if single.is_file():
        return [single]
    parts = sorted(folder.glob(f"{stem}-?????-of-?????.safetensors"))
    if not parts:
        raise CheckpointError(f"{folder}: has no {single.name}{_pickle_hint(folder) or ': copy the model again'}")
    count = int(parts[0].stem.rpartition("-")[2])
    expected = [folder / _part_name(stem, index, count) for index in range(count)]
    gone = [path for path in expected if not path.is_file()]
    if gone:
        raise CheckpointError(f"{gone[0]}: missing, one of {count} files of the weights: copy the model again")
    return expected


def count_parameters(folder: Path) -> int:
    """How many numbers the weights hold, read from the files' headers alone."""
    total = 0
    for path in weight_files(folder):
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, path.stat().st_size)))
            for name, entry in header.items():
                size = 1
                for extent in entry["shape"] if name != "__metadata__" else [0]:
                    size *= extent
                total += size
        except (OSError, ValueError, AttributeError, KeyError, TypeError, struct.error) as error:
            raise CheckpointError(f"{path}: truncated, or not a safetensors file: copy the model again") from error
    return total


def fingerprint(folder: Path) -> str:
    """A short hash of a model's settings and weights: the same model in two places has the same one.

    Its scores do not count: measuring a model does not make it another one.
    """
    settings = read_manifest(folder).model_dump(mode="json", exclude={"scores"})
    if not settings["speaker_pitch"]:  # models from before there was such a setting keep their hash
        del settings["speaker_pitch"]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode("utf-8"))
    for path in weight_files(folder):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _write_weights(folder: Path, stem: str, state: "Mapping[str, Tensor]", exact: bool = False) -> None:
    from safetensors.torch import save_file

    parts = list(_parts({name: _stored(name, tensor, exact) for name, tensor in state.items()}))
    for index, part in enumerate(parts):
        name = f"{stem}.safetensors" if len(parts) == 1 else _part_name(stem, index, len(parts))
        save_file(part, folder / name)


def _stored(name: str, tensor: "Tensor", exact: bool = False) -> "Tensor":
    """fp16 where its range allows, and where `exact` its precision too; other tensors stay fp32."""
    tensor = tensor.detach().cpu()
    if not tensor.is_floating_point():
        return tensor.contiguous().clone()
    if not bool(tensor.isfinite().all()):
        raise CheckpointError(
            f"weight {name!r} holds NaN or infinity and is not saved: the training diverged, use an earlier checkpoint"
        )
    small = tensor.numel() == 0 or float(tensor.abs().max()) <= _FP16_MAXIMUM
    half = tensor.half()
    if not small or (exact and not bool((half == tensor).all())):
        return tensor.float().contiguous().clone()
    return half.contiguous().clone()


def _parts(state: "Mapping[str, Tensor]") -> "Iterator[dict[str, Tensor]]":
    """The tensors in their order, cut into files of at most 16 MiB; a single tensor beyond that has its own file."""
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in state.items():
        nbytes = tensor.numel() * tensor.element_size()
        if part and size + nbytes > MAXIMUM_FILE_BYTES - _HEADER_BYTES:
            yield part
            part, size = {}, 0
        part[name] = tensor
        size += nbytes
    yield part


def _part_name(stem: str, index: int, count: int) -> str:
    return f"{stem}-{index + 1:05d}-of-{count:05d}.safetensors"


def _pickle_hint(path: Path) -> str:
    """The remedy for a person who brings a pickle, or nothing."""
    candidates = [path] if path.is_file() else sorted(path.glob("*")) if path.is_dir() else []
    for candidate in candidates:
        if candidate.suffix.lower() in _PICKLE_SUFFIXES:
            return f"; {candidate.name} is a pickle, which can run code when opened: only safetensors are read"
    return ""
