"""Reference clips: recordings whose words are known, read by a model of latents, with doubts where they do not fit."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float

from moksori.audio.autocorrelation import autocorrelation_f0
from moksori.audio.trim import sounding
from moksori.errors import AudioError, BadInput, TextError, UnsupportedTask
from moksori.evaluation.recognisers import SpeechRecogniser, build_recogniser
from moksori.models import registry
from moksori.models.contract import CanTakeStyle
from moksori.pipeline.latent_choice import check_length, doubt_of
from moksori.pipeline.recordings import Audio, open_recording
from moksori.pipeline.sentences import Sentence
from moksori.pipeline.speech_likeness import unlike_speech
from moksori.pipeline.text_batches import text_batch
from moksori.text.tokenizer import Encoded
from moksori.types import ReadLatents, StyleMeasure, Waveform

MAXIMUM_SECONDS = 30.0
TEXT_SUFFIXES = (".txt", ".lab")
_RECOGNISERS = ("whisper", "faster_whisper")


@dataclass(frozen=True)
class StyleClip:
    """A reference recording. text: what is said in it; None: a .txt or .lab file beside it, or what Whisper hears.

    part: what of it counts: words of the text, or seconds as (start, stop); None: all. place: where in each sentence
    its style is to hold, as shares (start, stop). speaker: who speaks in it, of the model's speakers; None: as who is
    to speak.
    """

    audio: Audio
    text: str | None = None
    part: str | tuple[float, float] | None = None
    place: tuple[float, float] = (0.0, 1.0)
    speaker: str | None = None


@dataclass(frozen=True)
class ClipReading:
    """What a model read off a clip. latent: of the part that counts. notes: what a person should know. measure: of the
    whole clip, where no part of it is named and the model measures.

    whole: the reading of all of it; offset_seconds: silence that was cut off at its beginning.
    """

    name: str
    text: str
    latent: Float[torch.Tensor, "bands frames"]
    whole: ReadLatents
    offset_seconds: float
    notes: tuple[str, ...]
    measure: StyleMeasure | None = None


Encode = Callable[[Sentence], Encoded]


def style_model(model: object, name: str, family: str) -> CanTakeStyle:
    """The model as one whose latents can be chosen; raises UnsupportedTask naming the families that can."""
    if not isinstance(model, CanTakeStyle):
        able = registry.families_with("read_latents")
        raise UnsupportedTask(
            f"{name}: a {family!r} model has no style to choose, nothing to blend and no prosody to take: use one of "
            f"{', '.join(able)}"
        )
    return model


def clip_frames(
    audio: Audio, model: CanTakeStyle
) -> tuple[str, Float[torch.Tensor, "1 bands frames"], float, list[str]]:
    """A recording at the model's rate and level, without the silence at its ends, as the model hears it: its name, the
    frames, the seconds that were cut off at the beginning, and notes.

    Raises AudioError for one that cannot be read, is silent, too short, or longer than 30 s.
    """
    config = model.mel_config
    recording = open_recording(audio, config.sample_rate)
    seconds = recording.sound.duration_seconds
    if seconds > MAXIMUM_SECONDS:
        raise AudioError(
            f"{recording.name}: lasts {seconds:.1f} s, {MAXIMUM_SECONDS:g} s at most are read at once: cut it, or give "
            "a few sentences of it as clips"
        )
    doubt = unlike_speech(recording)
    samples = recording.stretch(0, recording.sound.samples)
    start, stop = sounding(Waveform(samples, config.sample_rate))
    if stop - start < config.n_fft:
        raise AudioError(f"{recording.name}: hardly anything is left of it without silence: give a clip of speech")
    samples = samples[start:stop].copy()
    f0: torch.Tensor | None = None
    if model.hears_pitch:
        # Not by audio.f0: a style must be the same, and at hand, whatever else is installed.
        f0 = torch.from_numpy(autocorrelation_f0(Waveform(samples, config.sample_rate), config.hop_length))[None]
    frames = model.frames(torch.from_numpy(samples)[None], f0)
    return recording.name, frames, start / config.sample_rate, [] if doubt is None else [doubt]


def read_clip(clip: StyleClip, model: CanTakeStyle, encode: Encode, row: int, device: torch.device) -> ClipReading:
    """The latents of a clip. encode: text to tokens, as the voice reads. row: of the speaker table, who speaks.

    Raises AudioError where the recording or its text cannot be used, BadInput for a part that it has not.
    """
    name, heard, cut, notes = clip_frames(clip.audio, model)
    text = clip.text if clip.text is not None else found_text(clip.audio, name)
    encoded = encode(Sentence(text))
    if not any(word.end_token > word.start_token for word in encoded.words):
        raise TextError(f"{name}: its text {text[:40]!r} holds no words: give what is said in it")
    frames = heard.shape[2]
    check_length(name, frames, len(encoded.tokens))
    heard, lengths = heard.to(device), torch.tensor([frames], device=device)
    reading = model.read_latents(heard, lengths, text_batch(encoded, row, device))
    if not bool(reading.latent.isfinite().all()):
        raise AudioError(f"{name}: gives NaN or infinity: give another clip")
    unfit = doubt_of(reading, name, text)
    notes.extend([] if unfit is None else [unfit])
    latent = reading.latent[0, :, :frames].cpu()
    seconds = model.mel_config.hop_length / model.mel_config.sample_rate
    if clip.part is not None:
        latent = latent[:, _part(clip.part, encoded, reading, name, cut, seconds, frames)]
    measure = reading.measures[0] if reading.measures and clip.part is None else None
    return ClipReading(name, text, latent, reading, cut, tuple(notes), measure)


def _part(
    part: str | tuple[float, float],
    encoded: Encoded,
    reading: ReadLatents,
    name: str,
    cut: float,
    frame_seconds: float,
    frames: int,
) -> slice:
    """The frames of some words, or of some seconds of the recording."""
    if isinstance(part, str):
        first, end = _words(part, encoded, name)
        ends = reading.durations[0].cumsum(dim=0).tolist()
        start, stop = (ends[first - 1] if first else 0), ends[end - 1]
    else:
        start, stop = (round((seconds - cut) / frame_seconds) for seconds in part)
        start = max(start, 0)
    stop = min(stop, frames)
    if start >= stop:
        shown = part if isinstance(part, str) else f"{part[0]:g}-{part[1]:g} s"
        heard = f"{cut:.2f} to {cut + frames * frame_seconds:.2f} s"
        raise BadInput(f"{name}: nothing is heard in the part {shown!r}: it holds sound from {heard}")
    return slice(start, stop)


def _words(part: str, encoded: Encoded, name: str) -> tuple[int, int]:
    """First and end token of consecutive words of a text."""
    spoken = [word for word in encoded.words if word.end_token > word.start_token]
    written = [_plain(word.text) for word in spoken]
    wanted = [plain for word in part.split() if (plain := _plain(word))]
    for start in range(len(written) - len(wanted) + 1):
        if wanted and written[start : start + len(wanted)] == wanted:
            return spoken[start].start_token, spoken[start + len(wanted) - 1].end_token
    raise BadInput(f"{name}: the words {part!r} are not in its text, {' '.join(w.text for w in spoken)[:60]!r}")


def _plain(word: str) -> str:
    return "".join(c for c in word.casefold() if c.isalnum())


def found_text(audio: Audio, name: str) -> str:
    """What is said in a recording: by the text file beside it, or as Whisper hears it where that is installed.

    Raises BadInput where there is neither.
    """
    path = Path(audio) if isinstance(audio, str | Path) else None
    for suffix in TEXT_SUFFIXES if path is not None else ():
        assert path is not None
        beside = path.with_suffix(suffix)
        if beside.is_file():
            try:
                return " ".join(beside.read_text(encoding="utf-8-sig").split())
            except (OSError, UnicodeDecodeError) as error:
                raise TextError(f"{beside}: cannot be read as UTF-8 text: write what is said in {name}") from error
    listening = next((package for package in _RECOGNISERS if find_spec(package) is not None), None)
    if listening is None:
        where = "" if path is None else f", or write it to {path.with_suffix('.txt')}"
        raise BadInput(
            f"{name}: what is said in it is not known: give it with --style-text{where} (with the package "
            "openai-whisper it would be recognised)"
        )
    heard = _recogniser(listening.replace("_", "-")).transcribe(_whole(audio))
    if not heard.strip():
        raise AudioError(f"{name}: no words were recognised in it: give them with --style-text")
    return heard


@lru_cache(maxsize=1)
def _recogniser(name: str) -> SpeechRecogniser:
    return build_recogniser(name, ())


def _whole(audio: Audio) -> Waveform:
    recording = open_recording(audio, 16000)
    return Waveform(recording.stretch(0, recording.sound.samples), 16000)
