"""Frames to waveform, chosen by configuration: HiFi-GAN, an inverse STFT, or a homomorphic decoder.

All of them are called alike: frames (VITS's latents, a vocoder's mels), speaker vector, pitch (for those that take
one), and how many renderings of the same frames with independent noise are wanted.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelConfig
from moksori.models.decoders.config import HifiganConfig, HomomorphicConfig, IstftConfig
from moksori.models.decoders.pitch import Pitch, PitchPredictor, semitones
from moksori.models.decoders.progressive import Extent, Make, Progressive, with_context
from moksori.nn.convnext import ConvNeXtStack
from moksori.nn.distributions import Chance
from moksori.nn.hifigan import HifiGanGenerator
from moksori.nn.istft import InverseStft
from moksori.nn.long_noise import LongNoise
from moksori.nn.masks import repeated_mask
from moksori.nn.precision import full_precision
from moksori.nn.source_filter import CepstralFilter, Excitation, PulseTrain

NOISE_STRETCH_SAMPLES = 2**20
"""Noise that is drawn at once when sound is made in pieces: 48 s, more than any sentence, so speech has one draw."""


class Decoder(nn.Module, ABC):
    """Latents to waveform."""

    takes_pitch = False
    """Whether `pitch` matters, and is predicted by `pitch_predictor` where it is not given."""
    has_noise = False
    """Whether renderings of the same latents differ."""
    in_bfloat16 = False
    """Whether the convolutions run in bfloat16 outside of training too; what makes phase and pitch never does."""

    @abstractmethod
    def forward(
        self,
        z: Float[Tensor, "batch channels frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        condition: Float[Tensor, "batch condition 1"] | None = None,
        pitch: Pitch | None = None,
        renderings: int = 1,
        generator: Chance = None,
    ) -> Float[Tensor, "renderings batch samples"]:
        """Waveforms of frames * hop_length samples; zero latents are expected where the mask is False.

        Padding does not change an item's sound, but for the last n_fft / 2 samples or so of decoders with an inverse
        STFT, whose frames overlap. What lies beyond an item's end is for the caller to cut off.
        """

    def _precision(self, z: Tensor) -> AbstractContextManager[object]:
        return torch.autocast(z.device.type, torch.bfloat16) if self.in_bfloat16 else nullcontext()

    @property
    @abstractmethod
    def context_frames(self) -> int:
        """Frames on each side of a frame that its samples depend on, pitch and excitation being given."""

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
        """`forward` in pieces: gives the waveform `[batch, samples]` of frames [start, stop), to be asked for in order.

        z: gives the latents of any frames. The generator is used at once, in the order in which `forward` does.
        extent: how many frames there are, where that is not known yet; None: as many as the mask has.
        history: frames that are kept behind the newest, see Progressive; None keeps all. It must hold a piece and twice
        all the context there is. pitch: gives the natural log of F0 of any frames, for decoders that take one; None:
        they predict it.
        """

        def sound(start: int, stop: int) -> Tensor:
            padded = mask[..., start:stop] if mask.shape[0] > 1 else None
            return self(z(start, stop), padded, condition)[0]

        return partial(with_context, sound, self.context_frames, total=extent or Extent(mask.shape[2]))


class HifiganDecoder(Decoder):
    """The paper's decoder."""

    def __init__(self, config: HifiganConfig, latent_channels: int, condition_channels: int) -> None:
        super().__init__()
        self.generator = HifiGanGenerator(
            latent_channels,
            config.channels,
            config.rates,
            config.kernel_sizes,
            config.residual_kernel_sizes,
            config.residual_dilations,
            block="double" if config.residual_kind == 1 else "single",
            condition_channels=condition_channels,
        )

    def forward(
        self,
        z: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        pitch: Pitch | None = None,
        renderings: int = 1,
        generator: Chance = None,
    ) -> Float[Tensor, "renderings batch samples"]:
        with self._precision(z):
            return self.generator(z, condition, mask).float().expand(renderings, -1, -1)

    @property
    def context_frames(self) -> int:
        return self.generator.context_steps


class IstftDecoder(Decoder):
    """ConvNeXt blocks at frame rate; log magnitude and phase of every bin; inverse STFT. No upsampling at all."""

    def __init__(
        self, config: IstftConfig, latent_channels: int, condition_channels: int, n_fft: int, hop_length: int
    ) -> None:
        super().__init__()
        self.body = ConvNeXtStack(
            latent_channels,
            config.channels,
            config.inner_channels,
            config.num_layers,
            condition_channels=condition_channels,
        )
        self.head = nn.Linear(config.channels, n_fft + 2)
        self.istft = InverseStft(n_fft, hop_length)

    def forward(
        self,
        z: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        pitch: Pitch | None = None,
        renderings: int = 1,
        generator: Chance = None,
    ) -> Float[Tensor, "renderings batch samples"]:
        with self._precision(z):
            hidden = self.body(z, mask, condition)
        with full_precision(z.device.type):
            log_magnitude, phase = self.head(hidden.float().transpose(1, 2)).transpose(1, 2).chunk(2, dim=1)
            waveform = self.istft(torch.polar(log_magnitude.exp().clamp(max=100.0), phase))
        return waveform.expand(renderings, -1, -1)

    @property
    def context_frames(self) -> int:
        return self.body.context_steps + self.istft.context_steps


class HomomorphicDecoder(Decoder):
    """A pulse train and white noise, each through a filter that the network gives by its cepstrum.

    Liu, Chen, Yu 2020, "Neural homomorphic vocoder". A real cepstrum c makes a minimum-phase filter, as the vocal
    tract nearly is: log H(w) = sum_k c_k exp(-jwk). Few coefficients make it smooth over frequency, so that harmonics
    are the source's alone. Filters come `rate` times per latent frame, over a shorter window than the latents' own
    transform: at hop 256 and 1024 bins even the true envelope sounds blurred (docs/families/vits.md).

    The pulses never stop: where speech is unvoiced, the network turns their filter down. A voicing decision that gates
    them was wrong in one frame of eight.
    """

    takes_pitch = True
    has_noise = True

    def __init__(
        self,
        config: HomomorphicConfig,
        latent_channels: int,
        condition_channels: int,
        sample_rate: int,
        hop_length: int,
    ) -> None:
        super().__init__()
        self.config, fine = config, config.fine_channels
        self.body = ConvNeXtStack(
            latent_channels + 1,
            config.channels,
            config.inner_channels,
            config.num_layers,
            condition_channels=condition_channels,
        )
        self.refine = nn.Linear(config.channels, config.rate * fine)
        self.fine_body = ConvNeXtStack(fine, fine, config.fine_inner_channels, config.fine_layers)
        self.pulse_filter = CepstralFilter(fine, config.pulse_quefrencies, config.n_fft, log_gain=-4.0)
        self.noise_filter = CepstralFilter(fine, config.noise_quefrencies, config.n_fft, log_gain=-5.0)
        hop = hop_length // config.rate
        self.excitation = Excitation(sample_rate, config.n_fft, hop)
        self.istft = InverseStft(config.n_fft, hop)
        self.pitch_predictor = PitchPredictor(
            latent_channels, config.pitch_channels, config.pitch_layers, condition_channels
        )

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
            pitch = self.pitch_predictor.predict(z, mask, condition)
        fine_pitch = pitch.finer(self.config.rate)
        batch, frames = fine_pitch.log_f0.shape
        lengths = None if mask is None else mask.sum(dim=(1, 2)) * self.config.rate
        with full_precision(z.device.type):
            pulses = self.excitation.pulses(fine_pitch.log_f0.exp(), torch.ones_like(fine_pitch.log_f0), generator)
            noises = [self.excitation.noise(batch, frames, z.device, generator, lengths) for _ in range(renderings)]
        return self._rendered(self._described(z, mask, condition, pitch.log_f0), mask, pulses, noises)

    def _described(
        self, z: Tensor, mask: Tensor | None, condition: Tensor | None, log_f0: Tensor
    ) -> Float[Tensor, "batch channels frames"]:
        """What the filters are made of: the states of the body."""
        features = (log_f0 - 5.3).unsqueeze(1).to(z.dtype)
        with self._precision(z):
            return self.body(torch.cat([z, features], dim=1), mask, condition)

    def _rendered(
        self, states: Tensor, mask: Tensor | None, pulses: Tensor, noises: Sequence[Tensor]
    ) -> Float[Tensor, "renderings batch samples"]:
        """The excitation through the filters; it comes as complex spectra `[batch, bins, frames * rate]`."""
        fine_mask = None if mask is None else repeated_mask(mask, self.config.rate)
        with self._precision(states):
            hidden = self.refine(states.transpose(1, 2))
            hidden = hidden.unflatten(2, (self.config.rate, -1)).flatten(1, 2).transpose(1, 2)
            hidden = self.fine_body(hidden, fine_mask)
        with full_precision(states.device.type):
            hidden = hidden.float().transpose(1, 2)
            voiced = pulses * self.pulse_filter(hidden)
            noise_response = self.noise_filter(hidden)
            return torch.stack([self.istft(voiced + noise * noise_response) for noise in noises])

    @property
    def context_frames(self) -> int:
        return self.body.context_steps + self._filter_context

    @property
    def _filter_context(self) -> int:
        """Frames on each side of a frame whose states or excitation its samples depend on."""
        steps = max(self.fine_body.context_steps, self.excitation.stft.context_steps) + self.istft.context_steps
        return math.ceil(steps / self.config.rate)

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
        """Pitch and states are made ahead as far as what follows looks, each once; the pulses go on with the phase they
        have reached, and the noise is one draw for the whole sentence."""
        batch, rate, excitation = mask.shape[0], self.config.rate, self.excitation
        total = extent or Extent(mask.shape[2])
        train = PulseTrain(
            excitation.sample_rate, excitation.hop_length, excitation.start_phase(batch, mask.device, generator)
        )
        hop = excitation.hop_length * rate
        noise = LongNoise((batch,), total.frames * hop, NOISE_STRETCH_SAMPLES, mask.device, generator)

        def predict(start: int, stop: int) -> Tensor:
            if pitch is not None:
                return pitch(start, stop) + semitones(shift_semitones)
            predicted = self.pitch_predictor.predict(z(start, stop), mask[..., start:stop], condition)
            return predicted.shifted(shift_semitones).log_f0 if shift_semitones else predicted.log_f0

        context = self.pitch_predictor.context_frames if pitch is None else 0
        log_f0 = Progressive(predict, context, total, history=history)

        def pulse(start: int, stop: int) -> Tensor:
            first, last = max(start - 1, 0), min(stop + 1, total.frames)  # neighbours to interpolate with
            around = log_f0(first, last)
            f0 = Pitch(around, torch.ones_like(around)).finer(rate).log_f0.exp()
            return train(f0, torch.ones_like(f0), before=(start - first) * rate, after=(last - stop) * rate)

        pulses = Progressive(pulse, 0, total, samples=hop, history=history)

        def padded(start: int, stop: int) -> Tensor | None:
            return mask[..., start:stop] if batch > 1 else None

        def describe(start: int, stop: int) -> Tensor:
            given = log_f0(start, stop)  # before z: what looks furthest first, so that nothing is extended twice
            return self._described(z(start, stop), padded(start, stop), condition, given)

        states = Progressive(describe, self.body.context_steps, total, history=history)

        def sound(start: int, stop: int) -> Tensor:
            hidden = states(start, stop)
            with full_precision(mask.device.type):
                voiced = excitation.pulse_spectrum(pulses(start, stop))
                unvoiced = excitation.noise_spectrum(noise(start * hop, stop * hop))
            return self._rendered(hidden, padded(start, stop), voiced, [unvoiced])[0]

        return partial(with_context, sound, self._filter_context, total=total)


def build_decoder(
    config: HifiganConfig | IstftConfig | HomomorphicConfig, mel: MelConfig, channels: int, condition_channels: int = 0
) -> Decoder:
    """The decoder that the configuration asks for.

    mel: its rate, hop and transform are the decoder's. channels: of the frames. condition_channels: of a speaker's
    vector, 0 for none.
    """
    match config:
        case HifiganConfig():
            return HifiganDecoder(config, channels, condition_channels)
        case IstftConfig():
            return IstftDecoder(config, channels, condition_channels, mel.n_fft, mel.hop_length)
        case HomomorphicConfig():
            return HomomorphicDecoder(config, channels, condition_channels, mel.sample_rate, mel.hop_length)
