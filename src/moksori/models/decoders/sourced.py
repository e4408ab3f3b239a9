"""A decoder for mels whose phases come from a source: pulses at the pitch, and noise.

The magnitudes are a `refined` decoder's (models.decoders.refined). Its phases start anywhere, and many Griffin-Lim
steps only make neighbouring frames agree: on copies of speech that is what is heard as hoarse, since the network's own
magnitudes with a recording's phases sound like the recording (docs/families/vocoder.md). Here they start where a voice
has them. A train of pulses follows a pitch that is predicted from the mel, and goes through the minimum-phase filter of
the magnitudes' envelope (as in Liu, Chen, Yu 2020, "Neural homomorphic vocoder"); the network turns the phase of each
bin and says how much white noise is in it. Only phases are taken of the mixture, so that a wrong pitch leaves every
band as loud as it should be. Two Griffin-Lim steps then settle what overlapping frames disagree on.
"""

import math
from functools import partial

import torch
from jaxtyping import Bool, Complex, Float
from torch import Generator, Tensor

from moksori.audio.mel import MelConfig
from moksori.models.decoders.config import SourcedConfig
from moksori.models.decoders.pitch import Pitch, PitchPredictor, semitones
from moksori.models.decoders.progressive import Extent, Make, Progressive, with_context
from moksori.models.decoders.refined import LOG_MEL_DEVIATION, LOG_MEL_MEAN, RefinedDecoder, Spectrum
from moksori.nn.distributions import Chance
from moksori.nn.long_noise import PlacedNoise
from moksori.nn.masks import repeated_mask
from moksori.nn.precision import full_precision
from moksori.nn.source_filter import Excitation, PulseTrain, pulse_train

LEAST_ENVELOPE = 1e-4
"""What magnitudes are cut at before their envelope is taken: silence has none."""
LEAST_SOURCE = 1e-8
"""Added to the source, so that it has a phase, and that a gradient, where it is 0."""
START_LOG_NOISE = -2.0
LARGEST_LOG_NOISE = 6.0
"""Of the noise against a harmonic's peak, before training and at most."""


class MelPitchPredictor(PitchPredictor):
    """Pitch from log-mels, which are brought to numbers around 0."""

    def forward(
        self,
        z: Float[Tensor, "batch mels frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        condition: Tensor | None = None,
    ) -> tuple[Float[Tensor, "batch frames"], Float[Tensor, "batch frames"]]:
        return super().forward((z - LOG_MEL_MEAN) / LOG_MEL_DEVIATION, mask, condition)


class SourcedDecoder(RefinedDecoder):
    """ConvNeXt blocks at frame rate; of every bin a gain, a turn of the source's phase, and a level of noise."""

    takes_pitch = True
    has_noise = True
    numbers = 3
    to_cepstrum: Tensor
    to_phase: Tensor

    def __init__(self, config: SourcedConfig, mel: MelConfig) -> None:
        super().__init__(config, mel)
        bins, size = mel.n_fft // 2 + 1, config.envelope_quefrencies
        self.excitation = Excitation(mel.sample_rate, mel.n_fft, mel.hop_length)
        self.pitch_predictor = MelPitchPredictor(mel.n_mels, config.pitch_channels, config.pitch_layers)
        with torch.no_grad():  # the source as it is
            self.head.weight[bins:].zero_()
            self.head.bias[bins:].zero_()
            self.head.bias[2 * bins :].fill_(START_LOG_NOISE)
        # Of an even log spectrum, the cepstrum c; a minimum-phase filter's phase is -2 sum_k c_k sin(w k), k > 0.
        angle = 2.0 * math.pi / mel.n_fft * torch.outer(torch.arange(bins), torch.arange(1, size + 1))
        counted = torch.full((bins, 1), 2.0)  # bins stand for themselves and their mirror image, but for both ends
        counted[0] = counted[-1] = 1.0
        self.register_buffer("to_cepstrum", counted * angle.cos() / mel.n_fft, persistent=False)
        self.register_buffer("to_phase", -2.0 * angle.sin().T, persistent=False)

    def spectrum(
        self,
        mel: Float[Tensor, "batch mels frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        pitch: Pitch | None = None,
        generator: Chance = None,
    ) -> Spectrum:
        """Magnitudes, and the source's phases. pitch: None predicts it. The generator draws the source."""
        if pitch is None:
            pitch = self.pitch_predictor.predict(mel, mask)
        f0, source = pitch.log_f0.exp(), self.excitation
        with full_precision(mel.device.type):
            train = pulse_train(
                f0, torch.ones_like(f0), source.sample_rate, source.hop_length,
                source.start_phase(len(f0), mel.device, generator),
            )  # fmt: skip
            noise = PlacedNoise(len(f0), mel.device, generator)(0, train.shape[1])
            if mask is not None:  # behind its end a row has no source, as it has none alone
                inside = repeated_mask(mask, source.hop_length)[:, 0]
                train, noise = train * inside, noise * inside
            pulses, unvoiced = source.pulse_spectrum(train), source.noise_spectrum(noise)
        return self._driven(mel, mask, pulses, unvoiced)

    def _driven(
        self,
        mel: Float[Tensor, "batch mels frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None,
        pulses: Complex[Tensor, "batch bins frames"],
        noise: Complex[Tensor, "batch bins frames"],
    ) -> Spectrum:
        magnitude, (turn, log_noise) = self._told(mel, mask)
        with full_precision(mel.device.type):
            filtered = turn + self._tract(magnitude.detach())
            level = log_noise.clamp(max=LARGEST_LOG_NOISE).exp()
            # In pairs of real numbers, frame after frame in memory: a quarter of the time of complex ones.
            cosine, sine = filtered.cos(), filtered.sin()
            pulse, other = (torch.view_as_real(part.transpose(1, 2)).unbind(3) for part in (pulses, noise))
            real = pulse[0] * cosine - pulse[1] * sine + level * other[0] + LEAST_SOURCE
            imaginary = pulse[0] * sine + pulse[1] * cosine + level * other[1]
            return Spectrum(magnitude.transpose(1, 2), torch.atan2(imaginary, real).transpose(1, 2))

    def _tract(self, magnitude: Float[Tensor, "batch frames bins"]) -> Float[Tensor, "batch frames bins"]:
        """The phase of the minimum-phase filter that has the magnitudes' envelope."""
        return magnitude.clamp(min=LEAST_ENVELOPE).log() @ self.to_cepstrum @ self.to_phase

    def forward(
        self,
        z: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        pitch: Pitch | None = None,
        renderings: int = 1,
        generator: Chance = None,
    ) -> Float[Tensor, "renderings batch samples"]:
        if pitch is None:
            pitch = self.pitch_predictor.predict(z, mask)
        return torch.stack([self.render(self.spectrum(z, mask, pitch, generator)) for _ in range(renderings)])

    @property
    def context_frames(self) -> int:
        around = max(self.body.context_steps, self.excitation.stft.context_steps)
        return around + (1 + 2 * self.refinements) * self.istft.context_steps

    def in_pieces(
        self,
        z: Make,
        mask: Bool[Tensor, "batch 1 frames"],
        condition: Float[Tensor, "batch condition 1"] | None = None,
        shift_semitones: float = 0.0,
        generator: Generator | None = None,
        history: int | None = None,
        pitch: Make | None = None,
        extent: Extent | None = None,
    ) -> Make:
        """The pulses go on with the phase they have reached, and the noise is known by its place."""
        batch, source = mask.shape[0], self.excitation
        total, hop = extent or Extent(mask.shape[2]), source.hop_length
        train = PulseTrain(source.sample_rate, hop, source.start_phase(batch, mask.device, generator))
        noise = PlacedNoise(batch, mask.device, generator)

        def padded(start: int, stop: int) -> Tensor | None:
            return mask[..., start:stop] if batch > 1 else None

        def predict(start: int, stop: int) -> Tensor:
            if pitch is not None:
                return pitch(start, stop) + semitones(shift_semitones)
            found = self.pitch_predictor.predict(z(start, stop), padded(start, stop))
            return found.shifted(shift_semitones).log_f0 if shift_semitones else found.log_f0

        ahead = self.pitch_predictor.context_frames if pitch is None else 0
        log_f0 = Progressive(predict, ahead, total, history=history)

        def pulse(start: int, stop: int) -> Tensor:
            first, last = max(start - 1, 0), min(stop + 1, total.frames)  # neighbours to interpolate with
            f0 = log_f0(first, last).exp()
            return train(f0, torch.ones_like(f0), before=start - first, after=last - stop)

        pulses = Progressive(pulse, 0, total, samples=hop, history=history)

        def sound(start: int, stop: int) -> Tensor:
            with full_precision(mask.device.type):
                voiced = source.pulse_spectrum(pulses(start, stop))
                unvoiced = source.noise_spectrum(noise(start * hop, stop * hop))
            return self.render(self._driven(z(start, stop), padded(start, stop), voiced, unvoiced))

        return partial(with_context, sound, self.context_frames, total=total)
