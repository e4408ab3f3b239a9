"""Import: once, twice, interrupted, changed, merged, broken."""

import shutil

import numpy as np
import pytest
import soundfile

from moksori.audio.loudness import integrated_lufs
from moksori.corpus import Corpus, ingest, read_utterance
from moksori.corpus.ingest import ImportSettings, import_sources
from moksori.corpus.manifest import read_dropped
from moksori.errors import AudioError, CorpusError


def test_import_levels_trims_and_writes_manifests(csv_source, tmp_path):
    report = import_sources(None, [csv_source()], tmp_path / "out")
    corpus = Corpus.open(tmp_path / "out")
    assert report.imported == 6
    assert report.info == corpus.info
    assert corpus.info.speakers == ("ann", "bob")
    assert corpus.info.licence == "CC0 1.0"
    assert corpus.splits == ("train", "valid", "test")
    utterances = [u for split in corpus.splits for u in corpus.split(split)]
    assert sorted(u.name for u in utterances) == [f"r{index}" for index in range(6)]
    for utterance in utterances:
        waveform = read_utterance(utterance)
        index = int(utterance.name[1:])
        assert waveform.sample_rate == 16000
        assert waveform.duration_seconds == pytest.approx(utterance.duration_seconds)
        # 0.6 s of silence around the tone shrink to 0.07 s at each end
        assert waveform.duration_seconds == pytest.approx(1.0 + 0.1 * index + 0.14, abs=0.06)
        assert integrated_lufs(waveform) == pytest.approx(-23.0, abs=0.2)


def test_a_second_import_does_nothing(csv_source, tmp_path):
    source, target = csv_source(), tmp_path / "out"
    import_sources("csv", [source], target)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in target.rglob("*") if p.is_file()}
    report = import_sources("csv", [source], target)
    assert (report.imported, report.done_before) == (0, 6)
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in target.rglob("*") if p.is_file()} == before


def test_an_interrupted_import_continues(csv_source, tmp_path, monkeypatch):
    source, target, whole = csv_source(), tmp_path / "out", tmp_path / "whole"
    import_sources("csv", [source], whole)
    genuine, calls = ingest.write, []

    def interrupted(path, waveform):
        calls.append(path)
        if len(calls) == 4:
            raise KeyboardInterrupt
        genuine(path, waveform)

    monkeypatch.setattr(ingest, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_sources("csv", [source], target, workers=1)
    assert not (target / "corpus.json").exists()
    with pytest.raises(CorpusError, match="has not finished"):
        ingest.open_imported(target)
    monkeypatch.setattr(ingest, "write", genuine)
    with (target / "import.jsonl").open("a") as journal:
        journal.write('{"name": "r5", "finge')  # the line of a killed process
    seen = []
    report = import_sources("csv", [source], target, progress=lambda done, total: seen.append((done, total)))
    assert report.done_before >= 3
    assert report.imported + report.done_before == 6
    assert seen[-1] == (6, 6)
    for name in ("train", "valid", "test"):
        assert (target / f"{name}.cuts.jsonl.gz").read_bytes() == (whole / f"{name}.cuts.jsonl.gz").read_bytes()
    assert not list(target.rglob("*.part*"))


def test_a_lost_recording_is_imported_again(csv_source, tmp_path):
    source, target = csv_source(), tmp_path / "out"
    import_sources("csv", [source], target)
    (target / "audio" / "r3.flac").write_bytes(b"")
    assert import_sources("csv", [source], target).imported == 1
    assert soundfile.info(target / "audio" / "r3.flac").frames > 0


def test_changed_settings_are_refused_then_redone(csv_source, tmp_path):
    source, target = csv_source(), tmp_path / "out"
    import_sources("csv", [source], target)
    louder = ImportSettings(target_lufs=-16.0)
    with pytest.raises(CorpusError, match=r"target_lufs was -23.0, now -16.0.*--redo"):
        import_sources("csv", [source], target, louder)
    report = import_sources("csv", [source], target, louder, redo=True)
    assert report.imported == 6
    assert integrated_lufs(read_utterance(Corpus.open(target).split("train")[0])) == pytest.approx(-16.0, abs=0.2)


def test_a_changed_source_recording_is_imported_again(csv_source, tmp_path, tone):
    source, target = csv_source(), tmp_path / "out"
    import_sources("csv", [source], target)
    tone(source / "r2.wav", seconds=2.5)
    assert import_sources("csv", [source], target).imported == 1
    corpus = Corpus.open(target)
    found = {u.name: u for split in corpus.splits for u in corpus.split(split)}
    assert found["r2"].duration_seconds == pytest.approx(2.64, abs=0.06)


def test_two_sources_become_one_corpus(csv_source, tmp_path):
    first, second = csv_source("one", 4, "a"), csv_source("two", 4, "b")
    shutil.copy(first / "a0.wav", second / "a0.wav")
    with (second / "metadata.csv").open("a") as stream:
        stream.write("a0|eve|The same id.|\n")
    report = import_sources(None, [first, second], tmp_path / "out")
    assert report.imported == 8
    assert [s["name"] for s in report.info.sources] == ["one", "two"]
    assert [row.name for row in report.dropped] == ["a0"]
    assert "also in one" in report.dropped[0].reason
    # the same sentence goes to the same split, whoever reads it
    where = {u.name: s for s, items in Corpus.open(tmp_path / "out").utterances.items() for u in items}
    assert all(where[f"a{index}"] == where[f"b{index}"] for index in range(4))


def test_each_source_keeps_its_language(csv_source, tmp_path):
    """A house corpus tells its language; one given for all overrides it, a row's own column overrides both."""
    first, second = csv_source("kerstin", 4, "a"), csv_source("two", 4, "b")
    lines = (second / "metadata.csv").read_text().splitlines()
    marked = [lines[0] + "|language", *(line + "|" + ("ko" if k == 0 else "") for k, line in enumerate(lines[1:]))]
    (second / "metadata.csv").write_text("\n".join(marked) + "\n", encoding="utf-8")

    def languages(target, **settings):
        import_sources(None, [second, first], tmp_path / target, **settings)
        return {u.name: u.language for items in Corpus.open(tmp_path / target).utterances.values() for u in items}

    found = languages("own")
    assert {found[f"a{k}"] for k in range(4)} == {"de"}
    assert found["b0"] == "ko"
    given = languages("given", language="nl")
    assert {given[name] for name in given if name != "b0"} == {"nl"}
    assert given["b0"] == "ko"


def test_broken_recordings_are_dropped_with_their_reason(csv_source, tmp_path):
    source, target = csv_source(), tmp_path / "out"
    (source / "r1.flac").write_bytes(b"fLaC, but no more")
    (source / "r2.wav").write_bytes(b"")
    soundfile.write(source / "r3.flac", np.zeros(16000), 16000)
    soundfile.write(source / "r4.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    soundfile.write(source / "r0.wav", np.array([0.5]), 16000)
    report = import_sources("csv", [source], target)
    assert report.imported == 1
    reasons = {row.name: row.reason for row in read_dropped(target)}
    assert set(reasons) == {"r0", "r1", "r2", "r3", "r4"}
    assert "too short: 1 samples" in reasons["r0"]
    assert "silent" in reasons["r3"]
    assert "NaN" in reasons["r4"]
    assert import_sources("csv", [source], target).imported == 0  # known to be broken: not tried again


def test_nothing_usable_is_an_error(csv_source, tmp_path):
    source = csv_source(count=2)
    for path in (source / "r0.wav", source / "r1.flac"):
        path.write_bytes(b"noise")
    with pytest.raises(CorpusError, match="no recording could be imported"):
        import_sources("csv", [source], tmp_path / "out")


def test_destinations_that_cannot_be_used_are_named(csv_source, tmp_path):
    source = csv_source(count=2)
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("x")
    with pytest.raises(CorpusError, match="is a file"):
        import_sources("csv", [source], tmp_path / "file")
    with pytest.raises(CorpusError, match="no import"):
        import_sources("csv", [source], tmp_path / "full", redo=True)
    assert (tmp_path / "full" / "precious.txt").is_file()
    with pytest.raises(CorpusError, match="lies in the source"):
        import_sources("csv", [source], source / "out")
    with pytest.raises(CorpusError, match="cannot be written"):
        import_sources("csv", [source], tmp_path / "file" / "below")


def test_a_full_disk_stops_the_import_and_drops_nothing(csv_source, tmp_path, monkeypatch):
    source, target = csv_source(count=3), tmp_path / "out"

    def full(path, waveform):
        raise AudioError(f"{path}: no space left on device")

    monkeypatch.setattr(ingest, "write", full)
    with pytest.raises(CorpusError, match=r"no space left.*run it again"):
        import_sources("csv", [source], target)
    monkeypatch.undo()
    assert import_sources("csv", [source], target).imported == 3


def test_odd_ids_become_safe_names(tmp_path, tone):
    folder = tmp_path / "talks"
    for name in ("ann/first take", "bob/first take"):
        tone(folder / f"{name}.wav").with_suffix(".txt").write_text(f"Hello from {name}.", encoding="utf-8")
    import_sources("folder", [folder], tmp_path / "out")
    names = {u.name for u in Corpus.open(tmp_path / "out").split("train")}
    assert names == {"ann_first_take", "bob_first_take"}
    assert len(ingest.utterance_name("x" * 300)) < 110


@pytest.mark.data
def test_kathleens_takes_of_test_sentences_stay_out_of_training(recordings, tmp_path):
    for name, count in (("kathleen", 40), ("kathleen-extra-takes", 30)):
        lines = (recordings / name / "metadata.csv").read_text(encoding="utf-8").splitlines()[: count + 1]
        (tmp_path / name).mkdir()
        (tmp_path / name / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for line in lines[1:]:
            audio = next((recordings / name).glob(f"{line.split('|')[0]}.*"))
            shutil.copy(audio, tmp_path / name / audio.name)
    report = import_sources("csv", [tmp_path / "kathleen", tmp_path / "kathleen-extra-takes"], tmp_path / "out")
    assert report.imported == 70
    assert report.info.split_rule == "evaluation/splits/kathleen.tsv"
    corpus = Corpus.open(tmp_path / "out")
    texts = {split: {u.text for u in corpus.split(split)} for split in corpus.splits}
    assert "From that moment his friendship for Belize turns to hatred and jealousy." in texts["test"]
    assert not texts["train"] & texts["test"]
