"""What the maker of mels learns from a discriminator of mels that stands still."""

import torch
from jaxtyping import Float
from torch import Tensor

from moksori.losses.adversarial import hinge_generator
from moksori.losses.feature_matching import feature_matching
from moksori.nn.discriminators import MelDiscriminator
from moksori.nn.frozen import frozen


def mel_generator_terms(
    discriminator: MelDiscriminator,
    real: Float[Tensor, "recordings bands frames"],
    made: Float[Tensor, "made bands frames"],
    real_condition: Tensor | None = None,
    made_condition: Tensor | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """`adversarial`: the hinge's generator side over all that was made; `feature_matching`: how far the first of it, as
    many as there are recordings and in their order, is from them in every layer. No gradient reaches the discriminator.

    Conditions: what it is told of each (`MelDiscriminator`).
    """
    with frozen(discriminator):
        with torch.no_grad():
            heard = discriminator(real, real_condition)
        judged = discriminator(made, made_condition)
    paired = [features[: len(real)] for features in judged.features]
    return {
        "adversarial": hinge_generator([judged.score]),
        "feature_matching": feature_matching([heard.features], [paired], relative=True),
    }
