"""Processes that train together: started by the first of them, joined through Lightning Fabric, and ended with it.

The first process is the one that was called. It has the data, the logs and the checkpoints, and sends every other one
its share of each batch through a pipe; what they compute is added up over the loopback interface (gloo), or over NCCL
where each has a GPU. A process that loses the first one ends by itself, whatever ended the first.
"""

import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from moksori.errors import ConfigError, MoksoriError
from moksori.models.contract import Objective
from moksori.training.config import TrainingConfig
from moksori.training.team import Team, make_fabric, on_gpu

logger = logging.getLogger(__name__)

PATIENCE = timedelta(hours=1)
"""How long a process waits for another one: longer than any validation or export takes."""
LAST_WORDS_SECONDS = 5.0
"""How long the first process waits for one that has gone to tell why."""


class ProcessEnded(MoksoriError):
    """One of several processes that train together has failed; the message tells which, and why."""


class Terminated(MoksoriError):
    """The run was told to end."""

    exit_code = 143


@dataclass(frozen=True)
class Crew:
    """How many processes share each batch, and how all but the first make their objective.

    build: can be pickled (a function of a module, or a `partial` of one), since it is called in a fresh process. Its
    weights do not matter: they come from the first process.
    """

    processes: int
    build: Callable[[], Objective]

    def check(self, batch_size: int) -> None:
        """Raises ConfigError for a number of processes that cannot share a batch."""
        if self.processes < 1:
            raise ConfigError(f"processes {self.processes}: expected 1 or more")
        if self.processes > batch_size:
            raise ConfigError(
                f"{self.processes} processes cannot share batches of {batch_size} clips: take {batch_size} processes "
                "or fewer, or a larger training.batch_size"
            )


Follow = Callable[[Objective, TrainingConfig, Team], None]
"""What the processes beside the first do once they have joined."""


@contextmanager
def assembled(config: TrainingConfig, crew: Crew | None, follow: Follow) -> Iterator[Team]:
    """The team of a run: this process alone, one of those that torchrun has started, or the first of a crew.

    A crew is ended with the block. Raises ConfigError for a crew that cannot be, ProcessEnded where one of it fails,
    Terminated for a SIGTERM.
    """
    if crew is None or crew.processes == 1:
        yield Team(make_fabric(config))
        return
    crew.check(config.batch_size)
    threads, cores = torch.get_num_threads(), _cores()
    if crew.processes > cores:
        logger.warning("%d processes on %d cores get in each other's way: take fewer", crew.processes, cores)
    own_threads = min(threads, max(1, cores // crew.processes))
    with ExitStack() as stack:
        stack.enter_context(_terminated_in_order())
        last = stack.enter_context(ExitStack())  # what is done when the others are gone
        others = stack.enter_context(_started(crew, config, follow, own_threads))
        torch.set_num_threads(own_threads)
        stack.callback(torch.set_num_threads, threads)
        stack.callback(_leave)
        with _blaming(others):
            fabric = _meet(config, others, last)
            yield Team(fabric, [other.link for other in others], threads=threads)
        for other in others:
            other.process.join(LAST_WORDS_SECONDS)


def _meet(config: TrainingConfig, others: Sequence["_Other"], last: ExitStack) -> Any:
    """Waits until the other processes are ready, and joins them: at a file, in a folder that is gone afterwards."""
    for other in others:
        other.await_word()
    folder = Path(tempfile.mkdtemp(prefix="moksori-"))
    last.callback(shutil.rmtree, folder, ignore_errors=True)
    for other in others:
        other.link.send(folder)
    fabric = make_fabric(config, _join(config, 0, len(others) + 1, folder))
    shutil.rmtree(folder, ignore_errors=True)  # all have met
    return fabric


@dataclass(frozen=True)
class _Other:
    """A process beside the first, seen from there."""

    process: multiprocessing.process.BaseProcess
    link: Connection
    name: str

    def await_word(self) -> None:
        """Waits until it is ready to join; raises ProcessEnded if it never will be."""
        wait([self.link, self.process.sentinel])
        with suppress(EOFError, OSError):
            if self.link.poll():
                word = self.link.recv()
                if word is None:
                    return
                raise ProcessEnded(f"{self.name} could not start: {word}")
        raise self.lost()

    def lost(self) -> ProcessEnded:
        """Why it has gone, by its own last word or its exit code."""
        self.process.join(LAST_WORDS_SECONDS)
        word = None
        with suppress(EOFError, OSError):
            while word is None and self.link.poll():
                word = self.link.recv()
        code = self.process.exitcode
        if word is None:
            word = f"it was killed by signal {-code}" if code is not None and code < 0 else f"it ended with code {code}"
        return ProcessEnded(f"{self.name} failed: {word}; go on from the newest checkpoint with --resume")


@contextmanager
def _started(crew: Crew, config: TrainingConfig, follow: Follow, threads: int) -> Iterator[list[_Other]]:
    """The processes beside this one, from start to end: none of them outlives the block."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads as locks that nobody opens
    others: list[_Other] = []
    try:
        for rank in range(1, crew.processes):
            mine, theirs = context.Pipe()
            seat = _Seat(rank, crew.processes, threads, logging.getLogger().getEffectiveLevel())
            process = context.Process(
                target=_work, args=(seat, theirs, crew, follow, config), name=f"moksori-{rank + 1}", daemon=True
            )
            with _uninterrupted():
                process.start()
            theirs.close()
            others.append(_Other(process, mine, f"process {rank + 1} of {crew.processes}"))
        yield others
    finally:
        for other in others:
            if other.process.is_alive():
                other.process.terminate()
        for other in others:
            other.process.join(LAST_WORDS_SECONDS)
            if other.process.is_alive():
                other.process.kill()
                other.process.join()
            other.link.close()


@contextmanager
def _blaming(others: Sequence[_Other]) -> Iterator[None]:
    """Turns the noise of a lost connection into the reason why it was lost."""
    try:
        yield
    except (OSError, EOFError, RuntimeError) as error:
        gone = wait([other.process.sentinel for other in others], LAST_WORDS_SECONDS) if _is_of_a_link(error) else []
        failed = [other for other in others if other.process.sentinel in gone]
        if not failed:
            raise
        raise failed[0].lost() from error


def _is_of_a_link(error: Exception) -> bool:
    known = (ConnectionError, EOFError, torch.distributed.DistError)
    return isinstance(error, known) or "gloo" in str(error) or "Connection closed" in str(error)


@dataclass(frozen=True)
class _Seat:
    """The place of a process beside the first."""

    rank: int
    world: int
    threads: int
    log_level: int


def _work(seat: _Seat, link: Connection, crew: Crew, follow: Follow, config: TrainingConfig) -> None:
    """The whole life of a process beside the first; its last word, if any, is the reason why it failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    logging.basicConfig(level=seat.log_level, format=f"moksori (process {seat.rank + 1}): %(message)s")
    try:
        torch.set_num_threads(seat.threads)
        objective = crew.build()
        link.send(None)
        fabric = make_fabric(config, _join(config, seat.rank, seat.world, folder=link.recv()))
        follow(objective, config, Team(fabric, feed=link))
    except BaseException as error:
        with suppress(OSError):
            link.send(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        sys.stderr.flush()
        os._exit(1)  # at once, so that nobody waits for this process
    _leave()


def _join(config: TrainingConfig, rank: int, world: int, folder: Path) -> Any:
    """Meets the other processes at a file in `folder`; returns the Fabric strategy of this one."""
    from lightning.fabric.plugins.environments import ClusterEnvironment
    from lightning.fabric.strategies import DDPStrategy

    class Local(ClusterEnvironment):
        """Processes of this machine that are already there."""

        @property
        def creates_processes_externally(self) -> bool:
            return True

        @property
        def main_address(self) -> str:
            return "127.0.0.1"

        @property
        def main_port(self) -> int:
            return 0  # not used: the processes have met

        @staticmethod
        def detect() -> bool:
            return False

        def world_size(self) -> int:
            return world

        def set_world_size(self, size: int) -> None:
            pass

        def global_rank(self) -> int:
            return rank

        def set_global_rank(self, rank: int) -> None:
            pass

        def local_rank(self) -> int:
            return rank

        def node_rank(self) -> int:
            return 0

    cuda = on_gpu(config)
    if cuda and torch.cuda.device_count() < world:
        raise ConfigError(
            f"{world} processes need a GPU each, and here are {torch.cuda.device_count()}: take fewer processes, or "
            "training.device=cpu"
        )
    backend = "nccl" if cuda else "gloo"
    if cuda:
        torch.cuda.set_device(rank)
    with _on_loopback():
        store = torch.distributed.FileStore(str(folder / "meeting"), world)
        torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)
        torch.distributed.barrier()
    return DDPStrategy(cluster_environment=Local(), process_group_backend=backend, timeout=PATIENCE)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Lets gloo use the loopback interface alone: no other machine takes part, and none should reach a port of it."""
    loopback: Mapping[str, str] = {"linux": "lo", "darwin": "lo0"}
    name = "GLOO_SOCKET_IFNAME"
    if name in os.environ or sys.platform not in loopback:
        yield
        return
    os.environ[name] = loopback[sys.platform]
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Inside, Ctrl-C is ignored; a process that is started here ignores it from its first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Inside, a SIGTERM raises Terminated, so that the other processes are ended; a handler of the caller's stays."""

    def end(number: int, frame: Any) -> None:
        raise Terminated("told to end (SIGTERM): go on from the newest checkpoint with --resume")

    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
