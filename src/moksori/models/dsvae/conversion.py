"""Conversion by D-DSVAE of recordings of any length, and the voice of a target (specification section 7).

    target ─► windows of 1.6 s ─► mu_s of each ─► their mean = z_s
    source ─► chunks ─► z_c of each, cross-faded ─► D(z_s, z_c) of each, its mels cross-faded ─► mels

Norms run over all frames that a network is given, and its recurrent layers look at all of them, so a piece's result
depends on the piece: it is the chunking that decides the sound, never the size of the blocks in which it comes. A
recording that one chunk holds is converted as `Dsvae.converted` does it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from moksori.audio.mel_stream import MelStream
from moksori.models.dsvae.harmonics import MIDDLE_LOG_F0
from moksori.models.dsvae.recentre import frame_weights, moved
from moksori.nn.distributions import standard_normal
from moksori.types import Heard, LongRecording

if TYPE_CHECKING:
    from moksori.models.dsvae.model import Dsvae

WINDOW_SECONDS = 1.6
"""What z_s is read off: the training crop. Windows overlap by half."""
LEAST_SPEECH_SECONDS = 0.5
WINDOW_BATCH = 16
ACTIVE_POWER = 0.03
"""A frame is taken for speech where its power is above this share (-15 dB) of the loud frames' mean."""
ACTIVE_SHARE = 0.5
"""Of a window's frames that must be speech for it to count."""
POWER_FRAMES = 5
"""Frames over which power is smoothed, 80 ms: the gaps within words are part of them."""


@dataclass(frozen=True)
class Chunking:
    """How a long mel is cut, in frames: chunk k holds [k * step - before, (k + 1) * step + after).

    It gives the frames from k * step on, and over the first `after` of these what the chunk before made of them is
    faded out. The last chunk reaches back so far that it is as long as the others.
    """

    before: int
    step: int
    after: int

    @classmethod
    def whole(cls, frames_per_second: float) -> "Chunking":
        """For recordings: 10 s, of which 1 s overlaps."""
        length, overlap = round(10.0 * frames_per_second), round(frames_per_second)
        return cls(0, length - overlap, overlap)

    @classmethod
    def live(cls, frames_per_second: float) -> "Chunking":
        """For sound that is heard at once: half a second at a time, with 0.3 s of what follows, in 1.6 s."""
        step, after = round(0.5 * frames_per_second), round(0.3 * frames_per_second)
        return cls(round(WINDOW_SECONDS * frames_per_second) - step - after, step, after)

    @property
    def length(self) -> int:
        return self.before + self.step + self.after

    @property
    def delay_frames(self) -> int:
        """At most so many frames come in before a frame leaves."""
        return self.step + self.after


class ChunkedConversion:
    """The mels of a source in another voice, as they come; see Chunking.

    speaker: z_s of what is made. temperature: of the content's noise; a frame's noise is the same in all chunks.
    Where the model predicts pitch, melody is read against the mean of all that has come so far: a chunk's own mean
    would bring every phrase to one height.
    """

    def __init__(
        self,
        model: "Dsvae",
        speaker: Float[Tensor, "1 speaker"],
        chunking: Chunking,
        temperature: float = 0.0,
        generator: Generator | None = None,
    ) -> None:
        self._model, self._speaker, self._chunking = model, speaker, chunking
        self._temperature, self._generator = temperature, generator
        self._mel = speaker.new_zeros(1, model.config.mel.n_mels, 0)
        self._noise = self._content = speaker.new_zeros(1, 0, model.content_width)
        self._made = self._mel  # what the chunk before made of the frames from `_given` on
        self._pitch_sum = self._voiced = 0.0  # of ln F0 over voiced frames, and their number, up to `_done`
        self._content_sum = speaker.new_zeros(1, model.config.content_channels)  # of z_c over frames that count
        self._counted = speaker.new_zeros(1)
        self._first = 0  # frame at which mels, noise and content in memory begin
        self._given = 0  # frames that have left
        self._done = 0  # end of the last chunk

    def push(self, mel: Float[Tensor, "1 mels frames"]) -> Float[Tensor, "1 mels frames"]:
        """The source's next mels; the converted ones that are ready, perhaps none."""
        self._mel = torch.cat([self._mel, mel], dim=2)
        ready = [self._made[..., :0]]
        # A chunk that may be the last one waits for `finish`.
        while self._first + self._mel.shape[2] > self._given + self._chunking.step + self._chunking.after:
            stop = self._given + self._chunking.step
            self._convert(max(self._given - self._chunking.before, 0), stop + self._chunking.after)
            ready.append(self._take(stop))
        return torch.cat(ready, dim=2)

    def finish(self) -> Float[Tensor, "1 mels frames"]:
        """The frames that are left, after the last mels; call it once."""
        total = self._first + self._mel.shape[2]
        if total > self._done:
            self._convert(max(total - self._chunking.length, 0), total)
        return self._take(total)

    def _convert(self, start: int, stop: int) -> None:
        """Makes frames [start, stop) and fades what was made of them before into it."""
        model, first = self._model, self._first
        start = max(start, first)
        content = self._encode(start, stop)
        known, tail = self._given - start, self._done - self._given
        if known > 0:
            content = torch.cat([self._content[:, start - first : self._given - first], content[:, known:]], dim=1)
        if tail > 0:
            old = self._content[:, self._given - first : self._done - first]
            faded = _faded(old.mT, content[:, known : known + tail].mT).mT
            content = torch.cat([content[:, :known], faded, content[:, known + tail :]], dim=1)
        made = model.decode(self._speaker, content)[..., known:]
        if tail > 0:
            made = torch.cat([_faded(self._made, made[..., :tail]), made[..., tail:]], dim=2)
        self._content = torch.cat([self._content[:, : start - first], content], dim=1)
        self._made, self._done = made, stop

    def _encode(self, start: int, stop: int) -> Float[Tensor, "1 frames content"]:
        mel = self._mel[..., start - self._first : stop - self._first]
        posterior = self._model.content(mel, centre=mel.new_zeros(1, 1))
        new = posterior.mean[:, self._done - start :]  # no chunk held these before
        if self._model.moves_content:
            self._model.recentre(posterior, self._content_shift(new.clone()))
        if self._model.pitch_predictor is not None:
            posterior.mean[..., -2] -= self._centre(new[..., -2:])
        if self._temperature == 0.0:
            return posterior.mean
        missing = stop - self._first - self._noise.shape[1]
        fresh = standard_normal(posterior.mean[:, posterior.mean.shape[1] - missing :], self._generator)
        self._noise = torch.cat([self._noise, fresh], dim=1)
        return posterior.at(self._noise[:, start - self._first :], self._temperature)

    def _content_shift(self, new: Float[Tensor, "1 frames content"]) -> Float[Tensor, "1 1 channels"]:
        """What brings z_c from the mean of all frames so far that count to the target's."""
        own = new[..., : self._model.config.content_channels]
        weight = frame_weights(own, None if self._model.pitch_predictor is None else new[..., -1])
        self._content_sum = self._content_sum + (own * weight.unsqueeze(2)).sum(dim=1)
        self._counted = self._counted + weight.sum(dim=1)
        mean = self._content_sum / self._counted.clamp(min=1.0)
        return moved(mean, self._counted, self._model.voice_centre(self._speaker))

    def _centre(self, new: Float[Tensor, "1 frames 2"]) -> float:
        """Mean ln F0 of all voiced frames so far. new: ln F0 and voicing of those that no chunk held before."""
        voiced = new[..., 1] > 0.5
        self._pitch_sum += float(new[..., 0][voiced].sum())
        self._voiced += float(voiced.sum())
        return self._pitch_sum / self._voiced if self._voiced else MIDDLE_LOG_F0

    def _take(self, stop: int) -> Float[Tensor, "1 mels frames"]:
        """The frames up to `stop`, which leave; what no chunk can need any more is forgotten."""
        count = stop - self._given
        ready, self._made, self._given = self._made[..., :count], self._made[..., count:], stop
        # The last chunk may reach back from a frame after the next chunk's first.
        old = max(stop + 1 - max(self._chunking.length - self._chunking.after, self._chunking.before) - self._first, 0)
        self._mel, self._content = self._mel[..., old:], self._content[:, old:]
        self._noise, self._first = self._noise[:, old:], self._first + old
        return ready


def converted_mels(
    model: "Dsvae", sound: Iterable[Float[np.ndarray, " block"]], conversion: ChunkedConversion
) -> Iterator[Float[Tensor, "1 mels frames"]]:
    """The mels of samples as they come, through a conversion."""
    stream = MelStream(model.front_end)
    for block in sound:
        made = conversion.push(stream.push(torch.from_numpy(block)))
        if made.shape[2]:
            yield made
    for made in (conversion.push(stream.finish()), conversion.finish()):
        if made.shape[2]:
            yield made


def heard(model: "Dsvae", recording: LongRecording) -> Heard:
    """The speaker of a recording: mu_s of each window of 1.6 s that holds speech, windows overlapping by half.

    Where no window is speech by half, the one with the most of it counts; a recording shorter than a window is repeated
    to fill one. All mels of one look are held in windows, so memory grows by a vector each 0.8 s.
    """
    size = max(round(WINDOW_SECONDS * recording.sample_rate / model.hop_length), 2)
    hop = size // 2
    mels = _Windows(size, hop)
    powers: list[Float[np.ndarray, " frames"]] = []
    vectors: list[Tensor] = []
    waiting: list[Tensor] = []

    def look() -> None:
        if waiting:
            vectors.append(model.speaker_vector(torch.cat(waiting)))
            waiting.clear()

    for mel, power in _mels_and_powers(model, recording):
        powers.append(power)
        for window in mels.push(mel):
            waiting.append(window)
            if len(waiting) == WINDOW_BATCH:
                look()
    waiting.extend(mels.finish())
    look()
    active = _active(np.concatenate(powers))
    shares = np.array([active[start : start + size].mean() for start in mels.starts])
    chosen = shares >= ACTIVE_SHARE if (shares >= ACTIVE_SHARE).any() else shares == shares.max()
    seconds = min(float(active.sum()) * model.hop_length / recording.sample_rate, recording.duration_seconds)
    return Heard(torch.cat(vectors)[torch.from_numpy(chosen).to(vectors[0].device)], seconds)


class _Windows:
    """Windows of `size` frames, `hop` apart, of mels as they come; the last one ends where the mels end."""

    def __init__(self, size: int, hop: int) -> None:
        self._size, self._hop = size, hop
        self._kept: Tensor | None = None
        self._first = 0
        self.starts: list[int] = []

    def push(self, mel: Float[Tensor, "1 mels frames"]) -> list[Float[Tensor, "1 mels size"]]:
        kept = mel if self._kept is None else torch.cat([self._kept, mel], dim=2)
        found = []
        next_start = len(self.starts) * self._hop - self._first
        while next_start + self._size <= kept.shape[2]:
            found.append(kept[..., next_start : next_start + self._size])
            self.starts.append(self._first + next_start)
            next_start += self._hop
        # A window's worth stays, for the last one.
        old = max(kept.shape[2] - self._size, 0)
        self._kept, self._first = kept[..., old:], self._first + old
        return found

    def finish(self) -> list[Float[Tensor, "1 mels size"]]:
        assert self._kept is not None
        end = self._first + self._kept.shape[2]
        if self.starts and self.starts[-1] + self._size == end:
            return []
        self.starts.append(self._first)
        repeats = -(-self._size // self._kept.shape[2])
        return [self._kept.repeat(1, 1, repeats)[..., : self._size]]


def _mels_and_powers(
    model: "Dsvae", recording: LongRecording
) -> Iterator[tuple[Float[Tensor, "1 mels frames"], Float[np.ndarray, " frames"]]]:
    """Log-mels, and the mean square of the frames that have come in whole; the numbers of both are equal at the end."""
    stream, hop = MelStream(model.front_end), model.hop_length
    rest = np.zeros(0, np.float32)
    for block in recording.blocks():
        joined = np.concatenate([rest, block])
        whole = len(joined) // hop * hop
        rest = joined[whole:]
        yield stream.push(torch.from_numpy(block)), np.square(joined[:whole].reshape(-1, hop)).mean(axis=1)
    last = np.square(rest).mean(keepdims=True) if len(rest) else np.zeros(0, np.float32)
    yield stream.finish(), last


def _active(power: Float[np.ndarray, " frames"]) -> Bool[np.ndarray, " frames"]:
    """Frames that are loud enough to be speech."""
    smooth = np.convolve(power, np.full(POWER_FRAMES, 1.0 / POWER_FRAMES), mode="same")[: len(power)]
    audible = smooth[smooth > 0.1 * smooth.mean()]
    return smooth > ACTIVE_POWER * (audible.mean() if len(audible) else np.inf)


def _faded(old: Float[Tensor, "*rows frames"], new: Float[Tensor, "*rows frames"]) -> Float[Tensor, "*rows frames"]:
    """From the old to the new along the last axis."""
    count = old.shape[-1]
    weight = (torch.arange(count, device=old.device, dtype=old.dtype) + 0.5) / max(count, 1)
    return torch.lerp(old, new, weight)


def with_strength(
    target: Float[Tensor, "1 speaker"], own: Float[Tensor, "1 speaker"], strength: float
) -> Float[Tensor, "1 speaker"]:
    """z_s on the way from the source's own voice, 0, to the target's, 1."""
    return own + strength * (target - own)
