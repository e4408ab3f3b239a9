"""Matching the spread of the filters: the factor that was taken away comes back, and only where it should."""

import pytest
import torch
from tiny_model import batch, model, objective

from moksori.models.decoders.spread import match_spread
from moksori.nn.istft import InverseStft
from moksori.nn.source_filter import CepstralFilter

RATE, N_FFT, HOP = 22050, 512, 128


def smooth_states(frames: int, seed: int) -> torch.Tensor:
    draw = torch.randn(1, 12, frames + 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool1d(draw, 9, 1).transpose(1, 2) * 3.0


def voice(quefrencies: int = 80) -> CepstralFilter:
    torch.manual_seed(1)
    layer = CepstralFilter(12, quefrencies, N_FFT, log_gain=-3.0)
    with torch.no_grad():
        layer.cepstrum.weight.mul_(1.5)
        layer.cepstrum.bias[1:].normal_(0.0, 0.05)
    return layer


def speak(layer: CepstralFilter, seed: int) -> list[torch.Tensor]:
    """A click in every fourth frame through the filter: what comes out has its envelope and little else."""
    clicks = torch.zeros(1, N_FFT // 2 + 1, 600, dtype=torch.complex64)
    clicks[:, 0::2, ::4], clicks[:, 1::2, ::4] = 1.0, -1.0  # in the middle of the frame, where the window is 1
    with torch.no_grad():
        return [InverseStft(N_FFT, HOP)(clicks * layer(smooth_states(600, seed)))[0]]


def test_what_was_taken_away_comes_back() -> None:
    target, layer = voice(), voice()
    centre = torch.cat([target.cepstrum(smooth_states(600, seed))[0] for seed in range(3)]).mean(0).detach()
    band = slice(10, 40)
    with torch.no_grad():  # the same filter with less of its movement, about the same mean
        layer.cepstrum.weight[band] *= 0.7
        layer.cepstrum.bias[band] = centre[band] + 0.7 * (layer.cepstrum.bias[band] - centre[band])
    real = [y for seed in range(3) for y in speak(target, seed)]
    factor = match_spread([layer], real, lambda: (y for s in range(3) for y in speak(layer, s)), RATE, N_FFT, HOP)
    # Somewhat less than 1 / 0.7: analysis windows that do not stand on a click see its neighbours' envelopes too.
    assert 1.25 < float(factor[14:36].mean()) < 1 / 0.7
    assert factor[:4].tolist() == [1.0] * 4
    assert bool((factor[64:] == 1.0).all())
    missing = (layer.cepstrum.weight / target.cepstrum.weight)[14:36].detach()
    assert bool(((missing > 0.86) & (missing < 1.0)).all())  # from 0.7
    means = layer.cepstrum(smooth_states(600, 1)), target.cepstrum(smooth_states(600, 1))
    assert float((means[0].mean((0, 1)) - means[1].mean((0, 1))).abs().max()) < 0.02


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_strength_is_a_power_of_the_factor(strength: float) -> None:
    layer = voice()
    with torch.no_grad():
        layer.cepstrum.weight[10:40] *= 0.7
    before = layer.cepstrum.weight.clone()
    factor = match_spread([layer], speak(voice(), 0), lambda: speak(layer, 0), RATE, N_FFT, HOP, strength)
    assert 1.25**strength < float(factor[14:36].mean()) < (1 / 0.7) ** strength
    torch.testing.assert_close(layer.cepstrum.weight, before * factor[:80, None])


def test_a_filter_that_is_right_stays() -> None:
    layer, before = voice(), voice()
    factor = match_spread([layer], speak(before, 0), lambda: speak(layer, 0), RATE, N_FFT, HOP)
    torch.testing.assert_close(factor, torch.ones_like(factor), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(layer.cepstrum.weight, before.cepstrum.weight, rtol=1e-3, atol=1e-4)


def test_the_factor_is_bounded_and_something_must_be_rendered() -> None:
    layer = voice()
    with torch.no_grad():
        layer.cepstrum.weight[4:64].zero_()
    factor = match_spread([layer], speak(voice(), 0), lambda: speak(layer, 0), RATE, N_FFT, HOP)
    assert float(factor.max()) == 2.0
    with pytest.raises(ValueError, match="nothing was rendered"):
        match_spread([layer], speak(voice(), 0), list, RATE, N_FFT, HOP)


def test_the_objective_calibrates_what_is_exported_and_keeps_what_it_trains() -> None:
    made = objective("objective.match_spread=1")
    exported = model("objective.match_spread=1")
    before = exported.decoder.pulse_filter.cepstrum.weight.clone()
    trained = made.model.decoder.pulse_filter.cepstrum.weight.clone()
    made.calibrate(exported, [batch(made)])
    after = exported.decoder.pulse_filter.cepstrum.weight
    assert torch.equal(after[:4], before[:4])
    assert not torch.equal(after[4:60], before[4:60])
    assert torch.equal(made.model.decoder.pulse_filter.cepstrum.weight, trained)
    off = model()
    objective("objective.match_spread=0").calibrate(off, [batch(made)])
    assert torch.equal(off.decoder.pulse_filter.cepstrum.weight, before)
