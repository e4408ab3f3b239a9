"""The encoder: one code a window, a stated look-ahead, no part of a window missing."""

import pytest
import torch

from moksori.errors import ConfigError
from moksori.models.wavenet_autoencoder.config import EncoderConfig
from moksori.models.wavenet_autoencoder.encoder import Encoder
from moksori.pipeline.run_config import run_config

SHAPES = [
    {"cycles": 2, "layers": 3},
    {"cycles": 1, "layers": 4, "stride": 4},
    {"cycles": 2, "layers": 3, "causal": True},
    {"cycles": 1, "layers": 3, "pre_activation": True},
]


def encoder_of(**settings) -> Encoder:
    torch.manual_seed(0)
    config = EncoderConfig(**{"channels": 8, "code_channels": 5, "pool": 20, **settings})
    return Encoder(config).eval()


@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_codes_depend_on_just_the_samples_that_they_say(settings) -> None:
    encoder = encoder_of(**settings)
    samples = (0.5 * torch.randn(1, 200, generator=torch.Generator().manual_seed(1))).requires_grad_()
    codes = encoder(samples)
    assert codes.shape == (1, 5, 10)
    codes[0, :, 5].square().sum().backward()
    heard = samples.grad[0].abs().nonzero()[:, 0]
    window = range(100, 120)
    assert int(heard[0]) == window[0] - encoder.look_back_samples
    assert int(heard[-1]) == window[-1] + encoder.look_ahead_samples
    if settings.get("causal"):
        assert encoder.look_ahead_samples == 0


def test_look_ahead_of_the_published_encoder_is_half_its_field() -> None:
    assert EncoderConfig(cycles=3, layers=10).context_samples == 3 * 1023 + 1


def test_a_window_that_is_not_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="199 samples are not whole windows of 20"):
        encoder_of(cycles=1, layers=2)(torch.zeros(1, 199))


def test_noise_on_codes_is_drawn_in_training_only() -> None:
    encoder = encoder_of(cycles=1, layers=2, bounded=True, code_noise=0.2)
    samples = torch.zeros(2, 400)
    still = encoder(samples)
    assert torch.equal(still, encoder(samples))
    assert float(still.abs().max()) <= 1.0
    encoder.train()
    one, two, other = (encoder(samples, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert float((one - still).std()) == pytest.approx(0.2, rel=0.2)


def test_standardized_codes_neither_die_nor_end_at_the_bounds() -> None:
    """Weights that make all codes alike, or all of them large, make codes of deviation 1 before tanh all the same."""
    samples = 0.3 * torch.randn(8, 800, generator=torch.Generator().manual_seed(1))
    for factor, offset in ((1e-2, 3.0), (300.0, -500.0)):
        plain, kept = (
            encoder_of(cycles=1, layers=2, bounded=True, standardized=standardized) for standardized in (False, True)
        )
        for encoder in (plain, kept):
            with torch.no_grad():
                encoder.last.weight.mul_(factor)
                encoder.last.bias.fill_(offset)
        assert float(plain.train()(samples).std(dim=2).mean()) < 0.01
        codes = kept.train()(samples)
        inside = torch.atanh(codes.clamp(-0.999999, 0.999999))
        assert float(inside.std(dim=(0, 2)).mean()) == pytest.approx(1.0, abs=0.1)
    for _ in range(800):
        kept(samples)
    assert torch.allclose(kept.eval()(samples), codes, atol=0.1)  # at work: what training heard on the whole


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.encoder.stride=7", "stride 7 does not divide pool 200"),
        ("model.encoder.kernel_size=4", "kernel_size 4 is even"),
        ("model.encoder.code_noise=0.1", "needs bounded=true"),
        ("model.pitch.hop_length=33", "does not divide encoder.pool 200"),
        ("model.pitch.highest_hz=5000", "above half of 8000 Hz"),
        ("model.decoder.mixtures=4", "set one of them"),
        ("objective.back_translation={start_step: -1}", "start_step"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_config("wavenet_autoencoder/tiny", [override])


@pytest.mark.parametrize(
    ("preset", "field"),
    [("base", 4_094), ("nsynth", 6_141), ("compact", 2_048), ("tiny", 512)],
)
def test_receptive_fields_of_the_presets(preset: str, field: int) -> None:
    config = run_config(f"wavenet_autoencoder/{preset}", [])
    with torch.device("meta"):
        model = config.family.model(config.model)
    assert model.decoders[0].receptive_field == field
