"""Discriminators: sizes, shapes, the two forms of the period discriminator, gradients."""

import pytest
import torch

from moksori.losses.adversarial import least_squares_discriminator, least_squares_generator
from moksori.losses.feature_matching import feature_matching
from moksori.nn.discriminators import (
    DiscriminatorEnsemble,
    PeriodDiscriminator,
    ScaleDiscriminator,
    SpectrogramDiscriminator,
)

LIGHT = (4, 8, 16, 16, 16)


def light_ensemble(period_in_batch: bool = True) -> DiscriminatorEnsemble:
    torch.manual_seed(0)
    periods = [PeriodDiscriminator(p, LIGHT, period_in_batch=period_in_batch) for p in (2, 3)]
    return DiscriminatorEnsemble(
        [ScaleDiscriminator((4, 8, 16, 16, 16, 16)), *periods, SpectrogramDiscriminator(256, 64, channels=4)]
    )


def test_ensemble_of_the_paper() -> None:
    """46.75 M parameters; 7 feature maps of the scale discriminator, 6 of each of the five periods."""
    ensemble = DiscriminatorEnsemble.of_vits()
    assert round(sum(p.numel() for p in ensemble.parameters()) / 1e6, 2) == 46.75
    with torch.no_grad():
        output = ensemble(torch.randn(1, 1000))
    assert [len(maps) for maps in output.features] == [7, 6, 6, 6, 6, 6]
    assert [maps[3].shape[1] for maps in output.features] == [1024] * 6
    # Strides: 4^4 for the scale discriminator, 3^4 for the periods.
    assert output.scores[0].shape == (1, 4)
    assert output.features[1][-1].shape == (1, 1, 7, 2)
    for score, maps in zip(output.scores, output.features, strict=True):
        assert torch.equal(score, maps[-1].flatten(1))


@pytest.mark.parametrize("period", [2, 3, 5, 7, 11])
def test_period_in_the_batch_is_the_same_mathematics(period: int) -> None:
    """Also for lengths that the period does not divide; the two share weights by state_dict."""
    torch.manual_seed(period)
    paper = PeriodDiscriminator(period, LIGHT, input_scale=3.0).double()
    fast = PeriodDiscriminator(period, LIGHT, input_scale=3.0, period_in_batch=True).double()
    fast.load_state_dict(paper.state_dict())
    waveform = torch.randn(2, 1001).double()
    a, b = paper(waveform), fast(waveform)
    torch.testing.assert_close(b.score, a.score, atol=1e-12, rtol=0)
    for left, right in zip(a.features, b.features, strict=True):
        back = right.unflatten(0, (2, period)).permute(0, 2, 3, 1)
        torch.testing.assert_close(back, left, atol=1e-12, rtol=0)


def test_period_columns_do_not_mix() -> None:
    """A change of one sample reaches the scores of its own column only."""
    discriminator = PeriodDiscriminator(5, LIGHT).double()
    waveform = torch.randn(1, 500).double()
    moved = waveform.clone()
    moved[0, 202] += 1
    difference = (discriminator(moved).features[-1] - discriminator(waveform).features[-1]).abs().sum(dim=(0, 1, 2))
    assert difference[202 % 5] > 0
    assert torch.count_nonzero(difference) == 1


def test_input_scale_multiplies_the_waveform() -> None:
    waveform = torch.randn(1, 600)
    for build in (lambda s: PeriodDiscriminator(3, LIGHT, input_scale=s), lambda s: ScaleDiscriminator(input_scale=s)):
        torch.manual_seed(1)
        plain = build(1.0)
        torch.manual_seed(1)
        scaled = build(8.0)
        torch.testing.assert_close(scaled(waveform).score, plain(8 * waveform).score)


def test_scale_widths_must_form_groups() -> None:
    with pytest.raises(ValueError, match="channels 6 -> 8 cannot form groups"):
        ScaleDiscriminator((6, 8, 16, 16, 16, 16))
    with pytest.raises(ValueError, match="has 6 layers"):
        ScaleDiscriminator((4, 8))


def test_spectral_norm_bounds_every_layer() -> None:
    torch.manual_seed(2)
    discriminator = PeriodDiscriminator(2, LIGHT, normalization="spectral").eval()
    for layer in [*discriminator.layers, discriminator.output]:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2) < 1.5


def test_spectrogram_input_is_standardised_and_finite_in_silence() -> None:
    discriminator = SpectrogramDiscriminator(512, 128, channels=4, mean=0.0, std=1.0)
    torch.manual_seed(3)
    # White noise of standard deviation s has magnitudes of mean square s².
    for deviation in (0.01, 1.0):
        power = (2 * discriminator.log_magnitude(deviation * torch.randn(1, 40000))).exp().mean()
        assert 0.9 < power / deviation**2 < 1.1
    silence = torch.zeros(1, 4096, requires_grad=True)
    output = SpectrogramDiscriminator(512, 128, channels=4)(silence)
    assert output.score.shape == (1, 33 * 33)  # frames at hop 128, and 257 bins after three strides of 2
    output.score.sum().backward()
    assert silence.grad.isfinite().all()
    assert len(output.features) == 6


@pytest.mark.data
def test_speech_enters_the_spectrogram_layers_standardised(recordings: object) -> None:
    import soundfile

    path = sorted(recordings.rglob("*.flac"))[0]
    samples, rate = soundfile.read(path, dtype="float32", frames=200_000)
    waveform = torch.from_numpy(samples if samples.ndim == 1 else samples[:, 0])[None]
    waveform = waveform * 0.07 / waveform.square().mean().sqrt()
    entering = SpectrogramDiscriminator(1024, 256).log_magnitude(waveform)
    assert rate > 0
    assert abs(entering.mean()) < 1
    assert 0.5 < entering.std() < 1.6


def test_gradients_stay_on_their_side() -> None:
    """D learns nothing through the generator's terms of real sound, the generator nothing from D's own update."""
    ensemble = light_ensemble()
    real = torch.randn(2, 1500)
    fake = torch.randn(2, 1500, requires_grad=True)
    d_real, d_fake = ensemble(real), ensemble(fake.detach())
    least_squares_discriminator(d_real.scores, d_fake.scores).backward()
    assert fake.grad is None
    for parameter in ensemble.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    ensemble.requires_grad_(False)
    d_real, d_fake = ensemble(real), ensemble(fake)
    (least_squares_generator(d_fake.scores) + feature_matching(d_real.features, d_fake.features)).backward()
    assert fake.grad.abs().sum() > 0


def test_chosen_discriminators_answer_in_the_order_asked() -> None:
    ensemble = light_ensemble()
    waveform = torch.randn(1, 900)
    everything, some = ensemble(waveform), ensemble(waveform, chosen=[2, 0])
    assert torch.equal(some.scores[0], everything.scores[2])
    assert torch.equal(some.scores[1], everything.scores[0])
    assert len(some.features) == 2


def test_ensemble_learns_to_tell_noise_from_tones() -> None:
    ensemble = light_ensemble()
    optimizer = torch.optim.AdamW(ensemble.parameters(), lr=4e-3, betas=(0.8, 0.99))
    time = torch.arange(1024) / 16000
    generator = torch.Generator().manual_seed(0)

    def loss() -> torch.Tensor:
        pitch = 100 + 300 * torch.rand(4, 1, generator=generator)
        tones = 0.1 * torch.sin(2 * torch.pi * pitch * time)
        noise = 0.07 * torch.randn(4, 1024, generator=generator)
        return least_squares_discriminator(ensemble(tones).scores, ensemble(noise).scores)

    first = loss().item()
    for _ in range(25):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.6 * first


def test_bfloat16_agrees() -> None:
    ensemble = light_ensemble()
    waveform = torch.randn(1, 1500)
    expected = ensemble(waveform)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = ensemble(waveform)
    for a, b in zip(expected.scores, low.scores, strict=True):
        torch.testing.assert_close(b.float(), a, atol=0.1, rtol=0)
