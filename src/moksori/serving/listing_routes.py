"""What is here: models, voices, measurements, and how the server does."""

from typing import Any

import anyio
from fastapi import APIRouter, Response

from moksori import __version__
from moksori.audio.encode import STREAM_FORMATS
from moksori.errors import BadInput
from moksori.models.checkpoint import count_parameters
from moksori.pipeline.consent import NOTICE
from moksori.pipeline.kept_voices import is_kept
from moksori.pipeline.scoreboard import read_all, table_of_each
from moksori.serving.errors import Refused
from moksori.serving.metrics import CONTENT_TYPE
from moksori.serving.schemas import kept_entry, model_entry, speaker_entries
from moksori.serving.service import Service


def listing_routes(service: Service) -> APIRouter:
    """`/healthz`, `/metrics`, and all below `/v1` that is only looked at, or deleted."""
    router = APIRouter(tags=["lists"])
    find, settings = service.catalogue, service.settings

    @router.get("/healthz", summary="Whether the server is well")
    async def health() -> dict[str, Any]:
        state = {"models_loaded": service.shelf.names, "active": service.admission.active}
        return {"status": "ok", "version": __version__, **state, "waiting": service.admission.waiting}

    @router.get("/metrics", summary="Counters for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE})

    @router.get("/v1/info", summary="Limits, formats, and the models that are taken where none is named")
    def info() -> dict[str, Any]:
        return {
            "version": __version__,
            "limits": {
                "characters": settings.most_characters,
                "seconds": settings.most_seconds,
                "upload_bytes": settings.most_upload_bytes,
                "upload_seconds": settings.most_upload_seconds,
            },
            "formats": STREAM_FORMATS,
            "watermark": settings.watermark,
            "consent_notice": NOTICE.replace(" (this is said once)", ""),
            "defaults": {
                "speech": find.default("speech"),
                "convert_like": find.default("convert_like"),
                "convert_speaker": find.default("convert"),
                "convert_singer": find.default("convert", sings=True),
                "clone": find.default("clone"),
                "style": find.default("style"),
                "sing": find.default("sing"),
            },
        }

    @router.get("/v1/models", summary="The models, and what each can do")
    def models() -> dict[str, Any]:
        found = [model_entry(each, count_parameters(each.model.folder)) for each in find.all().values()]
        return {"object": "list", "data": found}

    @router.get("/v1/models/{name}", summary="One model")
    def model(name: str) -> dict[str, Any]:
        found = find.named(name)
        return model_entry(found, count_parameters(found.model.folder))

    @router.get("/v1/voices", summary="The speakers of all models, and the voices that were kept")
    def voices() -> dict[str, Any]:
        speakers = [entry for listed in find.all().values() for entry in speaker_entries(listed)]
        kept = [kept_entry(each, find) for each in find.kept.all()]
        return {"object": "list", "data": speakers + kept}

    @router.get("/v1/voices/{name}", summary="One kept voice")
    def voice(name: str) -> dict[str, Any]:
        return kept_entry(find.kept.get(name), find)

    @router.delete("/v1/voices/{name}", summary="Delete a kept voice")
    async def remove(name: str) -> dict[str, Any]:
        if not is_kept(name):
            raise Refused(400, f"voice {name!r}: only voices that were kept can be deleted", "bad_input", "voice")
        await anyio.to_thread.run_sync(find.kept.remove, name)
        return {"id": name, "object": "voice.deleted", "deleted": True}

    @router.get("/v1/scoreboard", summary="What was measured")
    def scoreboard() -> dict[str, Any]:
        try:
            results = read_all(settings.scoreboard)
        except BadInput:
            return {"tables": [], "results": []}
        korean = {task: table.title for task, table in table_of_each(results, korean=True).items()}
        tables = [
            {
                "task": task,
                "title": table.title,
                "title_ko": korean[task],
                "header": table.header,
                "rows": table.rows,
                "strong": table.strong,
            }
            for task, table in table_of_each(results).items()
        ]
        return {"tables": tables, "results": [{"model": name, **entry} for name, entry in results]}

    return router
