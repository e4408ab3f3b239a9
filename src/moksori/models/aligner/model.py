"""A monotonic aligner on mel frames.

Every phone is a sequence of two states (attack and release), gaps, punctuation and flaps are one. A small
convolutional network over the tokens says which standardised mel frame each state stands for; the monotonic search
finds the path of least squared error; the network is fitted to the frames of its own path, and so on. It is the
k-means-like core of Glow-TTS's search with a unit-variance Gaussian per state, trained alone.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.models.aligner.base import Aligner
from moksori.models.aligner.config import AlignerConfig, MelStates
from moksori.nn.alignment import durations_to_path, expand_by_path, monotonic_durations
from moksori.nn.masks import sequence_mask
from moksori.text.symbols import END, GAP, PAD, PUNCTUATION, START, SYMBOLS
from moksori.types import SpeechBatch

_PAUSES = frozenset((GAP, *PUNCTUATION))
_SINGLE = frozenset((PAD, GAP, START, END, *PUNCTUATION, "ɾ"))
"""Symbols of one state: silences have no attack and release, and a flap is over within a frame or two."""


@dataclass(frozen=True)
class States:
    """The states of a batch of texts. mel: what each sounds like; token: which token each belongs to; pause: gaps
    and punctuation, which may share the silence of the last state."""

    mel: Float[Tensor, "batch mels states"]
    token: Int[Tensor, "batch states"]
    pause: Bool[Tensor, "batch states"]
    lengths: Int[Tensor, " batch"]


class MelStateAligner(Aligner):
    """Text states against mel frames."""

    states_per_token: Tensor
    is_pause: Tensor

    def __init__(self, config: AlignerConfig) -> None:
        super().__init__(config)
        assert isinstance(config.network, MelStates)
        network, channels, mels = config.network, config.network.channels, config.mel.n_mels
        self.embedding = nn.Embedding(len(SYMBOLS), channels)
        self.stress_embedding = nn.Embedding(3, channels)
        self.speaker_offset = nn.Embedding(config.num_speakers, mels) if config.num_speakers > 1 else None
        if self.speaker_offset is not None:
            nn.init.zeros_(self.speaker_offset.weight)  # a speaker outside the training split sounds like the mean one
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, channels, network.kernel_size, padding=network.kernel_size // 2)
            for _ in range(network.num_layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(network.num_layers))
        self.to_mel = nn.Linear(channels, 2 * mels)
        counts = torch.tensor([1 if symbol in _SINGLE or symbol.startswith("<") else 2 for symbol in SYMBOLS])
        self.register_buffer("states_per_token", counts, persistent=False)
        pauses = torch.tensor([network.shared_silence and symbol in _PAUSES for symbol in SYMBOLS])
        self.register_buffer("is_pause", pauses, persistent=False)

    def minimum_frames(self, tokens: Int[Tensor, "*batch tokens"]) -> Int[Tensor, "*batch"]:
        return self.states_per_token[tokens].sum(dim=-1)

    def states(self, batch: SpeechBatch) -> States:
        """The state sequence of every text."""
        assert batch.tokens is not None
        assert batch.stress is not None
        assert batch.token_lengths is not None
        mask = sequence_mask(batch.token_lengths, batch.tokens.shape[1])
        hidden = (self.embedding(batch.tokens) + self.stress_embedding(batch.stress)).transpose(1, 2) * mask
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            update = nn.functional.gelu(convolution(hidden))
            hidden = norm((hidden + update).transpose(1, 2)).transpose(1, 2) * mask
        both = self.to_mel(hidden.transpose(1, 2)).float()
        if self.speaker_offset is not None:
            both = both + self.speaker_offset(batch.speaker).repeat(1, 2).unsqueeze(1)
        pairs = both.reshape(both.shape[0], -1, self.config.mel.n_mels).transpose(1, 2)  # [batch, mels, 2 * tokens]
        counts = self.states_per_token[batch.tokens] * mask[:, 0]
        lengths = counts.sum(dim=1)
        token = durations_to_path(counts, int(lengths.max()))
        first = (counts.cumsum(dim=1) - counts).gather(1, token)
        part = (torch.arange(token.shape[1], device=token.device) - first).clamp(0, 1)
        pause = self.is_pause[batch.tokens].gather(1, token)
        return States(expand_by_path(pairs, 2 * token + part), token, pause, lengths)

    def scores(self, states: States, mel: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch frames states"]:
        """Log-likelihood of each frame under each state, up to a constant: half the squared distance, negated."""
        cross = torch.matmul(mel.transpose(1, 2).float(), states.mel)
        scores = cross - 0.5 * states.mel.square().sum(dim=1, keepdim=True)
        silence = scores.gather(2, (states.lengths - 1)[:, None, None].expand(-1, scores.shape[1], 1))
        return torch.where(states.pause.unsqueeze(1), torch.maximum(scores, silence), scores)

    def path_error(
        self, states: States, mel: Float[Tensor, "batch mels frames"], path: Int[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames"]:
        """Mean squared error of each frame under the state it is on; in a pause, under the nearer of its two sounds."""
        error = (expand_by_path(states.mel, path) - mel).square().mean(dim=1)
        last = (states.lengths - 1).unsqueeze(1).expand(-1, mel.shape[2])
        silence = (expand_by_path(states.mel, last) - mel).square().mean(dim=1)
        return torch.where(states.pause.gather(1, path), torch.minimum(error, silence), error)

    def search(self, batch: SpeechBatch, states: States, mel: Tensor) -> Int[Tensor, "batch states"]:
        """Frames of each state on the best path; AlignmentError where a recording is too short for its text."""
        with torch.autocast(mel.device.type, enabled=False):
            return monotonic_durations(self.scores(states, mel), self.frame_lengths(batch), states.lengths)

    @torch.inference_mode()
    def align(self, batch: SpeechBatch) -> Int[Tensor, "batch tokens"]:
        """Frames of each token; the sum over an item is its number of frames."""
        assert batch.tokens is not None
        states, mel = self.states(batch), self.mel(batch)
        durations = self.search(batch, states, mel)
        per_token = torch.zeros(batch.tokens.shape, dtype=torch.int64, device=durations.device)
        return per_token.scatter_add_(1, states.token, durations)

    @torch.inference_mode()
    def misfit(self, batch: SpeechBatch) -> Float[Tensor, " batch"]:
        """Mean squared error per mel value along the best path: how badly each recording fits its text."""
        states, mel = self.states(batch), self.mel(batch)
        path = durations_to_path(self.search(batch, states, mel), mel.shape[2])
        mask = sequence_mask(self.frame_lengths(batch), mel.shape[2])
        error = self.path_error(states, mel, path) * mask[:, 0]
        return error.sum(dim=1) / mask.sum(dim=(1, 2))

    @torch.inference_mode()
    def log_likelihood(self, batch: SpeechBatch) -> Float[Tensor, " batch"]:
        """log N(mel; state, I) but for its constant: half the squared distance to the states on the path, negated."""
        return -0.5 * self.config.mel.n_mels * self.misfit(batch)
