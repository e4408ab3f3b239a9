"""A small VITS for the tests in this folder, with what each test changes."""

import torch

from moksori.corpus.synthetic import synthetic_examples
from moksori.models.vits import FAMILY, Vits, VitsObjective
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.run_config import run_config
from moksori.types import SpeechBatch, TextBatch

HIFIGAN = (
    "model.decoder={kind: hifigan, channels: 16, rates: [8, 8, 4], kernel_sizes: [16, 16, 8], "
    "residual_kernel_sizes: [3], residual_dilations: [[1, 3]], residual_kind: 2}"
)
ISTFT = "model.decoder={kind: istft, channels: 32, inner_channels: 64, num_layers: 2}"
HOMOMORPHIC = "model.decoder.num_layers=2"  # the preset's own
DECODERS = {"hifigan": HIFIGAN, "istft": ISTFT, "homomorphic": HOMOMORPHIC}
SEARCH = ("objective.alignment=search", "objective.window_frames=null", "model.prior={kind: token}")


def objective(*assignments: str, seed: int = 0) -> VitsObjective:
    """The tiny preset with changes, discriminators off."""
    config = run_config("vits/tiny", ["objective.adversarial_start=null", *assignments])
    torch.manual_seed(seed)
    return VitsObjective(Vits(config.model), config.objective)


def model(*assignments: str, seed: int = 0) -> Vits:
    """Its model, ready to speak."""
    return objective(*assignments, seed=seed).model.eval()


def batch(made: VitsObjective, count: int = 3, speakers: int = 1) -> SpeechBatch:
    """Synthetic utterances, shortest first, with all that the objective needs."""
    needs = FAMILY.needs(made.model.config, made.config)
    examples = synthetic_examples(needs, count, seed=2, text=made.model.config.text, speakers=speakers)
    return fixed_batches(examples, needs, count)[0]


def text(tokens: int = 9, items: int = 1) -> TextBatch:
    """Random tokens."""
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(20, 60, (items, tokens), generator=draw)
    return TextBatch(ids, torch.zeros_like(ids), torch.full((items,), tokens), torch.zeros(items, dtype=torch.int64))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
