"""Waveform discriminators: HiFi-GAN's scale and period ones as VITS combines them, and spectrogram ones; one of mels.

Those of waveforms take `[batch, samples]`; each returns a score map and the feature maps of all its layers, the score
map included. `input_scale` multiplies the waveform first: speech is quiet (rms about 0.07) and layers are made for unit
variance; a period discriminator that stays at chance on the waveform as it is learns with a scale of 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from moksori.nn.conv import weight_normed
from moksori.nn.precision import at_least_float32, full_precision

SLOPE = 0.1
Normalization = Literal["weight", "spectral"]


@dataclass(frozen=True)
class DiscriminatorOutput:
    """What one discriminator says: high scores where it takes the sound for real."""

    score: Float[Tensor, "batch positions"]
    features: tuple[Tensor, ...]


@dataclass(frozen=True)
class EnsembleOutput:
    """Scores and feature maps of several discriminators, one entry each, in their order."""

    scores: tuple[Float[Tensor, "batch _"], ...]
    features: tuple[tuple[Tensor, ...], ...]


def _normed(layer: nn.Module, normalization: Normalization) -> nn.Module:
    return parametrizations.spectral_norm(layer) if normalization == "spectral" else weight_normed(layer)


def _judged(layers: nn.ModuleList, output: nn.Module, x: Tensor) -> DiscriminatorOutput:
    """Layers with a leaky ReLU after each, then the scores; every map is kept for feature matching, the scores too."""
    features = []
    for layer in layers:
        x = F.leaky_relu(layer(x), SLOPE)
        features.append(x)
    scores = output(x)
    return DiscriminatorOutput(scores.flatten(1), (*features, scores))


class ScaleDiscriminator(nn.Module):
    """Grouped convolutions over the raw waveform; `channels` of its six layers, four in-channels to a group.

    Raises ValueError where widths and groups do not fit.
    """

    def __init__(
        self,
        channels: Sequence[int] = (16, 64, 256, 1024, 1024, 1024),
        input_scale: float = 1.0,
        normalization: Normalization = "weight",
    ) -> None:
        super().__init__()
        if len(channels) != 6:
            raise ValueError(f"a scale discriminator has 6 layers, but channels has {len(channels)} entries")
        self.input_scale = input_scale
        layers: list[nn.Module] = [nn.Conv1d(1, channels[0], 15, padding=7)]
        for width_in, width_out in pairwise(channels[:5]):
            groups = width_in // 4
            if width_in % 4 != 0 or width_out % groups != 0:
                raise ValueError(f"channels {width_in} -> {width_out} cannot form groups of 4: use multiples that do")
            layers.append(nn.Conv1d(width_in, width_out, 41, stride=4, groups=groups, padding=20))
        layers.append(nn.Conv1d(channels[4], channels[5], 5, padding=2))
        self.layers = nn.ModuleList(_normed(layer, normalization) for layer in layers)
        self.output = _normed(nn.Conv1d(channels[5], 1, 3, padding=1), normalization)

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> DiscriminatorOutput:
        x = waveform.unsqueeze(1) * self.input_scale
        return _judged(self.layers, self.output, x)


class AveragedScaleDiscriminator(nn.Module):
    """HiFi-GAN's scale discriminator (Kong et al. 2020, appendix A): on the waveform averaged down `halvings` times.

    Wider and less strided than VITS's `ScaleDiscriminator`; the published ensemble has 0, 1 and 2 halvings, the first
    of them with spectral normalisation.
    """

    def __init__(self, halvings: int, input_scale: float = 1.0, normalization: Normalization = "weight") -> None:
        super().__init__()
        self.halvings, self.input_scale = halvings, input_scale
        shapes = (  # in, out, kernel, stride, groups
            (1, 128, 15, 1, 1),
            (128, 128, 41, 2, 4),
            (128, 256, 41, 2, 16),
            (256, 512, 41, 4, 16),
            (512, 1024, 41, 4, 16),
            (1024, 1024, 41, 1, 16),
            (1024, 1024, 5, 1, 1),
        )
        self.layers = nn.ModuleList(
            _normed(nn.Conv1d(a, b, kernel, stride, groups=groups, padding=kernel // 2), normalization)
            for a, b, kernel, stride, groups in shapes
        )
        self.output = _normed(nn.Conv1d(1024, 1, 3, padding=1), normalization)

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> DiscriminatorOutput:
        x = waveform.unsqueeze(1) * self.input_scale
        for _ in range(self.halvings):
            x = F.avg_pool1d(x, 4, 2, padding=2)
        return _judged(self.layers, self.output, x)


class PeriodDiscriminator(nn.Module):
    """Looks at every `period`-th sample: the waveform as a picture [samples / period, period], strided down columns.

    period_in_batch: False convolves that picture in 2-D with kernels one column wide, as published; True convolves its
    columns in 1-D as items of a larger batch, which is the same mathematics and faster. Weights, scores and all means
    over feature maps are equal; only the maps' shapes differ: `[batch, channels, rows, period]` against
    `[batch · period, channels, rows]`.
    """

    def __init__(
        self,
        period: int,
        channels: Sequence[int] = (32, 128, 512, 1024, 1024),
        kernel_size: int = 5,
        stride: int = 3,
        input_scale: float = 1.0,
        normalization: Normalization = "weight",
        period_in_batch: bool = False,
    ) -> None:
        super().__init__()
        self.period = period
        self.input_scale = input_scale
        self.period_in_batch = period_in_batch
        self.layers = nn.ModuleList()
        width_in = 1
        for index, width in enumerate(channels):
            step = stride if index < len(channels) - 1 else 1
            layer = nn.Conv2d(width_in, width, (kernel_size, 1), (step, 1), padding=(kernel_size // 2, 0))
            self.layers.append(_normed(layer, normalization))
            width_in = width
        self.output = _normed(nn.Conv2d(width_in, 1, (3, 1), padding=(1, 0)), normalization)

    def _convolve(self, layer: nn.Module, x: Tensor) -> Tensor:
        if not self.period_in_batch:
            return layer(x)
        assert isinstance(layer, nn.Conv2d)
        return F.conv1d(x, layer.weight.squeeze(-1), layer.bias, layer.stride[0], layer.padding[0])

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> DiscriminatorOutput:
        """Lengths that the period does not divide are completed by reflection at the end."""
        batch, samples = waveform.shape
        x = waveform.unsqueeze(1) * self.input_scale
        if samples % self.period != 0:
            x = F.pad(x, (0, self.period - samples % self.period), mode="reflect")
        x = x.unflatten(-1, (-1, self.period))
        if self.period_in_batch:
            x = x.permute(0, 3, 1, 2).flatten(0, 1)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(self._convolve(layer, x), SLOPE)
            features.append(x)
        x = self._convolve(self.output, x)
        features.append(x)
        if self.period_in_batch:
            x = x.reshape(batch, self.period, -1).transpose(1, 2)
        return DiscriminatorOutput(x.flatten(1), tuple(features))


class SpectrogramDiscriminator(nn.Module):
    """2-D convolutions over a standardised log-magnitude spectrogram, strided along frequency (as in Vocos, UnivNet).

    channels: width of all five layers. The transform is scaled so that white noise of unit variance has unit power,
    then (ln magnitude - mean) / std enters the network. The defaults bring recorded speech at -23 LUFS to zero mean and
    unit variance at every usual n_fft, which is why there is no input_scale. floor: magnitude of silence, which also
    bounds the gradient there.
    """

    window: Tensor

    def __init__(
        self,
        n_fft: int,
        hop_length: int,
        channels: int = 16,
        normalization: Normalization = "weight",
        mean: float = -6.3,
        std: float = 1.9,
        floor: float = 1e-4,
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.mean = mean
        self.std = std
        self.floor = floor
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        # Time by frequency: (3, 9) kernels see three frames and nine bins.
        layers = [nn.Conv2d(1, channels, (3, 9), padding=(1, 4))]
        layers += [nn.Conv2d(channels, channels, (3, 9), stride=(1, 2), padding=(1, 4)) for _ in range(3)]
        layers.append(nn.Conv2d(channels, channels, (3, 3), padding=(1, 1)))
        self.layers = nn.ModuleList(_normed(layer, normalization) for layer in layers)
        self.output = _normed(nn.Conv2d(channels, 1, (3, 3), padding=(1, 1)), normalization)

    def log_magnitude(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch 1 frames bins"]:
        """What the layers see, in float32 also under autocast."""
        with full_precision(waveform.device.type):
            waveform = at_least_float32(waveform)
            window = self.window.to(waveform.dtype)
            spectrum = torch.stft(
                waveform,
                self.n_fft,
                self.hop_length,
                window=window,
                center=True,
                pad_mode="reflect",
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            log_magnitude = 0.5 * torch.log(power + self.floor**2)
            return ((log_magnitude - self.mean) / self.std).transpose(1, 2).unsqueeze(1)

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> DiscriminatorOutput:
        x = self.log_magnitude(waveform)
        return _judged(self.layers, self.output, x)


class MelDiscriminator(nn.Module):
    """2-D convolutions over a standardised log-mel: does it look real, and like what it is told that it should be of?

    A position's score is a convolution's plus the product of its features with a projection of the condition (Miyato &
    Koyama, "cGANs with projection discriminator", 2018); without condition_channels there is none, and the question is
    the first alone. A condition is one for the whole mel, or one a frame. channels: of the layers; the first halves the
    bands, the next two bands and frames. A second input plane holds each band's place, since a voice's formants do not
    move.
    """

    def __init__(
        self, channels: Sequence[int], condition_channels: int = 0, normalization: Normalization = "weight"
    ) -> None:
        super().__init__()
        strides = [(2, 1), (2, 2), (2, 2), *((1, 1) for _ in channels[3:])]
        widths = pairwise((2, *channels))
        self.layers = nn.ModuleList(
            _normed(nn.Conv2d(before, after, (5, 3), stride, padding=(2, 1)), normalization)
            for (before, after), stride in zip(widths, strides, strict=False)
        )
        self.output = _normed(nn.Conv2d(channels[-1], 1, 3, padding=1), normalization)
        self.projection = nn.Linear(condition_channels, channels[-1], bias=False) if condition_channels else None

    def forward(
        self,
        mel: Float[Tensor, "batch bands frames"],
        condition: Float[Tensor, "batch condition"] | Float[Tensor, "batch condition frames"] | None = None,
    ) -> DiscriminatorOutput:
        place = torch.linspace(-1.0, 1.0, mel.shape[1], device=mel.device, dtype=mel.dtype)
        x = torch.stack([mel, place[:, None].expand_as(mel)], dim=1)
        judged = _judged(self.layers, self.output, x)
        if self.projection is None or condition is None:
            return judged
        seen = judged.features[-2]
        if condition.ndim == 2:
            condition = condition.unsqueeze(2)
        if condition.shape[2] > 1:
            condition = F.adaptive_avg_pool1d(condition, seen.shape[3])
        wanted = self.projection(condition.transpose(1, 2)).transpose(1, 2).unsqueeze(2) / seen.shape[1] ** 0.5
        return DiscriminatorOutput(judged.score + (wanted * seen).sum(dim=1).flatten(1), judged.features)


class DiscriminatorEnsemble(nn.Module):
    """Several discriminators that hear the same waveform."""

    def __init__(self, discriminators: Sequence[nn.Module]) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(discriminators)

    @classmethod
    def of_vits(
        cls, periods: Sequence[int] = (2, 3, 5, 7, 11), period_in_batch: bool = False
    ) -> "DiscriminatorEnsemble":
        """The paper's six: one scale discriminator, then one per period, 46.7 M parameters."""
        return cls([ScaleDiscriminator(), *(PeriodDiscriminator(p, period_in_batch=period_in_batch) for p in periods)])

    def forward(self, waveform: Float[Tensor, "batch samples"], chosen: Sequence[int] | None = None) -> EnsembleOutput:
        """chosen: indices of the discriminators to ask, None for all; asking a few per step saves most of the time."""
        indices = range(len(self.discriminators)) if chosen is None else chosen
        outputs = [self.discriminators[index](waveform) for index in indices]
        return EnsembleOutput(tuple(o.score for o in outputs), tuple(o.features for o in outputs))
