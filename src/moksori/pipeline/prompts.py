"""Prompts: some seconds of a voice, of recordings or `.voice` files, as a codec's codes, with what is to be told."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from moksori.audio.trim import trim_silence
from moksori.corpus.check import CLIPPED_FRACTION, clipped_fraction
from moksori.errors import AudioError, BadInput, UnsupportedTask
from moksori.models import registry
from moksori.models.checkpoint import Loaded, read_manifest
from moksori.models.contract_latents import CanSayLatents
from moksori.pipeline.codecs import FoundCodec, required_codec
from moksori.pipeline.consent import CONSENT, kept_consent
from moksori.pipeline.conversions import likes as as_likes
from moksori.pipeline.enrolment import GOOD_SPEECH_SECONDS, Enrolled, Like, source_remarks
from moksori.pipeline.models import family_default, find_model, only_model
from moksori.pipeline.prompt_choice import Prompt, PromptChoice
from moksori.pipeline.prompted_voice import PromptedVoice
from moksori.pipeline.recordings import OpenRecording, open_recording
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.voice_change import voice_change
from moksori.pipeline.voices import is_voice_file, read_voice
from moksori.types import Voice, Waveform

if TYPE_CHECKING:
    from moksori.pipeline.speaker import Speaker

logger = logging.getLogger(__name__)

LEAST_SECONDS = 0.5
MOST_SECONDS = 15.0
"""Longer prompts are cut: nothing is gained beyond 10 s (table of prompt lengths in the paper), and time is lost."""
KEPT_SILENCE_SECONDS = 0.05
"""At both ends; more silence is heard as a trait of the voice."""


@dataclass(frozen=True)
class ReadPrompt:
    """A prompt, and what a person should know of the recordings that it was made of."""

    prompt: Prompt
    notes: tuple[str, ...]


def read_prompt(likes: Sequence[Like], codec: FoundCodec, name: str | None = None) -> ReadPrompt:
    """The prompt that recordings and `.voice` files of one voice give together, one after the other.

    name: None = the names of the files. Of more than 15 s in all, each gives its share: the stretch of it with the most
    sound.
    Raises AudioError for a recording that cannot be read, is silent or holds less than 0.5 s, CheckpointError and
    BadInput for a voice file that is damaged or of another codec.
    """
    if not likes:
        raise BadInput("no recording: give at least one of who is to be imitated")
    rate, hop = codec.model.sample_rate, codec.model.hop_length
    most = math.floor(MOST_SECONDS / len(likes) * rate / hop)
    codes: list[torch.Tensor] = []
    names: list[str] = []
    sources: list[str] = []
    consents: list[str] = []
    notes: list[str] = []
    for like in likes:
        if isinstance(like, Voice) or is_voice_file(like):
            voice = like if isinstance(like, Voice) else read_voice(like)  # type: ignore[arg-type]
            codes.append(codes_of(voice, codec)[:, :most])
            names.append(voice.name)
            sources.extend(voice.sources or (voice.name,))
            consents.append(voice.consent or CONSENT)
            continue
        recording = open_recording(like, rate)
        sound, found = _sound(recording, most * hop)
        notes.extend(found)
        with torch.inference_mode():
            codes.append(codec.model.compress(torch.from_numpy(sound)[None].to(codec.device))[0].cpu())
        names.append(Path(like).stem if isinstance(like, str | Path) else "recording")
        sources.append(Path(like).name if isinstance(like, str | Path) else "recording")
        consents.append(CONSENT)
    prompt = Prompt(
        name or "+".join(names), torch.cat(codes, dim=1), codec.fingerprint, tuple(sources), kept_consent(consents)
    )
    return ReadPrompt(prompt, tuple(notes))


def _sound(recording: OpenRecording, most: int) -> tuple[Float[np.ndarray, " samples"], list[str]]:
    """At most so many samples of a recording, without silence at their ends, and what is to be told of it."""
    rate = recording.sound.sample_rate
    notes = source_remarks(recording)
    start, stop = 0, recording.sound.samples
    if stop > most:
        start, stop = recording.scan.loudest_stretch(most / rate)
        stop = min(stop, start + most)
        notes.append(
            f"{recording.name}: lasts {recording.sound.duration_seconds:.1f} s, of which the {most / rate:.1f} s from "
            f"{start / rate:.1f} s on are listened to: nothing is gained by more"
        )
    samples = recording.stretch(start, stop)
    if clipped_fraction(samples) > CLIPPED_FRACTION:
        notes.append(f"{recording.name}: is clipped, its peaks are cut off: what is said in its voice will be harsh")
    kept = trim_silence(Waveform(samples, rate), keep_seconds=KEPT_SILENCE_SECONDS)
    seconds = kept.duration_seconds
    if seconds < LEAST_SECONDS:
        raise AudioError(
            f"{recording.name}: holds {seconds:.2g} s of sound, too little to hear a voice in: give at least "
            f"{LEAST_SECONDS:g} s, better {GOOD_SPEECH_SECONDS:g} to {MOST_SECONDS:g} s"
        )
    if seconds < GOOD_SPEECH_SECONDS:
        notes.append(
            f"{recording.name}: holds only {seconds:.1f} s of sound, the voice will be rough: {GOOD_SPEECH_SECONDS:g} "
            "s and more are better"
        )
    changed = voice_change(kept)
    if changed is not None:
        notes.append(
            f"{recording.name}: after {changed:.1f} s of its sound the voice changes: if somebody else goes on, what "
            "is made will have something of both: cut it to one person's speech"
        )
    return kept.samples, notes


def prompt_choice(
    codec: FoundCodec, like: Sequence[Like], prosody: Like | None = None
) -> tuple[PromptChoice, tuple[str, ...]]:
    """Who is to speak, in whose manner, and notes on the recordings; raises as `read_prompt` does."""
    voice = read_prompt(like, codec)
    if prosody is None:
        return PromptChoice(voice.prompt), voice.notes
    manner = read_prompt([prosody], codec)
    return PromptChoice(voice.prompt, manner.prompt), (*voice.notes, *manner.notes)


def choose_voice(
    speaker: "Speaker", options: SayOptions, like: Like | Sequence[Like] | None, prosody: Like | None = None
) -> SayOptions:
    """The options with whose voice is to be imitated, and in whose manner: see `Speaker.in_voice`."""
    if not isinstance(speaker.model, PromptedVoice):
        raise UnsupportedTask(
            f"{speaker.name}: speaks in its own voices: leave the recording of another one out, or take a model of the "
            f"family {' or '.join(prompted_families())}"
        )
    if like is None:
        raise BadInput(f"{speaker.name}: a manner to speak in, but nobody to speak: give a recording, --like")
    if options.speaker is not None:
        raise BadInput(
            f"{speaker.name}: speaks in the voice of a recording, --like, not of its speaker {options.speaker!r}: "
            "leave the speaker out, and give the language with --language"
        )
    choice, notes = prompt_choice(speaker.model.codec, as_likes(like), prosody)
    for note in (*notes, *unlearnt(speaker, options.language)):
        logger.warning("%s", note)  # the command line shows these on stderr
    return replace(options, prompt=choice)


def unlearnt(speaker: "Speaker", language: str | None) -> tuple[str, ...]:
    """That a model has not learnt the language of a text. language: None = the model's."""
    manifest = speaker.manifest
    spoken = language or speaker.language_of()
    known = sorted({speaker.language_of(), manifest.language, *manifest.speaker_languages.values()})
    if spoken in known:
        return ()
    return (f"{speaker.name}: has learnt {', '.join(known)}: what it says in {spoken} may not be understood",)


def enroll_prompt(
    loaded: Loaded, likes: Sequence[Like], name: str | None = None, codec: str | Path | None = None
) -> Enrolled:
    """The prompt of recordings as a voice that a file keeps.

    codec: a name or folder; None: the one that the model names. Raises as `read_prompt` and `required_codec` do, and
    UnsupportedTask for a model that takes no prompts.
    """
    if not isinstance(loaded.model, CanSayLatents):
        raise UnsupportedTask(
            f"{loaded.manifest.name}: a {loaded.manifest.family!r} model takes no prompts: leave the codec out, or use "
            f"one of {', '.join(prompted_families())}"
        )
    found_codec = required_codec(loaded.manifest, codec, loaded.device)
    found = read_prompt(likes, found_codec, name)
    return Enrolled(voice_of_prompt(found.prompt, found_codec, loaded.manifest.family), found.notes)


def voice_of_prompt(prompt: Prompt, codec: FoundCodec, family: str) -> Voice:
    """The prompt as a voice that a file keeps. family: of the model that it is for."""
    return Voice(
        family,
        name=" ".join(prompt.name.split())[:60],
        vector=prompt.codes.float(),
        front_end=f"codes of {codec.name}",
        model=prompt.codec,
        sources=prompt.sources,
        kind="prompt",
        consent=prompt.consent or CONSENT,
    )


def codes_of(voice: Voice, codec: FoundCodec) -> torch.Tensor:
    """The codes in a prompt's voice, `[stages, frames]`; raises BadInput for another kind, or another codec's."""
    what = f"the voice {voice.name!r}"
    again = "make it from its recording with 'moksori voice make --model' and that model's name"
    if voice.kind != "prompt" or voice.vector is None:
        raise BadInput(f"{what}: is a {voice.kind} of the family {voice.family!r} and no prompt: {again}")
    if voice.model != codec.fingerprint:
        raise BadInput(f"{what}: holds {voice.front_end} ({voice.model}), here are {codec.name}'s: {again}")
    codes = voice.vector.round().long()
    model = codec.model
    if codes.dim() != 2 or codes.shape[0] > model.stages or not 0 <= int(codes.min()) <= int(codes.max()) < (
        model.code_count
    ):  # fmt: skip
        raise BadInput(f"{what}: its codes are none of {codec.name}: the file is damaged: {again}")
    return codes


def prompted_families() -> list[str]:
    """Families whose models speak in the voice of a prompt."""
    return [name for name in registry.family_names() if takes_prompts(name)]


def takes_prompts(family: str) -> bool:
    """Whether the models of a family speak in the voice of a prompt, told without any weights."""
    return hasattr(registry.family(family).model, "say_latents_like")


def find_prompted(name: str | Path | None = None) -> Path:
    """The folder of the model called `name`, or of the default one that speaks in the voice of a recording.

    Raises as `find_model` does, UnsupportedTask for a model that speaks in its own voices, or where there is none.
    """
    families = prompted_families()
    if name is not None:
        folder = find_model(name)
        family = read_manifest(folder).family
        if family not in families:
            raise UnsupportedTask(
                f"{folder.name}: a {family!r} model speaks in its own voices: leave --like out, or name one of the "
                f"family {' or '.join(families)} with --voice"
            )
        return folder
    found = next((default for family in families if (default := family_default(family))), None)
    found = found or only_model(families, "speak in the voice of a recording, and none is the default")
    if found is None:
        raise UnsupportedTask(
            f"no model here speaks in the voice of a recording: name one of the family {' or '.join(families)} with "
            "--voice NAME or a model folder"
        )
    return found
