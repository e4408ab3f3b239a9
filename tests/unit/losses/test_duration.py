"""Duration losses: values by hand, masks."""

import math

import pytest
import torch

from moksori.losses.duration import log_duration_error, mean_per_token
from moksori.nn.masks import sequence_mask


def test_error_is_of_logs_and_over_valid_tokens() -> None:
    durations = torch.tensor([[1, 10, 3], [5, 0, 0]])
    mask = sequence_mask(torch.tensor([3, 1]))
    perfect = torch.log(durations.clamp(min=1).float())
    assert log_duration_error(perfect, durations, mask) < 1e-10
    wrong = perfect + torch.tensor([[math.log(2), 0, 0], [0, 77.0, torch.inf]])
    assert log_duration_error(wrong, durations, mask).item() == pytest.approx(math.log(2) ** 2 / 4, rel=1e-4)


def test_padding_gets_no_gradient() -> None:
    predicted = torch.zeros(1, 3, requires_grad=True)
    log_duration_error(predicted, torch.tensor([[4, 2, 0]]), sequence_mask(torch.tensor([2]), 3)).backward()
    assert predicted.grad[0, 2] == 0
    assert predicted.grad[0, :2].tolist() == pytest.approx([-math.log(4), -math.log(2)], rel=1e-4)


def test_mean_per_token_counts_tokens_not_items() -> None:
    mask = sequence_mask(torch.tensor([3, 1]))
    assert mean_per_token(torch.tensor([6.0, 4.0]), mask) == 2.5
