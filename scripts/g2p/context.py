"""What English words change in each other, learned from espeak's reading of running text (text.english_context)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from words import beside

from moksori.errors import MoksoriError
from moksori.text import phonemes
from moksori.text.english_context import FEATURES, ContextRules, Expectations, Sounds, Tree, by_rule, features
from moksori.text.normalize import normalize

Clause = tuple[tuple[str, ...], tuple[Sounds, ...]]

LEAST_WRONG = 3
"""Fewer mistakes in all the text are no reason for a tree."""
MOST_ROWS = 8000
MOST_FORMS = 24
LEAST_GAIN = 0.5
_FREE = frozenset(("vowel", "expected", "stressed"))
"""Features of few values; the others pay more for a split, so that rare words do not decide."""


def clauses(texts: Iterable[str]) -> Iterator[Clause]:
    """The clauses of texts with the sounds that espeak gives each word there."""
    for text in texts:
        try:
            items = phonemes.Phonemizer("en-us").phonemize(normalize(text, "en-us"))
        except MoksoriError:
            continue
        clause: list[phonemes.SpokenWord] = []
        for item in [*items, phonemes.Pause(".")]:
            if isinstance(item, phonemes.SpokenWord):
                clause.append(item)
            elif item.marks and clause:
                yield tuple(w.text for w in clause), tuple(Sounds(w.phones, w.stress, w.joined) for w in clause)
                clause = []


def expectations(words: Sequence[str]) -> Expectations:
    """Which of the words make espeak read a verb or a participle next: asked with "record", "uses" and "read"."""
    verb = {w for w in words if _differs(w, "record")}
    verb_s = {w for w in words if _differs(w, "uses")} - verb
    participle = {w for w in words if _differs(w, "read")}
    objects = {w for w in words if not _differs(f"have {w}", "read", "have")} - participle
    see_through = {w for w in words if len(w) > 2 and w not in verb and _differs(f"to {w}", "record", "to")}
    return Expectations(*(frozenset(map(lowered, some)) for some in (verb, verb_s, participle, objects, see_through)))


def _differs(before: str, word: str, first: str = "") -> bool:
    groups = phonemes._groups.__wrapped__("en-us", f"thing {before} {word} thing")
    alone = beside("", word)
    return len(groups) > 2 and alone is not None and groups[-2].phones != alone.phones


def lowered(word: str) -> str:
    """A word as trees and expectations know it."""
    return word if word == "I" else word.lower()


def readings(sounds: Mapping[str, Sounds]) -> dict[str, dict[str, Sounds]]:
    """Words that espeak says otherwise after "to", "have" or "he"."""
    found: dict[str, dict[str, Sounds]] = {}
    for word, alone in sounds.items():
        asked = {"verb": "to", "past": "have"} | ({"verb_s": "he"} if word.endswith("s") else {})
        forms = {name: beside(before, word) for name, before in asked.items()}
        others = {name: form for name, form in forms.items() if form is not None and form.phones != alone.phones}
        if others:
            found.setdefault(word.lower(), others)
    return found


def trees(
    text: Sequence[Clause], rules: ContextRules, key: Callable[[str], str], alone: Callable[[str], Sounds]
) -> dict[str, tuple[tuple[Sounds, ...], Tree]]:
    """A tree for each word that `rules`, which has none yet, says wrong often enough."""
    rows: dict[str, list[tuple[tuple[str, ...], Sounds]]] = defaultdict(list)
    wrong: Counter[str] = Counter()
    for written, said in text:
        keys = [key(word) for word in written]
        expected = rules.expectations.of(keys)
        read = [rules.reading(k, e, alone(word)) for k, e, word in zip(keys, expected, written, strict=True)]
        for k, seen in enumerate(features(keys, read, expected)):
            rows[keys[k]].append((tuple(seen[name] for name in FEATURES), said[k]))
            wrong[keys[k]] += by_rule(keys, k, read[k], seen["sound"]) != said[k]
    found = {}
    for word, count in wrong.items():
        if count < LEAST_WRONG or count < 0.004 * len(rows[word]):
            continue
        forms = tuple(form for form, _ in Counter(form for _, form in rows[word]).most_common(MOST_FORMS))
        index = {form: k for k, form in enumerate(forms)}
        found[word] = (forms, _grown([(seen, index.get(form, 0)) for seen, form in rows[word][:MOST_ROWS]], 40))
    return found


def _grown(rows: list[tuple[tuple[str, ...], int]], depth: int) -> Tree:
    """A binary tree of "feature = value" by Gini impurity."""
    counts = Counter(form for _, form in rows)
    commonest, total = counts.most_common(1)[0][0], len(rows)
    if len(counts) == 1 or depth == 0 or total < 4:
        return commonest
    squares = sum(n * n for n in counts.values())
    best: tuple[float, int, str] = (LEAST_GAIN, -1, "")
    for place, name in enumerate(FEATURES):
        by_value: dict[str, Counter[int]] = defaultdict(Counter)
        for seen, form in rows:
            by_value[seen[place]][form] += 1
        fee = 0.1 if name in _FREE else 0.3
        for value, some in by_value.items():
            size = some.total()
            if size == total or (size < 2 and total > 6):
                continue
            others = squares + sum((counts[form] - n) ** 2 - counts[form] ** 2 for form, n in some.items())
            inside = size - sum(n * n for n in some.values()) / size
            gain = (total - squares / total) - inside - (total - size - others / (total - size)) - fee
            if gain > best[0]:
                best = (gain, place, value)
    _, place, value = best
    if place < 0:
        return commonest
    yes = _grown([row for row in rows if row[0][place] == value], depth - 1)
    no = _grown([row for row in rows if row[0][place] != value], depth - 1)
    return yes if yes == no else [FEATURES[place], value, yes, no]


def as_json(rules: ContextRules) -> dict[str, Any]:
    """What ContextRules.read reads."""
    return {
        "expectations": {name: sorted(some) for name, some in vars(rules.expectations).items()},
        "readings": {w: {k: s.written for k, s in forms.items()} for w, forms in sorted(rules.readings.items())},
        "trees": {w: [[s.written for s in forms], tree] for w, (forms, tree) in sorted(rules.trees.items())},
    }
