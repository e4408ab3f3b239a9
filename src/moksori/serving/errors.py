"""What is answered where something is wrong: a status, and JSON that says what to change, in the form of OpenAI's."""

import logging
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from moksori.errors import (
    AudioError,
    BadInput,
    CheckpointError,
    MissingExtra,
    MoksoriError,
    TextError,
    UnknownName,
    UnsupportedTask,
)
from moksori.pipeline.models import bundled_folder, home

logger = logging.getLogger(__name__)

UPLOAD_PREFIX = "moksori-upload-"
_UPLOADED = re.compile(rf"[^\s'\"]*/{UPLOAD_PREFIX}[^/\s]*/")
_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
_KINDS: tuple[tuple[type[MoksoriError], int, str], ...] = (
    (UnknownName, 404, "unknown_name"),
    (AudioError, 400, "bad_audio"),
    (TextError, 400, "bad_text"),
    (UnsupportedTask, 400, "unsupported"),
    (MissingExtra, 501, "missing_extra"),
    (CheckpointError, 400, "bad_model"),
    (BadInput, 400, "bad_input"),
    (MoksoriError, 500, "failed"),
)


class Refused(HTTPException):
    """A request that is not answered; `code` is for programs, `param` names the field that is meant."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code, self.param = code, param

    @property
    def body(self) -> dict[str, Any]:
        """The error as it is told."""
        kind = _TYPES.get(self.status_code, "invalid_request_error" if self.status_code < 500 else "server_error")
        return {"error": {"message": self.detail, "type": kind, "param": self.param, "code": self.code}}

    @property
    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status_code, self.headers)


def refusal(error: Exception) -> Refused:
    """What is told of an error; what nobody expected is logged, and told without what is inside."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, TimeoutError):
        return Refused(503, "it took longer than this server allows: give less text or sound", "timeout")
    for kind, status, code in _KINDS:
        if isinstance(error, kind):
            return Refused(status, _without_folders(str(error)), code)
    logger.error("unexpected error", exc_info=error)
    return Refused(500, "unexpected error: see the server's log", "failed")


def _without_folders(message: str) -> str:
    """A message without the server's own folders, and those in which it keeps what was sent."""
    for folder in (bundled_folder(), home()):
        message = message.replace(f"{folder}/", "")
    return " ".join(_UPLOADED.sub("", message).split())


def tell_errors(app: FastAPI) -> None:
    """Has an app answer all errors in this form."""

    async def known(request: Request, error: Exception) -> JSONResponse:
        return refusal(error).response

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return _invalid(error).response

    async def of_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if isinstance(error, Refused):
            return error.response
        messages = {404: f"{request.url.path}: there is no such page: see /docs", 405: f"{request.method}: see /docs"}
        message = messages.get(error.status_code, str(error.detail))
        return Refused(error.status_code, message, "http", headers=error.headers).response

    app.add_exception_handler(MoksoriError, known)
    app.add_exception_handler(TimeoutError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Exception, known)


def _invalid(error: RequestValidationError) -> Refused:
    """The first field that is wrong."""
    first = error.errors()[0]
    places = [str(place) for place in first["loc"] if place not in ("body", "query", "path")]
    param = ".".join(places) or None
    where = param or "the request"
    if first["type"] == "json_invalid":
        return Refused(400, f"the body is no JSON: {first.get('ctx', {}).get('error', 'see its end')}", "bad_json")
    if first["type"] == "extra_forbidden":
        return Refused(400, f"{where}: there is no such field: see /docs", "unknown_field", param)
    value = "" if first["type"] == "missing" else f" {str(first.get('input'))[:60]!r}"
    return Refused(400, f"{where}{value}: {first['msg'][0].lower()}{first['msg'][1:]}", "bad_value", param)
