"""A cut run of the tiny codec goes on to the bit, and two processes share its codebooks."""

from functools import partial
from pathlib import Path

import pytest
import torch

from moksori.corpus.synthetic import synthetic_examples
from moksori.models.contract import Objective
from moksori.pipeline.batches import ExampleBatches, fixed_batches
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.training.loop import fit
from moksori.training.processes import Crew

SETTINGS = (
    "training.max_steps=6", "training.batch_size=5", "training.log_every=1", "training.save_every=3",
    "training.validate_every=3", "training.device=cpu", "training.keep_checkpoints=3",
    "objective.restored_steps=1", "objective.magnitude_steps=2", "objective.adversarial_start=4",
    "model.quantizer.restart_after=2", "model.quantizer.restart_below=0.3",
)  # fmt: skip


def made(config: RunConfig) -> Objective:
    torch.manual_seed(0)
    return config.family.objective(config.family.model(config.model), config.objective)


def run(config: RunConfig, folder: Path, processes: int = 1, pause_at: int | None = None) -> Objective:
    needs = config.family.needs(config.model, config.objective)
    examples = synthetic_examples(needs, 7, seed=0, speakers=2)
    batches, validation = ExampleBatches(examples[:5], needs, 5, seed=3), fixed_batches(examples[5:], needs, 2)
    objective = made(config)
    crew = Crew(processes, partial(made, config))
    fit(objective, batches, validation, config.training, folder, pause_at=pause_at, crew=crew)
    return objective


def test_a_resumed_run_equals_the_unbroken_one(tmp_path) -> None:
    """Codebooks, counts and idle steps are part of it; phases, restarts and dropout lie on both sides of the cut."""
    config = run_config("codec/tiny", SETTINGS)
    unbroken = run(config, tmp_path / "unbroken")
    run(config, tmp_path / "cut", pause_at=3)
    resumed = run(config, tmp_path / "cut")
    assert {"model.quantizer.stages.3.sums", "model.quantizer.started"} <= set(unbroken.state_dict())
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.slow
def test_two_processes_have_the_codebooks_of_one(tmp_path) -> None:
    """Shares of three and two clips; no restart, since the first process's own states are what codes restart from."""
    settings = [*SETTINGS, "model.quantizer.restart_after=0", "objective.adversarial_start=null"]
    config = run_config("codec/tiny", [*settings, "model.quantizer.dropout=0"])
    one, two = run(config, tmp_path / "one"), run(config, tmp_path / "two", processes=2)
    # AdamW divides by the size of a gradient, so weights with next to none are stepped by its rounding.
    torch.testing.assert_close(two.model.codebooks, one.model.codebooks, rtol=1e-2, atol=1e-2)
    both = run_config("codec/tiny", SETTINGS)
    assert bool(run(both, tmp_path / "both", processes=2).model.codebooks.isfinite().all())
