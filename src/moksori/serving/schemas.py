"""What requests may hold, and what lists of models and voices look like."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from moksori.audio.encode import StreamFormat
from moksori.pipeline.catalogue import Catalogue, Listed, Task
from moksori.pipeline.kept_voices import KeptVoice
from moksori.types import Voice

STOCK_MODELS = frozenset({"tts-1", "tts-1-hd", "gpt-4o-mini-tts", "default"})
STOCK_VOICES = frozenset(
    ("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse")
) | {"default"}
"""Names that other clients send when nobody chose: they mean the default voice."""

Seed = Annotated[int | None, Field(ge=0, le=2**63 - 1)]
Rate = Annotated[int | None, Field(ge=8000, le=48000)]
Identifier = Annotated[str, Field(min_length=1, max_length=200)]
Pronunciation = tuple[Annotated[str, Field(max_length=200)], Annotated[str, Field(max_length=400)]]


class Strict(BaseModel):
    """Fields that are not known are refused, and so are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class VoiceName(Strict):
    """A voice as OpenAI's clients may name it."""

    id: Identifier


class SpeechSettings(Strict):
    """How a text is spoken; ranges are those of `moksori say`."""

    model: Identifier | None = Field(None, description="A model's id; tts-1 and the like are the default voice.")
    voice: Identifier | VoiceName | None = Field(
        None, description="default, a speaker, MODEL/SPEAKER, or a voice's id."
    )
    speaker: Identifier | None = Field(None, description="The same as voice.")
    speed: float = Field(1.0, description="Factor; 2 is half as long.")
    seed: Seed = Field(None, description="The same seed says the text the same way.")
    variation: float | None = Field(None, description="Liveliness; 0 is the same sound every time.")
    pitch: float = Field(0.0, description="Semitones, -12 to 12.")
    pause: float | None = Field(None, description="Seconds between sentences.")
    volume: float = Field(0.0, description="Gain in dB.")
    language: Annotated[str, Field(max_length=40)] | None = Field(None, description="Of the text.")
    lexicon: Annotated[list[Pronunciation], Field(max_length=500)] = Field([], description="Words and how they sound.")
    style: Annotated[list[Identifier], Field(max_length=8)] = Field([], description="Ids of styles.")
    strength: float | None = Field(None, description="How much of the style, 0 to 1.")
    ssml: bool | None = Field(None, description="Whether the text is SSML; null: where it starts with <speak.")
    sample_rate: Rate = Field(None, description="Of the sound, in Hz; null: the model's, 24,000 for pcm.")
    timings: bool = Field(False, description="Tell when words are heard; with stream_format sse, and over WebSocket.")
    instructions: str | None = Field(None, description="Taken and ignored.")

    @property
    def model_name(self) -> str | None:
        """The model that is meant; None: the default."""
        return None if self.model in STOCK_MODELS else self.model

    @property
    def voice_name(self) -> str | None:
        """The voice that is meant; None: the model's first."""
        named = self.voice.id if isinstance(self.voice, VoiceName) else self.voice
        named = self.speaker if named in (None, *STOCK_VOICES) and self.speaker is not None else named
        return None if named in STOCK_VOICES else named

    @property
    def notes(self) -> tuple[str, ...]:
        """What is told of fields that are not followed."""
        return ("instructions: no model here follows any: they were ignored",) if self.instructions else ()


class SpeechRequest(SpeechSettings):
    """`POST /v1/audio/speech`."""

    input: str = Field(description="The text.")
    response_format: StreamFormat = Field("mp3", description="mp3, wav, flac, opus or pcm (16 bits, one channel).")
    stream_format: Literal["audio", "sse"] = Field("audio", description="Bytes of a file, or events.")


class TimingsRequest(SpeechRequest):
    """`POST /v1/timings`."""

    format: Literal["json", "srt", "vtt", "TextGrid"] = "json"


class StartMessage(SpeechSettings):
    """The first message of a WebSocket."""

    type: Literal["start"]
    api_key: str | None = None
    response_format: StreamFormat = "pcm"


def model_entry(listed: Listed, parameters: int) -> dict[str, Any]:
    """A model as lists show it."""
    about = listed.manifest
    languages = {about.language, *about.speaker_languages.values()}
    return {
        "id": listed.model.name,
        "object": "model",
        "created": 0,
        "owned_by": "moksori",
        "family": about.family,
        "tasks": listed.tasks,
        "default": listed.model.default,
        "sample_rate": about.sample_rate,
        "language": about.language,
        "languages": sorted(languages),
        "speakers": listed.speakers,
        "options": _options(listed),
        "parameters": parameters,
        "license": about.licence,
        "where": listed.model.where,
        "scores": about.scores,
    }


def _options(listed: Listed) -> dict[str, bool]:
    """Which settings of speech a model follows."""
    speaks = any(task in ("speech", "speech_like") for task in listed.tasks)
    return {"speed": speaks, "pitch": speaks, "variation": speaks, "styles": speaks and "style" in listed.tasks}


def speaker_entries(listed: Listed) -> list[dict[str, Any]]:
    """The speakers of a model as voices."""
    about, name = listed.manifest, listed.model.name
    tasks: list[Task] = [task for task in listed.tasks if task in ("speech", "convert")]
    return [
        {
            "id": f"{name}/{speaker}",
            "object": "voice",
            "kind": "speaker",
            "name": speaker,
            "model": name,
            "language": about.speaker_languages.get(speaker, about.language),
            "tasks": tasks,
            "default": listed.model.default and place == 0,
        }
        for place, speaker in enumerate(listed.speakers)
        if tasks
    ]


def kept_entry(kept: KeptVoice, catalogue: Catalogue) -> dict[str, Any]:
    """A kept voice as lists show it."""
    voice, model = kept.voice, catalogue.model_of(kept.voice)
    return {
        "id": kept.id,
        "object": "voice",
        "kind": "style" if voice.kind == "style" else "clone",
        "name": voice.name,
        "model": model,
        "language": None,
        "tasks": _kept_tasks(voice) if model is not None else [],
        "default": False,
        "consent": voice.consent,
        "sources": voice.sources,
        "created": kept.created,
    }


def _kept_tasks(voice: Voice) -> list[str]:
    if voice.kind == "style":
        return ["style"]
    return ["speech", "convert", "sing"] if voice.kind == "prompt" else ["speech", "convert"]
