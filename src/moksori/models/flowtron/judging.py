"""Flowtron as a judge of recordings: its likelihood is exact, so a recording that is unlike the others stands out."""

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F

from moksori.models.flowtron.latents import attended_durations, attention_flags
from moksori.types import Judged, SpeechBatch, TextBatch

if TYPE_CHECKING:
    from moksori.models.flowtron.model import Flowtron

LEAST_SURE = 1e-9
"""How sure the attention is, at least, of any path, also of a text of more tokens than the recording has steps."""


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
        encoded = model.encode(model.frames(batch.waveform, batch.f0), frame_lengths, model.memory(text))
        likelihood = encoded.log_likelihood.unflatten(1, (-1, group)).mean(dim=2, keepdim=True)
        likelihood = likelihood.expand(-1, -1, group).flatten(1) / model.config.bands
        frames = int(frame_lengths.max())
        likelihood = F.pad(likelihood, (0, max(frames - likelihood.shape[1], 0)))[:, :frames]
        real = torch.arange(frames, device=likelihood.device) < frame_lengths[:, None]
        _, sure = attended_durations(encoded, frame_lengths, batch.token_lengths, group)
        flags = attention_flags(encoded, batch.token_lengths, group)
        coverage, monotonic = ([getattr(f, name) for f in flags] for name in ("coverage", "monotonic"))
        return Judged(
            torch.where(real, likelihood, torch.zeros_like(likelihood)),
            frame_lengths,
            sure.clamp(min=LEAST_SURE).log(),
            likelihood.new_tensor(coverage),
            likelihood.new_tensor(monotonic),
        )
