"""Conversion and cleaning by a model that speaks in the voice of a prompt: pieces, options, length, files."""

import numpy as np
import pytest
import soundfile

from moksori.errors import BadInput, UnsupportedTask
from moksori.pipeline.convert import ConvertOptions, convert_to_file, find_converter, find_imitator
from moksori.pipeline.prompted_conversion import LOOK_SECONDS, PIECE_SECONDS, pieces

RATE = 8000


@pytest.fixture
def converter(codec_folder, tmp_path):
    import small_sayer

    small_sayer.register()
    return find_converter(small_sayer.save_sayer(tmp_path / "home" / "models" / "sayer", codec_folder))


@pytest.fixture
def talk(tmp_path):
    def write(name, seconds=4.0, hertz=120.0):
        time = np.arange(int(seconds * RATE)) / RATE
        sound = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 9))
        level = (np.sin(2 * np.pi * 1.5 * time) > -0.5) * (1.2 + np.sin(2 * np.pi * 2.3 * time))
        soundfile.write(tmp_path / name, 0.1 * sound * level, RATE)
        return tmp_path / name

    return write


def test_as_long_as_the_recording_and_in_the_level_of_the_target(converter, talk) -> None:
    made = converter.convert(talk("a.wav", 5.003), like=talk("b.wav"), seed=1)
    assert len(made.samples) == round(5.003 * RATE)
    assert (made.speaker, made.source) == ("b", "")
    half = converter.denoise(talk("a.wav", 2.0), seed=1)
    assert half.speaker == "a"
    assert any("--like clean.wav" in note for note in half.notes)
    known = converter.denoise(talk("a.wav", 2.0), like=talk("clean.wav"), seed=1)
    assert not any("--like clean.wav" in note for note in known.notes)


def test_cleaning_advises_what_cleans_better(converter, talk) -> None:
    for like in (None, talk("clean.wav")):
        advice = " ".join(converter.denoise(talk("a.wav", 2.0), like=like, seed=1).notes)
        assert "sayer does not clean noise well yet" in advice
        assert "denoise --model dsvae-compact'" in advice
        assert "'moksori convert' with --like and --text" in advice
        assert "the target is reached better" not in advice
    converted = " ".join(converter.convert(talk("a.wav", 2.0), like=talk("clean.wav"), seed=1).notes)
    assert "the target is reached better" in converted
    assert "clean noise" not in converted


def test_where_it_is_known_what_is_said_the_model_is_one_that_says_it_anew(converter) -> None:
    assert find_imitator(anew=True).name == converter.name == "sayer"
    assert find_converter(None, anew=True).takes_text


def test_long_recordings_go_through_in_pieces(converter, talk, tmp_path) -> None:
    written = convert_to_file(
        converter, talk("long.wav", 40.0), tmp_path / "out.wav", ConvertOptions(like=(talk("b.wav"),)), seed=1
    )
    assert written.duration_seconds == 40.0
    assert len(soundfile.read(tmp_path / "out.wav")[0]) == 40 * RATE


def test_pieces_are_cut_where_it_is_quiet() -> None:
    loud = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    quiet = np.zeros(RATE // 2, np.float32)
    sound = np.concatenate([*([loud] * 9), quiet, *([loud] * 9), quiet, loud, loud])
    blocks = (sound[start : start + 999] for start in range(0, len(sound), 999))
    found = list(pieces(blocks, RATE))
    np.testing.assert_array_equal(np.concatenate(found), sound)
    assert len(found) == 3
    assert all(PIECE_SECONDS * RATE <= len(piece) <= (PIECE_SECONDS + LOOK_SECONDS) * RATE for piece in found[:-1])
    for piece in found[:-1]:
        assert not piece[-100:].any()
    assert list(pieces(iter([]), RATE)) == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"speaker": "ann"}, UnsupportedTask),
        ({"source": "ann"}, BadInput),
        ({"shift_semitones": 2.0}, UnsupportedTask),
        ({"key": "auto"}, UnsupportedTask),
        ({"variation": 3.0}, BadInput),
    ],
)
def test_options_that_mean_nothing_here_are_refused(converter, options, error) -> None:
    with pytest.raises(error):
        converter.check(ConvertOptions(**options))


def test_nothing_is_live(converter, talk) -> None:
    with pytest.raises(UnsupportedTask, match="whole recordings only"):
        converter.live(iter([]), RATE, like=talk("b.wav"))
    with pytest.raises(UnsupportedTask):
        converter.auto_key(talk("a.wav"), "ann")
