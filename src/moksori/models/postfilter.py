"""What makes spoken mels look like recordings: a small network behind a model that stays as it is, and how it learns.

What a model says is an average where the text leaves something open, or has what its last steps left of noise: its own
loss hardly minds, and ears do. So a last network moves it to where a discriminator takes it for a recording's (Kaneko,
Kameoka, Hojo, Ijima, Hiramatsu, Kashino, "Generative adversarial network-based postfilter for statistical parametric
speech synthesis", ICASSP 2017). A family says what the network sees (`Postfilter`), and how pairs of said and recorded
mels come about (`MelGame`).
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from moksori.config import Config
from moksori.errors import ConfigError
from moksori.losses.adversarial import hinge_discriminator
from moksori.losses.mel_adversary import mel_generator_terms
from moksori.models.contract import Objective, Update
from moksori.nn.conv import ProductConv1d, zero_initialised
from moksori.nn.convnext import ConvNeXtStack
from moksori.nn.discriminators import MelDiscriminator


class PostfilterConfig(Config):
    """The network (`Postfilter`)."""

    channels: int = Field(default=160, ge=1)
    inner_channels: int = Field(default=448, ge=1)
    num_layers: int = Field(default=5, ge=1)
    kernel_size: int = Field(default=7, ge=1)
    strength: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of the way that mels go to where it would have them. Learn with 1; less is for speaking, where what it adds
    is more than a voice bears."""


class MelGameConfig(Config):
    """How it learns (`MelGame`)."""

    channels: tuple[int, ...] = (24, 48, 96, 96)
    """Of the discriminator's layers."""
    conditional: bool = False
    """Whether the discriminator is told frame by frame what is said, and by whom, and judges that too."""
    crop_frames: int = Field(default=160, ge=8)
    """Of each recording, at a random place."""
    head_start_steps: int = Field(default=150, ge=0)
    """In which the discriminator has no say."""
    distance_weight: float = Field(default=0.5, ge=0.0)
    """Of the mean absolute difference to the recording's standardised mel."""
    weight: float = Field(default=0.3, ge=0.0)
    """Of being taken for a recording."""
    feature_matching_weight: float = Field(default=1.0, ge=0.0)
    """Of looking like the recording in every layer of the discriminator."""


class Postfilter(nn.Module):
    """Moves what was said, by what is seen of it; the identity at first. condition_channels: of a vector an item."""

    def __init__(self, config: PostfilterConfig, seen: int, channels: int, condition_channels: int = 0) -> None:
        super().__init__()
        self.strength = config.strength
        self.body = ConvNeXtStack(
            seen, config.channels, config.inner_channels, config.num_layers, config.kernel_size, condition_channels
        )
        self.out = zero_initialised(ProductConv1d(config.channels, channels, 1))

    @property
    def context_frames(self) -> int:
        """Frames on each side of a frame that it looks at."""
        return self.body.context_steps

    def moved(
        self,
        said: Float[Tensor, "batch channels frames"],
        seen: Float[Tensor, "batch seen frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        condition: Float[Tensor, "batch condition 1"] | None = None,
    ) -> Float[Tensor, "batch channels frames"]:
        """mask: of real frames."""
        out: Tensor = said + self.strength * self.out(self.body(seen, mask, condition))
        return out


class MelGame(nn.Module):
    """The discriminator, and the updates of both sides: what comes through the postfilter is to be near the recordings
    and be taken for some. That near alone would be the average over again, and taken for one alone any recording.

    condition_channels: of what the discriminator is told of a frame, where it is told anything. Raises ConfigError for
    a model whose `postfilter` is None.
    """

    def __init__(self, config: MelGameConfig, postfilter: Postfilter | None, condition_channels: int) -> None:
        super().__init__()
        if postfilter is None:
            raise ConfigError("objective.postfilter: the model has none to train; set model.postfilter={} too")
        self.config = config
        self.discriminator = MelDiscriminator(config.channels, condition_channels if config.conditional else 0)

    def parameter_groups(self, postfilter: nn.Module) -> Mapping[str, Iterable[nn.Parameter]]:
        """What learns: the postfilter and the discriminator."""
        return {"model": postfilter.parameters(), "discriminator": self.discriminator.parameters()}

    def played(
        self,
        made: Float[Tensor, "batch mels frames"],
        wanted: Float[Tensor, "batch mels frames"],
        condition: Float[Tensor, "batch condition frames"] | None,
        step: int,
    ) -> Iterator[Update]:
        """The discriminator's update, then the postfilter's, which learns from distances alone in the former's head
        start. made: standardised mels, with the postfilter's gradients."""
        yield self._discriminator_update(made.detach(), wanted, condition)
        terms = {"distance": (made - wanted).abs().mean()}
        weights = {"distance": self.config.distance_weight}
        if step >= self.config.head_start_steps:
            terms |= mel_generator_terms(self.discriminator, wanted, made, condition, condition)
            weights |= {
                "adversarial": self.config.weight, "feature_matching": self.config.feature_matching_weight
            }  # fmt: skip
        yield Update("model", terms, weights)

    @torch.no_grad()
    def measured(
        self,
        made: Float[Tensor, "batch mels frames"],
        wanted: Float[Tensor, "batch mels frames"],
        plain: Float[Tensor, "batch mels frames"],
        condition: Float[Tensor, "batch condition frames"] | None,
        mask: Bool[Tensor, "batch 1 frames"],
    ) -> dict[str, Tensor]:
        """How far from recordings what is said is, with the postfilter and `plain`, and how well the discriminator
        tells it from them (`told`, the difference of its mean scores). `total` is the distance, which does not say
        which weights sound best. mask: of frames that count; only those that all items have are judged."""
        count = mask.sum().clamp(min=1) * made.shape[1]
        distance, before = (((found - wanted).abs() * mask).sum() / count for found in (made, plain))
        shortest = max(int(mask.sum(dim=(1, 2)).min()), 1)
        seen = None if condition is None else condition[:, :, :shortest]
        real, fake = (self.discriminator(x[:, :, :shortest], seen).score.mean() for x in (wanted, made))
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


class PostfilterObjective(Objective):
    """Of a family whose postfilter has a stage of its own, in which nothing else learns. postfilter_game: None outside
    that stage; `model.postfilter` is the network."""

    postfilter_game: MelGame | None

    def freeze_around_postfilter(self) -> None:
        """In its stage all but the postfilter stays as it is; outside it the postfilter does, which nothing would teach
        and which would only decay."""
        if self.postfilter_game is not None:
            self.model.requires_grad_(False)
        if isinstance(self.model.postfilter, nn.Module):
            self.model.postfilter.requires_grad_(self.postfilter_game is not None)

    @property
    def discriminators(self) -> nn.Module | None:
        """What going on starts well with, beside the model."""
        return None if self.postfilter_game is None else self.postfilter_game.discriminator

    @property
    def newest_is_best(self) -> bool:
        """With a discriminator: what it teaches makes the distance to the recordings larger."""
        return self.postfilter_game is not None

    def parameter_groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """What learns."""
        if self.postfilter_game is not None:
            assert isinstance(self.model.postfilter, nn.Module)
            return self.postfilter_game.parameter_groups(self.model.postfilter)
        return {"model": [p for p in self.model.parameters() if p.requires_grad]}
