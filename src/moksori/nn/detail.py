"""The fine structure of spectra, as wide as that of recordings: what averaging networks lose most of.

What a network foretells is an average, and its spectra vary less from frame to frame than recordings do, the less the
finer the ripple over the bands. Scaling each dimension of a feature to the spread of recordings is an old remedy (Toda,
Tokuda, "A speech parameter generation algorithm considering global variance for HMM-based speech synthesis", IEICE
2007); here the dimensions are the cosines over the bands, from the one on where harmonics begin.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

FIRST = 12
"""The first cosine that is scaled: what is smoother is the vowel's, and is right."""
MOST = 4.0
"""Largest factor."""


class Detail(nn.Module):
    """Scales the fine structure of log spectra; the identity until `fit` has seen some."""

    gain: Tensor
    mean: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.register_buffer("gain", torch.ones(bands))
        self.register_buffer("mean", torch.zeros(bands))

    @torch.no_grad()
    def fit(
        self,
        made: Sequence[Float[Tensor, "bands _"]],
        real: Sequence[Float[Tensor, "bands _"]],
        strength: float = 1.0,
    ) -> None:
        """Takes the factors that give what is made the spread of what is real, over the louder frames of each.

        strength: 0 leaves everything as it is, 1 takes the factors whole. A dimension that never varies in what is made
        stays as it is.
        """
        (mean, spread), (_, wanted) = (self._spread(spectra) for spectra in (made, real))
        gain = (wanted / spread.clamp(min=1e-6)).clamp(1.0 / MOST, MOST) ** strength
        gain = torch.where(spread > 1e-6, gain, 1.0)
        gain[:FIRST] = 1.0
        self.gain.copy_(gain)
        self.mean.copy_(mean)

    def forward(self, spectra: Float[Tensor, "batch bands frames"]) -> Float[Tensor, "batch bands frames"]:
        """Log spectra with their fine structure scaled around its mean."""
        cosines = _cosines(len(self.gain)).to(spectra)
        found = torch.matmul(cosines, spectra) - self.mean.to(spectra)[:, None]
        return spectra + torch.matmul(cosines.T, found * (self.gain.to(spectra) - 1.0)[:, None])

    def _spread(self, spectra: Sequence[Float[Tensor, "bands _"]]) -> tuple[Tensor, Tensor]:
        cosines = _cosines(len(self.gain)).to(spectra[0])
        loud = [one[:, one.mean(dim=0) > one.mean()] for one in spectra]
        found = cosines @ torch.cat(loud, dim=1)
        return found.mean(dim=1), found.std(dim=1, unbiased=False)


def _cosines(bands: int) -> Float[Tensor, "bands bands"]:
    """The orthonormal cosine transform (DCT-II) as a matrix, the smoothest row first."""
    k, band = torch.arange(bands)[:, None], torch.arange(bands)
    rows = torch.cos(math.pi * k * (band + 0.5) / bands)
    return rows / rows.norm(dim=1, keepdim=True)
