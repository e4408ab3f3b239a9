"""Conversion along the ODE: round trips, strength, prompts, batches, and texts with durations."""

from dataclasses import replace

import pytest
import torch
from small_naturalspeech2 import batch_of, prompts, shaken, text_of

from moksori.errors import BadInput
from moksori.models.contract_latents import CanConvertLatents
from moksori.models.naturalspeech2 import conversion
from moksori.types import ConvertControls, LatentBatch


@pytest.fixture(scope="module")
def model():
    return shaken()


def convert(model, source, target, own=None, **given):
    controls = ConvertControls(**{key: given.pop(key) for key in ("strength", "variation") if key in given})
    return model.convert_latents(source, target, own, controls, **given)


def test_is_what_the_pipeline_asks_for(model) -> None:
    assert isinstance(model, CanConvertLatents)


@pytest.fixture
def voices(monkeypatch):
    """A network that is never wrong: latents of a voice are normal, around a mean that its prompt decides."""

    def mean_of(plan):
        return 50.0 * plan.prompt.tokens.mean(dim=(1, 2), keepdim=True).detach()

    def exact(model, plan, guidance=1.0):
        mean, spread = mean_of(plan), 0.5

        def denoise(zt, t):
            alpha, sigma = model.process.alpha(t), model.process.sigma(t)
            gain = alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)
            return (mean + gain * (zt - alpha * mean)) * plan.mask

        return denoise

    monkeypatch.setattr(conversion, "guided", exact)
    return lambda model, prompt: mean_of(
        conversion._plan(model, prompt, torch.ones(1, 1, 1, dtype=torch.bool), None, None)
    )


def test_in_its_own_voice_a_recording_stays_what_it_is(model, voices) -> None:
    source = prompts(2, frames=30)
    made = convert(model, source, source)
    assert float((made.latent - source.latent).square().mean().sqrt()) < 0.03
    assert torch.equal(made.frame_lengths, source.frame_lengths)


def test_in_another_voice_it_differs_as_the_voices_do(model, voices) -> None:
    source, target = prompts(1, frames=30), prompts(1, frames=40, seed=9)
    away = voices(model, target) - voices(model, source)
    assert float(away.abs()) > 0.1
    none, some, whole = (convert(model, source, target, strength=s).latent for s in (0.0, 0.5, 1.0))
    for latent, strength in ((none, 0.0), (some, 0.5), (whole, 1.0)):
        torch.testing.assert_close(latent - source.latent, (strength * away).expand_as(latent), atol=0.1, rtol=0.1)
    drawn = convert(model, source, target, variation=1.0, generator=torch.Generator().manual_seed(1)).latent
    assert float(drawn.std()) == pytest.approx(0.5, rel=0.1)  # the voice's own spread, and no longer the source's


def test_a_network_that_knows_nothing_undoes_itself_too(model) -> None:
    source = prompts(2, frames=30)
    assert float((convert(model, source, source).latent - source.latent).square().mean().sqrt()) < 0.1


def test_another_prompt_makes_a_difference(model) -> None:
    source = prompts(2, frames=30)
    made, other = (convert(model, source, prompts(2, frames=40, seed=seed)).latent for seed in (8, 9))
    assert not torch.allclose(made, other, atol=1e-3)


def test_without_a_target_nobody_in_particular_speaks(model) -> None:
    source = prompts(2, frames=30)
    clean = convert(model, source, None)
    assert clean.latent.shape == source.latent.shape
    assert not torch.allclose(clean.latent, convert(model, source, source).latent, atol=1e-3)


def test_neighbours_and_padding_make_no_difference(model) -> None:
    source, target = prompts(3, frames=30), prompts(3, frames=40, seed=9)
    together = convert(model, source, target, variation=0.5, generator=torch.Generator().manual_seed(1))
    frames, prompt_frames = int(source.frame_lengths[2]), int(target.frame_lengths[2])
    alone = convert(
        model,
        LatentBatch(source.latent[2:, :, :frames], source.frame_lengths[2:]),
        LatentBatch(target.latent[2:, :, :prompt_frames], target.frame_lengths[2:]),
        variation=0.5,
        generator=torch.Generator().manual_seed(1),
    )
    torch.testing.assert_close(together.latent[2:, :, :frames], alone.latent, atol=1e-4, rtol=1e-4)
    assert not together.latent[2, :, frames:].any()


def test_a_text_is_followed_with_durations_of_the_recording(model) -> None:
    batch = batch_of(2)
    text = text_of(batch, given=True)
    lengths = text.durations.sum(dim=1)
    latent = torch.randn(2, 16, int(lengths.max()), generator=torch.Generator().manual_seed(2))
    source = LatentBatch(latent * (torch.arange(latent.shape[2]) < lengths[:, None])[:, None], lengths)
    with_text = convert(model, source, prompts(2), text=text)
    assert not torch.allclose(with_text.latent, convert(model, source, prompts(2)).latent, atol=1e-3)
    with pytest.raises(BadInput, match="durations"):
        convert(model, source, prompts(2), text=replace(text, durations=None))
    with pytest.raises(BadInput, match="add up to"):
        convert(model, prompts(2, frames=11), prompts(2), text=text)
    with pytest.raises(BadInput, match="channels"):
        convert(model, prompts(2, channels=3), prompts(2))
