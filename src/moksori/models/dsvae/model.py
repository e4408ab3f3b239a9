"""D-DSVAE: one recording as a vector (who) and a sequence (what), and back."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelConfig, MelSpectrogram
from moksori.models.decoders.pitch import Pitch, PitchPredictor
from moksori.models.dsvae.config import (
    MEL_UNITS,
    ConvolutionalContentConfig,
    ConvolutionalDecoderConfig,
    DsvaeConfig,
)
from moksori.models.dsvae.conversion import (
    LEAST_SPEECH_SECONDS,
    ChunkedConversion,
    Chunking,
    converted_mels,
    heard,
    with_strength,
)
from moksori.models.dsvae.convolutional import ConvolutionalContentPosterior, ConvolutionalDecoder
from moksori.models.dsvae.decoder import Decoder
from moksori.models.dsvae.encoder import ContentPosterior, SharedEncoder, SpeakerPosterior
from moksori.models.dsvae.harmonics import MIDDLE_LOG_F0, PitchFeatures, mean_pitch
from moksori.models.dsvae.prior import ContentPrior, MelUnits
from moksori.models.dsvae.recentre import content_mean, frame_weights, moved
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.standardize import Standardize
from moksori.types import ConvertControls, Heard, LongRecording, SoundBatch, Voice


class Latents(NamedTuple):
    """Both posteriors: of the speaker `[batch, channels]`, of the content `[batch, frames, channels]`."""

    speaker: DiagonalGaussian
    content: DiagonalGaussian


CERTAIN_LOG_STD = -20.0
"""Of what is no Gaussian but stands beside some: pitch and voicing have no noise."""
DRAWN_PITCH_DEVIATION = 0.25


class Dsvae(nn.Module):
    """The model. Mels come in and go out in natural log; inside they are standardised band by band.

    mean_content: of z_c over voiced frames, for voices of nobody, where conversions recentre it. mean_speaker: of z_s,
    where conversions reach beyond the target's.
    """

    mean_content: Tensor
    mean_speaker: Tensor

    def __init__(self, config: DsvaeConfig) -> None:
        super().__init__()
        self.config = config
        n_mels, features = config.mel.n_mels, config.shared.channels
        self.front_end = MelSpectrogram(config.mel)
        self.standardize = Standardize(n_mels)
        self.shared_encoder = SharedEncoder(config.shared, n_mels)
        self.speaker_posterior = SpeakerPosterior(config.speaker, features, config.speaker_channels)
        self.content_posterior = _content_posterior(config)
        self.content_prior = ContentPrior(config.prior, config.content_channels)
        self.pitch_predictor = self.pitch_features = None
        if config.pitch is not None:
            self.pitch_predictor = PitchPredictor(n_mels, config.pitch.channels, config.pitch.num_layers)
            self.pitch_features = PitchFeatures(config.mel)
        self.decoder = _decoder(config)
        if config.recentre:
            self.register_buffer("mean_content", torch.zeros(config.content_channels))
        if config.reach != 1.0:
            self.register_buffer("mean_speaker", torch.zeros(config.speaker_channels))
        units = config.prior.units
        self.units = None
        if units in MEL_UNITS:
            self.units = MelUnits(n_mels, config.prior.num_units, random=units == "random_projection")

    @property
    def sample_rate(self) -> int:
        return self.config.mel.sample_rate

    @property
    def hop_length(self) -> int:
        return self.config.mel.hop_length

    def mel(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch mels frames"]:
        """Log-mel of waveforms at the model's rate; frames = floor(samples / hop_length)."""
        return self.front_end(waveform)

    def encode(
        self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> Latents:
        """q(z_s | x) and q(z_c | x) of log-mels."""
        features = self.shared_encoder(self.standardize(mel), mask)
        return Latents(self.speaker_posterior(features, mask), self.content_posterior(features, mask))

    @property
    def voice_channels(self) -> int:
        """Width of a voice's vector: z_s; where conversions recentre it the mean of z_c; where the model predicts pitch
        the mean ln F0."""
        config = self.config
        centre = config.content_channels if config.recentre else 0
        return config.speaker_channels + centre + (self.pitch_predictor is not None)

    @property
    def moves_content(self) -> bool:
        """Whether what is converted gets another mean of z_c: `voice_centre`."""
        return self.config.recentre or self.config.centred

    def voice_centre(self, vector: Float[Tensor, "batch voice"]) -> Float[Tensor, "batch content"]:
        """The mean of z_c that a voice's vector holds, in a model that recentres it; 0 where the decoder sees none."""
        first, channels = self.config.speaker_channels, self.config.content_channels
        return vector.new_zeros(len(vector), channels) if self.config.centred else vector[:, first : first + channels]

    @property
    def wants_source(self) -> bool:
        """Whether conversions are better where the source's own voice is known."""
        return self.config.reach != 1.0

    def reached(
        self, target: Float[Tensor, "batch voice"], own: Float[Tensor, "batch voice"] | None = None
    ) -> Float[Tensor, "batch voice"]:
        """The voice that a conversion to `target` is made with: see `DsvaeConfig.reach`. own: the source's."""
        if self.config.reach == 1.0:
            return target
        speaker, rest = target.split(
            [self.config.speaker_channels, self.voice_channels - self.config.speaker_channels], 1
        )
        start = self.mean_speaker if own is None else own[:, : self.config.speaker_channels]
        return torch.cat([start + self.config.reach * (speaker - start), rest], dim=1)

    @property
    def content_width(self) -> int:
        """Of a frame's content: z_c and, where the model predicts pitch, ln F0 against its mean, and voicing."""
        return self.config.content_channels + 2 * (self.pitch_predictor is not None)

    def voice(
        self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> DiagonalGaussian:
        """q(z_s | x), `[batch, voice_channels]`; a mean content and a mean pitch beside it have no noise."""
        standard = self.standardize(mel)
        features = self.shared_encoder(standard, mask)
        found = self.speaker_posterior(features, mask)
        pitch = None if self.pitch_predictor is None else self.pitch_predictor.predict(standard, mask)
        if self.config.recentre:
            content = self.content_posterior(features, mask).mean
            found = _beside(found, content_mean(content, None if pitch is None else pitch.voicing, mask))
        return found if pitch is None else _beside(found, mean_pitch(pitch, mask))

    def content(
        self,
        mel: Float[Tensor, "batch mels frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        centre: Float[Tensor, "batch 1"] | None = None,
    ) -> DiagonalGaussian:
        """q(z_c | x), `[batch, frames, content_width]`; pitch and voicing beside it have no noise.

        centre: the ln F0 that counts as 0; None: the mean of these frames.
        """
        standard = self.standardize(mel)
        content = self.content_posterior(self.shared_encoder(standard, mask), mask)
        if self.pitch_predictor is None:
            return content
        pitch = self.pitch_predictor.predict(standard, mask)
        height = pitch.log_f0 - (mean_pitch(pitch, mask) if centre is None else centre)
        return _beside(content, torch.stack([height, pitch.voicing], dim=2))

    def with_pitch(
        self, content: Float[Tensor, "batch frames content"], pitch: Pitch
    ) -> Float[Tensor, "batch frames more"]:
        """What the decoder is given of z_c and a pitch."""
        assert self.pitch_features is not None
        return torch.cat([content, self.pitch_features(pitch)], dim=2)

    def decode(
        self,
        speaker: Float[Tensor, "batch voice"],
        content: Float[Tensor, "batch frames content"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
    ) -> Float[Tensor, "batch mels frames"]:
        """The log-mel of a voice's vector and a content, as `voice` and `content` give them."""
        if self.pitch_predictor is not None:
            pitch = Pitch(content[..., -2] + speaker[:, -1:], content[..., -1])
            content = self.with_pitch(content[..., :-2], pitch)
        speaker = speaker[:, : self.config.speaker_channels]
        mel = self.standardize.inverse(self.decoder(speaker, content, mask).after.float())
        return mel if mask is None else mel * mask

    def unit_ids(self, mel: Float[Tensor, "batch mels frames"]) -> Int[Tensor, "batch frames"] | None:
        """What the content prior is told of each frame where mels tell it; None without units, and for given ones."""
        return None if self.units is None else self.units(self.standardize(mel))

    @torch.inference_mode()
    def speaker_vector(
        self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> Float[Tensor, "batch voice"]:
        """The mean of q(z_s | x), with the mean pitch where there is one: what a voice file stores."""
        return self.voice(mel, mask).mean

    @torch.inference_mode()
    def converted(
        self,
        mel: Float[Tensor, "batch mels frames"],
        target: Float[Tensor, "batch voice"],
        strength: float = 1.0,
        temperature: float = 0.0,
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch mels frames"]:
        """D(z_s(target), z_c(source)): the source's log-mel as the target would say it, frame for frame.

        strength: 0 keeps the source's own voice (and only removes noise), 1 is the target's, between them z_s is
        mixed. temperature: of the content's noise; 0 takes its mean, more makes the voice hoarse.
        """
        own = self.speaker_vector(mel, mask)
        speaker = with_strength(self.reached(target, own), own, strength)
        content = self.content(mel, mask)
        if self.moves_content:
            voicing = None if self.pitch_predictor is None else content.mean[..., -1]
            said = content.mean[..., : self.config.content_channels]
            count = frame_weights(said, voicing, mask).sum(dim=1)
            self.recentre(content, moved(content_mean(said, voicing, mask), count, self.voice_centre(speaker)))
        return self.decode(speaker, content.sample(generator, temperature), mask)

    def recentre(self, content: DiagonalGaussian, shift: Float[Tensor, "batch 1 content"]) -> None:
        """Moves z_c, which may have pitch and voicing beside it, in place."""
        content.mean[..., : self.config.content_channels] += shift

    # ---- what the pipeline asks for: models.contract.CanEnroll and CanConvertMels ----

    @property
    def mel_config(self) -> MelConfig:
        return self.config.mel

    @property
    def front_end_key(self) -> str:
        return self.config.mel.key

    @property
    def least_speech_seconds(self) -> float:
        return LEAST_SPEECH_SECONDS

    @property
    def live_delay_frames(self) -> int:
        mel = self.config.mel
        # A frame is known when the samples that its transform reaches into have come.
        reach = -(-(mel.n_fft - (mel.n_fft - mel.hop_length) // 2) // mel.hop_length)
        return self._chunking(live=True).delay_frames + reach

    @torch.inference_mode()
    def hear(self, recording: LongRecording) -> Heard:
        """Who speaks in a recording at the model's rate: the mean of q(z_s | x) for each stretch that holds speech."""
        return heard(self, recording)

    def draw_voice(self, mean: float, deviation: float, generator: Generator | None = None) -> Float[Tensor, " voice"]:
        """A voice of nobody: z_s with all dimensions from N(mean, deviation²). The prior is N(0, 1); the authors found
        positive means male and negative ones female, with deviation 0.5, which says nothing of other weights."""
        device = self.standardize.mean.device
        drawn_on = device if generator is None else generator.device
        noise = torch.randn(self.voice_channels, generator=generator, device=drawn_on).to(device)
        vector = mean + deviation * noise
        if self.config.recentre:
            self.voice_centre(vector[None])[:] = self.mean_content
        if self.pitch_predictor is not None:
            vector[-1] = MIDDLE_LOG_F0 + DRAWN_PITCH_DEVIATION * noise[-1]
        return vector

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
        """D(z_s, z_c(source)) of sound as it comes, see `models.dsvae.conversion`.

        z_s lies `controls.strength` of the way from source to target; `controls.variation` is the standard deviation of
        the content's noise in units of its posterior's, None = 0.
        Raises ValueError for a voice without a vector, and without a source where the strength is not 1.
        """
        own = None if source is None else self._vector(source)
        speaker = self.reached(self._vector(target), own)
        if controls.strength != 1.0:
            if own is None:
                raise ValueError(f"strength {controls.strength}: needs the source's own voice")
            speaker = with_strength(speaker, own, controls.strength)
        yield from self._said_by(speaker, sound, controls.variation or 0.0, live, generator)

    def reconstruct_mels(
        self, recording: LongRecording, generator: Generator | None = None
    ) -> Iterator[Float[Tensor, "1 mels frames"]]:
        """D(z_s, z_c) of a recording's own posterior means: converted to the voice that it has."""
        voice = Voice("dsvae", vector=self.hear(recording).vector)
        return self._said_by(self._vector(voice), recording.blocks(), 0.0, False, generator)

    @torch.inference_mode()
    def _said_by(
        self,
        speaker: Float[Tensor, "1 voice"],
        sound: Iterable[Float[np.ndarray, " block"]],
        temperature: float,
        live: bool,
        generator: Generator | None,
    ) -> Iterator[Float[Tensor, "1 mels frames"]]:
        yield from converted_mels(
            self, sound, ChunkedConversion(self, speaker, self._chunking(live), temperature, generator)
        )

    @torch.inference_mode()
    def codes(self, sounds: SoundBatch) -> Mapping[str, Float[Tensor, "batch channels"]]:
        """The means of q(z_s | x), and of q(z_c | x) over the frames of each sound: see `CanShowCodes`."""
        frames = sounds.waveform_lengths // self.hop_length
        mel = self.mel(sounds.waveform)
        mask = (torch.arange(mel.shape[2], device=mel.device) < frames[:, None])[:, None]
        latents = self.encode(mel, mask)
        content = (latents.content.mean * mask.transpose(1, 2)).sum(dim=1) / frames[:, None]
        return {"speaker": latents.speaker.mean, "content": content}

    def _chunking(self, live: bool) -> Chunking:
        rate = self.config.mel.sample_rate / self.config.mel.hop_length
        return Chunking.live(rate) if live else Chunking.whole(rate)

    def _vector(self, voice: Voice) -> Float[Tensor, "1 speaker"]:
        if voice.vector is None:
            raise ValueError(f"the voice {voice.name!r} has no vector")
        return voice.vector[None].to(self.standardize.mean)


def _content_posterior(config: DsvaeConfig) -> ContentPosterior | ConvolutionalContentPosterior:
    features, channels = config.shared.channels, config.content_channels
    if isinstance(config.content, ConvolutionalContentConfig):
        return ConvolutionalContentPosterior(config.content, features, channels)
    return ContentPosterior(config.content, features, channels)


def _beside(posterior: DiagonalGaussian, certain: Float[Tensor, "*rows more"]) -> DiagonalGaussian:
    """A Gaussian with more dimensions, of which the last are certain."""
    mean = torch.cat([posterior.mean, certain.to(posterior.mean)], dim=-1)
    return DiagonalGaussian(mean, nn.functional.pad(posterior.log_std, (0, certain.shape[-1]), value=CERTAIN_LOG_STD))


def _decoder(config: DsvaeConfig) -> Decoder | ConvolutionalDecoder:
    speaker, content, n_mels = config.speaker_channels, config.content_channels, config.mel.n_mels
    if config.pitch is not None:
        content += n_mels + 2  # PitchFeatures
    if isinstance(config.decoder, ConvolutionalDecoderConfig):
        return ConvolutionalDecoder(config.decoder, speaker, content, n_mels)
    return Decoder(config.decoder, speaker, content, n_mels)
