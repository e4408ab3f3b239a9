"""Balanced losses: shares of the gradient are the weights, whatever the scales."""

import pytest
import torch

from moksori.losses.balance import GradientBalancer


def test_shares_are_the_weights_for_scales_of_one_and_a_hundred() -> None:
    balancer = GradientBalancer(("small", "large"))
    first, second = (torch.randn(3, 50, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    weights = {"small": 3.0, "large": 1.0}
    output = torch.zeros(3, 50, requires_grad=True)
    terms = {"small": (output * first).sum(), "large": 100.0 * (output * second).sum(), "unweighted": output.sum()}
    balancer(terms, weights, output).backward()
    parts = [direction / direction.norm(dim=1).mean() for direction in (first, second)]
    torch.testing.assert_close(output.grad, 0.75 * parts[0] + 0.25 * parts[1])


def test_norms_are_averaged_over_steps() -> None:
    balancer = GradientBalancer(("one",), norm=2.0, decay=0.5)
    for scale, average in ((1.0, 1.0), (4.0, (0.25 * 1.0 + 0.5 * 4.0) / 0.75)):
        output = torch.zeros(1, 4, requires_grad=True)
        balancer({"one": scale * output[0, 0]}, {"one": 7.0}, output).backward()
        assert float(output.grad[0, 0]) == pytest.approx(2.0 * scale / average)
    assert set(balancer.state_dict()) == {"norms", "seen"}


def test_a_loss_of_another_name() -> None:
    output = torch.zeros(1, 4, requires_grad=True)
    with pytest.raises(ValueError, match="'two' is not balanced here: one"):
        GradientBalancer(("one",))({"two": output.sum()}, {"two": 1.0}, output)
