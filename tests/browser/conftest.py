"""A running server with the bundled models, and a headless Chromium that looks at its page.

Skipped, saying so, where playwright, fastapi, uvicorn or a Chromium is missing. `MOKSORI_CHROMIUM` names a Chromium
that is not in the path.
"""

import io
import json
import os
import shutil
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import soundfile

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_REPOSITORY = Path(__file__).resolve().parents[2]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
# Every piece of sound that the page gives to the loudspeaker: its length in seconds, and its mean power.
_LISTEN = """
window.heard = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (...given) {
  const samples = this.buffer.getChannelData(0);
  const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
  window.heard.push({ seconds: this.buffer.duration, power });
  return start.apply(this, given);
};
"""
OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="package")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that keeps its voices in a folder of its own."""
    uvicorn = pytest.importorskip("uvicorn", reason="no uvicorn: pip install 'moksori[serve]'")
    pytest.importorskip("fastapi", reason="no fastapi: pip install 'moksori[serve]'")
    from moksori.serving.app import create_app
    from moksori.serving.settings import Settings

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = tmp_path_factory.mktemp("voices")
    settings = Settings(port=port, voices=kept, scoreboard=_REPOSITORY / "scoreboard", most_characters=300, threads=1)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=port, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30.0
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.started, "the server did not start"
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10.0)


@pytest.fixture(scope="package")
def chromium() -> "Iterator[Browser]":
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    named = os.environ.get("MOKSORI_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if named is None:
        pytest.skip("no Chromium: install one, or name it in MOKSORI_CHROMIUM")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=named, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def open_page(studio: str, chromium: "Browser") -> Iterator[OpenPage]:
    """Opens a part of the page in place of the last; at the end nothing may have failed or gone elsewhere."""
    wrong: list[str] = []
    contexts = []

    def opened(part: str = "speak", locale: str = "en-US", width: int = 1200, height: int = 900) -> "Page":
        for earlier in contexts:
            earlier.close()
        contexts.clear()
        context = chromium.new_context(
            locale=locale, viewport={"width": width, "height": height}, permissions=["microphone"]
        )
        contexts.append(context)
        context.add_init_script(_LISTEN)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: wrong.append(f"error in the page: {error}"))
        page.on("request", lambda request: _check_address(request.url, studio, wrong))
        page.goto(f"{studio}/#{part}")
        page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


def _check_address(url: str, studio: str, wrong: list[str]) -> None:
    if not url.startswith((studio, "blob:", "data:")):
        wrong.append(f"asked for {url}")


@pytest.fixture(scope="package")
def talk(studio: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of speech, made by the bundled voice."""
    asked = {"input": "The sun was warm, and the road was long.", "seed": 3, "response_format": "flac"}
    request = urllib.request.Request(
        f"{studio}/v1/audio/speech", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60.0) as answer:
        samples, rate = soundfile.read(io.BytesIO(answer.read()), dtype="float32")
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    soundfile.write(path, samples, rate)
    return path
