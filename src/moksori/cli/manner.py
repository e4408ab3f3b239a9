"""Options of `moksori say` for voices whose latents can be chosen: styles, blends, components, prosody."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori.errors import BadInput

if TYPE_CHECKING:
    from moksori.pipeline.clips import StyleClip
    from moksori.pipeline.manner import Manner

Style = Annotated[
    list[Path] | None,
    typer.Option("--style", help="A clip to speak like, or a .voice file of a style; may be repeated."),
]
StyleText = Annotated[
    list[str] | None,
    typer.Option(
        "--style-text",
        help="What is said in each clip, in their order.",
        show_default="a .txt or .lab beside it, or Whisper's",
    ),
]
StylePart = Annotated[
    list[str] | None,
    typer.Option("--style-part", help="Of each clip, what counts: words of its text, or seconds as 0.5-1.2."),
]
StylePlace = Annotated[
    list[str] | None,
    typer.Option("--style-place", help="Of each clip, where in a sentence its style holds, as 0-0.5 (shares)."),
]
StyleSpeaker = Annotated[
    str | None,
    typer.Option("--style-speaker", help="Who speaks in the clips, of the model's speakers.", show_default="as spoken"),
]
StyleMode = Annotated[
    str | None,
    typer.Option(
        "--style-mode",
        help="batch (the clips' course), time-and-batch (their mean) or segment (parts).",
        show_default="batch, with parts segment",
    ),
]
StyleRamp = Annotated[
    str | None,
    typer.Option("--style-ramp", help="Strength at the beginning and end of each sentence, as 0-0.9."),
]
Strength = Annotated[float | None, typer.Option("--strength", help="Of the style, 0 to 1.", show_default="0.9")]
Blend = Annotated[
    str | None,
    typer.Option(
        "--blend", help="Speakers, .voice files of styles or seeds, mixed: a=0.3,b=0.7; seed:3=0.5,seed:9=0.5."
    ),
]
BlendWay = Annotated[
    str | None,
    typer.Option("--blend-way", help="slerp or linear.", show_default="slerp for seeds, else linear"),
]
Component = Annotated[
    str | None,
    typer.Option("--component", help="Of a mixture prior: a number, or shares as 0=0.3,2=0.7."),
]
ComponentLike = Annotated[
    Path | None, typer.Option("--component-like", help="A recording that chooses the components instead.")
]
ComponentShift = Annotated[
    list[str] | None,
    typer.Option("--component-shift", help="Moves a component's mean: COMPONENT:BAND:OFFSET; may be repeated."),
]
Prosody = Annotated[
    Path | None,
    typer.Option(
        "--prosody",
        help="A recording of this very sentence, whose course is kept frame by frame; with --like, of anything, in "
        "whose manner it is said.",
    ),
]
ProsodySpeaker = Annotated[
    str | None,
    typer.Option("--prosody-speaker", help="Who speaks in it, of the model's speakers.", show_default="best fit"),
]


def manner_of(
    style: Sequence[Path],
    style_text: Sequence[str],
    style_part: Sequence[str],
    style_place: Sequence[str],
    style_speaker: str | None,
    style_mode: str | None,
    style_ramp: str | None,
    strength: float | None,
    blend: str | None,
    blend_way: str | None,
    component: str | None,
    component_like: Path | None,
    component_shift: Sequence[str],
    prosody: Path | None,
    prosody_speaker: str | None,
    speaker: str | None = None,
    variation: float | None = None,
) -> "Manner | None":
    """What the options ask for; None where none of them is given. Raises BadInput where they contradict each other.

    speaker, variation: of `say`, which a blend of speakers and a take's prosody leave nothing to do.
    """
    alone = {
        "--style-text": style_text, "--style-part": style_part, "--style-place": style_place,
        "--style-speaker": style_speaker, "--style-mode": style_mode, "--style-ramp": style_ramp,
    }  # fmt: skip
    for option, given in alone.items():
        if given and not style:
            raise BadInput(f"{option}: is about clips of a style: give them with --style")
    if strength is not None and not style and not blend:
        raise BadInput(f"--strength {strength:g}: is that of a style: give clips with --style")
    if strength is not None and style_ramp is not None:
        raise BadInput(f"both --strength {strength:g} and --style-ramp {style_ramp} are given: give one of them")
    if blend_way is not None and blend is None:
        raise BadInput(f"--blend-way {blend_way}: is about a blend: give one with --blend")
    if not (style or blend or component or component_like or component_shift or prosody or prosody_speaker):
        return None

    from moksori.pipeline.latent_choice import DEFAULT_STRENGTH
    from moksori.pipeline.manner import DEFAULT_MODE, Manner, parse_blend, parse_components, parse_ramp, parse_shift

    blended = () if blend is None else parse_blend(blend)
    if blend is not None:
        _check_blend(blend, [name for name, _ in blended], bool(style), strength, speaker)
    if prosody is not None and variation is not None:
        raise BadInput(f"--variation {variation:g}: the prosody of a recording leaves nothing to vary: leave it out")
    _check_clips(style, {"--style-speaker": style_speaker, "--style-mode": style_mode})
    strengths = DEFAULT_STRENGTH if strength is None else strength
    mode = (style_mode or ("segment" if style_part else DEFAULT_MODE)).replace("-", "_")
    clips = style_clips(style, style_text, style_part, style_place, style_speaker)
    return Manner(
        clips,
        mode,
        parse_ramp(style_ramp) if style_ramp is not None else strengths,
        blended,
        blend_way,  # type: ignore[arg-type]  # Manner checks it
        () if component is None else parse_components(component),
        component_like,
        tuple(parse_shift(shift) for shift in component_shift),
        prosody,
        prosody_speaker,
    )


def _check_blend(blend: str, names: Sequence[str], styled: bool, strength: float | None, speaker: str | None) -> None:
    """Raises BadInput for a strength where no style is blended, and for a speaker beside a blend of speakers."""
    from moksori.pipeline.manner import SEED
    from moksori.pipeline.voices import is_voice_file

    if strength is not None and not styled and not any(is_voice_file(name) for name in names):
        raise BadInput(
            f"--strength {strength:g}: is that of a style, and --blend {blend} has none: leave it out, the shares say "
            "how much of each"
        )
    if speaker is not None and not any(is_voice_file(name) or name.startswith(SEED) for name in names):
        raise BadInput(f"both --speaker {speaker} and --blend {blend} say who speaks: give one of them")


def _check_clips(style: Sequence[Path], given: Mapping[str, str | None]) -> None:
    """Raises BadInput for options on how clips are read where only styles are given that were read before."""
    from moksori.pipeline.voices import is_voice_file

    if not style or not all(is_voice_file(path) for path in style):
        return
    for option, value in given.items():
        if value is not None:
            raise BadInput(
                f"{option} {value}: is about clips, and {style[0]} is a style made of some before: leave it out"
            )


def style_clips(
    style: Sequence[Path],
    texts: Sequence[str],
    parts: Sequence[str] = (),
    places: Sequence[str] = (),
    speaker: str | None = None,
) -> "tuple[StyleClip | Path, ...]":
    """Clips with what was given of each, in their order; `.voice` files take none of it."""
    from moksori.pipeline.clips import StyleClip
    from moksori.pipeline.manner import parse_part, parse_span
    from moksori.pipeline.voices import is_voice_file

    recordings = [path for path in style if not is_voice_file(path)]
    for option, given in (("--style-text", texts), ("--style-part", parts), ("--style-place", places)):
        if given and len(given) != len(recordings):
            raise BadInput(
                f"{option}: given {len(given)} times for {len(recordings)} clips: give it once for each, in their order"
            )
    clips = iter(
        StyleClip(
            path,
            texts[place] if texts else None,
            parse_part(parts[place]) if parts else None,
            parse_span(places[place], "style place", 1.0) if places else (0.0, 1.0),
            speaker,
        )
        for place, path in enumerate(recordings)
    )
    return tuple(path if is_voice_file(path) else next(clips) for path in style)
