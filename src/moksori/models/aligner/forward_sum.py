"""The forward-sum aligner (Badlani et al. 2021; section 11.3a of the NaturalSpeech 2 specification).

Tokens and mel frames are encoded into one space by three convolutions each. The squared distance of a frame and a
token, times a negative temperature, is the logit of the frame belonging to the token. Training adds the log of a
beta-binomial prior and maximises the sum over all monotonic paths, so that it learns what tells tokens apart rather
than what they sound like; the path itself is then the monotonic search's.

embedding -> convs -> keys ----+
                               +--> -temperature * |query - key|^2 (+ log prior) -> softmax over tokens
mel ------> convs -> queries --+
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.losses.alignment import beta_binomial_log_prior
from moksori.models.aligner.base import Aligner
from moksori.models.aligner.config import AlignerConfig, ForwardSum
from moksori.nn.alignment import durations_to_path, monotonic_durations
from moksori.nn.conv import same_padding
from moksori.nn.masks import sequence_mask
from moksori.nn.precision import full_precision
from moksori.text.symbols import SYMBOLS
from moksori.types import SpeechBatch

_EXCLUDED = -1e4
"""Logit of padding: as good as impossible."""


class _Encoder(nn.Module):
    """Convolutions with ReLU between them, padding masked before each that looks sideways."""

    def __init__(self, channels_in: int, hidden: int, channels_out: int, kernels: Sequence[int]) -> None:
        super().__init__()
        widths = [channels_in, *[hidden] * (len(kernels) - 1), channels_out]
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, kernel, padding=same_padding(kernel))
            for before, after, kernel in zip(widths, widths[1:], kernels, strict=False)
        )
        for layer in self.layers:
            assert isinstance(layer, nn.Conv1d)
            # Tiny weights put every token at the same distance: a flat softmax, and all frames go to the blank.
            nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("relu"))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(
        self, x: Float[Tensor, "batch _ time"], mask: Bool[Tensor, "batch 1 time"]
    ) -> Float[Tensor, "batch _ time"]:
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Conv1d)
            x = F.relu(x) if index else x
            x = layer(x * mask if layer.kernel_size[0] > 1 else x)  # a width of 1 mixes no padding in
        return x


class ForwardSumAligner(Aligner):
    """Tokens and frames in one space; the closer, the likelier."""

    def __init__(self, config: AlignerConfig) -> None:
        super().__init__(config)
        assert isinstance(config.network, ForwardSum)
        network = self.network = config.network
        self.embedding = nn.Embedding(len(SYMBOLS), network.text_channels)
        self.stress_embedding = nn.Embedding(3, network.text_channels)
        self.text_encoder = _Encoder(
            network.text_channels, network.text_channels, network.channels, network.text_kernels
        )
        self.mel_encoder = _Encoder(config.mel.n_mels, network.mel_channels, network.channels, network.mel_kernels)

    def log_alignment(self, batch: SpeechBatch, prior: bool) -> Float[Tensor, "batch frames tokens"]:
        """Log-probability of each token at each frame; padding tokens have practically none.

        prior: whether the beta-binomial prior is in it. It guides training; on its own it would pull a path over a long
        pause to the diagonal.
        """
        assert batch.tokens is not None
        assert batch.stress is not None
        assert batch.token_lengths is not None
        text_mask = sequence_mask(batch.token_lengths, batch.tokens.shape[1])
        mel, frame_lengths = self.mel(batch), self.frame_lengths(batch)
        keys = self.text_encoder(
            (self.embedding(batch.tokens) + self.stress_embedding(batch.stress)).transpose(1, 2), text_mask
        )
        queries = self.mel_encoder(mel, sequence_mask(frame_lengths, mel.shape[2]))
        with full_precision(mel.device.type):
            keys, queries = keys.float(), queries.float()
            # |q|^2 is the same for all tokens of a frame, and the softmax drops it.
            distance = keys.square().sum(dim=1, keepdim=True) - 2.0 * torch.matmul(queries.transpose(1, 2), keys)
            logits = -self.network.temperature * distance
            if prior:
                shape = mel.shape[2], batch.tokens.shape[1]
                logits = logits + beta_binomial_log_prior(
                    frame_lengths, batch.token_lengths, *shape, self.network.prior_scale
                )
            return logits.masked_fill(~text_mask, _EXCLUDED).log_softmax(dim=2)

    def minimum_frames(self, tokens: Int[Tensor, "*batch tokens"]) -> Int[Tensor, "*batch"]:
        return torch.full(tokens.shape[:-1], tokens.shape[-1], device=tokens.device)

    def search(
        self, batch: SpeechBatch, log_alignment: Float[Tensor, "batch frames tokens"]
    ) -> Int[Tensor, "batch tokens"]:
        """Frames of each token on the path of the highest probability."""
        assert batch.token_lengths is not None
        return monotonic_durations(log_alignment, self.frame_lengths(batch), batch.token_lengths)

    @torch.inference_mode()
    def align(self, batch: SpeechBatch) -> Int[Tensor, "batch tokens"]:
        return self.search(batch, self.log_alignment(batch, prior=False))

    @torch.inference_mode()
    def misfit(self, batch: SpeechBatch) -> Float[Tensor, " batch"]:
        """Mean -log probability per frame of the token on the best path, in nats."""
        log_alignment = self.log_alignment(batch, prior=False)
        frames = log_alignment.shape[1]
        path = durations_to_path(self.search(batch, log_alignment), frames)
        mask = sequence_mask(self.frame_lengths(batch), frames)[:, 0]
        chosen = log_alignment.gather(2, path.unsqueeze(2)).squeeze(2)
        return -(chosen * mask).sum(dim=1) / mask.sum(dim=1)

    @torch.inference_mode()
    def log_likelihood(self, batch: SpeechBatch) -> Float[Tensor, " batch"]:
        """Mean log probability of the tokens on the path, given their frames: a posterior, where every token is alike
        likely beforehand."""
        return -self.misfit(batch)
