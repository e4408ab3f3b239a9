"""Diagonal Gaussians against torch.distributions and Monte Carlo."""

import torch
from torch.distributions import Normal, kl_divergence

from moksori.nn.distributions import DiagonalGaussian, standard_normal
from moksori.nn.masks import sequence_mask


def gaussian(seed: int) -> DiagonalGaussian:
    generator = torch.Generator().manual_seed(seed)
    return DiagonalGaussian.from_stats(torch.randn(2, 6, 5, generator=generator).double())


def test_from_stats_splits_channels_and_leaves_half_precision() -> None:
    stats = torch.randn(2, 6, 5)
    split = DiagonalGaussian.from_stats(stats)
    assert torch.equal(split.mean, stats[:, :3])
    assert torch.equal(split.log_std, stats[:, 3:])
    assert DiagonalGaussian.from_stats(stats.bfloat16()).log_std.dtype == torch.float32


def test_densities_and_divergences_equal_torch() -> None:
    p, q, value = gaussian(0), gaussian(1), torch.randn(2, 3, 5).double()
    torch_p, torch_q = Normal(p.mean, p.log_std.exp()), Normal(q.mean, q.log_std.exp())
    torch.testing.assert_close(p.log_prob(value), torch_p.log_prob(value))
    torch.testing.assert_close(p.kl(q), kl_divergence(torch_p, torch_q))
    torch.testing.assert_close(p.kl_to_standard(), kl_divergence(torch_p, Normal(0.0, 1.0)))


def test_samples_follow_generator_and_temperature() -> None:
    p = gaussian(2)
    first = p.sample(torch.Generator().manual_seed(3))
    assert torch.equal(first, p.sample(torch.Generator().manual_seed(3)))
    assert not torch.equal(first, p.sample(torch.Generator().manual_seed(4)))
    assert torch.equal(p.sample(temperature=0.0), p.mean)
    half = p.sample(torch.Generator().manual_seed(3), temperature=0.5)
    torch.testing.assert_close(2 * (half - p.mean), first - p.mean)
    wide = DiagonalGaussian(torch.full((20000,), 2.0), torch.full((20000,), 1.0))
    drawn = wide.sample(torch.Generator().manual_seed(5))
    assert abs(drawn.mean() - 2) < 0.06
    assert abs(drawn.std() - torch.e) < 0.06
    assert standard_normal(torch.zeros(3, dtype=torch.float64)).dtype == torch.float64


def test_masked_and_clamped() -> None:
    mask = sequence_mask(torch.tensor([5, 2]))
    masked = gaussian(6).masked(mask)
    assert torch.count_nonzero(masked.mean[1, :, 2:]) == torch.count_nonzero(masked.log_std[1, :, 2:]) == 0
    assert gaussian(6).clamp(-0.1, 0.1).log_std.abs().max() <= 0.1
