"""Voices that were made of recordings for later: files in one folder, known by ids, so that nobody names a path."""

import logging
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from moksori.errors import BadInput, MoksoriError, unknown_name
from moksori.pipeline.models import home
from moksori.pipeline.voices import SUFFIX, read_voice, write_voice
from moksori.types import Voice

logger = logging.getLogger(__name__)

MOST_VOICES = 1000
_ID = re.compile(r"voice_[0-9a-f]{16}")


@dataclass(frozen=True)
class KeptVoice:
    """A voice in the folder. created: seconds since 1970."""

    id: str
    voice: Voice
    created: int


class KeptVoices:
    """The voices of a folder, `voices` in moksori's own where None; threads may share it.

    One is there from the moment `add` returns, also after a restart and for other processes that look.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = home() / "voices" if folder is None else folder
        self._known: dict[str, KeptVoice] = {}
        self._lock = threading.Lock()

    def all(self) -> list[KeptVoice]:
        """All of them, the oldest first; files that are no voices are left out, and that is logged."""
        with self._lock:
            self._look()
            return sorted(self._known.values(), key=lambda kept: (kept.created, kept.id))

    def add(self, voice: Voice) -> KeptVoice:
        """Keeps a voice; raises BadInput where there are too many, MoksoriError where the disk refuses."""
        with self._lock:
            self._look()
            if len(self._known) >= MOST_VOICES:
                raise BadInput(f"{MOST_VOICES} voices are kept already: delete some first")
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise MoksoriError(f"no voice can be kept: {(error.strerror or str(error)).lower()}") from error
            name = f"voice_{secrets.token_hex(8)}"
            path = write_voice(voice, self._folder / f"{name}{SUFFIX}")
            self._known[name] = KeptVoice(name, voice, int(path.stat().st_mtime))
            return self._known[name]

    def get(self, name: str) -> KeptVoice:
        """The voice of an id; raises UnknownName."""
        with self._lock:
            if name not in self._known:
                self._look()
            if name not in self._known:
                raise unknown_name("voice", name, self._known)
            return self._known[name]

    def remove(self, name: str) -> None:
        """Deletes a voice; raises UnknownName."""
        self.get(name)
        with self._lock:
            (self._folder / f"{name}{SUFFIX}").unlink(missing_ok=True)  # the name is one that was found there
            self._known.pop(name, None)

    def _look(self) -> None:
        """Takes in what is new in the folder, and lets go what is no longer there."""
        here = {path.stem: path for path in self._folder.glob(f"voice_*{SUFFIX}") if _ID.fullmatch(path.stem)}
        for gone in set(self._known) - set(here):
            del self._known[gone]
        for name in set(here) - set(self._known):
            try:
                self._known[name] = KeptVoice(name, read_voice(here[name]), int(here[name].stat().st_mtime))
            except (MoksoriError, OSError) as error:
                logger.warning("a kept voice is left out: %s", error)


def is_kept(name: str) -> bool:
    """Whether a name has the form of an id of a kept voice."""
    return _ID.fullmatch(name) is not None
