"""Phase 2: voices that nobody has, and the way back from them (Nachmani and Wolf 2019).

A crop x of singer j is sung by a virtual singer, whose vector lies between those of two others: y = D(E(x), v_m). Then
the model learns to sing x, with v_j, from E(y). So the encoder hears voices from outside the training set, and D has
to rely on the vector. Sampling costs most, so what was sung is kept in a pool, of which some is made anew now and then.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from moksori.models.wavenet_autoencoder.config import BackTranslationConfig
from moksori.models.wavenet_autoencoder.model import WavenetAutoencoder
from moksori.nn.ring import Ring

_FULL_SCALE = 32767.0


class Crop(NamedTuple):
    """A stretch of each recording: samples, who sings, and F0 in Hz where the model is given it."""

    waveform: Float[Tensor, "batch samples"]
    singer: Int[Tensor, " batch"]
    f0: Float[Tensor, "batch frames"] | None


class Pair(NamedTuple):
    """What a virtual singer made of a crop, and the crop itself."""

    sung: Float[Tensor, "batch samples"]
    crop: Crop


Sampler = Callable[
    [WavenetAutoencoder, Tensor, Tensor, Tensor | None, float, Generator | None], Float[Tensor, "batch samples"]
]
"""Sings codes: model, codes, singers' vectors, F0 or None, temperature, generator -> samples."""


def sample_by_model(
    model: WavenetAutoencoder,
    codes: Float[Tensor, "batch code frames"],
    vector: Float[Tensor, "batch singer"],
    f0: Float[Tensor, "batch pitches"] | None,
    temperature: float,
    generator: Generator | None = None,
) -> Float[Tensor, "batch samples"]:
    """By the model's own decoder, all items side by side."""
    return model.decode(codes, vector, f0, temperature, generator)


class Pool(Ring):
    """Pairs kept as 16-bit samples, in buffers, so that a resumed run goes on with them."""

    sung: Tensor
    waveform: Tensor
    singer: Tensor
    f0: Tensor

    def __init__(
        self, config: BackTranslationConfig, samples: int, pitches: int, sampler: Sampler = sample_by_model
    ) -> None:
        """samples: of a crop. pitches: F0 values of a crop; 0 without. sampler: how it is sung."""
        super().__init__(config.pool_crops)
        self.config, self.sampler = config, sampler
        size = self.size
        self.register_buffer("sung", torch.zeros(size, samples, dtype=torch.int16))
        self.register_buffer("waveform", torch.zeros(size, samples, dtype=torch.int16))
        self.register_buffer("singer", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("f0", torch.zeros(size, pitches))

    @property
    def is_full(self) -> bool:
        return int(self.count) == self.size

    def is_due(self, step: int) -> bool:
        """Whether crops are to be sung at this step: each one until the pool is full, then now and then."""
        since = step - self.config.start_step
        return since >= 0 and (not self.is_full or since % self.config.refresh_every == 0)

    @torch.no_grad()
    def refresh(self, model: WavenetAutoencoder, crop: Crop, generator: Generator | None = None) -> None:
        """Has virtual singers sing the first `refresh_crops` of these crops, and keeps them in place of the oldest.

        The weights are held still and get no gradient; equal generators give equal pools.
        """
        rows = slice(0, min(self.config.refresh_crops, len(crop.waveform), self.size))
        kept = Crop(crop.waveform[rows], crop.singer[rows], None if crop.f0 is None else crop.f0[rows])
        training = model.training
        model.eval()
        try:
            vector = virtual_singers(model, kept.singer, self.config.mixup, generator)
            codes = model.encode(kept.waveform)
            sung = self.sampler(model, codes, vector, kept.f0, self.config.temperature, generator)
        finally:
            model.train(training)
        slots = self.take(len(sung))
        self.sung[slots] = _stored(sung)
        self.waveform[slots] = _stored(kept.waveform)
        self.singer[slots] = kept.singer
        if kept.f0 is not None:
            self.f0[slots] = kept.f0.to(self.f0)

    def draw(self, count: int, generator: Generator | None = None) -> Pair:
        """So many pairs, any of them as likely as the others. Raises ValueError where the pool is empty."""
        if int(self.count) == 0:
            raise ValueError("the pool is empty: refresh it first")
        chosen = torch.randint(0, int(self.count), (count,), generator=generator, device=self.place.device)
        f0 = self.f0[chosen] if self.f0.shape[1] else None
        crop = Crop(self.waveform[chosen].float() / _FULL_SCALE, self.singer[chosen], f0)
        return Pair(self.sung[chosen].float() / _FULL_SCALE, crop)


def virtual_singers(
    model: WavenetAutoencoder, singer: Int[Tensor, " batch"], mixup: bool = True, generator: Generator | None = None
) -> Float[Tensor, "batch channels"]:
    """v_m = a v_j + (1 - a) v_k of two singers drawn for each item, a from U(0, 1).

    Without mixup it is one singer of the table, not the item's own where there are others.
    """
    count, singers = len(singer), model.num_singers
    drawn = torch.rand(count, 3, generator=generator, device=singer.device)
    if not mixup:
        other = singer + 1 + (drawn[:, 0] * (singers - 1)).long()
        return model.vectors(other % singers)
    one, two = ((drawn[:, column] * singers).long().clamp(max=singers - 1) for column in (0, 1))
    return torch.lerp(model.vectors(two), model.vectors(one), drawn[:, 2:])


def _stored(waveform: Float[Tensor, "batch samples"]) -> Int[Tensor, "batch samples"]:
    return (waveform.clamp(-1.0, 1.0) * _FULL_SCALE).round().to(torch.int16)
