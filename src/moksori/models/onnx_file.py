"""ONNX files of any family: a torch module traced into a graph, and the graph run with noise that is known.

Graphs draw their own noise, so that whoever runs one gives them nothing but text. To compare a graph with torch, its
random nodes become inputs, fed with the very numbers that torch drew.
"""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from moksori.errors import MissingExtra, MoksoriError
from moksori.models.checkpoint import Manifest

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

OPSET = 17
IR_VERSION = 8
"""Versions of the operators and of the file: those that onnxruntime 1.13 of 2022 reads already."""
_RANDOM = ("RandomNormalLike", "RandomUniformLike")
_PURPOSE = "writing ONNX files"


def require_onnx() -> None:
    """Raises MissingExtra where onnx or onnxruntime is not installed."""
    for package in ("onnx", "onnxruntime"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtra(package, "export", _PURPOSE) from error


def traced(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
) -> "ModelProto":
    """The graph of `module(*inputs.values())`.

    axes: the axes of inputs and outputs whose length may vary, and their names; for the lengths of `inputs` the module
    must not decide anything in Python, since only the way it took is traced. `torch.randn_like` and `torch.rand_like`
    become operators that draw anew at every run.
    Tracing, and not torch.export: that takes 30 to 60 seconds of work for the same graph, tracing takes 3.
    """
    require_onnx()
    import onnx

    file = io.BytesIO()
    with warnings.catch_warnings(), _quiet("torch.onnx"), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            file,  # type: ignore[arg-type]
            dynamo=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(named) for name, named in axes.items()},
            opset_version=OPSET,
        )
    graph = onnx.load_from_string(file.getvalue())
    graph.ir_version = IR_VERSION
    onnx.checker.check_model(graph)
    return graph


def with_noise_inputs(graph: "ModelProto", given: Sequence[str] = ()) -> tuple["ModelProto", tuple[str, ...]]:
    """A copy whose random nodes are inputs, and their names in the order in which the graph draws.

    given: outputs that become inputs too, for the nodes that go on with them; what the graph itself has found for one
    is then the output NAME_found.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    nodes, inputs = copy.graph.node, copy.graph.input
    # Without a shape: it is that of another value, known only when the graph runs.
    float_type = onnx.TypeProto(tensor_type=onnx.TypeProto.Tensor(elem_type=onnx.TensorProto.FLOAT))
    drawn = [node for node in nodes if node.op_type in _RANDOM]
    for node in drawn:
        nodes.remove(node)
        inputs.append(onnx.ValueInfoProto(name=node.output[0], type=float_type))
    for name in given:
        maker = next(node for node in nodes if name in node.output)
        maker.output[list(maker.output).index(name)] = f"{name}_found"
        next(output for output in copy.graph.output if output.name == name).name = f"{name}_found"
        inputs.append(onnx.ValueInfoProto(name=name, type=float_type))
    return copy, tuple(node.output[0] for node in drawn)


def session(graph: "ModelProto | bytes | Path", threads: int = 1) -> "InferenceSession":
    """onnxruntime with a graph, on the processor."""
    require_onnx()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    source = str(graph) if isinstance(graph, Path) else graph if isinstance(graph, bytes) else graph.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def described(manifest: Manifest) -> dict[str, Any]:
    """What the JSON beside the graphs of any family begins with."""
    return {
        "format": "moksori-onnx",
        "format_version": 1,
        "family": manifest.family,
        "name": manifest.name,
        "licence": manifest.licence,
        "training_data": list(manifest.data),
        "sample_rate": manifest.sample_rate,
    }


def write_graphs(
    folder: Path, manifest: Manifest, graphs: Mapping[str, "ModelProto"], description: Mapping[str, Any]
) -> None:
    """Writes NAME-PART.onnx for each part, which says of itself what it is, and NAME.json."""
    import onnx

    name = manifest.name
    properties = {"model_type": manifest.family, "name": name, "licence": manifest.licence, "comment": "moksori"}
    for part, graph in graphs.items():
        onnx.helper.set_model_props(graph, {**properties, "part": part})
        (folder / f"{name}-{part}.onnx").write_bytes(graph.SerializeToString())
    text = json.dumps(description, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True)
class GraphCheck:
    """The graphs of a model beside torch, before they are written. name: the model's; does: what it does, as a verb."""

    name: str
    does: str

    def error(self, how: str) -> MoksoriError:
        """What is wrong with the graphs, and what to do."""
        return MoksoriError(
            f"{self.name}: its ONNX graphs {how}; nothing was written: another version of torch or onnxruntime may "
            f"make right ones; moksori itself {self.does} with the model as it is"
        )

    def fails(self, error: Exception, where: str = "") -> MoksoriError:
        """What onnxruntime says, whose errors have no class of their own. where: with a space before it."""
        return self.error(f"do not run{where}: {' '.join(str(error).split())[:300]}")

    def run(self, graph: "InferenceSession", inputs: Mapping[str, Tensor], where: str = "") -> list[np.ndarray]:
        """What a graph makes of inputs; raises MoksoriError where it does not run."""
        try:
            return list(graph.run(None, {key: value.numpy() for key, value in inputs.items()}))
        except Exception as error:
            raise self.fails(error, where) from error

    def difference(self, output: str, found: np.ndarray, wanted: Tensor, most: float, where: str = "") -> float:
        """The largest one of an output from torch's; raises MoksoriError if it is more than `most`, or NaN, or the
        shapes differ."""
        if found.shape != tuple(wanted.shape):
            raise self.error(f"give {output} the shape {list(found.shape)}, torch {list(wanted.shape)}")
        difference = float(np.abs(found - wanted.numpy()).max())
        if not difference <= most:
            raise self.error(f"differ from torch in {output} by {difference:.1e} (at most {most:.0e}){where}")
        return difference


class RecordedNoise(TorchFunctionMode):
    """While it is entered, every tensor that torch.rand and torch.randn give is kept in `drawn`, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[np.ndarray] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.rand, torch.randn):
            self.drawn.append(result.cpu().numpy())
        return result


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Logger `name` says nothing below an error."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
