"""How a vocoder is trained: distances to the recording and the adversarial game, on short slices (Kong et al. 2020)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelSpectrogram
from moksori.errors import ConfigError
from moksori.losses.stft import SpectralDistance
from moksori.models.contract import Update
from moksori.models.decoders.adversary import AdversarialObjective
from moksori.models.decoders.pitch import Pitch, pitch_at
from moksori.models.decoders.reconstruction import pitch_counts, pitch_terms, spectral_terms
from moksori.models.decoders.refined import RefinedDecoder, Spectrum, magnitude_distance
from moksori.models.decoders.sourced import SourcedDecoder
from moksori.models.vocoder.config import VocoderObjectiveConfig
from moksori.models.vocoder.model import Vocoder
from moksori.nn.crops import random_starts, stretches
from moksori.nn.masks import repeated_mask, sequence_mask
from moksori.types import SpeechBatch

BLUR_FRAMES, BLUR_BANDS = 3, 3
"""Over how many of each the mels of an over-smooth model are averaged."""


@dataclass(frozen=True)
class MelSlice:
    """A stretch of each recording: its mels with a margin on both sides, and the waveform without it."""

    mel: Float[Tensor, "batch mels frames"]
    mask: Bool[Tensor, "batch 1 frames"]
    real: Float[Tensor, "batch samples"]
    pitch: Pitch | None


@dataclass(frozen=True)
class Rendered:
    """A slice's sound `[batch, samples]`, and what a decoder that has magnitudes of its own made it of."""

    sound: Float[Tensor, "batch samples"]
    spectrum: Spectrum | None


class VocoderObjective(AdversarialObjective):
    """A vocoder's losses and discriminators."""

    model: Vocoder

    def __init__(self, model: Vocoder, config: VocoderObjectiveConfig) -> None:
        super().__init__(model, config.discriminators, config.adversarial_start, config.head_start_steps)
        self.config = config
        asked = config.magnitude_steps or config.loss_weights.get("magnitude", 0.0)
        if asked and not isinstance(model.decoder, RefinedDecoder):
            raise ConfigError(
                "objective.magnitude_steps and loss_weights.magnitude are for model.decoder.kind refined or sourced: "
                "set both to 0"
            )
        self.spectral = SpectralDistance()
        # The input may end at 8 kHz; the loss hears all there is.
        mel = model.config.mel
        self.loss_mel = MelSpectrogram(mel.model_copy(update={"f_max_hz": mel.sample_rate / 2}))

    @torch.no_grad()
    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Mean and spread of each mel band, where they are standardised."""
        if self.model.standardize is None:
            return
        model = self.model
        mels = ((model.front_end(b.waveform), b.waveform_lengths // model.hop_length) for b in batches)
        self.model.standardize.fit_all((mel, sequence_mask(lengths, mel.shape[2])) for mel, lengths in mels)

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        room = (batch.waveform_lengths // self.model.hop_length - self.config.slice_frames).clamp(min=0)
        cut = self._slice(batch, random_starts(room, generator), self.config.mels_of_share, self.config.blur)
        if step < self.config.magnitude_steps:
            assert isinstance(self.model.decoder, RefinedDecoder)
            magnitudes = self.model.decoder.magnitudes(cut.mel, cut.mask)
            terms = self._magnitude_terms(cut, magnitudes) | self._pitch_terms(cut)
            yield Update("model", terms, self.config.loss_weights_for(terms), self._counts(cut))
            return
        rendered = self._rendered(cut, generator)
        terms = self._terms(cut, rendered)
        terms |= yield from self.game(step, cut.real, rendered.sound)
        yield Update("model", terms, self.config.loss_weights_for(terms), self._counts(cut))

    @torch.no_grad()
    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Distances of a slice in the middle of each recording, without the discriminators' terms.

        Where another model's mels are learnt from, it is these that are vocoded.
        """
        frames = batch.waveform_lengths // self.model.hop_length
        cut = self._slice(batch, (frames - self.config.slice_frames).clamp(min=0) // 2, made=1.0, blurred=0.0)
        terms = self._terms(cut, self._rendered(cut, generator))
        return {**terms, "total": Update("model", terms, self.config.loss_weights_for(terms)).total()}

    @torch.no_grad()
    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The first recording's mel and its copy's."""
        real = batch.waveform[:1, : int(batch.waveform_lengths[0])]
        copy = self.model.reconstruct(real, batch.speaker[:1], generator)
        return {"mel/recording": self.loss_mel(real)[0], "mel/copy": self.loss_mel(copy)[0]}

    def _counts(self, cut: MelSlice) -> dict[str, Tensor]:
        return {} if cut.pitch is None else pitch_counts(self._inner(cut), cut.pitch)

    def _terms(self, cut: MelSlice, rendered: Rendered) -> dict[str, Tensor]:
        spectral = self.spectral if self.config.loss_weights.get("stft", 0.0) else None
        terms = spectral_terms(self.loss_mel, spectral, rendered.sound.unsqueeze(0), cut.real)
        if rendered.spectrum is not None:
            terms |= self._magnitude_terms(cut, rendered.spectrum.magnitude)
        return terms | self._pitch_terms(cut)

    def _pitch_terms(self, cut: MelSlice) -> dict[str, Tensor]:
        if cut.pitch is None:
            return {}
        predictor = self.model.decoder.pitch_predictor
        assert isinstance(predictor, nn.Module)
        return pitch_terms(predictor, self.model.frames(cut.mel), cut.mask, self._inner(cut), cut.pitch)

    def _inner(self, cut: MelSlice) -> Bool[Tensor, "batch 1 frames"]:
        """Frames of the slice without its margin."""
        margin, inner = self.config.slice_margin_frames, cut.mask.clone()
        inner[..., :margin] = False
        inner[..., inner.shape[2] - margin :] = False
        return inner

    def _spectrum(self, cut: MelSlice, generator: Generator | None) -> Spectrum:
        decoder = self.model.decoder
        if isinstance(decoder, SourcedDecoder):
            return decoder.spectrum(cut.mel, cut.mask, cut.pitch, generator)
        assert isinstance(decoder, RefinedDecoder)
        return decoder.spectrum(cut.mel, cut.mask)

    def _magnitude_terms(self, cut: MelSlice, magnitudes: Float[Tensor, "batch bins frames"]) -> dict[str, Tensor]:
        assert isinstance(self.model.decoder, RefinedDecoder)
        found = magnitudes[:, :, self.config.slice_margin_frames :]
        return {"magnitude": magnitude_distance(self.model.decoder.stft, found, cut.real)}

    def _rendered(self, cut: MelSlice, generator: Generator | None) -> Rendered:
        """The slice's sound; zero beyond a recording's end, as the recording is there."""
        hop, margin, decoder = self.model.hop_length, self.config.slice_margin_frames, self.model.decoder
        spectrum = None
        if isinstance(decoder, RefinedDecoder):
            spectrum = self._spectrum(cut, generator)
            sound = decoder.render(spectrum, self.config.refinements)
        else:
            frames = self.model.frames(cut.mel) * cut.mask
            sound = decoder(frames, cut.mask, None, cut.pitch, 1, generator)[0]
        sound = (sound * repeated_mask(cut.mask, hop)[:, 0])[:, margin * hop :][:, : cut.real.shape[1]]
        return Rendered(sound, spectrum)

    def _slice(
        self, batch: SpeechBatch, start: Int[Tensor, " batch"], made: float = 0.0, blurred: float = 0.0
    ) -> MelSlice:
        """`slice_frames` frames from `start` on. The mels are those of the whole recording there.

        made: share of the items whose mels another model made, where the batch has such; blurred: share of the others'.
        """
        mel_config, margin = self.model.config.mel, self.config.slice_margin_frames
        hop, frames = mel_config.hop_length, self.config.slice_frames
        # Mels need the samples around them: two hops more on each side, dropped again.
        more = margin + -(-mel_config.n_fft // (2 * hop))
        size = (frames + 2 * more) * hop
        wide, _ = stretches(batch.waveform, batch.waveform_lengths, (start - more) * hop, size)
        cut = slice(more - margin, more + margin + frames)
        mel = self.model.front_end(wide)[:, :, cut]
        place = (start - margin).unsqueeze(1) + torch.arange(frames + 2 * margin, device=start.device)
        others = 0 if batch.mel is None else round(made * len(mel))
        count = others + round(blurred * (len(mel) - others))
        mel = torch.cat([self._made(batch, place)[:others], smoothed(mel[others:count]), mel[count:]])
        mask = (place >= 0) & (place < (batch.waveform_lengths // hop).unsqueeze(1))
        inner = wide[:, more * hop : (more + frames) * hop]
        return MelSlice(mel, mask.unsqueeze(1), inner, self._pitch(batch, place))

    def _made(self, batch: SpeechBatch, place: Int[Tensor, "batch frames"]) -> Float[Tensor, "some mels frames"]:
        """Another model's mels at the slice's frames, none where the batch has none; the nearest frame lies outside."""
        if batch.mel is None:
            return batch.waveform.new_zeros(0, self.model.config.mel.n_mels, place.shape[1])
        inside = place.clamp(0, batch.mel.shape[2] - 1).unsqueeze(1)
        return batch.mel.gather(2, inside.expand(-1, batch.mel.shape[1], -1))

    def _pitch(self, batch: SpeechBatch, place: Int[Tensor, "batch frames"]) -> Pitch | None:
        """The recordings' own pitch at the slice's frames, for a decoder with a source."""
        if not self.model.decoder.takes_pitch:
            return None
        if batch.f0 is None:
            raise ConfigError("a decoder with a source needs F0 in the batch")
        return pitch_at(batch.f0, place)


def smoothed(mel: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch mels frames"]:
    """Log-mels averaged over neighbouring bands and frames: a stand-in for what an over-smooth model makes."""
    kernel, padding = (BLUR_BANDS, BLUR_FRAMES), (BLUR_BANDS // 2, BLUR_FRAMES // 2)
    return nn.functional.avg_pool2d(mel.unsqueeze(1), kernel, 1, padding, count_include_pad=False)[:, 0]
