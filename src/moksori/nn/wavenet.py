"""The non-causal WaveNet stack of the VITS posterior encoder and flow (Prenger et al. 2019; Kim et al. 2021)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.nn.conv import ConditionProjection, ProductConv1d, context_steps, is_traced, same_padding, weight_normed
from moksori.nn.masks import masked


def _gated(hidden: Float[Tensor, "batch both time"]) -> Float[Tensor, "batch half time"]:
    """tanh of the first half of the channels times the sigmoid of the second."""
    filtered, gated = hidden.chunk(2, dim=1)
    if torch.is_grad_enabled() or is_traced():
        return torch.tanh(filtered) * torch.sigmoid(gated)
    # sigmoid(x) = (1 + tanh(x / 2)) / 2: torch's own rounds in one way in vectors, in another in what is left over
    # where threads share a tensor, so that a step would depend on how many there are.
    return torch.tanh(filtered) * (torch.tanh(gated * 0.5) + 1.0) * 0.5


class WaveNetStack(nn.Module):
    """Gated convolutions with residual and skip connections; returns the sum of the skips, `[batch, channels, time]`.

    channels: of input, output and residual path. dilation_base: layer i has dilation dilation_base^i; VITS uses 1.
    condition_channels: of the vector that steers every gate (a speaker, say); 0 for none.
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
    ) -> None:
        super().__init__()
        self.channels = channels
        self.num_layers = num_layers
        self.gates = nn.ModuleList()
        self.residual_skips = nn.ModuleList()
        for index in range(num_layers):
            dilation = dilation_base**index
            padding = same_padding(kernel_size, dilation)
            gate = ProductConv1d(channels, 2 * channels, kernel_size, dilation=dilation, padding=padding)
            self.gates.append(weight_normed(gate, weight_norm))
            # The last layer feeds nothing after it: all its output is skip.
            out_channels = 2 * channels if index < num_layers - 1 else channels
            self.residual_skips.append(weight_normed(ProductConv1d(channels, out_channels, 1), weight_norm))
        # One projection for all layers, cut into their shares: cheaper than a small convolution in each.
        self.condition = ConditionProjection(condition_channels, 2 * channels * num_layers, weight_norm)
        self.dropout = nn.Dropout(dropout)

    @property
    def context_steps(self) -> int:
        """Time steps on each side of a step that its output depends on."""
        return sum(context_steps(gate) for gate in self.gates)

    def forward(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch condition _"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        """condition: one step for the whole sequence, or one per time step. Padding may hold anything in `x`; there is
        none where the mask is None."""
        x = masked(x, mask)
        bias = self.condition(condition)
        biases = None if bias is None else bias.split(2 * self.channels, dim=1)
        skip_sum = torch.zeros_like(x)
        for index, (gate, residual_skip) in enumerate(zip(self.gates, self.residual_skips, strict=True)):
            hidden = gate(x)
            if biases is not None:
                hidden = hidden + biases[index]
            out = residual_skip(self.dropout(_gated(hidden)))
            if index < self.num_layers - 1:
                residual, skip = out.chunk(2, dim=1)
                x = masked(x + residual, mask)
            else:
                skip = out
            skip_sum = skip_sum + skip
        return masked(skip_sum, mask)
