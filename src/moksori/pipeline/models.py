"""Finding models by name, and telling what is there.

A name is looked for as a path to a model folder, in $MOKSORI_HOME/models, among the bundled models (by name, then by
family: its default), and last on the Hugging Face Hub where `huggingface_hub` is installed.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from moksori.errors import BadInput, CheckpointError, MoksoriError, UnknownName, unknown_name
from moksori.models.checkpoint import CONFIG_NAME, Manifest, count_parameters, has_discriminators, read_manifest

_PACKAGE = Path(__file__).resolve().parent.parent
_SHORT_NAME = re.compile(r"\w[\w.-]{0,99}")
_HUB_NAME = re.compile(r"\w[\w.-]{0,99}/\w[\w.-]{0,99}")
# Where a training run keeps its model folders, the best first.
_RUN_FOLDERS = ("best", "model", "newest")


@dataclass(frozen=True)
class Model:
    """A model that `moksori.load` finds by name.

    where: "bundled" or "installed" (in $MOKSORI_HOME/models). default: it speaks when no other is named.
    manifest: None where the folder is broken; `problem` then says how.
    """

    name: str
    folder: Path
    where: str
    default: bool
    manifest: Manifest | None
    problem: str = ""


@dataclass(frozen=True)
class ModelInfo:
    """All that a model's folder tells without building it; sizes in bytes."""

    model: Model
    manifest: Manifest
    parameters: int
    files: dict[str, int]
    discriminators: bool


def models() -> list[Model]:
    """The installed and the bundled models by name; an installed one hides a bundled one of the same name."""
    default = _index().default
    found: dict[str, Model] = {}
    for where, root in (("installed", installed_folder()), ("bundled", bundled_folder())):
        try:
            folders = sorted(root.iterdir())
        except OSError:
            continue
        for folder in folders:
            if folder.name not in found and (folder / CONFIG_NAME).is_file():
                found[folder.name] = _describe(folder, where, folder.name == default)
    return [found[name] for name in sorted(found)]


def unknown_speaker(name: str, known: Iterable[str]) -> UnknownName:
    """The error for a speaker that a model lacks: the nearest that it has, and the models here that have this one."""
    error = unknown_name("speaker", name, known)
    having = [m.name for m in models() if m.manifest is not None and name in m.manifest.speakers]
    if not having:
        return error
    return UnknownName(f"{str(error).removesuffix('?')}; a speaker of {' and '.join(having)}: --voice {having[0]}")


def info(name: str | Path) -> ModelInfo:
    """One model in detail; raises as `find_model` does, and CheckpointError for a broken folder."""
    folder = find_model(name)
    where = (
        "bundled"
        if folder.parent == bundled_folder()
        else "installed"
        if folder.parent == installed_folder()
        else "folder"
    )
    manifest = read_manifest(folder)
    model = Model(folder.name, folder, where, where != "folder" and folder.name == _index().default, manifest)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    return ModelInfo(model, manifest, count_parameters(folder), files, has_discriminators(folder))


def find_model(name: str | Path | None = None) -> Path:
    """The folder of the model called `name`: a path, a model's name, a family's name or a Hub id; None = the default.

    Raises UnknownName with the nearest names, and CheckpointError for a path that holds no model.
    """
    index = _index()
    default, families = index.default, index.families
    if name is None:
        if default is None:
            raise CheckpointError(
                f"no default voice is bundled in {bundled_folder()}: name one with --voice NAME or a model folder"
            )
        named = _named(default, families)  # by name alone: a folder that happens to be called so is not meant
        if named is None:
            raise CheckpointError(
                f"the default voice {default!r} is missing in {bundled_folder()}: install moksori again"
            )
        return named
    text = str(name)
    if not text.strip() or "\0" in text:
        raise unknown_name("model", text, _known(families))
    path = Path(text).expanduser()
    try:
        for folder in (path, *(path / run for run in _RUN_FOLDERS)):
            if (folder / CONFIG_NAME).is_file():
                return folder
        exists = path.exists()
    except OSError:  # a text too long for a file name
        exists = False
    if isinstance(name, str) and _SHORT_NAME.fullmatch(text):
        named = _named(text, families)
        if named is not None:
            return named
    if exists:
        read_manifest(path)  # raises, naming what is wrong with the folder
    if isinstance(name, str) and _HUB_NAME.fullmatch(text) and find_spec("huggingface_hub"):
        return _from_hub(text)
    if "/" in text or isinstance(name, Path):
        raise CheckpointError(f"{text}: no such model folder: check the path, or see the names of 'moksori models'")
    raise unknown_name("model", text, _known(families))


def family_default(family: str) -> Path | None:
    """The folder of a family's default model; None where it has none here."""
    return _named(family, _index().families)


def only_model(families: Iterable[str], said: str) -> Path | None:
    """The folder of the one model here of these families; None without any.

    Raises BadInput where there are several, naming them. said: of all of them, for the message.
    """
    able = set(families)
    here = [model.folder for model in models() if model.manifest is not None and model.manifest.family in able]
    if len(here) > 1:
        names = " and ".join(repr(folder.name) for folder in here)
        raise BadInput(f"the models {names} {said}: choose with --model")
    return here[0] if here else None


def usual_converter(sings: bool) -> str | None:
    """The bundled model that converts to its own speakers where several know one: of songs, or of speech.

    From `weights/index.json`; None where that names none. Raises CheckpointError where it is damaged.
    """
    return _index().converters.get("song" if sings else "speech")


def bundled_folder() -> Path:
    """Where the models that come with moksori are."""
    return _PACKAGE / "weights"


def home() -> Path:
    """moksori's own folder for this user: $MOKSORI_HOME, else `~/.local/share/moksori`."""
    return Path(os.environ.get("MOKSORI_HOME") or "~/.local/share/moksori").expanduser()


def installed_folder() -> Path:
    """Where this user's own models are."""
    return home() / "models"


def _describe(folder: Path, where: str, default: bool) -> Model:
    try:
        return Model(folder.name, folder, where, default, read_manifest(folder))
    except MoksoriError as error:
        return Model(folder.name, folder, where, default, None, str(error))


@dataclass(frozen=True)
class _Index:
    """What `weights/index.json` says: the default voice, each family's default model, who converts speech and songs."""

    default: str | None = None
    families: Mapping[str, str] = field(default_factory=dict)
    converters: Mapping[str, str] = field(default_factory=dict)


def _index() -> _Index:
    """Raises CheckpointError where the index is damaged; one that is missing names nothing."""
    path = bundled_folder() / "index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        families = {entry["family"]: name for name, entry in index["models"].items() if entry.get("default")}
        return _Index(index["default"], families, dict(index.get("converters", {})))
    except FileNotFoundError:
        return _Index()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged ({error}): install moksori again") from error


def _named(name: str, families: Mapping[str, str]) -> Path | None:
    """The installed or bundled model of that name, or that family's default."""
    for root in (installed_folder(), bundled_folder()):
        for known in (name, families.get(name)):
            if known and (root / known / CONFIG_NAME).is_file():
                return root / known
    return None


def _known(families: Mapping[str, str]) -> set[str]:
    return {model.name for model in models()} | set(families)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(name, allow_patterns=[CONFIG_NAME, "*.safetensors", "README.md"])
    except Exception as error:  # the Hub client's errors share no class across its versions
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{name}: neither a folder here nor to be had from the Hub ({reason}): check name and network"
        ) from error
    read_manifest(Path(folder))
    return Path(folder)
