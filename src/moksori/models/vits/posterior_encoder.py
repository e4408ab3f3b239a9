"""The VITS posterior encoder: a linear spectrogram to q(z | x), frame by frame."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.nn.conv import same_padding
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.wavenet import WaveNetStack


class PosteriorEncoder(nn.Module):
    """1x1 convolution, non-causal WaveNet, 1x1 convolution to mean and log standard deviation.

    in_channels: bins of the linear magnitude spectrogram (513), which the paper takes raw: no log, no normalisation.
    condition_channels: of the speaker vector, 0 for one speaker. Sees `context` frames to each side.
    """

    def __init__(
        self,
        in_channels: int = 513,
        latent_channels: int = 192,
        hidden_channels: int = 192,
        kernel_size: int = 5,
        num_layers: int = 16,
        condition_channels: int = 0,
        weight_norm: bool = True,
    ) -> None:
        super().__init__()
        self.context = num_layers * same_padding(kernel_size)
        self.input = nn.Conv1d(in_channels, hidden_channels, 1)
        self.wavenet = WaveNetStack(
            hidden_channels, kernel_size, num_layers, condition_channels=condition_channels, weight_norm=weight_norm
        )
        self.projection = nn.Conv1d(hidden_channels, 2 * latent_channels, 1)

    def forward(
        self,
        spectrogram: Float[Tensor, "batch bins frames"],
        mask: Bool[Tensor, "batch 1 frames"],
        condition: Float[Tensor, "batch condition 1"] | None = None,
    ) -> DiagonalGaussian:
        """q(z | x), with zero parameters at padding; its samples carry noise there, so mask them."""
        hidden = self.wavenet(self.input(spectrogram), mask, condition)
        return DiagonalGaussian.from_stats(self.projection(hidden) * mask)
