"""Monotonic rational-quadratic splines with linear tails (Durkan et al. 2019, arXiv:1906.04032)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def _knots(logits: Float[Tensor, "*shape bins"], bound: float, minimum: float) -> Float[Tensor, "*shape knots"]:
    """Positions of the bin edges: bins + 1 of them, from exactly -bound to exactly bound."""
    bins = logits.shape[-1]
    shares = minimum + (1 - minimum * bins) * logits.softmax(dim=-1)
    inner = 2 * bound * shares.cumsum(dim=-1)[..., :-1] - bound
    return F.pad(F.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)


def rational_quadratic_spline(
    x: Float[Tensor, "*shape"],
    widths: Float[Tensor, "*shape bins"],
    heights: Float[Tensor, "*shape bins"],
    slopes: Float[Tensor, "*shape inner"],
    inverse: bool = False,
    bound: float = 5.0,
    minimum: float = 1e-3,
    log_det: bool = True,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"] | None]:
    """Each element through its own increasing spline on [-bound, bound]; outside, the identity.

    widths, heights: logits of the bins' shares of the interval. slopes: of the derivatives at the inner edges, before a
    softplus; at the outer edges the derivative is 1, as the tails' is. minimum: least share of a bin, least derivative.
    Returns the transformed values, and log |dy/dx| (of the inverse map where `inverse`) or, without `log_det`, None.
    Needs float32 or float64: the quadratic of the inverse loses its root in half precision. All paths are `where`, so
    the graph is static.
    """
    if minimum * widths.shape[-1] >= 1:
        raise ValueError(f"{widths.shape[-1]} bins of at least {minimum} each do not fit: use fewer bins")
    inside = (x >= -bound) & (x <= bound)
    # Values in the tails take part with a harmless stand-in, so that neither they nor their gradients can overflow.
    x_in = x.clamp(-bound, bound)
    x_knots, y_knots = _knots(widths, bound, minimum), _knots(heights, bound, minimum)
    # softplus(this) + minimum = 1
    slopes = F.pad(slopes, (1, 1), value=math.log(math.expm1(1 - minimum)))
    derivatives = minimum + F.softplus(slopes)

    # Counting the inner edges at or below x gives bins 0 to K-1; the upper end of the interval falls into the last bin.
    edges = (y_knots if inverse else x_knots)[..., 1:-1]
    index = (x_in.unsqueeze(-1) >= edges).sum(dim=-1, keepdim=True)

    def at(values: Tensor, offset: int = 0) -> Tensor:
        return values.gather(-1, index + offset).squeeze(-1)

    x_k, y_k = at(x_knots), at(y_knots)
    width, height = at(x_knots, 1) - x_k, at(y_knots, 1) - y_k
    d0, d1 = at(derivatives), at(derivatives, 1)
    slope = height / width
    curve = d0 + d1 - 2 * slope
    if inverse:  # Eq. 6-8: the root of a t² + b t + c that lies in [0, 1]
        v = x_in - y_k
        a = v * curve + height * (slope - d0)
        b = height * d0 - v * curve
        c = -slope * v
        # Rounding can push the discriminant below 0 by a hair.
        root = torch.sqrt((b * b - 4 * a * c).clamp(min=0.0))
        t = 2 * c / (-b - root)
        y = x_k + t * width
    else:  # Eq. 4
        t = (x_in - x_k) / width
        y = y_k + height * (slope * t * t + d0 * t * (1 - t)) / (slope + curve * t * (1 - t))
    bent = torch.where(inside, y, x)
    if not log_det:
        return bent, None
    # Eq. 5
    numerator = slope * slope * (d1 * t * t + 2 * slope * t * (1 - t) + d0 * (1 - t) * (1 - t))
    log_slope = torch.log(numerator) - 2 * torch.log(slope + curve * t * (1 - t))
    return bent, torch.where(inside, -log_slope if inverse else log_slope, torch.zeros_like(x))
