"""Scaling the fine structure of spectra."""

import torch

from moksori.nn.detail import FIRST, Detail


def spectra(count: int, seed: int, fine: float) -> list[torch.Tensor]:
    """Smooth and rippled spectra; fine: how deep the ripple is. Every second frame is quiet."""
    draw = torch.Generator().manual_seed(seed)
    band = torch.arange(40) / 40
    made = []
    for _ in range(count):
        slow = torch.randn(60, generator=draw) * torch.cos(torch.pi * 2 * (band[:, None] + 0.0125))
        quick = fine * torch.randn(60, generator=draw) * torch.cos(torch.pi * 20 * (band[:, None] + 0.0125))
        made.append(slow + quick - 3.0 + 4.0 * (torch.arange(60) % 2))
    return made


def test_it_begins_as_the_identity() -> None:
    x = torch.randn(2, 40, 7)
    torch.testing.assert_close(Detail(40)(x), x)


def test_what_is_made_gets_the_spread_of_what_is_real_and_keeps_what_is_smooth() -> None:
    detail = Detail(40)
    made, real = spectra(4, 0, fine=0.4), spectra(4, 1, fine=1.0)
    detail.fit(made, real)
    assert bool((detail.gain[:FIRST] == 1.0).all())
    assert 2.2 < float(detail.gain[20]) < 2.8
    given = made[0][None]
    found = detail(given)[0]
    ripple = torch.cos(torch.pi * 20 * (torch.arange(40) / 40 + 0.0125))
    smooth = torch.cos(torch.pi * 2 * (torch.arange(40) / 40 + 0.0125))
    loud = slice(1, None, 2)
    before, after = (ripple @ x[:, loud] for x in (given[0], found))
    assert 2.2 < float(after.std() / before.std()) < 2.8
    torch.testing.assert_close(smooth @ found, smooth @ given[0], atol=1e-3, rtol=0)


def test_strength_and_bounds() -> None:
    made, real = spectra(4, 0, fine=0.4), spectra(4, 1, fine=1.0)
    none, half, whole = Detail(40), Detail(40), Detail(40)
    none.fit(made, real, 0.0)
    half.fit(made, real, 0.5)
    whole.fit(made, real)
    assert bool((none.gain == 1.0).all())
    torch.testing.assert_close(half.gain.square(), whole.gain)
    whole.fit(spectra(2, 0, fine=0.001), real)
    assert float(whole.gain.max()) == 4.0
