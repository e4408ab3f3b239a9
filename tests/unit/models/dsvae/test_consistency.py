"""Conversions that are heard in training: who learns from them, and that they come to have the voice asked for."""

import torch
from torch import Tensor

from moksori.config.load import load_preset, validate
from moksori.models.decoders.pitch import Pitch
from moksori.models.dsvae.config import DsvaeConfig, PitchConfig
from moksori.models.dsvae.consistency import conversion_terms
from moksori.models.dsvae.model import Dsvae

FRAMES = 40


def small_model(pitch: bool = False) -> Dsvae:
    torch.manual_seed(0)
    config = validate(DsvaeConfig, load_preset("dsvae/tiny")["model"])
    if pitch:
        config = config.model_copy(update={"pitch": PitchConfig(channels=16, num_layers=1)})
    return Dsvae(config)


def terms(model: Dsvae, mel: Tensor, pitch: Pitch | None = None) -> dict[str, Tensor]:
    latents = model.encode(mel)
    return conversion_terms(model, latents, latents.content.mean, pitch)


def random_mels(items: int = 4) -> Tensor:
    return torch.randn(items, 40, FRAMES, generator=torch.Generator().manual_seed(1)) - 5.0


def gradients(model: Dsvae, loss: Tensor, part: str) -> float:
    model.zero_grad()
    loss.backward()
    return sum(float(w.grad.abs().sum()) for w in getattr(model, part).parameters() if w.grad is not None)


def test_the_decoder_and_the_content_learn_and_the_listener_does_not() -> None:
    model = small_model()
    assert gradients(model, terms(model, random_mels())["conversion_speaker"], "decoder") > 0
    assert gradients(model, terms(model, random_mels())["conversion_speaker"], "content_posterior") > 0
    assert gradients(model, terms(model, random_mels())["conversion_speaker"], "speaker_posterior") == 0


def test_a_decoder_that_ignores_the_voice_explains_nothing_of_it() -> None:
    model = small_model()
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.zero_()
    assert float(terms(model, random_mels())["conversion_speaker"].detach()) > 0.9


def test_conversions_come_to_have_the_voice_that_they_were_given() -> None:
    model = small_model()
    mel = random_mels() + torch.linspace(-2, 2, 4)[:, None, None] * torch.randn(40, 1)
    optimizer = torch.optim.Adam(model.decoder.parameters(), 2e-3)
    first = float(terms(model, mel)["conversion_speaker"].detach())
    for _ in range(60):
        optimizer.zero_grad()
        loss = sum(terms(model, mel).values(), start=torch.zeros(()))
        loss.backward()
        optimizer.step()
    assert float(terms(model, mel)["conversion_speaker"].detach()) < 0.5 * first


def test_the_pitch_goes_to_the_mean_of_the_voice_that_is_given() -> None:
    model = small_model(pitch=True)
    given: list[Pitch] = []
    spoken = model.with_pitch

    def note(content: Tensor, pitch: Pitch) -> Tensor:
        given.append(pitch)
        return spoken(content, pitch)

    model.with_pitch = note  # type: ignore[method-assign]
    height = torch.tensor([[4.6], [5.3]]) + 0.1 * torch.sin(torch.arange(FRAMES) / 5.0)
    terms(model, random_mels(2), Pitch(height, torch.ones(2, FRAMES)))
    assert torch.allclose(given[0].log_f0.mean(dim=1), height.mean(dim=1).flip(0), atol=1e-4)
    assert torch.allclose(given[0].log_f0.std(dim=1), height.std(dim=1), atol=1e-4)
