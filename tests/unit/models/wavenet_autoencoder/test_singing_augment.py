"""Augmentation: involutions, a slice that leaves the rest alone, codes laid back where they belong."""

import numpy as np
import pytest
import torch
from small_singers import small_objective, sung

from moksori.models.wavenet_autoencoder.augment import (
    crops,
    draw_speeds,
    draw_versions,
    four_fold,
    laid_back,
    pitch_slices,
    played,
    read_at,
    shifted_pitch,
)

RATE = 8000


def tone(hertz: float, samples: int = RATE) -> torch.Tensor:
    return 0.5 * torch.sin(2 * torch.pi * hertz * torch.arange(samples) / RATE)


def peak_hz(x: torch.Tensor) -> float:
    spectrum = np.abs(np.fft.rfft(x.numpy() * np.hanning(len(x)), 2**17))
    return float(np.argmax(spectrum)) * RATE / 2**17


def test_four_versions_are_involutions() -> None:
    x = torch.randn(4, 100, generator=torch.Generator().manual_seed(0))
    reverse, flip = torch.tensor([False, True, False, True]), torch.tensor([False, False, True, True])
    versions = four_fold(x, reverse, flip)
    assert torch.equal(versions[0], x[0])
    assert torch.equal(versions[1], x[1].flip(0))
    assert torch.equal(versions[2], -x[2])
    assert torch.equal(versions[3], -x[3].flip(0))
    assert torch.equal(four_fold(versions, reverse, flip), x)


def test_all_four_versions_are_drawn_alike() -> None:
    reverse, flip = draw_versions(4000, torch.device("cpu"), torch.Generator().manual_seed(0))
    counts = torch.bincount(reverse.long() + 2 * flip.long(), minlength=4)
    assert int((counts - 1000).abs().max()) < 120


def test_a_pitch_slice_changes_a_quarter_to_a_half_and_nothing_else() -> None:
    x = torch.stack([tone(200.0), tone(300.0), tone(250.0)])
    changed = pitch_slices(x, 0.5, torch.Generator().manual_seed(1))
    assert changed.shape == x.shape
    for before, after in zip(x, changed, strict=True):
        places = (before != after).nonzero()[:, 0]
        length = int(places[-1] - places[0]) + 1
        assert 0.2 * RATE <= length <= 0.5 * RATE + 1
        assert int(places[0]) <= RATE // 2


@pytest.mark.parametrize("semitones", [-0.5, 0.5, 3.0])
def test_pitch_moves_by_as_much_as_was_asked(semitones: float) -> None:
    moved = shifted_pitch(tone(440.0), semitones)
    assert len(moved) == RATE
    cents = 1200 * np.log2(peak_hz(moved[1000:-1000]) / 440.0)
    assert cents == pytest.approx(100 * semitones, abs=8)
    assert float(moved[1000:-1000].std()) == pytest.approx(float(tone(440.0).std()), rel=0.05)


def test_the_target_of_a_step_is_untouched_by_slice_and_speed(monkeypatch) -> None:
    objective = small_objective("objective.four_fold=false", "objective.speed=0.3", "objective.slice_semitones=0.5")
    batch = sung([0, 1], 800)
    seen = {}
    model = objective.model

    def nats(waveform, *others, **named):
        seen["target"] = waveform
        return type(model).nats(model, waveform, *others, **named)

    heard = []
    encode = model.encode
    monkeypatch.setattr(model, "nats", nats)
    monkeypatch.setattr(model, "encode", lambda x, generator=None: heard.append(x) or encode(x, generator))
    list(objective.updates(batch, 0, torch.Generator().manual_seed(0)))
    assert torch.equal(seen["target"], batch.waveform)
    assert all(x.shape != batch.waveform.shape or not torch.equal(x, batch.waveform) for x in heard[:1])


def test_playing_faster_raises_the_pitch_and_keeps_the_middle() -> None:
    x = tone(200.0, 4000)[None]
    fast = played(x, torch.tensor([1.25]), 0.25, 200)
    assert fast.shape[1] % 200 == 0
    inner = fast[0, 1000:4000]
    assert peak_hz(inner) == pytest.approx(250.0, rel=0.01)
    middle = played(torch.arange(4000.0)[None], torch.tensor([1.25]), 0.25, 200)[0]
    assert float(middle[len(middle) // 2 - 1 : len(middle) // 2 + 1].mean()) == pytest.approx(1999.5)


def test_codes_are_laid_back_onto_the_times_of_the_crop() -> None:
    """Codes that are the mean place of their window come back as that place, whatever the speed was."""
    pool, frames = 200, 20
    places = torch.arange(float(pool * frames))[None]
    speed = torch.tensor([0.8, 1.0, 1.25])
    moved = played(places.expand(3, -1), speed, 0.25, pool)
    codes = moved.unflatten(1, (-1, pool)).mean(dim=2).unsqueeze(1)
    back = laid_back(codes, speed, frames)[:, 0]
    wanted = places.unflatten(1, (-1, pool)).mean(dim=2)
    assert torch.allclose(back[:, 3:-3], wanted[:, 3:-3].expand(3, -1), atol=1.0)


def test_speeds_lie_within_the_share_and_are_even() -> None:
    speed = draw_speeds(2000, 0.25, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert float(speed.min()) >= 1 / 1.25
    assert float(speed.max()) <= 1.25
    assert abs(float(speed.log().mean())) < 0.01


def test_reading_between_samples_is_exact_on_them_and_zero_outside() -> None:
    x = torch.randn(1, 50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(read_at(x, torch.arange(50.0)[None]), x)
    assert not bool(read_at(x, torch.tensor([[-3.0, 53.0]])).any())


def test_a_recording_that_is_shorter_than_the_crop_is_repeated() -> None:
    waveform = torch.arange(10.0)[None]
    found = crops(waveform, torch.tensor([6]), torch.tensor([4]), 10)
    assert found[0].tolist() == [4, 5, 0, 1, 2, 3, 4, 5, 0, 1]
