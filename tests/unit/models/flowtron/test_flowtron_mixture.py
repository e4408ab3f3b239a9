"""The mixture prior is the density it claims, equal components are one Gaussian, and its components can be chosen."""

import five_bands as small
import pytest
import torch
from pydantic import ValidationError

from moksori.errors import UnsupportedTask
from moksori.models.flowtron import Flowtron
from moksori.models.flowtron.latents import ChosenLatents
from moksori.models.flowtron.prior import Mixture, MixturePrior
from moksori.types import LatentPlan, MixtureChoice, SayControls

FIXED = {"kind": "mixture", "num_components": 3, "channels": 8, "mean_scale": 2.0}
LEARNED = {**FIXED, "means": "learned"}


def mixed_model(settings: dict[str, object], **changes: object) -> tuple[Flowtron, MixturePrior]:
    model = small.model(prior=settings, **changes)
    assert isinstance(model.prior, MixturePrior)
    return model, model.prior


def test_density_is_the_sum_over_components() -> None:
    draw = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 3, generator=draw).log_softmax(dim=1)
    mean, log_variance = (torch.randn(2, 5, 3, generator=draw) for _ in range(2))
    latent = torch.randn(2, 5, 4, generator=draw)
    found = Mixture(weights, mean, log_variance).log_density(latent)
    for item in range(2):
        for band in range(5):
            expected = torch.distributions.MixtureSameFamily(
                torch.distributions.Categorical(logits=weights[item]),
                torch.distributions.Normal(mean[item, band], torch.exp(0.5 * log_variance[item, band])),
            )
            torch.testing.assert_close(found[item, band], expected.log_prob(latent[item, band]))


@pytest.mark.parametrize("settings", [FIXED, LEARNED])
def test_equal_components_are_one_gaussian(settings: dict[str, object]) -> None:
    model, prior = mixed_model(settings)
    plain = small.model()
    with torch.no_grad():
        for parameter in (prior.mean_layer, prior.log_variance_layer):
            if parameter is not None:
                parameter.weight.zero_()
                parameter.bias.zero_()
        if prior.mean_layer is None:
            prior.mean.zero_()
    plain.load_state_dict(model.state_dict(), strict=False)
    mel, lengths = small.mels()
    with torch.no_grad():
        one, many = (m.encode(mel, lengths, m.memory(small.text())) for m in (plain, model))
    assert torch.equal(one.latent, many.latent)
    torch.testing.assert_close(one.log_likelihood, many.log_likelihood, atol=1e-5, rtol=1e-5)


def test_fixed_means_have_a_band_each() -> None:
    _, prior = mixed_model(FIXED)
    assert prior.mean.shape == (5, 3)
    assert prior.mean.sum(dim=0).tolist() == [2.0, 2.0, 2.0]
    assert int((prior.mean.sum(dim=1) > 0).sum()) == 3
    with pytest.raises(ValidationError, match="5 bands"):
        small.model(prior={**FIXED, "num_components": 6})


def test_padding_does_not_change_what_a_recording_chooses() -> None:
    model, _ = mixed_model(LEARNED)
    mel, lengths = small.mels()
    with torch.no_grad():
        together = model.mixture(mel, lengths)
        padded = model.mixture(torch.nn.functional.pad(mel, (0, 5), value=9.0), lengths)
        alone = model.mixture(mel[1:2, :, :5], lengths[1:2])
    torch.testing.assert_close(together.log_weights, padded.log_weights)
    torch.testing.assert_close(together.mean[1:2], alone.mean)


@pytest.mark.parametrize("settings", [FIXED, LEARNED])
def test_gradients_reach_the_network_that_reads_the_mel(settings: dict[str, object]) -> None:
    model, prior = mixed_model(settings)
    next(small.objective(model).updates(small.batch(), 0)).terms["nll"].backward()
    silent = [n for n, p in prior.named_parameters() if p.grad is None or not bool(p.grad.any())]
    # a bias before an instance norm is taken out by it
    assert [name for name in silent if not name.startswith("mel_encoder.convolutions")] == []


def test_chosen_components_govern_what_is_drawn() -> None:
    _, prior = mixed_model(FIXED)
    band = int(prior.mean[:, 1].argmax())
    noise = torch.randn(2, 5, 400, generator=torch.Generator().manual_seed(0))

    def drawn(variation: float = 0.1, **choice: object) -> torch.Tensor:
        return prior.placed(noise, variation, MixtureChoice(**choice), torch.Generator().manual_seed(1))  # type: ignore[arg-type]

    only = drawn(weights=((1, 1.0),))
    assert float(only[:, band].mean()) == pytest.approx(2.0, abs=0.02)
    assert float(only[:, [b for b in range(5) if b != band]].mean()) == pytest.approx(0.0, abs=0.02)
    half = drawn(weights=((1, 1.0), (0, 1.0)))
    assert float((half[:, band] > 1.0).float().mean()) == pytest.approx(0.5, abs=0.06)
    moved = drawn(weights=((1, 1.0),), shifts=((1, band, 0.5),))
    torch.testing.assert_close(moved[:, band], only[:, band] + 0.5)
    still = drawn(variation=0.0)
    assert torch.equal(still, drawn(variation=0.0))
    assert float(still[0, band, 0]) == pytest.approx(2.0 / 3)


def test_latents_of_a_text_follow_the_choice() -> None:
    model, prior = mixed_model(FIXED)
    assert isinstance(model, ChosenLatents)
    assert model.mixture_components == 3
    band = int(prior.mean[:, 2].argmax())
    plan = LatentPlan(mixture=MixtureChoice(weights=((2, 1.0),)))
    like, frames = torch.zeros(1, 5, 300), torch.tensor([300])
    latent = model.drawn_latent(like, frames, SayControls(variation=0.2, latent=plan), torch.Generator().manual_seed(0))
    assert float(latent[0, band].mean()) == pytest.approx(2.0, abs=0.05)
    own = model.drawn_latent(like, frames, SayControls(variation=0.2), torch.Generator().manual_seed(0))
    assert float(own[0, band].mean()) == pytest.approx(2.0 / 3, abs=0.2)


def test_averages_are_those_of_the_recordings() -> None:
    model, prior = mixed_model(LEARNED)
    batch = small.batch()
    small.objective(model).calibrate(model, [batch, batch])
    found = model.mixture(model.mel(batch.waveform), batch.waveform_lengths // small.HOP)
    torch.testing.assert_close(prior.average_weights, found.log_weights.exp().mean(dim=0))
    torch.testing.assert_close(prior.average_mean, found.mean.mean(dim=0))


def test_one_gaussian_has_no_components() -> None:
    model = small.model()
    assert model.mixture_components == 0
    with pytest.raises(UnsupportedTask, match="one Gaussian"):
        model.mixture(*small.mels())
