"""`moksori serve --engine`: what goes together, and the same answers from Ray Serve as from the server itself."""

import hashlib
import json
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from moksori.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "rai"], "did you mean 'ray'"),
        (["--replicas", "2"], "--engine ray"),
        (["--engine", "ray", "--wyoming"], "--wyoming"),
    ],
)
def test_what_does_not_go_together(arguments, said, capsys):
    assert main(["serve", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_without_ray_the_extra_is_named(monkeypatch, capsys):
    pytest.importorskip("fastapi", reason="the server needs the package fastapi: pip install 'moksori[serve]'")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["serve", "--engine", "ray", "--port", str(free_port())]) == 2
    assert "moksori[scale]" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told_before_ray_starts(capsys):
    pytest.importorskip("fastapi", reason="the server needs the package fastapi: pip install 'moksori[serve]'")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--engine", "ray", "--port", str(port)]) == 2
    assert f"port {port}" in capsys.readouterr().err


@pytest.mark.slow
def test_ray_answers_with_the_same_bytes():
    """Takes minutes: the bundled voice behind uvicorn, and behind Ray Serve on a Ray of this machine."""
    pytest.importorskip("fastapi", reason="the server needs the package fastapi: pip install 'moksori[serve]'")
    pytest.importorskip("ray.serve", reason="the engine ray needs the package ray: pip install 'moksori[scale]'")
    assert spoken("local") == spoken("ray")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as trial:
        return int(trial.getsockname()[1])


def spoken(engine: str) -> str:
    """A hash of what a server of this engine says."""
    port = free_port()
    command = "from moksori.cli.main import run; run()"
    server = subprocess.Popen(
        [sys.executable, "-c", command, "serve", "--engine", engine, "--port", str(port), "--threads", "1"]
    )
    try:
        ends = time.monotonic() + 400.0
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                assert server.poll() is None, f"{engine}: the server ended"
                assert time.monotonic() < ends, f"{engine}: no answer"
                time.sleep(1.0)
        body = json.dumps({"input": "Hello there. How are you?", "seed": 5, "response_format": "flac"}).encode()
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/audio/speech", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=120) as answer:
            return hashlib.sha256(answer.read()).hexdigest()
    finally:
        server.send_signal(2)
        try:
            server.wait(120)
        except subprocess.TimeoutExpired:
            server.kill()
