"""What Flowtron minimises: the exact likelihood, the gate, and what makes the attention align (specification 4 to 6).

The likelihood alone does not teach the attention: each flow can foretell a frame from those before it. So there is a
beta-binomial prior, annealed away by the middle of the run; a forward-sum loss over all monotonic paths; the aligner's
path, where there is one; and frames that are hidden from the LSTMs.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.errors import ConfigError, unknown_name
from moksori.losses.alignment import beta_binomial_log_prior, forward_sum_loss
from moksori.models.contract import Update
from moksori.models.flowtron.alignment import AlignmentReport, alignment_report
from moksori.models.flowtron.config import FlowtronObjectiveConfig
from moksori.models.flowtron.flows import AffineFlow
from moksori.models.flowtron.model import Encoded, Flowtron
from moksori.models.flowtron.postfilter_game import PostfilterGame
from moksori.models.flowtron.prior import MixturePrior
from moksori.models.flowtron.text_mean import PitchedTextMean
from moksori.models.postfilter import PostfilterObjective
from moksori.nn.alignment import durations_to_path, monotonic_durations
from moksori.nn.detail import Detail
from moksori.nn.distributions import standard_normal
from moksori.nn.masks import sequence_mask
from moksori.nn.precision import full_precision
from moksori.types import SayControls, SpeechBatch, TextBatch

logger = logging.getLogger(__name__)


class FlowtronObjective(PostfilterObjective):
    """Flowtron's losses."""

    model: Flowtron

    def __init__(self, model: Flowtron, config: FlowtronObjectiveConfig) -> None:
        super().__init__(model)
        self.config = config
        if config.trained_parts:
            self._train_only(config.trained_parts)
        self.postfilter_game: PostfilterGame | None = None
        if config.postfilter is not None:
            self.postfilter_game = PostfilterGame(config.postfilter, model)
        self.freeze_around_postfilter()
        self._steps, self._warned = 0, False

    def _train_only(self, parts: tuple[str, ...]) -> None:
        known = dict(self.model.named_modules())
        for name in parts:
            if name not in known:
                raise unknown_name("part of the model", name, known)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(any(name.startswith(f"{part}.") for part in parts))

    @torch.no_grad()
    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Mean and spread of each mel band and the axes of their innovations, where the model has them; how long texts
        take to say."""
        held = list(batches)
        if self.model.config.standardize:
            heard = ((self._frames(batch), self._frame_lengths(batch)) for batch in held)
            self.model.standardize.fit_all((x, sequence_mask(lengths, x.shape[2])) for x, lengths in heard)
        if self.model.decorrelate is not None:
            mels = self.model.config.group * self.model.config.mel.n_mels
            self.model.decorrelate.fit([groups[:, :mels] for batch in held for groups in self._whole_groups(batch)])
        first = self.model.flows[0]
        assert isinstance(first, AffineFlow)
        if isinstance(first.step.text_mean, PitchedTextMean):
            first.step.text_mean.fit(self.model.standardize, self.model.decorrelate)
        self._fit_lengths(self.model, held)

    @torch.no_grad()
    def calibrate(self, model: nn.Module, batches: Iterable[SpeechBatch]) -> None:
        """How long texts take to say in these recordings, which an adapted model has from others; for a mixture prior
        what they choose on average, for texts that are spoken without any; and how much finer they are than what the
        model says of their texts."""
        assert isinstance(model, Flowtron)
        if self.postfilter_game is not None:
            return  # it has learnt what follows these as they are
        held = list(batches)
        self._fit_lengths(model, held)
        if isinstance(model.prior, MixturePrior):
            model.prior.average([model.mixture(model.frames(b.waveform, b.f0), self._frame_lengths(b)) for b in held])
        if model.detail is not None:
            self._fit_detail(model, model.detail, held)

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        self._steps = step + 1
        if self.postfilter_game is not None:
            yield from self.postfilter_game.updates(self.model, batch, text_of(batch), step, generator)
            return
        config = self.config
        lengths = self._frame_lengths(batch)
        groups = self.model.group_lengths(lengths)
        width = int(-(-(batch.waveform.shape[1] // self.model.hop_length) // self.model.config.group))
        keep = None
        if config.frame_dropout:
            drawn = torch.rand(len(lengths), len(self.model.flows), width, generator=generator, device=lengths.device)
            keep = (drawn >= config.frame_dropout).unbind(dim=1)
        trunk = config.gate_trunk_from is not None and step >= config.gate_trunk_from
        frames, memory = self._dithered(self._frames(batch), generator), self.model.memory(text_of(batch))
        prior = self._log_prior(batch, groups, width, config.prior_factor(step))
        path = self._frame_path(batch)
        encoded = self.model.encode(frames, lengths, memory, prior, keep=keep, gate_trunk=trunk, taught_path=path)
        terms = self._terms(batch, encoded)
        if encoded.missed_along is not None:
            # Along the aligner's path it learns at once, whatever the attention does not know yet.
            along = self._mean_of_groups(encoded.missed_along, groups)
            terms["text_mean"] = 0.5 * (terms["text_mean"] + along)
        yield Update("model", terms, self._weights(terms, step), self._counts(batch, groups))

    @torch.no_grad()
    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The same terms without any prior, as in speaking, and how well each flow's attention is aligned.

        `total` counts the path term as at the end of the run. Warns once if the prior is being taken away from an
        attention that is not aligned without it.
        """
        if self.postfilter_game is not None:
            return self.postfilter_game.validate(self.model, batch, text_of(batch), generator)
        memory = self.model.memory(text_of(batch))
        encoded = self.model.encode(self._frames(batch), self._frame_lengths(batch), memory)
        terms = self._terms(batch, encoded)
        reports = self._reports(batch, encoded)
        self._warn(reports)
        final = self.config.prior_hold_steps + self.config.prior_anneal_steps
        total = Update("model", terms, self._weights(terms, final)).total()
        found = {k: v for i, report in enumerate(reports) for k, v in report.measures(f"flow_{i}").items()}
        return {**terms, **found, "total": total}

    @torch.no_grad()
    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Of the first recording: each flow's attention without prior (tokens upwards), its mel, and its text as spoken
        anew with a latent that was drawn, as long as the recording."""
        batch = batch.rows(0, len(batch.names))
        lengths, heard = self._frame_lengths(batch), self._frames(batch)
        memory = self.model.memory(text_of(batch))
        encoded = self.model.encode(heard, lengths, memory)
        frames, groups = int(lengths[0]), int(encoded.group_lengths[0])
        noise = standard_normal(encoded.latent, generator)
        latent = self.model.prior.placed(noise, self.model.config.variation, generator=generator)
        drawn = self.model.mel_part(self.model.decode(latent, lengths, memory))
        mel = self.model.mel_part(heard)
        tokens = int(memory.mask[0].sum())
        attention = {
            f"attention/flow_{index}": weights[0, :groups, :tokens].T.flip(0)
            for index, weights in enumerate(encoded.attention)
        }
        return {**attention, "mel/recording": mel[0, :, :frames], "mel/drawn": drawn[0, :, :frames]}

    # ---- terms ----

    def _terms(self, batch: SpeechBatch, encoded: Encoded) -> dict[str, Tensor]:
        assert batch.token_lengths is not None
        model, group = self.model, self.model.config.group
        with full_precision(encoded.latent.device.type):
            total = encoded.group_lengths.sum() * group * model.config.bands
            terms = {"nll": -encoded.log_likelihood.sum() / total, "gate": self._gate(encoded)}
            sums = [
                forward_sum_loss(log, encoded.group_lengths, batch.token_lengths, self.config.blank_logit)
                for log in encoded.log_attention
            ]
            terms["forward_sum"] = torch.stack(sums).mean()
            if encoded.missed is not None:
                terms["text_mean"] = self._mean_of_groups(encoded.missed, encoded.group_lengths)
            path = self._path(batch, encoded)
            if path is not None:
                terms["path"] = self._path_term(path, self._frame_lengths(batch), encoded)
        return terms

    def _weights(self, terms: Mapping[str, Tensor], step: int) -> dict[str, float]:
        config = self.config
        summed = config.forward_sum_weight if step >= config.forward_sum_start else 0.0
        weights = {"nll": 1.0, "gate": config.gate_weight, "forward_sum": summed, "path": config.path_weight_at(step)}
        weights["text_mean"] = config.text_mean_weight
        return {name: weight for name, weight in weights.items() if name in terms}

    def _counts(self, batch: SpeechBatch, groups: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """What the terms are means over that are not means over items."""
        steps = groups.sum()
        return {"nll": steps, "gate": steps, "text_mean": steps, "path": self._frame_lengths(batch).sum()}

    def _gate(self, encoded: Encoded) -> Float[Tensor, ""]:
        """Cross entropy of stopping at each step; a last flow that runs backward stops at the first in time."""
        logits, lengths = encoded.gate_logits, encoded.group_lengths
        step = torch.arange(logits.shape[1], device=logits.device)
        last_flow = self.model.config.flow_directions[-1]
        stop = step == (torch.zeros_like(lengths) if last_flow == "backward" else lengths - 1).unsqueeze(1)
        mask = sequence_mask(lengths, logits.shape[1])[:, 0]
        positive = logits.new_tensor(self.config.gate_positive_weight)
        error = F.binary_cross_entropy_with_logits(logits, stop.to(logits), pos_weight=positive, reduction="none")
        return (error * mask).sum() / mask.sum()

    def _path(self, batch: SpeechBatch, encoded: Encoded) -> Int[Tensor, "batch groups group"] | None:
        """The tokens of the frames of each group: by the aligner, by a search through the attention, or None."""
        groups, group = encoded.gate_logits.shape[1], self.model.config.group
        if self.config.alignment == "none":
            return None
        if self.config.alignment == "given":
            path = self._frame_path(batch)
            assert path is not None
            return self.model.path_groups(path, groups)
        assert batch.token_lengths is not None
        scores = torch.stack(encoded.log_attention).mean(dim=0)
        durations = monotonic_durations(scores, encoded.group_lengths, batch.token_lengths)
        return durations_to_path(durations, groups).unsqueeze(2).expand(-1, -1, group)

    def _frame_path(self, batch: SpeechBatch) -> Int[Tensor, "batch frames"] | None:
        """The token of each frame by the aligner, where the settings give its path."""
        if self.config.alignment != "given":
            return None
        if batch.durations is None:
            raise ConfigError("objective.alignment=given needs durations in the batch: align the corpus first")
        return durations_to_path(batch.durations, batch.waveform.shape[1] // self.model.hop_length)

    def _mean_of_groups(
        self, values: Float[Tensor, "batch groups"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        mask = sequence_mask(lengths, values.shape[1])[:, 0]
        return (values * mask).sum() / mask.sum()

    def _path_term(self, path: Tensor, frame_lengths: Tensor, encoded: Encoded) -> Float[Tensor, ""]:
        """Mean over frames and flows of -log weight of the path's token, by content alone: what speaking has."""
        mask = sequence_mask(frame_lengths, path.shape[1] * path.shape[2])[:, 0].view_as(path)
        errors = [-(log.gather(2, path) * mask).sum() / mask.sum() for log in encoded.log_content]
        return torch.stack(errors).mean()

    def _log_prior(
        self, batch: SpeechBatch, groups: Int[Tensor, " batch"], width: int, factor: float
    ) -> Float[Tensor, "batch groups tokens"] | None:
        if factor == 0.0:
            return None
        assert batch.tokens is not None
        assert batch.token_lengths is not None
        scale = self.config.prior_scale
        prior = beta_binomial_log_prior(groups, batch.token_lengths, width, batch.tokens.shape[1], scale)
        return factor * prior

    # ---- alignment and lengths ----

    def _reports(self, batch: SpeechBatch, encoded: Encoded) -> list[AlignmentReport]:
        assert batch.token_lengths is not None
        path = None
        if batch.durations is not None:
            frames = batch.waveform.shape[1] // self.model.hop_length
            path = self.model.path_groups(durations_to_path(batch.durations, frames), encoded.gate_logits.shape[1])
        return [
            alignment_report(weights, encoded.group_lengths, batch.token_lengths, path, self.model.config.group)
            for weights in encoded.attention
        ]

    def _warn(self, reports: Iterable[AlignmentReport]) -> None:
        if self._warned or self._steps < self.config.prior_hold_steps or not self.config.prior:
            return
        for index, report in enumerate(reports):
            if not report.aligned:
                self._warned = True
                logger.warning(
                    "step %d: the prior is being taken away, but flow %d is not aligned without it (monotonic %.2f, "
                    "coverage %.2f, sharpness %.2f): take more objective.prior_hold_steps, "
                    "objective.alignment=given, or look for texts that do not fit with `moksori corpus check`",
                    self._steps, index, report.monotonic, report.coverage, report.sharpness,
                )  # fmt: skip
                return

    def _fit_lengths(self, model: Flowtron, batches: Iterable[SpeechBatch]) -> None:
        """Least squares of frames on tokens, and the mean frames of each symbol."""
        tokens, frames = [], []
        total, count = torch.zeros_like(model.symbol_frames), torch.zeros_like(model.symbol_frames)
        for batch in batches:
            assert batch.tokens is not None
            assert batch.token_lengths is not None
            tokens.append(batch.token_lengths.double())
            frames.append(self._frame_lengths(batch).double())
            if batch.durations is not None:
                mask = sequence_mask(batch.token_lengths, batch.tokens.shape[1])[:, 0]
                symbols, lasting = batch.tokens[mask], batch.durations[mask].to(total)
                total.index_add_(0, symbols, lasting)
                count.index_add_(0, symbols, torch.ones_like(lasting))
        x, y = torch.cat(tokens), torch.cat(frames)
        mean = (y.sum() / x.sum()).to(total)
        spread = (x - x.mean()).square().sum()
        slope = ((x - x.mean()) * (y - y.mean())).sum() / spread if float(spread) > 0 else mean
        slope = slope.clamp(min=0.0)
        offset = y.mean() - slope * x.mean()
        if float(offset) < 0:  # of speakers who are not alike: a short text would have no time at all
            slope, offset = mean, torch.zeros_like(offset)
        model.length_slope.copy_(slope)
        model.length_offset.copy_(offset)
        model.frames_per_token.copy_(mean)
        model.symbol_frames.copy_(torch.where(count > 0, total / count.clamp(min=1), mean))

    def _fit_detail(self, model: Flowtron, detail: Detail, batches: Iterable[SpeechBatch]) -> None:
        made: list[Tensor] = []
        real: list[Tensor] = []
        detail.gain.fill_(1.0)
        postfilter, model.postfilter = model.postfilter, None  # it follows what is fitted here
        for index, batch in enumerate(batches):
            draw = Generator(device=batch.waveform.device).manual_seed(index)
            said = model.say_mels(replace(text_of(batch), durations=batch.durations), SayControls(), draw)
            made += [mel[:, :length] for mel, length in zip(said.mel, said.frame_lengths.tolist(), strict=True)]
            mels, lengths = model.mel(batch.waveform), self._frame_lengths(batch)
            real += [mel[:, :length] for mel, length in zip(mels, lengths.tolist(), strict=True)]
        model.postfilter = postfilter
        detail.fit(made, real, model.config.match_spread)
        logger.info("fine structure scaled by %.2f on average, %.2f at most", detail.gain.mean(), detail.gain.max())

    def _whole_groups(self, batch: SpeechBatch) -> list[Float[Tensor, "groups channels"]]:
        """What goes into the first flow, item by item, without groups that are partly padding."""
        lengths = self._frame_lengths(batch)
        grouped = self.model.grouped(self._frames(batch), lengths)
        return [x[: int(length) // self.model.config.group] for x, length in zip(grouped, lengths, strict=True)]

    def _frames(self, batch: SpeechBatch) -> Float[Tensor, "batch bands frames"]:
        return self.model.frames(batch.waveform, batch.f0)

    def _dithered(
        self, frames: Float[Tensor, "batch bands frames"], generator: Generator | None
    ) -> Float[Tensor, "batch bands frames"]:
        """With noise upon the pitch, where there is one."""
        if not (self.model.config.pitch and self.config.pitch_dither):
            return frames
        noise = self.config.pitch_dither * standard_normal(frames[:, -1:], generator)
        return torch.cat([frames[:, :-1], frames[:, -1:] + noise], dim=1)

    def _frame_lengths(self, batch: SpeechBatch) -> Int[Tensor, " batch"]:
        return batch.waveform_lengths // self.model.hop_length


def text_of(batch: SpeechBatch) -> TextBatch:
    assert batch.tokens is not None
    assert batch.stress is not None
    assert batch.token_lengths is not None
    return TextBatch(batch.tokens, batch.stress, batch.token_lengths, batch.speaker)
