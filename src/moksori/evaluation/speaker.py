"""Is it the same voice? Cosine of speaker embeddings (GE2E, Wan et al. 2018; network and weights: Resemblyzer)."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from jaxtyping import Float

from moksori.audio.resample import resample
from moksori.errors import MissingExtra
from moksori.types import Waveform

SAMPLE_RATE = 16000
SIZE = 256
"""Of an embedding."""


class SpeakerEncoder:
    """Resemblyzer's network, loaded once, on the CPU. Raises MissingExtra without the package."""

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # webrtcvad imports pkg_resources, which warns
                import resemblyzer
        except ImportError as error:
            raise MissingExtra("Resemblyzer", "evaluate-full", "speaker similarity") from error
        self.name = "resemblyzer"
        self.identity = f"Resemblyzer {metadata.version('Resemblyzer')}"
        self._resemblyzer: Any = resemblyzer
        self._encoder: Any = resemblyzer.VoiceEncoder("cpu", verbose=False)

    def embed(self, waveform: Waveform) -> Float[np.ndarray, " 256"]:
        """The voice as a vector of length 1; loudness and long pauses do not reach it. Silence gives zeros."""
        samples = resample(waveform, SAMPLE_RATE).samples
        if not np.any(samples):
            return np.zeros(SIZE, np.float32)
        prepared = self._resemblyzer.preprocess_wav(samples, source_sr=SAMPLE_RATE)
        if len(prepared) == 0:  # the voice activity detector found nothing
            prepared = samples
        return np.asarray(self._encoder.embed_utterance(prepared), dtype=np.float32)

    def similarity(self, first: Waveform, second: Waveform) -> float:
        """Cosine of the two embeddings, at most 1; 0 if one is silent."""
        return float(self.embed(first) @ self.embed(second))


@dataclass(frozen=True)
class Voices:
    """What speakers sound like: the mean of the embeddings of some recordings of each, of length 1.

    None of these recordings may be among those that are judged.
    """

    names: tuple[str, ...]
    centroids: Float[np.ndarray, "speakers size"]

    @classmethod
    def of(cls, embeddings: Mapping[str, Sequence[Float[np.ndarray, " size"]]]) -> "Voices":
        """From the embeddings of each speaker's recordings; a speaker without any has no place in it."""
        means = {name: np.mean(rows, axis=0) for name, rows in embeddings.items() if len(rows)}
        rows = [mean / max(float(np.linalg.norm(mean)), 1e-8) for mean in means.values()]
        return cls(tuple(means), np.array(rows, np.float32) if rows else np.zeros((0, SIZE), np.float32))

    def likeness(self, embedding: Float[np.ndarray, " size"]) -> dict[str, float]:
        """Cosine of a recording's embedding with each speaker."""
        return dict(zip(self.names, (self.centroids @ embedding).tolist(), strict=True))


def identified(likeness: Mapping[str, float], speaker: str) -> float:
    """1 where the speaker is the most alike of all, 0 where it is another; NaN where there is nobody else."""
    if len(likeness) < 2:
        return float("nan")
    return float(max(likeness, key=lambda name: likeness[name]) == speaker)


def equal_error_rate(targets: Sequence[float], impostors: Sequence[float]) -> float:
    """The share of errors of a verification whose limit lets as many impostors in as it keeps true speakers out.

    targets: cosines with the right speaker; impostors: with others. Where the two rates cross between two limits, the
    mean of both; NaN where either is empty.
    """
    if not len(targets) or not len(impostors):
        return float("nan")
    right, wrong = np.sort(np.asarray(targets, float)), np.sort(np.asarray(impostors, float))
    limits = np.unique(np.concatenate([right, wrong, [np.inf]]))
    kept_out = np.searchsorted(right, limits, side="left") / len(right)
    let_in = 1.0 - np.searchsorted(wrong, limits, side="left") / len(wrong)
    place = int(np.argmin(np.abs(kept_out - let_in)))
    return float((kept_out[place] + let_in[place]) / 2)
