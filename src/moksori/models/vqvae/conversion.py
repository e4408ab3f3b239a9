"""Conversion of sound of any length with a memory that does not grow, and codes by themselves.

    samples ─► Reader: codes, and F0 against its mean so far ─► states ─► decoder, told of another speaker ─► mels, or
                                                                                                              samples

All convolutions look at a known stretch around a frame, so blocks of any size give what the whole gives.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from moksori.audio.f0 import extract_f0
from moksori.audio.mel_stream import MelStream
from moksori.models.decoders.progressive import with_context
from moksori.models.vqvae.config import PitchConfig, VqvaeConfig
from moksori.models.vqvae.decoder import MelDecoder, SampleDecoder, SampleStream
from moksori.models.vqvae.encoder import MelEncoder
from moksori.types import Coded, ConvertControls, LongRecording, Voice, Waveform

if TYPE_CHECKING:
    from moksori.models.vqvae.model import Vqvae

WHOLE_SECONDS, LIVE_SECONDS = 5.0, 0.1
"""Of codes that are made at once: of recordings, and of sound that is heard while it comes."""
PITCH_SECONDS, PITCH_MARGIN_SECONDS = 0.5, 0.25
"""F0 is looked for in stretches of half a second, with a quarter around, in recordings too: equal for both."""
SPEAK_FRAMES = 64
"""Of the condition of samples that are drawn in one go."""
MIDDLE_LOG_F0, SPREAD_LOG_F0 = 5.3, 0.25
"""200 Hz, where nothing was voiced yet; what a melody's distance from its mean is divided by."""
MELODY_STEPS = 100.0
"""To one of these: melodies are rounded, so that they can be kept in files."""


def standard_melody(
    f0: Float[Tensor, "batch frames"], centre: Float[Tensor, "batch 1"], shift_semitones: float = 0.0
) -> Float[Tensor, "batch 2 frames"]:
    """Height, (ln F0 - centre) / 0.25 to two digits and 0 where unvoiced, and voicing, 0 or 1. f0: in Hz, 0 unvoiced.

    centre: the mean of ln F0 over voiced frames. shift_semitones: how much higher it is to be.
    """
    voiced = (f0 > 0).to(f0.dtype)
    height = (f0.clamp(min=1.0).log() + shift_semitones * math.log(2.0) / 12.0 - centre) / SPREAD_LOG_F0
    return torch.stack([(height * MELODY_STEPS).round() / MELODY_STEPS * voiced, voiced], dim=1)


def mean_log_f0(f0: Float[Tensor, "batch frames"]) -> Float[Tensor, "batch 1"]:
    """Of each item's voiced frames; 200 Hz where there are none."""
    voiced = (f0 > 0).to(f0.dtype)
    total, count = (f0.clamp(min=1.0).log() * voiced).sum(dim=1, keepdim=True), voiced.sum(dim=1, keepdim=True)
    return torch.where(count > 0, total / count.clamp(min=1.0), MIDDLE_LOG_F0)


@dataclass(frozen=True)
class Piece:
    """A stretch of what is said. melody: of its frames, where the model is given one."""

    codes: Int[Tensor, "1 codes"]
    melody: Float[Tensor, "1 2 frames"] | None


class MelodyReader:
    """F0 of samples as they come, against the mean of all that came so far."""

    def __init__(self, config: VqvaeConfig, pitch: PitchConfig, shift_semitones: float = 0.0) -> None:
        self._rate, self._hop, self._pitch, self._shift = (
            config.sample_rate,
            config.condition_samples,
            pitch,
            shift_semitones,
        )
        per_second = config.sample_rate / self._hop
        self._size = max(round(PITCH_SECONDS * per_second), 1)
        self._margin = round(PITCH_MARGIN_SECONDS * per_second)
        self._kept = np.zeros(0, np.float32)
        self._first = self._done = 0  # frames at which what is kept begins, and up to which the melody is known
        self._sum, self._voiced = 0.0, 0

    @property
    def delay_samples(self) -> int:
        return (self._size + self._margin) * self._hop

    def push(self, block: Float[np.ndarray, " block"]) -> Float[Tensor, "1 2 frames"]:
        """The next samples; the frames that are ready."""
        self._kept = np.concatenate([self._kept, block.astype(np.float32)])
        ready = [torch.zeros(1, 2, 0)]
        while self._first * self._hop + len(self._kept) >= (self._done + self._size + self._margin) * self._hop:
            ready.append(self._track(self._done + self._size, self._done + self._size + self._margin))
        return torch.cat(ready, dim=2)

    def finish(self, frames: int) -> Float[Tensor, "1 2 frames"]:
        """What is left of so many frames in all; silence follows the last sample."""
        missing = (frames - self._first) * self._hop - len(self._kept)
        self._kept = np.pad(self._kept, (0, max(missing, 0)))
        ready = [torch.zeros(1, 2, 0)]
        while self._done < frames:
            stop = min(self._done + self._size, frames)
            ready.append(self._track(stop, min(stop + self._margin, frames)))
        return torch.cat(ready, dim=2)

    def _track(self, stop: int, last: int) -> Float[Tensor, "1 2 frames"]:
        """The melody of the frames from those that are done up to `stop`. last: up to which samples are looked at."""
        pitch, first = self._pitch, max(self._done - self._margin, 0)
        heard = self._kept[(first - self._first) * self._hop : (last - self._first) * self._hop]
        f0 = extract_f0(Waveform(heard, self._rate), self._hop, pitch.lowest_hz, pitch.highest_hz, pitch.method)
        own = torch.from_numpy(f0[self._done - first : stop - first])[None]
        voiced = own[own > 0]
        self._sum, self._voiced = self._sum + float(voiced.double().log().sum()), self._voiced + len(voiced)
        centre = self._sum / self._voiced if self._voiced else MIDDLE_LOG_F0
        self._done = stop
        old = max(stop - self._margin - self._first, 0)
        self._kept, self._first = self._kept[old * self._hop :], self._first + old
        return standard_melody(own, torch.full((1, 1), centre), self._shift)


class Reader:
    """Codes of samples as they come, and their melody where the model is given one. live: in short pieces."""

    def __init__(self, model: "Vqvae", live: bool = False, shift_semitones: float = 0.0) -> None:
        self._model, config, encoder = model, model.config, model.encoder
        self._device = model.speaker_embedding.weight.device
        self._size = max(round((LIVE_SECONDS if live else WHOLE_SECONDS) * config.codes_per_second), 1)
        self._mels = MelStream(encoder.front_end) if isinstance(encoder, MelEncoder) else None
        self._emphasis = encoder.config.pre_emphasis if isinstance(encoder, MelEncoder) else 0.0
        self._before = 0.0  # the last sample, for the emphasis of the next
        self._melody = None if config.pitch is None else MelodyReader(config, config.pitch, shift_semitones)
        self._features: Tensor | None = None
        self._codes = torch.zeros(1, 0, dtype=torch.int64)
        self._heights = torch.zeros(1, 2, 0)
        self._made = 0
        self.samples = 0

    @property
    def delay_samples(self) -> int:
        """From a sample that comes to the piece that holds its code, at the most."""
        encoder = self._model.encoder
        reach = 0
        if isinstance(encoder, MelEncoder):
            mel = encoder.config.mel
            reach = mel.n_fft - (mel.n_fft - mel.hop_length) // 2 - mel.hop_length
        own = self._size * self._model.config.code_samples + encoder.margin * encoder.step_samples + reach
        return max(own, 0 if self._melody is None else self._melody.delay_samples)

    @torch.no_grad()
    def push(self, block: Float[np.ndarray, " block"]) -> Piece:
        """The next samples; what is known of what is said, perhaps nothing."""
        self.samples += len(block)
        self._hear(self._emphasised(block))
        self._encode(self._size)
        if self._melody is not None:
            self._heights = torch.cat([self._heights, self._melody.push(block)], dim=2)
        return self._ready()

    @torch.no_grad()
    def finish(self) -> Piece:
        """What is left, after the last samples; call it once."""
        model = self._model
        if self._mels is not None:
            self._add(self._mels.finish())
        if self._features is not None:
            steps = self._features.shape[2] - model.encoder.margin + self._made * model.encoder.steps
            rest = -steps % model.encoder.steps + model.encoder.margin
            self._features = torch.nn.functional.pad(self._features, (0, rest), value=model.encoder.silence)
            self._encode(self._size)
            self._encode(1, last=True)
        if self._melody is not None:
            frames = self._made * model.config.frames_per_code
            self._heights = torch.cat([self._heights, self._melody.finish(frames)], dim=2)
        return self._ready()

    def _emphasised(self, block: Float[np.ndarray, " block"]) -> Float[Tensor, " block"]:
        sound = torch.from_numpy(np.ascontiguousarray(block, np.float32))
        if not self._emphasis or not len(sound):
            return sound
        earlier = torch.cat([torch.tensor([self._before]), sound[:-1]])
        self._before = float(sound[-1])
        return sound - self._emphasis * earlier

    def _hear(self, sound: Float[Tensor, " block"]) -> None:
        if self._mels is not None:
            self._add(self._mels.push(sound))
        elif len(sound):
            self._add(self._model.encoder.features(sound[None].to(self._device)))

    def _add(self, features: Float[Tensor, "1 features steps"]) -> None:
        if not features.shape[2]:
            return
        encoder = self._model.encoder
        before = self._features
        if before is None:
            before = features.new_full((1, features.shape[1], encoder.margin), encoder.silence)
        self._features = torch.cat([before, features], dim=2)

    def _encode(self, size: int, last: bool = False) -> None:
        """Makes codes, `size` at a time as long as there are enough features; last: all that are left at once."""
        encoder = self._model.encoder
        while self._features is not None:
            known = (self._features.shape[2] - 2 * encoder.margin) // encoder.steps
            count = known if last else size
            if known < count or count <= 0:
                return
            used = self._features[:, :, : count * encoder.steps + 2 * encoder.margin]
            found = self._model.quantizer(self._model.states(used)).codes.cpu()
            self._codes, self._made = torch.cat([self._codes, found], dim=1), self._made + count
            self._features = self._features[:, :, count * encoder.steps :]

    def _ready(self) -> Piece:
        """The codes whose melody is known too."""
        if self._melody is None:
            piece, self._codes = Piece(self._codes, None), self._codes[:, :0]
            return piece
        times = self._model.config.frames_per_code
        count = min(self._codes.shape[1], self._heights.shape[2] // times)
        piece = Piece(self._codes[:, :count], self._heights[:, :, : count * times])
        self._codes, self._heights = self._codes[:, count:], self._heights[:, :, count * times :]
        return piece


class Conditioner:
    """The decoder's condition of pieces as they come; where it is interpolated, the last code waits for the next."""

    def __init__(self, model: "Vqvae", target: Voice) -> None:
        self._model = model
        self._centre = MIDDLE_LOG_F0 if target.pitch is None else target.pitch.mean
        self._device = model.speaker_embedding.weight.device
        self._before: Tensor | None = None  # the last code's state that has left
        self._waiting = torch.zeros(1, model.config.code_channels, 0, device=self._device)
        self._melody = torch.zeros(1, 2, 0, device=self._device)

    @torch.no_grad()
    def push(self, piece: Piece, last: bool = False) -> Float[Tensor, "1 condition frames"]:
        """The frames that are known with this piece. last: no other follows."""
        model, times = self._model, self._model.config.frames_per_code
        states = model.quantizer.lookup(piece.codes.to(self._device)).transpose(1, 2)
        self._waiting = torch.cat([self._waiting, states], dim=2)
        count = self._waiting.shape[2]
        if model.interpolates and not last:
            count = max(count - 1, 0)
        before = 0 if self._before is None else 1
        around = self._waiting if self._before is None else torch.cat([self._before, self._waiting], dim=2)
        if not count:
            finer = around.new_zeros(1, around.shape[1], 0)
        elif model.interpolates:
            finer = model.upsampled(around)[:, :, before * times : (before + count) * times]
            self._before = self._waiting[:, :, count - 1 : count]
        else:
            finer = model.upsampled(self._waiting)
        self._waiting = self._waiting[:, :, count:]
        if piece.melody is None:
            return finer
        self._melody = torch.cat([self._melody, piece.melody.to(self._device)], dim=2)
        melody, self._melody = self._melody[:, :, : count * times], self._melody[:, :, count * times :]
        return torch.cat([finer, model.melodic(melody.to(finer), self._centre)], dim=1)


class MelSpeaker:
    """Mels of a condition as it comes; a frame leaves when all that it looks at has come."""

    def __init__(self, decoder: MelDecoder, vector: Float[Tensor, "1 speaker"]) -> None:
        self._decoder, self._vector = decoder, vector
        self._kept: Tensor | None = None
        self._first = self._done = 0  # frames at which what is kept begins, and up to which mels have left

    @torch.no_grad()
    def push(self, condition: Float[Tensor, "1 condition frames"], last: bool = False) -> Float[Tensor, "1 mels ready"]:
        """The frames that are known with these. last: no others follow."""
        kept = condition if self._kept is None else torch.cat([self._kept, condition], dim=2)
        reach, first = self._decoder.context_frames, self._first
        came = first + kept.shape[2]
        stop = came if last else came - reach
        if stop <= self._done:
            self._kept = kept
            return condition.new_zeros(1, self._decoder.config.mel.n_mels, 0)
        made = with_context(
            lambda a, b: self._decoder.mel(kept[:, :, a - first : b - first], self._vector),
            reach,
            self._done,
            stop,
            came,
        )
        self._done = stop
        old = max(stop - reach - first, 0)
        self._kept, self._first = kept[:, :, old:], first + old
        return made


class MelConversion:
    """Sound as it comes to mels in another's voice: push blocks of samples, then finish."""

    def __init__(self, model: "Vqvae", target: Voice, controls: ConvertControls, live: bool = False) -> None:
        assert isinstance(model.decoder, MelDecoder)
        self._decoder = model.decoder
        self._hop = model.decoder.config.mel.hop_length
        self._reader = Reader(model, live, controls.shift_semitones)
        self._conditioner, self._speaker = Conditioner(model, target), MelSpeaker(model.decoder, model.vector(target))
        self._left = 0

    @property
    def delay_frames(self) -> int:
        """Frames that come in before a frame leaves, at the most."""
        return -(-self._reader.delay_samples // self._hop) + self._decoder.context_frames

    def push(self, block: Float[np.ndarray, " block"]) -> Float[Tensor, "1 mels frames"]:
        made = self._speaker.push(self._conditioner.push(self._reader.push(block)))
        self._left += made.shape[2]
        return made

    def finish(self) -> Float[Tensor, "1 mels frames"]:
        """The frames that are left; in all there is one for each hop that was begun."""
        made = self._speaker.push(self._conditioner.push(self._reader.finish(), last=True), last=True)
        return made[:, :, : max(-(-self._reader.samples // self._hop) - self._left, 0)]


class SoundConversion:
    """Sound as it comes to samples in another's voice: push blocks of samples, then finish."""

    def __init__(
        self,
        model: "Vqvae",
        target: Voice,
        controls: ConvertControls,
        generator: Generator | None = None,
    ) -> None:
        assert isinstance(model.decoder, SampleDecoder)
        self._model = model
        self._reader = Reader(model, True, controls.shift_semitones)
        self._conditioner = Conditioner(model, target)
        self._stream = SampleStream(model.decoder, model.vector(target), generator)
        self._warmth = 1.0 if controls.variation is None else controls.variation
        self._left = 0

    @property
    def delay_seconds(self) -> float:
        """From a sample that comes in to the same one as it leaves, at the most."""
        config = self._model.config
        more = config.code_samples if self._model.interpolates else 0
        return (self._reader.delay_samples + more) / config.sample_rate

    def push(self, block: Float[np.ndarray, " block"]) -> Float[Tensor, "1 samples"]:
        return self._spoken(self._conditioner.push(self._reader.push(block)))

    def finish(self) -> Float[Tensor, "1 samples"]:
        """The samples that are left; in all there are as many as came."""
        before = self._left
        made = self._spoken(self._conditioner.push(self._reader.finish(), last=True))
        return made[:, : self._reader.samples - before]

    def _spoken(self, condition: Float[Tensor, "1 condition frames"]) -> Float[Tensor, "1 samples"]:
        parts = [torch.zeros(1, 0)]
        for part in condition.split(SPEAK_FRAMES, dim=2):
            if part.shape[2]:
                parts.append(self._stream.speak(part, self._warmth).cpu())
        made = torch.cat(parts, dim=1)
        self._left += made.shape[1]
        return made


def coded(reader: Reader, recording: LongRecording) -> Coded:
    """All that a reader finds in a recording."""
    found = [reader.push(block) for block in recording.blocks()]
    found.append(reader.finish())
    codes = torch.cat([piece.codes for piece in found], dim=1)[0].numpy()
    melodies = [piece.melody[0] for piece in found if piece.melody is not None]
    return Coded(codes, torch.cat(melodies, dim=1).numpy() if melodies else None, reader.samples)


def _said(said: Coded, model: "Vqvae") -> Piece:
    melody = None if said.melody is None else torch.from_numpy(said.melody)[None]
    if (melody is None) != (model.config.pitch is None):
        raise ValueError("these codes are another model's: one is given a melody, and the other is not")
    return Piece(torch.from_numpy(said.codes)[None], melody)


def spoken_mels(
    model: "Vqvae", decoder: MelDecoder, said: Coded, target: Voice
) -> Iterator[Float[Tensor, "1 mels frames"]]:
    """Mels of codes, some seconds at a time."""
    speaker, hop = MelSpeaker(decoder, model.vector(target)), decoder.config.mel.hop_length
    left, total = 0, -(-said.samples // hop)
    condition = Conditioner(model, target).push(_said(said, model), last=True)
    parts = condition.split(round(WHOLE_SECONDS * model.sample_rate / hop), dim=2)
    for index, part in enumerate(parts):
        made = speaker.push(part, last=index == len(parts) - 1)
        yield made[:, :, : total - left]
        left += made.shape[2]


def spoken_sound(
    model: "Vqvae",
    decoder: SampleDecoder,
    said: Coded,
    target: Voice,
    warmth: float = 1.0,
    generator: Generator | None = None,
) -> Iterator[Float[Tensor, "1 samples"]]:
    """Samples of codes, some at a time."""
    stream, left = SampleStream(decoder, model.vector(target), generator), 0
    condition = Conditioner(model, target).push(_said(said, model), last=True)
    for part in condition.split(SPEAK_FRAMES, dim=2):
        made = stream.speak(part, warmth)[:, : max(said.samples - left, 0)]
        left += made.shape[1]
        yield made
