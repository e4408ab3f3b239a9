"""A step that is recorded once on a GPU and then replayed: some forty small kernels for the price of one launch."""

from collections.abc import Callable

import torch

_WARM_UP = 3


class Replay:
    """Calls `step`, which must work in place on memory that stays: as it is on a CPU, as a CUDA graph on a GPU.

    Recording calls `step` a few times: what it keeps from call to call has to be set back afterwards.
    """

    def __init__(self, step: Callable[[], None], device: torch.device, graph: bool = True) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        if graph and device.type == "cuda":
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    step()
            torch.cuda.current_stream(device).wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                step()

    def __call__(self) -> None:
        if self._graph is None:
            self._step()
        else:
            self._graph.replay()
