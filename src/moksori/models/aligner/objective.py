"""Training of the aligner: squared error along its own best path, or the sum over all paths."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Generator, Tensor

from moksori.losses.alignment import binarisation_loss, forward_sum_loss
from moksori.models.aligner.base import Aligner
from moksori.models.aligner.config import AlignerObjectiveConfig
from moksori.models.aligner.forward_sum import ForwardSumAligner
from moksori.models.aligner.model import MelStateAligner, States
from moksori.models.contract import Objective, Update
from moksori.nn.alignment import durations_to_path
from moksori.nn.masks import sequence_mask
from moksori.types import SpeechBatch


class AlignerObjective(Objective):
    """What the training of both networks begins with."""

    model: Aligner

    def __init__(self, model: Aligner, config: AlignerObjectiveConfig) -> None:
        super().__init__(model)
        self.config = config

    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Takes the mean and spread of each mel band."""
        model = self.model
        mels = ((model.front_end(batch.waveform), model.frame_lengths(batch)) for batch in batches)
        model.standardize.fit_all((mel, sequence_mask(lengths, mel.shape[2])) for mel, lengths in mels)


class MelStateObjective(AlignerObjective):
    """Alternates, within a step, the search for the path and a gradient step on the states that lie on it."""

    model: MelStateAligner

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        uniform = self.training and step < self.config.uniform_steps
        terms = {"path_error": self._path_error(batch, uniform)}
        yield Update("model", terms, {"path_error": 1.0}, {"path_error": self.model.frame_lengths(batch).sum()})

    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        error = self._path_error(batch, uniform=False)
        return {"path_error": error, "total": error}

    def _path_error(self, batch: SpeechBatch, uniform: bool) -> Tensor:
        mel = self.model.mel(batch)
        states = self.model.states(batch)
        frame_lengths = self.model.frame_lengths(batch)
        durations = _uniform_durations(states, frame_lengths) if uniform else self.model.search(batch, states, mel)
        mask = sequence_mask(frame_lengths, mel.shape[2])
        error = self.model.path_error(states, mel, durations_to_path(durations, mel.shape[2]))
        return (error * mask[:, 0]).sum() / mask.sum()


class ForwardSumObjective(AlignerObjective):
    """The probability of all monotonic paths together; later the best of them is drawn out of the sum."""

    model: ForwardSumAligner

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        config = self.config
        ramp = (step - config.binarisation_start + 1) / max(config.binarisation_ramp, 1)
        weights = {"forward_sum": 1.0, "binarisation": config.binarisation_weight * min(max(ramp, 0.0), 1.0)}
        terms = self._terms(batch, search=weights["binarisation"] > 0.0)
        yield Update("model", terms, weights, {"binarisation": self.model.frame_lengths(batch).sum()})

    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        terms = self._terms(batch, search=True)
        return {**terms, "total": terms["forward_sum"] + self.config.binarisation_weight * terms["binarisation"]}

    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The soft alignment of the first item, tokens upwards."""
        assert batch.token_lengths is not None
        frames, tokens = int(self.model.frame_lengths(batch)[0]), int(batch.token_lengths[0])
        return {"alignment": self.model.log_alignment(batch, prior=False)[0, :frames, :tokens].exp().T.flip(0)}

    def _terms(self, batch: SpeechBatch, search: bool) -> dict[str, Tensor]:
        assert batch.token_lengths is not None
        log_alignment, frame_lengths = self.model.log_alignment(batch, prior=True), self.model.frame_lengths(batch)
        terms = {
            "forward_sum": forward_sum_loss(log_alignment, frame_lengths, batch.token_lengths, self.config.blank_logit),
            "binarisation": log_alignment.new_zeros(()),
        }
        if search:
            frames = log_alignment.shape[1]
            path = durations_to_path(self.model.search(batch, log_alignment), frames)
            terms["binarisation"] = binarisation_loss(log_alignment, path, sequence_mask(frame_lengths, frames))
        return terms


def _uniform_durations(states: States, frame_lengths: Tensor) -> Tensor:
    """Frames shared out evenly: state s of S takes the frames from floor(s T / S) to floor((s + 1) T / S)."""
    index = torch.arange(states.token.shape[1] + 1, device=frame_lengths.device)
    ends = torch.minimum(index, states.lengths.unsqueeze(1)) * frame_lengths.unsqueeze(1) // states.lengths.unsqueeze(1)
    return ends.diff(dim=1)
