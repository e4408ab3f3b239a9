"""E, G and D: sizes at every layer, odd sizes refused, published weights, and frames that do not see each other."""

import pytest
import torch
import torch.nn.functional as F
from small_world import configured, small_model

from moksori.errors import ConfigError
from moksori.models.world_vae.config import CriticConfig, FrameDecoderConfig, FrameEncoderConfig
from moksori.models.world_vae.networks import Critic, FrameDecoder, FrameEncoder, StridedConv, WideConv, sizes
from moksori.pipeline.run_config import run_config


def test_sizes_are_the_published_ones_and_back() -> None:
    encoder = FrameEncoder(FrameEncoderConfig(), 1, 513, 128)
    assert encoder.sizes == [513, 171, 57, 19, 7, 3]
    x, seen = torch.randn(2, 1, 513), []
    for layer in encoder.layers:
        x = layer(x)
        seen.append(x.shape[2])
    assert seen == encoder.sizes[1:]
    assert encoder.mean.in_features == 768
    decoder = FrameDecoder(FrameDecoderConfig(), 128, 128, 0, 19)
    hidden, grown = torch.randn(2, 81, 19), []
    for layer in decoder.layers:
        hidden = layer(hidden)
        grown.append(hidden.shape[2])
    assert grown == [57, 171, 513]
    assert decoder(torch.randn(2, 128), torch.randn(2, 128)).shape == (2, 513)
    assert sizes(513, [3, 3, 3]) == [513, 171, 57, 19]
    critic = Critic(CriticConfig(), 513, 4, bias=False)
    assert critic.score.in_features == 64 * 19
    assert critic(torch.randn(5, 513), torch.arange(5) % 4).shape == (5,)


@pytest.mark.parametrize("size", [9, 10, 11, 512, 513])
def test_any_size_is_divided_and_rounded_up(size: int) -> None:
    """As "same" padding has it, even where the kernel is longer than what it looks at."""
    assert StridedConv(1, 2, 7, 3)(torch.randn(1, 1, size)).shape[2] == -(-size // 3)
    assert StridedConv(1, 2, 115, 3)(torch.randn(1, 1, size)).shape[2] == -(-size // 3)


def weights_of(preset: str) -> int:
    config = run_config(preset, ["model.num_speakers=10"])
    with torch.device("meta"):
        model = config.family.model(config.model)
    return sum(p.numel() for p in model.parameters())


def test_numbers_of_weights() -> None:
    """Layer by layer after the specification's table; each convolution but the last has a bias and a norm."""
    encoder = sum(a * b * 7 + 3 * b for a, b in ((1, 16), (16, 32), (32, 64), (64, 128), (128, 256)))
    encoder += 2 * (768 + 1) * 128
    grown = sum(a * b * k + 3 * b for a, b, k in ((81, 32, 9), (32, 16, 7), (16, 8, 7))) + 8 * 1025 + 1
    table, flat = 10 * 128, 19 * 81
    assert weights_of("world_vae/vae") == encoder + (2 * 128 + 1) * flat + grown + table
    assert weights_of("world_vae/vawgan") == encoder + (2 * 128 + 1) * 171 + (171 + 1) * flat + grown + table
    assert 1e5 < weights_of("world_vae/vae_compact") < 2e5


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("model.n_fft=1000", "501 bins .n_fft 1000. are not a multiple of 27"),
        ("model.decoder.strides=[3, 3]", "one entry for each layer"),
        ("model.decoder.last_kernel_size=32", "is even"),
        ("model.context_frames=2", "context_frames 2 is even"),
        ("model.lowest_hz=30", "47 Hz .what n_fft 1024 resolves."),
        ("model.decoder.kernel_sizes=[2, 7, 7]", "must reach from step to step"),
        ("objective.critic.kernel_sizes=[7]", "differ in number"),
    ],
)
def test_what_does_not_fit_is_told(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configured(setting)


def test_a_frame_does_not_know_its_neighbours_nor_the_mode() -> None:
    """No norm over the batch: in conversion all of a batch is one speaker."""
    model = small_model()
    x, speaker = torch.rand(6, 1, 513) * 2 - 1, torch.zeros(6, dtype=torch.long)
    whole = model.posterior(x)
    alone = model.posterior(x[2:3])
    assert torch.allclose(whole.mean[2], alone.mean[0], atol=1e-5)
    made = model.decode(whole.mean, speaker)
    assert torch.allclose(made[2], model.decode(alone.mean, speaker[:1])[0], atol=1e-5)
    assert torch.equal(model.train().decode(whole.mean, speaker), made)


def test_what_the_decoder_is_told() -> None:
    unit = small_model("model.unit_speakers=true")
    assert torch.allclose(unit.vectors(torch.tensor([0, 1])).norm(dim=1), torch.ones(2))
    told = small_model("model.pitch=true")
    z, who = torch.randn(1, 8), torch.tensor([0])
    with pytest.raises(ValueError, match="F0 is missing"):
        told.decode(z, who)
    low, high = (told.decode(z, who, told.pitch_of(torch.tensor([f]), who)) for f in (100.0, 220.0))
    assert not torch.allclose(low, high)
    assert told.pitch_of(torch.tensor([0.0]), who).tolist() == [[0.0, 0.0]]
    assert small_model().pitch_of(None, who) is None


def test_clipping_holds_every_weight() -> None:
    critic = Critic(CriticConfig(channels=(4, 8), kernel_sizes=(7, 25)), 513, 3, bias=False)
    critic.clip(0.01)
    assert max(float(p.detach().abs().max()) for p in critic.parameters()) <= 0.01


@pytest.mark.parametrize(("kernel", "bins"), [(33, 513), (129, 513), (1025, 513), (129, 40), (7, 40)])
def test_a_wide_convolution_is_the_direct_one(kernel: int, bins: int) -> None:
    """Also where the kernel is longer than the signal; gradients too."""
    torch.manual_seed(0)
    wide = WideConv(3, 2, kernel)
    x = torch.randn(2, 3, bins, requires_grad=True)
    made = wide(x)
    direct = F.conv1d(x, wide.weight, wide.bias, padding=kernel // 2)
    assert torch.allclose(made, direct, atol=1e-4)
    weighted = torch.randn(made.shape)
    one = torch.autograd.grad((made * weighted).sum(), [x, wide.weight, wide.bias])
    other = torch.autograd.grad((direct * weighted).sum(), [x, wide.weight, wide.bias])
    for found, wanted in zip(one, other, strict=True):
        assert torch.allclose(found, wanted, atol=1e-3)
