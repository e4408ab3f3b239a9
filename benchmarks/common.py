"""What the benchmarks share: clocks, the least of several alternated rounds, the machine's load, results as JSON.

Times of a shared machine only go up, so the least of several rounds is the best estimate; two things that are compared
are timed in turn within one run. CPU seconds are printed beside wall seconds: where the two differ, something else ran.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # idle threads must not take a core from what is measured

RESULTS = Path(__file__).resolve().parent / "results"
BUSY = 0.5
"""Load per core, before anything starts, beyond which wall seconds cannot be trusted."""


@dataclass(frozen=True)
class Timing:
    """The least of several rounds, in seconds; `cpu` counts all threads, and finished child processes."""

    wall: float
    cpu: float
    rounds: int


def best_of(functions: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 1) -> dict[str, Timing]:
    """Times each function `rounds` times, one after the other in turn, after `warm_up` calls that do not count."""
    for function in functions.values():
        for _ in range(warm_up):
            function()
    wall = {name: float("inf") for name in functions}
    cpu = dict(wall)
    for _ in range(rounds):
        for name, function in functions.items():
            wall_start, cpu_start = time.perf_counter(), cpu_seconds()
            function()
            cpu[name] = min(cpu[name], cpu_seconds() - cpu_start)
            wall[name] = min(wall[name], time.perf_counter() - wall_start)
    return {name: Timing(wall[name], cpu[name], rounds) for name in functions}


def cpu_seconds() -> float:
    """CPU seconds of this process, all threads, and of the child processes that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def parser(question: str) -> argparse.ArgumentParser:
    """Arguments that every benchmark takes."""
    options = argparse.ArgumentParser(description=question)
    options.add_argument("--threads", type=int, default=1, help="of torch and of the judges (default 1)")
    options.add_argument("--rounds", type=int, default=5, help="the least of so many is reported (default %(default)s)")
    options.add_argument(
        "--json", nargs="?", type=Path, const=RESULTS, metavar="PATH", help="write the figures, by default to results/"
    )
    options.add_argument("--strict", action="store_true", help="stop where other work loads the machine")
    return options


def start(options: argparse.Namespace) -> dict[str, Any]:
    """Sets the threads, looks at the load, and returns what belongs beside every figure: machine, threads, load."""
    import torch

    torch.set_num_threads(options.threads)
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > BUSY * cores:
        message = f"the load is {load:.1f} on {cores} cores: other work runs, wall seconds are too high"
        if options.strict:
            sys.exit(f"{message}; wait, or leave out --strict")
        print(f"warning: {message}; trust CPU seconds and ratios", file=sys.stderr)
    here = {
        "processor": _processor(),
        "cores": cores,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": options.threads,
        "load_before": round(load, 2),
    }
    print(f"{here['processor']}, {cores} cores, load {load:.1f}; torch {torch.__version__}, threads {options.threads}")
    return here


def finish(name: str, options: argparse.Namespace, environment: Mapping[str, Any], figures: Any) -> None:
    """Writes the figures where --json asks for them: whole, or not at all."""
    if options.json is None:
        return
    path = options.json / f"{name}.json" if options.json.suffix == "" else options.json
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "benchmark": name,
        "command": " ".join(["python", f"benchmarks/{name}.py", *sys.argv[1:]]),
        "environment": {**environment, "load_after": round(os.getloadavg()[0], 2)},
        "figures": figures,
    }
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=_plain) + "\n", encoding="utf-8")
    partial.replace(path)
    print(f"wrote {path}")


def _plain(value: Any) -> Any:
    if isinstance(value, Timing):
        return {key: round(item, 6) for key, item in asdict(value).items()}
    return float(value)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
