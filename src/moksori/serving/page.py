"""Pages: the studio's files, and a plain description of the API that needs nothing from anywhere else."""

from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
h2{margin-top:2rem;border-bottom:1px solid #8884;padding-bottom:.2rem;font-size:1.1rem}
code{font-family:ui-monospace,monospace} table{border-collapse:collapse;width:100%} td{padding:.2rem .6rem .2rem 0;
vertical-align:top;border-bottom:1px solid #8882} .verb{display:inline-block;min-width:4rem;font-weight:700}
"""


class _Files(StaticFiles):
    """Files that browsers ask for again when they have changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["cache-control"] = "no-cache"
        return answer


def add_pages(app: FastAPI) -> None:
    """Serves the studio at `/` and the description of the API at `/docs`."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(described(app.openapi()))

    app.mount("/", _Files(directory=Path(str(files("moksori.serving"))) / "static", html=True), name="studio")


def described(schema: dict[str, Any]) -> str:
    """An OpenAPI document as one page."""
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>moksori API</title><style>{_STYLE}</style>"]
    parts.append("<meta name=viewport content='width=device-width'><h1>moksori API</h1>")
    parts.append("<p>The machine-readable form is <a href=/openapi.json>/openapi.json</a>; the studio is at ")
    parts.append("<a href=/>/</a>. Text as it comes, over a WebSocket: <code>/v1/stream</code>.</p>")
    for path, verbs in schema["paths"].items():
        for verb, about in verbs.items():
            parts.append(f"<h2><code><span class=verb>{verb.upper()}</span>{escape(path)}</code></h2>")
            parts.append(f"<p>{escape(about.get('summary', ''))}</p>")
            rows = _fields(about, schema)
            if rows:
                cells = "".join(f"<tr><td><code>{name}</code><td>{kind}<td>{text}</tr>" for name, kind, text in rows)
                parts.append(f"<table>{cells}</table>")
    return "".join(parts)


def _fields(about: dict[str, Any], schema: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, form and meaning of the fields of a request."""
    rows = []
    for content in about.get("requestBody", {}).get("content", {}).values():
        reference = content["schema"].get("$ref", "")
        named = schema["components"]["schemas"].get(reference.rpartition("/")[2], content["schema"])
        needed = named.get("required", [])
        for name, field in named.get("properties", {}).items():
            kind = _kind(field) + (", needed" if name in needed else "")
            rows.append((escape(name), escape(kind), escape(field.get("description", ""))))
    return rows


def _kind(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(dict.fromkeys(_kind(each) for each in field["anyOf"] if each.get("type") != "null"))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if field.get("contentMediaType") or field.get("format") == "binary":
        return "file"
    return str(field.get("type") or field.get("$ref", "").rpartition("/")[2] or "value")
