"""Collating and sampling."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.corpus.collate import collate
from moksori.corpus.sampler import BucketSampler
from moksori.corpus.synthetic import synthetic_examples
from moksori.errors import CorpusError
from moksori.types import SpeechNeeds

NEEDS = SpeechNeeds(16000, 200, durations=True, f0=True)


def test_a_batch_is_the_padded_examples():
    examples = synthetic_examples(NEEDS, 3, 0, speakers=2)
    batch = collate(examples, NEEDS)
    longest = max(len(e.waveform) for e in examples)
    assert batch.waveform.shape == (3, longest)
    assert batch.f0.shape == (3, longest // 200)
    assert batch.names == tuple(e.utterance.name for e in examples)
    assert batch.speaker.tolist() == [0, 1, 0]
    assert batch.waveform_lengths.dtype == batch.tokens.dtype == torch.int64
    for row, example in enumerate(examples):
        length, tokens = len(example.waveform), len(example.tokens)
        assert np.array_equal(batch.waveform[row, :length], example.waveform)
        assert not batch.waveform[row, length:].any()
        assert batch.token_lengths[row] == tokens
        assert np.array_equal(batch.stress[row, :tokens], example.stress)
        assert not batch.tokens[row, tokens:].any()
        assert batch.durations[row].sum() == length // 200


def test_a_batch_has_only_what_is_needed():
    batch = collate(synthetic_examples(NEEDS, 2, 0), SpeechNeeds(16000, 200, tokens=False))
    assert (batch.tokens, batch.token_lengths, batch.durations, batch.f0) == (None, None, None, None)


def test_examples_that_do_not_fit_are_named():
    bare = synthetic_examples(SpeechNeeds(16000, 200), 1, 0)
    with pytest.raises(CorpusError, match=r"synthetic_0000.*no durations"):
        collate(bare, NEEDS)
    with pytest.raises(CorpusError, match="whole frames of 256"):
        collate(bare, SpeechNeeds(16000, 256))
    with pytest.raises(CorpusError, match="empty batch"):
        collate([], NEEDS)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=80),
    st.integers(1, 20),
    st.integers(0, 2**40),
    st.integers(0, 3),
)
def test_every_item_comes_once_an_epoch(lengths, batch_size, seed, epoch):
    sampler = BucketSampler(lengths, batch_size, seed)
    first = epoch * sampler.batches_per_epoch
    batches = [sampler.indices(first + place) for place in range(sampler.batches_per_epoch)]
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert max(map(len, batches)) <= batch_size
    assert max(map(len, batches)) - min(map(len, batches)) <= 1


def test_a_step_is_a_pure_function_of_seed_and_step():
    lengths = np.random.default_rng(0).integers(50, 900, 203).tolist()
    ordered = BucketSampler(lengths, 16, seed=7)
    straight = [ordered.indices(step) for step in range(60)]
    jumping = BucketSampler(lengths, 16, seed=7)
    assert {step: jumping.indices(step) for step in (59, 3, 30, 0)} == {s: straight[s] for s in (59, 3, 30, 0)}
    assert [BucketSampler(lengths, 16, seed=8).indices(step) for step in range(60)] != straight
    assert straight[:13] != straight[13:26]


def test_batches_hold_similar_lengths():
    lengths = np.random.default_rng(0).integers(50, 900, 400)
    sampler = BucketSampler(lengths.tolist(), 16, seed=0)
    batches = [lengths[sampler.indices(step)] for step in range(sampler.batches_per_epoch)]
    padded = sum(len(batch) * batch.max() for batch in batches) / lengths.sum()
    assert padded < 1.2  # unsorted batches of this corpus: about 1.75
    assert len({tuple(sorted(sampler.indices(step))) for step in range(75)}) > 70  # epochs mix the neighbours


def test_impossible_samplers_are_refused():
    for lengths, size in (([], 4), ([3], 0), ([3, 0], 4)):
        with pytest.raises(CorpusError):
            BucketSampler(lengths, size, seed=0)
