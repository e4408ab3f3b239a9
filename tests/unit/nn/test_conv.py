"""Masks, channel norm, separable stack, WaveNet stack, weight norm."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from moksori.nn.conv import (
    ChannelNorm,
    ConditionProjection,
    Conv1d,
    ConvTranspose1d,
    DilatedSeparableStack,
    ProductConv1d,
    arranged_for_inference,
    fold_weight_norm,
    same_padding,
    split_channels,
    steady_gelu,
    weight_normed,
)
from moksori.nn.masks import sequence_mask
from moksori.nn.precision import at_least_float32, full_precision
from moksori.nn.wavenet import WaveNetStack


def test_sequence_mask_marks_the_first_positions() -> None:
    mask = sequence_mask(torch.tensor([3, 1]))
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[[True, True, True]], [[True, False, False]]]
    assert sequence_mask(torch.tensor([2]), 4).tolist() == [[[True, True, False, False]]]


def test_same_padding_refuses_even_kernels() -> None:
    assert same_padding(5, dilation=3) == 6
    with pytest.raises(ValueError, match="kernel_size 4 is even"):
        same_padding(4)


def test_channel_norm_standardises_each_time_step() -> None:
    x = 3 + 5 * torch.randn(2, 64, 7)
    y = ChannelNorm(64)(x)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(2, 7), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(dim=1, unbiased=False), torch.ones(2, 7), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("width", "dilation"), [(1, 1), (5, 1), (3, 4)])
def test_a_convolution_as_a_product_is_the_same_convolution(width: int, dilation: int) -> None:
    torch.manual_seed(0)
    made = ProductConv1d(12, 10, width, dilation=dilation, padding=same_padding(width, dilation))
    for batch, steps in ((1, 40), (2, 3), (1, 1)):
        x = torch.randn(batch, 12, steps)
        expected = nn.functional.conv1d(x, made.weight, made.bias, 1, made.padding, dilation)
        with torch.inference_mode():
            found = made(x)
        assert found.stride(1) == 1  # channels last: a product, not torch's layer
        assert_close(found, expected, atol=1e-6, rtol=0)
        assert_close(made(x), expected, atol=1e-6, rtol=0)
        made(x).sum().backward()
        assert made.weight.grad is not None


@pytest.mark.parametrize("channels_last", [False, True])
def test_parts_of_channels_have_gradients_that_lie_as_they_do(channels_last: bool) -> None:
    x = torch.randn(2, 9, 6).transpose(1, 2) if channels_last else torch.randn(2, 6, 9)
    x.requires_grad_()
    seen: list[torch.Tensor] = []
    y = x * 1.0
    y.register_hook(seen.append)
    parts = split_channels(y, 2, 4)
    for found, expected in zip(parts, y.split([2, 4], dim=1), strict=True):
        assert torch.equal(found, expected)
    weights = torch.randn(2, 6, 9)
    ((parts[0] * weights[:, :2]).sum() + (parts[1] * weights[:, 2:]).sum()).backward()
    assert x.grad is not None
    assert_close(x.grad, weights)
    assert seen[0].stride() == y.stride()


@pytest.mark.parametrize(("width", "dilation"), [(3, 9), (7, 1)])
def test_a_depthwise_convolution_as_a_sum_is_the_same_convolution(width: int, dilation: int) -> None:
    torch.manual_seed(0)
    made = ProductConv1d(12, 12, width, dilation=dilation, padding=same_padding(width, dilation), groups=12)
    for batch, steps in ((1, 40), (2, 3)):
        x = torch.randn(batch, 12, steps)
        expected = nn.functional.conv1d(x, made.weight, made.bias, 1, made.padding, dilation, 12)
        with torch.inference_mode():
            found = made(x)
        assert found.stride(1) == 1
        assert_close(found, expected, atol=1e-6, rtol=0)
        assert_close(made(x), expected, atol=1e-6, rtol=0)


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="the order of sums is MKL's")
@pytest.mark.parametrize("arranged", [False, True])
def test_a_step_of_a_product_does_not_depend_on_how_many_there_are(arranged: bool) -> None:
    torch.manual_seed(0)
    made = ProductConv1d(96, 192, 5, padding=2)
    if arranged:
        arranged_for_inference(made)
    x = torch.randn(1, 96, 700)
    with torch.inference_mode():
        whole = made(x)
        for start, stop in ((0, 700), (0, 12), (300, 305), (100, 333), (690, 700)):
            first, last = max(start - 2, 0), min(stop + 2, 700)
            part = made(x[..., first:last])[..., start - first : stop - first]
            assert torch.equal(part, whole[..., start:stop])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_element_of_a_gelu_does_not_depend_on_how_many_there_are(threads: int) -> None:
    x = 2.0 * torch.randn(1, 700, 99)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            whole = steady_gelu(x)
            assert_close(whole, nn.functional.gelu(x), atol=2e-6, rtol=0)
            for rows in (1, 20, 333, 511, 699):
                assert torch.equal(steady_gelu(x[:, 1 : 1 + rows]), whole[:, 1 : 1 + rows])
    finally:
        torch.set_num_threads(before)


def test_arranged_weights_keep_their_values_and_can_be_read_in_rows() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(ProductConv1d(6, 5, 3), nn.Linear(7, 4), nn.Embedding(3, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    arranged_for_inference(model)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    rows = model[0].weight.transpose(1, 2).flatten(1)
    assert rows.stride() == (1, 5)
    assert rows.data_ptr() == model[0].weight.data_ptr()  # a view, no copy
    assert model[1].weight.stride() == (1, 4)


def test_separable_stack_equals_its_layers_written_out() -> None:
    torch.manual_seed(0)
    stack = DilatedSeparableStack(4, kernel_size=3, num_layers=2).double()
    x, condition = torch.randn(1, 4, 12).double(), torch.randn(1, 4, 1).double()
    mask = torch.ones(1, 1, 12, dtype=torch.bool)
    expected = x + condition
    for index, dilation in enumerate((1, 3)):
        kernel, bias = stack.depthwise[index].weight, stack.depthwise[index].bias
        padded = nn.functional.pad(expected, (dilation, dilation))
        y = sum(kernel[None, :, 0, k, None] * padded[..., k * dilation : k * dilation + 12] for k in range(3))
        y = nn.functional.gelu(stack.depthwise_norms[index](y + bias[:, None]))
        y = torch.einsum("oc,bct->bot", stack.pointwise[index].weight[..., 0], y)
        y = nn.functional.gelu(stack.pointwise_norms[index](y + stack.pointwise[index].bias[:, None]))
        expected = expected + y
    torch.testing.assert_close(stack(x, mask, condition), expected, atol=1e-10, rtol=0)


def stacks() -> list[nn.Module]:
    torch.manual_seed(1)
    return [DilatedSeparableStack(6, 3, 3).double(), WaveNetStack(6, 5, 3, dilation_base=2).double()]


@pytest.mark.parametrize("stack", stacks(), ids=["separable", "wavenet"])
def test_padding_and_batch_do_not_change_the_sound(stack: nn.Module) -> None:
    x = torch.randn(2, 6, 20).double()
    mask = sequence_mask(torch.tensor([20, 11]))
    out = stack(x, mask)
    changed = torch.where(mask, x, 1e3 * torch.randn_like(x))
    torch.testing.assert_close(stack(changed, mask), out, atol=1e-9, rtol=0)
    alone = stack(x[1:, :, :11], mask[1:, :, :11])
    torch.testing.assert_close(out[1:, :, :11], alone, atol=1e-9, rtol=0)
    assert torch.count_nonzero(out[1, :, 11:]) == 0


def wavenet_by_hand(stack: WaveNetStack, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """Section 4.2 of the architecture, layer by layer, without masks."""
    channels, skips = stack.channels, 0.0
    for index, (gate, residual_skip) in enumerate(zip(stack.gates, stack.residual_skips, strict=True)):
        projection = stack.condition.projection
        rows = slice(index * 2 * channels, (index + 1) * 2 * channels)
        h = gate(x) + nn.functional.conv1d(condition, projection.weight[rows], projection.bias[rows])
        r = residual_skip(torch.tanh(h[:, :channels]) * torch.sigmoid(h[:, channels:]))
        if index < stack.num_layers - 1:
            x, r = x + r[:, :channels], r[:, channels:]
        skips = skips + r
    return skips


def test_wavenet_equals_its_layers_written_out() -> None:
    torch.manual_seed(2)
    stack = WaveNetStack(4, 5, 3, condition_channels=3).double()
    x, condition = torch.randn(2, 4, 9).double(), torch.randn(2, 3, 1).double()
    out = stack(x, torch.ones(2, 1, 9, dtype=torch.bool), condition)
    torch.testing.assert_close(out, wavenet_by_hand(stack, x, condition), atol=1e-12, rtol=0)


def test_wavenet_reaches_two_frames_a_layer() -> None:
    stack = WaveNetStack(4, 5, 3)
    x = torch.randn(1, 4, 31, requires_grad=True)
    stack(x, torch.ones(1, 1, 31, dtype=torch.bool))[..., 15].sum().backward()
    heard = x.grad.abs().sum(dim=1).squeeze().nonzero().squeeze()
    assert heard.tolist() == list(range(15 - 6, 15 + 7))


def test_condition_must_match_the_build() -> None:
    mask = torch.ones(1, 1, 5, dtype=torch.bool)
    with pytest.raises(ValueError, match="for a condition, but none was given"):
        WaveNetStack(4, 3, 1, condition_channels=2)(torch.randn(1, 4, 5), mask)
    with pytest.raises(ValueError, match="without a condition, but one was given"):
        WaveNetStack(4, 3, 1)(torch.randn(1, 4, 5), mask, torch.randn(1, 2, 1))
    assert ConditionProjection(0, 8)(None) is None


def test_weight_norm_is_g_v_over_norm_and_folds_away() -> None:
    torch.manual_seed(3)
    for layer in (nn.Conv1d(4, 6, 3), nn.ConvTranspose1d(4, 6, 3)):
        plain = layer.weight.detach().clone()
        normed = weight_normed(layer)
        torch.testing.assert_close(normed.weight, plain)
        with torch.no_grad():
            normed.parametrizations.weight.original0.mul_(2)  # g, one per entry of the first axis
        torch.testing.assert_close(normed.weight, 2 * plain)

    stack = WaveNetStack(4, 3, 2, condition_channels=2)
    folded = fold_weight_norm(copy.deepcopy(stack))
    inputs = torch.randn(1, 4, 9), torch.ones(1, 1, 9, dtype=torch.bool), torch.randn(1, 2, 1)
    torch.testing.assert_close(folded(*inputs), stack(*inputs), atol=1e-6, rtol=0)
    assert not any("parametrizations" in key for key in folded.state_dict())
    assert any("parametrizations" in key for key in stack.state_dict())
    fold_weight_norm(folded)  # a second time changes nothing
    assert (
        folded.state_dict().keys() == WaveNetStack(4, 3, 2, condition_channels=2, weight_norm=False).state_dict().keys()
    )


@pytest.mark.parametrize("settings", [{"padding": 4, "dilation": 2}, {"stride": 3, "padding": 1}, {"groups": 4}])
def test_channels_last_convolutions_are_torchs(settings: dict) -> None:
    ours, theirs = Conv1d(8, 12, 5, **settings), nn.Conv1d(8, 12, 5, **settings)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 8, 31, requires_grad=True)
    assert_close(ours(x), theirs(x))
    assert_close(*(torch.autograd.grad(layer(x).square().sum(), x)[0] for layer in (ours, theirs)))
    assert ours(x).transpose(1, 2).is_contiguous()
    assert_close(ours(x[0]), theirs(x[0]))


@pytest.mark.parametrize("settings", [{"stride": 4, "padding": 2}, {"stride": 3, "output_padding": 1, "groups": 2}])
def test_channels_last_transposed_convolutions_are_torchs(settings: dict) -> None:
    ours, theirs = ConvTranspose1d(8, 12, 8, **settings), nn.ConvTranspose1d(8, 12, 8, **settings)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 8, 31)
    assert_close(ours(x), theirs(x))
    length = int(theirs(x).shape[2])
    assert_close(ours(x, output_size=[length]), theirs(x, output_size=[length]))


def test_arranged_for_inference_the_values_stay() -> None:
    layers = weight_normed(Conv1d(6, 6, 3, padding=1)), ConvTranspose1d(6, 4, 4, stride=2), nn.Conv1d(4, 2, 1)
    stack = nn.Sequential(*layers)
    x = torch.randn(2, 6, 17)
    before = stack(x)
    arranged = arranged_for_inference(stack)
    assert arranged is stack
    assert_close(stack(x), before)
    assert set(stack.state_dict()) == {f"{k}.{part}" for k in range(3) for part in ("weight", "bias")}
    assert stack[0].weight.unsqueeze(2).is_contiguous(memory_format=torch.channels_last)


def test_full_precision_is_an_island_under_autocast() -> None:
    x, w = torch.randn(4, 4), torch.randn(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ w).dtype == torch.bfloat16
        with full_precision("cpu"):
            assert (x @ w).dtype == torch.float32
    assert at_least_float32(x.bfloat16()).dtype == torch.float32
    assert at_least_float32(x.double()).dtype == torch.float64
