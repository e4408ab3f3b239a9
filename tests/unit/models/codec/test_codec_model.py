"""A codec as a model: lengths, codes and latents, blocks that together are the whole, sizes, what cannot be encoded."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from moksori.errors import AudioError, ConfigError, UnsupportedTask
from moksori.models.codec import Codec, CodecConfig
from moksori.models.contract import CanReconstruct
from moksori.models.contract_latents import CanCompress, CanShowMels
from moksori.pipeline.run_config import run_config
from moksori.types import LongRecording

HOP = 200
WAVE = (
    "model.encoder={kind: seanet, channels: 4, strides: [2, 4, 5, 5], residual_layers: 1}",
    "model.decoder={kind: seanet, channels: 4, strides: [2, 4, 5, 5], residual_layers: 1}",
    "objective.restored_steps=0", "objective.magnitude_steps=0",
    "objective.loss_weights={multi_mel: 15, waveform: 0.1, commitment: 0.25, adversarial: 1, feature_matching: 2}",
)  # fmt: skip
CAUSAL = tuple(text.replace("residual_layers", "causal: true, residual_layers") for text in WAVE)
ISTFT = (
    "model.decoder={kind: istft, channels: 16, inner_channels: 32, num_layers: 1}", "objective.restored_steps=0",
    "objective.magnitude_steps=0", "objective.loss_weights={mel: 15, commitment: 0.25}",
)  # fmt: skip
SOURCED = (
    "model.decoder.sound={kind: sourced, channels: 32, inner_channels: 64, num_layers: 2, pitch_channels: 8, "
    "pitch_layers: 1}",
)
SHAPES = {"mel": (), "wave": WAVE, "causal": CAUSAL, "istft": ISTFT, "sourced": SOURCED}


def codec(overrides: tuple[str, ...] = ()) -> Codec:
    """A tiny one whose codebooks lie where its states are, and whose parts that start at 0 do something."""
    torch.manual_seed(0)
    config = run_config("codec/tiny", overrides)
    model = Codec(config.model)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if not bool(parameter.any()):
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=draw))
        states = model.encoder(noise(1, 8000))[0].T
    model.quantizer.start(states, draw)
    return model.eval()


def noise(batch: int, samples: int, seed: int = 0) -> torch.Tensor:
    """Louder and quieter by turns, so that frames differ."""
    sound = torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))
    return 0.2 * sound * (1.2 + torch.sin(torch.arange(samples) / 700.0))


def recording(samples: torch.Tensor, block: int) -> LongRecording:
    values = samples.numpy()

    def blocks() -> Iterator[np.ndarray]:
        return (values[start : start + block] for start in range(0, len(values), block))

    return LongRecording(len(values), 16000, blocks)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("samples", [1, 199, 200, 201, 16001])
def test_lengths(shape: str, samples: int) -> None:
    model = codec(SHAPES[shape])
    codes = model.compress(noise(2, samples))
    frames = -(-samples // HOP)
    assert codes.shape == (2, model.stages, frames)
    assert codes.dtype == torch.int64
    assert 0 <= int(codes.min()) <= int(codes.max()) < model.code_count
    sound = model.expand(model.latents(codes))
    assert sound.shape == (2, frames * HOP)
    assert bool(sound.isfinite().all())
    assert model.reconstruct(noise(2, samples), torch.zeros(2, dtype=torch.int64)).shape == (2, samples)


def test_what_it_promises() -> None:
    model = codec()
    assert isinstance(model, CanCompress)
    assert isinstance(model, CanReconstruct)
    assert (model.sample_rate, model.hop_length, model.stages, model.code_count) == (16000, 200, 4, 16)
    codes = model.compress(noise(1, 5000))
    rows = sum(model.codebooks[stage][codes[:, stage]] for stage in range(4)).transpose(1, 2)
    torch.testing.assert_close(model.latents(codes), rows)
    assert torch.equal(model.compress(noise(1, 5000), 2), codes[:, :2])
    assert model.latents(codes[:, :2]).shape == rows.shape
    assert not model.latents(codes).requires_grad


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("samples", [150, 7000, 40013])
def test_blocks_of_sound_have_the_codes_of_the_whole(shape: str, samples: int, monkeypatch) -> None:
    monkeypatch.setattr("moksori.models.codec.streaming.CODED_FRAMES", 25)
    model, sound = codec(SHAPES[shape]), noise(1, samples)
    whole = model.compress(sound, 3)
    parts = list(model.compress_blocks(recording(sound[0], 999), 3))
    assert len(parts) > 1 or samples < 8000
    joined = torch.cat(parts, dim=2)
    assert joined.shape == whole.shape
    assert float((joined == whole).float().mean()) == 1.0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_blocks_of_latents_sound_like_the_whole(shape: str, known: bool, monkeypatch) -> None:
    monkeypatch.setattr("moksori.models.codec.streaming.SOUNDED_FRAMES", 20)
    monkeypatch.setattr("moksori.models.codec.streaming.FIRST_FRAMES", 5)
    model = codec(SHAPES[shape])
    latent = model.latents(model.compress(noise(1, 150 * HOP)))
    whole, asked = model.expand(latent), []

    def blocks() -> Iterator[torch.Tensor]:
        for start in range(0, 150, 7):
            asked.append(start)
            yield latent[:, :, start : start + 7]

    parts, first = [], 0
    for part in model.expand_blocks(blocks(), 150 if known else None):
        first = first or len(asked)
        parts.append(part)
    joined = torch.cat(parts, dim=1)
    assert joined.shape == whole.shape
    assert float((joined - whole).abs().max()) < 1e-4 * max(float(whole.abs().max()), 1e-3)
    assert 7 * first <= model.look_ahead_frames + 5 + 2 * 7  # the first sound leaves long before the last latents come


def test_codes_sound_the_same_everywhere() -> None:
    """Noise and where the pulses begin are no matter of chance, nor of what else is decoded beside."""
    model = codec(SOURCED)
    latent = model.latents(model.compress(noise(2, 30 * HOP)))
    sound = model.expand(latent)
    assert torch.equal(sound, model.expand(latent))
    for row, alone in zip(sound, latent, strict=True):
        apart = row - model.expand(alone[None])[0]  # phases of what hardly sounds are rounding
        assert float(apart.norm()) < 0.01 * float(row.norm())


def test_announced_frames_must_come() -> None:
    model = codec()
    latent = torch.zeros(1, model.latent_channels, 30)
    with pytest.raises(ValueError, match="30 frames came, 31 were announced"):
        list(model.expand_blocks([latent], 31))
    with pytest.raises(ValueError, match="30 frames came, 29 were announced"):
        list(model.expand_blocks([latent], 29))
    assert list(model.expand_blocks([], None)) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_no_frame_depends_on_what_lies_beyond_its_context(shape: str) -> None:
    model = codec(SHAPES[shape])
    sound = noise(1, 120 * HOP)
    other = sound.clone()
    other[:, 60 * HOP : 61 * HOP] += 0.3
    with torch.no_grad():
        changed = (model.encoder(sound) != model.encoder(other)).any(dim=1)[0].nonzero()[:, 0]
    reach = model.encoder.context_frames
    assert int(changed.min()) >= 60 - reach
    assert int(changed.max()) <= 60 + reach
    if shape == "causal":
        assert int(changed.min()) == 60


def test_nothing_to_encode() -> None:
    model = codec()
    with pytest.raises(AudioError, match="no samples"):
        model.compress(torch.zeros(1, 0))
    with pytest.raises(AudioError, match="no samples"):
        list(model.compress_blocks(recording(torch.zeros(0), 100)))
    with pytest.raises(AudioError, match="8000 Hz"):
        list(model.compress_blocks(LongRecording(100, 8000, lambda: iter(()))))
    with pytest.raises(ValueError, match="9 stages"):
        model.compress(noise(1, 400), 9)


def test_silence_and_loud_sounds_stay_finite() -> None:
    model = codec()
    for sound in (torch.zeros(1, 3000), torch.ones(1, 3000), -torch.ones(1, 1)):
        assert bool(model.expand(model.latents(model.compress(sound))).isfinite().all())


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"multiply to 100, but mel\.hop_length is 200"):
        run_config("codec/16khz", ("model.encoder={kind: seanet, strides: [2, 5, 10]}",))
    with pytest.raises(ConfigError, match="unknown loss"):
        run_config("codec/tiny", ("objective.loss_weights={mels: 1}",))
    with pytest.raises(ConfigError, match="the lower gain comes first"):
        run_config("codec/tiny", ("objective.gain_db=[3, -3]",))
    config = run_config("codec/tiny", ("model.decoder={kind: istft}",))
    with pytest.raises(ConfigError, match=r"model\.decoder\.kind restored"):
        config.family.objective(Codec(config.model), config.objective)


def test_the_paper_s_size() -> None:
    """27 M with the codebooks, which are buffers; 16 kHz, 80 frames a second, 12.8 kbit/s."""
    with torch.device("meta"):
        model = Codec(CodecConfig())
    numbers = sum(p.numel() for p in model.parameters()) + model.stages * model.code_count * model.latent_channels
    assert numbers == pytest.approx(27e6, rel=0.05)
    assert (model.stages, model.code_count, model.latent_channels) == (16, 1024, 256)
    assert model.stages * 10 * model.sample_rate / model.hop_length == 12800


def test_mels_are_read_off_latents_where_the_decoder_renders_mels() -> None:
    model = codec()
    assert isinstance(model, CanShowMels)
    assert model.restorer is not None
    with torch.no_grad():
        model.restorer.standardize.mean.fill_(-4.0)
        model.restorer.standardize.std.fill_(2.0)
    latent = torch.randn(2, model.latent_channels, 7, requires_grad=True)
    mels = model.standard_mels(latent)
    torch.testing.assert_close(2.0 * mels - 4.0, model.restorer(latent))
    mels.square().sum().backward()
    assert latent.grad is not None
    assert bool(latent.grad.any())
    with pytest.raises(UnsupportedTask, match="no mels are read off them"):
        codec(WAVE).standard_mels(latent)
