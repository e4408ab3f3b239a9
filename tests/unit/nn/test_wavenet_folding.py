"""Folded sampling: where folds lie, and that a join is neither heard in level nor as a click."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_wavenet import SmallWaveNet

from moksori.nn.mulaw import decode_mu_law
from moksori.nn.wavenet_folding import Folds, Steering, plan_folds, sample_folded
from moksori.nn.wavenet_sampling import draw_uniforms, sample
from moksori.nn.wavenet_step import SamplingError, StepCondition

OVERLAP = 100


def sound_of(codes: np.ndarray) -> np.ndarray:
    return decode_mu_law(torch.from_numpy(codes)).numpy()


def drawn(network: SmallWaveNet, samples: int) -> np.ndarray:
    return draw_uniforms(network.step_weights(), 1, samples, torch.Generator().manual_seed(0))


def level_db(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(sound))))


@pytest.mark.parametrize("samples", [5000, 5001, 7777])
@pytest.mark.parametrize("hop_length", [1, 80])
def test_folds_cover_the_sound_once_and_begin_at_frames(samples, hop_length):
    plan = plan_folds(samples, 130, 50, hop_length, folds=8)
    assert plan.count == 8
    assert plan.step % hop_length == 0
    times = plan.times
    assert times[0, 0] == 0
    for fold in range(1, plan.count):
        assert times[fold, 0] == fold * plan.step
        # What a fold keeps begins where the overlap of the one before begins.
        assert times[fold - 1, plan.length - plan.overlap] == times[fold, plan.warm_up]
    assert plan.count * plan.step + plan.warm_up + plan.overlap >= samples
    whole = np.linspace(-1, 1, samples, dtype=np.float32)
    np.testing.assert_allclose(plan.join(whole[times]), whole, atol=1e-6)


def test_a_short_sound_is_one_fold_and_equal_to_the_unfolded():
    network = SmallWaveNet()
    uniforms = drawn(network, 300)
    assert plan_folds(300, 32, OVERLAP).count == 1
    folded = sample_folded(network.step_weights(), uniforms, sound_of, overlap=OVERLAP)
    np.testing.assert_array_equal(folded, sound_of(sample(network.step_weights(), uniforms))[0])


def test_conditions_and_uniforms_are_those_of_the_time():
    network = SmallWaveNet()
    network.input[0].zero_()  # the past is not heard: then folds must make exactly what the whole makes
    weights, samples, hop = network.step_weights(), 6000, 50
    uniforms, steered = drawn(network, samples), network.condition(1, 121, hop, offset=13)
    drive = np.random.default_rng(0).standard_normal((1, samples, weights.residual)).astype(np.float32)
    condition = StepCondition(3 * steered.layers, hop, steered.head, 13, drive)
    warmth = np.linspace(0.5, 1.5, 121)[None]
    whole = sound_of(sample(weights, uniforms, condition, warmth))[0]
    folded = sample_folded(weights, uniforms, sound_of, condition, warmth, overlap=OVERLAP)
    np.testing.assert_allclose(folded, whole, atol=1e-6)
    other = sample_folded(weights, uniforms, sound_of, replace(condition, drive=None), warmth, overlap=OVERLAP)
    assert np.abs(other - whole).max() > 0.1


def test_a_condition_that_is_projected_when_its_turn_has_come_gives_the_same():
    network = SmallWaveNet()
    weights, samples, hop = network.step_weights(), 6010, 50
    uniforms, steered = drawn(network, samples), network.condition(1, 121, hop)
    warmth, asked = np.linspace(0.5, 1.5, 121)[None], []

    def project(chosen):
        asked.append(chosen.shape)
        return StepCondition(steered.layers[0, chosen], hop, steered.head[0, chosen])

    whole = sample_folded(weights, uniforms, sound_of, steered, warmth, overlap=OVERLAP)
    late = sample_folded(weights, uniforms, sound_of, Steering(121, hop, project, 3), warmth, overlap=OVERLAP)
    np.testing.assert_array_equal(late, whole)
    folds = plan_folds(samples, weights.receptive_field, OVERLAP, hop).count
    assert all(rows == folds and count <= 3 for rows, count in asked)
    frames = sum(count for _, count in asked)
    assert 121 / folds < frames < 121
    with pytest.raises(SamplingError, match="120 frames of 50 samples cannot steer 6010 samples"):
        sample_folded(weights, uniforms, sound_of, Steering(120, hop, project, 3), overlap=OVERLAP)


def test_joins_keep_the_level_and_do_not_click():
    network = SmallWaveNet(gain=1.5)
    weights, samples = network.step_weights(), 48000
    uniforms, condition = drawn(network, samples), network.condition(1, 1, samples)
    plan = plan_folds(samples, weights.receptive_field, OVERLAP)
    assert plan.count == 16
    whole = sound_of(sample(weights, uniforms, condition))[0]
    folded = sample_folded(weights, uniforms, sound_of, condition, overlap=OVERLAP)
    assert folded.shape == whole.shape
    joins = [fold * plan.step + plan.warm_up for fold in range(1, plan.count)]
    at_joins = np.concatenate([folded[at : at + OVERLAP] for at in joins])
    assert abs(level_db(at_joins) - level_db(whole)) < 1.0
    assert np.abs(np.diff(folded)).max() <= 1.05 * np.abs(np.diff(whole)).max()


@pytest.mark.parametrize("alike", [0.0, 0.6, 1.0])
def test_a_fade_keeps_the_power_of_sounds_however_alike(alike):
    random = np.random.default_rng(0)
    plan = Folds(2, 30000, 1000, 20000, 80000)
    common, own = random.standard_normal(80000), random.standard_normal((2, 80000))
    sounds = np.sqrt(alike) * common[plan.times] + np.sqrt(1 - alike) * own[:, : plan.length]
    joined = plan.join(sounds)
    fade = joined[31000:51000].reshape(5, -1)
    assert all(abs(level_db(part)) < 0.5 for part in fade)


def test_what_cannot_be_folded_is_refused():
    network = SmallWaveNet()
    weights = network.step_weights()
    with pytest.raises(SamplingError, match="one sound is folded at a time"):
        sample_folded(weights, np.zeros((2, 9000, 1)), sound_of)
    with pytest.raises(SamplingError, match="fold one at a time"):
        plan_folds(9000, 32, OVERLAP).condition(network.condition(2, 90, 100))
    with pytest.raises(SamplingError, match="0 samples"):
        plan_folds(0, 32, OVERLAP)
