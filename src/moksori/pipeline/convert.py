"""Changing who speaks: `Converter.convert` a recording, `convert_to_file` one of any length."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from moksori.audio.stream import write_blocks
from moksori.errors import AudioError, BadInput, CheckpointError, MoksoriError, UnsupportedTask, unknown_name
from moksori.models import registry
from moksori.models.checkpoint import Loaded, Manifest, load_model
from moksori.models.contract import CanConvert, CanConvertInBlocks, CanTellSpeakers
from moksori.nn.conv import arranged_for_inference
from moksori.pipeline.models import find_model, models
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.recordings import Audio, OpenRecording, open_recording
from moksori.pipeline.say_options import MAXIMUM_SHIFT_SEMITONES
from moksori.pipeline.speaker import chosen_seed, sentence_generator
from moksori.pipeline.speech import synthetic_metadata
from moksori.types import ConvertControls, PitchRange, SoundBatch, Voice, Waveform

__all__ = ["Conversion", "ConvertOptions", "Converter", "WrittenConversion", "convert_to_file", "find_converter"]

MAXIMUM_SECONDS = 3600.0
"""The longest recording converted in memory; longer ones go straight to a file."""
_LONGEST_LOOK_SECONDS = 4.0
_LOOK_BUDGET_SECONDS = 200.0  # of sound that is looked at to find out who speaks, over all speakers


@dataclass(frozen=True)
class ConvertOptions:
    """How a recording is converted; values out of range raise BadInput.

    speaker: who is to speak. source: who speaks in the recording, both by their names in the model; None: found out.
    variation: 0 to 10, noise in what is read off the recording; None = the model's own. shift_semitones: -12 to 12.
    """

    speaker: str
    source: str | None = None
    variation: float | None = None
    shift_semitones: float = 0.0

    def __post_init__(self) -> None:
        _within("pitch", self.shift_semitones, -MAXIMUM_SHIFT_SEMITONES, MAXIMUM_SHIFT_SEMITONES)
        if self.variation is not None:
            _within("variation", self.variation, 0.0, 10.0)


@dataclass(frozen=True)
class Conversion:
    """A converted recording: float32 samples in [-1, 1] and their rate in Hz.

    speaker: who speaks now; source: who was taken to speak in the recording. notes: what a person should know of it.
    seed: with it the same model makes the same samples of the same recording again.
    """

    samples: Float[np.ndarray, " samples"]
    sample_rate: int
    speaker: str
    source: str
    seed: int
    model: str
    notes: tuple[str, ...] = ()

    @property
    def duration_seconds(self) -> float:
        return len(self.samples) / self.sample_rate

    @property
    def waveform(self) -> Waveform:
        return Waveform(self.samples, self.sample_rate)

    def save(self, path: str | Path) -> Path:
        """Writes a wav, flac, ogg, opus or mp3 file (by its suffix) whose metadata says that it is synthetic.

        Raises AudioError or BadInput for another suffix or a folder that is missing, and MoksoriError when the disk is
        full; nothing is left half written.
        """
        path = Path(path)
        blocks = (self.samples[start : start + 2**16] for start in range(0, len(self.samples), 2**16))
        tags = conversion_metadata(self.model, self.seed, self.source, self.speaker)
        write_blocks(path, blocks, self.sample_rate, len(self.samples), tags)
        return path


@dataclass(frozen=True)
class WrittenConversion:
    """What `convert_to_file` did. compute_seconds: of work, reading and writing included."""

    path: Path
    seed: int
    speaker: str
    source: str
    duration_seconds: float
    compute_seconds: float
    notes: tuple[str, ...]

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of sound."""
        return self.compute_seconds / self.duration_seconds


@dataclass(frozen=True)
class _Job:
    """A conversion that is ready to be made."""

    source: Voice | None
    target: Voice
    blocks: Iterator[Float[np.ndarray, " block"]]
    notes: tuple[str, ...]

    @property
    def source_name(self) -> str:
        return "" if self.source is None else self.source.name


class Converter:
    """A model that changes who speaks.

    Raises UnsupportedTask, saying why, where the model cannot: another family, one speaker only, or an imported voice
    without the part that listens.
    """

    def __init__(self, loaded: Loaded) -> None:
        manifest = loaded.manifest
        if not isinstance(loaded.model, CanConvert):
            raise UnsupportedTask(
                f"{manifest.name}: a {manifest.family!r} model cannot convert: use one of {', '.join(_able_families())}"
            )
        if manifest.absent:
            raise UnsupportedTask(
                f"{manifest.name}: was imported without {', '.join(manifest.absent)}, so it speaks but cannot listen: "
                "import it from a checkpoint that holds all parts"
            )
        if len(manifest.speakers) < 2:
            raise UnsupportedTask(
                f"{manifest.name}: has one speaker, and conversion is between the speakers of a model: use a model of "
                "several (see 'moksori models')"
            )
        self.loaded, self.manifest = loaded, manifest
        self._model: CanConvert = loaded.model
        parameter = next(loaded.model.parameters(), None)
        self._device = parameter.device if parameter is not None else torch.device("cpu")

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
        return self.manifest.speakers

    def convert(
        self,
        audio: Audio,
        speaker: str,
        source: str | None = None,
        seed: int | None = None,
        variation: float | None = None,
        pitch: float = 0.0,
    ) -> Conversion:
        """The recording, spoken by another speaker of the model; the same seed gives the same samples, None draws one.

        audio: a path, something with `samples` and `sample_rate`, or a pair of both. speaker, source: names among
        `speakers`; without a source the best fit of the model's speakers. variation: noise in what
        is read off the recording. pitch: semitones. It is as long as the recording, at the model's rate and level.
        Raises AudioError for a recording that cannot be used or is longer than an hour, UnknownName for a speaker that
        does not exist, BadInput for a value out of range.
        """
        options = ConvertOptions(speaker, source, variation, pitch)
        self.check(options)
        seed = chosen_seed(seed)
        recording = open_recording(audio, self.sample_rate)
        if recording.sound.duration_seconds > MAXIMUM_SECONDS:
            raise AudioError(
                f"{recording.name}: lasts {recording.sound.duration_seconds:.0f} s, {MAXIMUM_SECONDS:g} s at most are "
                "converted in memory: write it to a file with moksori.pipeline.convert.convert_to_file"
            )
        job = self._job(recording, options, seed)
        samples = np.concatenate(list(job.blocks))
        return Conversion(samples, self.sample_rate, speaker, job.source_name, seed, self.name, job.notes)

    def check(self, options: ConvertOptions) -> None:
        """Raises UnknownName or UnsupportedTask where the options are not for this model."""
        for name in (options.speaker, options.source):
            if name is not None and name not in self.speakers:
                raise unknown_name("speaker", name, self.speakers)
        if options.shift_semitones and not getattr(self._model, "takes_pitch", False):
            raise UnsupportedTask(f"{self.name}: follows no pitch: leave the pitch out")

    def _job(self, recording: OpenRecording, options: ConvertOptions, seed: int) -> _Job:
        notes: list[str] = []
        source = self._voice(options.source) if options.source is not None else None
        if source is None and isinstance(self._model, CanTellSpeakers):
            source = self._nearest(self._model, recording)
            notes.append(
                f"{recording.name}: taken as spoken by {source.name!r}, the best fit of {len(self.speakers)} speakers; "
                "--source names another"
            )
        target = self._voice(options.speaker)
        if source is not None and source.speaker == target.speaker:
            notes.append(f"{source.name!r} stays {target.name!r}: the recording is only analysed and made anew")
        controls = ConvertControls(options.variation, options.shift_semitones)
        generator = sentence_generator(seed, 0, self._device)
        blocks = self._checked(recording, self._blocks(recording, target, source, controls, generator))
        return _Job(source, target, blocks, tuple(notes))

    def _voice(self, name: str) -> Voice:
        known = self.manifest.speaker_pitch.get(name)
        pitch = None if known is None else PitchRange(*known)
        return Voice(self.manifest.family, self.speakers.index(name), name, pitch=pitch)

    def _nearest(self, model: CanTellSpeakers, recording: OpenRecording) -> Voice:
        """Who is likeliest to have spoken the loudest stretch of the recording."""
        seconds = min(_LONGEST_LOOK_SECONDS, max(_LOOK_BUDGET_SECONDS / len(self.speakers), 0.5))
        stretch = self._tensor(recording.stretch(*recording.scan.loudest_stretch(seconds)))
        with torch.inference_mode():
            distances = model.speaker_distances(SoundBatch(stretch, torch.tensor([stretch.shape[1]])))[0]
        return self._voice(self.speakers[int(distances[: len(self.speakers)].argmin())])

    def _blocks(
        self,
        recording: OpenRecording,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        generator: torch.Generator,
    ) -> Iterator[Float[torch.Tensor, "1 samples"]]:
        model = self._model
        with torch.inference_mode():
            if isinstance(model, CanConvertInBlocks):
                blocks = model.convert_in_blocks(recording.sound, target, source, controls, generator=generator)
                yield from blocks
                return
            whole = self._tensor(recording.stretch(0, recording.sound.samples))
            sounds = SoundBatch(whole, torch.tensor([whole.shape[1]], device=self._device))
            yield model.convert(sounds, target, source, controls, generator).waveform

    def _checked(
        self, recording: OpenRecording, blocks: Iterator[Float[torch.Tensor, "1 samples"]]
    ) -> Iterator[Float[np.ndarray, " block"]]:
        """As samples that can be written."""
        for block in blocks:
            samples = block[0].float().cpu().numpy()
            if not np.isfinite(samples).all():
                raise MoksoriError(f"{self.name}: made NaN or infinity of {recording.name}: try a lower variation")
            yield np.clip(samples, -1.0, 1.0)

    def _tensor(self, samples: Float[np.ndarray, " samples"]) -> Float[torch.Tensor, "1 samples"]:
        return torch.from_numpy(samples)[None].to(self._device)


def find_converter(name: str | Path | None, speaker: str, device: str = "cpu") -> Converter:
    """The converter called `name`, or without a name the one model here that knows the speaker.

    Raises as `find_model` and Converter do; BadInput naming all models that know the speaker where there are several,
    UnknownName with the nearest speakers where there is none.
    """
    folder = find_model(name) if name is not None else _that_knows(speaker)
    loaded = load_model(folder, device=device)
    arranged_for_inference(loaded.model)
    return Converter(loaded)


def convert_to_file(
    converter: Converter,
    audio: str | Path,
    path: str | Path,
    options: ConvertOptions,
    seed: int | None = None,
    progress: Progress = no_progress,
) -> WrittenConversion:
    """Converts a recording of any length into a wav, flac, ogg, opus or mp3 file, in memory that does not grow with it.

    seed: None draws one. progress: is told seconds of sound. The output appears when it is whole, or not at all.
    Raises AudioError for a recording that cannot be used, AudioError or BadInput for a path that cannot be written or
    is the recording's own, MoksoriError when the disk is full.
    """
    path = Path(path)
    check_paths(Path(audio), path)
    converter.check(options)
    seed = chosen_seed(seed)
    started = time.perf_counter()
    recording = open_recording(audio, converter.sample_rate)
    sound = recording.sound
    job = converter._job(recording, options, seed)
    tags = conversion_metadata(converter.name, seed, job.source_name, options.speaker)
    blocks = _told(job.blocks, sound.sample_rate, sound.duration_seconds, progress)
    write_blocks(path, blocks, sound.sample_rate, sound.samples, tags)
    compute = time.perf_counter() - started
    return WrittenConversion(path, seed, options.speaker, job.source_name, sound.duration_seconds, compute, job.notes)


def check_paths(audio: Path, output: Path) -> None:
    """Raises AudioError or BadInput unless a sound can be written to `output`, and that is not the recording itself."""
    from moksori.pipeline.say import check_output

    check_output(output)
    try:
        same = output.exists() and output.samefile(audio.expanduser())
    except OSError:
        same = False  # there is no such recording, which reading it tells better
    if same:
        raise BadInput(f"{output}: is the recording itself, which would be lost: name another output")


def conversion_metadata(model: str, seed: int, source: str, speaker: str) -> dict[str, str]:
    """Tags of a file: that a machine spoke, which model, with which seed, and who became whom."""
    tags = {**synthetic_metadata(model, seed), "speaker": speaker}
    return {**tags, "converted_from": source} if source else tags


def _that_knows(speaker: str) -> Path:
    """The folder of the one installed or bundled model that can convert to a speaker."""
    able = set(_able_families())
    found = [model for model in models() if model.manifest is not None and _converts(model.manifest, able)]
    knowing = [model for model in found if model.manifest is not None and speaker in model.manifest.speakers]
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


def _able_families() -> list[str]:
    return [name for name in registry.family_names() if hasattr(registry.family(name).model, "convert")]


def _told(
    blocks: Iterator[Float[np.ndarray, " block"]], sample_rate: int, seconds: float, progress: Progress
) -> Iterator[Float[np.ndarray, " block"]]:
    done, total = 0, math.ceil(seconds)
    progress(0, total)
    for block in blocks:
        yield block
        done += len(block)
        progress(math.ceil(done / sample_rate), total)


def _within(name: str, value: float, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        raise BadInput(f"{name} {value!r}: expected a number from {low:g} to {high:g}")
