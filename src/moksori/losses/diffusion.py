"""Losses of a diffusion whose network guesses the data."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from moksori.nn.diffusion import VariancePreserving

ScoreWeight = Literal["min_snr", "snr", "literal"]


def score_weight(
    process: VariancePreserving, t: Float[Tensor, " batch"], kind: ScoreWeight = "min_snr", cap: float = 5.0
) -> Float[Tensor, " batch"]:
    """What the square of a guess's error counts for in a loss on the score.

    The score that a guess stands for misses that of the noise drawn by alpha (z_0^ - z_0) / sigma², so the square of it
    is "literal": alpha² / sigma⁴ times that of the guess. Where noise is compared it is "snr": alpha² / sigma². Both
    grow without bound towards t = 0; "min_snr" is the second, capped (Hang et al. 2023, arXiv:2303.09556).
    """
    alpha, sigma = process.alpha(t), process.sigma(t)
    ratio = (alpha / sigma).square()
    if kind == "literal":
        return ratio / sigma.square()
    return ratio if kind == "snr" else ratio.clamp(max=cap)


def weighed_square(
    guess: Float[Tensor, "batch channels frames"],
    target: Float[Tensor, "batch channels frames"],
    mask: Bool[Tensor, "batch 1 frames"],
    weight: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean square over the real frames and the channels, each item's times its weight."""
    square = (guess.float() - target.float()).square().mean(dim=1, keepdim=True) * mask
    if weight is not None:
        square = square * weight[:, None, None]
    return square.sum() / mask.sum().clamp(min=1)
