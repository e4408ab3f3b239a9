"""The synthetic corpus is what it says: deterministic, with true durations and pitch."""

import numpy as np
import pytest

from moksori.audio.f0 import extract_f0
from moksori.corpus.features import prepare
from moksori.corpus.synthetic import FUNDAMENTALS_HZ, synthetic_examples, write_synthetic
from moksori.types import SpeechNeeds, Waveform

NEEDS = SpeechNeeds(16000, 200, durations=True, f0=True)


def test_examples_repeat_and_seeds_differ():
    first, again, other = (synthetic_examples(NEEDS, 3, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.waveform, b.waveform) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].waveform[:1000], other[0].waveform[:1000])


def test_durations_and_pitch_are_true():
    for example in synthetic_examples(NEEDS, 4, 0, speakers=2):
        frames = len(example.waveform) // NEEDS.hop_length
        assert example.durations.sum() == frames == len(example.f0)
        assert (example.durations > 0).all()
        assert len(example.tokens) == len(example.stress) == len(example.durations)
        measured = extract_f0(Waveform(example.waveform, 16000), 200)
        voiced = (measured > 0) & (example.f0 > 0)
        assert voiced.sum() > 0.7 * (example.f0 > 0).sum()
        assert np.median(measured[voiced]) == pytest.approx(FUNDAMENTALS_HZ[example.speaker], rel=0.02)


def test_symbols_sound_different_and_gaps_are_quiet():
    (example,) = synthetic_examples(NEEDS, 1, 3)
    ends = np.cumsum(example.durations) * NEEDS.hop_length
    level = [np.sqrt((w**2).mean()) for w in np.split(example.waveform, ends[:-1])]
    silent = np.array([example.f0[e // NEEDS.hop_length - 1] == 0 for e in ends])
    assert np.max(np.array(level)[silent]) < 0.05 * np.min(np.array(level)[~silent])


def test_on_disk_it_reads_back_with_its_durations(tmp_path):
    made = write_synthetic(tmp_path / "tones", count=8, seed=5, needs=NEEDS, speakers=2)
    in_memory = {e.utterance.name: e for e in synthetic_examples(NEEDS, 8, 5, speakers=2)}
    assert {s: len(made.corpus.split(s)) for s in made.corpus.splits} == {"train": 4, "valid": 2, "test": 2}
    for split in made.corpus.splits:
        for example in prepare(made.corpus, split, NEEDS, durations=made.durations):
            true = in_memory[example.utterance.name]
            assert np.abs(example.waveform - true.waveform).max() < 1e-4
            assert np.array_equal(example.tokens, true.tokens)
            assert np.array_equal(example.durations, true.durations)
            assert example.speaker == true.speaker
