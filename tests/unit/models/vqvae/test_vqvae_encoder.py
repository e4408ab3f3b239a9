"""Sizes and rates of the encoders, and that a crop, a block and a whole recording give the same states."""

import math

import pytest
import torch

from moksori.config import validate
from moksori.errors import ConfigError
from moksori.models.vqvae import VqvaeConfig
from moksori.models.vqvae.config import MelEncoderConfig, WaveEncoderConfig
from moksori.models.vqvae.encoder import build_encoder
from moksori.pipeline.run_config import run_config


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("instance_frames", [0, 6])
def test_states_of_a_part_are_those_of_the_whole(stride: int, instance_frames: int) -> None:
    config = MelEncoderConfig(channels=12, stride=stride, norm="layer", instance_frames=instance_frames)
    encoder = build_encoder(config, 5).eval()
    features = drawn(2, 80, 40 * stride + 2 * encoder.margin) - 5.0
    with torch.no_grad():
        whole = encoder(features)
        part = encoder(features[:, :, 11 * stride : 24 * stride + 2 * encoder.margin])
    assert whole.shape == (2, 40, 5)
    torch.testing.assert_close(part, whole[:, 11:24], rtol=1e-4, atol=1e-5)


def test_each_sample_beyond_the_margin_is_unheard() -> None:
    """Six halvings: 64 samples to a code, 63 more on each side, and not one further."""
    encoder = build_encoder(WaveEncoderConfig(channels=6), 4).eval()
    assert (encoder.steps, encoder.margin, encoder.step_samples) == (64, 63, 1)
    features = drawn(1, 1, 64 * 9 + 126).requires_grad_()
    states = encoder(features)
    assert states.shape == (1, 9, 4)
    states[0, 4].sum().backward()
    heard = features.grad[0, 0].nonzero()[:, 0]
    assert (int(heard.min()), int(heard.max()) + 1) == (4 * 64, 5 * 64 + 126)


def test_the_published_sizes() -> None:
    config = run_config("vqvae/base").model
    assert config.codes_per_second == 50.0
    assert run_config("vqvae/wave").model.codes_per_second == 250.0
    with torch.device("meta"):
        encoder = build_encoder(config.encoder, config.code_channels)
    # 80·768·3 + 768²·(3 + 4 + 3 + 3) + 5 batch norms + 768·64 + 64
    assert sum(p.numel() for p in encoder.parameters()) == 80 * 768 * 3 + 768**2 * 13 + 5 * 2 * 768 + 768 * 64 + 64


def test_silence_stands_around_a_recording() -> None:
    for config in (MelEncoderConfig(channels=8, norm="layer"), WaveEncoderConfig(channels=8)):
        encoder = build_encoder(config, 4).eval()
        features = encoder.features(torch.zeros(1, 16000))
        assert float((features - encoder.silence).abs().max()) < 1e-5
        wide = encoder.surrounded(features)
        assert (wide.shape[2] - 2 * encoder.margin) % encoder.steps == 0
        assert float((wide - encoder.silence).abs().max()) < 1e-5


def test_instance_norm_takes_what_is_constant_away() -> None:
    """The same recording through another microphone, a curve over the bands: the encoder hears no difference."""
    encoder = build_encoder(MelEncoderConfig(channels=8, norm="layer", instance_frames=20), 4).eval()
    features = 2.0 * drawn(1, 80, 120)
    curve = torch.cos(torch.linspace(0.0, math.pi, 80))[None, :, None]
    with torch.no_grad():
        torch.testing.assert_close(encoder(features), encoder(features + 3.0 * curve), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sample_rate": 22050}, "differ"),
        ({"encoder": {"kind": "wave"}, "pitch": {}}, "no whole frames"),
        ({"pitch": {"lowest_hz": 300.0, "highest_hz": 100.0}}, "lie below"),
        ({"encoder": {"kind": "mel", "stride": 3}}, "stride"),
        ({"quantizer": {"kind": "scalars", "levels": [8, 1]}}, "2 levels"),
        ({"decoder": {"kind": "mel"}, "encoder": {"kind": "mel", "stride": 1}}, "no whole frames"),
        ({"jitter": 2.0}, "jitter"),
        ({"decoder": {"kind": "wavenet"}, "pitch": {"harmonics": True}}, "makes samples"),
    ],
)
def test_settings_that_do_not_fit_together(settings, words) -> None:
    with pytest.raises(ConfigError, match=words):
        validate(VqvaeConfig, {"encoder": {"kind": "mel", "mel": {"sample_rate": 16000}}} | settings)
