"""Mixtures of logistics: probabilities add up to 1, and what is drawn follows them."""

import math

import pytest
import torch

from moksori.nn.logistic_mixture import logistic_mixture_log_probability, pick_logistic_mixture


def parameters(components: int = 4, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(components, generator=draw)
    means = torch.rand(components, generator=draw) * 1.6 - 0.8
    log_scales = torch.rand(components, generator=draw) * 3.0 - 5.0
    return torch.cat([logits, means, log_scales])[None, :, None]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [256, 65536])
def test_the_probabilities_of_all_values_add_up_to_one(levels: int, seed: int) -> None:
    values = torch.linspace(-1.0, 1.0, levels)[None]
    log_probability = logistic_mixture_log_probability(parameters(seed=seed).expand(-1, -1, levels), values, levels)
    assert float(log_probability.double().exp().sum()) == pytest.approx(1.0, abs=2e-3 if levels > 256 else 1e-5)


def test_means_beyond_the_borders_make_the_outermost_values_certain() -> None:
    far = torch.tensor([0.0, 30.0, -7.0])[None, :, None].expand(-1, -1, 256)
    log_probability = logistic_mixture_log_probability(far, torch.linspace(-1.0, 1.0, 256)[None], 256)
    assert float(log_probability[0, -1]) == pytest.approx(0.0, abs=1e-6)
    assert bool(log_probability.isfinite().all())


def test_it_is_the_difference_of_two_sigmoids_and_far_out_the_density() -> None:
    near = torch.tensor([0.0, 0.1, math.log(0.02)])[None, :, None]
    x, half = torch.tensor([[0.13]]), 1 / 65535
    by_hand = torch.sigmoid((x + half - 0.1) / 0.02) - torch.sigmoid((x - half - 0.1) / 0.02)
    found = logistic_mixture_log_probability(near, x)
    assert float(found) == pytest.approx(float(by_hand.double().log()), abs=2e-2)  # rounding of the difference
    precise = torch.sigmoid((x.double() + half - 0.1) / 0.02) - torch.sigmoid((x.double() - half - 0.1) / 0.02)
    assert float(found) == pytest.approx(float(precise.log()), abs=1e-2)
    out = logistic_mixture_log_probability(near, torch.tensor([[-0.7]]))  # 40 scales away
    assert float(out) == pytest.approx(-40.0 - math.log(0.02) + math.log(2 * half), rel=1e-4)


def test_gradients_are_finite_wherever_a_sample_lies() -> None:
    found = parameters().expand(-1, -1, 7).clone().requires_grad_()
    values = torch.tensor([[-1.0, -0.9, -0.1, 0.0, 0.3, 0.99, 1.0]])
    logistic_mixture_log_probability(found, values).sum().backward()
    assert found.grad is not None
    assert bool(found.grad.isfinite().all())
    assert bool(found.grad.any())


def test_what_is_drawn_follows_the_probabilities() -> None:
    count, levels = 40_000, 256
    mixture = parameters(seed=3)
    uniforms = torch.rand(count, 2, generator=torch.Generator().manual_seed(1))
    drawn = pick_logistic_mixture(mixture[..., 0].expand(count, -1), uniforms, levels=levels)
    values = torch.linspace(-1.0, 1.0, levels)
    probability = logistic_mixture_log_probability(mixture.expand(-1, -1, levels), values[None], levels)[0].exp()
    counts = ((drawn + 1.0) * (levels - 1) / 2.0).round().long().bincount(minlength=levels) / count
    # Sums over 16 neighbouring values; the deviation of a share p is sqrt(p / count), 0.005 at most.
    coarse, wanted = counts.unflatten(0, (16, 16)).sum(1), probability.unflatten(0, (16, 16)).sum(1)
    assert float((coarse - wanted).abs().max()) < 0.012
    assert float(wanted.max()) > 0.1


def test_temperature_narrows_and_zero_is_the_weightiest_mean() -> None:
    mixture = torch.tensor([[0.0, 2.0, -0.5, 0.4, -3.0, -3.0]])
    uniforms = torch.rand(5000, 2, generator=torch.Generator().manual_seed(2))
    spread = [float(pick_logistic_mixture(mixture.expand(5000, -1), uniforms, t).std()) for t in (1.0, 0.5)]
    assert spread[1] < spread[0]
    still = pick_logistic_mixture(mixture.expand(5000, -1), uniforms, 0.0)
    torch.testing.assert_close(still, torch.full((5000,), 0.4))


def test_parameters_come_in_threes() -> None:
    with pytest.raises(ValueError, match="8 parameters: a mixture of logistics has three"):
        logistic_mixture_log_probability(torch.zeros(1, 8, 2), torch.zeros(1, 2))
