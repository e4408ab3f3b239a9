"""Flowtron: mels and latents of the same shape, each exactly the other seen through the text.

text ─► text encoder ─► states [+ speaker vector] = memory ──────┬─────────────┐
mel ─► [standardised, frames grouped] ─► flow 1, forward in time ─► flow 2, backward in time ─► latent z ~ prior
Letters: x = mel, z = latent, s = log scale and b = shift of a step, sigma = standard deviation of z when speaking.
Training goes from left to right, all frames at once; speaking from right to left, frame after frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelSpectrogram
from moksori.errors import BadInput, UnsupportedTask
from moksori.models.flowtron.attention import Projected, path_weights
from moksori.models.flowtron.config import FlowtronConfig, MixturePriorConfig
from moksori.models.flowtron.flows import AffineFlow, reordered
from moksori.models.flowtron.frames import GroupsFrames
from moksori.models.flowtron.judging import JudgesRecordings
from moksori.models.flowtron.latents import ChosenLatents
from moksori.models.flowtron.postfilter import Postfilter
from moksori.models.flowtron.prior import GaussianPrior, Mixture, MixturePrior
from moksori.models.flowtron.speaking import decode, say_mels
from moksori.models.flowtron.step import AutoregressiveStep
from moksori.models.flowtron.text_encoder import TextEncoder
from moksori.models.flowtron.text_mean import PitchedTextMean, TextMean
from moksori.nn.conv import is_traced
from moksori.nn.decorrelate import Decorrelate
from moksori.nn.detail import Detail
from moksori.nn.masks import repeated_mask, sequence_mask
from moksori.nn.standardize import Standardize
from moksori.types import SayControls, SpokenMels, TextBatch

PITCH_WEIGHT = 0.1
"""Of the pitch's mean square beside the mel's, in what the text mean leaves."""


@dataclass(frozen=True)
class Memory:
    """A text, encoded, with its speaker: what attention reads. mask: True at real tokens."""

    states: Float[Tensor, "batch tokens channels"]
    mask: Bool[Tensor, "batch tokens"]


@dataclass(frozen=True)
class Encoded:
    """Mels seen through their texts; everything in forward time. `padded` frames are those of whole groups of frames.

    latent: 0 beyond an item's whole groups. log_likelihood: of each frame of what is heard, in nats over its bands.
    attention, log_attention, log_content: of each flow (see `attention.Attended`). gate_logits: of the last flow.
    group_lengths: groups of each item. missed: mean square, over the bands of the standardised mel, of what the text
    mean leaves of each group; None in a model without one. missed_along: the same, had the attention kept to the taught
    path; None without one.
    """

    latent: Float[Tensor, "batch bands padded"]
    log_likelihood: Float[Tensor, "batch padded"]
    attention: tuple[Float[Tensor, "batch groups tokens"], ...]
    log_attention: tuple[Float[Tensor, "batch groups tokens"], ...]
    log_content: tuple[Float[Tensor, "batch groups tokens"], ...]
    gate_logits: Float[Tensor, "batch groups"]
    group_lengths: Int[Tensor, " batch"]
    missed: Float[Tensor, "batch groups"] | None = None
    missed_along: Float[Tensor, "batch groups"] | None = None


class Flowtron(GroupsFrames, ChosenLatents, JudgesRecordings, nn.Module):
    """The model. Mels come in and go out in natural log, with log F0 as a last band where `config.pitch` says so.

    length_slope, length_offset: frames of an utterance, about slope * tokens + offset, in the training recordings.
    symbol_frames: mean frames of each symbol there; frames_per_token for those that did not occur, or without paths.
    """

    length_slope: Tensor
    length_offset: Tensor
    symbol_frames: Tensor
    frames_per_token: Tensor

    def __init__(self, config: FlowtronConfig) -> None:
        super().__init__()
        self.config, text = config, config.text_encoder
        num_symbols = config.num_symbols or len(config.text.symbols)
        self.front_end = MelSpectrogram(config.mel)
        self.standardize = Standardize(config.bands)
        self.decorrelate = Decorrelate(config.group * config.mel.n_mels) if config.decorrelate else None
        self.detail = Detail(config.mel.n_mels) if config.match_spread else None
        self.postfilter = Postfilter(config.postfilter, config.mel, config.pitch) if config.postfilter else None
        self.text_encoder = TextEncoder(
            num_symbols, text.channels, text.num_layers, text.kernel_size, text.dropout, text.stress_embedding
        )
        self.speaker_embedding = None
        if config.has_speaker_table:
            self.speaker_embedding = nn.Embedding(config.num_speakers, config.speaker_channels)
        self.flows = nn.ModuleList(
            AffineFlow(
                AutoregressiveStep(
                    config.group * config.bands,
                    config.memory_channels,
                    config.hidden_channels,
                    config.attention_channels,
                    config.num_decoder_layers,
                    config.num_dense_layers,
                    gate=index == config.num_flows - 1,
                    log_scale_limit=config.log_scale_limit,
                    cumulative_attention=config.cumulative_attention,
                    text_mean=None if index else _text_mean(config),
                ),
                backward_in_time=direction == "backward",
            )
            for index, direction in enumerate(config.flow_directions)
        )
        self.prior: GaussianPrior | MixturePrior = GaussianPrior()
        if isinstance(config.prior, MixturePriorConfig):
            self.prior = MixturePrior(config.prior, config.bands)
        self.register_buffer("length_slope", torch.tensor(7.0))
        self.register_buffer("length_offset", torch.tensor(20.0))
        self.register_buffer("symbol_frames", torch.full((num_symbols,), 7.0))
        self.register_buffer("frames_per_token", torch.tensor(7.0))

    @property
    def sample_rate(self) -> int:
        return self.config.mel.sample_rate

    @property
    def hop_length(self) -> int:
        return self.config.mel.hop_length

    def minimum_frames(self, tokens: Int[Tensor, "*batch tokens"]) -> Int[Tensor, "*batch"]:
        """Fewest frames that a path through these tokens has: a step for each."""
        return torch.full(tokens.shape[:-1], tokens.shape[-1] * self.config.group, device=tokens.device)

    def mel(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch mels frames"]:
        """Log-mel of waveforms at the model's rate; frames = floor(samples / hop_length)."""
        return self.front_end(waveform)

    def memory(self, text: TextBatch, speaker_vector: Float[Tensor, "batch channels"] | None = None) -> Memory:
        """A text with its speaker. speaker_vector: instead of the table's row of `text.speaker`."""
        mask = sequence_mask(text.token_lengths, text.tokens.shape[1])
        states = self.text_encoder(text.tokens, mask, text.stress)
        vector = speaker_vector if speaker_vector is not None else self.speaker_vector(text.speaker)
        if vector is not None:
            beside = vector.to(states.dtype).unsqueeze(1).expand(-1, states.shape[1], -1)
            states = torch.cat([states, beside], dim=2)
        return Memory(states * mask.transpose(1, 2), mask[:, 0])

    def speaker_vector(self, speaker: Int[Tensor, " batch"]) -> Float[Tensor, "batch channels"] | None:
        """Rows of the speaker table; None where there is none. Raises BadInput for a row that the table lacks."""
        if self.speaker_embedding is None:
            return None
        if self.config.speaker_table == "dummy":
            return self.speaker_embedding(torch.zeros_like(speaker))
        rows = self.config.num_speakers
        # Elsewhere than on the CPU a look would wait for the device; the pipeline has compared the names by then.
        if speaker.is_cpu and not is_traced() and bool(((speaker < 0) | (speaker >= rows)).any()):
            raise BadInput(f"speakers {speaker.tolist()}: the table has the rows 0 to {rows - 1}")
        return self.speaker_embedding(speaker)

    def encode(
        self,
        frames: Float[Tensor, "batch bands frames"],
        frame_lengths: Int[Tensor, " batch"],
        memory: Memory,
        attention_prior: Float[Tensor, "batch groups tokens"] | None = None,
        attention_path: Int[Tensor, "batch frames"] | None = None,
        keep: Sequence[Bool[Tensor, "batch groups"]] | None = None,
        gate_trunk: bool = True,
        taught_path: Int[Tensor, "batch frames"] | None = None,
    ) -> Encoded:
        """The latent of frames (`frames`: mels, and their pitch), exactly, and how likely they are.

        attention_prior: log prior of the attention, times its factor. attention_path: the token of each frame, kept to
        instead of the attention. keep, gate_trunk: for training, see AutoregressiveStep; keep has an entry a flow.
        taught_path: the token of each frame for `Encoded.missed_along`; the latent does not depend on it.
        """
        x, lengths = self.grouped(frames, frame_lengths), self.group_lengths(frame_lengths)
        weights = self._forced(attention_path, x.shape[1], memory)
        log_scale, first = torch.zeros_like(x), x
        outputs, along = [], None
        for index, flow in enumerate(self.flows):
            assert isinstance(flow, AffineFlow)
            projected = self._projected(flow, memory)
            if index == 0 and taught_path is not None and flow.step.text_mean is not None:
                along = self._missed_along(flow, x, lengths, projected, self._forced(taught_path, x.shape[1], memory))
            kept = None if keep is None else keep[index]
            out = flow(x, lengths, projected, attention_prior, weights, kept, gate_trunk)
            outputs.append(out)
            x, log_scale = out.z, log_scale + out.log_scale
        mask = repeated_mask(sequence_mask(lengths, x.shape[1]), self.config.group)
        latent = self.ungrouped(x) * mask
        real = sequence_mask(frame_lengths, frames.shape[2])
        density = self.prior.log_density(latent, self.standardize(frames), real)
        likelihood = density.sum(dim=1) + self.log_det(log_scale)
        assert outputs[-1].gate_logits is not None
        return Encoded(
            latent,
            likelihood * mask[:, 0],
            tuple(out.attention for out in outputs),
            tuple(out.log_attention for out in outputs),
            tuple(out.log_content for out in outputs),
            outputs[-1].gate_logits,
            lengths,
            None if outputs[0].mean is None else self.squared(first - outputs[0].mean, PITCH_WEIGHT),
            along,
        )

    def _missed_along(
        self,
        flow: AffineFlow,
        x: Float[Tensor, "batch groups channels"],
        lengths: Int[Tensor, " batch"],
        projected: Projected,
        weights: Float[Tensor, "batch groups tokens"] | None,
    ) -> Float[Tensor, "batch groups"]:
        network, order = flow.step.text_mean, flow.order(lengths, x.shape[1])
        assert network is not None
        assert weights is not None
        context = flow.step.attention.forced(reordered(weights, order), projected).context
        pitch = reordered(x, order)[..., x.shape[2] - network.pitches :]
        return self.squared(x - reordered(network.mean(network.told(context)[0], pitch), order), PITCH_WEIGHT)

    def mixture(self, frames: Float[Tensor, "batch bands frames"], frame_lengths: Int[Tensor, " batch"]) -> Mixture:
        """The mixture that recordings choose in a model whose prior is one: the shares of a reference, say.

        Raises UnsupportedTask where the prior is one Gaussian.
        """
        if not isinstance(self.prior, MixturePrior):
            raise UnsupportedTask("this model's prior is one Gaussian: it has no components to choose from")
        return self.prior(self.standardize(frames), sequence_mask(frame_lengths, frames.shape[2]))

    def decode(
        self,
        latent: Float[Tensor, "batch bands padded"],
        frame_lengths: Int[Tensor, " batch"],
        memory: Memory,
        attention_path: Int[Tensor, "batch frames"] | None = None,
        attention: Sequence[Float[Tensor, "batch groups tokens"]] | None = None,
    ) -> Float[Tensor, "batch bands padded"]:
        """The frames of a latent: the exact inverse of `encode`, with lengths that are given, not the gate's.

        latent: of whole groups of frames, as `encode` gives it; its last frames may lie beyond an item's own.
        attention: of each flow, kept to instead of its own.
        """
        return decode(self, latent, frame_lengths, memory, attention_path, attention).frames

    # ---- what the pipeline asks for: models.contract.CanSayMels; CanTakeStyle is in `latents` ----

    keeps_best = True
    """It follows `controls.best_of`."""

    @property
    def takes_pitch(self) -> bool:
        """Whether it follows `controls.shift_semitones`: it does where it draws the pitch."""
        return self.config.pitch

    def say_mels(self, text: TextBatch, controls: SayControls, generator: Generator | None = None) -> SpokenMels:
        """The mels of texts: see `speaking.say_mels`."""
        return say_mels(self, text, controls, generator)

    def _forced(self, path: Tensor | None, groups: int, memory: Memory) -> Float[Tensor, "batch groups tokens"] | None:
        if path is None:
            return None
        return path_weights(self.path_groups(path, groups), memory.mask.shape[1]).to(memory.states)

    def _projected(self, flow: AffineFlow, memory: Memory) -> Projected:
        return flow.step.attention.project(memory.states, memory.mask)


def _text_mean(config: FlowtronConfig) -> TextMean | None:
    """What the first flow knows of the text by itself, where the settings give it something."""
    if not config.text_mean_channels:
        return None
    width = config.attention_channels, config.text_mean_channels
    if config.pitch:
        return PitchedTextMean(*width, config.group, config.mel)
    return TextMean(*width, config.group * config.bands)
