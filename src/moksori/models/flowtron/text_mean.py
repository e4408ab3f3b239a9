"""What a mel is by its text alone: the one part of a flow that no frame before it can talk out of its text.

An autoregressive network learns first that a frame is like the one before, and long after that what the text adds. When
it speaks with a quiet latent, that is what one hears: frames that follow each other well and say nothing. With a text
mean, the flow is autoregressive over what the mean leaves open, and a latent of 0 says the text.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moksori.nn.conv import zero_initialised
from moksori.nn.precision import at_least_float32, full_precision
from moksori.nn.recurrent import remember_at_first

State = tuple[Tensor, Tensor]
"""Hidden and cell state of an LSTM, `[layers, batch, channels]` each."""


class TextMean(nn.Module):
    """context so far ─► LSTM ─► [its state ; context] ─► linear, zero at first ─► mean of a step, in float32."""

    def __init__(self, context_channels: int, hidden_channels: int, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(context_channels, hidden_channels, batch_first=True)
        self.out = zero_initialised(nn.Linear(hidden_channels + context_channels, channels))
        remember_at_first(self.lstm)

    def forward(
        self, context: Float[Tensor, "batch steps context"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch steps channels"], State]:
        """Means of steps, each from what the attention has read until then, and the state after the last."""
        with full_precision(context.device.type):
            context = at_least_float32(context)
            read, state = self.lstm(context, state)
            return self.out(torch.cat([read, context], dim=2)), state
