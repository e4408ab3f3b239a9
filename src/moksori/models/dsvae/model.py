"""D-DSVAE: one recording as a vector (who) and a sequence (what), and back."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelSpectrogram
from moksori.models.dsvae.config import MEL_UNITS, DsvaeConfig
from moksori.models.dsvae.decoder import Decoder
from moksori.models.dsvae.encoder import ContentPosterior, SharedEncoder, SpeakerPosterior
from moksori.models.dsvae.prior import ContentPrior, MelUnits
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.standardize import Standardize


class Latents(NamedTuple):
    """Both posteriors: of the speaker `[batch, channels]`, of the content `[batch, frames, channels]`."""

    speaker: DiagonalGaussian
    content: DiagonalGaussian


class Dsvae(nn.Module):
    """The model. Mels come in and go out in natural log; inside they are standardised band by band."""

    def __init__(self, config: DsvaeConfig) -> None:
        super().__init__()
        self.config = config
        n_mels, features = config.mel.n_mels, config.shared.channels
        self.front_end = MelSpectrogram(config.mel)
        self.standardize = Standardize(n_mels)
        self.shared_encoder = SharedEncoder(config.shared, n_mels)
        self.speaker_posterior = SpeakerPosterior(config.speaker, features, config.speaker_channels)
        self.content_posterior = ContentPosterior(config.content, features, config.content_channels)
        self.content_prior = ContentPrior(config.prior, config.content_channels)
        self.decoder = Decoder(config.decoder, config.speaker_channels, config.content_channels, n_mels)
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

    def decode(
        self,
        speaker: Float[Tensor, "batch speaker"],
        content: Float[Tensor, "batch frames content"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
    ) -> Float[Tensor, "batch mels frames"]:
        """The log-mel of a speaker's vector and a content."""
        mel = self.standardize.inverse(self.decoder(speaker, content, mask).after.float())
        return mel if mask is None else mel * mask

    def unit_ids(self, mel: Float[Tensor, "batch mels frames"]) -> Int[Tensor, "batch frames"] | None:
        """What the content prior is told of each frame where mels tell it; None without units, and for given ones."""
        return None if self.units is None else self.units(self.standardize(mel))

    @torch.inference_mode()
    def speaker_vector(
        self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> Float[Tensor, "batch speaker"]:
        """The mean of q(z_s | x): what a voice file stores."""
        return self.speaker_posterior(self.shared_encoder(self.standardize(mel), mask), mask).mean

    @torch.inference_mode()
    def converted(
        self,
        mel: Float[Tensor, "batch mels frames"],
        target: Float[Tensor, "batch speaker"],
        strength: float = 1.0,
        temperature: float = 0.0,
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch mels frames"]:
        """D(z_s(target), z_c(source)): the source's log-mel as the target would say it, frame for frame.

        strength: 0 keeps the source's own voice (and only removes noise), 1 is the target's, between them z_s is
        mixed. temperature: of the content's noise; 0 takes its mean, more makes the voice hoarse.
        """
        source = self.encode(mel, mask)
        speaker = source.speaker.mean + strength * (target - source.speaker.mean)
        return self.decode(speaker, source.content.sample(generator, temperature), mask)
