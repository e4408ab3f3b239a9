"""Voices from recordings: what a model hears in them, and what a person should know about it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float

from moksori.errors import AudioError, BadInput
from moksori.models.checkpoint import Loaded
from moksori.models.contract_latents import CanSayLatents
from moksori.pipeline.consent import CONSENT, kept_consent
from moksori.pipeline.recordings import Audio, OpenRecording, open_recording
from moksori.pipeline.speech_likeness import unlike_speech
from moksori.pipeline.voices import (
    check_untuned,
    check_voice,
    is_voice_file,
    keeps_voices,
    listener,
    read_voice,
    voice_of,
)
from moksori.types import Heard, Voice

Like = Audio | Voice
"""Who is to be imitated: a recording, a `.voice` file, or a Voice."""

GOOD_SPEECH_SECONDS = 3.0
"""With less the voice is rough, and that is told."""
DIVIDED = 10.0
"""Squared distance between two groups of stretches, in units of the spread within them, from which on it is told. With
early weights (1,250 steps) 2 of 84 recordings of one speaker reach it, and 38 % of those in which two speak in turn;
two who speak at the same time give stretches that are as alike as one's."""
_LEAST_WINDOWS = 6


@dataclass(frozen=True)
class Enrolled:
    """A voice, and what a person should know of the recordings that it was made of."""

    voice: Voice
    notes: tuple[str, ...]


def enroll(loaded: Loaded, likes: Sequence[Like], name: str | None = None) -> Enrolled:
    """The voice of recordings and voice files together: the mean of what each holds.

    name: None = the names of the files. Raises UnsupportedTask for a model that hears no voices, AudioError for a
    recording that cannot be used or holds too little speech, CheckpointError and BadInput for a voice file that is
    damaged or of another model.
    """
    if isinstance(loaded.model, CanSayLatents):
        from moksori.pipeline.prompts import enroll_prompt

        return enroll_prompt(loaded, likes, name)
    if not keeps_voices(loaded):
        listener(loaded)
    if not likes:
        raise BadInput("no recording: give at least one of who is to be imitated")
    voices: list[Voice] = []
    vectors: list[torch.Tensor] = []
    names: list[str] = []
    sources: list[str] = []
    consents: list[str] = []
    notes: list[str] = []
    for like in likes:
        if isinstance(like, Voice) or is_voice_file(like):
            voice = like if isinstance(like, Voice) else read_voice(like)  # type: ignore[arg-type]
            check_voice(voice, loaded)
            assert voice.vector is not None
            voices.append(voice)
            vectors.append(voice.vector)
            names.append(voice.name)
            sources.extend(voice.sources or (voice.name,))
            consents.append(voice.consent or CONSENT)
            continue
        recording = open_recording(like, loaded.manifest.sample_rate)
        found = hear(loaded, recording)
        vectors.append(found.vector.cpu())
        names.append(Path(like).stem if isinstance(like, str | Path) else "recording")
        sources.append(Path(like).name if isinstance(like, str | Path) else "recording")
        consents.append(CONSENT)
        notes.extend(remarks(recording, found))
    if len(likes) > 1:
        check_untuned(voices)
    vector = torch.stack(vectors).mean(dim=0)
    made = replace(voice_of(loaded, vector, name or "+".join(names), sources), consent=kept_consent(consents))
    if len(voices) == len(likes) == 1:
        made = replace(made, tuned=voices[0].tuned)
    return Enrolled(made, tuple(notes))


def hear(loaded: Loaded, recording: OpenRecording) -> Heard:
    """What the model hears in a recording; raises AudioError where there is too little speech for it."""
    model = listener(loaded)
    found = model.hear(recording.sound)
    least = model.least_speech_seconds
    if found.speech_seconds < least:
        raise AudioError(
            f"{recording.name}: holds {found.speech_seconds:.2g} s of speech, too little to hear a voice in: give at "
            f"least {least:g} s, better {GOOD_SPEECH_SECONDS:g} s and more"
        )
    return found


def remarks(recording: OpenRecording, found: Heard) -> list[str]:
    """What a person should know of a recording whose voice is to be imitated."""
    notes = source_remarks(recording)
    if found.speech_seconds < GOOD_SPEECH_SECONDS:
        notes.append(
            f"{recording.name}: holds only {found.speech_seconds:.1f} s of speech, the voice will be rough: "
            f"{GOOD_SPEECH_SECONDS:g} s and more are better"
        )
    if division(found.windows) > DIVIDED:
        notes.append(
            f"{recording.name}: its stretches fall into two groups that sound unlike each other: if two people speak "
            "in it, the voice will lie between theirs"
        )
    return notes


def division(windows: Float[torch.Tensor, "windows channels"]) -> float:
    """How far the two groups into which k-means splits a recording's stretches lie apart: the square of their distance
    over the mean square within them; 0 for less than six stretches."""
    if len(windows) < _LEAST_WINDOWS:
        return 0.0
    distance = torch.cdist(windows, windows)
    furthest = int(distance.argmax())
    one, other = windows[furthest // len(windows)], windows[furthest % len(windows)]
    for _ in range(20):
        nearer = (windows - one).norm(dim=1) < (windows - other).norm(dim=1)
        if bool(nearer.all()) or not bool(nearer.any()):
            return 0.0
        one, other = windows[nearer].mean(dim=0), windows[~nearer].mean(dim=0)
    within = torch.cat([windows[nearer] - one, windows[~nearer] - other]).square().sum(dim=1).mean()
    return float((one - other).square().sum() / within.clamp(min=1e-9))


def rate_remarks(recording: OpenRecording) -> list[str]:
    """That a recording's rate is low for the model; [] where it is not."""
    rate, native = recording.sound.sample_rate, recording.native_rate
    if native >= rate:
        return []
    return [
        f"{recording.name}: is sampled at {native} Hz, so it holds nothing above {native / 2000:g} kHz of the "
        f"{rate / 2000:g} kHz that the model hears: it will sound duller, and less like the voice"
    ]


def source_remarks(recording: OpenRecording) -> list[str]:
    """What a person should know of any recording: that its rate is low for the model, and that it may be no speech."""
    notes = rate_remarks(recording)
    unlike = unlike_speech(recording)
    return [*notes, unlike] if unlike is not None else notes
