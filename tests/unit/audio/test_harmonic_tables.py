"""Tables of what pitches look like in a mel."""

import numpy as np
import torch

from moksori.audio.harmonics import (
    HIGHEST_LOG_F0,
    LOWEST_LOG_F0,
    STEPS,
    harmonic_ripples,
    looked_up,
    pulse_train_mels,
)
from moksori.audio.mel import MEL_22KHZ, MelSpectrogram


def pulses(f0: float, seconds: float = 0.5) -> torch.Tensor:
    time = np.arange(int(seconds * 22050)) / 22050
    sound = sum(np.cos(2 * np.pi * k * f0 * time) for k in range(1, int(8000 / f0)))
    return torch.from_numpy((0.02 * sound).astype(np.float32))[None]


def test_the_ripples_of_a_pitch_are_those_of_a_pulse_train() -> None:
    table, front_end = harmonic_ripples(MEL_22KHZ), MelSpectrogram(MEL_22KHZ)
    for f0 in (120.0, 220.0, 400.0):
        mel = front_end(pulses(f0))[0, :, 20]
        own = looked_up(table, torch.tensor(f0).log())
        others = [looked_up(table, torch.tensor(f0 * factor).log()) for factor in (0.8, 1.1, 1.3)]
        resolved = slice(0, 30)

        def alike(row: torch.Tensor, mel: torch.Tensor = mel, bands: slice = resolved) -> float:
            return float(torch.corrcoef(torch.stack([row[bands], mel[bands]]))[0, 1])

        assert alike(own) > 0.7
        assert alike(own) > max(alike(row) for row in others) + 0.3


def test_ripples_are_neither_smooth_nor_at_the_top() -> None:
    table = harmonic_ripples(MEL_22KHZ)
    assert table.shape == (STEPS, 80)
    assert float(table.mean(dim=1).abs().max()) < 1e-5
    low, high = (int((np.log(f) - LOWEST_LOG_F0) / (HIGHEST_LOG_F0 - LOWEST_LOG_F0) * (STEPS - 1)) for f in (90, 110))
    assert float(table[low:high, 70:].abs().mean()) < 0.2 * float(table[low:high, :20].abs().mean())


def test_rows_are_interpolated_and_held_at_the_ends() -> None:
    table = pulse_train_mels(MEL_22KHZ)
    step = (HIGHEST_LOG_F0 - LOWEST_LOG_F0) / (STEPS - 1)
    between = looked_up(table, torch.tensor([LOWEST_LOG_F0 + 10.25 * step]))
    torch.testing.assert_close(between[0], 0.75 * table[10] + 0.25 * table[11], atol=1e-3, rtol=0)
    ends = looked_up(table, torch.tensor([0.0, 9.0]))
    torch.testing.assert_close(ends[0], table[0])
    torch.testing.assert_close(ends[1], table[-1], atol=1e-2, rtol=0)
