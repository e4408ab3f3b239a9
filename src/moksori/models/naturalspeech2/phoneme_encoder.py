"""The phoneme encoder: tokens to hidden states."""

import math

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.models.naturalspeech2.config import TransformerConfig
from moksori.nn.attention import TransformerEncoder

_STRESSES = 3  # none, primary, secondary


def encoder(
    config: TransformerConfig, channels: int, num_heads: int, condition_channels: int = 0
) -> TransformerEncoder:
    """The Transformer that phonemes and prompts share the shape of: pre-norm, convolution and linear layer."""
    return TransformerEncoder(
        channels, config.ffn_channels, num_heads, config.num_layers, config.kernel_size, config.dropout, config.window,
        pre_norm=True, contract_kernel_size=1, condition_channels=condition_channels,
    )  # fmt: skip


class PhonemeEncoder(nn.Module):
    """Embeddings of symbols and of their stress, then a Transformer; adaptive: its norms are steered by a vector."""

    def __init__(
        self, config: TransformerConfig, num_symbols: int, channels: int, num_heads: int, adaptive: bool = False
    ) -> None:
        super().__init__()
        self.scale = math.sqrt(channels)
        self.embedding = nn.Embedding(num_symbols, channels)
        self.stress_embedding = nn.Embedding(_STRESSES, channels)
        for table in (self.embedding, self.stress_embedding):
            nn.init.normal_(table.weight, 0.0, channels**-0.5)
        self.transformer = encoder(config, channels, num_heads, channels if adaptive else 0)

    def forward(
        self,
        tokens: Int[Tensor, "batch tokens"],
        stress: Int[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch 1 tokens"],
        summary: Float[Tensor, "batch channels 1"],
    ) -> Float[Tensor, "batch channels tokens"]:
        """States of the tokens, 0 at padding. summary: of the prompt, heard where the norms are adaptive."""
        embedded = (self.embedding(tokens) + self.stress_embedding(stress)) * self.scale
        condition = summary if self.transformer.condition_channels else None
        states: Tensor = self.transformer(embedded.transpose(1, 2), mask, condition)
        return states
