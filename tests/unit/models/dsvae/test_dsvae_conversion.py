"""D-DSVAE on recordings of any length: chunks, what is drawn, voices, and what live sound costs in time."""

import itertools
from functools import cache

import numpy as np
import pytest
import torch
from small_imitator import tiny_dsvae
from torch import Tensor

from moksori.models.contract import CanConvertMels, CanEnroll
from moksori.models.decoders.pitch import Pitch
from moksori.models.dsvae import Dsvae
from moksori.models.dsvae.conversion import ChunkedConversion, Chunking, heard
from moksori.types import ConvertControls, LongRecording, Voice

RATE, HOP = 16000, 256


@cache
def model() -> Dsvae:
    return tiny_dsvae()


@cache
def with_pitch() -> Dsvae:
    return tiny_dsvae(overrides=("model.pitch={channels: 16, num_layers: 2}",))


@cache
def voice(seed: int = 0) -> Voice:
    return Voice("dsvae", vector=torch.randn(16, generator=torch.Generator().manual_seed(seed)))


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    voiced = np.sin(2 * np.pi * 130 * time + 3 * np.sin(2 * np.pi * 1.7 * time)) * (1 + np.sin(2 * np.pi * 3 * time))
    return (0.1 * voiced + draw.normal(0, 0.01, len(time))).astype(np.float32)


def mels(frames: int) -> Tensor:
    return torch.randn(1, 80, frames, generator=torch.Generator().manual_seed(5)) - 4.0


def in_blocks(samples: np.ndarray, size: int):
    return (samples[start : start + size] for start in range(0, len(samples), size))


def converted(samples: np.ndarray, size: int = 4000, live: bool = False, seed: int = 1, **controls) -> Tensor:
    draw, blocks = torch.Generator().manual_seed(seed), in_blocks(samples, size)
    made = model().convert_to_mels(blocks, voice(), voice(1), ConvertControls(**controls), live, draw)
    return torch.cat(list(made), dim=2)


def pushed(chunking: Chunking, mel: Tensor, size: int, temperature: float = 0.0) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    conversion = ChunkedConversion(model(), voice().vector[None], chunking, temperature, draw)
    with torch.inference_mode():
        return torch.cat([*(conversion.push(part) for part in mel.split(size, dim=2)), conversion.finish()], dim=2)


def test_it_is_what_the_pipeline_asks_for() -> None:
    assert isinstance(model(), CanConvertMels)
    assert isinstance(model(), CanEnroll)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("seconds", [0.1, 1.03, 9.9])
def test_what_one_chunk_holds_is_converted_as_a_whole(seconds: float, temperature: float) -> None:
    samples = sound(seconds)
    mel = model().mel(torch.nn.functional.pad(torch.from_numpy(samples), (0, -len(samples) % HOP))[None])
    whole = model().converted(mel, voice().vector[None], 1.0, temperature, None, torch.Generator().manual_seed(1))
    torch.testing.assert_close(converted(samples, variation=temperature), whole, atol=1e-4, rtol=0)


def test_strength_lies_between_the_two_voices() -> None:
    samples = sound(2.0)
    mel = model().mel(torch.nn.functional.pad(torch.from_numpy(samples), (0, -len(samples) % HOP))[None])
    with torch.inference_mode():
        between = voice(1).vector + 0.3 * (voice().vector - voice(1).vector)
        wanted = model().decode(between[None], model().content(mel).mean)
    torch.testing.assert_close(converted(samples, strength=0.3), wanted, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="needs the source's own voice"):
        list(model().convert_to_mels([samples], voice(), None, ConvertControls(strength=0.3)))
    with pytest.raises(ValueError, match="'table' has no vector"):
        list(model().convert_to_mels([samples], Voice("dsvae", 3, "table"), None, ConvertControls()))


@pytest.mark.parametrize("live", [False, True], ids=["long chunks", "live"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_size_of_blocks_does_not_matter(live: bool, temperature: float) -> None:
    samples = sound(13.3)
    first, *others = (converted(samples, size, live, variation=temperature) for size in (160, 33_333, len(samples)))
    assert first.shape == (1, 80, -(-len(samples) // HOP))
    for other in others:
        torch.testing.assert_close(other, first, atol=1e-4, rtol=0)


@pytest.mark.parametrize("frames", [1, 39, 40, 41, 49, 50, 51, 79, 80, 81, 90, 91, 137, 400])
@pytest.mark.parametrize("chunking", [Chunking(0, 40, 10), Chunking(30, 20, 10), Chunking(0, 50, 0)], ids=str)
def test_every_length_gives_as_many_frames_whatever_comes_at_once(chunking: Chunking, frames: int) -> None:
    mel = mels(frames)
    wanted = pushed(chunking, mel, frames, 0.5)
    assert wanted.shape == mel.shape
    for size in (1, 7, 64):
        torch.testing.assert_close(pushed(chunking, mel, size, 0.5), wanted, atol=1e-4, rtol=0)


def test_with_a_predicted_pitch_one_chunk_is_converted_as_a_whole_too() -> None:
    samples, target = sound(5.2), torch.cat([voice().vector, torch.tensor([5.3])])
    mel = with_pitch().mel(torch.nn.functional.pad(torch.from_numpy(samples), (0, -len(samples) % HOP))[None])
    made = with_pitch().convert_to_mels([samples], Voice("dsvae", vector=target), None, ConvertControls())
    torch.testing.assert_close(
        torch.cat(list(made), dim=2), with_pitch().converted(mel, target[None]), atol=1e-4, rtol=0
    )
    assert len(with_pitch().draw_voice(0.0, 1.0)) == 17


def test_melody_is_read_against_the_mean_of_all_that_came(monkeypatch) -> None:
    """A second half an octave higher stays higher: its own mean would bring it back."""
    log_f0 = torch.cat([torch.full((1, 40), 4.8), torch.full((1, 60), 5.5)], dim=1)
    mel, chunking = mels(100), Chunking(0, 40, 0)
    place = {float(mel[0, 0, frame]): frame for frame in range(100)}

    def predicted(standard: Tensor, mask: Tensor | None = None) -> Pitch:
        first = place[float(with_pitch().standardize.inverse(standard)[0, 0, 0])]
        found = log_f0[:, first : first + standard.shape[2]]
        return Pitch(found.clone(), torch.ones_like(found))

    heights: list[Tensor] = []
    decode = Dsvae.decode

    def seen(self, speaker: Tensor, content: Tensor, mask: Tensor | None = None) -> Tensor:
        heights.append(content[0, :, -2].clone())
        return decode(self, speaker, content, mask)

    monkeypatch.setattr(with_pitch().pitch_predictor, "predict", predicted)
    monkeypatch.setattr(Dsvae, "decode", seen)
    target = torch.cat([voice().vector, torch.tensor([5.0])])[None]
    conversion = ChunkedConversion(with_pitch(), target, chunking)
    with torch.inference_mode():
        for part in mel.split(9, dim=2):
            conversion.push(part)
        conversion.finish()
    first, second, last = heights
    assert first.abs().max() < 1e-5
    torch.testing.assert_close(second, torch.full((40,), 5.5 - (4.8 + 5.5) / 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(last[-1], torch.tensor(5.5 - (0.4 * 4.8 + 0.6 * 5.5)), atol=1e-5, rtol=0)


def test_chunks_are_faded_into_each_other() -> None:
    """Against the same made by hand: two chunks that overlap, contents faded, then mels."""
    mel, chunking = mels(70), Chunking(0, 40, 10)
    weight = (torch.arange(10) + 0.5) / 10
    with torch.inference_mode():
        first = model().content(mel[..., :50]).mean
        last = model().content(mel[..., 20:70]).mean  # the last chunk is as long as the others
        faded = torch.lerp(first[:, 40:50], last[:, 20:30], weight[:, None])
        content = torch.cat([first[:, 20:40], faded, last[:, 30:]], dim=1)
        old = model().decode(voice().vector[None], first)
        new = model().decode(voice().vector[None], content)[..., 20:]
        mixed = torch.cat([torch.lerp(old[..., 40:], new[..., :10], weight), new[..., 10:]], dim=2)
    torch.testing.assert_close(pushed(chunking, mel, 70), torch.cat([old[..., :40], mixed], dim=2), atol=1e-5, rtol=0)


def test_chunks_change_little_where_nothing_changes() -> None:
    """Where a recording repeats itself, so does what is made of it, over the joints of chunks too."""
    made = pushed(Chunking(0, 100, 20), mels(25).repeat(1, 1, 16), 400)
    steps = (made[..., 25:] - made[..., :-25]).abs().mean(dim=(0, 1))  # against one period before
    assert steps[25:-25].max() < 0.1 * made.std()


def test_memory_does_not_grow_with_the_length() -> None:
    conversion = ChunkedConversion(model(), voice().vector[None], Chunking(0, 40, 10), 0.5, torch.Generator())
    kept = []
    with torch.inference_mode():
        for part in itertools.repeat(mels(8), 60):
            conversion.push(part)
            kept.append((conversion._mel.shape[2], conversion._content.shape[1], conversion._noise.shape[1]))
    assert max(max(sizes) for sizes in kept) <= 110
    assert max(kept[30:]) <= max(kept[:30])


def test_two_hours_pass_through() -> None:
    """Blocks that are made as they are read; what comes out is dropped at once."""
    import resource

    small = ("model.mel.hop_length=1000", "model.content.hidden_channels=8", "model.content.recurrent_channels=8",
             "model.shared.channels=8", "model.decoder.channels=8", "model.decoder.first_channels=8")  # fmt: skip
    tiny, block = tiny_dsvae(overrides=small), sound(10.0)

    def frames(seconds: int) -> int:
        blocks = itertools.repeat(block, seconds // 10)
        return sum(m.shape[2] for m in tiny.convert_to_mels(blocks, voice(), None, ConvertControls()))

    assert frames(60) == 960
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert frames(7200) == 115_200
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20_000  # KiB; the mels alone would be 36,000, the samples 450,000


def test_live_sound_leaves_within_the_stated_delay() -> None:
    came = left = worst = 0

    def coming():
        nonlocal came
        for block in in_blocks(sound(6.0), 64):
            came += len(block)
            yield block

    for made in model().convert_to_mels(coming(), voice(), None, ConvertControls(), live=True):
        if came < 6 * RATE:
            worst = max(worst, came - left * HOP)
        left += made.shape[2]
    stated = model().live_delay_frames * HOP
    assert stated - 2 * HOP < worst <= stated
    assert stated / RATE < 0.9


# ---- voices ----


def recording(samples: np.ndarray, size: int = 10_000) -> LongRecording:
    return LongRecording(len(samples), RATE, lambda: in_blocks(samples, size))


def test_a_voice_is_the_mean_over_windows() -> None:
    samples = sound(6.4)
    mel = model().mel(torch.from_numpy(samples)[None])
    vectors = [model().speaker_vector(mel[..., start : start + 100]) for start in (*range(0, 301, 50),)]
    found = model().hear(recording(samples))
    torch.testing.assert_close(found.windows, torch.cat(vectors), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.vector, torch.cat(vectors).mean(dim=0), atol=1e-4, rtol=0)
    assert 5.5 < found.speech_seconds < 6.4  # its level falls to nothing three times a second


def test_the_last_window_ends_where_the_recording_does() -> None:
    samples = sound(2.0)  # 125 frames
    mel = model().mel(torch.from_numpy(samples)[None])
    wanted = [model().speaker_vector(mel[..., start : start + 100]) for start in (0, 25)]
    torch.testing.assert_close(model().hear(recording(samples)).windows, torch.cat(wanted), atol=1e-4, rtol=0)


def test_short_recordings_are_repeated() -> None:
    samples = sound(0.64)  # 40 frames
    mel = model().mel(torch.from_numpy(samples)[None]).repeat(1, 1, 3)[..., :100]
    found = model().hear(recording(samples))
    torch.testing.assert_close(found.windows, model().speaker_vector(mel), atol=1e-4, rtol=0)
    assert found.speech_seconds == pytest.approx(0.6, abs=0.06)


def test_windows_without_speech_do_not_count() -> None:
    speech, pause = sound(3.2), np.zeros(8 * RATE, np.float32)
    alone = model().hear(recording(speech))
    found = model().hear(recording(np.concatenate([pause, speech, pause])))
    assert found.speech_seconds == pytest.approx(alone.speech_seconds, abs=0.2)
    assert len(found.windows) <= len(alone.windows) + 2
    short = model().hear(recording(np.concatenate([pause, sound(0.3), pause])))
    assert len(short.windows) in (1, 2)  # less than half of any window: the fullest
    assert short.speech_seconds == pytest.approx(0.3, abs=0.1)


def test_the_size_of_blocks_does_not_matter_for_a_voice() -> None:
    samples = sound(9.7)
    wanted = heard(model(), recording(samples, len(samples)))
    for size in (333, 50_000):
        found = heard(model(), recording(samples, size))
        torch.testing.assert_close(found.windows, wanted.windows, atol=1e-4, rtol=0)
        assert found.speech_seconds == wanted.speech_seconds


def test_drawn_voices_follow_mean_deviation_and_seed() -> None:
    first, again = (model().draw_voice(1.0, 0.5, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(model().draw_voice(1.0, 0.0, torch.Generator()), torch.ones(16))
    plain = model().draw_voice(0.0, 1.0, torch.Generator().manual_seed(4))
    torch.testing.assert_close(first, 1.0 + 0.5 * plain)
