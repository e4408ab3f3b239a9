"""Keys, origins, room and sizes: who is let in, and how much of anything."""

import threading
import time

import httpx
import pytest

from moksori.errors import BadInput
from moksori.serving.settings import Settings

SPEECH = "/v1/audio/speech"
KEY = "a-key-of-some-length"


def idle(service) -> None:
    """Waits until nobody is worked for any more."""
    ends = time.monotonic() + 30
    while (service.admission.active or service.admission.waiting) and time.monotonic() < ends:
        time.sleep(0.02)
    assert service.admission.active == service.admission.waiting == 0


def test_a_key_is_needed_where_there_is_one(client_of) -> None:
    client = client_of(api_key=KEY)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": KEY}, {"authorization": "Bearer é"}):
        for path in ("/v1/models", "/metrics"):
            answer = client.get(path, headers={k: v.encode() for k, v in headers.items()})
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"
    assert client.post(SPEECH, json={"input": "Hello."}).status_code == 401
    assert client.get("/v1/models", headers={"authorization": f"Bearer {KEY}"}).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert client.get("/").status_code == 200


def test_any_key_will_do_where_there_is_none(client) -> None:
    assert client.get("/v1/models", headers={"authorization": "Bearer sk-anything"}).status_code == 200


def test_the_network_is_let_in_with_a_key_only() -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org"):
        with pytest.raises(BadInput, match="--api-key"):
            Settings(host=host)
        assert Settings(host=host, api_key=KEY).host == host
        assert Settings(host=host, insecure=True).host == host
    for host in ("127.0.0.1", "localhost", "::1", "127.1.2.3"):
        assert Settings(host=host).host == host
    for wrong in ({"api_key": "short"}, {"concurrency": 0}, {"queue": -1}, {"port": 70000}, {"timeout_seconds": 0.0}):
        with pytest.raises(BadInput):
            Settings(**wrong)


def test_pages_of_others_are_refused(client) -> None:
    def status(**headers: str) -> int:
        return client.post(SPEECH, json={"input": "Hello."}, headers=headers).status_code

    assert status(origin="http://localhost:8000") == 200
    for origin in ("https://evil.example", "http://localhost:9000", "null"):
        assert status(origin=origin) == 403
    assert status(host="evil.example:8000") == 403
    assert status(host="127.0.0.1:8000") == 200
    answer = client.options(SPEECH, headers={"origin": "https://evil.example", "access-control-request-method": "POST"})
    assert "access-control-allow-origin" not in answer.headers


def test_large_requests_are_refused(client_of) -> None:
    client = client_of(most_upload_bytes=1000)
    told = client.post(SPEECH, content=b'{"input": "' + b"x" * 2_000_000 + b'"}')
    assert told.status_code == 413

    def endless():
        for _ in range(40):
            yield b"x" * 50_000

    assert client.post(SPEECH, content=endless()).status_code == 413
    large = client.post("/v1/convert", files={"file": b"x" * 100_000}, data={"speaker": "bob"})
    assert large.status_code == 413
    assert large.json()["error"]["code"] == "too_large"


def test_who_finds_no_room_is_told_when_to_come_back(running) -> None:
    address, service = running(concurrency=1, queue=1)
    with httpx.Client(base_url=address, timeout=60) as client:
        client.post(SPEECH, json={"input": "Hello."})  # the model is loaded by now
        codes: list[int] = []

        def ask() -> None:
            codes.append(httpx.post(f"{address}{SPEECH}", json={"input": "Hello there. " * 20}, timeout=60).status_code)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(set(codes)) == [200, 429]
        assert codes.count(200) >= 2
        idle(service)
        with service.admission.place(), service.admission.place():
            full = client.post(SPEECH, json={"input": "Hello."})
        assert full.status_code == 429
        assert int(full.headers["retry-after"]) >= 1
        assert full.json()["error"]["type"] == "rate_limit_error"
        assert client.post(SPEECH, json={"input": "Hello."}).status_code == 200


def test_a_long_text_keeps_nobody_waiting(running) -> None:
    address, service = running()
    long = {"input": "This goes on for a while. " * 250, "response_format": "pcm"}
    heard = []

    def listen() -> None:
        with httpx.stream("POST", f"{address}{SPEECH}", json=long, timeout=60) as answer:
            heard.append(sum(len(part) for part in answer.iter_raw()))

    thread = threading.Thread(target=listen)
    thread.start()
    while not service.admission.active:
        time.sleep(0.005)
    short = httpx.post(f"{address}{SPEECH}", json={"input": "Hello.", "response_format": "pcm"}, timeout=60)
    assert short.status_code == 200
    assert not heard
    thread.join(60)
    assert heard[0] > 100 * len(short.content)


def test_work_ends_where_nobody_listens(running) -> None:
    address, service = running()
    # More bytes than the sockets hold between them: the work cannot have ended before it is looked at.
    asked = {"input": "This goes on for a while. " * 300, "response_format": "pcm", "sample_rate": 48000}
    with httpx.stream("POST", f"{address}{SPEECH}", json=asked) as answer:
        chunks = answer.iter_raw()  # which ends the answer when it goes
        assert len(next(chunks)) > 0
        assert service.admission.active == 1
    idle(service)
    metrics = httpx.get(f"{address}/metrics").text
    assert "moksori_disconnects_total 1.0" in metrics
    made = float(
        next(line for line in metrics.splitlines() if line.startswith("moksori_sound_seconds_total")).split()[1]
    )
    assert made < 250.0  # of more than 300 s


def test_no_more_is_made_than_is_taken(running) -> None:
    address, service = running(idle_seconds=1.5)
    text = "This goes on for a while. " * 380
    asked = {"input": text, "response_format": "wav", "sample_rate": 48000}
    with httpx.stream("POST", f"{address}{SPEECH}", json=asked) as answer:
        chunks = answer.iter_raw()  # which ends the answer when it goes
        assert len(next(chunks)) > 0
        idle(service)  # nothing is read, so it is given up
    assert "moksori_broken_answers_total 1.0" in httpx.get(f"{address}/metrics").text


def test_what_takes_too_long_is_ended(client_of) -> None:
    client = client_of(timeout_seconds=0.01)
    answer = client.post(SPEECH, json={"input": "Hello there. " * 20})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "timeout"


def test_what_nobody_expected_is_told_without_what_is_inside(client_of, monkeypatch) -> None:
    client = client_of()
    service = client.app.state.service

    def broken(asked) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(service, "speech", broken)
    answer = client.post(SPEECH, json={"input": "Hello."})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert client.get("/healthz").status_code == 200
