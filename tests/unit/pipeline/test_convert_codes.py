"""`moksori convert` with a model of codes: through a vocoder, live, and with input that cannot be used."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from moksori.audio.io import read, write
from moksori.cli.main import app
from moksori.corpus.synthetic import synthetic_examples
from moksori.errors import AudioError, BadInput, UnsupportedTask
from moksori.models.checkpoint import Manifest, save_model
from moksori.pipeline.conversion_ways import imitating_families, table_families
from moksori.pipeline.convert import Converter, find_converter
from moksori.pipeline.run_config import run_config
from moksori.types import SpeechNeeds, Waveform


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Mels for the bundled vocoder."""
    config = run_config("vqvae/tiny")
    torch.manual_seed(0)
    model = config.family.model(config.model).eval()
    settings = config.model.model_dump(mode="json")
    manifest = Manifest(family="vqvae", name="coder", model=settings, speakers=("ann", "bob"), sample_rate=16000)
    target = tmp_path_factory.mktemp("coder") / "model"
    save_model(target, model, manifest)
    return target


@pytest.fixture(scope="module")
def converter(folder) -> Converter:
    return find_converter(folder)


@pytest.fixture(scope="module")
def talk(tmp_path_factory) -> Path:
    examples = synthetic_examples(SpeechNeeds(16000, 64), 2, seed=2)
    samples = np.concatenate([example.waveform for example in examples])[:16011]
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    write(path, Waveform(samples, 16000))
    return path


def run(*words: object):
    return CliRunner().invoke(app, ["convert", *map(str, words)])


def test_families_that_take_a_speaker_or_a_recording() -> None:
    assert "vqvae" in table_families()
    assert "vqvae" not in imitating_families()


def test_one_command_converts(folder, talk, tmp_path) -> None:
    found = run(talk, "--speaker", "bob", "--model", folder, "-o", tmp_path / "out.wav", "--seed", "3")
    assert found.exit_code == 0, found.output
    assert "1.00 s, to bob" in found.output
    moved = run(talk, "--speaker", "bob", "--model", folder, "-o", tmp_path / "up.wav", "--seed", "3", "--pitch", "3")
    assert moved.exit_code == 0, moved.output
    assert (tmp_path / "up.wav").read_bytes() != (tmp_path / "out.wav").read_bytes()


def test_live_is_the_whole(converter, talk) -> None:
    # Loud throughout, so that the running level soon stands.
    sound = read(talk).samples
    whole = converter.convert((sound, 16000), speaker="bob", seed=3)
    assert len(whole.samples) == len(sound)
    live = converter.live(iter(np.array_split(sound, 7)), 16000, speaker="bob", seed=3)
    made = np.concatenate(list(live))
    assert len(made) == len(sound)
    assert 0.75 < live.delay_seconds < 3.0
    assert np.isfinite(made).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--speaker", "bobb"], "unknown speaker 'bobb': did you mean 'bob'"),
        (["--speaker", "bob", "--source", "carl"], "unknown speaker 'carl'"),
        (["--like", "talk.wav"], "imitates no voice of a recording"),
        (["--speaker", "bob", "--strength", "0.5"], "leave the strength out"),
        (["--speaker", "bob", "--key", "auto"], "knows no key"),
        (["--speaker", "bob", "--vocoder", "kathleen"], "is no vocoder"),
        (["--speaker", "bob", "--pitch", "40"], "expected a number from -12 to 12"),
    ],
)
def test_what_cannot_be_asked(folder, talk, tmp_path, options, words) -> None:
    found = run(talk, *options, "--model", folder, "-o", tmp_path / "out.wav")
    assert isinstance(found.exception, BadInput)
    assert words in str(found.exception)
    assert not (tmp_path / "out.wav").exists()


def sounds() -> dict[str, tuple[np.ndarray, int, str]]:
    draw = np.random.default_rng(0)
    noise = 0.1 * draw.standard_normal(16000)
    time = np.arange(96000) / 96000
    stereo = np.stack([np.sin(2 * np.pi * 220 * time), np.sin(2 * np.pi * 330 * time)], axis=1) * 0.3
    return {
        "unvoiced": (noise, 16000, ""),
        "clipped": (np.clip(30.0 * noise, -1.0, 1.0), 16000, ""),
        "stereo": (stereo, 96000, ""),
        "silent": (np.zeros(16000), 16000, "silent"),
        "short": (noise[:800], 16000, "0.05 s"),
        "nan": (np.full(16000, np.nan), 16000, "NaN"),
    }


@pytest.mark.parametrize("kind", sounds())
def test_recordings_of_all_kinds(converter, kind) -> None:
    samples, rate, words = sounds()[kind]
    given = (samples.astype(np.float32), rate)
    if words:
        with pytest.raises(AudioError, match=words):
            converter.convert(given, speaker="ann", seed=0)
        return
    made = converter.convert(given, speaker="ann", seed=0)
    assert len(made.samples) == 16000
    assert np.isfinite(made.samples).all()


def test_key_auto_in_python(converter, talk) -> None:
    with pytest.raises(UnsupportedTask, match="knows no key"):
        converter.convert(talk, speaker="ann", key="auto")
