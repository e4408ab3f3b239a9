"""VQ-VAE conversion: what is said as codes, who speaks as a row of a table, and a decoder of both."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.harmonics import looked_up, pulse_train_mels
from moksori.audio.mel import MelConfig
from moksori.models.contract import BLOCK_FRAMES
from moksori.models.streamed import one_by_one, through
from moksori.models.vqvae.config import CodebookConfig, MelDecoderConfig, QuantizerConfig, VqvaeConfig
from moksori.models.vqvae.conversion import (
    MIDDLE_LOG_F0,
    SPREAD_LOG_F0,
    MelConversion,
    Reader,
    SoundConversion,
    coded,
    spoken_mels,
    spoken_sound,
)
from moksori.models.vqvae.decoder import MelDecoder, SampleDecoder
from moksori.models.vqvae.encoder import build_encoder
from moksori.nn.vector_quantize import Quantized, Quantizer, ScalarQuantizer, VectorQuantizer
from moksori.types import Coded, ConvertControls, LongRecording, SoundBatch, Voice


class Vqvae(nn.Module):
    """The encoder, the quantiser, the speaker table and the decoder.

    Sound comes in as samples in [-1, 1] at `config.sample_rate`. With a decoder of mels it is a CanConvertMels, with
    one of samples a CanConvert, CanConvertInBlocks and CanConvertLive: `makes_mels` tells which.
    """

    combs: Tensor | None

    def __init__(self, config: VqvaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder, config.code_channels)
        self.quantizer = build_quantizer(config.quantizer, config.code_channels)
        self.speaker_embedding = nn.Embedding(config.num_speakers, config.speaker_channels)
        condition = config.code_channels + config.melody_channels
        self.decoder: MelDecoder | SampleDecoder
        if isinstance(config.decoder, MelDecoderConfig):
            self.decoder = MelDecoder(config.decoder, condition, config.speaker_channels)
        else:
            self.decoder = SampleDecoder(config.decoder, condition, config.speaker_channels, config.condition_samples)
        combs = None
        if config.pitch is not None and config.pitch.harmonics and isinstance(config.decoder, MelDecoderConfig):
            combs = pulse_train_mels(config.decoder.mel)
        self.register_buffer("combs", combs, persistent=False)

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def makes_mels(self) -> bool:
        """Whether its output is for a vocoder."""
        return isinstance(self.decoder, MelDecoder)

    def states(self, features: Float[Tensor, "batch features steps"]) -> Float[Tensor, "batch frames code"]:
        """z of features with their margins, see Encoder."""
        return self.encoder(features)

    def condition(
        self,
        states: Float[Tensor, "batch frames code"],
        melody: Float[Tensor, "batch 2 finer"] | None = None,
        centre: Float[Tensor, "batch 1"] | float = MIDDLE_LOG_F0,
    ) -> Float[Tensor, "batch condition finer"]:
        """What the decoder is given of quantised states, at its own rate, and of the melody where it is given one.

        centre: the ln F0 around which whoever is heard speaks: where a melody's harmonics lie.
        Raises ValueError where the model needs a melody and there is none.
        """
        finer = self.upsampled(states.transpose(1, 2))
        if self.config.pitch is None:
            return finer
        if melody is None:
            raise ValueError("this model is given the melody of what it says: F0 is missing")
        return torch.cat([finer, self.melodic(melody.to(finer), centre)], dim=1)

    def melodic(
        self, melody: Float[Tensor, "batch 2 finer"], centre: Float[Tensor, "batch 1"] | float
    ) -> Float[Tensor, "batch melodic finer"]:
        """A melody as the decoder is given it, with its harmonics where it is given them."""
        if self.combs is None:
            return melody
        comb = looked_up(self.combs, melody[:, 0].float() * SPREAD_LOG_F0 + centre).transpose(1, 2)
        return torch.cat([melody, (comb * melody[:, 1:]).to(melody)], dim=1)

    def upsampled(self, states: Float[Tensor, "batch code frames"]) -> Float[Tensor, "batch code finer"]:
        """States at the rate of the decoder's condition."""
        times = self.config.frames_per_code
        if self.interpolates:
            return F.interpolate(states, scale_factor=times, mode="linear", align_corners=False)
        return states.repeat_interleave(times, dim=2)

    @property
    def interpolates(self) -> bool:
        """Whether a frame of the condition also depends on a code's neighbours."""
        return getattr(self.config.decoder, "upsampling", "repeat") == "linear" and self.config.frames_per_code > 1

    def vectors(self, speaker: Int[Tensor, " batch"]) -> Float[Tensor, "batch speaker"]:
        """Rows of the speaker table."""
        found: Tensor = self.speaker_embedding(speaker)
        return found

    @torch.no_grad()
    def quantized(self, waveform: Float[Tensor, "batch samples"]) -> Quantized:
        """What whole recordings become; in evaluation mode."""
        features = self.encoder.surrounded(self.encoder.features(waveform))
        found: Quantized = self.quantizer(self.states(features))
        return found

    # ---- what the pipeline asks for: models.contract ----

    @property
    def takes_pitch(self) -> bool:
        """Whether what is said can be moved to another key."""
        return self.config.pitch is not None

    @property
    def moves_pitch(self) -> bool:
        """Whether it must be known where a speaker speaks, of a single one too."""
        return self.combs is not None

    @property
    def window_samples(self) -> int:
        """Samples to a code."""
        return self.config.code_samples

    def encode(
        self, waveform: Float[Tensor, "batch samples"], generator: Generator | None = None
    ) -> Float[Tensor, "batch code frames"]:
        """The quantised states of whole windows of samples: see CanEncode."""
        return self.quantizer.lookup(self.quantized(waveform).codes).transpose(1, 2)

    @torch.no_grad()
    def codes(self, sounds: SoundBatch) -> Mapping[str, Float[Tensor, "batch channels"]]:
        """The mean of the quantised states of each sound: see CanShowCodes."""
        found = []
        for row, length in enumerate(sounds.waveform_lengths.tolist()):
            found.append(self.quantized(sounds.waveform[row : row + 1, :length]).states.mean(dim=1)[0])
        return {"content": torch.stack(found)}

    @property
    def mel_config(self) -> MelConfig:
        """Of the mels that it makes; there is no such attribute where it makes samples."""
        if not isinstance(self.decoder, MelDecoder):
            raise AttributeError("this model makes samples, no mels")
        return self.decoder.config.mel

    @property
    def live_delay_frames(self) -> int:
        """Frames that come in before one leaves; there is no such attribute where it makes samples."""
        if not self.makes_mels:
            raise AttributeError("this model makes samples, no mels")
        return self._mel_conversion(Voice("vqvae"), ConvertControls(), live=True).delay_frames

    @torch.inference_mode()
    def convert_to_mels(
        self,
        sound: Iterable[Float[np.ndarray, " block"]],
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        live: bool = False,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 mels frames"]]:
        """What is said in sound as it comes, in the voice of a row of the table. source: does not matter.

        `controls.shift_semitones` moves the melody where the model is given it; nothing is drawn.
        """
        yield from through(self._mel_conversion(target, controls, live), sound)

    def convert(
        self,
        sounds: SoundBatch,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        generator: Generator | None = None,
    ) -> SoundBatch:
        """What is said, in the voice of a row of the table, sample for sample as long; one after the other.

        source: does not matter. `controls.variation` is a factor on the temperature, None = 1.
        Raises ValueError where the decoder makes mels.
        """
        return one_by_one(sounds, lambda own: through(self.stream(target, controls, generator), [own]))

    def convert_in_blocks(
        self,
        recording: LongRecording,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        block_frames: int = BLOCK_FRAMES,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """What `convert` gives for the same generator, in blocks as they are ready. block_frames: does not matter."""
        yield from through(self.stream(target, controls, generator), recording.blocks())

    def stream(self, target: Voice, controls: ConvertControls, generator: Generator | None = None) -> SoundConversion:
        """A conversion with its memory: push samples as they come, then finish. Raises ValueError for one of mels."""
        if not isinstance(self.decoder, SampleDecoder):
            raise ValueError("this model makes mels, which a vocoder turns into sound: see convert_to_mels")
        return SoundConversion(self, target, controls, generator)

    # ---- codes by themselves ----

    @torch.inference_mode()
    def read(self, recording: LongRecording, shift_semitones: float = 0.0) -> Coded:
        """What is said in a recording: its codes and, where the model is given it, its melody."""
        return coded(Reader(self, shift_semitones=shift_semitones), recording)

    @property
    def code_count(self) -> int:
        """K."""
        return self.quantizer.size

    def say_codes(
        self, said: Coded, target: Voice, variation: float | None = None, generator: Generator | None = None
    ) -> Iterator[Float[Tensor, "1 *shape"]]:
        """Codes in the voice of a row of the table, as mels or as samples: what conversion gives of what was read.

        variation: a factor on the temperature of a decoder of samples, None = 1.
        Raises ValueError for codes of a model that is given a melody where this one is not, or the other way round.
        """
        if isinstance(self.decoder, MelDecoder):
            yield from spoken_mels(self, self.decoder, said, target)
        else:
            yield from spoken_sound(
                self, self.decoder, said, target, 1.0 if variation is None else variation, generator
            )

    def vector(self, voice: Voice) -> Float[Tensor, "1 speaker"]:
        """The row of the table that a voice names."""
        return self.vectors(torch.tensor([voice.speaker], device=self.speaker_embedding.weight.device)).detach()

    def _mel_conversion(self, target: Voice, controls: ConvertControls, live: bool) -> MelConversion:
        return MelConversion(self, target, controls, live)


def build_quantizer(config: QuantizerConfig, channels: int) -> Quantizer:
    """The quantiser of these settings."""
    if isinstance(config, CodebookConfig):
        return VectorQuantizer(
            channels,
            config.size,
            config.decay,
            config.commitment,
            config.look_up_channels,
            config.normalised,
            restart_after=config.restart_after,
        )
    return ScalarQuantizer(channels, config.levels)
