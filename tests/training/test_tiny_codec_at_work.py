"""The tiny codec from a corpus to codes, files and figures, by the doors that a person uses."""

from pathlib import Path

import numpy as np
import pytest
import torch

import moksori
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus
from moksori.corpus.synthetic import write_synthetic
from moksori.models.checkpoint import fingerprint, load_model
from moksori.models.contract_latents import CanCompress
from moksori.pipeline.codec import SoundCodec
from moksori.pipeline.codes_of import LearntCodec
from moksori.pipeline.evaluate import evaluate
from moksori.pipeline.progress import no_progress
from moksori.pipeline.train import train
from moksori.types import SpeechNeeds

FEW = (
    "training.max_steps=4", "training.save_every=4", "training.validate_every=4", "training.speak_every=0",
    "training.batch_size=2", "training.log_every=2", "training.device=cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("corpus") / "tones", count=8, seed=5).corpus.folder


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory) -> Path:
    return train("codec/tiny", corpus, tmp_path_factory.mktemp("runs") / "codec", FEW).model


def test_what_was_trained_codes_and_decodes(folder, tmp_path):
    codec = moksori.load(folder)
    assert isinstance(codec, SoundCodec)
    assert isinstance(codec.model, CanCompress)
    sound = (0.1 * np.random.default_rng(0).standard_normal(33_333)).astype(np.float32)
    coded = codec.encode((sound, codec.sample_rate))
    frames = -(-33_333 // codec.model.hop_length)
    assert coded.codes.shape == (codec.stages, frames)
    path = coded.save(tmp_path / "a.mkc")
    bits = coded.codes.size * coded.head.code_bits
    assert bits / 8 <= path.stat().st_size < bits / 8 + 100
    decoded = codec.decode(path)
    assert len(decoded.samples) == 33_333
    whole = codec.model.expand(codec.model.latents(_tensor(coded.codes)))[0, :33_333].numpy()
    np.testing.assert_allclose(decoded.samples, np.clip(whole / np.float32(coded.head.gain), -1, 1), atol=1e-4)


def test_a_moment_and_silence_are_coded_too(folder):
    codec = moksori.load(folder)
    for samples in (1, 199, 200, 201):
        decoded = codec.decode(codec.encode((np.zeros(samples, np.float32), codec.sample_rate)))
        assert len(decoded.samples) == samples
        assert np.isfinite(decoded.samples).all()


def test_a_family_that_learns_from_codes_gets_them(folder, corpus):
    model = load_model(folder).model
    needs = SpeechNeeds(model.sample_rate, model.hop_length, tokens=False, codes_of=str(folder))
    codec, found = LearntCodec.of(needs), Corpus.open(corpus)
    examples = codec.with_codes(prepare(found, "valid", needs), needs, found, "valid", no_progress)
    for example in examples:
        assert example.codes.shape == (model.stages, len(example.waveform) // model.hop_length)
    assert codec.model.codebooks.shape == (model.stages, model.code_count, model.latent_channels)
    assert list(codec.required.values()) == [fingerprint(folder)]


def test_it_is_measured_at_each_bit_rate(folder, corpus):
    report = evaluate(folder, corpus, split="valid", limit=1, measures=["copy"])
    assert report.task == "codec"
    rates = [s.measures["bits_per_second"].value for s in report.systems if "bits_per_second" in s.measures]
    assert rates == sorted(rates)
    assert len(rates) == 3  # 1, 2 and 4 stages


def _tensor(codes: np.ndarray):
    return torch.from_numpy(np.ascontiguousarray(codes))[None]
