"""Which device a run takes: what the settings name, refused where the machine lacks it."""

from typing import Any

import pytest
import torch

from moksori.errors import ConfigError
from moksori.training.config import TrainingConfig
from moksori.training.team import check_device, make_fabric, on_gpu


def config(device: str) -> TrainingConfig:
    return TrainingConfig(max_steps=1, device=device, precision="fp32")


@pytest.mark.parametrize(
    ("device", "asked"),
    [("auto", ("auto", 1)), ("cpu", ("cpu", 1)), ("cuda", ("cuda", 1)), ("cuda:1", ("cuda", [1])), ("mps", ("mps", 1))],
)
def test_the_named_device_is_asked_for(device: str, asked: tuple[str, Any], monkeypatch) -> None:
    given: dict[str, Any] = {}

    class Fabric:
        def __init__(self, **options: Any) -> None:
            given.update(options)

        def launch(self) -> None:
            pass

    monkeypatch.setattr("lightning.fabric.Fabric", Fabric)
    make_fabric(config(device))
    assert (given["accelerator"], given["devices"]) == asked


def test_a_device_that_is_not_here_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for device in ("auto", "cpu", "cuda", "cuda:1"):
        check_device(config(device))
    assert on_gpu(config("cuda:1"))
    with pytest.raises(ConfigError, match=r"training\.device = 'cuda:2': 2 GPUs with CUDA here; take auto or cpu"):
        check_device(config("cuda:2"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match=r"training\.device = 'cuda': no GPU with CUDA here; take auto or cpu"):
        check_device(config("cuda"))
