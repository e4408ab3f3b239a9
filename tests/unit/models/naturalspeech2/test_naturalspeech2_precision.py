"""The denoiser in bfloat16: nearly the same latents, of exactly the same length."""

import torch
from small_naturalspeech2 import batch_of, prompts, shaken, text_of

from moksori.models.contract import CanLowerPrecision
from moksori.types import SayControls


def test_lower_precision_changes_little_and_no_length() -> None:
    model = shaken("model.sampling.guidance=1.5", "model.sampling.steps=3", "model.sampling.sampler=karras",
                   "model.denoiser.preconditioned=true")  # fmt: skip
    text = text_of(batch_of(2), slice(0, 2))
    assert isinstance(model, CanLowerPrecision)

    def said():
        return model.say_latents_like(text, prompts(2), SayControls(), generator=torch.Generator().manual_seed(1))

    whole = said()
    model.lower_precision()
    lower = said()
    assert torch.equal(lower.durations, whole.durations)
    torch.testing.assert_close(lower.f0, whole.f0)
    assert lower.latent.dtype == torch.float32
    missed = float((lower.latent - whole.latent).square().mean() / whole.latent.square().mean())
    assert 0.0 < missed < 10 ** (-30 / 10)
