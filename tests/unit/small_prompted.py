"""The tiny presets of the codec and of NaturalSpeech 2 on disk, untrained, for tests of prompts."""

from pathlib import Path

import torch

from moksori.models.checkpoint import Manifest, fingerprint, save_model
from moksori.pipeline.run_config import run_config


def save_prompted(models: Path) -> Path:
    """The folder of `ns2-tiny`; beside it lies `codec-tiny`, whose latents it makes. models: $MOKSORI_HOME/models."""
    torch.manual_seed(0)
    config = run_config("codec/tiny")
    codec = config.family.model(config.model)
    for name, buffer in codec.named_buffers():
        if "codebook" in name and buffer.dim() >= 2:
            buffer.normal_()
    settings = config.model.model_dump(mode="json")
    manifest = Manifest(family="codec", name="codec-tiny", model=settings, sample_rate=16000)
    save_model(models / "codec-tiny", codec, manifest)
    config = run_config("naturalspeech2/tiny")
    model = config.family.model(config.model)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():  # layers that start at zero would hide what comes before them
            if not bool(parameter.any()):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    manifest = Manifest(
        family="naturalspeech2", name="ns2-tiny", model=config.model.model_dump(mode="json"), text=config.model.text,
        sample_rate=16000, requires={"codec-tiny": fingerprint(models / "codec-tiny")},
    )  # fmt: skip
    save_model(models / "ns2-tiny", model, manifest)
    return models / "ns2-tiny"
