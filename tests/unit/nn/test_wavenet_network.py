"""WaveNet's network: what an output depends on, its conditions, and that step by step it says the same."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from moksori.nn.wavenet_eager import EagerQueue, step_weights
from moksori.nn.wavenet_network import WaveNet, cycled_dilations
from moksori.nn.wavenet_sampler import EAGER, Sampler
from moksori.nn.wavenet_sampling import available_backends, stepwise_outputs

KINDS: dict[str, dict[str, Any]] = {
    "codes": {},
    "three taps": {"kernel_size": 3, "first_kernel_size": 3, "dilations": cycled_dilations(4, 2), "weight_norm": True},
    "numbers": {"one_hot": False, "first_kernel_size": 2},
    "samples": {"one_hot": False, "levels": 0, "outputs": 9, "residual_scale": 0.7071},
}
CONDITIONED = {"condition_channels": 5, "vector_channels": 3, "hop_length": 8}


def network(seed: int = 0, **changes: Any) -> WaveNet:
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "outputs": 256, "residual_channels": 8, "skip_channels": 12, "dilations": cycled_dilations(5, 2),
    }  # fmt: skip
    found = WaveNet(**(settings | changes)).eval()
    with torch.no_grad():  # louder, so that what is far away counts too
        for gate in found.stack.gates:
            gate.bias.add_(torch.randn(gate.bias.shape) * 0.3)
        found.head_out.weight.mul_(4.0)
    return found


def sound(net: WaveNet, samples: int, batch: int = 2, seed: int = 1) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    if net.levels:
        return torch.randint(0, net.levels, (batch, samples), generator=draw)
    return torch.rand(batch, samples, generator=draw) - 0.5


def steering(samples: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(2)
    return torch.randn(batch, 5, samples // 8, generator=draw), torch.randn(batch, 3, generator=draw)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_sample_changes_only_what_follows_it_within_the_receptive_field(kind: str) -> None:
    net = network(**KINDS[kind]).double()  # what is far away counts little
    samples, place = 3 * net.receptive_field, net.receptive_field
    before = sound(net, samples, 1)
    before = before if net.levels else before.double()
    after = before.clone()
    after[:, place] = (after[:, place] + 100) % 256 if net.levels else -after[:, place] - 0.3
    changed = (net(before) != net(after)).any(dim=1)[0]
    assert not bool(changed[: place + 1].any())
    assert bool(changed[place + 1])
    assert bool(changed[place + net.receptive_field])
    assert not bool(changed[place + net.receptive_field + 1 :].any())


@pytest.mark.parametrize(
    ("layers", "cycles", "taps", "first", "known"),
    [(10, 3, 2, 1, 3070), (10, 4, 2, 1, 4093), (10, 3, 3, 3, 6141), (14, 4, 2, 2, 65534), (8, 2, 2, 1, 511)],
)
def test_the_receptive_field_is_the_papers_arithmetic(
    layers: int, cycles: int, taps: int, first: int, known: int
) -> None:
    with torch.device("meta"):
        net = WaveNet(256, 2, 2, cycled_dilations(layers, cycles), taps, first)
    assert net.receptive_field == known


@pytest.mark.parametrize(("taps", "first"), [(2, 1), (3, 2)])
def test_the_receptive_field_is_the_support_of_the_gradient(taps: int, first: int) -> None:
    net = network(
        one_hot=False, levels=0, outputs=3, kernel_size=taps, first_kernel_size=first, dilations=cycled_dilations(4, 2)
    ).double()
    field = net.receptive_field
    given = (torch.rand(1, field + 40, dtype=torch.float64) - 0.5).requires_grad_()
    (gradient,) = torch.autograd.grad(net(given)[0, :, field + 20].sum(), given)
    reached = gradient[0].nonzero()[:, 0]
    assert (int(reached.min()), int(reached.max())) == (20, field + 19)


@torch.no_grad()
def test_conditions_at_frame_rate_are_those_repeated_first() -> None:
    net = network(**CONDITIONED, head_condition=True)
    given, (condition, vector) = sound(net, 160), steering(160)
    slow = net(given, condition, vector)
    net.hop_length = 1
    torch.testing.assert_close(slow, net(given, condition.repeat_interleave(8, dim=2), vector), atol=1e-5, rtol=0)
    assert not torch.allclose(slow, net(given, condition.flip(2).repeat_interleave(8, dim=2), vector), atol=1e-2)


@torch.no_grad()
def test_a_frame_steers_its_own_samples_and_no_earlier_ones() -> None:
    net = network(**CONDITIONED)
    given, (condition, vector) = sound(net, 160, 1), steering(160, 1)
    other = condition.clone()
    other[:, :, 7] += 1.0
    changed = (net(given, condition, vector) != net(given, other, vector)).any(dim=1)[0]
    assert not bool(changed[: 7 * 8].any())
    assert bool(changed[7 * 8 : 8 * 8].all())


@torch.no_grad()
def test_a_layer_is_the_papers() -> None:
    """z = tanh(W_f * x + V_f c) sigma(W_g * x + V_g c), residual and skip 1x1: by plain convolutions."""
    net = network(dilations=(1, 2), condition_channels=5, hop_length=8, kernel_size=3)
    given, (condition, _) = sound(net, 64), steering(64)
    shifted = F.pad(F.one_hot(given, 256).float().transpose(1, 2), (1, -1))
    h = F.conv1d(shifted, net.table.permute(2, 1, 0), net.input_bias)
    total = torch.zeros(())
    repeated = condition.repeat_interleave(8, dim=2)
    projection = net.stack.condition.projection
    for layer, dilation in enumerate((1, 2)):
        gate, mix = net.stack.gates[layer], net.stack.residual_skips[layer]
        share = slice(layer * 16, (layer + 1) * 16)
        a = F.conv1d(F.pad(h, (2 * dilation, 0)), gate.weight, gate.bias, dilation=dilation)
        a = a + F.conv1d(repeated, projection.weight[share], projection.bias[share])
        z = torch.tanh(a[:, :8]) * torch.sigmoid(a[:, 8:])
        out = F.conv1d(z, mix.weight, mix.bias)
        h, total = (h + out[:, :8], total + out[:, 8:]) if layer == 0 else (h, total + out)
    hidden = F.conv1d(F.relu(total), net.head_in.weight, net.head_in.bias)
    by_hand = F.conv1d(F.relu(hidden), net.head_out.weight, net.head_out.bias)
    torch.testing.assert_close(net(given, condition), by_hand, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_step_by_step_it_says_what_it_says_of_all_at_once(kind: str) -> None:
    net = network(**KINDS[kind], **CONDITIONED, head_condition=True)
    samples = 160
    assert samples > 2 * (net.stack.kernel_size - 1) * max(net.stack.dilations)  # every ring goes round twice
    given, (condition, vector) = sound(net, samples), steering(samples)
    conditions = net.conditions(condition, vector)
    whole = net.teacher_forced(given, conditions)
    queue, said = EagerQueue(net, 2), []
    for index in range(samples):
        said.append(queue.step(conditions.gates[:, :, index // 8], conditions.head[:, :, index // 8]))
        queue.push(given[:, index])
    torch.testing.assert_close(torch.stack(said, dim=2), whole, atol=1e-4, rtol=0)
    with_gradients = network(**KINDS[kind], **CONDITIONED, head_condition=True)
    with torch.enable_grad():
        torch.testing.assert_close(with_gradients(given, condition, vector).detach(), whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_weights_of_the_fast_step_say_the_same(kind: str) -> None:
    net = network(**KINDS[kind])
    weights, given = step_weights(net), sound(net, 160)
    assert weights.receptive_field == net.receptive_field
    stepped = torch.from_numpy(stepwise_outputs(weights, given.numpy(), backend="numpy"))
    torch.testing.assert_close(stepped.transpose(1, 2), net(given), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["codes", "samples"])
@torch.no_grad()
def test_every_sampler_draws_the_same_of_the_same_chance(kind: str) -> None:
    net, samples = network(**KINDS[kind], **CONDITIONED), 2000
    conditions = net.conditions(*steering(samples, 1))
    fast, eager = (Sampler(net, 1, backend) for backend in (None, EAGER))
    chance = fast.uniforms(samples, torch.Generator().manual_seed(3))
    assert torch.equal(chance, eager.uniforms(samples, torch.Generator().manual_seed(3)))
    drawn = fast.draw(chance, conditions)
    assert (drawn.unique().numel() > 30) if net.levels else (drawn.std() > 0.01)
    torch.testing.assert_close(drawn, eager.draw(chance, conditions), atol=1e-4, rtol=0)


@pytest.mark.parametrize("backend", [EAGER, available_backends()[0]])
@torch.no_grad()
def test_drawing_goes_on_where_it_ended_even_inside_a_frame(backend: str) -> None:
    net, samples = network(**CONDITIONED), 160
    conditions = net.conditions(*steering(samples))
    warmth = torch.rand(2, samples // 8, generator=torch.Generator().manual_seed(5)) + 0.5
    sampler = Sampler(net, 2, backend)
    chance = sampler.uniforms(samples, torch.Generator().manual_seed(3))
    whole = sampler.draw(chance, conditions, warmth)
    goes_on, parts = Sampler(net, 2, backend), []
    for start, stop in ((0, 20), (20, 80), (80, 83), (83, 160)):
        frames = slice(start // 8, (stop + 7) // 8)
        here = conditions.frames(frames.start, frames.stop)
        parts.append(goes_on.draw(chance[:, start:stop], here, warmth[:, frames], start % 8))
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert not torch.equal(Sampler(net, 2, backend).draw(chance, conditions, 1.0), whole)
    still = Sampler(net, 2, backend).draw(chance, conditions, 0.0)
    assert torch.equal(still, Sampler(net, 2, backend).draw(1.0 - chance, conditions, 0.0))


def test_what_does_not_fit_is_told() -> None:
    net = network(**CONDITIONED)
    with pytest.raises(ValueError, match="19 frames of conditions for 8 samples each, and 160 samples"):
        net(sound(net, 160), torch.zeros(2, 5, 19), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="built for a condition, but none was given"):
        net(sound(net, 160), None, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="kernel_size 1"):
        network(kernel_size=1)
    with pytest.raises(ValueError, match="one_hot needs the levels"):
        network(levels=0)
