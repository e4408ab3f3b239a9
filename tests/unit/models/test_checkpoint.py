"""Model folders: what is written is read back; every kind of damage is named."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from moksori.errors import CheckpointError
from moksori.models import checkpoint
from moksori.models.checkpoint import (
    count_parameters,
    fingerprint,
    has_discriminators,
    load_model,
    read_manifest,
    read_weights,
    save_model,
    weight_files,
)


def test_round_trip_keeps_weights_to_half_precision_and_manifest(toy_family, toy_folder):
    loaded = load_model(toy_folder)
    torch.manual_seed(0)
    original = toy_family.ToyVoice(toy_family.ToyConfig())
    assert loaded.model.embedding.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.model.embedding.weight, original.embedding.weight.half().float(), rtol=0, atol=0)
    assert loaded.model.calls.dtype == torch.int64
    assert not loaded.model.training
    assert loaded.manifest.speakers == ("ann", "bob")
    assert loaded.manifest.text.symbols[0] == "_"
    assert (toy_folder / "README.md").is_file()
    assert load_file(toy_folder / "model.safetensors")["embedding.weight"].dtype == torch.float16
    assert count_parameters(toy_folder) == original.embedding.weight.numel() + 1


def test_the_folder_has_no_leftovers_and_replaces_an_older_one(toy_family, toy_folder):
    before = fingerprint(toy_folder)
    toy_family.save_toy(toy_folder, speakers=("ann",))
    assert read_manifest(toy_folder).speakers == ("ann",)
    assert fingerprint(toy_folder) != before
    assert [path.name for path in toy_folder.parent.iterdir()] == ["toy"]
    assert sorted(path.name for path in toy_folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_a_failed_write_leaves_the_old_model(toy_family, toy_folder, monkeypatch):
    before = fingerprint(toy_folder)
    real = os.replace

    def full_disk(source, target):
        if target == toy_folder and ".toy.old." not in str(source):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        toy_family.save_toy(toy_folder, speakers=("someone",))
    monkeypatch.undo()
    assert fingerprint(toy_folder) == before
    assert [path.name for path in toy_folder.parent.iterdir()] == ["toy"]


def test_files_are_at_most_16_mib_and_all_are_needed(toy_family, tmp_path):
    folder = tmp_path / "big"
    model = nn.ModuleList([nn.Linear(2**11, 2**11, bias=False) for _ in range(5)])  # 8 MiB each in fp16
    save_model(folder, model, toy_family.manifest("big"))
    files = weight_files(folder)
    assert [path.name for path in files][::4] == [
        "model-00001-of-00005.safetensors",
        "model-00005-of-00005.safetensors",
    ]
    assert all(path.stat().st_size <= checkpoint.MAXIMUM_FILE_BYTES for path in files)
    assert set(read_weights(folder)) == set(model.state_dict())
    files[2].unlink()
    with pytest.raises(CheckpointError, match=r"model-00003-of-00005.safetensors: missing"):
        weight_files(folder)


def test_discriminators_come_in_a_second_file(toy_family, tmp_path):
    state = {"periods.0.weight": torch.randn(3, 2)}
    save_model(tmp_path / "toy", toy_family.ToyVoice(toy_family.ToyConfig()), toy_family.manifest(), "# card", state)
    assert has_discriminators(tmp_path / "toy")
    assert torch.equal(
        read_weights(tmp_path / "toy", "discriminators")["periods.0.weight"], state["periods.0.weight"].half()
    )
    load_model(tmp_path / "toy")
    assert (tmp_path / "toy" / "README.md").read_text() == "# card"


def test_values_beyond_half_precision_stay_exact(toy_family, tmp_path):
    model = toy_family.ToyVoice(toy_family.ToyConfig())
    with torch.no_grad():
        model.embedding.weight[0, 0] = 1e6
    save_model(tmp_path / "toy", model, toy_family.manifest())
    assert load_model(tmp_path / "toy").model.embedding.weight[0, 0] == 1e6


def test_nan_is_not_saved(toy_family, tmp_path):
    model = toy_family.ToyVoice(toy_family.ToyConfig())
    with torch.no_grad():
        model.embedding.weight[3, 1] = float("nan")
    with pytest.raises(CheckpointError, match=r"'embedding.weight' holds NaN"):
        save_model(tmp_path / "toy", model, toy_family.manifest())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_is_left_alone(toy_family, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match="left alone"):
        toy_family.save_toy(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("other", ["thesis.txt", "notes/", "weights.safetensors", "model-1.safetensors"])
def test_a_model_with_other_things_beside_it_is_left_alone(toy_family, toy_folder, other):
    before = fingerprint(toy_folder)
    if other.endswith("/"):
        (toy_folder / other).mkdir()
    else:
        (toy_folder / other).write_text("years of work")
    with pytest.raises(
        CheckpointError, match=rf"something else than a model \({other.rstrip('/')}\) and is left alone"
    ):
        toy_family.save_toy(toy_folder, speakers=("ann",))
    assert (toy_folder / other).exists()
    assert fingerprint(toy_folder) == before


@pytest.mark.parametrize("settings", ["{}", "[]", "no JSON", '{"model_type": "vits"}', '{"format": 99}'])
def test_settings_of_something_else_are_left_alone(toy_family, tmp_path, settings):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(settings)
    with pytest.raises(CheckpointError, match=r"\(config.json\) and is left alone"):
        toy_family.save_toy(folder)
    assert (folder / "config.json").read_text() == settings


def test_weights_alone_and_a_file_are_left_alone(toy_family, tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(CheckpointError, match=r"a file is there and is left alone"):
        toy_family.save_toy(tmp_path / "file")
    (tmp_path / "file").rename(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"\(model.safetensors\) and is left alone"):
        toy_family.save_toy(tmp_path)


def test_a_model_in_several_files_is_replaced(toy_family, tmp_path):
    folder = tmp_path / "big"
    model = nn.ModuleList([nn.Linear(2**11, 2**11, bias=False) for _ in range(3)])
    save_model(folder, model, toy_family.manifest("big"), discriminators={"weight": torch.ones(2)})
    toy_family.save_toy(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(folder, **changes):
    path = folder / "model.safetensors"
    state = {name: tensor for name, tensor in {**load_file(path), **changes}.items() if tensor is not None}
    save_file(state, path)


class Bomb:
    def __reduce__(self):
        return (os.system, ("echo exploded > exploded.txt",))


DAMAGE = {
    "truncated": (lambda f: os.truncate(f / "model.safetensors", 500), "model.safetensors: truncated"),
    "cut inside the header": (lambda f: os.truncate(f / "model.safetensors", 5), "model.safetensors: truncated"),
    "empty": (lambda f: os.truncate(f / "model.safetensors", 0), "model.safetensors: truncated"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "wrong shape": (
        lambda f: change_config(f, model={"width": 7}),
        r"'embedding.weight' has the shape \[\d+, 4\], .*\[\d+, 7\]",
    ),
    "missing key": (lambda f: change_weights(f, **{"embedding.weight": None}), "1 weights missing .'embedding.weight'"),
    "unknown key": (lambda f: change_weights(f, stranger=torch.ones(2)), "1 weights unknown .'stranger'"),
    "nan": (lambda f: change_weights(f, **{"embedding.weight": torch.full((220, 4), float("nan"))}), "NaN|shape"),
    "pickle as weights": (
        lambda f: (f / "model.safetensors").write_bytes(pickle.dumps(Bomb())),
        "not a safetensors file",
    ),
    "other family": (lambda f: change_config(f, family="vitz"), "unknown family 'vitz': did you mean 'vits'"),
    "misspelt setting": (lambda f: change_config(f, model={"widht": 4}), "did you mean 'width'"),
    "misspelt key": (lambda f: change_config(f, speekers=["x"]), "did you mean 'speakers'"),
    "newer format": (lambda f: change_config(f, format=99), "format 99.*install a newer moksori"),
    "config cut": (lambda f: os.truncate(f / "config.json", 40), "config.json: cannot be read as JSON"),
    "config no object": (lambda f: (f / "config.json").write_text("[1]"), "expected a JSON object"),
    "config binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json: cannot be read"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_with_a_remedy(toy_folder, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    damage, message = DAMAGE[kind]
    damage(toy_folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(toy_folder)
    assert "\n" not in str(caught.value)
    assert str(toy_folder) in str(caught.value)
    assert not (tmp_path / "exploded.txt").exists()


def test_nan_weights_are_refused(toy_folder):
    shape = load_file(toy_folder / "model.safetensors")["embedding.weight"].shape
    change_weights(toy_folder, **{"embedding.weight": torch.full(shape, float("inf"), dtype=torch.float16)})
    with pytest.raises(CheckpointError, match="holds NaN or infinity"):
        load_model(toy_folder)


def test_another_family_than_expected(toy_folder):
    with pytest.raises(CheckpointError, match="a 'toy' model, expected 'vits'"):
        load_model(toy_folder, family="vits")


def test_pickles_are_named_and_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Bomb()))
    for path in (tmp_path, tmp_path / "old.pth"):
        with pytest.raises(CheckpointError, match=r"old\.pth is a pickle, which can run code"):
            load_model(path)
    assert not (tmp_path / "exploded.txt").exists()


def test_parameters_are_counted_without_torch_and_damage_is_named(toy_folder):
    os.truncate(toy_folder / "model.safetensors", 20)
    with pytest.raises(CheckpointError, match="truncated"):
        count_parameters(toy_folder)
