"""Changing who speaks: `Converter.convert` a recording, `convert_to_file` one of any length."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from moksori.audio.stream import write_blocks
from moksori.errors import AudioError, BadInput, CheckpointError, UnsupportedTask, unknown_name
from moksori.models.checkpoint import Loaded, Manifest, load_model
from moksori.models.contract_latents import CanConvertLatents
from moksori.nn.conv import arranged_for_inference
from moksori.pipeline.conversion_ways import Job, ThroughVoices, imitating_families, table_families, way_of
from moksori.pipeline.conversions import (
    Conversion,
    ConvertOptions,
    WrittenConversion,
    conversion_metadata,
    likes,
)
from moksori.pipeline.enrolment import Enrolled, Like, enroll
from moksori.pipeline.live_conversion import LiveConversion
from moksori.pipeline.made_sound import is_same_file, told
from moksori.pipeline.models import family_default, find_model, models, only_model, usual_converter
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.prompted_conversion import ThroughPrompts
from moksori.pipeline.prompts import find_prompted
from moksori.pipeline.recordings import Audio, OpenRecording, open_recording
from moksori.pipeline.seeds import chosen_seed
from moksori.pipeline.watermark import in_file
from moksori.types import Voice

__all__ = [
    "Conversion",
    "ConvertOptions",
    "Converter",
    "WrittenConversion",
    "check_paths",
    "conversion_metadata",
    "convert_to_file",
    "find_converter",
]

MAXIMUM_SECONDS = 3600.0
"""The longest recording converted in memory; longer ones go straight to a file."""


class Converter:
    """A model that changes who speaks: between its own speakers, or to the voice of any recording.

    vocoder: for models that make mels, a name or folder; None: the one that the model names, or one for such mels.
    Raises UnsupportedTask, saying why, where the model cannot: another family, one speaker only, or an imported voice
    without the part that listens.
    """

    def __init__(self, loaded: Loaded, vocoder: str | Path | None = None) -> None:
        self.loaded, self.manifest = loaded, loaded.manifest
        prompted = isinstance(loaded.model, CanConvertLatents)
        self._way = ThroughPrompts(loaded, vocoder) if prompted else way_of(loaded, vocoder)
        self._model = loaded.model

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def sample_rate(self) -> int:
        """Of what it makes, in Hz."""
        return self.manifest.sample_rate

    @property
    def speakers(self) -> tuple[str, ...]:
        """The names that `speaker=` and `source=` take."""
        return self.manifest.speakers if not isinstance(self._way, ThroughVoices | ThroughPrompts) else ()

    @property
    def takes_source(self) -> bool:
        """Whether `source=` may tell who is heard in a recording."""
        return not isinstance(self._way, ThroughVoices | ThroughPrompts) and self._way.takes_source

    @property
    def takes_text(self) -> bool:
        """Whether it makes a recording anew from what is said in it, where `text=` tells that."""
        return isinstance(self._way, ThroughPrompts) and self._way.takes_text

    def convert(
        self,
        audio: Audio,
        speaker: str | None = None,
        source: str | None = None,
        seed: int | None = None,
        variation: float | None = None,
        pitch: float = 0.0,
        like: Like | Sequence[Like] | None = None,
        strength: float = 1.0,
        key: float | Literal["auto"] | None = None,
        text: str | None = None,
        language: str | None = None,
    ) -> Conversion:
        """The recording, spoken by somebody else; the same seed gives the same samples, None draws one.

        audio: a path, something with `samples` and `sample_rate`, or a pair of both. speaker, source: names among
        `speakers`; without a source the best fit of the model's speakers. like: who is to be imitated instead, one or
        several of recordings, `.voice` files and Voices. variation: noise in what is read off the recording. pitch:
        semitones. strength: 0, the source's own voice, to 1, the target's. key: of a song, semitones or "auto". text:
        what is said, and its language, for models that make it anew from that (NaturalSpeech 2), with its lengths and
        its melody, which is moved to where the target speaks. It is as long as the recording, at the model's rate.
        Raises AudioError for a recording that cannot be used or is longer than an hour, UnknownName for a speaker that
        does not exist, BadInput for a value out of range, UnsupportedTask for what this model cannot do.
        """
        options = ConvertOptions(
            speaker, source, variation, pitch, likes(like), strength, key, text=text, language=language
        )
        if speaker is None and not options.like:
            raise BadInput("nobody to become: give a speaker of the model, or like= a recording of who is to speak")
        return self._made(audio, options, seed)

    def denoise(
        self,
        audio: Audio,
        seed: int | None = None,
        variation: float | None = None,
        like: Like | Sequence[Like] | None = None,
    ) -> Conversion:
        """The recording made anew in its own voice, without what is no speech. Arguments and errors: see `convert`.

        like: clean recordings of who speaks in it, where there are some.
        """
        return self._made(audio, ConvertOptions(variation=variation, like=likes(like), clean=True), seed)

    def enroll(self, recordings: Like | Sequence[Like], name: str | None = None) -> Voice:
        """The voice of recordings, which `like=` takes and `moksori.pipeline.voices.write_voice` keeps in a file.

        Raises UnsupportedTask for a model of speakers of its own, AudioError for a recording without speech.
        """
        return self.heard(recordings, name).voice

    def heard(self, recordings: Like | Sequence[Like], name: str | None = None) -> Enrolled:
        """What `enroll` gives, with notes on the recordings."""
        return enroll(self.loaded, likes(recordings), name)

    def live(
        self,
        blocks: Iterable[Float[np.ndarray, " block"]],
        sample_rate: int,
        like: Like | Sequence[Like] | None = None,
        seed: int | None = None,
        variation: float | None = None,
        speaker: str | None = None,
        key: float | None = None,
    ) -> LiveConversion:
        """Sound that is converted while it comes; iterate over what this returns for blocks at the model's rate.

        blocks: float32 samples of one channel at `sample_rate` Hz, as they come. like, or speaker: who is to be heard.
        key: of a song, in semitones. `delay_seconds` says how long a sample stays. Raises UnsupportedTask for a model
        that converts whole recordings only, otherwise as `convert` does.
        """
        options = ConvertOptions(speaker, variation=variation, like=likes(like), key=key)
        if not self._way.is_live or isinstance(self._way, ThroughPrompts):
            raise UnsupportedTask(
                f"{self.name}: converts whole recordings only: use a model of {' or '.join(imitating_families())}"
            )
        if key == "auto":
            raise BadInput("key auto: where a song lies is known at its end only: give semitones")
        return LiveConversion(self._way, blocks, sample_rate, options, chosen_seed(seed))

    def auto_key(self, audio: Audio, speaker: str) -> int | None:
        """Semitones by which `key="auto"` moves a song for one of `speakers`; None where the key would stay.

        Raises AudioError and UnknownName as `convert` does, UnsupportedTask for a model that knows no key.
        """
        options = ConvertOptions(speaker)
        self.check(options)
        if isinstance(self._way, ThroughVoices | ThroughPrompts):
            raise UnsupportedTask(f"{self.name}: follows no pitch: leave the key out")
        return self._way.auto_key(open_recording(audio, self.sample_rate), self._way.target(options).voice)

    def check(self, options: ConvertOptions) -> None:
        """Raises UnknownName or UnsupportedTask where the options are not for this model."""
        if options.text is not None and not isinstance(self._way, ThroughPrompts):
            raise UnsupportedTask(f"{self.name}: needs not know what is said: leave the text out")
        self._way.check(options)

    def job(self, recording: OpenRecording, options: ConvertOptions, seed: int) -> Job:
        """A conversion that is ready to be made, of a recording that was opened at `sample_rate`."""
        return self._way.job(recording, options, seed)

    def _made(self, audio: Audio, options: ConvertOptions, seed: int | None) -> Conversion:
        self.check(options)
        seed = chosen_seed(seed)
        recording = open_recording(audio, self.sample_rate)
        if recording.sound.duration_seconds > MAXIMUM_SECONDS:
            raise AudioError(
                f"{recording.name}: lasts {recording.sound.duration_seconds:.0f} s, {MAXIMUM_SECONDS:g} s at most are "
                "converted in memory: write it to a file with moksori.pipeline.convert.convert_to_file"
            )
        job = self.job(recording, options, seed)
        samples = np.concatenate(list(job.blocks))
        return Conversion(samples, self.sample_rate, job.target.name, job.source_name, seed, self.name, job.notes)


def find_converter(
    name: str | Path | None,
    speaker: str | None = None,
    device: str = "cpu",
    vocoder: str | Path | None = None,
    sings: bool = False,
    anew: bool = False,
) -> Converter:
    """The converter called `name`; without a name the one model here that knows the speaker, or where no speaker is
    named either, the default of the families that imitate.

    anew: of those that imitate, one that says anew what is said, where the text is known. sings: of several bundled
    models that know the speaker, the one for songs is taken, else the one for speech.
    Raises as `find_model` and Converter do; BadInput naming all models that know the speaker where there are several
    and a person's own among them, UnknownName with the nearest speakers where there is none, CheckpointError where no
    model here imitates.
    """
    if name is not None:
        folder = find_model(name)
    else:
        folder = find_imitator(anew=anew) if speaker is None else find_that_knows(speaker, sings)
    loaded = load_model(folder, device=device)
    arranged_for_inference(loaded.model)
    return Converter(loaded, vocoder)


def find_imitator(name: str | Path | None = None, anew: bool = False) -> Path:
    """The folder of the model called `name`, or of the default model that imitates voices of recordings.

    anew: of one that says anew what is said in a recording, where its text is known.
    """
    if name is not None:
        return find_model(name)
    if anew:
        return find_prompted()
    families = imitating_families()
    for family in families:
        folder = family_default(family)
        if folder is not None:
            return folder
    only = only_model(families, "imitate voices, and none is the default")
    if only is not None:
        return only
    raise CheckpointError(
        f"no model here imitates the voice of a recording: name one of the family {' or '.join(families)} with --model "
        "NAME or a model folder"
    )


def convert_to_file(
    converter: Converter,
    audio: str | Path,
    path: str | Path,
    options: ConvertOptions,
    seed: int | None = None,
    progress: Progress = no_progress,
    watermark: bool = False,
) -> WrittenConversion:
    """Converts a recording of any length into a wav, flac, ogg, opus or mp3 file, in memory that does not grow with it.

    seed: None draws one. progress: is told seconds of sound. watermark: with the inaudible mark that `moksori verify`
    finds. The output appears when it is whole, or not at all.
    Raises AudioError for a recording that cannot be used, AudioError or BadInput for a path that cannot be written or
    is the recording's own, MoksoriError when the disk is full.
    """
    path = Path(path)
    check_paths(Path(audio), path, options.like)
    converter.check(options)
    seed = chosen_seed(seed)
    started = time.perf_counter()
    recording = open_recording(audio, converter.sample_rate)
    sound = recording.sound
    job = converter.job(recording, options, seed)
    tags = conversion_metadata(converter.name, seed, job.source_name, job.target.name)
    blocks = told(job.blocks, sound.sample_rate, sound.samples, progress)
    marked, said = in_file(blocks, sound.sample_rate, tags, watermark)
    write_blocks(path, marked, sound.sample_rate, sound.samples, said)
    compute = time.perf_counter() - started
    return WrittenConversion(path, seed, job.target.name, job.source_name, sound.duration_seconds, compute, job.notes)


def check_paths(audio: Path, output: Path, likes: Sequence[Like] = ()) -> None:
    """Raises AudioError or BadInput unless a sound can be written to `output`, and that is not the recording itself
    nor one of those of who is to speak."""
    from moksori.pipeline.say import check_output

    check_output(output)
    if is_same_file(output, audio):
        raise BadInput(f"{output}: is the recording itself, which would be lost: name another output")
    if any(is_same_file(output, like) for like in likes if isinstance(like, str | Path)):
        raise BadInput(f"{output}: is a recording of who is to speak, which would be lost: name another output")


def find_that_knows(speaker: str, sings: bool) -> Path:
    """The folder of the installed or bundled model that can convert to a speaker; raises as `find_converter` does."""
    able = set(table_families())
    found = [model for model in models() if model.manifest is not None and _converts(model.manifest, able)]
    knowing = [model for model in found if model.manifest is not None and speaker in model.manifest.speakers]
    if len(knowing) > 1 and all(model.where == "bundled" for model in knowing):
        usual = usual_converter(sings)
        knowing = [model for model in knowing if model.name == usual] or knowing
    if len(knowing) > 1:
        names = " and ".join(repr(model.name) for model in knowing)
        raise BadInput(f"speaker {speaker!r}: the models {names} know one of that name: choose with --model")
    if knowing:
        return knowing[0].folder
    known = {name for model in found if model.manifest is not None for name in model.manifest.speakers}
    if not known:
        raise CheckpointError("no model here converts between speakers: name one with --model NAME or a model folder")
    raise unknown_name("speaker", speaker, known)


def _converts(manifest: Manifest, able: set[str]) -> bool:
    return manifest.family in able and len(manifest.speakers) > 1 and not manifest.absent
