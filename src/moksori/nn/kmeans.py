"""k-means: points as the nearest of a few centres."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor


@torch.no_grad()
def kmeans(
    points: Float[Tensor, "points size"], count: int, rounds: int = 20, generator: Generator | None = None
) -> Float[Tensor, "count size"]:
    """Centres by Lloyd's algorithm from k-means++ starts (Arthur and Vassilvitskii 2007).

    A centre that no point is nearest to stays where it started.
    """
    starts = [points[torch.randint(len(points), (1,), generator=generator)]]
    distance = torch.full((len(points),), torch.inf).to(points)
    while len(starts) < count:
        # Only the newest centre can be nearer than the nearest so far.
        distance = torch.minimum(distance, torch.cdist(points, starts[-1])[:, 0].square())
        further = torch.multinomial(distance.clamp(min=1e-12), 1, generator=generator)
        starts.append(points[further])
    centres = torch.cat(starts)
    for _ in range(rounds):
        nearest = torch.cdist(points, centres).argmin(dim=1)
        counts = torch.bincount(nearest, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
    return centres
