"""Small sources made of tones and noise, in the layouts that importers read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Maker = Callable[..., Path]


@pytest.fixture
def tone() -> Callable[..., Path]:
    """Writes a recording: 0.3 s of near silence, a tone that comes and goes like syllables, 0.3 s of near silence."""

    def make(path: Path, seconds: float = 1.0, hertz: float = 200.0, rate: int = 16000, level: float = 0.2) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw = np.random.default_rng([round(hertz), len(path.name)])
        time = np.arange(round(seconds * rate)) / rate
        voice = level * np.sin(2 * np.pi * hertz * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))
        silence = np.zeros(round(0.3 * rate))
        samples = np.concatenate([silence, voice, silence])
        soundfile.write(path, samples + 1e-4 * draw.standard_normal(len(samples)), rate)
        return path

    return make


@pytest.fixture
def csv_source(tmp_path: Path, tone: Callable[..., Path]) -> Maker:
    """A folder in the csv form with `count` recordings, two speakers."""

    def make(name: str = "recordings", count: int = 6, prefix: str = "r") -> Path:
        folder = tmp_path / name
        lines = ["id|speaker|text|note"]
        for index in range(count):
            tone(folder / f"{prefix}{index}.{'flac' if index % 2 else 'wav'}", 1.0 + 0.1 * index, 120 + 20 * index)
            lines.append(f"{prefix}{index}|{'ann' if index % 2 else 'bob'}|Sentence number {index} is here.|x")
        (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "README.md").write_text("# mine\n\n- Licence: CC0 1.0\n", encoding="utf-8")
        return folder

    return make
