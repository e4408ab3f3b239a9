"""Two speakers who say the same sentences: formant speech, parallel by construction, for tests of conversion.

A phone is a place of three formants; a speaker is a length of the vocal tract, which scales them, and a pitch.
"""

from pathlib import Path

import numpy as np

from moksori.audio.io import write
from moksori.corpus.manifest import CorpusInfo, rewrite
from moksori.types import Utterance, Waveform

RATE = 16000
SPEAKERS = {"low": (1.0, 110.0), "high": (1.22, 210.0)}
PHONES = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
WORDS = ("aba", "ebo", "iku", "oma", "una", "ile", "ope", "ase")


def sentence(seed: int, words: int = 3) -> str:
    draw = np.random.default_rng([seed, 5])
    return " ".join(WORDS[k] for k in draw.integers(0, len(WORDS), words))


def spoken(text: str, speaker: str, seed: int = 0) -> np.ndarray:
    """The sentence as this speaker says it, about half a second a word, with a tempo of its own."""
    tract, pitch = SPEAKERS[speaker]
    draw = np.random.default_rng([seed, len(speaker)])
    pieces = [np.zeros(RATE // 10)]
    phase = 0.0
    for word in text.split():
        for letter in word:
            count = int(RATE * draw.uniform(0.1, 0.16))
            time = np.arange(count) / RATE
            f0 = pitch * (1 + 0.06 * np.sin(2 * np.pi * 2 * time + draw.uniform(0, 6)))
            if letter in "bkpsm":
                pieces.append(0.02 * draw.normal(size=count // 2))
                continue
            formants = np.array(PHONES["aeiou".find(letter) if letter in "aeiou" else 3], float) * tract
            phases = phase + 2 * np.pi * np.cumsum(f0) / RATE
            phase = float(phases[-1])
            sound = np.zeros(count)
            for harmonic in range(1, int(7000 / pitch)):
                gain = sum(1.0 / (1 + ((harmonic * pitch - f) / 90.0) ** 2) for f in formants) + 0.002
                sound += gain / harmonic**0.3 * np.sin(harmonic * phases)
            pieces.append(sound * np.hanning(count) ** 0.25)
        pieces.append(np.zeros(RATE // 25))
    pieces.append(np.zeros(RATE // 10))
    samples = np.concatenate(pieces)
    return (0.25 * samples / np.abs(samples).max() + 1e-4 * draw.normal(size=len(samples))).astype(np.float32)


def write_parallel(folder: Path, train: int = 8, valid: int = 2, test: int = 2, language: str = "en-us") -> Path:
    """A corpus of both, each sentence by each, in `folder`."""
    (folder / "audio").mkdir(parents=True)
    parts: dict[str, list[Utterance]] = {"train": [], "valid": [], "test": []}
    counts = [("train", train), ("valid", valid), ("test", test)]
    for number, split in enumerate(s for s, count in counts for _ in range(count)):
        text = sentence(number)
        for speaker in SPEAKERS:
            name = f"{speaker}_{number}"
            samples = spoken(text, speaker, number)
            path = folder / "audio" / f"{name}.flac"
            write(path, Waveform(samples, RATE))
            parts[split].append(Utterance(name, text, speaker, language, path, 0.0, len(samples) / RATE, RATE))
    info = CorpusInfo("parallel", "CC0 1.0", language, tuple(sorted(SPEAKERS)))
    rewrite(folder, info, parts)
    return folder
