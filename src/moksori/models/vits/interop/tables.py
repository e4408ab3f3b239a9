"""Tables of weight names, ours beside another project's, and what applies them in both directions.

A row names a layer on both sides; `{i}` and `{k}` stand for numbers, `{2i+1}` for one computed from i. Weight norm is
spelled in three ways: `weight_g` and `weight_v`; `parametrizations.weight.original0` and `.original1`, the same two; or
`weight` alone, already folded to g · v / |v| with the norm over all axes but the first. All are read everywhere.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from moksori.errors import CheckpointError

NEW_NORM = (".parametrizations.weight.original0", ".parametrizations.weight.original1")
OLD_NORM = (".weight_g", ".weight_v")
_NUMBER = re.compile(r"\{(\d*)([ik])(?:\+(\d+))?\}")


@dataclass(frozen=True)
class Row:
    """One layer, or family of layers, on both sides.

    kind: "layer" has a weight and perhaps a bias of the same names; "linear" is a 1x1 convolution of ours that is a
    matrix there; "norm" calls weight and bias gamma and beta; "tensor" names a parameter itself; "relative" is such a
    parameter, with an axis for heads in front.
    """

    ours: str
    theirs: str
    kind: Literal["layer", "linear", "norm", "tensor", "relative"] = "layer"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(_NUMBER.sub(lambda m: f"(?P<{m[2]}>[0-9]+)", self.ours.replace(".", r"\.")))

    def foreign(self, ours: str) -> str | None:
        """Their name of the layer that we call `ours`, None if the row is about another."""
        match = self._pattern.fullmatch(ours)
        if match is None:
            return None
        numbers = match.groupdict()
        return _NUMBER.sub(lambda m: str(int(m[1] or 1) * int(numbers[m[2]]) + int(m[3] or 0)), self.theirs)


def within(ours: str, theirs: str, rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows of a part, for the place where the part is."""
    return tuple(replace(row, ours=f"{ours}.{row.ours}", theirs=f"{theirs}.{row.theirs}") for row in rows)


@dataclass(frozen=True)
class Taken:
    """Tensors under our names; `missing`: ours that the file lacks; `unused`: theirs that no row asked for."""

    tensors: dict[str, Tensor]
    missing: tuple[str, ...]
    unused: tuple[str, ...]


def take(own: Mapping[str, Tensor], foreign: Mapping[str, Tensor], rows: Sequence[Row]) -> Taken:
    """Another project's tensors under our names and in our shapes, float32.

    own: the state of a model of ours, for names and shapes. Names that no row knows are left out of both lists.
    Raises CheckpointError for a tensor of another shape.
    """
    taken: dict[str, Tensor] = {}
    missing: list[str] = []
    used: set[str] = set()
    for layer, leaf, row, theirs in _places(own, rows):
        names = _names(layer, leaf)
        found = _read(foreign, theirs, row, leaf, normed=len(names) == 2, used=used)
        if found is None:
            missing += names
            continue
        for name, tensor in zip(names, found, strict=True):
            taken[name] = _fitted(tensor.float(), own[name].shape, name, theirs)
    return Taken(taken, tuple(missing), tuple(name for name in foreign if name not in used))


def give(own: Mapping[str, Tensor], rows: Sequence[Row], folded: str = "") -> dict[str, Tensor]:
    """Our tensors under another project's names: the way back of `take`.

    folded: the prefix of their names where weight norm is folded; elsewhere it is spelled in torch's present way.
    """
    given: dict[str, Tensor] = {}
    for layer, leaf, row, theirs in _places(own, rows):
        tensors = [own[name].detach().float().cpu() for name in _names(layer, leaf)]
        if len(tensors) == 2 and folded and theirs.startswith(folded):
            given[f"{theirs}.weight"] = fold(*tensors)
        elif len(tensors) == 2:
            given.update({theirs + end: tensor for end, tensor in zip(NEW_NORM, tensors, strict=True)})
        else:
            tensor = tensors[0]
            if row.kind == "linear" and leaf == "weight":
                tensor = tensor.squeeze(-1)
            given[_their_name(theirs, row, leaf)] = tensor.unsqueeze(0) if row.kind == "relative" else tensor
    return {name: tensor.contiguous().clone() for name, tensor in given.items()}


def fold(g: Tensor, v: Tensor) -> Tensor:
    """g · v / |v|, the norm over all axes but the first."""
    norm = torch.linalg.vector_norm(v, dim=tuple(range(1, v.dim())), keepdim=True)
    return v * (g.reshape(norm.shape) / norm)


def unfold(weight: Tensor) -> tuple[Tensor, Tensor]:
    """g and v that fold to `weight`: v is the weight itself, but for rows of zeros, which have no direction."""
    g = torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.dim())), keepdim=True)
    return g, torch.where(g == 0, torch.ones_like(weight), weight)


def discriminators(foreign: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor] | None:
    """The discriminators' tensors under the names of our ensemble; None where there are none.

    Layers `PREFIX{i}.convs.{k}` and `PREFIX{i}.conv_post`: the scale discriminator, then one a period, as ours.
    """
    pattern = re.compile(
        rf"{re.escape(prefix)}(\d+)\.(?:convs\.(\d+)|conv_post)\.(weight_v|weight|bias|{NEW_NORM[1][1:]})"
    )
    result: dict[str, Tensor] = {}
    for name, tensor in foreign.items():
        match = pattern.fullmatch(name)
        if match is None:
            continue
        layer = f"discriminators.{match[1]}." + ("output" if match[2] is None else f"layers.{match[2]}")
        if match[3] == "bias":
            result[f"{layer}.bias"] = tensor.float()
            continue
        theirs = name.removesuffix("." + match[3])
        pair = _pair(foreign, theirs, set()) or unfold(tensor.float())
        result.update({layer + end: part.float() for end, part in zip(NEW_NORM, pair, strict=True)})
    return result or None


def count(foreign: Mapping[str, Tensor], layer: str, otherwise: int) -> int:
    """How many layers `PREFIX{n}...` there are, as in `enc_q.enc.in_layers.`; `otherwise` where there is none."""
    numbers = {int(m[1]) for name in foreign if (m := re.match(rf"{re.escape(layer)}(\d+)\.", name))}
    return len(numbers) or otherwise


def shape_of(foreign: Mapping[str, Tensor], layer: str) -> tuple[int, ...] | None:
    """The shape of a layer's weight in whichever spelling; None where there is no such layer."""
    for end in (".weight", OLD_NORM[1], NEW_NORM[1]):
        if layer + end in foreign:
            return tuple(foreign[layer + end].shape)
    return None


def _places(own: Mapping[str, Tensor], rows: Sequence[Row]) -> Iterator[tuple[str, str, Row, str]]:
    """(our layer, leaf, row, their layer) of every tensor of ours that a row knows; a normed weight comes once."""
    for name in own:
        if name.endswith(NEW_NORM[1]):
            continue
        layer, leaf = name, ""
        for end in (NEW_NORM[0], ".weight", ".bias"):
            if name.endswith(end):
                layer, leaf = name.removesuffix(end), "bias" if end == ".bias" else "weight"
                leaf = "normed" if end == NEW_NORM[0] else leaf
        for row in rows:
            theirs = row.foreign(layer)
            if theirs is not None:
                yield layer, leaf, row, theirs
                break


def _names(layer: str, leaf: str) -> tuple[str, ...]:
    if leaf == "normed":
        return (layer + NEW_NORM[0], layer + NEW_NORM[1])
    return (f"{layer}.{leaf}",) if leaf else (layer,)


def _their_name(theirs: str, row: Row, leaf: str) -> str:
    if row.kind == "norm":
        leaf = {"weight": "gamma", "bias": "beta"}[leaf]
    return f"{theirs}.{leaf}" if leaf else theirs


def _pair(foreign: Mapping[str, Tensor], theirs: str, used: set[str]) -> tuple[Tensor, Tensor] | None:
    for g, v in (NEW_NORM, OLD_NORM):
        if theirs + g in foreign and theirs + v in foreign:
            used |= {theirs + g, theirs + v}
            return foreign[theirs + g].float(), foreign[theirs + v].float()
    return None


def _read(
    foreign: Mapping[str, Tensor], theirs: str, row: Row, leaf: str, normed: bool, used: set[str]
) -> tuple[Tensor, ...] | None:
    if leaf in ("normed", "weight"):
        pair = _pair(foreign, theirs, used)
        if pair is not None:
            return pair if normed else (fold(*pair),)
    name = _their_name(theirs, row, "weight" if normed else leaf)
    if name not in foreign:
        return None
    used.add(name)
    return unfold(foreign[name].float()) if normed else (foreign[name],)


def _fitted(tensor: Tensor, shape: torch.Size, ours: str, theirs: str) -> Tensor:
    """The tensor in our shape, which may differ by axes of size 1."""
    if [n for n in tensor.shape if n != 1] != [n for n in shape if n != 1]:
        raise CheckpointError(
            f"weight {theirs!r} has the shape {list(tensor.shape)}, its settings ask for {list(shape)} ({ours}): "
            "the settings beside it are another model's, or it is no plain VITS"
        )
    return tensor.reshape(shape)
