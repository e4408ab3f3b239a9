"""Learning-rate schedules: pure functions of the step and of how much of the run is done."""

import math

from moksori.training.config import OptimizerConfig


def learning_rate(config: OptimizerConfig, step: int, progress: float) -> float:
    """The rate for `step` (from 0); `progress` in [0, 1] is the part of the planned steps or minutes that is done."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    match config.schedule:
        case "constant":
            return config.learning_rate
        case "exponential":
            return config.learning_rate * config.decay ** (step - config.warmup_steps)
        case "cosine":
            fraction = 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
            return config.learning_rate * (config.final_fraction + (1.0 - config.final_fraction) * fraction)
