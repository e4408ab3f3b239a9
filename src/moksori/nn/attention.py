"""Self-attention with learned relative positions, the transformer encoder made of it (Shaw et al. 2018; VITS), and
attention of one sequence to another (Vaswani et al. 2017)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.nn.conv import ChannelNorm, ProductConv1d, is_traced, same_padding
from moksori.nn.dropout import Dropout
from moksori.nn.film import ConditionedNorm
from moksori.nn.masks import masked


class RelativeSelfAttention(nn.Module):
    """Multi-head self-attention in which position j is known to i as j - i, up to `window` away; beyond it, not at all.

    With e = j - i, |e| <= window (the learned E_k, E_v are shared by all heads):
        logits[i, j] = q_i / sqrt(d) · (k_j + E_k[e]),  out_i = sum_j P[i, j] · (v_j + E_v[e])
    window: 0 leaves relative positions out. dropout: of the probabilities P.
    """

    def __init__(self, channels: int, num_heads: int, window: int, dropout: float = 0.0) -> None:
        super().__init__()
        if channels % num_heads != 0:
            raise ValueError(f"channels {channels} cannot be shared by {num_heads} heads: make it a multiple")
        self.num_heads = num_heads
        self.head_channels = channels // num_heads
        self.window = window
        self.query = ProductConv1d(channels, channels, 1)
        self.key = ProductConv1d(channels, channels, 1)
        self.value = ProductConv1d(channels, channels, 1)
        self.output = ProductConv1d(channels, channels, 1)
        for projection in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(projection.weight)
        if window > 0:
            std = self.head_channels**-0.5
            self.relative_key = nn.Parameter(torch.randn(2 * window + 1, self.head_channels) * std)
            self.relative_value = nn.Parameter(torch.randn(2 * window + 1, self.head_channels) * std)
        self.dropout = Dropout(dropout)

    def _heads(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch heads time head_channels"]:
        return x.unflatten(1, (self.num_heads, self.head_channels)).transpose(2, 3)

    def _band(
        self, x: Float[Tensor, "batch channels time"]
    ) -> tuple[Int[Tensor, "time band"], Bool[Tensor, "time band"]]:
        """For each i the positions j = i - window ... i + window, clamped to real ones, and which were not clamped."""
        length = x.shape[-1]
        offsets = torch.arange(-self.window, self.window + 1, device=x.device)
        positions = torch.arange(length, device=x.device)[:, None] + offsets[None, :]
        return positions.clamp(0, length - 1), (positions >= 0) & (positions < length)

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None
    ) -> Float[Tensor, "batch channels time"]:
        """Padding is not attended to; what comes back at padded positions means nothing and is finite.

        mask: None where there is no padding.
        """
        query = self._heads(self.query(x)) / math.sqrt(self.head_channels)
        key, value = self._heads(self.key(x)), self._heads(self.value(x))
        logits = query @ key.transpose(2, 3)
        if self.window > 0:
            # Only 2 · window + 1 diagonals carry relative terms: they are added to, and read from, the full matrix by
            # index. Clamped positions add an exact 0, so sequences shorter than the window need no special case.
            positions, inside = self._band(x)
            relative = (query @ self.relative_key.T) * inside
            positions = positions.expand_as(relative)
            logits = logits.scatter_add(-1, positions, relative.to(logits.dtype))
        if mask is not None:  # large enough to vanish in the softmax, small enough for float16
            logits = logits.masked_fill(~(mask[:, :, :, None] & mask[:, :, None, :]), -1e4)
        probabilities = self.dropout(logits.softmax(dim=-1))
        out = probabilities @ value
        if self.window > 0:
            band = probabilities.gather(-1, positions) * inside
            out = out + band @ self.relative_value
        return self.output(out.transpose(2, 3).flatten(1, 2))


class ConvFeedForward(nn.Module):
    """Convolution, ReLU, dropout, convolution; masked before each convolution and at the end.

    contract_kernel_size: of the second convolution; None takes `kernel_size`.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        kernel_size: int,
        dropout: float = 0.0,
        contract_kernel_size: int | None = None,
    ) -> None:
        super().__init__()
        back = kernel_size if contract_kernel_size is None else contract_kernel_size
        self.expand = ProductConv1d(channels, hidden_channels, kernel_size, padding=same_padding(kernel_size))
        self.contract = ProductConv1d(hidden_channels, channels, back, padding=same_padding(back))
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None
    ) -> Float[Tensor, "batch channels time"]:
        hidden = self.dropout(torch.relu(self.expand(masked(x, mask))))
        return masked(self.contract(masked(hidden, mask)), mask)


def _norm(channels: int, condition_channels: int) -> nn.Module:
    return ConditionedNorm(channels, condition_channels) if condition_channels else ChannelNorm(channels)


def _normed(
    norm: nn.Module,
    x: Float[Tensor, "batch channels time"],
    condition: Float[Tensor, "batch condition 1"] | None,
) -> Float[Tensor, "batch channels time"]:
    out: Tensor = norm(x, condition) if isinstance(norm, ConditionedNorm) else norm(x)
    return out


class TransformerLayer(nn.Module):
    """Attention and feed-forward, each with dropout, residual and ChannelNorm after the sum (or, pre_norm, before)."""

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        num_heads: int,
        kernel_size: int,
        dropout: float,
        window: int,
        pre_norm: bool,
        contract_kernel_size: int | None = None,
        condition_channels: int = 0,
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = RelativeSelfAttention(channels, num_heads, window, dropout)
        self.attention_norm = _norm(channels, condition_channels)
        self.feed_forward = ConvFeedForward(channels, hidden_channels, kernel_size, dropout, contract_kernel_size)
        self.feed_forward_norm = _norm(channels, condition_channels)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch condition 1"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        if self.pre_norm:
            x = x + self.dropout(self.attention(_normed(self.attention_norm, x, condition), mask))
            return x + self.dropout(self.feed_forward(_normed(self.feed_forward_norm, x, condition), mask))
        x = _normed(self.attention_norm, x + self.dropout(self.attention(x, mask)), condition)
        return _normed(self.feed_forward_norm, x + self.dropout(self.feed_forward(x, mask)), condition)


class TransformerEncoder(nn.Module):
    """A stack of TransformerLayers; `[batch, channels, time]` in and out, zero at padded positions.

    hidden_channels: of the feed-forward parts. window: reach of the relative positions in tokens, 0 for none.
    pre_norm: False is VITS (no norm after the last layer); True norms before each part and once at the end, which
    trains steadily at higher learning rates. contract_kernel_size: see ConvFeedForward. condition_channels: of a vector
    that scales and shifts what every norm gives (`nn.film.ConditionedNorm`); 0: there is none.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        num_heads: int,
        num_layers: int,
        kernel_size: int,
        dropout: float,
        window: int,
        pre_norm: bool = False,
        contract_kernel_size: int | None = None,
        condition_channels: int = 0,
    ) -> None:
        super().__init__()
        self.condition_channels = condition_channels
        self.layers = nn.ModuleList(
            TransformerLayer(
                channels, hidden_channels, num_heads, kernel_size, dropout, window, pre_norm, contract_kernel_size,
                condition_channels,
            )
            for _ in range(num_layers)
        )  # fmt: skip
        self.final_norm = _norm(channels, condition_channels) if pre_norm else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch condition 1"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        """Raises ValueError where a condition is missing, or given to an encoder without."""
        if (condition is None) != (self.condition_channels == 0):
            raise ValueError(f"condition_channels of this encoder are {self.condition_channels}: give as many")
        x = masked(x, mask)
        for layer in self.layers:
            x = layer(x, mask, condition)
        return masked(_normed(self.final_norm, x, condition), mask)


@dataclass(frozen=True)
class Attended:
    """A sequence as attention reads it: projected once, read as often as wanted. mask: True where real; None: all."""

    key: Float[Tensor, "batch heads steps head_channels"]
    value: Float[Tensor, "batch heads steps head_channels"]
    mask: Bool[Tensor, "batch 1 steps"] | None


class CrossAttention(nn.Module):
    """Multi-head attention of the steps of one sequence to those of another, without positions.

    channels: of what asks and of what comes back. memory_channels: of what is asked. There is no dropout of weights.
    """

    def __init__(self, channels: int, memory_channels: int, num_heads: int) -> None:
        super().__init__()
        if channels % num_heads != 0:
            raise ValueError(f"channels {channels} cannot be shared by {num_heads} heads: make it a multiple")
        self.num_heads = num_heads
        self.query = ProductConv1d(channels, channels, 1)
        self.key = ProductConv1d(memory_channels, channels, 1)
        self.value = ProductConv1d(memory_channels, channels, 1)
        self.output = ProductConv1d(channels, channels, 1)
        for projection in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(projection.weight)

    def projected(
        self, memory: Float[Tensor, "batch memory steps"], mask: Bool[Tensor, "batch 1 steps"] | None
    ) -> Attended:
        """Keys and values of a memory; padding (mask False) is not attended to."""
        return Attended(self._heads(self.key(memory)), self._heads(self.value(memory)), mask)

    def forward(
        self, x: Float[Tensor, "batch channels time"], memory: Attended
    ) -> Float[Tensor, "batch channels time"]:
        """What each step of x reads; of a memory that is all padding, something finite without meaning."""
        bias = None
        if memory.mask is not None:  # large enough to vanish in the softmax, small enough for float16
            bias = torch.zeros_like(memory.mask, dtype=memory.key.dtype).masked_fill(~memory.mask, -1e4).unsqueeze(1)
        query = self._heads(self.query(x)).to(memory.key.dtype)
        if query.is_cpu and torch.is_grad_enabled() and not is_traced():
            # There torch's own way, which keeps no weights, takes three times as long, most of it for gradients.
            logits = (query * query.shape[3] ** -0.5) @ memory.key.transpose(2, 3)
            out = (logits if bias is None else logits + bias).softmax(dim=-1).to(memory.value.dtype) @ memory.value
        else:
            out = F.scaled_dot_product_attention(query, memory.key, memory.value, attn_mask=bias)
        return self.output(out.transpose(2, 3).flatten(1, 2))

    def _heads(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch heads time head_channels"]:
        return x.unflatten(1, (self.num_heads, -1)).transpose(2, 3)
