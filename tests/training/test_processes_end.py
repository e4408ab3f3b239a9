"""The command with two processes, killed and told to end: nothing goes on without the first, and the run resumes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from moksori.corpus.synthetic import write_synthetic

SETTINGS = (
    "objective.alignment=search", "objective.window_frames=null", "model.prior={kind: token}", "training.batch_size=2",
    "training.log_every=1", "training.save_every=1", "training.validate_every=100000", "training.speak_every=0",
    "training.device=cpu",
)  # fmt: skip
PROC = Path("/proc/self/task")


def started(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "moksori.cli.main", "train", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(happened: Callable[[], bool], process: subprocess.Popen | None = None, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        if process is not None and process.poll() is not None:
            pytest.fail(f"ended with {process.returncode}: {process.communicate()[1]}")
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


def steps(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def beside(process: subprocess.Popen) -> list[int]:
    """The processes that a command has started."""
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
@pytest.mark.skipif(not (PROC / str(os.getpid()) / "children").exists(), reason="needs the children in /proc")
def test_killed_resumed_and_told_to_end(tmp_path) -> None:
    corpus = write_synthetic(tmp_path / "tones", count=6, seed=5).corpus.folder
    run = tmp_path / "run"
    begun = started("vits/tiny", *SETTINGS, "--corpus", str(corpus), "--run", str(run), "--processes", "2",
                    "--max-steps", "100000")  # fmt: skip
    until(lambda: steps(run) >= 2, begun)
    others = beside(begun)
    assert len(others) >= 2  # the other process, and what multiprocessing keeps beside it
    begun.kill()
    begun.communicate()
    until(lambda: gone(others), seconds=30.0)
    assert json.loads((run / "run.json").read_text())["processes"] == 2

    before = max(int(path.name.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*"))
    resumed = started("--resume", "--run", str(run))
    until(lambda: steps(run) > before + 1, resumed)
    others = beside(resumed)
    assert len(others) >= 2  # as many processes as before, without being told
    resumed.send_signal(signal.SIGTERM)
    _, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 143
    assert "told to end (SIGTERM): go on from the newest checkpoint with --resume" in errors
    assert "Traceback" not in errors
    until(lambda: gone(others), seconds=10.0)

    last = started("--resume", "--run", str(run), "--processes", "3", "--max-steps", "100000")
    _, errors = last.communicate(timeout=240)
    assert last.returncode == 2
    assert "3 processes cannot share batches of 2 clips: take 2 processes or fewer" in errors
