"""How a VQ-VAE is trained: reconstruction, and states and codes that are drawn to each other.

    L = L_rec + |sg(z) - e|² + beta |z - sg(e)|²     (van den Oord et al. 2017, eq. 3)

L_rec: mean distance of standardised mels, or nats a sample. With codes that are a moving average the second term is
gone. A classifier reads the speaker off the codes; with objective.scrubbing.weight the encoder is taught to resist it.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelConfig, MelSpectrogram
from moksori.errors import ConfigError
from moksori.models.contract import Objective, Update
from moksori.models.health import Reading, Teller
from moksori.models.vqvae.config import VqvaeObjectiveConfig
from moksori.models.vqvae.conversion import mean_log_f0, standard_melody
from moksori.models.vqvae.decoder import MelDecoder, SampleDecoder
from moksori.models.vqvae.encoder import MelEncoder
from moksori.models.vqvae.health import CollapseDetector, health
from moksori.models.vqvae.model import Vqvae
from moksori.models.vqvae.probe import SpeakerProbe
from moksori.nn.crops import random_starts
from moksori.nn.gradient_reversal import accuracy, ramp, reversed_gradient
from moksori.nn.masks import repeated_mask
from moksori.nn.vector_quantize import Quantized, jittered
from moksori.types import SpeechBatch

logger = logging.getLogger(__name__)

BITS = 1.0 / math.log(2.0)
START_FRAMES_PER_CODE, MOST_START_FRAMES = 20, 8192
"""Of states that k-means lays the codebook among, for each code and at most."""


@dataclass(frozen=True)
class Crop:
    """A stretch of each recording: what the encoder hears, with its margins, and what the decoder is to make of it.

    target: standardised log-mels, or samples. centre: mean ln F0 of each recording, what its melody is set against.
    mask: codes that lie within the recording.
    """

    features: Float[Tensor, "batch features steps"]
    target: Float[Tensor, "batch *shape"]
    melody: Float[Tensor, "batch 2 frames"] | None
    centre: Float[Tensor, "batch 1"]
    mask: Bool[Tensor, "batch 1 codes"]
    speaker: Int[Tensor, " batch"]


class VqvaeObjective(Objective):
    """The loss, the classifier, and what is said of the run."""

    model: Vqvae

    def __init__(self, model: Vqvae, config: VqvaeObjectiveConfig) -> None:
        super().__init__(model)
        self.config = config
        settings, scrubbing = model.config, config.scrubbing
        self.front_end: MelSpectrogram | None = None
        if isinstance(model.decoder, MelDecoder):
            self.front_end = MelSpectrogram(model.decoder.config.mel)
        self.probe: SpeakerProbe | None = None
        if settings.num_speakers > 1:
            self.probe = SpeakerProbe(
                settings.code_channels, scrubbing.channels, scrubbing.num_layers, settings.num_speakers
            )
        self.detector = CollapseDetector(model.quantizer.size, config.judged_from)
        self._steps, self._teller = 0, Teller(config.judged_from, logger)
        self._last_passed: Tensor | None = None

    def parameter_groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        groups: dict[str, Iterable[nn.Parameter]] = {"model": self.model.parameters()}
        if self.probe is not None:
            groups["probe"] = self.probe.parameters()
        return groups

    @torch.no_grad()
    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Mean and spread of each mel band; then the codebook is laid among the first states."""
        model, held = self.model, list(batches)
        if model.config.num_speakers == 1:
            logger.warning(
                "the corpus has one speaker: nothing teaches the decoder to listen to the table, so other people's "
                "recordings will keep much of their voice; add recordings of others"
            )
        crops = [self._crop(batch, self._room(batch) // 2, standard=False) for batch in held]
        if isinstance(model.encoder, MelEncoder):
            model.encoder.standardize.fit_all((c.features, _all(c.features)) for c in crops)
        if isinstance(model.decoder, MelDecoder):
            times = model.config.frames_per_code
            model.decoder.standardize.fit_all((c.target, repeated_mask(c.mask, times)) for c in crops)
        self._start(torch.cat([model.states(crop.features)[crop.mask[:, 0]] for crop in crops]))

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        self._steps = step + 1
        crop = self._crop(batch, random_starts(self._room(batch), generator))
        states = self.model.states(crop.features)
        passes = step < self.config.pass_steps
        if step == self.config.pass_steps - 1:
            self._last_passed = states.detach()[crop.mask[:, 0]]
        quantized = self.model.quantizer(states, crop.mask, passes, generator)
        if self.probe is not None:
            logits = self.probe(quantized.states.detach(), crop.mask)
            terms = {"speaker_probed": F.cross_entropy(logits, crop.speaker)}
            yield Update("probe", terms | {"speaker_probe": accuracy(logits, crop.speaker)}, {"speaker_probed": 1.0})
        terms, counts = self._terms(crop, states, quantized, generator)
        weights = {"reconstruction": 1.0, "quantisation": 0.0 if passes else 1.0}
        scrubbing = self.config.scrubbing
        if self.probe is not None and scrubbing.weight:
            strength = ramp(step, scrubbing.ramp_steps)
            logits = self.probe(reversed_gradient(quantized.states, strength), crop.mask)
            terms["speaker_resisted"] = F.cross_entropy(logits, crop.speaker)
            weights["speaker_resisted"] = scrubbing.weight
        yield Update("model", terms, weights, counts)

    @torch.no_grad()
    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The terms of a crop in the middle of each recording, and what `health` reads.

        `total` is the loss without what the classifier adds. After some steps a reading that is not well is logged.
        """
        model = self.model
        crop = self._crop(batch, self._room(batch) // 2)
        states = model.states(crop.features)
        quantized = model.quantizer(states, crop.mask)
        terms, _ = self._terms(crop, states, quantized, generator)
        found = dict(terms)
        lost = terms["reconstruction"].clamp(min=1e-9)
        if len(states) > 1:
            other = self._reconstruction(crop, quantized.states.roll(1, 0), crop.speaker)
            found["code_gain"] = other / lost - 1.0
        if model.config.num_speakers > 1:
            stranger = (crop.speaker + 1) % model.config.num_speakers
            found["speaker_gain"] = self._reconstruction(crop, quantized.states, stranger) / lost - 1.0
        if self.probe is not None:
            logits = self.probe(quantized.states, crop.mask)
            found["speaker_probed"] = F.cross_entropy(logits, crop.speaker)
            found["speaker_probe"] = accuracy(logits, crop.speaker)
        self._teller.tell(self.health({name: float(value) for name, value in found.items()}), self._steps)
        return {**found, "total": terms["reconstruction"] + terms["quantisation"]}

    def health(self, measures: Mapping[str, float]) -> list[Reading]:
        """The readings of what `validate` measured."""
        return health(measures, self.model.quantizer.size, self.model.config.num_speakers)

    def observe(self, terms: Mapping[str, Tensor]) -> None:
        """Lays the codebook once states have passed long enough; raises TrainingCollapsed where the run has gone wrong
        for good."""
        if self._last_passed is not None and "reconstruction" in terms:
            # Not within a step: what is drawn there is shared out item by item, and k-means draws otherwise.
            self._start(self._last_passed, shared=True)
            self._last_passed = None
        self.detector.look({name: float(value) for name, value in terms.items()}, self._steps)

    @torch.no_grad()
    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The first recording's middle: which code is taken when, and its mels beside those made of them."""
        crop = self._crop(batch, self._room(batch) // 2)
        model = self.model
        quantized = model.quantizer(model.states(crop.features), crop.mask)
        found = {"codes": F.one_hot(quantized.codes[0], model.quantizer.size).T.float()}
        if isinstance(model.decoder, MelDecoder):
            made = model.decoder(
                model.condition(quantized.states, crop.melody, crop.centre), model.vectors(crop.speaker)
            )
            found |= {"mel/recording": crop.target[0], "mel/made": made[0]}
        return found

    def _start(self, states: Float[Tensor, "points code"], shared: bool = False) -> None:
        """Lays the codebook among states, where the settings say so. shared: see Quantizer.start."""
        if self.config.start == "none":
            return
        draw, quantizer = Generator().manual_seed(0), self.model.quantizer
        count = min(START_FRAMES_PER_CODE * quantizer.size, MOST_START_FRAMES)
        some = torch.randperm(len(states), generator=draw)[:count]
        quantizer.start(states[some.to(states.device)], draw, shared)

    # ---- terms ----

    def _terms(
        self,
        crop: Crop,
        states: Float[Tensor, "batch codes code"],
        quantized: Quantized,
        generator: Generator | None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What is minimised and logged, and of how many codes each is the mean."""
        model = self.model
        passed = quantized.states
        if model.training and model.config.jitter:
            passed = jittered(passed, model.config.jitter, crop.mask, generator)
        count = crop.mask.sum()
        with torch.no_grad():
            lengths = states.float().norm(dim=2) * crop.mask[:, 0]
            chosen = quantized.states.float().norm(dim=2)  # 0 beyond the ends
        terms = {
            "reconstruction": self._reconstruction(crop, passed, crop.speaker, generator),
            "quantisation": quantized.loss,
            "commitment": quantized.commitment.detach(),
            "state_norm": lengths.sum() / count.clamp(min=1),
            "code_norm": chosen.sum() / count.clamp(min=1),
        }
        counts = {name: count for name in terms}
        if not model.makes_mels:
            terms["bits"] = terms["reconstruction"].detach() * BITS
            counts["bits"] = count
        return {**terms, "perplexity": quantized.perplexity, "codes_used": quantized.used}, counts

    def _reconstruction(
        self,
        crop: Crop,
        states: Float[Tensor, "batch codes code"],
        speaker: Int[Tensor, " batch"],
        generator: Generator | None = None,
    ) -> Float[Tensor, ""]:
        """Of real frames: mean distance a number of their mels, or nats a sample."""
        model, config = self.model, self.config
        condition, vector = model.condition(states, crop.melody, crop.centre), model.vectors(speaker)
        if isinstance(model.decoder, SampleDecoder):
            first = min(config.unscored_samples, crop.target.shape[1] - 1)
            nats = model.decoder.nats(crop.target, condition, vector, first, generator)
            real = crop.mask[:, 0].repeat_interleave(model.config.code_samples, dim=1)[:, first:]
            return (nats * real).sum() / real.sum().clamp(min=1)
        mask = repeated_mask(crop.mask, model.config.frames_per_code)
        difference = model.decoder(condition, vector, mask).float() - crop.target
        distance = difference.square() if config.distance == "squared" else difference.abs()
        return (distance.mean(dim=1, keepdim=True) * mask).sum() / mask.sum().clamp(min=1)

    # ---- crops ----

    def _room(self, batch: SpeechBatch) -> Int[Tensor, " batch"]:
        """Codes of each recording beyond those of a crop."""
        return (batch.waveform_lengths // self.model.config.code_samples - self.config.crop_codes).clamp(min=0)

    def _crop(self, batch: SpeechBatch, start: Int[Tensor, " batch"], standard: bool = True) -> Crop:
        """`crop_codes` codes of each recording from `start` on; beyond its ends there is silence.

        standard: whether target mels are standardised.
        """
        model, count = self.model, self.config.crop_codes
        encoder, config = model.encoder, model.config
        mels = encoder.config.mel if isinstance(encoder, MelEncoder) else None
        features = _heard(
            batch, start * encoder.steps - encoder.margin, count * encoder.steps + 2 * encoder.margin,
            encoder.step_samples, encoder.features, mels,
        )  # fmt: skip
        times = config.frames_per_code
        if self.front_end is not None and isinstance(model.decoder, MelDecoder):
            mel = self.front_end.config
            target = _heard(batch, start * times, count * times, mel.hop_length, self.front_end, mel)
            target = model.decoder.standardize(target) if standard else target
        else:
            target = _samples(batch, start * config.code_samples, count * config.code_samples)
        last = (start.unsqueeze(1) + 1 + torch.arange(count, device=start.device)) * config.code_samples
        mask = (last <= batch.waveform_lengths.unsqueeze(1)).unsqueeze(1)
        melody, centre = self._melody(batch, start * times, count * times)
        return Crop(features, target, melody, centre, mask, batch.speaker)

    def _melody(
        self, batch: SpeechBatch, start: Int[Tensor, " batch"], frames: int
    ) -> tuple[Float[Tensor, "batch 2 frames"] | None, Float[Tensor, "batch 1"]]:
        """The melody of a stretch, where the model is given one, and the mean ln F0 of each recording."""
        if self.model.config.pitch is None:
            return None, batch.waveform.new_zeros(len(batch.names), 1)
        if batch.f0 is None:
            raise ConfigError("model.pitch: the batch has no F0; prepare the corpus with the model's needs")
        place = start.unsqueeze(1) + torch.arange(frames, device=start.device)
        inside = place < batch.waveform_lengths.unsqueeze(1) // self.model.config.condition_samples
        f0 = batch.f0.gather(1, place.clamp(max=batch.f0.shape[1] - 1)) * inside
        centre = mean_log_f0(batch.f0)
        return standard_melody(f0, centre), centre


def _samples(batch: SpeechBatch, start: Int[Tensor, " batch"], count: int) -> Float[Tensor, "batch count"]:
    """`count` samples of each recording from `start` on, zeros beyond its ends."""
    place = start.unsqueeze(1) + torch.arange(count, device=start.device)
    inside = (place >= 0) & (place < batch.waveform_lengths.unsqueeze(1))
    return batch.waveform.gather(1, place.clamp(min=0, max=batch.waveform.shape[1] - 1)) * inside


def _heard(
    batch: SpeechBatch,
    start: Int[Tensor, " batch"],
    count: int,
    hop: int,
    front_end: Callable[[Tensor], Tensor],
    mel: MelConfig | None,
) -> Float[Tensor, "batch features count"]:
    """`count` steps of what a front end hears from step `start` on; mels are those of the recording, not of a cut."""
    edge = 0 if mel is None else -(-mel.n_fft // (2 * hop))
    heard = front_end(_samples(batch, (start - edge) * hop, (count + 2 * edge) * hop))
    return heard[:, :, edge : edge + count]


def _all(features: Float[Tensor, "batch features steps"]) -> Bool[Tensor, "batch 1 steps"]:
    return torch.ones_like(features[:, :1], dtype=torch.bool)
