"""Distances between waveforms in the short-time spectrum, at several resolutions.

`SpectralDistance` is the multi-resolution STFT loss (Yamamoto et al. 2020, "Parallel WaveGAN", eq. 3-6): spectral
convergence plus the mean absolute difference of log magnitudes. Its two halves, `features` and `between`, are public so
that one set of features serves several comparisons, as in `energy_distance`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class SpectralDistance(nn.Module):
    """Distance of waveforms `[batch, samples]`, averaged over resolutions (n_fft, hop_length, window_length)."""

    def __init__(
        self,
        resolutions: Sequence[tuple[int, int, int]] = ((512, 128, 512), (1024, 256, 1024), (2048, 512, 2048)),
    ) -> None:
        super().__init__()
        self.resolutions = tuple(resolutions)
        for index, (_, _, window_length) in enumerate(self.resolutions):
            self.register_buffer(f"window_{index}", torch.hann_window(window_length), persistent=False)

    def features(self, waveform: Float[Tensor, "batch samples"]) -> list[Tensor]:
        """Magnitudes `[batch, bins, frames]` of each resolution, at least 1e-7 inside the root; float32 always."""
        with torch.autocast(waveform.device.type, enabled=False):
            magnitudes = []
            for index, (n_fft, hop, length) in enumerate(self.resolutions):
                window = getattr(self, f"window_{index}")
                spectrum = torch.stft(
                    waveform.float(), n_fft, hop, length, window, center=True, pad_mode="constant", return_complex=True
                )
                power = torch.view_as_real(spectrum).square().sum(dim=-1)
                magnitudes.append(power.clamp(min=1e-7).sqrt())
            return magnitudes

    def between(self, first: list[Tensor], second: list[Tensor], reference: list[Tensor]) -> Tensor:
        """Scalar distance of two sets of features; `reference`, the real ones, scales the convergence term."""
        terms = []
        for a, b, real in zip(first, second, reference, strict=True):
            # vector_norm has the gradient 0 where both are equal (two silences), where a root's would be NaN.
            difference = torch.linalg.vector_norm(a - b, dim=(1, 2))
            convergence = difference / torch.linalg.vector_norm(real, dim=(1, 2)).clamp(min=1e-3)
            terms.append(convergence.mean() + (a.log() - b.log()).abs().mean())
        return torch.stack(terms).mean()

    def forward(self, generated: Float[Tensor, "batch samples"], real: Float[Tensor, "batch samples"]) -> Tensor:
        features = self.features(real)
        return self.between(self.features(generated), features, features)


def energy_distance(to_first: Tensor, to_second: Tensor, between: Tensor, repulsion: float = 1.0) -> Tensor:
    """Generalised energy distance of a stochastic generator: E d(x, y) - 1/2 E d(y, y') (Gritsenko et al. 2020, eq. 4).

    to_first, to_second: distances of two samples y, y' (equal conditions, independent noise) to the real x;
    between: their distance to each other. Without the second term (`repulsion` 0) a distance pulls the generator to
    the median, which has too little noise; with it the minimum is the true distribution.
    """
    return 0.5 * (to_first + to_second) - 0.5 * repulsion * between
