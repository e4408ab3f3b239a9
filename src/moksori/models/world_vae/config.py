"""Settings of the VAE and VAW-GAN on WORLD's features; the defaults are the VAE's of 2016."""

import math
from typing import Literal

from pydantic import Field, model_validator

from moksori.config import Config


class FrameEncoderConfig(Config):
    """E: q(z | x)."""

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    kernel_size: int = Field(default=7, ge=1)
    stride: int = Field(default=3, ge=1)


class FrameDecoderConfig(Config):
    """G: p(x | z, y)."""

    merge_channels: int = Field(default=0, ge=0)
    """Width of what z and y are brought to first, as in VAW-GAN; 0: they are the first convolution's input at once."""
    first_channels: int = Field(default=81, ge=1)
    """Of that input, at the lowest of its sizes."""
    channels: tuple[int, ...] = (32, 16, 8)
    kernel_sizes: tuple[int, ...] = (9, 7, 7)
    strides: tuple[int, ...] = (3, 3, 3)
    last_kernel_size: int = Field(default=1025, ge=1)
    """Of the convolution that gives the shape; 1025 sees the whole spectrum from every bin."""
    tanh: bool = False
    """At the end, as in VAW-GAN."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "FrameDecoderConfig":
        if not len(self.channels) == len(self.kernel_sizes) == len(self.strides):
            raise ValueError(
                f"channels {self.channels}, kernel_sizes {self.kernel_sizes} and strides {self.strides} need one entry "
                "for each layer"
            )
        for kernel, stride in zip(self.kernel_sizes, self.strides, strict=True):
            if not 1 <= stride <= kernel:
                raise ValueError(f"kernel size {kernel} with stride {stride}: a kernel must reach from step to step")
        if self.last_kernel_size % 2 == 0:
            raise ValueError(
                f"last_kernel_size {self.last_kernel_size} is even: a centred convolution needs an odd one"
            )
        return self


class WorldVaeConfig(Config):
    """The whole model."""

    sample_rate: int = Field(default=16000, gt=0)
    """In Hz."""
    n_fft: int = Field(default=1024, ge=64, multiple_of=2)
    """Of WORLD's analysis: envelopes have n_fft / 2 + 1 bins."""
    hop_length: int = Field(default=80, gt=0)
    """Samples from frame to frame: 5 ms at 16 kHz."""
    lowest_hz: float = Field(default=71.0, gt=0.0)
    """Of F0, as is highest_hz."""
    highest_hz: float = Field(default=500.0, gt=0.0)
    num_speakers: int = Field(default=1, ge=1)
    """Taken from the corpus."""
    latent_channels: int = Field(default=128, ge=1)
    """Width of z."""
    speaker_channels: int = Field(default=128, ge=1)
    """Width of y."""
    unit_speakers: bool = False
    """y has the length 1, as in VAW-GAN."""
    encoder: FrameEncoderConfig | None = FrameEncoderConfig()
    """None: there is none, and z is drawn from N(0, I): a generator alone, which no recording tells what to say."""
    decoder: FrameDecoderConfig = FrameDecoderConfig()
    context_frames: int = Field(default=1, ge=1)
    """That the encoder hears for one that is made, itself in their middle; more of them flicker less."""
    pitch: bool = False
    """G is told ln F0, relative to the speaker's range, and voicing; for singing."""

    smoothing_frames: int = Field(default=1, ge=1)
    """The median of so many neighbouring frames is what is heard of a conversion."""
    keep_energy: bool = False
    """Shapes that are made are brought to the sum 1 over bins, so that loudness stays the source's: what is blurred, or
    moves, does not add up to it by itself."""
    post_filter: float = Field(default=0.0, ge=0.0, le=1.0)
    """How far a conversion's variance in time is brought to the target's own in each bin."""
    variation: float = Field(default=0.0, ge=0.0)
    """Noise of z in conversion, in standard deviations of the posterior."""

    @property
    def bins(self) -> int:
        return self.n_fft // 2 + 1

    @property
    def first_size(self) -> int:
        """Positions at the decoder's first convolution."""
        return self.bins // math.prod(self.decoder.strides)

    @model_validator(mode="after")
    def _fits_together(self) -> "WorldVaeConfig":
        if self.bins % math.prod(self.decoder.strides):
            raise ValueError(
                f"{self.bins} bins (n_fft {self.n_fft}) are not a multiple of {math.prod(self.decoder.strides)}, the "
                f"product of decoder.strides {self.decoder.strides}"
            )
        if not 3.0 * self.sample_rate / (self.n_fft - 3) <= self.lowest_hz < self.highest_hz <= self.sample_rate / 2:
            raise ValueError(
                f"lowest_hz {self.lowest_hz:g} and highest_hz {self.highest_hz:g}: need "
                f"{3.0 * self.sample_rate / (self.n_fft - 3):.0f} Hz (what n_fft {self.n_fft} resolves) <= lowest_hz < "
                f"highest_hz <= {self.sample_rate / 2:g}"
            )
        for name in ("context_frames", "smoothing_frames"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"{name} {getattr(self, name)} is even: a frame in the middle needs an odd number")
        return self


class CriticConfig(Config):
    """D: a score for a shape and a speaker."""

    channels: tuple[int, ...] = (16, 32, 64)
    kernel_sizes: tuple[int, ...] = (7, 7, 115)
    stride: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _is_consistent(self) -> "CriticConfig":
        if len(self.channels) != len(self.kernel_sizes):
            raise ValueError(f"channels {self.channels} and kernel_sizes {self.kernel_sizes} differ in number")
        return self


class WorldVaeObjectiveConfig(Config):
    """How it is trained: L_rec + kl_weight · KL, and from a step on gamma times what the critic says."""

    frames_per_clip: int = Field(default=1, ge=1)
    """That are learnt from in a step, of each recording of the batch."""
    every: int = Field(default=1, ge=1)
    """Each so many frames of a recording are kept to be learnt from: neighbours 5 ms apart are nearly the same."""
    gate_db: float | None = Field(default=None, gt=0.0)
    """Frames further below the loudest of their recording are not learnt from; None: all are."""
    reconstruction_weight: float = Field(default=1.0, ge=0.0)
    kl_weight: float = Field(default=1.0, ge=0.0)
    """0: a plain autoencoder, whose z keeps who spoke; more than 1: a beta-VAE."""
    speaker_weight: float = Field(default=1e-6, ge=0.0)
    """Of the squared lengths of the speakers' vectors, where model.unit_speakers does not fix these."""
    adversarial: Literal["none", "bce", "clip", "gp"] = "none"
    """What G learns from besides, with what it converts: nothing; a discriminator (Goodfellow et al. 2014, the
    non-saturating form); a Wasserstein critic whose weights are clipped (VAW-GAN), or whose gradient is held at 1."""
    adversarial_weight: float = Field(default=1.0, ge=0.0)
    """gamma. W is divided by the clip value under `clip`, and is as the critic says under `gp`."""
    adversarial_from_step: int = Field(default=0, ge=0)
    """First step of phase 2; before it there is reconstruction alone."""
    critic: CriticConfig = CriticConfig()
    critic_steps: int = Field(default=5, ge=1)
    """For each step of G."""
    burst_steps: int = Field(default=0, ge=0)
    """Critic steps in the first `burst_first` steps of phase 2, and in every `burst_every`-th; 0: no bursts."""
    burst_first: int = Field(default=25, ge=0)
    burst_every: int = Field(default=100, ge=1)
    clip: float = Field(default=0.01, gt=0.0)
    """Weights of the critic lie within plus and minus this, under `clip`."""
    penalty_weight: float = Field(default=10.0, ge=0.0)
    """Of the squared distance of the critic's gradient from 1, under `gp`."""
    probe: bool = True
    """A linear layer learns to read the speaker off z, to tell how much of it z keeps; nothing else learns of that."""
    watch_from_step: int = Field(default=1000, ge=1)
    """First step at which a collapse stops the run."""

    @property
    def drawn_frames(self) -> int:
        """Of a recording in a batch: of its own for each update, and enough for the first statistics."""
        updates = 1 if self.adversarial == "none" else 1 + self.critic_steps
        return max(self.frames_per_clip * updates, 32)
