"""A tiny VITS of several speakers with random weights, on disk, for tests of conversion."""

from pathlib import Path

import torch

from moksori.models.checkpoint import Manifest, save_model
from moksori.models.vits import Vits
from moksori.pipeline.run_config import run_config

SPEAKERS = ("ann", "bob", "cleo")
RANGES = {"ann": (5.3, 0.2), "bob": (4.7, 0.15), "cleo": (5.5, 0.25)}


def save_converter(folder: Path, speakers: tuple[str, ...] = SPEAKERS, decoder: str = "", **changes) -> Path:
    """Its folder; decoder: an override of the preset's."""
    count = max(len(speakers), 1)
    overrides = [f"model.num_speakers={count}", "model.speaker_channels=8", *([decoder] if decoder else [])]
    config = run_config("vits/tiny", overrides).model
    torch.manual_seed(0)
    model = Vits(config).eval()
    with torch.no_grad():
        draw = torch.Generator().manual_seed(1)
        for name, parameter in model.named_parameters():
            if "cepstrum" not in name:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    described = {
        "family": "vits",
        "name": folder.name,
        "model": config.model_dump(mode="json"),
        "text": config.text,
        "speakers": speakers,
        "speaker_pitch": {name: RANGES[name] for name in speakers if name in RANGES},
        "sample_rate": 22050,
    }
    save_model(folder, model, Manifest(**{**described, **changes}))
    return folder
