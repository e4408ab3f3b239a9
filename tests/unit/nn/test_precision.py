"""Islands of another precision."""

import torch
from torch import nn

from moksori.nn.precision import double_precision


def test_a_model_is_float64_within_and_bit_for_bit_what_it_was_after() -> None:
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with double_precision(model):
        assert model(torch.rand(3, 5, dtype=torch.float64)).dtype == torch.float64
        model.load_state_dict(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[0].weight.dtype == torch.float32
