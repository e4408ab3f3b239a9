"""Joint normalisation: mean 0 and variance 1 of an item, and what is constant in time stays."""

import torch

from moksori.nn.joint_norm import JointNorm
from moksori.nn.masks import sequence_mask


def test_each_item_has_mean_0_and_variance_1() -> None:
    x = 3.0 + 5.0 * torch.randn(4, 6, 50, generator=torch.Generator().manual_seed(0))
    found = JointNorm()(x)
    torch.testing.assert_close(found.mean(dim=(1, 2)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(dim=(1, 2), correction=0), torch.ones(4), atol=1e-4, rtol=0)


def test_channels_that_are_constant_in_time_survive() -> None:
    """Instance normalisation makes exact zeros of them, and the speaker with them."""
    x = torch.randn(2, 6, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 30)
    assert JointNorm()(x).abs().mean() > 0.5
    assert torch.nn.InstanceNorm1d(6)(x).abs().max() < 1e-4


def test_padding_does_not_count_and_becomes_zero() -> None:
    x = torch.randn(2, 6, 30, generator=torch.Generator().manual_seed(0))
    mask = sequence_mask(torch.tensor([30, 17]))
    found = JointNorm()(x, mask)
    torch.testing.assert_close(found[1:, :, :17], JointNorm()(x[1:, :, :17]), atol=1e-5, rtol=0)
    assert found[1, :, 17:].abs().max() < 1e-4


def test_half_precision_is_left() -> None:
    assert JointNorm()(torch.randn(1, 2, 5).bfloat16()).dtype == torch.float32
