"""What trains the English front end: letters matched with phones, trees over neighbours, families of words."""

import itertools
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3] / "scripts" / "g2p"))

import context
import network
import numpy as np
import torch
import words
from align import Aligner
from pseudo import PseudoWords

from moksori.text.english_context import ContextRules, Expectations, Sounds
from moksori.text.letters_to_phones import SPELLED, Labels, LetterModel, Links

NOTHING = Expectations(*[frozenset()] * 5)


def test_letters_and_phones_are_matched() -> None:
    some = {"cat": "k_ˈæ_t", "tax": "t_ˈæ_k_s", "back": "b_ˈæ_k", "tab": "t_ˈæ_b", "act": "ˈæ_k_t", "bat": "b_ˈæ_t"}
    names = {"t": Sounds.read("t_ˈiː"), "b": Sounds.read("b_ˈiː")}
    aligner = Aligner([(word, Sounds.read(sounds)) for word, sounds in some.items()], names)
    assert aligner.labels("cat", Sounds.read(some["cat"])) == ("k", "ˈæ", "t")
    assert aligner.labels("tax", Sounds.read(some["tax"])) == ("t", "ˈæ", "k_s")
    assert sorted((aligner.labels("back", Sounds.read(some["back"])) or ())[2:]) == ["", "k"]
    assert aligner.labels("tb", Sounds.read("t_ˌiː_b_ˈiː")) == (SPELLED, SPELLED)


def test_no_letters_for_the_phones() -> None:
    aligner = Aligner([("at", Sounds.read("ˈæ_t"))], {})
    assert aligner.labels("a", Sounds.read("ˈæ_k_t_b_d")) is None
    assert aligner.labels("a", Sounds.read("ˈæ_k_t_b")) == ("ˈæ_k_t_b",)


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


def test_pseudo_words_are_new_and_no_kin_of_what_is_kept_out() -> None:
    pool = ["rain", "raining", "rained", "train", "trainer", "painted", "painter", "grain", "strange", "stranger"] * 2
    pool += ["bright", "brightness", "kind", "kindness", "mind", "minded", "unkind", "rewind", "remind", "person"]
    kept_out = ["paint", "inter"]
    drawn = PseudoWords(pool, kept_out).draw()
    some = [next(drawn) for _ in range(300)]
    assert len(set(some)) == 300
    assert not set(some) & set(pool)
    assert all(words.use_of(word) == "train" for word in some)
    assert not any(word.startswith(kin) or word.endswith(kin) for word in some for kin in kept_out)
    again = PseudoWords(pool, kept_out).draw()
    assert [next(again) for _ in range(20)] == some[:20]


def packed(some: dict[str, list[str]], labels: list[str]) -> network.Packed:
    return network.Packed.of(some.items(), {label: k for k, label in enumerate(labels)})


def test_the_network_learns_resumes_and_speaks_in_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A toy language, whose first letter is said as the last one asks for."""
    labels, shape = ["b", "k", "ˈæ", "ˈiː"], network.Shape(letters=8, width=32, hidden=32, taps=(5, 5, 3))
    ends = ["".join("bk"[number >> k & 1] for k in range(5)) for number in range(32)]
    toy = {f"a{end}": ["ˈæ" if end[-1] == "b" else "ˈiː", *end] for end in ends}
    data, meaning = packed(toy, labels), Labels(labels, {})
    few = {"ROUND": 640, "LEAST_ASKED": 1, "LETTERS_A_STEP": 100, "WARM_UP": 5, "LEARNING_RATE": 0.03}
    for name, value in few.items():
        monkeypatch.setattr(network, name, value)
    learned = network.learn(data, data, data, meaning.primary.tolist(), shape, 1900, tmp_path / "whole.pt")
    assert network.right(learned, data).all()
    with monkeypatch.context() as broken:
        answers = iter([network.right(learned, data)])
        broken.setattr(network, "right", lambda *_: next(answers))
        with pytest.raises(StopIteration):
            network.learn(data, data, data, meaning.primary.tolist(), shape, 1900, tmp_path / "parts.pt")
    resumed = network.learn(data, data, data, meaning.primary.tolist(), shape, 1900, tmp_path / "parts.pt")
    for name, value in learned.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name

    network.exported(learned, meaning).save(tmp_path / "letters.npz")
    model = LetterModel.load(tmp_path / "letters.npz")
    assert all(model.sounds(word) == model.labels.word(word, [labels.index(x) for x in toy[word]]) for word in toy)
    again = network.imported(model)
    for k, (word, (chosen, _)) in enumerate(zip(toy, network.most_likely(again, list(toy)), strict=True)):
        scores = model.scored(word)
        assert chosen == model.links.best_way(scores, meaning.primary)
        with torch.no_grad():
            rounder = again(data.batch(np.array([k]))[0])[0].numpy()
        assert np.abs(rounder - scores).max() < 0.05 * np.abs(scores).max()


def test_ways_through_a_word() -> None:
    """All ways and the best one against every way tried, in torch and in NumPy."""
    generator = torch.Generator().manual_seed(0)
    some = network.Network(network.Shape(8, 16, 16, (3, 3)), [False, True, False])
    with torch.no_grad():
        some.links.copy_(torch.randn(3, 3, generator=generator))
        some.again.fill_(-0.7)
        some.none.fill_(-1.3)
        scores = torch.randn(20, 4, 3, generator=generator)
        ways = list(itertools.product(range(3), repeat=4))
        total = torch.stack([some._one_way(scores, torch.tensor([way] * 20)) for way in ways])
        torch.testing.assert_close(some._all_ways(scores), torch.logsumexp(total, 0), atol=0.02, rtol=0)
    best = [ways[k] for k in total.argmax(0).tolist()]
    assert some.best_way(scores).tolist() == [list(way) for way in best]
    links = Links(some.links.detach().numpy(), np.array([-0.7, -1.3], dtype=np.float32))
    assert [links.best_way(x.numpy(), some.primary.numpy()) for x in scores] == [list(way) for way in best]
