"""Conversion of sound that comes bit by bit: the same whatever the bits, and within the stated delay."""

import numpy as np
import pytest
import torch
from small_imitator import save_imitator, save_vocoder, talk

from moksori.errors import AudioError, BadInput
from moksori.pipeline.convert import Converter, find_converter
from moksori.pipeline.live_conversion import RunningLevel
from moksori.pipeline.recordings import TARGET_POWER
from moksori.types import Voice


@pytest.fixture(scope="module")
def converter(tmp_path_factory) -> Converter:
    home = tmp_path_factory.mktemp("home")
    return find_converter(save_imitator(home / "imitator"), vocoder=save_vocoder(home / "vocoder"))


@pytest.fixture(scope="module")
def voice(converter: Converter) -> Voice:
    return converter.enroll(talk(3.5, pitch=200.0))


def split(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


@pytest.mark.parametrize("rate", [16000, 44100])
def test_the_size_of_blocks_does_not_matter(converter: Converter, voice: Voice, rate: int) -> None:
    samples = talk(3.3, rate).samples
    first, second = (
        np.concatenate(list(converter.live(split(samples, size), rate, voice, seed=1))) for size in (400, 20_000)
    )
    assert len(first) == len(second) == round(3.3 * 16000)
    assert np.abs(first - second).max() < 1e-4
    assert np.abs(first).max() > 1e-3


@pytest.mark.parametrize("rate", [16000, 48000])
def test_sound_leaves_within_the_stated_delay(converter: Converter, voice: Voice, rate: int) -> None:
    came = 0
    block = rate // 100

    def coming():
        nonlocal came
        for part in split(talk(6.0, rate).samples, block):
            came += len(part)
            yield part

    stream, worst, left = converter.live(coming(), rate, voice), 0.0, 0
    for part in stream:
        if came < 6 * rate:
            worst = max(worst, came / rate - left / 16000)
        left += len(part)
    assert stream.delay_seconds - 0.15 < worst <= stream.delay_seconds + block / rate
    assert stream.delay_seconds < 1.5
    assert stream.duration_seconds == 6.0
    assert {"synthetic": "true", "speaker": "recording"}.items() <= stream.metadata.items()


def test_it_is_near_what_the_whole_gives(converter: Converter, voice: Voice) -> None:
    """Of other pieces, and with a level that is still being found; so near is enough."""
    samples = talk(8.0).samples
    whole = converter.convert((samples, 16000), like=voice, seed=1).samples
    live = np.concatenate(list(converter.live(split(samples, 320), 16000, voice, seed=1)))
    mels = [converter.loaded.model.mel(torch.from_numpy(s)[None])[..., 100:] for s in (whole, live)]
    assert torch.corrcoef(torch.stack([m.flatten() for m in mels]))[0, 1] > 0.7


def test_the_level_is_found_while_it_comes() -> None:
    """Within the first second it is that of a recording; a quiet stretch does not raise it."""
    draw = np.random.default_rng(0)
    speech = draw.normal(0, 0.004, 16000 * 4).astype(np.float32)
    pause = draw.normal(0, 0.00001, 16000 * 2).astype(np.float32)
    samples = np.concatenate([speech, pause, 4.0 * speech])
    level = RunningLevel(16000)
    made = np.concatenate([*(level.push(part) for part in split(samples, 333)), level.finish()])
    assert len(made) == len(samples)
    for start, stop in ((1, 4), (8, 10)):
        power = float(np.square(made[start * 16000 : stop * 16000]).mean())
        assert abs(10 * np.log10(power / TARGET_POWER)) < (1.0 if start == 1 else 12.0)
    assert np.abs(made[4 * 16000 : 6 * 16000]).max() < 0.002
    assert np.abs(np.diff(made / np.where(samples == 0, 1, samples))).max() < 1.0  # no jump of the gain


def test_what_is_wrong_is_told(converter: Converter, voice: Voice) -> None:
    with pytest.raises(AudioError, match="the sample rate 0 must be a positive"):
        converter.live([], 0, voice)
    with pytest.raises(BadInput, match="no recording: give at least one"):
        converter.live([], 16000, [])
    with pytest.raises(AudioError, match="what comes in holds NaN"):
        list(converter.live([np.full(100, np.nan, np.float32)], 16000, voice))
    assert list(converter.live([], 16000, voice)) == []
    assert sum(map(len, converter.live([np.zeros(100, np.float32)], 16000, voice))) == 100
