"""The plain loop that Flowtron's is timed against is still the same function, with all that a preset can have."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_plain_loop_makes_the_same_frames():
    # The tiny preset has every switch of the compact one: text mean, pitch, limits. The script stops beyond 1e-4.
    command = [sys.executable, str(ROOT / "benchmarks" / "flowtron_speed.py"), "--preset", "flowtron/tiny"]
    command += ["--tokens", "12", "--frames", "40", "--batch", "2", "--rounds", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "largest difference" in done.stdout
    assert "times as fast" in done.stdout
