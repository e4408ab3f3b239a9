"""How a voice with latents is to speak: styles of clips, blends, mixture components, the prosody of a take.

A Manner is what a person asks for; `styles.choose` makes of it what a model is given.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

from moksori.errors import BadInput
from moksori.pipeline.clips import StyleClip
from moksori.pipeline.latent_choice import DEFAULT_STRENGTH, Way
from moksori.pipeline.recordings import Audio
from moksori.types import Voice

StyleSource = StyleClip | Voice | Audio
"""A reference clip, a style or its `.voice` file, or a recording whose text stands beside it."""
MODES = ("time_and_batch", "batch", "segment")
DEFAULT_MODE = "batch"
"""It goes nearer to its clips than the mean over time does, which says little of pitch: docs/flowtron-control.md."""
SEED = "seed:"
MOST_SHIFT = 20.0


@dataclass(frozen=True)
class Manner:
    """Out-of-range values raise BadInput.

    styles: reference clips. mode: "time_and_batch" takes their mean, "batch" keeps their course in time, "segment" the
    mean of the parts of clips that were named. strength: 0 the voice's own way, to 1 the clips' alone; a pair: at the
    beginning and at the end of each sentence. blend: names and shares of speakers, of style files or of seeds
    (`seed:3`). way: how what is blended is mixed; None: samples by "slerp", which keeps their length, else "linear".
    components: of a mixture prior, with shares; components_of: a recording that chooses them instead. shifts:
    (component, mel band, what is added to that mean).
    prosody: a recording of the sentence that is to be said, whose course it keeps, frame by frame; prosody_speaker: who
    speaks in it, of the model's speakers, None: whoever fits best.
    """

    styles: tuple[StyleSource, ...] = ()
    mode: str = DEFAULT_MODE
    strength: float | tuple[float, float] = DEFAULT_STRENGTH
    blend: tuple[tuple[str, float], ...] = ()
    way: Way | None = None
    components: tuple[tuple[int, float], ...] = ()
    components_of: Audio | None = None
    shifts: tuple[tuple[int, int, float], ...] = ()
    prosody: Audio | None = None
    prosody_speaker: str | None = None

    def __post_init__(self) -> None:
        for value in self.strengths:
            check_number("strength", value, 0.0, 1.0)
        if self.mode not in MODES:
            raise BadInput(f"style mode {self.mode!r}: expected {', '.join(MODES)}")
        if self.way not in (None, "slerp", "linear"):
            raise BadInput(f"blend way {self.way!r}: expected slerp or linear")
        parts = [clip.part is not None for clip in self.styles if isinstance(clip, StyleClip)]
        if self.mode == "segment" and not (parts and all(parts)):
            raise BadInput("style mode 'segment': takes parts of clips: name one of each with --style-part")
        if self.mode == "batch" and any(parts):
            raise BadInput("style mode 'batch': takes whole clips: leave their parts out, or choose 'segment'")
        for name, shares in (("blend", self.blend), ("components", self.components)):
            check_shares(name, [share for _, share in shares])
        for _, _, offset in self.shifts:
            check_number("component shift", offset, -MOST_SHIFT, MOST_SHIFT)
        if self.components and self.components_of is not None:
            raise BadInput("both components and a recording that chooses them are given: give one of them")
        if self.prosody is not None and not replace(self, prosody=None, prosody_speaker=None).plain:
            raise BadInput("the prosody of a recording is all of it: leave styles, blends and components out")
        if self.prosody is None and self.prosody_speaker is not None:
            raise BadInput(f"prosody speaker {self.prosody_speaker!r}: is for a recording given with --prosody")

    @property
    def strengths(self) -> tuple[float, float]:
        """At the beginning and at the end of a sentence."""
        given = self.strength
        return cast(tuple[float, float], tuple(given)) if isinstance(given, tuple | list) else (given, given)

    @property
    def plain(self) -> bool:
        """Whether nothing is asked for."""
        given = self.styles or self.blend or self.components or self.shifts
        return not given and self.components_of is None and self.prosody is None

    @classmethod
    def of(
        cls,
        manner: "Manner | None" = None,
        style: StyleSource | Sequence[StyleSource] | None = None,
        strength: float | tuple[float, float] | None = None,
        blend: str | Mapping[str, float] | None = None,
    ) -> "Manner | None":
        """A Manner with the short forms that `say` takes; None where nothing is asked for."""
        found = manner or cls()
        if style is not None:
            single = isinstance(style, StyleClip | Voice | str | Path) or not isinstance(style, list | tuple)
            pair = isinstance(style, tuple) and len(style) == 2 and isinstance(style[1], int)
            styles = (style,) if single or pair else tuple(cast(Sequence[StyleSource], style))
            found = replace(found, styles=cast(tuple[StyleSource, ...], styles))
        if blend is not None:
            found = replace(found, blend=parse_blend(blend) if isinstance(blend, str) else tuple(blend.items()))
        if strength is not None:
            found = replace(found, strength=strength)
        return None if found.plain else found


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raises BadInput unless a value is a number in a range."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= cast(float, value) <= high:
        raise BadInput(f"{name} {value!r}: expected a number from {low:g} to {high:g}")


def check_shares(name: str, shares: Sequence[float]) -> None:
    """Raises BadInput unless shares are numbers from 0 on of which one is above; none at all are fine."""
    for share in shares:
        check_number(f"share of the {name}", share, 0.0, 1e6)
    if shares and sum(shares) == 0.0:
        raise BadInput(f"{name}: all shares are 0: give one at least that is not")


Name = TypeVar("Name")


def _shares(text: str, what: str, example: str, name_of: Callable[[str], Name]) -> tuple[tuple[Name, float], ...]:
    found: dict[Name, float] = {}
    for part in text.split(","):
        name, equals, share = part.strip().rpartition("=")
        try:
            if not (name and equals):
                raise ValueError
            key, value = name_of(name.strip()), float(share)
        except ValueError as error:
            raise BadInput(f"{what} {text!r}: {part.strip()!r} is no NAME=SHARE: give it as {example}") from error
        if key in found:
            raise BadInput(f"{what} {text!r}: names {name!r} twice: add its shares")
        found[key] = value
    return tuple(found.items())


def parse_blend(text: str) -> tuple[tuple[str, float], ...]:
    """`a=0.3,b=0.7` as names and shares; raises BadInput for what cannot be read."""
    return _shares(text, "blend", "a=0.3,b=0.7", str)


def parse_components(text: str) -> tuple[tuple[int, float], ...]:
    """`2`, or `0=0.3,2=0.7`, as components and shares; raises BadInput for what cannot be read."""
    if re.fullmatch(r"\d{1,6}", text.strip()):
        return ((int(text), 1.0),)
    return _shares(text, "component", "2 or 0=0.3,2=0.7", int)


def parse_shift(text: str) -> tuple[int, int, float]:
    """`2:10:1.5`: component, mel band, what is added; raises BadInput for what cannot be read."""
    try:
        component, band, offset = text.split(":")
        return int(component), int(band), float(offset)
    except ValueError as error:
        raise BadInput(f"component shift {text!r}: expected COMPONENT:BAND:OFFSET, such as 2:10:1.5") from error


def parse_span(text: str, what: str, high: float) -> tuple[float, float]:
    """`0.5-1.2` as a pair of rising numbers from 0 to `high`; raises BadInput for what is none."""
    start, dash, stop = text.partition("-")
    try:
        if not dash:
            raise ValueError
        span = float(start), float(stop)
    except ValueError as error:
        raise BadInput(f"{what} {text!r}: expected START-STOP, such as 0-0.5") from error
    for value in span:
        check_number(what, value, 0.0, high)
    if not span[0] < span[1]:
        raise BadInput(f"{what} {text!r}: must rise")
    return span


def parse_ramp(text: str) -> tuple[float, float]:
    """`0-0.9`: strengths at the beginning and the end of a sentence, which may fall. Raises BadInput for other text."""
    start, dash, stop = text.partition("-")
    try:
        if not dash:
            raise ValueError
        return float(start), float(stop)
    except ValueError as error:
        raise BadInput(f"style ramp {text!r}: expected FROM-TO, such as 0-0.9") from error


def parse_part(text: str) -> str | tuple[float, float]:
    """`0.5-1.2`, seconds of a clip, or words of its text."""
    return parse_span(text, "style part", 3600.0) if re.fullmatch(r"\s*[\d.]+\s*-\s*[\d.]+\s*", text) else text
