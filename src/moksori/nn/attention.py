"""Self-attention with learned relative positions, and the transformer encoder made of it (Shaw et al. 2018; VITS)."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.nn.conv import ChannelNorm, ProductConv1d, same_padding
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
        self.dropout = nn.Dropout(dropout)

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
    """Convolution, ReLU, dropout, convolution; masked before each convolution and at the end."""

    def __init__(self, channels: int, hidden_channels: int, kernel_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        padding = same_padding(kernel_size)
        self.expand = ProductConv1d(channels, hidden_channels, kernel_size, padding=padding)
        self.contract = ProductConv1d(hidden_channels, channels, kernel_size, padding=padding)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None
    ) -> Float[Tensor, "batch channels time"]:
        hidden = self.dropout(torch.relu(self.expand(masked(x, mask))))
        return masked(self.contract(masked(hidden, mask)), mask)


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
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = RelativeSelfAttention(channels, num_heads, window, dropout)
        self.attention_norm = ChannelNorm(channels)
        self.feed_forward = ConvFeedForward(channels, hidden_channels, kernel_size, dropout)
        self.feed_forward_norm = ChannelNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None
    ) -> Float[Tensor, "batch channels time"]:
        if self.pre_norm:
            x = x + self.dropout(self.attention(self.attention_norm(x), mask))
            return x + self.dropout(self.feed_forward(self.feed_forward_norm(x), mask))
        x = self.attention_norm(x + self.dropout(self.attention(x, mask)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x, mask)))


class TransformerEncoder(nn.Module):
    """A stack of TransformerLayers; `[batch, channels, time]` in and out, zero at padded positions.

    hidden_channels: of the feed-forward parts. window: reach of the relative positions in tokens, 0 for none.
    pre_norm: False is VITS (no norm after the last layer); True norms before each part and once at the end, which
    trains steadily at higher learning rates.
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
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(channels, hidden_channels, num_heads, kernel_size, dropout, window, pre_norm)
            for _ in range(num_layers)
        )
        self.final_norm = ChannelNorm(channels) if pre_norm else nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None
    ) -> Float[Tensor, "batch channels time"]:
        x = masked(x, mask)
        for layer in self.layers:
            x = layer(x, mask)
        return masked(self.final_norm(x), mask)
