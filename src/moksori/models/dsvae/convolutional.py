"""Content posterior and decoder of ConvNeXt blocks instead of recurrent networks: what few steps can train.

The papers' parts see a whole recording; these see half a second around each frame. A content that looks so near cannot
hold what is constant in a recording, blocks of a stream need no more than that around them, and a step takes half the
time (docs/families/dsvae.md).
"""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.models.dsvae.config import ConvolutionalContentConfig, ConvolutionalDecoderConfig
from moksori.models.dsvae.decoder import DecodedMel
from moksori.models.dsvae.encoder import GaussianHead
from moksori.nn.conv import ProductConv1d
from moksori.nn.convnext import ConvNeXtStack
from moksori.nn.distributions import DiagonalGaussian


class ConvolutionalContentPosterior(nn.Module):
    """q(z_c | x) from the frames nearby."""

    def __init__(self, config: ConvolutionalContentConfig, in_channels: int, channels: int) -> None:
        super().__init__()
        self.body = ConvNeXtStack(in_channels, config.channels, config.inner_channels, config.num_layers)
        self.head = GaussianHead(config.channels, channels)

    def forward(
        self, features: Float[Tensor, "batch in frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> DiagonalGaussian:
        """Mean and log_std are `[batch, frames, channels]`."""
        return self.head(self.body(features, mask, None).transpose(1, 2))


class ConvolutionalDecoder(nn.Module):
    """p(x | z_s, z_c): the content, with the speaker's vector added to every frame; there is no post-net."""

    def __init__(
        self, config: ConvolutionalDecoderConfig, speaker_channels: int, content_channels: int, n_mels: int
    ) -> None:
        super().__init__()
        self.body = ConvNeXtStack(
            content_channels,
            config.channels,
            config.inner_channels,
            config.num_layers,
            condition_channels=speaker_channels,
        )
        self.output = ProductConv1d(config.channels, n_mels, 1)

    def forward(
        self,
        speaker: Float[Tensor, "batch speaker"],
        content: Float[Tensor, "batch frames content"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
    ) -> DecodedMel:
        """The mel before and after a post-net, which are one here."""
        hidden = self.body(content.transpose(1, 2).to(speaker.dtype), mask, speaker.unsqueeze(2))
        mel = self.output(hidden if mask is None else hidden * mask)
        mel = mel if mask is None else mel * mask
        return DecodedMel(mel, mel)
