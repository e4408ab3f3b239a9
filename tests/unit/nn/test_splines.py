"""Rational-quadratic splines: a scalar evaluation of the paper's formulas, inverses, derivatives, tails."""

import math

import pytest
import torch
from torch import Tensor

from moksori.nn.splines import rational_quadratic_spline

BINS = 10


def parameters(*shape: int, scale: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(7)
    return tuple(scale * torch.randn(*shape, count).double() for count in (BINS, BINS, BINS - 1))


def spline_by_definition(x: float, widths: Tensor, heights: Tensor, slopes: Tensor) -> float:
    """One value through one spline, knot by knot (Durkan et al. 2019, Eq. 4)."""
    xs, ys = [-5.0], [-5.0]
    for knots, logits in ((xs, widths), (ys, heights)):
        for share in torch.softmax(logits, dim=0).tolist():
            knots.append(knots[-1] + 10 * (1e-3 + (1 - 1e-3 * BINS) * share))
    derivatives = [1.0, *(1e-3 + math.log1p(math.exp(s)) for s in slopes.tolist()), 1.0]
    if not -5 <= x <= 5:
        return x
    k = max(i for i in range(BINS) if xs[i] <= x + 1e-12)
    width, height = xs[k + 1] - xs[k], ys[k + 1] - ys[k]
    t, s = (x - xs[k]) / width, height / width
    bottom = s + (derivatives[k] + derivatives[k + 1] - 2 * s) * t * (1 - t)
    return ys[k] + height * (s * t * t + derivatives[k] * t * (1 - t)) / bottom


def test_equals_the_formulas_value_by_value() -> None:
    widths, heights, slopes = parameters(60)
    x = torch.linspace(-6, 6, 60).double()
    y, _ = rational_quadratic_spline(x, widths, heights, slopes)
    expected = [spline_by_definition(x[i].item(), widths[i], heights[i], slopes[i]) for i in range(60)]
    torch.testing.assert_close(y, torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("spread", [0.5, 3.0, 20.0], ids=["all inside", "mixed", "mostly tails"])
def test_round_trip_and_opposite_log_dets(spread: float) -> None:
    x = spread * torch.randn(4, 3, 50).double()
    arguments = parameters(4, 3, 50)
    y, log_det = rational_quadratic_spline(x, *arguments)
    back, log_det_back = rational_quadratic_spline(y, *arguments, inverse=True)
    torch.testing.assert_close(back, x, atol=1e-9, rtol=0)
    torch.testing.assert_close(log_det_back, -log_det, atol=1e-9, rtol=0)


def test_log_det_equals_autograd() -> None:
    x = (3 * torch.randn(200).double()).requires_grad_()
    arguments = parameters(200)
    for inverse in (False, True):
        y, log_det = rational_quadratic_spline(x, *arguments, inverse=inverse)
        (slope,) = torch.autograd.grad(y.sum(), x)
        torch.testing.assert_close(log_det, slope.log(), atol=1e-9, rtol=0)


def test_is_increasing_and_continuous_across_the_tails() -> None:
    x = torch.linspace(-5.5, 5.5, 20001).double()
    arguments = [p.expand(20001, -1) for p in parameters(1, scale=1.0)]
    y, _ = rational_quadratic_spline(x, *arguments)
    steps = y.diff()
    assert (steps > 0).all()
    assert steps.max() < 0.02
    edges = torch.tensor([-5.0, 5.0]).double()
    y, log_det = rational_quadratic_spline(edges, *[p[:2] for p in arguments])
    torch.testing.assert_close(y, edges, atol=1e-12, rtol=0)
    torch.testing.assert_close(log_det, torch.zeros(2).double(), atol=1e-9, rtol=0)


def test_outside_is_the_identity_and_stays_finite() -> None:
    x = torch.tensor([-1e30, -5.001, 5.001, 1e30], requires_grad=True)
    arguments = [p.float().requires_grad_() for p in parameters(4)]
    y, log_det = rational_quadratic_spline(x, *arguments)
    assert torch.equal(y, x)
    assert torch.count_nonzero(log_det) == 0
    (y.clamp(-10, 10).sum() + log_det.sum()).backward()
    assert all(p.grad.isfinite().all() for p in arguments)


def test_unit_slopes_and_even_bins_are_the_identity() -> None:
    x = torch.linspace(-7, 7, 101).double()
    even = torch.zeros(101, BINS).double()
    unit = torch.full((101, BINS - 1), math.log(math.expm1(1 - 1e-3)), dtype=torch.float64)
    y, log_det = rational_quadratic_spline(x, even, even, unit)
    torch.testing.assert_close(y, x, atol=1e-12, rtol=0)
    torch.testing.assert_close(log_det, torch.zeros_like(x), atol=1e-9, rtol=0)


def test_extreme_parameters_stay_finite_in_float32() -> None:
    x = torch.linspace(-5, 5, 1001)
    arguments = [100 * p.float() for p in parameters(1001)]
    for inverse in (False, True):
        y, log_det = rational_quadratic_spline(x, *arguments, inverse=inverse)
        assert y.isfinite().all()
        assert log_det.isfinite().all()
        assert y.abs().max() <= 5.001


def test_too_many_bins_are_refused() -> None:
    with pytest.raises(ValueError, match=r"10 bins of at least 0\.1 each do not fit"):
        rational_quadratic_spline(torch.zeros(1), *[p.float() for p in parameters(1)], minimum=0.1)
