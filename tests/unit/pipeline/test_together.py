"""Sentences of several streams as one batch: each as it would be alone, and nobody waits for who has gone."""

import numpy as np
import pytest
import torch

from moksori.models.contract import CanSayTogether
from moksori.nn.distributions import RowGenerators, standard_normal
from moksori.pipeline.say import SayOptions, load, readings
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.streaming import SpeechStream
from moksori.pipeline.together import MOST_TOKENS, Together

TEXTS = ("Good morning to you.", "Where did she put it?", "Nobody knows why.", "It was a long winter.")
LONG = "The quick brown fox jumps over the lazy dog, and then it does so again."
TOLERANCE = 0.01
"""At the last frame of a padded sentence, which the inverse STFT makes otherwise; before it, rounding."""


@pytest.fixture(scope="module")
def bundled() -> Speaker:
    return load("kathleen")


def begun(speaker: Speaker, text: str, seed: int, together: Together | None, options=SayOptions()) -> SpeechStream:
    return SpeechStream(speaker, readings(text, "en-us"), options, seed, together=together)


def heard(stream: SpeechStream) -> np.ndarray:
    return np.concatenate(list(stream))


def test_each_sounds_as_it_does_alone(bundled) -> None:
    sizes: list[int] = []
    together = Together(8, sizes.append)
    alone = [begun(bundled, text, seed, None) for seed, text in enumerate(TEXTS)]
    streams = [begun(bundled, text, seed, together) for seed, text in enumerate(TEXTS)]
    for one, other in zip(alone, streams, strict=True):
        wanted, found = heard(one), heard(other)
        assert len(wanted) == len(found)
        assert np.abs(wanted - found).max() < TOLERANCE
        assert np.square(wanted - found).mean() < 1e-4 * np.square(wanted).mean()
        assert one.sentences == other.sentences
    assert sizes == [4]


def test_batches_hold_so_many_and_no_more(bundled) -> None:
    sizes: list[int] = []
    together = Together(3, sizes.append)
    streams = [begun(bundled, text, 0, together) for text in TEXTS]
    heard(streams[3])  # who is asked first goes first, with the two that came first
    assert sizes == [3]
    heard(streams[2])  # alone now: the one left over
    assert sizes == [3]
    heard(streams[0])
    assert sizes == [3]


def test_who_has_gone_and_who_asks_for_something_else_is_not_spoken_for(bundled) -> None:
    sizes: list[int] = []
    together = Together(8, sizes.append)
    one = begun(bundled, TEXTS[0], 0, together)
    gone = begun(bundled, TEXTS[1], 0, together)
    slow = begun(bundled, TEXTS[2], 0, together, SayOptions(speed=0.8))
    longer = begun(bundled, LONG, 0, together)
    long = begun(bundled, "word " * MOST_TOKENS, 0, together)
    gone.close()
    assert len(heard(one))
    assert sizes == []
    assert len(heard(slow))
    assert len(heard(longer))
    assert sizes == []
    long.close()


def test_the_rest_of_a_text_follows(bundled) -> None:
    together = Together(8)
    text = "One. Two, and a little more. Three."
    first, second = begun(bundled, text, 3, together), begun(bundled, TEXTS[0], 1, together)
    found, wanted = heard(first), heard(begun(bundled, text, 3, None))
    assert len(found) == len(wanted)
    assert np.abs(found - wanted).max() < TOLERANCE
    assert len(first.sentences) == 3
    assert len(heard(second))


def test_batches_of_one_are_none(bundled) -> None:
    together = Together(1)
    assert isinstance(bundled.model, CanSayTogether)
    streams = [begun(bundled, text, 0, together) for text in TEXTS[:2]]
    assert np.array_equal(heard(streams[0]), heard(begun(bundled, TEXTS[0], 0, None)))


def test_rows_have_noise_of_their_own() -> None:
    like, lengths = torch.empty(2, 3, 7), torch.tensor([7, 4])
    found = standard_normal(like, RowGenerators([torch.Generator().manual_seed(seed) for seed in (1, 2)]), lengths)
    for row, length in enumerate((7, 4)):
        wanted = standard_normal(torch.empty(1, 3, length), torch.Generator().manual_seed(row + 1))
        assert torch.equal(found[row : row + 1, :, :length], wanted)
    assert float(found[1, :, 4:].abs().max()) == 0.0
