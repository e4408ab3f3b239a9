"""Other projects' models: `import_model` turns their files into a model folder, `export_model` writes theirs."""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from moksori.errors import CheckpointError, MoksoriError, UnknownName, UnsupportedTask
from moksori.models.checkpoint import CONFIG_NAME, Manifest, load_model, read_manifest, refuse_other_things, save_model
from moksori.models.interop import Layout, parsed_settings
from moksori.models.registry import layouts
from moksori.pipeline.model_card import model_card
from moksori.pipeline.models import find_model
from moksori.staging import staged


@dataclass(frozen=True)
class ImportedModel:
    """A model folder made of another project's files.

    layout: which format they were in. notes: what could not be taken over. discriminators: whether they came along.
    """

    folder: Path
    layout: str
    manifest: Manifest
    discriminators: bool
    notes: tuple[str, ...]


def import_model(source: str | Path, target: str | Path, layout: str | None = None) -> ImportedModel:
    """Reads another project's model and writes it as a model folder that all verbs take.

    source: its file or folder. target: the new folder, whose name becomes the model's. layout: the format's name, found
    out by itself where None. Weights are stored exactly: in fp16 where that loses nothing, else in fp32.
    Raises CheckpointError for a source that no format fits, that is damaged, or that holds more than data; pickles are
    read without executing anything in them; for a target that is the source, or holds anything else than a model of
    moksori, which alone is replaced. UnknownName for a layout that does not exist.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    if not source.exists():
        raise CheckpointError(f"{source}: no such file or folder: check the path")
    if target.exists() and target.samefile(source):
        raise CheckpointError(f"{target}: is the source itself and is left alone: name another folder")
    refuse_other_things(target)
    chosen = _layout(source, layout)
    assert chosen.read is not None
    found = chosen.read(source)
    manifest = found.manifest.model_copy(update={"name": target.name})
    notes = "Imported; " + ("; ".join(found.notes) if found.notes else "nothing of it was lost") + "."
    save_model(target, found.model, manifest, model_card(manifest, notes), found.discriminators, exact=True)
    return ImportedModel(target, chosen.name, manifest, found.discriminators is not None, found.notes)


@dataclass(frozen=True)
class ExportedModel:
    """A folder in another project's format; notes: what that has no place for, a line each."""

    folder: Path
    notes: tuple[str, ...]


def export_model(name: str | Path, target: str | Path, layout: str) -> ExportedModel:
    """Writes a model in another project's format, into a folder that does not exist yet or is empty.

    name: as `--voice` takes it. layout: one of `writable_layouts`. The folder appears whole or not at all.
    Raises CheckpointError where the format has no place for something in the model, naming it, UnsupportedTask for a
    model of a family that it is not for, MissingExtra where it needs a package, MoksoriError where the folder cannot be
    written or what was made of the model does not do what the model does.
    """
    able = {known.family: known for known in layouts() if known.name == layout and known.write is not None}
    if not able:
        raise _unknown_format("export", layout, writable_layouts())
    target = Path(target).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target}: is there already and is left alone: name a new folder")
    loaded = load_model(find_model(name))
    chosen = able.get(loaded.manifest.family)
    if chosen is None:
        *others, last = (repr(family) for family in able)
        families = f"{', '.join(others)} and {last}" if others else last
        raise UnsupportedTask(
            f"{loaded.manifest.name}: a {loaded.manifest.family!r} model, --format {layout} is for {families} models"
        )
    try:
        with staged(target) as staging:
            assert chosen.write is not None
            notes = chosen.write(loaded, staging)
            os.replace(staging, target)  # noqa: PTH105 (as in models.checkpoint)
    except OSError as error:
        raise _unwritable(target, error) from error
    return ExportedModel(target, notes)


def _unwritable(target: Path, error: OSError) -> MoksoriError:
    reason = (error.strerror or str(error)).lower()
    return MoksoriError(f"{target}: cannot be written: {reason}: free space or choose another folder")


def _unknown_format(verb: str, name: str, known: tuple[str, ...]) -> UnknownName:
    """With all of them, since they are few; a name is guessed only where it is very near."""
    near = get_close_matches(name, known, n=1, cutoff=0.7)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return UnknownName(f"unknown {verb} format {name!r}: {guess}known: {', '.join(known)}")


def readable_layouts() -> tuple[str, ...]:
    """Names of the formats that can be read."""
    return tuple(layout.name for layout in layouts() if layout.read is not None)


def writable_layouts() -> tuple[str, ...]:
    """Names of the formats that can be written."""
    return tuple(dict.fromkeys(layout.name for layout in layouts() if layout.write is not None))


def _layout(source: Path, name: str | None) -> Layout:
    known = [layout for layout in layouts() if layout.read is not None]
    if name is not None:
        for layout in known:
            if layout.name == name:
                return layout
        raise _unknown_format("import", name, readable_layouts())
    if source.is_dir() and (source / CONFIG_NAME).is_file():
        try:
            own = read_manifest(source)
        except CheckpointError:
            pass
        else:
            raise CheckpointError(f"{source}: is a model of moksori already ({own.name}): use it as it is")
    files = {path.suffix for path in source.iterdir()} if source.is_dir() else {source.suffix}
    if ".onnx" in files and not files & {".pth", ".pt", ".ckpt", ".safetensors"}:
        raise CheckpointError(
            f"{source}: an ONNX graph is made for running only: import the checkpoint it was made from (.ckpt, .pth)"
        )
    for layout in known:
        if layout.recognises(source):
            return layout
    settings = source / CONFIG_NAME if source.is_dir() else source.with_name(CONFIG_NAME)
    if settings.is_file():
        parsed_settings(settings)  # broken ones are the likeliest reason that no format fits
    formats = ", ".join(f"{layout.name} ({layout.title})" for layout in known)
    raise CheckpointError(
        f"{source}: fits no format that is known; weights and their JSON must lie together. Or name it by --format: "
        f"{formats}"
    )
