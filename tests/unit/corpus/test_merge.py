"""Several corpora as one."""

import shutil
from dataclasses import replace

import pytest

from moksori.cli.main import main
from moksori.corpus.manifest import Corpus, read_utterance, rewrite
from moksori.corpus.merge import merge_corpora
from moksori.corpus.pack import pack_corpus
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import CorpusError
from moksori.types import SpeechNeeds


def corpus_of(folder, prefix, seed):
    """A small corpus whose names begin with `prefix`."""
    made = write_synthetic(folder, 8, seed, SpeechNeeds(8000, 100)).corpus
    parts = {}
    for split in made.splits:
        parts[split] = []
        for utterance in made.split(split):
            audio = utterance.audio.rename(utterance.audio.with_name(f"{prefix}_{utterance.audio.name}"))
            parts[split].append(replace(utterance, name=f"{prefix}_{utterance.name}", audio=audio, speaker=prefix))
    rewrite(folder, replace(made.info, name=prefix, licence=f"of {prefix}", speakers=(prefix,)), parts)
    return Corpus.open(folder)


@pytest.fixture
def two(tmp_path):
    return corpus_of(tmp_path / "one", "one", 0), corpus_of(tmp_path / "two", "two", 1)


def test_all_utterances_keep_their_sound_and_split(two, tmp_path):
    merge_corpora(two, tmp_path / "all")
    merged = Corpus.open(tmp_path / "all")
    assert merged.info.speakers == ("one", "two")
    assert merged.info.licence == "of one; of two"
    assert set(merged.info.settings) == {"one", "two"}
    before = {u.name: (split, u) for corpus in two for split in corpus.splits for u in corpus.split(split)}
    after = {u.name: (split, u) for split in merged.splits for u in merged.split(split)}
    assert after.keys() == before.keys()
    for name, (split, utterance) in after.items():
        assert split == before[name][0]
        assert utterance.audio.parent == tmp_path / "all" / "audio"
        assert (read_utterance(utterance).samples == read_utterance(before[name][1]).samples).all()


def test_a_sentence_that_is_held_out_in_one_is_held_out_in_all(two, tmp_path):
    first, second = two
    sentence = first.split("test")[0].text
    parts = {split: second.split(split) for split in second.splits}
    parts["train"] = [replace(parts["train"][0], text=sentence.upper()), *parts["train"][1:]]
    rewrite(second.folder, second.info, parts)
    merge_corpora([first, Corpus.open(second.folder)], tmp_path / "all")
    merged = Corpus.open(tmp_path / "all")
    assert parts["train"][0].name in {u.name for u in merged.split("test")}
    assert all(u.text.casefold() != sentence.casefold() for u in merged.split("train"))
    assert {u.name for u in merged.split("valid")} == {u.name for c in two for u in c.split("valid")}


def test_recordings_without_text_stay_where_they_are(two, tmp_path):
    first, second = two
    parts = {split: [replace(u, text="") for u in second.split(split)] for split in second.splits}
    rewrite(second.folder, second.info, parts)
    merge_corpora([first, Corpus.open(second.folder)], tmp_path / "all")
    merged = Corpus.open(tmp_path / "all")
    assert len(merged.split("train")) == len(first.split("train")) + len(parts["train"])


def test_what_cannot_be_merged_is_told(two, tmp_path):
    first, second = two
    with pytest.raises(CorpusError, match=r"is in .* too"):
        merge_corpora([first, first.__class__.open(_copy(first, tmp_path / "again"))], tmp_path / "all")
    with pytest.raises(CorpusError, match="holds something"):
        merge_corpora(two, second.folder)
    pack_corpus(first, tmp_path / "packed", "flac", 100)
    with pytest.raises(CorpusError, match="is packed"):
        merge_corpora([Corpus.open(tmp_path / "packed"), second], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def _copy(corpus, folder):
    shutil.copytree(corpus.folder, folder)
    return folder


def test_the_command_merges_and_counts(two, tmp_path, capsys):
    folders = [str(corpus.folder) for corpus in two]
    assert main(["corpus", "merge", *folders, str(tmp_path / "all")]) == 0
    assert "2 speakers" in capsys.readouterr().out
    assert main(["corpus", "merge", folders[0]]) == 2
    assert "expected CORPUS... DST" in capsys.readouterr().err
