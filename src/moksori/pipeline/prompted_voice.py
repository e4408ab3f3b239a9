"""A model that speaks in a codec's latents, in the voice of a prompt, and that codec, as one model that speaks."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Generator
from torch.nn.utils.rnn import pad_sequence

from moksori.errors import BadInput
from moksori.models.checkpoint import Loaded
from moksori.models.contract import CHUNK_FRAMES
from moksori.models.contract_latents import CanSayLatents, CanStreamLatents
from moksori.pipeline.codecs import FoundCodec, required_codec
from moksori.types import PromptPlan, SayControls, Spoken, SpokenBlocks, SpokenLatents, TextBatch

FIRST_FRAMES = 64
"""Of a stream, whose latents are made first, beyond those that the codec must hear before it makes their sound."""
LATER_FRAMES = (120, 320, 640)
"""In the stretches after it: none takes longer to make than what has been made lasts."""


class PromptedVoice:
    """`CanSay`, `CanStream` and `CanReconstruct` of a model that makes latents in the voice of `controls.prompt`.

    codec: a name or folder; None: the one that the model names. It is found when it is first needed.
    """

    mixes_durations = False
    keeps_best = False
    takes_pitch = True

    def __init__(self, loaded: Loaded, codec: str | Path | None = None) -> None:
        assert isinstance(loaded.model, CanSayLatents)
        self.loaded, self.latent_model = loaded, loaded.model
        self._named = codec

    @cached_property
    def codec(self) -> FoundCodec:
        """Raises CheckpointError where the codec that the model was trained with is not here, naming the remedy."""
        return required_codec(self.loaded.manifest, self._named, self.loaded.device)

    def say(self, text: TextBatch, controls: SayControls, generator: Generator | None = None) -> Spoken:
        """The sound of what the model makes; an item's samples are its frames times the hop.

        Raises BadInput without a prompt.
        """
        made = self.latents(text, controls, generator)
        frames = made.frame_lengths.tolist()
        sounds = [
            self.codec.model.expand(latent[None, :, :count])[0]
            for latent, count in zip(made.latent, frames, strict=True)
        ]
        lengths = made.frame_lengths * self.latent_model.hop_length
        return Spoken(pad_sequence(sounds, batch_first=True), lengths, made.durations)

    def stream(
        self,
        text: TextBatch,
        controls: SayControls,
        chunk_frames: Sequence[int] = CHUNK_FRAMES,
        generator: Generator | None = None,
    ) -> SpokenBlocks:
        """What `say` says of one text, block by block; its latents come all at once from noise where the model knows no
        other way (`CanStreamLatents`).

        Raises BadInput without a prompt, ValueError for a batch of several texts.
        """
        if len(text.tokens) != 1:
            raise ValueError(f"a batch of {len(text.tokens)} texts: one at a time can be streamed")
        model, codec = self.latent_model, self.codec.model
        if isinstance(model, CanStreamLatents):
            plan = self._plan(controls)
            sizes = (codec.look_ahead_frames + FIRST_FRAMES, *LATER_FRAMES)
            begun = model.stream_latents_like(text, plan.voice, controls, sizes, plan.f0, plan.prosody, generator)
            lengths, durations, parts = begun.frame_lengths, begun.durations, begun.blocks
        else:
            made = self.latents(text, controls, generator)
            lengths, durations = made.frame_lengths, made.durations
            parts = _parts(made.latent[:, :, : int(lengths[0])], chunk_frames)
        blocks = codec.expand_blocks(parts, int(lengths[0]))
        return SpokenBlocks(blocks, lengths * model.hop_length, durations)

    def latents(self, text: TextBatch, controls: SayControls, generator: Generator | None = None) -> SpokenLatents:
        """What the model makes, before the codec makes sound of it; raises BadInput without a prompt."""
        plan = self._plan(controls)
        return self.latent_model.say_latents_like(text, plan.voice, controls, plan.f0, plan.prosody, generator)

    def _plan(self, controls: SayControls) -> PromptPlan:
        """Raises BadInput without a prompt."""
        if controls.prompt is None:
            raise BadInput(
                f"{self.loaded.manifest.name}: speaks in the voice of a recording: give one, --like prompt.wav"
            )
        return controls.prompt

    def reconstruct(
        self,
        waveform: Float[torch.Tensor, "batch samples"],
        speaker: Int[torch.Tensor, " batch"],
        generator: Generator | None = None,
    ) -> Float[torch.Tensor, "batch samples"]:
        """Copy-synthesis: the recordings through the codec, the best that the model can sound like."""
        return self.codec.through(waveform)


def _parts(
    latent: Float[torch.Tensor, "1 channels frames"], chunk_frames: Sequence[int]
) -> Iterator[Float[torch.Tensor, "1 channels part"]]:
    """The latent in pieces: so many frames in the first, second, ...; the last number holds for all that follow."""
    start, sizes = 0, iter(chunk_frames)
    size = next(sizes)
    while start < latent.shape[2]:
        yield latent[:, :, start : start + size]
        start, size = start + size, next(sizes, size)
