"""What is told of recordings that may hold no speech: all clips of speech pass, most noises and held notes do not."""

import numpy as np
import pytest

from moksori.errors import MoksoriError
from moksori.pipeline.recordings import open_recording
from moksori.pipeline.speech_likeness import unlike_speech, voiced_share

RATE = 16000


def doubt(samples: np.ndarray) -> str:
    return unlike_speech(open_recording((samples.astype(np.float32), RATE), RATE)) or ""


def test_noise_tones_and_hums_are_doubted() -> None:
    draw, time = np.random.default_rng(0), np.arange(4 * RATE) / RATE
    assert "hardly anything in it is voiced" in doubt(draw.normal(0, 0.1, len(time)))
    assert "nearly all of it is voiced" in doubt(0.1 * np.sin(2 * np.pi * 200 * time))
    gaps = np.repeat(np.arange(200) % 5 < 4, len(time) // 200)
    assert "its level hardly moves" in doubt(
        np.where(gaps, 0.1 * np.sin(2 * np.pi * 200 * time), 0.07 * draw.normal(0, 1, len(time)))
    )


def test_pitch_is_found_between_its_limits() -> None:
    time = np.arange(RATE) / RATE
    for hz in (80, 120, 240, 380):
        voice = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 10))
        share = voiced_share(voice.astype(np.float32), RATE)
        assert share is not None
        assert share > 0.9, hz
    assert voiced_share(np.zeros(100, np.float32), RATE) is None
    assert voiced_share(np.zeros(RATE, np.float32), RATE) is None


@pytest.mark.data
def test_real_recordings(recordings) -> None:
    def doubted(paths) -> list[str]:
        found = []
        for path in paths:
            try:
                found.append(unlike_speech(open_recording(path, RATE)) or "")
            except MoksoriError:
                continue
        return found

    speech = sorted((recordings / "librispeech-many").glob("*.ogg"))[::12]
    assert len(speech) > 10
    assert not any(doubted(speech))
    noises = doubted(sorted((recordings / "noise-music").glob("sc_*.flac")))
    assert len(noises) == 6
    assert all("hardly anything in it is voiced" in told for told in noises)
