"""A tiny D-DSVAE and its vocoder with random weights, on disk, for tests of imitation."""

from pathlib import Path

import torch
from torch import nn

from moksori.models.checkpoint import Manifest, save_model
from moksori.models.dsvae import Dsvae
from moksori.models.vocoder import Vocoder
from moksori.pipeline.run_config import run_config


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
