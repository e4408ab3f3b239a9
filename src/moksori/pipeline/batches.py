"""Examples in memory as the training loop wants them: the batch of a step, the same for the same step."""

from collections.abc import Sequence
from dataclasses import replace

from moksori.corpus.augment import Augmenter
from moksori.corpus.collate import collate
from moksori.corpus.sampler import BucketSampler
from moksori.types import Example, SpeechBatch, SpeechNeeds


class ExampleBatches:
    """Bucketed batches over prepared examples. augmenter: lays noise over them, `SpeechBatch.noisy`."""

    def __init__(
        self,
        examples: Sequence[Example],
        needs: SpeechNeeds,
        batch_size: int,
        seed: int,
        augmenter: Augmenter | None = None,
    ) -> None:
        self.examples, self.needs, self.augmenter = examples, needs, augmenter
        self.sampler = BucketSampler([len(e.waveform) for e in examples], batch_size, seed)

    @property
    def smallest(self) -> int:
        """Clips of the smallest batch: those of an epoch differ by one at most."""
        return len(self.examples) // self.sampler.batches_per_epoch

    def batch(self, step: int) -> SpeechBatch:
        chosen = [self.examples[index] for index in self.sampler.indices(step)]
        if self.augmenter is not None:
            pairs = [self.augmenter.pair(e.waveform, step, place) for place, e in enumerate(chosen)]
            chosen = [replace(e, waveform=c, noisy=n) for e, (c, n) in zip(chosen, pairs, strict=True)]
        return collate(chosen, self.needs)


def fixed_batches(examples: Sequence[Example], needs: SpeechNeeds, batch_size: int) -> list[SpeechBatch]:
    """All examples, in order of length, as validation batches."""
    ordered = sorted(examples, key=lambda e: len(e.waveform))
    return [collate(ordered[i : i + batch_size], needs) for i in range(0, len(ordered), batch_size)]
