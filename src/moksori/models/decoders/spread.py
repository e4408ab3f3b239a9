"""Gives the decoder's filters the spread that recordings have: what training by distances takes away is put back.

A network answers with averages where it cannot know, so that its envelopes vary less over time than real ones, and
sound muffled. Statistical synthesis counters with the global variance of the cepstrum (Toda, Tokuda 2007, "A speech
parameter generation algorithm considering global variance"; as a filter behind: Silén et al. 2012). Our decoder's
filters are cepstra, linear in its last states, so that their spread around the mean can be scaled in the weights
themselves: speaking costs nothing more, and further training simply goes on from there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from moksori.nn.source_filter import CepstralFilter

FIRST_QUEFRENCY = 4
"""Below it lies the tilt of the spectrum, which distances learn well."""
HIGHEST_PITCH_HZ = 345.0
"""Quefrencies from its period on show the pitch, not the envelope."""
SPEECH_RANGE = 5.0
"""Frames count whose mean log magnitude is within this of the loudest's, in nepers: pauses have no envelope."""
MOST, LEAST = 2.0, 0.8
"""Bounds of the factor: what lies beyond is a model that has not learnt yet."""


@torch.no_grad()
def match_spread(
    filters: Sequence[CepstralFilter],
    real: Iterable[Float[Tensor, " samples"]],
    render: Callable[[], Iterable[Float[Tensor, " samples"]]],
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    strength: float = 1.0,
) -> Float[Tensor, " quefrencies"]:
    """Scales each quefrency of `filters` around its mean by (spread(real) / spread(rendered)) ** strength.

    Returns the factors, 1 where nothing is changed. strength: below 1 keeps more of what is certain; the chance in a
    network's answers is scaled along and is heard as roughness.
    render: speaks anew with the filters as they are; what it speaks need not be what `real` holds, but should be alike
    in its mixture of sounds.
    """
    with _observed(filters) as means:
        rendered = _spread(render(), n_fft, hop_length)
    factor = _spread(real, n_fft, hop_length) / rendered.clamp(min=1e-8)
    # Neighbours are alike; what differs between them is chance.
    padded = torch.nn.functional.pad(factor[None, None], (2, 2), mode="replicate")
    factor = torch.nn.functional.avg_pool1d(padded, 5, 1)[0, 0].clamp(LEAST, MOST).pow(strength)
    factor[:FIRST_QUEFRENCY] = 1.0
    factor[int(sample_rate / HIGHEST_PITCH_HZ) :] = 1.0
    for part, mean in zip(filters, means, strict=True):
        layer, own = part.cepstrum, factor[: len(mean)].to(mean)
        layer.weight.mul_(own.unsqueeze(1))
        layer.bias.copy_(mean + own * (layer.bias - mean))
    return factor


@contextmanager
def _observed(filters: Sequence[CepstralFilter]) -> Iterator[list[Tensor]]:
    """While inside, averages the cepstra that pass; the list holds each filter's mean afterwards."""
    totals: list[Tensor | float] = [0.0] * len(filters)
    counts = [0] * len(filters)
    means: list[Tensor] = []

    def watch(index: int) -> Callable[..., None]:
        def hook(module: torch.nn.Module, given: object, cepstra: Tensor) -> None:
            totals[index] = totals[index] + cepstra.flatten(0, -2).sum(dim=0)
            counts[index] += cepstra.flatten(0, -2).shape[0]

        return hook

    handles = [part.cepstrum.register_forward_hook(watch(index)) for index, part in enumerate(filters)]
    try:
        yield means
    finally:
        for handle in handles:
            handle.remove()
    if not all(counts):
        raise ValueError("nothing was rendered through the filters")
    means.extend(torch.as_tensor(total / count) for total, count in zip(totals, counts, strict=True))


def _spread(waveforms: Iterable[Tensor], n_fft: int, hop_length: int) -> Float[Tensor, " quefrencies"]:
    """Standard deviation of the real cepstrum of short-time spectra, over all frames of speech."""
    total = square = torch.zeros(n_fft // 2 + 1, dtype=torch.float64)
    count = 0
    for waveform in waveforms:
        window = torch.hann_window(n_fft, device=waveform.device)
        spectrum = torch.stft(waveform.float(), n_fft, hop_length, window=window, return_complex=True)
        logarithm = spectrum.abs().clamp(min=1e-3).log()
        level = logarithm.mean(dim=0)
        logarithm = logarithm[:, level > level.max() - SPEECH_RANGE]
        cepstra = torch.fft.irfft(logarithm.to(torch.complex64), n=n_fft, dim=0)[: n_fft // 2 + 1].double().cpu()
        total, square = total + cepstra.sum(dim=1), square + cepstra.square().sum(dim=1)
        count += cepstra.shape[1]
    mean = total / max(count, 1)
    return (square / max(count, 1) - mean.square()).clamp(min=0.0).sqrt().float()
