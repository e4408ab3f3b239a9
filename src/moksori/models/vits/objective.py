"""What VITS minimises: reconstruction, KL, durations, and the adversarial game (specification sections 5 and 6).

With the defaults of `VitsObjectiveConfig` this is the paper: alignment by search within the step, whole utterances
through posterior and flow, 32-frame slices through the decoder. The compact preset takes durations from the aligner
and windows for everything, which is several times cheaper per step.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.stft import linear_spectrogram
from moksori.errors import ConfigError, unknown_name
from moksori.losses.kl import flow_kl
from moksori.losses.stft import SpectralDistance
from moksori.models.contract import Update
from moksori.models.decoders.adversary import AdversarialObjective
from moksori.models.decoders.decoders import HomomorphicDecoder
from moksori.models.decoders.pitch import Pitch, pitch_from_f0
from moksori.models.decoders.reconstruction import pitch_terms, spectral_terms
from moksori.models.decoders.spread import match_spread
from moksori.models.vits.config import VitsObjectiveConfig
from moksori.models.vits.model import Frames, Vits
from moksori.models.vits.text_encoder import EncodedText
from moksori.nn.alignment import gaussian_scores, monotonic_durations
from moksori.nn.crops import random_starts
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.masks import repeated_mask, sequence_mask
from moksori.types import SayControls, SpeechBatch, TextBatch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stretch:
    """The frames of each item that a step looks at: a random window, or all.

    start: first frame. counted: frames that losses count, all but those whose context a cut took away.
    """

    start: Int[Tensor, " batch"]
    waveform: Float[Tensor, "batch samples"]
    spectrogram: Float[Tensor, "batch bins frames"]
    mask: Tensor
    counted: Tensor


@dataclass(frozen=True)
class Slice:
    """What the decoder rendered, and the truth: `generated` holds one or two renderings."""

    generated: Float[Tensor, "renderings batch samples"]
    real: Float[Tensor, "batch samples"]


class VitsObjective(AdversarialObjective):
    """VITS's losses and discriminators."""

    model: Vits

    def __init__(self, model: Vits, config: VitsObjectiveConfig) -> None:
        super().__init__(model, config.discriminators, config.adversarial_start, config.head_start_steps)
        self.config = config
        self.spectral = SpectralDistance()
        parts = dict(model.named_children())
        for name in config.trained_parts:
            if name not in parts:
                raise unknown_name("part of the model", name, parts)
        if config.window_frames is not None and config.alignment != "given":
            raise ConfigError("objective.window_frames needs objective.alignment=given: a search sees whole utterances")
        if config.alignment == "search" and model.frame_prior is not None:
            raise ConfigError("objective.alignment=search needs model.prior.kind=token: the search compares tokens")
        self.trained = config.trained_parts or tuple(parts)
        if config.posterior_temperature < 1.0 and not self.decoder_only:
            raise ConfigError(
                f"objective.posterior_temperature {config.posterior_temperature} needs "
                "objective.trained_parts=[decoder]: a posterior that learns draws with its full noise"
            )
        for name, part in parts.items():
            part.requires_grad_(name in self.trained)

    @property
    def decoder_only(self) -> bool:
        """Whether text, prior and flow are frozen, so that their losses need not be computed."""
        others = {
            "text_encoder", "frame_prior", "flow", "posterior_encoder", "stochastic_duration", "deterministic_duration"
        }  # fmt: skip
        return not others & set(self.trained)

    def calibrate(self, model: nn.Module, batches: Iterable[SpeechBatch]) -> None:
        """Gives a homomorphic decoder's filters the spread of the recordings, as it speaks the recordings' texts."""
        assert isinstance(model, Vits)
        decoder = model.decoder
        strength = self.config.match_spread
        if not strength or not isinstance(decoder, HomomorphicDecoder):
            return
        given = list(batches)
        hop = model.hop_length

        def real() -> Iterator[Tensor]:
            for batch in given:
                for waveform, frames in zip(batch.waveform, self._frame_lengths(batch), strict=True):
                    yield waveform[: int(frames) * hop]

        def render() -> Iterator[Tensor]:
            for index, batch in enumerate(given):
                draw = Generator(device=batch.waveform.device).manual_seed(index)
                spoken = model.say(_text(batch), SayControls(), draw)
                for waveform, length in zip(spoken.waveform, spoken.waveform_lengths, strict=True):
                    yield waveform[: int(length)]

        filters = (decoder.pulse_filter, decoder.noise_filter)
        n_fft, fine_hop = decoder.config.n_fft, hop // decoder.config.rate
        factor = match_spread(filters, real(), render, model.config.mel.sample_rate, n_fft, fine_hop, strength)
        logger.info("spread of the filters scaled by %.2f on average, %.2f at most", factor.mean(), factor.max())

    @torch.no_grad()
    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Statistics of the posterior's input, where it is standardised."""
        if self.model.standardize is None:
            return
        mel = self.model.config.mel

        def piece(batch: SpeechBatch) -> tuple[Tensor, Tensor]:
            magnitude = linear_spectrogram(batch.waveform, mel.n_fft, mel.hop_length, mel.window_length, mel.epsilon)
            return magnitude.log(), sequence_mask(self._frame_lengths(batch), magnitude.shape[2])

        self.model.standardize.fit_all(map(piece, batches))

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        stretch = self._stretch(batch, generator)
        condition = self.model.condition(batch.speaker)
        posterior = self.model.posterior(stretch.spectrogram, stretch.mask, condition)
        z = posterior.sample(generator, self.config.posterior_temperature) * stretch.mask
        terms = {} if self.decoder_only else self._text_terms(batch, stretch, posterior, z, condition, step, generator)
        pitch = self._pitch(batch, stretch)
        if pitch is not None:
            terms |= self._pitch_terms(z, stretch, pitch, condition)
        cut = self._slice(stretch, z, pitch, condition, generator)
        terms |= self._spectral_terms(cut)
        terms |= yield from self.game(step, cut.real, cut.generated[0])
        yield Update("model", terms, self.config.loss_weights_for(terms), self._counts(batch, stretch, pitch))

    def _counts(self, batch: SpeechBatch, stretch: Stretch, pitch: Pitch | None) -> dict[str, Tensor]:
        """What the terms are means over that are not means over items."""
        assert batch.token_lengths is not None
        tokens, counted = batch.token_lengths.sum(), stretch.counted.sum()
        counts = {"kl": counted, "voicing": counted}
        counts |= {name: tokens for name in ("duration", "duration/recorded", "duration/predicted")}
        return counts if pitch is None else counts | {"pitch": (stretch.counted[:, 0] * pitch.voicing).sum()}

    def observe(self, terms: Mapping[str, Tensor]) -> None:
        """Follows the ratio of the recordings' durations to the deterministic predictor's."""
        if "duration/predicted" in terms:
            ratio = terms["duration/recorded"] / terms["duration/predicted"]
            self.model.duration_scale.lerp_(ratio.clamp(0.5, 2.0), 0.01)

    @torch.no_grad()
    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The same terms without the discriminators' (they move while the model does); `total` picks the best model."""
        stretch = self._stretch(batch, generator)
        condition = self.model.condition(batch.speaker)
        posterior = self.model.posterior(stretch.spectrogram, stretch.mask, condition)
        z = posterior.sample(generator, self.config.posterior_temperature) * stretch.mask
        terms = self._text_terms(batch, stretch, posterior, z, condition, 0, generator)
        pitch = self._pitch(batch, stretch)
        if pitch is not None:
            terms |= self._pitch_terms(z, stretch, pitch, condition)
        terms |= self._spectral_terms(self._slice(stretch, z, pitch, condition, generator))
        return {**terms, "total": Update("model", terms, self.config.loss_weights_for(terms)).total()}

    @torch.no_grad()
    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The first recording's mel, its copy-synthesis, and the path of its alignment (token by frame)."""
        frames = int(self._frame_lengths(batch)[0])
        real = batch.waveform[:1, : frames * self.model.hop_length]
        copy = self.model.reconstruct(real, batch.speaker[:1], generator)
        matrices = {"mel/recording": self.model.mel(real)[0], "mel/copy": self.model.mel(copy)[0]}
        if self.config.alignment == "given" and batch.durations is not None:
            token = Frames.from_durations(batch.durations[:1], frames).token[0]
        else:
            text = _text(batch)
            condition = self.model.condition(batch.speaker)
            spectrogram = self.model.spectrogram(batch.waveform)
            mask = sequence_mask(self._frame_lengths(batch), spectrogram.shape[2])
            z = self.model.posterior(spectrogram, mask, condition).mean * mask
            encoded, _ = self.model.encode_text(text)
            durations = self._search(encoded, self.model.flow(z, mask, condition), batch, 0, generator)
            token = Frames.from_durations(durations[:1], frames).token[0]
        path = nn.functional.one_hot(token, int(token.max()) + 1).T
        return {**matrices, "alignment": path}

    # ---- text: alignment, KL, durations ----

    def _text_terms(
        self,
        batch: SpeechBatch,
        stretch: Stretch,
        posterior: DiagonalGaussian,
        z: Tensor,
        condition: Tensor | None,
        step: int,
        generator: Generator | None,
    ) -> dict[str, Tensor]:
        encoded, text_mask = self.model.encode_text(_text(batch))
        z_p = self.model.flow(z, stretch.mask, condition)
        if self.config.alignment == "given":
            if batch.durations is None:
                raise ConfigError("objective.alignment=given needs durations in the batch: align the corpus first")
            durations = batch.durations
        else:
            durations = self._search(encoded, z_p, batch, step, generator)
        frames = Frames.from_durations(durations, batch.waveform.shape[1] // self.model.hop_length)
        if self.config.window_frames is not None:
            frames = frames.window(stretch.start, stretch.mask.shape[2])
        prior = self.model.prior(encoded, frames)
        terms = {"kl": flow_kl(z_p, posterior.log_std, prior.mean, prior.log_std, stretch.counted)}
        return terms | self._duration_terms(encoded, text_mask, durations, condition, generator)

    @torch.no_grad()
    def _search(
        self, encoded: EncodedText, z_p: Tensor, batch: SpeechBatch, step: int, generator: Generator | None
    ) -> Int[Tensor, "batch tokens"]:
        assert encoded.prior is not None
        assert batch.token_lengths is not None
        with torch.autocast(z_p.device.type, enabled=False):
            prior = self.model.bounded(encoded.prior)
            scores = gaussian_scores(z_p, prior.mean, prior.log_std)
            noise = max(0.0, self.config.search_noise - 2e-6 * step) if self.training else 0.0
            if noise:
                random = torch.randn(scores.shape, generator=generator, device=scores.device)
                spread = scores.std(dim=(1, 2), keepdim=True)  # of each item, whatever others are in the batch
                scores = scores + noise * spread * random
            return monotonic_durations(scores, self._frame_lengths(batch), batch.token_lengths)

    def _duration_terms(
        self,
        encoded: EncodedText,
        mask: Tensor,
        durations: Tensor,
        condition: Tensor | None,
        generator: Generator | None,
    ) -> dict[str, Tensor]:
        """Both predictors' losses, added as in MeloTTS where there are two; in training also what `observe` follows."""
        losses = []
        means = {}
        model = self.model
        if model.stochastic_duration is not None:
            losses.append(model.stochastic_duration.loss(encoded.hidden, mask, durations, condition, generator))
        if model.deterministic_duration is not None:
            losses.append(model.deterministic_duration.loss(encoded.hidden, mask, durations, condition))
            if self.training:
                with torch.no_grad():
                    model.deterministic_duration.eval()  # dropout would widen the ratio
                    predicted = model.deterministic_duration(encoded.hidden, mask, condition).exp() * mask[:, 0]
                    model.deterministic_duration.train()
                    means["duration/recorded"] = durations.sum() / mask.sum()
                    means["duration/predicted"] = predicted.sum() / mask.sum()
        return {"duration": sum(losses[1:], start=losses[0]), **means}

    # ---- sound: windows, slices, spectra ----

    def _frame_lengths(self, batch: SpeechBatch) -> Int[Tensor, " batch"]:
        return batch.waveform_lengths // self.model.hop_length

    def _stretch(self, batch: SpeechBatch, generator: Generator | None) -> Stretch:
        """Whole utterances, or one window of each at a random place, with the spectrogram of just these frames."""
        lengths, hop, window = self._frame_lengths(batch), self.model.hop_length, self.config.window_frames
        frames = batch.waveform.shape[1] // hop
        if window is None or window >= frames:
            mask = sequence_mask(lengths, frames)
            start = torch.zeros_like(lengths)
            return Stretch(start, batch.waveform, self.model.spectrogram(batch.waveform), mask, mask)
        room = (lengths - window).clamp(min=0)
        start = random_starts(room, generator)
        pad = (self.model.config.mel.n_fft - hop) // 2
        padded = nn.functional.pad(batch.waveform, (pad, pad + window * hop))
        # The left edge of an utterance is reflected as in `linear_spectrogram`; beyond its right end there is silence.
        padded[:, :pad] = batch.waveform[:, 1 : pad + 1].flip(1)
        index = (start * hop).unsqueeze(1) + torch.arange(window * hop + 2 * pad, device=start.device)
        wider = padded.gather(1, index)
        mask = sequence_mask((lengths - start).clamp(max=window), window)
        frame = start.unsqueeze(1) + torch.arange(window, device=start.device)
        edge = self.config.window_edge_frames
        inner = (frame >= torch.where(start > 0, start + edge, start).unsqueeze(1)) & (
            frame < torch.where(start + window < lengths, start + window - edge, start + window).unsqueeze(1)
        )
        mel = self.model.config.mel
        magnitude = linear_spectrogram(wider, mel.n_fft, hop, mel.window_length, mel.epsilon, padded=True)
        spectrogram = self.model.scaled(magnitude)
        return Stretch(start, wider[:, pad : pad + window * hop], spectrogram, mask, mask & inner.unsqueeze(1))

    def _pitch(self, batch: SpeechBatch, stretch: Stretch) -> Pitch | None:
        """The recordings' own pitch over the stretch, for a decoder with a source."""
        if not self.model.decoder.takes_pitch:
            return None
        if batch.f0 is None:
            raise ConfigError("a decoder with a source needs F0 in the batch")
        pitch = pitch_from_f0(batch.f0)
        index = stretch.start.unsqueeze(1) + torch.arange(stretch.mask.shape[2], device=stretch.start.device)
        index = index.clamp(max=batch.f0.shape[1] - 1)
        return Pitch(pitch.log_f0.gather(1, index), pitch.voicing.gather(1, index) * stretch.mask[:, 0])

    def _pitch_terms(self, z: Tensor, stretch: Stretch, pitch: Pitch, condition: Tensor | None) -> dict[str, Tensor]:
        predictor = self.model.decoder.pitch_predictor
        assert isinstance(predictor, nn.Module)
        return pitch_terms(predictor, z, stretch.mask, stretch.counted, pitch, condition)

    def _slice(
        self, stretch: Stretch, z: Tensor, pitch: Pitch | None, condition: Tensor | None, generator: Generator | None
    ) -> Slice:
        """Renders a random slice of each item that lies within its counted frames, with a margin that is cut away.

        An item that is shorter than the slice is silent beyond its end on both sides, so that no loss counts it.
        """
        margin, hop, frames = self.config.slice_margin_frames, self.model.hop_length, z.shape[2]
        length = min(self.config.slice_frames, frames)
        positions = torch.arange(frames, device=z.device)
        counted = stretch.counted[:, 0]
        first = torch.where(counted, positions, frames).amin(dim=1)
        last = torch.where(counted, positions, -1).amax(dim=1) + 1
        room = (last - first - length).clamp(min=0)
        start = (first + random_starts(room, generator)).clamp(max=frames - length)
        index = start.unsqueeze(1) - margin + torch.arange(length + 2 * margin, device=z.device)
        inside = (index >= 0) & (index < frames)
        index = index.clamp(0, frames - 1)
        mask = inside.unsqueeze(1) & stretch.mask.gather(2, index.unsqueeze(1))
        part = z.gather(2, index.unsqueeze(1).expand(-1, z.shape[1], -1)) * mask
        part_pitch = None if pitch is None else Pitch(pitch.log_f0.gather(1, index), pitch.voicing.gather(1, index))
        renderings = 2 if self.config.energy_repulsion > 0 and self.model.decoder.has_noise else 1
        generated = self.model.decoder(part, mask, condition, part_pitch, renderings, generator)
        real_frames = repeated_mask(mask[..., margin : margin + length], hop)[:, 0]
        generated = generated[:, :, margin * hop : (margin + length) * hop] * real_frames
        sample = (start * hop).unsqueeze(1) + torch.arange(length * hop, device=z.device)
        return Slice(generated, stretch.waveform.gather(1, sample))

    def _spectral_terms(self, cut: Slice) -> dict[str, Tensor]:
        spectral = self.spectral if self.config.loss_weights.get("stft", 0.0) else None
        return spectral_terms(self.model.mel, spectral, cut.generated, cut.real, self.config.energy_repulsion)


def _text(batch: SpeechBatch) -> TextBatch:
    assert batch.tokens is not None
    assert batch.stress is not None
    assert batch.token_lengths is not None
    return TextBatch(batch.tokens, batch.stress, batch.token_lengths, batch.speaker)
