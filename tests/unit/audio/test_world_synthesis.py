"""WORLD's synthesis as frames come: blocks of any size, what it says it holds back, and pyworld's as the yardstick."""

import warnings

import numpy as np
import pytest

from moksori.audio.f0 import extract_f0
from moksori.audio.io import read
from moksori.audio.resample import resample
from moksori.audio.world import aperiodicity_at, envelope_at
from moksori.audio.world_synthesis import WorldSynthesizer
from moksori.types import Waveform

RATE, HOP, SIZE = 16000, 80, 1024


def made(f0: np.ndarray, envelope: np.ndarray, noise: np.ndarray, block: int) -> tuple[list[np.ndarray], int]:
    """What comes out for each block, and then the rest; and how far it was behind at the most."""
    synthesizer = WorldSynthesizer(RATE, HOP, SIZE, np.random.default_rng(0))
    parts, given, late = [], 0, 0
    for at in range(0, len(f0), block):
        stop = at + block
        parts.append(synthesizer.push(f0[at:stop], envelope[at:stop], noise[at:stop]))
        given += len(parts[-1])
        late = max(late, min(stop, len(f0)) * HOP - given)
    assert late <= synthesizer.held_samples
    return [*parts, synthesizer.finish()], late


def frames(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A voice that rises, falls silent, and goes on; a flat envelope of power 1e-4 that is half noise above 4 kHz."""
    f0 = np.linspace(100.0, 180.0, count)
    f0[count // 3 : count // 2] = 0.0
    noise = np.full((count, SIZE // 2 + 1), 0.05)
    noise[:, 256:] = 0.7
    noise[f0 == 0.0] = 1.0
    return f0, np.full((count, SIZE // 2 + 1), 1e-4), noise


def test_blocks_of_any_size_give_the_whole() -> None:
    f0, envelope, noise = frames(150)
    whole = np.concatenate(made(f0, envelope, noise, 150)[0])
    assert len(whole) == 150 * HOP
    for block in (1, 7, 64):
        parts, _ = made(f0, envelope, noise, block)
        assert np.array_equal(np.concatenate(parts), whole)
    empty = WorldSynthesizer(RATE, HOP, SIZE, np.random.default_rng(0))
    assert len(empty.push(f0[:0], envelope[:0], noise[:0])) == len(empty.finish()) == 0


def test_power_and_pitch_are_those_of_the_frames() -> None:
    f0, envelope, noise = frames(300)
    sound = np.concatenate(made(f0, envelope, noise, 300)[0])
    silent = slice(105 * HOP, 145 * HOP)
    for part in (slice(10 * HOP, 90 * HOP), silent, slice(160 * HOP, 290 * HOP)):
        assert 10 * np.log10(sound[part].var() / 1e-4) == pytest.approx(0.0, abs=1.0)  # flat: a sample's variance
    found = extract_f0(Waveform(sound.astype(np.float32), RATE), HOP, 71.0, 500.0, "dio")
    voiced = (found > 0) & (f0 > 0)
    assert voiced.sum() > 0.8 * (f0 > 0).sum()
    assert float(np.median(np.abs(1200 * np.log2(found[voiced] / f0[voiced])))) < 12.0


def test_equal_draws_make_equal_sounds() -> None:
    f0, envelope, noise = frames(60)
    one, same = (np.concatenate(made(f0, envelope, noise, 60)[0]) for _ in range(2))
    assert np.array_equal(one, same)
    other = WorldSynthesizer(RATE, HOP, SIZE, np.random.default_rng(1))
    assert not np.array_equal(np.concatenate([other.push(f0, envelope, noise), other.finish()]), one)


@pytest.mark.data
def test_a_round_trip_is_as_near_as_pyworlds(recordings) -> None:
    """Specification F2: the envelope of what is made lies within 8 dB of the recording's, and pyworld's does not lie
    nearer by more than half a dB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyworld = pytest.importorskip("pyworld")
    path = sorted((recordings / "vctk-mini").rglob("*.flac"))[0]
    sound = resample(read(path), RATE)
    sound = Waveform(sound.samples[: 3 * RATE // HOP * HOP], RATE)
    f0 = extract_f0(sound, HOP, 71.0, 500.0, "dio")
    every = np.arange(len(f0))
    envelope, noise = (find(sound, f0, every, HOP, SIZE) for find in (envelope_at, aperiodicity_at))
    ours = np.concatenate(made(f0, envelope, noise, 50)[0])
    theirs = pyworld.synthesize(f0.astype(np.float64), envelope, noise, RATE, 1000.0 * HOP / RATE)
    theirs = np.concatenate([np.zeros(HOP // 2), theirs])[: len(ours)]  # pyworld's first frame is at 0
    loud = envelope.sum(axis=1) > np.median(envelope.sum(axis=1))
    errors = []
    for copy in (ours, theirs):
        again = envelope_at(Waveform(copy.astype(np.float32), RATE), f0, every, HOP, SIZE)
        apart = 10 * np.log10(again[loud] / envelope[loud])
        errors.append(float(np.sqrt(np.square(apart).mean())))
    assert errors[0] < min(8.0, errors[1] + 0.5)
    assert float(ours.std()) == pytest.approx(float(theirs.std()), rel=0.1)
