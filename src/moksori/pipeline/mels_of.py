"""Training a vocoder on what another model makes: each recording's mel, made anew by that model frame for frame."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from moksori.audio.mel import MelConfig
from moksori.audio.mel_files import differences
from moksori.corpus.features import Ragged, cached_arrays
from moksori.corpus.manifest import Corpus
from moksori.errors import ConfigError, MoksoriError, UnsupportedTask
from moksori.models import registry
from moksori.models.checkpoint import fingerprint, load_model
from moksori.models.contract import CanReconstructMels
from moksori.nn.conv import arranged_for_inference
from moksori.pipeline.progress import Progress
from moksori.pipeline.take_over import Source
from moksori.types import Example, LongRecording, SpeechNeeds

SETTING = "objective.mels_of"
_BLOCK_SAMPLES = 2**16


def with_mels(
    examples: Sequence[Example], needs: SpeechNeeds, mel: MelConfig, corpus: Corpus, split: str, progress: Progress
) -> list[Example]:
    """The examples of a split with `mel`, as the model `needs.mels_of` makes it of each recording.

    mel: the front end that is trained for. They are made once and kept in the corpus's cache, float16: 10 kB a second.
    Raises UnknownName or CheckpointError where there is no such model, UnsupportedTask for one that makes no mels of
    recordings, ConfigError for one of another front end.
    """
    source = Source.find(needs.mels_of)
    manifest = source.manifest
    if not hasattr(registry.family(manifest.family).model, "reconstruct_mels"):
        raise UnsupportedTask(
            f"{SETTING}={needs.mels_of}: a {manifest.family!r} model makes no mels of recordings: name one of the "
            f"family {' or '.join(_able_families())}"
        )

    def make() -> Mapping[str, Ragged]:
        model = arranged_for_inference(load_model(source.folder).model)
        assert isinstance(model, CanReconstructMels)
        if model.mel_config != mel:
            raise ConfigError(
                f"{SETTING}={needs.mels_of}: its mels are others ({differences(model.mel_config, mel)}): train a "
                "vocoder of the same front end"
            )
        made = []
        for example in examples:
            made.append(_made(model, example, needs))
            progress(len(made), len(examples))
        return {"mel": Ragged.of(made, np.float16)}

    settings = {"model": fingerprint(source.folder), "front_end": mel.key, "hop_length": needs.hop_length}
    found = cached_arrays(corpus, split, "mels", settings, make)["mel"]
    return [replace(example, mel=found[place].T) for place, example in enumerate(examples)]


def _made(model: CanReconstructMels, example: Example, needs: SpeechNeeds) -> Float[np.ndarray, "frames mels"]:
    samples = example.waveform

    def blocks() -> Iterator[Float[np.ndarray, " block"]]:
        return (samples[start : start + _BLOCK_SAMPLES] for start in range(0, len(samples), _BLOCK_SAMPLES))

    with torch.inference_mode():
        recording = LongRecording(len(samples), needs.sample_rate, blocks)
        mel = torch.cat(list(model.reconstruct_mels(recording)), dim=2)[0]
    frames = len(samples) // needs.hop_length
    if mel.shape[1] != frames or not bool(mel.isfinite().all()):
        raise MoksoriError(
            f"{SETTING}={needs.mels_of}: made {mel.shape[1]} frames of {example.utterance.name}, which has {frames}, "
            "or NaN: use another model"
        )
    return np.ascontiguousarray(mel.T.cpu().numpy(), dtype=np.float16)  # what the cache writes is the plain order


def _able_families() -> list[str]:
    return registry.families_with("reconstruct_mels")
