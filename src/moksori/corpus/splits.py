"""Which sentences, speakers and recordings stay out of training, decided once for the whole house.

Every rule orders by sha256 of a normalised name, so that nobody chooses and everybody gets the same lists. The lists of
the house's own corpora are tracked in `evaluation/splits/`; `python -m moksori.corpus.splits DATA` makes them again.
Other corpora follow `default_split`. Sentences are compared by `sentence_key`, so every take of a sentence, in any
corpus that shares the list, goes where the sentence goes.
"""

import csv
import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from moksori.errors import CorpusError, unknown_name

COLUMNS = ("split", "by", "value")
KINDS = ("sentence", "speaker", "recording", "all")


@dataclass(frozen=True)
class HouseCorpus:
    """A corpus the house knows. splits: name of its tracked list; language: espeak's name for it."""

    splits: str
    language: str
    speakers: tuple[str, ...] = ()


HOUSE: Mapping[str, HouseCorpus] = {
    "kathleen": HouseCorpus("kathleen", "en-us", ("kathleen",)),
    "kathleen-extra-takes": HouseCorpus("kathleen", "en-us", ("kathleen",)),
    "nathalie": HouseCorpus("dutch", "nl", ("nathalie",)),
    "flemishguy": HouseCorpus("dutch", "nl", ("flemishguy",)),
    "kerstin": HouseCorpus("kerstin", "de", ("kerstin",)),
    "librispeech-many": HouseCorpus("librispeech-many", "en-us"),
    "librispeech-samples": HouseCorpus("librispeech-samples", "en-us", ("ls19", "ls26", "ls27")),
    "vctk-mini": HouseCorpus("vctk-mini", "en-us"),
    "ljspeech-mini": HouseCorpus("ljspeech-mini", "en-us"),
    "singing": HouseCorpus("singing", "ja"),
}
SOUNDS = "noise-music"
"""The house's noises, music and rooms: no corpus of speech, but some are held out too."""


@dataclass(frozen=True)
class Spoken:
    """What the rules look at: a recording's name, speaker, text, and its length and the speaker's sex where known."""

    name: str
    speaker: str
    text: str
    seconds: float = 0.0
    sex: str = ""


@dataclass(frozen=True)
class SplitList:
    """A tracked list: what is test or valid; all else is train.

    sentences: key -> split; speakers and recordings: name -> split; everything: the split of the whole corpus.
    texts: split -> its sentences as they are written in the corpus.
    """

    name: str
    sentences: Mapping[str, str]
    speakers: Mapping[str, str]
    recordings: Mapping[str, str]
    everything: str | None
    texts: Mapping[str, tuple[str, ...]]

    def split_of(self, item: Spoken) -> str:
        """ "train", "valid" or "test"; the first rule that names the recording, its speaker or its sentence decides."""
        for table, key in (
            (self.recordings, item.name),
            (self.speakers, item.speaker),
            (self.sentences, sentence_key(item.text)),
        ):
            if key in table:
                return table[key]
        return self.everything or "train"


def sentence_key(text: str) -> str:
    """Case-folded letters and digits of a sentence, nothing else: takes that differ in punctuation share it."""
    return "".join(character for character in text.casefold() if character.isalnum())


def order(key: str) -> str:
    """sha256 of a key in hexadecimal: sorting by it is the house's way of drawing lots."""
    return hashlib.sha256(key.encode("utf-8")).hexdigest()


def default_split(
    items: Sequence[Spoken], valid_fraction: float = 0.025, test_fraction: float = 0.05
) -> dict[str, str]:
    """Key of each sentence -> split, for corpora without a tracked list.

    Sentences in the order of their sha256: the first 5 % (at least 1, at most 100) are test, the next 2.5 % (at least
    1, at most 40) valid. Recordings without text count by their name. Fewer than three sentences are all train.
    """
    keys = sorted({split_key(item) for item in items}, key=order)
    if len(keys) < 3:
        return dict.fromkeys(keys, "train")
    tests = min(max(round(test_fraction * len(keys)), 1), 100)
    valids = min(max(round(valid_fraction * len(keys)), 1), 40)
    return {
        key: "test" if place < tests else "valid" if place < tests + valids else "train"
        for place, key in enumerate(keys)
    }


def split_key(item: Spoken) -> str:
    """The sentence's key, or the recording's name where there is no text."""
    return sentence_key(item.text) or f"recording {item.name}"


def house_corpus(folder: str, speakers: Iterable[str]) -> HouseCorpus | None:
    """The house's corpus of that folder name, or whose speaker this is: a renamed folder keeps its test sentences."""
    if folder in HOUSE:
        return HOUSE[folder]
    found = set(speakers)
    for known in HOUSE.values():
        if known.speakers and found and found <= set(known.speakers):
            return known
    return None


@lru_cache
def split_list(name: str) -> SplitList:
    """The tracked list of that name; raises UnknownName with the nearest."""
    folder = resources.files("moksori") / "evaluation" / "splits"
    names = sorted(f.name.removesuffix(".tsv") for f in folder.iterdir() if f.name.endswith(".tsv"))
    if name not in names:
        raise unknown_name("split list", name, names)
    return parse_list(name, (folder / f"{name}.tsv").read_text(encoding="utf-8"))


def held_out_sentences(name: str, split: str = "test") -> tuple[str, ...]:
    """The held-out sentences of a tracked list as the corpus writes them, for a judge's closed language model."""
    return split_list(name).texts.get(split, ())


def parse_list(name: str, text: str) -> SplitList:
    """A list file: comment lines from `#`, the header `split by value`, then tab-separated rows."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    rows = [tuple(line.split("\t")) for line in lines]
    if not rows or rows[0] != COLUMNS:
        raise CorpusError(f"split list {name}: expected the header {' '.join(COLUMNS)}")
    tables: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    texts: dict[str, list[str]] = {}
    for row in rows[1:]:
        if len(row) != 3 or row[0] not in ("valid", "test") or row[1] not in KINDS:
            raise CorpusError(f"split list {name}: cannot use the row {' | '.join(row)!r}")
        split, kind, value = row
        tables[kind][sentence_key(value) if kind == "sentence" else value] = split
        if kind == "sentence":
            texts.setdefault(split, []).append(value)
    return SplitList(
        name,
        tables["sentence"],
        tables["speaker"],
        tables["recording"],
        tables["all"].get("*"),
        {split: tuple(found) for split, found in texts.items()},
    )


def make_lists(data: Path) -> dict[str, str]:
    """The house's lists from the folder of its recordings: list name -> the file's text."""
    read = {name: _read_table(data / name) for name in HOUSE}
    lists = {
        "kathleen": _sentence_list(
            [read["kathleen"]],
            [read["kathleen-extra-takes"]],
            tests=100,
            valids=40,
            rule="the first 100 (test) and next 40 (valid) sentences by sha256 of the sentence key, of those in "
            "kathleen that last 2 to 8 s there and whose other takes all have the same text",
        ),
        "dutch": _sentence_list(
            [read["nathalie"], read["flemishguy"]],
            [],
            tests=100,
            valids=40,
            rule="the first 100 (test) and next 40 (valid) sentences by sha256 of the sentence key, of those that "
            "nathalie and flemishguy both read and that last 2 to 8 s in both; for both corpora",
        ),
        "librispeech-many": _speaker_list(read["librispeech-many"]),
        "singing": _format(
            "songs for evaluation only",
            [("test", "recording", "crazy_antagata_dokosa"), ("test", "recording", "nit_f001_004")],
        ),
    }
    for name in ("kerstin", "librispeech-samples"):
        items = read[name]
        splits = default_split(items)
        written = {sentence_key(item.text): item.text for item in reversed(items)}
        rows = [(splits[key], "sentence", written[key]) for key in sorted(written, key=order) if splits[key] != "train"]
        lists[name] = _format("5 % test and 2.5 % valid sentences by sha256 of the sentence key", rows)
    for name in ("vctk-mini", "ljspeech-mini"):
        lists[name] = _format("all of it is held out of every training", [("test", "all", "*")])
    lists[SOUNDS] = _sound_list(data / SOUNDS)
    return lists


def _sentence_list(
    required: Sequence[Sequence[Spoken]], others: Sequence[Sequence[Spoken]], tests: int, valids: int, rule: str
) -> str:
    """Candidates are read in every required corpus, 2 to 8 s long in each recording there, and have no odd take."""
    odd = _odd_takes([item for items in (*required, *others) for item in items])
    candidates: dict[str, str] | None = None
    for items in required:
        long_enough: dict[str, bool] = {}
        for item in items:
            key = sentence_key(item.text)
            long_enough[key] = long_enough.get(key, True) and 2.0 <= item.seconds <= 8.0
        here = {sentence_key(item.text): item.text for item in reversed(items)}
        here = {key: text for key, text in here.items() if key and long_enough[key] and key not in odd}
        candidates = here if candidates is None else {key: text for key, text in candidates.items() if key in here}
    chosen = sorted(candidates or {}, key=order)[: tests + valids]
    rows = [
        ("test" if place < tests else "valid", "sentence", (candidates or {})[key]) for place, key in enumerate(chosen)
    ]
    return _format(rule, rows)


def _odd_takes(items: Sequence[Spoken]) -> set[str]:
    """Keys of sentences with a take (name `NAME_tN`) of another text: one list entry could not hold both out."""
    keys: dict[str, set[str]] = {}
    for item in items:
        stem, separator, take = item.name.rpartition("_t")
        keys.setdefault(stem if separator and take.isdigit() else item.name, set()).add(sentence_key(item.text))
    return {key for found in keys.values() if len(found) > 1 for key in found}


def _speaker_list(items: Sequence[Spoken]) -> str:
    rows = []
    for sex in ("F", "M"):
        speakers = sorted({item.speaker for item in items if item.sex == sex}, key=order)
        rows += [("test", "speaker", speaker) for speaker in speakers[:16]]
    rest = [item for item in items if item.speaker not in {value for _, _, value in rows}]
    splits = default_split(rest)
    written = {sentence_key(item.text): item.text for item in reversed(rest)}
    # Sentences here have one speaker each: the test is the held-out speakers', only valid is drawn from the others.
    rows += [("valid", "sentence", written[key]) for key in sorted(written, key=order) if splits[key] == "valid"]
    return _format(
        "held-out speakers, in no model's training: the first 16 women and 16 men by sha256 of the id; "
        "valid: 2.5 % of the other sentences by sha256 of the sentence key",
        rows,
    )


def _sound_list(folder: Path) -> str:
    """A fifth of noises, music and rooms: nobody trains with what robustness is judged by."""
    kinds: dict[str, list[str]] = {"noise": [], "music": [], "rir": []}
    for row in _rows(folder):
        kind = next((kind for kind in kinds if (row.get("note") or "").startswith(kind)), None)
        if kind is not None:
            kinds[kind].append(row["id"])
    rows = [("test", "recording", name) for names in kinds.values() for name in _first_fifth(names)]
    return _format("the first fifth, but one at least, of each kind of sound by sha256 of the id", rows)


def _first_fifth(names: Sequence[str]) -> list[str]:
    return sorted(names, key=order)[: max(1, len(names) // 5)]


def _format(rule: str, rows: Sequence[tuple[str, str, str]]) -> str:
    lines = [f"# {rule}", "# made by: python -m moksori.corpus.splits DATA", "\t".join(COLUMNS)]
    return "\n".join([*lines, *("\t".join(row) for row in rows)]) + "\n"


def _read_table(folder: Path) -> list[Spoken]:
    return [
        Spoken(row["id"], row["speaker"], row["text"], float(row.get("seconds") or 0), row.get("sex") or "")
        for row in _rows(folder)
    ]


def _rows(folder: Path) -> list[dict[str, str]]:
    path = folder / "metadata.csv"
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; give the folder that holds {', '.join(HOUSE)} and {SOUNDS}")
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="|", quoting=csv.QUOTE_NONE))


def main(arguments: Sequence[str]) -> int:
    """Writes the tracked lists from the recordings in `arguments[0]` into `evaluation/splits/` beside this package."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m moksori.corpus.splits DATA\n")
        return 2
    target = Path(__file__).resolve().parent.parent / "evaluation" / "splits"
    target.mkdir(parents=True, exist_ok=True)
    for name, text in make_lists(Path(arguments[0])).items():
        (target / f"{name}.tsv").write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name}.tsv: {sum(not line.startswith('#') for line in text.splitlines()) - 1} rows\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
