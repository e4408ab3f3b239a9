"""The decoder of D-DSVAE, AutoVC's: a recurrent pre-net gives a first mel, a post-net of convolutions corrects it."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.models.dsvae.config import DecoderConfig
from moksori.nn.conv import Conv1d, same_padding
from moksori.nn.joint_norm import JointNorm
from moksori.nn.recurrent import run_recurrent


class DecodedMel(NamedTuple):
    """The mel before and after the post-net."""

    before: Float[Tensor, "batch mels frames"]
    after: Float[Tensor, "batch mels frames"]


class PreNet(nn.Module):
    """Convolutions, then LSTMs, then mels."""

    def __init__(self, config: DecoderConfig, in_channels: int, n_mels: int) -> None:
        super().__init__()
        channels, padding = config.channels, same_padding(config.kernel_size)
        self.norm = JointNorm()
        self.layers = nn.ModuleList(
            Conv1d(in_channels if index == 0 else channels, channels, config.kernel_size, padding=padding)
            for index in range(config.num_layers)
        )
        self.first = nn.LSTM(channels, config.first_channels, batch_first=True)
        self.recurrent = None
        last = config.first_channels
        if config.recurrent_layers:
            last = config.recurrent_channels
            self.recurrent = nn.LSTM(config.first_channels, last, config.recurrent_layers, batch_first=True)
        self.output = nn.Linear(last, n_mels)

    def forward(
        self, latents: Float[Tensor, "batch in frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> Float[Tensor, "batch mels frames"]:
        x = latents
        for layer in self.layers:
            x = layer(self.norm(x, mask)).relu()
        hidden = run_recurrent(self.first, x.transpose(1, 2), mask)
        if self.recurrent is not None:
            hidden = run_recurrent(self.recurrent, hidden, mask)
        return self.output(hidden).transpose(1, 2)


class PostNet(nn.Module):
    """What is to be added to the first mel. Its last layer is linear: a tanh there would bound the mel."""

    def __init__(self, config: DecoderConfig, n_mels: int) -> None:
        super().__init__()
        channels, padding = config.post_channels, same_padding(config.kernel_size)
        self.norm = JointNorm()
        self.layers = nn.ModuleList(
            Conv1d(n_mels if index == 0 else channels, channels, config.kernel_size, padding=padding)
            for index in range(config.post_layers)
        )
        self.output = Conv1d(channels, n_mels, config.kernel_size, padding=padding)

    def forward(
        self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> Float[Tensor, "batch mels frames"]:
        x = mel
        for layer in self.layers:
            x = self.norm(layer(x if mask is None else x * mask).tanh(), mask)
        return self.output(x if mask is None else x * mask)


class Decoder(nn.Module):
    """p(x | z_s, z_c): the speaker's vector repeated over time beside the content."""

    def __init__(self, config: DecoderConfig, speaker_channels: int, content_channels: int, n_mels: int) -> None:
        super().__init__()
        self.pre_net = PreNet(config, speaker_channels + content_channels, n_mels)
        self.post_net = PostNet(config, n_mels)

    def forward(
        self,
        speaker: Float[Tensor, "batch speaker"],
        content: Float[Tensor, "batch frames content"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
    ) -> DecodedMel:
        repeated = speaker.unsqueeze(2).expand(-1, -1, content.shape[1])
        before = self.pre_net(torch.cat([repeated, content.transpose(1, 2).to(speaker.dtype)], dim=1), mask)
        after = before + self.post_net(before, mask)
        return DecodedMel(before, after) if mask is None else DecodedMel(before * mask, after * mask)
