"""The shell scripts of the README: what they say where something is missing, and that they do nothing twice."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted((ROOT / "scripts").glob("*.sh"))


@pytest.fixture
def project(tmp_path):
    """A copy of what install.sh reads, with a `bin` of chosen programs and nothing else on the path."""
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in ("sh", "cat", "cksum", "dirname", "date", "grep", "mkdir"):
        (programs / tool).symlink_to(shutil.which(tool))
    return tmp_path


def program(project: Path, name: str, body: str) -> None:
    path = project / "bin" / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def install(project: Path, kind: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {"PATH": str(project / "bin"), "HOME": str(project), **environment}
    command = ["sh", "scripts/install.sh", kind]
    return subprocess.run(command, cwd=project, env=kept, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_plain_sh(script):
    shell = shutil.which("dash") or shutil.which("sh")
    assert subprocess.run([shell, "-n", str(script)], check=False).returncode == 0
    assert os.access(script, os.X_OK)


def test_without_a_new_enough_python_the_script_says_so(project):
    program(project, "python3", 'case "$1" in --version) echo "Python 3.9.2";; *) exit 1;; esac')
    result = install(project, "speak")
    assert result.returncode == 1
    assert "needs Python 3.11 or newer, found Python 3.9.2" in result.stderr
    assert not (project / ".venv").exists()


def test_without_the_venv_package_the_script_names_it(project):
    program(project, "python3.11", 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')
    result = install(project, "speak")
    assert result.returncode == 1
    assert "apt install python3-venv" in result.stderr


FAKE_PYTHON = """
echo "$@" >> log
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$4/bin"; cat "$0" > "$4/bin/python"; /bin/chmod +x "$4/bin/python"
fi
"""


def test_speaking_installs_wheels_only_and_a_second_run_does_nothing(project):
    program(project, "python3.11", FAKE_PYTHON)
    result = install(project, "speak")
    assert result.returncode == 0
    assert "moksori: installed in" in result.stdout
    log = (project / "log").read_text()
    assert "--only-binary=:all: --constraint requirements/speak.txt torch==2." in log
    assert "--only-binary=:all: --no-deps --requirement requirements/speak.txt" in log
    assert "requirements/test.txt" not in log
    assert "--no-deps --no-build-isolation --editable ." in log
    installs = log.count("pip install")
    assert install(project, "speak").stdout == ""
    assert (project / "log").read_text().count("pip install") == installs
    (project / "requirements" / "speak.txt").open("a").write("# another lock\n")
    install(project, "speak")
    assert (project / "log").read_text().count("pip install") == 2 * installs


def test_the_tests_ask_for_a_compiler_before_anything_is_installed(project):
    program(project, "python3.11", FAKE_PYTHON)
    result = install(project, "test")
    assert result.returncode == 1
    assert "need a C and C++ compiler, cc is not here" in result.stderr
    assert "pip install" not in (project / "log").read_text()
    for compiler in ("cc", "c++"):
        program(project, compiler, "exit 0")
    assert install(project, "test").returncode == 0
    assert "--requirement requirements/test.txt" in (project / "log").read_text()


def test_locks_are_exact_and_hold_no_addresses_and_no_traps():
    for name in ("speak.txt", "test.txt"):
        text = (ROOT / "requirements" / name).read_text()
        pins = [line.split("#")[0].strip() for line in text.splitlines() if not line.startswith("#")]
        assert all(pin.count("==") == 1 and "+" not in pin for pin in pins)
        assert "://" not in text
        assert not {pin.split("==")[0].lower() for pin in pins} & {"torchaudio", "torchvision"}
    speak = (ROOT / "requirements" / "speak.txt").read_text()
    assert "setuptools==80." in speak
    assert not any(name in speak for name in ("pyworld", "pesq", "webrtcvad", "lightning", "lhotse"))
