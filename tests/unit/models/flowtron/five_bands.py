"""A small Flowtron of five bands whose heads say something, and batches of given lengths."""

import torch

from moksori.audio.mel import MelConfig
from moksori.models.flowtron import Flowtron, FlowtronConfig, FlowtronObjective, FlowtronObjectiveConfig
from moksori.models.flowtron.text_mean import PitchedTextMean
from moksori.types import SpeechBatch, TextBatch

HOP = 256
QUIET = 4
"""Frames of silence at the end, so that the mel is the same whether padding follows or the edge reflects."""


def config(**changes: object) -> FlowtronConfig:
    """5 bands and a few channels; the settings of the paper otherwise."""
    settings: dict[str, object] = {
        "mel": MelConfig(n_mels=5),
        "num_symbols": 12,
        "text_encoder": {"channels": 8, "num_layers": 1, "dropout": 0.0},
        "speaker_channels": 3,
        "hidden_channels": 10,
        "attention_channels": 6,
        **changes,
    }
    return FlowtronConfig.model_validate(settings)


def model(perturbed: bool = True, seed: int = 0, **changes: object) -> Flowtron:
    """In evaluation mode. perturbed: heads that start at zero are given weights, or every flow is the identity."""
    torch.manual_seed(seed)
    made = Flowtron(config(**changes)).eval()
    if perturbed:
        with torch.no_grad():
            for flow in made.flows:
                for parameter in flow.step.head.parameters():
                    parameter.normal_(0.0, 0.3)
                if flow.step.text_mean is not None:
                    flow.step.text_mean.out.weight.normal_(0.0, 1.0)
                if isinstance(flow.step.text_mean, PitchedTextMean):
                    for layer in (flow.step.text_mean.level, flow.step.text_mean.depth, flow.step.text_mean.tilt):
                        layer.weight.normal_(0.0, 0.5)
                    flow.step.text_mean.axes.normal_(0.0, 0.3)
            made.standardize.mean.normal_(-5.0, 1.0)
            made.standardize.std.uniform_(0.5, 2.0)
            if made.decorrelate is not None:
                made.decorrelate.axes.copy_(torch.linalg.qr(torch.randn(made.decorrelate.axes.shape)).Q)
                made.decorrelate.spread.uniform_(0.3, 2.0)
    return made


def objective(made: Flowtron, **settings: object) -> FlowtronObjective:
    return FlowtronObjective(made, FlowtronObjectiveConfig.model_validate(settings)).eval()


def text(lengths: tuple[int, ...] = (4, 2, 3), seed: int = 1, padding: int = 0) -> TextBatch:
    """Random tokens; padding holds a symbol too, since the authors' padding is one."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 12, (len(lengths), max(lengths)), generator=draw)
    ids = torch.nn.functional.pad(ids, (0, padding), value=7)
    tokens = torch.tensor(lengths)
    return TextBatch(ids, torch.zeros_like(ids), tokens, torch.zeros_like(tokens))


def mels(lengths: tuple[int, ...] = (9, 5, 8), bands: int = 5, seed: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Random log-mels and their lengths; what lies beyond them is noise as well."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(len(lengths), bands, max(lengths), generator=draw) * 2.0 - 5.0, torch.tensor(lengths)


def batch(frames: tuple[int, ...] = (24, 15, 20), tokens: tuple[int, ...] = (4, 2, 3), padding: int = 0) -> SpeechBatch:
    """Noise as sound, random tokens that last equally long. padding: frames and tokens more than the longest has."""
    draw = torch.Generator().manual_seed(3)
    waveform = torch.zeros(len(frames), (max(frames) + padding) * HOP)
    said = text(tokens, padding=padding)
    durations = torch.zeros_like(said.tokens)
    for item, (length, count) in enumerate(zip(frames, tokens, strict=True)):
        sounding = (length - QUIET) * HOP
        waveform[item, :sounding] = 0.1 * torch.randn(sounding, generator=draw)
        durations[item, :count] = length // count
        durations[item, count - 1] += length % count
    names = tuple(f"noise-{item}" for item in range(len(frames)))
    return SpeechBatch(
        names, waveform, torch.tensor(frames) * HOP, said.speaker, said.tokens, said.stress, said.token_lengths,
        durations,
    )  # fmt: skip
