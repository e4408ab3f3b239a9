"""Mels of sound that comes bit by bit are those of the whole."""

import pytest
import torch
from torch.nn import functional

from moksori.audio.mel import MEL_16KHZ, MEL_16KHZ_200, MelSpectrogram
from moksori.audio.mel_stream import MelStream


@pytest.mark.parametrize("config", [MEL_16KHZ, MEL_16KHZ_200], ids=["hop 256", "hop 200"])
@pytest.mark.parametrize("samples", [1, 200, 385, 1024, 1025, 1300, 5000, 40_000])
def test_blocks_of_any_size_give_the_whole(config, samples: int) -> None:
    front_end = MelSpectrogram(config)
    waveform = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))
    whole = front_end(functional.pad(waveform, (0, -samples % config.hop_length))[None])
    for size in (97, 1000, samples):
        stream = MelStream(front_end)
        made = torch.cat([*(stream.push(part) for part in waveform.split(size)), stream.finish()], dim=2)
        torch.testing.assert_close(made, whole, atol=1e-5, rtol=0)


def test_frames_leave_as_soon_as_they_are_known_and_little_is_kept() -> None:
    stream = MelStream(MelSpectrogram(MEL_16KHZ))
    came = left = 0
    for _ in range(400):
        came += 100
        left += stream.push(torch.zeros(100)).shape[2]
        if came > 1024:
            assert left == (came - 640) // 256 + 1  # frame t ends 640 samples after its hop begins
        assert len(stream._kept) < 1024 + 384 + 100
    assert stream.finish().shape[2] == -(-came // 256) - left


def test_nothing_gives_nothing() -> None:
    assert MelStream(MelSpectrogram(MEL_16KHZ)).finish().shape == (1, 80, 0)
