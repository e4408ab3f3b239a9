"""`/v1/stream`: text in as it comes, sound out."""

import json

import pytest
from starlette.websockets import WebSocketDisconnect

URL = "ws://localhost:8000/v1/stream"
TEXT = "Hello there. How are you?"


def spoken(socket) -> tuple[bytes, list[dict]]:
    sound, told = b"", []
    while True:
        message = socket.receive()
        if message.get("bytes"):
            sound += message["bytes"]
        elif message.get("text"):
            told.append(json.loads(message["text"]))
        else:
            return sound, told


def test_text_in_pieces_is_the_speech(client) -> None:
    whole = client.post("/v1/audio/speech", json={"input": TEXT, "seed": 3, "response_format": "pcm"}).content
    with client.websocket_connect(URL) as socket:
        socket.send_json({"type": "start", "seed": 3, "timings": True})
        assert socket.receive_json() == {
            "type": "started", "model": "trio", "voice": "trio", "seed": 3, "sample_rate": 24000,
            "response_format": "pcm", "notes": [],
        }  # fmt: skip
        for piece in (TEXT[:7], TEXT[7:16], TEXT[16:]):
            socket.send_json({"type": "text", "text": piece})
        socket.send_json({"type": "end"})
        sound, told = spoken(socket)
    assert sound == whole
    assert [each["type"] for each in told] == ["timings", "timings", "done"]
    assert [word["text"] for word in told[1]["words"]] == ["How", "are", "you"]
    assert told[-1]["seconds"] == pytest.approx(len(sound) / 48000, abs=0.001)


def test_a_sentence_is_heard_before_the_next_one_comes(client) -> None:
    with client.websocket_connect(URL) as socket:
        socket.send_json({"type": "start", "voice": "bob", "response_format": "wav"})
        assert socket.receive_json()["voice"] == "bob"
        socket.send_json({"type": "text", "text": "Hello there. And"})
        assert socket.receive()["bytes"][:4] == b"RIFF"
        socket.send_json({"type": "cancel"})


@pytest.mark.parametrize(
    ("first", "word"),
    [
        ({"type": "text", "text": "Hello."}, "type"),
        ({"type": "start", "voice": "nobody"}, "nobody"),
        ({"type": "start", "voice": "../x"}, "unknown model"),
        ({"type": "start", "speed": 0}, "speed"),
        ({"type": "start", "loud": 1}, "loud"),
        ({"type": "start", "response_format": "aac"}, "response_format"),
        ([], "object"),
    ],
)
def test_what_cannot_be_started_is_told(client, first, word) -> None:
    with client.websocket_connect(URL) as socket:
        socket.send_json(first)
        told = socket.receive_json()
        assert told["type"] == "error"
        assert word in told["error"]["message"]
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_messages_that_mean_nothing_end_it(client_of) -> None:
    client = client_of(most_characters=20)
    for message in ({"type": "shout"}, {"type": "text", "text": 5}, {"type": "text", "text": "x" * 30}):
        with client.websocket_connect(URL) as socket:
            socket.send_json({"type": "start"})
            socket.receive_json()
            socket.send_json(message)
            assert spoken(socket)[1][-1]["type"] == "error"
    with client.websocket_connect(URL) as socket:
        socket.send_text("no json")
        assert "JSON" in socket.receive_json()["error"]["message"]


def test_nothing_to_say_is_told(client) -> None:
    with client.websocket_connect(URL) as socket:
        socket.send_json({"type": "start"})
        socket.receive_json()
        socket.send_json({"type": "end"})
        assert "nothing to say" in spoken(socket)[1][-1]["error"]["message"]


def test_strangers_are_not_let_in(client_of) -> None:
    client = client_of(api_key="a-key-of-some-length")
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(URL, headers={"origin": "https://evil.example"}):
        pass
    with client.websocket_connect(URL) as socket:
        socket.send_json({"type": "start"})
        assert socket.receive_json()["error"]["type"] == "authentication_error"
    with client.websocket_connect(URL) as socket:
        socket.send_json({"type": "start", "api_key": "a-key-of-some-length"})
        assert socket.receive_json()["type"] == "started"
    assert client.app.state.service.admission.waiting == 0
