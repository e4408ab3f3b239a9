"""A WaveNet sample by sample in plain torch, and its weights and conditions as the fast samplers take them.

`EagerQueue` keeps the past inputs of every layer and says what the next sample may be: the numbers of the parallel pass
(Paine et al. 2016, "Fast Wavenet Generation Algorithm", arXiv:1611.09482). It is what nn.wavenet_step is held against,
and what samples where no compiled step is at hand.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from moksori.nn.logistic_mixture import LEAST_UNIFORM, log_scale_floor, pick_logistic_mixture
from moksori.nn.mulaw import pick_codes
from moksori.nn.one_step import single_threaded
from moksori.nn.wavenet import gated
from moksori.nn.wavenet_network import Conditions, WaveNet, scalars
from moksori.nn.wavenet_step import StepCondition, StepWeights

SAMPLE_LEVELS = 65536
"""Of samples that are no codes: 16 bits."""


class EagerQueue:
    """What a WaveNet says of one sample after the other; each layer's past inputs lie in a ring, zeros at first.

    batch: streams side by side. The weights are read once, here.
    """

    def __init__(self, network: WaveNet, batch: int = 1) -> None:
        self._network, stack = network, network.stack
        width, taps = stack.channels, stack.kernel_size
        self._rings: list[Tensor] = []
        self._layers: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for gate, mix, dilation in zip(stack.gates, stack.residual_skips, stack.dilations, strict=True):
            weight, bias = _convolution(gate)
            mixing, mixing_bias = _convolution(mix)
            rows = weight.permute(2, 1, 0).reshape(taps * width, 2 * width)
            self._layers.append((rows, bias, mixing[:, :, 0].T, mixing_bias))
            self._rings.append(weight.new_zeros((taps - 1) * dilation, batch, width))
        self._head = [_convolution(layer) for layer in (network.head_in, network.head_out)]
        self._newest: list[Shaped[Tensor, " batch"]] = []
        self._batch, self._position = batch, 0

    @torch.no_grad()
    def step(
        self,
        gates: Float[Tensor, "batch gates"] | None = None,
        head: Float[Tensor, "batch skip"] | None = None,
        drive: Float[Tensor, "batch channels"] | None = None,
    ) -> Float[Tensor, "batch outputs"]:
        """What it says of the next sample; `push` then tells which it was. gates, head: of that sample's frame, drive
        of itself."""
        stack = self._network.stack
        width, skips = stack.channels, stack.skip_channels
        biases = None if gates is None else gates.split(2 * width, dim=1)
        hidden = self._first() if drive is None else self._first() + drive
        total = hidden.new_zeros(self._batch, skips)
        for index, (rows, bias, mixing, mixing_bias) in enumerate(self._layers):
            ring, dilation = self._rings[index], stack.dilations[index]
            ages = range((stack.kernel_size - 1) * dilation, 0, -dilation)
            past = [ring[(self._position - age) % len(ring)] for age in ages]
            a = torch.addmm(bias, torch.cat([*past, hidden], dim=1), rows)
            ring[self._position % len(ring)] = hidden
            out = torch.addmm(mixing_bias, gated(a if biases is None else a + biases[index]), mixing)
            if index < len(self._layers) - 1:
                hidden = (hidden + out[:, :width]) * stack.residual_scale
            total = total + out[:, -skips:]
        self._position += 1
        (inner, inner_bias), (outer, outer_bias) = self._head
        between = F.linear(F.relu(total), inner[:, :, 0], inner_bias)
        return F.linear(F.relu(between if head is None else between + head), outer[:, :, 0], outer_bias)

    def push(self, sample: Shaped[Tensor, " batch"]) -> None:
        """The sample that came: a code, or its value."""
        self._newest = [*self._newest, sample][-len(self._network.table) :]

    def _first(self) -> Float[Tensor, "batch channels"]:
        network = self._network
        hidden = network.input_bias.expand(self._batch, -1)
        for sample, table in zip(reversed(self._newest), reversed(network.table.unbind()), strict=False):
            row = table[sample] if network.one_hot else scalars(sample, network.levels).unsqueeze(1) * table
            hidden = hidden + row
        return hidden


@torch.no_grad()
def sample_eager(
    network: WaveNet,
    uniforms: Float[Tensor, "batch samples draws"],
    conditions: Conditions | None = None,
    temperature: float | Float[Tensor, "batch frames"] = 1.0,
    queue: EagerQueue | None = None,
    offset: int = 0,
) -> Shaped[Tensor, "batch samples"]:
    """Draws samples one by one: codes (int64), or values in [-1, 1] where the network's inputs are samples.

    uniforms: in [0, 1); one decides a code, two a sample: its component, and where in it. temperature: below 1 the
    likelier becomes likelier still, at 0 nothing else comes; one for each frame of the conditions, if need be.
    queue: goes on where it stands. offset: samples of the first frame that have been drawn already; the conditions'
    drive begins with the first sample that is drawn here.
    """
    batch, samples = uniforms.shape[:2]
    queue = EagerQueue(network, batch) if queue is None else queue
    uniforms = uniforms.clamp(LEAST_UNIFORM, 1.0 - LEAST_UNIFORM)
    drawn: list[Tensor] = []
    with single_threaded(uniforms.device):
        for index, (gates, head, frame) in enumerate(_steps(conditions, offset, samples)):
            drive = None if conditions is None or conditions.drive is None else conditions.drive[:, :, index]
            outputs = queue.step(gates, head, drive)
            warmth = temperature if isinstance(temperature, float | int) else temperature[:, frame]
            if network.levels:
                newest: Tensor = pick_codes(outputs, uniforms[:, index, 0], warmth)
            else:
                newest = pick_logistic_mixture(outputs, uniforms[:, index], warmth, SAMPLE_LEVELS)
            queue.push(newest)
            drawn.append(newest)
    return torch.stack(drawn, dim=1)


def _steps(
    conditions: Conditions | None, offset: int, samples: int
) -> Iterator[tuple[Tensor | None, Tensor | None, int]]:
    for index in range(samples):
        if conditions is None:
            yield None, None, 0
            continue
        frame = (offset + index) // conditions.repeats
        parts = []
        for part in (conditions.gates, conditions.head):
            parts.append(None if part is None else part[:, :, min(frame, part.shape[2] - 1)])
        yield parts[0], parts[1], frame


def step_weights(network: WaveNet) -> StepWeights:
    """The network's weights as nn.wavenet_step takes them: plain, input first, a number's input written out as codes.

    Raises SamplingError for weights that are not finite.
    """
    stack = network.stack
    gates = [_convolution(layer) for layer in stack.gates]
    mixes = [_convolution(layer) for layer in stack.residual_skips]
    # The last layer has no residual: nothing comes after it.
    missing = stack.channels
    mixing = [F.pad(w[:, :, 0].T, (0 if w.shape[0] > stack.skip_channels else missing, 0)) for w, _ in mixes]
    biases = [F.pad(b, (0 if b.shape[0] > stack.skip_channels else missing, 0)) for _, b in mixes]
    table = network.table.detach()
    if network.levels and not network.one_hot:
        values = scalars(torch.arange(network.levels, device=table.device), network.levels)
        table = values[None, :, None] * table
    (inner, inner_bias), (outer, outer_bias) = (_convolution(layer) for layer in (network.head_in, network.head_out))
    return StepWeights(
        input_taps=_array(table),
        input_bias=_array(network.input_bias),
        taps=_array(torch.stack([w.permute(2, 1, 0) for w, _ in gates])),
        gate_bias=_array(torch.stack([b for _, b in gates])),
        mixing=_array(torch.stack(mixing)),
        residual_bias=_array(torch.stack([b[: stack.channels] for b in biases])),
        skip_bias=_array(torch.stack([b[stack.channels :] for b in biases]).sum(dim=0)),
        hidden=_array(inner[:, :, 0].T),
        hidden_bias=_array(inner_bias),
        out=_array(outer[:, :, 0].T),
        out_bias=_array(outer_bias),
        dilations=stack.dilations,
        mixtures=0 if network.levels else network.outputs // 3,
        residual_scale=stack.residual_scale,
        minimum_log_scale=log_scale_floor(SAMPLE_LEVELS),
    )


def step_condition(conditions: Conditions, layers: int, offset: int = 0) -> StepCondition | None:
    """Conditions as nn.wavenet_step takes them; a single step that holds for all samples is one endless frame."""
    gates, head = conditions.gates, conditions.head
    if gates is None:
        return None
    endless = gates.shape[2] == 1 and conditions.repeats == 1
    return StepCondition(
        layers=_array(gates.transpose(1, 2).unflatten(2, (layers, -1))),
        hop_length=ENDLESS if endless else conditions.repeats,
        head=None if head is None else _array(head.transpose(1, 2)),
        offset=0 if endless else offset,
        drive=None if conditions.drive is None else _array(conditions.drive.transpose(1, 2)),
    )


ENDLESS = 2**40
"""Samples that a frame without end holds for."""


def _convolution(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight `[out, in, taps]`, weight norm folded, and bias, in float32."""
    assert isinstance(layer, nn.Conv1d) and layer.bias is not None  # noqa: PT018
    return layer.weight.detach().float(), layer.bias.detach().float()


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().float().cpu().numpy())
