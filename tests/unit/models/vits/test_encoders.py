"""Text and posterior encoder: sizes of the paper, masks, switches."""

import pytest
import torch
from torch import nn

from moksori.models.vits.posterior_encoder import PosteriorEncoder
from moksori.models.vits.text_encoder import TextEncoder
from moksori.nn.flows import CouplingFlow
from moksori.nn.masks import sequence_mask


def small_text_encoder(**changes: object) -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(12, latent_channels=4, hidden_channels=8, ffn_channels=16, num_layers=2, **changes)


def millions(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_published_sizes() -> None:
    assert round(millions(TextEncoder(38)), 2) == 6.30
    assert round(millions(PosteriorEncoder()), 2) == 7.24
    assert round(millions(CouplingFlow(192, 192, 5, 4, 4)), 2) == 7.10


def test_embedding_starts_at_unit_variance() -> None:
    encoder = TextEncoder(2000, hidden_channels=64, num_layers=1, stress=True)
    assert encoder.embedding.weight.std().item() * encoder.scale == pytest.approx(1, abs=0.02)
    assert encoder.scale == 8


def test_text_encoder_is_embedding_transformer_projection() -> None:
    encoder = small_text_encoder().eval()
    tokens, mask = torch.randint(12, (1, 7)), torch.ones(1, 1, 7, dtype=torch.bool)
    out = encoder(tokens, mask)
    hidden = encoder.transformer((encoder.embedding.weight[tokens] * 8**0.5).transpose(1, 2), mask)
    torch.testing.assert_close(out.hidden, hidden)
    stats = encoder.projection(hidden)
    torch.testing.assert_close(out.prior.mean, stats[:, :4])
    torch.testing.assert_close(out.prior.log_std, stats[:, 4:])


@pytest.mark.parametrize("pre_norm", [False, True])
def test_text_encoder_ignores_padding_and_batch(pre_norm: bool) -> None:
    encoder = small_text_encoder(pre_norm=pre_norm, stress=True).double().eval()
    tokens, stress = torch.randint(12, (2, 13)), torch.randint(3, (2, 13))
    mask = sequence_mask(torch.tensor([13, 5]))
    out = encoder(tokens, mask, stress)
    other = torch.where(mask[:, 0], tokens, (tokens + 1) % 12)
    changed = encoder(other, mask, torch.where(mask[:, 0], stress, 2))
    alone = encoder(tokens[1:, :5], mask[1:, :, :5], stress[1:, :5])
    for name in ("hidden", "mean", "log_std"):
        a, b, c = (getattr(o, name) if name == "hidden" else getattr(o.prior, name) for o in (out, changed, alone))
        torch.testing.assert_close(b, a, atol=1e-10, rtol=0)
        torch.testing.assert_close(a[1:, :, :5], c, atol=1e-10, rtol=0)
        assert torch.count_nonzero(a[1, :, 5:]) == 0


def test_stress_and_condition_are_switches() -> None:
    tokens, mask = torch.randint(12, (1, 6)), torch.ones(1, 1, 6, dtype=torch.bool)
    stress, condition = torch.tensor([[0, 1, 2, 0, 1, 2]]), torch.randn(1, 3, 1)

    plain = small_text_encoder().eval()
    assert torch.equal(plain(tokens, mask, stress).hidden, plain(tokens, mask).hidden)
    with pytest.raises(ValueError, match="without a condition"):
        plain(tokens, mask, condition=condition)

    stressed = small_text_encoder(stress=True).eval()
    assert (stressed(tokens, mask, stress).hidden - stressed(tokens, mask, 0 * stress).hidden).abs().max() > 0.01
    with pytest.raises(ValueError, match="reads stress"):
        stressed(tokens, mask)

    conditioned = small_text_encoder(condition_channels=3).eval()
    moved = conditioned(tokens, mask, condition=condition + 1).hidden
    assert (conditioned(tokens, mask, condition=condition).hidden - moved).abs().max() > 0.01


def test_encoder_without_a_token_prior_has_no_projection() -> None:
    encoder = small_text_encoder(token_prior=False)
    assert encoder(torch.randint(12, (1, 6)), torch.ones(1, 1, 6, dtype=torch.bool)).prior is None
    assert not any(key.startswith("projection") for key in encoder.state_dict())


def test_posterior_ignores_padding_and_batch() -> None:
    torch.manual_seed(1)
    encoder = PosteriorEncoder(9, 4, 8, 5, num_layers=3, condition_channels=2).double()
    spectrogram, condition = torch.rand(2, 9, 20).double(), torch.randn(2, 2, 1).double()
    mask = sequence_mask(torch.tensor([20, 8]))
    out = encoder(spectrogram, mask, condition)
    changed = encoder(torch.where(mask, spectrogram, 50.0), mask, condition)
    alone = encoder(spectrogram[1:, :, :8], mask[1:, :, :8], condition[1:])
    for name in ("mean", "log_std"):
        a = getattr(out, name)
        torch.testing.assert_close(getattr(changed, name), a, atol=1e-10, rtol=0)
        torch.testing.assert_close(a[1:, :, :8], getattr(alone, name), atol=1e-10, rtol=0)
        assert torch.count_nonzero(a[1, :, 8:]) == 0


def test_posterior_sees_its_context() -> None:
    assert PosteriorEncoder().context == 32
    encoder = PosteriorEncoder(3, 2, 4, 5, num_layers=3).double()
    spectrogram = torch.rand(1, 3, 41).double().requires_grad_()
    encoder(spectrogram, torch.ones(1, 1, 41, dtype=torch.bool)).mean[..., 20].sum().backward()
    heard = spectrogram.grad.abs().sum(dim=1).squeeze().nonzero().squeeze()
    assert heard.tolist() == list(range(20 - encoder.context, 20 + encoder.context + 1))


def test_latents_leave_bfloat16() -> None:
    encoder = small_text_encoder().eval()
    posterior = PosteriorEncoder(9, 4, 8, 5, num_layers=2)
    mask = torch.ones(1, 1, 6, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prior = encoder(torch.randint(12, (1, 6)), mask).prior
        latent = posterior(torch.rand(1, 9, 6), mask)
    assert prior.mean.dtype == prior.log_std.dtype == latent.mean.dtype == latent.log_std.dtype == torch.float32
