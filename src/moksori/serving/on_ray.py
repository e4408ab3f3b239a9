"""The same server as an app of Ray Serve (extra `[scale]`): several processes behind one port, or many machines.

Each replica is the whole app with models of its own; kept voices are files that all of them look at, so that their
folder has to be one that every machine sees. Limits of concurrency and queue hold for each replica.
"""

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from moksori.errors import BadInput, MissingExtra, MoksoriError
from moksori.pipeline.engines import ray_modules, start_ray
from moksori.serving.settings import Settings

NAME = "moksori"
_LOOK_SECONDS = 1.0


def serve_on_ray(
    settings: Settings, replicas: int = 1, ready: Callable[[str], None] = lambda url: None, forever: bool = True
) -> None:
    """Serves HTTP until it is interrupted. ready: told the address, once it answers. forever: False leaves it running.

    Joins the cluster that RAY_ADDRESS names, or starts one on this machine.
    Raises MissingExtra without ray[serve], BadInput where the port is taken or 0.
    """
    if settings.port == 0:
        raise BadInput("port 0: Ray Serve does not tell which port it took: name one, --port 8000")
    _check_port(settings)
    ray, _ = ray_modules()
    try:
        from ray import serve
    except ImportError as error:
        raise MissingExtra("ray[serve]", "scale", "the engine ray") from error
    start_ray(ray)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        serve.start(
            http_options={"host": settings.host, "port": settings.port, "request_timeout_s": settings.timeout_seconds},
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        serve.run(deployment(serve, settings, replicas), name=NAME, route_prefix="/")
    except (RuntimeError, ray.exceptions.RayError) as error:
        _end(serve, ray)
        raise MoksoriError(f"Ray Serve did not start: {' '.join(str(error).split())[:300]}") from error
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    ready(f"http://{host}:{settings.port}")
    if not forever:
        return
    try:
        while True:
            time.sleep(_LOOK_SECONDS)
    finally:
        _end(serve, ray)


def deployment(serve: Any, settings: Settings, replicas: int) -> Any:
    """The app as what `serve.run` takes. Settings are plain values, the app is made where the replica runs."""
    settings = replace(
        settings,
        scoreboard=settings.scoreboard.resolve(),
        voices=None if settings.voices is None else settings.voices.resolve(),
        threads=settings.threads or 1,
    )

    def build() -> Any:
        from moksori.serving.app import create_app

        return create_app(settings)

    wrapped = serve.deployment(
        serve.ingress(build)(),
        name=NAME,
        num_replicas=replicas,
        # The app itself refuses what is too much, with a 429 that says when to come back.
        max_ongoing_requests=2 * (settings.concurrency + settings.queue) + 16,
        ray_actor_options={"num_cpus": settings.threads},
        health_check_timeout_s=60,
        graceful_shutdown_timeout_s=5,
    )
    return wrapped.bind()


def _check_port(settings: Settings) -> None:
    """Raises BadInput where a port is taken, which Ray would only write into its log."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(f"port {settings.port} on {settings.host}: {reason}: choose another with --port") from error


def _end(serve: Any, ray: Any) -> None:
    serve.shutdown()
    ray.shutdown()
