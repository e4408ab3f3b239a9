"""A server over tiny untrained models: `trio` speaks and converts, `imitator` hears voices, `ns2-tiny` sings."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("prometheus_client", reason="the extra serve is not installed")
pytest.importorskip("httpx", reason="httpx, of the extra dev, is not installed")

BASE = "http://localhost:8000"


@pytest.fixture(scope="session")
def serving_models(tmp_path_factory) -> Path:
    """$MOKSORI_HOME with the models, and an index that makes `trio` the default."""
    from small_converter import save_converter
    from small_imitator import save_imitator, save_vocoder
    from small_prompted import save_prompted

    home = tmp_path_factory.mktemp("serving")
    save_converter(home / "models" / "trio")
    save_imitator(home / "models" / "imitator")
    save_vocoder(home / "models" / "sounder")
    save_prompted(home / "models")
    index = {"default": "trio", "models": {"trio": {"family": "vits", "default": True}}}
    (home / "weights").mkdir()
    (home / "weights" / "index.json").write_text(json.dumps(index))
    return home


@pytest.fixture(scope="module")
def house(serving_models) -> Iterator[Path]:
    """The same as what this machine has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOKSORI_HOME", str(serving_models))
        patch.setattr("moksori.pipeline.models.bundled_folder", lambda: serving_models / "weights")
        yield serving_models


@pytest.fixture(scope="module")
def client(house, tmp_path_factory) -> Iterator:
    """A client of one server for all tests of a file."""
    from fastapi.testclient import TestClient

    from moksori.serving.app import create_app
    from moksori.serving.settings import Settings

    settings = Settings(voices=tmp_path_factory.mktemp("voices"), most_upload_seconds=20.0)
    with TestClient(create_app(settings), base_url=BASE) as found:
        yield found


@pytest.fixture
def client_of(house, tmp_path) -> Iterator[Callable]:
    """Makes a client of a server with its own settings."""
    from contextlib import ExitStack

    from fastapi.testclient import TestClient

    from moksori.serving.app import create_app
    from moksori.serving.settings import Settings

    with ExitStack() as stack:

        def make(**settings):
            app = create_app(Settings(**{"voices": tmp_path / "voices", **settings}))
            return stack.enter_context(TestClient(app, base_url=BASE))

        yield make


@pytest.fixture(scope="session")
def talking() -> bytes:
    """A wav of something like speech, 1.5 s at 16 kHz."""
    from small_imitator import talk

    sound, file = talk(1.5), io.BytesIO()
    soundfile.write(file, sound.samples, sound.sample_rate, format="WAV")
    return file.getvalue()


@pytest.fixture(scope="session")
def seconds_of() -> Callable[[bytes], float]:
    """How long an audio file is."""

    def measure(content: bytes) -> float:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
        assert np.abs(samples).max() > 0.0
        return len(samples) / rate

    return measure


@pytest.fixture
def running(house, tmp_path) -> Iterator[Callable]:
    """Runs servers on free ports, with real sockets; gives their addresses."""
    import asyncio
    import threading

    import uvicorn

    from moksori.serving.app import create_app
    from moksori.serving.settings import Settings

    begun: list[tuple[uvicorn.Server, threading.Thread]] = []

    def run(**settings) -> tuple[str, object]:
        app = create_app(Settings(**{"voices": tmp_path / "voices", **settings}))
        config = uvicorn.Config(app, "127.0.0.1", 0, log_level="error")
        server, listening = uvicorn.Server(config), threading.Event()

        async def serve() -> None:
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            listening.set()
            await serving

        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        assert listening.wait(30)
        begun.append((server, thread))
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}", app.state.service

    yield run
    for server, thread in begun:
        server.should_exit = True
        thread.join(20)
