"""Memory does not grow with the number of times that a voice has spoken."""

import resource
from pathlib import Path

import pytest
import torch

from moksori.models.checkpoint import Loaded, Manifest
from moksori.models.vits import Vits
from moksori.pipeline.run_config import run_config
from moksori.pipeline.speaker import Speaker

STATM = Path("/proc/self/statm")
SLACK_MIB = 4.0
"""For an allocator that keeps pieces of many lengths, which came to 1; the sound of every call, if kept, is 7 alone."""


def resident_mib() -> float:
    return int(STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20


@pytest.fixture
def speaker() -> Speaker:
    """A tiny VITS that has learnt nothing."""
    config = run_config("vits/tiny").model
    torch.manual_seed(0)
    manifest = Manifest(
        family="vits", name="tiny", model=config.model_dump(mode="json"), text=config.text, speakers=("nobody",),
        language="en-us", sample_rate=config.mel.sample_rate,
    )  # fmt: skip
    return Speaker(Loaded(Vits(config).eval(), manifest, Path()))


@pytest.mark.skipif(not STATM.is_file(), reason="the system does not tell what is resident")
def test_speaking_again_and_again_takes_no_more_memory(speaker: Speaker) -> None:
    seconds = 0.0

    def speak(calls: range) -> float:
        nonlocal seconds
        for seed in calls:
            seconds += speaker.say("One lemon on a table, and seven more beside it.", seed=seed).duration_seconds
        return resident_mib()

    before = speak(range(20))
    assert speak(range(20, 120)) - before < SLACK_MIB
    assert seconds > 90.0  # so that what is kept of each call would be seen
