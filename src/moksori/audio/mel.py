"""The one mel spectrogram: Slaney's scale and area norm, natural log with a floor.

Settings that share everything but a number are `MelConfig`s; the house has three of them, below.
"""

import hashlib

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from moksori.audio.stft import linear_spectrogram
from moksori.config import Config


class MelConfig(Config):
    """What decides the numbers of a mel spectrogram; two models whose configs differ cannot share features."""

    sample_rate: int = Field(default=22050, gt=0)
    """Of the waveform, in Hz."""
    n_fft: int = Field(default=1024, ge=2, multiple_of=2)
    """Points of the Fourier transform."""
    hop_length: int = Field(default=256, gt=0)
    """Samples from frame to frame."""
    window_length: int = Field(default=1024, gt=0)
    """Samples of the periodic Hann window, centred in the n_fft."""
    n_mels: int = Field(default=80, gt=0)
    """Mel bands."""
    f_min_hz: float = Field(default=0.0, ge=0.0)
    """Lower edge of the lowest band."""
    f_max_hz: float = Field(default=8000.0, gt=0.0)
    """Upper edge of the highest band."""
    epsilon: float = Field(default=1e-9, ge=0.0)
    """Power added in the root of the magnitude."""
    floor: float = Field(default=1e-5, gt=0.0)
    """Least mel magnitude before the logarithm."""

    @model_validator(mode="after")
    def _check(self) -> "MelConfig":
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} is more than n_fft {self.n_fft}: samples would be skipped")
        if self.window_length > self.n_fft:
            raise ValueError(f"window_length {self.window_length} is more than n_fft {self.n_fft}")
        if not self.f_min_hz < self.f_max_hz <= self.sample_rate / 2:
            raise ValueError(
                f"f_min_hz {self.f_min_hz:g} and f_max_hz {self.f_max_hz:g} need f_min < f_max <= sample_rate / 2 "
                f"= {self.sample_rate / 2:g}"
            )
        return self

    @property
    def key(self) -> str:
        """Twelve hex digits that differ whenever a setting differs; part of the names of cached features."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


MEL_22KHZ = MelConfig()
"""`mel-22khz`: Flowtron, VITS's distances, the 22.05 kHz vocoder."""
MEL_16KHZ = MelConfig(sample_rate=16000)
"""`mel-16khz`: the voice-conversion families and the 16 kHz vocoder."""
MEL_16KHZ_200 = MelConfig(sample_rate=16000, hop_length=200)
"""`mel-16khz-200`: NaturalSpeech 2's aligner and pitch, 80 frames a second as its codec."""


def mel_filterbank(config: MelConfig) -> Float[Tensor, "mels bins"]:
    """Triangles that map linear magnitudes to mel bands, float32: Slaney's scale, each triangle of area 1 in Hz.

    Equal to `librosa.filters.mel(htk=False, norm="slaney")`, without needing librosa.
    """
    bins_hz = np.linspace(0.0, config.sample_rate / 2, config.n_fft // 2 + 1)
    edges_hz = _mel_to_hz(np.linspace(_hz_to_mel(config.f_min_hz), _hz_to_mel(config.f_max_hz), config.n_mels + 2))
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)
    return torch.from_numpy(triangles.astype(np.float32))


class MelSpectrogram(nn.Module):
    """Waveform -> log-mel spectrogram; no weights. Its float32 filterbank moves with the module, no file stores it."""

    filterbank: Float[Tensor, "mels bins"]

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("filterbank", mel_filterbank(config), persistent=False)

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch mels frames"]:
        """ln(max(mel, floor)) of waveforms in [-1, 1] at the config's rate; frames = floor(samples / hop_length).

        Raises AudioError for a waveform shorter than one hop.
        """
        c = self.config
        return self.from_linear(linear_spectrogram(waveform, c.n_fft, c.hop_length, c.window_length, c.epsilon))

    def from_linear(self, magnitude: Float[Tensor, "batch bins frames"]) -> Float[Tensor, "batch mels frames"]:
        """ln(max(filterbank · magnitude, floor)) of a linear spectrogram of the same n_fft, with whatever epsilon."""
        with torch.autocast(magnitude.device.type, enabled=False):
            if magnitude.dtype.itemsize < 4:
                magnitude = magnitude.float()
            mel = torch.matmul(self.filterbank.to(magnitude.dtype), magnitude)
            return torch.log(mel.clamp(min=self.config.floor))


# Slaney's Auditory Toolbox scale: linear below 1000 Hz (3 mels in 200 Hz), logarithmic above (27 mels a factor of 6.4).
_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _HZ_PER_MEL
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _mel_to_hz(mel: Float[np.ndarray, " edges"]) -> Float[np.ndarray, " edges"]:
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, _HZ_PER_MEL * mel, logarithmic)
