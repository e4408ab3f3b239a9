"""How many parameters a preset's model has, without its weights."""

import torch

from moksori.pipeline.run_config import run_config


def preset_parameters(name: str) -> int:
    """Of the model alone, discriminators aside; no memory is taken for them.

    Raises UnknownName for a preset that does not exist.
    """
    config = run_config(name)
    with torch.device("meta"):
        model = config.family.model(config.model)
    return sum(parameter.numel() for parameter in model.parameters())
