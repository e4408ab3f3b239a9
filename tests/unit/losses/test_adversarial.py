"""Adversarial and feature losses: values by hand, zeros where they belong, weights."""

import pytest
import torch

from moksori.losses.adversarial import (
    hinge_discriminator,
    hinge_generator,
    least_squares_discriminator,
    least_squares_generator,
)
from moksori.losses.feature_matching import feature_matching


def scores(*values: float) -> list[torch.Tensor]:
    return [torch.full((2, 3 + i), float(value)) for i, value in enumerate(values)]


def test_a_perfect_discriminator_has_no_loss() -> None:
    assert least_squares_discriminator(scores(1, 1), scores(0, 0)) == 0
    assert least_squares_generator(scores(1, 1)) == 0
    assert hinge_discriminator(scores(1, 2), scores(-1, -3)) == 0


def test_values_by_hand() -> None:
    # Means per discriminator, summed: map sizes do not matter.
    assert least_squares_discriminator(scores(0.5, 0), scores(2, 1)).item() == pytest.approx(0.25 + 1 + 4 + 1)
    assert least_squares_generator(scores(0.5, 3)).item() == pytest.approx(0.25 + 4)
    assert hinge_discriminator(scores(0.5, 0), scores(2, -3)).item() == pytest.approx(0.5 + 1 + 3 + 0)
    assert hinge_generator(scores(0.5, -2)).item() == pytest.approx(1.5)
    assert least_squares_generator(scores(0.5, 3), weights=[1.0, 0.1]).item() == pytest.approx(0.25 + 0.4)


def test_feature_matching_by_hand() -> None:
    real = [[torch.zeros(2, 3), torch.ones(1, 4)], [torch.zeros(5)]]
    fake = [[torch.full((2, 3), 0.5), torch.ones(1, 4)], [torch.full((5,), -2.0)]]
    assert feature_matching(real, real) == 0
    assert feature_matching(real, fake).item() == pytest.approx(2 * (0.5 + 0 + 2))
    assert feature_matching(real, fake, weights=[1.0, 0.1]).item() == pytest.approx(2 * (0.5 + 0.2))


def test_real_features_are_targets() -> None:
    real, fake = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    feature_matching([[real]], [[fake]]).backward()
    assert real.grad is None
    assert torch.equal(fake.grad, torch.full((3,), 2 / 3))


def test_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="1 weights for 2 discriminators"):
        least_squares_generator(scores(1, 1), weights=[1.0])
    with pytest.raises(ValueError, match="1 real, 2 generated"):
        feature_matching([[torch.zeros(1)]], [[torch.zeros(1)], [torch.zeros(1)]])
