"""One process of a run and what it shares with the others, if there are any: batches, sums, and the first one's word.

Lightning Fabric chooses device and precision and adds up over the processes.
"""

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Protocol

import torch
from torch import Tensor

from moksori.errors import ConfigError, MissingExtra
from moksori.training.config import TrainingConfig
from moksori.training.shares import Share
from moksori.types import SpeechBatch


class Batches(Protocol):
    """Training data: the batch of a step, always the same for the same step."""

    def batch(self, step: int) -> SpeechBatch: ...


class Team:
    """This process among those that train together.

    links: from the first process to the others. feed: from another one to the first. threads: of torch, in the first
    process, while the others wait.
    """

    def __init__(
        self, fabric: Any, links: Sequence[Connection] = (), feed: Connection | None = None, threads: int | None = None
    ) -> None:
        self.fabric, self.links, self.feed, self.threads = fabric, links, feed, threads
        self.rank: int = fabric.global_rank
        self.world: int = fabric.world_size

    @property
    def is_first(self) -> bool:
        """Whether this process writes the logs and the checkpoints."""
        return self.rank == 0

    def share(self, batches: Batches | None, step: int) -> Share:
        """This process's part of a step's batch, on its device; the first process sends the others theirs."""
        if self.feed is not None:
            share: Share = pickle.loads(self.feed.recv_bytes())
        else:
            assert batches is not None
            batch = batches.batch(step)
            for rank, link in enumerate(self.links, start=1):
                link.send_bytes(pickle.dumps(Share.of(batch, rank, self.world), protocol=pickle.HIGHEST_PROTOCOL))
            share = Share.of(batch, self.rank, self.world)
        return share.to(self.fabric.device)

    def add_up(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes; `value` itself may be overwritten."""
        if self.world == 1:
            return value
        total: Tensor = self.fabric.all_reduce(value, reduce_op="sum")
        return total

    def first_says(self, value: Any) -> Any:
        """What the first process gives here; the others' value does not matter."""
        return value if self.world == 1 else self.fabric.broadcast(value)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, this process works while the others wait, and so takes their threads too."""
        if self.threads is None:
            yield
            return
        shared = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(shared)


def make_fabric(config: TrainingConfig, strategy: Any = None) -> Any:
    """Fabric for one process: of a crew where there is a strategy, of torchrun's where that has started it."""
    try:
        from lightning.fabric import Fabric
    except ImportError as error:
        raise MissingExtra("lightning", "train", "training") from error
    for name in ("lightning", "lightning.fabric", "lightning.pytorch"):  # the precision is in config.yaml
        logging.getLogger(name).setLevel(logging.WARNING)
    cuda = on_gpu(config)
    half = config.precision == "bf16"
    if config.precision == "auto":
        half = torch.cuda.is_bf16_supported() if cuda else native_bf16()
    kind, _, number = config.device.partition(":")
    options: dict[str, Any] = {"devices": [int(number)] if number else 1, "accelerator": kind}
    if strategy is not None:
        options = {
            "devices": torch.distributed.get_world_size(),
            "accelerator": "cuda" if cuda else "cpu",
            "strategy": strategy,
        }
    elif "TORCHELASTIC_RUN_ID" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        options |= {"devices": local, "num_nodes": int(os.environ["WORLD_SIZE"]) // local, "strategy": "ddp"}
    fabric = Fabric(precision="bf16-mixed" if half else "32-true", **options)
    fabric.launch()
    return fabric


def on_gpu(config: TrainingConfig) -> bool:
    return torch.cuda.is_available() and config.device.partition(":")[0] in ("auto", "cuda", "gpu")


def check_device(config: TrainingConfig) -> None:
    """Raises ConfigError where this machine lacks the device that the settings name."""
    kind, _, number = config.device.partition(":")
    have = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    have["gpu"] = have["cuda"] + have["mps"]  # lightning's name for either
    if kind in have and int(number or 0) >= have[kind]:
        found = f"{have['cuda']} GPUs with CUDA" if have["cuda"] else "no GPU with CUDA"
        raise ConfigError(
            f"setting training.device = {config.device!r}: {found if kind == 'cuda' else 'no such device'} here; "
            "take auto or cpu"
        )


def native_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 natively, so that autocast is faster than float32."""
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private: absent in some versions
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
