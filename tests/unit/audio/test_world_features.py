"""WORLD's features: energy and shape split and joined, chosen frames, ln F0 moved from one range to another."""

import numpy as np
import pytest

from moksori.audio.world import aperiodicity_at, envelope_at
from moksori.audio.world_features import (
    LogPitch,
    envelope_groups,
    join_energy,
    loud_frames,
    moved_f0,
    neighbours,
    split_energy,
    summed,
)
from moksori.types import EnvelopeNeeds, PitchRange, Waveform

RATE, HOP, SIZE = 16000, 80, 1024


def vowel(hertz: float = 120.0, seconds: float = 0.5, seed: int = 0) -> Waveform:
    """Harmonics that fall by 1 / k, with a little noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    numbers = np.arange(1, int(7000 / hertz))
    tone = (np.cos(2 * np.pi * hertz * numbers[:, None] * time) / numbers[:, None]).sum(axis=0)
    noise = 1e-3 * np.random.default_rng(seed).standard_normal(len(time))
    return Waveform((0.1 * tone + noise).astype(np.float32), RATE)


def test_energy_and_shape_are_the_envelope() -> None:
    draw = np.random.default_rng(0)
    envelope = np.exp(draw.normal(-8.0, 3.0, (7, 513)))
    envelope[3] = 0.0
    shape, energy = split_energy(envelope)
    assert np.allclose(join_energy(shape, energy), envelope + 1e-10, rtol=1e-12, atol=0.0)
    assert np.allclose((10.0**shape).sum(axis=1), 1.0)
    louder, more = split_energy(100.0 * (envelope[:3] + 1e-10) - 1e-10)
    assert np.allclose(louder, shape[:3], atol=1e-9)  # what a model sees does not know how loud it was
    assert np.allclose(more, 100.0 * energy[:3])


def test_chosen_frames_are_those_of_the_whole() -> None:
    """A vowel's envelope falls as its harmonics do, and its level is that of the sound."""
    sound = vowel()
    f0 = np.full(100, 120.0)
    whole = envelope_at(sound, f0, np.arange(100), HOP, SIZE)
    some = envelope_at(sound, f0, np.array([20, 50, 70]), HOP, SIZE)
    assert np.allclose(10 * np.log10(some), 10 * np.log10(whole[[20, 50, 70]]), atol=0.5)
    hertz = np.arange(513) * RATE / SIZE
    fall = 10 * np.log10(some[1][np.searchsorted(hertz, 480)] / some[1][np.searchsorted(hertz, 1920)])
    assert fall == pytest.approx(20 * np.log10(4.0), abs=1.5)
    noisy = aperiodicity_at(sound, f0, np.array([50]), HOP, SIZE)
    assert noisy.shape == (1, 513)
    assert float(noisy[0, :40].max()) < 0.5
    silent = Waveform(np.zeros(4000, np.float32), RATE)
    assert bool(np.isfinite(envelope_at(silent, np.zeros(50), np.arange(50), HOP, SIZE)).all())
    assert bool((aperiodicity_at(silent, np.zeros(50), np.arange(50), HOP, SIZE) > 0.999).all())


def test_groups_hold_neighbours_and_leave_silence_out() -> None:
    loud = vowel().samples
    sound = Waveform(np.concatenate([np.zeros(4000, np.float32), loud, np.zeros(4000, np.float32)]), RATE)
    f0 = np.concatenate([np.zeros(50), np.full(100, 120.0), np.zeros(50)])
    assert loud_frames(sound, HOP, 40.0).tolist() == pytest.approx(list(range(48, 152)), abs=4)
    shapes, frames = envelope_groups(sound, f0, HOP, EnvelopeNeeds(SIZE, every=4, context=3, gate_db=40.0))
    assert np.diff(frames).tolist() == [4] * (len(frames) - 1)
    assert shapes.shape == (len(frames), 3, 513)
    assert 20 <= len(frames) <= 28
    alone, _ = split_energy(envelope_at(sound, f0, frames - 1, HOP, SIZE))
    assert np.abs(shapes[3:-3, 0] - alone[3:-3]).mean() < 0.05
    assert neighbours(np.array([0, 9]), 1, 10).tolist() == [[0, 0, 1], [8, 9, 9]]
    silence = Waveform(np.zeros(800, np.float32), RATE)
    assert len(envelope_groups(silence, np.zeros(10), HOP, EnvelopeNeeds(SIZE, every=3))[1]) == 4


def test_pitch_goes_from_one_range_to_the_other() -> None:
    draw = np.random.default_rng(1)
    f0 = np.exp(draw.normal(np.log(110.0), 0.15, 4000))
    f0[::5] = 0.0
    source, target = LogPitch.of(f0).range, PitchRange(np.log(210.0), 0.18)
    assert np.allclose(moved_f0(f0, source, source), f0)  # equal ranges: nothing changes
    made = moved_f0(f0, source, target, limits_hz=(1.0, 8000.0))
    assert ((made == 0.0) == (f0 == 0.0)).all()
    reached = LogPitch.of(made).range
    assert reached.mean == pytest.approx(target.mean, abs=2e-3)
    assert reached.deviation == pytest.approx(target.deviation, abs=2e-3)
    higher = moved_f0(f0, source, target, 12.0, (1.0, 8000.0))
    assert np.allclose(higher, 2.0 * made)
    assert np.allclose(moved_f0(f0, None, target), f0)  # a range that is not known moves nothing
    assert float(moved_f0(f0, source, target, limits_hz=(100.0, 250.0)).max()) <= 250.0
    flat = moved_f0(np.array([110.0, 110.1]), PitchRange(np.log(110.0), 0.0), target)
    assert np.allclose(flat, 210.0, rtol=0.02)  # a source without melody is not blown up


def test_moments_add_up_and_octaves_are_left_out() -> None:
    draw = np.random.default_rng(2)
    f0 = np.exp(draw.normal(5.0, 0.1, 1000))
    parts = summed([LogPitch.of(f0[:300]), LogPitch.of(f0[300:])])
    assert parts.range.mean == pytest.approx(float(np.log(f0).mean()))
    assert parts.range.deviation == pytest.approx(float(np.log(f0).std()))
    wrong = np.concatenate([f0, f0[:100] / 4.0])
    assert LogPitch.of(wrong).range.mean == pytest.approx(parts.range.mean, abs=1e-9)
    supposed = LogPitch.supposed(PitchRange(5.2, 0.3), 40.0)
    assert supposed.range.mean == pytest.approx(5.2)
    assert supposed.range.deviation == pytest.approx(0.3)
    with pytest.raises(ValueError, match="no voiced frame"):
        _ = LogPitch.of(np.zeros(5)).range
