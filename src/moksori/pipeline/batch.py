"""Many texts, a file each: `moksori say --batch list.tsv`; interrupted, it goes on where it stopped."""

import csv
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from moksori.audio.stream import check_suffix
from moksori.errors import BadInput, MoksoriError, TextError
from moksori.models.checkpoint import fingerprint
from moksori.pipeline.book_text import read_text
from moksori.pipeline.engines import Engine, LocalEngine
from moksori.pipeline.models import find_model
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.say import load, speak_to_file
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.seeds import MAXIMUM_SEED, chosen_seed
from moksori.pipeline.sentences import readings
from moksori.pipeline.speaker import Speaker

JOURNAL = "batch.jsonl"
MAXIMUM_LINES = 1_000_000
_NAME = re.compile(r"\w[\w .,()+-]{0,150}")
_COLUMNS = ("name", "text", "voice", "speaker", "language", "speed", "pitch", "variation", "seed")
_NUMBERS = {"speed": "speed", "pitch": "shift_semitones", "variation": "variation"}
_LOADED = 3


@dataclass(frozen=True)
class Line:
    """A text of the list and the name of its file without the suffix; what is None is as for the whole list.

    line: of the list, from 1.
    """

    name: str
    text: str
    voice: str | None = None
    speaker: str | None = None
    language: str | None = None
    speed: float | None = None
    pitch: float | None = None
    variation: float | None = None
    seed: int | None = None
    line: int = 0

    def options(self, common: SayOptions) -> SayOptions:
        """The options of the list with the line's own."""
        own: dict[str, Any] = {field: getattr(self, name) for name, field in _NUMBERS.items()}
        own |= {"speaker": self.speaker, "language": self.language}
        return replace(common, **{field: value for field, value in own.items() if value is not None})

    def chosen_seed(self, seed: int) -> int:
        """Its own seed, or one of the list's seed and its name: so it sounds the same wherever it stands."""
        if self.seed is not None:
            return self.seed
        digest = hashlib.sha256(f"{seed}/{self.name}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Spoken:
    """What became of a line; error: why there is no file. resumed: it was there already."""

    line: Line
    path: Path
    duration_seconds: float
    seed: int
    error: str | None = None
    resumed: bool = False


@dataclass(frozen=True)
class Settings:
    """What holds for all lines; seed: of the whole list. form: suffix of the files."""

    folder: Path
    voice: str | None
    options: SayOptions
    seed: int
    form: str
    watermark: bool

    def path(self, line: Line) -> Path:
        """Where a line's sound goes."""
        return self.folder / f"{line.name}.{self.form}"


def read_list(path: str | Path) -> list[Line]:
    """The lines of a list: name, tab, text; or with a first line of column names, which may be all that `Line` has.

    Raises TextError or BadInput, naming the line, for what cannot be read, names that no file can have or that come
    twice, and values that are no numbers.
    """
    path = Path(path)
    rows = csv.reader(read_text(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    columns: Sequence[str] = ("name", "text")
    found: dict[str, Line] = {}
    for number, row in enumerate(rows, start=1):
        if not any(cell.strip() for cell in row):
            continue
        cells = [cell.strip() for cell in row]
        if not found and {"name", "text"} <= {cell.lower() for cell in cells}:
            columns = [cell.lower() for cell in cells]
            if unknown := [name for name in columns if name not in _COLUMNS]:
                raise BadInput(f"{path}:{number}: column {unknown[0]!r}: expected some of {', '.join(_COLUMNS)}")
            continue
        if len(cells) > len(columns) or len(cells) < 2:
            raise BadInput(f"{path}:{number}: has {len(cells)} cells: expected {', '.join(columns)}, tabs between them")
        line = _line(dict(zip(columns, cells, strict=False)), number, f"{path}:{number}")
        if line.name.casefold() in found:
            raise BadInput(f"{path}:{number}: the name {line.name!r} comes twice: files would overwrite each other")
        found[line.name.casefold()] = line
        if len(found) > MAXIMUM_LINES:
            raise BadInput(f"{path}: has more than {MAXIMUM_LINES:,} lines: cut it into several lists")
    if not found:
        raise TextError(f"{path}: holds no line: expected name, tab, text")
    return list(found.values())


def speak_list(
    lines: Sequence[Line],
    folder: str | Path,
    *,
    voice: str | Path | None = None,
    options: SayOptions | None = None,
    seed: int | None = None,
    form: str = "flac",
    engine: Engine | None = None,
    watermark: bool = False,
    progress: Progress = no_progress,
) -> Iterator[Spoken]:
    """Speaks each line into `FOLDER/name.form`, and notes it in `FOLDER/batch.jsonl`; yields them as they are ready.

    voice: of lines that name none. seed: None draws one; files of an interrupted call with the same settings and texts
    are kept, and where a seed is to be drawn, theirs is. engine: None works in this process; the bytes do not depend on
    it. progress: is told lines. A line that cannot be spoken is one with an `error`; the others are spoken all the
    same. Every file appears when it is whole.
    Raises BadInput for a folder that cannot be made or another format, UnknownName for a voice that does not exist.
    """
    options, folder = options or SayOptions(), Path(folder)
    if options.durations is not None or options.latent is not None or options.prompt is not None:
        raise BadInput("batch: durations, styles and voices of recordings are for a single text: leave them out")
    check_suffix(Path(f"a.{form}"))
    folders = {name: find_model(name) for name in {line.voice or voice for line in lines}}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be made: {(error.strerror or str(error)).lower()}: name another") from error
    journal = _Journal(folder / JOURNAL)
    settings = Settings(
        folder, None if voice is None else str(voice), options, journal.seed(seed), form.lower(), watermark
    )
    prints = {name: fingerprint(model) for name, model in folders.items()}
    keys = {line.name: _key(line, settings, prints[line.voice or voice]) for line in lines}
    todo = list[Line]()
    for line in lines:
        seconds = journal.seconds(line.name, keys[line.name])
        if seconds is None or not settings.path(line).is_file():
            todo.append(line)
        else:
            yield Spoken(line, settings.path(line), seconds, line.chosen_seed(settings.seed), resumed=True)
    done = len(lines) - len(todo)
    progress(done, len(lines))
    with journal.writing(settings.seed) as note:
        results = (engine or LocalEngine()).run(partial(_Worker, settings), todo)
        for now, (line, result) in enumerate(results, start=done + 1):
            if result.error is None:
                note(line.name, keys[line.name], result)
            yield result
            progress(now, len(lines))


class _Worker:
    """Speaks lines; holds the last few models."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: OrderedDict[str | None, Speaker] = OrderedDict()

    def __call__(self, line: Line) -> Spoken:
        settings = self._settings
        path, seed = settings.path(line), line.chosen_seed(settings.seed)
        try:
            speaker, options = self._speaker(line), line.options(settings.options)
            language = options.language or speaker.language_of(options.speaker)
            speaker.check(readings(line.text, language), options)
            texts = readings(line.text, language)
            made = speak_to_file(speaker, texts, path, options=options, seed=seed, watermark=settings.watermark)
        except MoksoriError as error:
            return Spoken(line, path, 0.0, seed, str(error))
        return Spoken(line, path, made.duration_seconds, seed)

    def _speaker(self, line: Line) -> Speaker:
        name = line.voice or self._settings.voice
        if name not in self._loaded:
            self._loaded[name] = load(name)
            if len(self._loaded) > _LOADED:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(name)
        return self._loaded[name]


class _Journal:
    """What is done, a JSON line a file, and the seed of the list in lines of its own; the last of a name counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: dict[str, tuple[str, float]] = {}
        self._seed: int | None = None
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            lines = []
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{path}: cannot be read: move it away, or name another folder") from error
        for line in lines:
            try:
                entry = json.loads(line)
                if "moksori_batch" in entry:
                    self._seed = int(entry["seed"])
                else:
                    self._done[entry["name"]] = (entry["key"], float(entry["seconds"]))
            except (ValueError, KeyError, TypeError):
                continue  # the line that was being written when the process died

    def seed(self, wanted: int | None) -> int:
        """The seed of the list."""
        return chosen_seed(self._seed if wanted is None else wanted)

    def seconds(self, name: str, key: str) -> float | None:
        """How long the file is, where one was made with this key."""
        found = self._done.get(name)
        return found[1] if found is not None and found[0] == key else None

    @contextmanager
    def writing(self, seed: int) -> Iterator[Callable[[str, str, Spoken], None]]:
        """Gives what notes a line that was spoken."""
        with self._path.open("a", encoding="utf-8") as file:

            def write(entry: Mapping[str, Any]) -> None:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
                file.flush()

            def note(name: str, key: str, spoken: Spoken) -> None:
                seconds = round(spoken.duration_seconds, 4)
                write({"name": name, "file": spoken.path.name, "seconds": seconds, "seed": spoken.seed, "key": key})

            write({"moksori_batch": 1, "seed": seed})
            yield note


def _key(line: Line, settings: Settings, model: str) -> str:
    """Tells whether a file that is there is what would be made."""
    own = asdict(replace(line, line=0, seed=line.chosen_seed(settings.seed)))
    said = [own, settings.options.as_json(), settings.form, settings.watermark, model]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _line(cells: Mapping[str, str], number: int, where: str) -> Line:
    """A row as a Line; empty cells stand for nothing given."""
    name, text = cells.get("name", ""), cells.get("text", "")
    if not _NAME.fullmatch(name):
        raise BadInput(f"{where}: name {name!r}: expected letters, digits and ' .,()+-_', a file name without a suffix")
    if not any(character.isalnum() for character in text):
        raise TextError(f"{where}: {name}: nothing to say, the text is empty: give some words")
    values: dict[str, Any] = {key: cells[key] for key in ("voice", "speaker", "language") if cells.get(key)}
    for key in _NUMBERS:
        if cells.get(key):
            try:
                values[key] = float(cells[key])
            except ValueError as error:
                raise BadInput(f"{where}: {key} {cells[key]!r}: expected a number") from error
    if cells.get("seed"):
        if not cells["seed"].isdecimal() or int(cells["seed"]) > MAXIMUM_SEED:
            raise BadInput(f"{where}: seed {cells['seed']!r}: expected a whole number from 0 to {MAXIMUM_SEED}")
        values["seed"] = int(cells["seed"])
    line = Line(name, text, line=number, **values)
    try:
        line.options(SayOptions())
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    return line
