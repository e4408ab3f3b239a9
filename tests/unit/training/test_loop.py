"""The loop: ends, resumes to the bit, refuses NaN by name, clips, validates the averaged weights, exports the best."""

import json
import math

import pytest
import torch

from moksori.errors import MoksoriError
from moksori.training.checkpoints import checkpoints
from moksori.training.loop import TrainingFailed, Watcher, _seed, fit


def metrics(folder, timing: bool = False) -> list[dict]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return found if timing else [{k: v for k, v in line.items() if k != "seconds_per_step"} for line in found]


def weights(objective) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in objective.state_dict().items()}


def test_learns_and_ends_after_its_steps(tmp_path, line, line_batches, settings) -> None:
    objective = line()
    seen = []
    result = fit(objective, line_batches, [], settings(max_steps=60), tmp_path, Watcher(on_step=seen.append))
    assert result.finished
    assert result.state.step == 60
    assert objective.steps == list(range(60))
    assert [p.step for p in seen] == list(range(1, 61))
    assert seen[-1].terms["error"] < 0.3 * seen[0].terms["error"]
    assert seen[-1].remaining_seconds == pytest.approx(0.0)
    assert objective.model.seen == 16  # initialised from the first eight batches of two
    assert [line["step"] for line in metrics(tmp_path)] == list(range(1, 61))
    first = metrics(tmp_path, timing=True)[0]
    assert first["model/total"] == pytest.approx(10 * first["error"], rel=1e-5)
    assert first["watched"] == pytest.approx(3 * first["error"], rel=1e-5)  # logged, not trained on
    assert first["seconds_per_step"] > 0


def test_resumed_equals_unbroken_to_the_bit(tmp_path, line, line_batches, settings) -> None:
    validation = [line_batches.batch(1000)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    unbroken = line()
    one = fit(unbroken, line_batches, validation, settings(), whole)
    paused = fit(line(), line_batches, validation, settings(), parts, pause_at=5)
    assert not paused.finished
    # The killed run had got further than its last checkpoint.
    with (parts / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "kind": "train", "error": 1}\n{"step": 7')
    torch.randn(7)
    resumed = line()
    with torch.no_grad():
        resumed.model.layer.weight.zero_()
    two = fit(resumed, line_batches, validation, settings(), parts)
    assert resumed.steps == list(range(5, 12))
    for name, tensor in weights(unbroken).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    for name, tensor in one.averaged.model.state_dict().items():
        assert torch.equal(tensor, two.averaged.model.state_dict()[name]), name
    assert metrics(parts) == metrics(whole)
    assert sum(line["kind"] == "valid" for line in metrics(whole)) == 3
    assert (two.state.best_step, two.state.best_total) == (one.state.best_step, one.state.best_total)


def test_a_finished_run_is_not_trained_again(tmp_path, line, line_batches, settings) -> None:
    fit(line(), line_batches, [], settings(), tmp_path)
    again = line()
    result = fit(again, line_batches, [], settings(), tmp_path)
    assert result.finished
    assert again.steps == []
    longer = line()
    assert fit(longer, line_batches, [], settings(max_steps=14), tmp_path).state.step == 14
    assert longer.steps == [12, 13]


@pytest.mark.parametrize(("where", "words"), [("loss", "error nan"), ("gradient", "gradient is not finite")])
def test_nan_names_step_terms_and_clips(tmp_path, line, line_batches, settings, where, words) -> None:
    objective = line(poison=5, where=where)
    with pytest.raises(TrainingFailed, match=words) as caught:
        fit(objective, line_batches, [], settings(), tmp_path)
    message = str(caught.value)
    assert message.startswith("step 5: the model loss")
    assert "clip10, clip11" in message
    assert "moksori corpus check" in message
    assert checkpoints(tmp_path / "checkpoints")[-1].name == "step-00000004"
    assert all(math.isfinite(float(value.sum())) for value in weights(objective).values())  # the bad step was not taken


def test_clipping_scales_the_gradient_to_the_norm(tmp_path, line, line_batches, settings) -> None:
    norms = {}
    for clip in (None, 1e-3):
        objective = line()
        optimizers = {"model": {"clip_norm": clip, "learning_rate": 1e-9}, "critic": {}}
        config = settings(max_steps=1, optimizers=optimizers)
        fit(objective, line_batches, [], config, tmp_path / str(clip))
        gradients = [p.grad for p in objective.model.parameters()]
        norms[clip] = float(torch.nn.utils.get_total_norm(gradients))
        logged = metrics(tmp_path / str(clip))[0]["model/gradient_norm"]
        assert logged == pytest.approx(norms[None], rel=1e-5)  # before clipping
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-3)
    assert norms[None] > 1.0


def test_the_clock_ends_a_run_and_drives_the_schedule(tmp_path, line, line_batches, settings, monkeypatch) -> None:
    import moksori.training.loop as loop

    ticks = iter(range(10_000))
    monkeypatch.setattr(loop.time, "perf_counter", lambda: float(next(ticks)))  # each step takes one second
    seen = []
    config = settings(max_steps=None, max_minutes=0.5)
    result = fit(line(), line_batches, [], config, tmp_path, Watcher(on_step=seen.append))
    assert result.state.step == 30
    assert result.state.elapsed_seconds == 30.0
    assert seen[9].remaining_seconds == pytest.approx(20.0)
    rates = [line["model/learning_rate"] for line in metrics(tmp_path)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[15] == pytest.approx(0.05 * (0.03 + 0.97 * 0.5), rel=1e-5)


def test_validation_sees_the_averaged_weights_and_the_best_is_exported(tmp_path, line, line_batches, settings) -> None:
    objective = line()
    totals, exported = [], []
    validation = [line_batches.batch(500), line_batches.batch(501)]

    def rising(batch, generator=None):  # best at the second validation
        totals.append(objective.model.layer.weight.detach().clone())
        assert not objective.training
        return {"total": torch.tensor([5.0, 1.0, 3.0][(len(totals) - 1) // 2])}

    objective.validate = rising
    result = fit(
        objective,
        line_batches,
        validation,
        settings(max_steps=12, keep_checkpoints=1),
        tmp_path,
        Watcher(on_best=lambda model, state: exported.append((state.step, model.layer.weight.clone()))),
    )
    assert [step for step, _ in exported] == [4, 8]
    assert (result.state.best_step, result.state.best_total) == (8, 1.0)
    assert torch.equal(exported[1][1], totals[2])
    assert torch.equal(result.averaged.model.layer.weight, totals[4])
    assert not torch.equal(objective.model.layer.weight, totals[4])  # the average is not the last
    assert objective.training
    assert [p.name for p in checkpoints(tmp_path / "checkpoints")] == ["step-00000008", "step-00000012"]


def test_where_validation_cannot_choose_the_newest_is_exported(tmp_path, line, line_batches, settings) -> None:
    class Game(type(line())):
        newest_is_best = True

    objective, exported, calls = line(), [], []
    objective.__class__ = Game

    def rising(batch, generator=None):
        calls.append(batch)
        return {"total": torch.tensor(float(len(calls)))}

    objective.validate = rising
    watcher = Watcher(on_best=lambda model, state: exported.append(state.step))
    result = fit(objective, line_batches, [line_batches.batch(500)], settings(max_steps=12), tmp_path, watcher)
    assert exported == [4, 8, 12]
    assert result.state.best_step == 4  # of the measure, for the record


def test_without_validation_the_last_weights_are_exported(tmp_path, line, line_batches, settings) -> None:
    exported, spoken = [], []
    watcher = Watcher(
        on_best=lambda model, state: exported.append(state.step),
        speak=lambda model, step, log: spoken.append(step),
    )
    fit(line(), line_batches, [], settings(speak_every=5), tmp_path, watcher)
    assert exported == [12]
    assert spoken == [5, 10, 12]


def test_taken_over_weights_keep_their_statistics(tmp_path, line, line_batches, settings) -> None:
    objective = line()
    objective.model.seen.fill_(3.0)
    fit(objective, line_batches, [], settings(max_steps=1), tmp_path, initialise=False)
    assert objective.model.seen == 3.0


def test_an_optimizer_without_settings_is_named(tmp_path, line, line_batches, settings) -> None:
    with pytest.raises(MoksoriError, match=r"training.optimizers has no 'critic'; it has \['model'\]"):
        fit(line(), line_batches, [], settings(optimizers={"model": {}}), tmp_path)


def test_seeds_of_neighbouring_steps_differ() -> None:
    seeds = {_seed(seed, step) for seed in range(40) for step in range(200)}
    assert len(seeds) == 40 * 200
    assert all(0 <= seed < 2**62 for seed in seeds)
