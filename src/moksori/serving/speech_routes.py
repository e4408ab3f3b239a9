"""Texts: speech in the form of OpenAI's API, and when its words are heard."""

from functools import partial
from typing import Any

import anyio
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from moksori.pipeline.sound_in_progress import SoundInProgress
from moksori.pipeline.speech_timings import SentenceTiming
from moksori.pipeline.timing_files import TimingHeader, timings_text
from moksori.pipeline.turns import next_of
from moksori.serving.answers import MEDIA_TYPES, SoundAnswer
from moksori.serving.errors import Refused
from moksori.serving.schemas import SpeechRequest, TimingsRequest
from moksori.serving.service import Service

_KINDS: dict[str, Any] = {kind: {} for kind in MEDIA_TYPES.values()}
SOUND: dict[int | str, dict[str, Any]] = {200: {"description": "Sound, sent while it is made.", "content": _KINDS}}


def speech_routes(service: Service) -> APIRouter:
    """`/v1/audio/speech` and `/v1/timings`."""
    router = APIRouter(tags=["texts"])

    @router.post("/v1/audio/speech", response_class=Response, responses=SOUND, summary="Speak a text")
    async def speech(asked: SpeechRequest) -> Response:
        service.check_text(asked.input)
        events = asked.stream_format == "sse"
        if asked.timings and not events:
            raise Refused(400, "timings: come as events: set stream_format to sse, or ask /v1/timings", "bad_value")
        return SoundAnswer(
            service,
            partial(service.speech, asked),
            asked.response_format,
            events,
            asked.timings,
            len(asked.input),
        )

    @router.post("/v1/timings", summary="When the words of a text are heard")
    async def timings(asked: TimingsRequest) -> Response:
        service.check_text(asked.input)
        with anyio.fail_after(service.settings.timeout_seconds):
            async with service.admission.turn():
                sound = await service.worker.run(service.plain_speech, asked)
                sentences, header = await _heard(service, sound)
        text = timings_text(lambda: sentences, header, asked.format)
        if asked.format == "json":
            return Response(text, media_type="application/json")
        return PlainTextResponse(text)

    return router


async def _heard(service: Service, sound: SoundInProgress) -> tuple[list[SentenceTiming], TimingHeader]:
    """Makes a whole sound, by turns with other requests, and keeps its times alone."""
    most, samples = service.settings.most_seconds * sound.sample_rate, 0
    blocks = (block for block in sound.blocks)
    while (block := await service.worker.run(next_of, blocks)) is not None:
        samples += len(block)
        if samples > most:
            raise Refused(400, f"it lasts longer than {service.settings.most_seconds:g} s: give less", "too_long")
    seconds = samples / sound.sample_rate
    return list(sound.sentences), TimingHeader(sound.model, sound.seed, sound.sample_rate, seconds)
