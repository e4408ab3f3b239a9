"""How good an attention is as an alignment: it must go forward, leave no token out, and be sure of itself."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from moksori.nn.masks import sequence_mask

LEAST_MONOTONIC, LEAST_COVERAGE, LEAST_SHARPNESS = 0.9, 0.9, 0.4
"""What an attention has at least on every flow, without its prior, before the prior is taken away."""
NEAR_TOKENS = 2
"""Tokens beside the path's that count as agreement."""


@dataclass(frozen=True)
class AlignmentReport:
    """Measures of one flow's attention, means over the steps (or tokens) of a batch, 0 to 1.

    monotonic: steps whose token is that of the step before or comes next (as many on as frames are in a step).
    coverage: tokens that are some step's first choice, of those that the path stays with for a step; of all where no
    path is known. sharpness: mean of the largest weight. agreement: steps within 2 tokens of the path; None without.
    """

    monotonic: Tensor
    coverage: Tensor
    sharpness: Tensor
    agreement: Tensor | None

    @property
    def aligned(self) -> bool:
        """Whether this is an alignment that speaking can do with."""
        return bool(
            (self.monotonic > LEAST_MONOTONIC) & (self.coverage > LEAST_COVERAGE) & (self.sharpness > LEAST_SHARPNESS)
        )

    def measures(self, prefix: str) -> dict[str, Tensor]:
        """By name, each name with the prefix."""
        found = {"monotonic": self.monotonic, "coverage": self.coverage, "sharpness": self.sharpness}
        if self.agreement is not None:
            found["agreement"] = self.agreement
        return {f"{prefix}/{name}": value for name, value in found.items()}


def alignment_report(
    attention: Float[Tensor, "batch steps tokens"],
    step_lengths: Int[Tensor, " batch"],
    token_lengths: Int[Tensor, " batch"],
    path: Int[Tensor, "batch steps group"] | None = None,
    group: int = 1,
) -> AlignmentReport:
    """Measures of an attention in forward time. path: the tokens of each step's frames. group: frames of a step."""
    steps, tokens = attention.shape[1:]
    mask = sequence_mask(step_lengths, steps)[:, 0]
    sharpness, token = attention.max(dim=2)
    monotonic = (steady(token, group) & mask[:, 1:]).sum() / mask[:, 1:].sum().clamp(min=1)
    found = reached(token, mask, tokens)
    due = sequence_mask(token_lengths, tokens)[:, 0]
    agreement = None
    if path is not None:
        due = due & reached(path[:, :, group // 2], mask, tokens)
        far = (token.unsqueeze(2) - path).abs().amin(dim=2)
        agreement = ((far <= NEAR_TOKENS) & mask).sum() / mask.sum()
    coverage = (found & due).sum() / due.sum().clamp(min=1)
    return AlignmentReport(monotonic, coverage, (sharpness * mask).sum() / mask.sum(), agreement)


def steady(token: Int[Tensor, "*items steps"], group: int) -> Bool[Tensor, "*items moves"]:
    """Whether each step's token is that of the step before or comes next, as many on as frames are in a step."""
    moved = token[..., 1:] - token[..., :-1]
    return (moved >= 0) & (moved <= group)


def reached(
    token: Int[Tensor, "batch steps"], mask: Bool[Tensor, "batch steps"], tokens: int
) -> Bool[Tensor, "batch tokens"]:
    """Which tokens some real step has."""
    found = torch.zeros(len(token), tokens + 1, dtype=torch.bool, device=token.device)
    return found.scatter(1, torch.where(mask, token, tokens), True)[:, :tokens]
