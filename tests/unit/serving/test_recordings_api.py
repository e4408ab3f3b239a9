"""`/v1/convert`, `/v1/clone` and `/v1/sing`: who is heard, what is kept, and what small files may not become."""

import io
import json
import zipfile

import numpy as np
import pytest
import soundfile

CONVERT, CLONE, SING = "/v1/convert", "/v1/clone", "/v1/sing"
AGREED = "Anna agreed in writing"


def clone(client, talking, **fields) -> dict:
    answer = client.post(CLONE, files={"file": ("anna.wav", talking)}, data={"consent": AGREED, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def wav(samples: np.ndarray, rate: int = 16000, form: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def test_a_recording_becomes_a_speaker(client, talking, seconds_of) -> None:
    data = {"speaker": "bob", "seed": "3", "response_format": "wav", "source": "ann"}
    answer = client.post(CONVERT, files={"file": ("talk.wav", talking)}, data=data)
    assert answer.status_code == 200, answer.text
    assert [answer.headers[f"x-moksori-{name}"] for name in ("model", "voice", "source")] == ["trio", "bob", "ann"]
    assert seconds_of(answer.content) == pytest.approx(1.5, abs=0.01)
    named = client.post(CONVERT, files={"file": talking}, data={**data, "speaker": "", "voice": "trio/bob"})
    assert named.content == answer.content


def test_the_speaker_who_was_found_is_told_by_the_name_of_the_file(client, talking) -> None:
    answer = client.post(CONVERT, files={"file": ("../../my talk.wav", talking)}, data={"speaker": "bob"})
    notes = json.loads(answer.headers["x-moksori-notes"])
    assert any(note.startswith("my talk.wav: taken as spoken by") for note in notes)
    assert not any("/tmp" in note or "moksori-upload" in note for note in notes)


def test_a_recording_becomes_another_recording(client, talking, seconds_of) -> None:
    files = [("file", ("talk.wav", talking)), ("target", ("anna.wav", talking))]
    answer = client.post(CONVERT, files=files, data={"response_format": "wav", "strength": "0.5"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-moksori-model"] == "imitator"
    assert seconds_of(answer.content) == pytest.approx(1.5, abs=0.01)
    cleaned = client.post(CONVERT, files=files[:1], data={"denoise": "true", "response_format": "wav"})
    assert cleaned.headers["x-moksori-model"] == "imitator"


def test_a_text_is_for_models_that_say_it_anew(client, talking) -> None:
    files = [("file", ("talk.wav", talking)), ("target", ("anna.wav", talking))]
    answer = client.post(CONVERT, files=files, data={"text": "Hello there.", "model": "imitator"})
    assert answer.status_code == 400
    assert "needs not know what is said" in answer.json()["error"]["message"]
    answer = client.post(CONVERT, files=files[:1], data={"text": "Hello there.", "speaker": "bob"})
    assert answer.status_code == 400
    assert "nobody to say it" in answer.json()["error"]["message"]


def test_a_kept_voice_speaks_converts_and_goes(client, talking, seconds_of) -> None:
    made = clone(client, talking, name="Anna", model="imitator")
    assert [made[key] for key in ("kind", "name", "model", "consent")] == ["clone", "Anna", "imitator", AGREED]
    assert made["sources"] == ["anna.wav"]
    listed = client.get("/v1/voices").json()["data"]
    assert {key: made[key] for key in made if key != "notes"} in listed
    asked = {"input": "Hello there.", "voice": made["id"], "response_format": "wav", "seed": 2, "volume": -6.0}
    spoken = client.post("/v1/audio/speech", json=asked)
    assert [spoken.headers[f"x-moksori-{name}"] for name in ("model", "voice")] == ["trio+imitator", "Anna"]
    plain = client.post("/v1/audio/speech", json={**asked, "voice": "default"})
    assert seconds_of(spoken.content) == pytest.approx(seconds_of(plain.content), abs=0.01)
    data = {"voice": made["id"], "response_format": "wav"}
    assert client.post(CONVERT, files={"file": talking}, data=data).headers["x-moksori-voice"] == "Anna"
    assert client.get(f"/v1/voices/{made['id']}").json()["name"] == "Anna"
    assert client.delete(f"/v1/voices/{made['id']}").json() == {
        "id": made["id"], "object": "voice.deleted", "deleted": True,
    }  # fmt: skip
    assert client.delete(f"/v1/voices/{made['id']}").status_code == 404
    assert client.post("/v1/audio/speech", json=asked).status_code == 404


def test_names_that_headers_cannot_hold(client, talking) -> None:
    made = clone(client, talking, name="An\x01\nna 안나", model="imitator")
    assert made["name"] == "An na 안나"
    answer = client.post("/v1/audio/speech", json={"input": "Hello.", "voice": made["id"]})
    assert answer.headers["x-moksori-voice"] == "An na \\uc548\\ub098"


def test_a_kept_voice_survives_a_restart(client_of, talking) -> None:
    made = clone(client_of(), talking, name="Anna")
    again = client_of()
    assert made["id"] in [voice["id"] for voice in again.get("/v1/voices").json()["data"]]
    assert made["model"] == "ns2-tiny"
    answer = again.post("/v1/audio/speech", json={"input": "Hello.", "voice": made["id"], "response_format": "pcm"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-moksori-model"] == "ns2-tiny"
    wrong = again.post("/v1/audio/speech", json={"input": "Hello.", "voice": made["id"], "model": "trio"})
    assert "means nothing" in wrong.json()["error"]["message"]


def test_a_voice_needs_consent_and_speech(client, talking) -> None:
    for fields in ({}, {"consent": "yes"}):
        answer = client.post(CLONE, files={"file": talking}, data=fields)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "consent"
    silent = client.post(CLONE, files={"file": ("anna.wav", wav(np.zeros(16000)))}, data={"consent": AGREED})
    assert silent.status_code == 400
    assert silent.json()["error"]["message"].startswith("anna.wav: is silent")
    assert client.post(CLONE, files={"file": talking}, data={"consent": AGREED, "model": "../x"}).status_code == 404
    assert client.post(CLONE, files={"file": talking}, data={"consent": AGREED, "model": "trio"}).status_code == 400


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "0 of voice"),
        ({"speaker": "bob", "voice": "trio/ann"}, "2 of voice"),
        ({"speaker": "bo"}, "bo"),
        ({"voice": "../../x"}, "unknown model"),
        ({"voice": "voice_0123456789abcdef"}, "unknown voice"),
        ({"speaker": "bob", "key": "high"}, "key"),
        ({"speaker": "bob", "pitch": "nan"}, "pitch"),
        ({"speaker": "bob", "seed": "x"}, "seed"),
        ({"speaker": "bob", "model": "imitator"}, "speaker of imitator"),
        ({"speaker": "bob", "response_format": "au"}, "response_format"),
        ({"denoise": "true", "model": "trio"}, "cleans no recordings"),
    ],
)
def test_bad_conversions_are_told_what_to_change(client, talking, fields, word) -> None:
    answer = client.post(CONVERT, files={"file": ("talk.wav", talking)}, data=fields)
    assert answer.status_code in (400, 404), answer.text
    assert word in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"no sound at all", "talk.wav: is no recording"),
        (b"", "talk.wav"),
        (wav(np.zeros(16000)), "talk.wav: is silent"),
        (wav(np.zeros(16000 * 60), form="FLAC"), "talk.wav: lasts 60 s"),
        (wav(np.zeros((1000, 12))), "talk.wav: has 12 channels"),
        (wav(np.full(8000, np.nan), subtype="FLOAT"), "talk.wav: holds NaN"),
    ],
)
def test_recordings_that_cannot_be_used_are_refused(client, content, word) -> None:
    answer = client.post(CONVERT, files={"file": ("talk.wav", content)}, data={"speaker": "bob"})
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["error"]["message"]
    assert "/tmp" not in answer.text


def test_nothing_that_was_sent_is_left(client, talking, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for data in ({"speaker": "bob"}, {"speaker": "bo"}, {"speaker": "bob", "source": "bo"}):
        client.post(CONVERT, files={"file": talking}, data=data)
    client.post(CONVERT, files={"file": b"no sound"}, data={"speaker": "bob"})
    assert list(tmp_path.iterdir()) == []


SCORE = """<?xml version="1.0"?><score-partwise version="3.1"><part-list><score-part id="P1"><part-name>V</part-name>
</score-part></part-list><part id="P1"><measure number="1"><attributes><divisions>2</divisions></attributes>
<note><pitch><step>A</step><octave>3</octave></pitch><duration>1</duration><lyric><text>la</text></lyric></note>
<note><pitch><step>B</step><octave>3</octave></pitch><duration>1</duration><lyric><text>lo</text></lyric></note>
</measure></part></score-partwise>"""


def test_a_score_is_sung(client, talking, seconds_of) -> None:
    pytest.importorskip("music21", reason="the extra sing is not installed")
    files = [("score", ("song.musicxml", SCORE.encode())), ("target", ("anna.wav", talking))]
    answer = client.post(SING, files=files, data={"response_format": "wav", "seed": "3", "key": "2"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-moksori-model"] == "ns2-tiny"
    assert 0.4 < seconds_of(answer.content) < 1.5
    kept = clone(client, talking, name="Anna")
    sung = client.post(SING, files=files[:1], data={"voice": kept["id"]})
    assert sung.headers["x-moksori-voice"] == "Anna"


def test_scores_that_cannot_be_sung_are_refused(client, talking) -> None:
    def told(score: tuple[str, bytes], target: bool = True, **data) -> str:
        files = [("score", score), *([("target", ("a.wav", talking))] if target else [])]
        answer = client.post(SING, files=files, data=data)
        assert answer.status_code in (400, 404), answer.text
        return answer.json()["error"]["message"]

    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("score.xml", b" " * 30_000_000)
    assert "unpacks to more" in told(("song.mxl", bomb.getvalue()))
    assert "is no .mxl" in told(("song.mxl", b"no zip"))
    assert "is no score" in told(("song.exe", b"MZ"))
    assert "give who is to sing" in told(("song.mid", b"MThd"), target=False)
    assert "cloned" in told(("song.mid", b"MThd"), target=False, voice="trio/bob")
    assert "trio: sings no scores" in told(("song.mid", b"MThd"), model="trio")
