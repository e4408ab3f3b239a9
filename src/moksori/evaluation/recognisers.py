"""Who listens: speech recognisers by name. pocketsphinx comes with the extra; Whisper is used where it is installed.

A recogniser is any class with the attributes of `SpeechRecogniser`; a new one is one line of `RECOGNISERS`. Nothing is
downloaded: weights that are not on this machine are an error that says how to get them. Reports name who listened.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from moksori.audio.loudness import normalize_loudness
from moksori.audio.resample import resample
from moksori.errors import BadInput, unknown_name
from moksori.evaluation.intelligibility import EDGE_SECONDS, LEVEL_LUFS, SAMPLE_RATE, Recogniser, spoken_words
from moksori.types import Waveform

DEFAULT = "pocketsphinx"


class SpeechRecogniser(Protocol):
    """Writes down English speech.

    name: as it was asked for. description: what a reader has to know of it. identity: differs whenever it could hear
    something else. left_out: sentences that it cannot know, with the words that it lacks.
    """

    name: str
    description: str
    identity: str
    left_out: Mapping[str, tuple[str, ...]]

    def covers(self, text: str) -> bool:
        """Whether it can hear every word of the sentence."""

    def transcribe(self, waveform: Waveform) -> str:
        """What is heard, empty for nothing."""


class Whisper:
    """OpenAI's Whisper (Radford et al. 2022, arXiv:2212.04356), by the package openai-whisper, on the CPU.

    model: a name whose weights are in Whisper's cache (`~/.cache/whisper`) or a `.pt` file. Greedy, without its memory
    of the sentence before, so that the order of the recordings does not matter.
    Raises BadInput without the package, and for weights that are not here.
    """

    def __init__(self, model: str = "base.en") -> None:
        try:
            import whisper
        except ImportError as error:
            raise BadInput(f"recogniser whisper:{model}: needs a package: pip install openai-whisper") from error
        path = Path(model).expanduser()
        if not path.is_file():
            cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "whisper"
            path = cache / f"{model}.pt"
            if not path.is_file():
                raise BadInput(
                    f"whisper:{model}: no weights in {path}, and nothing is downloaded unasked: get them with "
                    f"'python -c \"import whisper; whisper.load_model({model!r})\"', or name a .pt file"
                )
        self._whisper: Any = whisper.load_model(str(path), device="cpu")
        self.name = f"whisper:{model}"
        self.left_out: Mapping[str, tuple[str, ...]] = {}
        self.description = f"Whisper {model} (openai-whisper {_version('openai-whisper')}), open vocabulary, greedy"
        self.identity = f"{self.description} {path.stat().st_size}"

    def covers(self, text: str) -> bool:
        """Every text with a word."""
        return bool(spoken_words(text))

    def transcribe(self, waveform: Waveform) -> str:
        """What is heard."""
        samples = _prepared(waveform)
        if samples is None:
            return ""
        found = self._whisper.transcribe(
            samples, language="en", temperature=0.0, condition_on_previous_text=False, fp16=False, verbose=None
        )
        return str(found["text"]).strip()


class FasterWhisper:
    """Whisper by the package faster-whisper (CTranslate2), on the CPU in int8.

    model: a name that is in the Hugging Face cache, or a folder. Raises as `Whisper` does.
    """

    def __init__(self, model: str = "base.en") -> None:
        try:
            import faster_whisper
        except ImportError as error:
            raise BadInput(f"recogniser faster-whisper:{model}: needs a package: pip install faster-whisper") from error
        try:
            self._whisper: Any = faster_whisper.WhisperModel(
                model, device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise BadInput(
                f"faster-whisper:{model}: no weights on this machine ({reason}), and nothing is downloaded unasked: "
                "name the folder of a converted model"
            ) from error
        self.name = f"faster-whisper:{model}"
        self.left_out: Mapping[str, tuple[str, ...]] = {}
        version = _version("faster-whisper")
        self.description = f"Whisper {model} (faster-whisper {version}, int8), open vocabulary, greedy"
        self.identity = self.description

    def covers(self, text: str) -> bool:
        """Every text with a word."""
        return bool(spoken_words(text))

    def transcribe(self, waveform: Waveform) -> str:
        """What is heard."""
        samples = _prepared(waveform)
        if samples is None:
            return ""
        segments, _ = self._whisper.transcribe(
            samples, language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False
        )
        return " ".join(str(segment.text).strip() for segment in segments)


RECOGNISERS: Mapping[str, Callable[[Sequence[str], str], SpeechRecogniser]] = {
    "pocketsphinx": lambda texts, model: Recogniser(texts),
    "whisper": lambda texts, model: Whisper(model or "base.en"),
    "faster-whisper": lambda texts, model: FasterWhisper(model or "base.en"),
}
"""Name -> builder, given all test sentences and what stood after the name's colon."""


def build_recogniser(name: str, texts: Sequence[str]) -> SpeechRecogniser:
    """The recogniser called NAME or NAME:MODEL; texts: all test sentences, for those that know what may be said.

    Raises UnknownName with the nearest, and as the recognisers do.
    """
    kind, _, model = name.partition(":")
    if kind not in RECOGNISERS:
        raise unknown_name("recogniser", name, RECOGNISERS)
    return RECOGNISERS[kind](texts, model)


def check_recogniser(name: str) -> None:
    """Raises UnknownName for a name that no recogniser has."""
    if name.partition(":")[0] not in RECOGNISERS:
        raise unknown_name("recogniser", name, RECOGNISERS)


def _prepared(waveform: Waveform) -> "np.ndarray | None":
    """At 16 kHz and -23 LUFS with silence at both ends; None for digital silence, in which Whisper hears sentences."""
    levelled = normalize_loudness(resample(waveform, SAMPLE_RATE), LEVEL_LUFS).samples
    if not np.any(levelled):
        return None
    edge = np.zeros(round(EDGE_SECONDS * SAMPLE_RATE), np.float32)
    return np.concatenate([edge, levelled, edge]).astype(np.float32)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "?"
