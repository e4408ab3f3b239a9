"""Latents made stretch by stretch are those made at once."""

import pytest
import torch
from small_naturalspeech2 import prompts, rows, shaken
from torch.testing import assert_close

from moksori.models.contract_latents import CanStreamLatents
from moksori.models.naturalspeech2 import Naturalspeech2
from moksori.models.naturalspeech2.speaking import LEVEL_FRAMES, guided, planned
from moksori.types import LatentBatch, SayControls, TextBatch

CONTROLS = SayControls(variation=0.5)


def model_of(*settings: str) -> Naturalspeech2:
    return shaken("model.denoiser.preconditioned=true", "model.sampling.sampler=karras", "model.sampling.steps=3",
                  *settings)  # fmt: skip


def text_of(frames: int = 420) -> TextBatch:
    tokens = torch.randint(1, 60, (1, 30), generator=torch.Generator().manual_seed(2))
    durations = torch.full((1, 30), frames // 30)
    return TextBatch(tokens, torch.zeros_like(tokens), torch.tensor([30]), torch.tensor([0]), durations)


def one_prompt() -> LatentBatch:
    return rows(prompts(), slice(0, 1))


@pytest.mark.parametrize(
    ("guidance", "correction", "postfilter"),
    [(1.0, 0.0, False), (1.5, 0.0, False), (1.5, 0.5, False), (1.0, 0.0, True), (1.5, 0.0, True)],
)
def test_stretches_are_the_whole(guidance: float, correction: float, postfilter: bool) -> None:
    model = model_of(
        f"model.sampling.guidance={guidance}", f"model.sampling.mean_correction={correction}",
        f"model.postfilter={'{channels: 12, inner_channels: 16, num_layers: 2}' if postfilter else 'null'}",
    )  # fmt: skip
    text = text_of()
    assert isinstance(model, CanStreamLatents)
    whole = model.say_latents_like(text, one_prompt(), CONTROLS, generator=torch.Generator().manual_seed(3))
    made = model.stream_latents_like(
        text, one_prompt(), CONTROLS, (90, 40, 150), generator=torch.Generator().manual_seed(3)
    )
    assert made.frame_lengths.tolist() == [420]
    assert torch.equal(made.durations, whole.durations)
    blocks = list(made.blocks)
    assert [block.shape[2] for block in blocks] == [90, 40, 150, 140]
    assert float(whole.latent.std()) > 0.3
    assert_close(torch.cat(blocks, dim=2), whole.latent, atol=1e-3, rtol=0)


def test_the_first_stretch_takes_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long sentence the denoiser sees no more than the stretch and its context before the first block is there."""
    model = model_of("model.sampling.guidance=1.5")
    seen: list[int] = []
    guess = model.guess

    def counted(noised: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(noised.shape[2])
        return guess(noised, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "guess", counted)
    made = model.stream_latents_like(text_of(), one_prompt(), CONTROLS, (30, 60))
    assert not seen
    next(made.blocks)
    assert max(seen) == 30 + model.denoiser.context_frames + LEVEL_FRAMES < 420


def test_a_sampler_that_draws_on_its_way_makes_one_block() -> None:
    model, text = model_of("model.sampling.sampler=sde"), text_of(120)
    whole = model.say_latents_like(text, one_prompt(), CONTROLS, generator=torch.Generator().manual_seed(3))
    made = model.stream_latents_like(text, one_prompt(), CONTROLS, (20,), generator=torch.Generator().manual_seed(3))
    (block,) = made.blocks
    assert torch.equal(block, whole.latent)
    with pytest.raises(ValueError, match="chunk_frames"):
        model.stream_latents_like(text, one_prompt(), CONTROLS, (0,))


def test_guidance_holds_the_level_around_each_frame() -> None:
    """What is far from a frame makes no difference to it, loud as it may be."""
    model, text = model_of(), text_of()
    plan = planned(model, text, one_prompt(), CONTROLS)
    denoise, z = guided(model, plan, 3.0), torch.randn(1, 16, 420, generator=torch.Generator().manual_seed(1))
    louder = z.clone()
    louder[:, :, 300:] *= 5.0
    far = 300 - LEVEL_FRAMES - model.denoiser.context_frames
    with torch.no_grad():
        found, other, alone = denoise(z, 0.5), denoise(louder, 0.5), guided(model, plan, 1.0)(z, 0.5)
        assert_close(found[:, :, :far], other[:, :, :far], atol=1e-6, rtol=0)
        assert not torch.allclose(found[:, :, far:], other[:, :, far:], atol=1e-3)
        assert float(found.std()) == pytest.approx(float(alone.std()), rel=0.1)
