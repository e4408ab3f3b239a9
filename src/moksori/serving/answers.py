"""Answers that are sound: sent while it is made, ended where nobody listens any more."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from moksori.audio.encode import StreamFormat
from moksori.pipeline.sound_in_progress import EncodedPart, EncodedSound
from moksori.pipeline.speech_timings import SentenceTiming
from moksori.pipeline.turns import next_of
from moksori.serving.errors import refusal
from moksori.serving.service import Service

MEDIA_TYPES: Mapping[StreamFormat, str] = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "pcm": "audio/pcm",
}


class SoundAnswer(Response):
    """prepare: called in the worker when it is this request's turn; what it raises is answered as an error.

    events: send events (stream_format sse) instead of bytes; with `timings` those too. characters: of the text. tell:
    makes of a message what its reader knows by name. done: called at the end, however it came. A failure after the
    first bytes breaks the connection, so that nobody takes half a sound for a whole one.
    """

    def __init__(
        self,
        service: Service,
        prepare: Callable[[], EncodedSound],
        form: StreamFormat,
        events: bool = False,
        timings: bool = False,
        characters: int = 0,
        tell: Callable[[str], str] = str,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(None, 200)
        self._service, self._prepare, self._form = service, prepare, form
        self._events, self._timings, self._characters = events, timings, characters
        self._tell, self._done = tell, done
        self._began, self._whole = time.monotonic(), False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer, or what went wrong."""
        try:
            async with anyio.create_task_group() as group:

                async def listen() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    if not self._whole:
                        self._service.metrics.gone.inc()
                    group.cancel_scope.cancel()

                group.start_soon(listen)
                await self._answer(scope, receive, send)
                group.cancel_scope.cancel()
        finally:
            self._done()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings, started = self._service.settings, False

        async def sent(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            self._whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            with anyio.fail_after(settings.idle_seconds):  # who takes nothing for so long is not waited for
                await send(message)

        try:
            with anyio.fail_after(settings.timeout_seconds):
                async with self._service.admission.turn(), _made(self._service, self._prepare) as (sound, parts):
                    await self._stream(sound, parts, sent)
        except Exception as error:
            found = refusal(error)
            found.detail = self._tell(str(found.detail))
            if not started:
                await found.response(scope, receive, send)
                return
            self._service.metrics.failures.inc()
            if self._events:
                with anyio.move_on_after(settings.idle_seconds):
                    await send(_body(_event({"type": "error", **found.body})))
                    await send(_body(b"", more=False))

    async def _stream(self, sound: EncodedSound, parts: AsyncIterator[EncodedPart], send: Callable[..., Any]) -> None:
        """The head with the first bytes of sound, then the rest."""
        samples, seconds, begun = 0, sound.sound.sample_rate, False
        async for part in parts:
            data = self._as_sent(part)
            if samples == 0 and part.samples:
                self._service.metrics.first_audio.observe(time.monotonic() - self._began)
            samples += part.samples
            self._service.metrics.sound.labels(sound.sound.model).inc(part.samples / seconds)
            if not begun and data:
                begun = True
                await send(self._head(sound))
                data = self._started(sound) + data
            if data:
                await send(_body(data))
        if self._events:
            usage = {"input_tokens": self._characters, "output_tokens": 0, "total_tokens": self._characters}
            last = {"type": "speech.audio.done", "usage": usage, "seconds": round(samples / seconds, 4)}
            await send(_body(_event(last)))
        await send(_body(b"", more=False))

    def _as_sent(self, part: EncodedPart) -> bytes:
        if not self._events:
            return part.data
        told = [_event(timing_event(sentence)) for sentence in part.sentences] if self._timings else []
        if part.data:
            audio = base64.b64encode(part.data).decode()
            told.append(_event({"type": "speech.audio.delta", "audio": audio}))
        return b"".join(told)

    def _started(self, sound: EncodedSound) -> bytes:
        return _event({"type": "speech.started", **self._about(sound)}) if self._events else b""

    def _about(self, sound: EncodedSound) -> dict[str, Any]:
        """What is told of a sound before its first byte."""
        made = sound.sound
        return {
            "model": made.model,
            "voice": self._tell(made.voice),
            "seed": made.seed,
            "sample_rate": sound.sample_rate,
            "response_format": self._form,
            "notes": [self._tell(note) for note in made.notes],
        }

    def _head(self, sound: EncodedSound) -> Message:
        told = self._about(sound)
        media_type = "text/event-stream" if self._events else MEDIA_TYPES[self._form]
        headers = {
            "content-type": media_type,
            "cache-control": "no-store",
            "x-moksori-seed": str(told["seed"]),
            "x-moksori-model": told["model"],
            "x-moksori-voice": told["voice"],
            "x-moksori-sample-rate": str(told["sample_rate"]),
            "x-moksori-notes": json.dumps(told["notes"]),
            "x-moksori-source": self._tell(sound.sound.source),
        }
        raw = [(name.encode(), _in_header(value)) for name, value in headers.items()]
        return {"type": "http.response.start", "status": 200, "headers": raw}


def timing_event(sentence: SentenceTiming) -> dict[str, Any]:
    """When a sentence and its words are heard."""
    return {
        "type": "speech.timings.delta",
        "sentence": sentence.number,
        "text": sentence.text,
        "start_seconds": round(sentence.start_seconds, 4),
        "end_seconds": round(sentence.end_seconds, 4),
        "words": [word.as_json() for word in sentence.words],
    }


@asynccontextmanager
async def _made(
    service: Service, prepare: Callable[[], EncodedSound]
) -> AsyncIterator[tuple[EncodedSound, AsyncIterator[EncodedPart]]]:
    """A sound, and its parts as the worker makes them; at the end nothing of it goes on."""
    sound = await service.worker.run(prepare)

    async def parts() -> AsyncIterator[EncodedPart]:
        while (part := await service.worker.run(next_of, sound.parts)) is not None:
            yield part

    try:
        yield sound, parts()
    finally:
        with anyio.CancelScope(shield=True):
            await service.worker.run(sound.close)


def _event(content: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n".encode()


def _body(data: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def _in_header(value: str) -> bytes:
    """Latin-1 as headers have it; what it lacks is told as escapes."""
    line = "".join(c for c in " ".join(value.split()) if c.isprintable())
    return line.encode("latin-1", "backslashreplace")
