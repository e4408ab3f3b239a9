"""Mels to sound: `MelVocoder.vocode` a mel or a recording, `vocode_to_file` one of any length.

A recording is analysed and made anew (copy-synthesis): what the vocoder makes of it is the best that a model in front
of it can sound like.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from moksori.audio import mel_files
from moksori.audio.mel import MelConfig, MelSpectrogram
from moksori.audio.mel_files import Mel, OpenMel, check_mel, open_mel, write_mel
from moksori.audio.mel_stream import MelStream
from moksori.audio.stream import write_blocks
from moksori.errors import AudioError, BadInput, CheckpointError, MoksoriError, UnknownName
from moksori.models.checkpoint import Loaded, load_model
from moksori.pipeline.made_sound import MadeSound, is_same_file, told
from moksori.pipeline.models import find_model, models
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.recordings import Audio, OpenRecording, open_recording
from moksori.pipeline.seeds import chosen_seed, sentence_generator
from moksori.pipeline.speech import synthetic_metadata
from moksori.pipeline.vocoding import AT_ONCE_FRAMES, Sounding, any_vocoder_for
from moksori.pipeline.watermark import in_file

__all__ = ["CHUNK_FRAMES", "Mel", "MelVocoder", "Vocoded", "WrittenVocoding", "find_mel_vocoder", "vocode_to_file"]

CHUNK_FRAMES = AT_ONCE_FRAMES
"""Frames that are made at once; the sound does not depend on it."""
MAXIMUM_SECONDS = 3600.0
"""The longest sound made in memory; longer ones go straight to a file."""

MelLike = str | Path | Mel | Float[np.ndarray, "mels frames"]


@dataclass(frozen=True)
class Vocoded(MadeSound):
    """A sound made from mels: float32 samples in [-1, 1] and their rate in Hz.

    seed: with it the same vocoder makes the same samples of the same mel again. notes: what a person should know of it.
    """

    seed: int
    model: str
    notes: tuple[str, ...] = ()

    def save(self, path: str | Path, watermark: bool = False) -> Path:
        """Writes a wav, flac, ogg, opus or mp3 file (by its suffix) whose metadata says that it is synthetic.

        Raises AudioError or BadInput for another suffix or a folder that is missing, and MoksoriError when the disk is
        full; nothing is left half written.
        """
        return self.write(path, synthetic_metadata(self.model, self.seed), watermark)


@dataclass(frozen=True)
class WrittenVocoding:
    """What `vocode_to_file` did. sound, mel: the files; compute_seconds: of work, reading and writing included."""

    sound: Path | None
    mel: Path | None
    seed: int
    frames: int
    duration_seconds: float
    compute_seconds: float
    notes: tuple[str, ...]

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of sound."""
        return self.compute_seconds / self.duration_seconds


@dataclass(frozen=True)
class _Source:
    """Where mels come from: a file or array of them, or a recording. samples: of the sound that they become."""

    given: OpenMel | OpenRecording
    frames: int
    samples: int
    notes: tuple[str, ...]


class MelVocoder:
    """A vocoder that is ready: `vocode` makes sound of mels and recordings, `mel` makes mels of recordings.

    Raises UnsupportedTask, naming the families that can, for a model that takes no mels.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._vocoder = Sounding(loaded)
        self.loaded, self.manifest = loaded, loaded.manifest
        self._device = loaded.device
        self._front_end = MelSpectrogram(self.front_end).to(self._device)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def sample_rate(self) -> int:
        """Of what it makes, in Hz."""
        return self.front_end.sample_rate

    @property
    def front_end(self) -> MelConfig:
        """What its mels are."""
        return self._vocoder.model.mel_config

    def vocode(self, source: MelLike | Audio, seed: int | None = None, chunk: int = CHUNK_FRAMES) -> Vocoded:
        """The sound of a mel, or of a recording's: the same seed gives the same samples, None draws one.

        source: a mel file (.npy, .safetensors), a `Mel` or an array `[mels, frames]`, all natural logarithms of this
        vocoder's front end; or a recording: a path, a pair (samples, rate), or something with both, which is brought to
        the level that models learn from. A mel becomes frames * hop_length samples; a recording keeps its length.
        chunk: frames that are made at once.
        Raises BadInput for a mel that is not of the front end, AudioError for a recording that cannot be used, or a
        sound longer than an hour.
        """
        _check_chunk(chunk)
        seed = chosen_seed(seed)
        opened = self._opened(source)
        if opened.samples > MAXIMUM_SECONDS * self.sample_rate:
            raise AudioError(
                f"{opened.given.name}: lasts {opened.samples / self.sample_rate:.0f} s, {MAXIMUM_SECONDS:g} s at most "
                "are made in memory: write it to a file with moksori.pipeline.vocode.vocode_to_file"
            )
        samples = np.concatenate(list(self._sound(opened, seed, chunk)))
        return Vocoded(samples, self.sample_rate, seed, self.name, opened.notes)

    def mel(self, audio: Audio) -> Mel:
        """The log-mel of a recording as this vocoder takes it, at the level that models learn from.

        Raises AudioError for a recording that cannot be used.
        """
        recording = open_recording(audio, self.sample_rate)
        mel = torch.cat(list(self._analysed(recording, CHUNK_FRAMES)), dim=2)
        return Mel(mel[0].cpu().numpy(), self.front_end)

    def _opened(self, source: MelLike | Audio) -> _Source:
        hop = self.front_end.hop_length
        if is_mel(source):
            mel = open_mel(source)  # type: ignore[arg-type]
            check_mel(mel, self.front_end)
            unknown = f"{mel.name}: does not say how it was made: taken as a mel of {self.name}'s front end"
            return _Source(mel, mel.frames, mel.frames * hop, () if mel.front_end is not None else (unknown,))
        recording = open_recording(source, self.sample_rate)  # type: ignore[arg-type]
        samples = recording.sound.samples
        return _Source(recording, -(-samples // hop), samples, ())

    def _mels(self, source: _Source, chunk: int) -> Iterator[Float[torch.Tensor, "1 mels frames"]]:
        if isinstance(source.given, OpenRecording):
            yield from self._analysed(source.given, chunk)
            return
        for block in source.given.blocks(chunk):
            yield torch.from_numpy(block)[None].to(self._device)

    def _analysed(self, recording: OpenRecording, chunk: int) -> Iterator[Float[torch.Tensor, "1 mels frames"]]:
        stream = MelStream(self._front_end)
        with torch.inference_mode():
            for block in recording.sound.blocks():
                yield from _not_empty(stream.push(torch.from_numpy(block).to(self._device)), chunk)
            yield from _not_empty(stream.finish(), chunk)

    def _sound(self, source: _Source, seed: int, chunk: int) -> Iterator[Float[np.ndarray, " block"]]:
        """As samples that can be written, as many as the source has."""
        generator = sentence_generator(seed, 0, self._device)
        left = source.samples
        for block in self._vocoder.sound(self._mels(source, chunk), source.frames, generator, chunk):
            samples = block[0, :left].float().cpu().numpy()
            if not np.isfinite(samples).all():
                raise MoksoriError(f"{self.name}: made NaN or infinity of {source.given.name}: use another vocoder")
            left -= len(samples)
            yield np.clip(samples, -1.0, 1.0)


def is_mel(source: object) -> bool:
    """Whether a source is taken for a mel: by a file's suffix, or an array that comes without a rate."""
    if isinstance(source, str | Path):
        return Path(source).suffix.lower() in mel_files.SUFFIXES
    return isinstance(source, Mel | np.ndarray)


def find_mel_vocoder(
    name: str | Path | None = None, source: str | Path | None = None, device: str = "cpu"
) -> MelVocoder:
    """The vocoder called `name`; without a name the family's default, or the one for the front end that a mel file
    names.

    Raises as `find_model` and MelVocoder do, BadInput for a mel file that no vocoder here takes, and CheckpointError
    where there is no vocoder at all.
    """
    if name is None and source is not None and is_mel(source):
        front_end = open_mel(source).front_end
        folder = None if front_end is None else any_vocoder_for(front_end)
        if front_end is not None and folder is None:
            raise BadInput(
                f"{source}: a mel of {front_end.sample_rate} Hz, hop {front_end.hop_length}, {front_end.n_mels} bands, "
                "and no vocoder here takes such: name one with --model NAME or a model folder"
            )
        if folder is not None:
            return MelVocoder(load_model(folder, device=device))
    return MelVocoder(load_model(_default() if name is None else find_model(name), device=device))


def _default() -> Path:
    """The family's default, or the only vocoder there is."""
    try:
        return find_model("vocoder")
    except UnknownName as error:
        here = [model for model in models() if model.manifest is not None and model.manifest.family == "vocoder"]
        if len(here) == 1:
            return here[0].folder
        if here:
            names = ", ".join(model.name for model in here)
            raise CheckpointError(f"several vocoders are here ({names}): choose one with --model") from error
        raise CheckpointError(
            "no vocoder is installed or bundled here: name one with --model NAME or a model folder ('moksori train "
            "vocoder/compact-16khz' makes one)"
        ) from error


def vocode_to_file(
    vocoder: MelVocoder,
    source: MelLike | Audio,
    sound: str | Path | None = None,
    mel: str | Path | None = None,
    seed: int | None = None,
    chunk: int = CHUNK_FRAMES,
    progress: Progress = no_progress,
    watermark: bool = False,
) -> WrittenVocoding:
    """Writes the sound of a mel or recording of any length, its mel, or both, in memory that does not grow with it.

    sound: a wav, flac, ogg, opus or mp3 file; mel: a .npy or .safetensors file. progress: is told seconds of sound.
    watermark: the sound gets the inaudible mark that `moksori verify` finds. Outputs appear when they are whole, or not
    at all.
    Raises as `MelVocoder.vocode` does, AudioError or BadInput for a path that cannot be written or is the source's own,
    MoksoriError when the disk is full.
    """
    _check_chunk(chunk)
    targets = [None if path is None else Path(path) for path in (sound, mel)]
    check_paths(source, *targets)
    seed = chosen_seed(seed)
    started = time.perf_counter()
    opened = vocoder._opened(source)
    rate, front_end = vocoder.sample_rate, vocoder.front_end
    if targets[1] is not None:
        mels = (_array(block) for block in vocoder._mels(opened, chunk))
        write_mel(targets[1], mels, opened.frames, front_end.n_mels, front_end)
    if targets[0] is not None:
        blocks = told(vocoder._sound(opened, seed, chunk), rate, opened.samples, progress)
        marked, tags = in_file(blocks, rate, synthetic_metadata(vocoder.name, seed), watermark)
        write_blocks(targets[0], marked, rate, opened.samples, tags)
    compute = time.perf_counter() - started
    seconds = opened.samples / rate
    return WrittenVocoding(targets[0], targets[1], seed, opened.frames, seconds, compute, opened.notes)


def check_paths(source: object, sound: Path | None, mel: Path | None) -> None:
    """Raises AudioError or BadInput unless the outputs can be written, and none of them is the source itself."""
    from moksori.pipeline.say import check_folder, check_output

    if sound is None and mel is None:
        raise BadInput("no output: name a sound (-o out.wav), or a file for the mel (--mel out.safetensors)")
    if sound is not None:
        check_output(sound)
    if mel is not None:
        mel_files.check_mel_suffix(mel)
        check_folder(mel)
    for output in (sound, mel):
        if output is None or not isinstance(source, str | Path):
            continue
        if is_same_file(output, source):
            raise BadInput(f"{output}: is the source itself, which would be lost: name another output")


def _check_chunk(chunk: int) -> None:
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise BadInput(f"chunk {chunk!r}: expected a whole number of frames, 1 or more")


def _not_empty(mel: torch.Tensor, chunk: int) -> Iterator[torch.Tensor]:
    for start in range(0, mel.shape[2], chunk):
        yield mel[:, :, start : start + chunk]


def _array(mel: torch.Tensor) -> Float[np.ndarray, "mels block"]:
    return mel[0].float().cpu().numpy()
