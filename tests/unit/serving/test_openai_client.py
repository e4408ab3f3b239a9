"""The official OpenAI client speaks with the server as it does with theirs."""

import base64

import pytest

openai = pytest.importorskip("openai", reason="the package openai, of the extra dev, is not installed")


@pytest.fixture
def talks(running):
    address, _ = running()
    return openai.OpenAI(base_url=f"{address}/v1", api_key="anything", max_retries=0)


def test_speech(talks, tmp_path, seconds_of) -> None:
    speech = talks.audio.speech
    answer = speech.create(model="tts-1", voice="alloy", input="Hello there.", response_format="wav")
    assert seconds_of(answer.content) > 0.3
    with speech.with_streaming_response.create(model="trio", voice="bob", input="Hello.", speed=1.5) as streamed:
        streamed.stream_to_file(tmp_path / "x.mp3")
    assert seconds_of((tmp_path / "x.mp3").read_bytes()) > 0.2
    with speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="coral", input="Hello.", stream_format="sse", instructions="Be merry.",
        response_format="pcm", extra_body={"seed": 3},
    ) as streamed:  # fmt: skip
        lines = [line for line in streamed.iter_lines() if line.startswith("data: ")]
    assert '"speech.audio.delta"' in lines[1]
    assert len(base64.b64decode(lines[1].rpartition('"audio": "')[2].rstrip('"}'))) > 0


def test_models_and_errors(talks) -> None:
    assert "trio" in [model.id for model in talks.models.list()]
    assert talks.models.retrieve("trio").owned_by == "moksori"
    with pytest.raises(openai.NotFoundError, match="nobody"):
        talks.audio.speech.create(model="trio", voice="nobody", input="Hello.")
    with pytest.raises(openai.BadRequestError, match="speed"):
        talks.audio.speech.create(model="trio", voice="bob", input="Hello.", speed=100.0)
