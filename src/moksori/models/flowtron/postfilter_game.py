"""How the postfilter learns, all else staying as it is: the model says the recordings' texts, in their time and at
their pitch, and a discriminator compares what comes through the postfilter with them (`models.postfilter.MelGame`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from moksori.errors import ConfigError
from moksori.models.contract import Update
from moksori.models.flowtron.config import PostfilterObjectiveConfig
from moksori.models.flowtron.latents import token_path
from moksori.models.flowtron.model import Flowtron
from moksori.models.flowtron.sampling import Melody
from moksori.models.flowtron.speaking import decode
from moksori.models.postfilter import MelGame
from moksori.nn.alignment import expand_by_path
from moksori.nn.crops import random_starts
from moksori.nn.masks import sequence_mask
from moksori.types import SayControls, SpeechBatch, TextBatch


@dataclass(frozen=True)
class Pair:
    """Frames that the model said, before the postfilter, and those of the recordings; raw, as many of both.

    condition: what the discriminator is told of each frame, the states of its token and speaker; None: nothing.
    """

    said: Float[Tensor, "batch bands frames"]
    heard: Float[Tensor, "batch bands frames"]
    condition: Float[Tensor, "batch states frames"] | None
    lengths: Int[Tensor, " batch"]


class PostfilterGame(MelGame):
    """The pairs of the game. Raises ConfigError for a model without a postfilter."""

    config: PostfilterObjectiveConfig

    def __init__(self, config: PostfilterObjectiveConfig, model: Flowtron) -> None:
        super().__init__(config, model.postfilter, model.config.memory_channels)

    def updates(
        self, model: Flowtron, batch: SpeechBatch, text: TextBatch, step: int, generator: Generator | None = None
    ) -> Iterator[Update]:
        """The discriminator's, then the postfilter's."""
        assert model.postfilter is not None
        model.eval()  # what stays as it is speaks as it will
        pair = self._pair(model, batch, text, generator)
        crops = self._cropped(pair, generator)
        made, wanted = model.refined(crops.said), model.standardize(crops.heard)[:, : model.postfilter.mels]
        yield from self.played(made, wanted, crops.condition, step)

    @torch.no_grad()
    def validate(
        self, model: Flowtron, batch: SpeechBatch, text: TextBatch, generator: Generator | None = None
    ) -> dict[str, Tensor]:
        """See `MelGame.measured`."""
        assert model.postfilter is not None
        pair = self._pair(model, batch, text, generator)
        mask = sequence_mask(pair.lengths, pair.said.shape[2])
        mels = model.postfilter.mels
        made, wanted = model.refined(pair.said, mask), model.standardize(pair.heard)[:, :mels]
        return self.measured(made, wanted, model.standardize(pair.said)[:, :mels], pair.condition, mask)

    @torch.no_grad()
    def _pair(self, model: Flowtron, batch: SpeechBatch, text: TextBatch, generator: Generator | None) -> Pair:
        if batch.durations is None:
            raise ConfigError("objective.postfilter: needs durations; set objective.alignment=given")
        heard = model.frames(batch.waveform, batch.f0)
        lengths = batch.waveform_lengths // model.hop_length
        group, width = model.config.group, heard.shape[2]
        groups = -(-width // group)
        low, high = self.config.variation
        share = torch.rand((), generator=generator, device=heard.device)
        like = heard.new_zeros(len(heard), heard.shape[1], groups * group)
        latent = model.drawn_latent(like, lengths, SayControls(variation=float(low + (high - low) * share)), generator)
        melody = Melody(given=model.pitch_groups(heard[:, -1], groups)) if model.config.pitch else None
        path = token_path(batch.durations, width)
        memory = model.memory(text)
        said = decode(model, latent, lengths, memory, path, melody=melody).frames[..., :width]
        condition = None
        if self.config.conditional:
            condition = expand_by_path(memory.states.transpose(1, 2), path)
        # A clone, since autograd takes no inference tensors.
        return Pair(model.detailed(said.clone()), heard, condition, lengths)

    def _cropped(self, pair: Pair, generator: Generator | None) -> Pair:
        """The same number of frames of every item, at random places; shorter items go round, so that the discriminator
        cannot tell by silence."""
        count = self.config.crop_frames
        start = random_starts((pair.lengths - count).clamp(min=0), generator)
        place = (start.unsqueeze(1) + torch.arange(count, device=start.device)) % pair.lengths.unsqueeze(1)
        said, heard = (expand_by_path(frames, place) for frames in (pair.said, pair.heard))
        condition = None if pair.condition is None else expand_by_path(pair.condition, place)
        return Pair(said, heard, condition, torch.full_like(pair.lengths, count))
