"""Content attention (Bahdanau et al. 2015) with a beta-binomial prior; as an option it knows where it has been.

energy[t, l] = w · tanh(q_t + k_l). Tensors of frames x tokens x channels would be gigabytes for long clips, so energies
are made in pieces that are made again in the backward pass. Cumulative attention scales what keys are made of by the
weights of the step before and by those of all steps so far, and so runs one step after the other in training too.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from moksori.nn.conv import same_padding
from moksori.nn.precision import at_least_float32, full_precision

_PIECE = 2**18
"""Numbers of frames x tokens x channels in a piece: a megabyte stays in a processor's cache."""
_OPEN = 4.0
"""Bias of a gate that is to be open at first: sigmoid(4) = 0.98."""
_EXCLUDED = -1e9
"""Energy of padding; finite, so that a row without a token is no NaN."""


Trace = tuple[Tensor, Tensor]
"""Where an attention has been, `[batch, tokens]` each: the sum of all weights so far, and those of the step before."""


@dataclass(frozen=True)
class Projected:
    """A memory as one flow's attention reads it, the same for all steps."""

    keys: Float[Tensor, "batch tokens channels"]
    values: Float[Tensor, "batch tokens channels"]
    mask: Bool[Tensor, "batch tokens"]
    states: Float[Tensor, "batch tokens memory"] | None = None
    """The memory itself, where keys depend on the weights so far."""


@dataclass(frozen=True)
class Attended:
    """What an attention gives. context: weights · values, where the weights sum to 1 over the tokens.

    log_content: the logarithm of the weights as they would be without prior, by content alone.
    """

    context: Float[Tensor, "batch steps channels"]
    weights: Float[Tensor, "batch steps tokens"]
    log_weights: Float[Tensor, "batch steps tokens"]
    log_content: Float[Tensor, "batch steps tokens"]


class LocationGate(nn.Module):
    """How much of each token's state goes into its key: sigmoid(conv(ReLU(conv([weights so far, weights before]))))."""

    def __init__(self, memory_channels: int, hidden_channels: int = 32, kernel_sizes: tuple[int, int] = (5, 3)) -> None:
        super().__init__()
        first, second = kernel_sizes
        self.hidden = nn.Conv1d(2, hidden_channels, first, padding=same_padding(first))
        self.out = nn.Conv1d(hidden_channels, memory_channels, second, padding=same_padding(second))
        nn.init.xavier_uniform_(self.hidden.weight, gain=nn.init.calculate_gain("relu"))
        nn.init.xavier_uniform_(self.out.weight, gain=nn.init.calculate_gain("sigmoid"))
        # Open at first, so that a model trained without goes on as it was.
        assert self.out.bias is not None
        nn.init.constant_(self.out.bias, _OPEN)

    def forward(
        self,
        cumulative: Float[Tensor, "batch tokens"],
        previous: Float[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch tokens memory"]:
        """Between 0 and 1."""
        hidden = F.relu(self.hidden(torch.stack([cumulative, previous], dim=1))) * mask.unsqueeze(1)
        return torch.sigmoid(self.out(hidden)).transpose(1, 2)


class AdditiveAttention(nn.Module):
    """Query, key, value and score projections, all without bias. cumulative: whether keys know the weights so far."""

    def __init__(self, query_channels: int, memory_channels: int, channels: int, cumulative: bool = False) -> None:
        super().__init__()
        self.location = LocationGate(memory_channels) if cumulative else None
        self.query = nn.Linear(query_channels, channels, bias=False)
        self.key = nn.Linear(memory_channels, channels, bias=False)
        self.value = nn.Linear(memory_channels, channels, bias=False)
        self.score = nn.Linear(channels, 1, bias=False)
        tanh = nn.init.calculate_gain("tanh")
        for layer, gain in ((self.query, tanh), (self.key, tanh), (self.value, 1.0), (self.score, 1.0)):
            nn.init.xavier_uniform_(layer.weight, gain=gain)

    def project(self, memory: Float[Tensor, "batch tokens memory"], mask: Bool[Tensor, "batch tokens"]) -> Projected:
        """Keys and values of a memory: once for a text, not once for a step."""
        states = None if self.location is None else at_least_float32(memory)
        return Projected(at_least_float32(self.key(memory)), at_least_float32(self.value(memory)), mask, states)

    def located_keys(
        self,
        projected: Projected,
        cumulative: Float[Tensor, "batch tokens"],
        previous: Float[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch tokens channels"]:
        """Keys of a step of cumulative attention, by the sum of all weights so far and those of the step before."""
        assert self.location is not None
        assert projected.states is not None
        return self.key(projected.states * self.location(cumulative, previous, projected.mask))

    def forward(
        self,
        hidden: Float[Tensor, "batch steps hidden"],
        projected: Projected,
        log_prior: Float[Tensor, "batch steps tokens"] | None = None,
        temperature: float = 1.0,
        before: Trace | None = None,
    ) -> Attended:
        """log_prior: times whatever factor, added to the log weights, which then sum to 1 again. temperature: below 1
        the weights are sharper. before: the weights of earlier steps, for cumulative attention. All in float32."""
        query = self.query(hidden)
        with full_precision(hidden.device.type):
            query = at_least_float32(query)
            if self.location is not None:
                return self._cumulative(query, projected, log_prior, temperature, before)
            return self._attended(query, projected, projected.keys, log_prior, temperature)

    def _cumulative(
        self,
        query: Tensor,
        projected: Projected,
        log_prior: Tensor | None,
        temperature: float,
        before: Trace | None,
    ) -> Attended:
        """One step after the other, each made again in the backward pass."""

        def one(asked: Tensor, prior: Tensor | None, cumulative: Tensor, previous: Tensor) -> tuple[Tensor, ...]:
            keys = self.located_keys(projected, cumulative, previous)
            found = self._attended(asked, projected, keys, prior, temperature)
            return found.context, found.weights, found.log_weights, found.log_content

        nothing = torch.zeros_like(projected.mask, dtype=query.dtype)
        cumulative, previous = (nothing, nothing) if before is None else before
        made: list[tuple[Tensor, ...]] = []
        for index in range(query.shape[1]):
            prior = None if log_prior is None else log_prior[:, index : index + 1]
            given = query[:, index : index + 1], prior, cumulative, previous
            grows = torch.is_grad_enabled()
            made.append(checkpoint(one, *given, use_reentrant=False) if grows else one(*given))
            previous = made[-1][1][:, 0]
            cumulative = cumulative + previous
        return Attended(*(torch.cat(parts, dim=1) for parts in zip(*made, strict=True)))

    def _attended(
        self, query: Tensor, projected: Projected, keys: Tensor, log_prior: Tensor | None, temperature: float
    ) -> Attended:
        energy = additive_energies(query, keys, self.score.weight[0])
        energy = energy if temperature == 1.0 else energy / temperature
        log_content = energy.masked_fill(~projected.mask.unsqueeze(1), _EXCLUDED).log_softmax(dim=2)
        log_weights = log_content if log_prior is None else (log_content + log_prior).log_softmax(dim=2)
        weights = log_weights.exp()
        return Attended(torch.matmul(weights, projected.values), weights, log_weights, log_content)

    def forced(self, weights: Float[Tensor, "batch steps tokens"], projected: Projected) -> Attended:
        """Given weights instead of own ones."""
        log_weights = weights.clamp(min=1e-12).log()
        return Attended(torch.matmul(weights, projected.values), weights, log_weights, log_weights)


def additive_energies(
    query: Float[Tensor, "batch steps channels"],
    key: Float[Tensor, "batch tokens channels"],
    weight: Float[Tensor, " channels"],
) -> Float[Tensor, "batch steps tokens"]:
    """weight · tanh(query_t + key_l) for all t and l, in pieces."""
    energies: Tensor = _AdditiveEnergies.apply(query, key, weight)
    return energies


def path_weights(path: Int[Tensor, "batch steps group"], tokens: int) -> Float[Tensor, "batch steps tokens"]:
    """The weights of a path, the tokens of the frames of each step: a frame's token has an equal share."""
    return F.one_hot(path, tokens).float().mean(dim=2)


def _pieces(query: Tensor, key: Tensor) -> list[tuple[int, slice]]:
    """Which stretches of which items are made at a time: one item after the other, some steps at a time."""
    steps = max(1, _PIECE // max(key.shape[1] * key.shape[2], 1))
    return [
        (item, slice(start, start + steps)) for item in range(len(query)) for start in range(0, query.shape[1], steps)
    ]


class _AdditiveEnergies(torch.autograd.Function):
    """The energies, and their gradients from tanh made anew: d tanh = 1 - tanh², so all are sums of g · tanh²."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, weight)
        energies = query.new_empty(*query.shape[:2], key.shape[1])
        for item, stretch in _pieces(query, key):
            angle = (query[item, stretch, None] + key[item, None]).tanh_()
            torch.matmul(angle, weight, out=energies[item, stretch])
        return energies

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, weight = ctx.saved_tensors
        (energy,) = gradients
        to_query, to_key, to_weight = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(weight)
        for item, stretch in _pieces(query, key):
            given = energy[item, stretch]
            angle = (query[item, stretch, None] + key[item, None]).tanh_()
            to_weight += given.reshape(-1) @ angle.flatten(0, 1)
            flat = angle.square_().mul_(given.unsqueeze(2))
            to_query[item, stretch] = given.sum(dim=1, keepdim=True) - flat.sum(dim=1)
            to_key[item] += given.sum(dim=0).unsqueeze(1) - flat.sum(dim=0)
        return to_query * weight, to_key * weight, to_weight
