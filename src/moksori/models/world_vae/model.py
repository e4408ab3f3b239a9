"""The VAE on WORLD's features: what is said of a frame as z, who speaks as y, and the shape of a frame of both."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.world_features import envelope_groups
from moksori.models.contract import BLOCK_FRAMES
from moksori.models.streamed import one_by_one, through
from moksori.models.world_vae.config import WorldVaeConfig
from moksori.models.world_vae.conversion import (
    StreamConversion,
    source_range,
    tracked,
    voicing_remarks,
)
from moksori.models.world_vae.features import SpectrumRange, relative_pitch
from moksori.models.world_vae.networks import FrameDecoder, FrameEncoder
from moksori.nn.distributions import DiagonalGaussian
from moksori.types import ConvertControls, EnvelopeNeeds, LongRecording, PitchRange, SoundBatch, Voice, Waveform

PITCH_CHANNELS = 2
MOST_GAIN = 3.0
"""That the post-filter widens a bin's course by."""
_FIRST_PITCH = (5.0, 0.25)


class WorldVae(nn.Module):
    """E, the speaker table and G. Frames go in and out as the range of features.SpectrumRange maps shapes.

    speaker_pitch: mean and deviation of each speaker's ln F0, for training with pitch. own_variance, made_variance,
    made_mean: of each bin, over a speaker's own frames and over what is converted to that speaker, for the post-filter.
    """

    speaker_pitch: Tensor
    own_variance: Tensor
    made_variance: Tensor
    made_mean: Tensor

    def __init__(self, config: WorldVaeConfig) -> None:
        super().__init__()
        self.config = config
        bins, speakers = config.bins, config.num_speakers
        self.range = SpectrumRange(bins)
        self.encoder: FrameEncoder | None = None
        if config.encoder is not None:
            self.encoder = FrameEncoder(config.encoder, config.context_frames, bins, config.latent_channels)
        self.speaker_embedding = nn.Embedding(speakers, config.speaker_channels)
        self.decoder = FrameDecoder(
            config.decoder,
            config.latent_channels,
            config.speaker_channels,
            PITCH_CHANNELS if config.pitch else 0,
            config.first_size,
        )
        self.register_buffer("speaker_pitch", torch.tensor([_FIRST_PITCH]).repeat(speakers, 1))
        for name, value in (("own_variance", 1.0), ("made_variance", 1.0), ("made_mean", 0.0)):
            self.register_buffer(name, torch.full((speakers, bins), value))

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        return self.config.hop_length

    @property
    def num_speakers(self) -> int:
        return self.config.num_speakers

    # ---- frames ----

    def posterior(self, frames: Float[Tensor, "batch context bins"]) -> DiagonalGaussian:
        """q(z | x) of frames and their neighbours, `[batch, latent]`; N(0, 1) where there is no encoder."""
        if self.encoder is None:
            nothing = frames.new_zeros(len(frames), self.config.latent_channels)
            return DiagonalGaussian(nothing, nothing)
        found: DiagonalGaussian = self.encoder(frames)
        return found

    def vectors(self, speaker: Int[Tensor, " batch"]) -> Float[Tensor, "batch channels"]:
        """y of speakers by their number in the table."""
        found: Tensor = self.speaker_embedding(speaker)
        return F.normalize(found, dim=1) if self.config.unit_speakers else found

    def decode(
        self,
        latent: Float[Tensor, "batch latent"],
        speaker: Int[Tensor, " batch"],
        pitch: Float[Tensor, "batch 2"] | None = None,
    ) -> Float[Tensor, "batch bins"]:
        """G(z, y): frames in the voices of speakers. pitch: see features.relative_pitch, where the model is told it."""
        made: Tensor = self.decoder(latent, self.vectors(speaker), pitch)
        return made

    def pitch_of(
        self, f0: Float[Tensor, " batch"] | None, speaker: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch 2"] | None:
        """What G is told of the F0 of frames, by the ranges of the table; None where it is told nothing."""
        if not self.config.pitch:
            return None
        if f0 is None:
            raise ValueError("this model is told the pitch: F0 is missing")
        mean, deviation = self.speaker_pitch[speaker].unbind(dim=1)
        return relative_pitch(f0, mean, deviation)

    def filtered(self, frames: Float[Tensor, "frames bins"], speaker: int) -> Float[Tensor, "frames bins"]:
        """Frames that were converted to a speaker, their course widened to that speaker's own variance.

        Global variance (Toda et al. 2007, as in Hsu et al. 2016): x' = m + (x - m) sqrt(GV_target / GV_converted). Both
        variances, and the mean m, are those of training, not of the utterance: so a stream can have it too.
        """
        strength = self.config.post_filter
        if strength == 0.0:
            return frames
        gain = (self.own_variance[speaker] / self.made_variance[speaker].clamp(min=1e-6)).sqrt().clamp(1.0, MOST_GAIN)
        mean = self.made_mean[speaker]
        return mean + (frames - mean) * (1.0 + strength * (gain - 1.0))

    # ---- what the pipeline asks for: models.contract.CanConvert, CanConvertInBlocks, CanConvertLive ----

    @property
    def takes_pitch(self) -> bool:
        """What is converted can be moved by semitones, beside what its range is moved by."""
        return True

    @property
    def moves_pitch(self) -> bool:
        """It has to know where its speakers speak, even where there is one alone."""
        return True

    def convert(
        self,
        sounds: SoundBatch,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        generator: Generator | None = None,
    ) -> SoundBatch:
        """What is said, in the voice of `target`, sample for sample as long; one after the other.

        source: where the range of pitch is taken from if a recording has too little. `controls.variation`: noise of z.
        Raises MissingExtra without pyworld.
        """

        def converted(own: Float[np.ndarray, " samples"]) -> Iterator[Float[Tensor, "1 samples"]]:
            recording = LongRecording(len(own), self.sample_rate, lambda: iter([own]))
            return self.convert_in_blocks(recording, target, source, controls, generator=generator)

        return one_by_one(sounds, converted)

    def convert_in_blocks(
        self,
        recording: LongRecording,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        block_frames: int = BLOCK_FRAMES,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """What `convert` gives for the same generator, as it is ready. block_frames: does not matter.

        The recording is looked through for its pitch first.
        """
        heard = source_range(recording, self.config)
        if heard is None and source is not None:
            heard = source.pitch
        conversion = StreamConversion(self, target.speaker, target.pitch, heard, controls, generator=generator)
        yield from through(conversion, recording.blocks())

    def stream(self, target: Voice, controls: ConvertControls, generator: Generator | None = None) -> StreamConversion:
        """A conversion with its memory, whose source's range of pitch is learnt as it comes: see StreamConversion."""
        return StreamConversion(self, target.speaker, target.pitch, None, controls, live=True, generator=generator)

    def remarks(self, loudest: Waveform, target: Voice) -> list[str]:
        """What a person should know before a recording is converted; loudest: some seconds of it."""
        return voicing_remarks(loudest, target, self.config)

    def reconstruct(
        self,
        waveform: Float[Tensor, "batch samples"],
        speaker: Int[Tensor, " batch"],
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """Recordings made anew in their speakers' own voices, at their own pitch."""
        made = []
        for row, who in zip(waveform, speaker.tolist(), strict=True):
            conversion = StreamConversion(self, who, None, None, ConvertControls(), generator=generator)
            made.append(torch.cat([conversion.push(row.cpu().numpy()), conversion.finish()], dim=1)[0])
        return torch.stack(made).to(waveform)

    # ---- what probes look at: models.contract.CanEncode, CanShowCodes ----

    @property
    def window_samples(self) -> int:
        return self.config.hop_length

    @torch.no_grad()
    def encode(
        self, waveform: Float[Tensor, "batch samples"], generator: Generator | None = None
    ) -> Float[Tensor, "batch code frames"]:
        """The mean of z of every frame of recordings of whole frames."""
        return torch.stack([self._latents(row.cpu().numpy()).T for row in waveform])

    @torch.no_grad()
    def codes(self, sounds: SoundBatch) -> Mapping[str, Float[Tensor, "batch channels"]]:
        """ "content": the mean of z over each sound."""
        rows = zip(sounds.waveform, sounds.waveform_lengths.tolist(), strict=True)
        return {"content": torch.stack([self._latents(row[:length].cpu().numpy()).mean(dim=0) for row, length in rows])}

    def _latents(self, samples: Float[np.ndarray, " samples"]) -> Float[Tensor, "frames latent"]:
        config, device = self.config, self.speaker_embedding.weight.device
        sound = Waveform(samples, config.sample_rate)
        needs = EnvelopeNeeds(config.n_fft, context=config.context_frames)
        shapes, _ = envelope_groups(sound, tracked(sound, config), config.hop_length, needs)
        return self.posterior(self.range(torch.from_numpy(shapes).float().to(device))).mean

    def known_pitch(self, speaker: int) -> PitchRange:
        """The range of ln F0 that the table has of a speaker."""
        mean, deviation = self.speaker_pitch[speaker].tolist()
        return PitchRange(mean, deviation)
