"""How fast does a voice speak, beside what a distribution installs; and where does the start of `moksori say` go?

Real-time factor = seconds of work per second of sound, from the text to the samples, for a short, a medium and a long
sentence. Ours is loaded and has spoken before, as in a book; the others are commands, so their start is in their
figure. The cold start is measured apart, in fresh processes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from common import best_of, finish, parser, start
from other_voices import installed

from moksori.audio.io import probe
from moksori.errors import MoksoriError
from moksori.pipeline.say import Speaker, load

SENTENCES = {
    "short": "Good morning, how are you?",
    "medium": "The quick brown fox jumps over the lazy dog, and then it goes home to sleep in the sun.",
    "long": (
        "When the ship came into the harbour at last, the people who had waited for three days and three nights ran "
        "down to the water with lamps and ropes, and nobody who was there ever forgot how quiet it was."
    ),
}
COMMAND = ("-m", "moksori.cli.main")
PARTS = """
import json, sys, time
marks = [time.perf_counter()]
import torch
torch.set_num_threads({threads})
marks.append(time.perf_counter())
from moksori.pipeline.say import load
marks.append(time.perf_counter())
voice = load({voice!r})
marks.append(time.perf_counter())
voice.say("Hello.", seed=1)
marks.append(time.perf_counter())
voice.say("Hello.", seed=1)
marks.append(time.perf_counter())
names = ["import torch", "import moksori's speaking", "load the voice", "first sentence", "second sentence"]
print(json.dumps(dict(zip(names, (b - a for a, b in zip(marks, marks[1:]))))))
"""


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("voice", nargs="?", help="a model's name or folder (default: the bundled voice)")
    chosen = options.parse_args()
    environment = start(chosen)
    try:
        voice = load(chosen.voice)
    except MoksoriError as error:
        sys.exit(f"{error}")
    figures = {"voice": voice.name, "speaking": speaking(voice, chosen.rounds), "cold start": cold_start(chosen)}
    finish("say_speed", chosen, environment, figures)


def speaking(voice: Speaker, rounds: int) -> dict[str, Any]:
    """Real-time factors of all voices for each sentence, timed in turn."""
    found: dict[str, Any] = {}
    others = installed()
    print(f"real-time factor (wall, CPU), least of {rounds}; ours in memory, the others as commands")
    with tempfile.TemporaryDirectory() as folder:
        for size, text in SENTENCES.items():
            names = {other.name: Path(folder) / f"{index}.wav" for index, other in enumerate(others)}
            calls: dict[str, Callable[[], Any]] = {voice.name: partial(voice.say, text, seed=1, pause=0.0)}
            calls |= {other.name: partial(other.say, text, names[other.name]) for other in others}
            times = best_of(calls, rounds, warm_up=2)
            seconds = {voice.name: voice.say(text, seed=1, pause=0.0).duration_seconds}
            seconds |= {name: probe(path).duration_seconds for name, path in names.items()}
            found[size] = {
                name: {
                    "sound_seconds": round(seconds[name], 3),
                    "rtf_wall": round(timing.wall / seconds[name], 5),
                    "rtf_cpu": round(timing.cpu / seconds[name], 5),
                }
                for name, timing in times.items()
            }
            own = found[size][voice.name]
            for name, figures in found[size].items():
                ratio = figures["rtf_cpu"] / own["rtf_cpu"]
                print(
                    f"  {size:7} {name:20} {figures['sound_seconds']:6.2f} s of sound   {figures['rtf_wall']:.4f} wall "
                    f"{figures['rtf_cpu']:.4f} CPU   {ratio:5.2f} x the CPU of {voice.name}"
                )
    return found


def cold_start(chosen: argparse.Namespace) -> dict[str, Any]:
    """A whole `moksori say` in a fresh process, and its parts in others; files are in the page cache by then."""
    named = [] if chosen.voice is None else ["--voice", chosen.voice]
    environment = {**os.environ, "OMP_NUM_THREADS": str(chosen.threads)}

    def fresh(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"python {arguments[0]}: {done.stderr.strip()[-500:]}")
        return done.stdout

    parts: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder) / "hello.wav")
        code = PARTS.format(threads=chosen.threads, voice=chosen.voice)
        calls = {
            "moksori say": lambda: fresh(*COMMAND, "say", "Hello.", "-o", output, "--seed", "1", *named),
            "moksori --help": lambda: fresh(*COMMAND, "--help"),
            "python": lambda: fresh("-c", "pass"),
            "parts": lambda: parts.append(json.loads(fresh("-c", code))),
        }
        times = best_of(calls, chosen.rounds)
    least = {name: min(part[name] for part in parts) for name in parts[0]}
    whole = times["moksori say"].wall
    print(f"cold start, least of {chosen.rounds}, wall seconds (CPU seconds)")
    for name in ("moksori say", "moksori --help", "python"):
        wall, cpu = times[name].wall, times[name].cpu
        print(f"  {name:28} {wall:6.2f} ({cpu:.2f})   {wall / whole:5.0%} of moksori say")
    for name, seconds in least.items():
        print(f"  {name:28} {seconds:6.2f}          {seconds / whole:5.0%} of moksori say")
    return {"commands": {name: times[name] for name in ("moksori say", "moksori --help", "python")}, "parts": least}


if __name__ == "__main__":
    main()
