"""The inaudible mark that says that a machine made a sound: put on with `--watermark`, looked for by `moksori verify`.

How it works: `moksori.audio.watermark`. A file says the same in its tags, which are easily lost; the mark outlives
mp3, other sample rates, cuts and changes of volume.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from moksori.audio import m4b
from moksori.audio.io import probe, read_metadata
from moksori.audio.stream import read_blocks
from moksori.audio.watermark import CHANCE, VERSION, Finder, Mark, Marker
from moksori.audio.watermark import find as found
from moksori.audio.watermark import mark as marked
from moksori.pipeline.progress import Progress, no_progress

__all__ = ["CHANCE", "TAG", "Mark", "Marker", "Verdict", "found", "in_file", "marked", "marked_blocks", "verify"]

TAG = {"watermark": VERSION}
"""What the tags of a marked file say beside all else."""
_SYNTHETIC = ("synthetic", "true")

Block = Float[np.ndarray, " block"]


def marked_blocks(blocks: Iterable[Block], sample_rate: int) -> Iterator[Block]:
    """Blocks of sound with the mark, 32 ms late; the same number of samples in all. Raises as Marker does."""
    marker = Marker(sample_rate)
    for block in blocks:
        ready = marker.push(block)
        if len(ready):
            yield ready
    rest = marker.finish()
    if len(rest):
        yield rest


def in_file(
    blocks: Iterable[Block], sample_rate: int, tags: Mapping[str, str], watermark: bool
) -> tuple[Iterable[Block], Mapping[str, str]]:
    """Blocks and tags as they go into a file: with the mark where it was asked for."""
    return (marked_blocks(blocks, sample_rate), {**tags, **TAG}) if watermark else (blocks, tags)


@dataclass(frozen=True)
class Verdict:
    """What a recording says of who made it: its tags, and the mark in its sound."""

    path: Path
    tags: Mapping[str, str]
    mark: Mark

    @property
    def says_synthetic(self) -> bool:
        """Whether the tags say that a machine made it."""
        return self.tags.get(_SYNTHETIC[0]) == _SYNTHETIC[1]

    @property
    def synthetic(self) -> bool:
        """Whether the tags or the mark say so. False proves nothing: tags are lost, and few programs mark."""
        return self.says_synthetic or self.mark.found


def verify(path: str | Path, progress: Progress = no_progress) -> Verdict:
    """Reads the tags of a recording of any length, and looks for the mark in all of it, in bounded memory.

    progress: is told seconds of sound. Raises AudioError for a recording that cannot be read, MissingExtra for an m4b
    or m4a without PyAV.
    """
    path = Path(path)
    rate, seconds, tags, blocks = _opened(path)
    finder, heard = Finder(rate), 0
    for block in blocks:
        finder.push(block)
        heard += len(block)
        progress(heard // rate, int(seconds))
    return Verdict(path, tags, finder.finish())


def _opened(path: Path) -> tuple[int, float, Mapping[str, str], Iterator[Block]]:
    """Rate, seconds, tags and samples of a recording."""
    if path.suffix.lower() in m4b.SUFFIXES:
        sound = m4b.open_mp4(path)
        return sound.sample_rate, sound.seconds, sound.tags, sound.blocks
    header = probe(path)
    return header.sample_rate, header.duration_seconds, read_metadata(path), read_blocks(path, header.sample_rate)
