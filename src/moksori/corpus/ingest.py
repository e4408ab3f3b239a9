"""Import: recordings of any source become a corpus of even level and trimmed silence, with manifests and splits.

The journal `import.jsonl` gets a line for every finished recording. An import that was interrupted continues after the
last of them; one that finished has nothing to do; one whose settings or sources changed is refused unless told to redo.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from moksori.audio.io import read, write
from moksori.audio.loudness import normalize_loudness
from moksori.audio.trim import trim_silence
from moksori.config import Config
from moksori.corpus import importers, splits
from moksori.corpus.importers import Row, Source
from moksori.corpus.journal import begin_journal, read_journal
from moksori.corpus.manifest import (
    CORPUS_VERSION,
    SPLITS,
    Corpus,
    CorpusInfo,
    Dropped,
    read_info,
    rewrite,
    write_dropped,
)
from moksori.errors import AudioError, CorpusError
from moksori.types import Utterance, Waveform

JOURNAL = "import.jsonl"
SHORTEST_SECONDS = 0.05
"""Two analysis windows: nothing shorter can be measured, let alone learnt."""
QUIETEST_LUFS = -70.0
"""Where EBU R128 hears nothing any more; 0 is as loud as full scale."""


class ImportSettings(Config):
    """What the import does to every recording."""

    target_lufs: float | None = Field(default=-23.0, ge=QUIETEST_LUFS, le=0.0, allow_inf_nan=False)
    """Integrated loudness (EBU R128); None keeps the level."""
    peak_limit: float = 0.98
    """Loudness never raises the peak above this."""
    trim_db: float | None = 38.0
    """Silence at both ends is what lies this much below the 95th percentile of the frames' energy; None keeps all."""
    keep_seconds: float = 0.07
    """Silence left at each end."""


@dataclass(frozen=True)
class ImportReport:
    """What an import did. done_before: recordings that an earlier run had finished; imported: those of this run."""

    info: CorpusInfo
    imported: int
    done_before: int
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True)
class _Job:
    row: Row
    audio: Path
    fingerprint: str


@dataclass(frozen=True)
class _Finished:
    """A journal line. reason: why the recording was dropped; empty for one that was written."""

    name: str
    fingerprint: str
    frames: int = 0
    sample_rate: int = 0
    size: int = 0
    reason: str = ""


def import_sources(
    format_name: str | None,
    folders: Sequence[Path],
    target: Path,
    settings: ImportSettings | None = None,
    *,
    name: str | None = None,
    licence: str | None = None,
    language: str | None = None,
    redo: bool = False,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Imports the folders, merged into one corpus, into `target`.

    format_name: one of `importers.FORMATS` for all folders, None detects each. name, licence, language: of the corpus;
    by default the target's name, what the sources say, and each recording's own language: its row's, the house's for
    its own corpora, else en-us.
    redo: throws away what an earlier import with other settings or sources left. workers: decoding threads.
    Raises CorpusError for a source that is missing or empty, a target that cannot be written or holds something else.
    """
    settings = settings or ImportSettings()
    if not folders:
        raise CorpusError("nothing to import: give at least one source folder")
    sources = [importers.read(format_name, folder) for folder in folders]
    target = Path(target)
    for folder in folders:
        if target.resolve() == folder.resolve() or folder.resolve() in target.resolve().parents:
            raise CorpusError(f"{target}: lies in the source {folder}; give a destination outside of it")
    dropped = [row for source in sources for row in source.dropped]
    rows = _merge(sources, dropped)
    header = _header(settings, sources, language)
    finished = _open_target(target, header, redo)
    jobs = [_Job(row, target / "audio" / f"{utterance_name(row.name)}.flac", _fingerprint(row)) for row in rows]
    _refuse_clashes(jobs)
    todo = [job for job in jobs if not _is_done(job, finished.get(job.row.name))]
    imported = _work(target, todo, settings, workers, len(jobs), progress, finished)
    done = {job.row.name: finished[job.row.name] for job in jobs}
    dropped += [
        Dropped(job.row.name, "import", done[job.row.name].reason, job.row.text)
        for job in jobs
        if done[job.row.name].reason
    ]
    if not todo and (target / "corpus.json").is_file():
        return ImportReport(read_info(target), 0, len(jobs), tuple(dropped))
    parts, rule = _split(sources, jobs, done, language, header["language"])
    if not any(parts.values()):
        raise CorpusError(f"{folders[0]}: no recording could be imported; first reason: {dropped[0].reason}")
    write_dropped(target, dropped, "import")
    info = CorpusInfo(
        name=name or target.resolve().name,
        licence=licence
        or "; ".join(dict.fromkeys(source.licence for source in sources if source.licence))
        or "unknown",
        language=header["language"],
        speakers=tuple(sorted({u.speaker for items in parts.values() for u in items})),
        sources=tuple({"name": s.folder.resolve().name, "format": s.format, "rows": len(s.rows)} for s in sources),
        settings=settings.model_dump(),
        split_rule=rule,
    )
    return ImportReport(rewrite(target, info, parts), imported, len(jobs) - len(todo), tuple(dropped))


def _merge(sources: Sequence[Source], dropped: list[Dropped]) -> list[Row]:
    """The rows of all sources; an id that an earlier source has is dropped."""
    rows: dict[str, Row] = {}
    for source in sources:
        for row in source.rows:
            if row.name in rows:
                reason = f"duplicate id: also in {rows[row.name].audio.parent.name}, which is kept"
                dropped.append(Dropped(row.name, "import", reason, row.text))
            else:
                rows[row.name] = row
    return list(rows.values())


def _header(settings: ImportSettings, sources: Sequence[Source], language: str | None) -> dict[str, Any]:
    """What decides the imported audio and texts: the journal's first line, compared on the next run."""
    houses = [splits.house_corpus(s.folder.resolve().name, (row.speaker for row in s.rows)) for s in sources]
    found = language or next((house.language for house in houses if house is not None), "en-us")
    return {
        "version": CORPUS_VERSION,
        "settings": settings.model_dump(),
        "language": found,
        "sources": [f"{source.format}:{source.folder.resolve()}" for source in sources],
    }


def _open_target(target: Path, header: Mapping[str, Any], redo: bool) -> dict[str, _Finished]:
    """What earlier runs finished; makes the folder and its journal. Raises CorpusError if it cannot be used."""
    journal = target / JOURNAL
    try:
        stored, finished = _read_journal(journal) if journal.is_file() else (None, {})
    except OSError as error:
        raise CorpusError(f"{journal}: cannot be read ({error.strerror or error})") from error
    holds = begin_journal(journal, header, stored, redo, foreign="is no import", done="imported")
    return finished if holds else {}


def _read_journal(path: Path) -> tuple[dict[str, Any], dict[str, _Finished]]:
    broken = "the import's journal is broken; remove the folder and import again"
    return read_journal(path, lambda stored: _Finished(**stored), broken)


def utterance_name(identifier: str) -> str:
    """A source's id as a name that is safe as a file's: letters, digits, `-`, `_`, `.`; long ones end in their hash."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in identifier).lstrip(".") or "_"
    return safe if len(safe) <= 100 else f"{safe[:90]}-{hashlib.sha256(identifier.encode()).hexdigest()[:8]}"


def _refuse_clashes(jobs: Iterable[_Job]) -> None:
    """Two ids must not share a file, not even where the file system ignores case."""
    seen: dict[str, str] = {}
    for job in jobs:
        other = seen.setdefault(str(job.audio).casefold(), job.row.name)
        if other != job.row.name:
            raise CorpusError(
                f"ids {other!r} and {job.row.name!r} would share the file {job.audio.name}; rename one of them"
            )


def _fingerprint(row: Row) -> str:
    status = row.audio.stat()
    return hashlib.sha256(f"{row.audio.resolve()}|{status.st_size}|{status.st_mtime_ns}".encode()).hexdigest()[:16]


def _is_done(job: _Job, before: _Finished | None) -> bool:
    if before is None or before.fingerprint != job.fingerprint:
        return False
    return bool(before.reason) or (job.audio.is_file() and job.audio.stat().st_size == before.size)


def _work(
    target: Path,
    todo: Sequence[_Job],
    settings: ImportSettings,
    workers: int,
    total: int,
    progress: Callable[[int, int], None] | None,
    finished: dict[str, _Finished],
) -> int:
    """Runs the jobs on threads, since decoders release the interpreter's lock; journals each, counts those written."""
    if not todo:
        return 0
    # While recordings change, nobody should find the manifests of before.
    (target / "corpus.json").unlink(missing_ok=True)
    written, done, queue = 0, total - len(todo), iter(todo)
    with (target / JOURNAL).open("a", encoding="utf-8") as journal, ThreadPoolExecutor(max(workers, 1)) as pool:
        ahead = islice(queue, 4 * max(workers, 1))
        pending: set[Future[_Finished]] = {pool.submit(_import_one, job, settings) for job in ahead}
        try:
            journal.write("\n")  # ends a line that a killed run left half-written
            while pending:
                ready, pending = wait(pending, return_when=FIRST_COMPLETED)
                # One that failed comes last, so that what was finished beside it is not done again.
                for future in sorted(ready, key=lambda one: one.exception() is not None):
                    item = future.result()
                    finished[item.name] = item
                    journal.write(json.dumps(asdict(item), ensure_ascii=False) + "\n")
                    written, done = written + (not item.reason), done + 1
                    following = next(queue, None)
                    if following is not None:
                        pending.add(pool.submit(_import_one, following, settings))
                    if progress is not None:
                        progress(done, total)
                journal.flush()
        except OSError as error:
            raise CorpusError(
                f"{target / JOURNAL}: cannot be written ({error.strerror or error}); free space and run again"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return written


def _import_one(job: _Job, settings: ImportSettings) -> _Finished:
    """Decodes, trims, levels and writes one recording; a recording that cannot be used comes back with the reason."""
    try:
        waveform = prepare_recording(read(job.row.audio), settings)
    except AudioError as error:
        return _Finished(job.row.name, job.fingerprint, reason=str(error))
    try:
        write(job.audio, waveform)
    except (
        AudioError,
        OSError,
    ) as error:  # not the recording's fault: a full disk must not drop the rest of the corpus
        raise CorpusError(f"{error} (the import stopped; run it again to go on)") from error
    return _Finished(
        job.row.name, job.fingerprint, len(waveform.samples), waveform.sample_rate, job.audio.stat().st_size
    )


def prepare_recording(waveform: Waveform, settings: ImportSettings) -> Waveform:
    """Trims the silence at both ends and sets the loudness; raises AudioError for one too short or without sound."""
    if waveform.duration_seconds < SHORTEST_SECONDS:
        raise AudioError(
            f"too short: {len(waveform.samples)} samples, {waveform.duration_seconds:.4f} s; "
            f"the least is {SHORTEST_SECONDS:g} s"
        )
    if float(np.abs(waveform.samples).max(initial=0.0)) < 1e-4:
        raise AudioError("silent: no sample is above -80 dB")
    if settings.trim_db is not None:
        waveform = trim_silence(waveform, settings.trim_db, settings.keep_seconds)
    if settings.target_lufs is not None:
        waveform = normalize_loudness(waveform, settings.target_lufs, settings.peak_limit)
    return waveform


def _split(
    sources: Sequence[Source], jobs: Sequence[_Job], done: Mapping[str, _Finished], given: str | None, default: str
) -> tuple[dict[str, list[Utterance]], str]:
    """Utterances by split, and how they were split, in words for `corpus.json`.

    A row's language is its own, else the one given for all, else its source's where the house knows that, else default.
    """
    of_name = {row.name: source for source in sources for row in source.rows}
    houses = {s.folder: splits.house_corpus(s.folder.resolve().name, (row.speaker for row in s.rows)) for s in sources}
    rules = [
        f"evaluation/splits/{house.splits}.tsv" if house else "5 % / 2.5 % by sentence hash"
        for house in houses.values()
    ]
    strangers = [_spoken(row) for source in sources if houses[source.folder] is None for row in source.rows]
    chosen = splits.default_split(strangers)
    parts: dict[str, list[Utterance]] = {name: [] for name in SPLITS}
    for job in jobs:
        item, row = done[job.row.name], job.row
        if item.reason:
            continue
        house = houses[of_name[row.name].folder]
        spoken = _spoken(row)
        split = splits.split_list(house.splits).split_of(spoken) if house else chosen[splits.split_key(spoken)]
        language = row.language or given or (house.language if house else default)
        utterance = Utterance(
            name=job.audio.stem,
            text=row.text,
            speaker=row.speaker,
            language=language,
            audio=job.audio,
            start_seconds=0.0,
            duration_seconds=item.frames / item.sample_rate,
            sample_rate=item.sample_rate,
        )
        parts[split].append(utterance)
    return {name: items for name, items in parts.items() if items}, "; ".join(dict.fromkeys(rules))


def _spoken(row: Row) -> splits.Spoken:
    return splits.Spoken(row.name, row.speaker, row.text, sex=row.sex)


def open_imported(target: Path) -> Corpus:
    """The corpus that an import made; raises CorpusError if the import has not finished, naming what to run."""
    if (target / JOURNAL).is_file() and not (target / "corpus.json").is_file():
        raise CorpusError(f"{target}: its import has not finished; run the same 'moksori corpus import' again")
    return Corpus.open(target)
