"""From latents to sound: by way of mels and a vocoder's decoder, by an inverse STFT, or by transposed convolutions."""

from jaxtyping import Float
from torch import Tensor

from moksori.audio.mel import MelConfig
from moksori.models.codec.config import CodecDecoderConfig, RestoredConfig, SeanetConfig
from moksori.models.decoders.decoders import Decoder, build_decoder
from moksori.models.decoders.pitch import Pitch
from moksori.models.decoders.refined import RefinedDecoder
from moksori.models.decoders.sourced import SourcedDecoder
from moksori.nn.distributions import Chance
from moksori.nn.seanet import SeanetDecoder


class WaveDecoder(Decoder):
    """Transposed convolutions, as SoundStream and EnCodec have them."""

    def __init__(self, config: SeanetConfig, latent_channels: int) -> None:
        super().__init__()
        self.net = SeanetDecoder(
            latent_channels, config.channels, config.strides, config.residual_layers, config.dilation_base,
            config.kernel_size, config.last_kernel_size, config.causal,
        )  # fmt: skip

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
            found: Tensor = self.net(z)[:, 0].float().expand(renderings, -1, -1)
        return found

    @property
    def context_frames(self) -> int:
        return self.net.context_steps


def codec_decoder(config: CodecDecoderConfig, mel: MelConfig, latent_channels: int) -> Decoder:
    """The decoder that the configuration asks for; that of a `restored` one takes log-mels."""
    if isinstance(config, RestoredConfig):
        sound = config.sound
        return SourcedDecoder(sound, mel) if sound.kind == "sourced" else RefinedDecoder(sound, mel)
    if isinstance(config, SeanetConfig):
        return WaveDecoder(config, latent_channels)
    return build_decoder(config, mel, latent_channels)
