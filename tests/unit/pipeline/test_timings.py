"""`moksori corpus align`: word times of a corpus of tones, whose boundaries are known."""

import json
from pathlib import Path

import numpy as np
import pytest

from moksori.cli.main import main
from moksori.corpus.segment import read_word_times
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import CorpusError
from moksori.pipeline.timings import align_words
from moksori.text.tokenizer import Tokenizer
from moksori.types import SpeechNeeds

SHORT = ["training.device=cpu", "training.max_steps=150", "training.batch_size=4"]


def test_word_times_lie_at_the_true_boundaries_and_are_found_again(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "tones", count=14, needs=SpeechNeeds(16000, 200))
    timings = align_words(tmp_path / "tones", preset="aligner/tiny", assignments=SHORT)
    assert timings.path == tmp_path / "tones" / "alignment" / "words.json"
    assert set(timings.words) == set(made.durations)
    assert not timings.too_short
    misfits = [misfit for _, misfit in timings.worst]
    assert misfits == sorted(misfits, reverse=True)
    assert len(misfits) == 14
    errors = []
    for utterance, _ in timings.worst:
        ends = np.concatenate([[0], np.cumsum(made.durations[utterance.name])]) * 200 / 16000
        words = Tokenizer().encode(utterance.text).words
        found = timings.words[utterance.name]
        assert [word for word, _, _ in found] == [word.text for word in words]
        errors += [abs(a - ends[w.start_token]) for (_, a, _), w in zip(found, words, strict=True)]
    assert np.median(errors) <= 0.025
    stored = read_word_times(timings.path)  # in the form that `corpus split --words` reads
    name, times = next(iter(timings.words.items()))
    assert [t[0] for t in stored[name]] == [t[0] for t in times]
    np.testing.assert_allclose([t[1:] for t in stored[name]], [t[1:] for t in times], atol=1e-4)
    steps: list[int] = []
    again = align_words(
        tmp_path / "tones",
        tmp_path / "other.json",
        "aligner/tiny",
        SHORT,
        progress=lambda done, total: steps.append(done),
    )
    assert again.words == timings.words
    assert steps == []
    assert (tmp_path / "other.json").read_bytes() == timings.path.read_bytes()


def test_the_verb_shows_the_worst_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_synthetic(tmp_path / "tones", count=6, needs=SpeechNeeds(16000, 200))
    out = tmp_path / "times.json"
    arguments = ["corpus", "align", str(tmp_path / "tones"), "training.max_steps=3", "training.device=cpu"]
    assert main([*arguments, "--preset", "aligner/forward_sum_tiny", "--out", str(out), "--show", "2"]) == 0
    printed = capsys.readouterr().out
    assert "6 recordings aligned, median misfit" in printed
    assert f"wrote {out}" in printed
    assert printed.count("synthetic_") == 2
    assert len(json.loads(out.read_text())) == 6


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        align_words(tmp_path)
