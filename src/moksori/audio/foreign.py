"""Recordings from strangers: looked at before they are decoded, so that a small file cannot become a large one."""

from pathlib import Path

from moksori.audio.io import AudioInfo, _open
from moksori.errors import AudioError

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF")
"""As libsndfile names them; it reads more, whose readers few people ever tried."""
LOWEST_RATE, HIGHEST_RATE = 4000, 192_000
MOST_CHANNELS = 8


def check_foreign(path: Path, what: str, most_seconds: float) -> AudioInfo:
    """What the header of a recording says, where it is one that may be decoded.

    what: the recording's name in messages. Readers decode as much as the header says, so what it says bounds the work.
    Raises AudioError for what is no recording of these formats, is longer, or has too many channels or another rate.
    """
    try:
        with _open(path) as file:
            form, rate, frames, channels = file.format, file.samplerate, file.frames, file.channels
    except AudioError as error:
        raise AudioError(str(error).replace(str(path), what)) from error
    if form not in FORMATS:
        raise AudioError(f"{what}: is {form}: expected wav, flac, ogg, opus, mp3 or aiff")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(f"{what}: is sampled at {rate} Hz: expected {LOWEST_RATE} to {HIGHEST_RATE} Hz")
    if channels > MOST_CHANNELS:
        raise AudioError(f"{what}: has {channels} channels: give one of at most {MOST_CHANNELS}")
    if frames > most_seconds * rate:
        raise AudioError(f"{what}: lasts {frames / rate:.0f} s, {most_seconds:g} s at most are taken: cut it")
    return AudioInfo(rate, frames, channels, frames / rate)
