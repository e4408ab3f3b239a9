"""Files of codes: what is written comes back, says what conversion says, and is refused where it cannot be meant."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from moksori.corpus.synthetic import synthetic_examples
from moksori.errors import BadInput, CheckpointError, MoksoriError, UnknownName, UnsupportedTask
from moksori.models.checkpoint import Loaded, Manifest, load_model, save_model
from moksori.pipeline import code_files
from moksori.pipeline.code_files import CodeStream, load_codes, read_codes, say_codes
from moksori.pipeline.convert import Converter
from moksori.pipeline.run_config import run_config
from moksori.types import Coded, SpeechNeeds, Waveform

SPEAKERS = ("ann", "bob")
SAMPLES = (
    "model.decoder={kind: wavenet, residual_channels: 8, skip_channels: 8, cycles: 1, layers: 5}",
    "model.pitch={hop_length: 64, harmonics: false}",
)


def model_folder(folder: Path, *overrides: str, seed: int = 0) -> Loaded:
    config = run_config("vqvae/tiny", overrides)
    torch.manual_seed(seed)
    model = config.family.model(config.model).eval()
    model.quantizer.start(torch.randn(400, 16), torch.Generator().manual_seed(0))
    settings = config.model.model_dump(mode="json")
    manifest = Manifest(family="vqvae", name="coder", model=settings, speakers=SPEAKERS, sample_rate=16000)
    save_model(folder, model, manifest)
    return load_model(folder)


@pytest.fixture(scope="module")
def speech() -> Waveform:
    examples = synthetic_examples(SpeechNeeds(16000, 64), 2, seed=2)
    return Waveform(np.concatenate([example.waveform for example in examples])[:17000], 16000)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> Loaded:
    return model_folder(tmp_path_factory.mktemp("coder") / "model", *SAMPLES)


def test_written_codes_say_what_conversion_says(loaded, speech, tmp_path) -> None:
    stream = read_codes(loaded, speech)
    read = load_codes(stream.save(tmp_path / "said.codes"))
    assert np.array_equal(read.said.codes, stream.said.codes)
    assert np.array_equal(read.said.melody, stream.said.melody)
    assert (read.said.samples, read.size, read.model) == (17000, 32, stream.model)
    said = say_codes(loaded, read, "bob", seed=4)
    direct = Converter(loaded).convert(speech, speaker="bob", seed=4)
    assert np.array_equal(said.samples, direct.samples)
    assert (said.speaker, said.sample_rate, len(said.samples)) == ("bob", 16000, 17000)


def test_mels_of_codes_go_through_the_vocoder(speech, tmp_path) -> None:
    loaded = model_folder(tmp_path / "mels", "model.pitch=null")
    stream = load_codes(read_codes(loaded, speech).save(tmp_path / "said.codes"))
    assert stream.said.melody is None
    said = say_codes(loaded, stream, "ann", seed=4)
    direct = Converter(loaded).convert(speech, speaker="ann", seed=4)
    np.testing.assert_allclose(said.samples, direct.samples, atol=1e-5)


def test_bits(loaded, speech, tmp_path) -> None:
    stream = read_codes(loaded, speech)
    voiced = int((stream.said.melody[1] > 0).sum())
    assert stream.bits == 5 * 67 + stream.said.melody.shape[1] + 16 * voiced
    assert stream.bits_per_second == pytest.approx(stream.bits / (17000 / 16000))
    plain = CodeStream(Coded(np.arange(32), None, 32 * 256), 32, 256, 16000, "x", "x")
    assert plain.bits_per_second == 5 * 62.5
    assert plain.use.bits_per_second == pytest.approx(5 * 62.5)
    path = plain.save(tmp_path / "plain.codes")
    assert len(path.read_bytes().split(b"\n", 2)[2]) == 20  # 32 codes of 5 bits


@pytest.mark.parametrize("size", [2, 3, 256, 1000])
def test_codes_of_any_size_come_back(size, tmp_path) -> None:
    codes = np.random.default_rng(0).integers(0, size, 1001)
    stream = CodeStream(Coded(codes, None, 256 * 1001), size, 256, 16000, "model", "name")
    assert np.array_equal(load_codes(stream.save(tmp_path / "x.codes")).said.codes, codes)


def test_codes_of_another_model_are_refused(loaded, speech, tmp_path) -> None:
    other = model_folder(tmp_path / "other", *SAMPLES, seed=1)
    stream = read_codes(loaded, speech)
    with pytest.raises(CheckpointError, match=r"of the model coder .* mean nothing to coder"):
        say_codes(other, stream, "bob")
    with pytest.raises(UnknownName, match="unknown speaker 'bobb': did you mean 'bob'"):
        say_codes(loaded, stream, "bobb")


def test_a_model_without_codes(toy_folder, speech) -> None:
    with pytest.raises(UnsupportedTask, match=r"a 'toy' model has no codes: use one of .*vqvae"):
        read_codes(load_model(toy_folder), speech)


def test_files_that_are_none(loaded, speech, tmp_path, monkeypatch) -> None:
    stream = read_codes(loaded, speech)
    with pytest.raises(BadInput, match=r"ends in \.codes: x\.codes"):
        stream.save(tmp_path / "x.bin")
    with pytest.raises(CheckpointError, match=r"no such file.*: check the name"):
        load_codes(tmp_path / "none.codes")
    path = stream.save(tmp_path / "x.codes")
    whole = path.read_bytes()
    first, header, payload = whole.split(b"\n", 2)
    told = json.loads(header)
    broken = {
        "no file of codes": b"RIFF",
        "does not say what made it": first + b"\n{}\n" + payload,
        "damaged or cut off": whole[:-1],
        "out of range": first + b"\n" + json.dumps(told | {"samples": 0}).encode() + b"\n" + payload,
    }
    for words, content in broken.items():
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=words):
            load_codes(path)
    for cut in (payload[:3], payload + b"x"):
        path.write_bytes(first + b"\n" + header + b"\n" + cut)
        with pytest.raises(CheckpointError, match="damaged or cut off"):
            load_codes(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(MoksoriError, match="no space left on device"):
        stream.save(tmp_path / "full.codes")
    assert not list(tmp_path.glob("*full*"))


def test_an_hour_at_most(loaded, speech, monkeypatch) -> None:
    monkeypatch.setattr(code_files, "MAXIMUM_SECONDS", 1.0)
    with pytest.raises(BadInput, match="1 s at most become codes at once: cut it"):
        read_codes(loaded, speech)
