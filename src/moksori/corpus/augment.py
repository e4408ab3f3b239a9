"""Noise, music, babble and rooms over the recordings of a batch, anew in every step; the clean ones stay as they are.

Each item is left clean or mixed with one kind of sound, at a signal-to-noise ratio drawn from the kind's range (the
usual recipe of speaker recognition with MUSAN, Snyder et al. 2015). Pitch and speed are never changed: they are part of
who speaks. Everything follows from (seed, step), so that a resumed run hears the same noise.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from moksori.audio.io import read
from moksori.audio.resample import resample
from moksori.config import Config
from moksori.corpus.splits import SOUNDS, split_list
from moksori.errors import ConfigError

Kind = Literal["none", "noise", "music", "babble"]
SNR_DB: Mapping[str, tuple[float, float]] = {"noise": (0.0, 15.0), "music": (5.0, 15.0), "babble": (13.0, 20.0)}
BABBLE_VOICES = (3, 7)
SOUND_FILES = frozenset((".wav", ".flac", ".ogg", ".opus", ".mp3"))
_FRAME_SECONDS = 0.02
_ACTIVE_DB = 30.0
_ROOM_SECONDS = 0.6


class AugmentationConfig(Config):
    """What is laid over recordings in training; without `kinds` nothing."""

    kinds: tuple[Kind, ...] = ()
    """Each with the same chance: `none`, `noise`, `music`, `babble` (other training recordings, 3 to 7 at once)."""
    folder: Path | None = None
    """Sounds to mix in: MUSAN's layout (`noise/`, `music/`), a `metadata.csv` whose column `note` starts with the kind
    (`noise`, `music`, `rir`), or else any folder of noises. None: coloured noise and chords, made up."""
    reverberation: float = Field(default=0.0, ge=0.0, le=1.0)
    """Chance that a recording is put into a room of the folder (`rir`, or `rir/`)."""
    gain_db: float = Field(default=6.0, ge=0.0)
    """Recordings, clean and noisy alike, are made louder or quieter by up to this."""


@dataclass(frozen=True)
class Sounds:
    """What is mixed in, by kind, at one rate; a kind without sounds is made up."""

    noise: tuple[Float[np.ndarray, " samples"], ...] = ()
    music: tuple[Float[np.ndarray, " samples"], ...] = ()
    rir: tuple[Float[np.ndarray, " samples"], ...] = ()

    @classmethod
    def read(cls, folder: Path, sample_rate: int, held_out: bool = False) -> "Sounds":
        """The sounds of a folder at `sample_rate`; ConfigError where there are none.

        held_out: those of the house that no training hears and robustness is judged by (`evaluation/splits`), or all
        the others.
        """
        if not folder.is_dir():
            raise ConfigError(f"augmentation.folder {folder}: is no folder; name one with noises, music and rooms")
        found: dict[str, list[np.ndarray]] = {"noise": [], "music": [], "rir": []}
        tested = split_list(SOUNDS).recordings
        for kind, path in _files(folder):
            if (path.stem in tested) != held_out:
                continue
            found[kind].append(resample(read(path), sample_rate).samples)
        if not any(found.values()):
            raise ConfigError(f"augmentation.folder {folder}: holds no sound file ({', '.join(sorted(SOUND_FILES))})")
        return cls(*(tuple(found[kind]) for kind in ("noise", "music", "rir")))


class Augmenter:
    """Noisy versions of recordings. recordings: of the training split, babble is made of them."""

    def __init__(
        self,
        config: AugmentationConfig,
        recordings: Sequence[Float[np.ndarray, " samples"]],
        sample_rate: int,
        seed: int,
    ) -> None:
        self.config, self.recordings, self.sample_rate, self.seed = config, recordings, sample_rate, seed
        self.sounds = Sounds() if config.folder is None else Sounds.read(Path(config.folder), sample_rate)
        if config.reverberation and not self.sounds.rir:
            raise ConfigError(
                "augmentation.reverberation needs room responses: name an augmentation.folder that has some (rir)"
            )

    def pair(
        self, clean: Float[np.ndarray, " samples"], step: int, place: int
    ) -> tuple[Float[np.ndarray, " samples"], Float[np.ndarray, " samples"]]:
        """(clean, noisy) of the recording at `place` of the batch of `step`; both were scaled alike, if at all."""
        draw = np.random.default_rng([self.seed & 0xFFFFFFFF, 7, step, place])
        kind = self.config.kinds[int(draw.integers(len(self.config.kinds)))]
        heard = clean
        if draw.random() < self.config.reverberation:
            heard = in_room(heard, self.sounds.rir[int(draw.integers(len(self.sounds.rir)))], self.sample_rate)
        if kind != "none":
            snr_db = float(draw.uniform(*SNR_DB[kind]))
            heard = mixed(heard, self._sound(kind, len(clean), draw), snr_db, self.sample_rate)
        gain = 10.0 ** (float(draw.uniform(-1.0, 1.0)) * self.config.gain_db / 20.0)
        gain = min(gain, 1.0 / max(float(np.abs(heard).max()), float(np.abs(clean).max()), 1e-6))
        if gain == 1.0:
            return clean, heard
        return (clean * gain).astype(np.float32), (heard * gain).astype(np.float32)

    def _sound(self, kind: str, length: int, draw: np.random.Generator) -> Float[np.ndarray, " samples"]:
        if kind == "babble":
            voices = [self.recordings[int(k)] for k in draw.integers(0, len(self.recordings), _count(draw))]
            parts = [cut(voice / max(float(np.sqrt(np.mean(voice**2))), 1e-5), length, draw) for voice in voices]
            return np.sum(parts, axis=0)
        pool = self.sounds.noise if kind == "noise" else self.sounds.music
        if pool:
            return cut(pool[int(draw.integers(len(pool)))], length, draw)
        make = coloured_noise if kind == "noise" else chord
        return make(length, self.sample_rate, draw)


def mixed(
    speech: Float[np.ndarray, " samples"],
    noise: Float[np.ndarray, " samples"],
    snr_db: float,
    sample_rate: int,
) -> Float[np.ndarray, " samples"]:
    """speech + g · noise with g so that the ratio of powers is `snr_db`; the speech's is that of its active frames."""
    power, noise_power = active_power(speech, sample_rate), float(np.mean(np.square(noise, dtype=np.float64)))
    if power == 0.0 or noise_power == 0.0:
        return speech
    gain = np.sqrt(power / (noise_power * 10.0 ** (snr_db / 10.0)))
    return (speech + gain * noise).astype(np.float32)


def active_power(speech: Float[np.ndarray, " samples"], sample_rate: int) -> float:
    """Mean square of the 20 ms frames that are at most 30 dB under the loudest: pauses would make speech seem quiet."""
    size = max(1, round(_FRAME_SECONDS * sample_rate))
    whole = len(speech) // size * size
    if whole == 0:
        return float(np.mean(np.square(speech, dtype=np.float64)))
    powers = np.square(speech[:whole], dtype=np.float64).reshape(-1, size).mean(axis=1)
    return float(powers[powers >= powers.max() * 10.0 ** (-_ACTIVE_DB / 10.0)].mean())


def in_room(
    speech: Float[np.ndarray, " samples"], response: Float[np.ndarray, " taps"], sample_rate: int
) -> Float[np.ndarray, " samples"]:
    """Speech through a room's impulse response, which starts at its direct sound, at the power that it had."""
    start = int(np.abs(response).argmax())
    taps = response[start : start + round(_ROOM_SECONDS * sample_rate)]
    size = 1 << (len(speech) + len(taps) - 1).bit_length()
    heard = np.fft.irfft(np.fft.rfft(speech, size) * np.fft.rfft(taps, size), size)[: len(speech)]
    before, after = np.sqrt(np.mean(np.square(speech))), np.sqrt(np.mean(np.square(heard)))
    return (heard * (before / after if after > 0 else 1.0)).astype(np.float32)


def cut(sound: Float[np.ndarray, " samples"], length: int, draw: np.random.Generator) -> Float[np.ndarray, " length"]:
    """`length` samples from a random place on, from the beginning again where the sound ends."""
    return np.take(sound, int(draw.integers(len(sound))) + np.arange(length), mode="wrap")


def coloured_noise(length: int, sample_rate: int, draw: np.random.Generator) -> Float[np.ndarray, " length"]:
    """Noise whose power falls with frequency to a power between 0 (white) and 2 (brown)."""
    spectrum = np.fft.rfft(draw.standard_normal(length))
    hertz = np.fft.rfftfreq(length, 1.0 / sample_rate)
    return np.fft.irfft(spectrum * np.maximum(hertz, 20.0) ** (-0.5 * draw.uniform(0.0, 2.0)), length)


def chord(length: int, sample_rate: int, draw: np.random.Generator) -> Float[np.ndarray, " length"]:
    """Three or four harmonic tones with vibrato, a new chord every half to one and a half seconds."""
    sound = np.zeros(length)
    start = 0
    while start < length:
        size = min(length - start, int(sample_rate * draw.uniform(0.5, 1.5)))
        seconds = np.arange(size) / sample_rate
        for _ in range(int(draw.integers(3, 5))):
            pitch = 110.0 * 2.0 ** (int(draw.integers(0, 37)) / 12.0)
            phase = 2 * np.pi * pitch * seconds + 0.3 * np.sin(2 * np.pi * draw.uniform(4.0, 7.0) * seconds)
            harmonics = range(1, min(9, int(0.45 * sample_rate / pitch) + 1))
            sound[start : start + size] += np.sum([np.sin(k * phase) / k for k in harmonics], axis=0)
        start += size
    return sound


def _count(draw: np.random.Generator) -> int:
    return int(draw.integers(BABBLE_VOICES[0], BABBLE_VOICES[1] + 1))


def _files(folder: Path) -> list[tuple[str, Path]]:
    """(kind, file) of every sound of a folder."""
    table = folder / "metadata.csv"
    sounds = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SOUND_FILES)
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as lines:
            notes = {row["id"]: row.get("note") or "" for row in csv.DictReader(lines, delimiter="|", quoting=3)}
        kinds = {
            name: next((k for k in ("noise", "music", "rir") if note.startswith(k)), "") for name, note in notes.items()
        }
        return [(kinds[path.stem], path) for path in sounds if kinds.get(path.stem)]
    named = {"music": "music", "noise": "noise", "rir": "rir", "speech": ""}
    found = [(named.get(path.relative_to(folder).parts[0].lower(), "noise"), path) for path in sounds]
    return [(kind, path) for kind, path in found if kind]
