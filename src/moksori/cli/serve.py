"""`moksori serve`: every model behind one HTTP API, and the studio page."""

import os
from pathlib import Path
from typing import Annotated

import typer

from moksori.errors import BadInput, MissingExtra, unknown_name


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; another than this machine's needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="0 takes a free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", help="What requests must bring.", show_default="MOKSORI_API_KEY, else none"),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Let others in the network in without a key.")] = False,
    wyoming: Annotated[bool, typer.Option("--wyoming", help="Also speak to Home Assistant.")] = False,
    wyoming_port: Annotated[int, typer.Option("--wyoming-port", help="For --wyoming.")] = 10200,
    watermark: Annotated[bool, typer.Option("--watermark", help="Mark all sound inaudibly.")] = False,
    preload: Annotated[
        list[str] | None,
        typer.Option(
            "--preload", help="A model to load at the start; may be repeated.", show_default="the default voice"
        ),
    ] = None,
    keep_models: Annotated[int, typer.Option("--keep-models", min=1, help="Loaded at a time.")] = 4,
    device: Annotated[str, typer.Option("--device", help="cpu, or cuda.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of the models.", show_default="half of the processors")
    ] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Requests worked on at a time.")] = 8,
    queue: Annotated[int, typer.Option("--queue", min=0, help="Requests that may wait.")] = 56,
    batch: Annotated[
        int, typer.Option("--batch", min=1, help="Short sentences spoken at once where requests wait; 1: none.")
    ] = 8,
    most_characters: Annotated[int, typer.Option("--max-characters", min=1, help="Of a text.")] = 10_000,
    most_seconds: Annotated[float, typer.Option("--max-seconds", help="Of sound that is made.")] = 1200.0,
    most_upload: Annotated[float, typer.Option("--max-upload-mb", help="Of a request with files, in MiB.")] = 25.0,
    most_upload_seconds: Annotated[float, typer.Option("--max-upload-seconds", help="Of a recording.")] = 600.0,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds from a request to the end of its answer.")
    ] = 600.0,
    voices: Annotated[
        Path | None, typer.Option("--voices", help="Folder of cloned voices.", show_default="moksori's own")
    ] = None,
    scoreboard: Annotated[Path, typer.Option("--scoreboard", help="Folder of measurements.")] = Path("scoreboard"),
    engine: Annotated[str, typer.Option("--engine", help="Who serves: local, or ray: Ray Serve.")] = "local",
    replicas: Annotated[int, typer.Option("--replicas", min=1, help="With --engine ray: processes.")] = 1,
) -> None:
    """Serve the models over HTTP, with a page to try them.

    Examples: moksori serve; moksori serve --port 9000 --wyoming; MOKSORI_API_KEY=... moksori serve --host 0.0.0.0
    """
    _check_engine(engine, replicas, wyoming)
    from moksori.serving.settings import Settings

    settings = Settings(
        host=host,
        port=port,
        api_key=api_key or os.environ.get("MOKSORI_API_KEY") or None,
        insecure=insecure,
        device=device,
        threads=threads,
        keep_models=keep_models,
        watermark=watermark,
        most_characters=most_characters,
        most_seconds=most_seconds,
        most_upload_bytes=int(most_upload * 2**20),
        most_upload_seconds=most_upload_seconds,
        concurrency=concurrency,
        queue=queue,
        batch=batch,
        timeout_seconds=timeout,
        scoreboard=scoreboard,
        voices=voices,
        preload=tuple(preload or ("default",)),
    )
    try:
        from moksori.serving import run
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "serve", "serving") from error
    if wyoming:
        _check_wyoming()

    def ready(url: str) -> None:
        typer.echo(f"moksori: studio at {url}, API at {url}/docs, stop with Ctrl-C", err=True)

    if engine == "ray":
        from moksori.serving.on_ray import serve_on_ray

        serve_on_ray(settings, replicas, ready)
        return
    run.serve(settings, wyoming_port if wyoming else None, ready)


def _check_engine(engine: str, replicas: int, wyoming: bool) -> None:
    """Raises BadInput, or UnknownName, for what does not go together."""
    if engine not in ("local", "ray"):
        raise unknown_name("engine", engine, ("local", "ray"))
    if engine == "local" and replicas != 1:
        raise BadInput(f"--replicas {replicas}: is for --engine ray")
    if engine == "ray" and wyoming:
        raise BadInput("--wyoming: is not served by Ray: start a second moksori serve --wyoming without --engine")


def _check_wyoming() -> None:
    """Raises MissingExtra without the package."""
    from importlib.util import find_spec

    if find_spec("wyoming") is None:
        raise MissingExtra("wyoming", "serve", "--wyoming")
