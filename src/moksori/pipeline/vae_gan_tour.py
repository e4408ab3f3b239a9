"""A tour through a latent: is it a distribution that can be drawn from, or a code that only what was heard has?

A VAE's z is held to N(0, I), so what is decoded from drawn z, and from between two z, is speech too. A plain
autoencoder's is held to nothing. For models of single frames whose z and decoder can be taken apart.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from moksori.evaluation.mcd import ORDER, SAMPLE_RATE, mel_cepstrum, warping_factor
from moksori.evaluation.sliced_wasserstein import sliced_wasserstein
from moksori.models.checkpoint import Loaded
from moksori.pipeline.vae_gan_measures import Encode, Gauge, mean_of, read_latents

FRAMES = 1500
"""Of each speaker, and drawn as often."""
_LEAST_VARIANCE = 0.01


@runtime_checkable
class DecodesFrames(Protocol):
    """A model of frames: log10 spectral shapes, as its `range` maps them, of a latent and a speaker's row."""

    range: nn.Module

    def posterior(self, frames: Tensor) -> Any: ...

    def decode(self, latent: Tensor, speaker: Tensor, pitch: Tensor | None = None) -> Tensor: ...


def latent_tour(loaded: Loaded, encode: Encode, gauge: Gauge) -> dict[str, float]:
    """Sliced Wasserstein distances from a speaker's own frames, the mean over speakers: of what is decoded from the
    speaker's own z (`tour_copy`), from half-way between two of these (`tour_between`), and from z that were drawn
    (`tour_prior`). `active`: the share of z's numbers that tell anything, whose mean varies by more than 0.01 over
    frames (Burda et al. 2016). Empty for models of another kind.
    """
    model: Any = loaded.model
    if not isinstance(model, DecodesFrames):
        return {}
    rows: dict[str, list[float]] = {"tour_copy": [], "tour_between": [], "tour_prior": []}
    heard = []
    for place, name in enumerate(gauge.material.speakers):
        if name not in loaded.manifest.speakers:
            continue
        speaker = loaded.manifest.speakers.index(name)
        draw = np.random.default_rng([place, 43])
        own = np.concatenate([read_latents(encode, u, gauge.labels)[0] for u in gauge.material.natural[name]])
        own = own[np.sort(draw.permutation(len(own))[:FRAMES])]
        heard.append(own)
        between = (own + own[draw.permutation(len(own))]) / 2.0
        drawn = torch.randn(own.shape, generator=Generator().manual_seed(place)).numpy()
        natural = gauge.natural(name).cloud
        for key, latents in zip(rows, (own, between, drawn), strict=True):
            rows[key].append(sliced_wasserstein(_cepstra(model, latents, speaker), natural))
    if not heard:
        return {}
    active = float((np.concatenate(heard).var(axis=0) > _LEAST_VARIANCE).mean())
    return {key: mean_of(values) for key, values in rows.items()} | {"active": active}


@torch.inference_mode()
def _cepstra(model: Any, latents: Float[np.ndarray, "frames size"], speaker: int) -> Float[np.ndarray, "frames 24"]:
    """The mel-cepstra, without the level, of what a model decodes."""
    z = torch.from_numpy(np.ascontiguousarray(latents, np.float32))
    who = torch.full((len(z),), speaker)
    # In the middle of the speaker's range and voiced, for a model that is told the pitch.
    pitch = torch.tensor([[0.0, 1.0]]).repeat(len(z), 1) if model.config.pitch else None
    shapes = model.range.inverse(model.decode(z, who, pitch)).double().numpy()
    return mel_cepstrum(10.0**shapes, ORDER, warping_factor(SAMPLE_RATE))[:, 1:]
