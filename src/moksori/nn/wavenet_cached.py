"""Training a causal WaveNet stack in bfloat16 on a processor: forward and backward by hand, one item at a time.

Torch's own way passes a dozen tensors of the whole batch through memory in every layer, and that is where its time
goes: the products are a sixth of it. Here one item goes through all layers before the next one, so that what a layer
leaves is still in the cache when the next layer reads it, and what lies between two products is one pass, compiled by
numba. The sums are those of `nn.wavenet` under autocast: products of bfloat16, residual path and skips in float32.
Import this module only where numba is installed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from moksori.nn.wavenet_numba import exponential

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",  # a division that may raise is a division that is not vectorised
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}
# float32 and uint32 throughout: one number of Python among them would make numba compute in 64 bits.
_ONE, _TWO = np.float32(1), np.float32(2)
_BELOW_HALF, _LAST_BIT, _HALF_WORD = np.uint32(0x7FFF), np.uint32(1), np.uint32(16)


@dataclass(frozen=True)
class _Layer:
    """Weights of a layer in bfloat16: of each tap `[2 channels, channels]`, of what leaves `[out, channels]`."""

    taps: tuple[Tensor, ...]
    shifts: tuple[int, ...]
    gate_bias: Tensor
    mixing: Tensor
    bias: Tensor


def cached_stack(
    x: Float[Tensor, "batch channels time"],
    bias: Float[Tensor, "batch gates frames"],
    repeats: int,
    dilations: Sequence[int],
    gates: nn.ModuleList,
    residual_skips: nn.ModuleList,
) -> Float[Tensor, "batch skip time"]:
    """The sum of the skips, as `WaveNetStack.with_biases` gives it; it lies in memory with channels last.

    bias: what conditions add to the gates of all layers, layer by layer; one frame for all, or each for `repeats`
    steps.
    gates, residual_skips: the layers' convolutions, causal of any number of taps, and 1x1.
    """
    repeats = x.shape[2] if bias.shape[2] == 1 else repeats
    weights = [part for layer in (*gates, *residual_skips) for part in (layer.weight, layer.bias)]
    rows = x.transpose(1, 2).float().contiguous()
    steered = bias.transpose(1, 2).float().contiguous()
    found: Tensor = _CachedStack.apply(rows, steered, repeats, tuple(dilations), *weights)
    return found.transpose(1, 2)


class _CachedStack(torch.autograd.Function):
    """Letters: x = residual path, f = tanh and o = sigmoid of the gates, z = f · o, d = a gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor, repeats: int, dilations: tuple[int, ...], *weights: Tensor
    ) -> Tensor:
        layers = _layers(weights, dilations)
        batch, steps, channels = x.shape
        skips = layers[-1].mixing.shape[0]
        steered = (bias + torch.cat([layer.gate_bias for layer in layers])).contiguous()
        heard = torch.empty(len(layers), batch, steps, channels, dtype=torch.bfloat16)
        f, o = torch.empty_like(heard), torch.empty_like(heard)
        z = torch.empty(steps, channels, dtype=torch.bfloat16)
        hidden = torch.empty(steps, 2 * channels, dtype=torch.bfloat16)
        skip = x.new_zeros(batch, steps, skips)
        for item in range(batch):
            path = x[item].clone()
            heard[0, item] = path
            for index, layer in enumerate(layers):
                now = heard[index, item]
                torch.mm(now, layer.taps[-1].t(), out=hidden)
                for tap, shift in zip(layer.taps[:-1], layer.shifts, strict=False):
                    if shift < steps:
                        hidden[shift:].addmm_(now[:-shift], tap.t())
                kept = (_bits(f[index, item]), _bits(o[index, item]), _bits(z))
                _gate(_bits(hidden), steered[item].numpy(), 2 * channels * index, repeats, *kept)
                out = _bits(torch.addmm(layer.bias, z, layer.mixing.t()))
                if index < len(layers) - 1:
                    _add(out, 0, 0, path.numpy())
                    _narrow_rows(path.numpy(), _bits(heard[index + 1, item]))
                    _add(out, channels, 0, skip[item].numpy())
                else:
                    _add(out, 0, 0, skip[item].numpy())
        ctx.kept, ctx.layers, ctx.repeats, ctx.frames = (heard, f, o), layers, repeats, bias.shape[1]
        return skip

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_skip: Tensor) -> tuple[Tensor | None, ...]:
        (heard, f, o), layers = ctx.kept, ctx.layers
        count, batch, steps, channels = heard.shape
        d_x = torch.zeros(batch, steps, channels)
        d_bias = torch.zeros(batch, ctx.frames, 2 * channels * count)
        found = [_Gradients(layer) for layer in layers]
        z = torch.empty(steps, channels, dtype=torch.bfloat16)
        d_hidden = torch.empty(steps, 2 * channels, dtype=torch.bfloat16)
        d_out = torch.zeros(steps, channels + d_skip.shape[2], dtype=torch.bfloat16)
        ones = torch.ones(1, steps, dtype=torch.bfloat16)
        for item in range(batch):
            last = d_skip[item].to(torch.bfloat16)  # the same for the skips of all layers
            d_out[:, channels:] = last
            path = d_x[item].numpy()
            for index in reversed(range(count)):
                layer, now = layers[index], heard[index, item]
                above = last if index == count - 1 else d_out
                d_z = torch.mm(above, layer.mixing)
                kept = (_bits(f[index, item]), _bits(o[index, item]))
                steering = d_bias[item].numpy()
                _gate_back(_bits(d_z), *kept, 2 * channels * index, ctx.repeats, _bits(d_hidden), _bits(z), steering)
                found[index].take(layer, above, z, d_hidden, now, ones)
                for tap, shift in zip(layer.taps, (*layer.shifts, 0), strict=True):
                    if shift < steps:
                        _add(_bits(torch.mm(d_hidden, tap)), 0, shift, path)
                _narrow_rows(path, _bits(d_out))
        of_gates = d_bias.sum((0, 1)).split(2 * channels)
        gates = [part for one, own in zip(found, of_gates, strict=True) for part in (one.gate, own)]
        mixing = [part for one in found for part in (one.mixing.unsqueeze(2), one.bias)]
        return (d_x, d_bias, None, None, *gates, *mixing)


class _Gradients:
    """Of a layer's weights, added up over items in float32."""

    def __init__(self, layer: _Layer) -> None:
        self.gate = torch.zeros(*layer.taps[0].shape, len(layer.taps))
        self.mixing, self.bias = torch.zeros(layer.mixing.shape), torch.zeros(layer.bias.shape)

    def take(self, layer: _Layer, above: Tensor, z: Tensor, d_hidden: Tensor, now: Tensor, ones: Tensor) -> None:
        self.mixing += torch.mm(above.t(), z)
        self.bias += torch.mm(ones, above)[0]
        for index, shift in enumerate((*layer.shifts, 0)):
            if shift < len(now):
                self.gate[:, :, index] += torch.mm(d_hidden[shift:].t(), now[: len(now) - shift])


def _layers(weights: Sequence[Tensor], dilations: Sequence[int]) -> list[_Layer]:
    found, count = [], len(dilations)
    for index, dilation in enumerate(dilations):
        gate, gate_bias = weights[2 * index : 2 * index + 2]
        mixing, bias = weights[2 * (count + index) : 2 * (count + index) + 2]
        width = gate.shape[2]
        shifts = tuple((width - 1 - tap) * dilation for tap in range(width - 1))
        taps = tuple(part.contiguous() for part in gate.to(torch.bfloat16).unbind(2))
        narrow = [part.to(torch.bfloat16).contiguous() for part in (mixing[:, :, 0], bias)]
        found.append(_Layer(taps, shifts, gate_bias, *narrow))
    return found


def _bits(rows: Tensor) -> np.ndarray:
    """The same memory, as numbers that numba knows."""
    found: np.ndarray = rows.view(torch.uint16).numpy()
    return found


@njit(**_OPTIONS)
def _wide(bits):  # type: ignore[no-untyped-def]
    return np.uint32(np.uint32(bits) << _HALF_WORD).view(np.float32)


@njit(**_OPTIONS)
def _narrow(value):  # type: ignore[no-untyped-def]
    """To the nearest bfloat16, of two equally near ones to the even one."""
    bits = np.float32(value).view(np.uint32)
    return np.uint16(np.uint32(bits + _BELOW_HALF + ((bits >> _HALF_WORD) & _LAST_BIT)) >> _HALF_WORD)


@njit(**_OPTIONS)
def _gate(hidden, bias, first, repeats, filtered, opened, gated):  # type: ignore[no-untyped-def]
    """f = tanh, o = sigmoid of hidden + bias, z = f · o. bias: `[frames, of all layers]`, this one's from `first` on.

    Widened, computed and narrowed in loops of their own: loops over numbers of one width vectorise.
    """
    steps, channels = filtered.shape
    tanh, sigmoid = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for t in range(steps):
        f, o, z = filtered[t], opened[t], gated[t]
        h_tanh, h_sigmoid = hidden[t, :channels], hidden[t, channels:]
        b_tanh = bias[t // repeats, first : first + channels]
        b_sigmoid = bias[t // repeats, first + channels : first + 2 * channels]
        for c in range(channels):
            tanh[c] = _wide(h_tanh[c])
            sigmoid[c] = _wide(h_sigmoid[c])
        for c in range(channels):
            u = exponential(_TWO * (tanh[c] + b_tanh[c]))
            tanh[c] = _ONE - _TWO / (u + _ONE)
        for c in range(channels):
            v = exponential(-(sigmoid[c] + b_sigmoid[c]))
            sigmoid[c] = _ONE / (_ONE + v)
        for c in range(channels):
            f[c] = _narrow(tanh[c])
            o[c] = _narrow(sigmoid[c])
            z[c] = _narrow(tanh[c] * sigmoid[c])


@njit(**_OPTIONS)
def _gate_back(gradient, filtered, opened, first, repeats, hidden, gated, bias):  # type: ignore[no-untyped-def]
    """Gradients of `_gate`: `hidden` is written, `bias` added to; and z, anew."""
    steps, channels = filtered.shape
    back, f, o = np.empty(channels, np.float32), np.empty(channels, np.float32), np.empty(channels, np.float32)
    both = np.empty(2 * channels, np.float32)
    for t in range(steps):
        d, kept_f, kept_o, h, z = gradient[t], filtered[t], opened[t], hidden[t], gated[t]
        b = bias[t // repeats, first : first + 2 * channels]
        for c in range(channels):
            back[c] = _wide(d[c])
            f[c] = _wide(kept_f[c])
            o[c] = _wide(kept_o[c])
        for c in range(channels):
            through = back[c] * o[c]
            both[c] = through * (_ONE - f[c] * f[c])
            both[channels + c] = through * f[c] * (_ONE - o[c])
            f[c] = f[c] * o[c]
        for c in range(channels):
            z[c] = _narrow(f[c])
        for c in range(2 * channels):
            h[c] = _narrow(both[c])
            b[c] += both[c]


@njit(**_OPTIONS)
def _add(rows, first, shift, total):  # type: ignore[no-untyped-def]
    """total[t] += rows[t + shift], of its columns those from `first` on."""
    steps, channels = total.shape
    wide = np.empty(channels, np.float32)
    for t in range(steps - shift):
        row, sums = rows[t + shift, first : first + channels], total[t]
        for c in range(channels):
            wide[c] = _wide(row[c])
        for c in range(channels):
            sums[c] += wide[c]


@njit(**_OPTIONS)
def _narrow_rows(values, rows):  # type: ignore[no-untyped-def]
    """The first columns of `rows` become `values`."""
    steps, channels = values.shape
    for t in range(steps):
        value, row = values[t], rows[t]
        for c in range(channels):
            row[c] = _narrow(value[c])
