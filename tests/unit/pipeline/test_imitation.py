"""Conversion to the voice of recordings: in memory, into files, cleaned, and what is told of bad recordings."""

import gc
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small_converter import save_converter
from small_imitator import save_imitator, save_vocoder, talk

import moksori
from moksori.audio.io import read, read_metadata, write
from moksori.errors import AudioError, BadInput, CheckpointError, MoksoriError, UnsupportedTask
from moksori.pipeline.convert import Converter, ConvertOptions, convert_to_file, find_converter, find_imitator
from moksori.pipeline.enrolment import DIVIDED, division, enroll, remarks
from moksori.pipeline.recordings import open_recording
from moksori.pipeline.vocode import MelVocoder
from moksori.pipeline.voices import write_voice
from moksori.types import Heard, Waveform

RATE = 16000


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def converter(home: Path) -> Converter:
    return find_converter(save_imitator(home / "imitator"), vocoder=save_vocoder(home / "vocoder"))


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    write(tmp_path / "talk.flac", talk(3.1, 22050))
    write(tmp_path / "target.wav", talk(4.0, RATE, 210.0, 1))
    return tmp_path / "talk.flac", tmp_path / "target.wav"


def test_memory_and_file_hold_the_same(converter: Converter, files, tmp_path) -> None:
    source, target = files
    written = convert_to_file(converter, source, tmp_path / "out.wav", ConvertOptions(like=(target,)), seed=5)
    assert (written.speaker, written.source, written.seed, written.notes) == ("target", "", 5, ())
    assert written.duration_seconds == 3.1
    made = converter.convert(source, like=target, seed=5)
    assert (made.sample_rate, made.duration_seconds) == (RATE, 3.1)
    assert np.abs(read(tmp_path / "out.wav").samples - made.samples).max() < 1e-4
    assert 1e-3 < np.abs(made.samples).max() < 1.0
    tags = read_metadata(made.save(tmp_path / "again.wav"))
    assert {"synthetic": "true", "model": "imitator", "seed": "5", "speaker": "target"}.items() <= tags.items()
    assert "converted_from" not in tags
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.wav", "out.wav", "talk.flac", "target.wav"]


def test_targets_strength_and_noise_matter_and_seeds_repeat(converter: Converter) -> None:
    one, other = talk(3.5, pitch=200.0, seed=2), talk(3.5, pitch=90.0, seed=3)

    def samples(**options):
        return converter.convert(talk(), **{"like": one, "seed": 5, **options}).samples

    first = samples()
    assert np.array_equal(first, samples())
    assert np.array_equal(first, samples(seed=6))  # nothing is drawn
    assert np.abs(first - samples(like=(np.float32(3.0) * one.samples, RATE))).max() < 1e-3  # brought to one level
    for changed in ({"like": other}, {"like": [one, other]}, {"strength": 0.5}, {"variation": 1.0}):
        assert not np.array_equal(first, samples(**changed)), changed
    assert not np.array_equal(samples(variation=1.0), samples(variation=1.0, seed=6))
    clean = converter.denoise(talk(), seed=5)
    assert np.array_equal(samples(strength=0.0), clean.samples)
    assert (clean.source, clean.speaker) == ("recording", "recording")


def test_a_voice_is_the_mean_of_its_recordings(converter: Converter, tmp_path) -> None:
    one, other = talk(3.5, pitch=200.0, seed=2), talk(4.5, pitch=90.0, seed=3)
    first, second, both = converter.enroll(one), converter.enroll([other]), converter.enroll([one, other], "both")
    assert (first.family, first.name, both.name) == ("dsvae", "recording", "both")
    torch.testing.assert_close(both.vector, (first.vector + second.vector) / 2)
    kept = write_voice(second, tmp_path / "second.voice")
    for likes in ([first, second], [one, kept], [one, str(kept)]):
        torch.testing.assert_close(converter.enroll(likes).vector, both.vector, atol=1e-5, rtol=0)
    wanted = converter.convert(talk(), like=other, seed=1).samples
    for like in (second, kept, str(kept)):
        assert np.abs(converter.convert(talk(), like=like, seed=1).samples - wanted).max() < 1e-5


def test_load_gives_what_a_model_can_do(home: Path, converter: Converter, toy_home: Path, toy_family) -> None:
    save_imitator(toy_home / "models" / "imitator")
    save_vocoder(toy_home / "models" / "vocoder")
    model = moksori.load("imitator")
    assert isinstance(model, Converter)
    made = model.convert(talk(), like=[talk(3.5, pitch=200.0)], seed=1)
    assert np.array_equal(made.samples, converter.convert(talk(), like=[talk(3.5, pitch=200.0)], seed=1).samples)
    assert model.denoise(talk(), seed=1).duration_seconds == 2.0
    assert model.enroll([talk(3.5)]).family == "dsvae"
    assert model.speakers == ()
    assert isinstance(moksori.load("vocoder"), MelVocoder)
    assert find_converter(None).name == "imitator"
    with pytest.raises(UnsupportedTask, match="does not speak texts: leave the lexicon out"):
        moksori.load("imitator", lexicon={"a": "b"})
    with pytest.raises(UnsupportedTask, match="cannot speak in bf16"):
        moksori.load("imitator", precision="bf16")
    with pytest.raises(UnsupportedTask, match="cannot speak: use one of"):
        moksori.load(toy_family.save_toy(toy_home / "mute", family="mute"))


def test_the_model_that_imitates_is_found(toy_home: Path) -> None:
    with pytest.raises(
        CheckpointError, match="no model here imitates the voice of a recording: name one of the family"
    ):
        find_imitator()
    save_imitator(toy_home / "models" / "one")
    assert find_imitator().name == "one"
    save_imitator(toy_home / "models" / "two")
    with pytest.raises(BadInput, match="the models 'one' and 'two' imitate voices, and none is the default"):
        find_imitator()
    assert find_imitator("two").name == "two"


def test_long_recordings_take_little_memory(converter: Converter, tmp_path) -> None:
    voice, peaks = converter.enroll(talk(3.5)), []
    for seconds in (15, 45):
        write(tmp_path / "long.wav", talk(seconds))
        gc.collect()
        tracemalloc.start()
        convert_to_file(converter, tmp_path / "long.wav", tmp_path / "out.wav", ConvertOptions(like=(voice,)), seed=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**19  # of 1.9 MB more samples
    assert read(tmp_path / "out.wav").duration_seconds == 45


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MoksoriError("full")])
def test_an_interrupted_conversion_leaves_what_was_there(converter, files, tmp_path, monkeypatch, failure) -> None:
    def halfway(self, *_, **__):
        yield torch.zeros(1, 80, 100)
        raise failure

    monkeypatch.setattr(type(converter.loaded.model), "convert_to_mels", halfway)
    (tmp_path / "out.wav").write_text("precious")
    with pytest.raises(type(failure) if isinstance(failure, Exception) else failure):
        convert_to_file(converter, files[0], tmp_path / "out.wav", ConvertOptions(like=(files[1],)), seed=1)
    assert (tmp_path / "out.wav").read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.wav", "talk.flac", "target.wav"]


# ---- what cannot be done, and what is told ----


def test_bad_usage_is_told(converter: Converter, tmp_path) -> None:
    voice = converter.enroll(talk(3.5))
    for message, options in {
        "nobody to become": {},
        "both a speaker of the model": {"speaker": "ann", "like": voice},
        "strength 1.5: expected a number from 0 to 1": {"like": voice, "strength": 1.5},
        "strength nan": {"like": voice, "strength": float("nan")},
        "variation -1": {"like": voice, "variation": -1.0},
        "source 'ann': imitator needs not know who speaks": {"like": voice, "source": "ann"},
    }.items():
        with pytest.raises(BadInput, match=message):
            converter.convert(talk(), **options)
    with pytest.raises(UnsupportedTask, match="imitator: has no speakers of its own: give a recording of 'ann'"):
        converter.convert(talk(), speaker="ann")
    with pytest.raises(UnsupportedTask, match="imitator: follows no pitch"):
        converter.convert(talk(), like=voice, pitch=2.0)
    with pytest.raises(BadInput, match="no recording: give at least one"):
        converter.enroll([])
    table = find_converter(save_converter(tmp_path / "three"), "ann")
    refused = {
        "imitates no voice of a recording: use one of dsvae": partial(table.convert, talk(), like=talk(3.5)),
        "cleans no recordings: name a speaker, or use one of dsvae": partial(table.denoise, talk()),
        "nothing lies between the speakers": partial(table.convert, talk(), "bob", strength=0.5),
        "a 'vits' model imitates no voice": partial(table.enroll, talk(3.5)),
        "converts whole recordings only": partial(table.live, [], RATE, talk(3.5)),
    }
    for message, call in refused.items():
        with pytest.raises(UnsupportedTask, match=message):
            call()


def notes(converter: Converter, target: Waveform) -> str:
    return " ".join(enroll(converter.loaded, [target]).notes)


def test_bad_targets_are_refused_or_told(converter: Converter) -> None:
    draw = np.random.default_rng(0)
    with pytest.raises(AudioError, match=r"holds 0.1 s of speech, too little to hear a voice in: give at least 0.5 s"):
        converter.enroll(talk(0.1))
    with pytest.raises(AudioError, match=r"lasts 0.05 s, too short"):
        converter.enroll(talk(0.05))
    with pytest.raises(AudioError, match="is silent"):
        converter.enroll(Waveform(np.zeros(RATE, np.float32), RATE))
    with pytest.raises(AudioError, match="holds NaN or infinity"):
        converter.enroll((np.full(RATE, np.nan, np.float32), RATE))
    assert notes(converter, talk(4.5)) == ""
    assert "holds only 1." in notes(converter, talk(1.8))
    assert "it holds nothing above 4 kHz of the 8 kHz" in notes(converter, talk(4.5, 8000))
    noise = draw.normal(0, 0.1, 5 * RATE)
    assert "hardly anything in it is voiced, as in noise" in notes(converter, Waveform(noise.astype(np.float32), RATE))
    brown = np.cumsum(noise) - np.linspace(0, noise.sum(), len(noise))
    assert "hardly anything" in notes(converter, Waveform((0.05 * brown).astype(np.float32), RATE))
    time = np.arange(5 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * hz * k * time) / k for hz in (220.0, 110.0) for k in range(1, 8))
    assert "nearly all of it is voiced, as in music" in notes(
        converter, Waveform((0.05 * chord).astype(np.float32), RATE)
    )


def test_stretches_that_fall_into_two_groups_are_told() -> None:
    draw = torch.Generator().manual_seed(0)
    one = torch.randn(12, 64, generator=draw)
    assert division(one) < DIVIDED / 2
    two = torch.cat([one, torch.randn(9, 64, generator=draw) + 6.0])
    assert division(two) > 2 * DIVIDED
    torch.testing.assert_close(division(two), division(two[torch.randperm(21, generator=draw)]))
    assert division(two[10:14]) == 0.0  # too few to tell
    assert division(torch.zeros(8, 64)) == 0.0
    recording = open_recording(talk(4.5), RATE)
    assert "if two people speak in it" in remarks(recording, Heard(two, 4.5))[0]
    assert remarks(recording, Heard(one, 4.5)) == []


def test_bad_sources_are_told_and_converted(converter: Converter) -> None:
    voice = converter.enroll(talk(3.5))
    low = converter.convert(talk(2.0, 8000), like=voice, seed=1)
    assert (low.sample_rate, low.duration_seconds) == (RATE, 2.0)
    assert "is sampled at 8000 Hz" in low.notes[0]
    time = np.arange(3 * RATE) / RATE
    tune = Waveform((0.1 * np.sin(2 * np.pi * 220 * time)).astype(np.float32), RATE)
    assert "as in music and singing: is it speech?" in converter.convert(tune, like=voice, seed=1).notes[0]
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    assert "as in noise" in converter.denoise((noise, RATE), seed=1).notes[0]
    assert converter.convert(talk(0.1), like=voice, seed=1).duration_seconds == 0.1
    with pytest.raises(AudioError, match="too little to hear a voice in"):
        converter.denoise(talk(0.1))


def test_nan_is_told(converter: Converter, monkeypatch) -> None:
    mels = torch.full((1, 80, 125), torch.nan)
    monkeypatch.setattr(type(converter.loaded.model), "convert_to_mels", lambda self, *_, **__: iter([mels]))
    with pytest.raises(MoksoriError, match="imitator: made NaN or infinity of recording"):
        converter.convert(talk(), like=converter.enroll(talk(3.5)))


def test_a_model_that_wants_the_source_hears_it_where_it_can(converter: Converter, monkeypatch) -> None:
    """With whose voice it is converted: the source's own, nobody's where that is too short to tell."""
    model, sources = converter.loaded.model, []

    def noted(sound, target, source, controls, live=False, generator=None):
        sources.append(None if source is None else source.vector)
        return original(sound, target, source, controls, live, generator)

    original = model.convert_to_mels
    monkeypatch.setattr(model, "convert_to_mels", noted)
    long, short, target = talk(2.0), talk(0.3), talk(pitch=220.0, seed=3)
    converter.convert(long, like=target)
    monkeypatch.setattr(type(model), "wants_source", True)
    converter.convert(long, like=target)
    converter.convert(short, like=target)
    with pytest.raises(AudioError, match="too little"):
        converter.convert(short, like=target, strength=0.5)
    assert sources[0] is sources[2] is None
    assert sources[1] is not None
    assert len(sources) == 3
