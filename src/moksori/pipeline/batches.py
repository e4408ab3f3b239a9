"""Examples in memory as the training loop wants them: the batch of a step, the same for the same step."""

from collections.abc import Sequence

from moksori.corpus.collate import collate
from moksori.corpus.sampler import BucketSampler
from moksori.types import Example, SpeechBatch, SpeechNeeds


class ExampleBatches:
    """Bucketed batches over prepared examples."""

    def __init__(self, examples: Sequence[Example], needs: SpeechNeeds, batch_size: int, seed: int) -> None:
        self.examples, self.needs = examples, needs
        self.sampler = BucketSampler([len(e.waveform) for e in examples], batch_size, seed)

    @property
    def smallest(self) -> int:
        """Clips of the smallest batch: those of an epoch differ by one at most."""
        return len(self.examples) // self.sampler.batches_per_epoch

    def batch(self, step: int) -> SpeechBatch:
        return collate([self.examples[index] for index in self.sampler.indices(step)], self.needs)


def fixed_batches(examples: Sequence[Example], needs: SpeechNeeds, batch_size: int) -> list[SpeechBatch]:
    """All examples, in order of length, as validation batches."""
    ordered = sorted(examples, key=lambda e: len(e.waveform))
    return [collate(ordered[i : i + batch_size], needs) for i in range(0, len(ordered), batch_size)]
