"""Where speakers' pitch lies: mean and spread of ln F0, in a trained model's config.json too."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from moksori.corpus.synthetic import synthetic_examples, write_synthetic
from moksori.models.checkpoint import read_manifest
from moksori.pipeline import train as training
from moksori.pipeline.pitch_ranges import pitch_ranges, ranges_of_tracks
from moksori.types import SpeechNeeds

QUICK = (
    "training.batch_size=2", "training.device=cpu", "objective.adversarial_start=null", "objective.alignment=search",
    "objective.window_frames=null", "objective.match_spread=0", "model.prior={kind: token}",
)  # fmt: skip


def test_ranges_know_neither_silence_nor_octave_errors() -> None:
    draw = np.random.default_rng(0)
    low = np.exp(draw.normal(math.log(110.0), 0.15, 4000))
    low[::50] *= 2.9  # a tracker that errs
    low[::7] = 0.0
    tracks = {"low": [low[:1500], low[1500:]], "high": [np.exp(draw.normal(5.4, 0.2, 500))], "mute": [np.zeros(900)]}
    ranges = ranges_of_tracks(tracks)
    assert sorted(ranges) == ["high", "low"]
    assert ranges["low"] == pytest.approx((math.log(110.0), 0.15), abs=0.01)
    assert ranges["high"] == pytest.approx((5.4, 0.2), abs=0.03)


def test_examples_without_f0_or_of_one_speaker_have_none() -> None:
    with_f0, without = SpeechNeeds(22050, 256, f0=True), SpeechNeeds(22050, 256)
    assert pitch_ranges(synthetic_examples(without, 4, 0, speakers=2)) == {}
    assert pitch_ranges(synthetic_examples(with_f0, 4, 0, speakers=1)) == {}
    assert len(pitch_ranges(synthetic_examples(with_f0, 4, 0, speakers=1), alone=True)) == 1
    assert len(pitch_ranges(synthetic_examples(with_f0, 8, 0, speakers=2))) == 2


def test_training_writes_them_into_the_model(tmp_path, monkeypatch) -> None:
    class Exported(Exception):
        pass

    def only_export(objective, batches, validation, settings, folder, watcher, **others) -> None:
        watcher.on_best(objective.model, SimpleNamespace(step=1))
        raise Exported

    monkeypatch.setattr(training, "fit", only_export)
    corpus = write_synthetic(tmp_path / "tones", count=6, seed=4, speakers=2).corpus
    with pytest.raises(Exported):
        training.train("vits/tiny", corpus.folder, run=tmp_path / "run", assignments=QUICK)
    manifest = read_manifest(tmp_path / "run" / "model")
    assert sorted(manifest.speaker_pitch) == sorted(manifest.speakers) == sorted(corpus.info.speakers)
    assert all(4.0 < mean < 6.5 and deviation >= 0.0 for mean, deviation in manifest.speaker_pitch.values())
