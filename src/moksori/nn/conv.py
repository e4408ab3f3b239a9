"""One-dimensional convolution blocks and weight normalisation."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

LayerT = TypeVar("LayerT", bound=nn.Module)


def same_padding(kernel_size: int, dilation: int = 1) -> int:
    """Zeros on each side that keep the length for stride 1. Raises ValueError for an even kernel, which cannot."""
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size {kernel_size} is even: a centred convolution needs an odd one")
    return (kernel_size - 1) * dilation // 2


def context_steps(layer: nn.Module) -> int:
    """Time steps on each side of a step that a convolution of stride 1 and equal length reads there.

    Blocks have a property of that name, so that a stack can add up how far it looks: what a part of a sequence needs
    around it to come out as in the whole.
    """
    assert isinstance(layer, nn.Conv1d)
    return (layer.kernel_size[0] - 1) * layer.dilation[0] // 2


def _channels_last(x: Tensor) -> Tensor:
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


class Conv1d(nn.Conv1d):
    """torch's layer, but on a processor its values lie channels last, and so do those of elementwise layers after it.

    There a convolution spends a quarter of its time (bfloat16: half) on taking inputs apart and putting outputs
    together where time is the innermost axis. Shapes and results are the same. A traced graph has the plain layer.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() != 3 or not input.is_cpu or self.padding_mode != "zeros" or torch.jit.is_tracing():
            return super().forward(input)
        return F.conv2d(
            _channels_last(input),
            self.weight.unsqueeze(2),
            self.bias,
            (1, self.stride[0]),
            (0, int(self.padding[0])),
            (1, self.dilation[0]),
            self.groups,
        ).squeeze(2)


class ConvTranspose1d(nn.ConvTranspose1d):
    """torch's layer, channels last on a processor; see Conv1d."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if input.dim() != 3 or not input.is_cpu or output_size is not None or torch.jit.is_tracing():
            return super().forward(input, output_size)
        return F.conv_transpose2d(
            _channels_last(input),
            self.weight.unsqueeze(2),
            self.bias,
            (1, self.stride[0]),
            (0, int(self.padding[0])),
            (0, self.output_padding[0]),
            self.groups,
            (1, self.dilation[0]),
        ).squeeze(2)


def weight_normed(layer: LayerT, enabled: bool = True) -> LayerT:
    """The layer with its weight as g · v / |v|, the norm over all axes but the first (Salimans & Kingma 2016).

    The axis is the first for transposed convolutions too, where it counts input channels. `enabled=False` returns the
    layer as it is.
    """
    return parametrizations.weight_norm(layer) if enabled else layer


def zero_initialised(layer: LayerT) -> LayerT:
    """The layer with all its parameters set to 0, so that a residual or flow around it starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def fold_weight_norm(module: nn.Module) -> nn.Module:
    """Replaces every normalised weight inside `module` by the plain weight it stands for; returns `module`.

    For export, compilation and speed. Layers without weight norm are left alone, so folding twice is harmless.
    """
    for layer in list(module.modules()):
        if not parametrize.is_parametrized(layer, "weight"):
            continue
        # torch's remove_parametrizations deletes the weight from the layer's generated class, which deep copies share:
        # folding a copy of a model would break the model. Here only this layer goes back to its plain class.
        assert isinstance(layer.weight, Tensor)
        weight, plain_class = layer.weight.detach().clone(), parametrize.type_before_parametrizations(layer)
        del layer.parametrizations
        layer.__class__ = plain_class
        layer.register_parameter("weight", nn.Parameter(weight))
    return module


def arranged_for_inference(module: nn.Module) -> nn.Module:
    """Folds weight norm and lays the weights of Conv1d and ConvTranspose1d out as they are read; returns `module`.

    The values stay the same; training and saving go on as before, but for the weight norm that is gone.
    """
    for layer in fold_weight_norm(module).modules():
        if isinstance(layer, Conv1d | ConvTranspose1d):
            layer.weight = nn.Parameter(_channels_last(layer.weight.detach()).squeeze(2), layer.weight.requires_grad)
    return module


class ConditionProjection(nn.Module):
    """The 1x1 projection of a condition (a speaker vector, say) that a stack adds to its hidden channels.

    Returns None where it was built with 0 condition channels.
    Raises ValueError where a condition is missing that the module was built for, or given to one built without.
    """

    def __init__(self, condition_channels: int, channels: int, weight_norm: bool = False) -> None:
        super().__init__()
        self.projection: nn.Module | None = None
        if condition_channels > 0:
            self.projection = weight_normed(nn.Conv1d(condition_channels, channels, 1), weight_norm)

    def forward(self, condition: Float[Tensor, "batch condition _"] | None) -> Float[Tensor, "batch channels _"] | None:
        if (self.projection is None) != (condition is None):
            expected = "without a condition" if self.projection is None else "for a condition"
            given = "none was given" if condition is None else "one was given"
            raise ValueError(f"this module was built {expected}, but {given}: see its condition_channels")
        return None if self.projection is None else self.projection(condition)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of `[batch, channels, time]`, each time step by itself."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


class DilatedSeparableStack(nn.Module):
    """Residual depthwise-separable convolutions with dilations kernel_size^i (DDSConv of VITS).

    Layer: depthwise conv, ChannelNorm, GELU, 1x1 conv, ChannelNorm, GELU, dropout, residual.
    """

    def __init__(self, channels: int, kernel_size: int, num_layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.depthwise = nn.ModuleList()
        self.pointwise = nn.ModuleList()
        self.depthwise_norms = nn.ModuleList()
        self.pointwise_norms = nn.ModuleList()
        for index in range(num_layers):
            dilation = kernel_size**index
            padding = same_padding(kernel_size, dilation)
            self.depthwise.append(
                nn.Conv1d(channels, channels, kernel_size, groups=channels, dilation=dilation, padding=padding)
            )
            self.pointwise.append(nn.Conv1d(channels, channels, 1))
            self.depthwise_norms.append(ChannelNorm(channels))
            self.pointwise_norms.append(ChannelNorm(channels))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"],
        condition: Float[Tensor, "batch channels _"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        """condition: added to the input, per time step or (with one step) over all of them."""
        if condition is not None:
            x = x + condition
        layers = zip(self.depthwise, self.depthwise_norms, self.pointwise, self.pointwise_norms, strict=True)
        for depthwise, depthwise_norm, pointwise, pointwise_norm in layers:
            y = F.gelu(depthwise_norm(depthwise(x * mask)))
            y = F.gelu(pointwise_norm(pointwise(y)))
            x = x + self.dropout(y)
        return x * mask
