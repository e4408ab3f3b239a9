"""Learning rates by step and by part of the run; settings that cannot be."""

import math

import pytest
from pydantic import ValidationError

from moksori.training.config import OptimizerConfig, TrainingConfig
from moksori.training.schedules import learning_rate


def test_warmup_rises_linearly_to_the_rate() -> None:
    settings = OptimizerConfig(learning_rate=1.0, warmup_steps=4, schedule="constant")
    assert [learning_rate(settings, step, 0.0) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_follows_the_part_that_is_done() -> None:
    settings = OptimizerConfig(learning_rate=2.0, final_fraction=0.1)
    assert learning_rate(settings, 10, 0.0) == 2.0
    assert math.isclose(learning_rate(settings, 10, 0.5), 2.0 * (0.1 + 0.9 * 0.5))
    assert math.isclose(learning_rate(settings, 10, 1.0), 0.2)
    assert learning_rate(settings, 10, 1.7) == learning_rate(settings, 10, 1.0)  # a little past the end


def test_exponential_is_the_papers_decay() -> None:
    """0.999875 in each epoch of 195 steps."""
    settings = OptimizerConfig(learning_rate=2e-4, schedule="exponential")
    assert math.isclose(learning_rate(settings, 195 * 1000, 0.3), 2e-4 * 0.999875**1000, rel_tol=1e-4)


def test_a_run_needs_an_end_and_sensible_numbers() -> None:
    with pytest.raises(ValidationError, match="set max_steps or max_minutes"):
        TrainingConfig()
    for change in ({"keep_checkpoints": 0}, {"log_every": 0}, {"ema_decay": 1.0}, {"batch_size": 0}):
        with pytest.raises(ValidationError, match=next(iter(change))):
            TrainingConfig.model_validate({"max_steps": 1, **change})
