"""The Wyoming protocol, by which Home Assistant and its satellites speak (`moksori serve --wyoming`)."""

import asyncio
import contextlib
import logging
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Attribution, Describe, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker
from wyoming.ping import Ping, Pong
from wyoming.server import AsyncEventHandler
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeTextFormat,
    SynthesizeVoice,
)

from moksori import __version__
from moksori.errors import BadInput
from moksori.pipeline.catalogue import Catalogue
from moksori.pipeline.kept_voices import is_kept
from moksori.serving.arriving import ArrivingText
from moksori.serving.errors import Refused, refusal
from moksori.serving.schemas import SpeechSettings
from moksori.serving.service import Form, Service

logger = logging.getLogger(__name__)

_ATTRIBUTION = Attribution("moksori", "")
_MOST_BYTES = 2**20
_WIDTH = 2


class _Bounded:
    """A stream of which no piece is read that is larger than a request can be."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def readline(self) -> bytes:
        return await self._reader.readline()

    async def readexactly(self, count: int) -> bytes:
        if count > _MOST_BYTES:
            raise ValueError(f"a piece of {count} bytes")
        return await self._reader.readexactly(count)

    def feed_eof(self) -> None:
        self._reader.feed_eof()


class WyomingHandler(AsyncEventHandler):
    """One connection: texts that come whole (`synthesize`) or in chunks, answered by chunks of sound."""

    def __init__(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(_Bounded(reader), writer)  # type: ignore[arg-type]
        self._service = service
        self._text: ArrivingText | None = None
        self._speaking: asyncio.Task[None] | None = None

    async def handle_event(self, event: Event) -> bool:
        """Answers an event; False ends the connection."""
        if Describe.is_type(event.type):
            await self.write_event(information(self._service.catalogue).event())
        elif Ping.is_type(event.type):
            await self.write_event(Pong(text=Ping.from_event(event).text).event())
        else:
            try:
                await self._spoken(event)
            except (KeyError, TypeError, AttributeError) as error:
                await self._tell(Refused(400, f"event {event.type}: lacks {error}", "bad_value"))
            except Exception as error:
                if isinstance(error, ConnectionError):
                    return False
                await self._tell(error)
        return True

    async def disconnect(self) -> None:
        """Ends what is still spoken."""
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.gather(self._speaking, return_exceptions=True)

    async def _spoken(self, event: Event) -> None:
        if SynthesizeStart.is_type(event.type):
            started = SynthesizeStart.from_event(event)
            await self.disconnect()
            self._text = self._asked(started.voice, started.text_format)
            self._speaking = asyncio.create_task(self._stream(self._text))
        elif SynthesizeChunk.is_type(event.type) and self._text is not None:
            self._text.put(SynthesizeChunk.from_event(event).text)
        elif SynthesizeStop.is_type(event.type) and self._text is not None and self._speaking is not None:
            self._text.end()
            try:
                await self._speaking
            finally:
                self._text = self._speaking = None
                await self.write_event(SynthesizeStopped().event())
        elif Synthesize.is_type(event.type) and self._text is None:  # beside chunks it repeats them for old servers
            whole = Synthesize.from_event(event)
            text = self._asked(whole.voice, whole.text_format)
            text.put(whole.text)
            text.end()
            await self._stream(text)

    def _asked(self, voice: SynthesizeVoice | None, form: object) -> ArrivingText:
        name, speaker = (None, None) if voice is None else (voice.name, voice.speaker)
        kept = name is not None and is_kept(name)
        asked = SpeechSettings.model_validate(
            {
                "model": None if kept else name,
                "voice": name if kept else speaker,
                "language": None if voice is None else voice.language,
                "ssml": form is SynthesizeTextFormat.SSML,
            }
        )
        return ArrivingText(self._service, asked, Form("pcm", None))

    async def _stream(self, text: ArrivingText) -> None:
        """Speaks a text until it is over."""
        settings = self._service.settings
        try:
            with self._service.admission.place():
                async with asyncio.timeout(settings.timeout_seconds):
                    await text.open()
                    form: dict[str, Any] = {"rate": text.sound.sample_rate, "width": _WIDTH, "channels": 1}
                    await self.write_event(AudioStart(**form).event())
                    async for part in text.parts():
                        if part.data:
                            async with asyncio.timeout(settings.idle_seconds):
                                await self.write_event(AudioChunk(audio=part.data, **form).event())
                    await self.write_event(AudioStop().event())
        finally:
            text.close()

    async def _tell(self, error: Exception) -> None:
        found = refusal(error)
        await self.write_event(Error(text=str(found.detail), code=found.code).event())


def information(catalogue: Catalogue) -> Info:
    """All voices, as Wyoming's clients list them."""
    voices = []
    for name, listed in catalogue.all().items():
        if "speech" in listed.tasks:
            about = listed.manifest
            languages = sorted({about.speaker_languages.get(each, about.language) for each in listed.speakers})
            speakers = [TtsVoiceSpeaker(each) for each in listed.speakers] if len(listed.speakers) > 1 else None
            said = f"{name} ({about.family})"
            voices.append(TtsVoice(name, _ATTRIBUTION, True, said, __version__, languages, speakers))
    for kept in catalogue.kept.all():
        if kept.voice.kind != "style" and catalogue.model_of(kept.voice) is not None:
            voices.append(TtsVoice(kept.id, _ATTRIBUTION, True, kept.voice.name, __version__, ["en-us"]))
    said = "Neural voices on this machine"
    return Info(tts=[TtsProgram("moksori", _ATTRIBUTION, True, said, __version__, voices, True)])


async def start_wyoming(service: Service, host: str, port: int) -> asyncio.Server:
    """Listens on a port until the server that it gives is closed; raises BadInput where the port is taken."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = WyomingHandler(service, reader, writer)
        with contextlib.suppress(ConnectionError, ValueError, asyncio.IncompleteReadError):
            await handler.run()

    try:
        return await asyncio.start_server(connected, host, port)
    except OSError as error:
        raise BadInput(
            f"port {port} on {host}: {error.strerror or error}: choose another with --wyoming-port"
        ) from error
