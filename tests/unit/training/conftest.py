"""A family of one linear layer, so that the loop itself is tested in milliseconds."""

from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import Generator, Tensor, nn

from moksori.models.contract import Objective, Update
from moksori.training.config import TrainingConfig
from moksori.types import SpeechBatch


class LineModel(nn.Module):
    """y = a x + b with dropout; `seen` is a buffer that only initialisation writes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.05)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.dropout(x))


class LineObjective(Objective):
    """Fits the line, and a critic beside it, with noise from the loop's generator; step `poison` goes wrong."""

    def __init__(self, poison: int | None = None, where: str = "loss") -> None:
        super().__init__(LineModel())
        self.critic = nn.Linear(4, 1)
        nn.init.ones_(self.critic.weight)
        self.poison, self.where = poison, where
        self.steps: list[int] = []

    def parameter_groups(self) -> Mapping[str, list[nn.Parameter]]:
        return {"model": list(self.model.parameters()), "critic": list(self.critic.parameters())}

    def initialise(self, batches: Iterator[SpeechBatch]) -> None:
        self.model.seen.fill_(float(sum(len(batch.names) for batch in batches)))

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        if self.training:
            self.steps.append(step)
        x = batch.waveform.reshape(-1, 4)
        noise = torch.randn(x.shape, generator=generator)
        yield Update("critic", {"critic": self.critic(x + noise).square().mean()}, {"critic": 1.0})
        error = (self.model(x) - 2.0 * x + 0.01 * noise).square().mean()
        if self.training and step == self.poison:
            if self.where == "loss":
                error = error * torch.nan
            else:  # a finite loss whose gradient is not: sqrt at 0
                error = error + (self.model.layer.weight * 0.0).square().sum().sqrt()
        yield Update("model", {"error": error, "watched": error.detach() * 3}, {"error": 10.0})


class LineBatches:
    """Batch k is a function of k; remembers which steps were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def batch(self, step: int) -> SpeechBatch:
        self.asked.append(step)
        x = torch.randn(2, 8, generator=torch.Generator().manual_seed(step))
        return SpeechBatch((f"clip{2 * step}", f"clip{2 * step + 1}"), x, torch.tensor([8, 8]), torch.tensor([0, 0]))


@pytest.fixture
def line() -> type[LineObjective]:
    return LineObjective


@pytest.fixture
def line_batches() -> LineBatches:
    return LineBatches()


@pytest.fixture
def settings():
    """A TrainingConfig for the toy, with changes by keyword."""

    def make(**changes) -> TrainingConfig:
        optimizers = {"model": {"learning_rate": 0.05}, "critic": {"learning_rate": 0.01}}
        given = {"max_steps": 12, "precision": "fp32", "device": "cpu", "optimizers": optimizers, "ema_decay": 0.9}
        given |= {"log_every": 1, "save_every": 4, "validate_every": 4, "speak_every": 0}
        return TrainingConfig.model_validate(given | changes)

    return make
