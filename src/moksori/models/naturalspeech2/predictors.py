"""The duration and the pitch predictor: convolutions that attend to the prompt."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.models.naturalspeech2.config import PredictorConfig
from moksori.models.naturalspeech2.prompt import HeardPrompt
from moksori.nn.attention import CrossAttention
from moksori.nn.conv import ChannelNorm, ProductConv1d, same_padding
from moksori.nn.dropout import Dropout
from moksori.nn.masks import masked


class Predictor(nn.Module):
    """Numbers for each step of a sequence.

    Layer i: every few layers x <- (x + dropout(attention(norm(x), prompt))) / sqrt(2), then
    y = dropout(norm(ReLU(conv(x)))), x <- x + y (the first layer: x <- y; the x of the sum is that before the attention
    where `config.residual` says so), where the paper leaves the wiring open. At the end a linear layer.
    outputs: numbers a step. hears_prompt: False leaves the attentions out.
    """

    def __init__(
        self, config: PredictorConfig, channels: int, num_heads: int, outputs: int = 1, hears_prompt: bool = True
    ) -> None:
        super().__init__()
        self.every, count = config.attention_every, config.num_layers
        self.passes_attention = config.residual == "before_attention"
        padding = same_padding(config.kernel_size)
        self.convolutions = nn.ModuleList(
            ProductConv1d(channels, channels, config.kernel_size, padding=padding) for _ in range(count)
        )
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in range(count))
        attentions = len(range(0, count, self.every)) if hears_prompt else 0
        self.attention_norms = nn.ModuleList(ChannelNorm(channels) for _ in range(attentions))
        self.attentions = nn.ModuleList(CrossAttention(channels, channels, num_heads) for _ in range(attentions))
        self.dropout = Dropout(config.dropout)
        self.head = ProductConv1d(channels, outputs, 1)

    def forward(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"],
        prompt: HeardPrompt,
    ) -> Float[Tensor, "batch outputs time"]:
        """The numbers, 0 at padding."""
        x = masked(x, mask)
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            before = x
            if self.attentions and index % self.every == 0:
                place = index // self.every
                attention = self.attentions[place]
                assert isinstance(attention, CrossAttention)
                read = attention(self.attention_norms[place](x), attention.projected(prompt.states, prompt.mask))
                x = masked((x + self.dropout(read)) * math.sqrt(0.5), mask)
            y = self.dropout(norm(torch.relu(convolution(x))))
            x = masked(y if index == 0 else (before if self.passes_attention else x) + y, mask)
        return masked(self.head(x), mask)
