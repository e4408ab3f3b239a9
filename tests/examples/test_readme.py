"""The README's tour runs as it is printed, both READMEs hold the same commands, and the docs name only what exists."""

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from moksori.audio.io import SUFFIXES, read
from moksori.cli import main as command
from moksori.config import preset_names
from moksori.pipeline.models import bundled_folder
from moksori.pipeline.run_config import run_config

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN = ("bash", "python")
"""Blocks of these languages run; those of `sh` and `text` are to be read: they install, or take minutes."""


def blocks(path: Path) -> list[tuple[str, str]]:
    """(language, code) of the fenced blocks of a page."""
    return FENCE.findall(path.read_text(encoding="utf-8"))


def test_the_tour_runs_as_printed(tmp_path):
    if not (bundled_folder() / "index.json").is_file():
        pytest.skip("no voice is bundled: the tour speaks with it")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "MOKSORI_HOME": str(tmp_path / "home")}
    expected = set()
    for language, code in blocks(ROOT / "README.md"):
        if language not in RUN:
            continue
        call = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        assert "does not know the symbol" not in done.stderr
        expected |= {name for name in re.findall(r"[\w.-]+", code) if name.endswith(SUFFIXES)}
    assert len(expected) >= 6
    for name in sorted(expected):
        waveform = read(tmp_path / name)
        assert waveform.duration_seconds > 0.5, name
        assert abs(waveform.samples).max() > 0.01, name


def test_both_readmes_hold_the_same_code():
    def bare(code: str) -> str:  # comments are translated
        return "\n".join(line.split("#")[0].rstrip() for line in code.splitlines())

    english, korean = blocks(ROOT / "README.md"), blocks(ROOT / "README.ko.md")
    assert [(kind, bare(code)) for kind, code in english] == [(kind, bare(code)) for kind, code in korean]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    # Code may hold `[word](/ipa/)`, which is no link.
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose)
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


@cache
def options() -> dict[tuple[str, ...], set[str]]:
    """Words of each command -> its options."""
    import typer

    found: dict[tuple[str, ...], set[str]] = {}

    def collect(node, words):
        found[words] = {name for parameter in node.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for name, child in getattr(node, "commands", {}).items():
            collect(child, (*words, name))

    collect(typer.main.get_command(command.app), ())
    return found


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks, and its `code`, that call moksori."""
    text = page.read_text(encoding="utf-8")
    lines = [line for kind, code in FENCE.findall(text) if kind in ("sh", "bash") for line in code.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    return [line.split("#")[0].split("| ")[-1].strip() for line in lines if re.search(r"(^|\| )moksori \w", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_and_options_exist(page):
    for line in commands(page):
        words = shlex.split(line)[1:]
        verb: tuple[str, ...] = ()
        while words and (*verb, words[0]) in options():
            verb, words = (*verb, words[0]), words[1:]
        assert verb, f"no such command: {line}"
        named = {word.split("=")[0] for word in words if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)}
        unknown = named - options()[verb] - {"--help", "-h"}
        assert not unknown, f"{line}: {sorted(unknown)}"


def has_setting(config, path: str) -> bool:
    section, *keys = path.split(".")
    value = getattr(config, section)
    for key in keys:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif hasattr(value, key):
            value = getattr(value, key)
        else:
            return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_settings_and_presets_exist(page):
    text = page.read_text(encoding="utf-8")
    configs = [run_config(name) for name in preset_names() if name.partition("/")[2].startswith(("compact", "tiny"))]
    for path in re.findall(r"`((?:model|objective|training|augmentation)(?:\.\w+)+)(?:=[^`]*)?`", text):
        assert path.endswith(".py") or any(has_setting(config, path) for config in configs), f"no setting {path}"
    families = "|".join({name.partition("/")[0] for name in preset_names()})
    for preset in re.findall(rf"`((?:{families})/[a-z0-9_-]+)`", text):
        assert preset in preset_names(), preset
