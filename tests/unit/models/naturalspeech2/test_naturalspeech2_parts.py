"""Sizes, length regulation, pitch, masks and what each part listens to."""

import typing

import pytest
import torch
from small_naturalspeech2 import batch_of, made, prompts, rows, shaken, text_of

from moksori.models.naturalspeech2.config import PitchConfig, SamplerName
from moksori.models.naturalspeech2.length import sounding_symbols, whole_frames
from moksori.models.naturalspeech2.pitch import Pitch, PitchEmbedding
from moksori.nn.diffusion_samplers import SAMPLERS
from moksori.nn.masks import sequence_mask
from moksori.pipeline.run_config import run_config
from moksori.text.symbols import GAP, START, SYMBOLS


def count(*modules: torch.nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def test_the_parts_of_base_have_the_published_sizes() -> None:
    """Within 5 % of the paper's table; the denoiser, which its text does not determine, within 25 %."""
    config = run_config("naturalspeech2/base")
    with torch.device("meta"):
        model = config.family.model(config.model)
    assert count(model.phoneme_encoder) == pytest.approx(72e6, rel=0.05)
    assert count(model.duration_predictor) == pytest.approx(34e6, rel=0.05)
    assert count(model.pitch_predictor, model.pitch_embedding) == pytest.approx(50e6, rel=0.05)
    assert count(model.prompt_encoder) == pytest.approx(69e6, rel=0.05)
    assert count(model.denoiser, model.prompt_tokens) == pytest.approx(183e6, rel=0.25)
    assert model.denoiser.context_frames == 80  # 161 frames in all


def test_compact_fits_into_its_files() -> None:
    """At most 32 MiB in float16."""
    config = run_config("naturalspeech2/compact")
    with torch.device("meta"):
        model = config.family.model(config.model)
    assert 2 * count(model) < 32 * 2**20
    assert model.denoiser.context_frames == 45


def test_samplers_are_those_of_the_settings() -> None:
    assert set(typing.get_args(SamplerName)) == set(SAMPLERS)


# ---- length ----


def test_the_length_regulator_equals_a_loop() -> None:
    model = shaken()
    states = torch.randn(2, 32, 5)
    durations = torch.tensor([[3, 0, 4, 1, 2], [0, 300, 1, 0, 0]])
    mask = sequence_mask(durations.sum(dim=1))
    found = model.expanded(states, durations, mask)
    for item in range(2):
        looped = [states[item, :, token] for token in range(5) for _ in range(int(durations[item, token]))]
        torch.testing.assert_close(found[item, :, : len(looped)], torch.stack(looped, dim=1))
        assert not found[item, :, len(looped) :].any()


def test_rounding_is_carried_on_and_sounds_have_a_frame() -> None:
    frames = torch.tensor([[2.4, 2.4, 2.4, 2.4, 2.4], [0.1, 0.2, -3.0, 500.0, 7.0]])
    sounding = torch.tensor([[True] * 5, [True, False, True, True, True]])
    mask = sequence_mask(torch.tensor([5, 4]), 5)
    found = whole_frames(frames, sounding, mask, longest=120)
    assert int(found[0].sum()) == 12
    assert found[0].tolist() == [2, 3, 2, 3, 2]
    assert found[1].tolist() == [1, 0, 1, 120, 0]
    draw = torch.rand(8, 200, generator=torch.Generator().manual_seed(0)) * 4
    everything = torch.ones(8, 1, 200, dtype=torch.bool)
    found = whole_frames(draw, everything[:, 0], everything, 120)
    assert int(found.min()) >= 1
    assert float((found.sum(dim=1) - draw.clamp(min=1).sum(dim=1)).abs().max()) <= 0.5 + 1e-3


def test_gaps_and_ends_are_no_sounds() -> None:
    sounding = sounding_symbols(SYMBOLS, len(SYMBOLS) + 2)
    quiet = {symbol for symbol, sounds in zip(SYMBOLS, sounding.tolist(), strict=False) if not sounds}
    assert {GAP, START, ".", "_", "<de>"} <= quiet
    assert not quiet & {"a", "tʃ", "ŋ"}
    assert sounding[-2:].all()


# ---- pitch ----


def test_pitch_falls_into_the_bins_of_its_height() -> None:
    embedding = PitchEmbedding(PitchConfig(), 8)
    hertz = torch.tensor([[49.0, 50.0, 50.1, 1100.0, 1101.0, 2000.0]], dtype=torch.float64)
    assert embedding.bin_of(hertz.log())[0].tolist() == [0, 0, 1, 510, 511, 511]
    between = PitchEmbedding(PitchConfig(bins=8, interpolate=True, voicing=True), 8)
    step = (1100.0 / 50.0) ** (1 / 7)
    f0 = torch.tensor([[50.0, 50.0 * step**0.5, 50.0 * step, 10.0, 5000.0]])
    found = between(Pitch(f0.log(), f0 > 0))[0].T - between.voicing.weight[1]
    table = between.table.weight
    torch.testing.assert_close(found[0], table[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], (table[0] + table[1]) / 2, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[2], table[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[3:], torch.stack([table[0], table[7]]), rtol=1e-4, atol=1e-5)


def test_unvoiced_frames_lie_between_their_neighbours() -> None:
    f0 = torch.tensor([[0.0, 100.0, 0.0, 0.0, 0.0, 160.0, 0.0], [0.0] * 7])
    found = Pitch.of(f0)
    expected = [100.0, 100.0, 100 * 1.6**0.25, 100 * 1.6**0.5, 100 * 1.6**0.75, 160.0, 160.0]
    torch.testing.assert_close(found.log_f0[0].exp(), torch.tensor(expected))
    assert found.voiced[0].tolist() == [False, True, False, False, False, True, False]
    assert bool(found.log_f0.isfinite().all())
    torch.testing.assert_close(found.shifted(12.0).log_f0[0].exp(), 2 * torch.tensor(expected))


# ---- masks and order ----


@pytest.mark.parametrize("prompt", ["tokens", "frames", "none"])
def test_padding_changes_nothing(prompt: str) -> None:
    """Of tokens, of prompts and of frames: condition, durations, pitch and guess are those of a clip alone."""
    model, batch, heard = shaken(f"model.denoiser.prompt={prompt}"), batch_of(2), prompts(2)

    def everything(items: slice, padding: int):
        text, prompt = text_of(batch, items, padding, given=True), rows(heard, items, padding)
        parts = model.hear(prompt.latent, prompt.frame_lengths)
        mask = sequence_mask(text.token_lengths, text.tokens.shape[1])
        states = model.encode(text.tokens, text.stress, mask, parts)
        frames = sequence_mask(text.durations.sum(dim=1), int(text.durations.sum(dim=1).max()) + padding)
        expanded = model.expanded(states, text.durations, frames)
        log_f0, _ = model.predicted_pitch(expanded, frames, parts)
        pitch = Pitch(log_f0, torch.ones_like(log_f0, dtype=torch.bool))
        condition = model.condition(expanded, pitch, frames)
        noised = torch.randn(1, 16, frames.shape[2], generator=torch.Generator().manual_seed(0))
        noised = noised.expand(len(text.tokens), -1, -1)
        guess = model.denoiser(
            noised, model.denoiser.times(torch.full((1,), 0.4)), model.prepared(condition, parts), frames
        )
        return model.log_durations(states, mask, parts), log_f0, condition, guess

    with torch.no_grad():
        alone, both = everything(slice(1, 2), 0), everything(slice(0, 2), 7)
    for found, expected in zip(both, alone, strict=True):
        size = expected.shape[-1]
        if expected is alone[-1]:  # noise at other places: that of the frames is compared where there is the same
            continue
        torch.testing.assert_close(found[1:2, ..., :size], expected, rtol=1e-4, atol=1e-5)
        assert not found[1, ..., size:].any()


def test_a_guess_does_not_hear_its_padding() -> None:
    model = shaken()
    parts = model.hear(prompts(1).latent, torch.tensor([40]))
    condition, noised = torch.randn(1, 32, 30), torch.randn(1, 16, 30)
    times = model.denoiser.times(torch.full((1,), 0.4))
    with torch.no_grad():
        alone = model.denoiser(noised, times, model.prepared(condition, parts), sequence_mask(torch.tensor([30])))
        longer = [torch.nn.functional.pad(x, (0, 20), value=3.0) for x in (noised, condition)]
        mask = sequence_mask(torch.tensor([30]), 50)
        padded = model.denoiser(longer[0], times, model.prepared(longer[1], parts), mask)
    torch.testing.assert_close(padded[..., :30], alone, rtol=1e-4, atol=1e-5)
    assert not padded[..., 30:].any()


def test_the_order_of_time_matters() -> None:
    """A position table that is looked up by the item and not by the time would not show elsewhere."""
    model = shaken()
    tokens = torch.randint(20, 60, (1, 12), generator=torch.Generator().manual_seed(0))
    stress, mask = torch.zeros_like(tokens), torch.ones(1, 1, 12, dtype=torch.bool)
    latent, lengths = prompts(1, frames=12).latent, torch.tensor([12])
    with torch.no_grad():
        parts = model.hear(latent, lengths)
        forward, backward = (model.encode(t, stress, mask, parts) for t in (tokens, tokens.flip(1)))
        turned = model.hear(latent.flip(2), lengths)
    assert float((forward - backward.flip(2)).abs().max()) > 1e-2
    assert float((parts.states - turned.states.flip(2)).abs().max()) > 1e-2


def test_each_part_listens() -> None:
    """The guess to text and prompt and time, the predictors to the prompt, the encoder to the prompt's mean."""
    model, batch = shaken(), batch_of(1)
    text = text_of(batch, given=True)
    mask, frames = sequence_mask(text.token_lengths), sequence_mask(text.durations.sum(dim=1))
    one, other = (model.hear(prompts(1, seed=s).latent, torch.tensor([40])) for s in (1, 2))
    noised = torch.randn(1, 16, frames.shape[2])
    with torch.no_grad():
        states = [model.encode(text.tokens, text.stress, mask, heard) for heard in (one, other)]
        lengths = [model.log_durations(states[0], mask, heard) for heard in (one, other)]
        expanded = model.expanded(states[0], text.durations, frames)
        pitches = [model.predicted_pitch(expanded, frames, heard)[0] for heard in (one, other)]
        keep, drop = torch.tensor([True]), torch.tensor([False])
        prepared = [
            model.prepared(expanded, one), model.prepared(expanded, other),
            model.prepared(expanded, one, drop, keep), model.prepared(expanded, one, keep, drop),
        ]  # fmt: skip
        late = model.denoiser.times(torch.full((1,), 0.9))
        guesses = [model.denoiser(noised, late, each, frames) for each in prepared]
        guesses.append(model.denoiser(noised, model.denoiser.times(torch.full((1,), 0.2)), prepared[0], frames))
    for first, second in (states, lengths, pitches):
        assert float((first - second).abs().max()) > 1e-4
    for guess in guesses[1:]:
        assert float((guess - guesses[0]).abs().max()) > 1e-4
    one_encoder = shaken("model.prompt_adaptive_norm=false")
    with torch.no_grad():
        same = [one_encoder.encode(text.tokens, text.stress, mask, heard) for heard in (one, other)]
    assert torch.equal(*same)


def test_the_predictors_of_an_ablation_hear_no_prompt() -> None:
    model = shaken("model.predictor_prompt=false")
    one, other = (model.hear(prompts(1, seed=s).latent, torch.tensor([40])) for s in (1, 2))
    states, mask = torch.randn(1, 32, 9), torch.ones(1, 1, 9, dtype=torch.bool)
    with torch.no_grad():
        assert torch.equal(model.log_durations(states, mask, one), model.log_durations(states, mask, other))
    assert not model.duration_predictor.attentions


def test_a_preconditioned_guess_starts_as_the_best_without_knowledge() -> None:
    """alpha z_t, which misses standard normal latents by sigma²; with what the network says, alpha z_t - sigma v."""
    fresh = shaken("model.denoiser.preconditioned=true")
    torch.nn.init.zeros_(fresh.denoiser.output.weight)
    torch.nn.init.zeros_(fresh.denoiser.output.bias)
    draw = torch.Generator().manual_seed(0)
    z0, noise = (torch.randn(2, 16, 400, generator=draw) for _ in range(2))
    mask = sequence_mask(torch.tensor([400, 300]))
    parts = fresh.hear(prompts(2).latent, torch.tensor([40, 40]))
    prepared, t = fresh.prepared(torch.randn(2, 32, 400), parts), torch.tensor([0.1, 0.6])
    noised = fresh.process.noised(z0, t, noise)
    with torch.no_grad():
        guess = fresh.guess(noised, t, prepared, mask)
    torch.testing.assert_close(guess, fresh.process.alpha(t)[:, None, None] * noised * mask)
    missed = [float((guess - z0)[item, :, :300].square().mean()) for item in range(2)]
    assert missed == pytest.approx((fresh.process.sigma(t) ** 2).tolist(), rel=0.1)
    alpha, sigma = (part[:, None, None] for part in (fresh.process.alpha(t), fresh.process.sigma(t)))
    torch.testing.assert_close(alpha * noised - sigma * (alpha * noise - sigma * z0), z0, rtol=1e-3, atol=1e-3)
    plain = shaken("model.denoiser.preconditioned=false")
    with torch.no_grad():
        said = plain.denoiser(noised, plain.denoiser.times(t), plain.prepared(torch.ones(2, 32, 400), parts), mask)
        same = plain.guess(noised, t, plain.prepared(torch.ones(2, 32, 400), parts), mask)
    assert torch.equal(said, same)


def test_the_voice_is_what_a_prompt_is_like_over_all_frames() -> None:
    """Until attention is learnt: mean and deviation, whatever the order; and it reaches the guess beside attention."""
    model, heard = made().eval().model, prompts(2)
    voice = model.prompt_tokens.voice
    mask = sequence_mask(heard.frame_lengths)
    pooled = []
    voice.expand.register_forward_pre_hook(lambda _, given: pooled.append(given[0]))
    with torch.no_grad():
        parts = model.hear(heard.latent, heard.frame_lengths)
    for item, length in enumerate(heard.frame_lengths.tolist()):
        real = heard.latent[item, :, :length]
        expected = torch.cat([real.mean(dim=1), real.std(dim=1, correction=0)])
        torch.testing.assert_close(pooled[0][item], expected, rtol=1e-3, atol=1e-3)
    assert parts.tokens.shape[2] == model.config.prompt_tokens + 1 == model.prompt_tokens.none.shape[2]
    assert not model.prompt_tokens.none[:, :, -1].any()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model.hear(heard.latent, heard.frame_lengths)
    torch.testing.assert_close(pooled[1], pooled[0], rtol=1e-2, atol=1e-2)

    taught = shaken()
    with torch.no_grad():
        assert not taught.denoiser.voice(torch.zeros(1, 32)).allclose(taught.denoiser.voice(torch.ones(1, 32)))
        tokens = taught.hear(heard.latent, heard.frame_lengths).tokens
        swapped = torch.cat([tokens[:, :, :-1], tokens[:, :, -1:].flip(0)], dim=2)
        condition, noised, t = torch.randn(2, 32, 40), torch.randn(2, 16, 40), torch.tensor([0.9])
        one, other = (taught.guess(noised, t, taught.denoiser.prepare(condition, x), mask) for x in (tokens, swapped))
    assert float((one - other).abs().max()) > 1e-4
    for prompt in ("frames", "none"):
        without = made(f"model.denoiser.prompt={prompt}").model
        assert without.prompt_tokens.voice is without.denoiser.voice is None
