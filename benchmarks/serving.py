"""How soon and how much does the server answer 1, 8 and 32 clients at a time, and does its memory stay as it is?

A `moksori serve` of its own on the loopback. Each client asks for one sentence after the other, each with another seed,
and reads the answer to its end. Told for each number of clients: requests and seconds of sound a second, the time from
asking to the first sound (p50, p95, p99), the time to the last, and answers that were no sound. Sound begins with the
silence before a sentence, so first sound is counted from the first sample that is not 0. On a busy machine these times
say little; the processor time that a long sentence takes until its first sound is told beside them: of clients that
leave then.
Then `--memory` requests in a row by 8 clients, and what the server's memory was on the way (Linux).
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

SENTENCES = (
    "Hello there.",
    "Turn on the light in the kitchen, please.",
    "It is five o'clock, and the rain has stopped.",
    "The people who had waited for three days ran down to the water with lamps and ropes.",
)
RATE = 24_000


@dataclass
class Answers:
    """What came of requests; times in seconds."""

    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    sound: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)


async def ask(client: httpx.AsyncClient, number: int, answers: Answers, short: bool) -> None:
    """One request, read to its end."""
    text = SENTENCES[0] if short else SENTENCES[number % len(SENTENCES)]
    asked = {"input": text, "seed": number, "response_format": "pcm"}
    began, first, count = time.perf_counter(), 0.0, 0
    try:
        async with client.stream("POST", "/v1/audio/speech", json=asked) as answer:
            if answer.status_code != 200:
                raise RuntimeError(f"status {answer.status_code}")
            async for data in answer.aiter_raw():
                if not first and any(data):
                    first = time.perf_counter() - began
                count += len(data)
    except (httpx.HTTPError, RuntimeError) as error:
        name = str(error) if isinstance(error, RuntimeError) else type(error).__name__
        answers.errors[name] = answers.errors.get(name, 0) + 1
        return
    answers.first.append(first)
    answers.last.append(time.perf_counter() - began)
    answers.sound += count / 2 / RATE


async def load(address: str, clients: int, requests: int, short: bool = False, first: int = 0) -> tuple[Answers, float]:
    """So many requests by so many clients; and the seconds that they took together."""
    answers, numbers = Answers(), iter(range(first, first + requests))
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:

        async def work() -> None:
            for number in numbers:
                await ask(client, number, answers, short)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(clients)))
    return answers, time.perf_counter() - began


async def leave_early(address: str, requests: int) -> None:
    """Asks for a long sentence so often, and goes at its first sound."""
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        for number in range(requests):
            asked = {"input": SENTENCES[-1], "seed": number, "response_format": "pcm"}
            async with client.stream("POST", "/v1/audio/speech", json=asked) as answer:
                parts = answer.aiter_raw()
                async for data in parts:
                    if any(data):
                        break


def memory_mib(process: int) -> float:
    """Resident memory of a process in MiB (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def cpu_seconds(process: int) -> float:
    """Processor time of a process (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shown(answers: Answers, seconds: float, cpu: float) -> dict[str, object]:
    """The figures of a load."""
    first = np.array(answers.first) if answers.first else np.full(1, np.nan)
    percentiles = {f"first_p{p}_ms": round(1000 * float(np.percentile(first, p))) for p in (50, 95, 99)}
    return {
        "answers": len(answers.first),
        "errors": answers.errors,
        "requests_a_second": round(len(answers.first) / seconds, 2),
        "sound_seconds_a_second": round(answers.sound / seconds, 1),
        "sound_seconds_a_cpu_second": round(answers.sound / cpu, 1),
        **percentiles,
        "last_p50_ms": round(1000 * float(np.median(answers.last or [float("nan")]))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=96, help="for each number of clients")
    parser.add_argument("--memory", type=int, default=1000, help="requests over which memory is watched; 0: none")
    parser.add_argument("--serve", nargs=argparse.REMAINDER, default=[], help="options of moksori serve; last")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "moksori.cli.main", "serve", "--port", "0", "--voices", folder, *given.serve]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert server.stderr is not None
            found = re.search(r"http://\S+:\d+", line := server.stderr.readline())
            if found is None:
                sys.exit(line)
            asyncio.run(load(found[0], 1, len(SENTENCES)))  # the model is loaded by now
            print(f"processors: {os.cpu_count()}, load average {os.getloadavg()[0]:.1f}")
            before = cpu_seconds(server.pid)
            asyncio.run(leave_early(found[0], given.requests))
            spent = 1000 * (cpu_seconds(server.pid) - before) / given.requests
            print(f"until the first sound of a long sentence: {spent:.0f} ms of processor time", flush=True)
            for clients in given.clients:
                before = cpu_seconds(server.pid)
                answers, seconds = asyncio.run(load(found[0], clients, max(given.requests, clients)))
                told = shown(answers, seconds, cpu_seconds(server.pid) - before)
                print(json.dumps({"clients": clients, **told}), flush=True)
            if given.memory:
                watch(found[0], server.pid, given.memory)
        finally:
            server.terminate()
            server.wait(60)


def watch(address: str, process: int, requests: int) -> None:
    """Memory on the way through so many short requests."""
    print(f"memory before: {memory_mib(process):.0f} MiB")
    step = max(requests // 10, 1)
    for done in range(0, requests, step):
        answers, _ = asyncio.run(load(address, 8, step, short=True, first=done))
        print(f"after {done + step}: {memory_mib(process):.0f} MiB, errors {answers.errors}", flush=True)


if __name__ == "__main__":
    main()
