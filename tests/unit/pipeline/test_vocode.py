"""`MelVocoder`: mels and recordings to sound, whole and in chunks, in memory and to files."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from moksori.audio.io import read, read_metadata, write
from moksori.audio.mel import MEL_16KHZ, MEL_22KHZ, MelSpectrogram
from moksori.audio.mel_files import Mel, open_mel
from moksori.errors import AudioError, BadInput, CheckpointError, UnsupportedTask
from moksori.models.checkpoint import Manifest, load_model, save_model
from moksori.models.decoders.config import IstftConfig
from moksori.models.vocoder import Vocoder, VocoderConfig
from moksori.pipeline import models, vocode
from moksori.pipeline.vocode import MelVocoder, find_mel_vocoder, vocode_to_file
from moksori.types import Waveform


def save_vocoder(folder: Path, mel=MEL_16KHZ, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    config = VocoderConfig(mel=mel, decoder=IstftConfig(channels=16, inner_channels=32, num_layers=2))
    manifest = Manifest(
        family="vocoder", name=folder.name, model=config.model_dump(mode="json"), sample_rate=mel.sample_rate
    )
    save_model(folder, Vocoder(config), manifest)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_vocoder(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def vocoder(folder) -> MelVocoder:
    return MelVocoder(load_model(folder))


@pytest.fixture
def talk(tmp_path) -> Path:
    time = np.arange(30011) / 24000
    samples = 0.1 * np.sin(2 * np.pi * 200 * time) * (1 + np.sin(2 * np.pi * 3 * time))
    write(tmp_path / "talk.wav", Waveform(samples.astype(np.float32), 24000))
    return tmp_path / "talk.wav"


def noise_mel(frames: int = 70) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((80, frames)) - 5.0).astype(np.float32)


def test_a_mel_becomes_hops_of_sound(vocoder, tmp_path):
    mel = noise_mel()
    made = vocoder.vocode(mel, seed=3)
    assert made.samples.shape == (70 * 256,)
    assert (made.samples.dtype, made.sample_rate, made.seed, made.model) == (np.float32, 16000, 3, "small")
    whole = vocoder.loaded.model.vocode(torch.from_numpy(mel)[None])[0].numpy().clip(-1, 1)
    np.testing.assert_allclose(made.samples, whole, atol=1e-5)
    assert "taken as a mel of small's front end" in made.notes[0]
    assert vocoder.vocode(Mel(mel, MEL_16KHZ)).notes == ()
    made.save(tmp_path / "a.flac")
    tags = read_metadata(tmp_path / "a.flac")
    assert (tags["synthetic"], tags["model"], tags["seed"]) == ("true", "small", "3")


@pytest.mark.parametrize("chunk", [1, 13, 64])
def test_chunks_do_not_change_the_sound(vocoder, talk, chunk):
    for source in (noise_mel(), talk):
        whole, parts = vocoder.vocode(source, seed=1).samples, vocoder.vocode(source, seed=1, chunk=chunk).samples
        np.testing.assert_allclose(parts, whole, atol=2e-5)


def test_mels_are_gathered_to_pieces_of_the_chunk(vocoder, monkeypatch):
    sizes: list[int] = []
    made = vocoder.loaded.model.vocode_blocks

    def spied(mels, frames, generator):
        def seen():
            for mel in mels:
                sizes.append(mel.shape[2])
                yield mel

        return made(seen(), frames, generator)

    monkeypatch.setattr(vocoder.loaded.model, "vocode_blocks", spied)
    blocks = torch.from_numpy(noise_mel())[None].split([30, 1, 25, 14], dim=2)
    sound = torch.cat(list(vocoder._vocoder.sound(blocks, 70, None, 20)), dim=1)
    assert sizes == [20, 20, 20, 10]
    assert sound.shape == (1, 70 * 256)
    sizes.clear()
    list(vocoder._vocoder.sound(blocks, None))  # somebody waits: as they come
    assert sizes == [30, 1, 25, 14]


def test_a_recording_keeps_its_length_and_is_its_own_mel_s_sound(vocoder, talk, tmp_path):
    copy = vocoder.vocode(talk, seed=1)
    assert len(copy.samples) == round(30011 * 16000 / 24000)
    assert copy.notes == ()
    mel = vocoder.mel(talk)
    assert mel.front_end == MEL_16KHZ
    assert mel.values.shape == (80, -(-len(copy.samples) // 256))
    from_mel = vocoder.vocode(mel, seed=1).samples
    np.testing.assert_allclose(from_mel[: len(copy.samples)], copy.samples, atol=2e-5)
    samples = read(talk)
    again = vocoder.vocode((samples.samples, 24000), seed=1)
    np.testing.assert_allclose(again.samples, copy.samples, atol=2e-4)


def test_the_mel_is_the_front_end_s(vocoder, talk):
    from moksori.pipeline.recordings import open_recording

    sound = np.concatenate(list(open_recording(talk, 16000).sound.blocks()))
    sound = np.pad(sound, (0, -len(sound) % 256))
    expected = MelSpectrogram(MEL_16KHZ)(torch.from_numpy(sound)[None])[0].numpy()
    np.testing.assert_allclose(vocoder.mel(talk).values, expected, atol=2e-4)


def test_files_hold_what_memory_held(vocoder, talk, tmp_path):
    told: list[tuple[int, int]] = []
    wav, mel = tmp_path / "o.wav", tmp_path / "o.safetensors"
    written = vocode_to_file(vocoder, talk, wav, mel, seed=5, chunk=20, progress=lambda d, t: told.append((d, t)))
    assert (written.sound, written.mel, written.seed, written.frames) == (wav, mel, 5, 79)
    assert told[0] == (0, 2)
    assert told[-1] == (2, 2)
    np.testing.assert_allclose(read(wav).samples, vocoder.vocode(talk, seed=5).samples, atol=1e-4)
    assert open_mel(mel).front_end == MEL_16KHZ
    only = vocode_to_file(vocoder, mel, tmp_path / "copy.wav", seed=5)
    assert only.mel is None
    np.testing.assert_allclose(
        read(tmp_path / "copy.wav").samples[: len(read(wav).samples)], read(wav).samples, atol=1e-4
    )


def test_long_mels_need_no_more_memory(vocoder, tmp_path):
    """tracemalloc sees numpy's arrays: the file's whole is 5 and 20 MB."""
    peaks = []
    for frames in (16_000, 64_000):
        np.save(tmp_path / "long.npy", np.full((80, frames), -9.0, np.float32))
        mel = open_mel(tmp_path / "long.npy")
        tracemalloc.start()
        vocode.check_mel(mel, MEL_16KHZ)
        blocks = vocoder._mels(vocoder._opened(tmp_path / "long.npy"), 256)
        assert sum(block.shape[2] for block in blocks) == frames
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_wrong_sources_are_refused(vocoder, talk, tmp_path):
    with pytest.raises(BadInput, match="sample_rate 22050 and 16000"):
        vocoder.vocode(Mel(noise_mel(), MEL_22KHZ))
    with pytest.raises(BadInput, match="frames first"):
        vocoder.vocode(noise_mel().T)
    with pytest.raises(BadInput, match="chunk 0"):
        vocoder.vocode(noise_mel(), chunk=0)
    with pytest.raises(AudioError, match="does not exist"):
        vocoder.vocode(tmp_path / "none.wav")
    with pytest.raises(BadInput, match="no output"):
        vocode_to_file(vocoder, talk)
    with pytest.raises(BadInput, match="is the source itself"):
        vocode_to_file(vocoder, talk, talk)
    np.save(tmp_path / "m.npy", noise_mel())
    with pytest.raises(BadInput, match="is the source itself"):
        vocode_to_file(vocoder, tmp_path / "m.npy", mel=tmp_path / "m.npy")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.npy", "talk.wav"]


def test_a_sound_too_long_for_memory_is_sent_to_a_file(vocoder, monkeypatch):
    monkeypatch.setattr(vocode, "MAXIMUM_SECONDS", 1.0)
    with pytest.raises(AudioError, match="vocode_to_file"):
        vocoder.vocode(noise_mel())


def test_load_gives_it_by_what_it_can_do(folder):
    import moksori

    made = moksori.load(folder)
    assert isinstance(made, MelVocoder)
    assert made.vocode(noise_mel(9)).duration_seconds == pytest.approx(9 * 256 / 16000)
    with pytest.raises(UnsupportedTask, match="leave the lexicon out"):
        moksori.load(folder, lexicon={"a": "b"})


def test_other_families_are_no_vocoders(toy_folder):
    with pytest.raises(UnsupportedTask, match="no vocoder: name one of the family"):
        MelVocoder(load_model(toy_folder))


def test_the_vocoder_for_a_mel_is_found(tmp_path, monkeypatch):
    home, weights = tmp_path / "home", tmp_path / "weights"
    weights.mkdir()
    monkeypatch.setenv("MOKSORI_HOME", str(home))
    monkeypatch.setattr(models, "bundled_folder", lambda: weights)
    with pytest.raises(CheckpointError, match="no vocoder is installed or bundled"):
        find_mel_vocoder()
    save_vocoder(home / "models" / "slow")
    assert find_mel_vocoder().name == "slow"
    save_vocoder(home / "models" / "fast", MEL_22KHZ)
    with pytest.raises(CheckpointError, match=r"several vocoders are here \(fast, slow\)"):
        find_mel_vocoder()
    index = {"default": "slow", "models": {"slow": {"family": "vocoder", "default": True}}}
    (weights / "index.json").write_text(json.dumps(index))
    assert find_mel_vocoder().name == "slow"
    assert find_mel_vocoder("fast").name == "fast"
    mel = Mel(noise_mel(), MEL_22KHZ).save(tmp_path / "m.safetensors")
    assert find_mel_vocoder(None, mel).name == "fast"
    assert find_mel_vocoder("slow", mel).name == "slow"  # refused later, with the difference
    other = Mel(noise_mel(), MEL_22KHZ.model_copy(update={"hop_length": 300})).save(tmp_path / "o.safetensors")
    with pytest.raises(BadInput, match="hop 300, 80 bands, and no vocoder here takes such"):
        find_mel_vocoder(None, other)
