"""The WaveNet stack: gated dilated convolutions with residual and skip connections (van den Oord et al. 2016).

One for the whole house: causal in `nn.wavenet_network.WaveNet`, centred in VITS's posterior encoder and flow (Prenger
et al. 2019; Kim et al. 2021).
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.nn.conv import (
    ConditionProjection,
    ProductConv1d,
    context_steps,
    is_traced,
    same_padding,
    split_channels,
    weight_normed,
)
from moksori.nn.masks import masked


def gated(hidden: Float[Tensor, "batch both *time"]) -> Float[Tensor, "batch half *time"]:
    """tanh of the first half of the channels times the sigmoid of the second: the order of every WaveNet here."""
    half = hidden.shape[1] // 2
    filtered, gates = split_channels(hidden, half, half) if hidden.dim() == 3 else hidden.split(half, dim=1)
    if torch.is_grad_enabled() or is_traced():
        return torch.tanh(filtered) * torch.sigmoid(gates)
    # sigmoid(x) = (1 + tanh(x / 2)) / 2: torch's own rounds in one way in vectors, in another in what is left over
    # where threads share a tensor, so that a step would depend on how many there are.
    return torch.tanh(filtered) * (torch.tanh(gates * 0.5) + 1.0) * 0.5


Modulation = Callable[[int, Tensor, Tensor], Tensor]
"""(layer, its input `[batch, channels, time]`, its gates `[batch, 2 · channels, time]`) -> the gates, changed."""


def plus_repeated(
    x: Float[Tensor, "batch channels time"], bias: Float[Tensor, "batch channels _"], repeats: int
) -> Float[Tensor, "batch channels time"]:
    """x with a bias that holds for `repeats` steps each; with 1, one for each step or one for all."""
    if repeats == 1:
        return x + bias
    return (x.unflatten(2, (-1, repeats)) + bias.unsqueeze(3)).flatten(2)


class WaveNetStack(nn.Module):
    """Gated convolutions with residual and skip connections; returns the sum of the skips, `[batch, skip, time]`.

    channels: of input and residual path. dilation_base: layer i has dilation dilation_base^i; VITS uses 1; or
    `dilations` names each. condition_channels: of what steers every gate, for the whole sequence or step by step (V of
    the paper); vector_channels: of a vector that does so beside it, as a speaker's (U); 0 for none.
    skip_channels: None takes `channels`. causal: a step hears itself and what is before it, zeros before the first.
    residual_scale: factor on the residual sum; sqrt(0.5) keeps its variance.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        num_layers: int,
        dilation_base: int = 1,
        condition_channels: int = 0,
        dropout: float = 0.0,
        weight_norm: bool = True,
        *,
        dilations: Sequence[int] | None = None,
        vector_channels: int = 0,
        skip_channels: int | None = None,
        causal: bool = False,
        residual_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.dilations = tuple(dilations or (dilation_base**index for index in range(num_layers)))
        if len(self.dilations) != num_layers:
            raise ValueError(f"{len(self.dilations)} dilations for {num_layers} layers: name one for each")
        self.channels = channels
        self.skip_channels = channels if skip_channels is None else skip_channels
        self.num_layers = num_layers
        self.kernel_size = kernel_size
        self.causal = causal
        self.residual_scale = residual_scale
        self.gates = nn.ModuleList()
        self.residual_skips = nn.ModuleList()
        for index, dilation in enumerate(self.dilations):
            padding = 0 if causal else same_padding(kernel_size, dilation)
            gate = ProductConv1d(channels, 2 * channels, kernel_size, dilation=dilation, padding=padding)
            self.gates.append(weight_normed(gate, weight_norm))
            # The last layer feeds nothing after it: all its output is skip.
            out_channels = self.skip_channels + (channels if index < num_layers - 1 else 0)
            self.residual_skips.append(weight_normed(ProductConv1d(channels, out_channels, 1), weight_norm))
        # One projection for all layers, cut into their shares: cheaper than a small convolution in each.
        self.condition = ConditionProjection(condition_channels, 2 * channels * num_layers, weight_norm)
        self.vector = ConditionProjection(vector_channels, 2 * channels * num_layers, weight_norm)
        self.dropout = nn.Dropout(dropout)

    @property
    def context_steps(self) -> int:
        """Time steps that an output depends on: on each side of it, or before it where the stack is causal."""
        if self.causal:
            return (self.kernel_size - 1) * sum(self.dilations)
        return sum(context_steps(gate) for gate in self.gates)

    def biases(
        self,
        condition: Float[Tensor, "batch condition _"] | None = None,
        vector: Float[Tensor, "batch vector 1"] | None = None,
    ) -> Float[Tensor, "batch gates _"] | None:
        """What conditions add to the gates of all layers, layer by layer: V c + U g, at the rate of the condition.

        Raises ValueError for one that is missing, or given to a stack without.
        """
        found = [bias for bias in (self.condition(condition), self.vector(vector)) if bias is not None]
        return sum(found[1:], start=found[0]) if found else None

    def forward(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch condition _"] | None = None,
        vector: Float[Tensor, "batch vector 1"] | None = None,
        repeats: int = 1,
    ) -> Float[Tensor, "batch skip time"]:
        """condition: one step for the whole sequence, or one for each `repeats` time steps. Padding may hold anything
        in `x`; there is none where the mask is None."""
        return self.with_biases(x, mask, self.biases(condition, vector), repeats)

    def with_biases(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        bias: Float[Tensor, "batch gates _"] | None,
        repeats: int = 1,
        inputs: Float[Tensor, "_ inputs 1"] | None = None,
        modulate: Modulation | None = None,
    ) -> Float[Tensor, "batch skip time"]:
        """`forward` for conditions that are projected already: repeating them comes last, so it costs an addition.

        inputs: what is added to the input of each layer's convolution, layer by layer, and not to the residual path:
        the time of a diffusion (DiffWave). modulate: what is done to the gates before they are gated.
        """
        plain = mask is None and inputs is None and modulate is None
        if plain and bias is not None and self._is_cached(x):
            from moksori.nn.wavenet_cached import cached_stack

            return cached_stack(x, bias, repeats, self.dilations, self.gates, self.residual_skips)
        x = masked(x, mask)
        biases = None if bias is None else split_channels(bias, *[2 * self.channels] * self.num_layers)
        added = None if inputs is None else inputs.split(self.channels, dim=1)
        skip_sum = torch.zeros_like(x[:, :1])  # adds up in the precision of x
        layers = zip(self.gates, self.residual_skips, self.dilations, strict=True)
        for index, (gate, residual_skip, dilation) in enumerate(layers):
            heard = x if added is None else masked(x + added[index], mask)
            hidden = gate(F.pad(heard, ((self.kernel_size - 1) * dilation, 0)) if self.causal else heard)
            if biases is not None:
                hidden = plus_repeated(hidden, biases[index], repeats)
            if modulate is not None:
                hidden = modulate(index, heard, hidden)
            out = residual_skip(self.dropout(gated(hidden)))
            if index < self.num_layers - 1:
                residual, skip = split_channels(out, self.channels, self.skip_channels)
                x = masked(self._scaled(x + residual), mask)
            else:
                skip = out
            skip_sum = skip_sum + skip
        return masked(skip_sum, mask)

    def _is_cached(self, x: Tensor) -> bool:
        """Whether a step of training goes through `nn.wavenet_cached`: the same sums in half the time."""
        if not (self.causal and self.residual_scale == 1.0 and x.is_cpu and torch.is_grad_enabled()) or is_traced():
            return False
        if self.training and self.dropout.p:
            return False
        bfloat16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16
        return bfloat16 and find_spec("numba") is not None

    def _scaled(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        return x if self.residual_scale == 1.0 else x * self.residual_scale
