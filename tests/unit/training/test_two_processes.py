"""Two processes on the loopback: each its own batches, gradients averaged, equal weights, one log."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

CHILD = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
torch.set_num_threads(1)
from conftest import LineBatches, LineObjective
from lightning.fabric import Fabric
from moksori.training import loop
from moksori.training.config import TrainingConfig

folder, rank = Path(sys.argv[2]), int(sys.argv[3])
fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
loop._fabric = lambda config: fabric
average, local = loop._gradients, []

def recorded(optimizer, settings, fabric):
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    before = [p.grad.clone() for p in parameters]
    norm = average(optimizer, settings, fabric)
    local.append((before, [p.grad.clone() for p in parameters]))
    return norm

loop._gradients = recorded
settings = TrainingConfig(
    max_steps=4, precision="fp32", device="cpu", log_every=1, save_every=2, speak_every=0,
    optimizers={"model": {"learning_rate": 0.05}, "critic": {}},
)
objective, batches = LineObjective(), LineBatches()
loop.fit(objective, batches, [], settings, folder / "run")
torch.save((objective.state_dict(), local, batches.asked), folder / f"rank{rank}.pt")
"""


@pytest.mark.slow
def test_gradients_are_averaged_over_processes(tmp_path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = os.environ | {
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank), "NODE_RANK": "0",
            "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path), str(rank)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    results = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)]
    (first, local_first, asked_first), (second, local_second, asked_second) = results
    assert asked_first[8:] == [0, 2, 4, 6]  # after the eight of the initialisation
    assert asked_second[8:] == [1, 3, 5, 7]
    for name in first:
        assert torch.equal(first[name], second[name]), name
    for (mine, mean), (theirs, _) in zip(local_first, local_second, strict=True):
        for a, b, c in zip(mine, theirs, mean, strict=True):
            assert not torch.equal(a, b)
            torch.testing.assert_close(c, (a + b) / 2)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    saved = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert saved == ["step-00000002", "step-00000004"]
