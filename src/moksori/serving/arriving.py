"""Text that comes bit by bit over a connection, spoken sentence by sentence, for all protocols that have this."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import anyio

from moksori.pipeline.arriving_speech import ArrivingSound
from moksori.pipeline.sentences import Sentence, arriving
from moksori.pipeline.sound_in_progress import EncodedPart
from moksori.pipeline.turns import end, next_of
from moksori.serving.errors import Refused
from moksori.serving.schemas import SpeechSettings
from moksori.serving.service import Form, Service, Spoken


class ArrivingText:
    """`open` it, `put` text as it comes and `end` it; `parts` gives the sound meanwhile; `close` it in any case.

    Text is cut into sentences in a thread of its own, since that waits for what is still to come. The models work for
    a sentence at a time, so that a connection on which nothing comes keeps nobody waiting.
    """

    def __init__(self, service: Service, asked: SpeechSettings, form: Form) -> None:
        self._service, self._asked, self._form = service, asked, form
        self._texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._found: asyncio.Queue[Sentence | Exception | None] = asyncio.Queue()
        self._characters = 0
        self.sound: ArrivingSound

    async def open(self) -> Spoken:
        """Loads who is to speak; raises what is wrong with what was asked for."""
        async with self._service.admission.turn():
            speech, spoken = await self._service.worker.run(self._service.arriving, self._asked)
        settings, form = self._service.settings, self._form
        self.sound = ArrivingSound(speech, form.format, form.heard_rate, settings.most_seconds, settings.watermark)
        told = (asyncio.get_running_loop(), spoken.language)
        threading.Thread(target=self._split, args=told, name="moksori-sentences", daemon=True).start()
        return spoken

    def put(self, text: str) -> None:
        """More of the text; raises Refused where all of it together is too long."""
        self._characters += len(text)
        most = self._service.settings.most_characters
        if self._characters > most:
            message = f"text: more than {most:,} characters came: open another connection for the rest"
            raise Refused(400, message, "too_long", "text")
        self._service.metrics.characters.inc(len(text))
        self._texts.put(text)

    def end(self) -> None:
        """The text is whole."""
        self._texts.put(None)

    async def parts(self) -> AsyncIterator[EncodedPart]:
        """The sound of the sentences as they come; raises what speaking raises."""
        while (sentence := await self._found.get()) is not None:
            if isinstance(sentence, Exception):
                raise sentence
            async for part in self._by_turns(self.sound.say, sentence):
                yield part
        async for part in self._by_turns(self.sound.finish):
            yield part

    def close(self) -> None:
        """Ends the thread, and lets go of the sound."""
        self._texts.put(None)
        if hasattr(self, "sound"):
            self.sound.close()

    async def _by_turns(
        self, made: Callable[..., Generator[EncodedPart, None, None]], *args: Any
    ) -> AsyncIterator[EncodedPart]:
        worker, parts = self._service.worker, made(*args)
        async with self._service.admission.turn():
            try:
                while (part := await worker.run(next_of, parts)) is not None:
                    yield part
            finally:
                with anyio.CancelScope(shield=True):
                    await worker.run(end, parts)

    def _split(self, loop: asyncio.AbstractEventLoop, language: str) -> None:
        """Runs in its own thread until the text ends."""

        def tell(found: Sentence | Exception | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._found.put_nowait, found)

        try:
            for sentence in arriving(iter(self._texts.get, None), language, self._asked.ssml):
                tell(sentence)
        except Exception as error:
            tell(error)
        tell(None)
