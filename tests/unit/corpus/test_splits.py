"""The house's split rules and the tracked lists."""

import pytest

from moksori.corpus import splits
from moksori.corpus.splits import Spoken, default_split, house_corpus, order, sentence_key, split_list
from moksori.errors import CorpusError, UnknownName


def test_a_sentence_is_the_same_whatever_its_case_and_punctuation():
    assert sentence_key("Author of the danger trail, Philip Steels, etc.") == "authorofthedangertrailphilipsteelsetc"
    assert sentence_key("Straße") == sentence_key("STRASSE")
    assert sentence_key("안녕, 42!") == "안녕42"


def test_the_default_split_takes_the_first_of_the_hash_order():
    items = [Spoken(f"r{i}", "s", f"sentence {i}") for i in range(200)]
    split = default_split(items)
    ordered = sorted({sentence_key(i.text) for i in items}, key=order)
    assert [split[key] for key in ordered[:16]] == ["test"] * 10 + ["valid"] * 5 + ["train"]
    assert split == default_split(items[::-1] + items[:50])  # other orders and more takes change nothing


@pytest.mark.parametrize(("count", "tests", "valids"), [(1, 0, 0), (2, 0, 0), (3, 1, 1), (40, 2, 1), (10000, 100, 40)])
def test_the_default_split_has_limits(count, tests, valids):
    split = list(default_split([Spoken(f"r{i}", "s", f"text {i}") for i in range(count)]).values())
    assert (split.count("test"), split.count("valid"), len(split)) == (tests, valids, count)


def test_recordings_without_text_are_split_by_name():
    assert len(default_split([Spoken(f"r{i}", "s", "") for i in range(30)])) == 30


def test_kathleens_list_holds_100_and_40_sentences_out_with_all_takes():
    found = split_list("kathleen")
    assert len(found.texts["test"]) == 100
    assert len(found.texts["valid"]) == 40
    assert len(found.sentences) == 140
    text = found.texts["test"][0]
    assert found.split_of(Spoken("kathleen_a0001_t3", "kathleen", text.upper().replace(",", ""))) == "test"
    assert found.split_of(Spoken("x", "kathleen", "Nobody has ever read this.")) == "train"
    assert splits.held_out_sentences("kathleen") == found.texts["test"]


def test_nathalie_and_flemishguy_share_one_list():
    assert splits.HOUSE["nathalie"].splits == splits.HOUSE["flemishguy"].splits == "dutch"
    assert len(split_list("dutch").texts["test"]) == 100


def test_thirty_two_librispeech_speakers_and_two_corpora_are_held_out():
    many = split_list("librispeech-many")
    assert list(many.speakers.values()) == ["test"] * 32
    assert many.split_of(Spoken("4362-1-2", "ls4362", "whatever they say")) == "test"
    for name in ("vctk-mini", "ljspeech-mini"):
        assert split_list(name).split_of(Spoken("any", "one", "of it")) == "test"


def test_two_songs_are_for_evaluation_only():
    songs = split_list("singing")
    assert songs.split_of(Spoken("nit_f001_004", "nit_f001", "")) == "test"
    assert songs.split_of(Spoken("nit_f001_007", "nit_f001", "")) == "train"


def test_a_renamed_folder_is_known_by_its_speaker():
    assert house_corpus("downloads", ["kathleen", "kathleen"]) == splits.HOUSE["kathleen"]
    assert house_corpus("downloads", ["kathleen", "somebody"]) is None
    assert house_corpus("downloads", []) is None


def test_unknown_and_broken_lists_are_named():
    with pytest.raises(UnknownName, match="kathleen"):
        split_list("katleen")
    with pytest.raises(CorpusError, match="header"):
        splits.parse_list("x", "wrong\n")
    with pytest.raises(CorpusError, match="trial"):
        splits.parse_list("x", "split\tby\tvalue\ntrial\tsentence\tHello.\n")


@pytest.mark.data
def test_the_tracked_lists_are_what_the_script_makes(recordings):
    from importlib import resources

    folder = resources.files("moksori") / "evaluation" / "splits"
    made = splits.make_lists(recordings)
    assert made == {name: (folder / f"{name}.tsv").read_text(encoding="utf-8") for name in made}


@pytest.mark.data
def test_no_take_of_a_test_sentence_is_left_in_training(recordings):
    found = split_list("kathleen")
    tests = {sentence_key(text) for text in found.texts["test"]}
    for corpus in ("kathleen", "kathleen-extra-takes"):
        items = splits._read_table(recordings / corpus)
        train = [item for item in items if found.split_of(item) == "train"]
        assert not tests & {sentence_key(item.text) for item in train}
        # nor under another text: takes share the stem of their id
        stems = {
            i.name.split("_t")[0] for i in splits._read_table(recordings / "kathleen") if sentence_key(i.text) in tests
        }
        assert not stems & {item.name.split("_t")[0] for item in train}
