"""What a recording is turned into before it is learnt from.

Four-fold (Nachmani and Wolf 2019): each crop as it is, reversed in time, with its sign flipped, or both; encoder and
target alike. Pitch slice (Mor et al. 2019): a part of what the encoder hears, a quarter to a half of the crop, goes up
or down by up to half a semitone, and the target stays. Speed (ours): the encoder hears the whole crop played slower or
faster, pitch and formants with it, and its codes are laid back onto the crop's own time; what a code then tells of who
sings is not what the target sounds like, so that only the singer's vector helps.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

SLICE_FFT, SLICE_HOP = 512, 128


def four_fold(
    x: Float[Tensor, "batch steps"], reverse: Bool[Tensor, " batch"], flip: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch steps"]:
    """Items reversed in time and with their sign flipped, where these say so; doing it twice undoes it."""
    x = torch.where(reverse[:, None], x.flip(1), x)
    return torch.where(flip[:, None], -x, x)


def draw_versions(
    count: int, device: torch.device, generator: Generator | None = None
) -> tuple[Bool[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """Which items are reversed, and which flipped: the four versions are equally probable."""
    version = torch.randint(0, 4, (count,), generator=generator, device=device)
    return version % 2 == 1, version >= 2


def pitch_slices(
    x: Float[Tensor, "batch samples"], semitones: float = 0.5, generator: Generator | None = None
) -> Float[Tensor, "batch samples"]:
    """A slice of each item moved by U(-semitones, semitones): it begins in the first half and holds a quarter to a half
    of the samples; the others are the same."""
    count, samples = x.shape
    drawn = torch.rand(count, 3, generator=generator, device=x.device)
    changed = x.clone()
    for row, (place, size, height) in enumerate(drawn.tolist()):
        length = int(samples * (0.25 + 0.25 * size))
        start = min(int(place * samples / 2), samples - length)
        cut = slice(start, start + length)
        changed[row, cut] = shifted_pitch(x[row, cut], semitones * (2.0 * height - 1.0))
    return changed


def shifted_pitch(x: Float[Tensor, " samples"], semitones: float) -> Float[Tensor, " samples"]:
    """As long as before, with its pitch moved: stretched by a phase vocoder, then read at another speed.

    Samples that are too few for one transform come back as they are.
    """
    factor = 2.0 ** (semitones / 12.0)
    if len(x) < 2 * SLICE_FFT or abs(semitones) < 1e-3:
        return x
    window = torch.hann_window(SLICE_FFT, device=x.device)
    spectrum = torch.stft(x, SLICE_FFT, SLICE_HOP, window=window, return_complex=True)
    stretched = torch.istft(_vocoded(spectrum, 1.0 / factor), SLICE_FFT, SLICE_HOP, window=window)
    at = torch.arange(len(x), device=x.device) * factor
    return read_at(stretched[None], at[None])[0]


def _vocoded(spectrum: Tensor, speed: float) -> Tensor:
    """A spectrogram [bins, frames] at `speed` times its pace, phases advancing as they did (Flanagan and Golden)."""
    bins, frames = spectrum.shape
    steps = torch.arange(0, frames - 1, speed, device=spectrum.device)
    left = steps.long()
    before, after = spectrum[:, left], spectrum[:, left + 1]
    magnitude = torch.lerp(before.abs(), after.abs(), (steps - left)[None])
    expected = torch.linspace(0.0, math.pi * SLICE_HOP, bins, device=spectrum.device)[:, None]
    turn = after.angle() - before.angle() - expected
    turn = turn - 2.0 * math.pi * torch.round(turn / (2.0 * math.pi)) + expected
    phase = torch.cat([torch.zeros_like(turn[:, :1]), turn[:, :-1]], dim=1).cumsum(dim=1)
    # As in the recording in the middle: at its ends the transform sees mirrored sound, whose bins do not go together.
    middle = len(steps) // 2
    known = before[:, middle].angle() + (steps - left)[middle] * turn[:, middle]
    return torch.polar(magnitude, phase + (known - phase[:, middle])[:, None])


def read_at(x: Float[Tensor, "batch samples"], at: Float[Tensor, "batch places"]) -> Float[Tensor, "batch places"]:
    """Samples between samples, by a cubic through the four around each place (Catmull and Rom); 0 outside."""
    whole = at.floor()
    weight = (at - whole)[..., None]
    index = whole.long()[..., None] + torch.arange(-1, 3, device=x.device)
    inside = (index >= 0) & (index < x.shape[1])
    batch, places = at.shape
    values = x.gather(1, index.clamp(0, x.shape[1] - 1).flatten(1)).view(batch, places, 4) * inside
    a, b, c, d = values.unbind(dim=2)
    t = weight[..., 0]
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def draw_speeds(
    count: int, share: float, device: torch.device, generator: Generator | None = None
) -> Float[Tensor, " batch"]:
    """Factors between 1 / (1 + share) and 1 + share, even in their logarithm."""
    drawn = torch.rand(count, generator=generator, device=device) * 2.0 - 1.0
    return torch.exp(math.log1p(share) * drawn)


def played(
    x: Float[Tensor, "batch samples"], speed: Float[Tensor, " batch"], share: float, pool: int
) -> Float[Tensor, "batch more"]:
    """Items played `speed` times as fast around their middle, in whole windows enough for the slowest that may come.

    share: the largest there may be, see draw_speeds.
    """
    samples = x.shape[1]
    more = math.ceil(samples * (1.0 + share) / pool) * pool
    at = torch.arange(more, device=x.device) + 0.5 - more / 2
    return read_at(x, at[None] * speed[:, None] + samples / 2 - 0.5)


def laid_back(
    codes: Float[Tensor, "batch code more"], speed: Float[Tensor, " batch"], frames: int
) -> Float[Tensor, "batch code frames"]:
    """Codes of `played` items at the times of the crop's own `frames` windows, interpolated linearly."""
    more = codes.shape[2]
    own = torch.arange(frames, device=codes.device) + 0.5 - frames / 2
    at = (own[None] / speed[:, None] + more / 2 - 0.5).clamp(0.0, more - 1.0)
    left = at.floor().clamp(max=more - 2).long() if more > 1 else torch.zeros_like(at, dtype=torch.long)
    weight = (at - left).to(codes.dtype).unsqueeze(1)
    index = left.unsqueeze(1).expand(-1, codes.shape[1], -1)
    after = (index + 1).clamp(max=more - 1)
    return torch.lerp(codes.gather(2, index), codes.gather(2, after), weight)


def crops(
    waveform: Float[Tensor, "batch samples"],
    lengths: Int[Tensor, " batch"],
    start: Int[Tensor, " batch"],
    size: int,
) -> Float[Tensor, "batch size"]:
    """`size` samples of each item from `start` on; one that is shorter is repeated."""
    index = (start.unsqueeze(1) + torch.arange(size, device=waveform.device)) % lengths.unsqueeze(1)
    return waveform.gather(1, index)
