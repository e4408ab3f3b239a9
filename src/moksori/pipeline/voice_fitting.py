"""Voices of models whose singers are vectors of a table: fitted to recordings of a stranger, or mixed of singers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from moksori.corpus.importers.base import AUDIO_SUFFIXES
from moksori.errors import BadInput, CheckpointError, unknown_name
from moksori.models import registry
from moksori.models.checkpoint import Loaded
from moksori.pipeline.enrolment import rate_remarks
from moksori.pipeline.models import find_model, only_model
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.recordings import open_recording
from moksori.pipeline.seeds import sentence_generator
from moksori.pipeline.song_likeness import song_remarks
from moksori.pipeline.voices import fitter, is_voice_file, mixed, read_voice, voice_of
from moksori.types import PitchRange, Voice, Waveform

LEAST_SECONDS, GOOD_SECONDS, MOST_SECONDS = 2.0, 30.0, 1800.0
"""Of recordings in all: with less there is nothing to fit, with less it is rough, and more adds only time."""


@dataclass(frozen=True)
class FittedVoice:
    """A voice that was found, the singer of the table it started from, bits a sample with that one's vector and with
    its own, and what a person should know of the recordings. bits_tuned: with the layers that were tuned to it, None
    where none were."""

    voice: Voice
    nearest: str
    bits_before: float
    bits_after: float
    notes: tuple[str, ...]
    bits_tuned: float | None = None


def find_singing_model(name: str | Path | None = None) -> Path:
    """The folder of the model called `name`, or of the one model here whose singers are vectors of a table.

    Raises as `find_model` does; CheckpointError where there is none, BadInput naming all where there are several.
    """
    if name is not None:
        return find_model(name)
    able = registry.families_with("fit_voice")
    only = only_model(able, "have singers")
    if only is not None:
        return only
    raise CheckpointError(
        f"no model here has singers: name one of the family {' or '.join(sorted(able))} with --model NAME or a model "
        "folder"
    )


def fit_voice(
    loaded: Loaded,
    paths: Sequence[str | Path],
    name: str | None = None,
    steps: int = 300,
    seed: int = 0,
    progress: Progress = no_progress,
    tuned_layers: int = 0,
) -> FittedVoice:
    """The voice of one singer by recordings, at the level that models learnt from.

    paths: files, or folders of such. name: None = those of the paths. progress: is told steps. tuned_layers: last
    layers of the decoder that are tuned to the recordings too and kept in the voice, where that helps on a tenth of
    them that is held back. Equal seeds give equal voices.
    Raises UnsupportedTask for a model without vectors, BadInput for more layers than there are, BadInput or AudioError
    for recordings that cannot be used, or last less than 2 s or more than half an hour in all.
    """
    model, rate = fitter(loaded), loaded.manifest.sample_rate
    if not 0 <= tuned_layers <= model.tunable_layers:
        raise BadInput(f"{tuned_layers} layers to tune: {loaded.manifest.name} has {model.tunable_layers}")
    recordings, notes, seconds = [], [], 0.0
    for path in _files(paths):
        recording = open_recording(path, rate)
        seconds += recording.sound.duration_seconds
        if seconds > MOST_SECONDS:
            raise BadInput(f"{path}: with it the recordings last {seconds:.0f} s: give {MOST_SECONDS:g} s at most")
        notes.extend([*rate_remarks(recording), *song_remarks(recording, {})])
        recordings.append(Waveform(recording.stretch(0, recording.sound.samples), rate))
    if seconds < LEAST_SECONDS:
        raise BadInput(f"the recordings last {seconds:.2g} s: give {LEAST_SECONDS:g} s at least, better half a minute")
    if seconds < GOOD_SECONDS:
        notes.append(f"{seconds:.0f} s of singing make a rough voice: {GOOD_SECONDS:g} s to some minutes are better")
    found = model.fit_voice(recordings, steps, sentence_generator(seed, 0), progress, tuned_layers)
    sources = [Path(path).name for path in paths]
    voice = voice_of(loaded, found.vector, name or "+".join(Path(path).stem for path in paths), sources)
    if found.bits_tuned is not None:
        if found.bits_tuned < found.bits_after:
            voice = replace(voice, tuned=found.tuned)
        else:
            notes.append(
                f"tuned layers would cost {found.bits_tuned:.3f} bits a sample of what was held back, the vector alone "
                f"{found.bits_after:.3f}: they are left out"
            )
    nearest = loaded.manifest.speakers[found.nearest] if loaded.manifest.speakers else str(found.nearest)
    return FittedVoice(voice, nearest, found.bits_before, found.bits_after, tuple(notes), found.bits_tuned)


def singer_voice(loaded: Loaded, name: str) -> Voice:
    """A singer of the table as a voice; raises UnknownName with the nearest names."""
    model, manifest = fitter(loaded), loaded.manifest
    if name not in manifest.speakers:
        raise unknown_name("singer", name, manifest.speakers)
    known = manifest.speaker_pitch.get(name)
    pitch = None if known is None else PitchRange(*known)
    with torch.no_grad():
        vector = model.singer_vector(manifest.speakers.index(name), pitch)
    return voice_of(loaded, vector, name, (name,))


def mixed_singers(loaded: Loaded, shares: str) -> Voice:
    """The mean of singers, or of voices in files, weighed by their shares: `a=0.3,b=0.7`.

    Raises BadInput for what cannot be read so, UnknownName for a singer that does not exist.
    """
    voices, weights = [], []
    for part in shares.split(","):
        who, separator, share = part.strip().rpartition("=")
        try:
            weights.append(float(share))
        except ValueError as error:
            raise BadInput(f"{part.strip()!r}: expected a singer and a share, as in a=0.3,b=0.7") from error
        if not separator or not who:
            raise BadInput(f"{part.strip()!r}: expected a singer and a share, as in a=0.3,b=0.7")
        voices.append(read_voice(who) if is_voice_file(who) else singer_voice(loaded, who))
    return mixed(voices, weights)


def _files(paths: Sequence[str | Path]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file())
        if not inside:
            raise BadInput(f"{path}: holds no recordings ({', '.join(AUDIO_SUFFIXES)})")
        found.extend(inside)
    return found
