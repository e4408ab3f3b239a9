"""Singing codes, and conversion of recordings of any length with a memory that does not grow.

    samples ─► chunks of half a second ─┬─► E, with all the samples around them that it looks at ─► codes
                                        └─► F0, with a quarter of a second around them ─► in another key
    codes, F0, v ─► D, which goes on where it stopped ─► samples

A chunk's place and what is looked at around it follow from its number alone, so sound that comes in blocks of any size
is converted to the same samples as the whole at once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from moksori.audio.emphasis import deemphasised
from moksori.audio.f0 import extract_f0
from moksori.models.streamed import pieces
from moksori.models.wavenet_autoencoder.driving import drive_of, told_partials
from moksori.models.wavenet_autoencoder.levels import Rest, source_levels
from moksori.models.wavenet_autoencoder.partials import Driven, held, live, turns
from moksori.models.wavenet_autoencoder.pitch import cycles, excitation, shifted
from moksori.models.wavenet_autoencoder.tuning import tuned_network
from moksori.nn.mulaw import decode_mu_law
from moksori.nn.wavenet_network import WaveNet
from moksori.nn.wavenet_sampler import Sampler
from moksori.types import LongRecording, PitchRange, Voice, Waveform

if TYPE_CHECKING:
    from moksori.models.wavenet_autoencoder.config import PitchConfig
    from moksori.models.wavenet_autoencoder.model import WavenetAutoencoder

CHUNK_SECONDS = 0.5
PITCH_MARGIN_SECONDS = 0.25
"""Around a chunk, so that a tracker of pitch knows where it comes from and where it goes."""
LARGEST_KEY_SEMITONES = 24.0


class Singer:
    """Streams of one decoder: its memory, the phase of its excitation, and the last sample of what was sung."""

    def __init__(
        self,
        model: "WavenetAutoencoder",
        vector: Float[Tensor, "streams channels"],
        generator: Generator | None = None,
        backend: str | None = None,
        tuned: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        """vector: of `WavenetAutoencoder.vectors`; where each domain has a decoder, all streams are of one domain.

        backend: of nn.wavenet_sampler; None = the fastest. tuned: of a voice, see models.wavenet_autoencoder.tuning.
        """
        config = model.config
        self._model, self._generator = model, generator
        self._vector = vector if config.singer_channels else None
        index = int(vector[0].argmax()) if config.decoders == "per_domain" else 0
        network = model.decoders[index]
        assert isinstance(network, WaveNet)
        network = tuned_network(network, tuned)
        self._network, self._index, self._voice = network, index, vector
        self._sampler = Sampler(network, len(vector), backend)
        self._phase: Tensor | None = None
        self._f0: Tensor | None = None
        self._strength: Tensor | None = None
        self._rest = None if config.pitch is None else Rest(config.pitch)
        self._last: Tensor | None = None

    @torch.no_grad()
    def sing(
        self,
        condition: Float[Tensor, "streams channels frames"],
        f0: Float[Tensor, "streams frames"] | None = None,
        temperature: float | Float[Tensor, "rows frames"] = 1.0,
        source: Float[Tensor, "streams frames"] | None = None,
    ) -> Float[Tensor, "streams samples"]:
        """The samples that follow, of the frames of a condition (`WavenetAutoencoder.condition`), in [-1, 1].

        source: levels of what is converted (`levels.source_levels`), where there is something.
        """
        config = self._model.config
        hop = config.condition_hop
        conditions = self._network.conditions(condition, self._vector)
        driven = self._driven(condition, f0)
        conditions = replace(conditions, drive=drive_of(self._model, self._index, driven))
        uniforms = self._sampler.uniforms(condition.shape[2] * hop, self._generator)
        drawn = self._sampler.draw(uniforms, conditions, temperature)
        sound = drawn if config.decoder.mixtures else decode_mu_law(drawn)
        sound = sound.float()
        if driven is not None and driven.partials is not None:
            assert self._rest is not None
            assert f0 is not None
            sound = sound * self._rest(sound, f0, source) + driven.partials
        sound = deemphasised(sound, config.pre_emphasis, self._last)
        self._last = sound[:, -1:]
        return sound.clamp(-1.0, 1.0)

    def _driven(self, condition: Float[Tensor, "streams channels frames"], f0: Tensor | None) -> Driven | None:
        """What is known of the samples of these frames before they are made, going on where it stopped."""
        model, pitch = self._model, self._model.config.pitch
        if pitch is None or not pitch.excitation:
            return None
        assert f0 is not None
        hop, rate = pitch.hop_length, model.sample_rate
        going = f0 if model.envelope is None else held(f0, self._f0)
        phase = cycles(going, hop, rate, self._phase)
        self._phase, self._f0 = phase[:, -1], f0[:, -1]
        if model.envelope is None:
            return Driven(excitation(phase, f0, hop, rate, pitch.harmonics))
        found = told_partials(model, condition, self._voice, f0, going, turns(phase, pitch.partials, hop))
        if self._strength is not None:
            found = replace(found, before=self._strength)
        self._strength = found.strength[:, :, -1]
        return Driven(found.waves(pitch.harmonics, live(going, pitch.partials, rate)), found.sound())


@dataclass(frozen=True)
class Chunking:
    """Which samples a chunk of codes is made of; all in samples but `codes`, windows of `pool` samples each.

    before, after: what is looked at around the windows that a chunk's codes come from; one window more stands on each
    side where codes are interpolated.
    """

    codes: int
    pool: int
    before: int
    after: int
    pitch_margin: int

    @classmethod
    def of(cls, model: "WavenetAutoencoder") -> "Chunking":
        """Of a model: chunks of half a second, in whole windows."""
        config = model.config
        pool, rate = config.encoder.pool, config.sample_rate
        neighbour = pool if config.upsampling == "linear" else 0
        margin = 0
        if config.pitch is not None:
            hop = config.pitch.hop_length
            margin = round(PITCH_MARGIN_SECONDS * rate / hop) * hop
        return cls(
            max(round(CHUNK_SECONDS * rate / pool), 1),
            pool,
            neighbour + model.encoder.look_back_samples,
            neighbour + model.encoder.look_ahead_samples,
            margin,
        )

    @property
    def samples(self) -> int:
        return self.codes * self.pool

    @property
    def reach(self) -> int:
        """Samples behind a chunk that must have come before it can be sung."""
        return max(self.after, self.pitch_margin)

    @property
    def delay_samples(self) -> int:
        """From a sample that comes in to the same one as it leaves, at the most."""
        return self.samples + self.reach


class StreamConversion:
    """A song in another's voice as it comes: push blocks of samples, then finish.

    vector: who sings. shift_semitones: the key. temperature: of sampling, beside the model's own. tuned: of the voice.
    """

    def __init__(
        self,
        model: "WavenetAutoencoder",
        vector: Float[Tensor, "1 channels"],
        shift_semitones: float = 0.0,
        temperature: float = 1.0,
        generator: Generator | None = None,
        tuned: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        self._model, self._shift, self._temperature = model, shift_semitones, temperature
        self._singer = Singer(model, vector, generator, tuned=tuned)
        self.chunking = Chunking.of(model)
        self._kept = np.zeros(0, np.float32)
        self._first = 0  # sample at which what is kept begins
        self._given = 0  # samples that have left

    @property
    def delay_seconds(self) -> float:
        return self.chunking.delay_samples / self._model.sample_rate

    def push(self, block: Float[np.ndarray, " block"]) -> Float[Tensor, "1 samples"]:
        """The song's next samples; the converted ones that are ready, perhaps none."""
        self._kept = np.concatenate([self._kept, block.astype(np.float32)])
        ready = [torch.zeros(1, 0)]
        while self._came >= self._given + self.chunking.delay_samples:
            ready.append(self._sung(self._given, self._given + self.chunking.samples, None))
        return torch.cat(ready, dim=1)

    def finish(self) -> Float[Tensor, "1 samples"]:
        """The samples that are left, after the last ones came; call it once. In all there are as many as came."""
        end, ready = self._came, [torch.zeros(1, 0)]
        windows = -(-end // self.chunking.pool) * self.chunking.pool
        self._kept = np.pad(self._kept, (0, windows - end))
        while self._given < windows:
            begun = self._given
            sung = self._sung(begun, min(begun + self.chunking.samples, windows), windows)
            ready.append(sung[:, : end - begun])
        return torch.cat(ready, dim=1)

    @property
    def _came(self) -> int:
        return self._first + len(self._kept)

    @torch.no_grad()
    def _sung(self, start: int, stop: int, end: int | None) -> Float[Tensor, "1 samples"]:
        """Samples [start, stop). end: of the song, where that is known."""
        model, chunking = self._model, self.chunking
        device = next(model.parameters()).device
        codes, left = self._codes(start, stop, end, device)
        f0 = levels = None
        if model.config.pitch is not None:
            tracked = self._pitch(model.config.pitch, start, stop, end)
            f0 = shifted(torch.from_numpy(tracked)[None].to(device), self._shift)
            if model.config.pitch.over_source is not None:
                levels = self._levels(start, stop, device)
        times = chunking.pool // model.hop_length
        frames = slice(left * times, left * times + (stop - start) // model.hop_length)
        finer = model.upsampled(codes)[:, :, frames]
        sung = self._singer.sing(model.with_pitch(finer, f0), f0, model.temperatures(f0, self._temperature), levels)
        self._given = stop
        keep = max(stop - max(chunking.before + chunking.pool, chunking.pitch_margin) - self._first, 0)
        self._kept, self._first = self._kept[keep:], self._first + keep
        return sung.cpu()

    def _codes(self, start: int, stop: int, end: int | None, device: torch.device) -> tuple[Tensor, int]:
        """Codes of the windows of [start, stop), with a neighbour on each side where there is one, and how many stand
        before the first."""
        pool, chunking = self.chunking.pool, self.chunking
        first = max(start - chunking.before, 0) // pool * pool
        last = -(-(stop + chunking.after) // pool) * pool
        last = min(last, self._came // pool * pool if end is None else end)
        heard = torch.from_numpy(self._kept[first - self._first : last - self._first].copy())[None].to(device)
        codes = self._model.encode(heard)
        neighbours = 1 if self._model.config.upsampling == "linear" else 0
        begin = max((start - first) // pool - neighbours, 0)
        stopping = (stop - first) // pool + neighbours
        return codes[:, :, begin:stopping], (start - first) // pool - begin

    def _levels(self, start: int, stop: int, device: torch.device) -> Float[Tensor, "1 frames"]:
        """How loud the source is in the frames of [start, stop)."""
        config = self._model.config
        hop, emphasis = self._model.hop_length, config.pre_emphasis
        found = source_levels(self._kept, start - self._first, (stop - start) // hop, hop, emphasis)
        return torch.from_numpy(found)[None].to(device)

    def _pitch(self, pitch: "PitchConfig", start: int, stop: int, end: int | None) -> Float[np.ndarray, " frames"]:
        """F0 of the frames of [start, stop)."""
        hop, margin = pitch.hop_length, self.chunking.pitch_margin
        first = max(start - margin, 0)
        last = stop + margin if end is None else min(stop + margin, end)
        heard = Waveform(self._kept[first - self._first : last - self._first], self._model.sample_rate)
        return tracked(heard, pitch)[(start - first) // hop :][: (stop - start) // hop]


def tracked(waveform: Waveform, pitch: "PitchConfig") -> Float[np.ndarray, " frames"]:
    """F0 in Hz of whole frames, 0 where unvoiced, as the model learnt it."""
    return extract_f0(waveform, pitch.hop_length, pitch.lowest_hz, pitch.highest_hz, pitch.method)


def heard_pitch(recording: LongRecording, pitch: "PitchConfig") -> PitchRange | None:
    """Median of ln F0, and its deviation, over the voiced frames of a recording; None where next to none is voiced.

    Read in pieces of ten seconds, so that memory does not grow with the samples.
    """
    size = 10 * recording.sample_rate // pitch.hop_length * pitch.hop_length
    found: list[Float[np.ndarray, " frames"]] = []
    for piece in pieces(recording, size, pitch.hop_length):
        f0 = tracked(Waveform(piece, recording.sample_rate), pitch)
        found.append(np.log(f0[f0 > 0]))
    heights = np.concatenate(found) if found else np.zeros(0)
    if len(heights) < 10:
        return None
    return PitchRange(float(np.median(heights)), float(heights.std()))


def key_between(source: PitchRange, target: PitchRange) -> int:
    """Semitones that bring a song of one height to a singer of another: of their middles, in whole semitones, held to
    two octaves."""
    between = 12.0 * (target.mean - source.mean) / math.log(2.0)
    return round(min(max(between, -LARGEST_KEY_SEMITONES), LARGEST_KEY_SEMITONES))


def voice_parts(voice: Voice, model: "WavenetAutoencoder") -> tuple[Tensor, PitchRange | None]:
    """A voice's vector `[1, channels]` for the decoder, and where it sings, as far as known.

    A voice in a file holds its vector, and behind it the middle of its ln F0 where the model is given pitch.
    Raises ValueError for a vector of another width.
    """
    device = next(model.parameters()).device
    if voice.vector is None:
        return model.vectors(torch.tensor([voice.speaker], device=device)), voice.pitch
    if voice.vector.shape != (model.voice_channels,):
        raise ValueError(
            f"the voice {voice.name!r} has {voice.vector.shape[0]} numbers, expected {model.voice_channels}"
        )
    vector = voice.vector.to(device)[None]
    if model.config.pitch is None:
        return vector, voice.pitch
    return vector[:, :-1], PitchRange(float(vector[0, -1]), 0.0)
