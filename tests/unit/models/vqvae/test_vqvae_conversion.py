"""Conversion in blocks of any size is that of the whole; codes in between say the same; lengths and delays."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from moksori.audio.harmonics import looked_up
from moksori.corpus.synthetic import synthetic_examples
from moksori.models.vqvae import Vqvae
from moksori.pipeline.run_config import run_config
from moksori.types import ConvertControls, LongRecording, PitchRange, SoundBatch, SpeechNeeds, Voice

CONTROLS = ConvertControls()
VOICE = Voice("vqvae", 1, pitch=PitchRange(5.0, 0.2))
WAVENET = "model.decoder={kind: wavenet, residual_channels: 8, skip_channels: 8, cycles: 1, layers: 5}"
PITCH = "model.pitch={hop_length: 64, harmonics: false}"
OTHERS = {
    "mel": (),
    "no melody": ("model.pitch=null",),
    "no harmonics": ("model.pitch.harmonics=false",),
    "scalars": ("model.quantizer={kind: scalars}",),
    "wavenet": (WAVENET, PITCH),
    "linear": (WAVENET, PITCH, "model.decoder.upsampling=linear", "model.decoder.temperature=0"),
    "wave": (WAVENET, "model.pitch=null", "model.encoder={kind: wave, channels: 8}"),
}


def made(*overrides: str) -> Vqvae:
    config = run_config("vqvae/tiny", overrides)
    torch.manual_seed(0)
    model = Vqvae(config.model).eval()
    if not isinstance(model.quantizer, torch.nn.Module) or hasattr(model.quantizer, "codebook"):
        model.quantizer.start(torch.randn(400, config.model.code_channels), torch.Generator().manual_seed(0))
    return model


def speech(count: int = 1) -> np.ndarray:
    examples = synthetic_examples(SpeechNeeds(16000, 64), 4, seed=2, speakers=2)
    joined = np.concatenate([example.waveform for example in examples])
    return joined[: count * 16000 - 37]


def recording(samples: np.ndarray, size: int = 3000) -> LongRecording:
    parts = [samples[at : at + size] for at in range(0, len(samples), size)]
    return LongRecording(len(samples), 16000, lambda: iter(parts))


def converted(model: Vqvae, samples: np.ndarray, size: int, speaker: int = 1, live: bool = False) -> torch.Tensor:
    voice, generator = replace(VOICE, speaker=speaker), torch.Generator().manual_seed(3)
    if model.makes_mels:
        blocks = recording(samples, size).blocks()
        return torch.cat(list(model.convert_to_mels(blocks, voice, None, CONTROLS, live, generator)), dim=2)
    parts = model.convert_in_blocks(recording(samples, size), voice, None, CONTROLS, generator=generator)
    return torch.cat(list(parts), dim=1)


@pytest.mark.parametrize("kind", OTHERS)
def test_blocks_of_any_size_are_the_whole(kind: str) -> None:
    model, samples = made(*OTHERS[kind]), speech(3 if not OTHERS[kind] or "mel" in kind else 1)
    whole = converted(model, samples, len(samples))
    for size in (137, 4001):
        torch.testing.assert_close(converted(model, samples, size), whole, rtol=0.0, atol=1e-5)
    if model.makes_mels:
        assert whole.shape[2] == -(-len(samples) // 256)
        torch.testing.assert_close(converted(model, samples, 800, live=True), whole, rtol=0.0, atol=1e-3)
    else:
        assert whole.shape[1] == len(samples)


@pytest.mark.parametrize("kind", OTHERS)
def test_codes_say_what_the_direct_path_says(kind: str) -> None:
    model, samples = made(*OTHERS[kind]), speech()
    said = model.read(recording(samples))
    assert (said.melody is None) == (model.config.pitch is None)
    assert len(said.codes) == -(-len(samples) // model.config.code_samples)
    again = torch.cat(list(model.say_codes(said, VOICE, generator=torch.Generator().manual_seed(3))), dim=-1)
    assert torch.equal(again, converted(model, samples, 2000))


def test_the_speaker_is_what_changes() -> None:
    model, samples = made(), speech()
    one, other = (converted(model, samples, 4000, speaker) for speaker in (0, 1))
    assert float((one - other).abs().mean()) > 1e-3
    assert np.array_equal(model.read(recording(samples)).codes, model.read(recording(samples)).codes)


def test_the_melody_moves_with_the_pitch() -> None:
    model, samples = made(), speech()
    plain, up = (model.read(recording(samples), shift).melody for shift in (0.0, 3.0))
    voiced = plain[1] > 0
    assert np.array_equal(plain[1], up[1])
    assert voiced.mean() > 0.3
    np.testing.assert_allclose((up - plain)[0][voiced], 3.0 * np.log(2) / 12 / 0.25, atol=0.011)
    assert not up[0][~voiced].any()


def test_harmonics_lie_where_the_target_speaks() -> None:
    """Of a melody around its mean: the comb of the target's own pitch, and none where nothing is voiced."""
    model = made()
    melody = torch.zeros(1, 2, 3)
    melody[0, 0], melody[0, 1] = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])
    found = model.melodic(melody, 5.0)[0]
    assert found.shape == (82, 3)
    torch.testing.assert_close(found[:2], melody[0])
    torch.testing.assert_close(found[2:, 0], looked_up(model.combs, torch.tensor(5.0)))
    torch.testing.assert_close(found[2:, 1], looked_up(model.combs, torch.tensor(5.25)))
    assert not found[2:, 2].any()
    low, high = (replace(VOICE, pitch=PitchRange(mean, 0.2)) for mean in (4.7, 5.4))
    said = model.read(recording(speech()))
    one, other = (torch.cat(list(model.say_codes(said, voice)), dim=2) for voice in (low, high))
    assert float((one - other).abs().mean()) > 1e-3


def test_what_comes_late_comes_as_late_as_it_is_told() -> None:
    """No sample leaves later than `delay_seconds` after it came."""
    for kind in ("mel", "wave", "linear"):
        model, samples = made(*OTHERS[kind]), speech(2 if kind == "mel" else 1)
        voice = Voice("vqvae", 1)
        if model.makes_mels:
            conversion, hop = model._mel_conversion(VOICE, CONTROLS, live=True), 256
            delay = conversion.delay_frames * hop
            assert model.live_delay_frames == conversion.delay_frames
        else:
            conversion, hop = model.stream(voice, CONTROLS), 1
            delay = round(conversion.delay_seconds * 16000)
        left, waited = 0, 0
        for came in range(0, len(samples), 160):
            left += conversion.push(samples[came : came + 160]).shape[-1] * hop
            waited = max(waited, min(came + 160, len(samples)) - left)
        assert 0.5 * delay < waited <= delay + 160 + hop, kind


def test_batches_of_sounds_and_what_a_model_is_not() -> None:
    model = made(*OTHERS["wave"])
    sounds = SoundBatch(torch.zeros(2, 3000), torch.tensor([3000, 1000]))
    sounds.waveform[0], sounds.waveform[1, :1000] = 0.1 * torch.randn(3000), 0.1 * torch.randn(1000)
    found = model.convert(sounds, Voice("vqvae", 0), None, CONTROLS, torch.Generator().manual_seed(0))
    assert found.waveform.shape == (2, 3000)
    assert not found.waveform[1, 1000:].any()
    assert not hasattr(model, "mel_config")
    assert not hasattr(model, "live_delay_frames")
    with pytest.raises(ValueError, match="a vocoder turns into sound"):
        made().stream(Voice("vqvae", 0), CONTROLS)
    said = model.read(recording(speech()))
    with pytest.raises(ValueError, match="another model's"):
        list(made().say_codes(said, VOICE))


def test_a_recording_shorter_than_a_code() -> None:
    for kind in ("mel", "wave"):
        model = made(*OTHERS[kind])
        for count in (1, 40, 300, 1700):
            found = converted(model, 0.1 * speech()[:count], 64)
            assert found.shape[-1] == (-(-count // 256) if model.makes_mels else count)


def test_what_probes_look_at() -> None:
    model = made()
    sound = torch.from_numpy(speech()[: 16000 // 256 * 256 - 256])[None]
    codes = model.encode(sound)
    assert codes.shape == (1, 16, sound.shape[1] // model.window_samples)
    assert len({tuple(column.tolist()) for column in codes[0].T}) <= model.quantizer.size
    shown = model.codes(SoundBatch(sound, torch.tensor([sound.shape[1]])))
    torch.testing.assert_close(shown["content"], codes.mean(dim=2))
