"""The adversarial game of decoders: which discriminators there are, and both sides' losses."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from moksori.losses.adversarial import (
    hinge_discriminator,
    hinge_generator,
    least_squares_discriminator,
    least_squares_generator,
)
from moksori.losses.feature_matching import feature_matching
from moksori.models.contract import Objective, Update
from moksori.models.decoders.config import DiscriminatorConfig
from moksori.nn.complex_discriminator import ComplexSpectrogramDiscriminator
from moksori.nn.discriminators import (
    AveragedScaleDiscriminator,
    DiscriminatorEnsemble,
    PeriodDiscriminator,
    ScaleDiscriminator,
    SpectrogramDiscriminator,
)
from moksori.nn.frozen import frozen


def build_discriminators(config: DiscriminatorConfig) -> DiscriminatorEnsemble:
    """The discriminators that the configuration asks for."""
    parts: list[nn.Module] = [ScaleDiscriminator(input_scale=config.input_scale)] if config.scale else []
    parts += [
        AveragedScaleDiscriminator(halvings, config.input_scale, "weight" if halvings else "spectral")
        for halvings in range(config.averaged_scales)
    ]
    parts += [
        PeriodDiscriminator(
            period, config.period_channels, input_scale=config.input_scale, period_in_batch=config.period_conv1d
        )
        for period in config.periods
    ]
    parts += [
        SpectrogramDiscriminator(n_fft, hop, config.spectrogram_channels)
        for n_fft, hop in config.spectrogram_resolutions
    ]
    parts += [
        ComplexSpectrogramDiscriminator(n_fft, hop, config.complex_channels)
        for n_fft, hop in config.complex_resolutions
    ]
    return DiscriminatorEnsemble(parts)


@dataclass(frozen=True)
class AdversarialLoss:
    """What either side minimises, given the score maps; relative: see losses.feature_matching."""

    discriminator: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]
    generator: Callable[[Sequence[Tensor]], Tensor]
    relative: bool = False


LEAST_SQUARES = AdversarialLoss(least_squares_discriminator, least_squares_generator)
HINGE = AdversarialLoss(hinge_discriminator, hinge_generator, relative=True)
"""As codecs have it, with feature matching relative to the size of the real maps."""


class AdversarialObjective(Objective):
    """An objective with discriminators from `start` on: first they learn alone for some steps, then both sides play.

    start: None, and there are none. loss: of both sides.
    """

    def __init__(
        self,
        model: nn.Module,
        discriminators: DiscriminatorConfig,
        start: int | None,
        head_start_steps: int,
        loss: AdversarialLoss = LEAST_SQUARES,
    ) -> None:
        super().__init__(model)
        self.adversarial_loss = loss
        self.start, self.head_start_steps = start, head_start_steps
        self.discriminators = None if start is None else build_discriminators(discriminators)

    @property
    def newest_is_best(self) -> bool:
        """With discriminators: what they teach makes every distance to the recordings larger."""
        return self.discriminators is not None

    def parameter_groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        groups: dict[str, Iterable[nn.Parameter]] = {"model": [p for p in self.model.parameters() if p.requires_grad]}
        if self.discriminators is not None:
            groups["discriminator"] = self.discriminators.parameters()
        return groups

    def game(self, step: int, real: Tensor, generated: Tensor) -> Generator[Update, None, dict[str, Tensor]]:
        """The discriminators' update, where it is their time; returns the generator's terms, if it is that too."""
        if self.discriminators is None or self.start is None or step < self.start:
            return {}
        yield discriminator_update(self.discriminators, real, generated, self.adversarial_loss)
        if step < self.start + self.head_start_steps:
            return {}
        return adversarial_terms(self.discriminators, real, generated, self.adversarial_loss)


def discriminator_update(
    discriminators: DiscriminatorEnsemble, real: Tensor, generated: Tensor, game: AdversarialLoss = LEAST_SQUARES
) -> Update:
    """The discriminators' step; waveforms `[batch, samples]`. No gradient reaches what made `generated`."""
    true, fake = discriminators(real), discriminators(generated.detach())
    loss = game.discriminator(true.scores, fake.scores)
    return Update("discriminator", {"discriminator": loss}, {"discriminator": 1.0})


def adversarial_terms(
    discriminators: DiscriminatorEnsemble, real: Tensor, generated: Tensor, game: AdversarialLoss = LEAST_SQUARES
) -> dict[str, Tensor]:
    """The generator's terms: to be taken for real, and to look like it in every layer (Kong et al. 2020, Eq. 4, 6)."""
    with frozen(discriminators):  # their weights need no gradient of the generator's loss
        with torch.no_grad():
            true = discriminators(real)
        fake = discriminators(generated)
    return {
        "adversarial": game.generator(fake.scores),
        "feature_matching": feature_matching(true.features, fake.features, relative=game.relative),
    }
