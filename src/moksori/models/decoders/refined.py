"""A decoder for mels alone: magnitudes that start from the mel itself, phases made consistent inside the network.

Vocos (Siuzdak 2023) lets a network give magnitude and phase of every bin and learns both from the waveform. Here they
are apart. The filterbank's pseudo-inverse gives magnitudes that are right in each band; the network scales every bin,
which can be learnt from recordings directly, bin by bin, in minutes. Its phases are a first guess: a few steps of the
fast Griffin-Lim algorithm (Griffin, Lim 1984; Perraudin, Balazs, Sondergaard 2013), each a layer that gradients flow
through, move them to some that overlapping frames agree on (as Masuyama et al. 2019, "Deep Griffin-Lim iteration").
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.audio.mel import MelConfig, mel_filterbank
from moksori.models.decoders.config import RefinedConfig, SourcedConfig
from moksori.models.decoders.decoders import Decoder
from moksori.models.decoders.pitch import Pitch
from moksori.nn.convnext import ConvNeXtStack
from moksori.nn.distributions import Chance
from moksori.nn.istft import ComplexStft, InverseStft
from moksori.nn.precision import full_precision

LOG_MEL_MEAN, LOG_MEL_DEVIATION = -5.0, 2.5
"""Of log-mels of speech, roughly: the network is given numbers around 0."""
LEAST_MAGNITUDE = 1e-3
"""What the pseudo-inverse is cut at: it is negative in places, and 0 where the mel has no band."""
LARGEST_LOG_GAIN = 6.0
LEAST_POWER = 1e-10
"""Added to a bin's power before it is divided by."""
LOUDNESS_POWER = 0.4
"""Loudness grows with magnitude to about this power (Zwicker): so loud bins count more than quiet ones, not all."""


class Spectrum(NamedTuple):
    """What the network gives of each bin."""

    magnitude: Float[Tensor, "batch bins frames"]
    phase: Float[Tensor, "batch bins frames"]


class RefinedDecoder(Decoder):
    """ConvNeXt blocks at frame rate; a gain for the pseudo-inverse's magnitude and a first phase of every bin."""

    numbers = 2
    """That the network gives of each bin."""
    pseudo_inverse: Tensor

    def __init__(self, config: RefinedConfig | SourcedConfig, mel: MelConfig) -> None:
        super().__init__()
        self.body = ConvNeXtStack(mel.n_mels, config.channels, config.inner_channels, config.num_layers)
        self.head = nn.Linear(config.channels, self.numbers * (mel.n_fft // 2 + 1))
        self.istft = InverseStft(mel.n_fft, mel.hop_length)
        self.stft = ComplexStft(mel.n_fft, mel.hop_length)
        self.refinements, self.momentum, self.damping = config.refinements, config.momentum, config.damping
        self.silence = math.log(mel.floor)
        self.register_buffer("pseudo_inverse", torch.linalg.pinv(mel_filterbank(mel)), persistent=False)

    def spectrum(
        self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> Spectrum:
        """Magnitudes, and phases as the network gives them; magnitude 0 where the mask is False."""
        magnitude, (phase,) = self._told(mel, mask)
        return Spectrum(magnitude.transpose(1, 2), phase.transpose(1, 2))

    def magnitudes(
        self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> Float[Tensor, "batch bins frames"]:
        """Those of `spectrum` alone, which need no phases."""
        return self._told(mel, mask)[0].transpose(1, 2)

    def _told(
        self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"] | None
    ) -> tuple[Float[Tensor, "batch frames bins"], Sequence[Float[Tensor, "batch frames bins"]]]:
        """The magnitudes, and what else the network says of each bin."""
        mel = mel if mask is None else mel.masked_fill(~mask, self.silence)
        with self._precision(mel):
            hidden = self.body((mel - LOG_MEL_MEAN) / LOG_MEL_DEVIATION, mask, None)
        with full_precision(mel.device.type):
            # Frame after frame in memory, as the transforms want it: what is mixed with another order is slow.
            log_gain, *others = self.head(hidden.float().transpose(1, 2)).chunk(self.numbers, dim=2)
            first = torch.matmul(mel.float().exp().transpose(1, 2), self.pseudo_inverse.T).clamp(min=LEAST_MAGNITUDE)
            magnitude = first * log_gain.clamp(-LARGEST_LOG_GAIN, LARGEST_LOG_GAIN).exp()
            return magnitude if mask is None else magnitude * mask.transpose(1, 2), others

    def render(self, spectrum: Spectrum, refinements: int | None = None) -> Float[Tensor, "batch samples"]:
        """The waveform whose frames agree best with the magnitudes, from the first phases on.

        Each step brings what the frames agree on, c, back to the wanted magnitude A: A c / |c|. Where c is next to
        nothing its phase is rounding, which step after step makes larger. A damping d gives A c sqrt((1 + d) / (|c|² +
        d A²)) instead: the same where |c| = A, and at most sqrt((1 + d) / d) times c.

        refinements: steps; None = as many as the configuration says.
        """
        magnitude = spectrum.magnitude
        with full_precision(magnitude.device.type):
            current, before = torch.polar(magnitude, spectrum.phase), None
            wanted, floor = self.damped(magnitude)
            for _ in range(self.refinements if refinements is None else refinements):
                # As pairs of real numbers: complex arithmetic takes twice the time.
                consistent = torch.view_as_real(self.stft(self.istft(current)))
                ahead = consistent if before is None else torch.lerp(before, consistent, 1.0 + self.momentum)
                before = consistent
                real, imaginary = ahead.unbind(3)
                power = torch.addcmul(real * real, imaginary, imaginary).add_(floor)
                gain = wanted * power.rsqrt_()
                current = torch.view_as_complex(ahead * gain.unsqueeze(3))
            return self.istft(current)

    def damped(
        self, magnitude: Float[Tensor, "batch bins frames"]
    ) -> tuple[Float[Tensor, "batch bins frames"], Float[Tensor, "batch bins frames"] | float]:
        """What a step multiplies c by before it divides by sqrt(|c|² + floor), and that floor."""
        if self.damping == 0.0:
            return magnitude, LEAST_POWER
        return math.sqrt(1.0 + self.damping) * magnitude, self.damping * magnitude.square() + LEAST_POWER

    def forward(
        self,
        z: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        pitch: Pitch | None = None,
        renderings: int = 1,
        generator: Chance = None,
    ) -> Float[Tensor, "renderings batch samples"]:
        return self.render(self.spectrum(z, mask)).expand(renderings, -1, -1)

    @property
    def context_frames(self) -> int:
        return self.body.context_steps + (1 + 2 * self.refinements) * self.istft.context_steps


def magnitude_distance(
    stft: ComplexStft, magnitude: Float[Tensor, "batch bins frames"], real: Float[Tensor, "batch samples"]
) -> Float[Tensor, ""]:
    """Mean absolute difference of every bin's magnitude to the power 0.4, nearly its loudness.

    magnitude: of the frames of `real` and perhaps more behind them. Frames whose window reaches out of `real` are left
    out.
    """
    edge = stft.context_steps
    with torch.autocast(real.device.type, enabled=False):
        wanted = stft(real.float()).abs()[:, :, edge:-edge]
        found = magnitude[:, :, edge:][:, :, : wanted.shape[2]]
        difference = (found + 1e-8) ** LOUDNESS_POWER - (wanted + 1e-8) ** LOUDNESS_POWER
        return difference.abs().mean()
