"""Decorrelation is exactly invertible, also from rounded weights, and finds the axes that correlated noise has."""

import math

import pytest
import torch

from moksori.nn.decorrelate import Decorrelate


def process(steps: int, channels: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """x_t = 0.8 x_{t-1} + mixing · noise; returns x and the covariance of what each step adds."""
    draw = torch.Generator().manual_seed(0)
    mixing = torch.randn(channels, channels, generator=draw)
    x = torch.zeros(steps, channels)
    for t in range(1, steps):
        x[t] = 0.8 * x[t - 1] + mixing @ torch.randn(channels, generator=draw)
    return x, mixing @ mixing.T


def fitted() -> tuple[Decorrelate, torch.Tensor, torch.Tensor]:
    made = Decorrelate(4)
    x, covariance = process(4000)
    made.fit([x[:1000], x[1000:]])
    return made, x, covariance


def test_innovations_are_uncorrelated_along_the_axes() -> None:
    made, x, covariance = fitted()
    turned = made.rotation().T @ covariance @ made.rotation()
    beside = turned - torch.diag(turned.diagonal())
    assert float(beside.abs().max()) < 0.1 * float(turned.diagonal().max())
    assert turned.diagonal().tolist() == sorted(turned.diagonal().tolist(), reverse=True)
    assert made(x[None])[0].std(dim=0).tolist() == pytest.approx([1.0] * 4, rel=0.02)


def test_it_is_invertible_also_with_rounded_weights() -> None:
    made, x, _ = fitted()
    made.axes.copy_(made.axes.half())
    made.spread.copy_(made.spread.half())
    assert float((made.inverse(made(x[None])) - x).abs().max()) < 1e-5 * float(x.abs().max())
    assert float((made.turned_back(made.turned(x[None])) - x).abs().max()) < 1e-5 * float(x.abs().max())
    torch.testing.assert_close(made.rotation().T @ made.rotation(), torch.eye(4), atol=1e-6, rtol=0.0)


def test_log_determinant_is_that_of_its_matrix() -> None:
    made, _, _ = fitted()
    matrix = torch.autograd.functional.jacobian(lambda x: made(x[None, None])[0, 0], torch.zeros(4))
    assert float(made.log_det) == pytest.approx(float(torch.linalg.slogdet(matrix).logabsdet), rel=1e-5)


def test_what_has_seen_no_data_changes_nothing() -> None:
    made, x = Decorrelate(3), torch.randn(2, 5, 3)
    torch.testing.assert_close(made(x), x)
    assert float(made.log_det) == math.log(1.0)


def test_few_data_explain_nothing_away() -> None:
    made = Decorrelate(6)
    made.fit([torch.randn(3, 6, generator=torch.Generator().manual_seed(1))])
    assert bool(made.spread.isfinite().all())
    torch.testing.assert_close(made.rotation().T @ made.rotation(), torch.eye(6), atol=1e-5, rtol=0.0)
