"""Makes the data of the English front end (src/moksori/text/data/english_*) from word lists, texts and espeak.

    python scripts/train_g2p.py --scowl DIR --cmudict FILE --text FILE [--text FILE ...] [--level 35] [--passes 4]

--scowl: the folder of SCOWL's lists (`american-words.10` ...), --cmudict: `cmudict.dict`, --text: running text, one
sentence or paragraph a line. Needs the extras espeak and fast. About four minutes of one quiet core; nothing is drawn
at random but by fixed seeds. The same data and espeak give the same files.
"""

import argparse
import json
import logging
import random
import re
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "g2p"))

import context
import letters
import words
from align import aligned

from moksori.text import english_phonemes
from moksori.text.english_context import ContextRules, Sounds
from moksori.text.english_phonemes import packed_lexicon
from moksori.text.letter_features import ALPHABET

_log = logging.getLogger("train_g2p")
_WORD = re.compile(r"[^\W\d_]{2,}(?:'[^\W\d_]+)*")
CASED = 60
"""Up to this level a spelling with capitals has its own entry where it is said otherwise ("Polish")."""
ASKED = 50
"""Words up to this level are asked for readings after "to", "have" and "he"."""
TRIGGERS = 20
"""Words up to this level, and adverbs and contractions, are asked what they make espeak expect."""
SAMPLE = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scowl", type=Path, required=True)
    parser.add_argument("--cmudict", type=Path, required=True)
    parser.add_argument("--text", type=Path, action="append", required=True)
    parser.add_argument("--level", type=int, default=35, help="SCOWL's lists up to this one are in the lexicon whole")
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--features", type=int, default=150_000)
    parser.add_argument("--least", type=float, default=1.0, help="smaller weights of the letters model are dropped")
    parser.add_argument("--out", type=Path, default=english_phonemes.DATA)
    parser.add_argument("--sample", type=Path, help="where to write a sample of unseen words for the tests")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    levels = words.word_lists(chosen.scowl, chosen.cmudict)
    text = [line for path in chosen.text for line in path.read_text("utf-8").splitlines()]
    for word in sorted({word for line in text for word in _WORD.findall(line) if not word.endswith("'s")}):
        if not {word, word.lower()} & levels.keys():
            levels[word] = words.NAMES
    # An abbreviation's letters in lower case may be another word, or said as one ("et").
    shouted = {word.lower(): n for word, n in levels.items() if len(word) > 1 and word.isupper()}
    levels = {**shouted, **levels}
    sounds = dict(words.said(levels))
    spelling = words.by_letters(sounds, levels)
    _log.info("%d words, %d spellings", len(sounds), len(spelling))

    rules = learned_context(sounds, levels, text)
    written = json.dumps(context.as_json(rules), ensure_ascii=False, separators=(",", ":"))
    _write(chosen.out / english_phonemes.CONTEXT, lambda path: path.write_text(written, encoding="utf-8"))

    names = {c: _named(c) for c in ALPHABET if c != "'"}
    usable = [(w, sounds[w], levels[w]) for lower, w in spelling.items() if set(lower) <= set(ALPHABET)]
    items = aligned(usable, names)
    use = {kind: [x for x in items if words.use_of(x.letters) == kind] for kind in ("train", "valid", "test")}
    labels = letters.labels_of(use["train"], {c: name.written for c, name in names.items()})
    learned = letters.learn(use["train"], use["valid"], labels, chosen.passes, rare=2)
    model = learned.compressed(chosen.features, chosen.least)
    _write(chosen.out / english_phonemes.LETTERS, model.save)
    unseen = random.Random(0).sample(use["test"], min(SAMPLE, len(use["test"])))
    right = sum(model.sounds(x.letters) == x.sounds for x in unseen)
    _log.info("unseen words said as espeak says them: %d of %d", right, len(unseen))
    otherwise = letters.said_otherwise(model, items) | (set(spelling) - {x.letters for x in items})
    lexicon = lexicon_of(sounds, levels, spelling, chosen.level, otherwise)
    _write(chosen.out / english_phonemes.LEXICON, lambda path: path.write_bytes(packed_lexicon(lexicon)))
    if chosen.sample:
        rows = "".join(f"{x.letters}\t{x.sounds.written}\n" for x in sorted(unseen, key=lambda x: x.letters))
        _write(chosen.sample, lambda path: path.write_text(rows, encoding="utf-8"))


def lexicon_of(
    sounds: dict[str, Sounds], levels: dict[str, int], spelling: dict[str, str], level: int, otherwise: set[str]
) -> dict[str, Sounds]:
    """Words up to a level and all that the letters model says otherwise, in lower case; spellings with capitals too
    where they are said otherwise; "twenty-one" to "ninety-nine", and "Mc" alone and before a [k] or [g]."""
    lexicon = {}
    for lower, word in spelling.items():
        if levels[word] <= level or lower in otherwise:
            lexicon[lower] = sounds[lower if levels.get(lower, words.NAMES) <= CASED and lower in sounds else word]
    for word, said in sounds.items():
        lower = word.lower()
        if word != lower and levels[word] <= CASED and lower in lexicon and said != lexicon[lower]:
            lexicon[word] = said
    for number in words.NUMBERS:
        lexicon[number] = words.beside("", number) or sounds[number.split("-")[0]]
    return lexicon | {"Mc": Sounds.read("m_ə_k"), "M'c": Sounds.read("m_ə")}


def learned_context(sounds: dict[str, Sounds], levels: dict[str, int], text: list[str]) -> ContextRules:
    """Expectations, readings and trees. sounds: of words as written."""

    @cache
    def alone(word: str) -> Sounds:
        return sounds.get(word) or words.beside("", word) or Sounds((), ())

    def key(word: str) -> str:
        shouted = len(word) > 1 and word.isupper() and alone(word) != alone(word.lower())
        return word if shouted else context.lowered(word)

    asked = [w for w, n in levels.items() if n <= TRIGGERS or (n <= 40 and (w.endswith("ly") or "'" in w))]
    rules = ContextRules(
        context.expectations(asked), context.readings({w: s for w, s in sounds.items() if levels[w] <= ASKED}), {}
    )
    return ContextRules(
        rules.expectations, rules.readings, context.trees(list(context.clauses(text)), rules, key, alone)
    )


def _named(letter: str) -> Sounds:
    """The name of a letter with the stress of the last one of several."""
    return Sounds(("eɪ",), (1,)) if letter == "a" else words.beside("", letter.upper()) or Sounds((), ())


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """A file written whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        write(part)
        part.replace(path)
    _log.info("%s: %d bytes", path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
