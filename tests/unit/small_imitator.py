"""A tiny D-DSVAE and its vocoder with random weights, on disk, and something like speech, for tests of imitation."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from moksori.models.checkpoint import Manifest, save_model
from moksori.models.dsvae import Dsvae
from moksori.models.vocoder import Vocoder
from moksori.pipeline.run_config import run_config
from moksori.types import Waveform

RATE = 16000


def tiny_dsvae(seed: int = 0, overrides: tuple[str, ...] = ()) -> Dsvae:
    """With the house's 80 bands, which the tiny preset lacks."""
    torch.manual_seed(seed)
    return _shaken(Dsvae(run_config("dsvae/tiny", ["model.mel.n_mels=80", *overrides]).model), seed, 0.02)


def tiny_vocoder(seed: int = 0, overrides: tuple[str, ...] = ()) -> Vocoder:
    torch.manual_seed(seed)
    vocoder = _shaken(Vocoder(run_config("vocoder/tiny", list(overrides)).model), seed, 0.02)
    head = getattr(vocoder.decoder, "head", None)
    if isinstance(head, nn.Linear):  # log magnitudes around 0 would be as loud as can be
        with torch.no_grad():
            head.bias[: len(head.bias) // 2] -= 4.0
    return vocoder


def save_imitator(folder: Path, seed: int = 0, **changes) -> Path:
    """Its folder; changes: of the manifest."""
    return _saved(folder, tiny_dsvae(seed), "dsvae", **changes)


def save_vocoder(folder: Path, seed: int = 0, overrides: tuple[str, ...] = (), **changes) -> Path:
    return _saved(folder, tiny_vocoder(seed, overrides), "vocoder", **changes)


def talk(seconds: float = 2.0, rate: int = RATE, pitch: float = 120.0, seed: int = 0) -> Waveform:
    """Voiced in syllables, hissing between them, like speech as far as it is looked at."""
    draw, time = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    syllable = np.clip(np.sin(2 * np.pi * 2.5 * time), 0.0, None)
    course = 2 * np.pi * pitch * (time + 0.02 * np.sin(2 * np.pi * 0.7 * time))
    voiced = sum(np.sin(k * course) / k for k in range(1, 12))
    hiss = draw.normal(0, 0.15, len(time)) * np.clip(np.sin(2 * np.pi * 2.5 * time + 2.5), 0.0, None)
    return Waveform((0.08 * syllable * voiced + 0.1 * hiss).astype(np.float32), rate)


def _saved(folder: Path, model: Dsvae | Vocoder, family: str, **changes) -> Path:
    config = model.config
    described = {
        "family": family,
        "name": folder.name,
        "model": config.model_dump(mode="json"),
        "sample_rate": config.mel.sample_rate,
    }
    save_model(folder, model, Manifest(**{**described, **changes}))
    return folder


def _shaken(model, seed: int, deviation: float):
    """Layers that start at zero would hide what comes before them."""
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                for parameter in module.parameters(recurse=False):
                    parameter.add_(deviation * torch.randn(parameter.shape, generator=draw))
    return model.eval()
