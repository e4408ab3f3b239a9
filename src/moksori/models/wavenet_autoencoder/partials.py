"""The partials of what is sung, known before any sample is: how strong each is follows from codes, pitch and singer.

    h(t) = sum_k A_k(t) cos(k phi(t) + theta_k(t))        A_k = envelope(codes, v, F0) at k F0

A network looks up an envelope for each frame of pitch; the sound's harmonic part h is made of it as in a harmonic model
(McAulay and Quatieri 1986; Engel et al., "DDSP", 2020), and D draws the rest, x - h, one sample after the other. Told
only where in the period it is, a small D whispers for tens of thousands of steps what should be voiced.

The phases theta_k carry next to nothing that is heard, and cannot be told beforehand: in training they are those of the
recording, as the phase of the excitation is; at work those of the minimum-phase filter with that envelope, as in
WORLD. Amplitudes and phases hold at the end of each frame and go on a line between.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn

HIGHEST = 0.48
"""Of the sample rate: partials above it are left out."""
LOCK_FRAMES = (4, 5)
"""Lengths of the two running means through which a recording's partials are measured: together they lie around the end
of a frame."""
_LEAST_SHARE = 0.05
_FAINTEST = 1e-5
_KNOTS_UP_TO = 2048
"""Points of the even grid on which a minimum phase is computed."""


@dataclass(frozen=True)
class Partials:
    """Waves of partials, frame by frame, and what each is multiplied by at the end of its frame.

    turned: e^(2 pi i k phi). strength: A_k e^(i theta_k), 0 where a partial is silent. before: strength at the end of
    the frame before the first.
    """

    turned: Complex[Tensor, "batch partials frames hop"]
    strength: Complex[Tensor, "batch partials frames"]
    before: Complex[Tensor, "batch partials"]

    def sound(self) -> Float[Tensor, "batch samples"]:
        """Their sum, h."""
        later = torch.einsum("bkf,bkfh->bfh", self.strength, self.turned).real
        earlier = torch.cat([self.before.unsqueeze(2), self.strength[:, :, :-1]], dim=2)
        early = torch.einsum("bkf,bkfh->bfh", earlier, self.turned).real
        hop = later.shape[2]
        share = torch.arange(1, hop + 1, device=later.device) / hop
        return torch.lerp(early, later, share).flatten(1)

    def waves(
        self, count: int, live: Float[Tensor, "batch partials frames"]
    ) -> Float[Tensor, "batch channels samples"]:
        """Cosine and sine of the first `count`, each in the phase in which it is heard; 0 where it is not live."""
        unit = torch.polar(live[:, :count], self.strength[:, :count].detach().angle())
        found = self.turned[:, :count] * unit.unsqueeze(3)
        return torch.stack([found.real, found.imag], dim=2).flatten(1, 2).flatten(2)


@dataclass(frozen=True)
class Driven:
    """What is known of each sample before it is made.

    waves: of the pitch. partials: the harmonic part, of which D draws what is left over; None where D draws all.
    errors: of the partials of a recording, as training names them: the share of voiced energy that they leave
    (`partials`), and how far their strengths are off (`strength`, see `strength_error`).
    """

    waves: Float[Tensor, "batch waves samples"]
    partials: Float[Tensor, "batch samples"] | None = None
    errors: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)


class Envelope(nn.Module):
    """Codes, pitch and singer, frame by frame -> ln A of a partial by its frequency, at mel-spaced knots."""

    kernel: Tensor

    def __init__(
        self, condition_channels: int, vector_channels: int, channels: int, knots: int, sample_rate: int
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.condition_in = nn.Conv1d(condition_channels, channels, 1)
        self.vector_in = nn.Linear(vector_channels, channels, bias=False) if vector_channels else None
        self.hidden = nn.Conv1d(channels, channels, 1)
        self.out = nn.Conv1d(channels, knots, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.constant_(self.out.bias, -4.5)  # what speech at -23 LUFS comes to, pre-emphasised
        self._step = 2595.0 * math.log10(1.0 + sample_rate / 1400.0) / (knots - 1)
        self.register_buffer("kernel", minimum_phase_kernel(knots, sample_rate), persistent=False)

    def forward(
        self,
        condition: Float[Tensor, "batch condition frames"],
        vector: Float[Tensor, "batch vector"] | None,
    ) -> Float[Tensor, "batch knots frames"]:
        hidden = self.condition_in(condition)
        if self.vector_in is not None and vector is not None:
            hidden = hidden + self.vector_in(vector).unsqueeze(2)
        found: Tensor = self.out(F.gelu(self.hidden(F.gelu(hidden))))
        return found

    def at(
        self, knots: Float[Tensor, "batch knots frames"], f0: Float[Tensor, "batch frames"], count: int
    ) -> Float[Tensor, "batch partials frames"]:
        """What lies between the knots, on a line, at the partials of a pitch; above half the sample rate: the last."""
        order = torch.arange(1, count + 1, dtype=f0.dtype, device=f0.device)[:, None]
        place = (mel(order * f0.unsqueeze(1)) / self._step).clamp(max=knots.shape[1] - 1.001)
        lower = place.floor()
        share, index = (place - lower).to(knots), lower.long()
        return torch.lerp(knots.gather(1, index), knots.gather(1, index + 1), share)

    def amplitude(
        self, knots: Float[Tensor, "batch knots frames"], f0: Float[Tensor, "batch frames"], count: int
    ) -> Float[Tensor, "batch partials frames"]:
        """A_k of the partials of a pitch."""
        return self.at(knots, f0, count).exp()

    def phase(
        self, knots: Float[Tensor, "batch knots frames"], f0: Float[Tensor, "batch frames"], count: int
    ) -> Float[Tensor, "batch partials frames"]:
        """theta_k of the minimum-phase filter, in radians."""
        return self.at(torch.einsum("nm,bmf->bnf", self.kernel, knots), f0, count)


def mel(hertz: Tensor) -> Tensor:
    """Mels of HTK's scale."""
    return 2595.0 * torch.log10(1.0 + hertz / 700.0)


def minimum_phase_kernel(knots: int, sample_rate: int) -> Float[Tensor, "knots knots"]:
    """What makes a minimum phase, in radians, of ln A at mel-spaced knots: both are linear in each other.

    The cepstrum of ln A is folded onto positive times (Oppenheim and Schafer); its transform's imaginary part is the
    phase.
    """
    grid = np.linspace(0.0, sample_rate / 2.0, _KNOTS_UP_TO + 1)
    mels = np.linspace(0.0, 2595.0 * np.log10(1.0 + sample_rate / 1400.0), knots)
    heights = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    rows = np.stack([np.interp(2595.0 * np.log10(1.0 + grid / 700.0), mels, unit) for unit in np.eye(knots)])
    cepstrum = np.fft.irfft(rows, axis=1)
    folded = np.zeros_like(cepstrum)
    half = cepstrum.shape[1] // 2
    folded[:, 0], folded[:, half] = cepstrum[:, 0], cepstrum[:, half]
    folded[:, 1:half] = 2.0 * cepstrum[:, 1:half]
    phase = np.fft.rfft(folded, axis=1).imag
    found = np.stack([np.interp(heights, grid, row) for row in phase], axis=1)
    return torch.from_numpy(found.astype(np.float32))


def held(
    f0: Float[Tensor, "batch frames"], before: Float[Tensor, " batch"] | None = None
) -> Float[Tensor, "batch frames"]:
    """F0 that goes on for one frame after a voiced stretch, in which partials fade. before: of the frame before."""
    first = torch.zeros_like(f0[:, :1]) if before is None else before.unsqueeze(1).to(f0)
    return torch.where(f0 > 0, f0, torch.cat([first, f0[:, :-1]], dim=1))


def turns(
    phase: Float[Tensor, "batch samples"], count: int, hop_length: int
) -> Complex[Tensor, "batch partials frames hop"]:
    """e^(2 pi i k phi) of a phase in cycles, k from 1 to `count`, each from the one before by a multiplication."""
    turned = (2.0 * math.pi * (phase % 1.0)).float()
    first = torch.polar(torch.ones_like(turned), turned)
    found = torch.empty(len(first), count, first.shape[1], dtype=first.dtype, device=first.device)
    found[:, 0] = first
    for index in range(1, count):
        torch.mul(found[:, index - 1], first, out=found[:, index])
    return found.unflatten(2, (-1, hop_length))


def live(f0: Float[Tensor, "batch frames"], count: int, sample_rate: int) -> Float[Tensor, "batch partials frames"]:
    """1 for the partials that lie below the highest that is made, 0 elsewhere and where nothing is voiced."""
    order = torch.arange(1, count + 1, dtype=f0.dtype, device=f0.device)[:, None]
    frequency = order * f0.unsqueeze(1)
    return ((frequency > 0) & (frequency < HIGHEST * sample_rate)).float()


def measured(
    turned: Complex[Tensor, "batch partials frames hop"],
    waveform: Float[Tensor, "batch samples"],
    alive: Float[Tensor, "batch partials frames"],
) -> Complex[Tensor, "batch partials frames"]:
    """A_k e^(i theta_k) of a recording at the end of each frame: what is left after it is turned back, smoothed."""
    heard = waveform.unflatten(1, (-1, turned.shape[3]))
    parts = torch.view_as_real(torch.einsum("bkfh,bfh->bkf", turned.conj(), heard.to(turned.dtype)))
    parts = 2.0 / turned.shape[3] * parts * alive.unsqueeze(3)
    # Means over live frames alone: their own sums, by the share of frames that were live.
    rows = torch.cat([parts, alive.unsqueeze(3)], dim=3).permute(0, 1, 3, 2).flatten(0, 1)
    for length in LOCK_FRAMES:
        rows = F.avg_pool1d(F.pad(rows, ((length - 1) // 2, length // 2)), length, 1)
    means = rows.unflatten(0, alive.shape[:2])
    return torch.complex(means[:, :, 0], means[:, :, 1]) / means[:, :, 2].clamp(min=_LEAST_SHARE)


def strength_error(
    strength: Complex[Tensor, "batch partials frames"], wanted: Complex[Tensor, "batch partials frames"]
) -> Float[Tensor, ""]:
    """Mean distance of ln A_k of partials that are made from that of a recording's: strong and faint ones count alike.

    Energy alone would teach the strong ones, which lie low, and leave what is high to the noise of D.
    """
    made = strength.abs()
    heard = (made > 0).to(made)
    apart = (made.clamp(min=_FAINTEST).log() - wanted.abs().clamp(min=_FAINTEST).log()).abs()
    return (apart * heard).sum() / heard.sum().clamp(min=1.0)
