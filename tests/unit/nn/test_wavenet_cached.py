"""The training step that goes item by item must give what torch's own gives, as far as bfloat16 lets it."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moksori.nn.mulaw import code_nats
from moksori.nn.wavenet import WaveNetStack
from moksori.nn.wavenet_network import WaveNet

pytest.importorskip("numba")
from moksori.nn import wavenet_cached


def _stack(kernel_size: int = 2, dilations: tuple[int, ...] = (1, 2, 4, 64)) -> WaveNetStack:
    torch.manual_seed(3)
    stack = WaveNetStack(
        16, kernel_size, len(dilations), condition_channels=5, weight_norm=False, dilations=dilations,
        skip_channels=24, causal=True,
    )  # fmt: skip
    for parameter in stack.parameters():  # so that gates leave their middle, and gradients differ from layer to layer
        nn.init.normal_(parameter, std=0.4)
    return stack


def _gradients(module: nn.Module, run: Callable[[], Tensor], half: bool) -> tuple[Tensor, Tensor]:
    module.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        found = run()
    weights = torch.linspace(-1.0, 1.0, found.numel()).reshape(found.shape).sin()
    (found.float() * weights).sum().backward()
    return found.detach().float(), torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def _off(found: Tensor, true: Tensor) -> float:
    return float((found - true).norm() / true.norm())


@pytest.mark.parametrize(("kernel_size", "steps", "frames"), [(2, 60, 12), (3, 60, 12), (2, 150, 1), (2, 7, 7)])
def test_outputs_and_gradients_are_those_of_torch(
    monkeypatch: pytest.MonkeyPatch, kernel_size: int, steps: int, frames: int
) -> None:
    stack = _stack(kernel_size)
    x = torch.randn(3, 16, steps, requires_grad=True)
    condition = torch.randn(3, 5, frames)
    calls: list[int] = []
    real = wavenet_cached.cached_stack
    monkeypatch.setattr(wavenet_cached, "cached_stack", lambda *args: (calls.append(1), real(*args))[1])

    def run() -> Tensor:
        return stack(x, None, condition, repeats=max(steps // frames, 1))

    true, true_gradient = _gradients(stack, run, half=False)
    true_x, x.grad = x.grad, None
    assert not calls  # full precision goes torch's own way
    found, gradient = _gradients(stack, run, half=True)
    found_x, x.grad = x.grad, None
    assert calls
    monkeypatch.setattr(WaveNetStack, "_is_cached", lambda self, x: False)
    plain, plain_gradient = _gradients(stack, run, half=True)
    assert _off(found, true) < 1.5 * _off(plain, true) + 1e-3
    assert _off(gradient, true_gradient) < 1.5 * _off(plain_gradient, true_gradient) + 1e-3
    assert true_x is not None
    assert found_x is not None
    assert _off(found_x, true_x) < 0.05


def test_a_step_hears_nothing_after_it() -> None:
    stack = _stack()
    x = torch.randn(2, 16, 80, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = stack(x, None, torch.randn(2, 5, 1))
    found[:, :, :40].sum().backward()
    assert x.grad is not None
    assert float(x.grad[:, :, 40:].abs().max()) == 0.0
    assert float(x.grad[:, :, :40].abs().min(dim=2).values.max()) > 0.0


def test_what_it_cannot_do_goes_the_plain_way() -> None:
    half = torch.autocast("cpu", torch.bfloat16)
    x = torch.randn(1, 16, 20)
    dropping = WaveNetStack(16, 2, 2, causal=True, dropout=0.5)
    scaled = WaveNetStack(16, 2, 2, causal=True, residual_scale=0.5**0.5)
    centred = WaveNetStack(16, 3, 2)
    with half:
        assert not any(stack._is_cached(x) for stack in (dropping, scaled, centred))
        assert dropping.eval()._is_cached(x)
        with torch.no_grad():
            assert not dropping._is_cached(x)
    assert not dropping._is_cached(x)


def test_a_network_learns_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = (128 + 60 * torch.sin(torch.arange(400) * 0.3)).long().expand(2, 400).contiguous()

    def learnt() -> list[float]:
        torch.manual_seed(0)
        network = WaveNet(256, 16, 24, (1, 2, 4, 8), condition_channels=3, hop_length=20, weight_norm=True)
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        losses = []
        for _ in range(30):
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(codes, torch.ones(2, 3, 20))
            loss = code_nats(logits, codes).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    fast = learnt()
    monkeypatch.setattr(WaveNetStack, "_is_cached", lambda self, x: False)
    plain = learnt()
    assert fast[-1] < 0.7 * fast[0]
    assert max(abs(a - b) for a, b in zip(fast, plain, strict=True)) < 0.1


def test_nats_of_codes_do_not_depend_on_how_logits_lie() -> None:
    logits = torch.randn(2, 10, 7)
    codes = torch.randint(0, 10, (2, 7))
    by_rows = logits.transpose(1, 2).contiguous().transpose(1, 2)
    expected = F.cross_entropy(logits, codes, reduction="none")
    assert torch.allclose(code_nats(logits, codes), expected, atol=1e-6)
    assert torch.allclose(code_nats(by_rows, codes), expected, atol=1e-6)
