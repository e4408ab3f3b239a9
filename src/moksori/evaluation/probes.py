"""What is a code made of? Linear probes of frames and a spectral judge of voices, for codes that should hold one thing.

A probe is one linear layer: it finds what a code shows openly, not what a deep network could dig out of it. So it is
always read beside the same probe on mels, and beside chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from moksori.errors import BadInput
from moksori.nn.kmeans import kmeans

_ROUNDS = 60
_DECAY = 1e-3
"""Weight of the squared weights in a probe's loss: with standardised features it hardly costs accuracy."""
_SHRINKAGE = 0.1
"""Share of the judge's covariance that is made spherical: there are fewer segments than it has numbers."""


@dataclass(frozen=True)
class Probe:
    """How often a linear classifier is right about frames that it has not learnt from.

    chance: the share of the most frequent label among them, which is what guessing reaches. labels: that it chose from.
    """

    accuracy: float
    chance: float
    labels: int
    frames: int


def linear_probe(
    features: Float[np.ndarray, "frames size"],
    labels: Int[np.ndarray, " frames"],
    test_features: Float[np.ndarray, "test size"],
    test_labels: Int[np.ndarray, " test"],
) -> Probe:
    """Multinomial logistic regression on standardised features, the same for the same numbers.

    Raises BadInput without frames, or if there are fewer than two labels to tell apart.
    """
    known, places = np.unique(labels, return_inverse=True)
    if len(known) < 2 or len(test_labels) == 0:
        raise BadInput(
            f"a probe of {len(known)} labels and {len(test_labels)} test frames: give at least two labels, and frames "
            "to test on"
        )
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    seen, heard = (torch.from_numpy(((x - mean) / spread).astype(np.float32)) for x in (features, test_features))
    wanted = torch.from_numpy(places.astype(np.int64))
    layer = nn.Linear(features.shape[1], len(known))
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=_ROUNDS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(layer(seen), wanted) + _DECAY * layer.weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    with torch.no_grad():
        guessed = known[layer(heard).argmax(dim=1).numpy()]
    counts = np.unique(test_labels, return_counts=True)[1]
    right = float((guessed == test_labels).mean())
    return Probe(right, float(counts.max() / len(test_labels)), len(known), len(test_labels))


def mel_clusters(
    mels: Sequence[Float[np.ndarray, "frames mels"]], count: int = 50, seed: int = 0
) -> list[Int[np.ndarray, " frames"]]:
    """A label for each frame where nobody knows its phone: its k-means cluster among all frames, bands standardised."""
    frames = np.concatenate(list(mels)).astype(np.float32)
    standard = torch.from_numpy((frames - frames.mean(axis=0)) / np.maximum(frames.std(axis=0), 1e-6))
    centres = kmeans(standard, min(count, len(standard)), generator=torch.Generator().manual_seed(seed))
    labels = torch.cdist(standard, centres).argmin(dim=1).numpy()
    return np.split(labels, np.cumsum([len(mel) for mel in mels])[:-1])


class SpectralJudge:
    """Tells voices by their mels: mean and deviation of each band, in the space where one speaker varies least.

    It learns from recordings with known speakers how the segments of one differ (the covariance within speakers), and
    compares by the cosine after taking that out. No network, no sound: what is judged are mels.
    """

    def __init__(self, segments: Sequence[Float[np.ndarray, "mels frames"]], speakers: Sequence[str]) -> None:
        """segments: log-mels of a few seconds. Raises BadInput where no speaker has two of them."""
        statistics = np.stack([_statistics(segment) for segment in segments])
        names = np.asarray(speakers)
        groups = [statistics[names == name] for name in dict.fromkeys(speakers)]
        deviations = [group - group.mean(axis=0) for group in groups if len(group) > 1]
        if not deviations:
            raise BadInput("a judge of voices learns from speakers with two or more segments: there is none")
        within = np.concatenate(deviations)
        freedom = max(len(within) - len(deviations), 1)
        covariance = within.T @ within / freedom
        sphere = np.eye(len(covariance)) * np.trace(covariance) / len(covariance)
        values, vectors = np.linalg.eigh((1 - _SHRINKAGE) * covariance + _SHRINKAGE * sphere)
        self.whitening = vectors / np.sqrt(np.maximum(values, 1e-12))
        self.centre = np.stack([group.mean(axis=0) for group in groups]).mean(axis=0)

    def embed(self, segment: Float[np.ndarray, "mels frames"]) -> Float[np.ndarray, " size"]:
        """The voice of a log-mel as a vector of length 1."""
        found = (_statistics(segment) - self.centre) @ self.whitening
        return found / max(float(np.linalg.norm(found)), 1e-12)


def nearer_to_target(
    converted: Float[np.ndarray, "trials size"],
    target: Float[np.ndarray, "trials size"],
    source: Float[np.ndarray, "trials size"],
) -> float:
    """The share of conversions whose voice has a higher cosine with the target's than with the source's."""
    one, two, three = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in
                       (converted, target, source))  # fmt: skip
    return float(((one * two).sum(axis=1) > (one * three).sum(axis=1)).mean())


def _statistics(segment: Float[np.ndarray, "mels frames"]) -> Float[np.ndarray, " twice"]:
    """Mean and deviation of each band over the louder half of the frames: pauses say nothing of a voice."""
    level = segment.mean(axis=0)
    loud = segment[:, level >= np.median(level)].astype(np.float64)
    return np.concatenate([loud.mean(axis=1), loud.std(axis=1)])
