"""Probes and the spectral judge on numbers whose answers are known."""

import numpy as np
import pytest

from moksori.errors import BadInput
from moksori.evaluation.probes import SpectralJudge, linear_probe, mel_clusters, nearer_to_target
from moksori.evaluation.trials import Segment, trial_error_rate, within_files
from moksori.types import Waveform

DRAW = np.random.default_rng(0)


def test_a_probe_reads_what_is_linear_and_no_more() -> None:
    labels = DRAW.integers(0, 4, 1200)
    shown = np.eye(4)[labels] + 0.1 * DRAW.standard_normal((1200, 4))
    mixed = np.concatenate([shown @ DRAW.standard_normal((4, 6)), 100.0 + DRAW.standard_normal((1200, 2))], axis=1)
    found = linear_probe(mixed[:800], labels[:800], mixed[800:], labels[800:])
    assert found.accuracy > 0.98
    assert (found.labels, found.frames) == (4, 400)
    assert found.chance == pytest.approx(np.bincount(labels[800:]).max() / 400)
    noise = DRAW.standard_normal((1200, 6))
    assert linear_probe(noise[:800], labels[:800], noise[800:], labels[800:]).accuracy < 0.4
    # The product of two signs is no linear matter.
    signs = DRAW.choice([-1.0, 1.0], (1200, 2))
    other = (signs.prod(axis=1) > 0).astype(int)
    assert linear_probe(signs[:800], other[:800], signs[800:], other[800:]).accuracy < 0.65


def test_a_probe_repeats_itself_and_judges_unknown_labels_as_errors() -> None:
    labels = np.repeat([3, 9], 50)
    features = labels[:, None] + 0.01 * DRAW.standard_normal((100, 1))
    found = linear_probe(features, labels, np.array([[3.0], [9.0], [9.0], [6.0]]), np.array([3, 9, 9, 7]))
    assert found == linear_probe(features, labels, np.array([[3.0], [9.0], [9.0], [6.0]]), np.array([3, 9, 9, 7]))
    assert (found.accuracy, found.chance) == (0.75, 0.5)
    with pytest.raises(BadInput, match="at least two labels"):
        linear_probe(features, np.zeros(100, int), features, labels)
    with pytest.raises(BadInput, match="test on"):
        linear_probe(features, labels, features[:0], labels[:0])


def test_clusters_are_those_of_the_frames() -> None:
    centres = 4.0 * DRAW.standard_normal((3, 8))
    which = [DRAW.integers(0, 3, size) for size in (40, 60)]
    found = mel_clusters([centres[w] + 0.05 * DRAW.standard_normal((len(w), 8)) for w in which], count=3)
    assert [len(ids) for ids in found] == [40, 60]
    pairs = set(zip(np.concatenate(which).tolist(), np.concatenate(found).tolist(), strict=True))
    assert len(pairs) == 3


def voices(count: int, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Log-mels of speakers with spectra of their own, who say other things in every segment; all say the same way."""
    draw = np.random.default_rng(seed)
    ways = np.random.default_rng(0).standard_normal((3, 20))
    segments, names = [], []
    for speaker in range(count):
        timbre = 0.4 * draw.standard_normal(20)
        for _ in range(4):
            phones = (1.5 * draw.standard_normal((12, 3)) @ ways).repeat(8, axis=0)
            segments.append((timbre + phones + 0.3 * draw.standard_normal(phones.shape)).T)
            names.append(f"s{speaker}")
    return segments, names


def test_the_judge_hears_who_speaks_whatever_is_said() -> None:
    judge = SpectralJudge(*voices(30, 1))
    segments, names = voices(10, 2)
    silent = Waveform(np.zeros(1, np.float32), 16000)
    trials = within_files([Segment(name, "", name, silent) for name in names])
    rate = trial_error_rate(np.stack([judge.embed(segment) for segment in segments]), trials).value
    plain = trial_error_rate(np.stack([s.mean(axis=1) for s in segments]), trials).value
    assert rate < 0.1
    assert plain > rate + 0.1
    with pytest.raises(BadInput, match="two or more segments"):
        SpectralJudge(segments[:2], ["a", "b"])


def test_nearer_to_the_target() -> None:
    one, two = np.array([[1.0, 0.0]] * 4), np.array([[0.0, 1.0]] * 4)
    heard = np.array([[3.0, 1.0], [0.2, 0.1], [1.0, 2.0], [0.0, 5.0]])
    assert nearer_to_target(heard, one, two) == 0.5
    assert nearer_to_target(one, one, two) == 1.0
    assert nearer_to_target(two, one, two) == 0.0
