"""Conversion of recordings of any length: WORLD's analysis in chunks, the networks, and synthesis that goes on.

    samples ─► chunks of half a second, a quarter of a second around them ─► F0, envelopes, aperiodicity
    envelopes ─► shape, energy; shape ─► E ─► z ─► G(z, y) ─► shape ─► envelope with the source's energy
    ln F0 ─► from the source's range to the target's; aperiodicity as it was ─► WorldSynthesizer ─► samples

A chunk's place, and what is looked at around it, follow from its number alone, and the synthesis keeps its phase, so
sound that comes in blocks of any size is converted to the samples of the whole at once, bit for bit.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from moksori.audio.f0 import extract_f0
from moksori.audio.world import aperiodicity_at, envelope_at, require_pyworld
from moksori.audio.world_features import LogPitch, join_energy, moved_f0, neighbours, split_energy, summed
from moksori.audio.world_synthesis import WorldSynthesizer
from moksori.models.streamed import pieces
from moksori.models.world_vae.features import relative_pitch, temporal_median
from moksori.nn.distributions import standard_normal
from moksori.types import ConvertControls, LongRecording, PitchRange, Voice, Waveform

if TYPE_CHECKING:
    from moksori.models.world_vae.config import WorldVaeConfig
    from moksori.models.world_vae.model import WorldVae

CHUNK_SECONDS = 0.5
MARGIN_SECONDS = 0.25
"""Around a chunk, so that the tracker of pitch knows where it comes from; windows of the analysis reach 30 ms."""
PIECE_SECONDS = 10.0
LEAST_VOICED_FRAMES = 50
"""A quarter of a second: with less there is no range of pitch to move from."""
LOWEST_HZ = 50.0
"""That is ever synthesised."""


class StreamConversion:
    """A recording in another voice as it comes: push blocks of samples, then finish.

    speaker: who is to be heard, by number. target, source: ranges of ln F0; where one is not known the pitch stays.
    live: the source's range is learnt while it comes, and taken for the target's until something is heard. controls:
    its shift comes on top; its variation is of z's noise. Raises MissingExtra without pyworld.
    """

    def __init__(
        self,
        model: "WorldVae",
        speaker: int,
        target: PitchRange | None,
        source: PitchRange | None,
        controls: ConvertControls,
        live: bool = False,
        generator: Generator | None = None,
    ) -> None:
        require_pyworld("conversion frame by frame")
        config = model.config
        self._model, self._speaker, self._generator = model, speaker, generator
        self._target, self._source, self._shift = target, source, controls.shift_semitones
        self._heard = LogPitch.supposed(target, LEAST_VOICED_FRAMES) if live and target is not None else None
        usual = 1.0 if config.encoder is None else config.variation
        self._variation = usual if controls.variation is None else controls.variation
        rate, hop = config.sample_rate, config.hop_length
        self.chunk_frames = max(round(CHUNK_SECONDS * rate / hop), 1)
        self.margin_frames = round(MARGIN_SECONDS * rate / hop) + config.context_frames + config.smoothing_frames
        device = model.speaker_embedding.weight.device
        self._device = device
        self._noise = torch.zeros(0, config.latent_channels, device=device)  # of the frames from `_noise_first` on
        self._noise_first = 0
        seed = int(torch.randint(2**31, (1,), generator=generator))
        self._synthesizer = WorldSynthesizer(rate, hop, config.n_fft, np.random.default_rng(seed), LOWEST_HZ)
        self._kept = np.zeros(0, np.float32)
        self._first = 0  # frame at which what is kept begins
        self._given = 0  # frames that were converted
        self._left = 0  # samples that have left

    @property
    def delay_seconds(self) -> float:
        """From a sample that comes in to the same one as it leaves, at the most."""
        ahead = (self.chunk_frames + self.margin_frames) * self._model.hop_length
        return (ahead + self._synthesizer.held_samples) / self._model.sample_rate

    def push(self, block: Float[np.ndarray, " block"]) -> Float[Tensor, "1 samples"]:
        """The recording's next samples; the converted ones that are ready, perhaps none."""
        self._kept = np.concatenate([self._kept, block.astype(np.float32)])
        hop, ready = self._model.hop_length, [np.zeros(0)]
        while self._came >= (self._given + self.chunk_frames + self.margin_frames) * hop:
            ready.append(self._converted(self._given + self.chunk_frames, None))
        return self._samples(ready)

    def finish(self) -> Float[Tensor, "1 samples"]:
        """The samples that are left, after the last ones came; call it once. In all there are as many as came."""
        hop, came = self._model.hop_length, self._came
        frames = -(-came // hop)
        self._kept = np.pad(self._kept, (0, frames * hop - came))
        ready = [np.zeros(0)]
        while self._given < frames:
            ready.append(self._converted(min(self._given + self.chunk_frames, frames), frames))
        ready.append(self._synthesizer.finish())
        made = np.concatenate(ready)[: came - self._left]
        return self._samples([made])

    @property
    def _came(self) -> int:
        return self._first * self._model.hop_length + len(self._kept)

    def _samples(self, parts: list[Float[np.ndarray, " samples"]]) -> Float[Tensor, "1 samples"]:
        made = np.clip(np.concatenate(parts), -1.0, 1.0).astype(np.float32)
        self._left += len(made)
        return torch.from_numpy(made)[None]

    @torch.no_grad()
    def _converted(self, stop: int, end: int | None) -> Float[np.ndarray, " samples"]:
        """Converts the frames up to `stop`; the samples that are ready then. end: of the recording, where known."""
        model, config, start = self._model, self._model.config, self._given
        hop, size, half = config.hop_length, config.n_fft, config.smoothing_frames // 2
        first = max(start - self.margin_frames, 0)
        last = stop + self.margin_frames if end is None else min(stop + self.margin_frames, end)
        sound = Waveform(self._kept[(first - self._first) * hop : (last - self._first) * hop], config.sample_rate)
        f0 = tracked(sound, config)
        wide = np.arange(start - half, stop + half).clip(0, last - 1)  # an end's neighbour is itself
        groups = neighbours(wide - first, config.context_frames // 2, last - first)
        chosen, place = np.unique(groups, return_inverse=True)
        shape, energy = split_energy(envelope_at(sound, f0, chosen, hop, size))
        heard = torch.from_numpy(shape[place.reshape(groups.shape)]).float().to(self._device)
        own = np.arange(start - first, stop - first)
        pitch = self._relative(f0, wide - first)
        posterior = model.posterior(model.range(heard))
        latent = posterior.mean + self._variation * self._noise_at(wide) * posterior.log_std.exp()
        speaker = torch.full((len(wide),), self._speaker, device=self._device)
        made = temporal_median(model.decode(latent, speaker, pitch), config.smoothing_frames)
        shapes = model.range.inverse(model.filtered(made, self._speaker)).double().cpu().numpy()
        if config.keep_energy:
            shapes = shapes - np.log10((10.0**shapes).sum(axis=1, keepdims=True))
        envelope = join_energy(shapes, energy[np.searchsorted(chosen, own)])
        moved = moved_f0(f0[own], self._moved_from(f0[own]), self._target, self._shift, (LOWEST_HZ, hop_limit(config)))
        noise = aperiodicity_at(sound, f0, own, hop, size)
        self._given = stop
        keep = max(stop - self.margin_frames - self._first, 0)
        self._kept, self._first = self._kept[keep * hop :], self._first + keep
        return self._synthesizer.push(moved, envelope, noise)

    def _moved_from(self, f0: Float[np.ndarray, " frames"]) -> PitchRange | None:
        """The source's range, as far as it is known with these frames."""
        if self._heard is None:
            return self._source
        self._heard = self._heard + LogPitch.of(f0)
        return self._heard.range

    def _relative(self, f0: Float[np.ndarray, " frames"], frames: np.ndarray) -> Float[Tensor, "frames 2"] | None:
        """What the decoder is told of the pitch: relative to the source's range."""
        if not self._model.config.pitch:
            return None
        known = self._source or (
            self._heard.range if self._heard is not None else self._model.known_pitch(self._speaker)
        )
        track = torch.from_numpy(f0[frames]).float().to(self._device)
        mean, deviation = (torch.full_like(track, value) for value in (known.mean, known.deviation))
        return relative_pitch(track, mean, deviation)

    def _noise_at(self, frames: np.ndarray) -> Float[Tensor, "frames latent"]:
        """z's noise of frames, drawn once for each in their order; 0 where there is none."""
        if self._variation == 0.0:
            return torch.zeros(len(frames), self._model.config.latent_channels, device=self._device)
        count = int(frames[-1]) + 1 - self._noise_first - len(self._noise)
        if count > 0:
            like = self._noise.new_zeros(count, self._model.config.latent_channels)
            self._noise = torch.cat([self._noise, standard_normal(like, self._generator)])
        found = self._noise[torch.from_numpy(frames - self._noise_first)]
        drop = max(int(frames[0]) - self._noise_first, 0)
        self._noise, self._noise_first = self._noise[drop:], self._noise_first + drop
        return found


def hop_limit(config: "WorldVaeConfig") -> float:
    """The highest pitch that is synthesised, in Hz: twice the highest that is heard."""
    return min(2.0 * config.highest_hz, config.sample_rate / 4)


def tracked(waveform: Waveform, config: "WorldVaeConfig") -> Float[np.ndarray, " frames"]:
    """F0 in Hz of whole frames by dio, 0 where unvoiced. Raises MissingExtra without pyworld."""
    require_pyworld("conversion frame by frame")
    f0 = extract_f0(waveform, config.hop_length, config.lowest_hz, config.highest_hz, method="dio")
    return f0.astype(np.float64)


def source_range(recording: LongRecording, config: "WorldVaeConfig") -> PitchRange | None:
    """Where a recording speaks, by the mean and deviation of ln F0; None where next to nothing is voiced.

    Read in pieces of ten seconds, so that memory does not grow with the samples.
    """
    size = round(PIECE_SECONDS * recording.sample_rate / config.hop_length) * config.hop_length
    found = [
        LogPitch.of(tracked(Waveform(piece, recording.sample_rate), config))
        for piece in pieces(recording, size, config.hop_length)
    ]
    heard = summed(found)
    return heard.range if heard.count >= LEAST_VOICED_FRAMES else None


def voicing_remarks(loudest: Waveform, target: Voice, config: "WorldVaeConfig") -> list[str]:
    """What a person should know of a recording's pitch, and of the target's."""
    notes = []
    if target.pitch is None:
        notes.append(
            f"at what pitch {target.name!r} speaks is not known to this model: it stays the source's, --pitch moves it"
        )
    voiced = int((tracked(loudest, config) > 0).sum()) if len(loudest.samples) >= config.hop_length else 0
    if voiced < LEAST_VOICED_FRAMES:
        notes.append(
            "next to nothing in it is voiced, as in whispering and noise: the pitch stays, and is hardly heard"
        )
    return notes
