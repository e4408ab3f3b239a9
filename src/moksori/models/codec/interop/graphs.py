"""A codec as modules that are traced into graphs: real numbers alone, and transforms that are convolutions.

For encoders of mels, and decoders that end in an inverse transform; convolutions of the samples reflect what they hear,
in a way that is decided in Python by how long it is.
"""

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from moksori.errors import UnsupportedTask
from moksori.models.codec.encoder import MelEncoder
from moksori.models.codec.model import Codec
from moksori.models.decoders.decoders import IstftDecoder
from moksori.models.decoders.refined import RefinedDecoder
from moksori.models.decoders.sourced import SourcedDecoder
from moksori.nn.conv import fold_weight_norm
from moksori.nn.dft import FixedInverseStft, FixedStft


def require_graphs(name: str, model: Codec) -> None:
    """Raises UnsupportedTask for a codec that has none."""
    mel = model.config.mel
    hears = isinstance(model.encoder, MelEncoder) and mel.window_length == mel.n_fft
    if not hears or not isinstance(model.decoder, RefinedDecoder | IstftDecoder):
        raise UnsupportedTask(
            f"{name}: only codecs that hear mels and end in an inverse transform, as codec/compact, have graphs"
        )
    if isinstance(model.decoder, SourcedDecoder):
        raise UnsupportedTask(
            f"{name}: its decoder draws a source, which no graph has yet: train one with "
            "model.decoder.sound.kind=refined for graphs"
        )


def least_frames(model: Codec) -> int:
    """Of a waveform that the encoder's graph takes: what lies beyond its ends is a reflection of more samples."""
    return (model.config.mel.n_fft - model.hop_length) // 2 // model.hop_length + 1


class EncoderGraph(nn.Module):
    """Whole frames of samples to codes of all stages; works on a copy of the model."""

    def __init__(self, model: Codec) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        fold_weight_norm(self.model)
        assert isinstance(self.model.encoder, MelEncoder)
        self.encoder, self.mel = self.model.encoder, model.config.mel
        self.stft = FixedStft(self.mel.n_fft, self.mel.hop_length)

    def states(self, waveform: Float[Tensor, "batch samples"]) -> Tensor:
        """What the codebooks are asked for."""
        edge = self.stft.padding
        padded = F.pad(waveform.unsqueeze(1), (edge, edge), mode="reflect")
        real, imaginary = F.conv1d(padded, self.stft.kernel, stride=self.stft.hop_length).chunk(2, dim=1)
        magnitude = torch.sqrt(real.square() + imaginary.square() + self.mel.epsilon)
        bands = torch.matmul(self.encoder.front_end.filterbank, magnitude).clamp(min=self.mel.floor)
        states: Tensor = self.encoder.states(bands.log())
        return states

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> tuple[Tensor, Tensor]:
        """Codes `[batch, stages, frames]` and what they were looked up for, `[batch, channels, frames]`."""
        states = self.states(waveform)
        left, codes = states.transpose(1, 2), []
        for vectors in self.model.codebooks.unbind(0):
            middle = vectors.mean(dim=0)
            apart = vectors - middle
            distance = apart.square().sum(dim=1) - 2.0 * ((left - middle) @ apart.T)
            codes.append(distance.argmin(dim=2))
            left = left - F.embedding(codes[-1], vectors)
        return torch.stack(codes, dim=1), states


class DecoderGraph(nn.Module):
    """Latents to waveform; works on a copy of the model."""

    def __init__(self, model: Codec) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        fold_weight_norm(self.model)
        self.restorer, mel = self.model.restorer, model.config.mel
        self.stft, self.istft = (kind(mel.n_fft, mel.hop_length) for kind in (FixedStft, FixedInverseStft))

    def forward(self, latent: Float[Tensor, "batch channels frames"]) -> Float[Tensor, "batch samples"]:
        frames = latent if self.restorer is None else self.restorer(latent)
        decoder = self.model.decoder
        if isinstance(decoder, RefinedDecoder):
            return self._refined(decoder, frames)
        assert isinstance(decoder, IstftDecoder)
        told = decoder.head(decoder.body(frames, None, None).transpose(1, 2)).transpose(1, 2)
        log_magnitude, phase = told.chunk(2, dim=1)
        magnitude = log_magnitude.exp().clamp(max=100.0)
        found: Tensor = self.istft(magnitude * phase.cos(), magnitude * phase.sin())
        return found

    def _refined(self, decoder: RefinedDecoder, mel: Tensor) -> Tensor:
        """`RefinedDecoder.render` in pairs of real numbers."""
        magnitude, phase = decoder.spectrum(mel)
        real, imaginary = magnitude * phase.cos(), magnitude * phase.sin()
        before: tuple[Tensor, Tensor] | None = None
        wanted, floor = decoder.damped(magnitude)
        for _ in range(decoder.refinements):
            consistent = self.stft(self.istft(real, imaginary))
            ahead = consistent
            if before is not None:
                further = 1.0 + decoder.momentum
                ahead = tuple(old + further * (new - old) for old, new in zip(before, consistent, strict=True))
            before = consistent
            gain = wanted / torch.sqrt(ahead[0].square() + ahead[1].square() + floor)
            real, imaginary = ahead[0] * gain, ahead[1] * gain
        found: Tensor = self.istft(real, imaginary)
        return found
