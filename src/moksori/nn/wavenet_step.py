"""One step of a WaveNet for all layers: its weights as plain arrays, its memory, and the reference in NumPy.

A causal WaveNet makes one sample from all that came before. Each layer needs of the past only its own inputs of up to
(k - 1) · d steps ago, so a ring of that length is all its memory and a step costs one matrix-vector product a tap
(Paine et al. 2016, "Fast Wavenet Generation Algorithm", arXiv:1611.09482). Rings of zeros are the zeros that the
parallel pass pads with, so both give the same numbers from the first sample on.

    input taps ─► h ─► [ a = Σ_j taps_j · h(t - (k-1-j)·d) + bias + condition;  z = tanh(a_1) · σ(a_2)
                         h ← (h + residual · z) · scale;  skips += skip · z ] per layer
    outputs = out · ReLU(hidden · ReLU(skips) + condition)

Letters: R = residual, G = gate, S = skip, H = head, O = output channels, L = layers, k = taps of a layer.
Arrays are float32, contiguous, and "input-major": weight[i] is the row of all outputs that input i feeds.
"""

from dataclasses import dataclass, fields
from math import prod

import numpy as np
from jaxtyping import Float, Float32, Int64

SMALLEST_UNIFORM = 1e-5
"""Uniforms are kept this far from 0 and 1: the logistic has infinite tails, and a sum of float32 is not exactly 1."""

LANES = 16
"""Streams of one block: one or two vector registers, so that a weight is read once for so many."""

FEWEST_LANES = 4
"""From so many streams on a block costs less than the streams one after the other."""


class SamplingError(ValueError):
    """Weights, conditions and uniforms that do not belong together, or a back end that is not there."""


@dataclass(frozen=True)
class StepWeights:
    """All weights of one step. A convolution's `[out, in, taps]` enters as `weight.permute(2, 1, 0)`.

    input_taps: of the first causal convolution. With codes a row look-up, `[k0, codes, R]` (an embedding or a scalar
        input is multiplied out into it); with logistics `[k0, 1, R]`, which multiplies the sample itself. The last
        tap reads the newest sample, which is the one before the sample being made.
    taps: of the dilated convolutions; the last reads the present. The first G columns go through tanh.
    mixing: 1x1 convolutions after the gate, residual in the first R columns, skip in the other S.
    skip_bias: of all layers together.
    mixtures: number of logistics, with outputs `[3 · mixtures]` = logits, means, log scales; 0 for a softmax over
        codes.
    residual_scale: of the sum h + residual · z.
    minimum_log_scale: floor of the logistics' log scales.
    Raises SamplingError if shapes do not fit together or a weight is not finite.
    """

    input_taps: Float32[np.ndarray, "k0 codes R"]
    input_bias: Float32[np.ndarray, " R"]
    taps: Float32[np.ndarray, "L k R 2*G"]
    gate_bias: Float32[np.ndarray, "L 2*G"]
    mixing: Float32[np.ndarray, "L G R+S"]
    residual_bias: Float32[np.ndarray, "L R"]
    skip_bias: Float32[np.ndarray, " S"]
    hidden: Float32[np.ndarray, "S H"]
    hidden_bias: Float32[np.ndarray, " H"]
    out: Float32[np.ndarray, "H O"]
    out_bias: Float32[np.ndarray, " O"]
    dilations: tuple[int, ...]
    mixtures: int = 0
    residual_scale: float = 1.0
    minimum_log_scale: float = -16.0

    def __post_init__(self) -> None:
        for name, value in self._arrays().items():
            array = np.ascontiguousarray(value, dtype=np.float32)
            if not np.isfinite(array).all():
                raise SamplingError(f"the weights {name} hold numbers that are not finite; train from a sound state")
            object.__setattr__(self, name, array)
        layers, k, residual, both = self.taps.shape
        gate, skip = both // 2, self.skip_bias.shape[0]
        head, out = self.hidden.shape[1], self.out.shape[1]
        expected = {
            "input_taps": (self.input_taps.shape[0], 1 if self.mixtures else out, residual),
            "input_bias": (residual,),
            "taps": (len(self.dilations), max(k, 2), residual, 2 * gate),
            "gate_bias": (layers, 2 * gate),
            "mixing": (layers, gate, residual + skip),
            "residual_bias": (layers, residual),
            "hidden": (skip, head),
            "hidden_bias": (head,),
            "out": (head, 3 * self.mixtures if self.mixtures else out),
            "out_bias": (out,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise SamplingError(f"the weights {name} have shape {getattr(self, name).shape}, expected {shape}")
        if min(self.dilations) < 1:
            raise SamplingError(f"dilations {self.dilations}: each must be at least 1")

    @property
    def layers(self) -> int:
        return self.taps.shape[0]

    @property
    def residual(self) -> int:
        return self.taps.shape[2]

    @property
    def gate(self) -> int:
        return self.taps.shape[3] // 2

    @property
    def outputs(self) -> int:
        return self.out.shape[1]

    @property
    def draws(self) -> int:
        """Uniforms that one sample takes: one picks a code; one picks a logistic, and one a place under it."""
        return 2 if self.mixtures else 1

    @property
    def ring_rows(self) -> tuple[int, ...]:
        """Past inputs that each layer keeps, (k - 1) · d."""
        return tuple((self.taps.shape[1] - 1) * dilation for dilation in self.dilations)

    @property
    def receptive_field(self) -> int:
        """Samples before the one being made that it depends on: 1 + (k0 - 1) + Σ (k - 1) · d."""
        return self.input_taps.shape[0] + sum(self.ring_rows)

    @property
    def size(self) -> int:
        """Number of weights; times four, the bytes that a step reads (but for one row of the input)."""
        return sum(prod(array.shape) for array in self._arrays().values())

    def _arrays(self) -> dict[str, np.ndarray]:
        names = [field.name for field in fields(self)]
        return {name: getattr(self, name) for name in names[: names.index("dilations")]}


@dataclass(frozen=True)
class StepCondition:
    """What steers the gates, already projected for every layer, at frame rate: one frame serves `hop_length` samples.

    layers: added to `a` of each layer; local and global condition together. A first axis of 1 serves every stream.
    head: added before the head's second ReLU, or None.
    offset: samples of the first frame that have passed already, for calls that begin inside a frame.
    drive: added to the first convolution's output, a row for each sample of the call, or None.
    """

    layers: Float[np.ndarray, "streams frames L 2*G"]
    hop_length: int
    head: Float[np.ndarray, "streams frames H"] | None = None
    offset: int = 0
    drive: Float[np.ndarray, "streams samples R"] | None = None

    @property
    def frames(self) -> int:
        return self.layers.shape[1]

    def checked(self, weights: StepWeights, streams: int, samples: int) -> "StepCondition":
        """The same in contiguous float32; SamplingError where it does not fit weights, streams or samples."""
        layers = np.ascontiguousarray(self.layers, dtype=np.float32)
        head = None if self.head is None else np.ascontiguousarray(self.head, dtype=np.float32)
        drive = None if self.drive is None else np.ascontiguousarray(self.drive[:, :samples], dtype=np.float32)
        if layers.ndim != 4 or layers.shape[2:] != weights.gate_bias.shape or layers.shape[0] not in (1, streams):
            raise SamplingError(
                f"a condition of shape {layers.shape}: expected [{streams} (or 1), frames, {weights.layers}, "
                f"{2 * weights.gate}]"
            )
        if head is not None and head.shape != (*layers.shape[:2], weights.hidden.shape[1]):
            raise SamplingError(f"a head condition of shape {head.shape} beside one of the layers of {layers.shape}")
        if self.hop_length < 1 or not 0 <= self.offset < self.hop_length:
            raise SamplingError(f"hop_length {self.hop_length} and offset {self.offset}: 0 <= offset < hop_length")
        if self.offset + samples > self.frames * self.hop_length:
            raise SamplingError(
                f"{self.frames} frames of {self.hop_length} samples cannot steer {samples} samples from sample "
                f"{self.offset} of the first; give {-(-(self.offset + samples) // self.hop_length)} frames"
            )
        if drive is not None and drive.shape not in {(rows, samples, weights.residual) for rows in (1, streams)}:
            raise SamplingError(
                f"a drive of shape {drive.shape}: expected [{streams} (or 1), {samples}, {weights.residual}]"
            )
        if not all(np.isfinite(part).all() for part in (layers, head, drive) if part is not None):
            raise SamplingError("the condition holds numbers that are not finite")
        return StepCondition(layers, self.hop_length, head, self.offset, drive)


@dataclass
class StepState:
    """All that sampling remembers: give it to the next call and the sound goes on as if there had been one call.

    rings: past inputs of every layer, one ring after the other. history: the newest samples first; codes as numbers,
    -1 where there is no sample yet (logistics: 0.0). The streams are cut into blocks of `lanes`, the last filled up.
    """

    streams: int
    rings: Float32[np.ndarray, "blocks rows R lanes"]
    history: Float32[np.ndarray, "blocks k0 lanes"]
    position: int = 0

    @classmethod
    def zeros(cls, weights: StepWeights, streams: int = 1) -> "StepState":
        """Before the first sample."""
        if streams < 1:
            raise SamplingError(f"{streams} streams: at least one is needed")
        lanes = LANES if streams >= FEWEST_LANES else 1
        blocks = -(-streams // lanes)
        rings = np.zeros((blocks, sum(weights.ring_rows), weights.residual, lanes), dtype=np.float32)
        nothing = 0.0 if weights.mixtures else -1.0
        history = np.full((blocks, weights.input_taps.shape[0], lanes), nothing, dtype=np.float32)
        return cls(streams, rings, history)

    @property
    def lanes(self) -> int:
        return self.rings.shape[3]

    def checked(self, weights: StepWeights, streams: int) -> "StepState":
        """Itself; SamplingError where it belongs to other weights or another number of streams."""
        rows, residual, k0 = sum(weights.ring_rows), weights.residual, weights.input_taps.shape[0]
        if self.rings.shape[1:3] != (rows, residual) or self.history.shape[1] != k0:
            raise SamplingError("this state belongs to a network of another shape")
        if self.streams != streams:
            raise SamplingError(f"this state holds {self.streams} streams, not {streams}")
        return self


def pick_code(
    logits: Float[np.ndarray, "... codes"], uniform: Float[np.ndarray, "..."], temperature: Float[np.ndarray, "..."]
) -> Int64[np.ndarray, "..."]:
    """The first code at which the softmax of logits / temperature, summed up, exceeds `uniform`; at 0 the arg-max."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    cooled = shifted / np.where(temperature > 0, temperature, 1.0)[..., None].astype(np.float32)
    # In float64: back ends differ in the last bits, and in float32 their sums would part many times as often.
    summed = np.exp(cooled).cumsum(axis=-1, dtype=np.float64)
    drawn = (summed <= uniform[..., None] * summed[..., -1:]).sum(axis=-1)
    return np.where(temperature > 0, drawn, logits.argmax(axis=-1)).astype(np.int64)


def pick_logistic(
    outputs: Float[np.ndarray, "... 3*K"],
    uniforms: Float[np.ndarray, "... 2"],
    temperature: Float[np.ndarray, "..."],
    minimum_log_scale: float,
) -> Float32[np.ndarray, "..."]:
    """A sample in [-1, 1] of a mixture of logistics: m + T·s·(ln u - ln(1 - u)) of the component that the first uniform
    picks from softmax(logits / T); at T = 0 the mean of the likeliest component."""
    logits, means, log_scales = np.split(outputs, 3, axis=-1)
    component = pick_code(logits, uniforms[..., 0], temperature)[..., None]
    mean = np.take_along_axis(means, component, axis=-1)[..., 0]
    log_scale = np.maximum(np.take_along_axis(log_scales, component, axis=-1)[..., 0], minimum_log_scale)
    place = np.log(uniforms[..., 1]) - np.log1p(-uniforms[..., 1])
    return np.clip(mean + temperature * np.exp(log_scale) * place, -1.0, 1.0).astype(np.float32)


def run_reference(
    weights: StepWeights,
    state: StepState,
    condition: StepCondition | None,
    uniforms: Float32[np.ndarray, "streams samples draws"],
    temperature: Float32[np.ndarray, "rows frames"],
    forced: Float32[np.ndarray, "streams samples"] | None,
    samples: Float32[np.ndarray, "streams samples"],
    outputs: Float32[np.ndarray, "streams samples O"] | None,
) -> None:
    """The steps in NumPy; every other back end does the same, with the same arguments.

    Fills `samples` with what is drawn (codes as numbers) and, where given, `outputs` with the network's outputs.
    forced: the true samples, which then enter the past in place of those drawn. temperature: of the rows' streams (one
    row serves all) in the condition's frames, the last frame holding on. Moves `state` on.
    """
    blocks, _, residual, lanes = state.rings.shape
    streams, count = samples.shape
    stream = np.minimum(np.arange(blocks * lanes), streams - 1)  # lanes that fill up the last block repeat the last one
    starts = np.cumsum([0, *weights.ring_rows])
    width = weights.gate
    for t in range(count):
        frame, gate_bias = 0, weights.gate_bias[:, None, :, None]
        hidden_bias = weights.hidden_bias[None, :, None]
        if condition is not None:
            frame = (condition.offset + t) // condition.hop_length
            gate_bias = gate_bias + _of_lanes(condition.layers[:, frame], stream, blocks).transpose(2, 0, 3, 1)
            if condition.head is not None:
                hidden_bias = hidden_bias + _of_lanes(condition.head[:, frame], stream, blocks).transpose(0, 2, 1)
        h = np.broadcast_to(weights.input_bias[None, :, None], (blocks, residual, lanes)).copy()
        if condition is not None and condition.drive is not None:
            h += _of_lanes(condition.drive[:, t], stream, blocks).transpose(0, 2, 1)
        for age in range(state.history.shape[1]):
            past, tap = state.history[:, age], weights.input_taps[-1 - age]
            if weights.mixtures:
                h += past[:, None, :] * tap[0][None, :, None]
            else:
                rows = np.where(past[..., None] >= 0, tap[np.maximum(past, 0).astype(np.int64)], 0.0)
                h += rows.transpose(0, 2, 1)
        skips = np.broadcast_to(weights.skip_bias[None, :, None], (blocks, len(weights.skip_bias), lanes)).copy()
        for layer, (dilation, length) in enumerate(zip(weights.dilations, weights.ring_rows, strict=True)):
            ring = state.rings[:, starts[layer] : starts[layer + 1]]
            taps = weights.taps[layer]
            a = gate_bias[layer] + np.matmul(taps[-1].T, h)
            for age in range(1, len(taps)):
                a = a + np.matmul(taps[-1 - age].T, ring[:, (state.position + t - age * dilation) % length])
            ring[:, (state.position + t) % length] = h
            z = np.tanh(a[:, :width]) / (1.0 + np.exp(-a[:, width:]))
            mixed = np.matmul(weights.mixing[layer].T, z)
            h = (h + mixed[:, :residual] + weights.residual_bias[layer][:, None]) * np.float32(weights.residual_scale)
            skips += mixed[:, residual:]
        hidden = np.matmul(weights.hidden.T, np.maximum(skips, 0.0)) + hidden_bias
        out = np.matmul(weights.out.T, np.maximum(hidden, 0.0)) + weights.out_bias[:, None]
        out = out.transpose(0, 2, 1).reshape(blocks * lanes, -1)[:streams]
        warmth = np.broadcast_to(temperature[:, min(frame, temperature.shape[1] - 1)], (streams,))
        if weights.mixtures:
            drawn = pick_logistic(out, uniforms[:, t], warmth, weights.minimum_log_scale)
        else:
            drawn = pick_code(out, uniforms[:, t, 0], warmth).astype(np.float32)
        samples[:, t] = drawn
        if outputs is not None:
            outputs[:, t] = out
        newest = drawn if forced is None else forced[:, t]
        state.history[:, 1:] = state.history[:, :-1].copy()
        state.history[:, 0] = newest[stream].reshape(blocks, lanes)
    state.position += count


def _of_lanes(values: np.ndarray, stream: np.ndarray, blocks: int) -> np.ndarray:
    """`[streams or 1, ...]` as `[blocks, lanes, ...]`."""
    return values[stream if len(values) > 1 else np.zeros_like(stream)].reshape(blocks, -1, *values.shape[1:])
