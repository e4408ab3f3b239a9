"""What a mel is by its text alone: the one part of a flow that no frame before it can talk out of its text.

An autoregressive network learns first that a frame is like the one before, and long after that what the text adds. When
it speaks with a quiet latent, that is what one hears: frames that follow each other well and say nothing. With a text
mean, the flow is autoregressive over what the mean leaves open, and a latent of 0 says the text.

An average over pitches has no harmonics, though, and so sounds like a whisper. Where log F0 is a band of the frames it
is drawn first, and what the text says of the mel is said for that pitch.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from moksori.audio.harmonics import harmonic_ripples, looked_up
from moksori.audio.mel import MelConfig
from moksori.nn.conv import zero_initialised
from moksori.nn.decorrelate import Decorrelate
from moksori.nn.precision import at_least_float32, full_precision
from moksori.nn.recurrent import remember_at_first
from moksori.nn.standardize import Standardize

State = tuple[Tensor, Tensor]
"""Hidden and cell state of an LSTM, `[layers, batch, channels]` each."""


class TextMean(nn.Module):
    """context so far ─► LSTM ─► [its state ; context] ─► linear, zero at first ─► mean of a step, in float32."""

    def __init__(self, context_channels: int, hidden_channels: int, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(context_channels, hidden_channels, batch_first=True)
        self.out = zero_initialised(nn.Linear(hidden_channels + context_channels, channels))
        remember_at_first(self.lstm)

    @property
    def pitches(self) -> int:
        """Channels of a step, its last ones, that hold pitches on which the others' mean depends."""
        return 0

    def told(
        self, context: Float[Tensor, "batch steps context"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch steps read"], State]:
        """What the attention has read until each step, and the state after the last."""
        with full_precision(context.device.type):
            context = at_least_float32(context)
            read, state = self.lstm(context, state)
            return torch.cat([read, context], dim=2), state

    def mean(
        self, told: Float[Tensor, "batch steps read"], pitch: Float[Tensor, "batch steps pitches"]
    ) -> Float[Tensor, "batch steps channels"]:
        """Of steps with these pitches, as they are in the flow: standardised log F0 of each frame."""
        with full_precision(told.device.type):
            return self.out(told)


class PitchedTextMean(TextMean):
    """The mean of a mel whose pitch is known, and of the pitch.

    told ─► linear ─► mean of the pitches
    told ─► linear, ReLU ─┬─► linear ──────────────────────────► + ─► mean of the mel
                          └─► linear: how deep · ripple(pitch) ─► along the axes

    ripple: of the harmonics of that pitch, band by band (`audio.harmonics`). It holds what it must know of the frames,
    where the pitch lies and along which axes they are, so that a step is whole by itself; `fit` copies it.
    hold: what of the pitch's deviation from its mean follows from that of the step before.
    """

    ripples: Tensor
    place: Tensor
    axes: Tensor

    def __init__(self, context_channels: int, hidden_channels: int, group: int, mel: MelConfig) -> None:
        width, mels = hidden_channels + context_channels, group * mel.n_mels
        super().__init__(context_channels, hidden_channels, group)
        self.group = group
        self.body = nn.Linear(width, hidden_channels)
        self.level = zero_initialised(nn.Linear(hidden_channels, mels))
        self.depth = zero_initialised(nn.Linear(hidden_channels, mels))
        self.tilt = zero_initialised(nn.Linear(group, mels, bias=False))
        self.hold = nn.Linear(group, group, bias=False)
        nn.init.zeros_(self.hold.weight)
        nn.init.constant_(self.hold.weight[:, -1], _HELD)
        self.register_buffer("ripples", harmonic_ripples(mel), persistent=False)
        self.register_buffer("place", torch.tensor([5.0, 0.3]))
        self.register_buffer("axes", torch.eye(mels))

    @property
    def pitches(self) -> int:
        return self.group

    @torch.no_grad()
    def fit(self, standardize: Standardize, decorrelate: Decorrelate | None) -> None:
        """Takes over how frames go into the flow; the last band is log F0."""
        self.place.copy_(torch.stack([standardize.mean[-1], standardize.std[-1]]))
        if decorrelate is not None:
            self.axes.copy_(decorrelate.rotation() / decorrelate.spread)

    def pitch(self, told: Float[Tensor, "*axes read"]) -> Float[Tensor, "*axes pitches"]:
        """Mean of the pitches."""
        with full_precision(told.device.type):
            return self.out(told)

    def mels(
        self, told: Float[Tensor, "*axes read"], pitch: Float[Tensor, "*axes pitches"]
    ) -> Float[Tensor, "*axes mels"]:
        """Mean of the mel, given its pitches."""
        with full_precision(told.device.type):
            pitch = at_least_float32(pitch)
            body = F.relu(self.body(told))
            ripple = looked_up(self.ripples, pitch * self.place[1] + self.place[0]).flatten(-2)
            return self.level(body) + (self.depth(body) * ripple + self.tilt(pitch)) @ self.axes

    def mean(
        self, told: Float[Tensor, "batch steps read"], pitch: Float[Tensor, "batch steps pitches"]
    ) -> Float[Tensor, "batch steps channels"]:
        return torch.cat([self.mels(told, pitch), self.pitch(told)], dim=-1)


_HELD = 0.9
"""At first, of the last frame's deviation of the pitch."""
