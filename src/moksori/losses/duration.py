"""Losses on the durations of tokens, in frames."""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


def log_duration_error(
    log_durations: Float[Tensor, "batch tokens"],
    durations: Shaped[Tensor, "batch tokens"],
    mask: Bool[Tensor, "batch 1 tokens"],
) -> Float[Tensor, ""]:
    """Mean square of log_durations - ln(durations + 1e-6) over valid tokens: the deterministic predictor of VITS.

    log_durations: predicted natural log of frames. durations: frames of each token.
    """
    valid = mask.squeeze(1)
    # Padding has duration 0, whose log is far off: keep it out before the difference is squared.
    target = torch.log(torch.where(valid, durations.float(), 1.0) + 1e-6)
    error = torch.where(valid, log_durations.float() - target, 0.0)
    return error.square().sum() / valid.sum()


def mean_per_token(per_item: Float[Tensor, " batch"], mask: Bool[Tensor, "batch 1 tokens"]) -> Float[Tensor, ""]:
    """Sums over whole items, such as negative log-likelihoods, as one mean per valid token of the batch."""
    return per_item.sum() / mask.sum()
