"""Which of the models here does what, told without their weights; and who is meant by a model's and a voice's name."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from moksori.errors import BadInput, CheckpointError, MoksoriError, UnsupportedTask, unknown_name
from moksori.models import registry
from moksori.models.checkpoint import Manifest, fingerprint
from moksori.pipeline.conversion_ways import imitating_families, table_families
from moksori.pipeline.convert import find_imitator, find_that_knows
from moksori.pipeline.kept_voices import KeptVoice, KeptVoices, is_kept
from moksori.pipeline.mel_voice import speaks
from moksori.pipeline.models import Model, models, usual_converter
from moksori.pipeline.prompts import find_prompted, takes_prompts
from moksori.types import Voice

Task = Literal["speech", "speech_like", "convert", "convert_like", "clone", "style", "sing"]
"""speech: texts; speech_like, sing: texts and scores in a kept voice of its own; convert: to its own speakers;
convert_like: to any recording; clone, style: makes voices, or styles, of recordings."""

DEFAULT_VOICE = "default"
_FRESH_SECONDS = 2.0


@dataclass(frozen=True)
class Listed:
    """A model that can be used, and what for."""

    model: Model
    manifest: Manifest
    tasks: tuple[Task, ...]

    @property
    def speakers(self) -> tuple[str, ...]:
        """The names of who speaks in it; () for one that does not speak and has none."""
        named = self.manifest.speakers
        return named or ((self.model.name,) if "speech" in self.tasks else ())


@dataclass(frozen=True)
class SpokenBy:
    """Who speaks: a model and one of its speakers (None: the first), or a kept voice.

    converter: the model that gives the kept voice to what the other one says; "" where it speaks itself.
    """

    model: str
    speaker: str | None = None
    kept: KeptVoice | None = None
    converter: str = ""

    @property
    def named(self) -> str:
        """For people."""
        return self.kept.voice.name if self.kept is not None else self.speaker or self.model


@dataclass(frozen=True)
class BecomeBy:
    """Who a recording is to become: a speaker of the model, or a kept voice; neither: a recording will say it."""

    model: str
    speaker: str | None = None
    kept: KeptVoice | None = None


class Catalogue:
    """The models of this machine and the voices that are kept; it looks anew after two seconds.

    Names come from outside: what is not listed is not there, and no name becomes a path.
    """

    def __init__(self, kept: KeptVoices | None = None) -> None:
        self.kept = kept or KeptVoices()
        self._listed: Mapping[str, Listed] = {}
        self._looked = float("-inf")
        self._prints: dict[str, str] = {}

    def all(self) -> Mapping[str, Listed]:
        """Every model that is not broken, by its name."""
        if time.monotonic() - self._looked > _FRESH_SECONDS:
            found = [(model, model.manifest) for model in models()]
            self._listed = {m.name: Listed(m, about, tasks_of(about)) for m, about in found if about is not None}
            self._looked = time.monotonic()
        return self._listed

    def named(self, name: str) -> Listed:
        """The model of a name; raises UnknownName with the nearest names."""
        found = self.all()
        if name not in found:
            raise unknown_name("model", name, found)
        return found[name]

    def model_of(self, voice: Voice) -> str | None:
        """The model that a kept voice means something to; None where it is not here any more."""
        for name, listed in self.all().items():
            if listed.manifest.family == voice.family:
                needed = listed.manifest.requires.values()
                if voice.model in needed or voice.model == self._fingerprint(listed):
                    return name
        return None

    def default(self, task: Task, sings: bool = False) -> str | None:
        """The model that does a task where none is named; None where there is none."""
        try:
            match task:
                case "speech":
                    return next((name for name, listed in self.all().items() if listed.model.default), None)
                case "convert":
                    return usual_converter(sings)
                case "convert_like":
                    return find_imitator().name
                case "clone":
                    return self.default("sing") or self.default("convert_like")
                case "speech_like" | "sing":
                    return find_prompted().name
                case "style":
                    return next((name for name, listed in self.all().items() if "style" in listed.tasks), None)
        except MoksoriError:
            return None

    def speaker_of(self, model: str | None, voice: str | None) -> SpokenBy:
        """Who is meant by a model's and a voice's name, either of which may be missing.

        voice: "default", a speaker's name, MODEL/SPEAKER, or the id of a kept voice. Raises UnknownName, BadInput for
        names that contradict each other, UnsupportedTask for a model that does not speak.
        """
        if voice is not None and is_kept(voice):
            return self._kept_speaker(model, self.kept.get(voice))
        if voice is not None and "/" in voice:
            theirs, voice = voice.split("/", 1)
            if model not in (None, theirs):
                raise BadInput(
                    f"voice {theirs}/{voice}: is one of {theirs}, not of the model {model}: name one of them"
                )
            model = theirs
        if model is None:
            model = self._that_has(voice)
        listed = self.named(model)
        if "speech_like" in listed.tasks:
            raise BadInput(f"{model}: speaks in voices that were cloned: give the id of one as the voice")
        if "speech" not in listed.tasks:
            able = [name for name, other in self.all().items() if "speech" in other.tasks]
            raise UnsupportedTask(f"{model}: does not speak texts: use one of {', '.join(able)}")
        if voice in (None, DEFAULT_VOICE, model):
            return SpokenBy(model)
        if voice not in listed.speakers:
            raise unknown_name(f"voice of {model}", voice, [*listed.speakers, DEFAULT_VOICE])
        return SpokenBy(model, voice if voice in listed.manifest.speakers else None)

    def become(
        self,
        model: str | None,
        voice: str | None,
        speaker: str | None,
        sings: bool = False,
        cleans: bool = False,
        anew: bool = False,
    ) -> BecomeBy:
        """Who a recording is to become. voice: as for `speaker_of`; speaker: of a model's own. anew: its text is known.

        Raises UnknownName, BadInput for names that contradict each other.
        """
        if voice is not None and is_kept(voice):
            kept = self.kept.get(voice)
            return BecomeBy(self._own_model(kept, model), kept=kept)
        if voice is not None and "/" in voice:
            theirs, speaker = voice.split("/", 1)
            if model not in (None, theirs):
                raise BadInput(f"voice {voice}: is one of {theirs}, not of the model {model}: name one of them")
            model = theirs
        elif voice is not None:
            speaker = voice
        if model is None:
            model = find_that_knows(speaker, sings).name if speaker is not None else find_imitator(anew=anew).name
        listed = self.named(model)
        if speaker is not None and speaker not in listed.manifest.speakers:
            raise unknown_name(f"speaker of {model}", speaker, listed.manifest.speakers)
        if cleans and "convert_like" not in listed.tasks:
            raise UnsupportedTask(f"{model}: cleans no recordings: use {self.default('convert_like')}")
        return BecomeBy(model, speaker)

    def style_of(self, model: str, name: str) -> Voice:
        """The style of an id, for a model; raises UnknownName, and BadInput where it is no style of that model's."""
        kept = self.kept.get(name)
        if kept.voice.kind != "style":
            raise BadInput(f"style {name}: is a voice, who speaks and not how: give it as the voice")
        self._own_model(kept, model)
        return kept.voice

    def _kept_speaker(self, model: str | None, kept: KeptVoice) -> SpokenBy:
        if kept.voice.kind == "style":
            raise BadInput(f"voice {kept.id}: is a style, how and not who speaks: give it as the style")
        if kept.voice.kind == "prompt":
            return SpokenBy(self._own_model(kept, model), kept=kept)
        speaks_it = self.speaker_of(model, None)
        return SpokenBy(speaks_it.model, kept=kept, converter=self._own_model(kept, None))

    def _own_model(self, kept: KeptVoice, model: str | None) -> str:
        """The model of a kept voice; raises BadInput where it is another one than `model`, or gone."""
        own = self.model_of(kept.voice)
        if own is None:
            raise CheckpointError(
                f"voice {kept.id}: was made with a model that is not here any more: make it again of its recording"
            )
        if model not in (None, own):
            raise BadInput(f"voice {kept.id}: was made with {own}, to {model} it means nothing: leave the model out")
        return own

    def _that_has(self, voice: str | None) -> str:
        """The model that a voice's name alone stands for: the default's own come first."""
        usual = self.default("speech")
        able = {name: listed for name, listed in self.all().items() if "speech" in listed.tasks}
        if usual is None:
            raise CheckpointError("no default voice is here: name a model")
        if voice in (None, DEFAULT_VOICE) or (usual in able and voice in able[usual].speakers):
            return usual
        found = next((name for name, listed in able.items() if voice == name or voice in listed.speakers), None)
        if found is None:
            known = {speaker for listed in able.values() for speaker in listed.speakers}
            raise unknown_name("voice", str(voice), [*known, DEFAULT_VOICE])
        return found

    def _fingerprint(self, listed: Listed) -> str:
        folder = Path(listed.model.folder)
        key = f"{folder}:{(folder / 'config.json').stat().st_mtime_ns}"
        if key not in self._prints:
            self._prints[key] = fingerprint(folder)
        return self._prints[key]


def tasks_of(manifest: Manifest) -> tuple[Task, ...]:
    """What a model can do, told by its family and its config alone."""
    if manifest.family not in registry.family_names():
        return ()
    imitates, prompted = manifest.family in imitating_families(), takes_prompts(manifest.family)
    able: dict[Task, bool] = {
        "speech": speaks(manifest.family) and not prompted,
        "speech_like": prompted,
        "convert": manifest.family in table_families() and len(manifest.speakers) > 1 and not manifest.absent,
        "convert_like": imitates or prompted,
        "clone": imitates or prompted,
        "style": hasattr(registry.family(manifest.family).model, "read_latents"),
        "sing": prompted,
    }
    return tuple(task for task, can in able.items() if can)
