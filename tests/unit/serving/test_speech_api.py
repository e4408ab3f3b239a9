"""`/v1/audio/speech` and `/v1/timings`: formats, voices, streams, and what is told of bad requests."""

import base64
import io
import json

import numpy as np
import pytest
import soundfile

from moksori.audio.io import read_metadata

SPEECH = "/v1/audio/speech"


def events(text: str) -> list[dict]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line]


@pytest.mark.parametrize("form", ["mp3", "wav", "flac", "opus"])
def test_every_format_says_the_text(client, form, tmp_path, seconds_of) -> None:
    asked = {"model": "tts-1", "voice": "alloy", "input": "Hello there.", "response_format": form, "seed": 3}
    answer = client.post(SPEECH, json=asked)
    assert answer.status_code == 200
    assert answer.headers["x-moksori-model"] == "trio"
    assert answer.headers["x-moksori-seed"] == "3"
    pcm = client.post(SPEECH, json={**asked, "response_format": "pcm"})
    assert seconds_of(answer.content) == pytest.approx(len(pcm.content) / 2 / 24000, abs=0.12)
    (tmp_path / f"x.{form}").write_bytes(answer.content)
    tags = read_metadata(tmp_path / f"x.{form}")
    assert tags["synthetic"] == "true"
    assert tags["model"] == "trio"
    assert tags["seed"] == "3"


def test_the_sound_is_that_of_say(client, house) -> None:
    from moksori.pipeline.say import load

    asked = {"input": "Hello there. How are you?", "seed": 11, "response_format": "wav", "speed": 1.5, "pitch": 2}
    got, rate = soundfile.read(io.BytesIO(client.post(SPEECH, json=asked).content), dtype="float32")
    said = load("trio").say(asked["input"], seed=11, speed=1.5, pitch=2.0)
    assert rate == said.sample_rate
    assert len(got) == len(said.samples)
    assert np.abs(got - said.samples).max() < 1e-4


def test_sound_leaves_block_by_block(client) -> None:
    with client.stream("POST", SPEECH, json={"input": "One. " * 8, "response_format": "pcm"}) as answer:
        assert "content-length" not in answer.headers
        assert len(list(answer.iter_raw())) > 8


def test_voices_by_all_their_names(client) -> None:
    asked = {"input": "Hello.", "seed": 5, "response_format": "pcm"}
    bob = client.post(SPEECH, json={**asked, "model": "trio", "voice": "bob"})
    assert bob.headers["x-moksori-voice"] == "bob"
    for naming in ({"voice": "bob"}, {"voice": "trio/bob"}, {"speaker": "bob"}, {"voice": {"id": "bob"}}):
        assert client.post(SPEECH, json={**asked, **naming}).content == bob.content
    first = client.post(SPEECH, json={**asked, "voice": "default"})
    assert first.content != bob.content
    assert first.content == client.post(SPEECH, json={**asked, "model": "trio", "voice": "trio"}).content


def test_events_hold_the_same_bytes_and_when_words_are_heard(client) -> None:
    asked = {"input": "Hello there. How are you?", "seed": 4, "response_format": "pcm"}
    answer = client.post(SPEECH, json={**asked, "stream_format": "sse", "timings": True})
    assert answer.headers["content-type"] == "text/event-stream"
    told = events(answer.text)
    assert [told[0]["type"], told[-1]["type"]] == ["speech.started", "speech.audio.done"]
    sound = b"".join(base64.b64decode(e["audio"]) for e in told if e["type"] == "speech.audio.delta")
    assert sound == client.post(SPEECH, json=asked).content
    timings = [e for e in told if e["type"] == "speech.timings.delta"]
    assert [[w["text"] for w in e["words"]] for e in timings] == [["Hello", "there"], ["How", "are", "you"]]
    assert timings[1]["start_seconds"] > timings[0]["end_seconds"]
    assert told[-1]["seconds"] == pytest.approx(len(sound) / 2 / 24000, abs=0.001)
    kinds = [e["type"] for e in told]
    assert kinds.index("speech.timings.delta") < len(kinds) - 2 - kinds[::-1].index("speech.audio.delta")


def test_timings_are_those_of_the_speech(client) -> None:
    asked = {"input": "Hello there. How are you?", "seed": 4}
    found = client.post("/v1/timings", json=asked).json()
    told = events(client.post(SPEECH, json={**asked, "stream_format": "sse", "timings": True}).text)
    words = [word for e in told if e["type"] == "speech.timings.delta" for word in e["words"]]
    assert found["words"] == words
    assert found["seed"] == 4
    assert client.post("/v1/timings", json={**asked, "format": "srt"}).text.startswith("1\n00:00:00,")
    assert client.post("/v1/timings", json={**asked, "format": "vtt"}).text.startswith("WEBVTT")
    assert "IntervalTier" in client.post("/v1/timings", json={**asked, "format": "TextGrid"}).text


def test_a_lexicon_changes_what_is_said(client) -> None:
    def symbols(**change) -> list[str]:
        found = client.post("/v1/timings", json={"input": "Xyzzy.", "seed": 4, **change}).json()
        return [phoneme["symbol"] for phoneme in found["words"][0]["phonemes"]]

    assert symbols(lexicon=[["Xyzzy", "həlˈoʊ"]]) == ["h", "ə", "l", "ˈoʊ"]
    assert symbols() != symbols(lexicon=[["Xyzzy", "həlˈoʊ"]])


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"voice": "nobody"}, 404, "nobody"),
        ({"model": "gpt-9"}, 404, "gpt-9"),
        ({"model": "../../etc"}, 404, "unknown model"),
        ({"model": "/etc/passwd"}, 404, "unknown model"),
        ({"voice": "../trio/bob"}, 404, "unknown model"),
        ({"voice": "voice_0123456789abcdef"}, 404, "voice"),
        ({"model": "imitator"}, 400, "does not speak"),
        ({"model": "ns2-tiny"}, 400, "cloned"),
        ({"model": "imitator", "voice": "trio/bob"}, 400, "name one"),
        ({"response_format": "aac"}, 400, "response_format"),
        ({"speed": 0}, 400, "speed"),
        ({"speed": "fast"}, 400, "speed"),
        ({"pitch": 30}, 400, "pitch"),
        ({"seed": -1}, 400, "seed"),
        ({"sample_rate": 4}, 400, "sample_rate"),
        ({"loudness": 3}, 400, "loudness"),
        ({"input": ""}, 400, "nothing to say"),
        ({"input": "..."}, 400, "nothing to say"),
        ({"input": 5}, 400, "input"),
        ({"input": "x" * 10_001}, 400, "10,001"),
        ({"timings": True}, 400, "sse"),
        ({"language": "klingon"}, 404, "klingon"),
        ({"style": ["voice_0123456789abcdef"]}, 404, "voice"),
        ({"lexicon": [["a", "b", "c"]]}, 400, "lexicon"),
        ({"ssml": True, "input": "<speak>oops"}, 400, "SSML"),
    ],
)
def test_bad_requests_are_told_what_to_change(client, change, status, word) -> None:
    answer = client.post(SPEECH, json={"input": "Hello.", **change})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert word in error["message"]
    assert error["type"] == "invalid_request_error"
    assert error["code"]


def test_what_is_no_json_is_refused(client) -> None:
    for content in (b"{", b"[]", b"\xff\xfe", b'{"input": NaN}', b""):
        answer = client.post(SPEECH, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["message"]


def test_strange_characters_are_spoken_or_told(client) -> None:
    for text in (b"Hello \\ud800 there", b"Hello\\u0000 there", "안녕 \u202e 🎉 hello".encode()):
        for form in (b"wav", b"mp3"):
            content = b'{"response_format": "' + form + b'", "input": "' + text + b'"}'
            answer = client.post(SPEECH, content=content, headers={"content-type": "application/json"})
            assert answer.status_code == 200, answer.text


def test_too_much_sound_is_refused_on_its_way(client_of) -> None:
    client = client_of(most_seconds=2.0)
    answer = client.post(SPEECH, json={"input": "Hello. " * 40, "stream_format": "sse"})
    told = events(answer.text)
    assert told[-1]["type"] == "error"
    assert "longer than 2 s" in told[-1]["error"]["message"]
    assert client.post("/v1/timings", json={"input": "Hello. " * 40}).json()["error"]["code"] == "too_long"


def test_instructions_are_told_to_be_ignored(client) -> None:
    answer = client.post(SPEECH, json={"input": "Hello.", "instructions": "Be merry."})
    assert "instructions" in json.loads(answer.headers["x-moksori-notes"])[0]


def test_sound_can_be_marked(client_of, tmp_path) -> None:
    client = client_of(watermark=True)
    answer = client.post(SPEECH, json={"input": "Hello there.", "response_format": "flac"})
    (tmp_path / "x.flac").write_bytes(answer.content)
    assert "watermark" in read_metadata(tmp_path / "x.flac")


def test_short_sentences_that_wait_together_are_spoken_together(client_of) -> None:
    from moksori.serving.schemas import SpeechRequest

    texts = ("hello to you", "a brown fox", "good morning")
    service = client_of(batch=8).app.state.service
    apart = client_of(batch=1).app.state.service
    asked = [SpeechRequest(input=text, seed=seed, response_format="pcm") for seed, text in enumerate(texts)]
    sounds = [service.plain_speech(one) for one in asked]
    for sound, one in zip(sounds, asked, strict=True):
        found = np.concatenate(list(sound.blocks))
        wanted = np.concatenate(list(apart.plain_speech(one).blocks))
        assert len(found) == len(wanted)
        assert np.abs(found - wanted).max() < 0.01
    assert "moksori_batch_sentences_sum 3.0" in service.metrics.text().decode()
    assert "moksori_batch_sentences_count 0.0" in apart.metrics.text().decode()
