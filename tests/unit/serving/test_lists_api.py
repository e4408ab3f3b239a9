"""What the server tells of itself: lists, pages, metrics."""

import json

import pytest

from moksori.errors import UnknownName


def test_models_and_what_they_do(client) -> None:
    found = {model["id"]: model for model in client.get("/v1/models").json()["data"]}
    assert set(found) == {"trio", "imitator", "sounder", "ns2-tiny", "codec-tiny"}
    assert found["trio"]["tasks"] == ["speech", "convert"]
    assert found["trio"]["default"]
    assert found["trio"]["speakers"] == ["ann", "bob", "cleo"]
    assert found["imitator"]["tasks"] == ["convert_like", "clone"]
    assert found["ns2-tiny"]["tasks"] == ["speech_like", "convert_like", "clone", "sing"]
    assert found["sounder"]["tasks"] == []
    assert client.get("/v1/models/trio").json() == found["trio"]
    assert client.get("/v1/models/trios").status_code == 404


def test_voices(client) -> None:
    voices = client.get("/v1/voices").json()["data"]
    assert [voice["id"] for voice in voices] == ["trio/ann", "trio/bob", "trio/cleo"]
    assert [voice["default"] for voice in voices] == [True, False, False]
    assert client.get("/v1/voices/voice_0123456789abcdef").status_code == 404
    assert client.delete("/v1/voices/trio").status_code == 400


def test_defaults_and_limits(client) -> None:
    told = client.get("/v1/info").json()
    assert told["defaults"] == {
        "speech": "trio", "convert_like": "imitator", "convert_speaker": None, "convert_singer": None,
        "clone": "ns2-tiny", "style": None, "sing": "ns2-tiny",
    }  # fmt: skip
    assert told["limits"]["characters"] == 10_000
    assert "consent" in told["consent_notice"]


def test_health_and_metrics(client) -> None:
    assert client.post("/v1/audio/speech", json={"input": "Hello."}).status_code == 200
    health = client.get("/healthz").json()
    assert health["status"] == "ok"
    assert health["models_loaded"] == ["trio"]
    assert (health["active"], health["waiting"]) == (0, 0)
    text = client.get("/metrics").text
    assert 'moksori_requests_total{route="/v1/audio/speech",status="200"} 1.0' in text
    assert 'moksori_sound_seconds_total{model="trio"}' in text
    assert "moksori_first_audio_seconds_count 1.0" in text
    assert "moksori_disconnects_total 0.0" in text


def test_the_model_that_was_not_used_for_longest_goes(client_of, talking) -> None:
    client = client_of(keep_models=2, preload=("default", "imitator"))
    assert client.get("/healthz").json()["models_loaded"] == ["trio", "imitator"]
    assert client.post("/v1/audio/speech", json={"input": "Hello."}).status_code == 200
    prompted = {"consent": "Anna agreed in writing", "model": "ns2-tiny"}
    assert client.post("/v1/clone", files={"file": talking}, data=prompted).status_code == 201
    assert client.get("/healthz").json()["models_loaded"] == ["trio", "ns2-tiny"]
    with pytest.raises(UnknownName, match="nobody"):
        client_of(preload=("nobody",))


def test_strange_paths_make_no_new_labels(client) -> None:
    for path in ("/v1/nope", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/js/..%2f..%2fapp.py"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"]
    assert "etc" not in client.get("/metrics").text


def test_the_scoreboard(client_of, tmp_path) -> None:
    assert client_of(scoreboard=tmp_path).get("/v1/scoreboard").json() == {"tables": [], "results": []}
    value = {"value": 3.2, "low": 3.0, "high": 3.4, "n": 5}
    entry = {"task": "speak", "corpus": "c", "n": 5, "systems": [{"name": "trio", "measures": {"ovrl": value}}]}
    (tmp_path / "trio.json").write_text(json.dumps({"format": 1, "model": "trio", "results": [entry]}))
    told = client_of(scoreboard=tmp_path).get("/v1/scoreboard").json()
    assert told["tables"][0]["task"] == "speak"
    assert told["tables"][0]["title_ko"] == "글에서 말로"
    assert told["tables"][0]["rows"][0][0] == "trio"
    assert told["results"][0]["model"] == "trio"


def test_the_page_and_the_description_need_nothing_else(client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
    docs = client.get("/docs").text
    for path in ("/v1/audio/speech", "/v1/convert", "/v1/clone", "/v1/sing", "/v1/timings", "/v1/voices"):
        assert path in docs
        assert path in client.get("/openapi.json").json()["paths"] or path == "/v1/voices"
    assert "http://" not in docs
    assert "https://" not in docs
    assert "stream_format" in docs
