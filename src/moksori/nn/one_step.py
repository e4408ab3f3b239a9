"""Networks that are asked one step at a time, thousands of times: one product a layer, into memory allocated once.

A step of a batch of one is bound by reading the weights and by calling operators, so an LSTM layer here is a single
product of [x, h] and six operators in place, instead of two products, a dozen operators and as many new tensors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moksori.nn.precision import at_least_float32


@contextmanager
def single_threaded(device: torch.device) -> Iterator[None]:
    """One intra-op thread meanwhile, on a CPU: handing a small product over to other threads takes longer than it."""
    before = torch.get_num_threads()
    alone = device.type == "cpu" and before != 1
    if alone:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if alone:
            torch.set_num_threads(before)


def plain(weight: Tensor) -> Tensor:
    """A weight as products of one step read it: at least float32, row after row."""
    return at_least_float32(weight.detach()).contiguous()


class Product:
    """out = weight · x + bias, for x and out that stay where they are; call it whenever x has changed."""

    def __init__(
        self,
        weight: Float[Tensor, "out in"],
        bias: Float[Tensor, " out"] | None,
        x: Float[Tensor, "batch in"],
        out: Float[Tensor, "batch out"],
    ) -> None:
        self._weight, self._bias, self._x, self._out = weight, bias, x, out
        self._single = len(x) == 1
        if self._single:  # a product with a vector is several times as fast as one with a matrix of one row
            self._x, self._out = x[0], out[0]
        else:
            self._weight = weight.T

    def __call__(self) -> None:
        if self._single:
            if self._bias is None:
                torch.mv(self._weight, self._x, out=self._out)
            else:
                torch.addmv(self._bias, self._weight, self._x, out=self._out)
        elif self._bias is None:
            torch.mm(self._x, self._weight, out=self._out)
        else:
            torch.addmm(self._bias, self._x, self._weight, out=self._out)


@dataclass(frozen=True)
class LstmWeights:
    """One layer of an LSTM as a product of [x, h]; its gates in the order i, f, o, g, so that one sigmoid does 3."""

    weight: Float[Tensor, "gates joined"]
    bias: Float[Tensor, " gates"]
    in_channels: int

    @classmethod
    def of(cls, lstm: nn.LSTM, layer: int) -> "LstmWeights":
        """Those of a layer of a one-directional LSTM, at least in float32."""
        size = lstm.hidden_size

        def reordered(x: Tensor) -> Tensor:
            i, f, g, o = at_least_float32(x.detach()).split(size)
            return torch.cat([i, f, o, g])

        inner, outer = (getattr(lstm, f"weight_{name}_l{layer}") for name in ("ih", "hh"))
        weight = torch.cat([reordered(inner), reordered(outer)], dim=1)
        bias = weight.new_zeros(len(weight))
        if lstm.bias:
            first, second = (getattr(lstm, f"bias_{name}_l{layer}") for name in ("ih", "hh"))
            bias = reordered(first) + reordered(second)
        return cls(weight, bias, inner.shape[1])


class LstmCell:
    """One layer, step by step: write to `input`, call `advance`, read `hidden`. Both stay where they are.

    c = f · c + i · g and h = o · tanh(c), as nn.LSTM.
    """

    def __init__(self, weights: LstmWeights, batch: int) -> None:
        gates, joined = weights.weight.shape
        size = gates // 4
        new = weights.weight.new_zeros
        self._joined, values = new(batch, joined), new(batch, gates)
        self.input, self.hidden = self._joined[:, : weights.in_channels], self._joined[:, weights.in_channels :]
        self.cell, self._squashed = new(batch, size), new(batch, size)
        self._sigmoids, self._candidate = values[:, : 3 * size], values[:, 3 * size :]
        self._in, self._forget, self._out = self._sigmoids.split(size, dim=1)
        self._product = Product(weights.weight, weights.bias, self._joined, values)

    def reset(self) -> None:
        """The state before the first step."""
        self._joined.zero_()
        self.cell.zero_()

    def advance(self) -> None:
        """One step."""
        self._product()
        self._sigmoids.sigmoid_()
        self._candidate.tanh_()
        self.cell.mul_(self._forget).addcmul_(self._in, self._candidate)
        torch.tanh(self.cell, out=self._squashed)
        torch.mul(self._out, self._squashed, out=self.hidden)
