"""The log of a run: one curve in metrics.jsonl, whatever happened; sounds and pictures for TensorBoard."""

import json

import numpy as np
import pytest

from moksori.training.log import RunLog


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_scalars_are_lines_of_json_with_seven_digits(tmp_path) -> None:
    log = RunLog(tmp_path, tensorboard=False)
    log.scalars(3, "train", {"mel": 1.23456789, "rate": 2.1e-9})
    log.close()
    assert lines(tmp_path) == [{"step": 3, "kind": "train", "mel": 1.234568, "rate": 2.1e-9}]


def test_resuming_drops_what_the_killed_run_wrote_after_its_checkpoint(tmp_path) -> None:
    log = RunLog(tmp_path, tensorboard=False)
    for step in (1, 2, 3, 4):
        log.scalars(step, "train", {"mel": float(step)})
        if step % 2 == 0:
            log.scalars(step, "valid", {"total": float(step)})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('[1]\n{"step": 5, "ki')  # killed while writing
    log = RunLog(tmp_path, steps_done=2, tensorboard=False)
    log.scalars(3, "train", {"mel": 30.0})
    log.close()
    kept = [(line["step"], line["kind"]) for line in lines(tmp_path)]
    assert kept == [(1, "train"), (2, "train"), (2, "valid"), (3, "train")]
    assert lines(tmp_path)[-1]["mel"] == 30.0
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_tensorboard_gets_scalars_sounds_and_pictures(tmp_path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = RunLog(tmp_path)
    log.scalars(1, "train", {"mel": 2.0})
    log.sound(1, "sentence/0", np.zeros(100, np.float32), 8000)
    log.picture(1, "alignment", np.arange(6, dtype=np.float32).reshape(2, 3))
    log.close()
    found = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert found.Scalars("train/mel")[0].value == 2.0
    tags = found.Tags()
    assert tags["audio"] == ["sentence/0"]
    assert tags["images"] == ["alignment"]
    picture = found.Images("alignment")[0]
    assert (picture.width, picture.height) == (3, 2)
