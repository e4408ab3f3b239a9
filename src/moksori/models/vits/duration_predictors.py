"""How long each token lasts: the stochastic predictor of VITS, a flow, and the deterministic one it is compared with.

Both read detached text: rhythm must not pull the encoder away from pronunciation. Durations are frames per token.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor, nn

from moksori.losses.duration import log_duration_error, mean_per_token
from moksori.nn.conv import ChannelNorm, ConditionProjection, DilatedSeparableStack, ProductConv1d, same_padding
from moksori.nn.distributions import Chance, standard_normal
from moksori.nn.flows import ChannelFlip, ElementwiseAffine, SplineFlow
from moksori.nn.masks import masked
from moksori.nn.precision import at_least_float32, full_precision


class _DurationFlow(nn.Module):
    """Elementwise affine, then spline couplings with a flip after each, over the two channels of a duration."""

    def __init__(self, hidden_channels: int, kernel_size: int, num_flows: int) -> None:
        super().__init__()
        self.affine = ElementwiseAffine(2)
        self.splines = nn.ModuleList(
            SplineFlow(2, hidden_channels, kernel_size, num_layers=3) for _ in range(num_flows)
        )
        self.flip = ChannelFlip(2)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        x, log_det = self.affine(x, mask)
        for spline in self.splines:
            x, spline_log_det = spline(x, mask, condition)
            x = self.flip(x)
            log_det = log_det + spline_log_det
        return x, log_det

    def inverse_first_channel(self, z: Tensor, mask: Tensor | None, condition: Tensor) -> Tensor:
        """Channel 0 of the inverse, the log duration.

        The first spline, last in the inverse, bends only channel 1, which is thrown away: it is left out.
        """
        for index in reversed(range(len(self.splines))):
            z = self.flip(z)
            if index > 0:
                spline = self.splines[index]
                assert isinstance(spline, SplineFlow)
                z = spline.inverse(z, mask, condition)
        return self.affine.inverse(z, mask)[:, 0]


class StochasticDurationPredictor(nn.Module):
    """p(durations | text) as a normalizing flow with variational dequantisation and augmentation (VITS, section 2.2.2).

    A duration is an integer and a scalar, too little for a flow: a posterior flow adds u in (0, 1), which makes it real
    (d - u), and a second channel. channels: of the text's hidden states. Everything runs in float32 under autocast.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int = 192,
        kernel_size: int = 3,
        dropout: float = 0.5,
        num_flows: int = 4,
        condition_channels: int = 0,
    ) -> None:
        super().__init__()
        self.text_input = ProductConv1d(channels, hidden_channels, 1)
        self.text_stack = DilatedSeparableStack(hidden_channels, kernel_size, 3, dropout)
        self.text_output = ProductConv1d(hidden_channels, hidden_channels, 1)
        self.condition = ConditionProjection(condition_channels, hidden_channels)
        self.flow = _DurationFlow(hidden_channels, kernel_size, num_flows)
        self.duration_input = ProductConv1d(1, hidden_channels, 1)
        self.duration_stack = DilatedSeparableStack(hidden_channels, kernel_size, 3, dropout)
        self.duration_output = ProductConv1d(hidden_channels, hidden_channels, 1)
        self.posterior_flow = _DurationFlow(hidden_channels, kernel_size, num_flows)

    def _text(self, x: Tensor, mask: Tensor | None, condition: Tensor | None) -> Tensor:
        hidden = self.text_input(at_least_float32(x.detach()))
        bias = self.condition(None if condition is None else at_least_float32(condition.detach()))
        if bias is not None:
            hidden = hidden + bias
        return masked(self.text_output(self.text_stack(hidden, mask)), mask)

    def negative_log_likelihood(
        self,
        x: Float[Tensor, "batch channels tokens"],
        mask: Bool[Tensor, "batch 1 tokens"],
        durations: Shaped[Tensor, "batch tokens"],
        condition: Float[Tensor, "batch condition 1"] | None = None,
        generator: Generator | None = None,
    ) -> Float[Tensor, " batch"]:
        """An upper bound on -ln p(durations | text) per item, in nats, with one sample of the dequantisation."""
        with full_precision(x.device.type):
            text = self._text(x, mask, condition)
            duration = durations.unsqueeze(1).to(text.dtype) * mask
            hidden = self.duration_output(self.duration_stack(self.duration_input(duration), mask)) * mask

            # q(u, v | d, text): noise through the posterior flow, its first channel squeezed into (0, 1).
            noise = standard_normal(text[:, :2], generator) * mask
            augmented, log_det = self.posterior_flow(noise, mask, text + hidden)
            raw_u, extra = augmented.chunk(2, dim=1)
            u = torch.sigmoid(raw_u) * mask
            log_det = log_det + ((F.logsigmoid(raw_u) + F.logsigmoid(-raw_u)) * mask).sum(dim=(1, 2))
            log_q = self._log_normal(noise, mask) - log_det

            # p(d - u, v | text): the log of the real-valued duration, then the flow to a standard normal.
            log_duration = torch.log((duration - u).clamp(min=1e-5)) * mask
            z, log_det = self.flow(torch.cat([log_duration, extra], dim=1), mask, text)
            log_p = self._log_normal(z, mask) + log_det - log_duration.sum(dim=(1, 2))
            return log_q - log_p

    @staticmethod
    def _log_normal(
        z: Float[Tensor, "batch 2 tokens"], mask: Bool[Tensor, "batch 1 tokens"]
    ) -> Float[Tensor, " batch"]:
        return (-0.5 * (math.log(2 * math.pi) + z.square()) * mask).sum(dim=(1, 2))

    def loss(
        self,
        x: Float[Tensor, "batch channels tokens"],
        mask: Bool[Tensor, "batch 1 tokens"],
        durations: Shaped[Tensor, "batch tokens"],
        condition: Float[Tensor, "batch condition 1"] | None = None,
        generator: Generator | None = None,
    ) -> Float[Tensor, ""]:
        """The bound of `negative_log_likelihood`, mean per valid token.

        x: hidden states of the text encoder. durations: frames of each token, at least 1 where the mask is True.
        """
        return mean_per_token(self.negative_log_likelihood(x, mask, durations, condition, generator), mask)

    def sample(
        self,
        x: Float[Tensor, "batch channels tokens"],
        mask: Bool[Tensor, "batch 1 tokens"] | None,
        condition: Float[Tensor, "batch condition 1"] | None = None,
        temperature: float = 0.8,
        generator: Chance = None,
    ) -> Float[Tensor, "batch tokens"]:
        """Natural logs of durations drawn for a text, 0 at padding; mask None: there is none.

        exp of them lies below the whole number of frames by the dequantisation's u, so ceil restores it.
        temperature: standard deviation of the noise; 0 gives the same durations every time.
        """
        lengths = None if mask is None else mask.sum(dim=(1, 2))
        noise = standard_normal(at_least_float32(x)[:, :2], generator, lengths)
        return self.transform(noise * temperature, x, mask, condition)

    def transform(
        self,
        noise: Float[Tensor, "batch 2 tokens"],
        x: Float[Tensor, "batch channels tokens"],
        mask: Bool[Tensor, "batch 1 tokens"] | None,
        condition: Float[Tensor, "batch condition 1"] | None = None,
    ) -> Float[Tensor, "batch tokens"]:
        """The durations' logs that belong to given noise: `sample` with the noise as an input."""
        with full_precision(x.device.type):
            text = self._text(x, mask, condition)
            return self.flow.inverse_first_channel(at_least_float32(noise), mask, text)


class DeterministicDurationPredictor(nn.Module):
    """Two convolutions that predict each token's log duration (FastSpeech's predictor, as in VITS's ablation)."""

    def __init__(
        self,
        channels: int,
        hidden_channels: int = 256,
        kernel_size: int = 3,
        dropout: float = 0.5,
        condition_channels: int = 0,
    ) -> None:
        super().__init__()
        padding = same_padding(kernel_size)
        self.condition = ConditionProjection(condition_channels, channels)
        self.first = ProductConv1d(channels, hidden_channels, kernel_size, padding=padding)
        self.first_norm = ChannelNorm(hidden_channels)
        self.second = ProductConv1d(hidden_channels, hidden_channels, kernel_size, padding=padding)
        self.second_norm = ChannelNorm(hidden_channels)
        self.projection = ProductConv1d(hidden_channels, 1, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch channels tokens"],
        mask: Bool[Tensor, "batch 1 tokens"] | None,
        condition: Float[Tensor, "batch condition 1"] | None = None,
    ) -> Float[Tensor, "batch tokens"]:
        """Natural logs of durations in frames, 0 at padding."""
        x = x.detach()
        bias = self.condition(None if condition is None else condition.detach())
        if bias is not None:
            x = x + bias
        x = self.dropout(self.first_norm(torch.relu(self.first(masked(x, mask)))))
        x = self.dropout(self.second_norm(torch.relu(self.second(masked(x, mask)))))
        return at_least_float32(masked(self.projection(masked(x, mask)), mask)).squeeze(1)

    def loss(
        self,
        x: Float[Tensor, "batch channels tokens"],
        mask: Bool[Tensor, "batch 1 tokens"],
        durations: Shaped[Tensor, "batch tokens"],
        condition: Float[Tensor, "batch condition 1"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean squared error of the log durations over valid tokens."""
        return log_duration_error(self(x, mask, condition), durations, mask)
