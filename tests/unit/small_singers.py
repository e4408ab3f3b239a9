"""Tiny autoencoders, and singers made of harmonics: any melody, and strengths of harmonics that are the singer's."""

import numpy as np
import torch

from moksori.models.contract import Objective
from moksori.models.wavenet_autoencoder import WavenetAutoencoder
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.types import SpeechBatch

RATE, POOL, HOP = 8000, 200, 40
SMALL = (
    "model.encoder={channels: 16, cycles: 1, layers: 4, code_channels: 8}",
    "model.decoder={residual_channels: 8, skip_channels: 16, cycles: 1, layers: 5}",
    "objective.crop_samples=800",
)
"""Overrides of `wavenet_autoencoder/tiny`: a step takes some hundredths of a second."""


def configured(*overrides: str) -> RunConfig:
    return run_config("wavenet_autoencoder/tiny", [*SMALL, *overrides])


def small_model(*overrides: str, seed: int = 0) -> WavenetAutoencoder:
    """A tiny model with random weights, in evaluation mode."""
    config = configured(*overrides)
    torch.manual_seed(seed)
    return WavenetAutoencoder(config.model).eval()


def small_objective(*overrides: str, seed: int = 0) -> Objective:
    config = configured(*overrides)
    torch.manual_seed(seed)
    return config.family.objective(config.family.model(config.model), config.objective)


def sung(singers: list[int], samples: int, seed: int = 0) -> SpeechBatch:
    """Sustained notes of 130 to 260 Hz, one item for each singer named; F0 beside them."""
    draw = np.random.default_rng([seed, 3])
    frames = samples // HOP
    sounds, pitches = [], []
    for singer in singers:
        notes = 130.0 * 2.0 ** draw.uniform(0.0, 1.0, -(-frames // 20))
        f0 = np.repeat(notes, 20)[:frames]
        phase = 2 * np.pi * np.cumsum(np.repeat(f0, HOP)) / RATE
        numbers = np.arange(1, 9)
        strengths = np.exp(-np.abs(numbers - 1 - 2 * singer) / 1.5)
        sounds.append(0.5 * (strengths[:, None] * np.sin(numbers[:, None] * phase)).sum(axis=0) / strengths.sum())
        pitches.append(f0)
    return SpeechBatch(
        names=tuple(f"singer{singer}_{place}" for place, singer in enumerate(singers)),
        waveform=torch.from_numpy(np.stack(sounds).astype(np.float32)),
        waveform_lengths=torch.full((len(singers),), samples),
        speaker=torch.tensor(singers),
        f0=torch.from_numpy(np.stack(pitches).astype(np.float32)),
    )


def take_steps(objective: Objective, steps: int, learning_rate: float = 3e-3, first: int = 0) -> list[dict[str, float]]:
    """Training steps on fresh notes of four singers, two of each; the terms of each step."""
    optimizers = {
        name: torch.optim.Adam(list(parameters), lr=learning_rate)
        for name, parameters in objective.parameter_groups().items()
    }
    history = []
    singers = objective.model.config.num_speakers
    objective.train()
    for step in range(first, first + steps):
        batch = sung([place % singers for place in range(8)], 1600, seed=step)
        terms: dict[str, float] = {}
        for update in objective.updates(batch, step, torch.Generator().manual_seed(step)):
            optimizers[update.optimizer].zero_grad()
            update.total().backward()
            optimizers[update.optimizer].step()
            terms |= {name: float(value.detach()) for name, value in update.terms.items()}
        history.append(terms)
    return history
