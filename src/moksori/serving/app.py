"""The whole server as one ASGI app: `create_app(Settings())`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from moksori import __version__
from moksori.serving.errors import tell_errors
from moksori.serving.limits import Gate
from moksori.serving.listing_routes import listing_routes
from moksori.serving.page import add_pages
from moksori.serving.recording_routes import recording_routes
from moksori.serving.service import Service
from moksori.serving.settings import Settings
from moksori.serving.socket import socket_routes
from moksori.serving.speech_routes import speech_routes


def create_app(settings: Settings | None = None) -> FastAPI:
    """The app; `app.state.service` is what its routes share.

    It holds its models itself: one process, one app. Raises UnknownName for a model to be loaded that is not here.
    """
    service = Service(settings or Settings())
    first = service.first_models()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        for name in first:
            await service.worker.run(service.shelf.take, name)
        try:
            yield
        finally:
            service.close()

    app = FastAPI(title="moksori", version=__version__, lifespan=life, docs_url=None, redoc_url=None)
    app.state.service = service
    app.add_middleware(Gate, service=service)
    tell_errors(app)
    for routes in (speech_routes, recording_routes, listing_routes, socket_routes):
        app.include_router(routes(service))
    add_pages(app)
    return app
