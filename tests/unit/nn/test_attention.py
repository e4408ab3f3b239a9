"""Relative attention against its definition, and the transformer encoder's masks."""

import pytest
import torch
from torch import Tensor

from moksori.nn.attention import CrossAttention, RelativeSelfAttention, TransformerEncoder
from moksori.nn.masks import sequence_mask


def attention_by_definition(attention: RelativeSelfAttention, x: Tensor) -> Tensor:
    """Every pair of positions in a literal double loop, for one item without padding."""
    window, depth, length = attention.window, attention.head_channels, x.shape[-1]
    query, key, value = (layer(x)[0] for layer in (attention.query, attention.key, attention.value))
    out = torch.zeros_like(query)
    for head in range(attention.num_heads):
        rows = slice(head * depth, (head + 1) * depth)
        q, k, v = query[rows], key[rows], value[rows]
        logits = torch.zeros(length, length, dtype=x.dtype)
        for i in range(length):
            for j in range(length):
                logits[i, j] = q[:, i] @ k[:, j] / depth**0.5
                if abs(j - i) <= window:
                    logits[i, j] += q[:, i] @ attention.relative_key[j - i + window] / depth**0.5
        p = logits.softmax(dim=-1)
        for i in range(length):
            for j in range(length):
                relative = attention.relative_value[j - i + window] if abs(j - i) <= window else 0.0
                out[rows, i] += p[i, j] * (v[:, j] + relative)
    return attention.output(out[None])


@pytest.mark.parametrize("length", range(1, 13))
def test_equals_the_double_loop(length: int) -> None:
    torch.manual_seed(length)
    attention = RelativeSelfAttention(channels=8, num_heads=2, window=4).double()
    x = torch.randn(1, 8, length).double()
    out = attention(x, torch.ones(1, 1, length, dtype=torch.bool))
    torch.testing.assert_close(out, attention_by_definition(attention, x), atol=1e-12, rtol=0)


def test_relative_terms_stop_at_the_window() -> None:
    """With everything but E_v switched off, position i hears offset e only where i + e exists and |e| <= window."""
    attention = RelativeSelfAttention(channels=2, num_heads=1, window=2).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        attention.relative_value.fill_(1.0)
        attention.output.weight.copy_(torch.eye(2)[..., None])
    out = attention(torch.randn(1, 2, 9).double(), torch.ones(1, 1, 9, dtype=torch.bool))
    neighbours = torch.tensor([3, 4, 5, 5, 5, 5, 5, 4, 3]).double()
    torch.testing.assert_close(out[0, 0], neighbours / 9, atol=1e-12, rtol=0)


def test_window_zero_is_plain_attention() -> None:
    torch.manual_seed(0)
    attention = RelativeSelfAttention(channels=8, num_heads=2, window=0).double()
    x = torch.randn(2, 8, 6).double()
    q, k, v = (
        layer(x).unflatten(1, (2, 4)).transpose(2, 3) for layer in (attention.query, attention.key, attention.value)
    )
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(2, 3).flatten(1, 2)
    out = attention(x, torch.ones(2, 1, 6, dtype=torch.bool))
    torch.testing.assert_close(out, attention.output(expected), atol=1e-12, rtol=0)


def test_heads_must_divide_channels() -> None:
    with pytest.raises(ValueError, match="channels 10 cannot be shared by 4 heads"):
        RelativeSelfAttention(10, 4, 2)


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("length", [2, 11])
def test_padding_and_batch_do_not_change_the_encoding(pre_norm: bool, length: int) -> None:
    torch.manual_seed(0)
    encoder = TransformerEncoder(8, 16, 2, 2, 3, dropout=0.1, window=4, pre_norm=pre_norm).double().eval()
    x = torch.randn(2, 8, 14).double()
    mask = sequence_mask(torch.tensor([14, length]))
    out = encoder(x, mask)
    changed = torch.where(mask, x, 100 * torch.randn_like(x))
    torch.testing.assert_close(encoder(changed, mask), out, atol=1e-9, rtol=0)
    alone = encoder(x[1:, :, :length], mask[1:, :, :length])
    torch.testing.assert_close(out[1:, :, :length], alone, atol=1e-9, rtol=0)
    assert torch.count_nonzero(out[1, :, length:]) == 0


def test_post_norm_ends_in_a_norm_and_so_does_pre_norm() -> None:
    x, mask = 10 * torch.randn(1, 8, 5), torch.ones(1, 1, 5, dtype=torch.bool)
    for pre_norm in (False, True):
        out = TransformerEncoder(8, 16, 2, 2, 3, 0.0, 4, pre_norm)(x, mask)
        torch.testing.assert_close(out.mean(dim=1), torch.zeros(1, 5), atol=1e-5, rtol=0)


def test_all_parameters_learn_and_bfloat16_agrees() -> None:
    torch.manual_seed(0)
    encoder = TransformerEncoder(8, 16, 2, 2, 3, 0.0, 4)
    x, mask = torch.randn(2, 8, 9), sequence_mask(torch.tensor([9, 4]))
    out = encoder(x, mask)
    (out * torch.randn_like(out)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert encoder.layers[0].attention.relative_key.grad.abs().sum() > 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(encoder(x, mask).float(), out, atol=0.1, rtol=0)


def test_one_exported_graph_serves_any_length() -> None:
    """Shorter than the window included: nothing in the forward pass may depend on the example's length."""
    encoder = TransformerEncoder(8, 16, 2, 1, 3, 0.0, 4).eval()
    length = torch.export.Dim("length", min=1, max=1000)
    example = torch.randn(1, 8, 9), torch.ones(1, 1, 9, dtype=torch.bool)
    with torch.no_grad():
        graph = torch.export.export(encoder, example, dynamic_shapes=({2: length}, {2: length})).module()
        for tokens in (2, 31):
            inputs = torch.randn(1, 8, tokens), torch.ones(1, 1, tokens, dtype=torch.bool)
            torch.testing.assert_close(graph(*inputs), encoder(*inputs))


def test_attention_to_another_sequence_is_the_same_with_gradients() -> None:
    """It is written out where a gradient is asked for, and torch's own where none is."""
    torch.manual_seed(0)
    attention, x, memory = CrossAttention(12, 6, 3), torch.randn(2, 12, 9), torch.randn(2, 6, 7)
    mask = sequence_mask(torch.tensor([7, 4]))
    learnt = attention(x, attention.projected(memory, mask))
    with torch.no_grad():
        read = attention(x, attention.projected(memory, mask))
        alone = attention(x[1:], attention.projected(memory[1:, :, :4], None))
    torch.testing.assert_close(learnt, read, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(learnt[1:], alone, atol=1e-6, rtol=1e-5)
