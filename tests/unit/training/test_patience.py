"""Early stop: validations without a better total end a run, also one that is resumed in between."""

import pytest

from moksori.training.config import TrainingConfig
from moksori.training.loop import Watcher, fit

IDLE = {"model": {"learning_rate": 0.0}, "critic": {"learning_rate": 0.0}}


def exported(seen: list[int]) -> Watcher:
    return Watcher(on_best=lambda model, state: seen.append(state.step))


def test_ends_after_so_many_validations_that_bring_nothing(tmp_path, line, line_batches, settings) -> None:
    validation = [line_batches.batch(1000)]
    config = settings(max_steps=40, validate_every=2, patience=3, optimizers=IDLE)
    seen: list[int] = []
    result = fit(line(), line_batches, validation, config, tmp_path, exported(seen))
    assert (result.state.step, result.state.best_step, result.state.validations_since_best) == (8, 2, 3)
    assert (result.finished, result.stopped_early) == (True, True)
    assert seen == [2]  # the best, and not again at the end
    assert (tmp_path / "checkpoints" / "step-00000008").is_dir()
    again = line()
    assert fit(again, line_batches, validation, config, tmp_path).state.step == 8
    assert again.steps == []
    patient = config.model_copy(update={"patience": None, "max_steps": 10})
    longer = fit(line(), line_batches, validation, patient, tmp_path)
    assert (longer.state.step, longer.finished, longer.stopped_early) == (10, True, False)


def test_a_resumed_run_keeps_count(tmp_path, line, line_batches, settings) -> None:
    validation = [line_batches.batch(1000)]
    config = settings(max_steps=40, validate_every=2, patience=3, optimizers=IDLE)
    paused = fit(line(), line_batches, validation, config, tmp_path, pause_at=5)
    assert (paused.finished, paused.stopped_early, paused.state.validations_since_best) == (False, False, 1)
    assert fit(line(), line_batches, validation, config, tmp_path).state.step == 8


def test_what_gets_better_goes_on(tmp_path, line, line_batches, settings) -> None:
    config = settings(max_steps=12, validate_every=1, patience=1, ema_decay=0.0)
    result = fit(line(), line_batches, [line_batches.batch(1000)], config, tmp_path)
    assert (result.state.step, result.stopped_early) == (12, False)
    assert fit(line(), line_batches, [], config, tmp_path / "blind").state.step == 12  # nothing to be impatient about


def test_where_the_newest_are_the_best_they_are_what_is_exported(
    tmp_path, line, line_batches, settings, monkeypatch
) -> None:
    monkeypatch.setattr(line, "newest_is_best", property(lambda self: True))
    config = settings(max_steps=40, validate_every=2, patience=3, optimizers=IDLE)
    seen: list[int] = []
    result = fit(line(), line_batches, [line_batches.batch(1000)], config, tmp_path, exported(seen))
    assert result.stopped_early
    assert seen == [2, 4, 6, 8]


def test_patience_is_at_least_one(settings) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        settings(patience=0)
    assert TrainingConfig(max_steps=1).patience is None
