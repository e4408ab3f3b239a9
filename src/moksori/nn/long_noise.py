"""Noise for sequences of any length, made from left to right in memory that does not grow with them."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from moksori.nn.distributions import Chance, RowGenerators

PLACED_STEPS = 2**15
"""Of PlacedNoise, drawn at once."""


class LongNoise:
    """Standard normal noise `[*rows, total]` in float32, read in stretches from left to right.

    All that it takes from `generator` is drawn at once: the first `stretch` steps as one tensor, and for a longer
    sequence the seed from which the others follow. So what is drawn afterwards does not depend on how far this was
    read, and the noise is the same however it is read.
    rows: sizes of the axes before time. It is drawn on the generator's own device and read on `device`.
    """

    def __init__(
        self,
        rows: tuple[int, ...],
        total: int,
        stretch: int,
        device: torch.device,
        generator: Generator | None = None,
    ) -> None:
        if stretch < 1:
            raise ValueError(f"stretch {stretch} must be at least 1")
        self._rows, self._total, self._stretch, self._device = rows, total, stretch, device
        drawn_on = device if generator is None else generator.device
        self._parts = [torch.randn(*rows, min(total, stretch), generator=generator, device=drawn_on).to(device)]
        self._first = 0  # step at which the parts in memory begin
        self._later: Generator | None = None
        if total > stretch:
            seed = torch.randint(2**62, (1,), generator=generator, device=drawn_on)
            self._later = Generator(drawn_on).manual_seed(int(seed))

    def __call__(self, start: int, stop: int) -> Float[Tensor, "*rows steps"]:
        """Steps [start, stop). Those more than a stretch before a `start` asked for earlier may be gone: ValueError."""
        if not self._first <= start <= stop <= self._total:
            raise ValueError(f"noise from {start} to {stop}: {self._first} to {self._total} can be read")
        while self._first + sum(part.shape[-1] for part in self._parts) < stop:
            self._parts.append(self._draw())
        while self._first + self._parts[0].shape[-1] <= start - self._stretch:
            self._first += self._parts.pop(0).shape[-1]
        whole = self._parts[0] if len(self._parts) == 1 else torch.cat(self._parts, dim=-1)
        return whole[..., start - self._first : stop - self._first]

    def _draw(self) -> Tensor:
        assert self._later is not None
        made = self._first + sum(part.shape[-1] for part in self._parts)
        steps = min(self._stretch, self._total - made)
        return torch.randn(*self._rows, steps, generator=self._later, device=self._later.device).to(self._device)


class PlacedNoise:
    """Standard normal noise `[rows, steps]` in float32 that depends on a seed and on the place alone.

    It has no length: whoever does not know yet how much it will take reads the same noise as one who does. All that it
    takes from `generator` is the seed of each row; a row of RowGenerators has the noise that it has alone.
    """

    def __init__(self, rows: int, device: torch.device, generator: Chance = None) -> None:
        if isinstance(generator, RowGenerators):
            self._seeds = [seed for own in generator.generators for seed in _seeds(1, device, own)]
        else:
            self._seeds = _seeds(rows, device, generator)
        self._device = device

    def __call__(self, start: int, stop: int) -> Float[Tensor, "rows steps"]:
        """Steps [start, stop)."""
        first, last = start // PLACED_STEPS, -(-stop // PLACED_STEPS)
        parts = [self._part(place) for place in range(first, max(last, first + 1))]
        return torch.cat(parts, dim=1)[:, start - first * PLACED_STEPS :][:, : stop - start].to(self._device)

    def _part(self, place: int) -> Tensor:
        drawn = (Generator().manual_seed((seed + place * 0x9E3779B97F4A7C15) % 2**63) for seed in self._seeds)
        return torch.stack([torch.randn(PLACED_STEPS, generator=generator) for generator in drawn])


def _seeds(rows: int, device: torch.device, generator: Generator | None) -> list[int]:
    drawn_on = device if generator is None else generator.device
    return [int(seed) for seed in torch.randint(2**62, (rows,), generator=generator, device=drawn_on)]
