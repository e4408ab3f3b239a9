"""Training on a codec's codes: made once, kept under the codec's fingerprint, cut and padded like the sound."""

import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from moksori.config import Config
from moksori.corpus.collate import collate
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import ConfigError, CorpusError, MoksoriError, UnknownName, UnsupportedTask
from moksori.models import registry
from moksori.models.checkpoint import fingerprint, load_model, read_manifest
from moksori.models.contract import Family, Objective, Update
from moksori.pipeline import codes_of
from moksori.pipeline.batches import ExampleBatches
from moksori.pipeline.codes_of import LearntCodec
from moksori.pipeline.progress import no_progress
from moksori.pipeline.train import Listener, train
from moksori.types import SpeechNeeds


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("corpus") / "tones", count=6, seed=5).corpus.folder


@pytest.fixture
def corpus(corpus_folder, tmp_path) -> Corpus:
    """With a cache of its own."""
    shutil.copytree(corpus_folder, tmp_path / "tones")
    return Corpus.open(tmp_path / "tones")


NEEDS = SpeechNeeds(8000, 20, tokens=False, codes_of="small")


def test_codes_are_the_codec_s_and_are_made_once(corpus, codec_folder, codec_family, monkeypatch):
    monkeypatch.setattr(codes_of, "_PROBE_SAMPLES", 400)
    examples = prepare(corpus, "train", NEEDS)
    codec, told = LearntCodec.of(NEEDS), []
    made = codec.with_codes(examples, NEEDS, corpus, "train", lambda done, of: told.append((done, of)))
    model = load_model(codec_folder).model
    for example in made:
        expected = model.compress(torch.from_numpy(example.waveform)[None])[0]
        assert example.codes.shape == (3, len(example.waveform) // 20)
        assert np.array_equal(example.codes, expected.numpy())
    assert told[-1] == (len(made), len(made))
    files = list((corpus.folder / "features").glob("codes-*/train.safetensors"))
    assert len(files) == 1
    frames = sum(e.codes.shape[1] for e in made)
    assert files[0].stat().st_size < 2 * 3 * frames + 2000  # uint16
    own, asked = codec_family.SmallCodec.compress, []
    monkeypatch.setattr(codec_family.SmallCodec, "compress", lambda self, x, *more: asked.append(x) or own(self, x))
    again = codec.with_codes(examples, NEEDS, corpus, "train", no_progress)
    assert all(np.array_equal(a.codes, b.codes) for a, b in zip(again, made, strict=True))
    assert [x.shape for x in asked] == [(1, 400)]  # a look at whether the codec still is what it was


def test_other_weights_and_other_code_make_other_codes(corpus, codec_folder, codec_family, tmp_path, monkeypatch):
    examples = prepare(corpus, "valid", NEEDS)

    def made(needs: SpeechNeeds) -> list[np.ndarray]:
        return [e.codes for e in LearntCodec.of(needs).with_codes(examples, needs, corpus, "valid", no_progress)]

    first = made(NEEDS)
    two = codec_family.save_codec(tmp_path / "two", stages=2)
    second = made(SpeechNeeds(8000, 20, tokens=False, codes_of=str(two)))
    assert second[0].shape[0] == 2
    assert len(list((corpus.folder / "features").glob("codes-*"))) == 2
    own = codec_family.SmallCodec.compress
    monkeypatch.setattr(codec_family.SmallCodec, "compress", lambda self, *a: (own(self, *a) + 1) % 1000)
    third = made(NEEDS)  # the same weights, read by other code
    assert all(np.array_equal((a + 1) % 1000, b) for a, b in zip(first, third, strict=True))


def test_batches_hold_the_codes_of_their_stretch(corpus, codec_folder):
    needs = SpeechNeeds(8000, 20, tokens=False, codes_of="small", stretch_frames=30)
    examples = LearntCodec.of(needs).with_codes(prepare(corpus, "train", needs), needs, corpus, "train", no_progress)
    batches = ExampleBatches(examples, needs, 3, seed=0)
    model = load_model(codec_folder).model
    for step in range(3):
        batch = batches.batch(step)
        assert batch.codes.dtype == torch.int64
        assert torch.equal(batch.codes, model.compress(batch.waveform))
    whole = collate(examples, SpeechNeeds(8000, 20, tokens=False, codes_of="small"))
    assert whole.codes.shape == (len(examples), 3, whole.waveform.shape[1] // 20)
    for row, length in zip(whole.codes, (whole.waveform_lengths // 20).tolist(), strict=True):
        assert not row[:, length:].any()
    with pytest.raises(CorpusError, match="has no codes"):
        collate(prepare(corpus, "valid", NEEDS), NEEDS)


def test_what_makes_no_fitting_codes_is_refused(codec_folder, codec_family, toy_family, tmp_path):
    with pytest.raises(
        ConfigError, match=r"model\.codec=small: has 8000 Hz and a hop of 20 samples, the model .* and 40"
    ):
        LearntCodec.of(SpeechNeeds(8000, 40, codes_of="small"))
    with pytest.raises(UnknownName, match="unknown model 'nobody'"):
        LearntCodec.of(SpeechNeeds(8000, 20, codes_of="nobody"))
    toy = toy_family.save_toy(tmp_path / "toy")
    with pytest.raises(UnsupportedTask, match="a 'toy' model is no codec"):
        LearntCodec.of(SpeechNeeds(8000, 20, codes_of=str(toy)))


def test_a_codec_that_drops_frames_is_told(corpus, codec_folder, codec_family, monkeypatch):
    own = codec_family.SmallCodec.compress
    monkeypatch.setattr(codec_family.SmallCodec, "compress", lambda self, *a: own(self, *a)[:, :, 1:])
    with pytest.raises(MoksoriError, match=r"small: made codes of shape \[3, \d+\] of \w+, which has \d+ frames of 3"):
        LearntCodec.of(NEEDS).with_codes(prepare(corpus, "valid", NEEDS), NEEDS, corpus, "valid", no_progress)


class LearnerConfig(Config):
    """Of a model that learns how often each code comes."""

    codec: str = ""


class Learner(nn.Module):
    def __init__(self, config: LearnerConfig) -> None:
        super().__init__()
        self.config = config
        self.level = nn.Parameter(torch.zeros(3))
        self.register_buffer("books", torch.zeros(3, 1000, 20))


class LearnerObjective(Objective):
    def __init__(self, model, config) -> None:
        super().__init__(model)

    def take_codec(self, codec):
        self.model.books.copy_(codec.codebooks)

    def updates(self, batch, step, generator=None):
        assert bool(self.model.books.any())
        mean = batch.codes.float().mean(dim=(0, 2)) / 1000
        yield Update("model", {"distance": (self.model.level - mean).square().sum()}, {"distance": 1.0})


def test_training_gets_codes_and_codebooks_and_names_the_codec(corpus, codec_folder, codec_family, tmp_path):
    module = types.ModuleType("moksori_learner")
    module.FAMILY = Family(
        "learner", LearnerConfig, Config, Learner, LearnerObjective,
        lambda m, o: SpeechNeeds(8000, 20, tokens=False, codes_of=m.codec), "for tests",
    )  # fmt: skip
    sys.modules["moksori_learner"] = module
    registry._MODULES["learner"] = "moksori_learner"
    preset = tmp_path / "learner.yaml"
    preset.write_text("family: learner\nmodel: {codec: small}\n")
    few = (
        "training.max_steps=4", "training.save_every=2", "training.validate_every=2", "training.speak_every=0",
        "training.batch_size=2", "training.log_every=1", "training.device=cpu",
    )  # fmt: skip
    stages = []
    result = train(preset, corpus.folder, tmp_path / "run", few, listener=Listener(stage=stages.append))
    assert result.finished
    assert stages.count("coding") == 2  # of both splits
    assert read_manifest(result.model).requires == {"small": fingerprint(codec_folder)}
    model = load_model(result.model).model
    assert torch.equal(model.books, codes_of.LearntCodec.of(NEEDS).model.codebooks)
    resumed = train(None, None, tmp_path / "run", ("training.max_steps=6",), resume=True)
    assert resumed.state.step == 6
