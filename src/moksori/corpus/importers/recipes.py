"""LJ Speech, VCTK and LibriTTS, read by Lhotse's recipes.

A recipe stops at the first recording it cannot open and at the first odd metadata line. So each is shown a mirror of
the corpus: a temporary folder of links to the readable recordings only; what was left out is reported as dropped.
"""

import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from moksori.audio.io import probe
from moksori.corpus.importers.base import AUDIO_SUFFIXES, Row, Source, read_text, unique
from moksori.corpus.manifest import Dropped, require_lhotse
from moksori.errors import AudioError, CorpusError

LIBRITTS_PARTS = (
    "dev-clean", "dev-other", "test-clean", "test-other", "train-clean-100", "train-clean-360", "train-other-500",
)  # fmt: skip


def matches_ljspeech(folder: Path) -> bool:
    """`metadata.csv` without a header beside `wavs/`."""
    return (folder / "metadata.csv").is_file() and (folder / "wavs").is_dir()


def matches_vctk(folder: Path) -> bool:
    """`txt/SPEAKER` beside `wav48` or, in version 0.92, `wav48_silence_trimmed`."""
    return (folder / "txt").is_dir() and any((folder / name).is_dir() for name in ("wav48", "wav48_silence_trimmed"))


def matches_libritts(folder: Path) -> bool:
    """A part such as `train-clean-100` with `*.trans.tsv` in it."""
    return any(next((folder / part).rglob("*.trans.tsv"), None) is not None for part in LIBRITTS_PARTS)


def read_ljspeech(folder: Path) -> Source:
    """LJ Speech 1.1: `metadata.csv` (id|text|normalised text), `wavs/ID.wav`; the normalised text is taken."""
    lines = read_text(_existing(folder / "metadata.csv", "LJ Speech")).splitlines()
    dropped: list[Dropped] = []
    good: list[str] = []
    for number, line in enumerate(lines, start=1):
        cells = line.split("|")
        # Lhotse strips the line, so an empty normalised text would leave two columns.
        if len(cells) != 3 or not cells[2].strip():
            if line.strip():
                dropped.append(
                    Dropped(cells[0], "import", f"metadata.csv line {number}: expected id|text|normalised text")
                )
        elif not (folder / "wavs" / f"{cells[0]}.wav").is_file():
            dropped.append(Dropped(cells[0], "import", f"no recording wavs/{cells[0]}.wav", cells[2]))
        else:
            good.append(line)
    with _mirror(folder, dropped) as mirror:
        (mirror / "metadata.csv").unlink()
        readable = [line for line in good if (mirror / "wavs" / f"{line.split('|')[0]}.wav").is_file()]
        (mirror / "metadata.csv").write_text("\n".join(dict.fromkeys(readable)) + "\n", encoding="utf-8")
        from lhotse.recipes.ljspeech import prepare_ljspeech

        manifests = _run(folder, "LJ Speech", lambda: prepare_ljspeech(mirror)) if readable else None
        rows = [
            Row(s.id, s.custom["normalized_text"], s.speaker or "LJ", _target(manifests, s), "en-us", _sex(s))
            for s in (manifests["supervisions"] if manifests else ())
        ]
    return Source(folder, "ljspeech", unique(rows, dropped), tuple(dropped), licence="public domain")


def read_vctk(folder: Path) -> Source:
    """VCTK: `txt/SPEAKER/ID.txt`, and `wav48/SPEAKER/ID.wav` or 0.92's `wav48_silence_trimmed/SPEAKER/ID_mic2.flac`."""
    _existing(folder / "speaker-info.txt", "VCTK")
    edinburgh = (folder / "wav48_silence_trimmed").is_dir()
    audio = folder / ("wav48_silence_trimmed" if edinburgh else "wav48")
    dropped: list[Dropped] = []
    for path in sorted((folder / "txt").rglob("*.txt")):
        recording = audio / path.parent.name / (f"{path.stem}_mic2.flac" if edinburgh else f"{path.stem}.wav")
        if not recording.is_file():
            dropped.append(Dropped(path.stem, "import", f"no recording {recording.relative_to(folder)}"))
    with _mirror(folder, dropped) as mirror:
        from lhotse.recipes.vctk import prepare_vctk

        for path in sorted((mirror / "txt").rglob("*.txt")):  # the recipe insists on a recording for every text
            name = f"{path.stem}_mic2.flac" if edinburgh else f"{path.stem}.wav"
            if not (mirror / audio.name / path.parent.name / name).is_file():
                path.unlink()
        manifests = _run(folder, "VCTK", lambda: prepare_vctk(mirror, use_edinburgh_vctk_url=edinburgh))
        rows = [
            Row(s.id, " ".join((s.text or "").split()), s.speaker, _target(manifests, s), "en-us", _sex(s))
            for s in manifests["supervisions"]
        ]
    return Source(folder, "vctk", unique(sorted(rows, key=lambda row: row.name), dropped), tuple(dropped), "CC BY 4.0")


def read_libritts(folder: Path) -> Source:
    """LibriTTS and LibriTTS-R: all parts that are there; the normalised text is taken."""
    parts = [part for part in LIBRITTS_PARTS if (folder / part).is_dir()]
    if not parts:
        raise CorpusError(
            f"{folder}: none of LibriTTS's parts in it ({', '.join(LIBRITTS_PARTS)}); give the folder above them"
        )
    dropped: list[Dropped] = []
    rows: list[Row] = []
    for path in sorted(path for part in parts for path in (folder / part).rglob("*.trans.tsv")):
        for line in read_text(path).splitlines():
            name = line.split("\t")[0]
            if name and not (path.parent / f"{name}.wav").is_file():
                dropped.append(Dropped(name, "import", f"no recording {name}.wav beside {path.name}"))
    with _mirror(folder, dropped) as mirror:
        from lhotse.recipes.libritts import prepare_libritts

        found = _run(folder, "LibriTTS", lambda: prepare_libritts(mirror, dataset_parts=parts))
        for part in parts:
            rows += [
                Row(s.id, s.text or "", s.speaker, _target(found[part], s), "en-us", _sex(s))
                for s in found[part]["supervisions"]
            ]
    return Source(
        folder, "libritts", unique(sorted(rows, key=lambda row: row.name), dropped), tuple(dropped), "CC BY 4.0"
    )


@contextmanager
def _mirror(folder: Path, dropped: list[Dropped]) -> Iterator[Path]:
    """A temporary copy of the folder's tree made of links, without recordings that cannot be opened."""
    require_lhotse()
    root = folder.resolve()
    with tempfile.TemporaryDirectory(prefix="moksori-import-") as temporary:
        mirror = Path(temporary) / "mirror"
        mirror.mkdir()
        for path in sorted(root.rglob("*")):
            link = mirror / path.relative_to(root)
            if path.is_dir():
                link.mkdir(parents=True, exist_ok=True)
                continue
            if path.suffix.lower() in AUDIO_SUFFIXES:
                try:
                    probe(path)
                except AudioError as error:
                    dropped.append(Dropped(re.sub(r"_mic[12]$", "", path.stem), "import", str(error)))
                    continue
            link.symlink_to(path)
        yield mirror


def _run(folder: Path, name: str, recipe: Callable[[], Any]) -> Any:
    """The recipe's manifests, its bars and warnings kept quiet; its failure as a CorpusError."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(StringIO()):
            return recipe()
    except Exception as error:  # recipes fail with whatever their parsing meets, AssertionError included
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise CorpusError(
            f"{folder}: Lhotse's recipe for {name} cannot read it ({detail}); is the download complete?"
        ) from error
    finally:
        logging.disable(level)


def _target(manifests: Any, supervision: Any) -> Path:
    return Path(manifests["recordings"][supervision.recording_id].sources[0].source).resolve()


def _sex(supervision: Any) -> str:
    return (supervision.gender or "")[:1].upper()


def _existing(path: Path, name: str) -> Path:
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; {name} has one, is the download complete?")
    return path
