"""Flowtron as a judge of recordings: its likelihood is exact, so a recording that is unlike the others stands out."""

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from moksori.models.flowtron.latents import attention_flags
from moksori.nn.alignment import durations_to_path, monotonic_durations
from moksori.types import Judged, SpeechBatch, TextBatch

if TYPE_CHECKING:
    from moksori.models.flowtron.model import Encoded, Flowtron

LEAST_FIT = -20.0
"""Nats of a step whose weight is as good as none, and of a text of more tokens than the recording has steps."""


class JudgesRecordings:
    """See `moksori.models.contract.CanJudge`."""

    @torch.inference_mode()
    def judge(self, batch: SpeechBatch) -> Judged:
        """Likelihood of every frame and how the attention goes, without help from a prior or a path.

        Frames of a group share their likelihood evenly, since the first of them was not known to the others.
        """
        model = cast("Flowtron", self)
        assert batch.tokens is not None
        assert batch.token_lengths is not None
        group = model.config.group
        text = TextBatch(
            batch.tokens,
            torch.zeros_like(batch.tokens) if batch.stress is None else batch.stress,
            batch.token_lengths,
            batch.speaker,
        )
        frame_lengths = batch.waveform_lengths // model.hop_length
        encoded = model.encode(model.mel(batch.waveform), frame_lengths, model.memory(text))
        likelihood = encoded.log_likelihood.unflatten(1, (-1, group)).mean(dim=2, keepdim=True)
        likelihood = likelihood.expand(-1, -1, group).flatten(1) / model.config.mel.n_mels
        frames = int(frame_lengths.max())
        likelihood = F.pad(likelihood, (0, max(frames - likelihood.shape[1], 0)))[:, :frames]
        real = torch.arange(frames, device=likelihood.device) < frame_lengths[:, None]
        flags = attention_flags(encoded, batch.token_lengths, group)
        coverage, monotonic = ([getattr(f, name) for f in flags] for name in ("coverage", "monotonic"))
        return Judged(
            torch.where(real, likelihood, torch.zeros_like(likelihood)),
            frame_lengths,
            _fit(encoded, batch.token_lengths),
            likelihood.new_tensor(coverage),
            likelihood.new_tensor(monotonic),
        )


def _fit(encoded: "Encoded", token_lengths: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Mean log weight along the best monotonic path, which leaves no token out; mean over the flows."""
    scores = torch.stack(list(encoded.log_content)).mean(dim=0).clamp(min=LEAST_FIT)
    found = scores.new_full((len(scores),), LEAST_FIT)
    for item, (steps, tokens) in enumerate(zip(encoded.group_lengths.tolist(), token_lengths.tolist(), strict=True)):
        if tokens > steps:
            continue
        one = slice(item, item + 1)
        durations = monotonic_durations(scores[one], encoded.group_lengths[one], token_lengths[one])
        path = durations_to_path(durations, scores.shape[1])[0, :steps]
        found[item] = scores[item, :steps].gather(1, path[:, None]).mean()
    return found
