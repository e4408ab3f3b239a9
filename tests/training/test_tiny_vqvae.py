"""A cut run of the tiny VQ-VAE goes on to the bit, two processes share its codebook, and a collapse ends it."""

from functools import partial
from pathlib import Path

import pytest
import torch

from moksori.corpus.synthetic import synthetic_examples
from moksori.errors import TrainingCollapsed
from moksori.models.contract import Objective
from moksori.pipeline.batches import ExampleBatches, fixed_batches
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.training.loop import fit
from moksori.training.processes import Crew

SETTINGS = (
    "training.max_steps=6", "training.batch_size=5", "training.log_every=1", "training.save_every=3",
    "training.validate_every=3", "training.device=cpu", "training.keep_checkpoints=3", "objective.pass_steps=2",
    "model.quantizer.restart_after=2", "objective.crop_codes=16",
)  # fmt: skip


def made(config: RunConfig, deaf: bool = False) -> Objective:
    """deaf: whether all states are alike."""
    torch.manual_seed(0)
    objective = config.family.objective(config.family.model(config.model), config.objective)
    if deaf:
        torch.nn.init.zeros_(objective.model.encoder.last.weight)
    return objective


def run(
    config: RunConfig, folder: Path, processes: int = 1, pause_at: int | None = None, deaf: bool = False
) -> Objective:
    needs = config.family.needs(config.model, config.objective)
    examples = synthetic_examples(needs, 7, seed=0, speakers=2)
    batches, validation = ExampleBatches(examples[:5], needs, 5, seed=3), fixed_batches(examples[5:], needs, 2)
    objective = made(config, deaf)
    crew = Crew(processes, partial(made, config))
    fit(objective, batches, validation, config.training, folder, pause_at=pause_at, crew=crew)
    return objective


def test_a_resumed_run_equals_the_unbroken_one(tmp_path) -> None:
    """Codebook, counts and idle steps are part of it; k-means and a restart lie on both sides of the cut."""
    config = run_config("vqvae/tiny", SETTINGS)
    unbroken = run(config, tmp_path / "unbroken")
    run(config, tmp_path / "cut", pause_at=3)
    resumed = run(config, tmp_path / "cut")
    assert {"model.quantizer.sums", "model.quantizer.counts", "model.quantizer.idle"} <= set(unbroken.state_dict())
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.slow
def test_two_processes_have_the_codebook_of_one(tmp_path) -> None:
    """Shares of three and two clips; no restart, since the first process's own states are what codes restart from."""
    config = run_config("vqvae/tiny", [*SETTINGS, "objective.pass_steps=0", "model.quantizer.restart_after=0"])
    one, two = run(config, tmp_path / "one"), run(config, tmp_path / "two", processes=2)
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    # With both of these the runs differ, and the processes must agree all the same or the run would not end.
    both = run_config("vqvae/tiny", SETTINGS)
    assert bool(run(both, tmp_path / "both", processes=2).model.quantizer.codebook.isfinite().all())


def test_a_collapse_ends_the_run(tmp_path) -> None:
    """An encoder that hears nothing, so that one code serves all: the run stops with what to change."""
    config = run_config(
        "vqvae/tiny",
        [*SETTINGS, "objective.pass_steps=0", "objective.start=none", "objective.watch_from_step=5",
         "model.encoder.state_norm=none", "model.quantizer.decay=0.3", "model.quantizer.restart_after=0"],
    )  # fmt: skip
    with pytest.raises(
        TrainingCollapsed, match=r"^step 5: .* collapsed: perplexity 1\.\d of 32 codes.*state_norm=layer"
    ):
        run(config, tmp_path, deaf=True)
