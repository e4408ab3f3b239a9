"""Our SEANet is transformers' EncodecModel without its LSTM: equal weights give equal states, sound and codes."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from moksori.nn.residual_quantize import ResidualQuantizer
from moksori.nn.seanet import SeanetDecoder, SeanetEncoder
from moksori.nn.vector_quantize import VectorQuantizer

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: it is the model compared with"
)
STRIDES, CHANNELS, LATENT = (2, 4, 5, 5), 4, 12


def theirs(causal: bool):
    torch.manual_seed(0)
    config = transformers.EncodecConfig(
        sampling_rate=16000, upsampling_ratios=list(reversed(STRIDES)), num_filters=CHANNELS, hidden_size=LATENT,
        codebook_dim=LATENT, codebook_size=32, num_residual_layers=2, use_causal_conv=causal, target_bandwidths=[1.6],
        norm_type="weight_norm",
    )  # fmt: skip
    model = transformers.EncodecModel(config).eval()
    for part in (model.encoder, model.decoder):
        for index, layer in enumerate(part.layers):
            if "LSTM" in type(layer).__name__:
                part.layers[index] = nn.Identity()
    return model


def convolutions(module: nn.Module) -> list[nn.Module]:
    """In the order in which they stand, which is that in which they are applied; shortcuts come last in each unit."""
    return [m for m in module.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]


def take_over(ours: nn.Module, source: nn.Module) -> None:
    pairs = list(zip(by_use(ours), convolutions(source), strict=True))
    with torch.no_grad():
        for mine, other in pairs:
            assert parametrize.is_parametrized(mine, "weight")
            mine.parametrizations.weight.original0.copy_(other.parametrizations.weight.original0)
            mine.parametrizations.weight.original1.copy_(other.parametrizations.weight.original1)
            mine.bias.copy_(other.bias)


def by_use(ours: nn.Module) -> list[nn.Module]:
    """Ours in the order in which they are applied."""
    found = convolutions(ours.pre)
    if isinstance(ours, SeanetEncoder):
        for units, down in zip(ours.units, ours.down, strict=True):
            found += convolutions(units) + convolutions(down)
    else:
        for up, units in zip(ours.up, ours.units, strict=True):
            found += convolutions(up) + convolutions(units)
    return found + convolutions(ours.post)


@pytest.mark.parametrize("causal", [False, True], ids=["centred", "causal"])
@pytest.mark.parametrize("samples", [200, 1000, 3400])
@torch.no_grad()
def test_encoder_and_decoder(causal: bool, samples: int) -> None:
    other = theirs(causal)
    encoder = SeanetEncoder(CHANNELS, LATENT, STRIDES, residual_layers=2, causal=causal).eval()
    decoder = SeanetDecoder(LATENT, CHANNELS, STRIDES, residual_layers=2, causal=causal).eval()
    take_over(encoder, other.encoder)
    take_over(decoder, other.decoder)
    sound = torch.randn(2, 1, samples, generator=torch.Generator().manual_seed(1))
    states = encoder(sound)
    assert states.shape == (2, LATENT, samples // 200)
    torch.testing.assert_close(states, other.encoder(sound), rtol=1e-5, atol=1e-6)
    made = decoder(states)
    assert made.shape == sound.shape
    torch.testing.assert_close(made, other.decoder(states), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_codes_and_latents() -> None:
    other = theirs(False).quantizer
    ours = ResidualQuantizer(LATENT, 32, len(other.layers)).eval()
    draw = torch.Generator().manual_seed(2)
    for stage, layer in zip(ours.stages, other.layers, strict=True):
        assert isinstance(stage, VectorQuantizer)
        layer.codebook.embed.copy_(torch.randn(32, LATENT, generator=draw))  # a new model's are all zero
        stage.codebook.copy_(layer.codebook.embed)
    states = torch.randn(2, LATENT, 40, generator=draw)
    codes = torch.stack([c for c in other.encode(states, bandwidth=1e6)], dim=1)
    assert torch.equal(ours.codes(states), codes)
    torch.testing.assert_close(ours.lookup(codes), other.decode(codes.transpose(0, 1)))
