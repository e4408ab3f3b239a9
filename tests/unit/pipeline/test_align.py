"""Alignment of a corpus whose durations are known, its cache, and what is too short."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from moksori.audio.io import write
from moksori.corpus import synthetic
from moksori.corpus.collate import collate
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus, rewrite
from moksori.corpus.synthetic import SyntheticCorpus, write_synthetic
from moksori.errors import CorpusError
from moksori.pipeline import align as module
from moksori.pipeline.align import Alignment, _shortened, align, word_times
from moksori.pipeline.run_config import run_config
from moksori.text.symbols import END, GAP, PAD, START
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import SpeechNeeds, Waveform

NEEDS, TEXT = SpeechNeeds(22050, 256), TextConfig()
QUICK = ("training.max_steps=160", "training.batch_size=8", "objective.uniform_steps=40")


def uneven(target: Path, count: int, seed: int) -> SyntheticCorpus:
    """A synthetic corpus whose tokens last 2 to 16 frames, so that an evenly spread path is far off."""
    made = write_synthetic(target, count, seed)
    draw, durations, splits = np.random.default_rng(seed), {}, {}
    ids = Tokenizer(TEXT).ids
    silent = [ids[symbol] for symbol in (PAD, GAP, START, END, ".")]
    for split in made.corpus.splits:
        splits[split] = []
        for example in prepare(made.corpus, split, NEEDS, TEXT):
            frames = draw.integers(2, 17, len(example.tokens))
            pitch = np.where(np.isin(example.tokens, silent), 0.0, 120.0)
            waveform = synthetic._tones(example.tokens, frames, pitch, NEEDS, draw)
            write(example.utterance.audio, Waveform(waveform, NEEDS.sample_rate))
            durations[example.utterance.name] = frames
            seconds = len(waveform) / NEEDS.sample_rate
            splits[split].append(dataclasses.replace(example.utterance, duration_seconds=seconds))
    rewrite(target, made.corpus.info, splits)
    return SyntheticCorpus(Corpus.open(target), durations)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[SyntheticCorpus, Alignment]:
    corpus = uneven(tmp_path_factory.mktemp("aligned") / "corpus", count=40, seed=3)
    seen: list[tuple[int, int]] = []
    alignment = align(corpus.corpus, NEEDS, TEXT, assignments=QUICK, progress=lambda d, t: seen.append((d, t)))
    assert seen[0] == (1, 160)
    assert seen[-1] == (160, 160)
    return corpus, alignment


def test_most_boundaries_are_found_within_two_frames(made) -> None:
    corpus, alignment = made
    errors, even = [], []
    for split in ("train", "valid"):
        for utterance in corpus.corpus.split(split):
            truth, found = corpus.durations[utterance.name], alignment.durations[utterance.name]
            assert len(found) == len(truth)
            assert found.sum() == truth.sum()
            ends = np.cumsum(truth)
            errors.append(np.abs(np.cumsum(found) - ends)[:-1])
            even.append(np.abs(np.arange(1, len(ends) + 1) * ends[-1] / len(ends) - ends)[:-1])
    within, by_chance = (float(np.mean(np.concatenate(part) <= 2)) for part in (errors, even))
    assert within > 0.65  # 0.77 when this was written; a minute on more clips does better
    assert by_chance < 0.25
    assert alignment.too_short == ()
    assert set(alignment.misfit) == set(alignment.durations)
    assert all(0 <= value < 2 for value in alignment.misfit.values())


def test_a_second_call_reads_what_the_first_has_kept(made, monkeypatch) -> None:
    corpus, alignment = made
    monkeypatch.setattr(module, "fit", lambda *a, **k: pytest.fail("it was learnt again"))
    again = align(corpus.corpus, NEEDS, TEXT, assignments=QUICK)
    assert list(again.durations) == list(alignment.durations)
    for name, durations in alignment.durations.items():
        assert np.array_equal(again.durations[name], durations)
        assert again.misfit[name] == pytest.approx(alignment.misfit[name], rel=1e-6)
    kept = sorted(path.name for path in (corpus.corpus.folder / "alignment").iterdir())
    assert [path.endswith(".safetensors") for path in kept] == [True, True]
    assert [path.startswith("aligner-") for path in kept] == [False, True]


def test_the_aligner_is_found_again_and_gives_the_kept_durations(made, monkeypatch) -> None:
    corpus, alignment = made
    monkeypatch.setattr(module, "fit", lambda *a, **k: pytest.fail("it was learnt again"))
    aligner = module.trained_aligner(corpus.corpus, NEEDS, TEXT, assignments=QUICK)
    examples = prepare(corpus.corpus, "valid", NEEDS, TEXT)
    frames = aligner.align(collate(examples, NEEDS))
    for example, row in zip(examples, frames, strict=True):
        assert np.array_equal(row[: len(example.tokens)].numpy(), alignment.durations[example.utterance.name])


def test_new_code_of_the_front_end_is_aligned_anew(made, monkeypatch) -> None:
    settings = [made[0].corpus, ("train",), {}, ""]
    before = module._key(*settings)
    assert module._key(*settings) == before
    monkeypatch.setattr(module, "front_end", lambda kind: f"newer {kind}")
    assert module._key(*settings) != before


def test_broken_or_other_settings_are_made_again(made, caplog) -> None:
    corpus, alignment = made
    few = (*QUICK, "training.max_steps=2")
    folder = corpus.corpus.folder / "alignment"
    before = set(folder.iterdir())
    align(corpus.corpus, NEEDS, TEXT, assignments=few)
    path, aligner = sorted(set(folder.iterdir()) - before, key=lambda p: p.name.startswith("aligner-"))
    whole = [path.read_bytes(), aligner.read_bytes()]
    for broken in (path, aligner):
        broken.write_bytes(broken.read_bytes()[:1000])
    again = align(corpus.corpus, NEEDS, TEXT, assignments=few)
    assert "broken alignment, made again" in caplog.text
    assert "broken aligner, made again" in caplog.text
    assert [path.read_bytes(), aligner.read_bytes()] == whole  # equal seeds, equal weights, equal alignment
    assert set(again.durations) == set(alignment.durations)


def test_recordings_too_short_for_their_text_are_named(tmp_path, monkeypatch) -> None:
    corpus = write_synthetic(tmp_path / "corpus", count=6, seed=4)
    name = corpus.corpus.split("train")[0].name
    states = module.fewest_frames
    monkeypatch.setattr(module, "fewest_frames", lambda m, e: 10_000 if e.utterance.name == name else states(m, e))
    alignment = align(corpus.corpus, NEEDS, TEXT, assignments=(*QUICK, "training.max_steps=1"))
    assert alignment.too_short == (name,)
    assert name not in alignment.durations
    monkeypatch.setattr(module, "fewest_frames", lambda m, e: 10_000)
    with pytest.raises(CorpusError, match="every recording is too short for its text"):
        align(corpus.corpus, NEEDS, TEXT, assignments=(*QUICK, "training.max_steps=3"))


def test_small_corpora_take_fewer_steps() -> None:
    config = run_config("aligner/compact")
    steps = {clips: _shortened(config, clips).training.max_steps for clips in (1, 100, 400, 1300, 20_000)}
    assert steps == {1: 300, 100: 300, 400: 500, 1300: 1500, 20_000: 1500}


def test_words_have_times(made) -> None:
    corpus, _ = made
    example = prepare(corpus.corpus, "train", NEEDS, TEXT)[0]
    durations = corpus.durations[example.utterance.name]
    words = word_times(example, durations, TEXT, NEEDS)
    assert [word.lower() for word, _, _ in words] == example.utterance.text.rstrip(".").lower().split()
    assert all(start < end for _, start, end in words)
    assert all(one[2] <= two[1] + 1e-9 for one, two in itertools.pairwise(words))
    assert words[-1][2] <= len(example.waveform) / 22050
