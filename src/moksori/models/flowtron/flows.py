"""The affine flow around an autoregressive step, and the reversal of time that lets every second one look ahead.

z = exp(s) · x + b, where s and b of a step depend on the x before it in the flow's own order of time, and on the text.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from moksori.models.flowtron.attention import Projected
from moksori.models.flowtron.step import AutoregressiveStep


@dataclass(frozen=True)
class FlowOutput:
    """Of one flow, all in forward time. z: the x of the next flow. gate_logits: None in a flow without gate.

    attention, log_attention, log_content: see `Attended`. mean: what x is by the text alone, or None.
    """

    z: Float[Tensor, "batch steps channels"]
    log_scale: Float[Tensor, "batch steps channels"]
    attention: Float[Tensor, "batch steps tokens"]
    log_attention: Float[Tensor, "batch steps tokens"]
    log_content: Float[Tensor, "batch steps tokens"]
    gate_logits: Float[Tensor, "batch steps"] | None
    mean: Float[Tensor, "batch steps channels"] | None = None


def reversal_index(lengths: Int[Tensor, " batch"], steps: int) -> Int[Tensor, "batch steps"]:
    """Where each step of an item lies once its real steps are reversed; padding stays where it is.

    The index is its own inverse.
    """
    step = torch.arange(steps, device=lengths.device)
    lengths = lengths.unsqueeze(1)
    return torch.where(step < lengths, lengths - 1 - step, step)


def reordered(
    x: Shaped[Tensor, "batch steps *rest"], index: Int[Tensor, "batch steps"] | None
) -> Shaped[Tensor, "batch steps *rest"]:
    """The steps of each item in the order of `index`; None: as they are."""
    if index is None:
        return x
    return x[torch.arange(len(x), device=x.device).unsqueeze(1), index]


class AffineFlow(nn.Module):
    """One flow. backward_in_time: it runs from each item's last step to its first."""

    def __init__(self, step: AutoregressiveStep, backward_in_time: bool) -> None:
        super().__init__()
        self.step = step
        self.backward_in_time = backward_in_time

    def order(self, lengths: Int[Tensor, " batch"], steps: int) -> Int[Tensor, "batch steps"] | None:
        """The flow's own order of time; None where that is forward."""
        return reversal_index(lengths, steps) if self.backward_in_time else None

    def forward(
        self,
        x: Float[Tensor, "batch steps channels"],
        lengths: Int[Tensor, " batch"],
        projected: Projected,
        log_prior: Float[Tensor, "batch steps tokens"] | None = None,
        weights: Float[Tensor, "batch steps tokens"] | None = None,
        keep: Bool[Tensor, "batch steps"] | None = None,
        gate_trunk: bool = True,
    ) -> FlowOutput:
        """z and its log scales; everything that goes in and comes out is in forward time.

        log_prior, weights, keep, gate_trunk: see AutoregressiveStep. keep is in the flow's own time.
        """
        order = self.order(lengths, x.shape[1])
        own = reordered(x, order)
        log_prior = None if log_prior is None else reordered(log_prior, order)
        weights = None if weights is None else reordered(weights, order)
        out = self.step(own, projected, log_prior, weights, keep, gate_trunk)
        z = torch.exp(out.log_scale) * own + out.shift
        return FlowOutput(
            reordered(z, order),
            reordered(out.log_scale, order),
            reordered(out.attended.weights, order),
            reordered(out.attended.log_weights, order),
            reordered(out.attended.log_content, order),
            None if out.gate_logits is None else reordered(out.gate_logits, order),
            None if out.mean is None else reordered(out.mean, order),
        )
