"""Settings of other projects' voices that make no sense: one line for each, that names it, in all four layouts."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from small_vits import (
    COQUI_SYMBOLS,
    PIPER_SYMBOLS,
    coqui_settings,
    coqui_state,
    official_settings,
    official_state,
    piper_checkpoint,
    piper_voice,
    small,
    write_json,
)

from moksori.cli.main import main
from moksori.errors import MoksoriError
from moksori.pipeline.import_model import export_model, import_model
from moksori.text.symbols import OFFICIAL_SYMBOLS
from moksori.text.tokenizer import TextConfig

BAD: tuple[Any, ...] = (0, -1, 1e300, "x", None)
ENGLISH = TextConfig(mode="characters", blanks=True, ends=False, symbols=OFFICIAL_SYMBOLS)
COQUI = TextConfig(mode="letters", blanks=True, ends=False, symbols=COQUI_SYMBOLS)
PIPER = TextConfig(mode="characters", blanks=True, ends=True, blank_places="between", symbols=PIPER_SYMBOLS)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, Path]:
    """A folder of each layout."""
    folder = tmp_path_factory.mktemp("sources")
    made = {name: folder / name for name in ("official", "coqui", "piper", "hf")}
    for name in ("official", "coqui", "piper"):
        made[name].mkdir()
    model = small(2, text=ENGLISH)
    torch.save({"model": official_state(model, "old", False)}, made["official"] / "G_1.pth")
    write_json(made["official"] / "config.json", official_settings(model))
    import_model(made["official"], folder / "ours")
    export_model(folder / "ours", made["hf"], "hf")
    model = small(2, text=COQUI)
    torch.save({"model": coqui_state(model, "old")}, made["coqui"] / "model_file.pth")
    write_json(made["coqui"] / "config.json", coqui_settings(model))
    model = small(2, text=PIPER)
    torch.save(piper_checkpoint(model, "old"), made["piper"] / "voice.ckpt")
    write_json(made["piper"] / "config.json", piper_voice(model))
    return made


def numeric(settings: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The places of numbers, and of lists of them; tables of symbols and speakers are not settings."""
    if isinstance(settings, dict):
        return [
            place
            for key, value in settings.items()
            if key != "train" and not key.endswith(("_map", "speakers", "characters"))
            for place in numeric(value, (*path, key))
        ]
    first = settings
    while isinstance(first, list) and first:
        first = first[0]
    return [path] if isinstance(first, int | float) and not isinstance(first, bool) else []


def changed(settings: Any, place: tuple[str, ...], value: Any) -> Any:
    return {**settings, place[0]: changed(settings[place[0]], place[1:], value)} if place else value


def refusal(source: Path, target: Path, layout: str) -> str:
    """The line of an import, empty where it is taken; anything else than an error of moksori's ends the test."""
    try:
        import_model(source, target, layout)
    except MoksoriError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("layout", ["official", "coqui", "piper", "hf"])
def test_no_number_of_the_settings_ends_in_anything_but_one_line(sources, tmp_path, layout):
    source = shutil.copytree(sources[layout], tmp_path / "source")
    settings = json.loads((source / "config.json").read_text())
    places = numeric(settings)
    assert len(places) > (3 if layout == "piper" else 10)
    for place in places:
        lists = [[bad] for bad in BAD] if "rates" in place[-1] or "sizes" in place[-1] else []
        for bad in (*BAD, *lists):
            write_json(source / "config.json", changed(settings, place, bad))
            assert "\n" not in refusal(source, tmp_path / "voice", layout)


def test_no_number_of_pipers_checkpoint_ends_in_anything_but_one_line(sources, tmp_path):
    source = shutil.copytree(sources["piper"], tmp_path / "source")
    stored = torch.load(source / "voice.ckpt", weights_only=False)
    settings = dict(stored["hyper_parameters"])
    for place in numeric(settings):
        for bad in BAD:
            torch.save({**stored, "hyper_parameters": changed(settings, place, bad)}, source / "voice.ckpt")
            assert "\n" not in refusal(source, tmp_path / "voice", "piper")


NAMED = [
    *(("hf", (key,), bad) for key in ("hidden_size", "num_attention_heads", "sampling_rate") for bad in (0, 1e300)),
    ("hf", ("speaking_rate",), 0),
    ("hf", ("speaking_rate",), 1e300),
    ("hf", ("noise_scale",), -3),
    ("hf", ("noise_scale",), 11),
    ("hf", ("num_hidden_layers",), -1),
    *(("official", ("model", key), bad) for key in ("hidden_channels", "n_heads") for bad in (0, 1e300)),
    ("official", ("data", "hop_length"), 0),
    ("official", ("data", "text_cleaners"), -1),
    ("official", ("data", "text_cleaners"), "english_cleaners2"),
    ("coqui", ("model_args", "num_heads_text_encoder"), 0),
    ("coqui", ("model_args", "inference_noise_scale"), -1),
    ("coqui", ("audio", "sample_rate"), "x"),
    ("piper", ("audio", "sample_rate"), 0),
    ("piper", ("inference", "noise_scale"), 1e300),
]


@pytest.mark.parametrize(("layout", "place", "bad"), NAMED, ids=[f"{n[0]}-{n[1][-1]}-{n[2]}" for n in NAMED])
def test_the_setting_is_named_on_the_command_line(sources, tmp_path, capsys, layout, place, bad):
    source = shutil.copytree(sources[layout], tmp_path / "source")
    settings = json.loads((source / "config.json").read_text())
    section = settings
    for key in place[:-1]:
        section = section.setdefault(key, {})
    section[place[-1]] = bad
    write_json(source / "config.json", settings)
    assert main(["import", str(source), "-o", str(tmp_path / "voice"), "--format", layout]) == 2
    said = capsys.readouterr().err
    assert f"{place[-1]} is" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "voice").exists()


@pytest.mark.parametrize("layout", ["official", "coqui", "piper", "hf"])
@pytest.mark.parametrize("by_name", [True, False])
def test_broken_json_is_told_as_such(sources, tmp_path, capsys, layout, by_name):
    source = shutil.copytree(sources[layout], tmp_path / "source")
    path = source / "config.json"
    path.write_text(path.read_text()[:-40])
    chosen = ["--format", layout] if by_name else []
    assert main(["import", str(source), "-o", str(tmp_path / "voice"), *chosen]) == 2
    assert "config.json: cannot be read as JSON" in capsys.readouterr().err
