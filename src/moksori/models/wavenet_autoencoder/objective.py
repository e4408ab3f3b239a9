"""How the autoencoder is trained: reconstruction against confusion, and the way back from virtual singers.

    L_rec = CE( D(shift(x), E(aug(x)), v_j), x )    L_conf = CE( C(E(x)), j )    L_bt = CE( D(shift(x), E(y), v_j), x )

C minimises L_conf; E and D minimise L_rec - lambda L_conf, and in phase 2 by turns L_bt - lambda L_conf (Nachmani and
Wolf 2019, sections 3.2 and 3.3; lambda and the alternation are those of UMTN's code).
"""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.errors import ConfigError
from moksori.models.contract import Objective, Update
from moksori.models.health import Reading, Teller
from moksori.models.wavenet_autoencoder.augment import (
    crops,
    draw_speeds,
    draw_versions,
    four_fold,
    laid_back,
    pitch_slices,
    played,
)
from moksori.models.wavenet_autoencoder.backtranslation import Crop, Pair, Pool
from moksori.models.wavenet_autoencoder.config import WavenetAutoencoderObjectiveConfig
from moksori.models.wavenet_autoencoder.confusion import CodeMemory, ConfusionNetwork, PitchRegressor, resisted
from moksori.models.wavenet_autoencoder.driving import driven_by
from moksori.models.wavenet_autoencoder.health import CollapseDetector, health
from moksori.models.wavenet_autoencoder.model import WavenetAutoencoder
from moksori.models.wavenet_autoencoder.partials import Driven
from moksori.models.wavenet_autoencoder.pitch import standard_pitch
from moksori.nn.crops import random_starts
from moksori.nn.gradient_reversal import accuracy, ramp
from moksori.types import SpeechBatch

logger = logging.getLogger(__name__)

BITS = 1.0 / math.log(2.0)
REMEMBERED = 32
"""Crops of codes from earlier steps that C learns from in a step, where they are kept."""


class WavenetAutoencoderObjective(Objective):
    """Both phases, the confusion network and PitchNet's regressor."""

    model: WavenetAutoencoder

    def __init__(self, model: WavenetAutoencoder, config: WavenetAutoencoderObjectiveConfig) -> None:
        super().__init__(model)
        self.config = config
        settings, code = model.config, model.config.encoder.code_channels
        singers, confusion = settings.num_speakers, config.confusion
        self.confusion: ConfusionNetwork | None = None
        if singers > 1 and confusion.weight:
            self.confusion = ConfusionNetwork(
                code, confusion.channels, confusion.num_layers, singers, confusion.standardize
            )
        self.memory: CodeMemory | None = None
        if self.confusion is not None and confusion.memory:
            self.memory = CodeMemory(confusion.memory, code, self.crop_samples // settings.encoder.pool)
        self.regressor: PitchRegressor | None = None
        if settings.pitch is not None and config.pitch_weight:
            self.regressor = PitchRegressor(code, config.pitch_channels, 3)
        self.pool: Pool | None = None
        if config.back_translation is not None:
            if settings.decoders == "per_domain" or settings.singer_channels == 0:
                raise ConfigError(
                    "objective.back_translation mixes singers' vectors, which this decoder is not given: set it to null"
                )
            pitches = 0 if settings.pitch is None else self.crop_samples // settings.pitch.hop_length
            self.pool = Pool(config.back_translation, self.crop_samples, pitches)
        noise_bits = 16.0 if settings.decoder.mixtures else 8.0
        self.detector = CollapseDetector(singers, config.watch_from_step, noise_bits)
        self._steps, self._teller = 0, Teller(config.watch_from_step, logger)

    @property
    def crop_samples(self) -> int:
        """Of a crop, in whole windows of the encoder: at least one."""
        pool = self.model.config.encoder.pool
        return max(self.config.crop_samples // pool, 1) * pool

    def parameter_groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        regressor = [] if self.regressor is None else list(self.regressor.parameters())
        groups: dict[str, Iterable[nn.Parameter]] = {"model": [*self.model.parameters(), *regressor]}
        if self.confusion is not None:
            groups["confusion"] = self.confusion.parameters()
        return groups

    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Nothing is taken from the data; one singer alone is told, however many rows the table has."""
        heard = {int(singer) for batch in batches for singer in batch.speaker}
        alone = self.model.num_singers == 1 or len(heard) == 1
        if alone and self.config.confusion.weight and self.model.config.singer_channels:
            logger.warning(
                "the corpus has one singer: nothing teaches the codes to be free of who sings, so other people's songs "
                "will keep much of their voice; add recordings of others"
            )

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        self._steps = step + 1
        crop = self._versions(self._crop(batch, random_starts(self._room(batch), generator)), generator)
        pair = self._pair(crop, step, generator)
        codes = self._heard(crop, generator)
        if self.confusion is not None:
            yield self._confusion_update(crop, codes, generator)
        if pair is None:
            terms = self._reconstruction(crop, codes)
        else:
            terms = self._reconstruction(pair.crop, self.model.encode(pair.sung, generator), "back_translation")
        terms |= self._resisted(crop, codes, step)
        yield Update("model", terms, {name: weight for name, weight in self._weights().items() if name in terms})

    @torch.no_grad()
    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Reconstruction of a crop in the middle of each recording, teacher-forced, and what `health` reads.

        `total` is reconstruction in nats a sample. After some hundred steps a reading that is not well is logged, once.
        """
        model = self.model
        crop = self._crop(batch, self._room(batch) // 2)
        codes, vector = model.encode(crop.waveform), model.vectors(crop.singer)
        terms = self._reconstruction(crop, codes)
        found = {**terms, "code_spread": spread(codes)}
        if len(codes) > 1:
            other = self._mean_nats(crop, codes.roll(1, 0), vector)
            found["code_gain"] = (other - terms["reconstruction"]) * BITS
        if model.num_singers > 1 and model.tells_singers:
            stranger = model.vectors((crop.singer + 1) % model.num_singers)
            found["singer_gain"] = (self._mean_nats(crop, codes, stranger) - terms["reconstruction"]) * BITS
        if self.confusion is not None:
            logits = self.confusion(codes)
            found["confusion"] = F.cross_entropy(logits, crop.singer)
            found["code_probe"] = accuracy(logits, crop.singer)
        if self.regressor is not None and crop.f0 is not None:
            found["pitch_resisted"] = self.regressor.error(codes, *self._code_pitch(crop.f0))
        self._teller.tell(self.health({name: float(value) for name, value in found.items()}), self._steps)
        return {**found, "total": terms["reconstruction"]}

    def health(self, measures: Mapping[str, float]) -> list[Reading]:
        """The readings of what `validate` measured."""
        return health(measures, self.model.num_singers)

    def observe(self, terms: Mapping[str, Tensor]) -> None:
        """Raises TrainingCollapsed where the run has gone wrong for good."""
        self.detector.look({name: float(value) for name, value in terms.items()}, self._steps)

    @torch.no_grad()
    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The codes of the first recording's middle, channel by frame."""
        return {"codes": self.model.encode(self._crop(batch, self._room(batch) // 2).waveform)[0]}

    # ---- crops ----

    def _room(self, batch: SpeechBatch) -> Int[Tensor, " batch"]:
        """Places where a crop may begin, less one, in frames of the condition's hop."""
        return (batch.waveform_lengths - self.crop_samples).clamp(min=0) // self.model.hop_length

    def _crop(self, batch: SpeechBatch, start: Int[Tensor, " batch"]) -> Crop:
        """`crop_samples` from a frame on; a recording that is shorter is repeated."""
        hop, pitch = self.model.hop_length, self.model.config.pitch
        waveform = crops(batch.waveform, batch.waveform_lengths, start * hop, self.crop_samples)
        f0 = None
        if pitch is not None:
            if batch.f0 is None:
                raise ConfigError("model.pitch: the batch has no F0; prepare the corpus with the model's needs")
            f0 = crops(batch.f0, batch.waveform_lengths // hop, start, self.crop_samples // hop)
        return Crop(waveform, batch.speaker, f0)

    def _versions(self, crop: Crop, generator: Generator | None) -> Crop:
        """One of the four versions of each item, its pitch turned round with it."""
        if not self.config.four_fold:
            return crop
        reverse, flip = draw_versions(len(crop.singer), crop.singer.device, generator)
        f0 = None if crop.f0 is None else four_fold(crop.f0, reverse, torch.zeros_like(flip))
        return Crop(four_fold(crop.waveform, reverse, flip), crop.singer, f0)

    def _heard(self, crop: Crop, generator: Generator | None) -> Float[Tensor, "batch code frames"]:
        """Codes of what the encoder hears of a crop in training, at the crop's own times."""
        config, waveform = self.config, crop.waveform
        with torch.no_grad():
            if config.slice_semitones:
                waveform = pitch_slices(waveform, config.slice_semitones, generator)
        if not config.speed:
            return self.model.encode(waveform, generator)
        pool = self.model.config.encoder.pool
        speed = draw_speeds(len(waveform), config.speed, waveform.device, generator)
        codes = self.model.encode(played(waveform, speed, config.speed, pool), generator)
        return laid_back(codes, speed, self.crop_samples // pool)

    def _pair(self, crop: Crop, step: int, generator: Generator | None) -> Pair | None:
        """What this step learns the way back from; None in phase 1 and in the steps between."""
        settings = self.config.back_translation
        if self.pool is None or settings is None:
            return None
        if self.pool.is_due(step):
            self.pool.refresh(self.model, crop, generator)
        since = step - settings.start_step
        if since < 0 or since % settings.every != settings.every - 1:
            return None
        return self.pool.draw(len(crop.singer), generator)

    # ---- terms ----

    def _reconstruction(
        self, crop: Crop, codes: Float[Tensor, "batch code frames"], name: str = "reconstruction"
    ) -> dict[str, Tensor]:
        vector = self.model.vectors(crop.singer)
        driven = driven_by(self.model, crop.waveform, codes, vector, crop.f0)
        nats = self._mean_nats(crop, codes, vector, driven)
        bits = "bits" if name == "reconstruction" else "back_translation_bits"
        return {name: nats, bits: nats.detach() * BITS, **({} if driven is None else driven.errors)}

    def _mean_nats(self, crop: Crop, codes: Tensor, vector: Tensor, driven: Driven | None = None) -> Float[Tensor, ""]:
        first = min(self.config.unscored_samples, crop.waveform.shape[1] - 1)
        return self.model.nats(crop.waveform, codes, vector, crop.f0, first, driven=driven).mean()

    def _confusion_update(
        self, crop: Crop, codes: Float[Tensor, "batch code frames"], generator: Generator | None
    ) -> Update:
        assert self.confusion is not None
        with torch.no_grad():
            seen = self.model.encode(crop.waveform) if self.config.confusion.own_codes else codes.detach()
        known, singer = seen, crop.singer
        if self.memory is not None:
            self.memory.keep(seen, singer)
            earlier, whose = self.memory.draw(REMEMBERED, generator)
            known, singer = torch.cat([seen, earlier.to(seen)]), torch.cat([singer, whose])
        logits = self.confusion(known)
        terms = {
            "confusion": F.cross_entropy(logits, singer),
            "code_probe": accuracy(logits, singer),
            "code_spread": spread(seen),
        }
        return Update("confusion", terms, {"confusion": 1.0})

    def _resisted(self, crop: Crop, codes: Float[Tensor, "batch code frames"], step: int) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        settings = self.config.confusion
        if self.confusion is not None:
            strength = ramp(step, settings.ramp_steps)
            terms["singer_resisted"] = resisted(self.confusion, codes, crop.singer, settings.resistance, strength)
        if self.regressor is not None and crop.f0 is not None:
            terms["pitch_resisted"] = self.regressor.error(codes, *self._code_pitch(crop.f0))
        return terms

    def _weights(self) -> dict[str, float]:
        config = self.config
        weights = {"reconstruction": 1.0, "back_translation": 1.0}
        weights |= {"partials": config.partials_weight, "strength": config.strength_weight}
        if self.confusion is not None:
            weights["singer_resisted"] = self.config.confusion.weight
        if self.regressor is not None:
            weights["pitch_resisted"] = self.config.pitch_weight
        return weights

    def _code_pitch(
        self, f0: Float[Tensor, "batch pitches"]
    ) -> tuple[Float[Tensor, "batch frames"], Float[Tensor, "batch frames"]]:
        """Standardised pitch of each code's window, a mean over its voiced frames, and whether there is one."""
        height, voiced = standard_pitch(f0)
        times = self.model.config.encoder.pool // self.model.hop_length
        share = voiced.unflatten(1, (-1, times)).sum(dim=2)
        total = height.unflatten(1, (-1, times)).sum(dim=2)
        return total / share.clamp(min=1.0), (share > 0).to(f0.dtype)


@torch.no_grad()
def spread(codes: Float[Tensor, "batch code frames"]) -> Float[Tensor, ""]:
    """Standard deviation of codes over time, a mean over items and channels: 0 where they never change."""
    return codes.float().std(dim=2, correction=0).mean()
