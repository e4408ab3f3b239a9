"""The files beside an output while a long text is being spoken: what is done, so that a killed job goes on.

`OUT.job` has a header line and then a JSON line a sentence; `OUT.pcm` holds the samples spoken so far (float32). A
sentence counts once its line is whole and its samples are there; whatever lies beyond is cut off on opening. Both files
go when the output is finished.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from jaxtyping import Float

from moksori.errors import BadInput
from moksori.pipeline.sentences import Gap, Piece, Sentence
from moksori.pipeline.speech_timings import SentenceTiming
from moksori.text.markup import Style

VERSION = 2
_BLOCK_SAMPLES = 2**16


@dataclass(frozen=True)
class Done:
    """A finished sentence: `key` identifies it, `samples` counts all so far, `end` is the end of its line."""

    key: str
    samples: int
    gap: Gap
    end: int


class SpeechJob:
    """The open files of one job; use it in `with`.

    settings: all that decides the samples, the seed aside; with other settings on disk the job starts anew.
    seed: None takes that of the job on disk.
    Raises BadInput when another process has the job open.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], seed: int | None, fresh_seed: int) -> None:
        self.path = path
        self.pcm_path = path.with_suffix(".pcm")
        self.done: list[Done] = []
        self._file: IO[bytes] = path.open("a+b")
        try:
            _lock(self._file, path)
        except BaseException:
            self._file.close()
            raise
        try:
            self._pcm: IO[bytes] = self.pcm_path.open("a+b")
            self._open(settings, seed, fresh_seed)
        except BaseException:
            self._file.close()
            if not self.done:
                self.remove()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._pcm.close()
        if kind is not None and not any(done.samples for done in self.done):
            self.remove()  # nothing worth going on from

    def _open(self, settings: Mapping[str, Any], seed: int | None, fresh_seed: int) -> None:
        header, self.done = self._read()
        wanted = {"moksori_job": VERSION, **settings}
        same = header is not None and {**header, "seed": None} == {**wanted, "seed": None}
        if header is not None and same and seed in (None, header["seed"]):
            self.seed = int(header["seed"])
        else:
            self.seed = fresh_seed if seed is None else seed
            self.done = []
            self._file.truncate(0)
            self._append({**wanted, "seed": self.seed})
        self._file.seek(0)
        self._header_end = len(self._file.readline())
        self.keep(len(self.done))

    @property
    def samples(self) -> int:
        """Samples spoken so far."""
        return self.done[-1].samples if self.done else 0

    @property
    def gap(self) -> Gap:
        """The state before the next sentence."""
        return self.done[-1].gap if self.done else Gap()

    def key(self, sentence: Sentence) -> str:
        """Identifies a sentence at its place: the text before it is the `gap` and the sentence's number."""
        said = f"{int(sentence.ends_paragraph)}{sentence.text}"
        if sentence.style != Style() or sentence.pause_seconds is not None:
            said += f"\0{sentence.style}{sentence.pause_seconds}"
        if sentence.role:
            said += f"\0\0{sentence.role}"
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def keep(self, count: int) -> None:
        """Forgets all sentences after the first `count`."""
        del self.done[count:]
        self._file.truncate(self.done[-1].end if self.done else self._header_end)
        self._pcm.truncate(4 * self.samples)

    def add(self, piece: Piece, sample_rate: int) -> None:
        """Stores the next sentence: its samples first, so that a line never promises what is not there."""
        gap = self.gap.after(piece)
        start = self.samples / sample_rate
        self._pcm.write(piece.samples.astype("<f4").tobytes())
        self._pcm.flush()
        samples = self.samples + len(piece.samples)
        timing = None if piece.timing is None else piece.timing.shifted(start).packed()
        line = {
            "key": self.key(piece.sentence),
            "samples": samples,
            "started": gap.started,
            "paragraph": gap.paragraph,
            "pause_seconds": gap.pause_seconds,
            "timing": timing,
        }
        end = self._append(line)
        self.done.append(Done(str(line["key"]), samples, gap, end))

    def blocks(self) -> Iterator[Float[np.ndarray, " block"]]:
        """All samples, block by block."""
        with self.pcm_path.open("rb") as file:
            left = self.samples
            while left > 0:
                block = np.frombuffer(file.read(4 * min(left, _BLOCK_SAMPLES)), dtype="<f4").astype(np.float32)
                left -= len(block)
                yield block

    def timings(self) -> Iterator[SentenceTiming]:
        """What was spoken and when it is heard, read back from the job file."""
        with self.path.open("rb") as file:
            next(file)
            for line in file:
                if (timing := json.loads(line)["timing"]) is not None:
                    yield SentenceTiming.unpacked(timing)

    def remove(self) -> None:
        """Deletes both files."""
        self.path.unlink(missing_ok=True)
        self.pcm_path.unlink(missing_ok=True)

    def _append(self, line: Mapping[str, Any]) -> int:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        return self._file.tell()

    def _read(self) -> tuple[dict[str, Any] | None, list[Done]]:
        """The header, and the sentences whose line and samples are whole."""
        self._file.seek(0)
        self._pcm.seek(0, 2)
        available = self._pcm.tell() // 4
        try:
            header = json.loads(self._file.readline())
            if not isinstance(header, dict) or not isinstance(header.get("seed"), int):
                return None, []
        except ValueError:
            return None, []
        done: list[Done] = []
        for line in iter(self._file.readline, b""):
            try:
                entry = json.loads(line) if line.endswith(b"\n") else {}
                gap = Gap(entry["started"], entry["paragraph"], entry["pause_seconds"])
                item = Done(entry["key"], entry["samples"], gap, self._file.tell())
            except (ValueError, KeyError, TypeError):
                break  # the line that was being written when the process died
            if item.samples > available:
                break
            done.append(item)
        return header, done


def _lock(file: IO[bytes], path: Path) -> None:
    """Keeps a second process out of the same job; the lock goes with the process."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BadInput(f"{path}: another moksori is writing this output: wait for it, or name another file") from error
