"""Recordings and scores: conversion, voices made of recordings, singing."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, File, Form, Response, UploadFile

from moksori.audio.encode import StreamFormat
from moksori.errors import MoksoriError, UnsupportedTask
from moksori.pipeline.convert import ConvertOptions
from moksori.pipeline.kept_voices import is_kept
from moksori.pipeline.score import Chords
from moksori.pipeline.sing import SingOptions
from moksori.pipeline.sound_in_progress import EncodedSound
from moksori.serving import service as services
from moksori.serving.answers import SoundAnswer
from moksori.serving.errors import Refused, refusal
from moksori.serving.schemas import STOCK_VOICES, kept_entry
from moksori.serving.service import Service
from moksori.serving.speech_routes import SOUND
from moksori.serving.uploads import Uploads, plain, shown_name

_Name = Annotated[str | None, Form(max_length=200)]
_Number = Annotated[float | None, Form(allow_inf_nan=False)]
_Seed = Annotated[int | None, Form(ge=0, le=2**63 - 1)]
_Rate = Annotated[int | None, Form(ge=8000, le=48000)]
_Format = Annotated[StreamFormat, Form(description="mp3, wav, flac, opus or pcm.")]
_Targets = Annotated[list[UploadFile] | None, File(description="Recordings of who is to be heard.")]
_MOST_FILES = 8


def recording_routes(service: Service) -> APIRouter:
    """`/v1/convert`, `/v1/clone` and `/v1/sing`."""
    router = APIRouter(tags=["recordings"])
    find = service.catalogue

    @router.post("/v1/convert", response_class=Response, responses=SOUND, summary="Change who is heard")
    async def convert(
        file: Annotated[UploadFile, File(description="The recording.")],
        voice: _Name = None,
        speaker: _Name = None,
        singer: _Name = None,
        target: _Targets = None,
        denoise: Annotated[bool, Form(description="Clean it, and change nobody.")] = False,
        model: _Name = None,
        source: Annotated[str | None, Form(max_length=200, description="Who is heard in it.")] = None,
        key: Annotated[str | None, Form(max_length=10, description="Semitones, or auto; for songs.")] = None,
        pitch: _Number = None,
        strength: _Number = None,
        variation: _Number = None,
        text: Annotated[
            str | None, Form(max_length=20_000, description="What is said, for models that say it anew.")
        ] = None,
        language: Annotated[str | None, Form(max_length=40, description="Of the text.")] = None,
        seed: _Seed = None,
        response_format: _Format = "mp3",
        sample_rate: _Rate = None,
    ) -> Response:
        voice = None if voice in STOCK_VOICES else voice
        given = [name for name in (voice, speaker, singer, target, denoise or None) if name]
        if len(given) != 1:
            raise Refused(
                400, f"{len(given)} of voice, speaker, singer, target and denoise are given: say who is to be heard by "
                "one of them", "bad_input", "voice",
            )  # fmt: skip
        options = ConvertOptions(
            source=source,
            variation=variation,
            shift_semitones=pitch or 0.0,
            strength=1.0 if strength is None else strength,
            key=_key(key),
        )
        by = find.become(model, voice, speaker or singer, singer is not None or key is not None, denoise, bool(text))
        form = services.Form(response_format, sample_rate)

        async def prepared(uploads: Uploads) -> Callable[[], EncodedSound]:
            (recording,) = await uploads.recordings([file])
            targets = await uploads.recordings(_counted(target or []))
            return partial(service.conversion, recording, by, targets, options, seed, form, text, language)

        return await _answer(service, prepared, response_format)

    @router.post("/v1/sing", response_class=Response, responses=SOUND, summary="Sing a score")
    async def sing(
        score: Annotated[UploadFile, File(description="MusicXML or MIDI.")],
        voice: _Name = None,
        target: _Targets = None,
        model: _Name = None,
        lyrics: Annotated[str | None, Form(max_length=20_000)] = None,
        part: _Name = None,
        verse: Annotated[int, Form(ge=1)] = 1,
        chords: Annotated[Chords, Form()] = "refuse",
        key: Annotated[str, Form(max_length=10, description="Semitones, or auto.")] = "0",
        speed: Annotated[float, Form(allow_inf_nan=False)] = 1.0,
        vibrato: Annotated[float, Form(allow_inf_nan=False)] = 25.0,
        variation: _Number = None,
        language: Annotated[str | None, Form(max_length=40)] = None,
        seed: _Seed = None,
        response_format: _Format = "mp3",
        sample_rate: _Rate = None,
    ) -> Response:
        if (voice is None) == (not target):
            raise Refused(
                400, "give who is to sing: a voice that was cloned, or target recordings", "bad_input", "voice"
            )
        kept = None if voice is None else find.kept.get(voice) if is_kept(voice) else None
        if voice is not None and kept is None:
            raise Refused(400, f"voice {voice!r}: scores are sung by voices that were cloned", "unsupported", "voice")
        chosen = model or (find.model_of(kept.voice) if kept is not None else find.default("sing"))
        if chosen is None or "sing" not in find.named(chosen).tasks:
            raise UnsupportedTask(f"{chosen or 'no model here'}: sings no scores: a model of naturalspeech2 does")
        moved = _key(key)
        whole = int(moved) if isinstance(moved, float) and moved == int(moved) else moved
        options = SingOptions(
            part, verse, chords, lyrics, whole or 0, speed, vibrato, variation, language  # type: ignore[arg-type]
        )  # fmt: skip
        form = services.Form(response_format, sample_rate)

        async def prepared(uploads: Uploads) -> Callable[[], EncodedSound]:
            path = await uploads.score(score)
            likes = [kept.voice] if kept is not None else await uploads.recordings(_counted(target or []))
            name = kept.voice.name if kept is not None else "target"
            return partial(service.song, path, chosen, likes, name, options, seed, form)

        return await _answer(service, prepared, response_format)

    @router.post("/v1/clone", status_code=201, summary="Make a voice of recordings, and keep it")
    async def clone(
        file: Annotated[list[UploadFile], File(description="Recordings of one person.")],
        consent: Annotated[str, Form(min_length=10, max_length=500, description="Who agreed to what.")],
        name: Annotated[str | None, Form(max_length=60)] = None,
        model: _Name = None,
        text: Annotated[str | None, Form(max_length=2000, description="What is said in it; for a style.")] = None,
    ) -> dict[str, Any]:
        if model is not None:
            find.named(model)
        sources = [shown_name(each) for each in file]
        called = plain(name or "") or sources[0].rpartition(".")[0] or sources[0]
        uploads = Uploads(service.settings)
        try:
            paths = await uploads.recordings(_counted(file))
            with anyio.fail_after(service.settings.timeout_seconds):
                async with service.admission.turn():
                    kept, notes = await service.worker.run(
                        service.clone, paths, sources, plain(consent), called, model, text
                    )
        except MoksoriError as error:
            found = refusal(error)
            raise Refused(found.status_code, uploads.named(str(found.detail)), found.code) from error
        finally:
            uploads.close()
        return {**kept_entry(kept, find), "notes": [uploads.named(note) for note in notes]}

    return router


async def _answer(service: Service, prepared: Callable[[Uploads], Any], form: StreamFormat) -> Response:
    """The answer to a request with files, which are deleted when it is over."""
    uploads = Uploads(service.settings)
    try:
        prepare = await prepared(uploads)
    except BaseException:
        uploads.close()
        raise
    return SoundAnswer(service, prepare, form, tell=uploads.named, done=uploads.close)


def _counted(files: list[UploadFile]) -> list[UploadFile]:
    if len(files) > _MOST_FILES:
        raise Refused(400, f"{len(files)} recordings: {_MOST_FILES} at most are taken", "too_large")
    return files


def _key(given: str | None) -> float | Literal["auto"] | None:
    """Semitones, or auto; raises Refused for what is neither."""
    if given is None or given in ("", "auto"):
        return "auto" if given else None
    try:
        return float(given)
    except ValueError as error:
        raise Refused(400, f"key {given!r}: expected semitones, such as -3, or auto", "bad_value", "key") from error
