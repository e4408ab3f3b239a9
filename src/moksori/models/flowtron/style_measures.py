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

from moksori.audio.trim import LEVEL_PERCENTILE, THRESHOLD_DB
from moksori.models.flowtron.style import style_stretches
from moksori.nn.masks import sequence_mask
from moksori.types import LatentPlan, StyleMeasure, TextBatch, mean_measure

if TYPE_CHECKING:
    from moksori.models.flowtron.model import Flowtron

LOW_HZ = 1000.0
"""Voiced frames are loud below this, and pitch counts by that: nothing else tells in a drawn mel where it is heard."""
FARTHEST = 8.0 * math.log(2.0) / 12.0
"""From the median pitch; what is farther is an octave taken for another."""
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
    phone_rate: Float[Tensor, " batch"]

    def items(self) -> tuple[StyleMeasure, ...]:
        """As numbers."""
        rows = zip(self.log_f0.tolist(), self.deviation.tolist(), self.phone_rate.tolist(), strict=True)
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
    phones: Int[Tensor, " batch"],
) -> Measured:
    """Of recordings or of what was drawn, in which so many phones are said; frames hold the pitch.

    Frames count by the square root of their magnitude below LOW_HZ. Of 30 sentences that were drawn, the mean so found
    goes with that of the sound's voiced frames but for 0.28 semitones (a deviation) and their range but for 0.23; where
    all frames count alike it is 0.55 and 0.37, since where nothing is voiced the pitch goes on in a straight line.
    """
    magnitude, log_f0 = model.mel_part(frames).exp(), frames[:, -1]
    first, last = _ends(magnitude, sequence_mask(frame_lengths, magnitude.shape[2])[:, 0])
    place = torch.arange(magnitude.shape[2], device=magnitude.device)
    spoken = (place >= first[:, None]) & (place <= last[:, None])
    middle = torch.where(spoken, log_f0, torch.nan).nanmedian(dim=1, keepdim=True).values
    near = spoken & ((log_f0 - middle).abs() <= FARTHEST)
    weight = magnitude[:, _low_bands(model)].sum(dim=1).sqrt() * near
    total = weight.sum(dim=1).clamp(min=torch.finfo(weight.dtype).tiny)
    mean = (log_f0 * weight).sum(dim=1) / total
    spread = ((log_f0 - mean[:, None]).square() * weight).sum(dim=1) / total
    seconds = (last - first + 1) * model.hop_length / model.sample_rate
    return Measured(mean, spread.sqrt(), phones / seconds)


def phone_counts(model: "Flowtron", text: TextBatch) -> Int[Tensor, " batch"]:
    """Tokens whose symbol begins with a letter: no spaces, stops and marks, of which texts have more or fewer."""
    mask = sequence_mask(text.token_lengths, text.tokens.shape[1])[:, 0]
    symbols = model.config.text.symbols
    if len(symbols) == len(model.symbol_frames):
        letters = torch.tensor([symbol[0].isalpha() for symbol in symbols], device=mask.device)
        mask = mask & letters[text.tokens]
    return mask.sum(dim=1)


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
        pace = math.log(max(goal.phone_rate, 1e-3)) - own.phone_rate.clamp(min=1e-3).log()[:, None]
        quicker = torch.where(here, strength * pace, quicker)
    change = (quicker * real).sum(dim=1) / frame_lengths.clamp(min=1)
    return Asked(wanted, change.exp().clamp(1.0 / MOST_PACE, MOST_PACE))


def _ends(
    magnitude: Float[Tensor, "batch mels frames"], real: Bool[Tensor, "batch frames"]
) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """The first and the last frame that is heard, of each item, as `audio.trim` finds them in sound."""
    power = magnitude.square().sum(dim=1)
    loud = torch.where(real, power, torch.nan).nanquantile(LEVEL_PERCENTILE / 100.0, dim=1, keepdim=True)
    heard = real & (power >= loud * 10.0 ** (-THRESHOLD_DB / 10.0))
    place = torch.arange(power.shape[1], device=power.device).expand_as(heard)
    last = torch.where(heard, place, 0).amax(dim=1)
    return torch.where(heard, place, power.shape[1]).amin(dim=1).minimum(last), last


def _low_bands(model: "Flowtron") -> Bool[Tensor, " mels"]:
    """Bands whose middle lies below LOW_HZ; the first always counts."""
    mel = model.config.mel
    middle = model.front_end.filterbank.argmax(dim=1) * mel.sample_rate / mel.n_fft
    low = middle < LOW_HZ
    low[0] = True
    return low
