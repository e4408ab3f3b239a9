"""What judges said is found again: by sound and judge, over files, processes and broken lines."""

import pickle

import numpy as np

from moksori.evaluation.memory import Memory
from moksori.evaluation.score import Item, Judges, score_system
from moksori.types import Waveform


def sound(value=0.1, rate=8000):
    return Waveform(np.full(100, value, np.float32), rate)


class Counter:
    identity = "counter 1"
    name = "counter"

    def __init__(self):
        self.asked = 0

    def embed(self, waveform):
        self.asked += 1
        return np.array([1.0, waveform.samples[0]], np.float32) / 3


def test_a_figure_is_computed_once_and_to_the_bit(tmp_path):
    path, calls = tmp_path / "deep" / "m.jsonl", []

    def compute():
        calls.append(1)
        return {"a": 1 / 3, "b": float("nan"), "c": "heard"}

    first = Memory(path).get("judge", [sound()], compute)
    again = Memory(path)
    second = again.get("judge", [sound()], compute)
    assert calls == [1]
    assert second["a"] == first["a"] == 1 / 3
    assert np.isnan(second["b"])
    assert len(again) == 1
    for other in (("judge 2", [sound()]), ("judge", [sound(0.2)]), ("judge", [sound(rate=16000)])):
        again.get(*other, compute)
    assert len(calls) == 4
    assert len(pickle.loads(pickle.dumps(again))) == 4


def test_broken_lines_and_unwritable_files_are_survived(tmp_path, caplog):
    path = tmp_path / "m.jsonl"
    Memory(path).get("judge", [sound()], lambda: 1.0)
    path.write_text(path.read_text() + '["half', encoding="utf-8")
    assert len(Memory(path)) == 1
    (tmp_path / "file").write_text("")
    lost = Memory(tmp_path / "file" / "m.jsonl")
    assert lost.get("judge", [sound()], lambda: 2.0) == lost.get("judge", [sound()], lambda: 3.0) == 2.0
    assert "figures are not kept" in caplog.text


def test_embeddings_are_kept_and_equal(tmp_path):
    item = Item("s", "x", sound(0.3), sound(0.4))
    values = []
    for expected in (2, 0):
        encoder = Counter()
        judges = Judges(["x"], ("speaker",), memory=Memory(tmp_path / "m.jsonl"), _encoder=encoder)
        values.append(score_system("model", [item], judges).measures["speaker"].value)
        assert encoder.asked == expected
    assert values[0] == values[1]
