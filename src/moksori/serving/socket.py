"""`/v1/stream`: a WebSocket that takes text as it arrives and gives sound as it is ready."""

import asyncio
import contextlib
import json
from typing import Any

from fastapi import APIRouter, WebSocket
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect, WebSocketState

from moksori.serving.answers import timing_event
from moksori.serving.arriving import ArrivingText
from moksori.serving.errors import Refused, refusal
from moksori.serving.limits import bearer, check_key, check_origin
from moksori.serving.schemas import StartMessage
from moksori.serving.service import Form, Service

_POLICY, _FAILED, _LATER = 1008, 1011, 1013
_CODES = {401: _POLICY, 403: _POLICY, 400: _POLICY, 404: _POLICY, 429: _LATER}


def socket_routes(service: Service) -> APIRouter:
    """`/v1/stream`."""
    router = APIRouter()

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        try:
            check_origin(socket.headers, service.settings)
        except Refused:
            await socket.close(_POLICY)  # before it was accepted: the client is answered 403
            return
        await socket.accept()
        try:
            with service.admission.place():
                async with asyncio.timeout(service.settings.timeout_seconds):
                    await _Conversation(service, socket).hold()
        except WebSocketDisconnect:
            service.metrics.gone.inc()
        except Exception as error:
            found = refusal(error)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it may be gone by now
                await socket.send_json({"type": "error", **found.body})
                await socket.close(_CODES.get(found.status_code, _FAILED))

    return router


class _Conversation:
    """One connection, from its first message to its end."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self._service, self._socket = service, socket

    async def hold(self) -> None:
        """Speaks until the text is over; raises Refused and MoksoriErrors, and WebSocketDisconnect."""
        async with asyncio.timeout(self._service.settings.idle_seconds):
            asked = await self._start()
        text = ArrivingText(self._service, asked, Form(asked.response_format, asked.sample_rate))
        try:
            spoken = await text.open()
            speech = text.sound.speech
            about = {"model": speech.speaker.name, "voice": spoken.who.named, "seed": speech.seed}
            form = {"sample_rate": text.sound.sample_rate, "response_format": asked.response_format}
            await self._socket.send_json({"type": "started", **about, **form, "notes": asked.notes})
            await self._speak(text, asked.timings)
        finally:
            text.close()

    async def _speak(self, text: ArrivingText, timings: bool) -> None:
        """Listens and speaks at once; whichever fails first ends both."""
        listening = asyncio.create_task(self._listen(text))
        speaking = asyncio.create_task(self._tell(text, timings))
        try:
            done, _ = await asyncio.wait({listening, speaking}, return_when=asyncio.FIRST_COMPLETED)
            if listening in done:
                if listening.result():  # raises what was wrong with a message
                    return
                await speaking
            speaking.result()
        finally:
            await _ended(listening, speaking)
        await self._socket.send_json({"type": "done", "seconds": round(text.sound.duration_seconds, 4)})
        if self._socket.application_state is WebSocketState.CONNECTED:
            await self._socket.close()

    async def _listen(self, text: ArrivingText) -> bool:
        """Takes text in until it is cancelled: True, or until the connection ends: WebSocketDisconnect."""
        while True:
            message = await self._message()
            match message.get("type"):
                case "text" if isinstance(message.get("text"), str):
                    text.put(message["text"])
                case "end":
                    text.end()
                case "cancel":
                    await self._socket.close()
                    return True
                case other:
                    raise Refused(
                        400, f"message {str(other)[:40]!r}: expected text, end or cancel", "bad_value", "type"
                    )

    async def _tell(self, text: ArrivingText, timings: bool) -> None:
        async for part in text.parts():
            for sentence in part.sentences if timings else ():
                await self._socket.send_json({**timing_event(sentence), "type": "timings"})
            if part.data:
                async with asyncio.timeout(self._service.settings.idle_seconds):
                    await self._socket.send_bytes(part.data)

    async def _start(self) -> StartMessage:
        message = await self._message()
        try:
            asked = StartMessage.model_validate(message)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(place) for place in first["loc"])
            raise Refused(400, f"{where}: {first['msg']}: begin with type start", "bad_value", where) from error
        check_key(asked.api_key or bearer(self._socket.headers), self._service.settings)
        return asked

    async def _message(self) -> dict[str, Any]:
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1000))
        try:
            message = json.loads(received.get("text") or "")
        except ValueError as error:
            raise Refused(400, "a message is no JSON: send text frames that are", "bad_json") from error
        if not isinstance(message, dict):
            raise Refused(400, "a message is no JSON object", "bad_json")
        return message


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Ends the tasks and waits for them, whatever they raise.

    Not by `gather`: where it is cancelled itself it raises what its last child raised, a CancelledError of ours, which
    the cancel scope of the server around us would not know for its own.
    """
    for task in tasks:
        task.cancel()
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # seen, so not logged as lost
    await asyncio.wait(tasks)
