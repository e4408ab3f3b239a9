"""Prompts that are cut out, the terms of the loss, and what they reach."""

import pytest
import torch
from small_naturalspeech2 import batch_of, made

from moksori.errors import ConfigError
from moksori.losses.diffusion import score_weight, weighed_square
from moksori.losses.residual_codes import latents_of_codes, residual_cross_entropy
from moksori.models.naturalspeech2.health import health
from moksori.models.naturalspeech2.objective import _others
from moksori.models.naturalspeech2.prompt_cut import cut
from moksori.nn.diffusion import VariancePreserving


def numbered(durations: torch.Tensor) -> torch.Tensor:
    """The number of each frame, -1 at padding."""
    lengths, width = durations.sum(dim=1), int(durations.sum(dim=1).max())
    place = torch.arange(width).expand(len(durations), -1)
    return torch.where(place < lengths[:, None], place, -1)


@pytest.mark.parametrize("seed", range(4))
def test_prompt_and_target_are_all_there_was(seed: int) -> None:
    """Frames and tokens add up, borders are those of tokens, and the prompt's tokens are gone."""
    draw = torch.Generator().manual_seed(seed)
    durations = torch.randint(0, 12, (16, 20), generator=draw)
    token_lengths = torch.randint(6, 21, (16,), generator=draw)
    durations *= torch.arange(20) < token_lengths[:, None]
    lengths, frames = durations.sum(dim=1), numbered(durations)
    room = int(lengths.max())
    found = cut(durations, token_lengths, 30, torch.rand(16, generator=draw), room, junction=2)
    tokens = torch.arange(20).expand(16, -1)
    for item in range(16):
        target = found.of_frames(frames)[item, : found.frame_lengths[item]].tolist()
        prompt = found.of_prompt(frames)[item, : found.prompt_lengths[item]].tolist()
        assert sorted(target + prompt) == list(range(int(lengths[item])))
        assert prompt == list(range(prompt[0], prompt[-1] + 1))
        assert target == sorted(target)
        assert 0 < len(prompt) <= max(min(30, int(lengths[item]) // 2), int(durations[item].max()))
        kept = found.of_tokens(tokens)[item, : found.token_lengths[item]].tolist()
        gone = sorted(set(range(int(token_lengths[item]))) - set(kept))
        assert gone == list(range(gone[0], gone[-1] + 1))
        assert int(durations[item, gone].sum()) == len(prompt)
        assert int(found.of_tokens(durations)[item].sum()) == len(target)
        edge = int(durations[item, : gone[0]].sum())
        assert prompt[0] == edge
        wanted = [not (0 < edge < len(target) and edge - 2 <= place < edge + 2) for place in range(len(target))]
        assert found.learnt[item, 0].tolist() == wanted + [False] * (room - len(target))
    assert not found.of_tokens(tokens)[~found.token_mask[:, 0]].any()


def test_prompts_come_from_everywhere() -> None:
    durations = torch.full((400, 40), 5)
    places = torch.rand(400, generator=torch.Generator().manual_seed(0))
    found = cut(durations, torch.full((400,), 40), 60, places, 200)
    first = found.of_prompt(numbered(durations))[:, 0]
    assert int((first < 20).sum()) > 20
    assert int((first > 120).sum()) > 20
    assert int(found.prompt_lengths.min()) >= 55


def test_a_token_that_fills_its_utterance_leaves_finite_losses() -> None:
    found = cut(torch.tensor([[9, 0], [1, 60]]), torch.tensor([1, 2]), 20, torch.tensor([0.3, 0.9]), 61)
    assert found.frame_lengths.tolist() == [0, 1]
    assert found.prompt_lengths.tolist() == [9, 20]


def test_another_utterance_can_be_the_prompt() -> None:
    durations = torch.tensor([[5, 5, 5, 5], [4, 4, 4, 0], [9, 9, 9, 9]])
    token_lengths, places = torch.tensor([4, 3, 4]), torch.tensor([0.0, 0.5, 0.99])
    other = torch.tensor([2, -1, 0])
    found = cut(durations, token_lengths, 8, places, 36, other=other)
    assert found.frame_lengths.tolist() == [20, 8, 36]
    assert found.token_lengths.tolist() == [4, 2, 4]
    assert found.prompt_rows.tolist() == [2, 1, 0]
    marked = numbered(durations) + 100 * torch.arange(3)[:, None]
    heard = found.of_prompt(marked)
    assert heard[0, :8].tolist() == list(range(200, 208))
    assert heard[2, :8].tolist() == list(range(12, 20))
    speakers = _others(torch.tensor([1, 2, 1, 1]), torch.tensor([0.1, 0.5, 0.99, 0.0]))
    assert speakers.tolist() == [2, -1, 3, 0]


# ---- terms ----


def test_score_loss_is_its_weight_times_the_square() -> None:
    """Literally: the distance between the scores of the guess and of the noise that was drawn."""
    process, draw = VariancePreserving(), torch.Generator().manual_seed(0)
    z0, noise, guess = (torch.randn(6, 4, 9, generator=draw).double() for _ in range(3))
    t = torch.linspace(0.01, 1.0, 6, dtype=torch.float64)
    zt = process.noised(z0, t, noise)
    true = -noise / process.sigma(t)[:, None, None]
    scores = (process.score(guess, zt, t) - true).square().mean(dim=(1, 2))
    square = (guess - z0).square().mean(dim=(1, 2))
    torch.testing.assert_close(scores, score_weight(process, t, "literal") * square)
    noises = (process.noise_of(guess, zt, t) - noise).square().mean(dim=(1, 2))
    torch.testing.assert_close(noises, score_weight(process, t, "snr") * square)
    at = torch.tensor([0.1, 0.01, 0.001], dtype=torch.float64)
    torch.testing.assert_close(
        score_weight(process, at, "literal"), torch.tensor([91.0, 4.5e5, 2.8e8]).double(), rtol=0.02, atol=0.0
    )
    assert float(score_weight(process, at).max()) == 5.0
    mask = torch.ones(6, 1, 9, dtype=torch.bool)
    found = weighed_square(guess, z0, mask, score_weight(process, t).float())
    torch.testing.assert_close(found.double(), (score_weight(process, t) * square).mean(), rtol=1e-5, atol=1e-6)


def books(stages: int = 3, size: int = 10, channels: int = 6) -> torch.Tensor:
    drawn = torch.randn(stages, size, channels, generator=torch.Generator().manual_seed(3))
    return 4.0 * drawn * 0.4 ** torch.arange(stages)[:, None, None]


def test_cross_entropy_equals_a_loop() -> None:
    codebooks, draw = books(), torch.Generator().manual_seed(0)
    codes = torch.randint(10, (2, 3, 7), generator=draw)
    guess = torch.randn(2, 6, 7, generator=draw)
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None, None]
    tau = torch.tensor([1.0, 2.0, 0.5])
    found = residual_cross_entropy(guess, codes, codebooks, mask, [0, 2], tau)
    of_items = residual_cross_entropy(guess, codes, codebooks, mask, [1], torch.tensor([0.5, 2.0]), of_items=True)
    each = [
        float(residual_cross_entropy(guess[i : i + 1], codes[i : i + 1], codebooks, mask[i : i + 1], [1], tau).loss)
        for i, tau in ((0, 0.5), (1, 2.0))
    ]
    assert float(of_items.loss) == pytest.approx((7 * each[0] + 4 * each[1]) / 11, rel=1e-5)
    total, right, frames = 0.0, [0, 0], 11
    for place, stage in enumerate((0, 2)):
        for item, length in ((0, 7), (1, 4)):
            for frame in range(length):
                residual = guess[item, :, frame].clone()
                for before in range(stage):
                    residual -= codebooks[before, codes[item, before, frame]]
                distance = (residual - codebooks[stage]).square().sum(dim=1)
                total -= float(torch.log_softmax(-distance / tau[stage], dim=0)[codes[item, stage, frame]])
                right[place] += int(distance.argmin() == codes[item, stage, frame])
    assert float(found.loss) == pytest.approx(total / (2 * frames), rel=1e-4)
    assert found.accuracy.tolist() == pytest.approx([r / frames for r in right])


def test_cross_entropy_is_least_at_the_truth() -> None:
    codebooks = 3.0 * books()
    codes = torch.randint(10, (2, 3, 7), generator=torch.Generator().manual_seed(0))
    truth, mask = latents_of_codes(codes, codebooks), torch.ones(2, 1, 7, dtype=torch.bool)
    for stage in range(3):
        torch.testing.assert_close(
            latents_of_codes(codes[:, : stage + 1], codebooks)[0, :, 4],
            sum(codebooks[i, codes[0, i, 4]] for i in range(stage + 1)),
        )
    last = residual_cross_entropy(truth, codes, codebooks, mask, [2])
    assert last.accuracy.tolist() == [1.0]
    assert float(last.loss) < 1e-3
    for seed in range(5):
        away = 3.0 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed))
        assert float(residual_cross_entropy(truth + away, codes, codebooks, mask, [2]).loss) > 100 * float(last.loss)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_cross_entropy_stays_finite_under_autocast(half: torch.dtype) -> None:
    codebooks = 40.0 * books()
    codes = torch.randint(10, (1, 3, 7), generator=torch.Generator().manual_seed(0))
    guess = (30.0 * torch.randn(1, 6, 7)).requires_grad_()
    with torch.autocast("cpu", dtype=half):
        found = residual_cross_entropy(guess, codes, codebooks, torch.ones(1, 1, 7, dtype=torch.bool), range(3))
    found.loss.backward()
    assert bool(guess.grad.isfinite().all())
    assert found.loss.dtype == torch.float32


# ---- the objective ----


def step(objective, batch, seed: int = 0):
    objective.zero_grad()
    torch.manual_seed(seed)
    (update,) = objective.updates(batch, 0, torch.Generator().manual_seed(seed))
    return update


def test_duration_does_not_teach_the_phoneme_encoder_and_pitch_does() -> None:
    objective, batch = made(), batch_of()
    step(objective, batch).terms["duration"].backward()
    assert all(p.grad is None for p in objective.model.phoneme_encoder.parameters())
    assert any(p.grad is not None and p.grad.any() for p in objective.model.prompt_encoder.parameters())
    step(objective, batch).terms["pitch"].backward()
    assert any(p.grad is not None and p.grad.any() for p in objective.model.phoneme_encoder.parameters())


def test_latents_are_standardised_by_the_recordings() -> None:
    objective, batches = made(), [batch_of(4, seed) for seed in (1, 2)]
    codebooks = 40.0 * torch.randn(6, 16, 16, generator=torch.Generator().manual_seed(0))
    objective.take_codebooks(codebooks)
    assert torch.equal(objective.codebooks, codebooks[:4])
    objective.initialise(batches)
    found = []
    for batch in batches:
        real = torch.arange(batch.codes.shape[2]) < (batch.waveform_lengths // 200)[:, None]
        standard = objective.model.standardize(latents_of_codes(batch.codes, codebooks))
        found.append(standard.transpose(1, 2)[real])
    together = torch.cat(found)
    torch.testing.assert_close(together.mean(dim=0), torch.zeros(16), rtol=0.0, atol=1e-4)
    torch.testing.assert_close(together.std(dim=0), torch.ones(16), rtol=0.0, atol=1e-3)
    assert 4.5 < float(objective.model.pitch_predictor.head.bias[0].detach()) < 5.6
    prior = objective.eval().prior(batches[0], torch.Generator().manual_seed(0))
    raw = objective.model.standardize.inverse(prior.latent) * prior.cut.mask
    again = prior.cut.of_frames(latents_of_codes(batches[0].codes, codebooks)) * prior.cut.mask
    torch.testing.assert_close(raw, again, rtol=1e-3, atol=1e-3)


def test_codebooks_of_another_codec_are_refused() -> None:
    objective = made()
    for wrong in ((3, 16, 16), (4, 32, 16), (4, 16, 8)):
        with pytest.raises(ConfigError, match="latent_channels"):
            objective.take_codebooks(torch.zeros(wrong))


def test_terms_are_those_of_the_settings() -> None:
    batch = batch_of()
    terms = step(made(), batch).terms
    assert set(terms) == {"data", "score", "cross_entropy", "duration", "pitch", "voicing"}
    weights = step(made("objective.cross_entropy_weight=0"), batch).weights
    assert weights["cross_entropy"] == 0.0
    assert "voicing" not in step(made("model.pitch.voicing=false"), batch).terms
    literal = step(made("objective.score_weight=literal", "objective.t_min=0.01"), batch).terms
    assert float(literal["score"].detach()) > 2 * float(terms["score"].detach())
    with pytest.raises(ConfigError, match="t_min"):
        made("objective.score_weight=literal")
    in_units = [step(made(f"objective.cross_entropy_unit={unit}"), batch).terms for unit in ("one", "code", "error")]
    assert len({float(terms["cross_entropy"].detach()) for terms in in_units}) == 3


def test_other_utterances_are_prompts_where_there_are_some() -> None:
    objective, batch = made("objective.other_prompt=1"), batch_of()
    prior = objective.prior(batch, torch.Generator().manual_seed(0))
    assert prior.cut.frame_lengths.tolist() == (batch.waveform_lengths // 200).tolist()
    assert all(int(row) != item for item, row in enumerate(prior.cut.prompt_rows))
    assert (batch.speaker[prior.cut.prompt_rows] == batch.speaker).all()
    update = step(objective, batch)
    update.total().backward()
    assert all(bool(p.grad.isfinite().all()) for p in objective.parameters() if p.grad is not None)


def test_validation_tells_how_training_goes() -> None:
    objective, batch = made().eval(), batch_of()
    found = objective.validate(batch, torch.Generator().manual_seed(0))
    assert {"codes_1", "codes_4", "condition_gain", "prompt_gain", "total"} <= set(found)
    assert all(0.0 <= float(found[f"codes_{stage}"]) <= 1.0 for stage in range(1, 5))
    assert float(found["condition_gain"]) == pytest.approx(0.0, abs=1e-6)  # a network that says 0 hears nothing


def test_a_run_that_babbles_is_told_so() -> None:
    well = {"codes_1": 0.5, "condition_gain": 0.4, "prompt_gain": 0.03, "duration": 0.3}
    assert all(reading.is_well for reading in health(well))
    for name, value in {"codes_1": 0.01, "condition_gain": 0.0, "prompt_gain": -0.01, "duration": 0.9}.items():
        (ill,) = [reading for reading in health({**well, name: value}) if not reading.is_well]
        assert ill.advice


def test_warnings_wait_until_there_is_something_to_judge(caplog) -> None:
    objective, batch = made("objective.watch_from_step=3"), batch_of(2)
    for number in (0, 5):
        list(objective.updates(batch, number, torch.Generator().manual_seed(0)))
        objective.eval().validate(batch, torch.Generator().manual_seed(0))
        objective.train()
        assert bool(caplog.records) == (number == 5)


def test_crops_are_pieces_of_the_target() -> None:
    """What is at a frame of the crop is what was there in the whole; near cuts that are not ends nothing is learnt."""
    objective, batch = made("objective.crop_frames=40").eval(), batch_of()
    whole = objective.prior(batch, torch.Generator().manual_seed(0))
    lengths = whole.cut.frame_lengths
    for place in (0.0, 0.5, 0.999):
        crop = objective.prior(batch, torch.Generator().manual_seed(0), torch.full((4,), place))
        for item, length in enumerate(lengths.tolist()):
            start = int(place * (max(length - 40, 0) + 1))
            stop = min(start + 40, length)
            torch.testing.assert_close(crop.latent[item, :, : stop - start], whole.latent[item, :, start:stop])
            torch.testing.assert_close(crop.condition[item, :, : stop - start], whole.condition[item, :, start:stop])
            assert torch.equal(crop.codes[item, :, : stop - start], whole.codes[item, :, start:stop])
            assert int(crop.mask[item].sum()) == stop - start
            inner = slice(16 if start else 0, stop - start - (16 if stop < length else 0))
            expected = torch.zeros(40, dtype=torch.bool)
            expected[inner] = whole.learnt[item, 0, start:stop][inner]
            assert torch.equal(crop.learnt[item, 0], expected)
