"""What all sound that a model made has in common, in memory and on its way into a file."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from moksori.audio.stream import write_blocks
from moksori.pipeline.progress import Progress
from moksori.pipeline.watermark import in_file
from moksori.types import Waveform


@dataclass(frozen=True)
class MadeSound:
    """Float32 samples in [-1, 1] and their rate in Hz."""

    samples: Float[np.ndarray, " samples"]
    sample_rate: int

    @property
    def duration_seconds(self) -> float:
        return len(self.samples) / self.sample_rate

    @property
    def waveform(self) -> Waveform:
        return Waveform(self.samples, self.sample_rate)

    def write(self, path: str | Path, tags: Mapping[str, str], watermark: bool = False) -> Path:
        """Writes a wav, flac, ogg, opus or mp3 file (by its suffix) with these tags.

        watermark: with the inaudible mark too that `moksori verify` finds.
        Raises AudioError or BadInput for another suffix or a folder that is missing, and MoksoriError when the disk is
        full; nothing is left half written.
        """
        path = Path(path)
        blocks = (self.samples[start : start + 2**16] for start in range(0, len(self.samples), 2**16))
        sound, said = in_file(blocks, self.sample_rate, tags, watermark)
        write_blocks(path, sound, self.sample_rate, len(self.samples), said)
        return path


def told(
    blocks: Iterator[Float[np.ndarray, " block"]], sample_rate: int, samples: int, progress: Progress
) -> Iterator[Float[np.ndarray, " block"]]:
    """The same blocks; `progress` is told seconds of sound. samples: in all."""
    done, total = 0, math.ceil(samples / sample_rate)
    progress(0, total)
    for block in blocks:
        yield block
        done += len(block)
        progress(math.ceil(done / sample_rate), total)


def is_same_file(output: Path, source: str | Path) -> bool:
    """Whether writing the one would destroy the other; not where there is no such source, which reading it tells."""
    try:
        return output.exists() and output.samefile(Path(source).expanduser())
    except OSError:
        return False
