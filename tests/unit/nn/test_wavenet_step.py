"""Stepping a WaveNet: the same numbers as the parallel pass, on every back end, in every company, in any blocks."""

import os

import numpy as np
import pytest
import torch
from small_wavenet import SmallWaveNet

from moksori.nn import wavenet_cpp, wavenet_sampling
from moksori.nn.wavenet_eager import sample_eager, step_condition, step_weights
from moksori.nn.wavenet_network import WaveNet
from moksori.nn.wavenet_sampling import BACKENDS, available_backends, draw_uniforms, sample, stepwise_outputs
from moksori.nn.wavenet_step import LANES, SamplingError, StepCondition, StepState, pick_code

SHAPES = {
    "softmax": SmallWaveNet(),
    "three taps, odd widths": SmallWaveNet(6, 7, 5, 9, 21, kernel_size=3, input_kernel=3, residual_scale=0.7),
    "one input tap": SmallWaveNet(16, 16, 32, 32, input_kernel=1),
    "wide": SmallWaveNet(40, 40, 48, 64, dilations=(1, 2, 4)),
    "logistics": SmallWaveNet(mixtures=3),
}
EVERY = [
    pytest.param(name, marks=pytest.mark.skipif(name not in available_backends(), reason=f"no {name} here"))
    for name in BACKENDS
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def alone(condition: StepCondition, stream: int) -> StepCondition:
    rows = slice(stream, stream + 1)
    return StepCondition(condition.layers[rows], condition.hop_length, condition.head[rows], condition.offset)


@pytest.mark.parametrize("backend", EVERY)
@pytest.mark.parametrize("streams", [1, 5, LANES + 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_steps_say_what_the_parallel_pass_says(shape, streams, backend):
    network = SHAPES[shape]
    weights, samples = network.step_weights(), 80
    assert samples > 2 * max(weights.ring_rows)  # every ring comes round more than twice
    sound = network.sound(streams, samples)
    condition = network.condition(streams, 12, 7, offset=2)
    expected = network(sound, condition)
    said = stepwise_outputs(weights, sound, condition, backend=backend)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(said, expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(stepwise_outputs(weights, sound, backend=backend), network(sound), atol=1e-4, rtol=0)


@pytest.mark.parametrize("backend", EVERY)
def test_a_drive_is_added_to_the_first_layer(backend):
    network = SmallWaveNet()
    weights, steered = network.step_weights(), network.condition(5, 6, 10)
    drive = np.random.default_rng(0).standard_normal((5, 60, weights.residual)).astype(np.float32)
    sound = network.sound(5, 60)
    driven = StepCondition(steered.layers, 10, steered.head, drive=drive)
    reference = stepwise_outputs(weights, sound, driven, backend="numpy")
    np.testing.assert_allclose(stepwise_outputs(weights, sound, driven, backend=backend), reference, atol=1e-4)
    assert np.abs(stepwise_outputs(weights, sound, steered, backend=backend) - reference).max() > 0.1
    constant = StepCondition(steered.layers, 10, steered.head, drive=np.broadcast_to(drive[:1, :1], drive.shape))
    moved = SmallWaveNet()
    moved.input = moved.input[0], moved.input[1] + torch.from_numpy(drive[0, 0])
    np.testing.assert_allclose(
        stepwise_outputs(weights, sound, constant, backend=backend), moved(sound, steered), atol=1e-4
    )


@pytest.mark.parametrize("shape", ["softmax", "logistics"])
def test_every_backend_makes_the_same_sound_of_one_seed(shape):
    network = SHAPES[shape]
    weights = network.step_weights()
    uniforms = draw_uniforms(weights, 4, 2000, generator())
    condition = network.condition(4, 20, 100)
    made = {name: sample(weights, uniforms, condition, backend=name) for name in available_backends()}
    assert len(np.unique(made["numpy"])) > 50
    for name, sound in made.items():
        if shape == "softmax":
            assert sound.dtype == np.int64
            np.testing.assert_array_equal(sound, made["numpy"], err_msg=name)
        else:  # numbers that are rounded differently feed back, and stay near
            np.testing.assert_allclose(sound, made["numpy"], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("levels", [256, 0])
def test_the_queue_in_torch_makes_the_same_sound(levels):
    torch.manual_seed(0)
    network = WaveNet(
        256 if levels else 9, 16, 32, (1, 2, 4, 8), 2, 2, levels, bool(levels), 5, 3, 50, head_condition=True
    ).eval()
    with torch.no_grad():
        network.head_out.weight.mul_(3.0)
        conditions = network.conditions(torch.randn(1, 5, 40), torch.randn(1, 3))
    weights, steered = step_weights(network), step_condition(conditions, 4)
    uniforms = draw_uniforms(weights, 1, 2000, generator())
    eager = sample_eager(network, torch.from_numpy(uniforms), conditions).numpy()
    for name in available_backends():
        np.testing.assert_allclose(sample(weights, uniforms, steered, backend=name), eager, atol=0 if levels else 1e-4)


@pytest.mark.parametrize("backend", EVERY)
@pytest.mark.parametrize("shape", ["softmax", "logistics"])
def test_blocks_make_what_the_whole_makes_and_a_stream_knows_no_company(shape, backend):
    network = SHAPES[shape]
    weights, streams, samples, hop = network.step_weights(), LANES + 3, 90, 10
    condition = network.condition(streams, 9, hop)
    uniforms = draw_uniforms(weights, streams, samples, generator())
    whole = sample(weights, uniforms, condition, 0.9, backend=backend)
    state, parts, drawn, position = StepState.zeros(weights, streams), [], generator(), 0
    for length in (1, 13, 40, 36):
        frame, offset = divmod(position, hop)
        part = StepCondition(condition.layers[:, frame:], hop, condition.head[:, frame:], offset)
        own = draw_uniforms(weights, streams, length, drawn)
        parts.append(sample(weights, own, part, 0.9, state, backend))
        position += length
    assert state.position == samples
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)
    for stream in (0, LANES, streams - 1):
        lone = sample(weights, uniforms[stream : stream + 1], alone(condition, stream), 0.9, backend=backend)
        np.testing.assert_allclose(lone[0], whole[stream], atol=1e-4)


@pytest.mark.parametrize("backend", EVERY)
def test_sound_that_was_heard_goes_on_on_another_backend(backend):
    network = SHAPES["softmax"]
    weights = network.step_weights()
    heard = network.sound(1, 70)
    uniforms = draw_uniforms(weights, 1, 30, generator())
    states = [StepState.zeros(weights) for _ in range(2)]
    stepwise_outputs(weights, heard, state=states[0], backend=backend)
    stepwise_outputs(weights, heard, state=states[1], backend="numpy")
    np.testing.assert_allclose(states[0].rings, states[1].rings, atol=1e-5)
    np.testing.assert_array_equal(states[0].history, states[1].history)
    made = sample(weights, uniforms, state=states[0], backend="numpy")
    np.testing.assert_array_equal(made, sample(weights, uniforms, state=states[1], backend=backend))
    assert (made != sample(weights, uniforms, backend=backend)).any()  # what was heard matters


@pytest.mark.parametrize("backend", EVERY)
def test_temperature_zero_takes_the_likeliest_and_may_change_with_the_frames(backend):
    network = SHAPES["softmax"]
    weights, condition = network.step_weights(), network.condition(5, 6, 10)
    uniforms = draw_uniforms(weights, 5, 60, generator())
    cold = sample(weights, uniforms, condition, 0.0, backend=backend)
    said = stepwise_outputs(weights, cold, condition, backend=backend)
    np.testing.assert_array_equal(cold, said.argmax(axis=2))
    warmth = np.ones((5, 6))
    warmth[:, :3] = 0.0
    half = sample(weights, uniforms, condition, warmth, backend=backend)
    np.testing.assert_array_equal(half[:, :30], cold[:, :30])
    assert (half[:, 30:] != cold[:, 30:]).any()
    np.testing.assert_array_equal(half, sample(weights, uniforms, condition, warmth, backend="numpy"))


@pytest.mark.parametrize("backend", EVERY)
def test_logistics_stay_in_range_and_cool_down_to_their_means(backend):
    network = SmallWaveNet(mixtures=2, gain=3.0)
    network.out[1][4:] += 6.0  # broad, so that many fall outside and are cut
    weights = network.step_weights()
    uniforms = draw_uniforms(weights, 5, 200, generator())
    made = sample(weights, uniforms, backend=backend)
    assert made.dtype == np.float32
    assert np.abs(made).max() == 1.0
    cold = sample(weights, uniforms, temperature=0.0, backend=backend)
    logits, means, _ = np.split(stepwise_outputs(weights, cold, backend=backend), 3, axis=2)
    likeliest = np.take_along_axis(means, logits.argmax(axis=2)[..., None], axis=2)[..., 0]
    np.testing.assert_allclose(cold, likeliest.clip(-1, 1), atol=1e-4)


@pytest.mark.parametrize("backend", EVERY)
def test_codes_come_as_often_as_the_softmax_says(backend):
    network = SmallWaveNet(4, 4, 4, 4, codes=8, dilations=(1,))
    network.input[0].zero_()  # the past is not heard, so that every sample has the same distribution
    weights = network.step_weights()
    streams, samples = 20, 1000
    made = sample(weights, draw_uniforms(weights, streams, samples, generator()), temperature=0.8, backend=backend)
    logits = stepwise_outputs(weights, made[:1, :9], backend=backend)[0, -1].astype(np.float64) / 0.8
    expected = np.exp(logits) / np.exp(logits).sum()
    found = np.bincount(made[:, 8:].ravel(), minlength=8) / made[:, 8:].size
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(expected.max() / made[:, 8:].size))


def test_pick_code_takes_the_first_code_beyond_the_uniform():
    logits = np.log(np.array([0.2, 0.5, 0.3]))
    uniforms = np.array([0.0, 0.1999, 0.2001, 0.6999, 0.7001, 0.9999])
    picked = pick_code(np.broadcast_to(logits, (6, 3)), uniforms, np.ones(6))
    assert picked.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.fixture
def fresh():
    """What is known of back ends is found out anew, and again after the test."""
    caches = wavenet_sampling._backend, wavenet_sampling.fastest_backend, wavenet_cpp.compiled_library
    for known in caches:
        known.cache_clear()
    yield
    for known in caches:
        known.cache_clear()


def test_auto_takes_what_there_is(monkeypatch, fresh):
    weights = SHAPES["softmax"].step_weights()
    uniforms = draw_uniforms(weights, 1, 5, generator())
    monkeypatch.setattr(wavenet_sampling, "find_spec", lambda name: None)
    monkeypatch.setattr(wavenet_sampling, "compiler_found", lambda: False)
    assert available_backends() == ("numpy",)
    np.testing.assert_array_equal(sample(weights, uniforms), sample(weights, uniforms, backend="numpy"))
    with pytest.raises(SamplingError, match="pip install 'moksori"):
        sample(weights, uniforms, backend="numba")


def test_a_compiler_that_fails_is_told_and_not_needed(monkeypatch, fresh, caplog):
    from torch.utils import cpp_extension

    def fail(*given, **named):
        raise RuntimeError("no header <cmath>")

    monkeypatch.setattr(cpp_extension, "load", fail)
    monkeypatch.setattr(wavenet_sampling, "find_spec", lambda name: None)
    for module in (wavenet_sampling, wavenet_cpp):
        monkeypatch.setattr(module, "compiler_found", lambda: True)
    assert wavenet_sampling.fastest_backend() == "numpy"
    assert "no header <cmath>" in caplog.text
    weights = SHAPES["softmax"].step_weights()
    with pytest.raises(SamplingError, match="take numba or numpy"):
        sample(weights, draw_uniforms(weights, 1, 5, generator()), backend="cpp")


def test_without_a_compiler_the_cpp_backend_says_what_is_missing(monkeypatch, fresh):
    monkeypatch.setattr(wavenet_cpp, "compiler_found", lambda: False)
    weights = SHAPES["softmax"].step_weights()
    with pytest.raises(SamplingError, match="compiler"):
        sample(weights, draw_uniforms(weights, 1, 5, generator()), backend="cpp")


def test_the_lock_of_a_killed_compilation_is_taken_away_and_no_other(tmp_path):
    lock = tmp_path / "lock"
    lock.touch()
    wavenet_cpp.unlock(tmp_path)
    assert lock.exists()
    os.utime(lock, (0, 0))
    wavenet_cpp.unlock(tmp_path)
    assert not lock.exists()


def test_what_does_not_fit_is_refused():
    network = SHAPES["softmax"]
    weights = network.step_weights()
    uniforms = draw_uniforms(weights, 2, 50, generator())
    with pytest.raises(SamplingError, match="give 5 frames"):
        sample(weights, uniforms, network.condition(2, 4, 10))
    with pytest.raises(SamplingError, match=r"expected \[2 \(or 1\)"):
        sample(weights, uniforms, network.condition(3, 5, 10))
    with pytest.raises(SamplingError, match="temperature -1"):
        sample(weights, uniforms, temperature=-1.0)
    with pytest.raises(SamplingError, match="needs a condition"):
        sample(weights, uniforms, temperature=np.ones((1, 5)))
    with pytest.raises(SamplingError, match="2 streams, not 1"):
        sample(weights, uniforms[:1], state=StepState.zeros(weights, 2))
    with pytest.raises(SamplingError, match="another shape"):
        sample(weights, uniforms, state=StepState.zeros(SHAPES["wide"].step_weights(), 2))
    with pytest.raises(SamplingError, match="expected 0 to 255"):
        stepwise_outputs(weights, np.full((1, 5), 256))
    with pytest.raises(SamplingError, match="unknown back end 'cuda'"):
        sample(weights, uniforms, backend="cuda")
    broken = SmallWaveNet()
    broken.hidden[0][0] = float("nan")
    with pytest.raises(SamplingError, match="hidden hold numbers that are not finite"):
        broken.step_weights()
    silent = network.condition(2, 5, 10)
    silent.layers[0, 0] = float("inf")
    with pytest.raises(SamplingError, match="not finite"):
        sample(weights, uniforms, silent)
