"""How a text is spoken: the options of `say`, each with its range."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from moksori.errors import BadInput
from moksori.pipeline.latent_choice import LatentChoice
from moksori.pipeline.prompt_choice import PromptChoice
from moksori.pipeline.speech_timings import Durations
from moksori.text.lexicon import Lexicon
from moksori.text.markup import MAXIMUM_SHIFT_SEMITONES, MAXIMUM_VOLUME_DB, QUIETEST_DB, RATES
from moksori.types import MAXIMUM_VARIATION

DEFAULT_PAUSE_SECONDS = 0.25
SLOWEST, FASTEST = RATES
MOST_DRAWS = 16


@dataclass(frozen=True)
class SayOptions:
    """How a text is spoken; out-of-range values raise BadInput.

    speed: 2 = half as long, 0.1 to 10. variation: standard deviation of the prior's noise, 0 to 10; None = the model's.
    pause_seconds: silence between sentences, 2.5 times that between paragraphs, half of it at both ends; None = 0.25.
    speaker: a name of the model's speaker table; None = the first. language: None = the speaker's own.
    volume_db: gain; what it lifts beyond full scale is clipped. lexicon: pronunciations that come before all rules.
    shift_semitones: pitch, -12 to 12. duration_mix: share of sampled durations, 0 to 1; None = the model's.
    durations: frames of every token; they decide the speed, which must then be left alone. latent: styles, blends and
    whatever else is chosen of a model's latents, see `styles.choose`. best_of: draws of each sentence of which the one
    is kept that left least of the text out, 1 to 16; None = the model's. prompt: in whose voice, for models that
    imitate one, see `prompts.prompt_choice`.
    """

    speed: float = 1.0
    variation: float | None = None
    pause_seconds: float | None = None
    speaker: str | None = None
    language: str | None = None
    volume_db: float = 0.0
    lexicon: Lexicon = field(default_factory=Lexicon)
    shift_semitones: float = 0.0
    duration_mix: float | None = None
    durations: Durations | None = None
    latent: LatentChoice | None = None
    best_of: int | None = None
    prompt: PromptChoice | None = None

    def __post_init__(self) -> None:
        _within("speed", self.speed, SLOWEST, FASTEST)
        _within("volume", self.volume_db, QUIETEST_DB, MAXIMUM_VOLUME_DB)
        _within("pitch", self.shift_semitones, -MAXIMUM_SHIFT_SEMITONES, MAXIMUM_SHIFT_SEMITONES)
        if self.variation is not None:
            _within("variation", self.variation, 0.0, MAXIMUM_VARIATION)
        if self.pause_seconds is not None:
            _within("pause", self.pause_seconds, 0.0, 60.0)
        if self.duration_mix is not None:
            _within("duration mix", self.duration_mix, 0.0, 1.0)
        if self.best_of is not None and not (type(self.best_of) is int and 1 <= self.best_of <= MOST_DRAWS):
            raise BadInput(f"best of {self.best_of!r}: expected a whole number from 1 to {MOST_DRAWS}")
        if self.durations is not None:
            for name, value, usual in (("speed", self.speed, 1.0), ("duration mix", self.duration_mix, None)):
                if value != usual:
                    raise BadInput(f"{name} {value:g}: durations are given and decide that: leave one of them out")

    @property
    def pause(self) -> float:
        """Seconds between two sentences."""
        return DEFAULT_PAUSE_SECONDS if self.pause_seconds is None else self.pause_seconds

    def as_json(self) -> dict[str, Any]:
        """All that decides the samples, for the header of a job; None stands for nothing given."""
        apart = ("lexicon", "durations", "latent", "best_of", "prompt")
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        if self.best_of is not None:
            kept["best_of"] = self.best_of
        if self.prompt is not None:
            kept["prompt"] = self.prompt.digest
        latent = {} if self.latent is None else {"latent": self.latent.digest}
        durations = None if self.durations is None else self.durations.digest
        return {
            **kept,
            **latent,
            "pause_seconds": self.pause,
            "lexicon": self.lexicon.as_json(),
            "durations": durations,
        }


def _within(name: str, value: float, low: float, high: float) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise BadInput(f"{name} {value!r}: expected a number from {low:g} to {high:g}")
