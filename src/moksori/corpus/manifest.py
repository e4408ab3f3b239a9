"""A corpus on disk: `corpus.json`, Lhotse cuts `SPLIT.cuts.jsonl.gz`, recordings in `audio/`; or its packed form.

An unpacked corpus keeps one FLAC file an utterance and manifests with paths relative to the folder, so that it can be
moved. A packed one (`pack`) keeps Lhotse Shar shards, `SPLIT/cuts.NNNNNN.jsonl.gz` beside `SPLIT/recording.NNNNNN.tar`.
Both read alike: `Corpus.open(folder).split("train")` lists utterances and `read_utterance` decodes one.
"""

import csv
import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from moksori.audio.io import read
from moksori.audio.resample import resample
from moksori.errors import AudioError, CorpusError, MissingExtra, unknown_name
from moksori.types import Utterance, Waveform

if TYPE_CHECKING:
    from lhotse import CutSet

CORPUS_VERSION = 1
SPLITS = ("train", "valid", "test")
LEFT_OUT = ("check", "judge")
"""Stages whose rows of `dropped.tsv` leave out what is in the manifests: the check's, and a model's judgement."""
DROPPED_COLUMNS = ("name", "stage", "reason", "text")


@dataclass(frozen=True)
class CorpusInfo:
    """What `corpus.json` stores.

    speakers: names in the order of their table index. counts: split -> {"utterances", "hours"}.
    sources: the folders imported from, by name, format and number of rows. settings: of the import.
    packed: audio format of the Shar shards; empty for an unpacked corpus.
    """

    name: str
    licence: str
    language: str
    speakers: tuple[str, ...]
    sources: tuple[Mapping[str, Any], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    split_rule: str = ""
    packed: str = ""
    version: int = CORPUS_VERSION


@dataclass(frozen=True)
class Dropped:
    """An utterance that is left out, in which stage ("import", "check", "judge" or "split") and why."""

    name: str
    stage: str
    reason: str
    text: str = ""


@dataclass(frozen=True)
class Corpus:
    """An opened corpus; its utterances are those of the manifests without what `check` dropped."""

    folder: Path
    info: CorpusInfo
    utterances: Mapping[str, tuple[Utterance, ...]]

    @classmethod
    def open(cls, folder: Path | str, with_dropped: bool = False) -> "Corpus":
        """The corpus in `folder`, packed or not.

        with_dropped: also lists the utterances that a check dropped (rows of LEFT_OUT stages in `dropped.tsv`).
        Raises CorpusError if the folder is missing, is no corpus, or a manifest is broken, naming the file.
        """
        folder = Path(folder)
        info = read_info(folder)
        dropped = set() if with_dropped else {row.name for row in read_dropped(folder) if row.stage in LEFT_OUT}
        found: dict[str, tuple[Utterance, ...]] = {}
        for name in sorted(info.counts, key=_split_order):
            if info.packed:
                utterances = _read_shards(folder, name, info)
            else:
                utterances = _read_cuts(folder / f"{name}.cuts.jsonl.gz", folder, info)
            found[name] = tuple(u for u in utterances if u.name not in dropped)
        if not any(found.values()):
            raise CorpusError(
                f"{folder}: the corpus holds no utterances; see dropped.tsv for the reasons, or import again"
            )
        return cls(folder, info, found)

    def without(self, names: Iterable[str]) -> "Corpus":
        """The corpus without these utterances; nothing on disk changes."""
        gone = set(names)
        return replace(
            self, utterances={s: tuple(u for u in us if u.name not in gone) for s, us in self.utterances.items()}
        )

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, "train" first."""
        return tuple(self.utterances)

    @property
    def speakers(self) -> dict[str, int]:
        """Speaker -> table index."""
        return {name: index for index, name in enumerate(self.info.speakers)}

    def split(self, name: str) -> list[Utterance]:
        """The utterances of one split, in the manifest's order; raises UnknownName for a split that is not there."""
        if name not in self.utterances:
            raise unknown_name(f"split of {self.folder}", name, self.utterances)
        return list(self.utterances[name])


def read_utterance(utterance: Utterance, sample_rate: int | None = None) -> Waveform:
    """The samples of one utterance: its part of the file, decoded from a FLAC file or from a shard of a packed corpus.

    sample_rate: resampled to this rate in Hz; None keeps the recording's own.
    Raises AudioError if the recording is missing or broken.
    """
    if utterance.audio.parent.suffix != ".tar":
        return read(
            utterance.audio,
            sample_rate,
            start_seconds=utterance.start_seconds,
            duration_seconds=utterance.duration_seconds,
        )
    stored = _read_packed(utterance.audio.parent, utterance.audio.name)
    # Lossy codecs may pad: the manifest says how long the utterance is.
    cut = Waveform(stored.samples[: round(utterance.duration_seconds * stored.sample_rate)], stored.sample_rate)
    return cut if sample_rate is None else resample(cut, sample_rate)


def read_info(folder: Path) -> CorpusInfo:
    """`corpus.json` of a folder; raises CorpusError naming what is wrong and what to run."""
    path = folder / "corpus.json"
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder; make a corpus with 'moksori corpus import SRC {folder}'")
    if not path.is_file():
        raise CorpusError(f"{folder}: no corpus.json in it; make a corpus with 'moksori corpus import SRC DST'")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        version = int(stored["version"])
        known = {f.name for f in fields(CorpusInfo)}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items() if k in known}
        info = CorpusInfo(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path}: not a corpus description ({error}); import the corpus again") from error
    if version != CORPUS_VERSION:
        raise CorpusError(
            f"{path}: corpus version {version}, this moksori reads {CORPUS_VERSION}; import the corpus again"
        )
    return info


def write_info(folder: Path, info: CorpusInfo) -> None:
    """Writes `corpus.json`, whole or not at all."""
    write_text(folder / "corpus.json", json.dumps(asdict(info), ensure_ascii=False, indent=2) + "\n")


def write_cuts(folder: Path, split: str, utterances: Sequence[Utterance]) -> None:
    """Writes `SPLIT.cuts.jsonl.gz`: one Lhotse cut an utterance, audio paths relative to `folder`."""
    lines = io.BytesIO()
    # No time stamp in the header: the same corpus gives the same bytes.
    with gzip.GzipFile(fileobj=lines, mode="wb", mtime=0, filename="") as stream:
        for utterance in utterances:
            cut = cut_of(utterance, audio=os.path.relpath(utterance.audio, folder)).to_dict()
            stream.write((json.dumps(cut, ensure_ascii=False) + "\n").encode("utf-8"))
    write_bytes(folder / f"{split}.cuts.jsonl.gz", lines.getvalue())


def cut_of(utterance: Utterance, audio: str | None = None, recording: Any = None) -> Any:
    """The Lhotse MonoCut of one utterance.

    audio: the path to store; None stores the utterance's own. recording: a Lhotse Recording to use instead of the file.
    """
    require_lhotse()
    from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment

    if recording is None:
        frames = _recording_frames(utterance)
        recording = Recording(
            id=utterance.audio.stem,
            sources=[AudioSource("file", [0], audio or str(utterance.audio))],
            sampling_rate=utterance.sample_rate,
            num_samples=frames,
            duration=frames / utterance.sample_rate,
        )
    supervision = SupervisionSegment(
        id=utterance.name,
        recording_id=recording.id,
        start=0.0,
        duration=utterance.duration_seconds,
        text=utterance.text,
        language=utterance.language,
        speaker=utterance.speaker,
    )
    return MonoCut(
        id=utterance.name,
        start=utterance.start_seconds,
        duration=utterance.duration_seconds,
        channel=0,
        supervisions=[supervision],
        recording=recording,
    )


def count(utterances: Mapping[str, Sequence[Utterance]]) -> dict[str, dict[str, float]]:
    """Utterances and hours per split, as `corpus.json` stores them."""
    return {
        name: {"utterances": len(items), "hours": round(sum(u.duration_seconds for u in items) / 3600, 4)}
        for name, items in utterances.items()
    }


def rewrite(folder: Path, info: CorpusInfo, utterances: Mapping[str, Sequence[Utterance]]) -> CorpusInfo:
    """Writes all manifests and then `corpus.json`, so that a corpus with a `corpus.json` is complete."""
    for name, items in utterances.items():
        write_cuts(folder, name, items)
    info = replace(info, counts=count(utterances))
    write_info(folder, info)
    return info


def read_dropped(folder: Path) -> list[Dropped]:
    """The rows of `dropped.tsv`, none if there is no such file."""
    path = folder / "dropped.tsv"
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(
            f"{path}: cannot be read ({error}); remove it and run 'moksori corpus check' again"
        ) from error
    if not rows or tuple(rows[0]) != DROPPED_COLUMNS or any(len(row) != len(DROPPED_COLUMNS) for row in rows):
        raise CorpusError(
            f"{path}: expected the columns {', '.join(DROPPED_COLUMNS)}; remove it and check the corpus again"
        )
    return [Dropped(*row) for row in rows[1:]]


def write_dropped(folder: Path, rows: Iterable[Dropped], stage: str) -> None:
    """Replaces the rows of one stage in `dropped.tsv`, keeping those of the others."""
    kept = [row for row in read_dropped(folder) if row.stage != stage] + list(rows)
    lines = ["\t".join(DROPPED_COLUMNS)]
    for row in kept:
        lines.append("\t".join(" ".join(str(value).split()) for value in (row.name, row.stage, row.reason, row.text)))
    write_text(folder / "dropped.tsv", "\n".join(lines) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all; a file that holds these bytes already is left alone.

    Raises CorpusError naming the path if the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot be written ({error.strerror or error}); check permissions and free space"
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink(missing_ok=True)


def require_lhotse() -> None:
    """Raises MissingExtra where Lhotse is not installed."""
    try:
        import lhotse  # noqa: F401
    except ImportError as error:
        raise MissingExtra("lhotse", "train", "reading and writing corpora") from error


def _split_order(name: str) -> tuple[int, str]:
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)


def _recording_frames(utterance: Utterance) -> int:
    """Frames of the whole recording: the file's where it can be asked, else up to the utterance's end."""
    try:
        return int(soundfile.info(str(utterance.audio)).frames)
    except (RuntimeError, OSError):
        return round((utterance.start_seconds + utterance.duration_seconds) * utterance.sample_rate)


def _read_manifest(path: Path) -> "CutSet":
    require_lhotse()
    from lhotse import CutSet

    if not path.is_file():
        raise CorpusError(f"{path}: the manifest is missing; import the corpus again")
    try:
        return CutSet.from_cuts(list(CutSet.from_jsonl_lazy(path)))
    except Exception as error:  # Lhotse raises what gzip, json and its own checks do, AssertionError included
        raise CorpusError(f"{path}: not a readable Lhotse manifest ({type(error).__name__}); import again") from error


def _utterance_of(cut: Any, audio: Path, start_seconds: float, info: CorpusInfo, path: Path) -> Utterance:
    if len(cut.supervisions) != 1:
        raise CorpusError(f"{path}: cut {cut.id!r} has {len(cut.supervisions)} supervisions, expected one text a cut")
    supervision = cut.supervisions[0]
    return Utterance(
        name=cut.id,
        text=supervision.text or "",
        speaker=supervision.speaker or "",
        language=supervision.language or info.language,
        audio=audio,
        start_seconds=start_seconds,
        duration_seconds=cut.duration,
        sample_rate=cut.sampling_rate,
    )


def _read_cuts(path: Path, folder: Path, info: CorpusInfo) -> list[Utterance]:
    utterances = []
    for cut in _read_manifest(path):
        if not cut.has_recording:
            raise CorpusError(f"{path}: cut {cut.id!r} has no recording; import the corpus again")
        utterances.append(_utterance_of(cut, folder / cut.recording.sources[0].source, cut.start, info, path))
    return utterances


def _read_shards(folder: Path, split: str, info: CorpusInfo) -> list[Utterance]:
    utterances = []
    for path in sorted((folder / split).glob("cuts.*.jsonl.gz")):
        shard = path.with_name(path.name.replace("cuts.", "recording.").removesuffix(".jsonl.gz") + ".tar")
        if not shard.is_file():
            raise CorpusError(f"{shard}: the shard is missing; copy or pack the corpus again")
        for cut in _read_manifest(path):
            # Shar stores what the cut covers, so within its member every cut starts at 0.
            utterances.append(_utterance_of(cut, shard / f"{cut.id}.{info.packed}", 0.0, info, path))
    if len(utterances) != info.counts[split]["utterances"]:
        raise CorpusError(
            f"{folder / split}: {len(utterances)} utterances in its shards, corpus.json says "
            f"{info.counts[split]['utterances']:g}; copy or pack the corpus again"
        )
    return utterances


@lru_cache(maxsize=4096)
def _places(tar: Path, modified_ns: int, size: int) -> Mapping[str, tuple[int, int]]:
    """Offset and size of each member of a tar file; looked up again when the file's time or size changes."""
    with tarfile.open(tar) as archive:
        return {item.name: (item.offset_data, item.size) for item in archive if item.isfile()}


def _read_packed(tar: Path, member: str) -> Waveform:
    try:
        status = tar.stat()
        offset, size = _places(tar, status.st_mtime_ns, status.st_size)[member]
        with tar.open("rb") as stream:
            stream.seek(offset)
            content = stream.read(size)
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except KeyError as error:
        raise AudioError(f"{tar}: holds no recording {member!r}; pack the corpus again") from error
    except (OSError, tarfile.TarError, RuntimeError) as error:
        raise AudioError(
            f"{tar}: recording {member!r} cannot be decoded ({error}); copy or pack the corpus again"
        ) from error
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise AudioError(f"{tar}: recording {member!r} holds NaN or infinite samples; pack the corpus again")
    return Waveform(mono, int(rate))
