"""The text encoder: convolutions with instance norm, then a bidirectional LSTM (Tacotron 2's, but for the norm)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.nn.conv import ProductConv1d, same_padding
from moksori.nn.masks import masked
from moksori.nn.precision import at_least_float32, full_precision
from moksori.nn.recurrent import run_recurrent

NUM_STRESSES = 3  # none, primary, secondary


class MaskedInstanceNorm(nn.Module):
    """(x - mean) / std of each item and channel over its real steps, then scale and shift; no running statistics.

    What lies in the padding changes nothing, and comes out as 0.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"]
    ) -> Float[Tensor, "batch channels time"]:
        with full_precision(x.device.type):
            x = at_least_float32(x)
            count = mask.sum(dim=2, keepdim=True)
            mean = (x * mask).sum(dim=2, keepdim=True) / count
            centred = (x - mean) * mask
            variance = centred.square().sum(dim=2, keepdim=True) / count
            normed = centred * torch.rsqrt(variance + self.eps)
            return (normed * self.weight[:, None] + self.bias[:, None]) * mask


def rectified_convolution(channels_in: int, channels_out: int, kernel_size: int) -> ProductConv1d:
    """A convolution that keeps the length, with first weights for a ReLU after it."""
    layer = ProductConv1d(channels_in, channels_out, kernel_size, padding=same_padding(kernel_size))
    nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("relu"))
    return layer


class TextEncoder(nn.Module):
    """Embedding, [convolution, instance norm, ReLU, dropout] x num_layers, bidirectional LSTM.

    stress: adds an embedding of the stress 0, 1, 2 of each token to that of its symbol.
    """

    def __init__(
        self,
        num_symbols: int,
        channels: int = 512,
        num_layers: int = 3,
        kernel_size: int = 5,
        dropout: float = 0.5,
        stress: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_symbols, channels)
        self.stress_embedding: nn.Embedding | None = None
        if stress:
            self.stress_embedding = nn.Embedding(NUM_STRESSES, channels)
            nn.init.normal_(self.stress_embedding.weight, std=0.5)
        self.convolutions = nn.ModuleList(
            rectified_convolution(channels, channels, kernel_size) for _ in range(num_layers)
        )
        self.norms = nn.ModuleList(MaskedInstanceNorm(channels) for _ in range(num_layers))
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(channels, channels // 2, batch_first=True, bidirectional=True)

    def forward(
        self,
        tokens: Int[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch 1 tokens"],
        stress: Int[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens channels"]:
        """The state of each token, 0 at padding. stress: read where the encoder has an embedding for it.

        Raises ValueError if the encoder needs a stress that is missing.
        """
        embedded = self.embedding(tokens)
        if self.stress_embedding is not None:
            if stress is None:
                raise ValueError("this text encoder reads stress, but none was given: pass the batch's stress")
            embedded = embedded + self.stress_embedding(stress)
        x = embedded.transpose(1, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(F.relu(norm(convolution(masked(x, mask)), mask)))
        with full_precision(x.device.type):
            return run_recurrent(self.lstm, at_least_float32(x).transpose(1, 2), mask)
