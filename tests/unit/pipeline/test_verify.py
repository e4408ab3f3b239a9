"""What files say of who made them: tags, and the mark that `--watermark` puts into the sound."""

import json

import numpy as np
import pytest

from moksori.audio.io import read, read_metadata, write
from moksori.cli.main import main
from moksori.pipeline import say, watermark
from moksori.pipeline.made_sound import MadeSound
from moksori.pipeline.sentences import sentences
from moksori.types import Waveform

RATE = 16000


@pytest.fixture
def noise() -> np.ndarray:
    """Six seconds that a mark is easily put into."""
    return (0.1 * np.random.default_rng(1).standard_normal(6 * RATE)).astype(np.float32)


def test_marked_in_memory_and_in_blocks(noise):
    whole = watermark.marked(noise, RATE)
    blocks = list(watermark.marked_blocks(iter(np.array_split(noise, 11)), RATE))
    assert np.abs(np.concatenate(blocks) - whole).max() < 1e-6
    assert watermark.found(whole, RATE).found
    assert not watermark.found(noise, RATE).found


def test_a_file_is_verified_by_its_tags_and_by_its_sound(noise, tmp_path, capsys):
    made = MadeSound(noise, RATE)
    made.write(tmp_path / "marked.mp3", {"synthetic": "true", "model": "toy"}, watermark=True)
    made.write(tmp_path / "tagged.wav", {"synthetic": "true", "model": "toy"})
    write(tmp_path / "stripped.flac", read(tmp_path / "marked.mp3"))
    write(tmp_path / "plain.wav", Waveform(noise, RATE))
    verdict = watermark.verify(tmp_path / "marked.mp3")
    assert verdict.mark.found
    assert verdict.says_synthetic
    assert verdict.tags["watermark"] == "moksori-1"
    assert verdict.mark.chance < 1e-20
    assert main(["verify", *(str(tmp_path / name) for name in ("marked.mp3", "tagged.wav", "stripped.flac"))]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "marked: score" in told[0]
    assert "no mark found" in told[1]
    assert "model toy" in told[1]
    assert "marked: score" in told[2]
    assert "no tag" in told[2]
    assert main(["verify", "--json", str(tmp_path / "plain.wav")]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["synthetic"] is False
    assert found["marked"] is False
    assert main(["verify", str(tmp_path / "none.wav")]) == 2


def test_an_audiobook_is_verified_too(noise, tmp_path):
    pytest.importorskip("av", reason="m4b files need the package av: pip install 'moksori[book]'")
    from moksori.audio.m4b import write_m4b

    write_m4b(tmp_path / "a.m4b", [watermark.marked(noise, RATE)], RATE, [], {"synthetic": "true"})
    verdict = watermark.verify(tmp_path / "a.m4b")
    assert verdict.mark.found
    assert verdict.says_synthetic


def test_long_texts_are_marked_where_that_is_asked_for(toy_folder, tmp_path):
    voice = say.load(toy_folder)
    for name, mark in (("plain.wav", False), ("marked.wav", True)):
        say.speak_to_file(voice, sentences("One here. Two there."), tmp_path / name, seed=1, watermark=mark)
    plain, marked = read(tmp_path / "plain.wav").samples, read(tmp_path / "marked.wav").samples
    assert len(plain) == len(marked)
    assert 0.0 < float(np.abs(plain - marked).max()) < 0.3
    assert read_metadata(tmp_path / "marked.wav")["watermark"] == "moksori-1"
    assert "watermark" not in read_metadata(tmp_path / "plain.wav")
    voice.say("Hello there.", seed=1).save(tmp_path / "said.flac", watermark=True)
    assert read_metadata(tmp_path / "said.flac")["watermark"] == "moksori-1"


def test_what_is_only_played_is_not_marked(toy_home, capsys):
    assert main(["say", "Hello.", "--watermark"]) == 2
    assert "--watermark" in capsys.readouterr().err
