"""`moksori verify`: whether a recording says that a machine made it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moksori.cli.progress import progress_bar

if TYPE_CHECKING:
    from moksori.pipeline.watermark import Verdict


def register(app: typer.Typer) -> None:
    app.command("verify")(verify)


def verify(
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings: wav, flac, ogg, opus or mp3, and m4b where PyAV is installed.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line a file.")] = False,
) -> None:
    """Tell whether recordings say that a machine made them: by their tags, and by the mark of --watermark.

    Ends with code 0 where every one of them does, with 1 where one does not; that proves nothing of it, since few
    programs mark what they make.
    """
    from moksori.pipeline import watermark

    silent = 0
    for path in recordings:
        with progress_bar("listening") as progress:
            verdict = watermark.verify(path, progress)
        silent += not verdict.synthetic
        typer.echo(_as_json(verdict) if as_json else _line(verdict))
    if silent:
        raise typer.Exit(1)


def _line(verdict: "Verdict") -> str:
    mark, tags = verdict.mark, verdict.tags
    said = "no tag says that it is synthetic"
    if verdict.says_synthetic:
        who = ", ".join(f"{name} {tags[name]}" for name in ("software", "model", "seed") if name in tags)
        said = f"its tags say that it is synthetic{f' ({who})' if who else ''}"
    heard = (
        f"marked: score {mark.score:.1f}, in unmarked sound less often than {mark.chance:.0e}"
        if mark.found
        else f"no mark found in {mark.seconds:.1f} s (score {mark.score:.1f})"
    )
    return f"{verdict.path}: {heard}; {said}"


def _as_json(verdict: "Verdict") -> str:
    import json

    found: dict[str, Any] = {
        "file": str(verdict.path),
        "synthetic": verdict.synthetic,
        "marked": verdict.mark.found,
        "score": round(verdict.mark.score, 3),
        "chance": verdict.mark.chance,
        "seconds": round(verdict.mark.seconds, 3),
        "tags": dict(verdict.tags),
    }
    return json.dumps(found, ensure_ascii=False)
