"""Which speakers are women and which men: a tracked table, as verification trials are between people of one sex.

`python -m moksori.evaluation.speaker_sexes DATA` makes it anew from the house's recordings: from the column `sex` of
their tables, and from their READMEs where they have none.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path

from moksori.errors import CorpusError

FEMALE, MALE = "F", "M"
_TABLED = ("librispeech-many",)
_TOLD: Mapping[str, Mapping[str, str]] = {
    "kathleen": {"kathleen": FEMALE},
    "librispeech-samples": {"ls19": FEMALE, "ls26": MALE, "ls27": MALE},
    "flemishguy": {"flemishguy": MALE},
    "nathalie": {"nathalie": FEMALE},
    "kerstin": {"kerstin": FEMALE},
    "vctk-mini": {"p225": FEMALE, "p226": MALE, "p227": MALE, "p228": FEMALE},
    "ljspeech-mini": {"LJ": FEMALE},
    "singing": {"nit_f001": FEMALE, "martin": MALE},
}
"""Corpora whose tables have no such column; what their READMEs say."""
_HEADER = ("speaker", "sex", "corpus")


@lru_cache
def speaker_sexes() -> Mapping[str, str]:
    """Speaker -> "F" or "M", of the house's speakers; others are not in it."""
    text = (resources.files("moksori") / "evaluation" / "speakers.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return {row[0]: row[1] for row in rows[1:]}


def make_table(data: Path) -> str:
    """The table's text, of the recordings in `data`. Raises CorpusError where a corpus or a column is missing."""
    found = [(speaker, sex, corpus) for corpus, told in _TOLD.items() for speaker, sex in told.items()]
    for corpus in _TABLED:
        path = data / corpus / "metadata.csv"
        try:
            with path.open(encoding="utf-8", newline="") as stream:
                rows = csv.DictReader(stream, delimiter="|", quoting=csv.QUOTE_NONE)
                found += sorted({(row["speaker"], row["sex"], corpus) for row in rows})
        except (OSError, KeyError) as error:
            raise CorpusError(f"{path}: no table with the columns speaker and sex ({error}); give the folder of the "
                              "house's recordings") from error  # fmt: skip
    lines = ["# made by: python -m moksori.evaluation.speaker_sexes DATA", "\t".join(_HEADER)]
    return "\n".join([*lines, *("\t".join(row) for row in found)]) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Writes `speakers.tsv` beside this module from the recordings in `arguments[0]`."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m moksori.evaluation.speaker_sexes DATA\n")
        return 2
    text = make_table(Path(arguments[0]))
    Path(__file__).with_name("speakers.tsv").write_text(text, encoding="utf-8")
    sys.stdout.write(f"speakers.tsv: {len(text.splitlines()) - 2} speakers\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
