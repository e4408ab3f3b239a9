"""Conversion by a model that speaks in the voice of a prompt: its codec's latents go to noise and come back."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from moksori.errors import BadInput, UnsupportedTask
from moksori.models.checkpoint import Loaded
from moksori.models.contract_latents import CanConvertLatents
from moksori.pipeline.codecs import FoundCodec, required_codec
from moksori.pipeline.conversion_ways import Job, checked
from moksori.pipeline.conversions import ConvertOptions
from moksori.pipeline.enrolment import Enrolled, source_remarks
from moksori.pipeline.prompts import read_prompt, voice_of_prompt
from moksori.pipeline.recordings import OpenRecording
from moksori.pipeline.seeds import sentence_generator
from moksori.types import ConvertControls, LatentBatch, Voice

PIECE_SECONDS = 8.0
"""From here on a recording is cut where it is quietest; models learn from clips that are not much longer."""
LOOK_SECONDS = 3.0
_QUIET_SECONDS = 0.1


class ThroughPrompts:
    """A model that makes latents of recordings anew in the voice of prompts, piece by piece.

    codec: a name or folder; None: the one that the model names.
    """

    is_live = False

    def __init__(self, loaded: Loaded, codec: str | Path | None = None) -> None:
        assert isinstance(loaded.model, CanConvertLatents)
        self.loaded, self.manifest, self._model, self._named = loaded, loaded.manifest, loaded.model, codec

    @cached_property
    def codec(self) -> FoundCodec:
        """Raises CheckpointError where the codec that the model was trained with is not here."""
        return required_codec(self.manifest, self._named, self.loaded.device)

    def check(self, options: ConvertOptions) -> None:
        """Raises UnsupportedTask or BadInput where the options are not for this model."""
        name = self.manifest.name
        if options.speaker is not None:
            raise UnsupportedTask(
                f"{name}: has no speakers of its own: give a recording of {options.speaker!r} with --like"
            )
        if options.source is not None:
            raise BadInput(f"source {options.source!r}: {name} needs not know who speaks: leave the source out")
        if options.shift_semitones or options.key:
            raise UnsupportedTask(f"{name}: follows no pitch in what it converts: leave pitch and key out")
        if options.variation is not None and options.variation > 1.0:
            raise BadInput(f"variation {options.variation:g}: {name} takes 0 to 1 where it converts")

    def target(self, options: ConvertOptions) -> Enrolled:
        """Who is to be heard."""
        found = read_prompt(options.like, self.codec)
        return Enrolled(voice_of_prompt(found.prompt, self.codec, self.manifest.family), found.notes)

    def job(self, recording: OpenRecording, options: ConvertOptions, seed: int) -> Job:
        """The conversion, ready to be made."""
        notes = source_remarks(recording)
        own = Voice(self.manifest.family, name=Path(recording.name).stem)
        prompt: LatentBatch | None = None
        if options.like:
            found = read_prompt(options.like, self.codec)
            notes.extend(found.notes)
            prompt = found.prompt.latents(self.codec.model, self.codec.device)
            voice = voice_of_prompt(found.prompt, self.codec, self.manifest.family)
        else:
            voice = own
            notes.append(
                f"{recording.name}: is cleaned without knowing who speaks: with a clean recording of the speaker, "
                "--like clean.wav, the voice is kept better"
            )
        blocks = checked(self.manifest.name, recording.name, self._blocks(recording, prompt, options.controls, seed))
        return Job(None if options.like else own, voice, blocks, tuple(notes))

    def _blocks(
        self, recording: OpenRecording, prompt: LatentBatch | None, controls: ConvertControls, seed: int
    ) -> Iterator[Float[torch.Tensor, "1 samples"]]:
        codec, device = self.codec.model, self.codec.device
        for number, piece in enumerate(pieces(recording.sound.blocks(), recording.sound.sample_rate)):
            with torch.inference_mode():
                latent = codec.latents(codec.compress(torch.from_numpy(piece)[None].to(device)))
                source = LatentBatch(latent, torch.tensor([latent.shape[2]], device=device))
                generator = sentence_generator(seed, number)
                made = self._model.convert_latents(source, prompt, None, controls, generator=generator)
                yield codec.expand(made.latent)[:, : len(piece)]


def pieces(blocks: Iterator[Float[np.ndarray, " block"]], sample_rate: int) -> Iterator[Float[np.ndarray, " piece"]]:
    """A recording cut where it is quiet: after at least 8 s, at the quietest place of the next 3 s; no samples go."""
    least, look = round(PIECE_SECONDS * sample_rate), round(LOOK_SECONDS * sample_rate)
    window = max(round(_QUIET_SECONDS * sample_rate), 1)
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= least + look:
            places = held[least : least + look]
            power = np.square(places[: len(places) // window * window].reshape(-1, window)).mean(axis=1)
            cut = least + int(np.argmin(power)) * window + window // 2
            yield held[:cut]
            held = held[cut:]
    if len(held):
        yield held
