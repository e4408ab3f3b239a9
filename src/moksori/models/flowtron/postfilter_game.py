"""How the postfilter learns, all else staying as it is: the model says the recordings' texts, in their time and at
their pitch, and what comes through the postfilter is to be near the recordings and be taken for some.

That near alone would be the average over again, and taken for a recording alone any recording.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.errors import ConfigError
from moksori.losses.adversarial import hinge_discriminator
from moksori.losses.mel_adversary import mel_generator_terms
from moksori.models.contract import Update
from moksori.models.flowtron.config import PostfilterObjectiveConfig
from moksori.models.flowtron.latents import token_path
from moksori.models.flowtron.model import Flowtron
from moksori.models.flowtron.sampling import Melody
from moksori.models.flowtron.speaking import decode
from moksori.nn.alignment import expand_by_path
from moksori.nn.crops import random_starts
from moksori.nn.discriminators import MelDiscriminator
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


class PostfilterGame(nn.Module):
    """The discriminator, and the updates of both sides. Raises ConfigError for a model without a postfilter."""

    def __init__(self, config: PostfilterObjectiveConfig, model: Flowtron) -> None:
        super().__init__()
        if model.postfilter is None:
            raise ConfigError("objective.postfilter: the model has none to train; set model.postfilter={} too")
        self.config = config
        self.discriminator = MelDiscriminator(
            config.channels, model.config.memory_channels if config.conditional else 0
        )

    def parameter_groups(self, model: Flowtron) -> Mapping[str, Iterable[nn.Parameter]]:
        assert model.postfilter is not None
        return {"model": model.postfilter.parameters(), "discriminator": self.discriminator.parameters()}

    def updates(
        self, model: Flowtron, batch: SpeechBatch, text: TextBatch, step: int, generator: Generator | None = None
    ) -> Iterator[Update]:
        """The discriminator's, then the postfilter's, which learns from distances alone in the former's head start."""
        assert model.postfilter is not None
        model.eval()  # what stays as it is speaks as it will
        pair = self._pair(model, batch, text, generator)
        crops = self._cropped(pair, generator)
        made, wanted = model.refined(crops.said), model.standardize(crops.heard)[:, : model.postfilter.mels]
        yield self._discriminator_update(made.detach(), wanted, crops.condition)
        terms = {"distance": (made - wanted).abs().mean()}
        weights = {"distance": self.config.distance_weight}
        if step >= self.config.head_start_steps:
            terms |= mel_generator_terms(self.discriminator, wanted, made, crops.condition, crops.condition)
            weights |= {
                "adversarial": self.config.weight, "feature_matching": self.config.feature_matching_weight
            }  # fmt: skip
        yield Update("model", terms, weights)

    @torch.no_grad()
    def validate(
        self, model: Flowtron, batch: SpeechBatch, text: TextBatch, generator: Generator | None = None
    ) -> dict[str, Tensor]:
        """How far from recordings what is said is, with the postfilter and `plain`, and how well the discriminator
        tells it from them (`told`, the difference of its mean scores). `total` is the distance, which does not say
        which weights sound best."""
        assert model.postfilter is not None
        pair = self._pair(model, batch, text, generator)
        mask = sequence_mask(pair.lengths, pair.said.shape[2])
        mels = model.postfilter.mels
        made, wanted = model.refined(pair.said, mask), model.standardize(pair.heard)[:, :mels]
        plain = model.standardize(pair.said)[:, :mels]
        count = mask.sum() * mels
        distance, before = (((found - wanted).abs() * mask).sum() / count for found in (made, plain))
        shortest = int(pair.lengths.min())
        condition = None if pair.condition is None else pair.condition[:, :, :shortest]
        real, fake = (self.discriminator(x[:, :, :shortest], condition).score.mean() for x in (wanted, made))
        return {"distance": distance, "plain": before, "told": real - fake, "total": distance}

    def _discriminator_update(self, made: Tensor, wanted: Tensor, condition: Tensor | None) -> Update:
        of_both = None if condition is None else torch.cat([condition, condition])
        real, fake = self.discriminator(torch.cat([wanted, made]), of_both).score.chunk(2)
        loss = hinge_discriminator([real], [fake])
        return Update(
            "discriminator",
            {"discriminator": loss, "told": (real.mean() - fake.mean()).detach()},
            {"discriminator": 1.0},
        )

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
