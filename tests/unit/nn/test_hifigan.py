"""The HiFi-GAN generator: sizes, lengths, reach, masks."""

import copy

import pytest
import torch
from torch import nn

from moksori.nn.conv import fold_weight_norm
from moksori.nn.hifigan import HifiGanGenerator
from moksori.nn.masks import sequence_mask


def small(**changes: object) -> HifiGanGenerator:
    torch.manual_seed(0)
    settings = {"upsample_rates": (4, 2), "upsample_kernels": (8, 4), "initial_channels": 16, **changes}
    return HifiGanGenerator(6, **settings)


PIPER = {
    "initial_channels": 256,
    "upsample_rates": (8, 8, 4),
    "upsample_kernels": (16, 16, 8),
    "residual_kernels": (3, 5, 7),
    "residual_dilations": ((1, 2), (2, 6), (3, 12)),
    "block": "single",
}


def millions(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_published_sizes() -> None:
    """The published counts are of folded weights."""
    assert round(millions(fold_weight_norm(HifiGanGenerator(192))), 2) == 14.33
    assert round(millions(fold_weight_norm(HifiGanGenerator(192, **PIPER))), 2) == 1.66


def test_length_range_and_condition() -> None:
    generator = small(condition_channels=3)
    frames, condition = torch.randn(2, 6, 9), torch.randn(2, 3, 1)
    waveform = generator(frames, condition)
    assert generator.hop_length == 8
    assert waveform.shape == (2, 72)
    assert waveform.abs().max() <= 1
    assert (generator(frames, condition + 1) - waveform).abs().max() > 1e-4


@pytest.mark.parametrize(("settings", "context"), [({}, 13), (PIPER, 11)], ids=["V1", "piper"])
def test_one_sample_hears_this_many_frames(settings: dict, context: int) -> None:
    """By the gradient of the middle frame's samples: 13 frames a side for V1, 11 for Piper's, as measured in public."""
    sizes = {**settings, "initial_channels": 16}  # reach does not depend on width
    generator = HifiGanGenerator(2, **sizes).double()
    frames = torch.randn(1, 2, 41).double().requires_grad_()
    generator(frames)[:, 20 * 256 : 21 * 256].square().sum().backward()
    heard = frames.grad.abs().sum(dim=1).squeeze().nonzero().squeeze()
    assert heard.min().item() == 20 - context
    assert heard.max().item() == 20 + context


def test_block_written_out() -> None:
    """One upsampling step against its formula: the mean of the residual blocks, the two slopes, tanh."""
    generator = HifiGanGenerator(3, 4, (2,), (4,), (3, 5), ((1, 3), (1,)), block="double").double()
    frames = torch.randn(1, 3, 8).double()
    act = nn.functional.leaky_relu
    x = generator.upsamplers[0](act(generator.input(frames), 0.1))
    outs = []
    for block in generator.blocks:
        y = x
        for dilated, plain in zip(block.dilated, block.plain, strict=True):
            y = y + plain(act(dilated(act(y, 0.1)), 0.1))
        outs.append(y)
    expected = torch.tanh(generator.output(act(sum(outs) / 2, 0.01)))[:, 0]
    torch.testing.assert_close(generator(frames), expected, atol=1e-12, rtol=0)
    assert generator.output.bias is None


@pytest.mark.parametrize("block", ["double", "single"])
def test_with_a_mask_an_item_sounds_as_it_does_alone(block: str) -> None:
    generator = small(block=block).double()
    mask = sequence_mask(torch.tensor([30, 12]))
    frames = torch.randn(2, 6, 30).double()
    waveform = generator(frames, mask=mask)
    alone = generator(frames[1:, :, :12])
    torch.testing.assert_close(waveform[1:, :96], alone, atol=1e-12, rtol=0)
    assert torch.count_nonzero(waveform[1, 96:]) == 0


def test_without_a_mask_only_the_end_hears_padding() -> None:
    generator = small().double()
    frames = torch.randn(1, 6, 80).double()
    padded = torch.cat([frames, torch.zeros(1, 6, 60).double()], dim=-1)
    difference = (generator(padded)[:, :640] - generator(frames)).abs()
    assert difference[:, -8:].max() > 1e-9
    reach = difference.squeeze().nonzero().min().item()
    assert reach > 0
    assert difference[:, :reach].max() == 0


def test_fold_and_autocast() -> None:
    generator = small()
    frames = torch.randn(2, 6, 9)
    expected = generator(frames)
    folded = fold_weight_norm(copy.deepcopy(generator))
    torch.testing.assert_close(folded(frames), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(generator(frames), expected)  # folding the copy left the original alone
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = generator(frames)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upsample_kernels": (8,)}, "2 upsample_rates but 1 upsample_kernels"),
        ({"upsample_kernels": (8, 5)}, "kernel 5 does not fit rate 2"),
        ({"residual_kernels": (3,)}, "1 residual_kernels but 3 residual_dilations"),
        ({"initial_channels": 10}, "10 cannot be halved 2 times"),
    ],
)
def test_lists_that_do_not_match_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)
