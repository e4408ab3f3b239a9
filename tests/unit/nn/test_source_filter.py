"""The pulse train against its harmonics one by one, its spectrum and place in time; levels; cepstral filters."""

import math

import numpy as np
import torch

from moksori.nn.source_filter import CepstralFilter, Excitation, pulse_train

RATE, HOP = 22050, 256


def literal(f0: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """Harmonics of amplitude min(1, rate / 2 f0 - k) where that is positive, phases summed in float64."""
    frames = np.arange(len(f0))
    centre = (np.arange(len(f0) * HOP) + 0.5) / HOP - 0.5
    frequency = np.interp(centre, frames, f0)
    phase = 2 * np.pi * np.cumsum(frequency / RATE)
    total = np.zeros(len(phase))
    for k in range(1, int(RATE / 2 / f0.min()) + 1):
        total += np.clip(RATE / 2 / frequency - k, 0.0, 1.0) * np.cos(k * phase)
    return np.interp(centre, frames, gate) * total


def test_is_the_sum_of_its_harmonics() -> None:
    draw = np.random.default_rng(0)
    f0 = 90 * np.exp(np.cumsum(0.03 * draw.standard_normal(40)))
    gate = np.clip(draw.uniform(-0.5, 1.5, 40), 0, 1)
    train = pulse_train(torch.tensor(f0)[None].float(), torch.tensor(gate)[None].float(), RATE, HOP)[0].numpy()
    expected = literal(f0.astype(np.float32).astype(np.float64), gate)
    assert np.abs(expected).max() > 50  # near 120 harmonics add up in a pulse
    assert np.abs(train - expected).max() < 2e-3 * np.abs(expected).max()


def test_all_harmonics_and_nothing_between_them() -> None:
    """A steady F0 of whole periods in the analysis window: its lines stand alone, up to Nyquist; none folds back."""
    window = 2205
    for f0 in (100.0, 290.0, 430.0):
        train = pulse_train(torch.full((1, 30), f0), torch.ones(1, 30), RATE, HOP)[0, HOP : HOP + 2 * window].double()
        amplitude = 2 * torch.fft.rfft(train).abs().numpy() / len(train)
        hertz = np.arange(len(amplitude)) * RATE / len(train)
        lines = np.isclose(hertz % f0, 0) & (hertz > 0)
        number = np.rint(hertz / f0)
        expected = np.clip(RATE / 2 / f0 - number, 0, 1) * lines
        assert np.abs(amplitude - expected).max() < 2e-3, f0


def test_a_gliding_f0_makes_no_click() -> None:
    """Harmonics that leave through Nyquist on the way fade out: the signal is the smooth sum of what is left."""
    f0 = torch.linspace(400, 500, 60)[None]
    train = pulse_train(f0, torch.ones(1, 60), RATE, HOP)[0].numpy()
    expected = literal(f0[0].double().numpy(), np.ones(60))
    assert np.abs(train - expected).max() < 1e-2


def test_frames_are_centred_and_phase_is_in_periods() -> None:
    voicing = torch.zeros(1, 9)
    voicing[0, 4] = 1.0
    train = pulse_train(torch.full((1, 9), 150.0), voicing, RATE, HOP)[0]
    heard = train.abs().nonzero()
    assert 3.5 * HOP - 1 <= heard.min() < 3.5 * HOP + 4
    assert 5.5 * HOP - 4 <= heard.max() <= 5.5 * HOP
    steady = torch.full((1, 9), RATE / 128.0), torch.ones(1, 9)
    plain = pulse_train(*steady, RATE, HOP)
    shifted = pulse_train(*steady, RATE, HOP, start_phase=torch.tensor([0.25]))
    torch.testing.assert_close(shifted[:, :-32], plain[:, 32:], rtol=0, atol=5e-3)  # a quarter of 128 samples


def test_a_long_utterance_keeps_its_upper_harmonics() -> None:
    f0 = torch.full((1, 4000), 123.4)
    end = pulse_train(f0, torch.ones(1, 4000), RATE, HOP)[0, -2 * HOP :].double()
    phase = 2 * math.pi * ((torch.arange(4000 * HOP).double() + 1) * float(np.float32(123.4)) / RATE)[-2 * HOP :]
    expected = sum(min(1.0, RATE / 2 / 123.4 - k) * torch.cos(k * phase) for k in range(1, 90))
    assert float((end - expected).abs().max()) < 0.3  # of pulses that are 89 high


def test_levels_are_near_one() -> None:
    excitation = Excitation(RATE, 1024, HOP)
    generator = torch.Generator().manual_seed(0)
    noise = excitation.noise(2, 200, torch.device("cpu"), generator)
    assert noise.shape == (2, 513, 200)
    assert abs(float(noise[:, 5:-5, 4:-4].abs().square().mean().sqrt()) - 1.0) < 0.02
    f0 = torch.full((2, 200), 16 * RATE / 1024)  # harmonics on every sixteenth bin
    pulses = excitation.pulses(f0, torch.ones(2, 200), generator)
    assert torch.allclose(pulses[:, 16:480:16, 4:-4].abs(), torch.tensor(1.0), atol=0.01)
    assert float(pulses[:, 24:480:16, 4:-4].abs().max()) < 0.01
    assert not torch.allclose(pulses[0], pulses[1])  # each item its own start phase


def test_equal_generators_give_equal_sources() -> None:
    excitation = Excitation(RATE, 64, 16)
    f0, voicing = torch.full((1, 20), 200.0), torch.ones(1, 20)
    first, second = (
        (excitation.pulses(f0, voicing, draw), excitation.noise(1, 20, torch.device("cpu"), draw))
        for draw in (torch.Generator().manual_seed(7), torch.Generator().manual_seed(7))
    )
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_a_cepstrum_makes_the_minimum_phase_filter_of_its_magnitude() -> None:
    """Against the definition, and causal with the energy in front, as minimum phase is."""
    layer = CepstralFilter(3, 20, 512, log_gain=-1.0)
    states = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.cepstrum.weight.mul_(10.0)
        response = layer(states)
        cepstrum = layer.cepstrum(states)
    assert response.shape == (2, 257, 5)
    omega = 2 * math.pi * torch.arange(257) / 512
    exponent = sum(cepstrum[1, 2, k] * torch.exp(-1j * omega * k) for k in range(20))
    torch.testing.assert_close(response[1, :, 2], exponent.exp().to(torch.complex64), rtol=1e-4, atol=1e-5)
    impulse = torch.fft.irfft(response, n=512, dim=1)
    assert float(impulse[:, 256:].abs().max()) < 1e-3 * float(impulse.abs().max())  # nothing before time 0
    mirrored = torch.fft.irfft(response.abs().to(torch.complex64), n=512, dim=1).roll(256, 1)  # the zero-phase filter
    early, late = (x[:, :20].square().sum(1) / x.square().sum(1) for x in (impulse, mirrored))
    assert bool((early > late).all())


def test_filters_start_flat_and_loud_ones_are_held() -> None:
    layer = CepstralFilter(3, 20, 512, log_gain=-4.0)
    flat = layer(torch.zeros(1, 1, 3))
    torch.testing.assert_close(flat, torch.full_like(flat, math.exp(-4.0)))
    with torch.no_grad():
        layer.cepstrum.bias[0] = 50.0
    assert float(layer(torch.zeros(1, 1, 3)).abs().max()) < 101.0
