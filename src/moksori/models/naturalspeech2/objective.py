"""How NaturalSpeech 2 is trained: prior, prompt encoder and denoiser together, on the codes of a codec that stays; and,
in a stage of its own, the postfilter.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from moksori.errors import ConfigError
from moksori.losses.diffusion import score_weight, weighed_square
from moksori.losses.residual_codes import latents_of_codes, residual_cross_entropy
from moksori.models.contract import Update
from moksori.models.contract_latents import CanCompress
from moksori.models.health import Teller
from moksori.models.naturalspeech2.config import Naturalspeech2ObjectiveConfig
from moksori.models.naturalspeech2.denoiser import Prepared
from moksori.models.naturalspeech2.health import health
from moksori.models.naturalspeech2.model import Naturalspeech2
from moksori.models.naturalspeech2.pitch import Pitch
from moksori.models.naturalspeech2.postfilter_game import PostfilterGame
from moksori.models.naturalspeech2.prior import Prior
from moksori.models.naturalspeech2.prompt_cut import Crop, Cut, cut, taken
from moksori.models.postfilter import PostfilterObjective
from moksori.nn.alignment import durations_to_path, expand_by_path
from moksori.nn.masks import masked, sequence_mask
from moksori.nn.precision import full_precision
from moksori.types import SpeechBatch

logger = logging.getLogger(__name__)

SLACK_SECONDS = 0.3
"""Prompts are whole phonemes, and so may be shorter than was asked for: room for so much more target than is left."""
VALIDATED_TIMES = (0.1, 0.25, 0.5, 0.75, 0.95)
"""At which validation looks: times that were drawn would make its measures jump."""
EARLY = 0.3
"""Before it the guess is good enough for its codes to say how training goes."""


class Naturalspeech2Objective(PostfilterObjective):
    """L = L_data + L_score + 0.1 L_ce-rvq + L_duration + L_pitch.

    codebooks: of the codec, of which the codes of batches are; take_codebooks gives them. code_power: mean squared
    length of the codes of each stage.
    """

    model: Naturalspeech2
    codebooks: Tensor
    code_power: Tensor

    def __init__(self, model: Naturalspeech2, config: Naturalspeech2ObjectiveConfig) -> None:
        super().__init__(model)
        self.config, settings = config, model.config
        self._teller, self._steps = Teller(config.watch_from_step, logger), 0
        self.postfilter_game: PostfilterGame | None = None
        if config.postfilter is not None:
            self.postfilter_game = PostfilterGame(config.postfilter, model, config.crop_frames)
        self.freeze_around_postfilter()
        # Until there are any, codes stand for something: as large as the noise in the first stage, and ever smaller.
        draw = torch.Generator().manual_seed(0)
        shape = settings.stages, settings.code_count, settings.latent_channels
        falling = 0.7 ** torch.arange(settings.stages, dtype=torch.float32, device="cpu")
        drawn = torch.randn(*shape, generator=draw, device="cpu")
        self.register_buffer("codebooks", drawn * falling[:, None, None])
        self.register_buffer("code_power", self._power())

    def _power(self) -> Float[Tensor, " stages"]:
        return self.codebooks.square().sum(dim=2).mean(dim=1).clamp(min=1e-8)

    def take_codec(self, codec: CanCompress) -> None:
        """Its codebooks, and for the postfilter the mels that it reads off latents.

        Raises ConfigError for a codec that the model's settings do not describe; it, or UnsupportedTask, for one that
        has no mels to show.
        """
        self.take_codebooks(codec.codebooks.detach().float())
        if self.postfilter_game is not None:
            self.postfilter_game.take_codec(codec)

    @torch.no_grad()
    def take_codebooks(self, codebooks: Float[Tensor, "stages entries channels"]) -> None:
        """Raises ConfigError for those of a codec that the model's settings do not describe."""
        wanted, given = tuple(self.codebooks.shape), tuple(codebooks.shape)
        if given[0] < wanted[0] or given[1:] != wanted[1:]:
            raise ConfigError(
                f"model.codec {self.model.config.codec}: has {given[0]} codebooks of {given[1]} entries with "
                f"{given[2]} numbers; the model's stages, code_count and latent_channels say {wanted[0]}, "
                f"{wanted[1]} and {wanted[2]}: set them to the codec's (stages may be fewer)"
            )
        self.codebooks.copy_(codebooks[: wanted[0]])
        self.code_power.copy_(self._power())

    @torch.no_grad()
    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Mean and deviation of the latents, channel by channel, and what pitch there is."""
        pieces, pitches = [], []
        for batch in batches:
            mask = sequence_mask(self._frame_lengths(batch), self._width(batch))
            pieces.append((latents_of_codes(self._codes(batch), self.codebooks), mask))
            f0 = self._f0(batch)
            pitches.append(f0[f0 > 0.0].log())
        self.model.standardize.fit_all(pieces)
        heights = torch.cat(pitches)
        bias = self.model.pitch_predictor.head.bias
        if len(heights) and bias is not None:
            bias[0] = heights.median()

    # ---- one step ----

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        self._steps = step + 1
        device, items = batch.waveform.device, len(batch.names)
        drawn = torch.rand(items, 4, generator=generator, device=device)
        if self.postfilter_game is not None:
            self.model.eval()  # what stays as it is speaks as it will
            with torch.no_grad():
                prior = self.prior(batch, generator, drawn[:, 3])
            yield from self.postfilter_game.updates(self.model, prior, step, generator)
            return
        prior = self.prior(batch, generator, drawn[:, 3])
        t = self.config.t_min + (1.0 - self.config.t_min) * drawn[:, 0]
        noise = torch.randn(prior.latent.shape, generator=generator, device=device)
        prepared = self.model.prepared(
            prior.condition,
            prior.prompt,
            drawn[:, 1] >= self.config.drop_condition,
            drawn[:, 2] >= self.config.drop_prompt,
        )
        guess = self._guess(prior, prepared, t, noise)
        stages = self._drawn_stages(prior.codes.shape[1], generator, device)
        terms = {**self._terms(prior, guess, t, stages)[0], **prior.terms}
        yield Update(
            "model", terms, self._weights(terms), {name: prior.counts.get(name, prior.learnt.sum()) for name in terms}
        )

    def prior(
        self,
        batch: SpeechBatch,
        generator: Generator | None = None,
        places: Float[Tensor, " batch"] | None = None,
    ) -> Prior:
        """Cuts prompts, predicts durations and pitch, and makes the condition of the true ones.

        places: where in each target, 0 to 1, the frames are that a step learns from; None: it is all of them.
        """
        model, found = self.model, self._cut(batch, generator)
        assert batch.tokens is not None and batch.stress is not None and batch.durations is not None  # noqa: PT018
        crop = Crop.of(found, self.config.crop_frames, places)
        frames, mask, token_mask = taken(found.frames, crop.at), crop.mask, found.token_mask
        all_codes = self._codes(batch)
        codes = taken(all_codes, frames)
        prompt = model.hear(self._latent(found.of_prompt(all_codes), found.prompt_mask), found.prompt_lengths)
        durations = found.of_tokens(batch.durations)
        states = model.encode(found.of_tokens(batch.tokens), found.of_tokens(batch.stress), token_mask, prompt)
        path = taken(durations_to_path(durations, found.frames.shape[1]), crop.at)
        expanded = masked(expand_by_path(states, path), mask)  # `expanded` does so for all frames
        pitch = Pitch.of(self._f0(batch))
        pitch = Pitch(taken(pitch.log_f0, frames), taken(pitch.voiced, frames))
        log_durations = model.log_durations(states, token_mask, prompt)
        log_f0, voicing = model.predicted_pitch(expanded, mask, prompt)
        terms = {
            "duration": _mean((log_durations.float() - torch.log1p(durations.float())).abs(), token_mask[:, 0]),
            "pitch": _mean((log_f0.float() - pitch.log_f0).abs(), crop.whole[:, 0]),
        }
        if voicing is not None:
            error = F.binary_cross_entropy_with_logits(voicing.float(), pitch.voiced.float(), reduction="none")
            terms["voicing"] = _mean(error, crop.whole[:, 0])
        condition = model.condition(expanded, pitch, mask)
        latent, learnt = self._latent(codes, mask), taken(found.learnt, crop.at) & crop.whole
        count = crop.whole.sum()
        counts = {"duration": token_mask.sum(), "pitch": count, "voicing": count}
        return Prior(found, latent, codes, condition, mask, learnt, prompt, terms, counts)

    def _latent(
        self, codes: Int[Tensor, "batch stages frames"], mask: Bool[Tensor, "batch 1 frames"]
    ) -> Float[Tensor, "batch channels frames"]:
        """Standardised latents, 0 at padding."""
        with full_precision(codes.device.type):
            return masked(self.model.standardize(latents_of_codes(codes, self.codebooks)), mask)

    def _guess(
        self,
        prior: Prior,
        prepared: Prepared,
        t: Float[Tensor, " batch"],
        noise: Float[Tensor, "batch channels target"],
    ) -> Float[Tensor, "batch channels target"]:
        with full_precision(noise.device.type):
            noised = self.model.process.noised(prior.latent, t, noise)
        return self.model.guess(noised, t, prepared, prior.mask)

    def _terms(
        self,
        prior: Prior,
        guess: Float[Tensor, "batch channels target"],
        t: Float[Tensor, " batch"],
        stages: Sequence[int],
    ) -> tuple[dict[str, Tensor], Float[Tensor, " looked_at"]]:
        """Of the denoiser's guess: its terms, and how many codes of each stage are right."""
        learnt, config = prior.learnt, self.config
        with full_precision(guess.device.type):
            weight = score_weight(self.model.process, t, config.score_weight, config.score_cap)
            raw, unit = self.model.standardize.inverse(guess), config.cross_entropy_unit
            tau = config.cross_entropy_temperature * self._unit(raw, prior)
            codes = residual_cross_entropy(
                raw, prior.codes, self.codebooks, learnt, stages, tau, of_items=unit == "error"
            )
            terms = {
                "data": weighed_square(guess, prior.latent, learnt),
                "score": weighed_square(guess, prior.latent, learnt, weight),
                "cross_entropy": codes.loss,
            }
        return terms, codes.accuracy

    def _unit(self, raw: Float[Tensor, "batch channels target"], prior: Prior) -> Tensor | float:
        """What squared distances count in: see `Naturalspeech2ObjectiveConfig.cross_entropy_unit`."""
        if self.config.cross_entropy_unit == "one":
            return 1.0
        if self.config.cross_entropy_unit == "code":
            return self.code_power
        with torch.no_grad():
            missed = (raw - self.model.standardize.inverse(prior.latent)).square().mean(dim=1, keepdim=True)
            mean = (missed * prior.learnt).sum(dim=(1, 2)) / prior.learnt.sum(dim=(1, 2)).clamp(min=1)
            return 2.0 * mean.clamp(min=0.25 * float(self.code_power[-1]) / raw.shape[1])

    def _weights(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        config = self.config
        weights = {
            "data": config.data_weight,
            "score": config.score_loss_weight,
            "cross_entropy": config.cross_entropy_weight,
            "duration": config.duration_weight,
            "pitch": config.pitch_weight,
            "voicing": config.voicing_weight,
        }
        return {name: weight for name, weight in weights.items() if name in terms}

    # ---- validation ----

    @torch.no_grad()
    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The terms at a few fixed times, all stages looked at, and three signs of how training goes.

        codes_N: share of the frames whose N-th code can be read off early guesses. condition_gain, prompt_gain: what
        the data loss rises by at late times, as a share of itself, without the text or without the prompt.
        """
        prior = self.prior(batch, generator)
        if self.postfilter_game is not None:
            return self.postfilter_game.validate(self.model, prior, generator)
        noise = torch.randn(prior.latent.shape, generator=generator, device=prior.latent.device)
        stages = range(prior.codes.shape[1])
        keep = torch.ones(len(batch.names), dtype=torch.bool, device=noise.device)
        full = self.model.prepared(prior.condition, prior.prompt)
        without = {
            "condition_gain": self.model.prepared(prior.condition, prior.prompt, ~keep, keep),
            "prompt_gain": self.model.prepared(prior.condition, prior.prompt, keep, ~keep),
        }
        found: list[dict[str, Tensor]] = []
        early, gains = [], {}
        for time in VALIDATED_TIMES:
            t = torch.full((len(batch.names),), time, device=noise.device)
            terms, accuracy = self._terms(prior, self._guess(prior, full, t, noise), t, stages)
            found.append(terms)
            if time < EARLY:
                early.append(accuracy)
            if time == VALIDATED_TIMES[-1]:
                for name, prepared in without.items():
                    missed = self._terms(prior, self._guess(prior, prepared, t, noise), t, stages[:1])[0]["data"]
                    gains[name] = missed / terms["data"].clamp(min=1e-6) - 1.0
        means = {name: torch.stack([terms[name] for terms in found]).mean() for name in found[0]}
        all_terms = {**means, **prior.terms}
        total = Update("model", all_terms, self._weights(all_terms)).total()
        shares = torch.stack(early).mean(dim=0)
        codes = {f"codes_{stage + 1}": shares[stage] for stage in stages}
        measures = {**all_terms, **codes, **gains, "total": total}
        self._teller.tell(health({name: float(value) for name, value in measures.items()}), self._steps)
        return measures

    @torch.no_grad()
    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Of the first recording: its latents without the prompt, and the guess of them at t = 0.5 and 0.95."""
        prior = self.prior(batch, generator)
        noise = torch.randn(prior.latent.shape, generator=generator, device=prior.latent.device)
        prepared, frames = self.model.prepared(prior.condition, prior.prompt), int(prior.cut.frame_lengths[0])
        drawn = {"latent/recording": prior.latent[0, :, :frames]}
        for time in (0.5, 0.95):
            t = torch.full((len(batch.names),), time, device=noise.device)
            drawn[f"latent/guess_{time:g}"] = self._guess(prior, prepared, t, noise)[0, :, :frames]
        return drawn

    # ---- what a batch holds ----

    def _cut(self, batch: SpeechBatch, generator: Generator | None) -> Cut:
        """Draws how long prompts are, for all items together, so that all processes have room for the same; and where
        they lie, for each."""
        assert batch.durations is not None and batch.token_lengths is not None  # noqa: PT018
        config, model, device = self.config, self.model, batch.waveform.device
        shortest, longest = (seconds * model.sample_rate / model.hop_length for seconds in config.prompt_seconds)
        drawn = [float(torch.rand((), generator=generator, device=device)) for _ in range(2)]
        width = self._width(batch)
        length = max(1, min(round(shortest + (longest - shortest) * drawn[0]), width // 2))
        places = torch.rand(len(batch.names), 2, generator=generator, device=device)
        other, room = None, width - length + round(SLACK_SECONDS * model.sample_rate / model.hop_length)
        if drawn[1] < config.other_prompt:
            other, room = _others(batch.speaker, places[:, 1]), width
        return cut(
            batch.durations, batch.token_lengths, length, places[:, 0], min(room, width), config.junction_frames, other
        )

    def _drawn_stages(self, stages: int, generator: Generator | None, device: torch.device) -> list[int]:
        order = torch.randperm(stages, generator=generator, device=device)
        return sorted(int(stage) for stage in order[: self.config.cross_entropy_stages])

    def _frame_lengths(self, batch: SpeechBatch) -> Int[Tensor, " batch"]:
        return batch.waveform_lengths // self.model.hop_length

    def _width(self, batch: SpeechBatch) -> int:
        return batch.waveform.shape[1] // self.model.hop_length

    def _codes(self, batch: SpeechBatch) -> Int[Tensor, "batch stages frames"]:
        if batch.codes is None:
            raise ConfigError("model.codec: the batch has no codes; prepare the corpus with the model's needs")
        return batch.codes[:, : len(self.codebooks)]

    def _f0(self, batch: SpeechBatch) -> Float[Tensor, "batch frames"]:
        if batch.f0 is None:
            raise ConfigError("model.pitch: the batch has no F0; prepare the corpus with the model's needs")
        return batch.f0


def _mean(values: Float[Tensor, "batch steps"], mask: Bool[Tensor, "batch steps"]) -> Float[Tensor, ""]:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _others(speaker: Int[Tensor, " batch"], place: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """For each item another one of the same speaker, drawn by `place`; -1 where there is none."""
    same = (speaker[:, None] == speaker[None, :]) & ~torch.eye(len(speaker), dtype=torch.bool, device=speaker.device)
    count = same.sum(dim=1)
    wanted = (place * count).long() + 1
    chosen = (same.cumsum(dim=1) >= wanted.unsqueeze(1)).long().argmax(dim=1)
    return torch.where(count > 0, chosen, -1)
