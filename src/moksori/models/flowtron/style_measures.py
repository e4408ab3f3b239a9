"""How high, lively and quick a style is, beside its latent: read off clips, and kept to when speaking.

A frame's latent is what its neighbours do not foretell. How high a voice is once it has begun, and how quick, they
foretell, so a mean latent moves melodies and hardly moves these (docs/studies/flowtron_control.md). A model that draws
pitch knows both, and is told of them: what it drew is said once more, with the drawn pitch brought to the clips' height
and range and the attention stretched to their pace, each by the style's strength. The papers have no such thing, and
models without pitch have it neither.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from moksori.models.flowtron.style import style_stretches
from moksori.nn.masks import sequence_mask
from moksori.types import LatentPlan, StyleMeasure, mean_measure

if TYPE_CHECKING:
    from moksori.models.flowtron.model import Flowtron

QUIET = 0.03
"""Frames at both ends whose magnitude is under this share (-30 dB) of the loudest one's are no speech."""
FARTHEST = 8.0 * math.log(2.0) / 12.0
"""From the median pitch; what is farther is an octave taken for another. Over 40 clips the mean of what is nearer goes
with WORLD's mean of voiced frames but for 0.44 semitones (a deviation), with octaves 0.8."""
LEAST_DEVIATION = 0.01
"""Of ln F0, a sixth of a semitone: what varies less has no range that could be scaled."""
MOST_RANGE = 2.0
MOST_PACE = 1.6
MOST_SHIFT = 8.0 * math.log(2.0) / 12.0
"""How far a style moves what was drawn at most, in either direction; beyond, the voice is no longer itself."""


@dataclass(frozen=True)
class Measured:
    """Of each item, see StyleMeasure."""

    log_f0: Float[Tensor, " batch"]
    deviation: Float[Tensor, " batch"]
    rate: Float[Tensor, " batch"]

    def items(self) -> tuple[StyleMeasure, ...]:
        """As numbers."""
        rows = zip(self.log_f0.tolist(), self.deviation.tolist(), self.rate.tolist(), strict=True)
        return tuple(StyleMeasure(*row) for row in rows)


@dataclass(frozen=True)
class Asked:
    """What styles ask of an utterance: its ln F0, and by what its pace is multiplied."""

    log_f0: Float[Tensor, "batch frames"]
    pace: Float[Tensor, " batch"]


def measured(
    model: "Flowtron",
    frames: Float[Tensor, "batch bands frames"],
    frame_lengths: Int[Tensor, " batch"],
    token_lengths: Int[Tensor, " batch"],
) -> Measured:
    """Of recordings or of what was drawn, whose texts have so many tokens; frames hold the pitch."""
    mel, log_f0 = model.mel_part(frames), frames[:, -1]
    first, last = _ends(mel, sequence_mask(frame_lengths, mel.shape[2])[:, 0])
    place = torch.arange(mel.shape[2], device=mel.device)
    # Where nothing is voiced the pitch goes on in a straight line: that does no harm, and nothing tells where it is.
    spoken = (place >= first[:, None]) & (place <= last[:, None])
    middle = torch.where(spoken, log_f0, torch.nan).nanmedian(dim=1, keepdim=True).values
    near = spoken & ((log_f0 - middle).abs() <= FARTHEST)
    count = near.sum(dim=1).clamp(min=1)
    mean = (log_f0 * near).sum(dim=1) / count
    spread = ((log_f0 - mean[:, None]).square() * near).sum(dim=1) / count
    seconds = (last - first + 1) * model.hop_length / model.sample_rate
    return Measured(mean, spread.sqrt(), token_lengths / seconds)


def asked(
    plan: LatentPlan | None,
    own: Measured,
    log_f0: Float[Tensor, "batch frames"],
    frame_lengths: Int[Tensor, " batch"],
    raised: float = 0.0,
) -> Asked | None:
    """What the styles of a plan make of a drawn pitch; None where none of them was measured, or they have no strength.

    own: measures of what was drawn. raised: how much ln F0 was raised over what the voice would say, which is kept.
    """
    if plan is None or plan.strength == (0.0, 0.0) or all(style.measure is None for style in plan.styles):
        return None
    index = torch.arange(log_f0.shape[1], device=log_f0.device) + 0.5
    place = (index / frame_lengths[:, None]).clamp(max=1.0)
    real = sequence_mask(frame_lengths, log_f0.shape[1])[:, 0]
    begin, end = plan.strength
    strength = begin + (end - begin) * place
    wanted, quicker = log_f0, torch.zeros_like(log_f0)
    for together, here in style_stretches(plan.styles, place):
        measures = [(style.measure, style.weight) for style in together if style.measure is not None]
        if not measures:
            continue
        goal = mean_measure(measures)
        shift = (goal.log_f0 + raised - own.log_f0).clamp(-MOST_SHIFT, MOST_SHIFT)[:, None]
        range_ = (max(goal.deviation, LEAST_DEVIATION) / own.deviation.clamp(min=LEAST_DEVIATION))[:, None]
        range_ = range_.clamp(1.0 / MOST_RANGE, MOST_RANGE)
        moved = strength * (shift + (range_ - 1.0) * (log_f0 - own.log_f0[:, None]))
        wanted = torch.where(here, log_f0 + moved, wanted)
        pace = math.log(max(goal.rate, 1e-3)) - own.rate.clamp(min=1e-3).log()[:, None]
        quicker = torch.where(here, strength * pace, quicker)
    change = (quicker * real).sum(dim=1) / frame_lengths.clamp(min=1)
    return Asked(wanted, change.exp().clamp(1.0 / MOST_PACE, MOST_PACE))


def _ends(
    mel: Float[Tensor, "batch mels frames"], real: Bool[Tensor, "batch frames"]
) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """The first and the last frame that is heard, of each item."""
    level = mel.exp().sum(dim=1) * real
    heard = level > QUIET * level.amax(dim=1, keepdim=True)
    place = torch.arange(mel.shape[2], device=mel.device).expand_as(heard)
    last = torch.where(heard, place, 0).amax(dim=1)
    return torch.where(heard, place, mel.shape[2]).amin(dim=1).minimum(last), last
