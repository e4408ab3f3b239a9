"""Checkpoints come back whole; broken and foreign ones are refused; old ones are removed."""

import json

import pytest
import torch
from torch import nn

from moksori.errors import CheckpointError, MoksoriError
from moksori.training import checkpoints as module
from moksori.training.checkpoints import (
    TrainingState,
    _flatten,
    _unflatten,
    checkpoints,
    load_checkpoint,
    prune,
    save_checkpoint,
)
from moksori.training.ema import AveragedModel


def trained(width: int = 3, steps: int = 2) -> tuple[nn.Module, AveragedModel, dict[str, torch.optim.Optimizer]]:
    torch.manual_seed(width)
    model = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))
    averaged = AveragedModel(model, 0.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, betas=(0.8, 0.99), fused=True)
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, width)).square().sum().backward()
        optimizer.step()
        averaged.update(model, step)
    return model, averaged, {"model": optimizer}


def same(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        keys = isinstance(second, dict) and list(first) == list(second)
        return keys and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    return first == second


def test_flatten_is_undone_by_unflatten() -> None:
    _, _, optimizers = trained()
    tree = {"a": optimizers["model"].state_dict(), "b": [1, None, True, "x", {"deep": torch.arange(3)}], 7: 2.5}
    tensors, rest = _flatten(tree)
    assert all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in tensors.items())
    back = _unflatten(tensors, json.loads(json.dumps(rest)))
    assert same(back, tree)
    assert list(back)[-1] == 7  # keys keep their type, which JSON's own objects would not
    assert not torch.equal(tensors["/b/4/deep"] + 1, tree["b"][4]["deep"])
    assert tensors["/b/4/deep"].data_ptr() != tree["b"][4]["deep"].data_ptr()


def test_a_checkpoint_restores_everything(tmp_path) -> None:
    model, averaged, optimizers = trained()
    state = TrainingState(step=7, elapsed_seconds=1.5)  # best_total is still infinite, which JSON must survive
    path = save_checkpoint(tmp_path, model, averaged, optimizers, state)
    assert path.name == "step-00000007"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    other, other_averaged, other_optimizers = trained(steps=0)
    assert load_checkpoint(path, other, other_averaged, other_optimizers) == state
    assert same(dict(other.state_dict()), dict(model.state_dict()))
    assert same(dict(other_averaged.model.state_dict()), dict(averaged.model.state_dict()))
    assert same(other_optimizers["model"].state_dict(), optimizers["model"].state_dict())


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "objective.safetensors").write_bytes(b"\x10"),
        lambda path: (path / "averaged.safetensors").unlink(),
        lambda path: (path / "state.json").write_text("{"),
        lambda path: (path / "state.json").write_text('{"state": {}}'),
        lambda path: (path / "state.json").write_text('{"state": {"steps": 3}, "optimizers": {"mapping": []}}'),
        lambda path: (path / "state.json").write_bytes(b"\xff\xfe"),
        lambda path: (path / "optimizers.safetensors").write_bytes(
            (path / "averaged.safetensors").read_bytes()
        ),  # readable, but of something else
    ],
)
def test_a_damaged_checkpoint_is_named(tmp_path, damage) -> None:
    model, averaged, optimizers = trained()
    path = save_checkpoint(tmp_path, model, averaged, optimizers, TrainingState(3))
    damage(path)
    with pytest.raises(CheckpointError, match=r"step-00000003 is damaged .* remove it"):
        load_checkpoint(path, model, averaged, optimizers)


def test_another_configuration_is_refused(tmp_path) -> None:
    path = save_checkpoint(tmp_path, *trained(), TrainingState(3))
    with pytest.raises(CheckpointError, match=r"does not fit this configuration: .* first is '0\.weight'"):
        load_checkpoint(path, *trained(width=5))
    model, averaged, optimizers = trained()
    with pytest.raises(CheckpointError, match=r"has the optimizers \['model'\], the run \['critic'\]"):
        load_checkpoint(path, model, averaged, {"critic": optimizers["model"]})


def test_only_complete_checkpoints_count_and_the_best_is_kept(tmp_path) -> None:
    parts = trained()
    for step in (2, 4, 6, 8, 10):
        save_checkpoint(tmp_path, *parts, TrainingState(step))
    (tmp_path / "step-00000012").mkdir()
    prune(tmp_path, keep=2, best_step=4)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000004", "step-00000008", "step-00000010"]


def test_a_full_disk_leaves_no_half_and_keeps_the_last(tmp_path, monkeypatch) -> None:
    parts = trained()
    save_checkpoint(tmp_path, *parts, TrainingState(1))

    def full(tensors, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    for step in (1, 2):
        with pytest.raises(MoksoriError, match=r"cannot be written: No space left on device; free some space"):
            save_checkpoint(tmp_path, *parts, TrainingState(step))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert load_checkpoint(checkpoints(tmp_path)[-1], *parts).step == 1
