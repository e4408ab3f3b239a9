"""Sound to codes and back, in memory, through files and through pipes: one answer whatever the way."""

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile

import moksori
from moksori.audio.io import read, read_metadata, write
from moksori.audio.pipe import read_pipe, wav_header
from moksori.errors import AudioError, BadInput, CheckpointError, MoksoriError, UnsupportedTask
from moksori.models.checkpoint import Manifest, fingerprint, load_model
from moksori.pipeline import codec as module
from moksori.pipeline.codec import SoundCodec, gain_to_level
from moksori.pipeline.codec_files import MkcWriter, load_codes
from moksori.pipeline.codec_streams import codes_ahead, decode_to_file, decode_to_pipe, encode_to_file, encode_to_pipe
from moksori.pipeline.codecs import codec_of_file, find_codec, required_codec
from moksori.types import LongRecording, Waveform

RATE = 8000


def speech_like(samples: int = 12_345, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Noise whose loudness comes and goes."""
    noise = np.random.default_rng(seed).standard_normal(samples)
    return (level * noise * (1.1 + np.sin(np.arange(samples) * 2e-3))).clip(-1, 1).astype(np.float32)


@pytest.fixture
def codec(codec_folder) -> SoundCodec:
    return moksori.load("small")


@pytest.mark.parametrize("samples", [1, 19, 20, 21, 8000, 12_345])
def test_the_sound_comes_back_as_long_as_it_was(codec, samples):
    assert isinstance(codec, SoundCodec)
    coded = codec.encode((speech_like(samples), RATE))
    assert coded.codes.shape == (3, -(-samples // 20))
    decoded = codec.decode(coded)
    assert decoded.samples.shape == (samples,)
    assert decoded.samples.dtype == np.float32
    assert decoded.sample_rate == RATE


def test_more_stages_are_nearer_and_cost_more(codec):
    sound = speech_like()
    coded = [codec.encode((sound, RATE), stages) for stages in (1, 2, 3)]
    assert [c.bits_per_second for c in coded] == [codec.bits_per_second(n) for n in (1, 2, 3)] == [4000, 8000, 12000]
    for less in coded[:2]:  # the first stages of more are what fewer give
        assert np.array_equal(coded[2].codes[: less.head.stages], less.codes)
        a, b = codec.decode(less), codec.decode(coded[2], stages=less.head.stages)
        assert np.array_equal(a.samples, b.samples)
        assert a.bits_per_second == b.bits_per_second == less.bits_per_second
    errors = [np.square(codec.decode(c).samples - sound).mean() for c in coded]
    assert errors[0] > errors[1] > errors[2]


def test_the_level_of_the_recording_does_not_matter_and_is_kept(codec):
    sound = speech_like(level=0.05)
    coded = codec.encode((sound, RATE))
    for factor in (0.1, 4.0):
        other = codec.encode((sound * np.float32(factor), RATE))
        assert np.mean(other.codes == coded.codes) > 0.99
        assert other.head.gain == pytest.approx(coded.head.gain / factor, rel=1e-3)
        level = np.square(codec.decode(other).samples).mean() / np.square(codec.decode(coded).samples).mean()
        assert level == pytest.approx(factor**2, rel=0.02)
    assert gain_to_level(0.0) == 1.0
    assert gain_to_level(1e-12) == module.MAXIMUM_GAIN


def test_silence_stays_silence(codec):
    coded = codec.encode((np.zeros(1000, np.float32), RATE))
    assert coded.head.gain == 1.0
    assert not codec.decode(coded).samples.any()


def test_files_channels_and_rates(codec, tmp_path):
    mono = speech_like(16_000)
    soundfile.write(tmp_path / "eight.wav", np.repeat(mono[:, None], 8, axis=1), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "one.wav", mono, 16_000, subtype="FLOAT")
    one, eight = (codec.encode(tmp_path / name) for name in ("one.wav", "eight.wav"))
    assert one.samples == 8000
    assert np.mean(one.codes == eight.codes) > 0.999
    path = one.save(tmp_path / "one.mkc")
    decoded = codec.decode(path)
    assert np.array_equal(decoded.samples, codec.decode(one).samples)
    saved = decoded.save(tmp_path / "out.flac")
    assert read_metadata(saved)["bits_per_second"] == "12000"
    assert read_metadata(saved)["synthetic"] == "true"


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ((np.full(100, np.nan, np.float32), RATE), "holds NaN or infinity"),
        ((np.zeros(0, np.float32), RATE), "holds no sample at 8000 Hz"),
        ((np.zeros(10, np.int16), RATE), "divide 16-bit integers by 32768"),
        ((np.zeros((2, 2, 2), np.float32), RATE), r"\[samples\] or \[samples, channels\]"),
        ("none.wav", "does not exist"),
        (3, "expected a path, a pair"),
    ],
)
def test_what_cannot_be_coded_is_told(codec, audio, message):
    with pytest.raises(AudioError, match=message):
        codec.encode(audio)


def test_too_long_for_the_memory_is_told(codec, monkeypatch):
    monkeypatch.setattr(module, "MAXIMUM_SECONDS", 1.0)
    with pytest.raises(AudioError, match=r"lasts 2 s, 1 s at most are coded in memory: write it to a file with"):
        codec.encode((speech_like(16_000), RATE))


def test_wrong_numbers_of_stages_are_told(codec):
    for stages in (0, 4, -1):
        with pytest.raises(BadInput, match=rf"stages {stages}: expected a whole number from 1 to 3"):
            codec.encode((speech_like(100), RATE), stages)
    with pytest.raises(BadInput, match="stages 2: expected a whole number from 1 to 1"):
        codec.decode(codec.encode((speech_like(100), RATE), 1), stages=2)


def test_codes_of_another_codec_are_refused_by_name(codec, codec_family, tmp_path):
    other = SoundCodec(load_model(codec_family.save_codec(tmp_path / "other", stages=2)))
    coded = codec.encode((speech_like(100), RATE))
    with pytest.raises(CheckpointError, match=r"made by the codec 'small' \(\w{16}\), and means nothing to other \("):
        other.decode(coded)
    odd = replace(coded, head=replace(coded.head, hop_length=40))
    with pytest.raises(AudioError, match="its numbers are not those of small"):
        codec.decode(odd)


def test_nan_of_a_broken_codec_is_told(codec_family, tmp_path):
    codec = SoundCodec(load_model(codec_family.save_codec(tmp_path / "broken", breaks="nan")))
    with pytest.raises(MoksoriError, match="broken: made NaN or infinity of these codes"):
        codec.decode(codec.encode((speech_like(100), RATE)))


def test_a_model_that_is_no_codec_is_refused(codec_folder, toy_family, tmp_path):
    loaded = load_model(toy_family.save_toy(tmp_path / "toy"))
    with pytest.raises(UnsupportedTask, match=r"a 'toy' model is no codec: name one of the family .*smallcodec"):
        SoundCodec(loaded)


def test_which_codec_is_meant(codec_folder, codec_family, tmp_path):
    mark = fingerprint(codec_folder)
    assert find_codec("small").name == find_codec().name == "small"
    assert codec_of_file("a.mkc", "whatever", mark).name == "small"
    assert codec_of_file("a.mkc", "whatever", mark, codec_folder).name == "small"
    needing = Manifest(family="toy", name="ns2", model={}, sample_rate=8000, requires={"other": mark})
    assert required_codec(needing).name == "small"
    other = codec_family.save_codec(tmp_path / "other", stages=2)
    with pytest.raises(CheckpointError, match=r"a\.mkc: was made by the codec 'small' .* means nothing to other \("):
        codec_of_file("a.mkc", "small", mark, str(other))
    with pytest.raises(CheckpointError, match=r"'lost' \(0123\), which is not here: install it, or name its folder"):
        codec_of_file("a.mkc", "lost", "0123")
    with pytest.raises(CheckpointError, match="ns2: does not say which codec its latents are of"):
        required_codec(needing.model_copy(update={"requires": {}}))
    codec_family.save_codec(tmp_path / "home" / "models" / "second")
    with pytest.raises(BadInput, match="the models 'second' and 'small' are codecs: choose with --model"):
        find_codec()


def test_nothing_installed_is_told(codec_family, monkeypatch, tmp_path):
    from moksori.pipeline import models

    monkeypatch.setattr(models, "bundled_folder", lambda: tmp_path)
    with pytest.raises(CheckpointError, match="no codec is installed or bundled here"):
        find_codec()


def wav_bytes(sound: np.ndarray) -> bytes:
    return wav_header(RATE, {}) + np.rint(sound * 32768).clip(-32768, 32767).astype("<i2").tobytes()


def test_files_pipes_and_memory_give_one_answer(codec, tmp_path):
    """The level of a pipe is that of its first second, so the sound here is equally loud throughout."""
    sound = np.tile(speech_like(RATE), 12)[: 11 * RATE + 77]
    write(tmp_path / "a.wav", Waveform(sound, RATE))
    told = []
    work = encode_to_file(codec, tmp_path / "a.wav", tmp_path / "a.mkc", 2, lambda done, of: told.append((done, of)))
    in_memory = codec.encode(tmp_path / "a.wav", 2)
    assert load_codes(tmp_path / "a.mkc").head == in_memory.head
    assert np.array_equal(load_codes(tmp_path / "a.mkc").codes, in_memory.codes)
    assert (work.stages, work.bits_per_second, work.duration_seconds) == (2, 8000, len(sound) / RATE)
    assert work.bytes == (tmp_path / "a.mkc").stat().st_size
    assert told[-1] == (11, 12)

    with codes_ahead(tmp_path / "a.mkc") as ahead:
        assert (ahead.samples, ahead.frames) == (len(sound), -(-len(sound) // 20))
        done = decode_to_file(codec, ahead, tmp_path / "b.wav")
    expected = codec.decode(in_memory).samples
    decoded = read(tmp_path / "b.wav")
    assert len(decoded.samples) == len(sound)
    np.testing.assert_allclose(decoded.samples, expected, atol=1 / 32768)
    assert done.bytes == work.bytes
    assert done.duration_seconds == work.duration_seconds

    piped = io.BytesIO()
    source = io.BytesIO(wav_bytes(sound))
    encode_to_pipe(codec, source.read, piped, 2)
    out = io.BytesIO()
    with codes_ahead(io.BytesIO(piped.getvalue()).read) as ahead:
        assert np.isclose(ahead.head.gain, in_memory.head.gain, rtol=0.2)
        decode_to_pipe(codec, ahead, out)
    rate, blocks = read_pipe(io.BytesIO(out.getvalue()).read, "out")
    heard = np.concatenate(list(blocks))
    assert (rate, len(heard)) == (RATE, len(sound))
    error = np.square(heard - sound).mean() / np.square(sound).mean()
    assert error < 1.1 * np.square(expected - sound).mean() / np.square(sound).mean()


def test_what_was_heard_is_coded_before_the_pipe_ends(codec):
    """After a second for the level, codes leave with the sound: nothing waits for the end."""
    source, out, behind = io.BytesIO(wav_bytes(speech_like(4 * RATE))), io.BytesIO(), []

    def read(size: int) -> bytes:
        heard_seconds = source.tell() / (2 * RATE)
        coded_seconds = len(out.getvalue()) / (400 * 30 / 8)  # a little more than that: blocks have a frame around them
        behind.append(heard_seconds - coded_seconds)
        return source.read(min(size, 320))

    encode_to_pipe(codec, read, out)
    assert len(behind) > 200
    assert max(behind) < 1.1


def test_sound_leaves_before_the_codes_end(codec):
    coded, stream = codec.encode((speech_like(4 * RATE), RATE)), io.BytesIO()
    writer = MkcWriter(stream, coded.head, at_least=1)
    for start in range(0, coded.codes.shape[1], 40):
        writer.push(coded.codes[:, start : start + 40])
    writer.finish(coded.samples)
    whole, out, seen = io.BytesIO(stream.getvalue()), io.BytesIO(), []

    def read(size: int) -> bytes:
        seen.append((whole.tell() / len(stream.getvalue()), len(out.getvalue()) / (8 * RATE)))
        return whole.read(size)

    with codes_ahead(read) as ahead:
        decode_to_pipe(codec, ahead, out, "pcm")
    assert len(out.getvalue()) == 8 * RATE
    assert max(read_share - written for read_share, written in seen) < 0.05


def test_a_damaged_pipe_or_file_leaves_no_sound(codec, tmp_path):
    path = codec.encode((speech_like(RATE * 30), RATE)).save(tmp_path / "a.mkc")
    data = path.read_bytes()[:-100]
    (tmp_path / "cut.mkc").write_bytes(data)
    with pytest.raises(AudioError, match="cut off after"), codes_ahead(tmp_path / "cut.mkc"):
        pass
    with pytest.raises(AudioError, match="stdin: is cut off after"), codes_ahead(io.BytesIO(data).read) as ahead:
        decode_to_file(codec, ahead, tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mkc", "cut.mkc", "home"]


def test_bad_pipes_and_outputs_are_told(codec, tmp_path):
    write(tmp_path / "a.wav", Waveform(speech_like(), RATE))
    with pytest.raises(AudioError, match="stdin: is no wav"):
        encode_to_pipe(codec, io.BytesIO(b"hello").read, io.BytesIO())
    with pytest.raises(AudioError, match="stdin: holds no sample"):
        encode_to_pipe(codec, io.BytesIO(wav_header(RATE, {})).read, io.BytesIO())
    with pytest.raises(BadInput, match=r"a coded recording ends in \.mkc"):
        encode_to_file(codec, tmp_path / "a.wav", tmp_path / "a.codes")
    with pytest.raises(BadInput, match="stages 9"):
        encode_to_file(codec, tmp_path / "a.wav", tmp_path / "a.mkc", 9)
    codec.encode(tmp_path / "a.wav").save(tmp_path / "a.mkc")
    with codes_ahead(tmp_path / "a.mkc") as ahead, pytest.raises(AudioError, match=r"has the suffix '\.xyz'"):
        decode_to_file(codec, ahead, tmp_path / "a.xyz")


def test_memory_does_not_grow_with_the_recording(codec, tmp_path):
    """What is held at once is a block, however long the recording: counted in samples, not in bytes of the process."""
    most = 0

    def blocks():
        nonlocal most
        for _ in range(50):
            most += RATE
            yield speech_like(RATE)

    frames = 0
    for codes in codec.codes(LongRecording(50 * RATE, RATE, blocks), 1.0):
        frames += codes.shape[1]
        assert most - frames * 20 <= RATE  # codes leave with the block that they are of
    assert frames == 50 * RATE // 20
