"""The model card of a trained model, from what its manifest says."""

from collections.abc import Mapping

from moksori.models.checkpoint import Manifest
from moksori.models.registry import family


def example(manifest: Manifest, name: str) -> str:
    """A command that uses a model, by what its family can do. name: the model's, or its folder."""
    model = family(manifest.family).model
    if hasattr(model, "say") or hasattr(model, "say_mels"):
        return f'moksori say "Hello." --voice {name} -o hello.wav'
    if hasattr(model, "say_latents_like"):
        return f'moksori say "Hello." --like prompt.wav --voice {name} -o hello.wav'
    if hasattr(model, "hear"):
        return f"moksori convert talk.wav --like target.wav --model {name} -o out.wav"
    if hasattr(model, "fit_voice"):
        singer = manifest.speakers[0] if manifest.speakers else "NAME"
        key = "" if manifest.model.get("pitch") is None else " --key auto"  # refused where no pitch is followed
        return f"moksori convert song.wav --singer {singer}{key} --model {name} -o out.wav"
    if hasattr(model, "convert"):
        speaker = manifest.speakers[0] if manifest.speakers else "NAME"
        return f"moksori convert talk.wav --speaker {speaker} --model {name} -o out.wav"
    if draws_of_nothing(manifest):
        return f"moksori vocode --model {name} --seconds 5 -o drawn.wav"
    if hasattr(model, "compress"):
        return f"moksori codec encode talk.wav --model {name} -o talk.mkc"
    if hasattr(model, "vocode_blocks"):
        return f"moksori vocode talk.wav --model {name} -o copy.wav"
    return f"moksori info {name}"


def draws_of_nothing(manifest: Manifest) -> bool:
    """Whether a model of a family that can do without mels was made without."""
    return hasattr(family(manifest.family).model, "draw_blocks") and manifest.model.get("mel") is None


def _whose(manifest: Manifest) -> str:
    """Whose voices a model gives away, and what that asks of its user."""
    model = family(manifest.family).model
    if hasattr(model, "hear") or hasattr(model, "say_latents_like"):
        return "It imitates whoever is heard in a recording: ask that person's consent first."
    if draws_of_nothing(manifest):
        return "What it makes sounds like the people of its training data, and says nothing."
    if hasattr(model, "compress"):
        return "It has no voice of its own: what it makes sounds like whoever was coded."
    if hasattr(model, "vocode_blocks"):
        return "It has no voice of its own: what it makes sounds like whoever is in the mels."
    return "The voice belongs to a person who gave the recordings under the licence above."


def _spoken(manifest: Manifest) -> str:
    """Language and speakers; only how many there were, where the model has no table of them."""
    if family(manifest.family).speaker_tables or len(manifest.speakers) < 2:
        return f"language `{manifest.language}`, speakers: {', '.join(_speakers(manifest))}"
    return f"trained on {len(manifest.speakers)} speakers"


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
        f"{_spoken(manifest)}.",
        "",
        "```",
        example(manifest, manifest.name),
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
        f"{_whose(manifest)} Say that speech is synthetic; the files moksori writes say so in their metadata.",
        "",
    ]
    return "\n".join(lines)
