"""Training checkpoints: everything that the next step depends on, in safetensors and JSON, written whole or not at all.

A checkpoint is a folder `step-00001000/` with `objective.safetensors`, `averaged.safetensors`, `optimizers.safetensors`
and `state.json`. A folder appears under its name only when it is complete.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from moksori.errors import CheckpointError, MoksoriError
from moksori.training.ema import AveragedModel


@dataclass
class TrainingState:
    """Where a run stands. best: lowest validation total so far, and the step that reached it; how many validations
    there were since."""

    step: int = 0
    elapsed_seconds: float = 0.0
    best_total: float = float("inf")
    best_step: int = -1
    validations_since_best: int = 0


def save_checkpoint(
    folder: Path,
    objective: nn.Module,
    averaged: AveragedModel,
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: TrainingState,
) -> Path:
    """Writes `folder/step-XXXXXXXX` and returns it; raises MoksoriError when the disk is full or not writable."""
    target = folder / f"step-{state.step:08d}"
    partial = folder / f".partial-{state.step:08d}-{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        save_file(_tensors(objective), partial / "objective.safetensors")
        save_file(_tensors(averaged.model), partial / "averaged.safetensors")
        tensors, scalars = _flatten({name: optimizer.state_dict() for name, optimizer in optimizers.items()})
        save_file(tensors, partial / "optimizers.safetensors")
        content = json.dumps({"state": asdict(state), "optimizers": scalars})
        (partial / "state.json").write_text(content, encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MoksoriError(f"checkpoint {target} cannot be written: {reason}; free some space and resume") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def load_checkpoint(
    path: Path,
    objective: nn.Module,
    averaged: AveragedModel,
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> TrainingState:
    """Restores all of it in place and returns the state; raises CheckpointError if anything lacks or does not fit."""
    try:
        content = json.loads((path / "state.json").read_text(encoding="utf-8"))
        _restore(objective, load_file(path / "objective.safetensors"), path / "objective.safetensors")
        _restore(averaged.model, load_file(path / "averaged.safetensors"), path / "averaged.safetensors")
        states = _unflatten(load_file(path / "optimizers.safetensors"), content["optimizers"])
        state = TrainingState(**content["state"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"checkpoint {path} is damaged ({error!r}); remove it to go on from the one before"
        ) from error
    if set(states) != set(optimizers):
        raise CheckpointError(f"checkpoint {path} has the optimizers {sorted(states)}, the run {sorted(optimizers)}")
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(states[name])
    return state


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    return sorted(p for p in folder.glob("step-*") if (p / "state.json").exists())


def prune(folder: Path, keep: int, best_step: int) -> None:
    """Removes all but the newest `keep` checkpoints and the best."""
    for path in checkpoints(folder)[:-keep]:
        if path.name != f"step-{best_step:08d}":
            shutil.rmtree(path, ignore_errors=True)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}


def _restore(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = module.state_dict()
    wrong = [name for name in own if name not in tensors or own[name].shape != tensors[name].shape]
    wrong += [name for name in tensors if name not in own]
    if wrong:
        raise CheckpointError(
            f"{path} does not fit this configuration: {len(wrong)} tensors differ, the first is {wrong[0]!r}; "
            "resume with the settings it was trained with"
        )
    module.load_state_dict(tensors)


def _flatten(tree: Any, prefix: str = "") -> tuple[dict[str, Tensor], Any]:
    """Splits a state_dict into tensors by path, and the same tree with `{"tensor": path}` in their places."""
    if isinstance(tree, Tensor):
        return {prefix: tree.detach().cpu().clone().contiguous()}, {"tensor": prefix}
    if isinstance(tree, Mapping):
        tensors: dict[str, Tensor] = {}
        items = []
        for key, value in tree.items():
            below, rest = _flatten(value, f"{prefix}/{key}")
            tensors |= below
            items.append([key, rest])
        return tensors, {"mapping": items}
    if isinstance(tree, list | tuple):
        tensors, items = {}, []
        for index, value in enumerate(tree):
            below, rest = _flatten(value, f"{prefix}/{index}")
            tensors |= below
            items.append(rest)
        return tensors, {"list": items}
    return {}, {"value": tree}


def _unflatten(tensors: Mapping[str, Tensor], tree: Mapping[str, Any]) -> Any:
    if "tensor" in tree:
        return tensors[tree["tensor"]]
    if "mapping" in tree:
        return {key: _unflatten(tensors, value) for key, value in tree["mapping"]}
    if "list" in tree:
        return [_unflatten(tensors, value) for value in tree["list"]]
    return tree["value"]
