"""Examples in memory as the training loop wants them: the batch of a step, the same for the same step."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moksori.corpus.augment import Augmenter
from moksori.corpus.collate import collate
from moksori.corpus.sampler import BalancedSampler, BucketSampler, Sampler
from moksori.corpus.splits import order
from moksori.types import Example, SpeechBatch, SpeechNeeds


class ExampleBatches:
    """Batches over prepared examples: bucketed by length, or pieces of recordings where the family needs no more.

    augmenter: lays noise over them, `SpeechBatch.noisy`. speaker_balance: of corpus.sampler.BalancedSampler; 0 takes
    every recording once an epoch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        needs: SpeechNeeds,
        batch_size: int,
        seed: int,
        augmenter: Augmenter | None = None,
        speaker_balance: float = 0.0,
    ) -> None:
        self.examples, self.needs, self.augmenter, self.seed = examples, needs, augmenter, seed
        self.sampler: Sampler
        if speaker_balance:
            self.sampler = BalancedSampler([e.speaker for e in examples], batch_size, seed, speaker_balance)
        else:
            self.sampler = BucketSampler([len(e.waveform) for e in examples], batch_size, seed)

    @property
    def smallest(self) -> int:
        """Clips of the smallest batch: those of an epoch differ by one at most."""
        return len(self.examples) // self.sampler.batches_per_epoch

    def batch(self, step: int) -> SpeechBatch:
        chosen = [self.examples[index] for index in self.sampler.indices(step)]
        if self.needs.stretch_frames:
            draw = np.random.default_rng([self.seed & 0xFFFFFFFF, 6, step])
            if self.needs.envelopes is not None:
                chosen = [scattered(e, self.needs, draw) for e in chosen]
                return collate(chosen, self.needs)
            chosen = [
                stretch(e, self.needs, float(place)) for e, place in zip(chosen, draw.random(len(chosen)), strict=True)
            ]
        if self.augmenter is not None:
            pairs = [self.augmenter.pair(e.waveform, step, place) for place, e in enumerate(chosen)]
            chosen = [replace(e, waveform=c, noisy=n) for e, (c, n) in zip(chosen, pairs, strict=True)]
        return collate(chosen, self.needs)


def stretch(example: Example, needs: SpeechNeeds, place: float) -> Example:
    """`needs.stretch_frames` frames of an example that is longer; place: 0 = its beginning, to 1 = its end."""
    hop, size = needs.hop_length, needs.stretch_frames
    room = len(example.waveform) // hop - size
    if room <= 0:
        return example
    first = min(int(place * (room + 1)), room)
    f0 = None if example.f0 is None else example.f0[first : first + size]
    units = None if example.units is None else example.units[first : first + size]
    mel = None if example.mel is None else example.mel[:, first : first + size]
    codes = None if example.codes is None else example.codes[:, first : first + size]
    waveform = example.waveform[first * hop : (first + size) * hop]
    return replace(example, waveform=waveform, f0=f0, units=units, mel=mel, codes=codes)


def scattered(example: Example, needs: SpeechNeeds, draw: np.random.Generator) -> Example:
    """`needs.stretch_frames` of an example's spectral envelopes, drawn from all over it: again and again where there
    are fewer. Of the waveform, from which nothing is learnt then, as many frames stay as there are."""
    assert example.envelopes is not None and example.envelope_frames is not None  # noqa: PT018
    count, size = len(example.envelopes), needs.stretch_frames
    whole = np.concatenate([draw.permutation(count) for _ in range(-(-size // count))])[:size]
    waveform = example.waveform[: size * needs.hop_length]
    frames = example.envelope_frames[whole]
    return replace(example, waveform=waveform, envelopes=example.envelopes[whole], envelope_frames=frames)


def fixed_batches(examples: Sequence[Example], needs: SpeechNeeds, batch_size: int) -> list[SpeechBatch]:
    """All examples, in order of length, as validation batches."""
    ordered = sorted(examples, key=lambda e: len(e.waveform))
    return [collate(ordered[i : i + batch_size], needs) for i in range(0, len(ordered), batch_size)]


def of_some_speakers(examples: Sequence[Example], share: float) -> list[Example]:
    """The examples of a part of the speakers, at least one of them: see `TrainingConfig.speaker_share`."""
    names = sorted({e.utterance.speaker for e in examples}, key=order)
    kept = set(names[: max(round(share * len(names)), 1)])
    return [e for e in examples if e.utterance.speaker in kept]
