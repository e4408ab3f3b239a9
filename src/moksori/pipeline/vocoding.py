"""Which vocoder turns a model's mels into sound."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float

from moksori.audio.mel import MelConfig
from moksori.config import validate
from moksori.errors import CheckpointError, ConfigError, MoksoriError, UnsupportedTask
from moksori.models import registry
from moksori.models.checkpoint import Loaded, Manifest, fingerprint, load_model, read_manifest
from moksori.models.contract import CanDraw, CanVocode
from moksori.nn.conv import arranged_for_inference
from moksori.pipeline.models import family_default, find_model, models

AT_ONCE_FRAMES = 2048
"""Frames that are vocoded together in files."""


class Sounding:
    """A vocoder, loaded: its name, its folder, and `sound` of mels."""

    def __init__(self, loaded: Loaded) -> None:
        if isinstance(loaded.model, CanDraw):
            raise UnsupportedTask(
                f"{loaded.manifest.name}: was trained without mels and draws sound of nothing: give --seconds "
                "instead of an input, or name a vocoder"
            )
        if not isinstance(loaded.model, CanVocode):
            raise UnsupportedTask(
                f"{loaded.manifest.name}: a {loaded.manifest.family!r} model is no vocoder: name one of the family "
                f"{' or '.join(_vocoding_families())}"
            )
        self.loaded, self.model = loaded, loaded.model
        arranged_for_inference(loaded.model)

    @property
    def name(self) -> str:
        return self.loaded.manifest.name

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.loaded.folder)

    def sound(
        self,
        mels: Iterable[Float[torch.Tensor, "1 mels frames"]],
        frames: int | None = None,
        generator: torch.Generator | None = None,
        at_once: int = AT_ONCE_FRAMES,
    ) -> Iterator[Float[torch.Tensor, "1 samples"]]:
        """The sound of mels as they come; see `CanVocode.vocode_blocks`.

        at_once: where it is known how many frames come, nobody waits for the sound: so many of them are vocoded
        together, which takes less work than block by block.
        """
        return self.model.vocode_blocks(mels if frames is None else _gathered(mels, at_once), frames, generator)


def _gathered(
    mels: Iterable[Float[torch.Tensor, "1 mels frames"]], size: int
) -> Iterator[Float[torch.Tensor, "1 mels size"]]:
    """The same frames in blocks of `size`, the last one shorter."""
    kept: list[torch.Tensor] = []
    waiting = 0
    for mel in mels:
        kept.append(mel)
        waiting += mel.shape[2]
        if waiting >= size:
            joined = torch.cat(kept, dim=2)
            whole = waiting // size * size
            yield from joined[..., :whole].split(size, dim=2)
            kept, waiting = [joined[..., whole:]], waiting - whole
    if waiting:
        yield torch.cat(kept, dim=2)


def find_vocoder(
    manifest: Manifest, mel: MelConfig, name: str | Path | None = None, device: torch.device | str = "cpu"
) -> Sounding:
    """The vocoder for the mels of a model: `name`, or the one that the model's folder names, or else one for such mels
    among those here, the family's default first.

    Raises CheckpointError where there is none, where the one that the model names is another one here, and where the
    mels differ: then it names both models and every setting.
    """
    if name is not None:
        return _fitting(find_model(name), manifest, mel, device)
    for required, known in manifest.requires.items():
        folder = find_model(required)
        found = fingerprint(folder)
        if found != known:
            raise CheckpointError(
                f"{manifest.name}: needs the vocoder {required!r} ({known}), the one here is {found}: install that "
                "one, or name any for such mels with --vocoder"
            )
        return _fitting(folder, manifest, mel, device)
    some = any_vocoder_for(mel)
    if some is None:
        raise CheckpointError(
            f"{manifest.name}: makes mels ({_described(mel)}), and no vocoder here takes them: name one with --vocoder "
            "NAME or a model folder ('moksori train vocoder/compact-16khz' makes one)"
        )
    return _fitting(some, manifest, mel, device)


def _fitting(folder: Path, manifest: Manifest, mel: MelConfig, device: torch.device | str) -> Sounding:
    """Loads a vocoder; raises CheckpointError unless its mels are the model's."""
    found = Sounding(load_model(folder, device=device))
    theirs = found.model.mel_config
    if theirs != mel:
        ours, other = mel.model_dump(), theirs.model_dump()
        names = [name for name in ours if ours[name] != other[name]]
        differences = ", ".join(f"{name} {ours[name]} and {other[name]}" for name in names)
        raise CheckpointError(
            f"{manifest.name} and the vocoder {found.name} are of different mels ({differences}): name a vocoder for "
            f"{_described(mel)}"
        )
    return found


def any_vocoder_for(mel: MelConfig) -> Path | None:
    """The folder of a vocoder that takes such mels, a family's default first; None where there is none here."""
    defaults = [folder for name in _vocoding_families() if (folder := family_default(name)) is not None]
    others = [model.folder for model in models() if model.manifest and model.manifest.family in _vocoding_families()]
    for folder in [*defaults, *others]:
        try:
            if _mel_of(folder) == mel:
                return folder
        except MoksoriError:
            continue  # a broken folder is told of where it is asked for
    return None


def _mel_of(folder: Path) -> MelConfig | None:
    """What a vocoder's folder says of its mels, without its weights."""
    manifest = read_manifest(folder)
    try:
        config = validate(registry.family(manifest.family).config, manifest.model, "model")
    except ConfigError:
        return None
    found = getattr(config, "mel", None)
    return found if isinstance(found, MelConfig) else None


def _vocoding_families() -> list[str]:
    return registry.families_with("vocode_blocks")


def _described(mel: MelConfig) -> str:
    return f"{mel.sample_rate} Hz, hop {mel.hop_length}, {mel.n_mels} bands up to {mel.f_max_hz:g} Hz"
