"""Source-filter synthesis: a band-limited pulse train that follows F0, white noise, and filters given by a cepstrum.

The pulse train is the Dirichlet kernel sum_{k=1}^{K} cos(k phi) in closed form, with as many harmonics K as fit below
the Nyquist frequency at each sample; the topmost one fades to nothing where it meets that frequency, so that a gliding
F0 makes no clicks and nothing is aliased.
"""

import math

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from moksori.nn.distributions import Chance, RowGenerators, standard_normal
from moksori.nn.istft import ComplexStft


def pulse_train(
    f0: Float[Tensor, "batch frames"],
    voicing: Float[Tensor, "batch frames"],
    sample_rate: int,
    hop_length: int,
    start_phase: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch samples"]:
    """Harmonics of amplitude 1 at all multiples of F0 below sample_rate / 2, times the voicing; the topmost one k has
    the amplitude sample_rate / (2 f0) - k.

    f0: Hz, positive in every frame (interpolate through unvoiced ones); between frame centres it is interpolated.
    voicing: 0 to 1. start_phase: of the fundamental, in periods. No gradient flows through a source.
    """
    return PulseTrain(sample_rate, hop_length, start_phase)(f0, voicing)


class PulseTrain:
    """`pulse_train` in pieces: each call goes on with the phase at which the one before ended."""

    def __init__(self, sample_rate: int, hop_length: int, start_phase: Float[Tensor, " batch"] | None = None) -> None:
        self.sample_rate, self.hop_length = sample_rate, hop_length
        self._start = None if start_phase is None else start_phase.double().unsqueeze(1)
        self._past: Tensor | None = None  # periods of all samples so far, without the start

    def __call__(
        self,
        f0: Float[Tensor, "batch frames"],
        voicing: Float[Tensor, "batch frames"],
        before: int = 0,
        after: int = 0,
    ) -> Float[Tensor, "batch samples"]:
        """The samples of the next frames. The first `before` and the last `after` of those given are none of them: they
        are neighbours to interpolate with."""
        with torch.no_grad(), torch.autocast(f0.device.type, enabled=False):
            samples = nn.functional.interpolate(
                torch.stack([f0.float(), voicing.float()], dim=1),
                scale_factor=self.hop_length,
                mode="linear",
                align_corners=False,
            )
            samples = samples[..., before * self.hop_length : samples.shape[2] - after * self.hop_length]
            frequency, gate = samples[:, 0].clamp(min=1.0), samples[:, 1]
            return self._harmonics(frequency, gate)

    def _harmonics(self, frequency: Tensor, gate: Tensor) -> Tensor:
        # In float32 the phase of a long utterance would lose the upper harmonics.
        step = frequency.double().div(self.sample_rate)
        if self._past is not None:  # added before the sum, so that pieces round as the whole does
            step[:, 0] += self._past
        period = step.cumsum(dim=1)
        self._past = period[:, -1]
        if self._start is not None:
            period = period + self._start
        # In [-pi, pi], where float32 is finest at 0: there the kernel is a quotient of two small numbers.
        phi = (2.0 * math.pi) * (period - period.round()).float()
        count = (0.5 * self.sample_rate / frequency - 1.0).clamp(min=0.0)
        whole = count.floor()
        sine = torch.sin(0.5 * phi)
        tiny = sine.abs() < 1e-6
        safe = torch.where(tiny, torch.ones_like(sine), sine)
        kernel = torch.sin((whole + 0.5) * phi) / (2.0 * safe) - 0.5
        kernel = torch.where(tiny, whole, kernel)  # the limit at phi = 0
        return gate * (kernel + (count - whole) * torch.cos((whole + 1.0) * phi))


class Excitation(nn.Module):
    """Spectra of both sources, scaled so that a harmonic's peak and the noise's root mean square are near 1."""

    def __init__(self, sample_rate: int, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.sample_rate, self.hop_length = sample_rate, hop_length
        self.stft = ComplexStft(n_fft, hop_length)
        self.pulse_scale = 4.0 / n_fft  # a cosine of amplitude 1 under a Hann window peaks at n_fft / 4
        self.noise_scale = 1.0 / math.sqrt(0.375 * n_fft)  # the sum of the squared Hann window is 3/8 n_fft

    def pulses(
        self,
        f0: Float[Tensor, "batch frames"],
        voicing: Float[Tensor, "batch frames"],
        generator: Chance = None,
    ) -> Tensor:
        """Complex `[batch, bins, frames]` spectrum of the pulse train; the generator draws its start phase."""
        start = self.start_phase(f0.shape[0], f0.device, generator)
        return self.pulse_spectrum(pulse_train(f0, voicing, self.sample_rate, self.hop_length, start))

    def noise(
        self,
        batch: int,
        frames: int,
        device: torch.device,
        generator: Chance = None,
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Tensor:
        """Complex `[batch, bins, frames]` spectrum of white Gaussian noise. lengths: frames of each row, if padded."""
        like = torch.empty(batch, frames * self.hop_length, device=device)
        samples = None if lengths is None else lengths * self.hop_length
        return self.noise_spectrum(standard_normal(like, generator, samples))

    def start_phase(self, batch: int, device: torch.device, generator: Chance = None) -> Tensor:
        """Of the pulses' fundamental, in periods."""
        if isinstance(generator, RowGenerators):
            return torch.cat([self.start_phase(1, device, own) for own in generator.generators])
        drawn_on = device if generator is None else generator.device
        return torch.rand(batch, generator=generator, device=drawn_on).to(device)

    def pulse_spectrum(self, train: Float[Tensor, "batch samples"]) -> Tensor:
        """Complex `[batch, bins, frames]` spectrum of a pulse train."""
        return self.stft(train) * self.pulse_scale

    def noise_spectrum(self, samples: Float[Tensor, "batch samples"]) -> Tensor:
        """Complex `[batch, bins, frames]` spectrum of noise samples."""
        return self.stft(samples) * self.noise_scale


class CepstralFilter(nn.Module):
    """States to the frequency response of a minimum-phase filter: `[batch, frames, channels] -> [batch, bins, frames]`.

    quefrencies: cepstral coefficients, at most n_fft / 2. log_gain: what the filter starts at, natural log.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, channels: int, quefrencies: int, n_fft: int, log_gain: float) -> None:
        super().__init__()
        if not 0 < quefrencies <= n_fft // 2:
            raise ValueError(f"quefrencies {quefrencies} must lie in 1 to n_fft / 2 = {n_fft // 2}")
        self.cepstrum = nn.Linear(channels, quefrencies)
        nn.init.trunc_normal_(self.cepstrum.weight, std=0.02)
        with torch.no_grad():
            self.cepstrum.bias.zero_()
            self.cepstrum.bias[0] = log_gain
        angle = 2.0 * math.pi / n_fft * torch.outer(torch.arange(quefrencies), torch.arange(n_fft // 2 + 1))
        self.register_buffer("cosines", angle.cos(), persistent=False)
        self.register_buffer("sines", angle.sin(), persistent=False)

    def forward(self, states: Float[Tensor, "batch frames channels"]) -> Complex[Tensor, "batch bins frames"]:
        cepstrum = self.cepstrum(states)
        magnitude, phase = (cepstrum @ self.cosines).clamp(max=4.6).exp(), cepstrum @ self.sines
        # Not torch.polar, whose sine and cosine take five times as long on a processor.
        return torch.complex(magnitude * phase.cos(), -magnitude * phase.sin()).transpose(1, 2)
