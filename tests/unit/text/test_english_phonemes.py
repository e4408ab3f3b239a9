"""English without espeak: golden words and sentences of espeak's, context, parts of words, data, and what it needs."""

import csv
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from moksori.text import english_phonemes, phonemes
from moksori.text.english_context import ContextRules, Expectations, Sounds, linked
from moksori.text.english_phonemes import FRONT_END, alone, parts_of, possessive
from moksori.text.letters_to_phones import LetterModel
from moksori.text.phonemes import Phonemizer, SpokenWord
from moksori.text.tokenizer import Tokenizer

GOLDEN = Path(__file__).parents[2] / "golden"
UNSEEN_EQUAL = 0.9
"""What the network reaches on 8,861 unseen words is 92.5 %; the aim of 98 % is missed (docs/text.md)."""
DATA_BYTES = 2 * 1024 * 1024


@pytest.fixture
def built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """English as it is said where the espeak extra is not installed."""
    monkeypatch.setattr(phonemes, "_front_end", lambda language: FRONT_END)


def ipa(text: str) -> str:
    """Words as the phonemizer gives them, "+" where one is run together with the word before."""
    items = Phonemizer("en-us").phonemize(text)
    return " ".join("+" * i.joined + i.ipa for i in items if isinstance(i, SpokenWord))


def rows(name: str) -> list[list[str]]:
    with (GOLDEN / name).open(encoding="utf-8") as file:
        return [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row]


@pytest.mark.parametrize(("text", "expected"), [tuple(row) for row in rows("english_phonemes.tsv")])
@pytest.mark.usefixtures("built_in")
def test_golden(text: str, expected: str) -> None:
    assert ipa(text) == expected


@pytest.mark.parametrize(("text", "expected"), [tuple(row) for row in rows("english_phonemes.tsv")])
def test_the_golden_table_is_espeaks(text: str, expected: str) -> None:
    if not phonemes.has_espeak():
        pytest.skip("the extra 'espeak' is not installed")
    assert ipa(text) == expected


def test_unseen_words() -> None:
    """Words of families that training never saw, asked of the letters model alone; espeak's answers are stored."""
    model = LetterModel.load(english_phonemes.DATA / english_phonemes.LETTERS)
    sample = rows("english_unseen_words.tsv")
    right = sum(model.sounds(word) == Sounds.read(sounds) for word, sounds in sample)
    assert len(sample) >= 300
    assert right / len(sample) >= UNSEEN_EQUAL


def test_size_of_the_data() -> None:
    names = (english_phonemes.LEXICON, english_phonemes.LETTERS, english_phonemes.CONTEXT)
    assert sum((english_phonemes.DATA / name).stat().st_size for name in names) <= DATA_BYTES


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("well-known", [("well", False), ("known", False)]),
        ("iPhone", [("i", False), ("Phone", True)]),
        ("McDonald", [("Mc", False), ("Donald", True)]),
        ("O'Brien", [("O'Brien", False)]),
        ("'tis", [("'tis", False)]),
        ("'hello", [("hello", False)]),
        ("B2B", [("B", False), ("two", True), ("B", True)]),
        ("NASA", [("NASA", False)]),
        ("日本", [("日本", False)]),
    ],
)
def test_parts_of_words(word: str, parts: list[tuple[str, bool]]) -> None:
    assert parts_of(word) == parts


@pytest.mark.parametrize(
    ("word", "ending"),
    [
        ("cat", ("s",)),
        ("dog", ("z",)),
        ("boss", ("ᵻ", "z")),
        ("judge", ("ᵻ", "z")),
        ("Lee", ("z",)),
        ("chef", ("s",)),
        ("life", ("z",)),
    ],
)
def test_possessives(word: str, ending: tuple[str, ...]) -> None:
    assert alone(f"{word}'s").phones == alone(word).phones + ending
    assert possessive(Sounds((), ()), "").phones == ("z",)


def test_initialisms_are_spelled() -> None:
    model = LetterModel.load(english_phonemes.DATA / english_phonemes.LETTERS)
    assert model.labels.spelled("fbi") == Sounds.read("ˌɛ_f_b_ˌiː_ˈaɪ")
    assert alone("FBI") == alone("fbi") == Sounds.read("ˌɛ_f_b_ˌiː_ˈaɪ")


def test_other_letters(caplog: pytest.LogCaptureFixture) -> None:
    assert alone("Dvořák").phones
    assert alone("brønnig") == alone("bronnig")
    english_phonemes._warn_unreadable.cache_clear()
    with caplog.at_level(logging.WARNING):
        [word, after] = FRONT_END.words(["привет", "friend"])
    assert (word.text, word.phones) == ("привет", ())
    assert after.phones
    assert "'привет' has no Latin letter" in caplog.text
    assert "<lang>" in caplog.text


def test_given_sounds_leave_the_neighbours_alone() -> None:
    [first, _, last] = FRONT_END.words(["the", None, "cat"])
    assert first == SpokenWord("the", ("ð", "ə"), (0, 0))
    assert last.ipa == "kˈæt"


def test_expectations() -> None:
    some = Expectations({"to", "they"}, {"he"}, {"have", "was"}, {"the"}, {"not"})
    assert some.of(["to", "record", "it"]) == ["", "verb", ""]
    assert some.of(["to", "not", "record"]) == ["", "verb", "verb"]
    assert some.of(["have", "quickly", "read", "it"]) == ["", "past", "past", ""]
    assert some.of(["was", "the", "read"]) == ["", "past", ""]
    assert some.of(["he", "uses"]) == ["", "verb_s"]


def test_trees_and_readings_decide() -> None:
    rules = ContextRules.read(
        {
            "expectations": {"verb": ["to"], "verb_s": [], "participle": [], "objects": [], "see_through": []},
            "readings": {"live": {"verb": "l_ˈɪ_v"}},
            "trees": {"the": [["ð_ə", "ð_ɪ"], ["vowel", "yes", 1, ["before", "of", 1, 0]]]},
        }
    )
    live, the, egg, of = (Sounds.read(s) for s in ("l_ˈaɪ_v", "ð_ə", "ˈɛ_ɡ", "ə_v"))
    assert rules.in_context(["to", "live"], [Sounds.read("t_ə"), live])[1].phones == ("l", "ɪ", "v")
    assert rules.in_context(["live"], [live]) == [live]
    assert rules.in_context(["the", "egg"], [the, egg])[0].written == "ð_ɪ"
    assert rules.in_context(["of", "the", "live"], [of, the, live])[1].written == "ð_ɪ"
    assert rules.in_context(["the"], [the])[0] == the


@pytest.mark.parametrize(
    ("written", "following", "expected"),
    [
        ("n_ˈʌ_m_b_ɚ", "ʌ", "n_ˈʌ_m_b_ɚ_ɹ"),
        ("f_ˈɑːɹ", "ɐ", "f_ˈɑː_ɹ"),
        ("n_ˈʌ_m_b_ɚ", "w", "n_ˈʌ_m_b_ɚ"),
        ("n_ˈʌ_m_b_ɚ", "", "n_ˈʌ_m_b_ɚ"),
        ("k_ˈæ_t", "ɪ", "k_ˈæ_t"),
    ],
)
def test_linking_r(written: str, following: str, expected: str) -> None:
    assert linked(Sounds.read(written), following).written == expected


def test_english_needs_no_espeak() -> None:
    code = (
        "import sys; sys.modules['phonemizer'] = sys.modules['espeakng_loader'] = None;"
        "from moksori.text.tokenizer import Tokenizer;"
        "encoded = Tokenizer().encode('Hello there, this is the best voice of all.');"
        "print(encoded.phonemes, len(encoded.unknown), 'torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.startswith("həlˈoʊ ðˈɛɹ, ðɪs ɪz ðə bˈɛst vˈɔɪs")
    assert printed.split()[-2:] == ["0", "False"]


@pytest.mark.usefixtures("built_in")
def test_tokens_are_all_known() -> None:
    encoded = Tokenizer().encode("Zxqv's flibbertigibbets, re-enacted by O'Grady & Sons in A.D. 1066 (naïvely)?")
    assert encoded.unknown == ()
    assert all(word.end_token > word.start_token for word in encoded.words)
