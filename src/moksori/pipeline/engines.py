"""Where the parts of a long job are worked off: in this process, or by workers of a Ray cluster (extra `[scale]`).

A job that is the same work on many items gives an engine how to make a worker and the items; what a worker makes of an
item depends on the item alone, so that every engine gives the same bytes.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch

from moksori.errors import MissingExtra, unknown_name

_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",  # on a busy machine it takes more than the usual 5 s to start
}

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Works off items in any order; results come as they are ready."""

    def run(
        self, make_worker: Callable[[], Callable[[Item], Result]], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]: ...


class LocalEngine:
    """Works in this process, one item after the other, on one thread of torch.

    On several threads sums are taken in another order, and the last bit of a sample may differ.
    """

    def run(
        self, make_worker: Callable[[], Callable[[Item], Result]], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """See Engine."""
        with _one_thread():
            worker = make_worker()
        for item in items:
            with _one_thread():
                result = worker(item)
            yield item, result


class RayEngine:
    """Works in processes of Ray Data, on the cluster that RAY_ADDRESS names, or else on one started on this machine.

    workers: processes at a time; None: as many as the cluster has processors. Files that workers read and write have to
    be at the same place on every machine. Raises MissingExtra without the package ray.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._ray, self._data = ray_modules()
        self._workers = workers

    def run(
        self, make_worker: Callable[[], Callable[[Item], Result]], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """See Engine. What is pickled goes to the workers by Ray, between processes of one user."""
        if not items:
            return
        self._start()
        rows = [{"place": place, "item": item} for place, item in enumerate(items)]
        most = self._workers or max(int(self._ray.cluster_resources().get("CPU", 1)), 1)
        data = self._data.from_items(rows, override_num_blocks=len(rows)).map(
            _RayWorker,
            fn_constructor_args=(make_worker,),
            compute=self._data.ActorPoolStrategy(min_size=1, max_size=min(most, len(items))),
        )
        for row in data.iter_rows():
            yield items[int(row["place"])], row["result"]

    def _start(self) -> None:
        if not self._ray.is_initialized():
            start_ray(self._ray)
        context = self._data.DataContext.get_current()
        context.enable_progress_bars = False
        for name in ("ray.data", "ray.data._internal.execution.streaming_executor"):
            logging.getLogger(name).setLevel(logging.ERROR)


class _RayWorker:
    """One process of the engine: makes its worker once."""

    def __init__(self, make_worker: Callable[[], Callable[[Any], Any]]) -> None:
        torch.set_num_threads(1)
        self._worker = make_worker()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"place": row["place"], "result": self._worker(row["item"])}


ENGINES: Mapping[str, Callable[[], Engine]] = {"local": LocalEngine, "ray": RayEngine}


def engine(name: str) -> Engine:
    """An engine by its name; raises UnknownName, and MissingExtra where its package is missing."""
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    return ENGINES[name]()


def ray_modules() -> tuple[Any, Any]:
    """The packages ray and ray.data; raises MissingExtra without them."""
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("ray", "scale", "the engine ray") from error
    return ray, ray.data


def start_ray(ray: Any) -> None:
    """Joins the cluster that RAY_ADDRESS names, or starts one on this machine.

    Processes of Ray listen on all addresses of the machine, on ports that they choose; Ray from 2.60 on has them take
    nothing without the user's token.
    """
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
        return
    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 * 2**20,
        _node_ip_address="127.0.0.1",
        configure_logging=False,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
