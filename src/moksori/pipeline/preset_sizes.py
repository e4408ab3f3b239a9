"""How many parameters a preset's model has, without its weights."""

from pathlib import Path

import torch

from moksori.config import preset_names
from moksori.pipeline.run_config import run_config


def is_preset(name: str) -> bool:
    """Whether FAMILY/PRESET is meant, and no folder of that name."""
    return name in preset_names() and not Path(name).exists()


def preset_parameters(name: str) -> int:
    """Of the model alone, discriminators aside; no memory is taken for them.

    Raises UnknownName for a preset that does not exist.
    """
    config = run_config(name)
    with torch.device("meta"):
        model = config.family.model(config.model)
    return sum(parameter.numel() for parameter in model.parameters())
