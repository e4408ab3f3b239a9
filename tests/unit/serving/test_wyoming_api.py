"""Home Assistant's protocol, by its own client."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("wyoming", reason="the extra serve is not installed")

from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeVoice


def talked(house, tmp_path, talk):
    """Runs a server and what a client does with it."""
    from moksori.serving.service import Service
    from moksori.serving.settings import Settings
    from moksori.serving.wyoming_server import start_wyoming

    async def run():
        service = Service(Settings(voices=tmp_path / "voices", most_characters=500))
        async with await start_wyoming(service, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with asyncio.timeout(60), AsyncTcpClient("127.0.0.1", port) as client:
                found = await talk(client)
        service.close()
        return found

    with ThreadPoolExecutor(1) as apart:  # this thread may have a loop of another test's library
        return apart.submit(asyncio.run, run()).result()


async def until(client, *kinds: str) -> list:
    events = []
    while (event := await client.read_event()) is not None:
        events.append(event)
        if event.type in kinds:
            return events
    return events


def test_what_is_here_is_described(house, tmp_path) -> None:
    async def talk(client):
        await client.write_event(Describe().event())
        return Info.from_event(await client.read_event())

    (program,) = talked(house, tmp_path, talk).tts
    assert program.supports_synthesize_streaming
    assert [voice.name for voice in program.voices] == ["trio"]
    assert [speaker.name for speaker in program.voices[0].speakers] == ["ann", "bob", "cleo"]


def test_texts_whole_and_in_chunks(house, tmp_path) -> None:
    async def talk(client):
        voice = SynthesizeVoice(name="trio", speaker="bob")
        await client.write_event(Synthesize("Hello there. How are you?", voice).event())
        whole = await until(client, "audio-stop", "error")
        await client.write_event(SynthesizeStart(voice).event())
        for chunk in ("Hello there. How", " are you?"):
            await client.write_event(SynthesizeChunk(chunk).event())
        await client.write_event(Synthesize("Hello there. How are you?", voice).event())
        await client.write_event(SynthesizeStop().event())
        return whole, await until(client, "synthesize-stopped", "error")

    whole, chunks = talked(house, tmp_path, talk)
    for events in (whole, chunks[:-1]):
        assert [events[0].type, events[-1].type] == ["audio-start", "audio-stop"]
        assert events[0].data["rate"] == 24000
        assert sum(len(event.payload) for event in events[1:-1]) > 24000
    assert chunks[-1].type == "synthesize-stopped"
    assert sum(event.type == "audio-start" for event in chunks) == 1


def test_bad_events_are_told_and_the_line_stays(house, tmp_path) -> None:
    async def talk(client):
        told = []
        for event in (
            Synthesize("Hello.", SynthesizeVoice(name="nobody")).event(),
            Synthesize("Hello.", SynthesizeVoice(name="../../etc")).event(),
            Synthesize("x" * 501).event(),
            Event("synthesize", {}),
            Synthesize("").event(),
        ):
            await client.write_event(event)
            told.append((await until(client, "error"))[-1])
        await client.write_event(Event("ping", {"text": "x"}))
        told.append(await client.read_event())
        return told

    *errors, pong = talked(house, tmp_path, talk)
    words = ["nobody", "unknown model", "500 characters", "lacks", "nothing to say"]
    assert all(word in error.data["text"] for word, error in zip(words, errors, strict=True))
    assert pong.type == "pong"


def test_pieces_that_are_too_large_end_the_line(house, tmp_path) -> None:
    async def talk(client):
        client._writer.write(b'{"type": "synthesize", "data_length": 900000000}\n')
        await client._writer.drain()
        return await client.read_event()

    assert talked(house, tmp_path, talk) is None
