"""Is it the same voice? Cosine of speaker embeddings (GE2E, Wan et al. 2018; network and weights: Resemblyzer)."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float

from moksori.audio.resample import resample
from moksori.errors import MissingExtra
from moksori.types import Waveform

SAMPLE_RATE = 16000


class SpeakerEncoder:
    """Resemblyzer's network, loaded once, on the CPU. Raises MissingExtra without the package."""

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # webrtcvad imports pkg_resources, which warns
                import resemblyzer
        except ImportError as error:
            raise MissingExtra("Resemblyzer", "evaluate-full", "speaker similarity") from error
        self._resemblyzer: Any = resemblyzer
        self._encoder: Any = resemblyzer.VoiceEncoder("cpu", verbose=False)

    def embed(self, waveform: Waveform) -> Float[np.ndarray, " 256"]:
        """The voice as a vector of length 1; loudness and long pauses do not reach it. Silence gives zeros."""
        samples = resample(waveform, SAMPLE_RATE).samples
        if not np.any(samples):
            return np.zeros(256, np.float32)
        prepared = self._resemblyzer.preprocess_wav(samples, source_sr=SAMPLE_RATE)
        if len(prepared) == 0:  # the voice activity detector found nothing
            prepared = samples
        return np.asarray(self._encoder.embed_utterance(prepared), dtype=np.float32)

    def similarity(self, first: Waveform, second: Waveform) -> float:
        """Cosine of the two embeddings, at most 1; 0 if one is silent."""
        return float(self.embed(first) @ self.embed(second))
