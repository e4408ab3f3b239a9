"""The scoreboard: taking results in, not letting them get worse unseen, tables in the terminal and in Markdown."""

import json
import math
from pathlib import Path

import pytest

from moksori.cli.main import main
from moksori.errors import BadInput
from moksori.evaluation.columns import VERSA
from moksori.models.checkpoint import read_manifest
from moksori.pipeline.models import bundled_folder
from moksori.pipeline.scoreboard import BEGIN, END, add, markdown, read_all, read_model, tables, write_tables

HERE = {"processor": "A", "cores": 2, "threads": 1, "load": 0.1, "system": "Linux", "versions": {}}


def measure(value, half=0.1, n=20):
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def result(path, model="ann", task="speak", n=20, bars=(), environment=HERE, **measures):
    """A result file with recordings and the model; measures: of the model, by their names in the JSON."""
    measures = measures or {"wer": measure(0.04, 0.01), "dns_overall": measure(3.0), "rtf": measure(0.02, 0.001)}
    systems = [
        {"name": "recordings", "note": "", "measures": {"wer": measure(0.02, 0.005), "dns_overall": measure(3.2)}},
        {"name": model, "note": "x", "measures": measures},
        {"name": "noise", "note": "must fail", "measures": {"wer": measure(1.0, 0.0)}},
    ]
    content = {
        "format": 3, "model": model, "model_hash": "abc", "corpus": "small", "split": "test", "language": "en-us",
        "n": n, "of": n, "seed": 0, "level_lufs": -23.0, "task": task, "recogniser": "pocketsphinx",
        "language_model": "trigram", "speaker_encoder": "", "notes": [], "environment": environment,
        "bars": list(bars), "systems": systems,
        "speakers": [{"speaker": "ann", "language": "en-us", "n": n, "of": n, "bars": [], "systems": systems}],
    }  # fmt: skip
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_result_is_kept_without_its_sentences(tmp_path):
    done = add(result(tmp_path / "r.json"), tmp_path / "board")
    assert (done.path.name, done.model, done.task, done.worse) == ("ann.json", "ann", "speak", ())
    (entry,) = read_model(done.path)
    assert [s["name"] for s in entry["systems"]] == ["recordings", "ann", "noise"]
    assert "speakers" not in entry  # one speaker: the figures are the same
    assert (entry["model_hash"], entry["environment"]["processor"]) == ("abc", "A")
    before = done.path.read_bytes()
    assert add(tmp_path / "r.json", tmp_path / "board").changes == ()
    assert done.path.read_bytes() == before
    assert [p.name for p in done.path.parent.iterdir()] == ["ann.json"]


def test_a_worse_result_is_refused_and_told(tmp_path):
    board = tmp_path / "board"
    path = add(result(tmp_path / "a.json"), board).path
    better = {"wer": measure(0.03, 0.01), "dns_overall": measure(3.1), "rtf": measure(0.0205, 0.001)}
    done = add(result(tmp_path / "b.json", **better), board)
    assert done.changes == ("WER % 4.00 becomes 3.00", "OVRL 3.00 becomes 3.10", "RTF 0.0200 becomes 0.0205")
    kept = path.read_bytes()
    mixed = {"wer": measure(0.02, 0.01), "dns_overall": measure(2.5), "rtf": measure(0.0205, 0.001)}
    with pytest.raises(BadInput, match=r"OVRL 3\.10 becomes 2\.50: give --replace") as refused:
        add(result(tmp_path / "c.json", **mixed), board)
    assert "WER" not in str(refused.value)
    assert path.read_bytes() == kept
    done = add(tmp_path / "c.json", board, replace=True)
    assert done.worse == ("OVRL 3.10 becomes 2.50",)
    assert path.read_bytes() != kept


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n": 10}, "n 20 becomes 10"),
        ({"wer": measure(0.041), "dns_overall": measure(3.0)}, r"WER % 4\.00 becomes 4\.10 \(within its interval\)"),
        ({"wer": measure(0.01)}, r"OVRL 3\.00 is no longer measured"),
        ({"bars": [{"measure": "dns_overall", "reached": False}]}, "the bar of OVRL is missed"),
    ],
)
def test_what_counts_as_worse(tmp_path, change, told):
    bars = [{"measure": "dns_overall", "reached": True}]
    add(result(tmp_path / "a.json", bars=bars), tmp_path)
    with pytest.raises(BadInput, match=told):
        add(result(tmp_path / "b.json", **change), tmp_path)


def test_another_judge_is_not_compared_in_silence_and_another_machine_is_no_slower_model(tmp_path):
    add(result(tmp_path / "a.json"), tmp_path / "board")
    changed = json.loads((tmp_path / "a.json").read_text())
    changed["recogniser"] = "whisper:base.en"
    (tmp_path / "b.json").write_text(json.dumps(changed))
    with pytest.raises(BadInput, match=r"recogniser 'pocketsphinx' becomes 'whisper:base\.en', not comparable"):
        add(tmp_path / "b.json", tmp_path / "board")
    slow = {"wer": measure(0.04, 0.01), "dns_overall": measure(3.0), "rtf": measure(0.05, 0.001)}
    with pytest.raises(BadInput, match=r"RTF 0\.0200 becomes 0\.0500"):
        add(result(tmp_path / "c.json", **slow), tmp_path / "board")
    other = {**HERE, "processor": "B"}
    assert add(result(tmp_path / "d.json", environment=other, **slow), tmp_path / "board").worse == ()


def test_tasks_stand_beside_each_other(tmp_path):
    add(result(tmp_path / "a.json"), tmp_path / "board")
    add(result(tmp_path / "b.json", model="bob"), tmp_path / "board")
    conversion = {"nearer": measure(0.9), "spk_similarity": measure(0.8), "wer": measure(0.1)}
    add(result(tmp_path / "c.json", task="convert", **conversion), tmp_path / "board")
    speak, convert = tables(read_all(tmp_path / "board"))
    assert speak.header == ("model", "corpus", "n", "WER % (rec.)", "OVRL (rec.)", "RTF")
    assert [row[0] for row in speak.rows] == ["ann", "bob"]
    assert speak.rows[0] == ("ann", "small", "20", "4.00 ± 1.00 (2.00)", "3.00 ± 0.10 (3.20)", "0.0200 ± 0.0010")
    assert convert.header == ("system", "corpus", "n", "WER %", "nearer to the target %", "speaker cos.", "OVRL")
    assert [row[0] for row in convert.rows] == ["recordings", "ann"]
    assert convert.strong == (1,)


def test_tables_go_between_the_markers_of_both_readmes(tmp_path):
    board = tmp_path / "board"
    add(result(tmp_path / "a.json"), board)
    readme, korean = tmp_path / "README.md", tmp_path / "README.ko.md"
    for path in (readme, korean):
        path.write_text(f"# Title\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n", encoding="utf-8")
        assert write_tables(path, board)
        assert not write_tables(path, board)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("# Title\n\nbefore\n\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "old" not in text
    assert "| ann | small | 20 | 4.00 ± 1.00 (2.00) |" in text
    assert "| 모델 | 말뭉치 | n | WER % (녹음) |" in korean.read_text(encoding="utf-8")
    (tmp_path / "bare.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(BadInput, match=r"bare\.md: lacks the lines"):
        write_tables(tmp_path / "bare.md", board)


def test_files_that_are_no_results_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"none\.json: no such file"):
        add(tmp_path / "none.json", tmp_path)
    for name, content, told in (
        ("a.json", "[1]", "expected a JSON object"),
        ("b.json", "{", "cannot be read as JSON"),
        ("c.json", '{"model": "x"}', "it lacks corpus, split, n, systems"),
        ("d.json", '{"model": "x", "corpus": "c", "split": "test", "n": 1, "systems": []}', "no figures of 'x' itself"),
    ):
        (tmp_path / name).write_text(content, encoding="utf-8")
        with pytest.raises(BadInput, match=told):
            add(tmp_path / name, tmp_path / "board")
    assert not (tmp_path / "board").exists()
    with pytest.raises(BadInput, match="no results there yet"):
        read_all(tmp_path / "board")
    (tmp_path / "e.json").write_text('{"format": 9}', encoding="utf-8")
    with pytest.raises(BadInput, match=r"e\.json: no file of the scoreboard"):
        read_model(tmp_path / "e.json")


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["scoreboard"]) == 2
    assert "no results there yet" in capsys.readouterr().err
    result(tmp_path / "a.json")
    assert main(["scoreboard", "add", "a.json"]) == 0
    assert "wrote scoreboard/ann.json" in capsys.readouterr().out
    result(tmp_path / "b.json", wer=measure(0.09))
    assert main(["scoreboard", "add", "b.json"]) == 2
    assert "WER % 4.00 becomes 9.00" in capsys.readouterr().err
    assert main(["scoreboard", "add", "b.json", "--force"]) == 0
    assert "replaced all the same" in capsys.readouterr().err
    assert main(["scoreboard"]) == 0
    assert "9.00 ± 10.00" in capsys.readouterr().out
    (tmp_path / "README.md").write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    assert main(["scoreboard", "--write", "README.md"]) == 0
    assert capsys.readouterr().out == "README.md: written\n"
    assert "| ann | small |" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_bundled_models_tell_the_scores_that_the_scoreboard_has_of_them():
    ours = {told: key for key, told in VERSA.items()}
    for entry in sorted((Path(__file__).resolve().parents[3] / "scoreboard").glob("*.json")):
        model = bundled_folder() / entry.stem
        results = json.loads(entry.read_text(encoding="utf-8"))["results"]
        systems = [system for r in results for system in r["systems"] if system["name"] == entry.stem]
        measured = [
            {
                ours.get(key, key): round(estimate["value"], 4)
                for key, estimate in system["measures"].items()
                if estimate["value"] is not None and math.isfinite(estimate["value"])
            }
            for system in systems
        ]
        scores = read_manifest(model).scores
        assert scores
        assert any(scores.items() <= known.items() for known in measured), entry.stem


def test_the_house_s_own_scoreboard_is_what_the_readmes_show():
    root = Path(__file__).resolve().parents[3]
    for name in ("README.md", "README.ko.md"):
        text = (root / name).read_text(encoding="utf-8")
        shown = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip()
        assert shown == markdown(tables(read_all(root / "scoreboard"), korean=name.endswith(".ko.md")))
