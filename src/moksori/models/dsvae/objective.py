"""What D-DSVAE minimises: L = L_rec + alpha KL_s + beta KL_c (Lian et al. 2022, section 2.3).

The reductions decide what alpha and beta mean. Here L_rec is a mean over items, frames and bands; KL_s is summed over
its dimensions, KL_c too and averaged over frames, and both are divided by the number of bands. At crops of T frames the
plain bound has alpha = 1 / T and beta = 1; the published pair (0.01, 10) at T = 100 is that with content ten times as
dear. The nats themselves are logged too: `speaker_nats` of a recording, `content_nats` of a frame.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.errors import ConfigError
from moksori.models.contract import Objective, Update
from moksori.models.decoders.pitch import Pitch, pitch_from_f0
from moksori.models.decoders.reconstruction import pitch_terms
from moksori.models.dsvae.adversary import Judged, game
from moksori.models.dsvae.config import MEL_UNITS, DsvaeObjectiveConfig
from moksori.models.dsvae.disguise import Disguise
from moksori.models.dsvae.harmonics import mean_pitch
from moksori.models.dsvae.model import Dsvae, Latents
from moksori.models.dsvae.recentre import content_mean
from moksori.models.dsvae.same_voice import same_voice
from moksori.models.dsvae.symptoms import constants_kept, content_constant, symptoms
from moksori.nn.crops import random_starts
from moksori.nn.discriminators import MelDiscriminator
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.masks import sequence_mask
from moksori.types import SpeechBatch

logger = logging.getLogger(__name__)

VOICING_SHARE = 0.3
"""Of the pitch's weight, for voicing: cross entropies are larger numbers than errors of ln F0."""
UNIT_FRAMES = 20_000
"""Frames that k-means looks at."""
SYMPTOMS_FROM = 300
"""Steps before which no symptom is looked for."""


@dataclass(frozen=True)
class Crops:
    """Log-mels of the same stretch of each recording: what the encoders see, and what the decoder is to say.

    units: of its frames, where they come with the batch. pitch: of the clean recording, where the model predicts it.
    """

    seen: Float[Tensor, "batch mels frames"]
    clean: Float[Tensor, "batch mels frames"]
    units: Int[Tensor, "batch frames"] | None = None
    pitch: Pitch | None = None


@dataclass(frozen=True)
class Said:
    """What a step made: the content that it drew, the decoder's mel, and the one wanted, both standardised."""

    content: Float[Tensor, "batch frames content"]
    mel: Float[Tensor, "batch mels frames"]
    wanted: Float[Tensor, "batch mels frames"]


class DsvaeObjective(Objective):
    """D-DSVAE's loss, and a discriminator's where the configuration asks for one."""

    model: Dsvae

    def __init__(self, model: Dsvae, config: DsvaeObjectiveConfig) -> None:
        super().__init__(model)
        self.config = config
        self.disguise = Disguise(model.config.mel, config.disguise) if config.disguise else None
        self.microphone: Disguise | None = None
        if config.same_voice is not None:
            self.microphone = Disguise(model.config.mel, 0.0, config.same_voice.bend)
        self.discriminator: MelDiscriminator | None = None
        if config.adversary is not None:
            self.discriminator = MelDiscriminator(config.adversary.channels, model.config.speaker_channels)
        self._steps, self._warned = 0, set[str]()

    @property
    def discriminators(self) -> nn.Module | None:
        """What going on starts well with, beside the model."""
        return self.discriminator

    @property
    def newest_is_best(self) -> bool:
        """With a discriminator: what it teaches makes the distance to the recordings larger."""
        return self.discriminator is not None

    def parameter_groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        groups: dict[str, Iterable[nn.Parameter]] = {"model": self.model.parameters()}
        if self.discriminator is not None:
            groups["discriminator"] = self.discriminator.parameters()
        return groups

    @torch.no_grad()
    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Mean and spread of each mel band; the centres of the units, where there are some."""
        model, batches = self.model, list(batches)
        mels = [(model.mel(batch.waveform), batch.waveform_lengths // model.hop_length) for batch in batches]
        if len(torch.cat([batch.speaker for batch in batches]).unique()) == 1:
            logger.warning(
                "the corpus has one speaker: nothing teaches z_s who speaks, nor z_c to be free of it, so conversions "
                "will keep their sources' voices; add recordings of others"
            )
        pieces = [(mel, sequence_mask(lengths, mel.shape[2])) for mel, lengths in mels]
        model.standardize.fit_all(pieces)
        if model.units is not None:
            standard = torch.cat([model.standardize(mel).transpose(1, 2)[mask[:, 0]] for mel, mask in pieces])
            draw = Generator().manual_seed(0)
            some = torch.randperm(len(standard), generator=draw)[:UNIT_FRAMES]
            model.units.fit(standard[some], draw)

    @torch.no_grad()
    def calibrate(self, model: nn.Module, batches: Iterable[SpeechBatch]) -> None:
        """What conversions need of all voices: the means of z_c over voiced frames and of z_s."""
        assert isinstance(model, Dsvae)
        config = model.config
        if not config.recentre and config.reach == 1.0:
            return
        voices = []
        for batch in batches:
            mel = model.mel(batch.waveform)
            mask = sequence_mask(batch.waveform_lengths // model.hop_length, mel.shape[2])
            voices.append(model.speaker_vector(mel, mask))
        mean = torch.cat(voices).mean(dim=0, keepdim=True)
        if config.recentre:
            model.mean_content.copy_(model.voice_centre(mean)[0])
        if config.reach != 1.0:
            model.mean_speaker.copy_(mean[0, : config.speaker_channels])

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        self._steps = step + 1
        room = (batch.waveform_lengths // self.model.hop_length - self.config.crop_frames).clamp(min=0)
        crops = self._crops(batch, random_starts(room, generator))
        voices: dict[str, Tensor] = {}
        if self.microphone is None:
            latents = self._latents(crops.seen, generator)
        else:
            latents, voices = self._heard_there(self.microphone, batch, crops, room, generator)
        terms, said = self._terms(crops, latents, generator)
        terms |= voices
        adversary, weights = self.config.adversary, self._weights(step)
        if adversary is not None and self.discriminator is not None and step >= adversary.start_step:
            elsewhere = self._crops(batch, random_starts(room, generator), noisy=False)
            judged = self._judged(batch, said, crops, elsewhere)
            against = yield from game(self.discriminator, adversary, step, judged)
            if against:
                terms |= against
                weights |= {
                    "adversarial": adversary.weight, "feature_matching": adversary.feature_matching_weight
                }  # fmt: skip
        yield Update("model", terms, weights)

    def _judged(self, batch: SpeechBatch, said: Said, crops: Crops, elsewhere: Crops) -> Judged:
        """What was said, and the same words in the voice of the batch's next recording.

        elsewhere: other stretches of the recordings, which tell the voices. The conversion's gradients end at the
        decoder: what is said, and who speaks, is learnt from reconstruction alone.
        """
        model = self.model
        with torch.no_grad():
            voice = model.encode(elsewhere.clean).speaker.mean
        content, pitch = said.content.detach(), crops.pitch
        if pitch is not None and batch.f0 is not None:
            height = mean_pitch(pitch_from_f0(batch.f0))
            pitch = Pitch(pitch.log_f0 + height.roll(-1, 0) - height, pitch.voicing)
        given = content if pitch is None else model.with_pitch(content, pitch)
        asked = voice.roll(-1, 0)
        return Judged(said.wanted, said.mel, model.decoder(asked, given).after, voice, asked)

    @torch.no_grad()
    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The same terms of clean recordings, how many dimensions are used, and what `symptoms` reads; `total` has beta
        at its final value. After the warm-up and some hundred steps a symptom is logged as a warning, once."""
        frames = batch.waveform_lengths // self.model.hop_length
        middle = (frames - self.config.crop_frames).clamp(min=0) // 2
        crops = self._crops(batch, middle, noisy=False)
        latents = self.model.encode(crops.clean)
        terms, _ = self._terms(crops, latents, generator)
        found = {
            "active_speaker": _active(latents.speaker),
            "active_content": _active(latents.content),
            "content_constant": content_constant(latents.content.mean),
            **{name: torch.tensor(share) for name, share in constants_kept(self.model, crops.clean).items()},
        }
        self._warn({**terms, **found})
        return {**terms, **found, "total": Update("model", terms, self._weights(None)).total()}

    def symptoms(self, measures: Mapping[str, float]) -> dict[str, str]:
        """What is wrong by the measures of `validate`: name -> what was found and what to do."""
        return symptoms(measures)

    def _warn(self, measures: Mapping[str, Tensor]) -> None:
        if self._steps < max(SYMPTOMS_FROM, 2 * self.config.beta_warmup_steps):
            return  # nothing goes through either latent at first
        for name, line in symptoms({key: float(value) for key, value in measures.items()}).items():
            if name not in self._warned:
                self._warned.add(name)
                logger.warning("step %d: %s: %s", self._steps, name, line)

    @torch.no_grad()
    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The first recording's mel, its reconstruction, and the same words with the second one's voice."""
        lengths = batch.waveform_lengths // self.model.hop_length
        mel = self.model.mel(batch.waveform)
        mask = sequence_mask(lengths, mel.shape[2])
        voices = self.model.speaker_vector(mel, mask)
        first = mel[:1, :, : int(lengths[0])]
        own, other = (self.model.converted(first, voices[place : place + 1]) for place in (0, len(voices) - 1))
        return {"mel/recording": first[0], "mel/copy": own[0], "mel/converted": other[0]}

    def _weights(self, step: int | None) -> dict[str, float]:
        config = self.config
        ramp = 1.0 if step is None or not config.beta_warmup_steps else min(1.0, step / config.beta_warmup_steps)
        weights = {"reconstruction": 1.0, "speaker_kl": config.alpha, "content_kl": config.beta * ramp}
        if self.model.config.centred:
            weights["centre"] = config.beta * config.centre_weight
        if config.same_voice is not None and step is not None:
            weights["same_voice"] = config.same_voice.weight
        if self.model.pitch_predictor is not None:
            weights |= {"pitch": config.pitch_weight, "voicing": VOICING_SHARE * config.pitch_weight}
        return weights

    def _heard_there(
        self,
        microphone: Disguise,
        batch: SpeechBatch,
        crops: Crops,
        room: Int[Tensor, " batch"],
        generator: Generator | None,
    ) -> tuple[Latents, dict[str, Tensor]]:
        """The speaker as other stretches of the recordings tell, and what is lost where they tell another one.

        The first stretch has its noise and a bent spectrum, the other one neither: what both have in common is not the
        room.
        """
        model, config = self.model, self.config.same_voice
        assert config is not None
        disguised = crops.seen if self.disguise is None else self.disguise(crops.seen, generator)
        there = self._crops(batch, random_starts(room, generator), noisy=False)
        mels = torch.cat([disguised, microphone(crops.seen, generator), there.clean])
        said, first, second = model.shared_encoder(model.standardize(mels)).chunk(3)
        one, other = model.speaker_posterior(first), model.speaker_posterior(second)
        found = same_voice(one.mean, other.mean, batch.speaker, config.temperature)
        latents = Latents(other, model.content_posterior(said))
        return latents, {"same_voice": found.loss, "voices_right": found.right}

    def _terms(self, crops: Crops, latents: Latents, generator: Generator | None) -> tuple[dict[str, Tensor], Said]:
        model, bands = self.model, crops.clean.shape[1]
        speaker, content = latents.speaker.sample(generator), latents.content.sample(generator)
        prior = model.content_prior(content, self._units(crops), generator)
        constant: dict[str, Tensor] = {}
        if model.config.centred:
            voiced, every = (
                content_mean(latents.content.mean, voicing)
                for voicing in (None if crops.pitch is None else crops.pitch.voicing, None)
            )
            content = content - voiced.unsqueeze(1)
            constant["centre"] = 0.5 * torch.stack([voiced, every]).square().sum(dim=2).mean() / bands
        # The decoder learns with the tracker's pitch, so that it need not allow for the predictor's errors.
        given = content if crops.pitch is None else model.with_pitch(content, crops.pitch)
        decoded, wanted = model.decoder(speaker, given), model.standardize(crops.clean)
        speaker_nats = latents.speaker.kl_to_standard().sum(dim=1)
        content_kl = latents.content.kl(prior)
        content_nats = content_kl.sum(dim=2)
        terms = {
            "reconstruction": self._distance(decoded.before, wanted) + self._distance(decoded.after, wanted),
            "speaker_kl": _held(speaker_nats, self.config.speaker_capacity) / bands,
            "content_kl": self._content_term(content_kl) / bands,
            "speaker_nats": speaker_nats.mean().detach(),
            "content_nats": content_nats.mean().detach(),
            **constant,
            **self._pitch_terms(crops),
        }
        return terms, Said(content, decoded.after, wanted)

    def _latents(self, mel: Float[Tensor, "batch mels frames"], generator: Generator | None) -> Latents:
        """Both posteriors; that of the content hears a disguised recording, where that is asked for."""
        model = self.model
        if self.disguise is None:
            return model.encode(mel)
        both = model.shared_encoder(model.standardize(torch.cat([mel, self.disguise(mel, generator)])))
        own, disguised = both.chunk(2)
        return Latents(model.speaker_posterior(own), model.content_posterior(disguised))

    def _pitch_terms(self, crops: Crops) -> dict[str, Tensor]:
        if crops.pitch is None or self.model.pitch_predictor is None:
            return {}
        seen = self.model.standardize(crops.seen)
        mask = torch.ones(len(seen), 1, seen.shape[2], dtype=torch.bool, device=seen.device)
        return pitch_terms(self.model.pitch_predictor, seen, mask, mask, crops.pitch)

    def _content_term(self, kl: Float[Tensor, "batch frames channels"]) -> Float[Tensor, ""]:
        if self.config.free_nats:
            return kl.mean(dim=1).clamp(min=self.config.free_nats).sum(dim=1).mean()
        return _held(kl.sum(dim=2).mean(dim=1), self.config.content_capacity)

    def _distance(self, found: Tensor, wanted: Tensor) -> Float[Tensor, ""]:
        difference = found.float() - wanted.float()
        return difference.square().mean() if self.config.distance == "squared" else difference.abs().mean()

    def _crops(self, batch: SpeechBatch, start: Int[Tensor, " batch"], noisy: bool = True) -> Crops:
        """The mels of `crop_frames` frames from `start` on. A shorter recording is repeated: silence would put its
        length into z_s."""
        mel = self.model.config.mel
        hop, margin = mel.hop_length, -(-mel.n_fft // (2 * mel.hop_length))
        count = self.config.crop_frames + 2 * margin
        place = (start - margin).unsqueeze(1) * hop + torch.arange(count * hop, device=start.device)
        index = place % batch.waveform_lengths.unsqueeze(1)
        clean = self._mel(batch.waveform.gather(1, index), margin)
        seen = clean
        if noisy and batch.noisy is not None:
            seen = self._mel(batch.noisy.gather(1, index), margin)
        frame = start.unsqueeze(1) + torch.arange(self.config.crop_frames, device=start.device)
        frame = frame % (batch.waveform_lengths.unsqueeze(1) // hop)
        units = None if batch.units is None else batch.units.gather(1, frame)
        return Crops(seen, clean, units, self._pitch(batch, frame))

    def _pitch(self, batch: SpeechBatch, frame: Int[Tensor, "batch frames"]) -> Pitch | None:
        if self.model.pitch_predictor is None:
            return None
        if batch.f0 is None:
            raise ConfigError("model.pitch: the batch has no F0; prepare the corpus with the model's needs")
        pitch = pitch_from_f0(batch.f0)
        return Pitch(pitch.log_f0.gather(1, frame), pitch.voicing.gather(1, frame))

    def _units(self, crops: Crops) -> Int[Tensor, "batch frames"] | None:
        """What the prior is told of each frame."""
        kind = self.model.config.prior.units
        if kind in ("none", *MEL_UNITS):
            return self.model.unit_ids(crops.clean)
        if crops.units is None:
            raise ConfigError(f"model.prior.units={kind}: the batch has no units; prepare the corpus with its needs")
        return crops.units

    def _mel(self, waveform: Tensor, margin: int) -> Float[Tensor, "batch mels frames"]:
        return self.model.mel(waveform)[:, :, margin:-margin]


def _held(nats: Float[Tensor, " batch"], capacity: float | None) -> Float[Tensor, ""]:
    """The mean over recordings, of each one's distance from the capacity where there is one."""
    return (nats if capacity is None else (nats - capacity).abs()).mean()


def _active(posterior: DiagonalGaussian) -> Float[Tensor, ""]:
    """Dimensions whose posterior mean varies over the batch: variance above 0.01."""
    means = posterior.mean.detach().flatten(0, -2)
    return (means.var(dim=0, correction=0) > 0.01).sum().float()
