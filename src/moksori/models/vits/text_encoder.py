"""The VITS text encoder: tokens to hidden states and to the prior's mean and log standard deviation per token."""

import math
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.nn.attention import TransformerEncoder
from moksori.nn.conv import ConditionProjection, ProductConv1d
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.masks import masked

NUM_STRESSES = 3  # none, secondary, primary


@dataclass(frozen=True)
class EncodedText:
    """hidden: what the duration predictor reads. prior: of the latent frames of each token. Both 0 at padding.

    prior is None in an encoder without projection, whose model has a prior per frame instead.
    """

    hidden: Float[Tensor, "batch hidden tokens"]
    prior: DiagonalGaussian | None


class TextEncoder(nn.Module):
    """Embedding · sqrt(hidden), transformer with relative positions, 1x1 projection to the prior's parameters.

    num_symbols: size of the symbol table. ffn_channels: width of the feed-forward parts.
    Beyond the paper: pre_norm (see TransformerEncoder); stress adds an embedding of the stress 0, 1, 2 of each token to
    that of its symbol; condition_channels is the size of a speaker or language vector added, projected, to each token;
    token_prior False leaves the projection out, for models whose prior is per frame.
    """

    def __init__(
        self,
        num_symbols: int,
        latent_channels: int = 192,
        hidden_channels: int = 192,
        ffn_channels: int = 768,
        num_heads: int = 2,
        num_layers: int = 6,
        kernel_size: int = 3,
        dropout: float = 0.1,
        window: int = 4,
        pre_norm: bool = False,
        stress: bool = False,
        condition_channels: int = 0,
        token_prior: bool = True,
    ) -> None:
        super().__init__()
        self.scale = math.sqrt(hidden_channels)
        self.embedding = nn.Embedding(num_symbols, hidden_channels)
        nn.init.normal_(self.embedding.weight, 0.0, hidden_channels**-0.5)
        self.stress_embedding: nn.Embedding | None = None
        if stress:
            self.stress_embedding = nn.Embedding(NUM_STRESSES, hidden_channels)
            nn.init.normal_(self.stress_embedding.weight, 0.0, hidden_channels**-0.5)
        self.condition = ConditionProjection(condition_channels, hidden_channels)
        self.transformer = TransformerEncoder(
            hidden_channels, ffn_channels, num_heads, num_layers, kernel_size, dropout, window, pre_norm
        )
        self.projection = ProductConv1d(hidden_channels, 2 * latent_channels, 1) if token_prior else None

    def forward(
        self,
        tokens: Int[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch 1 tokens"] | None,
        stress: Int[Tensor, "batch tokens"] | None = None,
        condition: Float[Tensor, "batch condition 1"] | None = None,
    ) -> EncodedText:
        """stress: read where the encoder has a stress embedding, ignored otherwise (all batches carry it).

        mask: None where no item has padding.
        Raises ValueError if the encoder needs a stress or a condition that is missing.
        """
        embedded = self.embedding(tokens)
        if self.stress_embedding is not None:
            if stress is None:
                raise ValueError("this text encoder reads stress, but none was given: pass the batch's stress")
            embedded = embedded + self.stress_embedding(stress)
        x = (embedded * self.scale).transpose(1, 2)
        condition = self.condition(condition)
        if condition is not None:
            x = x + condition
        hidden = self.transformer(x, mask)
        if self.projection is None:
            return EncodedText(hidden, None)
        return EncodedText(hidden, DiagonalGaussian.from_stats(masked(self.projection(hidden), mask)))
