"""ConvNeXt stacks: padding, identity at scale 0, condition, gradients."""

import torch

from moksori.nn.convnext import ConvNeXtBlock, ConvNeXtStack
from moksori.nn.masks import sequence_mask


def stack(condition_channels: int = 0) -> ConvNeXtStack:
    torch.manual_seed(0)
    return ConvNeXtStack(6, 16, 32, 3, condition_channels=condition_channels).eval()


def test_padding_does_not_leak_in_and_comes_out_as_zero() -> None:
    network, x = stack(), torch.randn(2, 6, 30, generator=torch.Generator().manual_seed(1))
    mask = sequence_mask(torch.tensor([30, 19]))
    padded = network(x, mask).detach()
    assert float(padded[1, :, 19:].abs().max()) == 0.0
    torch.testing.assert_close(padded[1:, :, :19], network(x[1:, :, :19]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(padded[:1], network(x[:1]), rtol=1e-5, atol=1e-6)
    loud = torch.where(mask, x, torch.full_like(x, 1e3))
    torch.testing.assert_close(network(loud, mask), padded, rtol=0, atol=0)
    assert not torch.allclose(network(loud)[1, :, :19], padded[1, :, :19], atol=1e-2)  # the mask is what does it


def test_a_block_without_scale_is_the_identity() -> None:
    block = ConvNeXtBlock(8, 16, layer_scale=0.0)
    x = torch.randn(1, 8, 11)
    assert torch.equal(block(x), x)


def test_reach_is_three_frames_a_layer() -> None:
    network, x = stack(), torch.zeros(1, 6, 41)
    click = x.clone()
    click[0, 0, 20] = 1.0
    changed = (network(click) - network(x)).abs().sum(dim=1)[0].nonzero().flatten()
    assert changed.min() == 20 - 3 * 4
    assert changed.max() == 20 + 3 * 4


def test_the_condition_matters_and_every_parameter_learns() -> None:
    network = stack(condition_channels=5).train()
    x, condition = torch.randn(2, 6, 12), torch.randn(2, 5, 1)
    out = network(x, None, condition)
    assert not torch.allclose(out, network(x, None, torch.zeros(2, 5, 1)))
    out.square().mean().backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in network.parameters())
