"""Pitch as the decoder is told of it (PitchNet, Deng et al. 2020), and a sine that follows it.

Two numbers a frame: the height in ln F0, 0 where unvoiced, and voicing. With `excitation` the decoder is given a sine
and a cosine of the pitch beside each sample, as neural source-filter models are (Wang et al. 2019): a WaveNet that only
knows how high to sing drifts off the key, one that is told where in the period it is does not. In training their phase
is locked to the recording's own fundamental; otherwise the network would find that they tell it nothing. Told the
fundamental alone, a small network makes noise where its harmonics should be, for thousands of steps: `harmonics` gives
it those as well, and what is left to learn is how strong each is.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

CENTRE_LOG_F0, SPREAD_LOG_F0 = 5.3, 0.45
"""200 Hz and 0.65 of an octave: what brings pitches of people to numbers around 0."""
LOCK_SECONDS = 0.02
"""Width of the two means through which the recording is heard when the phase is locked to it."""


def standard_pitch(
    f0: Float[Tensor, "batch frames"],
) -> tuple[Float[Tensor, "batch frames"], Float[Tensor, "batch frames"]]:
    """Height, standardised and 0 where unvoiced, and voicing, 0 or 1. f0: in Hz, 0 where unvoiced."""
    voiced = (f0 > 0).to(f0.dtype)
    height = (f0.clamp(min=1.0).log() - CENTRE_LOG_F0) / SPREAD_LOG_F0
    return height * voiced, voiced


def pitch_channels(f0: Float[Tensor, "batch frames"]) -> Float[Tensor, "batch 2 frames"]:
    """What stands beside the codes: height and voicing."""
    return torch.stack(standard_pitch(f0), dim=1)


def cycles(
    f0: Float[Tensor, "batch frames"], hop_length: int, sample_rate: int, start: Float[Tensor, " batch"] | None = None
) -> Float[Tensor, "batch samples"]:
    """Periods since the beginning, modulo 1, at the end of each sample; the pitch holds within a frame.

    start: what it was before the first sample, None = 0; the last column is what the next block starts with.
    """
    step = (f0.double() / sample_rate).repeat_interleave(hop_length, dim=1)
    begun = 0.0 if start is None else start.double().unsqueeze(1)
    return (step.cumsum(dim=1) + begun) % 1.0


def locked(
    phase: Float[Tensor, "batch samples"],
    waveform: Float[Tensor, "batch samples"],
    voiced: Float[Tensor, "batch samples"],
    sample_rate: int,
) -> Float[Tensor, "batch samples"]:
    """The phase in cycles, moved so that its cosine runs with the recording's fundamental.

    The recording is turned back by the phase, which leaves of the fundamental a slow complex number; its angle, after
    two running means, is how far off the phase was.
    """
    width = int(LOCK_SECONDS * sample_rate) // 2 * 2 + 1
    turned = 2.0 * math.pi * phase
    heard = (waveform * voiced).to(phase.dtype)
    parts = torch.stack([heard * torch.cos(turned), -heard * torch.sin(turned)], dim=1)
    for _ in range(2):
        parts = F.avg_pool1d(parts, width, 1, width // 2, count_include_pad=True)
    return (phase + torch.atan2(parts[:, 1], parts[:, 0]) / (2.0 * math.pi)) % 1.0


def excitation(
    phase: Float[Tensor, "batch samples"],
    f0: Float[Tensor, "batch frames"],
    hop_length: int,
    sample_rate: int,
    harmonics: int = 1,
) -> Float[Tensor, "batch channels samples"]:
    """Cosine and sine of a phase in cycles, then those of its multiples, where voiced, 0 elsewhere; float32.

    harmonics: how many, with the fundamental. What would lie above half the sample rate is 0.
    """
    order = torch.arange(1, harmonics + 1, dtype=f0.dtype, device=f0.device)[:, None]
    frequency = order * f0.unsqueeze(1)
    heard = ((frequency > 0) & (frequency < sample_rate / 2)).float().repeat_interleave(hop_length, dim=2)
    turned = 2.0 * math.pi * ((order * phase.unsqueeze(1)) % 1.0)
    waves = torch.stack([torch.cos(turned), torch.sin(turned)], dim=2).float()
    return (waves * heard.unsqueeze(2)).flatten(1, 2)


def shifted(f0: Float[Tensor, "*shape"], semitones: float) -> Float[Tensor, "*shape"]:
    """F0 in another key."""
    return f0 * 2.0 ** (semitones / 12.0)
