"""What trains the English front end: letters matched with phones, trees over neighbours, families of words."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3] / "scripts" / "g2p"))

import context
import words
from align import aligned

from moksori.text.english_context import ContextRules, Expectations, Sounds
from moksori.text.letters_to_phones import SPELLED

NOTHING = Expectations(*[frozenset()] * 5)


def test_letters_and_phones_are_matched() -> None:
    some = {"cat": "k_ˈæ_t", "tax": "t_ˈæ_k_s", "back": "b_ˈæ_k", "tab": "t_ˈæ_b", "act": "ˈæ_k_t", "bat": "b_ˈæ_t"}
    names = {"t": Sounds.read("t_ˈiː"), "b": Sounds.read("b_ˈiː")}
    spoken = [(word, Sounds.read(sounds), 10) for word, sounds in some.items()]
    found = {item.letters: item.labels for item in aligned([*spoken, ("TB", Sounds.read("t_ˌiː_b_ˈiː"), 10)], names)}
    assert found["cat"] == ("k", "ˈæ", "t")
    assert found["tax"] == ("t", "ˈæ", "k_s")
    assert sorted(found["back"][2:]) == ["", "k"]
    assert found["tb"] == (SPELLED, SPELLED)


def test_no_letters_for_the_phones() -> None:
    assert aligned([("a", Sounds.read("ˈæ_k_t_b_d"), 10)], {}) == []


def test_trees_learn_what_neighbours_change() -> None:
    said = {"the": "ð_ə", "egg": "ˈɛ_ɡ", "cat": "k_ˈæ_t", "of": "ə_v"}
    text = [(("the", "egg"), (Sounds.read("ð_ɪ"), Sounds.read("ˈɛ_ɡ")))] * 6
    text += [(("the", "cat"), (Sounds.read("ð_ə"), Sounds.read("k_ˈæ_t")))] * 6
    text += [(("of", "the", "cat"), tuple(map(Sounds.read, ("ə_v", "+ð_ə", "k_ˈæ_t"))))] * 6
    rules = ContextRules(NOTHING, {}, {})
    trees = context.trees(text, rules, context.lowered, lambda word: Sounds.read(said[word]))
    assert list(trees) == ["the"]
    learned = ContextRules.read(context.as_json(ContextRules(NOTHING, {}, trees)))
    for written, expected in text:
        assert tuple(learned.in_context(written, [Sounds.read(said[w]) for w in written])) == expected


@pytest.mark.parametrize(
    ("word", "kin"),
    [("running", "runs"), ("happily", "happy"), ("walked", "walker"), ("boxes", "box"), ("Ann", "Ann's")],
)
def test_families_stay_together(word: str, kin: str) -> None:
    assert words.family(word) == words.family(kin)
    assert words.use_of(word) == words.use_of(kin)
