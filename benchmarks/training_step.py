"""What does each idea in the training of `vits/compact` cost or save: steps per second and CPU seconds a step?

Every setting is one or more overrides of the preset, and runs in a process of its own through the real training loop
(forward, losses, backward, optimiser, moving average) on the same made-up clips in memory: noise of 1 to 6 seconds, 3
on average, with tokens, durations and pitch like those of read English. Where a setting has several processes, they
share each batch as with `moksori train --processes`, and CPU seconds are those of all of them. The first steps are
thrown away, since first use of memory and code is slow; then a cycle of equal batches is repeated and the least cycle
counts, over several rounds of all settings. Settings are compared with the base they change.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import finish, parser, start

CYCLE = 2
"""Different batches that are repeated."""
GAN = ("objective.adversarial_start=0",)


@dataclass(frozen=True)
class Setting:
    """Overrides of a preset; `base` names the setting that it is compared with."""

    base: str
    overrides: tuple[str, ...] = ()
    threads: int | None = None
    """None: as many as --threads says. Several processes share them."""
    processes: int = 1
    precision: str = "auto"
    batch_size: int = 16
    plain: bool = False
    """The same networks and losses as `plain_vits` writes them, in a plain loop."""


SETTINGS: dict[str, Setting] = {
    "compact": Setting("compact"),
    "fp32": Setting("compact", precision="fp32"),
    "whole utterances": Setting("compact", ("objective.window_frames=null",)),
    "search in the step": Setting(
        "whole utterances", ("objective.window_frames=null", "objective.alignment=search", "model.prior={kind: token}")
    ),
    "two renderings": Setting("compact", ("objective.energy_repulsion=1",)),
    "istft decoder": Setting("compact", ("model.decoder={kind: istft}",)),
    "hifigan decoder": Setting("compact", ("model.decoder={kind: hifigan}",)),
    "slice 24": Setting("compact", ("objective.slice_frames=24",)),
    "slice 64": Setting("compact", ("objective.slice_frames=64",)),
    "batch 8": Setting("compact", batch_size=8),
    "batch 32": Setting("compact", batch_size=32),
    "two threads": Setting("compact", threads=2),
    "decoder only": Setting("compact", ("objective.trained_parts=[decoder]",)),
    "discriminators": Setting("compact", GAN),
    "discriminators, fp32": Setting("discriminators", GAN, precision="fp32"),
    "discriminators, conv2d": Setting("discriminators", (*GAN, "objective.discriminators.period_conv1d=false")),
    "discriminators, full width": Setting(
        "discriminators", (*GAN, "objective.discriminators.period_channels=[32, 128, 512, 1024, 1024]")
    ),
    "discriminators, 2 periods": Setting("discriminators", (*GAN, "objective.discriminators.periods=[2, 5]")),
    "discriminators, slice 24": Setting("discriminators", (*GAN, "objective.slice_frames=24")),
    "discriminators, two threads": Setting("discriminators", GAN, threads=2),
    "discriminators, two processes": Setting("discriminators", GAN, threads=2, processes=2),
    "discriminators, plain": Setting("discriminators", GAN, precision="fp32", plain=True),
    "discriminators, plain, two threads": Setting(
        "discriminators, two threads", GAN, threads=2, precision="fp32", plain=True
    ),
    "discriminators, decoder only": Setting("discriminators", (*GAN, "objective.trained_parts=[decoder]")),
    "discriminators, decoder only, two threads": Setting(
        "discriminators", (*GAN, "objective.trained_parts=[decoder]"), threads=2
    ),
    "discriminators, decoder only, two processes": Setting(
        "discriminators", (*GAN, "objective.trained_parts=[decoder]"), threads=2, processes=2
    ),
}


def main() -> None:
    options = parser(__doc__ or "")
    options.set_defaults(rounds=2)
    options.add_argument("--preset", default="vits/compact")
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    options.add_argument("--steps", type=int, default=8, help="measured steps a setting (default 8)")
    options.add_argument("--warm-up", type=int, default=4, help="steps before them (default 4)")
    options.add_argument("--only", action="append", help="measure only this setting (and its base); repeat it")
    options.add_argument("--worker", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.worker:
        print(json.dumps(measure(SETTINGS[chosen.worker], chosen)))
        return
    unknown = [name for name in chosen.only or () if name not in SETTINGS]
    if unknown:
        sys.exit(f"no setting {unknown[0]!r}; there are: {', '.join(SETTINGS)}")
    wanted = {name for only in chosen.only or SETTINGS for name in (only, SETTINGS[only].base)}
    names = [name for name in SETTINGS if name in wanted]
    environment = start(chosen)
    if chosen.device != "cpu":
        names = [name for name in names if SETTINGS[name].threads is None and not SETTINGS[name].plain]
    cycles = f"{chosen.rounds} x {chosen.steps // CYCLE} cycles of {CYCLE} steps"
    print(f"{chosen.preset} on {chosen.device}: the least of {cycles}")
    titles = f"{'setting':44} {'batch':>5} {'steps/s':>8} {'wall s':>7} {'CPU s':>7}"
    print(f"{titles} {'CPU ms a clip':>13}   compared with")
    found: dict[str, dict[str, Any]] = {}
    for _ in range(chosen.rounds):
        for name in names:
            again = run_worker(name, chosen)
            if name in found:  # other work comes and goes: settings are measured in turn, and the least counts
                again |= {clock: min(again[clock], found[name][clock]) for clock in ("wall", "cpu")}
            found[name] = again
    for name in names:
        report(name, found)
    finish("training_step", chosen, environment, found)


def report(name: str, found: dict[str, dict[str, Any]]) -> None:
    """One line; on an accelerator the CPU does not do the work, so wall seconds are compared."""
    setting, own = SETTINGS[name], found[name]
    line = (
        f"{name:44} {setting.batch_size:5} {1 / own['wall']:8.2f} {own['wall']:7.3f} {own['cpu']:7.3f} "
        f"{1e3 * own['cpu'] / setting.batch_size:13.1f}"
    )
    base = found.get(setting.base)
    if base is not None and setting.base != name:
        clock = "cpu" if own["device"] == "cpu" and setting.threads is None else "wall"
        # Different batch sizes are compared by clip.
        ratio = (own[clock] / setting.batch_size) / (base[clock] / SETTINGS[setting.base].batch_size)
        own["ratio"] = round(ratio, 3)
        line += f"   {ratio:.2f} x {setting.base} ({clock.replace('cpu', 'CPU')})"
    print(line, flush=True)


def run_worker(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Measures one setting in a fresh process."""
    command = [sys.executable, __file__, "--worker", name, "--preset", chosen.preset, "--device", chosen.device]
    command += ["--steps", str(chosen.steps), "--warm-up", str(chosen.warm_up), "--threads", str(chosen.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name}: failed\n{done.stderr[-2000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


def measure(setting: Setting, chosen: argparse.Namespace) -> dict[str, Any]:
    """Seconds a step of one setting, by the training loop itself."""
    import torch

    from moksori.corpus.collate import collate
    from moksori.pipeline.run_config import run_config
    from moksori.training.loop import Progress, Watcher, fit
    from moksori.training.processes import Crew

    torch.set_num_threads(setting.threads or chosen.threads)
    steps = chosen.warm_up + chosen.steps
    overrides = [
        *setting.overrides,
        f"training.batch_size={setting.batch_size}",
        f"training.precision={setting.precision}",
        f"training.device={chosen.device}",
        f"training.max_steps={steps}",
        *("training.max_minutes=null", "training.speak_every=0", "training.save_every=1000000"),
    ]
    config = run_config(chosen.preset, overrides)
    needs = config.family.needs(config.model, config.objective)
    objective = build(chosen.preset, overrides)
    examples = made_up(CYCLE * setting.batch_size, needs.sample_rate, needs.hop_length, len(config.model.text.symbols))
    batches = [collate(examples[i * setting.batch_size : (i + 1) * setting.batch_size], needs) for i in range(CYCLE)]

    class Repeated:
        def batch(self, step: int) -> Any:
            return batches[step % CYCLE]

    clocks: list[tuple[float, float]] = []

    def tick(progress: Progress | None = None) -> None:
        if chosen.device != "cpu":
            torch.cuda.synchronize()
        clocks.append((time.perf_counter(), cpu_seconds()))

    different: dict[str, float] = {}
    if setting.plain:
        from plain_vits import differences, plain, train

        written_plainly = plain(objective)
        different = differences(objective, written_plainly, batches[0])
        train(written_plainly, batches, steps, tick)
    else:
        with tempfile.TemporaryDirectory() as folder:
            watcher, crew = Watcher(on_step=tick), Crew(setting.processes, partial(build, chosen.preset, overrides))
            fit(objective, Repeated(), [], config.training, Path(folder), watcher, resume=False, crew=crew)
    marks = clocks[chosen.warm_up - 1 :: CYCLE]
    cycles = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks)]
    return {
        "wall": min(wall for wall, _ in cycles) / CYCLE,
        "cpu": min(cpu for _, cpu in cycles) / CYCLE,
        "threads": setting.threads or chosen.threads,
        "processes": setting.processes,
        "device": chosen.device,
        "overrides": list(setting.overrides),
        "precision": setting.precision,
        "batch_size": setting.batch_size,
        "largest_difference_of_a_loss": max(different.values(), default=None),
        "frames": [batch.waveform.shape[1] // needs.hop_length for batch in batches],
        "generator_parameters": sum(p.numel() for p in objective.model.parameters()),
        "parameters": sum(p.numel() for p in objective.parameters()),
    }


def build(preset: str, overrides: list[str]) -> Any:
    """The objective with its first weights, in this process or in one beside it."""
    import torch

    from moksori.pipeline.run_config import run_config

    config = run_config(preset, overrides)
    torch.manual_seed(0)
    return config.family.objective(config.family.model(config.model), config.objective)


def cpu_seconds() -> float:
    """Of this process and of those that train with it, where the system tells (Linux)."""
    seconds = time.process_time()
    for child in multiprocessing.active_children():
        status = Path(f"/proc/{child.pid}/stat")
        if status.is_file():
            fields = status.read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def made_up(count: int, sample_rate: int, hop: int, symbols: int) -> list[Any]:
    """Clips of noise: 1 to 6 s, about 3 on average, 6 frames a token; in the order of length, as batches have them."""
    import numpy as np

    from moksori.types import Example, Utterance

    draw = np.random.default_rng(0)
    seconds = np.clip(draw.lognormal(np.log(2.8), 0.35, count), 1.0, 6.0)
    examples = []
    for index, length in enumerate(seconds):
        tokens = int(length * sample_rate / hop / 6)
        durations = draw.integers(3, 10, tokens)
        frames = int(durations.sum())
        pitch = np.where(draw.random(frames) < 0.6, draw.uniform(120.0, 260.0, frames), 0.0)
        waveform = 0.1 * draw.standard_normal(frames * hop)
        name = f"noise_{index}"
        utterance = Utterance(name, "", "noise", "en-us", Path(f"{name}.flac"), 0.0, float(length), sample_rate)
        examples.append(
            Example(
                utterance,
                waveform.astype(np.float32),
                tokens=draw.integers(1, symbols, tokens),
                stress=draw.integers(0, 3, tokens),
                durations=durations,
                f0=pitch.astype(np.float32),
            )
        )
    # Batches of the loop hold clips of like length: whole utterances must not pay for padding that they would not see.
    return sorted(examples, key=lambda example: len(example.waveform))


if __name__ == "__main__":
    main()
