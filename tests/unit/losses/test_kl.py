"""The KL term behind a flow: expectation, sign, reduction, masks."""

import torch

from moksori.losses.kl import flow_kl
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.masks import sequence_mask


def drawn(channels: int, frames: int, seed: int) -> DiagonalGaussian:
    generator = torch.Generator().manual_seed(seed)
    stats = torch.randn(1, channels, 2, generator=generator).double()
    return DiagonalGaussian(stats[..., :1].expand(-1, -1, frames), 0.5 * stats[..., 1:].expand(-1, -1, frames))


def kl(q: DiagonalGaussian, p: DiagonalGaussian, z: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return flow_kl(z, q.log_std, p.mean, p.log_std, mask)


def test_expectation_is_the_closed_form() -> None:
    """Identity flow: the mean over many samples is KL(q ‖ p), and not KL(p ‖ q); zero where q = p."""
    frames = 40_000
    q, p = drawn(4, frames, 0), drawn(4, frames, 1)
    mask = torch.ones(1, 1, frames, dtype=torch.bool)
    z = q.sample(torch.Generator().manual_seed(2))
    closed = q.kl(p)[0, :, 0].sum()
    assert abs(closed - p.kl(q)[0, :, 0].sum()) > 0.5
    assert abs(kl(q, p, z, mask) - closed) < 0.01 * closed
    assert abs(kl(q, q, z, mask)) < 0.02


def test_sums_channels_and_averages_valid_frames() -> None:
    q, p = drawn(3, 10, 3), drawn(3, 10, 4)
    z = q.sample(torch.Generator().manual_seed(5))
    one = kl(q, p, z, torch.ones(1, 1, 10, dtype=torch.bool))

    def twice(x: torch.Tensor, dim: int) -> torch.Tensor:
        return torch.cat([x, x], dim=dim)

    arguments = (z, q.log_std, p.mean, p.log_std)
    channels = flow_kl(*[twice(x, 1) for x in arguments], torch.ones(1, 1, 10, dtype=torch.bool))
    frames = flow_kl(*[twice(x, 2) for x in arguments], torch.ones(1, 1, 20, dtype=torch.bool))
    torch.testing.assert_close(channels, 2 * one)
    torch.testing.assert_close(frames, one)


def test_padding_takes_no_part() -> None:
    q, p = drawn(3, 10, 6), drawn(3, 10, 7)
    z = q.sample(torch.Generator().manual_seed(8))
    mask = sequence_mask(torch.tensor([6]), 10)
    expected = flow_kl(z[..., :6], q.log_std[..., :6], p.mean[..., :6], p.log_std[..., :6], mask[..., :6])
    torch.testing.assert_close(kl(q, p, z, mask), expected)
    torch.testing.assert_close(kl(q, p, torch.where(mask, z, torch.inf), mask), expected)


def test_is_float32_under_autocast() -> None:
    z = torch.full((1, 2, 3), 1000.25, dtype=torch.bfloat16)
    zeros = torch.zeros(1, 2, 3, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = flow_kl(z, zeros, zeros, zeros, torch.ones(1, 1, 3, dtype=torch.bool))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, torch.tensor(2 * (0.5 * 1000.0**2 - 0.5)))
