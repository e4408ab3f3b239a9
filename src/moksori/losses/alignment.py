"""Losses that make a soft alignment of frames and tokens monotonic (Badlani et al. 2021, arXiv:2108.10447).

A log alignment holds, for each frame, the log-probability of each token: `[batch, frames, tokens]`, rows that sum to 1.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from moksori.nn.masks import sequence_mask

_EXCLUDED = -1e4
"""Stands for log 0: far below every score, and finite, so that no gradient turns into NaN."""


def forward_sum_loss(
    log_alignment: Float[Tensor, "batch frames tokens"],
    frame_lengths: Int[Tensor, " batch"],
    token_lengths: Int[Tensor, " batch"],
    blank_logit: float = -1.0,
) -> Float[Tensor, ""]:
    """-log of the total probability of all monotonic alignments, per token (eq. 2-3 there); the mean over the batch.

    It is a CTC whose target is the token positions 1..N, each of which must come, in order. A frame may also belong to
    no token: the blank, a further class of logit `blank_logit` beside the log alignment; far below 0 it is never used.
    Items with fewer frames than tokens have no alignment and count 0.
    """
    batch, _, tokens = log_alignment.shape
    real = sequence_mask(token_lengths, tokens)
    scores = F.pad(log_alignment.float().masked_fill(~real, _EXCLUDED), (1, 0), value=blank_logit)
    targets = torch.arange(1, tokens + 1, device=scores.device).expand(batch, -1)
    error = F.ctc_loss(
        scores.log_softmax(dim=2).transpose(0, 1), targets, frame_lengths, token_lengths,
        blank=0, reduction="none", zero_infinity=True,
    )  # fmt: skip
    return (error / token_lengths).mean()


def beta_binomial_log_prior(
    frame_lengths: Int[Tensor, " batch"],
    token_lengths: Int[Tensor, " batch"],
    frames: int,
    tokens: int,
    scale: float = 1.0,
) -> Float[Tensor, "batch frames tokens"]:
    """Log-probability of each token at each frame before anything is heard: a broad diagonal, narrow at both ends.

    Frame t of T (from 1): beta-binomial over 0..N-1 with n = N - 1, alpha = scale * t, beta = scale * (T + 1 - t); a
    larger scale is narrower. Tokens beyond an item's own count as impossible; frames beyond keep the last real row.
    """
    device = frame_lengths.device
    last = (token_lengths - 1).to(torch.float32)[:, None, None]
    total = frame_lengths.to(torch.float32)[:, None, None]
    token = torch.minimum(torch.arange(tokens, device=device, dtype=torch.float32)[None, None], last)
    frame = torch.minimum(torch.arange(1, frames + 1, device=device, dtype=torch.float32)[None, :, None], total)
    alpha, beta = scale * frame, scale * (total + 1.0 - frame)
    ways = torch.lgamma(last + 1.0) - torch.lgamma(token + 1.0) - torch.lgamma(last - token + 1.0)
    mass = _log_beta(token + alpha, last - token + beta) - _log_beta(alpha, beta)
    return (ways + mass).masked_fill(~sequence_mask(token_lengths, tokens), _EXCLUDED)


def binarisation_loss(
    log_alignment: Float[Tensor, "batch frames tokens"],
    path: Int[Tensor, "batch frames"],
    mask: Bool[Tensor, "batch 1 frames"],
) -> Float[Tensor, ""]:
    """Mean over frames of -log probability of the token on the best path (eq. 7): draws the soft alignment to it."""
    chosen = log_alignment.float().gather(2, path.unsqueeze(2)).squeeze(2)
    return -(chosen * mask[:, 0]).sum() / mask.sum()


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
