"""Speaking in a prompt's voice: lengths, seeds, neighbours, what is given and what is wrong."""

from dataclasses import replace

import pytest
import torch
from small_naturalspeech2 import batch_of, prompts, rows, shaken, text_of

from moksori.errors import BadInput
from moksori.models.contract_latents import CanSayLatents
from moksori.models.naturalspeech2.speaking import LEVEL_FRAMES, guided, heard_prompt, missed_mean, planned
from moksori.nn.diffusion_samplers import SAMPLERS
from moksori.types import LatentBatch, SayControls

CONTROLS = SayControls()


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_says_what_the_protocol_asks_for() -> None:
    model, text, heard = shaken(), text_of(batch_of()), prompts()
    assert isinstance(model, CanSayLatents)
    said = model.say_latents_like(text, heard, CONTROLS, generator=seeded())
    assert torch.equal(said.durations.sum(dim=1), said.frame_lengths)
    assert said.latent.shape == (4, 16, int(said.frame_lengths.max()))
    assert said.f0.shape == (4, int(said.frame_lengths.max()))
    sounding = model.sounding[text.tokens] & (torch.arange(text.tokens.shape[1]) < text.token_lengths[:, None])
    assert int(said.durations[sounding].min()) >= 1
    for item in range(4):
        assert not said.latent[item, :, said.frame_lengths[item] :].any()
        assert not said.durations[item, text.token_lengths[item] :].any()


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize(("guidance", "correction"), [(1.0, 0.0), (1.7, 0.5)])
def test_neighbours_and_padding_change_nothing(sampler: str, guidance: float, correction: float) -> None:
    """With noise: the same seed, text and prompt give the same latents in a batch of any size."""
    model = shaken(
        f"model.sampling.sampler={sampler}", f"model.sampling.guidance={guidance}", "model.sampling.steps=3",
        f"model.sampling.mean_correction={correction}",
    )  # fmt: skip
    batch, heard = batch_of(), prompts()
    together = model.say_latents_like(text_of(batch), heard, CONTROLS, generator=seeded())
    for item in (0, 3):
        one = slice(item, item + 1)
        for padding in (0, 6):
            alone = model.say_latents_like(
                text_of(batch, one, padding), rows(heard, one, padding), CONTROLS, generator=seeded()
            )
            frames = int(alone.frame_lengths)
            assert frames == int(together.frame_lengths[item])
            scale = float(alone.latent.abs().max())
            assert float((alone.latent[0] - together.latent[item, :, :frames]).abs().max()) < 1e-4 * scale
            torch.testing.assert_close(alone.f0[0], together.f0[item, :frames], rtol=1e-4, atol=1e-3)


def test_what_the_model_does_not_believe_of_a_voice_is_added_to_all_frames() -> None:
    """A constant for a prompt, as much of it as is asked for; and one that a model of that very voice would not add."""
    plain, text, heard = shaken(), text_of(batch_of(2), given=False), prompts(2)
    none = plain.say_latents_like(text, heard, CONTROLS, generator=seeded())
    missed = missed_mean(plain, heard, heard_prompt(plain, heard))
    assert missed.shape == (2, 16, 1)
    for share in (0.25, 1.0):
        model = shaken(f"model.sampling.mean_correction={share}")
        said = model.say_latents_like(text, heard, CONTROLS, generator=seeded())
        mask = torch.arange(said.latent.shape[2]) < said.frame_lengths[:, None, None]
        expected = none.latent + share * missed * plain.standardize.std[:, None] * mask
        torch.testing.assert_close(said.latent, expected, atol=1e-4, rtol=1e-4)
    # Who sounds as the model believes has nothing added, whatever is said.
    believed = plain.standardize(heard.latent) - missed
    known = LatentBatch(plain.standardize.inverse(believed), heard.frame_lengths)
    torch.testing.assert_close(
        missed_mean(plain, known, heard_prompt(plain, heard)), torch.zeros(2, 16, 1), atol=1e-4, rtol=0
    )


def test_seeds_and_variation_decide() -> None:
    model, text, heard = shaken(), text_of(batch_of(2)), prompts(2)
    one, two, other = (model.say_latents_like(text, heard, CONTROLS, generator=seeded(s)) for s in (7, 7, 8))
    assert torch.equal(one.latent, two.latent)
    assert not torch.equal(one.latent, other.latent)
    assert torch.equal(one.durations, other.durations)
    still = [model.say_latents_like(text, heard, SayControls(variation=0.0), generator=seeded(s)) for s in (1, 2)]
    assert torch.equal(still[0].latent, still[1].latent)


def test_speed_pitch_and_given_melodies_are_followed() -> None:
    model, batch, heard = shaken(), batch_of(2), prompts(2)
    text = text_of(batch, given=True)
    said = model.say_latents_like(text, heard, CONTROLS, generator=seeded())
    assert torch.equal(said.durations, text.durations)
    higher = model.say_latents_like(text, heard, SayControls(shift_semitones=12.0), generator=seeded())
    torch.testing.assert_close(higher.f0, 2.0 * said.f0)
    assert not torch.equal(higher.latent, said.latent)

    f0 = torch.full(said.f0.shape, 220.0)
    f0[:, 3:5] = 0.0
    sung = model.say_latents_like(text, heard, CONTROLS, f0=f0, generator=seeded())
    expected = f0 * (torch.arange(f0.shape[1]) < said.frame_lengths[:, None])
    torch.testing.assert_close(sung.f0, expected)
    with pytest.raises(BadInput, match="durations"):
        model.say_latents_like(text_of(batch), heard, CONTROLS, f0=f0)
    with pytest.raises(BadInput, match="one value for each frame"):
        model.say_latents_like(text, heard, CONTROLS, f0=f0[:, :5])

    torch.nn.init.zeros_(model.duration_predictor.head.weight)
    model.duration_predictor.head.bias.data.fill_(3.0)  # 19 frames a token
    slow, fast = (
        model.say_latents_like(text_of(batch), heard, SayControls(speed=speed), generator=seeded())
        for speed in (0.8, 1.6)
    )
    torch.testing.assert_close(slow.frame_lengths / fast.frame_lengths, torch.full((2,), 2.0), rtol=0.05, atol=0.0)


def test_voice_and_manner_come_from_two_recordings() -> None:
    """The predictors follow `prosody`, the denoiser the prompt."""
    model, text = shaken("model.prompt_adaptive_norm=false"), text_of(batch_of(1))
    model.duration_predictor.head.weight.data.mul_(5.0)
    model.duration_predictor.head.bias.data.fill_(2.5)
    voice, manner = prompts(1, seed=1), prompts(1, seed=2)
    one = model.say_latents_like(text, voice, CONTROLS, generator=seeded())
    mixed = model.say_latents_like(text, voice, CONTROLS, prosody=manner, generator=seeded())
    other = model.say_latents_like(text, manner, CONTROLS, generator=seeded())
    assert torch.equal(mixed.durations, other.durations)
    torch.testing.assert_close(mixed.f0, other.f0)
    assert not torch.equal(mixed.f0, one.f0)
    assert not torch.equal(mixed.latent, other.latent)


def test_prompt_and_text_are_heard() -> None:
    """Swapping either changes what is said at the same durations and pitch."""
    model, batch = shaken(), batch_of(1)
    text = text_of(batch, given=True)
    f0 = torch.full((1, int(text.durations.sum())), 150.0)
    voice, other = prompts(1, seed=1), prompts(1, seed=2)
    said = model.say_latents_like(text, voice, CONTROLS, f0=f0, generator=seeded()).latent
    elsewhere = model.say_latents_like(text, other, CONTROLS, f0=f0, generator=seeded()).latent
    words = replace(text, tokens=text.tokens.flip(1))
    otherwise = model.say_latents_like(words, voice, CONTROLS, f0=f0, generator=seeded()).latent
    assert float((said - elsewhere).abs().max()) > 1e-3
    assert float((said - otherwise).abs().max()) > 1e-3


def test_guidance_of_one_is_none_and_more_goes_further() -> None:
    model = shaken()
    plan = planned(model, text_of(batch_of(2), given=True), prompts(2), CONTROLS)
    z = torch.randn(2, 16, plan.mask.shape[2], generator=seeded())
    with torch.no_grad():
        full, same = guided(model, plan, 1.0)(z, 0.6), guided(model, plan, 1.0 + 1e-9)(z, 0.6)
        none = torch.tensor([False, False])
        null = model.guess(z, torch.tensor([0.6]), model.prepared(plan.condition, plan.prompt, none, none), plan.mask)
        more = guided(model, plan, 2.0)(z, 0.6)
    torch.testing.assert_close(same, full, rtol=1e-4, atol=1e-5)
    assert float((null - full).abs().max()) > 1e-3
    for item, frames in enumerate(plan.frame_lengths.tolist()):
        real = [x[item, :, :frames] for x in (full, null, more)]
        far = real[1] + 2.0 * (real[0] - real[1])
        for frame in (0, frames // 2, frames - 1):  # the spread of the real frames around each
            near = slice(max(frame - LEVEL_FRAMES, 0), min(frame + LEVEL_FRAMES + 1, frames))
            factor = min(1.0, float(real[0][:, near].std(correction=0) / far[:, near].std(correction=0)))
            torch.testing.assert_close(real[2][:, frame], factor * far[:, frame], rtol=1e-4, atol=1e-4)


def test_latents_are_as_the_codec_makes_them() -> None:
    """A model that was told of latents a hundred times as large hears and says such."""
    model, text, heard = shaken(), text_of(batch_of(2), given=True), prompts(2)
    said = model.say_latents_like(text, heard, CONTROLS, generator=seeded())
    model.standardize.mean.fill_(30.0)
    model.standardize.std.fill_(100.0)
    mask = torch.arange(40) < heard.frame_lengths[:, None]
    larger = LatentBatch((100.0 * heard.latent + 30.0) * mask[:, None], heard.frame_lengths)
    found = model.say_latents_like(text, larger, CONTROLS, generator=seeded())
    real = torch.arange(said.latent.shape[2]) < said.frame_lengths[:, None]
    torch.testing.assert_close(found.latent, (100.0 * said.latent + 30.0) * real[:, None], rtol=1e-3, atol=1e-2)


def test_bad_input_is_refused() -> None:
    model, text, heard = shaken(), text_of(batch_of(2)), prompts(2)
    with pytest.raises(BadInput, match="1 prompts for 2 texts"):
        model.say_latents_like(text, rows(heard, slice(0, 1)), CONTROLS)
    with pytest.raises(BadInput, match="8 channels"):
        model.say_latents_like(text, LatentBatch(heard.latent[:, :8], heard.frame_lengths), CONTROLS)
    with pytest.raises(BadInput, match="prosody without any frame"):
        model.say_latents_like(text, heard, CONTROLS, prosody=LatentBatch(heard.latent, torch.tensor([3, 0])))
    with pytest.raises(BadInput, match="speed"):
        model.say_latents_like(text, heard, SayControls(speed=0.0))
    with pytest.raises(BadInput, match="without any frame"):
        model.say_latents_like(replace(text, durations=torch.zeros_like(text.tokens)), heard, CONTROLS)
