"""Two real processes share each batch: the gradients of one, the same bits when resumed, and one end for both."""

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn

from moksori.corpus.synthetic import synthetic_examples
from moksori.errors import ConfigError
from moksori.models.contract import Objective, Update
from moksori.nn.masks import sequence_mask
from moksori.pipeline.batches import ExampleBatches, fixed_batches
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.training.config import TrainingConfig
from moksori.training.loop import TrainingFailed, Watcher, fit
from moksori.training.processes import Crew, ProcessEnded
from moksori.types import SpeechBatch

SETTINGS = {
    "batch_size": 3, "precision": "fp32", "device": "cpu", "log_every": 1, "save_every": 2, "validate_every": 100,
    "speak_every": 0, "max_steps": 3, "optimizers": {"model": {"learning_rate": 0.05}},
}  # fmt: skip
CLIPS = ("first", "second", "third")
"""The second one is the other process's."""


class ToyModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.dropout = nn.Linear(1, 4), nn.Dropout(0.2)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(()))


class Toy(Objective):
    """A mean over samples of clips of unequal length, with noise and dropout. Clips named for it do harm."""

    def __init__(self) -> None:
        super().__init__(ToyModel())

    def initialise(self, batches: Iterator[SpeechBatch]) -> None:
        self.model.seen.fill_(float(sum(len(batch.names) for batch in batches)))

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        if step == 1 and "deadly" in batch.names:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == 1 and "faulty" in batch.names:
            raise ValueError("the faulty clip")
        mask = sequence_mask(batch.waveform_lengths, batch.waveform.shape[1])[:, 0]
        noise = torch.randn(batch.waveform.shape, generator=generator)
        hidden = self.model.dropout(self.model.layer((batch.waveform + noise).unsqueeze(2)))
        error = (hidden.sum(dim=2) - batch.waveform).square() * mask
        if step == 1 and "broken" in batch.names:
            error = error * torch.nan
        terms = {"error": error.sum() / mask.sum(), "size": self.model.layer.weight.square().sum()}
        yield Update("model", terms, {"error": 1.0, "size": 0.1}, {"error": mask.sum()})

    def observe(self, terms: Mapping[str, Tensor]) -> None:
        self.model.mean.copy_(terms["error"])


class Clips:
    """The same three clips in every step."""

    def __init__(self, names: tuple[str, ...] = CLIPS) -> None:
        self.names, self.asked = names, []

    def batch(self, step: int) -> SpeechBatch:
        self.asked.append(step)
        count = len(self.names)
        lengths = torch.tensor([8, 3, 5, 7][:count])
        x = torch.randn(count, 8, generator=torch.Generator().manual_seed(step))
        return SpeechBatch(self.names, x * sequence_mask(lengths, 8)[:, 0], lengths, torch.zeros(count).long())


def unbuildable() -> Objective:
    raise ValueError("no such model")


def settings(**changes) -> TrainingConfig:
    return TrainingConfig.model_validate(SETTINGS | changes)


def metrics(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in ("seconds_per_step", "kind")} for line in lines]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """Where temporary files go, to see that none stays."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_toy_trains_as_in_one_process(tmp_path, temporary) -> None:
    alone, together, batches = Toy(), Toy(), Clips()
    threads = torch.get_num_threads()
    one = fit(alone, Clips(), [], settings(), tmp_path / "one")
    two = fit(together, batches, [], settings(), tmp_path / "two", crew=Crew(2, Toy))
    assert batches.asked == [*range(8), 0, 1, 2]  # the initialisation's, then each step's once
    assert (two.state.step, two.finished) == (3, True)
    for name, tensor in alone.state_dict().items():
        torch.testing.assert_close(together.state_dict()[name], tensor, rtol=1e-5, atol=1e-6, msg=name)
    assert together.model.seen == 24
    for name, tensor in one.averaged.model.state_dict().items():
        torch.testing.assert_close(two.averaged.model.state_dict()[name], tensor, rtol=1e-5, atol=1e-6, msg=name)
    for mine, theirs in zip(metrics(tmp_path / "two"), metrics(tmp_path / "one"), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    assert (multiprocessing.active_children(), list(temporary.glob("moksori-*"))) == ([], [])
    assert not torch.distributed.is_initialized()
    assert torch.get_num_threads() == threads


def vits(config: RunConfig) -> Objective:
    torch.manual_seed(0)
    return config.family.objective(config.family.model(config.model), config.objective)


@pytest.mark.slow
def test_the_gradients_of_one_process_and_the_bits_of_an_unbroken_run(tmp_path) -> None:
    """The tiny VITS with discriminators, dropout, windows and slices, on batches of five: shares of three and two."""
    config = run_config("vits/tiny", [
        "training.max_steps=4", "training.batch_size=5", "training.log_every=1", "training.speak_every=0",
        "training.save_every=2", "training.validate_every=2", "training.device=cpu", "training.keep_checkpoints=3",
    ])  # fmt: skip
    needs = config.family.needs(config.model, config.objective)
    examples = synthetic_examples(needs, 7, seed=0, text=config.model.text)
    batches, validation = ExampleBatches(examples[:5], needs, 5, seed=3), fixed_batches(examples[5:], needs, 2)
    gradients: dict[int, dict[str, Tensor]] = {}

    def train(objective: Objective, processes: int, folder: str, pause_at: int | None = None):
        def keep(progress) -> None:
            if progress.step == 1:
                named = objective.named_parameters()
                gradients[processes] = {name: p.grad.clone() for name, p in named if p.grad is not None}

        crew = Crew(processes, partial(vits, config))
        watcher = Watcher(on_step=keep)
        return fit(
            objective, batches, validation, config.training, tmp_path / folder, watcher, pause_at=pause_at, crew=crew
        )

    unbroken, resumed = vits(config), vits(config)
    train(vits(config), 1, "one", pause_at=1)
    one = train(unbroken, 2, "two")
    assert set(gradients[1]) == set(gradients[2])
    for name, gradient in gradients[1].items():
        difference = float((gradients[2][name] - gradient).abs().max())
        assert difference <= 1e-5 * max(1.0, float(gradient.abs().max())), name
    assert metrics(tmp_path / "two")[0] == pytest.approx(metrics(tmp_path / "one")[0], rel=1e-4, abs=1e-6)

    shutil.copytree(tmp_path / "two" / "checkpoints" / "step-00000002", tmp_path / "again/checkpoints/step-00000002")
    two = train(resumed, 2, "again")
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    for name, tensor in one.averaged.model.state_dict().items():
        assert torch.equal(tensor, two.averaged.model.state_dict()[name]), name
    assert metrics(tmp_path / "again") == [line for line in metrics(tmp_path / "two") if line["step"] > 2]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("broken", TrainingFailed, r"^step 1: the model loss .* the batch holds first, broken, third; look at"),
        ("deadly", ProcessEnded, r"^process 2 of 2 failed: it was killed by signal 9; go on .* with --resume$"),
        ("faulty", ProcessEnded, r"^process 2 of 2 failed: ValueError: the faulty clip; go on"),
    ],
)
def test_what_goes_wrong_beside_the_first_process_ends_both(tmp_path, temporary, name, error, words) -> None:
    objective = Toy()
    with pytest.raises(error, match=words):
        fit(objective, Clips(("first", name, "third")), [], settings(max_steps=9), tmp_path, crew=Crew(2, Toy))
    assert all(bool(tensor.isfinite().all()) for tensor in objective.state_dict().values())
    assert (multiprocessing.active_children(), list(temporary.glob("moksori-*"))) == ([], [])
    assert not torch.distributed.is_initialized()


def test_a_process_that_cannot_start(tmp_path) -> None:
    with pytest.raises(ProcessEnded, match=r"^process 2 of 2 could not start: ValueError: no such model$"):
        fit(Toy(), Clips(), [], settings(), tmp_path, crew=Crew(2, unbuildable))
    assert multiprocessing.active_children() == []


def test_numbers_that_cannot_be(tmp_path) -> None:
    with pytest.raises(ConfigError, match="processes 0: expected 1 or more"):
        fit(Toy(), Clips(), [], settings(), tmp_path, crew=Crew(0, Toy))
    with pytest.raises(ConfigError, match=r"4 processes cannot share batches of 3 clips: take 3 processes or fewer"):
        fit(Toy(), Clips(), [], settings(), tmp_path, crew=Crew(4, Toy))
    assert not (tmp_path / "checkpoints").exists()


def test_more_processes_than_cores_are_warned_of(tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr("moksori.training.processes._cores", lambda: 1)
    monkeypatch.setattr("moksori.training.processes._started", lambda *given: (_ for _ in ()).throw(RuntimeError("no")))
    with pytest.raises(RuntimeError, match="no"):
        fit(Toy(), Clips(), [], settings(), tmp_path, crew=Crew(2, Toy))
    assert "2 processes on 1 cores get in each other's way" in caplog.text
