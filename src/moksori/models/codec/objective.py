"""How a codec is trained: distances of what comes back to what went in, and the adversarial game (specification 2.3).

    L = w_wave |x - x'| + w_mel sum_s |log mel_s(x) - log mel_s(x')| + w_adv L_adv + w_feat L_feat + w_com L_commit

Letters: x = a slice of a recording, x' = the codec's copy. A decoder that has mels restored first is also taught by
these, `restored`, and by its `magnitude`s: both need no rendering, which is most of the work.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from moksori.audio.mel import MelSpectrogram
from moksori.errors import ConfigError
from moksori.losses.balance import GradientBalancer
from moksori.losses.multi_mel import MultiMelDistance
from moksori.losses.stft import SpectralDistance
from moksori.models.codec.config import HEARD_LOSSES, CodecObjectiveConfig
from moksori.models.codec.encoder import MelEncoder, lay_principal_components
from moksori.models.codec.health import health
from moksori.models.codec.model import Codec
from moksori.models.codec.slices import Slice, louder, slice_of
from moksori.models.contract import Update
from moksori.models.decoders.adversary import HINGE, LEAST_SQUARES, AdversarialObjective
from moksori.models.decoders.pitch import pitch_at
from moksori.models.decoders.reconstruction import pitch_counts, pitch_terms, spectral_terms
from moksori.models.decoders.refined import RefinedDecoder, Spectrum, magnitude_distance
from moksori.models.decoders.sourced import SourcedDecoder
from moksori.models.health import Reading, Teller
from moksori.nn.crops import random_starts
from moksori.nn.residual_quantize import ResidualQuantized
from moksori.types import SpeechBatch

logger = logging.getLogger(__name__)

START_FRAMES_PER_CODE, MOST_START_FRAMES = 20, 8192
"""Of states that k-means lays the codebooks among, for each code and at most."""


@dataclass(frozen=True)
class Copied:
    """What became of a slice. mel: restored, with its margins; spectrum: of a `restored` decoder. sound: None where
    nothing was rendered, else of the slice without its margins."""

    quantized: ResidualQuantized
    mel: Float[Tensor, "batch mels frames"] | None
    spectrum: Spectrum | None
    sound: Float[Tensor, "batch samples"] | None


class CodecObjective(AdversarialObjective):
    """A codec's losses and discriminators, and what is said of the run."""

    model: Codec

    def __init__(self, model: Codec, config: CodecObjectiveConfig) -> None:
        game = HINGE if config.adversarial_loss == "hinge" else LEAST_SQUARES
        super().__init__(model, config.discriminators, config.adversarial_start, config.head_start_steps, game)
        self.config = config
        weights, mel = config.loss_weights, model.config.mel
        silent = config.restored_steps or config.magnitude_steps
        if model.restorer is None and (silent or weights.get("restored", 0.0) or weights.get("magnitude", 0.0)):
            raise ConfigError(
                "objective.restored_steps, magnitude_steps and the losses restored and magnitude are for "
                "model.decoder.kind restored: set them to 0"
            )
        self.spectral = SpectralDistance() if weights.get("stft", 0.0) else None
        self.multi_mel = MultiMelDistance(mel.sample_rate) if weights.get("multi_mel", 0.0) else None
        self.balancer = GradientBalancer(HEARD_LOSSES) if config.balance else None
        # What is heard may end at 8 kHz; the loss hears all there is.
        self.loss_mel = MelSpectrogram(mel.model_copy(update={"f_max_hz": mel.sample_rate / 2}))
        if config.fixed_codes:
            model.encoder.requires_grad_(False)
        self._waiting: Tensor | None = None
        self._steps, self._teller = 0, Teller(config.judged_from, logger)

    def train(self, mode: bool = True) -> Self:
        """Fixed codebooks are no moving averages."""
        super().train(mode)
        if self.config.fixed_codes:
            self.model.quantizer.eval()
        return self

    @torch.no_grad()
    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Principal components of the mels for the projections, and k-means for the codebooks."""
        encoder = self.model.encoder
        cuts = [self._slice(batch, self._room(batch) // 2) for batch in batches]
        if isinstance(encoder, MelEncoder):
            mels = [encoder.front_end(cut.real).transpose(1, 2).flatten(0, 1) for cut in cuts]
            lay_principal_components(encoder, self.model.restorer, torch.cat(mels))
        self._start(torch.cat([encoder(cut.real).transpose(1, 2).flatten(0, 1) for cut in cuts]))

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        self._steps = step + 1
        cut = self._slice(batch, random_starts(self._room(batch), generator))
        cut = louder(cut, self.config.gain_db, generator)
        if not bool(self.model.quantizer.started):  # weights were taken over that bring no codebooks
            with torch.no_grad():
                self._waiting = self.model.encoder(cut.real).transpose(1, 2).flatten(0, 1)
        kept = None
        if self.config.fixed_codes:  # the quantiser, which does not learn, draws none
            kept = self.model.quantizer.drawn_stages(len(cut.wide), cut.wide.device, generator)
        copied = self._copied(cut, step, generator, kept)
        terms = self._terms(cut, copied)
        if copied.sound is not None:
            terms |= yield from self.game(step, cut.real, copied.sound)
        weights = self.config.loss_weights_for(terms)
        if self.balancer is not None and copied.sound is not None:
            heard = {name: term for name, term in terms.items() if name in HEARD_LOSSES}
            terms["balanced"] = self.balancer(heard, weights, copied.sound)
            weights = {name: weight for name, weight in weights.items() if name not in heard} | {"balanced": 1.0}
        counts = {} if cut.pitch is None else pitch_counts(self._inner(cut), cut.pitch)
        yield Update("model", terms, weights, counts)

    def observe(self, terms: Mapping[str, Tensor]) -> None:
        """Lays codebooks that nothing has laid yet among the states of the step."""
        if self._waiting is not None:
            # Not within a step: what is drawn there is shared out item by item, and k-means draws otherwise.
            self._start(self._waiting, shared=True)
            self._waiting = None

    @torch.no_grad()
    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Distances of a slice in the middle of each recording, without the discriminators' terms, and codebook use.

        distance, half_distance: of the log-mels of the copies with all stages and with half of them. `total` is the
        weighted sum of the distances.
        """
        cut = self._slice(batch, self._room(batch) // 2)
        copied = self._copied(cut, None, generator)
        assert copied.sound is not None
        found = self._terms(cut, copied)
        total = Update("model", found, self.config.loss_weights_for(found)).total()
        found["distance"] = self._distance(copied.sound, cut)
        half = (self.model.stages + 1) // 2
        kept = torch.full((len(cut.wide),), half, device=cut.wide.device)
        coarse = self._copied(cut, None, generator, kept).sound
        assert coarse is not None
        found["half_distance"] = self._distance(coarse, cut)
        for stage in range(self.model.stages):
            found[f"perplexity_{stage + 1}"] = copied.quantized.perplexity[stage]
            found[f"used_{stage + 1}"] = copied.quantized.used[stage]
        self._teller.tell(self.health({name: float(value) for name, value in found.items()}), self._steps)
        return {**found, "total": total}

    def health(self, measures: Mapping[str, float]) -> list[Reading]:
        """The readings of what `validate` measured."""
        return health(measures, self.model.code_count, self.model.stages)

    @torch.no_grad()
    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The first recording's mel and its copy's."""
        real = batch.waveform[:1, : int(batch.waveform_lengths[0])]
        copy = self.model.reconstruct(real, batch.speaker[:1], generator)
        return {"mel/recording": self.loss_mel(real)[0], "mel/copy": self.loss_mel(copy)[0]}

    # ---- the codec ----

    def _copied(
        self, cut: Slice, step: int | None, generator: Generator | None, kept: Int[Tensor, " batch"] | None = None
    ) -> Copied:
        """step: None renders in any case. kept: stages of each item, see ResidualQuantizer."""
        model, config = self.model, self.config
        quantized = model.quantizer(model.encoder(cut.wide), None, kept, generator)
        mel = None if model.restorer is None else model.restorer(quantized.latent)
        spectrum, sound = None, None
        if mel is not None and isinstance(model.decoder, RefinedDecoder):
            if step is None or step >= config.restored_steps:
                spectrum = self._spectrum(mel, cut, generator)
            if spectrum is not None and (step is None or step >= config.magnitude_steps):
                sound = model.decoder.render(spectrum, config.refinements)
        else:
            sound = model.decoder(quantized.latent)[0]
        inner = None if sound is None else sound[:, cut.margin : sound.shape[1] - cut.margin]
        return Copied(quantized, mel, spectrum, inner)

    def _spectrum(self, mel: Float[Tensor, "batch mels frames"], cut: Slice, generator: Generator | None) -> Spectrum:
        decoder = self.model.decoder
        if isinstance(decoder, SourcedDecoder):
            return decoder.spectrum(mel, None, cut.pitch, generator)
        assert isinstance(decoder, RefinedDecoder)
        return decoder.spectrum(mel)

    def _inner(self, cut: Slice) -> Bool[Tensor, "batch 1 frames"]:
        """Frames of the slice without its margins."""
        margin, hop = cut.margin // self.model.hop_length, self.model.hop_length
        inner = torch.zeros(len(cut.wide), 1, cut.wide.shape[1] // hop, dtype=torch.bool, device=cut.wide.device)
        inner[..., margin : inner.shape[2] - margin] = True
        return inner

    def _terms(self, cut: Slice, copied: Copied) -> dict[str, Tensor]:
        """The terms that have been computed; `restored` and `magnitude` are taken inside the margins."""
        weights, margin = self.config.loss_weights, cut.margin // self.model.hop_length
        terms = {"commitment": copied.quantized.commitment}
        encoder = self.model.encoder
        if copied.mel is not None:
            front_end = encoder.front_end if isinstance(encoder, MelEncoder) else self.loss_mel
            inside = slice(margin, copied.mel.shape[2] - margin)
            terms["restored"] = (copied.mel - front_end(cut.wide))[:, :, inside].abs().mean()
        if copied.spectrum is not None:
            assert isinstance(self.model.decoder, RefinedDecoder)
            found = copied.spectrum.magnitude[:, :, margin:]
            terms["magnitude"] = magnitude_distance(self.model.decoder.stft, found, cut.real)
        if copied.mel is not None and cut.pitch is not None:
            assert isinstance(self.model.decoder, SourcedDecoder)
            inner, mel = self._inner(cut), copied.mel.detach()  # mels are not to be made for the sake of the pitch
            terms |= pitch_terms(self.model.decoder.pitch_predictor, mel, torch.ones_like(inner), inner, cut.pitch)
        if copied.sound is not None:
            terms |= spectral_terms(self.loss_mel, self.spectral, copied.sound.unsqueeze(0), cut.real)
            if weights.get("waveform", 0.0):
                terms["waveform"] = (copied.sound - cut.real).abs().mean()
            if self.multi_mel is not None:
                terms["multi_mel"] = self.multi_mel(copied.sound, cut.real)
        return terms

    def _distance(self, sound: Float[Tensor, "batch samples"], cut: Slice) -> Tensor:
        return (self.loss_mel(sound) - self.loss_mel(cut.real)).abs().mean()

    def _start(self, states: Float[Tensor, "points latent"], shared: bool = False) -> None:
        draw, quantizer = Generator().manual_seed(0), self.model.quantizer
        count = min(START_FRAMES_PER_CODE * quantizer.size, MOST_START_FRAMES)
        some = torch.randperm(len(states), generator=draw)[:count]
        quantizer.start(states[some.to(states.device)], draw, shared)

    # ---- slices ----

    def _room(self, batch: SpeechBatch) -> Int[Tensor, " batch"]:
        """Frames of each recording beyond those of a slice."""
        return (batch.waveform_lengths // self.model.hop_length - self.config.slice_frames).clamp(min=0)

    def _slice(self, batch: SpeechBatch, start: Int[Tensor, " batch"]) -> Slice:
        hop, frames, margin = self.model.hop_length, self.config.slice_frames, self.config.slice_margin_frames
        cut = slice_of(batch, start * hop, frames * hop, margin * hop)
        if not self.model.decoder.takes_pitch:
            return cut
        if batch.f0 is None:
            raise ConfigError("a decoder with a source needs F0 in the batch")
        place = torch.arange(-margin, frames + margin, device=start.device)
        return replace(cut, pitch=pitch_at(batch.f0, start.unsqueeze(1) + place))
