"""The model card of a trained model, from what its manifest says."""

from collections.abc import Mapping

from moksori.models.checkpoint import Manifest
from moksori.models.registry import family


def _speakers(manifest: Manifest) -> list[str]:
    others = manifest.speaker_languages
    names = manifest.speakers or (manifest.name,)
    return [f"{name} (`{others[name]}`)" if name in others else name for name in names]


def model_card(manifest: Manifest, notes: str = "", human: Mapping[str, float] | None = None) -> str:
    """Markdown: what it is, how to use it, data and licence, scores beside the human recordings', and limits.

    notes: how it was trained, in prose. human: the recordings' own scores, under the names of `manifest.scores`.
    """
    lines = [
        f"# {manifest.name}",
        "",
        f"A `{manifest.family}` model of moksori ({family(manifest.family).summary}); {manifest.sample_rate} Hz, "
        f"language `{manifest.language}`, speakers: {', '.join(_speakers(manifest))}.",
        "",
        "```",
        f'moksori say "Hello." --voice {manifest.name} -o hello.wav',
        "```",
        "",
        "## Data and licence",
        "",
        *(f"- {source}" for source in manifest.data),
        f"- licence of the weights: {manifest.licence or 'not stated'}",
        "",
        "## Training",
        "",
        f"{manifest.steps} steps. {notes}".strip(),
    ]
    if manifest.scores:
        lines += ["", "## Scores", "", "| measure | this model | human recordings |", "|---|---|---|"]
        for name, value in manifest.scores.items():
            other = "" if human is None or name not in human else f"{human[name]:.4g}"
            lines.append(f"| {name} | {value:.4g} | {other} |")
    lines += [
        "",
        "## Use with care",
        "",
        "The voice belongs to a person who gave the recordings under the licence above. Say that speech is synthetic; "
        "the files moksori writes say so in their metadata.",
        "",
    ]
    return "\n".join(lines)
