"""Conversion of recordings: in memory and into files, who spoke, what cannot be done."""

import gc
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from small_converter import SPEAKERS, save_converter

import moksori
from moksori.audio.io import read, read_metadata, write
from moksori.errors import AudioError, BadInput, MoksoriError, UnknownName, UnsupportedTask
from moksori.models.checkpoint import Loaded, load_model
from moksori.pipeline import convert as converting
from moksori.pipeline import models as converting_models
from moksori.pipeline.convert import Converter, ConvertOptions, convert_to_file, find_converter
from moksori.types import SoundBatch, Waveform

RATE = 22050
ISTFT = "model.decoder={kind: istft, channels: 32, inner_channels: 64, num_layers: 2}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_converter(tmp_path_factory.mktemp("models") / "three")


@pytest.fixture(scope="module")
def converter(folder: Path) -> Converter:
    return find_converter(folder, "ann")


def talk(seconds: float = 1.5, rate: int = RATE) -> Waveform:
    time = np.arange(round(seconds * rate)) / rate
    samples = 0.1 * np.sin(2 * np.pi * 140 * time) * (1 + np.sin(8 * time))
    noise = np.random.default_rng(0).normal(0, 0.01, len(time))
    return Waveform((samples + noise).astype(np.float32), rate)


@pytest.fixture
def file(tmp_path) -> Path:
    write(tmp_path / "talk.flac", talk(1.5, 16000))
    return tmp_path / "talk.flac"


def test_memory_and_file_hold_the_same(converter: Converter, file: Path, tmp_path) -> None:
    options = ConvertOptions("bob", "ann")
    written = convert_to_file(converter, file, tmp_path / "out.wav", options, seed=5)
    assert (written.speaker, written.source, written.seed, written.notes) == ("bob", "ann", 5, ())
    assert written.duration_seconds == 1.5
    made = converter.convert(file, "bob", source="ann", seed=5)
    assert made.sample_rate == RATE
    assert made.duration_seconds == 1.5
    assert np.abs(made.samples).max() > 1e-3
    assert np.abs(read(tmp_path / "out.wav").samples - made.samples).max() < 1e-4
    saved = made.save(tmp_path / "again.wav")
    assert saved.read_bytes() == (tmp_path / "out.wav").read_bytes()
    tags = read_metadata(saved)
    expected = {"synthetic": "true", "model": "three", "seed": "5", "speaker": "bob", "converted_from": "ann"}
    assert expected.items() <= tags.items()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.wav", "out.wav", "talk.flac"]


def test_seeds_options_and_forms_of_a_recording(converter: Converter) -> None:
    def samples(audio=None, **options):
        return converter.convert(audio or talk(), "bob", **{"source": "ann", "seed": 5, **options}).samples

    first = samples()
    assert np.array_equal(first, samples())
    assert np.array_equal(first, samples((talk().samples, RATE)))
    assert np.array_equal(first, samples(Waveform(np.float32(3.0) * talk().samples, RATE))) is False  # another level
    assert np.abs(first - samples(Waveform(np.float32(3.0) * talk().samples, RATE))).max() < 1e-3  # brought to ours
    for other in ({"seed": 6}, {"pitch": 4.0}, {"variation": 2.0}, {"source": "cleo"}):
        assert not np.array_equal(first, samples(**other)), other
    drawn = [converter.convert(talk(0.3), "bob", source="ann").seed for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_a_loaded_voice_converts_and_what_it_says_can_be_converted(folder: Path) -> None:
    voice = moksori.load(folder)
    made = voice.convert(talk(0.5), speaker="cleo", source="bob", seed=1)
    assert made.waveform.duration_seconds == 0.5
    again = voice.convert(made, speaker="bob", source="cleo", seed=1)
    assert len(again.samples) == len(made.samples)


def test_without_a_source_the_best_fit_is_taken_and_told(converter: Converter, monkeypatch) -> None:
    seen: list[SoundBatch] = []

    def distances(self, sounds: SoundBatch) -> torch.Tensor:
        seen.append(sounds)
        return torch.tensor([[3.0, 1.0, 2.0]])

    monkeypatch.setattr(type(converter._model), "speaker_distances", distances)
    made = converter.convert(talk(6.0), "cleo", seed=1)
    assert made.source == "bob"
    assert "taken as spoken by 'bob', the best fit of 3 speakers; --source names another" in made.notes[0]
    assert seen[0].waveform.shape[1] == 4 * RATE  # a stretch is enough
    assert np.array_equal(made.samples, converter.convert(talk(6.0), "cleo", source="bob", seed=1).samples)
    same = converter.convert(talk(), "bob", seed=1)
    assert "'bob' stays 'bob'" in same.notes[1]
    assert same.notes[1:] == converter.convert(talk(), "bob", source="bob", seed=1).notes


def test_a_model_of_speech_doubts_no_song(converter: Converter) -> None:
    noise = Waveform(np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32), RATE)
    assert converter.convert(noise, "bob", source="ann", seed=1).notes == ()


def test_a_file_of_any_length_takes_little_memory(converter: Converter, tmp_path, monkeypatch) -> None:
    """All that is kept of a recording is a number for each tenth of a second."""
    monkeypatch.setattr(type(converter._model), "convert_in_blocks", lambda self, recording, *_, **__: (
        torch.from_numpy(block)[None] for block in recording.blocks()
    ))  # fmt: skip
    peaks = []
    for seconds in (10, 40):
        write(tmp_path / "long.wav", talk(seconds))
        gc.collect()
        tracemalloc.start()
        convert_to_file(converter, tmp_path / "long.wav", tmp_path / "out.flac", ConvertOptions("bob", "ann"), seed=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**19  # of 2.6 MB more samples
    assert read(tmp_path / "out.flac").duration_seconds == 40


def test_progress_is_told_in_seconds(converter: Converter, tmp_path) -> None:
    write(tmp_path / "talk.wav", talk(14.2))
    told: list[tuple[int, int]] = []
    convert_to_file(
        converter, tmp_path / "talk.wav", tmp_path / "o.wav", ConvertOptions("bob", "ann"), 1,
        lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert told[0] == (0, 15)
    assert told[-1] == (15, 15)
    assert len(told) > 2


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MoksoriError("full")])
def test_an_interrupted_conversion_leaves_what_was_there(converter, file, tmp_path, monkeypatch, failure) -> None:
    def halfway(self, recording, *_, **__):
        yield torch.zeros(1, 1000)
        raise failure

    monkeypatch.setattr(type(converter._model), "convert_in_blocks", halfway)
    (tmp_path / "out.wav").write_text("precious")
    with pytest.raises(type(failure) if isinstance(failure, Exception) else failure):
        convert_to_file(converter, file, tmp_path / "out.wav", ConvertOptions("bob", "ann"), seed=1)
    assert (tmp_path / "out.wav").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.wav", "talk.flac"]


def test_nan_is_told(converter: Converter, monkeypatch) -> None:
    monkeypatch.setattr(
        type(converter._model), "convert_in_blocks", lambda self, *_, **__: iter([torch.full((1, 9), torch.nan)])
    )
    with pytest.raises(MoksoriError, match="made NaN or infinity of recording"):
        converter.convert(talk(), "bob", source="ann")


def test_a_model_without_blocks_or_sources_is_used_as_it_is(folder: Path) -> None:
    """What a family has to have is `convert`: it may work on the whole, and need not know who speaks."""

    class Louder(torch.nn.Module):
        def convert(self, sounds, target, source, controls, generator=None) -> SoundBatch:
            assert source is None
            return SoundBatch(sounds.waveform * (target.speaker + 1), sounds.waveform_lengths)

    loaded = Loaded(Louder(), load_model(folder).manifest, folder)
    once, twice = (Converter(loaded).convert(talk(), name, seed=1) for name in ("ann", "bob"))
    assert (once.source, once.notes) == ("", ())
    assert np.allclose(2 * once.samples, twice.samples, atol=1e-6)


# ---- what cannot be done ----


def test_bad_options_are_told(converter: Converter, tmp_path) -> None:
    for name, options in {
        "unknown speaker 'bobb': did you mean 'bob'": {"speaker": "bobb"},
        "unknown speaker 'x'": {"speaker": "bob", "source": "x"},
        "pitch 13": {"speaker": "bob", "pitch": 13},
        "pitch nan": {"speaker": "bob", "pitch": float("nan")},
        "variation -1": {"speaker": "bob", "variation": -1},
        "seed -2": {"speaker": "bob", "seed": -2},
    }.items():
        with pytest.raises(BadInput, match=name):
            converter.convert(talk(), **options)
    follows_none = find_converter(save_converter(tmp_path / "plain", decoder=ISTFT), "bob")
    with pytest.raises(UnsupportedTask, match="plain: follows no pitch"):
        follows_none.convert(talk(), "bob", pitch=1.0)
    assert len(follows_none.convert(talk(), "bob", seed=1).samples) == len(talk().samples)


def test_models_that_cannot_convert_say_why(tmp_path, toy_folder) -> None:
    with pytest.raises(UnsupportedTask, match=r"a 'toy' model cannot convert: use one of .*vits"):
        find_converter(toy_folder, "ann")
    with pytest.raises(UnsupportedTask, match="one: has one speaker"):
        find_converter(save_converter(tmp_path / "one", ("ann",)), "ann")
    with pytest.raises(UnsupportedTask, match="takes no vocoder"):
        Converter(load_model(save_converter(tmp_path / "sounding")), "vocoder-16khz")
    deaf = save_converter(tmp_path / "deaf", absent=("posterior_encoder",))
    with pytest.raises(UnsupportedTask, match="deaf: was imported without posterior_encoder"):
        moksori.load(deaf).convert(talk(), speaker="bob")


def test_an_hour_is_the_most_in_memory(converter: Converter, monkeypatch) -> None:
    monkeypatch.setattr(converting, "MAXIMUM_SECONDS", 1.0)
    with pytest.raises(AudioError, match="lasts 2 s, 1 s at most are converted in memory"):
        converter.convert(talk(2.0), "bob")


def test_the_recording_is_not_overwritten(converter: Converter, file: Path, tmp_path) -> None:
    (tmp_path / "link.flac").symlink_to(file)
    before = file.read_bytes()
    for output in (file, tmp_path / "link.flac"):
        with pytest.raises(BadInput, match="is the recording itself"):
            convert_to_file(converter, file, output, ConvertOptions("bob"))
    assert file.read_bytes() == before
    with pytest.raises(AudioError, match="names no audio format"):
        convert_to_file(converter, file, tmp_path / "out.doc", ConvertOptions("bob"))


def test_the_model_that_knows_the_speaker_is_found(tmp_path, toy_home) -> None:
    """The toy voice knows ann and bob too, but its family converts nothing."""
    home = toy_home / "models"
    with pytest.raises(MoksoriError, match="no model here converts between speakers"):
        find_converter(None, "ann")
    save_converter(home / "first", ("ann", "bob"))
    save_converter(home / "second", ("bob", "cleo"))
    save_converter(home / "alone", ("ann",))
    save_converter(home / "deaf", SPEAKERS, absent=("posterior_encoder",))
    assert find_converter(None, "ann").name == "first"
    assert find_converter(None, "cleo").name == "second"
    assert find_converter("second", "bob").name == "second"
    with pytest.raises(BadInput, match="speaker 'bob': the models 'first' and 'second' know one"):
        find_converter(None, "bob")
    with pytest.raises(UnknownName, match="unknown speaker 'cloe': did you mean 'cleo'"):
        find_converter(None, "cloe")


def test_of_several_bundled_models_the_one_for_the_job_is_taken(tmp_path, toy_home, monkeypatch) -> None:
    weights = converting_models.bundled_folder()
    for name in ("talks", "sings"):
        save_converter(weights / name, ("ann", "bob"))
    with pytest.raises(BadInput, match="the models 'sings' and 'talks' know one"):
        find_converter(None, "bob")
    index = json.loads((weights / "index.json").read_text(encoding="utf-8"))
    index["converters"] = {"speech": "talks", "song": "sings"}
    (weights / "index.json").write_text(json.dumps(index), encoding="utf-8")
    assert find_converter(None, "bob").name == "talks"
    assert find_converter(None, "bob", sings=True).name == "sings"
    save_converter(toy_home / "models" / "mine", ("bob", "cleo"))
    with pytest.raises(BadInput, match="know one of that name"):
        find_converter(None, "bob")
