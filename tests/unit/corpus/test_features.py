"""Preparing examples, and the cache: found, stale, broken, absent."""

import dataclasses
import logging

import numpy as np
import pytest

from moksori.corpus import Corpus, features
from moksori.corpus.features import prepare
from moksori.corpus.manifest import rewrite
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import CorpusError
from moksori.text.tokenizer import TextConfig
from moksori.types import SpeechNeeds

NEEDS = SpeechNeeds(16000, 200, f0=True)


@pytest.fixture
def made(tmp_path):
    return write_synthetic(tmp_path / "tones", count=4, seed=0, needs=NEEDS)


@pytest.fixture
def counted(monkeypatch):
    """How often recordings were decoded and F0 measured."""
    calls = {"read": 0, "f0": 0}

    def read(utterance, rate):
        calls["read"] += 1
        return features_read(utterance, rate)

    def f0(waveform, hop, *limits, **settings):
        calls["f0"] += 1
        return features_f0(waveform, hop, *limits, **settings)

    features_read, features_f0 = features.read_utterance, features.extract_f0
    monkeypatch.setattr(features, "read_utterance", read)
    monkeypatch.setattr(features, "extract_f0", f0)
    return calls


def same(first, second):
    return all(
        np.array_equal(a.waveform, b.waveform) and np.array_equal(a.tokens, b.tokens) and np.array_equal(a.f0, b.f0)
        for a, b in zip(first, second, strict=True)
    )


def test_examples_have_what_was_asked_for(made):
    (example, *_) = prepare(made.corpus, "train", SpeechNeeds(22050, 256, tokens=False))
    assert (example.tokens, example.stress, example.f0, example.durations) == (None, None, None, None)
    assert example.waveform.dtype == np.float32
    assert len(example.waveform) % 256 == 0
    assert 0 <= example.utterance.duration_seconds * 22050 - len(example.waveform) < 257
    (example, *_) = prepare(made.corpus, "train", NEEDS)
    assert len(example.f0) == len(example.waveform) // 200
    assert example.f0.dtype == np.float32
    assert example.tokens.dtype == example.stress.dtype == np.int64


def test_the_second_time_everything_comes_from_the_cache(made, counted):
    first = prepare(made.corpus, "train", NEEDS)
    assert counted == {"read": 4, "f0": 4}
    seen = []
    second = prepare(Corpus.open(made.corpus.folder), "train", NEEDS, progress=lambda d, t: seen.append((d, t)))
    assert counted == {"read": 4, "f0": 4}
    assert same(first, second)
    assert seen[-1] == (12, 12)


def test_processes_find_the_same_pitch_as_threads(made, monkeypatch):
    threads = prepare(made.corpus, "train", NEEDS)
    monkeypatch.setattr(features, "PROCESSES_FROM", 1)
    monkeypatch.setattr(features, "CACHE_VERSION", 1000)  # nothing is found in the cache
    assert same(threads, prepare(made.corpus, "train", NEEDS))


def test_other_settings_have_their_own_cache(made, counted):
    prepare(made.corpus, "train", NEEDS)
    prepare(made.corpus, "train", SpeechNeeds(16000, 256, f0=True))
    prepare(made.corpus, "train", NEEDS)
    assert counted == {"read": 8, "f0": 8}


def test_a_changed_recording_is_never_read_from_the_cache(made, counted):
    before = prepare(made.corpus, "train", NEEDS)
    path = made.corpus.split("train")[0].audio
    content = path.read_bytes()
    other = made.corpus.split("train")[1].audio.read_bytes()
    path.write_bytes(other)
    after = prepare(made.corpus, "train", NEEDS)
    assert counted["read"] == 8
    assert not np.array_equal(before[0].waveform[:4000], after[0].waveform[:4000])
    path.write_bytes(content)  # the old bytes at a new time: read again, for nobody compares them
    assert same(prepare(made.corpus, "train", NEEDS), before)


def test_a_changed_text_or_text_setting_gives_new_tokens(made, counted):
    before = prepare(made.corpus, "train", NEEDS)
    items = made.corpus.split("train")
    items[0] = dataclasses.replace(items[0], text="Something else entirely.")
    rewrite(made.corpus.folder, made.corpus.info, {"train": items})
    after = prepare(Corpus.open(made.corpus.folder), "train", NEEDS)
    assert not np.array_equal(before[0].tokens, after[0].tokens)
    assert np.array_equal(before[1].tokens, after[1].tokens)
    spaced = prepare(made.corpus, "train", NEEDS, TextConfig(blanks=True))
    assert len(spaced[1].tokens) == 2 * len(before[1].tokens) + 1
    assert counted["read"] == 4  # texts have nothing to do with the waveforms


def test_new_code_of_the_front_end_makes_the_cache_stale(made, counted, monkeypatch):
    prepare(made.corpus, "train", NEEDS)
    monkeypatch.setattr(features, "front_end", lambda kind: f"newer {kind}")
    prepare(made.corpus, "train", NEEDS)
    assert counted == {"read": 8, "f0": 8}


@pytest.mark.parametrize("damage", ["bit", "truncated", "empty", "text"])
def test_a_broken_cache_is_made_again(made, counted, damage, caplog):
    before = prepare(made.corpus, "train", NEEDS)
    (path,) = made.corpus.folder.glob("features/waveform-*/train.safetensors")
    content = bytearray(path.read_bytes())
    content[-20] ^= 0x10
    path.write_bytes(
        {"bit": bytes(content), "truncated": bytes(content[:-500]), "empty": b"", "text": b"hello"}[damage]
    )
    with caplog.at_level(logging.WARNING):
        after = prepare(made.corpus, "train", NEEDS)
    assert counted["read"] == 8
    assert same(before, after)
    assert "made again" in caplog.text
    prepare(made.corpus, "train", NEEDS)
    assert counted["read"] == 8


def test_a_corpus_that_cannot_be_written_is_used_without_a_cache(made, caplog):
    (made.corpus.folder / "features").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert len(prepare(made.corpus, "train", NEEDS)) == 4
    assert "not cached" in caplog.text


def test_durations_are_checked(made):
    needs = dataclasses.replace(NEEDS, durations=True)
    name = made.corpus.split("train")[0].name
    assert prepare(made.corpus, "train", needs, durations=made.durations)[0].durations.dtype == np.int64
    longer = {**made.durations, name: made.durations[name] + 1}
    with pytest.raises(CorpusError, match=f"{name}.*sum to"):
        prepare(made.corpus, "train", needs, durations=longer)
    with pytest.raises(CorpusError, match="durations for"):
        prepare(made.corpus, "train", needs, durations={**made.durations, name: made.durations[name][:-1]})
    negative = made.durations[name].copy()
    negative[:2] += [-negative[0] - 1, negative[0] + 1]
    with pytest.raises(CorpusError, match="sum to"):
        prepare(made.corpus, "train", needs, durations={**made.durations, name: negative})
    with pytest.raises(CorpusError, match="align the corpus first"):
        prepare(made.corpus, "train", needs)


def test_broken_and_missing_recordings_are_named(made):
    path = made.corpus.split("train")[2].audio
    path.write_bytes(b"no audio")
    with pytest.raises(CorpusError, match=r"synthetic_0002.*corpus check"):
        prepare(made.corpus, "train", NEEDS)
    path.unlink()
    with pytest.raises(CorpusError, match=r"synthetic_0002.*missing"):
        prepare(made.corpus, "train", NEEDS)
