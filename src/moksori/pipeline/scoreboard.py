"""The scoreboard: one tracked JSON a model, what `moksori evaluate` found of it; and the tables made of them.

`add` takes a result in, and refuses to put a worse one in the place of a better one unless it is told to; `tables` and
`write_tables` show all of them. A model has one result for each task, corpus and split.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moksori.errors import BadInput
from moksori.evaluation.columns import COLUMNS, VERSA, cell, number, value_cell
from moksori.evaluation.names import CONTROLS, HUMAN
from moksori.evaluation.report import plain, write_result
from moksori.evaluation.statistics import Estimate

FORMAT = 1
BEGIN, END = (
    "<!-- scoreboard: made by 'moksori scoreboard --write', do not edit by hand -->",
    "<!-- scoreboard ends -->",
)
_KEPT = (
    *("task", "corpus", "split", "language", "n", "of", "seed", "level_lufs", "model_hash", "recogniser"),
    *("language_model", "speaker_encoder", "material", "bars", "trials", "notes", "environment", "parameters"),
)
_KEYS = {versa: ours for ours, versa in VERSA.items()}
_SPEED_MARGIN = 1.1
"""A real-time factor is worse only beyond this: machines differ from hour to hour."""


@dataclass(frozen=True)
class Look:
    """A task's table. beside: shown with the recordings' value in brackets. rows: one a model, or one a system."""

    title: str
    korean: str
    measures: tuple[str, ...]
    beside: tuple[str, ...] = ()
    each_system: bool = True


LOOKS: Mapping[str, Look] = {
    "speak": Look(
        "Speech from text",
        "글에서 말로",
        ("wer", "ovrl", "p808", "mcd", "log_f0_rmse", "speaker", "rtf"),
        ("wer", "ovrl", "p808"),
        each_system=False,
    ),
    "like": Look(
        "Speech in the voice of a prompt",
        "들려준 목소리로",
        (
            *("wer", "ovrl", "p808", "speaker", "speaker_eer", "prosody_pitch_mean", "prosody_pitch_deviation"),
            *("prosody_duration_mean", "prosody_duration_deviation", "rtf"),
        ),
    ),
    "convert": Look(
        "Changing who speaks",
        "화자 바꾸기",
        ("wer", "nearer", "speaker", "speaker_source", "speaker_eer", "ovrl", "p808", "f0_error", "rtf"),
    ),
    "sing": Look(
        "Singing",
        "노래",
        (
            *("singer_identified", "score_pitch", "raw_pitch_accuracy", "octave_errors", "pitch_correlation"),
            *("voicing_recall", "voicing_false_alarm", "code_probe"),
        ),
    ),
    "hard": Look("Hard sentences", "어려운 문장", ("clean", "skips", "repeats", "cut_off", "wer", "ovrl", "rtf")),
    "vocode": Look("Copies of recordings", "녹음 복원", ("pesq", "stoi", "mel_distance", "ovrl", "p808", "rtf")),
    "codec": Look(
        "Coded recordings",
        "음성 부호화",
        ("bits_per_second", "pesq", "stoi", "mel_distance", "ovrl", "p808", "speaker", "rtf"),
    ),
    "denoise": Look("Cleaning recordings", "잡음 제거", ("pesq", "stoi", "mel_distance", "ovrl", "p808", "rtf")),
}
_KOREAN = {"model": "모델", "system": "대상", "corpus": "말뭉치", "rec.": "녹음"}


@dataclass(frozen=True)
class Table:
    """A task's table, as texts. strong: the rows of the models, where baselines stand beside them."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: tuple[int, ...] = ()


@dataclass(frozen=True)
class Added:
    """What `add` did. changes: of the model's measures, in words; worse: those of them that got worse."""

    path: Path
    model: str
    task: str
    changes: tuple[str, ...]
    worse: tuple[str, ...]


def add(result: str | Path, folder: str | Path = "scoreboard", replace: bool = False) -> Added:
    """Takes a result of `moksori evaluate` into `FOLDER/MODEL.json`.

    replace: also where something gets worse or cannot be compared; without it that is refused. Raises BadInput for a
    file that is no result, for a refusal naming all that would get worse, MoksoriError if nothing can be written.
    """
    found = _read_result(Path(result))
    model, path = str(found["model"]), Path(folder) / f"{_file_name(str(found['model']))}.json"
    results = [dict(entry) for entry in read_model(path)] if path.exists() else []
    new = _entry(found)
    key = _key(new)
    old = next((entry for entry in results if _key(entry) == key), None)
    changes, worse = ((), ()) if old is None else compared(old, new, model)
    if worse and not replace:
        raise BadInput(
            f"{path}: not replaced, as the result there is better or cannot be compared: {'; '.join(worse)}: give "
            "--replace if that is meant"
        )
    results = [entry for entry in results if _key(entry) != key] + [new]
    results.sort(key=_key)
    write_result(
        path, json.dumps({"format": FORMAT, "model": model, "results": results}, ensure_ascii=False, indent=1) + "\n"
    )
    return Added(path, model, str(new["task"]), tuple(changes), tuple(worse))


def read_model(path: Path) -> list[Mapping[str, Any]]:
    """The results of a model's file; raises BadInput if it is none."""
    stored = _json(path)
    if stored.get("format") != FORMAT or not isinstance(stored.get("results"), list):
        raise BadInput(
            f"{path}: no file of the scoreboard (format {FORMAT}): make it again with 'moksori scoreboard add'"
        )
    return list(stored["results"])


def read_all(folder: str | Path = "scoreboard") -> list[tuple[str, Mapping[str, Any]]]:
    """(model, result) of all files, by model, then task. Raises BadInput where there are none."""
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise BadInput(f"{folder}: no results there yet: 'moksori scoreboard add RESULT.json' takes one in")
    return [(str(_json(path).get("model", path.stem)), entry) for path in paths for entry in read_model(path)]


def compared(old: Mapping[str, Any], new: Mapping[str, Any], model: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What changes from one result to the other, and what of it is for the worse, in words."""
    changes, worse = [], []
    for name in ("recogniser", "language_model", "speaker_encoder", "seed", "material"):
        if old.get(name) != new.get(name) and (old.get(name) or new.get(name)):
            worse.append(f"{name.replace('_', ' ')} {old.get(name)!r} becomes {new.get(name)!r}, not comparable")
    if int(new.get("n", 0)) < int(old.get("n", 0)):
        worse.append(f"n {old.get('n')} becomes {new.get('n')}")
    before, after = _measures(old, model), _measures(new, model)
    for key, was in before.items():
        column = COLUMNS.get(key)
        if column is None or was is None:
            continue
        now = after.get(key)
        if now is None:
            worse.append(f"{column.title} {number(key, was.value)} is no longer measured")
            continue
        if now.value == was.value:
            continue
        told = f"{column.title} {number(key, was.value)} becomes {number(key, now.value)}"
        changes.append(told)
        if _is_worse(key, column.better, was, now, old, new):
            within = " (within its interval)" if was.low <= now.value <= was.high else ""
            worse.append(told + within)
    missed = [bar["measure"] for bar in new.get("bars") or [] if not bar["reached"]]
    lost = [
        b for b in old.get("bars") or [] if b["reached"] and missed.count(b["measure"]) > _missed(old, b["measure"])
    ]
    worse += [f"the bar of {COLUMNS[_KEYS.get(b['measure'], b['measure'])].title} is missed" for b in lost]
    return tuple(changes), tuple(dict.fromkeys(worse))


def tables(results: Sequence[tuple[str, Mapping[str, Any]]], korean: bool = False) -> list[Table]:
    """A table a task, in the order of LOOKS; what nobody measured has no column."""
    return list(table_of_each(results, korean).values())


def table_of_each(results: Sequence[tuple[str, Mapping[str, Any]]], korean: bool = False) -> dict[str, Table]:
    """The same by the names of the tasks."""
    made = {}
    for task, look in LOOKS.items():
        chosen = [(model, entry) for model, entry in results if entry.get("task", "speak") == task]
        if chosen:
            made[task] = _table(look, chosen, korean)
    return made


def markdown(made: Sequence[Table]) -> str:
    """The tables as Markdown; the models' rows in bold where baselines stand beside them."""
    parts = []
    for table in made:
        lines = [f"| {' | '.join(table.header)} |", f"|{'---|' * len(table.header)}"]
        for place, row in enumerate(table.rows):
            cells = [f"**{row[0]}**", *row[1:]] if place in table.strong else list(row)
            lines.append(f"| {' | '.join(cells)} |")
        parts.append(f"{table.title}:\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def write_tables(path: str | Path, folder: str | Path = "scoreboard") -> bool:
    """Puts the tables between the two marker lines of a Markdown file; in Korean where its name ends in `.ko.md`.

    Returns whether the file changed. Raises BadInput where the markers are missing, MoksoriError if it cannot be
    written.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}: name a Markdown file") from error
    start, stop = text.find(BEGIN), text.find(END)
    if start < 0 or stop < start:
        raise BadInput(f"{path}: lacks the lines {BEGIN!r} and {END!r}, between which the tables go: put them in")
    made = markdown(tables(read_all(folder), korean=path.name.endswith(".ko.md")))
    changed = f"{text[: start + len(BEGIN)]}\n\n{made}\n\n{text[stop:]}"
    if changed == text:
        return False
    write_result(path, changed)
    return True


def _table(look: Look, chosen: Sequence[tuple[str, Mapping[str, Any]]], korean: bool) -> Table:
    rows: list[tuple[str, str, int, Mapping[str, Estimate | None], Mapping[str, Estimate | None], bool]] = []
    for model, entry in chosen:
        corpus, human = str(entry["corpus"]), _measures(entry, HUMAN)
        systems = [s["name"] for s in entry["systems"] if s["name"] not in CONTROLS]
        names = systems if look.each_system else [model]
        for name in names:
            rows.append((name, corpus, int(entry["n"]), _measures(entry, name), human, name == model))
    keys = [key for key in look.measures if any(found.get(key) is not None for _, _, _, found, _, _ in rows)]
    told = _KOREAN if korean else {name: name for name in _KOREAN}
    titles = [
        COLUMNS[key].title + (f" ({told['rec.']})" if not look.each_system and key in look.beside else "")
        for key in keys
    ]
    first = told["system"] if look.each_system else told["model"]
    cells = []
    for name, corpus, n, figures, people, _ in rows:
        shown = [
            _shown(key, figures.get(key), people.get(key), not look.each_system and key in look.beside) for key in keys
        ]
        cells.append((name, corpus, str(n), *shown))
    strong = tuple(place for place, row in enumerate(rows) if row[5] and look.each_system)
    return Table(look.korean if korean else look.title, (first, told["corpus"], "n", *titles), tuple(cells), strong)


def _shown(key: str, estimate: Estimate | None, human: Estimate | None, beside: bool) -> str:
    text = cell(key, estimate).replace("±", "± ")
    return f"{text} ({value_cell(key, human)})" if beside and human is not None and text != "-" else text


def _is_worse(
    key: str, better: str, was: Estimate, now: Estimate, old: Mapping[str, Any], new: Mapping[str, Any]
) -> bool:
    if not better:
        return False
    if key in ("rtf", "first_audio"):
        here = [(entry.get("environment") or {}) for entry in (old, new)]
        alike = all(here[0].get(name) == here[1].get(name) for name in ("processor", "threads"))
        return alike and now.value > _SPEED_MARGIN * was.value
    return now.value > was.value if better == "lower" else now.value < was.value


def _missed(entry: Mapping[str, Any], measure: str) -> int:
    return sum(1 for bar in entry.get("bars") or [] if bar["measure"] == measure and not bar["reached"])


def _measures(entry: Mapping[str, Any], system: str) -> dict[str, Estimate | None]:
    """A system's measures by our own names; None where the value is not known."""
    found = next((s for s in entry["systems"] if s["name"] == system), None)
    values: Mapping[str, Mapping[str, Any]] = found["measures"] if found is not None else {}
    return {
        _KEYS.get(key, key): None
        if e["value"] is None
        else Estimate(
            float(e["value"]),
            float(e["low"] if e["low"] is not None else e["value"]),
            float(e["high"] if e["high"] is not None else e["value"]),
            int(e["n"]),
        )
        for key, e in values.items()
    }


def _entry(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the scoreboard keeps of a result: everything but the sentences."""
    kept = {name: result[name] for name in _KEPT if result.get(name) not in (None, "", [], {})}
    kept.setdefault("task", "speak")
    # Results from before reports named their judges.
    if kept.get("language_model"):
        kept.setdefault("recogniser", "pocketsphinx")
    model = result["model"]
    systems = [
        {"name": s["name"], "measures": {_versa(key): e for key, e in s["measures"].items()}} for s in result["systems"]
    ]
    if any("spk_similarity" in s["measures"] for s in systems):
        kept.setdefault("speaker_encoder", "resemblyzer")
    groups = [
        {
            **{name: group[name] for name in ("speaker", "language", "n", "of")},
            "systems": [
                {"name": s["name"], "measures": s["measures"]} for s in group["systems"] if s["name"] in (HUMAN, model)
            ],
        }
        for group in result.get("speakers") or []
    ]
    return {**plain(kept), "systems": plain(systems), **({"speakers": plain(groups)} if len(groups) > 1 else {})}


def _versa(key: str) -> str:
    return VERSA.get(key, key)


def _read_result(path: Path) -> Mapping[str, Any]:
    found = _json(path)
    missing = [name for name in ("model", "corpus", "split", "n", "systems") if name not in found]
    if missing:
        raise BadInput(f"{path}: no result of 'moksori evaluate', it lacks {', '.join(missing)}")
    if all(system["name"] != found["model"] for system in found["systems"]):
        raise BadInput(f"{path}: holds no figures of {found['model']!r} itself: evaluate the model again")
    return found


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file: name a result of 'moksori evaluate'") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read as JSON ({error}): name a result of 'moksori evaluate'") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path}: expected a JSON object: name a result of 'moksori evaluate'")
    return found


def _key(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(entry.get("task", "speak")), str(entry["corpus"]), str(entry["split"])


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:100]
