"""Training on what a codec makes of recordings: the entries of its codebooks that stand for each frame."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from moksori.corpus.features import Ragged, cached_arrays
from moksori.corpus.manifest import Corpus
from moksori.errors import ConfigError, MoksoriError
from moksori.models.checkpoint import load_model
from moksori.models.contract_latents import CanCompress
from moksori.pipeline.codecs import FoundCodec
from moksori.pipeline.models import models
from moksori.pipeline.progress import Progress
from moksori.pipeline.take_over import Source
from moksori.types import Example, LongRecording, SpeechNeeds

SETTING = "model.codec"
_BLOCK_SAMPLES = 2**16
_PROBE_SAMPLES = 2**15


@dataclass(frozen=True)
class LearntCodec:
    """The codec whose codes a model learns from."""

    found: FoundCodec

    @classmethod
    def of(cls, needs: SpeechNeeds) -> "LearntCodec":
        """What `needs.codes_of` names.

        Raises UnknownName or CheckpointError where there is no such model, UnsupportedTask for one that is no codec,
        ConfigError for one of another rate or hop.
        """
        found = FoundCodec(load_model(Source.find(needs.codes_of).folder))
        model = found.model
        if (model.sample_rate, model.hop_length) != (needs.sample_rate, needs.hop_length):
            raise ConfigError(
                f"{SETTING}={needs.codes_of}: has {model.sample_rate} Hz and a hop of {model.hop_length} samples, the "
                f"model {needs.sample_rate} Hz and {needs.hop_length}: give both the same, or name another codec"
            )
        return cls(found)

    @property
    def required(self) -> dict[str, str]:
        """What the manifest of a model says that learnt from it: name and fingerprint."""
        folder = self.found.loaded.folder
        installed = any(model.folder == folder for model in models())
        return {folder.name if installed else self.found.name: self.found.fingerprint}

    @property
    def model(self) -> CanCompress:
        """The codec itself."""
        return self.found.model

    def with_codes(
        self, examples: Sequence[Example], needs: SpeechNeeds, corpus: Corpus, split: str, progress: Progress
    ) -> list[Example]:
        """The examples of a split with `codes`, of all stages.

        They are made once and kept in the corpus's cache, as uint16: 2 bytes a stage and frame. The key is the codec's
        fingerprint, and what it makes of the beginning of the first recording: codes of other weights, or of other
        code for the same weights, are not found.
        """

        def make() -> Mapping[str, Ragged]:
            made = []
            for example in examples:
                made.append(self._made(example.waveform, example.utterance.name, needs))
                progress(len(made), len(examples))
            return {"codes": Ragged.of(made, np.uint16)}

        settings = {"model": self.found.fingerprint, "hop_length": needs.hop_length}
        found = cached_arrays(corpus, split, "codes", settings, make, [self._probe(examples[0], needs)])["codes"]
        return [replace(e, codes=found[place].T.astype(np.int32)) for place, e in enumerate(examples)]

    def _probe(self, example: Example, needs: SpeechNeeds) -> str:
        """A hash of the first stage's codes of a short sound: the later ones may turn on how a sum is rounded."""
        size = _PROBE_SAMPLES // needs.hop_length * needs.hop_length
        codes = self._made(example.waveform[:size], example.utterance.name, needs)
        return hashlib.sha256(np.ascontiguousarray(codes[:, 0]).tobytes()).hexdigest()[:16]

    def _made(
        self, samples: Float[np.ndarray, " samples"], name: str, needs: SpeechNeeds
    ) -> Int[np.ndarray, "frames stages"]:
        def blocks() -> Iterator[Float[np.ndarray, " block"]]:
            return (samples[start : start + _BLOCK_SAMPLES] for start in range(0, len(samples), _BLOCK_SAMPLES))

        with torch.inference_mode():
            recording = LongRecording(len(samples), needs.sample_rate, blocks)
            codes = torch.cat(list(self.found.model.compress_blocks(recording)), dim=2)[0]
        frames, model = len(samples) // needs.hop_length, self.found.model
        if tuple(codes.shape) != (model.stages, frames):
            raise MoksoriError(
                f"{self.found.name}: made codes of shape {list(codes.shape)} of {name}, which has {frames} frames of "
                f"{model.stages} stages: use another codec"
            )
        return np.ascontiguousarray(codes.T.cpu().numpy().astype(np.uint16))
