"""Phase 2: a seeded pool, no gradient from sampling, steps that learn the way back, and a run that resumes with it."""

import copy

import pytest
import torch
from small_singers import small_objective, sung, take_steps

from moksori.errors import ConfigError
from moksori.models.wavenet_autoencoder.backtranslation import Crop, Pool, virtual_singers
from moksori.models.wavenet_autoencoder.config import BackTranslationConfig

SETTINGS = "objective.back_translation={start_step: 2, pool_crops: 6, refresh_crops: 4, refresh_every: 4}"


def crop_of(seed: int = 0) -> Crop:
    batch = sung([0, 1, 0, 1], 800, seed)
    return Crop(batch.waveform, batch.speaker, batch.f0)


def quick_sampler(model, codes, vector, f0, temperature, generator):
    """Depends on all that it is given, and draws."""
    noise = torch.rand(len(codes), codes.shape[2] * 200, generator=generator)
    return 0.1 * noise + 0.05 * codes.mean(dim=(1, 2), keepdim=True)[:, :, 0] + 0.01 * vector.mean(dim=1, keepdim=True)


def filled(objective, seed: int, sampler=quick_sampler) -> Pool:
    pool = Pool(BackTranslationConfig(start_step=2, pool_crops=6, refresh_crops=4, refresh_every=4), 800, 20, sampler)
    for turn in range(2):
        pool.refresh(objective.model, crop_of(turn), torch.Generator().manual_seed(seed + turn))
    return pool


def test_equal_seeds_fill_equal_pools_and_others_do_not() -> None:
    objective = small_objective()
    one, two, other = (filled(objective, seed) for seed in (5, 5, 6))
    assert one.is_full
    assert torch.equal(one.sung, two.sung)
    assert not torch.equal(one.sung, other.sung)
    assert torch.equal(one.waveform, other.waveform)


def test_the_oldest_crops_make_room() -> None:
    pool = filled(small_objective(), 1)
    first, second = crop_of(0), crop_of(1)
    stored = [(x * 32767).round().to(torch.int16) for x in (first.waveform, second.waveform)]
    # Four of the first time, then four of the second: two of them in the places of the first two.
    assert torch.equal(pool.waveform, torch.stack([*stored[1][2:], *stored[0][2:], *stored[1][:2]]))
    pair = pool.draw(3, torch.Generator().manual_seed(0))
    assert pair.sung.shape == pair.crop.waveform.shape == (3, 800)
    assert pair.crop.f0.shape == (3, 20)


def test_weights_get_no_gradient_from_sampling_by_the_model_itself() -> None:
    objective = small_objective()
    before = copy.deepcopy(objective.model.state_dict())
    objective.model.train()
    config = BackTranslationConfig(start_step=0, pool_crops=2, refresh_crops=2, temperature=0.7)
    pool = Pool(config, 800, 20)
    pool.refresh(objective.model, crop_of(), torch.Generator().manual_seed(0))
    assert all(parameter.grad is None for parameter in objective.model.parameters())
    assert objective.model.training
    assert all(torch.equal(before[name], value) for name, value in objective.model.state_dict().items())
    assert not pool.sung.requires_grad
    assert bool(pool.sung.any())
    assert not torch.equal(pool.sung, pool.waveform)


def test_virtual_singers_lie_between_two_of_the_table() -> None:
    objective = small_objective("model.num_speakers=3")
    model, singer = objective.model, torch.tensor([0, 1, 2, 0, 1])
    mixed = virtual_singers(model, singer, True, torch.Generator().manual_seed(0)).detach()
    table = model.speaker_embedding.weight.detach()
    for vector in mixed:
        least = min(
            float(torch.linalg.lstsq((a - b)[:, None], (vector - b)[:, None]).residuals.sum())
            for a in table for b in table if a is not b
        )  # fmt: skip
        assert least < 1e-8
    others = virtual_singers(model, singer, False, torch.Generator().manual_seed(0))
    assert not any(torch.equal(vector, table[index]) for vector, index in zip(others, singer, strict=True))


def test_steps_learn_from_recordings_and_from_the_pool_by_turns(monkeypatch) -> None:
    objective = small_objective(SETTINGS)
    objective.pool.sampler = quick_sampler
    history = take_steps(objective, 8)
    back = ["back_translation" in terms for terms in history]
    assert back == [False, False, False, True, False, True, False, True]
    assert all(("reconstruction" in terms) != learnt for terms, learnt in zip(history, back, strict=True))
    assert all("singer_resisted" in terms for terms in history)
    assert objective.pool.is_full


def test_a_resumed_objective_has_the_same_next_loss() -> None:
    objective = small_objective(SETTINGS)
    objective.pool.sampler = quick_sampler
    take_steps(objective, 4)
    resumed = small_objective(SETTINGS, seed=1)
    resumed.pool.sampler = quick_sampler
    resumed.load_state_dict(objective.state_dict())
    one, two = (take_steps(o, 2, first=4)[0] for o in (objective, resumed))
    assert one == two


def test_a_decoder_a_domain_has_no_virtual_singers() -> None:
    with pytest.raises(ConfigError, match="mixes singers' vectors"):
        small_objective(SETTINGS, "model.decoders=per_domain")
    with pytest.raises(ValueError, match="pool is empty"):
        Pool(BackTranslationConfig(), 800, 20).draw(1)
