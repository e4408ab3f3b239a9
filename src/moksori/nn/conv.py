"""One-dimensional convolution blocks and weight normalisation."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from moksori.nn.masks import masked

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


def split_channels(x: Float[Tensor, "batch channels time"], *sizes: int) -> tuple[Tensor, ...]:
    """`x.split(sizes, dim=1)`, whose gradient lies in memory as x does.

    Torch puts the parts' gradients together with time innermost, whatever they were: where channels are innermost that
    is the dearest way to write them, and the convolution before it turns them round again.
    """
    if x.stride(1) != 1 or is_traced():
        return x.split(sizes, dim=1)
    return tuple(part.transpose(1, 2) for part in x.transpose(1, 2).split(sizes, dim=2))


def _channels_last(x: Tensor) -> Tensor:
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


class Conv1d(nn.Conv1d):
    """torch's layer, but on a processor its values lie channels last, and so do those of elementwise layers after it.

    There a convolution spends a quarter of its time (bfloat16: half) on taking inputs apart and putting outputs
    together where time is the innermost axis. Shapes and results are the same. A traced graph has the plain layer.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() != 3 or not input.is_cpu or self.padding_mode != "zeros" or is_traced():
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


class ProductConv1d(Conv1d):
    """Conv1d; on a processor, where no gradient is asked for, it is one matrix product over channels last.

    For sequences of some hundred steps that is faster than torch's own ways, of which there are two, chosen by length.
    And each step comes out the same to the last bit however many steps there are: a sequence can be made in pieces.
    A traced graph has the plain layer. Only for stride 1, with one group or as many as channels; the latter is a sum of
    shifted copies, for which nothing has to be prepared anew where the length is.
    """

    def forward(self, input: Tensor) -> Tensor:
        return _product(self, input) if _is_product(self, input) else super().forward(input)


def is_traced() -> bool:
    """Whether a graph is being made, which is to have plain layers and sizes of any length."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def _is_product(layer: nn.Conv1d, input: Tensor) -> bool:
    if torch.is_grad_enabled() or not input.is_cpu or input.dim() != 3 or is_traced():
        return False
    whole = layer.groups == 1 or layer.groups == layer.in_channels == layer.out_channels
    return whole and layer.stride == (1,) and layer.padding_mode == "zeros"


def _product(layer: nn.Conv1d, input: Tensor) -> Tensor:
    rows = input.transpose(1, 2)
    (width,), (dilation,) = layer.kernel_size, layer.dilation
    if width > 1:
        rows = F.pad(rows, (0, 0, int(layer.padding[0]), int(layer.padding[0])))
    steps = rows.shape[1] - (width - 1) * dilation
    taps = [rows[:, tap * dilation : tap * dilation + steps] for tap in range(width)]
    if layer.groups > 1:
        total = taps[0] * layer.weight[:, 0, 0]
        for tap in range(1, width):
            total.addcmul_(taps[tap], layer.weight[:, 0, tap])
        return (total if layer.bias is None else total.add_(layer.bias)).transpose(1, 2)
    rows = taps[0] if width == 1 else torch.cat(taps, dim=2)
    weight = layer.weight.transpose(1, 2).flatten(1)  # a view once the layer is arranged for inference
    return by_rows(rows, weight, layer.bias).transpose(1, 2)


_FEWEST_ROWS = 16


def by_rows(
    rows: Float[Tensor, "batch rows in"], weight: Float[Tensor, "out in"], bias: Float[Tensor, " out"] | None
) -> Float[Tensor, "batch rows out"]:
    """`torch.nn.functional.linear`, in which no row depends on how many others there are, not even in its rounding.

    Libraries add up the products of few rows in another order than those of many (seen with MKL for less than 16).
    """
    if is_traced():
        return F.linear(rows, weight, bias)
    matrix = rows.flatten(0, 1)  # one product, not one for each item
    missing = _FEWEST_ROWS - matrix.shape[0]
    if missing > 0:
        return F.linear(F.pad(matrix, (0, 0, 0, missing)), weight, bias)[:-missing].unflatten(0, rows.shape[:2])
    return F.linear(matrix, weight, bias).unflatten(0, rows.shape[:2])


_VECTOR_STEP = 32
_LEAST_SHARE = 32768


def steady_gelu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`torch.nn.functional.gelu`, in which no element's rounding depends on how many others there are.

    On a processor torch takes 32 elements at a time and what is left of each thread's share one by one, by another
    formula: up to 1.2e-6 away. Where no gradient is asked for, zeros are added so that nothing is left.
    """
    if torch.is_grad_enabled() or not x.is_cpu or is_traced():
        return F.gelu(x)
    threads = min(torch.get_num_threads(), -(-x.numel() // _LEAST_SHARE))
    missing = -x.numel() % (_VECTOR_STEP * max(threads, 1))
    return F.gelu(F.pad(x.flatten(), (0, missing)))[: x.numel()].view_as(x) if missing else F.gelu(x)


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
    """Folds weight norm and lays the weights of convolutions and linear layers out as they are read; returns `module`.

    The values stay the same; training and saving go on as before, but for the weight norm that is gone.
    """
    for layer in fold_weight_norm(module).modules():
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Tensor):
            continue
        if isinstance(layer, ProductConv1d) and layer.groups > 1:
            continue
        if isinstance(layer, ProductConv1d | nn.Linear):  # as the right side of a product
            rows = weight.detach().flatten(1) if weight.dim() == 2 else weight.detach().transpose(1, 2).flatten(1)
            laid = rows.T.contiguous().T
            if weight.dim() == 3:
                laid = laid.unflatten(1, (weight.shape[2], weight.shape[1])).transpose(1, 2)
            layer.weight = nn.Parameter(laid, weight.requires_grad)
        elif isinstance(layer, Conv1d | ConvTranspose1d):
            layer.weight = nn.Parameter(_channels_last(weight.detach()).squeeze(2), weight.requires_grad)
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
            self.projection = weight_normed(ProductConv1d(condition_channels, channels, 1), weight_norm)

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
                ProductConv1d(channels, channels, kernel_size, groups=channels, dilation=dilation, padding=padding)
            )
            self.pointwise.append(ProductConv1d(channels, channels, 1))
            self.depthwise_norms.append(ChannelNorm(channels))
            self.pointwise_norms.append(ChannelNorm(channels))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch channels _"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        """condition: added to the input, per time step or (with one step) over all of them."""
        if condition is not None:
            x = x + condition
        layers = zip(self.depthwise, self.depthwise_norms, self.pointwise, self.pointwise_norms, strict=True)
        for depthwise, depthwise_norm, pointwise, pointwise_norm in layers:
            y = F.gelu(depthwise_norm(depthwise(masked(x, mask))))
            y = F.gelu(pointwise_norm(pointwise(y)))
            x = x + self.dropout(y)
        return masked(x, mask)
