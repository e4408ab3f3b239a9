"""`moksori serve`: what is told before it serves, and a server that is begun, asked and ended."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from moksori.cli.main import main


def test_the_network_needs_a_key(capsys, monkeypatch) -> None:
    monkeypatch.delenv("MOKSORI_API_KEY", raising=False)
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    assert "--api-key" in capsys.readouterr().err


def test_a_missing_extra_is_named(capsys, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.startswith("moksori.serving.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("moksori.serving.run", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve"]) == 2
    assert "moksori[serve]" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(capsys, toy_home) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another with --port" in capsys.readouterr().err


def test_it_serves_until_it_is_interrupted(tmp_path) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    pytest.importorskip("wyoming", reason="the extra serve is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "moksori.cli.main",
        "serve",
        "--port",
        "0",
        "--wyoming",
        "--wyoming-port",
        str(port),
    ]
    home = {**os.environ, "MOKSORI_HOME": str(tmp_path)}
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=home)
    try:
        assert server.stderr is not None
        address = re.search(r"http://127\.0\.0\.1:\d+", server.stderr.readline())
        assert address is not None
        with urllib.request.urlopen(f"{address[0]}/healthz", timeout=60) as answer:
            assert b'"ok"' in answer.read()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b'{"type": "describe"}\n')
            assert b'"info"' in connection.recv(1000)
        server.send_signal(signal.SIGINT)
        assert server.wait(60) in (0, 130)
        assert "Traceback" not in server.stderr.read()
    finally:
        server.kill()
        server.wait()
