"""Manifests on disk, packed corpora, and what is wrong with either."""

import gzip
import json
import shutil

import numpy as np
import pytest
from lhotse import CutSet

from moksori.corpus import Corpus, read_utterance
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Dropped, read_dropped, write_bytes, write_dropped
from moksori.corpus.pack import pack_corpus
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import AudioError, CorpusError, UnknownName
from moksori.types import SpeechNeeds

NEEDS = SpeechNeeds(16000, 200, f0=True)


@pytest.fixture
def corpus(tmp_path):
    return write_synthetic(tmp_path / "tones", count=8, seed=0, needs=NEEDS, speakers=2).corpus


def test_the_manifests_are_lhotses(corpus):
    cuts = CutSet.from_file(corpus.folder / "train.cuts.jsonl.gz")
    cut = cuts[0].with_recording_path_prefix(str(corpus.folder))
    utterance = corpus.split("train")[0]
    assert cut.supervisions[0].text == utterance.text
    assert np.array_equal(cut.load_audio()[0], read_utterance(utterance).samples)


def test_a_moved_corpus_still_opens(corpus, tmp_path):
    before = read_utterance(corpus.split("test")[0])
    shutil.move(corpus.folder, tmp_path / "elsewhere")
    after = read_utterance(Corpus.open(tmp_path / "elsewhere").split("test")[0])
    assert np.array_equal(before.samples, after.samples)


@pytest.mark.parametrize("audio", ["flac", "opus"])
def test_a_packed_corpus_reads_like_the_unpacked_one(corpus, tmp_path, audio):
    info = pack_corpus(corpus, tmp_path / "packed", audio, shard_size=3)
    packed = Corpus.open(tmp_path / "packed")
    assert packed.info == info
    assert packed.splits == corpus.splits
    assert packed.speakers == corpus.speakers
    for split in corpus.splits:
        for one, other in zip(corpus.split(split), packed.split(split), strict=True):
            assert (one.name, one.text, one.speaker, one.language) == (
                other.name,
                other.text,
                other.speaker,
                other.language,
            )
            first, second = read_utterance(one), read_utterance(other)
            assert len(first.samples) == len(second.samples)
            if audio == "flac":
                assert np.array_equal(first.samples, second.samples)
            else:
                assert np.corrcoef(first.samples, second.samples)[0, 1] > 0.95
    if audio == "flac":
        unpacked = prepare(corpus, "train", NEEDS)
        for a, b in zip(unpacked, prepare(packed, "train", NEEDS), strict=True):
            assert np.array_equal(a.waveform, b.waveform)
            assert np.array_equal(a.tokens, b.tokens)
            assert np.array_equal(a.f0, b.f0)
    assert len(list((tmp_path / "packed" / "train").glob("*.tar"))) == 2


def test_lhotse_reads_the_shards(corpus, tmp_path):
    pack_corpus(corpus, tmp_path / "packed", "flac")
    cuts = list(CutSet.from_shar(in_dir=tmp_path / "packed" / "train"))
    assert [cut.id for cut in cuts] == [u.name for u in corpus.split("train")]
    assert np.array_equal(cuts[0].load_audio()[0], read_utterance(corpus.split("train")[0]).samples)


def test_packing_refuses_what_it_cannot_do(corpus, tmp_path):
    with pytest.raises(UnknownName, match="opus"):
        pack_corpus(corpus, tmp_path / "packed", "opsu")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(CorpusError, match="not empty"):
        pack_corpus(corpus, tmp_path / "full")
    pack_corpus(corpus, tmp_path / "packed")
    with pytest.raises(CorpusError, match="packed already"):
        pack_corpus(Corpus.open(tmp_path / "packed"), tmp_path / "again")


def test_a_failed_packing_leaves_nothing(corpus, tmp_path):
    corpus.split("test")[0].audio.write_bytes(b"broken")
    with pytest.raises(AudioError):
        pack_corpus(corpus, tmp_path / "packed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tones"]


def test_broken_shards_are_named(corpus, tmp_path):
    pack_corpus(corpus, tmp_path / "packed", shard_size=2)
    shard = sorted((tmp_path / "packed" / "train").glob("*.tar"))[0]
    utterance = Corpus.open(tmp_path / "packed").split("train")[0]
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(AudioError, match="recording"):
        read_utterance(utterance)
    shard.unlink()
    with pytest.raises(CorpusError, match="shard is missing"):
        Corpus.open(tmp_path / "packed")


def test_what_is_no_corpus_is_named(corpus, tmp_path):
    with pytest.raises(CorpusError, match="no such folder"):
        Corpus.open(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=r"no corpus\.json"):
        Corpus.open(tmp_path / "empty")
    with pytest.raises(UnknownName, match="'train'"):
        corpus.split("trian")
    manifest = corpus.folder / "train.cuts.jsonl.gz"
    content = manifest.read_bytes()
    for broken in (content[:-30], b"not gzip", gzip.compress(b'{"id": 1}\n')):
        manifest.write_bytes(broken)
        with pytest.raises(CorpusError, match=r"train\.cuts"):
            Corpus.open(corpus.folder)
    manifest.unlink()
    with pytest.raises(CorpusError, match="missing"):
        Corpus.open(corpus.folder)


@pytest.mark.parametrize("change", [{"version": 99}, {"version": None}, {"counts": None}, {"name": ...}])
def test_a_broken_description_is_named(corpus, change):
    path = corpus.folder / "corpus.json"
    stored = json.loads(path.read_text())
    for key, value in change.items():
        stored.pop(key) if value in (None, ...) else stored.update({key: value})
    path.write_text(json.dumps(stored))
    with pytest.raises(CorpusError, match=r"corpus\.json|no utterances"):
        Corpus.open(corpus.folder)


def test_dropped_rows_survive_odd_texts(tmp_path):
    write_dropped(tmp_path, [Dropped("a", "import", 'tab\tand "quotes"', "line\nbreak")], "import")
    write_dropped(tmp_path, [Dropped("b", "check", "too short", "x")], "check")
    write_dropped(tmp_path, [Dropped("c", "check", "too long", "")], "check")
    assert [(row.name, row.reason, row.text) for row in read_dropped(tmp_path)] == [
        ("a", 'tab and "quotes"', "line break"),
        ("c", "too long", ""),
    ]
    (tmp_path / "dropped.tsv").write_text("what\tis\tthis\n")
    with pytest.raises(CorpusError, match=r"dropped\.tsv"):
        read_dropped(tmp_path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    monkeypatch.setattr(
        "pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(CorpusError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
