"""What an evaluation found: systems side by side, speaker by speaker, the bars, and what it takes to run it again."""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from moksori.audio.picture import MAXIMUM_SECONDS, save_spectrogram
from moksori.errors import MoksoriError
from moksori.evaluation.bars import Bar, TrialScores, named, task_bars
from moksori.evaluation.columns import COLUMNS, VERSA, cell, number, value_cell
from moksori.evaluation.names import CONTROLS, HUMAN
from moksori.evaluation.picture import save_bars
from moksori.evaluation.score import ItemScores, SystemScores, summarise
from moksori.types import Waveform

FORMAT = 3
_PACKAGES = (
    *("moksori", "torch", "numpy", "pocketsphinx", "jiwer", "speechmos", "onnxruntime", "librosa", "soxr"),
    *("pyworld", "Resemblyzer", "pesq", "pystoi", "mir_eval", "lhotse"),
)


_BESIDE_THE_RECORDINGS = ("wer", "ovrl", "p808", "text_margin")
_ALONE = (
    *("clean", "skips", "repeats", "cut_off"),
    *("pesq", "stoi", "mel_distance", "mcd", "log_f0_rmse", "duration_mae", "speaker", "speaker_source", "nearer"),
    *("speaker_identified", "likelihood_ratio", "singer_identified", "score_pitch", "raw_pitch_accuracy", "code_probe"),
    *("prosody_pitch_mean", "prosody_duration_mean"),
)
"""What the table of speakers shows of the model, the first with the recordings' value in brackets."""
_GROUPED_BY = {
    **{"denoise": "SNR", "vocode": "kind", "convert": "pairs", "like": "prompts", "sing": "songs"},
    "hard": "kind",
    "codec": "people",
}


def write_result(path: Path, text: str) -> None:
    """Writes a text, whole or not at all, into a folder that is made. Raises MoksoriError naming the path."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        reason = (error.strerror or str(error)).lower()
        raise MoksoriError(f"{path}: cannot be written: {reason}: free space or choose another folder") from error


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
class Group:
    """One speaker's sentences, or another part of what was measured: what each system made of them.

    speaker: who it is; in tasks that do not go by speakers the name of the part (`report.grouped_by`). systems: the
    human recordings, copy-synthesis where the model can, the model, baselines and controls. n: sentences. of: that many
    there are in the split.
    """

    speaker: str
    language: str
    n: int
    of: int
    systems: tuple[SystemScores, ...]

    def system(self, name: str) -> SystemScores | None:
        """The system of that name, None if it was not scored."""
        return named(self.systems, name)

    def header(self) -> list[str]:
        """The titles of `rows`: "system", and the measures that any system has."""
        return ["system", *(COLUMNS[key].title for key in _shown(self.systems))]

    def rows(self) -> list[list[str]]:
        """A row a system, without the controls: name, and values ± half of their 95 % interval; "-" if not measured."""
        shown = [s for s in self.systems if s.name not in CONTROLS]
        return [[s.name, *(cell(key, s.measures.get(key)) for key in _shown(self.systems))] for s in shown]

    def summary(self, model: str, task: str = "speak", bars: bool = True) -> list[str]:
        """Lines to print under the table: what is to be said of the systems, and first the bars if asked for."""
        lines = bar_lines(task_bars(task, self.systems, model)) if bars else []
        for system in self.systems:
            found = ""
            if system.name in CONTROLS:
                shown = [("wer", "% WER"), ("likelihood_ratio", "nats likelihood ratio")]
                values = [f"{cell(k, system.measures[k])} {unit}" for k, unit in shown if k in system.measures]
                found = f" {', '.join(values)}," if values else ""
            lines += [f"{system.name}:{found} {system.note}"] if system.note else []
        return lines


@dataclass(frozen=True)
class Report:
    """One run of `moksori evaluate`.

    groups: one a speaker. language: the corpus's. language_model: the recogniser's, in words; empty where it was not
    used. left_out: sentences without an error rate, with the words that the dictionary lacks. notes: what was not
    measured. task: what the model did. recogniser, speaker_encoder: who judged; empty where nobody did. trials: of
    short segments, by the model's codes and by the speaker encoder. material: what was heard, in words. parameters: of
    the model, 0 where nobody counted. headline: the group whose figures stand for the whole; empty: all together.
    """

    model: str
    model_hash: str
    corpus: str
    split: str
    language: str
    seed: int
    level_lufs: float
    groups: tuple[Group, ...]
    environment: Environment
    language_model: str = ""
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = field(default=(), repr=False)
    task: str = "speak"
    recogniser: str = ""
    speaker_encoder: str = ""
    trials: tuple[TrialScores, ...] = ()
    material: str = ""
    parameters: int = 0
    headline: str = ""

    @property
    def grouped_by(self) -> str:
        """What the groups are, in one word."""
        return _GROUPED_BY.get(self.task, "speaker")

    @property
    def n(self) -> int:
        """Sentences that were measured."""
        return sum(group.n for group in self._counted)

    @property
    def of(self) -> int:
        """Sentences of these speakers in the split."""
        return sum(group.of for group in self._counted)

    @property
    def _counted(self) -> tuple[Group, ...]:
        return tuple(group for group in self.groups if self.headline in ("", group.speaker))

    @cached_property
    def systems(self) -> tuple[SystemScores, ...]:
        """Every system over the sentences of all speakers, or of the headline."""
        if len(self._counted) == 1:
            return self._counted[0].systems
        found: dict[str, list[ItemScores]] = {}
        for group in self._counted:
            for system in group.systems:
                found.setdefault(system.name, []).extend(system.items)
        return tuple(SystemScores(name, summarise(items, self.seed), tuple(items)) for name, items in found.items())

    def system(self, name: str) -> SystemScores | None:
        """The system of that name over all speakers, None if it was not scored."""
        return named(self.systems, name)

    def scores(self) -> dict[str, float]:
        """The model's values by measure, as a model's `config.json` stores them."""
        system = self.system(self.model)
        measures = system.measures if system is not None else {}
        return {key: round(e.value, 4) for key, e in measures.items() if math.isfinite(e.value)}

    def bars(self, times: float = 1.5) -> list[Bar]:
        """The model against what it has to reach, over all groups."""
        return task_bars(self.task, self.systems, self.model, self.trials, times)

    def header(self) -> list[str]:
        """The titles of `rows`."""
        both = [f"{COLUMNS[key].title} (rec.)" for key in self._keys(_BESIDE_THE_RECORDINGS)]
        return [self.grouped_by, "language", "n", *both, *(COLUMNS[key].title for key in self._keys(_ALONE))]

    def rows(self) -> list[list[str]]:
        """A row a speaker: what the model reaches, the recordings' own in brackets; a last one over all speakers."""
        everybody = Group("all", "", self.n, self.of, self.systems)
        return [self._row(group) for group in (*self.groups, *((everybody,) if len(self._counted) > 1 else ()))]

    def trials_header(self) -> list[str]:
        """The titles of `trials_rows`."""
        return ["3 s, one sex", "trials", "EER %", "of one", "of two"]

    def trials_rows(self) -> list[list[str]]:
        """A row for each kind of vector and of trials."""
        return [
            [row.code, row.kind, cell("speaker_eer", row.error_rate), str(row.targets), str(row.impostors)]
            for row in self.trials
        ]

    def _row(self, group: Group) -> list[str]:
        system, recordings = group.system(self.model), group.system(HUMAN)
        model = system.measures if system is not None else {}
        human = recordings.measures if recordings is not None else {}
        cells = [group.speaker, group.language, str(group.n)]
        for key in self._keys(_BESIDE_THE_RECORDINGS):
            ours, theirs = value_cell(key, model.get(key)), value_cell(key, human.get(key))
            cells.append("-" if ours == theirs == "-" else f"{ours} ({theirs})")
        return cells + [value_cell(key, model.get(key)) for key in self._keys(_ALONE)]

    def _keys(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if any(key in system.measures for system in self.systems)]

    def summary(self) -> list[str]:
        """Lines to print under the tables: how it was measured, and what was not."""
        here = self.environment
        kind = "sentences" if self.task in ("speak", "hard") else f"{self.headline} sounds".strip()
        lines = [
            f"{self.n} of {self.of} {kind} of {self.corpus} ({self.split}), seed {self.seed}; ± is half a bootstrap "
            f"95 % interval; all recordings at {self.level_lufs:g} LUFS and 16 kHz"
        ]
        if self.material:
            lines.append(self.material)
        if self.language_model:
            heard_by = "pocketsphinx with a " if self.recogniser in ("", "pocketsphinx") else ""
            lines.append(f"words: {heard_by}{self.language_model}")
        if self.speaker_encoder:
            lines.append(f"voices: {self.speaker_encoder}")
        lines.append(
            f"{here.processor}, {here.cores} cores, load {here.load:.1f}; {here.threads} thread"
            f"{'' if here.threads == 1 else 's'}; model {self.model_hash}"
            + (f", {self.parameters / 1e6:.2f} M parameters" if self.parameters else "")
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
            "task": self.task,
            "recogniser": self.recogniser,
            "speaker_encoder": self.speaker_encoder,
            "material": self.material,
            "parameters": self.parameters,
            "headline": self.headline,
            "trials": [asdict(row) for row in self.trials],
            "notes": list(self.notes),
            "environment": asdict(self.environment),
            "bars": _bars_json(self.bars()),
            "systems": [_system_json(system) for system in self.systems],
            "speakers": [
                {
                    **{name: getattr(group, name) for name in ("speaker", "language", "n", "of")},
                    "bars": _bars_json(task_bars(self.task, group.systems, self.model)),
                    "systems": [{**_system_json(s), "sentences": _sentences_json(s)} for s in group.systems],
                }
                for group in self.groups
            ],
        }
        return json.dumps(plain(content), ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def save(self, path: Path | str) -> Path:
        """Writes the JSON, whole or not at all. Raises MoksoriError naming the path if it cannot be written."""
        path = Path(path)
        write_result(path, self.to_json())
        return path

    def save_pictures(self, folder: Path | str) -> list[Path]:
        """Writes `scores.png` (measures and their intervals, where there are any) and, of kept sentences, spectrograms.

        Of several speakers, `scores.png` shows the model, speaker by speaker.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MoksoriError(f"{folder}: cannot be made: {(error.strerror or str(error)).lower()}") from error
        shown = {s.name: s for s in self.systems if s.name not in CONTROLS}
        if len(self._counted) > 1:
            shown = {group.speaker: s for group in self.groups if (s := group.system(self.model)) is not None}
        panels = {}
        for key in _shown(tuple(shown.values())):
            column = COLUMNS[key]
            panels[column.title] = {
                name: (e.value * column.scale, e.low * column.scale, e.high * column.scale)
                for name, s in shown.items()
                if (e := s.measures.get(key)) is not None and math.isfinite(e.value)
            }
        made = []
        if any(panels.values()):  # trials and costs are no measures of sentences
            made.append(folder / "scores.png")
            save_bars(made[0], panels, title=f"{self.model} on {self.corpus}, {self.n} sentences, 95 % intervals")
        for picture in self.pictures:
            for system, sound in picture.sounds.items():
                path = folder / f"{_file_name(picture.name)}-{_file_name(system)}.png"
                longest = int(MAXIMUM_SECONDS * sound.sample_rate)
                beginning = Waveform(sound.samples[:longest], sound.sample_rate)
                save_spectrogram(path, beginning, title=f"{picture.name}: {system}")
                made.append(path)
        return made


def bar_lines(bars: Sequence[Bar]) -> list[str]:
    """One a bar: the measure, its value, and whether that is enough."""
    return [
        f"{COLUMNS[bar.measure].title} {number(bar.measure, bar.value)}: "
        f"{'reaches' if bar.reached else 'misses'} the bar of {number(bar.measure, bar.limit)} ({bar.rule})"
        for bar in bars
    ]


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


def _shown(systems: Sequence[SystemScores]) -> list[str]:
    return [key for key in COLUMNS if any(key in system.measures for system in systems)]


def _bars_json(found: Sequence[Bar]) -> list[dict[str, Any]]:
    return [{**asdict(bar), "measure": VERSA.get(bar.measure, bar.measure)} for bar in found]


def _system_json(system: SystemScores) -> dict[str, Any]:
    return {
        "name": system.name,
        "note": system.note,
        "measures": {VERSA.get(key, key): asdict(estimate) for key, estimate in system.measures.items()},
    }


def _sentences_json(system: SystemScores) -> list[dict[str, Any]]:
    return [_item_json(item) for item in system.items]


def _item_json(item: ItemScores) -> dict[str, Any]:
    words = {} if item.words is None else asdict(item.words)
    values = {"seconds": item.seconds, **item.values}
    return {
        "name": item.name,
        "text": item.text,
        "heard": item.heard,
        **words,
        **{VERSA.get(key, key): round(value, 5) if math.isfinite(value) else None for key, value in values.items()},
    }


def plain(value: Any) -> Any:
    """A value without NaN, infinity and numpy's numbers, which JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:100]
