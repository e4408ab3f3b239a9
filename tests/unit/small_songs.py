"""Singers of formants, and a corpus of their songs: three who speak and sing in training and sing in the test, and a
stranger's song without a text."""

from pathlib import Path

import numpy as np

from moksori.audio.io import write
from moksori.corpus.manifest import CorpusInfo, rewrite
from moksori.types import Utterance, Waveform

RATE = 16000
TABLE = ("ann", "bob", "cleo")
FORMANTS = {"ann": (500, 1800), "bob": (800, 1200), "cleo": (350, 2600), "stranger": (650, 2200)}
MEDIANS = {"ann": 260.0, "bob": 140.0, "cleo": 220.0, "stranger": 330.0}


class Ears:
    """An embedding that tells voices by where their spectrum is strong, whatever the pitch."""

    identity = name = "ears"

    def embed(self, waveform):
        spectrum = np.abs(np.fft.rfft(waveform.samples, 4 * waveform.sample_rate))[400:12800]
        bands = np.log(np.square(spectrum).reshape(31, -1).mean(axis=1) + 1e-6)
        return (bands / np.linalg.norm(bands)).astype(np.float32)


def voiced(f0, singer):
    """F0 every 5 ms, sung by somebody."""
    phase = 2 * np.pi * np.cumsum(np.repeat(f0, 80)) / RATE
    numbers = np.arange(1, 25)[:, None]
    places = numbers * np.repeat(f0, 80)
    strength = sum(np.exp(-(((places - formant) / 200) ** 2)) for formant in FORMANTS[singer]) + 0.02
    sound = 0.1 * (strength * np.sin(numbers * phase) * (places < 7000)).sum(axis=0)
    return Waveform((sound / max(1.0, np.abs(sound).max())).astype(np.float32), RATE)


def melody(median, seed, seconds=2.0):
    notes = median * 2.0 ** (np.random.default_rng(seed).integers(-4, 5, 10) / 12.0)
    return np.repeat(notes, round(seconds * 20))[: round(seconds * 200)]


def write_songs(folder: Path, valid: bool = False) -> Path:
    """valid: also a song of each singer to validate by, and nobody in the table but the three."""
    parts: dict[str, list[Utterance]] = {"train": [], "test": [], **({"valid": []} if valid else {})}

    def add(split, name, singer, seed, text):
        path = folder / "audio" / f"{name}.flac"
        path.parent.mkdir(exist_ok=True)
        write(path, voiced(melody(MEDIANS[singer], seed), singer))
        parts[split].append(Utterance(name, text, singer, "en-us", path, 0.0, 2.0, RATE))

    for place, singer in enumerate(TABLE):
        for take in range(4):
            seed = 10 * place + take
            add("train", f"{singer}{take}{'-sung1' if take % 2 else ''}", singer, seed, f"sentence {seed}")
        add("test", f"{singer}8-sung1", singer, 100 + place, f"test {place}")
        if valid:
            add("valid", f"{singer}9-sung1", singer, 150 + place, f"valid {place}")
    add("test", "song", "stranger", 200, "")
    rewrite(folder, CorpusInfo("songs", "CC0", "en-us", TABLE if valid else tuple(FORMANTS)), parts)
    return folder
