"""Disguised recordings: other frequencies and another tilt, the same moments in time."""

import torch

from moksori.audio.mel import MEL_16KHZ, MelSpectrogram
from moksori.models.dsvae.disguise import Disguise


def tone(hertz: float) -> torch.Tensor:
    return MelSpectrogram(MEL_16KHZ)(0.1 * torch.sin(2 * torch.pi * hertz * torch.arange(16000) / 16000)[None])


def test_frequencies_move_by_the_share_at_most_and_both_ways() -> None:
    made, mel = Disguise(MEL_16KHZ, 0.15), tone(1500.0).expand(200, -1, -1)
    heard = made.centres[made(mel, torch.Generator().manual_seed(0)).mean(2).argmax(1)]
    assert heard.min() > 1500 * 0.80
    assert heard.max() < 1500 * 1.25
    assert (heard < 1420).any()
    assert (heard > 1580).any()


def test_no_share_changes_nothing() -> None:
    mel = tone(700.0)
    assert torch.allclose(Disguise(MEL_16KHZ, 0.0)(mel, torch.Generator().manual_seed(0)), mel, atol=1e-5)


def test_a_spectrum_is_bent_without_being_stretched() -> None:
    mel = tone(700.0).expand(100, -1, -1)
    change = Disguise(MEL_16KHZ, 0.0, bend=0.5)(mel, torch.Generator().manual_seed(0)) - mel
    assert float((change - change[..., :1]).abs().max()) < 1e-4  # the same all the time
    assert 0.7 < float(change[..., 0].std()) < 1.2  # the square root of 0.5² (1 + 3 / 2) is 0.79
    assert float((change[:, 1:] - change[:, :-1]).abs().mean()) < 0.1  # smooth


def test_time_stays_and_items_differ() -> None:
    made = Disguise(MEL_16KHZ, 0.2)
    mel = torch.full((2, 80, 30), -9.0)
    mel[:, 20:40, 10:15] = -2.0
    found = made(mel, torch.Generator().manual_seed(1))
    spread = found.std(dim=1)
    assert (spread[:, 10:15].min(dim=1).values > spread[:, :10].max(dim=1).values).all()
    assert (found[0] - found[1]).abs().max() > 0.1
    assert torch.equal(found, made(mel, torch.Generator().manual_seed(1)))
