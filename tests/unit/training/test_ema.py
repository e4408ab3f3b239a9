"""Averaged weights: the recursion, its ramp, buffers, independence."""

import torch
from torch import nn

from moksori.training.ema import AveragedModel


def test_follows_the_recursion_with_a_ramped_decay() -> None:
    model = nn.Linear(3, 2)
    averaged = AveragedModel(model, decay=0.9)
    expected = model.weight.detach().clone()
    for step in range(1, 200):
        with torch.no_grad():
            model.weight.add_(torch.randn(2, 3))
        averaged.update(model, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(averaged.model.weight, expected, rtol=1e-4, atol=1e-4)


def test_no_decay_copies_and_buffers_are_copied() -> None:
    model = nn.BatchNorm1d(4)
    averaged = AveragedModel(model, decay=0.0)
    model(torch.randn(5, 4))
    with torch.no_grad():
        model.weight.uniform_()
    averaged.update(model, 1)
    for name, tensor in model.state_dict().items():
        assert torch.equal(averaged.model.state_dict()[name], tensor), name


def test_is_a_copy_that_neither_trains_nor_drops_out() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    averaged = AveragedModel(model, 0.99)
    assert not averaged.model.training
    assert model.training
    assert not any(p.requires_grad for p in averaged.model.parameters())
    assert all(p.requires_grad for p in model.parameters())
