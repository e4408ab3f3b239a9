"""Who sings? A classifier of voice embeddings, and a probe that tells whether codes still know the singer.

The classifier learns from recordings, and from made songs of other sentences; never from converted sound, or it would
learn what a model leaves behind instead of who sings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from moksori.errors import BadInput
from moksori.types import Waveform

SEGMENT_SECONDS, LEAST_SEGMENT_SECONDS = 3.0, 1.0
_ROUNDS, _DECAY = 80, 1e-3
PROBE_CHANNELS, PROBE_LAYERS, PROBE_STEPS, PROBE_RATE = 100, 3, 300, 3e-3
"""The probe has the form of the confusion network of Mor et al. 2019: three 1x1 convolutions of 100 channels, ELU."""
LEAST_CROPS = 4
"""Of a singer, to learn from and to ask about: with fewer the probe passes them over."""
_BATCH = 32


class SingerClassifier:
    """Multinomial logistic regression on embeddings of length 1, every singer of the same weight."""

    def __init__(self, embeddings: Sequence[Float[np.ndarray, " size"]], singers: Sequence[str]) -> None:
        """singers: whose embedding each is. Raises BadInput for fewer than two singers."""
        self.names = tuple(dict.fromkeys(singers))
        if len(self.names) < 2:
            raise BadInput(f"a classifier of {len(self.names)} singers: give recordings of two at least")
        features = np.stack(embeddings).astype(np.float32)
        self._mean, self._spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
        wanted = torch.tensor([self.names.index(name) for name in singers])
        counts = torch.bincount(wanted, minlength=len(self.names)).float()
        layer = nn.Linear(features.shape[1], len(self.names))
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        seen = torch.from_numpy((features - self._mean) / self._spread)
        optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=_ROUNDS, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(layer(seen), wanted, weight=1.0 / counts)
            loss = loss + _DECAY * layer.weight.square().sum()
            loss.backward()
            return loss

        with torch.enable_grad():
            optimizer.step(closure)
        self._layer = layer.requires_grad_(False)

    def probabilities(self, embeddings: Sequence[Float[np.ndarray, " size"]]) -> dict[str, float]:
        """Of each singer, for the segments of one recording: their log-probabilities are averaged."""
        features = (np.stack(embeddings).astype(np.float32) - self._mean) / self._spread
        logs = torch.log_softmax(self._layer(torch.from_numpy(features)), dim=1).mean(dim=0)
        return dict(zip(self.names, torch.softmax(logs, dim=0).tolist(), strict=True))


def voice_segments(waveform: Waveform) -> list[Waveform]:
    """A recording in segments of 3 s; a rest of less than a second is left out unless it is all there is."""
    size, least = (round(s * waveform.sample_rate) for s in (SEGMENT_SECONDS, LEAST_SEGMENT_SECONDS))
    pieces = [waveform.samples[start : start + size] for start in range(0, len(waveform.samples), size)]
    kept = [piece for piece in pieces if len(piece) >= least and np.any(piece)] or pieces[:1]
    return [Waveform(piece, waveform.sample_rate) for piece in kept]


@dataclass(frozen=True)
class CodeProbe:
    """Whether a freshly trained network reads the singer off codes that it has not learnt from.

    right: of each singer, crop by crop. Guessing is right in 1 / `singers`.
    """

    right: Mapping[str, tuple[bool, ...]]

    @property
    def singers(self) -> int:
        return len(self.right)

    @property
    def accuracy(self) -> float:
        """The mean over the singers, of whom some have more crops than others."""
        return float(np.mean([np.mean(crops) for crops in self.right.values()]))


def probe_codes(
    train: Mapping[str, Float[np.ndarray, "crops channels frames"]],
    test: Mapping[str, Float[np.ndarray, "crops channels frames"]],
    seed: int = 0,
) -> CodeProbe:
    """Trains the probe on crops of some recordings of each singer, and asks it about crops of others.

    All crops have the same frames; in training every singer comes up as often as any other. Singers with fewer than
    LEAST_CROPS in either part count as nobody's: what is learnt from two crops says nothing.
    Raises BadInput where fewer than two singers are left.
    """
    names = [name for name in train if min(len(train[name]), len(test.get(name, ()))) >= LEAST_CROPS]
    if len(names) < 2:
        raise BadInput(
            f"a probe of {len(names)} singers: give {LEAST_CROPS} crops of two at least, to learn from and to ask about"
        )
    draw = np.random.default_rng([seed, 23])
    parts = [torch.from_numpy(np.asarray(train[name], np.float32)) for name in names]
    mean, spread = (torch.stack([how(part) for part in parts]).mean(dim=0) for how in (_middle, _width))
    parts = [(part - mean) / spread for part in parts]
    network = _probe(parts[0].shape[1], len(names), seed)
    optimizer = torch.optim.Adam(network.parameters(), PROBE_RATE, weight_decay=1e-3)
    with torch.enable_grad():
        for _ in range(PROBE_STEPS):
            singers = draw.integers(0, len(names), _BATCH)
            seen = torch.stack([parts[singer][draw.integers(0, len(parts[singer]))] for singer in singers])
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(seen).mean(dim=2), torch.from_numpy(singers)).backward()
            optimizer.step()
    right = {}
    with torch.no_grad():
        for place, name in enumerate(names):
            heard = (torch.from_numpy(np.asarray(test[name], np.float32)) - mean) / spread
            right[name] = tuple((network(heard).mean(dim=2).argmax(dim=1) == place).tolist())
    return CodeProbe(right)


def _middle(crops: Float[torch.Tensor, "crops channels frames"]) -> Float[torch.Tensor, "channels 1"]:
    return crops.mean(dim=(0, 2))[:, None]


def _width(crops: Float[torch.Tensor, "crops channels frames"]) -> Float[torch.Tensor, "channels 1"]:
    return crops.std(dim=(0, 2)).clamp(min=1e-6)[:, None]


def _probe(channels: int, singers: int, seed: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(PROBE_LAYERS):
            layers += [nn.Conv1d(channels, PROBE_CHANNELS, 1), nn.ELU()]
            channels = PROBE_CHANNELS
        return nn.Sequential(*layers, nn.Conv1d(channels, singers, 1))
