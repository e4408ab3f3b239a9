"""What is heard of a prompt: a state for each frame, a few tokens that queries read off them, and the voice."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.models.naturalspeech2.config import TransformerConfig
from moksori.models.naturalspeech2.phoneme_encoder import encoder
from moksori.nn.attention import CrossAttention
from moksori.nn.conv import ProductConv1d, zero_initialised
from moksori.nn.precision import full_precision


@dataclass(frozen=True)
class HeardPrompt:
    """H_p and what is made of it.

    states: of the frames, which the predictors attend to; 0 at padding, where mask is False. summary: their mean.
    tokens: for the denoiser, which attends to them; the last one is the voice where `DenoiserConfig.voice` says so.
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

    voice: whether the prompt's voice comes after them, as one more.
    """

    def __init__(self, count: int, latent_channels: int, channels: int, num_heads: int, voice: bool) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, channels, count) * channels**-0.5)
        self.null = nn.Parameter(torch.randn(1, channels, count) * channels**-0.5)
        self.attention = CrossAttention(channels, channels, num_heads)
        self.voice = PromptVoice(latent_channels, channels) if voice else None

    @property
    def none(self) -> Float[Tensor, "1 channels tokens"]:
        """What stands for no prompt, for guidance: learnt tokens, and 0 for the voice."""
        if self.voice is None:
            return self.null
        return torch.cat([self.null, torch.zeros_like(self.null[:, :, :1])], dim=2)

    def forward(
        self,
        latent: Float[Tensor, "batch latent frames"],
        states: Float[Tensor, "batch channels frames"],
        mask: Bool[Tensor, "batch 1 frames"],
    ) -> Float[Tensor, "batch channels tokens"]:
        """latent, states: what went into the prompt's encoder and what came out."""
        queries = self.queries.expand(states.shape[0], -1, -1)
        tokens: Tensor = self.attention(queries, self.attention.projected(states, mask))
        return tokens if self.voice is None else torch.cat([tokens, self.voice(latent, states, mask)], dim=2)


class PromptVoice(nn.Module):
    """A vector from mean and deviation of the latents, each channel's over the frames that it attends to: attentive
    statistics pooling (Okabe, Koshinaka, Shinoda 2018).

    All frames count alike at first. A voice is in what stays the same while the sounds change: statistics tell it from
    the first step on, where attention has to find it.
    """

    def __init__(self, latent_channels: int, channels: int) -> None:
        super().__init__()
        self.attention = zero_initialised(ProductConv1d(channels, latent_channels, 1))
        self.expand = nn.Linear(2 * latent_channels, channels)

    def forward(
        self,
        latent: Float[Tensor, "batch latent frames"],
        states: Float[Tensor, "batch channels frames"],
        mask: Bool[Tensor, "batch 1 frames"],
    ) -> Float[Tensor, "batch channels 1"]:
        scores = self.attention(states)
        with full_precision(latent.device.type):
            share, latent = scores.float().masked_fill(~mask, -torch.inf).softmax(dim=2), latent.float()
            mean = (share * latent).sum(dim=2)
            square = (share * (latent - mean.unsqueeze(2)).square()).sum(dim=2)
            statistics = torch.cat([mean, (square + 1e-5).sqrt()], dim=1)
        return F.silu(self.expand(statistics)).unsqueeze(2)
