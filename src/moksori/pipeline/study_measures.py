"""One model of a study, measured: how much goes through each latent, and what each of them tells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from moksori.evaluation.probes import linear_probe, nearer_to_target
from moksori.evaluation.trials import across_files, trial_error_rate, within_files
from moksori.nn.distributions import DiagonalGaussian
from moksori.pipeline.study_data import Labelled, StudyData
from moksori.types import SpeechBatch, Waveform

BATCH = 32
LEARNT_SHARE = 0.6
"""Of each speaker's frames; the later ones test the leak probe."""
MOST_FRAMES = 20_000
"""That a probe learns from."""

Embed = Callable[[Float[np.ndarray, "mels frames"]], Float[np.ndarray, " size"]]


class Encoding(Protocol):
    """Posteriors of the speaker `[batch, channels]` and the content `[batch, frames, channels]`."""

    @property
    def speaker(self) -> DiagonalGaussian: ...

    @property
    def content(self) -> DiagonalGaussian: ...


class Disentangler(Protocol):
    """A model that takes a log-mel apart into who speaks and what is said."""

    def encode(self, mel: Tensor) -> Encoding: ...

    def decode(self, speaker: Tensor, content: Tensor) -> Tensor: ...


class Balanced(Protocol):
    """Its objective: knows the nats, and when something is wrong with them."""

    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]: ...

    def symptoms(self, measures: Mapping[str, float]) -> dict[str, str]: ...


@torch.no_grad()
def measure(model: Disentangler, objective: Balanced, data: StudyData, judges: Mapping[str, Embed]) -> dict[str, float]:
    """Everything that the study reports of a model; shares are 0 to 1.

    judges: name -> what puts the voice of a log-mel as a vector. `conversion_NAME` is the share of conversions that are
    nearer to the target's other segments than to the source's.
    """
    found = _nats(objective, data)
    speaker, content = encoded(model, data.mels)
    means = torch.from_numpy(data.mels).to(content)
    copies = torch.cat([model.decode(s, c) for s, c in zip(speaker.split(BATCH), content.split(BATCH), strict=True)])
    found["copy_distance"] = float((copies - means).abs().mean())
    found |= error_rates(data, "z_s", speaker.numpy())
    found |= error_rates(data, "z_c", content.mean(dim=1).numpy())
    found |= _leak([content_of(model, mel) for mel in data.leak], "leak")
    found |= _content(data, lambda part: content_of(model, part.mel), "content")
    pairs = data.conversions
    sources, targets = ([getattr(pair, which) for pair in pairs] for which in ("source", "target"))
    converted = torch.cat(
        [
            model.decode(speaker[targets[k : k + BATCH]], content[sources[k : k + BATCH]])
            for k in range(0, len(pairs), BATCH)
        ]
    ).numpy()
    for name, embed in judges.items():
        voices = np.stack([embed(mel) for mel in data.mels])
        heard = np.stack([embed(mel) for mel in converted])
        wanted = np.stack([voices[list(pair.of_target)].mean(axis=0) for pair in pairs])
        left = np.stack([voices[list(pair.of_source)].mean(axis=0) for pair in pairs])
        found[f"conversion_{name}"] = nearer_to_target(heard, wanted, left)
    return found


def references(data: StudyData, judges: Mapping[str, Embed]) -> dict[str, float]:
    """The same probes on mels, and how well the judges tell real recordings apart: what the figures stand beside."""
    found = _leak([mel.T for mel in data.leak], "leak")
    found |= _content(data, lambda part: part.mel.T, "content")
    for name, embed in judges.items():
        found |= error_rates(data, name, np.stack([embed(mel) for mel in data.mels]))
    return found


def error_rates(data: StudyData, name: str, vectors: Float[np.ndarray, "segments size"]) -> dict[str, float]:
    """Verification equal error rates of centred vectors within and, where there are such speakers, across files."""
    centred = vectors - vectors.mean(axis=0)
    found: dict[str, float] = {}
    for kind, trials in (("within", within_files(data.segments)), ("across", across_files(data.segments))):
        if trials.targets and trials.impostors:
            rate = trial_error_rate(centred, trials)
            found |= {f"eer_{kind}_{name}{part}": value for part, value in
                      (("", rate.value), ("_low", rate.low), ("_high", rate.high), ("_n", rate.n))}  # fmt: skip
    return found


def encoded(
    model: Disentangler, mels: Float[np.ndarray, "segments mels frames"]
) -> tuple[Float[Tensor, "segments speaker"], Float[Tensor, "segments frames content"]]:
    """The posteriors' means."""
    pieces = [model.encode(torch.from_numpy(mels[k : k + BATCH])) for k in range(0, len(mels), BATCH)]
    return torch.cat([p.speaker.mean for p in pieces]), torch.cat([p.content.mean for p in pieces])


def content_of(model: Disentangler, mel: Float[np.ndarray, "mels frames"]) -> Float[np.ndarray, "frames channels"]:
    """The mean of the content's posterior, of a recording of any length."""
    return model.encode(torch.from_numpy(np.ascontiguousarray(mel))[None]).content.mean[0].numpy()


def vocoded(vocoder: Any, encoder: Any) -> Embed:
    """A judge that listens: the vocoder makes sound of a log-mel, the speaker encoder hears who it is."""
    rate = vocoder.config.mel.sample_rate

    def embed(mel: Float[np.ndarray, "mels frames"]) -> Float[np.ndarray, " size"]:
        with torch.inference_mode():
            sound = vocoder.vocode(torch.from_numpy(np.ascontiguousarray(mel))[None], None, Generator().manual_seed(0))
        found: np.ndarray = encoder.embed(Waveform(sound[0].numpy(), rate))
        return found

    return embed


def _nats(objective: Balanced, data: StudyData) -> dict[str, float]:
    totals: dict[str, float] = {}
    count = sum(len(batch.names) for batch in data.batches)
    for place, batch in enumerate(data.batches):
        for name, value in objective.validate(batch, Generator().manual_seed(place)).items():
            totals[name] = totals.get(name, 0.0) + float(value) * len(batch.names) / count
    return totals


def _leak(frames: Sequence[Float[np.ndarray, "frames size"]], name: str) -> dict[str, float]:
    """Whether frames tell their speaker: learnt from the first part of each speaker's, tested on the rest."""
    length = min(len(f) for f in frames)
    cut = round(LEARNT_SHARE * length)
    who = np.arange(len(frames))
    probe = linear_probe(
        np.concatenate([f[:cut] for f in frames]),
        np.repeat(who, cut),
        np.concatenate([f[cut:length] for f in frames]),
        np.repeat(who, length - cut),
    )
    return {f"{name}_{key}": float(value) for key, value in asdict(probe).items()}


def _content(data: StudyData, features: Callable[[Labelled], np.ndarray], name: str) -> dict[str, float]:
    seen = np.concatenate([features(part) for part in data.probed])
    labels = np.concatenate([part.labels for part in data.probed])
    some = np.random.default_rng(0).permutation(len(seen))[:MOST_FRAMES]
    probe = linear_probe(
        seen[some],
        labels[some],
        np.concatenate([features(part) for part in data.tested]),
        np.concatenate([part.labels for part in data.tested]),
    )
    return {f"{name}_{key}": float(value) for key, value in asdict(probe).items()}
