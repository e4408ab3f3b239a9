"""Who sings goes out of the codes where the encoder resists the confusion network, and stays where it does not."""

import math

import numpy as np
import pytest
import torch
from small_singers import small_objective, sung, take_steps

from moksori.evaluation.probes import linear_probe
from moksori.models.wavenet_autoencoder.confusion import (
    CodeMemory,
    CodeReader,
    ConfusionNetwork,
    PitchRegressor,
    resisted,
)
from moksori.models.wavenet_autoencoder.objective import REMEMBERED
from moksori.nn.gradient_reversal import ramp, reversed_gradient

SINGERS = 4


def probe_accuracy(model) -> float:
    """A fresh linear probe of frames: who sings, in notes that it has not heard."""
    model.eval()
    parts = []
    for seed in range(1000, 1004):
        batch = sung([*range(SINGERS)] * 2, 1600, seed)
        with torch.no_grad():
            codes = model.encode(batch.waveform)
        frames = codes.transpose(1, 2).flatten(0, 1).numpy()
        parts.append((frames, batch.speaker.repeat_interleave(codes.shape[2]).numpy()))
    seen, heard = ([np.concatenate(arrays) for arrays in zip(*half, strict=True)] for half in (parts[:2], parts[2:]))
    return linear_probe(*seen, *heard).accuracy


@pytest.mark.parametrize(("weight", "steps"), [(0.0, (15,)), (1.0, (40, 40))])
def test_the_probe_falls_to_chance_with_resistance_and_not_without(weight: float, steps: tuple[int, ...]) -> None:
    objective = small_objective(
        f"model.num_speakers={SINGERS}",
        "model.pitch=null",
        f"objective.confusion={{weight: {weight}, resistance: uniform, standardize: true}}",
        "objective.slice_semitones=0",
        "model.decoder.one_hot=false",  # as in the papers; a table is learnt faster, and C then lags behind for longer
    )
    for turn, count in enumerate(steps):  # a new optimiser for each: C catches up sooner with codes that ran ahead
        take_steps(objective, count, first=turn * count)
    found = probe_accuracy(objective.model)
    if weight:
        assert found < 1.5 / SINGERS
    else:
        assert found > 2.5 / SINGERS


def test_codes_are_kept_in_place_of_the_oldest_and_every_singer_comes_up_as_often() -> None:
    memory = CodeMemory(10, 2, 3)
    with pytest.raises(ValueError, match="nothing is kept"):
        memory.draw(1)
    for step in range(7):  # 14 crops of singer 0 and, once, of singer 1
        memory.keep(torch.full((2, 2, 3), float(step)), torch.tensor([0, 1 if step == 5 else 0]))
    assert sorted(memory.codes[:, 0, 0].tolist()) == sorted(2 * [2.0, 3.0, 4.0, 5.0, 6.0])
    codes, singer = memory.draw(400, torch.Generator().manual_seed(0))
    assert float(singer.float().mean()) == pytest.approx(0.5, abs=0.1)
    assert set(codes[singer == 1][:, 0, 0].tolist()) == {5.0}
    other = CodeMemory(10, 2, 3)
    other.load_state_dict(memory.state_dict())
    assert torch.equal(other.draw(5, torch.Generator().manual_seed(1))[0],
                       memory.draw(5, torch.Generator().manual_seed(1))[0])  # fmt: skip


def test_the_confusion_network_learns_from_earlier_steps_too() -> None:
    objective = small_objective("objective.confusion={weight: 1.0, memory: 6, standardize: true}")
    heard = []
    objective.confusion.register_forward_pre_hook(lambda _, given: heard.append(len(given[0])))
    take_steps(objective, 2)
    assert heard == [8 + REMEMBERED, 8] * 2  # C's own step, and the encoder's against it
    assert int(objective.memory.count) == 6


def test_reversed_gradients_are_the_negative() -> None:
    x = torch.randn(3, requires_grad=True)
    (2.0 * reversed_gradient(x, 0.5)).sum().backward()
    assert torch.equal(reversed_gradient(x), x)
    assert x.grad.tolist() == [-1.0, -1.0, -1.0]


def test_the_three_resistances_push_codes_the_same_way() -> None:
    torch.manual_seed(0)
    network, singer = ConfusionNetwork(4, 8, 2, 3), torch.tensor([0, 1])
    gradients = {}
    for name in ("negative", "reversal", "uniform"):
        codes = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
        resisted(network, codes, singer, name).backward()
        gradients[name] = codes.grad
    assert torch.allclose(gradients["negative"], gradients["reversal"])
    halved = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    resisted(network, halved, singer, "reversal", 0.5).backward()
    assert torch.allclose(halved.grad, 0.5 * gradients["reversal"])
    with torch.no_grad():
        least = resisted(network, torch.zeros(2, 4, 6), singer, "uniform")
    assert float(least) >= math.log(3) - 1e-6


def test_equal_odds_gain_their_strength_too() -> None:
    torch.manual_seed(0)
    network, singer = ConfusionNetwork(4, 8, 2, 3), torch.tensor([0, 2])
    found = []
    for strength in (1.0, 0.25):
        codes = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
        term = resisted(network, codes, singer, "uniform", strength)
        term.backward()
        found.append((float(term.detach()), codes.grad))
    assert found[0][0] == pytest.approx(found[1][0])  # what is logged stays the cross-entropy
    assert torch.allclose(found[1][1], 0.25 * found[0][1])


def test_the_strength_of_reversal_rises_from_nothing_to_one() -> None:
    assert ramp(0, 100) == 0.0
    assert ramp(50, 100) == pytest.approx(0.98661, abs=1e-4)
    assert ramp(100, 100) == ramp(500, 100) == pytest.approx(1.0, abs=1e-4)
    assert ramp(0, 0) == 1.0


def test_the_pitch_term_is_bounded_and_hears_voiced_frames_only() -> None:
    torch.manual_seed(0)
    regressor = PitchRegressor(4, 8, 2)
    codes = torch.randn(2, 4, 6)
    pitch, voiced = torch.full((2, 6), 1e4), torch.ones(2, 6)
    assert float(regressor.error(codes, pitch, voiced)) <= 1.0
    assert float(regressor.error(codes, pitch, torch.zeros(2, 6))) == 0.0
    own = CodeReader.forward(regressor, codes)[:, 0].detach()
    voiced[:, 3:] = 0.0
    own[:, 3:] += 100.0
    assert float(regressor.error(codes, own, voiced)) == pytest.approx(0.0, abs=1e-9)


def test_c_and_the_encoder_pull_in_opposite_directions() -> None:
    objective = small_objective("objective.confusion.weight=1.0", "objective.confusion.own_codes=false")
    batch = sung([0, 1], 800)
    updates = objective.updates(batch, 0, torch.Generator().manual_seed(0))
    first = next(updates)
    assert first.optimizer == "confusion"
    assert first.weights == {"confusion": 1.0}
    first.total().backward()
    assert all(parameter.grad is None for parameter in objective.model.parameters())
    second = next(updates)
    assert second.optimizer == "model"
    assert float(second.terms["singer_resisted"]) == pytest.approx(-float(first.terms["confusion"]), rel=1e-5)
