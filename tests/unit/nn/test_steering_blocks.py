"""FiLM, norms that a vector steers, attention to another sequence, the embedding of times, and what a stack takes."""

import math

import pytest
import torch

from moksori.nn.attention import CrossAttention, TransformerEncoder
from moksori.nn.film import ConditionedNorm, Film
from moksori.nn.timestep_embedding import TimestepEmbedding
from moksori.nn.wavenet import WaveNetStack


def test_film_scales_and_shifts() -> None:
    film, x, condition = Film(3, 4), torch.randn(2, 4, 5), torch.randn(2, 3, 5)
    gain, shift = torch.einsum("oc,bct->bot", film.projection.weight[:, :, 0], condition).chunk(2, dim=1)
    torch.testing.assert_close(film(x, condition), (1.0 + gain) * x + shift)
    torch.testing.assert_close(film(x, torch.zeros(2, 3, 1)), x)


def test_a_steered_norm_starts_plain() -> None:
    norm, x = ConditionedNorm(6, 3), torch.randn(2, 6, 5)
    plain = torch.nn.functional.layer_norm(x.transpose(1, 2), (6,)).transpose(1, 2)
    torch.testing.assert_close(norm(x, torch.randn(2, 3, 1)), plain)
    torch.nn.init.ones_(norm.film.projection.weight)
    condition = torch.tensor([[[0.5], [0.0], [0.0]], [[0.0], [0.0], [0.0]]])
    expected = plain.clone()
    expected[0] = 1.5 * plain[0] + 0.5
    torch.testing.assert_close(norm(x, condition), expected)
    with pytest.raises(ValueError, match="none was given"):
        norm(x, None)


def test_a_steered_encoder_needs_its_vector() -> None:
    encoder = TransformerEncoder(8, 16, 2, 1, 3, 0.0, 2, pre_norm=True, contract_kernel_size=1, condition_channels=4)
    assert encoder.layers[0].feed_forward.contract.kernel_size == (1,)
    x, mask = torch.randn(1, 8, 5), torch.ones(1, 1, 5, dtype=torch.bool)
    assert encoder(x, mask, torch.randn(1, 4, 1)).shape == x.shape
    with pytest.raises(ValueError, match="condition_channels"):
        encoder(x, mask)
    with pytest.raises(ValueError, match="condition_channels"):
        TransformerEncoder(8, 16, 2, 1, 3, 0.0, 2)(x, mask, torch.randn(1, 4, 1))


def test_attention_to_another_sequence_equals_torchs() -> None:
    own, torchs = CrossAttention(8, 8, 2), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    layers = [own.query, own.key, own.value]
    with torch.no_grad():
        torchs.in_proj_weight.copy_(torch.cat([layer.weight[:, :, 0] for layer in layers]))
        torchs.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        torchs.out_proj.weight.copy_(own.output.weight[:, :, 0])
        torchs.out_proj.bias.copy_(own.output.bias)
    x, memory = torch.randn(3, 8, 5), torch.randn(3, 8, 7)
    mask = torch.arange(7) < torch.tensor([7, 4, 1])[:, None, None]
    expected, _ = torchs(
        x.transpose(1, 2), memory.transpose(1, 2), memory.transpose(1, 2), key_padding_mask=~mask[:, 0]
    )
    found = own(x, own.projected(memory, mask))
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-4, atol=1e-5)
    nothing = own(x, own.projected(memory, torch.zeros_like(mask)))
    assert bool(nothing.isfinite().all())


def test_times_are_told_apart() -> None:
    embedding = TimestepEmbedding(8, 16, scale=1000.0)
    assert embedding.frequencies.tolist() == pytest.approx([1.0, 10000 ** (-1 / 3), 10000 ** (-2 / 3), 1e-4])
    inner = []
    embedding.expand.register_forward_pre_hook(lambda module, inputs: inner.append(inputs[0]))
    embedding(torch.tensor([0.25]))
    assert float(inner[0][0, 1]) == pytest.approx(math.sin(250.0 * 10000 ** (-1 / 3)), abs=1e-4)
    assert float(inner[0][0, 5]) == pytest.approx(math.cos(250.0 * 10000 ** (-1 / 3)), abs=1e-4)
    with pytest.raises(ValueError, match="even"):
        TimestepEmbedding(7, 16)


def test_a_stack_adds_inputs_and_changes_gates() -> None:
    """Against the layer written out; what is added reaches no padding."""
    scale = math.sqrt(0.5)
    stack = WaveNetStack(4, 3, 2, weight_norm=False, dilations=(1, 2), residual_scale=scale)
    x, inputs = torch.randn(2, 4, 9), torch.randn(1, 8, 1)
    mask = torch.arange(9) < torch.tensor([9, 6])[:, None, None]
    seen = []

    def modulate(layer, heard, gates):
        seen.append((layer, heard))
        return gates * (layer + 2.0)

    found = stack.with_biases(x, mask, None, inputs=inputs, modulate=modulate)
    assert [layer for layer, _ in seen] == [0, 1]
    path, skips = x * mask, 0.0
    for layer in range(2):
        heard = (path + inputs[:, 4 * layer : 4 * layer + 4]) * mask
        torch.testing.assert_close(seen[layer][1], heard)
        filtered, gates = (stack.gates[layer](heard) * (layer + 2.0)).chunk(2, dim=1)
        out = stack.residual_skips[layer](torch.tanh(filtered) * torch.sigmoid(gates))
        if layer == 0:
            path, out = (path + out[:, :4]) * scale * mask, out[:, 4:]
        skips = skips + out
    torch.testing.assert_close(found, skips * mask, rtol=1e-4, atol=1e-5)
