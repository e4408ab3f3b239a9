"""Voices as files: what they hold, and which ones are refused."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_imitator import save_imitator

from moksori.errors import BadInput, CheckpointError, MoksoriError, UnsupportedTask
from moksori.models.checkpoint import Loaded, fingerprint, load_model
from moksori.pipeline import voices
from moksori.pipeline.voices import check_voice, drawn, list_voices, mixed, read_voice, voice_of, write_voice
from moksori.types import Voice


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> Loaded:
    return load_model(save_imitator(tmp_path_factory.mktemp("models") / "imitator"))


def made(loaded: Loaded, seed: int = 0, name: str = "Ann") -> Voice:
    vector = torch.randn(16, generator=torch.Generator().manual_seed(seed))
    return voice_of(loaded, vector, name, ("a.wav", "b ä.wav"))


def test_what_is_written_is_read(loaded: Loaded, tmp_path) -> None:
    voice = made(loaded)
    path = write_voice(voice, tmp_path / "ann.voice")
    found = read_voice(path)
    assert (found.family, found.name, found.sources) == ("dsvae", "Ann", ("a.wav", "b ä.wav"))
    assert found.model == fingerprint(loaded.folder)
    assert torch.equal(found.vector, voice.vector)
    check_voice(found, loaded)
    assert [p.name for p in tmp_path.iterdir()] == ["ann.voice"]
    assert path.stat().st_size < 1000


def test_layers_of_a_voice_are_kept_in_its_file(loaded: Loaded, tmp_path) -> None:
    layers = {"head.weight": torch.randn(3, 2), "head.bias": torch.randn(3)}
    found = read_voice(write_voice(replace(made(loaded), tuned=layers), tmp_path / "ann.voice"))
    assert found.tuned.keys() == layers.keys()
    assert all(torch.equal(found.tuned[name], value) for name, value in layers.items())
    with pytest.raises(BadInput, match="'Ann': has layers of its own, which cannot be mixed"):
        voices.mixed([made(loaded, 1), found])
    broken = {"head.bias": torch.tensor([1.0, torch.nan])}
    with pytest.raises(CheckpointError, match=r"nan\.voice: holds layers with numbers that are not finite"):
        read_voice(write_voice(replace(made(loaded), tuned=broken), tmp_path / "nan.voice"))


def test_voices_of_other_models_are_refused(loaded: Loaded, tmp_path) -> None:
    voice = made(loaded)
    for message, changed in {
        "is of the family 'vits', imitator is a 'dsvae' model": {"family": "vits"},
        "was read off the features mel-22, imitator listens to": {"front_end": "mel-22"},
        "was made by the model 0123, imitator is": {"model": "0123"},
        "holds no vector": {"vector": None},
        "has 3 numbers, imitator needs": {"vector": torch.zeros(3)},
    }.items():
        with pytest.raises(BadInput, match=message):
            check_voice(Voice(**{**vars(voice), **changed}), loaded)
    other = load_model(save_imitator(tmp_path / "other", seed=3))
    with pytest.raises(BadInput, match="to which it means nothing: make it from its recording"):
        check_voice(voice, other)
    measured = save_imitator(tmp_path / "measured", name="imitator", scores={"eer": 4.0})
    check_voice(voice, load_model(measured))  # the same weights


def test_no_other_model_has_voices(toy_folder: Path) -> None:
    with pytest.raises(UnsupportedTask, match=r"a 'toy' model imitates no voice of a recording: use one of dsvae"):
        voices.listener(load_model(toy_folder))


def save(path: Path, tensor: torch.Tensor | None = None, **metadata: str) -> Path:
    known = {"format": "1", "family": "dsvae", "front_end": "x", "model": "y", "name": "n", "sources": "[]"}
    held = {"vector": torch.zeros(3)} if tensor is None else {"vector": tensor}
    save_file(held, path, {k: v for k, v in {**known, **metadata}.items() if v != "-"})
    return path


def test_damaged_files_are_told(tmp_path) -> None:
    (tmp_path / "text.voice").write_text("no voice")
    (tmp_path / "empty.voice").touch()
    (tmp_path / "folder.voice").mkdir()
    save_file({"other": torch.zeros(3)}, tmp_path / "other.voice", {"format": "1"})
    for message, path in {
        "text.voice: is no voice file, or damaged": tmp_path / "text.voice",
        "empty.voice: is no voice file": tmp_path / "empty.voice",
        "folder.voice: is no file": tmp_path / "folder.voice",
        "none.voice: does not exist": tmp_path / "none.voice",
        "voice format 5, this moksori reads up to 4: install a newer": save(tmp_path / "new.voice", format="5"),
        "it does not say what made it": save(tmp_path / "nameless.voice", model="-"),
        "odd.voice: is no voice file": save(tmp_path / "odd.voice", format="one"),
        "list.voice: is no voice file": save(tmp_path / "list.voice", sources="3"),
        "other.voice: is no voice file": tmp_path / "other.voice",
        "holds no vector of finite": save(tmp_path / "nan.voice", torch.full((3,), torch.nan)),
        "square.voice: holds no vector": save(tmp_path / "square.voice", torch.zeros(3, 3)),
    }.items():
        with pytest.raises(CheckpointError, match=message):
            read_voice(path)
    cut = save(tmp_path / "cut.voice")
    cut.write_bytes(cut.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"cut\.voice: is no voice file, or damaged"):
        read_voice(cut)


def test_nothing_is_left_half_written(loaded: Loaded, tmp_path, monkeypatch) -> None:
    path = tmp_path / "ann.voice"
    path.write_text("precious")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(MoksoriError, match="no space left on device: free space"):
            write_voice(made(loaded), path)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["ann.voice"]
    for message, bad in {
        "has the suffix '.wav', a voice's file ends in .voice: -o x.voice": tmp_path / "x.wav",
        "has no suffix": tmp_path / "x",
        "its folder .*none does not exist": tmp_path / "none" / "x.voice",
    }.items():
        with pytest.raises(BadInput, match=message):
            write_voice(made(loaded), bad)
    with pytest.raises(BadInput, match="is a speaker of a model"):
        write_voice(Voice("vits", 2, "ann"), tmp_path / "ann2.voice")


def test_mixing(loaded: Loaded) -> None:
    a, b = made(loaded, 1, "a"), made(loaded, 2, "b")
    torch.testing.assert_close(mixed([a, b]).vector, (a.vector + b.vector) / 2)
    mostly = mixed([a, b], [1.0, 3.0])
    torch.testing.assert_close(mostly.vector, 0.25 * a.vector + 0.75 * b.vector)
    assert (mostly.name, mostly.sources, mostly.model) == ("a+b", ("a*0.25", "b*0.75"), a.model)
    check_voice(mostly, loaded)
    for message, voices_, weights in (
        ("mixing needs at least two", [a], []),
        ("1 weights for 2 voices", [a, b], [1.0]),
        ("expected numbers from 0 on", [a, b], [1.0, -1.0]),
        ("not all of them 0", [a, b], [0.0, 0.0]),
        ("expected numbers", [a, b], [float("nan"), 1.0]),
        ("'a' and 'b' are of different models", [a, Voice(**{**vars(b), "model": "z"})], []),
        ("a voice without a vector", [a, Voice(**{**vars(b), "vector": None})], []),
        ("differ in shape", [a, Voice(**{**vars(b), "vector": torch.zeros(3)})], []),
    ):
        with pytest.raises(BadInput, match=message):
            mixed(voices_, weights)


def test_drawing(loaded: Loaded) -> None:
    first, again, other = drawn(loaded, 3), drawn(loaded, 3), drawn(loaded, 4)
    assert torch.equal(first.vector, again.vector)
    assert not torch.equal(first.vector, other.vector)
    torch.testing.assert_close(drawn(loaded, 3, mean=1.0, variation=1.0).vector, 2 * first.vector + 1.0)
    assert (first.name, first.sources) == ("random-3", ("drawn: seed 3, mean 0, variation 0.5",))
    check_voice(first, loaded)
    for options in ({"mean": 9.0}, {"mean": float("nan")}, {"variation": -1.0}, {"variation": float("inf")}):
        with pytest.raises(BadInput, match=next(iter(options))):
            drawn(loaded, 3, **options)


def test_listing(loaded: Loaded, tmp_path) -> None:
    write_voice(made(loaded), tmp_path / "b.voice")
    (tmp_path / "a.voice").write_text("broken")
    (tmp_path / "talk.wav").touch()
    broken, whole = list_voices(tmp_path)
    assert (broken.path.name, broken.voice) == ("a.voice", None)
    assert "is no voice file" in broken.problem
    assert whole.voice is not None
    assert whole.voice.name == "Ann"
    with pytest.raises(BadInput, match="is no folder"):
        list_voices(tmp_path / "none")


def test_the_metadata_is_plain_text(loaded: Loaded, tmp_path) -> None:
    """What other programs need to read it."""
    data = write_voice(made(loaded), tmp_path / "ann.voice").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header["vector"]["dtype"] == "F32"
    assert header["__metadata__"]["family"] == "dsvae"
    assert header["__metadata__"]["front_end"] == voices.listener(loaded).front_end_key
