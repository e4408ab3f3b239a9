"""`moksori convert --singer --key`, `voice fit`, `voice mix a=0.3,b=0.7`: a tiny autoencoder on disk, real commands."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_singers import RATE, configured, sung

import moksori
from moksori.audio.io import read, read_metadata, write
from moksori.cli import main as command
from moksori.errors import BadInput, UnsupportedTask
from moksori.models.checkpoint import Manifest, load_model, save_model
from moksori.models.wavenet_autoencoder import WavenetAutoencoder
from moksori.pipeline.convert import Converter
from moksori.pipeline.recordings import TARGET_POWER
from moksori.pipeline.voices import read_voice, write_voice
from moksori.types import ConvertControls, Waveform

SINGERS = {"ada": (5.3, 0.1), "bela": (5.9, 0.1)}


@pytest.fixture
def run(capsys, toy_home, tmp_path, monkeypatch):
    """Runs `moksori` in a folder with a song of a second and a half: exit code, stdout, stderr."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("MOKSORI_DEBUG", raising=False)
    song = sung([0], 12_000).waveform[0].numpy()
    write("song.wav", Waveform(song, RATE))
    (work / "mine").mkdir()
    for name, seed in (("one", 1), ("two", 2)):
        write(f"mine/{name}.flac", Waveform(sung([1], 10_000, seed).waveform[0].numpy(), RATE))
    config = configured()
    torch.manual_seed(0)
    described = Manifest(
        family="wavenet_autoencoder",
        name="choir",
        model=config.model.model_dump(mode="json"),
        speakers=tuple(SINGERS),
        speaker_pitch=SINGERS,
        sample_rate=RATE,
    )
    save_model(toy_home / "models" / "choir", WavenetAutoencoder(config.model), described)

    def call(line: str):
        code = command.main(line.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    call.home = toy_home
    return call


def test_a_song_is_sung_by_a_singer_in_the_key_that_suits(run) -> None:
    code, out, err = run("convert song.wav --singer bela --key auto -o out.wav --seed 3")
    assert code == 0, err
    assert out.startswith("out.wav: 1.50 s, to bela, real-time factor ")
    key = int(re.search(r"song\.wav: key ([+-]\d+) semitones", err).group(1))
    heard = np.median(np.log(sung([0], 12_000).f0[0].numpy()))
    assert abs(key - 12 * (SINGERS["bela"][0] - heard) / np.log(2)) < 1.0
    assert read_metadata("out.wav")["speaker"] == "bela"
    code, _, err = run(f"convert song.wav --singer bela --key {key:+d} -o same.wav --seed 3 --model choir")
    assert code == 0, err
    assert np.array_equal(read("out.wav").samples, read("same.wav").samples)
    assert len(read("out.wav").samples) == 12_000


def test_a_voice_is_fitted_mixed_and_sung_with(run) -> None:
    code, out, err = run("voice fit mine/ --model choir -o me.voice --steps 3")
    assert code == 0, err
    assert re.search(r"me\.voice: the voice 'mine', for choir; \d\.\d+ bits a sample, \d\.\d+ with the nearest", out)
    assert "make a rough voice" in err
    assert "is it speech" not in err  # it is to be singing
    code, out, err = run("voice mix ada=0.25,bela=0.75 -o between.voice")
    assert (code, err) == (0, "")
    assert "made of ada*0.25, bela*0.75" in out
    table = load_model(run.home / "models" / "choir").model.speaker_embedding.weight.detach()
    vector = read_voice("between.voice").vector
    assert torch.allclose(vector[:-1], 0.25 * table[0] + 0.75 * table[1], atol=1e-6)
    assert float(vector[-1]) == pytest.approx(0.25 * 5.3 + 0.75 * 5.9, abs=1e-5)
    code, out, err = run("voice mix me.voice=1,ada=1 --model choir -o both.voice")
    assert code == 0, err
    for name in ("me", "between", "both"):
        code, out, err = run(f"convert song.wav --like {name}.voice --model choir -o {name}.wav --seed 1")
        assert code == 0, err
        assert f"to {read_voice(f'{name}.voice').name}" in out
    assert not np.array_equal(read("me.wav").samples, read("between.wav").samples)


def test_a_voice_with_layers_of_its_own_is_kept_sung_with_and_not_mixed(run) -> None:
    code, out, err = run("voice fit mine/ --model choir -o me.voice --steps 3 --tune-layers 2")
    assert code == 0, err
    assert re.search(r"; \d\.\d+ with 2 layers tuned$", out.strip())
    voice = read_voice("me.voice")
    assert len(voice.tuned) == 12
    code, out, err = run("convert song.wav --like me.voice --model choir -o tuned.wav --seed 1")
    assert code == 0, err
    write_voice(replace(voice, tuned={name: 1.5 * value for name, value in voice.tuned.items()}), "louder.voice")
    code, out, err = run("convert song.wav --like louder.voice --model choir -o louder.wav --seed 1")
    assert code == 0, err
    assert not np.array_equal(read("tuned.wav").samples, read("louder.wav").samples)
    for line in (
        "voice mix me.voice=1,ada=1 --model choir -o x.voice",
        "convert song.wav --like me.voice --like louder.voice --model choir -o x.wav",
    ):
        code, _, err = run(line)
        assert code == 2
        assert "the voice 'mine': has layers of its own, which cannot be mixed with others" in err
        assert err.count("\n") == 1


def test_layers_that_do_not_help_are_left_out(run, monkeypatch) -> None:
    fit = WavenetAutoencoder.fit_voice

    def worse(self, *given):
        found = fit(self, *given)
        return replace(found, bits_tuned=found.bits_after + 0.5)

    monkeypatch.setattr(WavenetAutoencoder, "fit_voice", worse)
    code, out, err = run("voice fit mine/ --model choir -o me.voice --steps 1 --tune-layers 1")
    assert code == 0, err
    assert "they are left out" in err
    assert "tuned" not in out
    assert read_voice("me.voice").tuned == {}


def test_a_song_of_a_low_rate_is_told(run) -> None:
    song = read("song.wav").samples
    write("telephone.wav", Waveform(song[::2].copy(), RATE // 2))
    code, _, err = run("convert telephone.wav --singer ada --key 0 -o out.wav --seed 1")
    assert code == 0, err
    assert "telephone.wav: is sampled at 4000 Hz, so it holds nothing above 2 kHz of the 4 kHz" in err


def test_sound_that_comes_bit_by_bit_is_sung_with_the_delay_that_is_told(run) -> None:
    converter = Converter(load_model(run.home / "models" / "choir"))
    song = read("song.wav").samples
    live = converter.live((song[at : at + 700] for at in range(0, len(song), 700)), RATE, speaker="ada", key=2.0)
    model = converter.loaded.model
    assert live.delay_seconds == pytest.approx(0.05 + model.stream(live.target, ConvertControls()).delay_seconds)
    made = np.concatenate(list(live))
    assert len(made) == len(song)
    assert np.isfinite(made).all()


def test_streamed_is_the_whole_where_the_level_is_known_from_the_start(run) -> None:
    """A stream finds its level on the way, from a gain of 1: sound that lies at the level already is left as it is."""
    converter = Converter(load_model(run.home / "models" / "choir"))
    f0 = np.repeat([130.0, 150.0, 180.0, 160.0], 3_100)
    song = np.where(np.sin(2 * np.pi * np.cumsum(f0) / RATE) < 0.0, -1.0, 1.0)  # as loud in each moment
    song = (song * np.sqrt(TARGET_POWER)).astype(np.float32)

    def streamed(samples):
        blocks = (samples[at : at + 700] for at in range(0, len(samples), 700))
        return np.concatenate(list(converter.live(blocks, RATE, speaker="ada", key=2.0, seed=4)))

    whole = converter.convert((song, RATE), "ada", key=2.0, seed=4).samples
    assert np.abs(streamed(song) - whole).max() < 1e-5
    quiet = song / np.float32(4.0)
    assert np.abs(converter.convert((quiet, RATE), "ada", key=2.0, seed=4).samples - whole).max() < 1e-5
    assert np.abs(streamed(quiet) - whole).max() > 1e-3  # its first moments were too quiet


def test_python_refuses_what_would_do_nothing(run) -> None:
    loaded = load_model(run.home / "models" / "choir")
    with pytest.raises(UnsupportedTask, match="choir: makes sound itself and takes no vocoder: leave it out"):
        Converter(loaded, "none")
    with pytest.raises(UnsupportedTask, match="takes no vocoder"):
        moksori.load(run.home / "models" / "choir", vocoder="none")
    converter = Converter(loaded)
    assert not converter.takes_source
    with pytest.raises(BadInput, match="source 'bela': choir needs not know who sings: leave the source out"):
        converter.convert("song.wav", "ada", source="bela")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("convert song.wav --singer bella -o o.wav", "unknown speaker 'bella': did you mean 'bela'?"),
        ("convert song.wav --singer ada --key 40 -o o.wav", "key 40.0: expected a number from -24 to 24"),
        ("convert song.wav --singer ada --key high -o o.wav", "--key 'high': expected semitones, such as +3, or auto"),
        ("convert song.wav --singer ada --key 2 --pitch 3 -o o.wav", "a key (2.0) and a pitch (3) are given"),
        ("convert song.wav --like song.wav --model choir -o o.wav", "moksori voice fit song.wav --model choir"),
        ("convert song.wav --singer ada --source bela -o o.wav", "source 'bela': choir needs not know who sings"),
        ("convert song.wav --singer ada --source nobody -o o.wav", "choir needs not know who sings: leave the source"),
        ("convert song.wav --singer ada --vocoder none -o o.wav", "choir: makes sound itself and takes no vocoder"),
        ("convert song.wav --singer ada --key auto --stream", "where a song lies is known at its end only"),
        ("voice fit song.wav -o x.voice", "the recordings last 1.5 s: give 2 s at least"),
        ("voice fit mine/ --tune-layers 9 --model choir -o x.voice", "9 layers to tune: choir has 5"),
        ("voice fit none/ -o x.voice", "none: does not exist"),
        ("voice fit song.wav --model toy -o x.voice", "no singers' vectors that could be fitted"),
        ("voice mix ada=0.3,bel=0.7 -o x.voice", "unknown singer 'bel': did you mean 'bela'?"),
        ("voice mix ada=0.3,bela -o x.voice", "'bela': expected a singer and a share, as in a=0.3,b=0.7"),
        ("voice mix ada=0.3,bela=0.7 --weight 1 -o x.voice", "--weight: the shares stand behind the names"),
        ("voice mix ada=0.3,bela=-1 -o x.voice", "expected numbers from 0 on"),
    ],
)
def test_bad_usage_of_singing_is_told_on_one_line(run, line: str, message: str) -> None:
    code, out, err = run(line)
    assert (code, out) == (2, ""), err
    assert message in err
    assert err.count("\n") == 1, err
