"""Spectral envelopes of a corpus: made once, kept with their frames, and drawn from all over recordings."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from moksori.audio.world_features import split_energy
from moksori.corpus import features
from moksori.corpus.collate import collate
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus
from moksori.corpus.synthetic import synthetic_examples, write_synthetic
from moksori.errors import CorpusError, MissingExtra
from moksori.pipeline.batches import ExampleBatches
from moksori.types import EnvelopeNeeds, SpeechNeeds

pytest.importorskip("pyworld")
WANTED = EnvelopeNeeds(n_fft=1024, every=4, context=3)
NEEDS = SpeechNeeds(16000, 80, tokens=False, f0=True, f0_method="fast", envelopes=WANTED, stretch_frames=5)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_synthetic(tmp_path_factory.mktemp("tones"), 6, needs=SpeechNeeds(16000, 80), speakers=2).corpus


def test_envelopes_are_made_once(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(corpus, "train", NEEDS)
    for example in first:
        assert example.envelopes is not None and example.envelope_frames is not None  # noqa: PT018
        frames = len(example.waveform) // 80
        assert example.envelope_frames.tolist() == list(range(0, frames, 4))
        assert example.envelopes.shape == (len(example.envelope_frames), 3, 513)
        assert np.abs((10.0 ** example.envelopes.astype(float)).sum(axis=2) - 1.0).max() < 0.01
    monkeypatch.setattr(features, "envelope_groups", lambda *given: pytest.fail("made again"))
    again = prepare(corpus, "train", NEEDS)
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.envelopes, other.envelopes)
    with pytest.raises(CorpusError, match="ask for F0"):
        prepare(corpus, "train", replace(NEEDS, f0=False))


def test_without_pyworld_it_says_what_to_install(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(MissingExtra, match="learning from spectral envelopes needs the package 'pyworld'"):
        prepare(corpus, "train", NEEDS)


def test_other_settings_are_other_envelopes(corpus: Corpus) -> None:
    whole = prepare(corpus, "valid", replace(NEEDS, envelopes=EnvelopeNeeds()))[0]
    gated = prepare(corpus, "valid", replace(NEEDS, envelopes=EnvelopeNeeds(gate_db=20.0)))[0]
    assert whole.envelope_frames is not None and gated.envelope_frames is not None  # noqa: PT018
    assert 0 < len(gated.envelope_frames) < len(whole.envelope_frames) == len(whole.waveform) // 80


def test_a_batch_is_drawn_from_all_over_its_recordings() -> None:
    examples = synthetic_examples(NEEDS, 4, seed=3, speakers=2)
    batches = ExampleBatches(examples, NEEDS, 4, seed=0)
    one, same, other = (batches.batch(step) for step in (0, 0, 1))
    assert one.envelopes is not None and other.envelopes is not None and one.envelope_f0 is not None  # noqa: PT018
    assert one.envelopes.shape == (4, 5, 3, 513)
    assert one.envelope_lengths is not None and one.envelope_lengths.tolist() == [5] * 4  # noqa: PT018
    assert torch.equal(one.envelopes, same.envelopes)
    assert not torch.equal(one.envelopes, other.envelopes)
    assert one.envelope_f0.shape == (4, 5)
    assert set(one.envelope_f0.unique().tolist()) <= {0.0, 120.0, 210.0}
    few = [replace(e, envelopes=e.envelopes[:2], envelope_frames=e.envelope_frames[:2]) for e in examples]
    assert ExampleBatches(few, NEEDS, 4, seed=0).batch(0).envelopes.shape[1] == 5


def test_whole_recordings_are_padded() -> None:
    examples = synthetic_examples(NEEDS, 3, seed=3)
    batch = collate(examples, NEEDS)
    assert batch.envelopes is not None and batch.envelope_lengths is not None  # noqa: PT018
    for row, example in enumerate(examples):
        assert example.envelopes is not None
        own = int(batch.envelope_lengths[row])
        assert own == len(example.envelopes)
        assert not bool(batch.envelopes[row, own:].any())
        assert np.array_equal(batch.envelopes[row, :own].numpy(), example.envelopes.astype(np.float32))
    shape, _ = split_energy(np.ones((1, 513)))
    assert float(batch.envelopes.min()) > float(shape.min()) - 12.0
    with pytest.raises(CorpusError, match="has no envelopes"):
        collate([replace(examples[0], envelopes=None)], NEEDS)
