"""What is asked of every request before anything is read of it: who asks, from where, and how much comes."""

import hmac
import time
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moksori.serving.errors import Refused
from moksori.serving.service import Service
from moksori.serving.settings import Settings, is_loopback

_JSON_BYTES = 2**20
_UPLOADS = ("/v1/convert", "/v1/clone", "/v1/sing")
_FORM_BYTES = 2**16  # of fields and boundaries beside the files
_PAGE_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob: data:",
        "style-src 'self' 'unsafe-inline'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": _PAGE_POLICY,
}


def check_origin(headers: Headers, settings: Settings) -> None:
    """Raises Refused (403) for a request that a page of somebody else's sent.

    Browsers send such requests to this machine without asking, and know names that somebody else made point to it.
    """
    host = headers.get("host", "")
    if settings.api_key is None and not settings.insecure and not is_loopback(urlsplit(f"//{host}").hostname or ""):
        raise Refused(403, f"host {host[:60]!r}: this server is for its own machine: use http://localhost", "bad_host")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        raise Refused(403, f"origin {origin[:60]!r}: requests of other pages are refused", "bad_origin")


def check_key(given: str | None, settings: Settings) -> None:
    """Raises Refused (401) unless a request brings the key, where there is one."""
    wanted = settings.api_key
    if wanted is None:
        return
    if not hmac.compare_digest((given or "").encode(), wanted.encode()):
        raise Refused(
            401, "a key is needed: send the header 'Authorization: Bearer KEY'", "bad_key",
            headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip


def bearer(headers: Headers) -> str | None:
    """The key that a request brings."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


class Gate:
    """The outermost layer of the app: origin, key, room, and the bytes of a body, counted as they come."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self._service, self._settings = app, service, service.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # WebSockets look at all this themselves
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=list(message["headers"]))
                for name, value in _HEADERS.items():
                    headers[name] = value
                message = {**message, "headers": headers.raw}
            await send(message)

        try:
            await self._admitted(scope, receive, sent)
        except Refused as refused:
            await refused.response(scope, receive, sent)
        finally:
            route = getattr(scope.get("route"), "path", "other") or "page"
            self._service.metrics.requests.labels(route, str(status)).inc()
            self._service.metrics.seconds.labels(route).observe(time.monotonic() - began)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        check_origin(headers, self._settings)
        if path.startswith("/v1/") or path == "/metrics":
            check_key(bearer(headers), self._settings)
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        with self._service.admission.place():
            await self.app(scope, self._counted(path, headers, receive), send)

    def _counted(self, path: str, headers: Headers, receive: Receive) -> Receive:
        """The body, of which no more is read than may come, and that has to come."""
        most = self._settings.most_upload_bytes + _FORM_BYTES if path in _UPLOADS else _JSON_BYTES
        told = headers.get("content-length", "")
        if told.isdigit() and int(told) > most:
            raise _too_large(most)
        came, whole, ends = 0, False, time.monotonic() + self._settings.timeout_seconds

        async def counted() -> Message:
            nonlocal came, whole
            if whole:
                return await receive()
            try:
                with anyio.fail_after(min(self._settings.idle_seconds, max(ends - time.monotonic(), 0.0))):
                    message = await receive()
            except TimeoutError as error:
                raise Refused(408, "the request did not come to its end: send it again", "timeout") from error
            came += len(message.get("body", b""))
            if came > most:
                raise _too_large(most)
            whole = not message.get("more_body", False)
            return message

        return counted


def _too_large(most: int) -> Refused:
    return Refused(413, f"the request is too large: {most:,} bytes at most are taken", "too_large")
