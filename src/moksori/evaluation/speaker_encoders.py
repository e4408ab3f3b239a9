"""Who tells voices apart: speaker encoders by name. Resemblyzer comes with the extra; WavLM where it is installed.

An encoder is any class with the attributes of `VoiceEncoder`; a new one is one line of `ENCODERS`. Nothing is
downloaded, and every report names the encoder.
"""

from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from moksori.audio.loudness import normalize_loudness
from moksori.audio.resample import resample
from moksori.errors import BadInput, unknown_name
from moksori.evaluation.speaker import SpeakerEncoder
from moksori.types import Waveform

DEFAULT = "resemblyzer"
_WAVLM = "microsoft/wavlm-base-plus-sv"
_RATE = 16000
_LEAST_SAMPLES = _RATE // 4


class VoiceEncoder(Protocol):
    """Puts a recording's voice as a vector of length 1. name: as asked for; identity: differs where vectors could."""

    name: str
    identity: str

    def embed(self, waveform: Waveform) -> Float[np.ndarray, " size"]:
        """The voice; zeros for silence."""


class WavLM:
    """WavLM with an x-vector head (Chen et al. 2021, arXiv:2110.13900), by the package transformers, on the CPU.

    model: a folder, or a name that is in the Hugging Face cache. Raises BadInput without the package, and for
    weights that are not on this machine.
    """

    def __init__(self, model: str = _WAVLM) -> None:
        try:
            import torch
            from transformers import Wav2Vec2FeatureExtractor, WavLMForXVector
        except ImportError as error:
            raise BadInput(f"speaker encoder wavlm:{model}: needs a package: pip install transformers") from error
        self._torch: Any = torch
        try:
            self._model: Any = WavLMForXVector.from_pretrained(model, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            raise BadInput(
                f"wavlm:{model}: no weights on this machine, and nothing is downloaded unasked: get them with "
                f"'hf download {model}', or name a folder"
            ) from error
        try:
            self._prepare: Any = Wav2Vec2FeatureExtractor.from_pretrained(model, local_files_only=True)
        except (OSError, ValueError):  # a folder with the network alone
            self._prepare = Wav2Vec2FeatureExtractor(sampling_rate=_RATE, do_normalize=True)
        shown = Path(model).name if Path(model).is_dir() else model
        self.name = f"wavlm:{shown}"
        self.identity = f"{self.name} transformers {metadata.version('transformers')} {self._fingerprint()}"

    def embed(self, waveform: Waveform) -> Float[np.ndarray, " size"]:
        """The voice as a vector of length 1, at -23 LUFS; zeros for silence."""
        samples = normalize_loudness(resample(waveform, _RATE)).samples
        if not np.any(samples):
            return np.zeros(int(self._model.config.xvector_output_dim), np.float32)
        samples = np.pad(samples, (0, max(0, _LEAST_SAMPLES - len(samples))))
        inputs = self._prepare(samples, sampling_rate=_RATE, return_tensors="pt")
        with self._torch.inference_mode():
            found = self._model(inputs.input_values).embeddings[0].float().numpy()
        return np.asarray(found / max(float(np.linalg.norm(found)), 1e-8), dtype=np.float32)

    def _fingerprint(self) -> str:
        """Of the weights: a folder's name does not tell them apart."""
        total = sum(float(p.detach().double().abs().sum()) for p in self._model.parameters())
        return f"{total:.9e}"


ENCODERS: Mapping[str, Callable[[str], VoiceEncoder]] = {
    "resemblyzer": lambda model: SpeakerEncoder(),
    "wavlm": lambda model: WavLM(model or _WAVLM),
}
"""Name -> builder, given what stood after the name's colon."""


def build_encoder(name: str) -> VoiceEncoder:
    """The encoder called NAME or NAME:MODEL. Raises UnknownName with the nearest, and as the encoders do."""
    check_encoder(name)
    kind, _, model = name.partition(":")
    return ENCODERS[kind](model)


def check_encoder(name: str) -> None:
    """Raises UnknownName for a name that no encoder has."""
    if name.partition(":")[0] not in ENCODERS:
        raise unknown_name("speaker encoder", name, ENCODERS)
