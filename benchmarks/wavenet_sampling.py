"""How many samples a second does WaveNet make, and how many times faster than the plain ways is that?

The plain way runs the whole network over its receptive field for every new sample. A queue keeps every layer's past
inputs instead, in torch operation by operation (eager), or in one compiled step (numba, C++), for one stream or for 16
side by side; folding makes one sound as 16. All ways must say the same of the same past and make the same samples of
the same uniforms, or the benchmark stops. Then the networks of the specification's table, random weights, softmax
sampling included, and the whole vocoder, from mels to sound, against real time.

    python benchmarks/wavenet_sampling.py --strict --json
    python benchmarks/wavenet_sampling.py --no-table --preset wavenet/tiny
"""

import sys
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from common import Timing, best_of, finish, parser, start

from moksori.config import load_preset, validate
from moksori.errors import MoksoriError
from moksori.models.wavenet import Wavenet, WavenetConfig
from moksori.nn.wavenet_eager import EagerQueue, sample_eager, step_condition, step_weights
from moksori.nn.wavenet_folding import sample_folded
from moksori.nn.wavenet_network import WaveNet, cycled_dilations
from moksori.nn.wavenet_sampling import available_backends, draw_uniforms, sample, stepwise_outputs
from moksori.nn.wavenet_step import LANES, StepCondition, StepState, StepWeights

TOLERANCE = 1e-4
SAMPLE_RATE = 16000
WORK = 1.5e9
"""Multiplications that one timing of the table is to take, so that small and large networks take as long."""
TABLE = {
    # R, S, layers in a cycle, cycles, and samples per second of CPU time that the specification measured on one core of
    # another machine: one stream in numba and in C++, 16 streams in C++.
    "16/32/16": (16, 32, 8, 2, 160e3, 265e3, 408e3),
    "32/64/20": (32, 64, 10, 2, 56.8e3, 91e3, 159e3),
    "32/64/30": (32, 64, 10, 3, None, 62.6e3, 119e3),
    "64/128/30": (64, 128, 10, 3, 6.6e3, 7.4e3, 34e3),
    "128/128/40": (128, 128, 10, 4, None, 1.15e3, 4.5e3),
    "512/256/30": (512, 256, 10, 3, None, 64.0, 480.0),
}


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--preset", default="wavenet/compact", help="compared way by way, with random weights")
    options.add_argument("--samples", type=int, default=16000, help="made by each compiled way")
    options.add_argument("--plain-samples", type=int, default=24, help="made the plain way, after a full past")
    options.add_argument("--table", action=BooleanOptionalAction, default=True, help="the specification's networks")
    chosen = options.parse_args()
    environment = start(chosen)
    try:
        config = validate(WavenetConfig, load_preset(chosen.preset).get("model", {}), "model")
    except MoksoriError as error:
        sys.exit(f"{error}")
    backends = [name for name in available_backends() if name != "numpy"]
    if not backends:
        sys.exit("no compiled back end: pip install 'moksori[fast]', or install a C++ compiler and ninja")
    torch.manual_seed(0)
    model = Wavenet(config).eval()
    figures = {"preset": chosen.preset, "ways": ways(model.network, backends, config.sample_rate, chosen)}
    if model.conditioner is not None:
        figures["vocoder"] = vocoder(model, config.sample_rate, chosen)
    if chosen.table:
        figures["table"] = [row(name, backends, chosen.rounds) for name in TABLE]
    finish("wavenet_sampling", chosen, environment, figures)


def ways(network: WaveNet, backends: list[str], sample_rate: int, options: Namespace) -> dict[str, Any]:
    """Every way of making samples, each for as many as it makes in a second or so; exits where they differ."""
    with torch.inference_mode():
        weights = step_weights(network)
        projection = network.stack.condition.projection
        condition = None if projection is None else torch.randn(1, projection.in_channels, 1)  # type: ignore[union-attr]
        conditions = replace(network.conditions(condition), repeats=1)  # one frame for all samples
    steered = step_condition(conditions, weights.layers)
    uniforms = draw_uniforms(weights, 1, options.samples, torch.Generator().manual_seed(0))
    streams = draw_uniforms(weights, LANES, options.samples // 4, torch.Generator().manual_seed(1))
    long = draw_uniforms(weights, 1, 8 * options.samples, torch.Generator().manual_seed(3))
    field, plain = weights.receptive_field, options.plain_samples
    past = sample(weights, draw_uniforms(weights, 1, field + plain, torch.Generator().manual_seed(2)), steered)
    heard = torch.from_numpy(past)
    eager = max(options.samples // 40, 50)

    @torch.inference_mode()
    def recomputed() -> np.ndarray:
        said = [network.teacher_forced(heard[:, t : t + field + 1], conditions, field) for t in range(plain)]
        return torch.cat(said, dim=2).transpose(1, 2).numpy()

    @torch.inference_mode()
    def queued(uniforms: np.ndarray, count: int) -> np.ndarray:
        queue = EagerQueue(network, len(uniforms))
        return sample_eager(network, torch.from_numpy(uniforms[:, :count]), conditions, queue=queue).numpy()

    makers: dict[str, tuple[int, Callable[[], np.ndarray]]] = {
        "recomputed": (plain, recomputed),
        "queue in torch": (eager, lambda: queued(uniforms, eager)),
        f"queue in torch, {LANES} streams": (LANES * (eager // 4), lambda: queued(streams, eager // 4)),
    }
    for backend in backends:
        for key, values in ((backend, uniforms), (f"{backend}, {LANES} streams", streams)):
            makers[key] = (
                values.shape[0] * values.shape[1],
                lambda v=values, b=backend: sample(weights, v, steered, backend=b),
            )
        makers[f"{backend}, folded"] = (
            long.shape[1],
            lambda b=backend: sample_folded(weights, long, _as_float, steered, backend=b),
        )
    check(weights, steered, past, makers, backends, eager)
    timings = best_of({key: make for key, (_, make) in makers.items()}, options.rounds)
    rates = {key: rate(count, timings[key]) for key, (count, _) in makers.items()}
    best = max((rates[name]["cpu"], name) for name in backends)[1]
    print(f"{options.preset}: {weights.size / 1e6:.3f} M weights, a receptive field of {field} samples, one core")
    for key, (count, _) in makers.items():
        found = rates[key]
        print(
            f"  {key:28} {found['cpu']:10.0f} samples a CPU second ({found['wall']:.0f} a second of the clock, "
            f"{count} made)   {found['cpu'] / sample_rate:7.3f} of real time"
        )
    fast = rates[best]["cpu"]
    ratios = {name: fast / rates[name]["cpu"] for name in ("recomputed", "queue in torch")}
    ratios["eager queue over recomputed"] = rates["queue in torch"]["cpu"] / rates["recomputed"]["cpu"]
    print(f"  {best}: {ratios['recomputed']:.0f} times recomputing, {ratios['queue in torch']:.1f} times the queue")
    return {
        "receptive_field": field, "weights": weights.size, "timings": timings, "samples_per_second": rates,
        "best": best, "times_as_fast_as": ratios, "made": {key: count for key, (count, _) in makers.items()},
    }  # fmt: skip


def check(
    weights: StepWeights,
    steered: StepCondition | None,
    past: np.ndarray,
    makers: dict[str, tuple[int, Callable[[], np.ndarray]]],
    backends: list[str],
    eager: int,
) -> None:
    """Whether all ways are the same function: outputs within TOLERANCE of recomputing, equal samples."""
    truth = makers["recomputed"][1]()
    same = np.equal if not weights.mixtures else lambda a, b: np.abs(a - b) < TOLERANCE
    made = {key: makers[key][1]() for key in ("queue in torch", *backends)}
    for backend in backends:
        said = stepwise_outputs(weights, past, steered, backend=backend)[:, weights.receptive_field :]
        error = float(np.abs(said - truth).max())
        agree = min(float(same(made[backend][:, :eager], made[way][:, :eager]).mean()) for way in made)
        print(f"{backend}: outputs within {error:.1e} of recomputing, {agree:.1%} of {eager} samples as all ways")
        if not (error <= TOLERANCE and agree == 1.0):
            sys.exit("not the same function")


def vocoder(model: Wavenet, sample_rate: int, options: Namespace) -> dict[str, Any]:
    """From mels to sound with the fastest back end: projections, sampling, decoding."""
    frames = max(2 * options.samples // model.hop_length, 1)
    mel = torch.randn(1, model.mel_config.n_mels, frames)
    timing = best_of({"vocode": lambda: model.vocode(mel, None, torch.Generator().manual_seed(0))}, options.rounds)
    found = rate(frames * model.hop_length, timing["vocode"])
    seconds = frames * model.hop_length / sample_rate
    real = {key: value / sample_rate for key, value in found.items()}
    print(
        f"mels to sound: {seconds:.2f} s in {timing['vocode'].cpu:.2f} CPU seconds ({timing['vocode'].wall:.2f} s), "
        f"{real['cpu']:.2f} times real time (clock {real['wall']:.2f}) at {sample_rate} Hz"
    )
    return {
        "seconds_of_sound": seconds, "timing": timing["vocode"], "samples_per_second": found,
        "times_real_time": real,
    }  # fmt: skip


def row(name: str, backends: list[str], rounds: int) -> dict[str, Any]:
    """One network of the table: samples per second of one stream and of 16, beside the specification's."""
    residual, skip, layers, cycles, *theirs = TABLE[name]
    torch.manual_seed(0)
    network = WaveNet(256, residual, skip, cycled_dilations(layers, cycles))
    weights = step_weights(network)
    count = max(int(WORK / weights.size), 8)
    makers, counts = {}, {}
    for backend in backends:
        for streams in (1, LANES):
            key = f"{backend}, {streams}"
            steps = count if streams == 1 else max(count // 4, 4)
            uniforms = draw_uniforms(weights, streams, steps, torch.Generator().manual_seed(0))
            state = StepState.zeros(weights, streams)  # goes on: large rings are not made anew
            makers[key] = lambda u=uniforms, s=state, b=backend: sample(weights, u, state=s, backend=b)
            counts[key] = streams * steps
    timings = best_of(makers, rounds)
    rates = {key: rate(counts[key], timings[key]) for key in makers}
    known = dict(zip(("numba, 1", "cpp, 1", f"cpp, {LANES}"), theirs, strict=True))
    print(f"R/S/L {name}: {weights.size * 4 / 1e6:.2f} MB")
    for key, found in rates.items():
        beside = "" if known.get(key) is None else f", the specification's machine {known[key]:.0f}"
        print(
            f"  {key:10} {found['cpu']:10.0f} samples a CPU second, {found['cpu'] / SAMPLE_RATE:6.2f} of 16 kHz "
            f"(clock {found['wall']:.0f}){beside}"
        )
    return {
        "network": name, "weights": weights.size, "samples_per_second": rates, "timings": timings,
        "specification": {key: value for key, value in known.items() if value is not None},
    }  # fmt: skip


def rate(samples: int, timing: Timing) -> dict[str, float]:
    """Samples per second of CPU time, and of the clock."""
    return {"cpu": samples / timing.cpu, "wall": samples / timing.wall}


def _as_float(codes: np.ndarray) -> np.ndarray:
    return codes.astype(np.float32)


if __name__ == "__main__":
    main()
