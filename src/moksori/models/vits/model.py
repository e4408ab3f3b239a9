"""VITS: a conditional VAE, trained adversarially, for text-to-speech (Kim, Kong, Son 2021, arXiv:2106.06103).

text ──► text encoder ──┬─► duration predictors ──► durations d ─┐
                        └─► prior N(m_p, s_p) per token ──────────┴─► per frame ──► f^-1 ─┐
waveform ─► linear spectrogram ─► posterior encoder ─► q(z|x) ─► z ─► f ─► z_p            z ─► decoder ─► waveform
Letters: x = waveform, c = text, z = latents, f = flow, m_p and s_p = the prior's mean and standard deviation.
Training compares z_p with the prior along the best alignment (`objective.py`); speaking runs the upper line.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelSpectrogram
from moksori.audio.stft import linear_spectrogram
from moksori.models.contract import BLOCK_FRAMES, CHUNK_FRAMES
from moksori.models.decoders.decoders import Decoder, build_decoder
from moksori.models.decoders.pitch import Pitch
from moksori.models.decoders.progressive import Make, Progressive, chunks
from moksori.models.vits import conversion
from moksori.models.vits.config import FramePriorConfig, VitsConfig
from moksori.models.vits.duration_predictors import DeterministicDurationPredictor, StochasticDurationPredictor
from moksori.models.vits.posterior_encoder import PosteriorEncoder
from moksori.models.vits.prior import FramePrior
from moksori.models.vits.text_encoder import EncodedText, TextEncoder
from moksori.nn.alignment import durations_to_path, expand_by_path
from moksori.nn.distributions import Chance, DiagonalGaussian, RowGenerators, standard_normal
from moksori.nn.flows import CouplingFlow
from moksori.nn.masks import masked, repeated_mask, sequence_mask
from moksori.nn.precision import at_least_float32
from moksori.nn.standardize import Standardize
from moksori.types import (
    ConvertControls,
    LongRecording,
    SayControls,
    SoundBatch,
    Spoken,
    SpokenBlocks,
    TextBatch,
    Voice,
)


@dataclass(frozen=True)
class Frames:
    """A stretch of frames of a batch: which token each belongs to, and its place there.

    token: index per frame. place: frames since the token's first. duration: of the frame's token, in frames.
    """

    token: Int[Tensor, "batch frames"]
    place: Int[Tensor, "batch frames"]
    duration: Int[Tensor, "batch frames"]
    mask: Bool[Tensor, "batch 1 frames"]

    @classmethod
    def from_durations(cls, durations: Int[Tensor, "batch tokens"], frames: int | None = None) -> "Frames":
        """All frames of given durations; `frames` is the padded size of the time axis, where it is known."""
        lengths = durations.sum(dim=1)
        mask = sequence_mask(lengths, frames)
        token = durations_to_path(durations, mask.shape[2])
        starts = (durations.cumsum(dim=1) - durations).gather(1, token)
        place = torch.arange(mask.shape[2], device=durations.device) - starts
        return cls(token, place, durations.gather(1, token), mask)

    def window(self, start: Int[Tensor, " batch"], frames: int) -> "Frames":
        """The stretch of `frames` frames that begins at `start` in each item; past the end the mask is False."""
        index = start.unsqueeze(1) + torch.arange(frames, device=start.device)
        inside = index < self.mask.sum(dim=(1, 2)).unsqueeze(1)
        index = index.clamp(max=self.token.shape[1] - 1)
        token, place, duration = (t.gather(1, index) for t in (self.token, self.place, self.duration))
        return Frames(token, place, duration, inside.unsqueeze(1))

    def part(self, start: int, stop: int) -> "Frames":
        """Frames `start` to `stop` of all items."""
        token, place, duration = (t[:, start:stop] for t in (self.token, self.place, self.duration))
        return Frames(token, place, duration, self.mask[..., start:stop])


@dataclass(frozen=True)
class _Plan:
    """What speaking has decided once for the sentence; prior, flow and decoder are left to run.

    noise: of the prior, times the variation.
    """

    encoded: EncodedText
    frames: Frames
    noise: Float[Tensor, "batch channels frames"]
    condition: Float[Tensor, "batch condition 1"] | None
    durations: Int[Tensor, "batch tokens"]

    @property
    def mask(self) -> Bool[Tensor, "batch 1 frames"]:
        return self.frames.mask

    def padding(self, mask: Bool[Tensor, "batch 1 part"]) -> Bool[Tensor, "batch 1 part"] | None:
        """The mask of these frames, where there is something to keep out: one item has no padding."""
        return mask if mask.shape[0] > 1 else None


class Vits(nn.Module):
    """The generator: everything that speaking and converting need, and the posterior."""

    duration_scale: Tensor

    def __init__(self, config: VitsConfig) -> None:
        super().__init__()
        self.config, latent, condition = config, config.latent_channels, config.condition_channels
        text, posterior, flow, duration = config.text_encoder, config.posterior, config.flow, config.duration
        self.mel = MelSpectrogram(config.mel)
        self.speaker_embedding = nn.Embedding(config.num_speakers, config.speaker_channels) if condition else None
        self.text_encoder = TextEncoder(
            config.num_symbols or len(config.text.symbols),
            latent,
            text.channels,
            text.hidden_channels,
            text.num_heads,
            text.num_layers,
            text.kernel_size,
            text.dropout,
            text.window,
            text.pre_norm,
            text.stress_embedding,
            token_prior=not isinstance(config.prior, FramePriorConfig),
        )
        self.frame_prior: FramePrior | None = None
        if isinstance(config.prior, FramePriorConfig):
            self.frame_prior = FramePrior(text.channels, latent, config.prior.inner_channels, config.prior.num_layers)
        bins = config.mel.n_fft // 2 + 1
        self.standardize = Standardize(bins) if posterior.log_magnitude else None
        self.posterior_encoder = PosteriorEncoder(
            bins,
            latent,
            posterior.channels,
            posterior.kernel_size,
            posterior.num_layers,
            condition,
            config.weight_norm,
        )
        self.flow = CouplingFlow(
            latent, flow.channels, flow.kernel_size, flow.num_layers, flow.num_couplings, condition, config.weight_norm
        )
        self.stochastic_duration: StochasticDurationPredictor | None = None
        if duration.stochastic:
            self.stochastic_duration = StochasticDurationPredictor(
                text.channels, duration.channels, dropout=duration.dropout, condition_channels=condition
            )
        self.deterministic_duration: DeterministicDurationPredictor | None = None
        if duration.deterministic:
            self.deterministic_duration = DeterministicDurationPredictor(
                text.channels, duration.deterministic_channels, dropout=duration.dropout, condition_channels=condition
            )
        self.decoder: Decoder = build_decoder(
            config.decoder, config.mel, config.latent_channels, config.condition_channels
        )
        # Mean of the recordings' token durations over the deterministic predictor's, a median and so too short.
        self.register_buffer("duration_scale", torch.ones(()))

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.config.mel.hop_length

    @property
    def takes_pitch(self) -> bool:
        """Whether `shift_semitones` has an effect: only decoders with a source follow a pitch."""
        return self.decoder.takes_pitch

    @property
    def mixes_durations(self) -> bool:
        """Whether `duration_mix` has an effect: only where there are both predictors."""
        return self.stochastic_duration is not None and self.deterministic_duration is not None

    def lower_precision(self) -> None:
        """From now on the decoder's convolutions run in bfloat16; text, durations, flow and pitch stay in float32."""
        self.decoder.in_bfloat16 = True

    def condition(self, speaker: Int[Tensor, " batch"]) -> Float[Tensor, "batch condition 1"] | None:
        """The speaker vector g; None for a model of one speaker."""
        return None if self.speaker_embedding is None else self.speaker_embedding(speaker).unsqueeze(2)

    def spectrogram(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch bins frames"]:
        """The posterior's input: linear magnitudes, or their standardised logarithm."""
        mel = self.config.mel
        return self.scaled(linear_spectrogram(waveform, mel.n_fft, mel.hop_length, mel.window_length, mel.epsilon))

    def scaled(self, magnitude: Float[Tensor, "batch bins frames"]) -> Float[Tensor, "batch bins frames"]:
        """Linear magnitudes as the posterior takes them."""
        return magnitude if self.standardize is None else self.standardize(magnitude.log())

    def encode_text(self, text: TextBatch) -> tuple[EncodedText, Bool[Tensor, "batch 1 tokens"]]:
        """Hidden states and token prior of a text, and its mask."""
        mask = sequence_mask(text.token_lengths, text.tokens.shape[1])
        return self.text_encoder(text.tokens, mask, text.stress), mask

    def prior(self, encoded: EncodedText, frames: Frames, padded: bool = True) -> DiagonalGaussian:
        """p(z_p | text) of each frame: the token's own Gaussian, or one that knows the place in the token.

        padded: whether some frames may be none.
        """
        if self.frame_prior is not None:
            hidden = expand_by_path(encoded.hidden, frames.token)
            prior = self.frame_prior(hidden, frames.place, frames.duration, frames.mask if padded else None)
        else:
            assert encoded.prior is not None
            prior = DiagonalGaussian(
                expand_by_path(encoded.prior.mean, frames.token), expand_by_path(encoded.prior.log_std, frames.token)
            )
        return self.bounded(prior)

    def posterior(
        self,
        spectrogram: Float[Tensor, "batch bins frames"],
        mask: Bool[Tensor, "batch 1 frames"],
        condition: Tensor | None,
    ) -> DiagonalGaussian:
        """q(z | x) of each frame."""
        return self.bounded(self.posterior_encoder(spectrogram, mask, condition))

    def bounded(self, gaussian: DiagonalGaussian) -> DiagonalGaussian:
        return gaussian.clamp(-9.0, 4.0) if self.config.clamp_log_std else gaussian

    def log_durations(
        self,
        encoded: EncodedText,
        mask: Bool[Tensor, "batch 1 tokens"] | None,
        condition: Tensor | None,
        temperature: float,
        mix: float | None = None,
        generator: Chance = None,
    ) -> Float[Tensor, "batch tokens"]:
        """Natural log of the frames of each token: stochastic, deterministic, or the mixture of both.

        mix: weight of the stochastic prediction where both exist, None = the configuration's.
        """
        mix = self.config.duration.mix if mix is None else mix
        predictions = []
        if self.stochastic_duration is not None:
            weight = mix if self.deterministic_duration is not None else 1.0
            sampled = self.stochastic_duration.sample(encoded.hidden, mask, condition, temperature, generator)
            if self.config.duration.rounding == "nearest":  # it models d - u, whose mean lies half a frame lower
                sampled = (sampled.exp() + 0.5).log()
            predictions.append(weight * sampled)
        if self.deterministic_duration is not None:
            weight = 1.0 - mix if self.stochastic_duration is not None else 1.0
            log_duration = self.deterministic_duration(encoded.hidden, mask, condition) + self.duration_scale.log()
            predictions.append(weight * log_duration)
        return sum(predictions[1:], start=predictions[0])

    def whole_frames(
        self, log_durations: Float[Tensor, "batch tokens"], mask: Bool[Tensor, "batch 1 tokens"], speed: float
    ) -> Int[Tensor, "batch tokens"]:
        """Durations in whole frames, at least 1 for each token and at most `maximum_token_seconds`."""
        limit = self.config.maximum_token_seconds * self.config.mel.sample_rate / self.hop_length
        exact = (log_durations.double().exp() / speed).clamp(max=limit) * mask[:, 0]
        if self.config.duration.rounding == "ceil":
            durations = exact.ceil()
        else:
            ends = exact.cumsum(dim=1).round()
            durations = ends - nn.functional.pad(ends[:, :-1], (1, 0))
        return durations.long().clamp(min=1) * mask[:, 0]

    @torch.inference_mode()
    def say(self, text: TextBatch, controls: SayControls, generator: Chance = None) -> Spoken:
        """Tokens to sound. One generator: first the duration noise is drawn, then the prior's, then the decoder's."""
        plan = self._plan(text, controls, generator)
        padding = plan.padding(plan.mask)
        z = self.flow.inverse(self._prior_sample(plan, plan.frames, plan.noise), padding, plan.condition)
        pitch = self._shifted_pitch(z, padding, plan.condition, controls.shift_semitones)
        waveform = self.decoder(z, padding, plan.condition, pitch, generator=generator)[0]
        lengths = plan.mask.sum(dim=(1, 2)) * self.hop_length
        if padding is not None:
            waveform = waveform * sequence_mask(lengths, waveform.shape[1])[:, 0]
        return Spoken(waveform, lengths, plan.durations)

    def say_together(self, text: TextBatch, controls: SayControls, generators: Sequence[Generator]) -> Spoken:
        """`say` for texts that are one batch by chance: each sounds as it would alone with its own generator, but for
        rounding, and for the end of a padded one (the last n_fft / 2 samples of decoders with an inverse STFT)."""
        return self.say(text, controls, RowGenerators(generators))

    @torch.inference_mode()
    def stream(
        self,
        text: TextBatch,
        controls: SayControls,
        chunk_frames: Sequence[int] = CHUNK_FRAMES,
        generator: Generator | None = None,
    ) -> SpokenBlocks:
        """What `say` says, block by block: text and durations at once, prior, flow and decoder a chunk at a time.

        The blocks together are the waveform of `say` but for rounding (1e-5), with the same noise for the same
        generator, whatever the chunks.
        chunk_frames: frames in the first, second, ... chunk; the last one holds for all that follow.
        """
        plan = self._plan(text, controls, generator)
        total = plan.mask.shape[2]

        def sample(start: int, stop: int) -> Tensor:
            return self._prior_sample(plan, plan.frames.part(start, stop), plan.noise[..., start:stop])

        prior_context = 0 if self.frame_prior is None else self.frame_prior.context_frames
        z_p = Progressive(sample, prior_context, total)

        def latents(start: int, stop: int) -> Tensor:
            return self.flow.inverse(z_p(start, stop), plan.padding(plan.mask[..., start:stop]), plan.condition)

        z = Progressive(latents, self.flow.context_steps, total)
        sound = self.decoder.in_pieces(z, plan.mask, plan.condition, controls.shift_semitones, generator)
        blocks = self._blocks(sound, plan.mask, chunks(total, chunk_frames))
        return SpokenBlocks(blocks, plan.mask.sum(dim=(1, 2)) * self.hop_length, plan.durations)

    @torch.inference_mode()
    def _blocks(self, sound: Make, mask: Tensor, spans: Iterator[tuple[int, int]]) -> Iterator[Tensor]:
        for start, stop in spans:
            yield sound(start, stop) * repeated_mask(mask[..., start:stop], self.hop_length)[:, 0]

    def _plan(self, text: TextBatch, controls: SayControls, generator: Chance) -> "_Plan":
        variation = self.config.variation if controls.variation is None else controls.variation
        condition = self.condition(text.speaker)
        mask = sequence_mask(text.token_lengths, text.tokens.shape[1])
        padding = None if bool(mask.all()) else mask
        encoded = self.text_encoder(text.tokens, padding, text.stress)
        # Also where durations are given: the noise that comes after must not depend on that.
        spread, mix = 1.2 * variation, controls.duration_mix
        log_durations = self.log_durations(encoded, padding, condition, spread, mix, generator)
        durations = self.whole_frames(log_durations, mask, controls.speed)
        if text.durations is not None:
            durations = text.durations * mask[:, 0]
        frames = Frames.from_durations(durations)
        batch, count = frames.token.shape
        like = at_least_float32(encoded.hidden.new_empty(batch, self.config.latent_channels, count))
        noise = standard_normal(like, generator, frames.mask.sum(dim=(1, 2))) * variation
        return _Plan(encoded, frames, noise, condition, durations)

    def _prior_sample(self, plan: "_Plan", frames: Frames, noise: Tensor) -> Float[Tensor, "batch channels frames"]:
        padding = plan.padding(frames.mask)
        return masked(self.prior(plan.encoded, frames, padding is not None).at(noise), padding)

    @torch.inference_mode()
    def reconstruct(
        self,
        waveform: Float[Tensor, "batch samples"],
        speaker: Int[Tensor, " batch"],
        generator: Generator | None = None,
        temperature: float = 1.0,
    ) -> Float[Tensor, "batch samples"]:
        """Copy-synthesis: posterior to decoder, the best the decoder can do. Whole frames of `waveform` come back."""
        spectrogram = self.spectrogram(waveform)
        mask = torch.ones(waveform.shape[0], 1, spectrogram.shape[2], dtype=torch.bool, device=waveform.device)
        condition = self.condition(speaker)
        z = self.posterior(spectrogram, mask, condition).sample(generator, temperature)
        return self.decoder(z, mask, condition, generator=generator)[0]

    @torch.inference_mode()
    def convert(
        self,
        sounds: SoundBatch,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        generator: Generator | None = None,
    ) -> SoundBatch:
        """What `source` said, said by `target`, sample for sample as long (appendix of the paper).

        Where both are the same this is copy-synthesis. `controls.variation` is the temperature of the posterior. First
        the posterior's noise is drawn, then the decoder's. Raises ValueError without a source.
        """
        return conversion.converted(self, sounds, self._known(source), target, controls, generator)

    @torch.inference_mode()
    def convert_in_blocks(
        self,
        recording: LongRecording,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        block_frames: int = BLOCK_FRAMES,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """What `convert` gives for the same generator but for rounding, block by block."""
        known = self._known(source)
        yield from conversion.converted_blocks(self, recording, known, target, controls, block_frames, generator)

    @torch.inference_mode()
    def speaker_distances(self, sounds: SoundBatch) -> Float[Tensor, "batch speakers"]:
        """How unlikely the recordings are as each speaker's; the least is the best fit (`latent_energies`)."""
        return conversion.latent_energies(self, sounds, self.config.num_speakers)

    @staticmethod
    def _known(source: Voice | None) -> Voice:
        if source is None:
            raise ValueError("VITS converts from one of its speakers: a source is needed")
        return source

    def _shifted_pitch(
        self, z: Tensor, mask: Tensor | None, condition: Tensor | None, semitones: float
    ) -> Pitch | None:
        if not self.decoder.takes_pitch or semitones == 0.0:
            return None
        predictor = self.decoder.pitch_predictor
        assert isinstance(predictor, nn.Module)
        return predictor.predict(z, mask, condition).shifted(semitones)  # type: ignore[operator]
