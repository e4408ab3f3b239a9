"""The folder of a corpus in the making, and the journal in it, by which an interrupted job goes on."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from moksori.corpus.manifest import write_text
from moksori.errors import CorpusError

Entry = TypeVar("Entry")


def check_new(target: Path) -> None:
    """Raises CorpusError unless `target` is empty or not there."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CorpusError(f"{target}: holds something; give a new or empty folder")


def read_journal(
    path: Path, entry: Callable[[dict[str, Any]], Entry], broken: str
) -> tuple[dict[str, Any], dict[str, Entry]]:
    """A journal's first line, and what it holds by name: the last line of each, made by `entry` of what is stored.

    broken: what to say, and do, where the first line cannot be read; CorpusError then.
    """
    found: dict[str, Entry] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        header = json.loads(lines[0])
    except (UnicodeDecodeError, ValueError, IndexError) as error:
        raise CorpusError(f"{path}: {broken}") from error
    for line in lines[1:]:
        try:
            stored = json.loads(line)
            found[stored["name"]] = entry(stored)
        except (ValueError, TypeError, KeyError):  # the line that was being written when the run was killed
            continue
    return header, found


def begin_journal(
    journal: Path, header: Mapping[str, Any], stored: Mapping[str, Any] | None, redo: bool, *, foreign: str, done: str
) -> bool:
    """Makes the journal's folder ready to be written to; whether what the journal holds still counts.

    header: what decides the result, the journal's first line. stored: that of the journal found, None without one.
    redo: where they differ, what is there is removed, instead of refused. foreign, done: for the messages, "is no
    import" and "imported". Raises CorpusError if the folder cannot be used.
    """
    target, wanted = journal.parent, json.loads(json.dumps(header))
    try:
        if target.exists() and not target.is_dir():
            raise CorpusError(f"{target}: is a file; give a folder as destination")
        if stored is None and target.is_dir() and any(path != journal for path in target.iterdir()):
            raise CorpusError(f"{target}: holds something that {foreign}; give an empty or new folder as destination")
        if stored is not None and stored != wanted:
            if not redo:
                changed = ", ".join(_changes(stored, wanted))
                raise CorpusError(f"{target}: was {done} otherwise ({changed}); give another destination or --redo")
            for folder in (target / "audio", target / "features", target / "alignment"):
                shutil.rmtree(folder, ignore_errors=True)
            for path in (*target.glob("*.cuts.jsonl.gz"), target / "corpus.json", target / "dropped.tsv", journal):
                path.unlink(missing_ok=True)
        (target / "audio").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target):  # a long job must not find out at its end
            pass
    except OSError as error:
        raise CorpusError(
            f"{target}: cannot be written ({error.strerror or error}); give another destination"
        ) from error
    if stored == wanted:
        return True
    write_text(journal, json.dumps(wanted, ensure_ascii=False) + "\n")
    return False


def _changes(stored: Mapping[str, Any], header: Mapping[str, Any]) -> list[str]:
    changes = []
    for key in header:
        old, new = stored.get(key), header[key]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes += [f"{name} was {old.get(name)}, now {new[name]}" for name in new if old.get(name) != new[name]]
        elif old != new:
            changes.append(f"{key} was {old}, now {new}")
    return changes or ["by another version"]
