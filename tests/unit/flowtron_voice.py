"""A tiny Flowtron of three speakers with random weights, on disk beside its vocoder, for tests of what it is asked."""

from pathlib import Path

import torch

from moksori.models.checkpoint import Manifest, save_model
from moksori.models.flowtron import Flowtron
from moksori.pipeline.run_config import run_config

RATE = 22050
SPEAKERS = ("ann", "bob", "cid")


def tiny_flowtron(seed: int = 0, overrides: tuple[str, ...] = ()) -> Flowtron:
    """Its heads are no longer zero, as those of an untrained model are: its latents mean something."""
    torch.manual_seed(seed)
    model = Flowtron(run_config("flowtron/tiny", ["model.num_speakers=3", *overrides]).model)
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for flow in model.flows:
            head = flow.step.head
            head.weight.copy_(0.05 * torch.randn(head.weight.shape, generator=draw))
        model.standardize.mean.fill_(-5.0)
        model.standardize.std.fill_(2.0)
    return model.eval()


def save_flowtron(folder: Path, seed: int = 0, overrides: tuple[str, ...] = (), **changes) -> Path:
    """Its folder; changes: of the manifest."""
    model = tiny_flowtron(seed, overrides)
    described = {
        "family": "flowtron",
        "name": folder.name,
        "model": model.config.model_dump(mode="json"),
        "text": model.config.text,
        "speakers": SPEAKERS if model.config.num_speakers == 3 else (),
        "sample_rate": RATE,
    }
    save_model(folder, model, Manifest(**{**described, **changes}))
    return folder
