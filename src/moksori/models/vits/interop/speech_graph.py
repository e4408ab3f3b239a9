"""What an exported graph of VITS computes: `Vits.say` with its controls as tensors and in real numbers.

Nothing here depends in Python on the length of a text, so that one trace holds for all of them. Each decoder has its
rendering: the same layers, with transforms that are convolutions.
"""

import copy
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.models.decoders.decoders import Decoder, HifiganDecoder, HomomorphicDecoder, IstftDecoder
from moksori.models.vits.model import Frames, Vits
from moksori.nn.conv import fold_weight_norm
from moksori.nn.dft import FixedInverseStft, FixedStft
from moksori.nn.masks import repeated_mask
from moksori.nn.source_filter import CepstralFilter, pulse_train
from moksori.types import TextBatch


class Rendering(Protocol):
    """Latents to waveform, and F0 in Hz where it follows one; mask None: there is no padding."""

    def __call__(
        self,
        z: Float[Tensor, "batch channels frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None,
        condition: Float[Tensor, "batch condition 1"] | None,
    ) -> tuple[Float[Tensor, "batch samples"], Float[Tensor, "batch steps"] | None]: ...


class SpeechGraph(nn.Module):
    """Tokens to waveform and durations, for tracing; works on a copy of the model with its weight norm folded.

    single: only one text at a time is spoken, so that nothing needs a mask behind the prior.
    """

    def __init__(self, model: Vits, single: bool = False) -> None:
        super().__init__()
        self.single = single
        self.model = copy.deepcopy(model).eval()
        fold_weight_norm(self.model)
        self.rendering = _rendering(self.model.decoder)

    def speak(
        self,
        tokens: Int[Tensor, "batch tokens"],
        lengths: Int[Tensor, " batch"],
        stress: Int[Tensor, "batch tokens"] | None,
        speaker: Int[Tensor, " batch"] | None,
        scales: Float[Tensor, " 3"],
    ) -> tuple[Tensor, ...]:
        """Waveforms, zero beyond the end of each; the frames of each token, 0 at padding; F0, where there is one.

        stress, speaker: None where the model has no use for them. scales: standard deviation of the prior's noise,
        length factor, standard deviation of the durations' noise.
        """
        model = self.model
        speaker = torch.zeros_like(lengths) if speaker is None else speaker
        condition = model.condition(speaker)
        text = TextBatch(tokens, torch.zeros_like(tokens) if stress is None else stress, lengths, speaker)
        encoded, mask = model.encode_text(text)
        log_durations = model.log_durations(encoded, mask, condition, scales[2])  # type: ignore[arg-type]
        durations = model.whole_frames(log_durations, mask, 1.0 / scales[1].double())  # type: ignore[arg-type]
        frames = _frames(durations)
        z_p = model.prior(encoded, frames).sample(None, scales[0]) * frames.mask  # type: ignore[arg-type]
        z = model.flow.inverse(z_p, frames.mask, condition) * frames.mask
        waveform, f0 = self.rendering(z, None if self.single else frames.mask, condition)
        if not self.single:
            waveform = waveform * repeated_mask(frames.mask, model.hop_length)[:, 0]
        return (waveform, durations) if f0 is None else (waveform, durations, f0)


def _frames(durations: Int[Tensor, "batch tokens"]) -> Frames:
    """`Frames.from_durations` in operators that graphs have: a running count of the tokens that have ended."""
    ends = durations.cumsum(dim=1)
    lengths = ends[:, -1]
    steps = torch.arange(lengths.max() + 1)  # type: ignore[call-overload]
    zeros = torch.zeros_like(steps).unsqueeze(0).expand(durations.shape[0], -1)
    ended = zeros.scatter_add(1, ends, torch.ones_like(ends)).cumsum(dim=1)[:, :-1]
    steps = steps[:-1]
    mask = steps[None, None, :] < lengths[:, None, None]
    token = ended * mask[:, 0]
    place = steps - (ends - durations).gather(1, token)
    return Frames(token, place, durations.gather(1, token), mask)


class _Hifigan(nn.Module):
    def __init__(self, decoder: HifiganDecoder) -> None:
        super().__init__()
        self.generator = decoder.generator

    def forward(self, z: Tensor, mask: Tensor | None, condition: Tensor | None) -> tuple[Tensor, None]:
        return self.generator(z, condition, mask), None


class _Istft(nn.Module):
    def __init__(self, decoder: IstftDecoder) -> None:
        super().__init__()
        self.body, self.head = decoder.body, decoder.head
        self.istft = FixedInverseStft(decoder.istft.n_fft, decoder.istft.hop_length)

    def forward(self, z: Tensor, mask: Tensor | None, condition: Tensor | None) -> tuple[Tensor, None]:
        hidden = self.body(z, mask, condition)
        log_magnitude, phase = self.head(hidden.transpose(1, 2)).transpose(1, 2).chunk(2, dim=1)
        magnitude = log_magnitude.exp().clamp(max=100.0)
        return self.istft(magnitude * phase.cos(), magnitude * phase.sin()), None


class _Homomorphic(nn.Module):
    def __init__(self, decoder: HomomorphicDecoder) -> None:
        super().__init__()
        self.pitch_predictor, self.body, self.refine = decoder.pitch_predictor, decoder.body, decoder.refine
        self.fine_body, self.rate = decoder.fine_body, decoder.config.rate
        self.pulse_filter, self.noise_filter = decoder.pulse_filter, decoder.noise_filter
        excitation = decoder.excitation
        self.sample_rate, self.hop_length = excitation.sample_rate, excitation.hop_length
        self.pulse_scale, self.noise_scale = excitation.pulse_scale, excitation.noise_scale
        self.stft = FixedStft(decoder.istft.n_fft, decoder.istft.hop_length)
        self.istft = FixedInverseStft(decoder.istft.n_fft, decoder.istft.hop_length)

    def forward(self, z: Tensor, mask: Tensor | None, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        pitch = self.pitch_predictor.predict(z, mask, condition)
        f0 = pitch.finer(self.rate).log_f0.exp()
        start = torch.rand_like(f0[:, 0])
        pulses = pulse_train(f0, torch.ones_like(f0), self.sample_rate, self.hop_length, start)
        noise = torch.randn_like(pulses)
        features = (pitch.log_f0 - 5.3).unsqueeze(1)
        hidden = self.refine(self.body(torch.cat([z, features], dim=1), mask, condition).transpose(1, 2))
        fine_mask = None if mask is None else repeated_mask(mask, self.rate)
        hidden = self.fine_body(hidden.unflatten(2, (self.rate, -1)).flatten(1, 2).transpose(1, 2), fine_mask)
        hidden = hidden.transpose(1, 2)
        voiced = self._filtered(pulses * self.pulse_scale, self.pulse_filter, hidden)
        unvoiced = self._filtered(noise * self.noise_scale, self.noise_filter, hidden)
        return self.istft(voiced[0] + unvoiced[0], voiced[1] + unvoiced[1]), f0

    def _filtered(self, samples: Tensor, part: CepstralFilter, states: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of the samples' spectrum times the filter's response."""
        real, imaginary = self.stft(samples)
        cepstrum = part.cepstrum(states)
        magnitude = (cepstrum @ part.cosines).clamp(max=4.6).exp().transpose(1, 2)
        phase = (cepstrum @ part.sines).transpose(1, 2)
        cosine, sine = magnitude * phase.cos(), -magnitude * phase.sin()
        return real * cosine - imaginary * sine, real * sine + imaginary * cosine


def _rendering(decoder: Decoder) -> Rendering:
    match decoder:
        case HifiganDecoder():
            return _Hifigan(decoder)
        case IstftDecoder():
            return _Istft(decoder)
        case HomomorphicDecoder():
            return _Homomorphic(decoder)
    raise TypeError(f"{type(decoder).__name__} has no rendering in real numbers")
