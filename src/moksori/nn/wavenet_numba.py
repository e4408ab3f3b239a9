"""The step of `wavenet_step` compiled by numba: for one stream, and for blocks of LANES streams side by side.

One stream is bound by reading weights: the inner loops run along rows of weights, four rows at a time, so that sums are
loaded and stored a quarter as often. In a block the streams are innermost: a weight is read once for all of them, and
four outputs by four inputs go in one pass. Import this module only where numba is installed.
"""

from typing import Any

import numpy as np
from numba import njit

from moksori.nn.wavenet_step import LANES, StepCondition, StepState, StepWeights

# No "nnan" and no "ninf": what is not finite is refused before, and must not become undefined if it comes up.
_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",  # a division that may raise is a division that is not vectorised
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}

# float32 throughout: one number of Python among them would make numba compute in float64.
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_EXP_LOWEST, _EXP_HIGHEST = np.float32(-87), np.float32(87)
_LOG2_E, _LN_2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
_C6, _C5, _C4, _C3 = (np.float32(1 / factorial) for factorial in (720, 120, 24, 6))
_EXPONENT_BIAS, _MANTISSA_BITS = np.int32(127), np.int32(23)
_LANES = LANES


@njit(**_OPTIONS)
def exponential(x):  # type: ignore[no-untyped-def]
    """e^x within 5e-7 of its size, in operations that vectorise: 2^n by the exponent's bits, the rest by Taylor."""
    x = x if x > _EXP_LOWEST else _EXP_LOWEST
    x = x if x < _EXP_HIGHEST else _EXP_HIGHEST
    n = np.floor(x * _LOG2_E + _HALF)
    r = x - n * _LN_2
    y = (((((_C6 * r + _C5) * r + _C4) * r + _C3) * r + _HALF) * r + _ONE) * r + _ONE
    return y * np.int32((np.int32(n) + _EXPONENT_BIAS) << _MANTISSA_BITS).view(np.float32)


@njit(**_OPTIONS)
def _gated(first, second, z):  # type: ignore[no-untyped-def]
    """z = tanh(first) · sigmoid(second), both from exponentials, with one division."""
    for i in range(z.shape[0]):
        u, v = exponential(_TWO * first[i]), exponential(-second[i])
        z[i] = (u - _ONE) / ((u + _ONE) * (_ONE + v))


@njit(**_OPTIONS)
def _add_product(x, weight, total):  # type: ignore[no-untyped-def]
    """total += xᵀ · weight, for one stream; weight `[in, out]`."""
    inputs, outputs = weight.shape
    whole = inputs - inputs % 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        w0, w1, w2, w3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        for j in range(outputs):
            total[j] += x0 * w0[j] + x1 * w1[j] + x2 * w2[j] + x3 * w3[j]
    for i in range(whole, inputs):
        xi, wi = x[i], weight[i]
        for j in range(outputs):
            total[j] += xi * wi[j]


@njit(**_OPTIONS)
def _rectify(x):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        x[i] = x[i] if x[i] > _ZERO else _ZERO


@njit(**_OPTIONS)
def _softmax_index(logits, uniform, temperature, scratch, summed):  # type: ignore[no-untyped-def]
    """As `pick_code`; scratch in float32, and `summed` in float64."""
    count = logits.shape[0]
    best = 0
    for j in range(1, count):
        if logits[j] > logits[best]:
            best = j
    if temperature <= _ZERO:
        return best
    highest, colder = logits[best], _ONE / temperature
    for j in range(count):
        scratch[j] = exponential((logits[j] - highest) * colder)
    total = 0.0
    for j in range(count):
        total += scratch[j]
        summed[j] = total
    threshold = uniform * total
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if summed[middle] > threshold:
            high = middle
        else:
            low = middle + 1
    return low


@njit(**_OPTIONS)
def _drawn(outputs, mixtures, uniforms, temperature, minimum_log_scale, scratch, summed):  # type: ignore[no-untyped-def]
    """A code, or a sample of the mixture (as `pick_logistic`), as float32."""
    if mixtures == 0:
        return np.float32(_softmax_index(outputs, uniforms[0], temperature, scratch, summed))
    k = _softmax_index(outputs[:mixtures], uniforms[0], temperature, scratch, summed)
    log_scale = outputs[2 * mixtures + k]
    log_scale = log_scale if log_scale > minimum_log_scale else minimum_log_scale
    place = np.log(uniforms[1]) - np.log1p(-uniforms[1])
    sample = outputs[mixtures + k] + temperature * np.exp(log_scale) * place
    sample = sample if sample > -_ONE else -_ONE
    return np.float32(sample if sample < _ONE else _ONE)


@njit(**_OPTIONS)
def _run_single(  # type: ignore[no-untyped-def]
    input_taps, input_bias, taps, gate_bias, mixing, residual_bias, skip_bias, hidden, hidden_bias, out, out_bias,
    dilations, mixtures, residual_scale, minimum_log_scale,
    rings, history, position, condition, head_condition, drive, hop, offset,
    uniforms, temperature, forced, samples, outputs,
):  # fmt: skip
    """All steps of one stream; rings `[rows, R]`, history `[k0]`, the others without their axis of streams.

    Without a condition hop is 0; forced and outputs are empty where they are not wanted."""
    layers, k, residual, both = taps.shape
    width = both // 2
    oldest = history.shape[0]
    bias, head_bias = gate_bias.copy(), hidden_bias.copy()
    a, z = np.empty(both, np.float32), np.empty(width, np.float32)
    mixed = np.empty(mixing.shape[2], np.float32)
    head, final = np.empty(hidden.shape[1], np.float32), np.empty(out.shape[1], np.float32)
    scratch, summed = np.empty(out.shape[1], np.float32), np.empty(out.shape[1], np.float64)
    h, skips = mixed[:residual], mixed[residual:]
    steered = -1
    for t in range(samples.shape[0]):
        frame = 0
        if hop > 0:
            frame = (offset + t) // hop
            if frame != steered:
                steered = frame
                bias[:] = gate_bias + condition[frame]
                if head_condition.shape[0] > 0:
                    head_bias[:] = hidden_bias + head_condition[frame]
        h[:] = input_bias
        if drive.shape[0] > 0:
            for j in range(residual):
                h[j] += drive[t, j]
        skips[:] = skip_bias
        for age in range(oldest):
            if mixtures > 0:
                row, past = input_taps[oldest - 1 - age, 0], history[age]
                for j in range(residual):
                    h[j] += past * row[j]
            elif history[age] >= _ZERO:
                row = input_taps[oldest - 1 - age, int(history[age])]
                for j in range(residual):
                    h[j] += row[j]
        start = 0
        for layer in range(layers):
            length = (k - 1) * dilations[layer]
            slot = (position + t) % length
            a[:] = bias[layer]
            for tap in range(k - 1):
                row = slot + tap * dilations[layer]
                row = row - length if row >= length else row
                _add_product(rings[start + row], taps[layer, tap], a)
            _add_product(h, taps[layer, k - 1], a)
            rings[start + slot] = h
            _gated(a[:width], a[width:], z)
            rest = residual_bias[layer]
            for j in range(residual):
                h[j] += rest[j]
            _add_product(z, mixing[layer], mixed)  # h and skips at once: they lie side by side
            if residual_scale != _ONE:
                for j in range(residual):
                    h[j] *= residual_scale
            start += length
        _rectify(skips)
        head[:] = head_bias
        _add_product(skips, hidden, head)
        _rectify(head)
        final[:] = out_bias
        _add_product(head, out, final)
        if outputs.shape[0] > 0:
            outputs[t] = final
        warmth = temperature[min(frame, temperature.shape[0] - 1)]
        samples[t] = _drawn(final, mixtures, uniforms[t], warmth, minimum_log_scale, scratch, summed)
        for age in range(oldest - 1, 0, -1):
            history[age] = history[age - 1]
        history[0] = forced[t] if forced.shape[0] > 0 else samples[t]


@njit(**_OPTIONS)
def _add_block(x, weight, total):  # type: ignore[no-untyped-def]
    """total `[out, lanes]` += weightᵀ · x `[in, lanes]`, four outputs by four inputs in one pass."""
    inputs, outputs = weight.shape
    whole_in, whole_out = inputs - inputs % 4, outputs - outputs % 4
    for j in range(0, whole_out, 4):
        t0, t1, t2, t3 = total[j], total[j + 1], total[j + 2], total[j + 3]
        for i in range(0, whole_in, 4):
            x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
            w0, w1, w2, w3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
            w00, w01, w02, w03 = w0[j], w0[j + 1], w0[j + 2], w0[j + 3]
            w10, w11, w12, w13 = w1[j], w1[j + 1], w1[j + 2], w1[j + 3]
            w20, w21, w22, w23 = w2[j], w2[j + 1], w2[j + 2], w2[j + 3]
            w30, w31, w32, w33 = w3[j], w3[j + 1], w3[j + 2], w3[j + 3]
            for b in range(_LANES):
                a0, a1, a2, a3 = x0[b], x1[b], x2[b], x3[b]
                t0[b] += w00 * a0 + w10 * a1 + w20 * a2 + w30 * a3
                t1[b] += w01 * a0 + w11 * a1 + w21 * a2 + w31 * a3
                t2[b] += w02 * a0 + w12 * a1 + w22 * a2 + w32 * a3
                t3[b] += w03 * a0 + w13 * a1 + w23 * a2 + w33 * a3
    for j in range(outputs):
        row = total[j]
        for i in range(0 if j >= whole_out else whole_in, inputs):
            w, xi = weight[i, j], x[i]
            for b in range(_LANES):
                row[b] += w * xi[b]


@njit(**_OPTIONS)
def _fill(values, rows):  # type: ignore[no-untyped-def]
    """rows `[out, lanes]` = values `[out]` in every lane."""
    for j in range(values.shape[0]):
        value, row = values[j], rows[j]
        for b in range(_LANES):
            row[b] = value


@njit(**_OPTIONS)
def _run_block(  # type: ignore[no-untyped-def]
    input_taps, input_bias, taps, gate_bias, mixing, residual_bias, skip_bias, hidden, hidden_bias, out, out_bias,
    dilations, mixtures, residual_scale, minimum_log_scale,
    rings, history, position, condition, head_condition, drive, hop, offset,
    uniforms, temperature, forced, samples, outputs, first,
):  # fmt: skip
    """All steps of the streams from `first` on that fill one block; rings `[rows, R, lanes]`, history `[k0, lanes]`."""
    layers, k, residual, both = taps.shape
    width = both // 2
    oldest = history.shape[0]
    streams, count = samples.shape
    here = min(_LANES, streams - first)
    stream = np.empty(_LANES, np.int64)  # lanes that fill up the block repeat the last stream
    for b in range(_LANES):
        stream[b] = min(first + b, streams - 1)
    bias, head_bias = np.empty((layers, both, _LANES), np.float32), np.empty((hidden.shape[1], _LANES), np.float32)
    for layer in range(layers):
        _fill(gate_bias[layer], bias[layer])
    _fill(hidden_bias, head_bias)
    a, z = np.empty((both, _LANES), np.float32), np.empty((width, _LANES), np.float32)
    mixed = np.empty((mixing.shape[2], _LANES), np.float32)
    head, final = np.empty((hidden.shape[1], _LANES), np.float32), np.empty((out.shape[1], _LANES), np.float32)
    lane = np.empty(out.shape[1], np.float32)
    scratch, summed = np.empty(out.shape[1], np.float32), np.empty(out.shape[1], np.float64)
    h, skips = mixed[:residual], mixed[residual:]
    steered = -1
    for t in range(count):
        frame = 0
        if hop > 0:
            frame = (offset + t) // hop
            if frame != steered:
                steered = frame
                for b in range(_LANES):
                    s = stream[b] if condition.shape[0] > 1 else 0
                    for layer in range(layers):
                        for j in range(both):
                            bias[layer, j, b] = gate_bias[layer, j] + condition[s, frame, layer, j]
                    if head_condition.shape[1] > 0:
                        for j in range(head_bias.shape[0]):
                            head_bias[j, b] = hidden_bias[j] + head_condition[s, frame, j]
        _fill(input_bias, h)
        _fill(skip_bias, skips)
        if drive.shape[1] > 0:
            for b in range(_LANES):
                row = drive[stream[b] if drive.shape[0] > 1 else 0, t]
                for j in range(residual):
                    h[j, b] += row[j]
        for age in range(oldest):
            for b in range(_LANES):
                past = history[age, b]
                if mixtures > 0:
                    row = input_taps[oldest - 1 - age, 0]
                    for j in range(residual):
                        h[j, b] += past * row[j]
                elif past >= _ZERO:
                    row = input_taps[oldest - 1 - age, int(past)]
                    for j in range(residual):
                        h[j, b] += row[j]
        start = 0
        for layer in range(layers):
            length = (k - 1) * dilations[layer]
            slot = (position + t) % length
            a[:] = bias[layer]
            for tap in range(k - 1):
                row = slot + tap * dilations[layer]
                row = row - length if row >= length else row
                _add_block(rings[start + row], taps[layer, tap], a)
            _add_block(h, taps[layer, k - 1], a)
            rings[start + slot] = h
            _gated(a[:width].reshape(-1), a[width:].reshape(-1), z.reshape(-1))
            for j in range(residual):
                rest = residual_bias[layer, j]
                for b in range(_LANES):
                    h[j, b] += rest
            _add_block(z, mixing[layer], mixed)
            if residual_scale != _ONE:
                for j in range(residual):
                    for b in range(_LANES):
                        h[j, b] *= residual_scale
            start += length
        _rectify(skips.reshape(-1))
        head[:] = head_bias
        _add_block(skips, hidden, head)
        _rectify(head.reshape(-1))
        _fill(out_bias, final)
        _add_block(head, out, final)
        for age in range(oldest - 1, 0, -1):
            history[age] = history[age - 1]
        for b in range(_LANES):
            s = stream[b]
            if b < here:
                row = s if temperature.shape[0] > 1 else 0
                warmth = temperature[row, min(frame, temperature.shape[1] - 1)]
                for j in range(final.shape[0]):
                    lane[j] = final[j, b]
                samples[s, t] = _drawn(lane, mixtures, uniforms[s, t], warmth, minimum_log_scale, scratch, summed)
                if outputs.shape[1] > 0:
                    outputs[s, t] = lane
            history[0, b] = forced[s, t] if forced.shape[1] > 0 else samples[s, t]


def run_numba(
    weights: StepWeights,
    state: StepState,
    condition: StepCondition | None,
    uniforms: np.ndarray,
    temperature: np.ndarray,
    forced: np.ndarray | None,
    samples: np.ndarray,
    outputs: np.ndarray | None,
) -> None:
    """As `wavenet_step.run_reference`."""
    numbers = (
        *(weights.input_taps, weights.input_bias, weights.taps, weights.gate_bias, weights.mixing),
        *(weights.residual_bias, weights.skip_bias, weights.hidden, weights.hidden_bias, weights.out, weights.out_bias),
        *(np.asarray(weights.dilations, dtype=np.int64), weights.mixtures),
        *(np.float32(weights.residual_scale), np.float32(weights.minimum_log_scale)),
    )
    streams = len(samples)
    layers = np.zeros((1, 0, *weights.gate_bias.shape), np.float32) if condition is None else condition.layers
    head = None if condition is None else condition.head
    head = np.zeros((len(layers), 0, weights.hidden.shape[1]), np.float32) if head is None else head
    drive = None if condition is None else condition.drive
    drive = np.zeros((1, 0, weights.residual), np.float32) if drive is None else drive
    hop, offset = (0, 0) if condition is None else (condition.hop_length, condition.offset)
    forced = np.zeros((streams, 0), np.float32) if forced is None else forced
    outputs = np.zeros((streams, 0, weights.outputs), np.float32) if outputs is None else outputs
    for block in range(len(state.rings)):
        rings, history = state.rings[block], state.history[block]
        if state.lanes == 1:
            own = [rows[block if len(rows) > 1 else 0] for rows in (layers, head, drive)]
            _run_single(
                *numbers, rings[:, :, 0], history[:, 0], state.position, *own, hop, offset, uniforms[block],
                temperature[block if len(temperature) > 1 else 0], forced[block], samples[block], outputs[block],
            )  # fmt: skip
        else:
            _run_block(
                *numbers, rings, history, state.position, layers, head, drive, hop, offset,
                uniforms, temperature, forced, samples, outputs, block * LANES,
            )  # fmt: skip
    state.position += samples.shape[1]
