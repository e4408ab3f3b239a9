"""A small model, its objective and a batch, as the tests of this family take them."""

import torch

from moksori.corpus.synthetic import synthetic_examples
from moksori.models.naturalspeech2 import Naturalspeech2, Naturalspeech2Objective
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.run_config import run_config
from moksori.types import LatentBatch, SpeechBatch, TextBatch


def made(*overrides: str) -> Naturalspeech2Objective:
    config = run_config("naturalspeech2/tiny", overrides)
    torch.manual_seed(0)
    return config.family.objective(config.family.model(config.model), config.objective).train()


def shaken(*overrides: str) -> Naturalspeech2:
    """In evaluation mode, with layers that start at zero filled: they would hide what comes before them."""
    model = made(*overrides).eval().model
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if not bool(parameter.any()):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return model


def batch_of(count: int = 4, seed: int = 1, speakers: int = 2) -> SpeechBatch:
    config = run_config("naturalspeech2/tiny")
    needs = config.family.needs(config.model, config.objective)
    examples = synthetic_examples(needs, count, seed=seed, text=config.model.text, speakers=speakers)
    return fixed_batches(examples, needs, count)[0]


def text_of(batch: SpeechBatch, items: slice = slice(None), padding: int = 0, given: bool = False) -> TextBatch:
    """given: with the batch's durations."""
    assert batch.tokens is not None and batch.stress is not None and batch.token_lengths is not None  # noqa: PT018
    lengths = batch.token_lengths[items]
    width = int(lengths.max())

    def cut(values):
        return torch.nn.functional.pad(values[items, :width], (0, padding))

    durations = cut(batch.durations) if given else None
    return TextBatch(cut(batch.tokens), cut(batch.stress), lengths, batch.speaker[items], durations)


def prompts(count: int = 4, frames: int = 40, seed: int = 5, channels: int = 16) -> LatentBatch:
    """Of different lengths, 0 beyond them."""
    lengths = torch.tensor([frames - 3 * index for index in range(count)])
    latent = torch.randn(count, channels, frames, generator=torch.Generator().manual_seed(seed))
    return LatentBatch(latent * (torch.arange(frames) < lengths[:, None])[:, None], lengths)


def rows(prompt: LatentBatch, items: slice, padding: int = 0) -> LatentBatch:
    lengths = prompt.frame_lengths[items]
    latent = prompt.latent[items, :, : int(lengths.max())]
    return LatentBatch(torch.nn.functional.pad(latent, (0, padding)), lengths)
