"""How much of Korean do the standard rules, and the list of exceptions, and espeak, pronounce right; and how fast?

The words are the golden tables of the tests: the rule book's own examples, and words and sentences that were written
down first. espeak is compared in broad sounds (voicing, release and what a table writes in two ways are not looked at),
word by word of the sentences, where the reference is known and ours equals it.
"""

import time
from pathlib import Path
from typing import Any

from common import finish, parser, start

from moksori.text import phonemes
from moksori.text.korean_exceptions import bundled, read_exceptions
from moksori.text.korean_phonemes import FRONT_END, _words
from moksori.text.korean_rules import pronounce
from moksori.text.normalize import normalize

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
BROAD = {
    "ɡ": "k", "q": "k", "k\u031a": "k", "d": "t", "d-": "t", "t\u031a": "t", "b": "p", "p\u031a": "p", "dʑ": "tɕ",
    "tɕ-": "tɕ", "kh": "kʰ", "ph": "pʰ", "q-": "k-", "ɫ": "l", "ɾ": "l", "ɕ": "s", "ɕ-": "s-", "tʃ": "tɕ", "ɛ": "e",
}  # fmt: skip
"""Phone -> what it is compared as; espeak has no other ㅉ than ㅈ, and writes aspirates as two phones."""


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--wrong", type=int, default=60, help="how many differences from espeak are printed")
    chosen = options.parse_args()
    environment = start(chosen)
    examples, unseen = _rows("pronunciation_ko.tsv"), _rows("pronunciation_ko_unseen.tsv")
    figures: dict[str, Any] = {"the rule book's examples": shares(examples)}
    for kind in ("rule", "word", "frequency", "sentence"):
        figures[kind] = shares([row for row in unseen if row[2] == kind])
    for name, found in figures.items():
        print(f"{name}: n = {found['n']}, rules alone {found['rules']}, with the list {found['list']} right")
    figures["speed"] = speed([written for written, _, kind in unseen if kind == "sentence"])
    figures["espeak"] = against_espeak([row for row in unseen if row[2] == "sentence"], chosen.wrong)
    finish("korean_front_end", chosen, environment, figures)


def shares(rows: list[tuple[str, str, str]]) -> dict[str, int]:
    """How many rows each of the two pronounces in one of the ways that the table allows."""
    right = {}
    for name, exceptions in (("rules", read_exceptions("")), ("list", bundled())):
        said = ["".join(map(str, pronounce(normalize(row[0], "ko").split(), exceptions))) for row in rows]
        right[name] = sum(s in row[1].replace(" ", "").split("/") for s, row in zip(said, rows, strict=True))
    return {"n": len(rows), **right}


def speed(sentences: list[str]) -> dict[str, float]:
    """Words a CPU second from written words to phones, each sentence new, and of normalisation before."""
    texts = [f"{sentence} {number}." for number in range(25) for sentence in sentences]
    began = time.process_time()
    normal = [normalize(text, "ko") for text in texts]
    between = time.process_time()
    words = 0
    for text in normal:
        _words.cache_clear()
        words += len(FRONT_END.words(text.rstrip(".").split()))
    seconds = {"normalisation": between - began, "phones": time.process_time() - between}
    print(", ".join(f"{name}: {words / spent:.0f} words a CPU second" for name, spent in seconds.items()))
    return {name: words / spent for name, spent in seconds.items()}


def against_espeak(rows: list[tuple[str, str, str]], shown: int) -> dict[str, int]:
    """Words of sentences that espeak says otherwise, borders between words aside."""
    total, different = 0, []
    for written, right, _ in rows:
        words = normalize(written, "ko").split()
        if list(map(str, pronounce(words))) != right.split():
            continue
        theirs = phonemes._spoken("ko", tuple(words))
        for word, ours, espeak, said in zip(words, FRONT_END.words(words), theirs, right.split(), strict=True):
            total += 1
            if _broad(ours.phones) != _broad(espeak.phones):
                different.append(f"  {word} [{said}]: espeak {_broad(espeak.phones)}, ours {_broad(ours.phones)}")
    print(f"words of sentences: espeak differs in {len(different)} of {total}")
    print("\n".join(different[:shown]))
    return {"n": total, "different": len(different)}


def _broad(phones: tuple[str, ...]) -> str:
    text = " ".join(BROAD.get(phone, phone) for phone in phones if phone.strip())
    text = text.replace("tɕ h", "tɕʰ").replace("t h", "tʰ").replace("ɯ j", "ɰ i").replace("l l", "l")
    for onset in ("t-", "s-", "s", "tɕ", "k-", "p-"):  # espeak writes the coda of 있다 as tense
        text = text.replace(f"t- {onset}", f"t {onset}")
    return text.removesuffix(" t-") + (" t" if text.endswith(" t-") else "")


def _rows(name: str) -> list[tuple[str, str, str]]:
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    found = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [(written, said, kind) for written, said, kind in found]


if __name__ == "__main__":
    main()
