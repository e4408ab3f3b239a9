"""What judges said of a sound, kept in a file, so that no sound is judged twice by the same judge.

Recordings, copies and baselines are the same in every evaluation of a corpus, and an evaluation that was interrupted
goes on where it was. A key holds the judge with its version and settings, and every sample; a figure that is found is
the one that would be computed, to the bit.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from moksori.types import Waveform

_LOG = logging.getLogger(__name__)
Value = TypeVar("Value")


class Memory:
    """Figures by (judge, sounds), one JSON line each; several processes may add to the file at once.

    path: of the file; None keeps them in memory alone. A file that cannot be written costs a warning, no more.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._known = _read(path) if path is not None else {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, judge: str, sounds: Sequence[Waveform], compute: Callable[[], Value]) -> Value:
        """What `compute` gives (numbers, texts, lists, dicts of them), from the file where it is known."""
        key = _key(judge, sounds)
        if key not in self._known:
            value = compute()
            # Through JSON at once: the first run must not see other types or bits than the second.
            line = json.dumps([key, value])
            self._known[key] = json.loads(line)[1]
            self._add(line)
        found: Value = self._known[key]
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Another process reads the file anew."""
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._known = _read(self.path) if self.path is not None else {}

    def _add(self, line: str) -> None:
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, (line + "\n").encode("utf-8"))  # one call: lines of two processes never mix
            finally:
                os.close(handle)
        except OSError as error:
            _LOG.warning("%s: figures are not kept: %s", self.path, (error.strerror or str(error)).lower())
            self.path = None


def _key(judge: str, sounds: Sequence[Waveform]) -> str:
    digest = hashlib.sha256(judge.encode("utf-8"))
    for sound in sounds:
        digest.update(f"\0{sound.sample_rate} {len(sound.samples)}\0".encode())
        digest.update(np.ascontiguousarray(sound.samples, dtype="<f4").tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path) -> dict[str, Any]:
    known: dict[str, Any] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return known
    for line in lines:
        with suppress(ValueError):  # the last line of a process that was killed
            key, value = json.loads(line)
            known[key] = value
    return known
