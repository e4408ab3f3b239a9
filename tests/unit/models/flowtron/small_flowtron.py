"""A small Flowtron with perturbed heads (new ones are the identity), texts for it, and the plain loop as reference."""

import torch
from torch import Tensor

from moksori.audio.mel import MelConfig
from moksori.models.flowtron.attention import Projected
from moksori.models.flowtron.config import FlowtronConfig, TextEncoderConfig
from moksori.models.flowtron.flows import AffineFlow, reordered
from moksori.models.flowtron.model import Flowtron
from moksori.models.flowtron.text_mean import PitchedTextMean
from moksori.types import TextBatch

MEL = MelConfig(n_mels=6, f_max_hz=8000.0)
SYMBOLS = 20


def small_flowtron(seed: int = 0, scale: float = 0.05, **settings: object) -> Flowtron:
    """In evaluation mode, with random heads and gate."""
    torch.manual_seed(seed)
    given: dict[str, object] = {
        "mel": MEL,
        "num_symbols": SYMBOLS,
        "text_encoder": TextEncoderConfig(channels=8, num_layers=1),
        "speaker_channels": 4,
        "num_speakers": 2,
        "hidden_channels": 16,
        "attention_channels": 12,
        "num_decoder_layers": 2,
        "num_dense_layers": 1,
        "group": 2,
        "standardize": True,
    }
    model = Flowtron(FlowtronConfig(**(given | settings))).eval()  # type: ignore[arg-type]
    for flow in model.flows:
        assert isinstance(flow, AffineFlow)
        torch.nn.init.normal_(flow.step.head.weight, std=scale)
        torch.nn.init.normal_(flow.step.head.bias, std=scale)
        torch.nn.init.normal_(flow.step.attention.score.weight, std=2.0)
        if flow.step.text_mean is not None:
            torch.nn.init.normal_(flow.step.text_mean.out.weight)
        if isinstance(flow.step.text_mean, PitchedTextMean):
            for layer in (flow.step.text_mean.level, flow.step.text_mean.depth, flow.step.text_mean.tilt):
                torch.nn.init.normal_(layer.weight, std=0.5)
            flow.step.text_mean.axes.normal_(0.0, 0.3)
    return model


def small_text(*lengths: int, seed: int = 1) -> TextBatch:
    """Random tokens of given lengths, padded."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for item, length in enumerate(lengths):
        tokens[item, :length] = torch.randint(1, SYMBOLS, (length,), generator=generator)
    speaker = torch.arange(len(lengths)) % 2
    return TextBatch(tokens, torch.zeros_like(tokens), torch.tensor(lengths), speaker)


def item_of(text: TextBatch, item: int) -> TextBatch:
    """One text of a batch, without its padding."""
    length = int(text.token_lengths[item])
    row = slice(item, item + 1)
    return TextBatch(text.tokens[row, :length], text.stress[row, :length], text.token_lengths[row], text.speaker[row])


def lengthened(model: Flowtron, slope: float = 4.0, offset: float = 6.0, symbol_frames: float = 4.0) -> Flowtron:
    """The model with given statistics of lengths."""
    model.length_slope.fill_(slope)
    model.length_offset.fill_(offset)
    model.symbol_frames.fill_(symbol_frames)
    return model


@torch.no_grad()
def plain_inverse(
    flow: AffineFlow, z: Tensor, lengths: Tensor, projected: Projected, temperature: float = 1.0
) -> Tensor:
    """x of z by nn.LSTM called for every step: slow, and what the fast loop must equal."""
    order = flow.order(lengths, z.shape[1])
    own = reordered(z, order)
    state = flow.step.begin(len(z), z)
    previous, made = torch.zeros_like(own[:, 0]), []
    for t in range(own.shape[1]):
        previous, state = flow.step.advance(own[:, t], previous, state, projected, temperature=temperature)
        made.append(previous)
    return reordered(torch.stack(made, dim=1), order)
