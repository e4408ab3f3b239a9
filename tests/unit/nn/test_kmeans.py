"""k-means finds clusters that are there, and repeats itself."""

import torch

from moksori.nn.kmeans import kmeans


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_finds_the_centres_that_points_were_made_of() -> None:
    centres = 5.0 * torch.randn(4, 3, generator=seeded())
    points = centres.repeat(50, 1) + 0.1 * torch.randn(200, 3, generator=seeded(1))
    found = kmeans(points, 4, generator=seeded(2))
    assert torch.cdist(centres, found).min(dim=1).values.max() < 0.1
    assert torch.equal(found, kmeans(points, 4, generator=seeded(2)))


def test_more_centres_than_different_points() -> None:
    points = torch.tensor([[0.0], [0.0], [1.0]])
    found = kmeans(points, 3, generator=seeded())
    assert sorted(found[:, 0].unique().tolist()) == [0.0, 1.0]
