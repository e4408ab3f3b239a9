"""Which codec is meant: by name, by a model that needs it, or by a file that it made."""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from moksori.audio.resample import resample
from moksori.errors import CheckpointError, UnsupportedTask
from moksori.models import registry
from moksori.models.checkpoint import Loaded, Manifest, fingerprint, load_model
from moksori.models.contract_latents import CanCompress
from moksori.nn.conv import arranged_for_inference
from moksori.pipeline.models import family_default, find_model, models, only_model
from moksori.types import Waveform

FAMILY = "codec"
"""Whose default is meant where none is named."""


class FoundCodec:
    """A codec, loaded: its name, its fingerprint and the model. Raises UnsupportedTask for what is none."""

    def __init__(self, loaded: Loaded) -> None:
        if not isinstance(loaded.model, CanCompress):
            raise UnsupportedTask(
                f"{loaded.manifest.name}: a {loaded.manifest.family!r} model is no codec: name one of the family "
                f"{' or '.join(compressing_families())}"
            )
        self.loaded, self.model = loaded, loaded.model
        arranged_for_inference(loaded.model)

    @property
    def name(self) -> str:
        return self.loaded.manifest.name

    @property
    def device(self) -> torch.device:
        return self.loaded.device

    def through(self, waveform: Float[torch.Tensor, "batch samples"]) -> Float[torch.Tensor, "batch copied"]:
        """Sound through the codec and nothing else."""
        return self.model.expand(self.model.latents(self.model.compress(waveform)))

    def copied(self, recording: Waveform) -> Waveform:
        """A recording through the codec, as long as it is, at the codec's rate."""
        samples = resample(recording, self.model.sample_rate).samples
        with torch.inference_mode():
            heard = torch.from_numpy(np.ascontiguousarray(samples))[None].to(self.device)
            made = self.through(heard)[0, : len(samples)]
        return Waveform(np.clip(made.float().cpu().numpy(), -1.0, 1.0), self.model.sample_rate)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.loaded.folder)


def find_codec(name: str | Path | None = None, device: torch.device | str = "cpu") -> FoundCodec:
    """The codec of that name or folder; None is the family's default, or the only one here.

    Raises UnknownName or CheckpointError where there is none, BadInput where there are several and no default,
    UnsupportedTask for a model that is no codec.
    """
    if name is not None and str(name) != FAMILY:
        return FoundCodec(load_model(find_model(name), device=device))
    folder = family_default(FAMILY) or only_model(compressing_families(), "are codecs")
    if folder is None:
        raise CheckpointError(
            "no codec is installed or bundled here: name one with --model NAME or a model folder ('moksori train "
            "codec/compact' makes one)"
        )
    return FoundCodec(load_model(folder, device=device))


def required_codec(
    manifest: Manifest, name: str | Path | None = None, device: torch.device | str = "cpu"
) -> FoundCodec:
    """The codec whose latents a model makes: the one that its folder names by its fingerprint.

    name: where that codec lies, if it is neither installed nor bundled; any other one is refused, since latents mean
    something to the codec alone that they were learnt from.
    Raises UnknownName or CheckpointError where there is none, or another one, naming both.
    """
    for required, known in manifest.requires.items():
        what = f"{manifest.name}: makes latents of the codec {required!r} ({known})"
        return _codec_with(known, required, name, what, "--vocoder", device)
    raise CheckpointError(f"{manifest.name}: does not say which codec its latents are of: train or copy it again")


def codec_of_file(
    source: str, made_by: str, known: str, name: str | Path | None = None, device: torch.device | str = "cpu"
) -> FoundCodec:
    """The codec that made a file. source: the file, for messages; made_by, known: its codec's name and fingerprint.

    name: where that codec lies, if it is neither installed nor bundled. Raises as `required_codec` does.
    """
    what = f"{source}: was made by the codec {made_by!r} ({known})"
    return _codec_with(known, made_by, name, what, "--model", device)


def compressing_families() -> list[str]:
    """Families whose models are codecs."""
    return registry.families_with("compress")


def _codec_with(
    known: str, called: str, name: str | Path | None, what: str, option: str, device: torch.device | str
) -> FoundCodec:
    """By fingerprint alone: what a file calls its codec may be anything, and nothing is fetched for it.

    what, option: for messages, what is to be understood, and how the command line names a codec for it.
    """
    if name is not None and str(name) != FAMILY:
        found = find_codec(name, device)
        if found.fingerprint != known:
            raise CheckpointError(
                f"{what}, and means nothing to {found.name} ({found.fingerprint}): name that one with {option}"
            )
        return found
    whole = [model for model in models() if model.manifest is not None]
    for model in sorted(whole, key=lambda model: called not in (model.name, model.manifest and model.manifest.name)):
        if fingerprint(model.folder) == known:
            return FoundCodec(load_model(model.folder, device=device))
    raise CheckpointError(f"{what}, which is not here: install it, or name its folder with {option}")
