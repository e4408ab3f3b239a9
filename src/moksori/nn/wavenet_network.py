"""WaveNet: sound, one sample after the other, each given all before it (van den Oord et al. 2016, arXiv:1609.03499).

sound so far ─► causal convolution ─► stack of gated layers ─► sum of the skips ─► head ─► what the next sample may be
                      condition c, frame by frame, and vector g ─┘
p(x) = prod_t p(x_t | x_<t, c, g). Letters: x = samples or codes, c = condition, g = vector, R = residual_channels,
S = skip_channels, k = kernel_size, d = a layer's dilation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from moksori.nn.conv import ConditionProjection, ProductConv1d, is_traced, weight_normed
from moksori.nn.wavenet import WaveNetStack


def cycled_dilations(layers: int, cycles: int) -> tuple[int, ...]:
    """1, 2, 4 ... 2^(layers - 1), so many times over."""
    return tuple(2**layer for _ in range(cycles) for layer in range(layers))


@dataclass(frozen=True)
class Conditions:
    """What steers a WaveNet, projected to where it is added; one step holds for `repeats` samples.

    gates: for the gates of all layers, layer by layer. head: for the head. None: nothing is added there. A single step
    where there is no condition but a vector. drive: for the first convolution's output, sample by sample: what is known
    of each sample before it is made, such as where in its period a voice is.
    """

    gates: Float[Tensor, "batch gates frames"] | None
    head: Float[Tensor, "batch skip frames"] | None
    repeats: int
    drive: Float[Tensor, "batch channels samples"] | None = None

    def frames(self, start: int, stop: int) -> "Conditions":
        """Those of a stretch of frames."""
        parts = [None if part is None else part[:, :, start:stop] for part in (self.gates, self.head)]
        samples = slice(start * self.repeats, stop * self.repeats)
        return Conditions(parts[0], parts[1], self.repeats, None if self.drive is None else self.drive[:, :, samples])


class WaveNet(nn.Module):
    """The network: what it says of a sample depends on the `receptive_field` samples before it, and on nothing else.

    outputs: numbers said of each sample: logits of the codes, or the parameters of a mixture. levels: codes that the
    inputs are of, int64 from 0 on; 0: inputs are samples, float. one_hot: a code is looked up in a table, one row for
    each tap of the first convolution; otherwise it becomes the number code / (levels - 1) - 0.5.
    condition_channels, vector_channels: 0 for none. hop_length: samples for which a frame of the condition holds.
    head_condition: adds the condition in the head too (NSynth). Silence before the first sample is zeros in every
    layer, never the code of silence: so is the zero padding of the parallel pass.
    """

    def __init__(
        self,
        outputs: int,
        residual_channels: int,
        skip_channels: int,
        dilations: Sequence[int],
        kernel_size: int = 2,
        first_kernel_size: int = 1,
        levels: int = 256,
        one_hot: bool = True,
        condition_channels: int = 0,
        vector_channels: int = 0,
        hop_length: int = 1,
        head_condition: bool = False,
        residual_scale: float = 1.0,
        weight_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if kernel_size < 2:
            raise ValueError(f"kernel_size {kernel_size}: with less than 2 taps a layer hears nothing of the past")
        if one_hot and not levels:
            raise ValueError("samples cannot be looked up in a table: one_hot needs the levels of a code")
        self.outputs, self.levels, self.one_hot, self.hop_length = outputs, levels, one_hot, hop_length
        self.table = nn.Parameter(torch.empty(first_kernel_size, levels if one_hot else 1, residual_channels))
        self.input_bias = nn.Parameter(torch.zeros(residual_channels))
        nn.init.normal_(self.table, std=first_kernel_size**-0.5)
        if one_hot:  # neighbouring codes sound alike: their rows begin next to each other on a line, and learn faster
            with torch.no_grad():
                direction = 2.0 * first_kernel_size**-0.5 * torch.randn_like(self.table[:, :1])
                place = torch.linspace(-1.0, 1.0, levels, device=self.table.device)[:, None]
                self.table.mul_(0.05).add_(place * direction)
        self.stack = WaveNetStack(
            residual_channels,
            kernel_size,
            len(dilations),
            condition_channels=condition_channels,
            dropout=dropout,
            weight_norm=weight_norm,
            dilations=dilations,
            vector_channels=vector_channels,
            skip_channels=skip_channels,
            causal=True,
            residual_scale=residual_scale,
        )
        self.head_in = weight_normed(ProductConv1d(skip_channels, skip_channels, 1), weight_norm)
        self.head_condition = ConditionProjection(condition_channels if head_condition else 0, skip_channels)
        self.head_out = weight_normed(ProductConv1d(skip_channels, outputs, 1), weight_norm)

    @property
    def receptive_field(self) -> int:
        """Samples before a sample that decide what is said of it: 1 + (k0 - 1) + sum of (k - 1) d."""
        return len(self.table) + self.stack.context_steps

    @property
    def projected_channels(self) -> int:
        """Numbers of one frame of `conditions`: of the gates of all layers, and of the head."""
        head = 0 if self.head_condition.projection is None else self.stack.skip_channels
        return 2 * self.stack.channels * self.stack.num_layers + head

    def forward(
        self,
        inputs: Shaped[Tensor, "batch samples"],
        condition: Float[Tensor, "batch condition frames"] | None = None,
        vector: Float[Tensor, "batch vector"] | None = None,
    ) -> Float[Tensor, "batch outputs samples"]:
        """What it says of each sample, given those before it: inputs are shifted here, so output t scores input t.

        condition: frames * hop_length = samples. Raises ValueError where they do not fit.
        """
        return self.teacher_forced(inputs, self.conditions(condition, vector))

    def conditions(
        self,
        condition: Float[Tensor, "batch condition frames"] | None = None,
        vector: Float[Tensor, "batch vector"] | None = None,
    ) -> Conditions:
        """Projects conditions at their own rate: the same as repeating them first, and hop_length times cheaper."""
        gates = self.stack.biases(condition, None if vector is None else vector.unsqueeze(2))
        head = None if self.head_condition.projection is None else self.head_condition(condition)
        return Conditions(gates, head, 1 if condition is None else self.hop_length)

    def teacher_forced(
        self, inputs: Shaped[Tensor, "batch samples"], conditions: Conditions, first: int = 0
    ) -> Float[Tensor, "batch outputs scored"]:
        """`forward` for projected conditions; what is said of the samples from `first` on."""
        samples = inputs.shape[1]
        gates = conditions.gates
        if gates is not None and gates.shape[2] > 1 and gates.shape[2] * conditions.repeats != samples:
            raise ValueError(
                f"{gates.shape[2]} frames of conditions for {conditions.repeats} samples each, and {samples} samples"
            )
        begun = self._first(inputs) if conditions.drive is None else self._first(inputs) + conditions.drive
        skips = self.stack.with_biases(begun, None, gates, conditions.repeats)[:, :, first:]
        hidden = _pointwise(self.head_in, F.relu(skips))
        if conditions.head is not None:
            head = conditions.head.repeat_interleave(conditions.repeats, dim=2)[:, :, first:]
            hidden = hidden + head
        return _pointwise(self.head_out, F.relu(hidden))

    def _first(self, inputs: Shaped[Tensor, "batch samples"]) -> Float[Tensor, "batch channels samples"]:
        """The first convolution, of the samples before each sample; before the first there is nothing."""
        taps, samples = len(self.table), inputs.shape[1]
        found = self.input_bias.expand(inputs.shape[0], samples, -1)
        for tap in range(taps):
            shift = taps - tap  # the last tap is that of the newest sample
            earlier = self._looked_up(inputs[:, : max(samples - shift, 0)], tap)
            found = found + F.pad(earlier, (0, 0, min(shift, samples), 0))
        return found.transpose(1, 2)

    def _looked_up(self, inputs: Shaped[Tensor, "batch samples"], tap: int) -> Float[Tensor, "batch samples channels"]:
        if self.one_hot:
            return F.embedding(inputs, self.table[tap])
        return scalars(inputs, self.levels).unsqueeze(2) * self.table[tap]


def _pointwise(layer: nn.Module, x: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch out samples"]:
    """A 1x1 convolution; where channels lie last, as `nn.wavenet_cached` leaves them, they stay there."""
    rows = x.transpose(1, 2)
    if not (isinstance(layer, nn.Conv1d) and torch.is_grad_enabled() and rows.is_contiguous()) or is_traced():
        found: Tensor = layer(x)
        return found
    return F.linear(rows, layer.weight[:, :, 0], layer.bias).transpose(1, 2)


def scalars(inputs: Shaped[Tensor, "*shape"], levels: int) -> Float[Tensor, "*shape"]:
    """Codes as numbers in [-0.5, 0.5]; samples (levels 0) as they are."""
    return inputs.float() / (levels - 1) - 0.5 if levels else inputs
