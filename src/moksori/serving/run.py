"""Runs the server until it is interrupted."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import uvicorn

from moksori.errors import BadInput
from moksori.serving.app import create_app
from moksori.serving.settings import Settings

WYOMING_PORT = 10200
_BACKLOG = 256
_LAST_SECONDS = 10  # for answers that were begun, once it is interrupted
_MESSAGE_BYTES = 2**20


def serve(settings: Settings, wyoming_port: int | None = None, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serves HTTP, and Wyoming where it is given a port. ready: told the address, once it listens.

    Wyoming knows no keys, so it is for the own machine, or for `insecure`. Raises BadInput where a port is taken.
    """
    if wyoming_port is not None and settings.api_key is not None and not settings.insecure:
        raise BadInput("--wyoming: its clients bring no key: leave --api-key out, or allow everybody with --insecure")
    with _listening(settings) as listener:
        host, port = listener.getsockname()[:2]
        app = create_app(settings)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=_LAST_SECONDS,
            ws_max_size=_MESSAGE_BYTES, ws_max_queue=16,
        )  # fmt: skip

        async def run() -> None:
            async with contextlib.AsyncExitStack() as stack:
                if wyoming_port is not None:
                    from moksori.serving.wyoming_server import start_wyoming

                    await stack.enter_async_context(await start_wyoming(app.state.service, settings.host, wyoming_port))
                ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
                await uvicorn.Server(config).serve(sockets=[listener])

        asyncio.run(run())


def _listening(settings: Settings) -> socket.socket:
    """A socket that listens; raises BadInput where it cannot."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(f"port {settings.port} on {settings.host}: {reason}: choose another with --port") from error
    return listener
