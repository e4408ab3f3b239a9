"""What an evaluation found: systems side by side, the bars, and all that is needed to run it again."""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from moksori.audio.picture import save_spectrogram
from moksori.errors import MoksoriError
from moksori.evaluation.picture import save_bars
from moksori.evaluation.score import ItemScores, SystemScores
from moksori.evaluation.statistics import Estimate
from moksori.types import Waveform

HUMAN, COPY = "recordings", "copy-synthesis"
OTHER_TAKES = "other takes"
OTHER_TEXTS, NOISE = "recordings against other texts", "noise"
_CONTROLS = (OTHER_TEXTS, NOISE)

FORMAT = 1
OPINION_MARGIN = 0.15
_PACKAGES = (
    *("moksori", "torch", "numpy", "pocketsphinx", "jiwer", "speechmos", "onnxruntime", "librosa", "soxr"),
    *("pyworld", "Resemblyzer"),
)


@dataclass(frozen=True)
class Column:
    """How a measure is shown. scale: what the value is multiplied by; better: "lower", "higher" or "" (neither)."""

    title: str
    scale: float
    digits: int
    better: str


COLUMNS: Mapping[str, Column] = {
    "wer": Column("WER %", 100, 2, "lower"),
    "cer": Column("CER %", 100, 2, "lower"),
    "ovrl": Column("OVRL", 1, 2, "higher"),
    "sig": Column("SIG", 1, 2, "higher"),
    "bak": Column("BAK", 1, 2, "higher"),
    "p808": Column("P808", 1, 2, "higher"),
    "mcd": Column("MCD dB", 1, 2, "lower"),
    "log_f0_rmse": Column("ln F0 RMSE", 1, 3, "lower"),
    "log_f0_correlation": Column("F0 corr.", 1, 2, "higher"),
    "voicing_error": Column("voicing err. %", 100, 1, "lower"),
    "f0_ratio": Column("F0 ratio", 1, 3, ""),
    "f0_deviation": Column("F0 dev. st", 1, 2, ""),
    "duration_ratio": Column("duration ratio", 1, 3, ""),
    "speaker": Column("speaker cos.", 1, 3, "higher"),
    "rtf": Column("RTF", 1, 4, "lower"),
}


@dataclass(frozen=True)
class Bar:
    """A measure of the model against what it has to reach. rule: how the limit came from the recordings' value."""

    measure: str
    value: float
    limit: float
    rule: str
    reached: bool


@dataclass(frozen=True)
class Environment:
    """Where it was measured. threads: of the model. load: of the machine (1 minute) when it began."""

    processor: str
    cores: int
    system: str
    threads: int
    load: float
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Picture:
    """A sentence to look at: name, and the sound of each system by its name."""

    name: str
    sounds: Mapping[str, Waveform]


@dataclass(frozen=True)
class Report:
    """One run of `moksori evaluate`.

    systems: the human recordings, copy-synthesis where the model can, the model, and the controls. n: sentences.
    of: sentences in the split. language_model: the recogniser's, in words; empty where it was not used.
    left_out: sentences without an error rate, with the words that the dictionary lacks. notes: what was not measured.
    """

    model: str
    model_hash: str
    corpus: str
    split: str
    language: str
    n: int
    of: int
    seed: int
    level_lufs: float
    systems: tuple[SystemScores, ...]
    environment: Environment
    language_model: str = ""
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = field(default=(), repr=False)

    def system(self, name: str) -> SystemScores | None:
        """The system of that name, None if it was not scored."""
        return next((system for system in self.systems if system.name == name), None)

    def scores(self) -> dict[str, float]:
        """The model's values by measure, as a model's `config.json` stores them."""
        system = self.system(self.model)
        measures = system.measures if system is not None else {}
        return {key: round(e.value, 4) for key, e in measures.items() if math.isfinite(e.value)}

    def bars(self, times: float = 1.5) -> list[Bar]:
        """The model against the recordings: word errors under `word_error_limit`, opinions within 0.15 of theirs."""
        human, model = self.system(HUMAN), self.system(self.model)
        if human is None or model is None:
            return []
        found = []
        if "wer" in model.measures and "wer" in human.measures:
            theirs, ours = human.measures["wer"].value, model.measures["wer"].value
            limit = word_error_limit(theirs, times)
            rule = f"at most max({times:g} x the recordings', theirs + 1 point)"
            found.append(Bar("wer", ours, limit, rule, ours <= limit))
        for key in ("ovrl", "p808"):
            if key in model.measures and key in human.measures:
                ours, limit = model.measures[key].value, human.measures[key].value - OPINION_MARGIN
                rule = f"at most {OPINION_MARGIN:g} under the recordings'"
                found.append(Bar(key, ours, limit, rule, ours >= limit))
        return found

    def header(self) -> list[str]:
        """The titles of `rows`: "system", and the measures that any system has."""
        return ["system", *(COLUMNS[key].title for key in self._shown())]

    def rows(self) -> list[list[str]]:
        """A row a system, without the controls: name, and values ± half of their 95 % interval; "-" if not measured."""
        shown = [s for s in self.systems if s.name not in _CONTROLS]
        return [[s.name, *(_cell(key, s.measures.get(key)) for key in self._shown())] for s in shown]

    def summary(self) -> list[str]:
        """Lines to print under the table: bars, how it was measured, and what was not."""
        lines = [
            f"{COLUMNS[bar.measure].title} {_number(bar.measure, bar.value)}: "
            f"{'reaches' if bar.reached else 'misses'} the bar of {_number(bar.measure, bar.limit)} ({bar.rule})"
            for bar in self.bars()
        ]
        for system in self.systems:
            words = f" {_cell('wer', system.measures.get('wer'))} % WER," if system.name in _CONTROLS else ""
            lines += [f"{system.name}:{words} {system.note}"] if system.note else []
        here = self.environment
        lines.append(
            f"{self.n} of {self.of} sentences of {self.corpus} ({self.split}), seed {self.seed}; ± is half a bootstrap "
            f"95 % interval; all recordings at {self.level_lufs:g} LUFS and 16 kHz"
        )
        if self.language_model:
            lines.append(f"words: pocketsphinx with a {self.language_model}")
        lines.append(
            f"{here.processor}, {here.cores} cores, load {here.load:.1f}; {here.threads} thread"
            f"{'' if here.threads == 1 else 's'}; model {self.model_hash}"
        )
        return lines + list(self.notes)

    def to_json(self) -> str:
        """The whole report as JSON; NaN becomes null."""
        content = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in ("model", "model_hash", "corpus", "split", "language", "n", "of")},
            "seed": self.seed,
            "level_lufs": self.level_lufs,
            "language_model": self.language_model,
            "left_out": {text: list(words) for text, words in self.left_out.items()},
            "notes": list(self.notes),
            "environment": asdict(self.environment),
            "bars": [asdict(bar) for bar in self.bars()],
            "systems": [_system_json(system) for system in self.systems],
        }
        return json.dumps(_plain(content), ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def save(self, path: Path | str) -> Path:
        """Writes the JSON, whole or not at all. Raises MoksoriError naming the path if it cannot be written."""
        path = Path(path)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(self.to_json(), encoding="utf-8")
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            reason = (error.strerror or str(error)).lower()
            raise MoksoriError(f"{path}: cannot be written: {reason}: free space or choose another folder") from error
        return path

    def save_pictures(self, folder: Path | str) -> list[Path]:
        """Writes `scores.png` (the measures with their intervals) and a spectrogram a system of each kept sentence."""
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MoksoriError(f"{folder}: cannot be made: {(error.strerror or str(error)).lower()}") from error
        panels = {}
        for key in self._shown():
            column = COLUMNS[key]
            panels[column.title] = {
                s.name: (e.value * column.scale, e.low * column.scale, e.high * column.scale)
                for s in self.systems
                if s.name not in _CONTROLS and (e := s.measures.get(key)) is not None and math.isfinite(e.value)
            }
        made = [folder / "scores.png"]
        save_bars(made[0], panels, title=f"{self.model} on {self.corpus}, {self.n} sentences, 95 % intervals")
        for picture in self.pictures:
            for system, sound in picture.sounds.items():
                path = folder / f"{_file_name(picture.name)}-{_file_name(system)}.png"
                save_spectrogram(path, sound, title=f"{picture.name}: {system}")
                made.append(path)
        return made

    def _shown(self) -> list[str]:
        return [key for key in COLUMNS if any(key in system.measures for system in self.systems)]


def word_error_limit(theirs: float, times: float) -> float:
    """The house's bar "X times the human recordings'": max(X · theirs, theirs + 0.01), as fractions of the words."""
    return max(times * theirs, theirs + 0.01)


def environment(threads: int) -> Environment:
    """This machine and these packages, now."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return Environment(
        _processor(), os.cpu_count() or 1, f"{platform.system()} {platform.machine()}", threads, load, versions
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _number(key: str, value: float) -> str:
    return f"{value * COLUMNS[key].scale:.{COLUMNS[key].digits}f}"


def _cell(key: str, estimate: Estimate | None) -> str:
    if estimate is None or not math.isfinite(estimate.value):
        return "-"
    return f"{_number(key, estimate.value)} ±{_number(key, (estimate.high - estimate.low) / 2)}"


def _system_json(system: SystemScores) -> dict[str, Any]:
    return {
        "name": system.name,
        "note": system.note,
        "measures": {key: asdict(estimate) for key, estimate in system.measures.items()},
        "sentences": [_item_json(item) for item in system.items],
    }


def _item_json(item: ItemScores) -> dict[str, Any]:
    words = {} if item.words is None else asdict(item.words)
    values = {"seconds": item.seconds, **item.values}
    return {
        "name": item.name,
        "text": item.text,
        "heard": item.heard,
        **words,
        **{key: round(value, 5) if math.isfinite(value) else None for key, value in values.items()},
    }


def _plain(value: Any) -> Any:
    """Without NaN, infinity and numpy's numbers, which JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:100]
