"""Feature statistics: over real frames alone, kept with the weights, undone by the inverse."""

import torch

from moksori.nn.masks import sequence_mask
from moksori.nn.standardize import Standardize


def test_identity_until_fitted_then_zero_mean_and_unit_deviation() -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(3, 4, 50, generator=draw) * torch.tensor([1.0, 3.0, 0.1, 20.0])[:, None] + 7.0
    mask = sequence_mask(torch.tensor([50, 20, 35]))
    layer = Standardize(4)
    assert torch.equal(layer(values), values)
    layer.fit(torch.where(mask, values, torch.full_like(values, 1e6)), mask)
    real = layer(values).transpose(1, 2)[mask[:, 0]]
    torch.testing.assert_close(real.mean(dim=0), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(real.std(dim=0), torch.ones(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(layer.inverse(layer(values)), values, rtol=1e-5, atol=1e-4)


def test_a_constant_channel_does_not_explode() -> None:
    layer = Standardize(1)
    layer.fit(torch.full((1, 1, 10), -11.5), torch.ones(1, 1, 10, dtype=torch.bool))
    torch.testing.assert_close(layer(torch.full((1, 1, 3), -11.5)), torch.zeros(1, 1, 3))
    assert float(layer.std) == torch.tensor(1e-3)


def test_statistics_travel_with_the_weights() -> None:
    layer, other = Standardize(2), Standardize(2)
    layer.fit(torch.randn(1, 2, 40) + 3.0, torch.ones(1, 1, 40, dtype=torch.bool))
    other.load_state_dict(layer.state_dict())
    x = torch.randn(1, 2, 5)
    assert torch.equal(layer(x), other(x))
    assert not list(layer.parameters())


def test_batches_of_different_lengths_count_as_one() -> None:
    draw = torch.Generator().manual_seed(0)
    values = 2.0 + 3.0 * torch.randn(3, 5, 12, generator=draw)
    lengths = torch.tensor([12, 7, 4])
    together, apart = Standardize(5), Standardize(5)
    together.fit(values, sequence_mask(lengths, 12))
    pieces = [(values[k : k + 1, :, : 12 - 2 * k], lengths[k : k + 1]) for k in range(3)]
    apart.fit_all((piece, sequence_mask(length, piece.shape[2])) for piece, length in pieces)
    assert torch.equal(apart.mean, together.mean)
    assert torch.equal(apart.std, together.std)
