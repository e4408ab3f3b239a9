"""Makes the data of the English front end (src/moksori/text/data/english_*) from word lists, texts and espeak.

    python scripts/train_g2p.py --scowl DIR --cmudict FILE --text FILE [--text FILE ...] --work DIR [--words 8000000]

--scowl: the folder of SCOWL's lists (`american-words.10` ...), --cmudict: `cmudict.dict`, --text: running text, one
sentence or paragraph a line. Needs the extras espeak and fast. What is drawn at random has fixed seeds.

--work keeps what takes long: espeak's answers for pseudo-words (5 minutes of one core for 2,000,000) and the network's
checkpoint (an hour for 8,000,000 words on a core with bfloat16 matrices); a run that was broken off goes on from them.
The rest takes some six minutes. --keep-context leaves what words change in each other as it is, for a network alone.
"""

import argparse
import json
import logging
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "g2p"))

import context
import network
import words
from align import Aligner
from pseudo import PseudoWords

from moksori.text import english_phonemes
from moksori.text.english_context import ContextRules, Sounds
from moksori.text.english_phonemes import packed_lexicon
from moksori.text.letters_to_phones import ALPHABET, Labels, LetterModel

_log = logging.getLogger("train_g2p")
_WORD = re.compile(r"[^\W\d_]{2,}(?:'[^\W\d_]+)*")
CASED = 60
"""Up to this level a spelling with capitals has its own entry where it is said otherwise ("Polish")."""
ASKED = 50
"""Words up to this level are asked for readings after "to", "have" and "he"."""
TRIGGERS = 20
"""Words up to this level, and adverbs and contractions, are asked what they make espeak expect."""
SAMPLE = 400
RARE = 400
"""A label that fewer letters have is none; its words go into the lexicon."""
PART = 2_000_000
"""Pseudo-words of one seed."""
LONGEST = 24
"""Longer words do not train."""
SURE = 0.3
"""Where the best label leads by less, NumPy decides, not torch's rounder numbers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scowl", type=Path, required=True)
    parser.add_argument("--cmudict", type=Path, required=True)
    parser.add_argument("--text", type=Path, action="append", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for what a later run can go on from")
    parser.add_argument("--level", type=int, default=35, help="SCOWL's lists up to this one are in the lexicon whole")
    parser.add_argument("--pseudo", type=int, default=4_000_000, help="how many pseudo-words espeak is asked for")
    parser.add_argument("--words", type=int, default=8_000_000, help="how many words the network learns from, in all")
    parser.add_argument("--keep-context", action="store_true", help="do not learn anew what words change in each other")
    parser.add_argument(
        "--also", type=Path, help="words, one a line, that the lexicon lists where the network is wrong"
    )
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

    if not chosen.keep_context:
        rules = learned_context(sounds, levels, text)
        written = json.dumps(context.as_json(rules), ensure_ascii=False, separators=(",", ":"))
        _write(chosen.out / english_phonemes.CONTEXT, lambda path: path.write_text(written, encoding="utf-8"))

    chosen.work.mkdir(parents=True, exist_ok=True)
    names = {c: _named(c) for c in ALPHABET if c != "'"}
    plain = {lower: sounds[written_as(lower, word, sounds, levels)] for lower, word in spelling.items()}
    usable = [(lower, said) for lower, said in plain.items() if set(lower) <= set(ALPHABET)]
    model = learned_letters(usable, names, chosen.pseudo, chosen.words, chosen.work)
    _write(chosen.out / english_phonemes.LETTERS, model.save)
    model = LetterModel.load(chosen.out / english_phonemes.LETTERS)
    kept_out = [item for item in usable if words.use_of(item[0]) == "test"]
    unseen = random.Random(0).sample(kept_out, min(SAMPLE, len(kept_out)))
    also = {} if chosen.also is None else more_words(chosen.also, plain)
    plain |= also
    otherwise = said_otherwise(model, usable + [item for item in also.items() if set(item[0]) <= set(ALPHABET)])
    share = sum(lower in otherwise for lower, _ in kept_out) / max(1, len(kept_out))
    _log.info("of %d unseen words %.2f %% are said otherwise", len(kept_out), 100 * share)
    otherwise |= {lower for lower in plain if not set(lower) <= set(ALPHABET)}
    otherwise |= {lower for lower, word in spelling.items() if levels[word] <= chosen.level}
    lexicon = lexicon_of(plain, otherwise, sounds, levels)
    _write(chosen.out / english_phonemes.LEXICON, lambda path: path.write_bytes(packed_lexicon(lexicon)))
    if chosen.sample:
        rows = "".join(f"{lower}\t{said.written}\n" for lower, said in sorted(unseen, key=lambda item: item[0]))
        _write(chosen.sample, lambda path: path.write_text(rows, encoding="utf-8"))


def learned_letters(
    usable: list[tuple[str, Sounds]], names: dict[str, Sounds], pseudo: int, amount: int, work: Path
) -> LetterModel:
    """The network, taught with `amount` words: those of the families for training, and pseudo-words of their parts."""
    use = {kind: [x for x in usable if words.use_of(x[0]) == kind] for kind in ("train", "valid", "test")}
    more = labelled_pseudo_words([x[0] for x in use["train"]], [x[0] for x in use["valid"] + use["test"]], pseudo, work)
    aligner = Aligner(use["train"], names)

    def labelled(some: Iterable[tuple[str, Sounds]]) -> list[tuple[str, tuple[str, ...]]]:
        found = ((lower, aligner.labels(lower, sounds)) for lower, sounds in some if len(lower) <= LONGEST)
        return [(lower, labels) for lower, labels in found if labels is not None]

    real, made = labelled(use["train"]), labelled(more)
    counts = Counter(label for some in (real, made) for _, labels in some for label in labels)
    common = [label for label, n in counts.most_common() if n >= RARE]
    numbers = {label: k for k, label in enumerate(common)}
    real, made = ([x for x in some if all(label in numbers for label in x[1])] for some in (real, made))
    _log.info("%d words and %d pseudo-words to learn from, %d labels", len(real), len(made), len(common))
    packed = [network.Packed.of(some, numbers) for some in (real, made, labelled(use["valid"]))]
    labels = Labels(common, {letter: name.written for letter, name in names.items()})
    learned = network.learn(*packed, labels.primary.tolist(), network.Shape(), amount, work / "network.pt")
    return network.exported(learned, labels)


def labelled_pseudo_words(pool: list[str], kept_out: list[str], count: int, work: Path) -> list[tuple[str, Sounds]]:
    """Pseudo-words with espeak's sounds, in parts with seeds of their own, each read from the work folder where an
    earlier run left it; none twice."""
    found: dict[str, Sounds] = {}
    for seed, first in enumerate(range(0, count, PART)):
        path, size = work / f"pseudo-{seed}.tsv", min(PART, count - first)
        if not path.exists():
            drawn = words.said(PseudoWords(pool, kept_out, seed).draw())
            rows = "".join(f"{word}\t{sounds.written}\n" for _, (word, sounds) in zip(range(size), drawn, strict=False))
            _write(path, lambda part, rows=rows: part.write_text(rows, encoding="utf-8"))  # type: ignore[misc]
        for line in path.read_text(encoding="utf-8").splitlines()[:size]:
            word, sounds = line.split("\t")
            if word not in found:
                found[word] = Sounds.read(sounds)
    return list(found.items())


def more_words(path: Path, known: Mapping[str, Sounds]) -> dict[str, Sounds]:
    """Words of a file in lower case with their sounds, but for known ones."""
    listed = dict.fromkeys(word.strip().lower() for word in path.read_text(encoding="utf-8").splitlines())
    return dict(words.said(word for word in listed if word and word not in known))


def said_otherwise(model: LetterModel, items: list[tuple[str, Sounds]]) -> set[str]:
    """The words that a model does not say as they are said."""
    labels = network.most_likely(network.imported(model), [lower for lower, _ in items])
    found = set()
    for (lower, sounds), (chosen, lead) in zip(items, labels, strict=True):
        said = model.sounds(lower) if lead < SURE else model.labels.word(lower, chosen)
        if said != sounds:
            found.add(lower)
    return found


def written_as(lower: str, word: str, sounds: dict[str, Sounds], levels: dict[str, int]) -> str:
    """The spelling whose sounds a lower-case word has: its own where that is common, else the commonest one."""
    return lower if levels.get(lower, words.NAMES) <= CASED and lower in sounds else word


def lexicon_of(
    plain: dict[str, Sounds], listed: set[str], sounds: dict[str, Sounds], levels: dict[str, int]
) -> dict[str, Sounds]:
    """The `listed` words in lower case; spellings with capitals where they are said otherwise than in lower case;
    "twenty-one" to "ninety-nine", and "Mc" alone and before a [k] or [g]."""
    lexicon = {lower: said for lower, said in plain.items() if lower in listed}
    for word, said in sounds.items():
        if word != word.lower() and levels[word] <= CASED and said != plain[word.lower()]:
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
    """The name of a letter with the stress of the last one of several; "a" and "I" alone are words, and have none."""
    alone = {"a": "eɪ", "i": "aɪ"}
    return Sounds((alone[letter],), (1,)) if letter in alone else words.beside("", letter.upper()) or Sounds((), ())


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """A file written whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        write(part)
        part.replace(path)
    _log.info("%s: %d bytes", path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
