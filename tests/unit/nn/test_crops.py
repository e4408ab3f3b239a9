"""Stretches of recordings: as asked for, and silent where there is no recording."""

import torch

from moksori.nn.crops import stretches


def test_a_stretch_is_silent_beyond_both_ends_of_its_item() -> None:
    waveform = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    found, inside = stretches(waveform, torch.tensor([4, 2]), torch.tensor([-2, 1]), 5)
    assert found.tolist() == [[0.0, 0.0, 1.0, 2.0, 3.0], [6.0, 0.0, 0.0, 0.0, 0.0]]
    assert inside.tolist() == [[False, False, True, True, True], [True, False, False, False, False]]
