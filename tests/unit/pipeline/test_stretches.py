"""Families that learn from short pieces are given short pieces, at places that follow from the step."""

from itertools import pairwise

import numpy as np

from moksori.pipeline.batches import ExampleBatches, of_some_speakers, stretch
from moksori.types import Example, SpeechNeeds, Utterance

HOP = 4


def example(index: int, frames: int, speaker: int = 0) -> Example:
    from pathlib import Path

    utterance = Utterance(f"clip{index}", "", f"speaker{speaker}", "en-us", Path("none.wav"), 0.0, 1.0, 16000)
    ramp = np.arange(frames * HOP, dtype=np.float32)
    return Example(utterance, ramp, speaker, f0=np.arange(frames, dtype=np.float32))


NEEDS = SpeechNeeds(16000, HOP, tokens=False, f0=True, stretch_frames=10)


def test_sound_and_pitch_are_cut_at_the_same_frame() -> None:
    whole = example(0, 50)
    for place in (0.0, 0.37, 0.999999, 1.0):
        cut = stretch(whole, NEEDS, place)
        assert len(cut.waveform) == 10 * HOP
        assert cut.f0 is not None
        assert len(cut.f0) == 10
        assert cut.waveform[0] == cut.f0[0] * HOP
    assert stretch(whole, NEEDS, 0.0).waveform[0] == 0
    assert stretch(whole, NEEDS, 1.0).waveform[-1] == 50 * HOP - 1


def test_a_shorter_recording_stays_whole() -> None:
    short = example(0, 10)
    assert stretch(short, NEEDS, 0.5) is short


def test_batches_repeat_by_step_and_move_between_steps() -> None:
    examples = [example(index, 200) for index in range(4)]
    first, second = (ExampleBatches(examples, NEEDS, 4, seed=1) for _ in range(2))
    assert (first.batch(3).waveform == second.batch(3).waveform).all()
    starts = {float(value) for step in range(10) for value in first.batch(step).waveform[:, 0]}
    assert len(starts) > 20
    assert first.batch(0).waveform.shape[1] == 10 * HOP


def test_speakers_are_balanced_where_asked() -> None:
    examples = [example(index, 20) for index in range(30)] + [example(30, 20, speaker=1)]
    plain = ExampleBatches(examples, NEEDS, 1, seed=1)
    balanced = ExampleBatches(examples, NEEDS, 1, seed=1, speaker_balance=1.0)
    rare = [sum("clip30" in batches.batch(step).names for step in range(100)) for batches in (plain, balanced)]
    assert rare[0] <= 5
    assert rare[1] >= 35


def test_a_smaller_share_of_the_speakers_is_among_a_larger_one_and_keeps_all_that_they_say() -> None:
    examples = [example(index, 20, speaker=index % 10) for index in range(30)]
    shares = [{e.utterance.name for e in of_some_speakers(examples, share)} for share in (0.01, 0.25, 0.5, 1.0)]
    assert [len(names) for names in shares] == [3, 6, 15, 30]
    assert all(less < more for less, more in pairwise(shares))
    assert {e.utterance.name for e in of_some_speakers(examples[::-1], 0.5)} == shares[2]
