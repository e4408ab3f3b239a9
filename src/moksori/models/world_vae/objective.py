"""How the VAE and VAW-GAN are trained, and the game between them that a setting chooses.

    L_rec = 0.5 sum over bins of (x - G(z, y))²        KL = KL(q(z | x) || N(0, I))        both in nats a frame
    phase 1: E and G minimise L_rec + kl_weight · KL
    phase 2: G minimises gamma · W besides, where W = mean D(x; y) - mean D(G(z, y'); y') with y' another speaker; D
    makes W as large as its slope lets it. E gets no gradient of W, and D none of L_rec.

Hsu et al. 2016 and 2017; in place of a critic for each pair of speakers there is one that is told the speaker.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.errors import ConfigError
from moksori.losses.adversarial import cross_entropy_discriminator, cross_entropy_generator
from moksori.losses.wasserstein import gradient_penalty, wasserstein_distance
from moksori.models.contract import Objective, Update
from moksori.models.health import Reading, Teller
from moksori.models.world_vae.config import WorldVaeObjectiveConfig
from moksori.models.world_vae.health import CollapseDetector, health
from moksori.models.world_vae.model import WorldVae
from moksori.models.world_vae.networks import Critic
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.frozen import frozen
from moksori.nn.gradient_reversal import accuracy
from moksori.types import SpeechBatch

logger = logging.getLogger(__name__)

VALIDATED_FRAMES = 32
"""Of each held-out recording, evenly over it."""
CALIBRATED_FRAMES = 256
"""That are converted to each speaker, for the post-filter."""
LEAST_FRAMES = 32
"""Of a speaker, without which nothing is known of that speaker's variance."""


@dataclass(frozen=True)
class Frames:
    """Frames of recordings `[batch, each]`, laid one after the other: items first, an item's frames behind each other.

    x: with their neighbours, in the range of the networks; centre: without.
    """

    items: int
    x: Float[Tensor, "frames context bins"]
    speaker: Int[Tensor, " frames"]
    f0: Float[Tensor, " frames"] | None

    @property
    def each(self) -> int:
        return len(self.x) // self.items

    @property
    def centre(self) -> Float[Tensor, "frames bins"]:
        return self.x[:, self.x.shape[1] // 2]

    def drawn(self, channels: int, generator: Generator | None) -> Float[Tensor, "frames channels"]:
        """N(0, 1) for each, the batch first: so processes that share a batch share it too."""
        size = (self.items, self.each, channels)
        return _drawn(torch.randn, size, self.x, generator).flatten(0, 1)

    def uniform(self, generator: Generator | None) -> Float[Tensor, " frames"]:
        """0 to 1 for each."""
        return _drawn(torch.rand, (self.items, self.each), self.x, generator).flatten()

    def others(self, speakers: int, generator: Generator | None) -> Int[Tensor, " frames"]:
        """Another speaker for each; the own one where there is no other."""
        if speakers == 1:
            return self.speaker
        device = self.x.device if generator is None else generator.device
        steps = torch.randint(1, speakers, (self.items, self.each), generator=generator, device=device)
        return (self.speaker + steps.flatten().to(self.speaker.device)) % speakers


class WorldVaeObjective(Objective):
    """Both phases, the critic, and a probe that reads the speaker off z."""

    model: WorldVae

    def __init__(self, model: WorldVae, config: WorldVaeObjectiveConfig) -> None:
        super().__init__(model)
        self.config = config
        settings, speakers = model.config, model.num_speakers
        if model.encoder is None and config.adversarial == "none":
            raise ConfigError(
                "model.encoder=null leaves a generator that only a critic can teach: set objective.adversarial to bce, "
                "clip or gp, or leave the encoder in"
            )
        self.critic: Critic | None = None
        if config.adversarial != "none":
            self.critic = Critic(config.critic, settings.bins, speakers, bias=config.adversarial == "bce")
        self.probe: nn.Linear | None = None
        if config.probe and speakers > 1 and model.encoder is not None:
            self.probe = nn.Linear(settings.latent_channels, speakers)
        closes = model.encoder is not None and config.kl_weight > 0.0
        self.detector = CollapseDetector(config.watch_from_step, closes, config.adversarial)
        self._steps, self._teller = 0, Teller(config.watch_from_step, logger)

    @property
    def discriminators(self) -> nn.Module | None:
        """What fine-tuning starts well with, beside the model."""
        return self.critic

    @property
    def newest_is_best(self) -> bool:
        return self.critic is not None

    def parameter_groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        groups: dict[str, Iterable[nn.Parameter]] = {"model": self.model.parameters()}
        if self.critic is not None:
            groups["critic"] = self.critic.parameters()
        if self.probe is not None:
            groups["probe"] = self.probe.parameters()
        return groups

    def critic_steps(self, step: int) -> int:
        """Of a training step; none in phase 1."""
        since = step - self.config.adversarial_from_step
        if self.critic is None or since < 0:
            return 0
        bursts = since < self.config.burst_first or since % self.config.burst_every == 0
        return max(self.config.critic_steps, self.config.burst_steps if bursts else 0)

    # ---- statistics of the data ----

    @torch.no_grad()
    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """The range of each bin, and of each speaker's pitch, over the frames of some batches."""
        shapes, f0, speaker = [], [], []
        for batch in batches:
            envelopes, lengths = _envelopes(batch)
            inside = torch.arange(envelopes.shape[1], device=lengths.device) < lengths[:, None]
            shapes.append(envelopes[:, :, envelopes.shape[2] // 2][inside])
            speaker.append(batch.speaker[:, None].expand_as(inside)[inside])
            if batch.envelope_f0 is not None:
                f0.append(batch.envelope_f0[inside])
        self.model.range.fit(torch.cat(shapes))
        if f0:
            self._fit_pitch(torch.cat(f0), torch.cat(speaker))
        if self.model.num_speakers == 1:
            logger.warning(
                "the corpus has one speaker: nothing teaches z to be free of who speaks, so other people's recordings "
                "will keep much of their voice; add recordings of others"
            )

    def _fit_pitch(self, f0: Float[Tensor, " frames"], speaker: Int[Tensor, " frames"]) -> None:
        table, heights = self.model.speaker_pitch, f0.clamp(min=1.0).log()
        if not bool((f0 > 0).any()):
            return
        every = heights[f0 > 0]
        table.copy_(torch.stack([every.mean(), every.std(correction=0)]).expand_as(table))
        for who in speaker.unique().tolist():
            own = heights[(speaker == who) & (f0 > 0)]
            if len(own) >= LEAST_FRAMES:
                table[who] = torch.stack([own.mean(), own.std(correction=0)]).to(table)
        table[:, 1].clamp_(min=0.02)

    @torch.no_grad()
    def calibrate(self, model: nn.Module, batches: Iterable[SpeechBatch]) -> None:
        """Variances for the post-filter: of each speaker's own frames, and of other frames as that speaker."""
        assert isinstance(model, WorldVae)
        parts = [_spread_over(model, batch, VALIDATED_FRAMES) for batch in batches]
        centre, speaker = (torch.cat(values) for values in ([p.centre for p in parts], [p.speaker for p in parts]))
        frames, f0 = torch.cat([p.x for p in parts]), [p.f0 for p in parts]
        track = None if f0[0] is None else torch.cat([value for value in f0 if value is not None])
        some = torch.linspace(0, len(frames) - 1, min(CALIBRATED_FRAMES, len(frames))).long().to(frames.device)
        latent = model.posterior(frames[some]).mean
        if model.encoder is None:
            latent = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0)).to(latent)
        pitch = model.pitch_of(None if track is None else track[some], speaker[some])
        for who in range(model.num_speakers):
            own = centre[speaker == who]
            if len(own) < LEAST_FRAMES:
                continue
            made = model.decode(latent, torch.full_like(speaker[some], who), pitch)
            model.own_variance[who] = own.var(dim=0, correction=0)
            model.made_variance[who] = made.var(dim=0, correction=0)
            model.made_mean[who] = made.mean(dim=0)

    # ---- training ----

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        self._steps = step + 1
        for turn in range(self.critic_steps(step)):
            yield self._critic_update(self._frames(batch, turn + 1), generator)
            if self.critic is not None and self.config.adversarial == "clip":
                self.critic.clip(self.config.clip)
        update, latent = self._model_update(self._frames(batch, 0), step, generator)
        yield update
        if self.probe is not None:
            logits = self.probe(latent.detach())
            speaker = self._frames(batch, 0).speaker
            terms = {"probe": F.cross_entropy(logits, speaker), "leak_probe": accuracy(logits, speaker)}
            yield Update("probe", terms, {"probe": 1.0})

    def _model_update(
        self, frames: Frames, step: int, generator: Generator | None
    ) -> tuple[Update, Float[Tensor, "frames latent"]]:
        """E's and G's step, and the means of z."""
        model, config = self.model, self.config
        posterior = model.posterior(frames.x)
        noise = frames.drawn(model.config.latent_channels, generator)
        latent = posterior.mean + noise * posterior.log_std.exp()
        terms: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        if model.encoder is not None:
            made = model.decode(latent, frames.speaker, model.pitch_of(frames.f0, frames.speaker))
            terms |= {"reconstruction": squared_error(made, frames.centre), "kl": _kl(posterior)}
            weights |= {"reconstruction": config.reconstruction_weight, "kl": config.kl_weight}
            if not model.config.unit_speakers and config.speaker_weight:
                terms["speaker_length"] = model.vectors(frames.speaker).square().sum(dim=1).mean()
                weights["speaker_length"] = config.speaker_weight
        if self.critic is not None and step >= config.adversarial_from_step:
            target = frames.others(model.num_speakers, generator)
            # No gradient of W goes into E: what is said is learnt from reconstruction alone.
            converted = model.decode(latent.detach(), target, model.pitch_of(frames.f0, frames.speaker))
            terms["adversarial"] = self._fooled(converted, target, frames)
            weights["adversarial"] = config.adversarial_weight
            if frames.each > 1:
                terms["spread_converted"] = _spread(converted.detach(), frames.items)
                terms["spread_real"] = _spread(frames.centre, frames.items)
        return Update("model", terms, weights), posterior.mean

    def _critic_update(self, frames: Frames, generator: Generator | None) -> Update:
        assert self.critic is not None
        converted, target = self._conversion(frames, generator)
        real, fake = self.critic(frames.centre, frames.speaker), self.critic(converted, target)
        terms: dict[str, Tensor] = {"distance": self._distance(real, fake)}
        if self.config.adversarial == "bce":
            terms["critic"] = cross_entropy_discriminator([real], [fake])
            return Update("critic", terms, {"critic": 1.0})
        terms["critic"] = -wasserstein_distance(real, fake)
        if self.config.adversarial == "clip":
            return Update("critic", terms, {"critic": 1.0})
        critic, share = self.critic, frames.uniform(generator)
        # What lies between a frame and what it was converted to is judged as the target's.
        terms["penalty"] = gradient_penalty(lambda x: critic(x, target), frames.centre, converted, share)
        return Update("critic", terms, {"critic": 1.0, "penalty": self.config.penalty_weight})

    @torch.no_grad()
    def _conversion(
        self, frames: Frames, generator: Generator | None, noise: float = 1.0
    ) -> tuple[Float[Tensor, "frames bins"], Int[Tensor, " frames"]]:
        """Frames converted to other speakers, and to whom. noise: of the posterior's own."""
        model = self.model
        posterior = model.posterior(frames.x)
        scale = 1.0 if model.encoder is None else noise
        latent = (
            posterior.mean + scale * frames.drawn(model.config.latent_channels, generator) * posterior.log_std.exp()
        )
        target = frames.others(model.num_speakers, generator)
        return model.decode(latent, target, model.pitch_of(frames.f0, frames.speaker)), target

    def _fooled(
        self, converted: Float[Tensor, "frames bins"], target: Int[Tensor, " frames"], frames: Frames
    ) -> Float[Tensor, ""]:
        """What G minimises of the critic's scores: W, or the non-saturating cross entropy."""
        assert self.critic is not None
        with frozen(self.critic):
            fake = self.critic(converted, target)
            if self.config.adversarial == "bce":
                return cross_entropy_generator([fake])
            with torch.no_grad():
                real = self.critic(frames.centre, frames.speaker)
        return self._scaled(wasserstein_distance(real, fake))

    def _distance(self, real: Float[Tensor, " frames"], fake: Float[Tensor, " frames"]) -> Float[Tensor, ""]:
        """W; for a discriminator how much likelier it takes real frames for real, -1 to 1."""
        with torch.no_grad():
            if self.config.adversarial == "bce":
                return wasserstein_distance(real.float().sigmoid(), fake.float().sigmoid())
            return self._scaled(wasserstein_distance(real, fake))

    def _scaled(self, distance: Float[Tensor, ""]) -> Float[Tensor, ""]:
        return distance / self.config.clip if self.config.adversarial == "clip" else distance

    def _frames(self, batch: SpeechBatch, turn: int) -> Frames:
        """Frames of each recording for the turn-th update of a step; they are gone round where there are fewer."""
        each = self.config.frames_per_clip
        place = turn * each + torch.arange(each, device=batch.speaker.device)
        return _chosen(self.model, batch, place.expand(len(batch.speaker), -1))

    # ---- how it is doing ----

    @torch.no_grad()
    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Frames from all over each recording, with the posterior's means, and what `health` reads.

        `total` is L_rec + kl_weight · KL in nats a frame; of a generator alone, how far mean and deviation of its
        frames lie from those of real ones. After some hundred steps a reading that is not well is logged, once.
        """
        model = self.model
        frames = _spread_over(model, batch, VALIDATED_FRAMES)
        converted, target = self._conversion(frames, generator, noise=0.0)
        found = {"spread": _spread(converted, frames.items) / _spread(frames.centre, frames.items).clamp(min=1e-12)}
        if self.critic is not None and self._steps > self.config.adversarial_from_step:
            found["distance"] = self._distance(
                self.critic(frames.centre, frames.speaker), self.critic(converted, target)
            )
        if model.encoder is None:
            total = _moments_apart(converted, frames.centre)
        else:
            found |= self._told_by_latent(frames)
            total = found["reconstruction"] + self.config.kl_weight * found["kl"]
        self._teller.tell(self.health({name: float(value) for name, value in found.items()}), self._steps)
        return {**found, "total": total}

    def _told_by_latent(self, frames: Frames) -> dict[str, Tensor]:
        model = self.model
        posterior, pitch = model.posterior(frames.x), model.pitch_of(frames.f0, frames.speaker)

        def error(latent: Tensor, speaker: Tensor) -> Tensor:
            return squared_error(model.decode(latent, speaker, pitch), frames.centre)

        own = error(posterior.mean, frames.speaker)
        found = {"reconstruction": own, "kl": _kl(posterior)}
        if len(frames.x) > 1:
            found["latent_gain"] = error(posterior.mean.roll(len(frames.x) // 2, 0), frames.speaker) - own
        if model.num_speakers > 1:
            found["speaker_gain"] = error(posterior.mean, (frames.speaker + 1) % model.num_speakers) - own
        if self.probe is not None:
            found["leak_probe"] = accuracy(self.probe(posterior.mean), frames.speaker)
        return found

    def health(self, measures: Mapping[str, float]) -> list[Reading]:
        """The readings of what `validate` measured."""
        return health(measures, self.model.num_speakers, self.config.adversarial)

    def observe(self, terms: Mapping[str, Tensor]) -> None:
        """Raises TrainingCollapsed where the run has gone wrong for good."""
        self.detector.look({name: float(value.detach()) for name, value in terms.items()}, self._steps)

    @torch.no_grad()
    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Frames of the first recording, bin by frame, and what they become in the voice of the next speaker."""
        frames = _spread_over(self.model, batch, VALIDATED_FRAMES)
        some = slice(0, frames.each)
        latent = self.model.posterior(frames.x[some]).mean
        pitch = self.model.pitch_of(None if frames.f0 is None else frames.f0[some], frames.speaker[some])
        target = (frames.speaker[some] + 1) % self.model.num_speakers
        return {"frames": frames.centre[some].T, "converted": self.model.decode(latent, target, pitch).T}


def squared_error(made: Float[Tensor, "frames bins"], wanted: Float[Tensor, "frames bins"]) -> Float[Tensor, ""]:
    """L_rec: -ln p(x) of a Gaussian of variance 1, without its constant; summed over bins, mean over frames."""
    return 0.5 * (made.float() - wanted).square().sum(dim=1).mean()


def _kl(posterior: DiagonalGaussian) -> Float[Tensor, ""]:
    return posterior.kl_to_standard().sum(dim=1).mean()


def _spread(frames: Float[Tensor, "frames bins"], items: int) -> Float[Tensor, ""]:
    """Variance of each bin within a recording's frames, a mean over bins and recordings."""
    return frames.unflatten(0, (items, -1)).var(dim=1, correction=0).mean()


def _moments_apart(made: Float[Tensor, "frames bins"], real: Float[Tensor, "frames bins"]) -> Float[Tensor, ""]:
    """Sum over bins of the squared differences of mean and deviation."""
    means = (made.mean(dim=0) - real.mean(dim=0)).square()
    deviations = (made.std(dim=0, correction=0) - real.std(dim=0, correction=0)).square()
    return (means + deviations).sum()


def _drawn(draw: Callable[..., Tensor], size: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    return draw(size, generator=generator, device=device).to(like.device)


def _envelopes(batch: SpeechBatch) -> tuple[Tensor, Tensor]:
    if batch.envelopes is None or batch.envelope_lengths is None:
        raise ConfigError("the batch has no spectral envelopes: prepare the corpus with the model's needs")
    return batch.envelopes, batch.envelope_lengths


def _chosen(model: WorldVae, batch: SpeechBatch, place: Int[Tensor, "batch each"]) -> Frames:
    """Frames by their places in each recording, which are gone round."""
    envelopes, lengths = _envelopes(batch)
    at = place.to(lengths.device) % lengths[:, None]
    rows = torch.arange(len(lengths), device=lengths.device)[:, None].expand_as(at)
    f0 = None if batch.envelope_f0 is None else batch.envelope_f0[rows, at].flatten()
    speaker = batch.speaker[:, None].expand_as(at).flatten()
    return Frames(len(lengths), model.range(envelopes[rows, at].flatten(0, 1)), speaker, f0)


def _spread_over(model: WorldVae, batch: SpeechBatch, count: int) -> Frames:
    """So many frames of each recording, evenly over it."""
    _, lengths = _envelopes(batch)
    share = (torch.arange(count, device=lengths.device) + 0.5) / count
    return _chosen(model, batch, (share * lengths[:, None]).long())
