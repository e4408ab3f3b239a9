"""Conversion between the speakers of a VITS: what one said, said by another (Kim et al. 2021, appendix).

waveform ─► spectrogram ─► q(z|x, g_source) ─► z ─► f(z, g_source) ─► z_p ─► f^-1(z_p, g_target) ─► decoder(., g_target)
The prior of z_p comes from the text alone, so what training leaves in z_p is nearly free of the speaker: sounds, rhythm
and melody, the latter around no one's own pitch. Letters: g = speaker vector, f = flow.

Everything here is made in pieces, the whole recording being one piece. Each part brings the frames that its
convolutions read, so that pieces of any size give the same sound (docs/streaming.md).
"""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from moksori.audio.stft import linear_spectrogram
from moksori.models.decoders.pitch import LOG_F0_LIMITS, PitchPredictor
from moksori.models.decoders.progressive import Make, Progressive, chunks, with_context
from moksori.nn.long_noise import LongNoise
from moksori.nn.masks import sequence_mask
from moksori.types import ConvertControls, LongRecording, PitchRange, SoundBatch, Voice

if TYPE_CHECKING:
    from moksori.models.vits.model import Vits

NOISE_STRETCH_FRAMES = 4096
"""Frames whose posterior noise is drawn at once: 48 s at 22.05 kHz and hop 256."""
MEASURED_FRAMES = 512
"""Frames whose pitch is looked at together, before anything is converted."""
UNMOVED_SECONDS = 1.0
"""Voiced speech by which a recording's pitch is left where it was: a word or two have no mean to speak of."""
RANGE_DEVIATIONS = 4.0
"""How far from its mean a voice goes, in standard deviations of ln F0."""


def converted(
    model: "Vits",
    sounds: SoundBatch,
    source: Voice,
    target: Voice,
    controls: ConvertControls,
    generator: Generator | None = None,
) -> SoundBatch:
    """Whole recordings at once; see `Vits.convert`."""
    hop, lengths = model.hop_length, sounds.waveform_lengths
    frames = lengths.add(hop - 1).div(hop, rounding_mode="floor")
    total = int(frames.max())
    spectrogram = _whole_spectrogram(model, sounds, frames, total)
    course = _Course(
        model, lambda: lambda start, stop: spectrogram[..., start:stop], sequence_mask(frames, total), source, target
    )
    waveform = course.sound(controls, generator)(0, total)[:, : sounds.waveform.shape[1]]
    return SoundBatch(waveform * sequence_mask(lengths, waveform.shape[1])[:, 0], lengths)


def converted_blocks(
    model: "Vits",
    recording: LongRecording,
    source: Voice,
    target: Voice,
    controls: ConvertControls,
    block_frames: int,
    generator: Generator | None = None,
) -> Iterator[Float[Tensor, "1 samples"]]:
    """One recording block by block, in memory that does not grow with it; see `Vits.convert_in_blocks`."""
    hop, device = model.hop_length, next(model.parameters()).device
    total = math.ceil(recording.samples / hop)
    history = 2 * (max(block_frames, MEASURED_FRAMES) + _reach(model))
    mask = torch.ones(1, 1, total, dtype=torch.bool, device=device)

    def spectrogram() -> Make:
        return _spectrogram_of_blocks(model, recording, total, history, device)

    make = _Course(model, spectrogram, mask, source, target, history).sound(controls, generator)
    for start, stop in chunks(total, (block_frames,)):
        yield make(start, stop)[:, : recording.samples - start * hop]


def latent_energies(model: "Vits", sounds: SoundBatch, speakers: int) -> Float[Tensor, "batch speakers"]:
    """Mean square of z_p were the recordings each speaker's: the least is the likeliest, whatever is said.

    The flow preserves volume, so this ranks the speakers as the likelihood of z_p would if its prior, whose text is not
    known here, were N(0, 1). Without noise in the posterior.
    """
    hop = model.hop_length
    frames = sounds.waveform_lengths.add(hop - 1).div(hop, rounding_mode="floor")
    total = int(frames.max())
    spectrogram, mask = _whole_spectrogram(model, sounds, frames, total), sequence_mask(frames, total)
    energies = []
    for speaker in range(speakers):
        condition = model.condition(torch.full_like(frames, speaker))
        z_p = model.flow(model.posterior(spectrogram, mask, condition).mean * mask, mask, condition) * mask
        energies.append(z_p.square().mean(dim=1).sum(dim=1) / frames)
    return torch.stack(energies, dim=1)


class _Course:
    """The way of recordings from one speaker to another; its parts are made as they are asked for.

    spectrogram: starts the recordings anew, and gives the posterior's input of any frames. history: see Progressive.
    """

    def __init__(
        self,
        model: "Vits",
        spectrogram: Callable[[], Make],
        mask: Bool[Tensor, "batch 1 frames"],
        source: Voice,
        target: Voice,
        history: int | None = None,
    ) -> None:
        self.model, self.spectrogram, self.mask = model, spectrogram, mask
        self.source, self.target, self.history = source, target, history
        self.before, self.after = self._vectors(source), self._vectors(target)

    def sound(self, controls: ConvertControls, generator: Generator | None = None) -> Make:
        """Gives the converted samples of any frames, to be asked for in order; draws all noise at once."""
        model, (batch, _, total) = self.model, self.mask.shape
        variation = model.config.variation if controls.variation is None else controls.variation
        shape = (batch, model.config.latent_channels)
        noise = LongNoise(shape, total, NOISE_STRETCH_FRAMES, self.mask.device, generator)
        spectrogram, pitch = self.spectrogram(), None

        def encode(start: int, stop: int, part: Tensor) -> Tensor:
            posterior = model.posterior(spectrogram(start, stop), part, self.before)
            return posterior.at(noise(start, stop), variation)

        z = self._along(encode, model.posterior_encoder.context)
        if self.source.speaker != self.target.speaker:  # the flow and its inverse would only add their rounding
            z = self._changed(z)
            pitch = self._pitch(z)
        shift = controls.shift_semitones
        return model.decoder.in_pieces(z, self.mask, self.after, shift, generator, self.history, pitch)

    def _changed(self, z: Make) -> Progressive:
        """The source's latents as the target's: through the flow, and back with another speaker."""
        flow, context = self.model.flow, self.model.flow.context_steps
        z_p = self._along(lambda start, stop, part: flow(z(start, stop), part, self.before), context)
        return self._along(lambda start, stop, part: flow.inverse(z_p(start, stop), part, self.after), context)

    def _vectors(self, voice: Voice) -> Tensor | None:
        table = torch.full((self.mask.shape[0],), voice.speaker, device=self.mask.device)
        return self.model.condition(table)

    def _along(self, step: Callable[[int, int, Tensor], Tensor], context: int) -> Progressive:
        """`step` over all frames, with a mask at both ends of it."""

        def made(start: int, stop: int) -> Tensor:
            part = self.mask[..., start:stop]
            return step(start, stop, part) * part

        return Progressive(made, context, self.mask.shape[2], history=self.history)

    def _pitch(self, z: Make) -> Make | None:
        """ln F0 of the target's latents, moved as a whole to where the target speaks, and held within its range.

        None where the decoder takes no pitch, or the range is not known: then the flow alone moves it.
        """
        predictor, known = getattr(self.model.decoder, "pitch_predictor", None), self.target.pitch
        if not isinstance(predictor, PitchPredictor) or known is None:
            return None
        offset = self._offset(predictor, known)
        low = max(known.mean - RANGE_DEVIATIONS * known.deviation, LOG_F0_LIMITS[0])
        high = min(known.mean + RANGE_DEVIATIONS * known.deviation, LOG_F0_LIMITS[1])

        def moved(start: int, stop: int) -> Tensor:
            found = predictor.predict(z(start, stop), self.mask[..., start:stop], self.after).log_f0
            return (offset + found).clamp(low, high)

        return Progressive(moved, predictor.context_frames, self.mask.shape[2], history=self.history)

    def _offset(self, predictor: PitchPredictor, known: PitchRange) -> Float[Tensor, "batch 1"]:
        """What the recordings' mean ln F0 lacks, after the flow, to the target's; of a word or two only a part."""
        model, total = self.model, self.mask.shape[2]
        spectrogram, context = self.spectrogram(), model.posterior_encoder.context
        spoken = self._along(lambda a, b, part: model.posterior(spectrogram(a, b), part, self.before).mean, context)
        z = self._changed(spoken)

        def predict(start: int, stop: int) -> Tensor:
            part = self.mask[..., start:stop]
            found = predictor.predict(z(start, stop), part, self.after)
            return torch.stack([found.log_f0, (found.voicing > 0.5) * part[:, 0]], dim=1)

        count = torch.full((self.mask.shape[0],), UNMOVED_SECONDS * model.config.mel.sample_rate / model.hop_length)
        count = count.to(self.mask.device, torch.float64)
        lacking = torch.zeros_like(count)
        for start, stop in chunks(total, (MEASURED_FRAMES,)):
            log_f0, voiced = with_context(predict, predictor.context_frames, start, stop, total).double().unbind(dim=1)
            count = count + voiced.sum(dim=1)
            lacking = lacking + (voiced * (known.mean - log_f0)).sum(dim=1)
        return (lacking / count).float().unsqueeze(1)


def _reach(model: "Vits") -> int:
    """Frames that the whole chain looks ahead, at the most."""
    predictor = getattr(model.decoder, "pitch_predictor", None)
    pitch = 0 if predictor is None else predictor.context_frames
    return model.posterior_encoder.context + 2 * model.flow.context_steps + pitch + model.decoder.context_frames + 8


def _whole_spectrogram(
    model: "Vits", sounds: SoundBatch, frames: Int[Tensor, " batch"], total: int
) -> Float[Tensor, "batch bins frames"]:
    """The posterior's input; each item is reflected at its own end, so that padding does not reach it."""
    mel, hop = model.config.mel, model.hop_length
    pad = (mel.n_fft - hop) // 2
    inside = sequence_mask(sounds.waveform_lengths, sounds.waveform.shape[1])[:, 0]
    position = torch.arange(-pad, total * hop + mel.n_fft - hop - pad, device=sounds.waveform.device)
    index = _reflected(position.unsqueeze(0), frames.unsqueeze(1) * hop)
    waveform = torch.nn.functional.pad(sounds.waveform * inside, (0, max(total * hop - sounds.waveform.shape[1], 0)))
    wider = waveform.gather(1, index)
    magnitude = linear_spectrogram(wider, mel.n_fft, hop, mel.window_length, mel.epsilon, padded=True)
    return model.scaled(magnitude)


def _spectrogram_of_blocks(
    model: "Vits", recording: LongRecording, total: int, history: int, device: torch.device
) -> Make:
    """The same of a recording that is read from left to right."""
    mel, hop = model.config.mel, model.hop_length
    pad = (mel.n_fft - hop) // 2
    margin = math.ceil((mel.n_fft - pad) / hop)
    read = _reader(recording, device)
    sound = Progressive(lambda start, stop: read((stop - start) * hop), 0, total, samples=hop, history=history)

    def spectrogram(start: int, stop: int) -> Tensor:
        first = max(start - margin, 0)
        known = sound(first, min(stop + margin, total))
        position = torch.arange(start * hop - pad, stop * hop + mel.n_fft - hop - pad, device=device)
        wider = known[:, _reflected(position, torch.tensor(total * hop, device=device)) - first * hop]
        magnitude = linear_spectrogram(wider, mel.n_fft, hop, mel.window_length, mel.epsilon, padded=True)
        return model.scaled(magnitude)

    return spectrogram


def _reader(recording: LongRecording, device: torch.device) -> Callable[[int], Tensor]:
    """Gives the next so many samples `[1, samples]`, zeros after the end."""
    blocks = recording.blocks()
    rest = torch.zeros(0)

    def read(count: int) -> Tensor:
        nonlocal rest
        parts, have = [rest], len(rest)
        while have < count and (block := next(blocks, None)) is not None:
            parts.append(torch.from_numpy(block))
            have += len(block)
        joined = torch.cat([*parts, torch.zeros(max(count - have, 0))])
        rest = joined[count:]
        return joined[None, :count].to(device)

    return read


def _reflected(position: Int[Tensor, "*shape"], length: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Places in a waveform of `length` samples, walked to and fro between its first and its last sample."""
    period = (2 * (length - 1)).clamp(min=1)
    place = position.remainder(period)
    return torch.minimum(place, (period - place).remainder(period))
