"""The discriminator of complex spectra: shapes, scale, and that it hears phases."""

import torch

from moksori.nn.complex_discriminator import ComplexSpectrogramDiscriminator


def test_shapes_and_features() -> None:
    torch.manual_seed(0)
    output = ComplexSpectrogramDiscriminator(256, 64, 8)(0.1 * torch.randn(2, 3200))
    frames, bins = 3200 // 64 + 1, 129
    for _ in range(3):
        bins = (bins - 1) // 2 + 1
    assert output.score.shape == (2, frames * bins)
    assert [tuple(m.shape[:2]) for m in output.features] == [(2, 8)] * 5
    assert output.features[-1].shape[2:] == (frames, bins)


def test_white_noise_has_unit_power_at_every_resolution() -> None:
    noise = torch.randn(1, 32000, generator=torch.Generator().manual_seed(0))
    for n_fft in (128, 512, 2048):
        spectrum = ComplexSpectrogramDiscriminator(n_fft, n_fft // 4, 2).spectrum(noise)
        assert spectrum.shape[1] == 2
        power = spectrum[:, :, 8:-8, 4:-4].square().sum(dim=1).mean()
        torch.testing.assert_close(power, torch.tensor(1.0), atol=0.06, rtol=0.0)


def test_it_hears_phases_and_passes_gradients() -> None:
    torch.manual_seed(0)
    judge = ComplexSpectrogramDiscriminator(256, 64, 4)
    sound = torch.randn(1, 2000, requires_grad=True)
    assert not torch.allclose(judge(sound).score, judge(-sound).score)
    judge(sound).score.mean().backward()
    assert bool(sound.grad.isfinite().all())
    assert float(sound.grad.abs().sum()) > 0.0
