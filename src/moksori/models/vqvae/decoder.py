"""From codes to mels, all at once, or to samples, one after the other; both are told who speaks by a vector.

Their condition is the codes' states at the decoder's own rate and, where the model is given the melody, ln F0 against
its mean and voicing.
"""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from moksori.audio.emphasis import deemphasised, emphasised
from moksori.models.vqvae.config import MelDecoderConfig, WavenetDecoderConfig
from moksori.nn.conv import ProductConv1d
from moksori.nn.convnext import ConvNeXtStack
from moksori.nn.mulaw import LEVELS, code_nats, decode_mu_law, encode_mu_law
from moksori.nn.precision import full_precision
from moksori.nn.standardize import Standardize
from moksori.nn.wavenet_network import WaveNet
from moksori.nn.wavenet_sampler import Sampler

SILENCE_CODE = LEVELS // 2


class MelDecoder(nn.Module):
    """ConvNeXt blocks over frames; the speaker's vector is added to every frame."""

    def __init__(self, config: MelDecoderConfig, condition_channels: int, speaker_channels: int) -> None:
        super().__init__()
        self.config = config
        self.standardize = Standardize(config.mel.n_mels)
        self.body = ConvNeXtStack(
            condition_channels,
            config.channels,
            config.inner_channels,
            config.num_layers,
            condition_channels=speaker_channels,
        )
        self.output = ProductConv1d(config.channels, config.mel.n_mels, 1)

    @property
    def context_frames(self) -> int:
        """Frames on each side of a frame that its mel depends on."""
        return self.body.context_steps

    def forward(
        self,
        condition: Float[Tensor, "batch condition frames"],
        vector: Float[Tensor, "batch speaker"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
    ) -> Float[Tensor, "batch mels frames"]:
        """Standardised log-mels."""
        found: Tensor = self.output(self.body(condition, mask, vector.unsqueeze(2)))
        return found

    def mel(
        self, condition: Float[Tensor, "batch condition frames"], vector: Float[Tensor, "batch speaker"]
    ) -> Float[Tensor, "batch mels frames"]:
        """Log-mels."""
        return self.standardize.inverse(self(condition, vector).float())


class SampleDecoder(nn.Module):
    """A WaveNet over mu-law codes of samples."""

    def __init__(
        self, config: WavenetDecoderConfig, condition_channels: int, speaker_channels: int, hop_length: int
    ) -> None:
        super().__init__()
        self.config = config
        self.network = WaveNet(
            outputs=LEVELS,
            residual_channels=config.residual_channels,
            skip_channels=config.skip_channels,
            dilations=config.dilations,
            kernel_size=config.kernel_size,
            first_kernel_size=config.first_kernel_size,
            levels=LEVELS,
            one_hot=config.one_hot,
            condition_channels=condition_channels,
            vector_channels=speaker_channels,
            hop_length=hop_length,
            residual_scale=config.residual_scale,
        )

    def nats(
        self,
        waveform: Float[Tensor, "batch samples"],
        condition: Float[Tensor, "batch condition frames"],
        vector: Float[Tensor, "batch speaker"],
        first: int = 0,
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch scored"]:
        """-ln p of each sample from `first` on, given those before it: teacher-forced.

        generator: draws which past samples are dropped, in training.
        """
        target = encode_mu_law(emphasised(waveform, self.config.pre_emphasis))
        heard = target
        if self.training and self.config.input_dropout:
            drawn = torch.rand(target.shape, generator=generator, device=target.device)
            heard = torch.where(drawn < self.config.input_dropout, SILENCE_CODE, target)
        outputs = self.network.teacher_forced(heard, self.network.conditions(condition, vector), first)
        with full_precision(waveform.device.type):
            return code_nats(outputs, target[:, first:])


class SampleStream:
    """Sound that goes on where it stopped: the memory of a WaveNet, and its last sample."""

    def __init__(
        self, decoder: SampleDecoder, vector: Float[Tensor, "streams speaker"], generator: Generator | None = None
    ) -> None:
        self._decoder, self._vector, self._generator = decoder, vector, generator
        self._sampler = Sampler(decoder.network, len(vector))
        self._last: Tensor | None = None

    @torch.no_grad()
    def speak(
        self, condition: Float[Tensor, "streams condition frames"], warmth: float = 1.0
    ) -> Float[Tensor, "streams samples"]:
        """The samples of the frames that follow, in [-1, 1]. warmth: a factor on the decoder's temperature."""
        config, network = self._decoder.config, self._decoder.network
        conditions = network.conditions(condition, self._vector)
        uniforms = self._sampler.uniforms(condition.shape[2] * network.hop_length, self._generator)
        drawn = self._sampler.draw(uniforms, conditions, warmth * config.temperature)
        sound = deemphasised(decode_mu_law(drawn), config.pre_emphasis, self._last)
        self._last = sound[:, -1:]
        return sound.clamp(-1.0, 1.0)
