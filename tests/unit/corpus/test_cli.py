"""The verbs of `moksori corpus`: what they print and how they exit."""

import json

import pytest

from moksori.cli.main import main
from moksori.corpus import Corpus


@pytest.fixture
def target(csv_source, tmp_path, capsys):
    assert main(["corpus", "import", str(csv_source()), str(tmp_path / "out")]) == 0
    capsys.readouterr()
    return tmp_path / "out"


def test_import_prints_counts_and_a_second_time_that_all_is_done(csv_source, tmp_path, capsys):
    arguments = ["corpus", "import", "csv", str(csv_source()), str(tmp_path / "out"), "--language", "de"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "imported 6 recordings; dropped 0" in printed
    assert "licence: CC0 1.0; language: de" in printed
    assert main(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert {u.language for u in Corpus.open(tmp_path / "out").split("train")} == {"de"}


def test_check_stats_pack_and_split(target, tmp_path, capsys):
    assert main(["corpus", "check", str(target)]) == 0
    assert "6 of 6 utterances kept" in capsys.readouterr().out
    assert main(["corpus", "stats", str(target), "-o", str(tmp_path / "stats")]) == 0
    assert "ann" in capsys.readouterr().out
    assert (tmp_path / "stats" / "stats.png").is_file()
    assert main(["corpus", "pack", str(target), str(tmp_path / "packed")]) == 0
    assert "flac shards" in capsys.readouterr().out
    words = tmp_path / "words.json"
    times = {
        u.name: [["a", 0.0, 0.4], ["b", 0.7, 1.0]]
        for s in ("train", "valid", "test")
        for u in Corpus.open(target).split(s)
    }
    words.write_text(json.dumps(times))
    # limits of the house, 0.6 to 20 s, hold for the pieces too: nothing of 1.2 s can be cut in two of them at 0.55 s
    assert main(["corpus", "split", str(target), "--words", str(words), "--seconds", "1.0"]) == 0
    assert "clips cut" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "nowhere", "out"], "nowhere: no such folder"),
        (["import", "only-one"], "expected [FORMAT] SRC... DST"),
        (["check", "nowhere"], "nowhere: no such folder"),
        (["pack", "nowhere", "out"], "nowhere: no such folder"),
        (["import", "nowhere", "out", "--lufs", "nan"], "--lufs nan: expected a loudness from -70 to 0 LUFS"),
        (["import", "nowhere", "out", "--lufs", "3"], "--lufs 3: expected a loudness from -70 to 0 LUFS"),
        (["import", "nowhere", "out", "--lufs", "-71"], "--lufs -71: expected"),
        (["import", "nowhere", "out", "--language", "nll"], "unknown language 'nll': did you mean 'nl'"),
        (["split", "nowhere", "--seconds", "0"], "seconds 0: expected a number of seconds above 0, such as 10"),
        (["split", "nowhere", "--seconds", "nan"], "seconds nan: expected"),
        (["split", "nowhere", "--pause", "-0.1"], "pause -0.1: expected a number of seconds above 0, such as 0.2"),
        (["split", "nowhere", "--pause", "nan"], "pause nan: expected"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["corpus", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
