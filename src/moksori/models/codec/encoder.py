"""From sound to states, one for each frame: mels through ConvNeXt blocks, or strided convolutions of the samples."""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moksori.audio.mel import MelConfig, MelSpectrogram
from moksori.models.codec.config import MelEncoderConfig, SeanetConfig
from moksori.nn.convnext import ConvNeXtStack
from moksori.nn.seanet import SeanetEncoder
from moksori.nn.standardize import Standardize


class Encoder(nn.Module, ABC):
    """Whole frames of samples to states `[batch, latent, frames]`."""

    @abstractmethod
    def forward(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch latent frames"]:
        """waveform: a whole number of frames, at least one; what lies beyond it is unknown to the encoder."""

    @property
    @abstractmethod
    def context_frames(self) -> int:
        """Frames on each side of a frame whose samples its state depends on."""


class MelEncoder(Encoder):
    """Log-mels of the sound, standardised; a projection of each frame, and what a network adds to it.

    The projection starts as the principal components of the training data, the network at 0: so the first step already
    quantises something that speech can be made of. Phases are not heard; the decoder invents them, as vocoders do.
    """

    def __init__(self, config: MelEncoderConfig, mel: MelConfig, latent_channels: int) -> None:
        super().__init__()
        self.front_end = MelSpectrogram(mel)
        self.standardize = Standardize(mel.n_mels)
        self.project = nn.Conv1d(mel.n_mels, latent_channels, 1)
        self.body = ConvNeXtStack(mel.n_mels, config.channels, config.inner_channels, config.num_layers)
        self.head = nn.Conv1d(config.channels, latent_channels, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch latent frames"]:
        return self.states(self.front_end(waveform))

    def states(self, mel: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch latent frames"]:
        """The states of log-mels."""
        frames = self.standardize(mel)
        states: Tensor = self.project(frames) + self.head(self.body(frames))
        return states

    @property
    def context_frames(self) -> int:
        mel = self.front_end.config
        return self.body.context_steps + math.ceil((mel.n_fft - mel.hop_length) / 2 / mel.hop_length)


class WaveEncoder(Encoder):
    """Strided convolutions of the samples, as SoundStream and EnCodec have them."""

    def __init__(self, config: SeanetConfig, latent_channels: int) -> None:
        super().__init__()
        self.net = SeanetEncoder(
            config.channels, latent_channels, config.strides, config.residual_layers, config.dilation_base,
            config.kernel_size, config.last_kernel_size, config.causal,
        )  # fmt: skip

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch latent frames"]:
        states: Tensor = self.net(waveform.unsqueeze(1))
        return states

    @property
    def context_frames(self) -> int:
        return self.net.context_steps


class MelRestorer(nn.Module):
    """Latents to the log-mels that a decoder of mels renders: MelEncoder the other way round."""

    def __init__(self, config: MelEncoderConfig, mel: MelConfig, latent_channels: int) -> None:
        super().__init__()
        self.floor = math.log(mel.floor)
        self.standardize = Standardize(mel.n_mels)
        self.project = nn.Conv1d(latent_channels, mel.n_mels, 1)
        self.body = ConvNeXtStack(latent_channels, config.channels, config.inner_channels, config.num_layers)
        self.head = nn.Conv1d(config.channels, mel.n_mels, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, latent: Float[Tensor, "batch latent frames"]) -> Float[Tensor, "batch mels frames"]:
        frames = self.project(latent) + self.head(self.body(latent))
        mel: Tensor = self.standardize.inverse(frames.float())
        return mel

    @property
    def context_frames(self) -> int:
        """Frames on each side of a frame that its mel depends on."""
        return self.body.context_steps


@torch.no_grad()
def lay_principal_components(
    encoder: MelEncoder, restorer: MelRestorer | None, mels: Float[Tensor, "points mels"]
) -> None:
    """Starts both projections with the principal components of the data: what one takes, the other gives back.

    mels: log-mels of frames of the data, from which the mean and spread of each band are taken too. Of more latent
    channels than bands the rest stays 0.
    """
    values = mels.T.unsqueeze(0)
    everywhere = torch.ones(1, 1, len(mels), dtype=torch.bool, device=mels.device)
    encoder.standardize.fit(values, everywhere)
    standard = encoder.standardize(values)[0].double()
    components = torch.linalg.eigh(standard @ standard.T / standard.shape[1]).eigenvectors.flip(1)
    width = min(encoder.project.out_channels, components.shape[1])
    basis = torch.zeros(encoder.project.out_channels, components.shape[0]).to(components)
    basis[:width] = components[:, :width].T
    encoder.project.weight.copy_(basis.unsqueeze(2))
    nn.init.zeros_(encoder.project.bias)  # type: ignore[arg-type]
    if restorer is not None:
        restorer.standardize.fit(values, everywhere)
        restorer.project.weight.copy_(basis.T.unsqueeze(2))
        nn.init.zeros_(restorer.project.bias)  # type: ignore[arg-type]
