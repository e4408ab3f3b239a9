"""The mel filterbank and spectrogram against librosa's."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from moksori.audio.mel import MEL_16KHZ, MEL_16KHZ_200, MEL_22KHZ, MelConfig, MelSpectrogram, mel_filterbank
from moksori.audio.stft import linear_spectrogram

VITS = MelConfig(f_max_hz=11025.0, epsilon=1e-6)
WIDE = MelConfig(sample_rate=44100, n_fft=2048, window_length=2048, hop_length=512, n_mels=128, f_max_hz=22050.0)
HIGH = MelConfig(n_mels=20, f_min_hz=1500.0, f_max_hz=7600.0)
CONFIGS = {"22khz": MEL_22KHZ, "16khz": MEL_16KHZ, "16khz-200": MEL_16KHZ_200, "vits": VITS, "wide": WIDE, "high": HIGH}


def noise(samples: int) -> torch.Tensor:
    return 0.3 * torch.randn(1, samples, generator=torch.Generator().manual_seed(samples))


@pytest.mark.parametrize("name", CONFIGS)
def test_filterbank_is_librosas(name: str) -> None:
    librosa = pytest.importorskip("librosa")
    c = CONFIGS[name]
    expected = librosa.filters.mel(sr=c.sample_rate, n_fft=c.n_fft, n_mels=c.n_mels, fmin=c.f_min_hz, fmax=c.f_max_hz)
    filterbank = mel_filterbank(c)
    assert filterbank.dtype == torch.float32
    assert filterbank.shape == expected.shape
    assert np.abs(filterbank.numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("name", CONFIGS)
def test_every_band_has_area_one(name: str) -> None:
    c = CONFIGS[name].model_copy(update={"n_fft": 1 << 16})
    area = mel_filterbank(c).double().sum(dim=1) * c.sample_rate / c.n_fft
    assert torch.allclose(area, torch.ones_like(area), atol=2e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_spectrogram_before_the_logarithm_is_librosas(name: str) -> None:
    librosa = pytest.importorskip("librosa")
    c = CONFIGS[name].model_copy(update={"epsilon": 0.0, "floor": 1e-30})
    waveform = noise(22016)
    total = c.n_fft - c.hop_length
    padded = np.pad(waveform[0].numpy(), (total // 2, total - total // 2), mode="reflect")
    expected = librosa.feature.melspectrogram(
        y=padded, sr=c.sample_rate, n_fft=c.n_fft, hop_length=c.hop_length, win_length=c.window_length, center=False,
        power=1.0, n_mels=c.n_mels, fmin=c.f_min_hz, fmax=c.f_max_hz,
    )  # fmt: skip
    mel = MelSpectrogram(c)(waveform)[0].exp().numpy()
    assert mel.shape == expected.shape
    assert np.abs(mel - expected).max() < 1e-5 * expected.max()


@pytest.mark.parametrize("samples", [256, 8192, 22016, 22271])
def test_frames_are_whole_hops(samples: int) -> None:
    assert MelSpectrogram(MEL_22KHZ)(noise(samples)).shape == (1, 80, samples // 256)


def test_silence_is_the_logarithm_of_its_floor() -> None:
    """sqrt(1e-9) through an area of 1 in Hz stays below 1e-5 in the low bands: the floor takes over."""
    mel = MelSpectrogram(MEL_22KHZ)(torch.zeros(1, 8192))
    weight = mel_filterbank(MEL_22KHZ).sum(dim=1)
    expected = torch.log((weight * 1e-9**0.5).clamp(min=1e-5))
    assert torch.allclose(mel, expected[None, :, None].expand_as(mel), atol=1e-5)
    assert mel.min() == pytest.approx(np.log(1e-5), abs=1e-6)


def test_from_linear_is_the_second_half_of_the_road() -> None:
    waveform, mel = noise(8192), MelSpectrogram(VITS)
    assert torch.equal(mel.from_linear(linear_spectrogram(waveform, 1024, 256, 1024, 1e-6)), mel(waveform))


def test_autocast_changes_nothing() -> None:
    waveform, mel = noise(8192), MelSpectrogram(MEL_22KHZ)
    expected = mel(waveform)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mel(waveform), expected)


def test_filterbank_is_in_no_file() -> None:
    assert not MelSpectrogram(MEL_22KHZ).state_dict()
    assert not list(MelSpectrogram(MEL_22KHZ).parameters())


def test_key_changes_with_every_setting() -> None:
    changes = {
        "sample_rate": 24000, "n_fft": 2048, "hop_length": 128, "window_length": 800, "n_mels": 100, "f_min_hz": 20.0,
        "f_max_hz": 7000.0, "epsilon": 1e-6, "floor": 1e-4,
    }  # fmt: skip
    assert set(changes) == set(MelConfig.model_fields)
    keys = {MelConfig.model_validate({name: value}).key for name, value in changes.items()} | {MEL_22KHZ.key}
    assert len(keys) == len(changes) + 1
    assert MelConfig().key == MEL_22KHZ.key


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hop_length": 2000}, "hop_length 2000"),
        ({"window_length": 2000}, "window_length 2000"),
        ({"f_max_hz": 12000.0}, "12000.*11025"),
        ({"f_min_hz": 9000.0}, "9000.*8000"),
        ({"n_mels": 0}, "n_mels"),
        ({"mels": 80}, "mels"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MelConfig.model_validate(setting)
