"""`moksori models` and `moksori info`: what is there, and what a model is."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from moksori.pipeline.models import Model


def register(app: typer.Typer) -> None:
    app.command("models")(models)
    app.command("info")(info)


def models(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """List the models of this machine."""
    from moksori.pipeline.models import installed_folder
    from moksori.pipeline.models import models as find

    found = find()
    if as_json:
        typer.echo(json.dumps([_summary(model) for model in found], indent=2, ensure_ascii=False))
        return
    if not found:
        typer.echo(f"no models: none is bundled, and none is in {installed_folder()}")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "family", "language", "speakers", "rate", "licence", "where"):
        table.add_column(title, justify="right" if title in ("speakers", "rate") else "left")
    for model in found:
        name = f"{model.name} (default)" if model.default else model.name
        manifest = model.manifest
        if manifest is None:
            table.add_row(name, "broken", "", "", "", "", model.problem)
            continue
        speakers = str(max(len(manifest.speakers), 1))
        table.add_row(
            name,
            manifest.family,
            manifest.language,
            speakers,
            f"{manifest.sample_rate} Hz",
            manifest.licence,
            model.where,
        )
    Console(soft_wrap=True).print(table)


def info(
    name: Annotated[str, typer.Argument(help="A model's name or folder, or a preset, FAMILY/PRESET.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one model in detail, or the size of a preset."""
    from moksori.config import preset_names
    from moksori.pipeline.models import info as look

    if name in preset_names() and not Path(name).exists():
        from moksori.pipeline.preset_sizes import preset_parameters  # builds it by torch, which models need not

        parameters = preset_parameters(name)
        if as_json:
            typer.echo(json.dumps({"preset": name, "parameters": parameters}))
        else:
            typer.echo(f"preset       {name}")
            typer.echo(f"parameters   {parameters:,}, without discriminators")
            typer.echo(f"train it     moksori train {name} --corpus CORPUS")
        return
    found = look(name)
    manifest = found.manifest
    if as_json:
        details = {
            **_summary(found.model),
            "parameters": found.parameters,
            "files": found.files,
            "discriminators": found.discriminators,
            "manifest": manifest.model_dump(mode="json"),
        }
        typer.echo(json.dumps(details, indent=2, ensure_ascii=False))
        return
    size = sum(found.files.values()) / 2**20
    speakers = manifest.speakers or (manifest.name,)
    lines = {
        "name": f"{manifest.name}{' (default)' if found.model.default else ''}",
        "family": manifest.family,
        "folder": f"{found.model.folder} ({found.model.where})",
        "parameters": f"{found.parameters / 1e6:.2f} M, {size:.1f} MiB on disk",
        "sample rate": f"{manifest.sample_rate} Hz",
        "language": ", ".join(dict.fromkeys((manifest.language, *manifest.speaker_languages.values()))),
        "speakers": f"{len(speakers)}: {', '.join(speakers[:8])}{' ...' if len(speakers) > 8 else ''}",
        "licence": manifest.licence or "not stated",
        "data": "; ".join(manifest.data) or "not stated",
        "steps": f"{manifest.steps:,}",
        "scores": ", ".join(f"{score} {value:g}" for score, value in manifest.scores.items()) or "not measured",
        "fine-tuning": "discriminators included" if found.discriminators else "no discriminators",
    }
    if manifest.requires:
        lines["needs"] = ", ".join(manifest.requires)
    if manifest.absent:
        lines["absent"] = f"{', '.join(manifest.absent)} (not in its source: it can only speak)"
    for title, value in lines.items():
        typer.echo(f"{title:<12} {value}")


def _summary(model: "Model") -> dict[str, Any]:
    manifest = model.manifest
    summary: dict[str, Any] = {
        "name": model.name,
        "folder": str(model.folder),
        "where": model.where,
        "default": model.default,
    }
    if manifest is None:
        return {**summary, "problem": model.problem}
    return {
        **summary,
        "family": manifest.family,
        "language": manifest.language,
        "speaker_languages": manifest.speaker_languages,
        "speakers": list(manifest.speakers or (manifest.name,)),
        "sample_rate": manifest.sample_rate,
        "licence": manifest.licence,
        "steps": manifest.steps,
        "scores": manifest.scores,
    }
