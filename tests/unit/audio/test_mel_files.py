"""Mel files: read back as written, written whole or not at all, and refused with the reason where they are wrong."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from moksori.audio.mel import MEL_16KHZ, MEL_22KHZ
from moksori.audio.mel_files import Mel, check_mel, open_mel, write_mel
from moksori.errors import AudioError, BadInput, MoksoriError


def values(frames: int = 50) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((80, frames)) - 5.0).astype(np.float32)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
@pytest.mark.parametrize("size", [7, 50, 1000])
def test_what_is_written_is_read_back(suffix, size, tmp_path):
    mel, path = values(), tmp_path / f"m{suffix}"
    blocks = [mel[:, start : start + size] for start in range(0, 50, size)]
    write_mel(path, blocks, 50, 80, MEL_16KHZ)
    found = open_mel(path)
    assert (found.shape, found.frames) == ((80, 50), 50)
    assert np.array_equal(np.concatenate(list(found.blocks(size)), axis=1), mel)
    assert found.front_end == (MEL_16KHZ if suffix == ".safetensors" else None)
    check_mel(found, MEL_16KHZ)
    theirs = np.load(path) if suffix == ".npy" else load_file(path)["mel"]
    assert np.array_equal(theirs, mel)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_another_program_s_files_are_read(tmp_path):
    mel = values()
    save_file({"spectrogram": mel.astype(np.float16)}, tmp_path / "a.safetensors")
    np.save(tmp_path / "b.npy", np.asfortranarray(mel.astype(np.float64)))
    for name in ("a.safetensors", "b.npy"):
        found = open_mel(tmp_path / name)
        check_mel(found, MEL_22KHZ)
        (block,) = found.blocks(99)
        assert block.dtype == np.float32
        np.testing.assert_allclose(block, mel, atol=5e-3)


def test_a_mel_in_memory_is_checked_alike():
    check_mel(open_mel(Mel(values(), MEL_16KHZ)), MEL_16KHZ)
    check_mel(open_mel(values()), MEL_16KHZ)
    with pytest.raises(BadInput, match="sample_rate 16000 and 22050"):
        check_mel(open_mel(Mel(values(), MEL_16KHZ)), MEL_22KHZ)


def broken(change):
    mel = values()
    mel[3, 40] = change
    return mel


@pytest.mark.parametrize(
    ("mel", "message"),
    [
        (values()[:79], "has 79 mel bands, the vocoder takes 80"),
        (values().T, "frames first: turn it to"),
        (values()[None], r"\[1, 80, 50\], expected \[mels, frames\]"),
        (values()[0], r"\[50\], expected"),
        (values()[:, :0], "holds no frames"),
        (broken(np.nan), "NaN or infinity, first in frame 40"),
        (broken(-np.inf), "NaN or infinity, first in frame 40"),
        (np.exp(values()), "no logarithm: give np.log"),
        (values() * 20 / np.log(10), "multiply decibels by"),
        (broken(30.0), "to 30.0, expected natural logarithms from -11.5"),
    ],
)
def test_what_is_no_mel_is_refused_with_the_remedy(mel, message):
    with pytest.raises(BadInput, match=message):
        check_mel(open_mel(mel), MEL_16KHZ)


def test_digital_silence_is_a_mel():
    check_mel(open_mel(np.full((80, 9), np.log(1e-5), np.float32)), MEL_16KHZ)


def test_files_that_are_none_are_refused(tmp_path):
    np.save(tmp_path / "ids.npy", np.zeros((80, 9), np.int64))
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=values(), b=values())
    (tmp_path / "two.npz").rename(tmp_path / "two.npy")
    whole = tmp_path / "whole.npy"
    np.save(whole, values())
    (tmp_path / "cut.npy").write_bytes(whole.read_bytes()[:-100])
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.safetensors").write_text("no tensors")
    save_file({"a": values(), "b": values()}, tmp_path / "many.safetensors")
    save_file({"mel": values()}, tmp_path / "odd.safetensors", {"front_end": json.dumps({"sample_rate": -3})})
    expected = {
        "ids.npy": "holds int64",
        "objects.npy": "is no array of numbers",
        "two.npy": "holds several arrays",
        "cut.npy": "cut off",
        "text.npy": "no array of numbers",
        "text.safetensors": "no safetensors file",
        "many.safetensors": "holds the tensors a, b",
        "odd.safetensors": "metadata 'front_end' is broken",
        "none.npy": "does not exist",
        "mel.csv": "names no mel file",
    }
    for name, message in expected.items():
        with pytest.raises(BadInput, match=message):
            open_mel(tmp_path / name)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "m.npy"
    path.write_bytes(b"before")
    with pytest.raises(AudioError, match="50 frames of a mel came, 60 were announced"):
        write_mel(path, [values()], 60, 80)
    with pytest.raises(AudioError, match="50 frames of a mel came, 10 were announced"):
        write_mel(path, [values()], 10, 80)
    with pytest.raises(MoksoriError, match="cannot be written"):
        write_mel(tmp_path / "none" / "m.npy", [values()], 50, 80)
    with pytest.raises(BadInput, match="names no mel file"):
        write_mel(tmp_path / "m.txt", [values()], 50, 80)
    assert [p.name for p in tmp_path.iterdir()] == ["m.npy"]
    assert path.read_bytes() == b"before"
