"""What is heard of a prompt: a state for each frame, and a few tokens that queries read off them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.models.naturalspeech2.config import TransformerConfig
from moksori.models.naturalspeech2.phoneme_encoder import encoder
from moksori.nn.attention import CrossAttention
from moksori.nn.conv import ProductConv1d


@dataclass(frozen=True)
class HeardPrompt:
    """H_p and what is made of it.

    states: of the frames, which the predictors attend to; 0 at padding, where mask is False. summary: their mean.
    tokens: which the denoiser attends to.
    """

    states: Float[Tensor, "batch channels frames"]
    mask: Bool[Tensor, "batch 1 frames"]
    summary: Float[Tensor, "batch channels 1"]
    tokens: Float[Tensor, "batch channels tokens"]


class PromptEncoder(nn.Module):
    """Latents of a prompt, standardised, through a Transformer as that of the phonemes."""

    def __init__(self, config: TransformerConfig, latent_channels: int, channels: int, num_heads: int) -> None:
        super().__init__()
        self.input = ProductConv1d(latent_channels, channels, 1)
        self.transformer = encoder(config, channels, num_heads)

    def forward(
        self, latent: Float[Tensor, "batch latent frames"], mask: Bool[Tensor, "batch 1 frames"]
    ) -> Float[Tensor, "batch channels frames"]:
        states: Tensor = self.transformer(self.input(latent), mask)
        return states


class PromptTokens(nn.Module):
    """m learnt queries that attend to a prompt once: the denoiser hears them alone, and so cannot copy frames.

    null: what stands for no prompt, for guidance.
    """

    def __init__(self, count: int, channels: int, num_heads: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, channels, count) * channels**-0.5)
        self.null = nn.Parameter(torch.randn(1, channels, count) * channels**-0.5)
        self.attention = CrossAttention(channels, channels, num_heads)

    def forward(
        self, states: Float[Tensor, "batch channels frames"], mask: Bool[Tensor, "batch 1 frames"]
    ) -> Float[Tensor, "batch channels tokens"]:
        queries = self.queries.expand(states.shape[0], -1, -1)
        tokens: Tensor = self.attention(queries, self.attention.projected(states, mask))
        return tokens
