"""What a step of training knows before the denoiser has said anything."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from moksori.models.naturalspeech2.prompt import HeardPrompt
from moksori.models.naturalspeech2.prompt_cut import Cut


@dataclass(frozen=True)
class Prior:
    """A batch after all but the denoiser.

    latent: z_0 of the target, standardised. condition: c, of true durations and pitch. mask: True at real frames,
    learnt at those whose latents are learnt. terms: of the predictors, and of how many each is the mean in counts.
    """

    cut: Cut
    latent: Float[Tensor, "batch channels target"]
    codes: Int[Tensor, "batch stages target"]
    condition: Float[Tensor, "batch hidden target"]
    mask: Bool[Tensor, "batch 1 target"]
    learnt: Bool[Tensor, "batch 1 target"]
    prompt: HeardPrompt
    terms: Mapping[str, Tensor]
    counts: Mapping[str, Tensor]
