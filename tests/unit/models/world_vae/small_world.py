"""Frames whose every fact is known: a speaker is a vocal-tract scale and a tilt, a phone is three formants.

Shapes of 513 bins without sound: the same phones, drawn with the same chance, can be had of every speaker, so what a
conversion should come to is known bin by bin.
"""

from functools import cache

import numpy as np
import torch

from moksori.audio.world_features import split_energy
from moksori.models.contract import Objective
from moksori.models.world_vae import WorldVae
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.types import SpeechBatch

BINS, PHONES = 513, 8
_HERTZ = np.arange(BINS) * 8000.0 / (BINS - 1)
_FORMANTS_HZ = np.array(
    [[300, 870, 2240], [400, 2000, 2550], [640, 1190, 2390], [270, 2290, 3010], [730, 1090, 2440], [530, 1840, 2480],
     [440, 1020, 2240], [660, 1720, 2410]], dtype=float,
)  # fmt: skip
SCALES, TILTS = (0.85, 1.2), (1.0, 1.6)
PITCHES = (110.0, 210.0)


def shapes(speaker: int, phones: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """log10 shapes `[frames, 513]` of phones by a speaker; formants wander, with the same draws by the same amounts."""
    wander = 1.0 + 0.06 * draw.standard_normal((len(phones), 3))
    strength = np.array([1.0, 0.5, 0.25]) * 10.0 ** (0.35 * draw.standard_normal((len(phones), 3)))
    formants = _FORMANTS_HZ[phones] * SCALES[speaker] * wander
    width = np.array([70.0, 110.0, 160.0])
    peaks = strength[:, :, None] / (1.0 + ((_HERTZ - formants[:, :, None]) / width[:, None]) ** 2)
    tilt = (1.0 + (_HERTZ / 500.0)) ** -(2.0 * TILTS[speaker])
    return split_energy((peaks.sum(axis=1) + 1e-3) * tilt)[0]


def batch_of(items: int, frames: int, seed: int, context: int = 1, same: bool = False) -> SpeechBatch:
    """Items by the two speakers in turn. same: neighbours say the same phones with the same wander."""
    found, f0 = [], []
    for item in range(items):
        draw = np.random.default_rng([seed, item // 2 if same else item])
        phones = draw.integers(0, PHONES, frames)
        found.append(shapes(item % 2, phones, draw))
        voiced = draw.random(frames) < 0.8
        f0.append(np.where(voiced, PITCHES[item % 2] * np.exp(0.15 * draw.standard_normal(frames)), 0.0))
    envelopes = torch.from_numpy(np.stack(found)).float()[:, :, None].expand(-1, -1, context, -1).contiguous()
    return SpeechBatch(
        names=tuple(f"item{item}" for item in range(items)),
        waveform=torch.zeros(items, 80),
        waveform_lengths=torch.full((items,), 80),
        speaker=torch.arange(items) % 2,
        envelopes=envelopes,
        envelope_lengths=torch.full((items,), frames),
        envelope_f0=torch.from_numpy(np.stack(f0)).float(),
    )


@cache
def _drawn(items: int, frames: int, seed: int) -> SpeechBatch:
    return batch_of(items, frames, seed)


def configured(*overrides: str) -> RunConfig:
    return run_config("world_vae/tiny", overrides)


def small_model(*overrides: str, seed: int = 0) -> WorldVae:
    """A tiny model with random weights, in evaluation mode."""
    config = configured(*overrides)
    torch.manual_seed(seed)
    return WorldVae(config.model).eval()


def small_objective(*overrides: str, seed: int = 0) -> Objective:
    config = configured(*overrides)
    torch.manual_seed(seed)
    return config.family.objective(config.family.model(config.model), config.objective)


def take_steps(
    objective: Objective, steps: int, first: int = 0, rates: tuple[float, float] = (2e-3, 1e-3)
) -> list[dict[str, float]]:
    """Training steps on frames of a dozen batches; the terms of each. rates: of E and G, and of the critic."""
    optimizers = {
        name: torch.optim.Adam(list(parameters), lr=rates[name == "critic"], betas=(0.5, 0.9))
        for name, parameters in objective.parameter_groups().items()
    }
    history = []
    objective.train()
    for step in range(first, first + steps):
        batch = _drawn(8, objective.config.drawn_frames, step % 12)
        terms: dict[str, float] = {}
        for update in objective.updates(batch, step, torch.Generator().manual_seed(step)):
            optimizers[update.optimizer].zero_grad()
            update.total().backward()
            optimizers[update.optimizer].step()
            objective.observe(update.terms)
            terms |= {name: float(value.detach()) for name, value in update.terms.items()}
        history.append(terms)
    return history
