"""Recordings played slower or faster: the frequency moves with the rate, and at rate 1 nothing changes."""

import math

import pytest
import torch

from moksori.models.dsvae.playing import played, random_rates

RATE = 16000


def tone(hertz: float, samples: int = RATE) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(samples) / RATE)[None]


def test_at_rate_one_every_sample_is_its_own() -> None:
    sound, lengths = torch.randn(2, 50), torch.tensor([50, 50])
    assert torch.equal(played(sound, lengths, torch.arange(10.0, 40.0).expand(2, -1)), sound[:, 10:40])


def test_a_shorter_recording_is_repeated() -> None:
    found = played(torch.arange(10.0)[None], torch.tensor([5]), torch.arange(-2.0, 8.0)[None])
    assert found[0].tolist() == [3, 4, 0, 1, 2, 3, 4, 0, 1, 2]


@pytest.mark.parametrize("factor", [0.86, 1.16])
def test_a_tone_moves_by_the_rate(factor: float) -> None:
    place = 100.0 + factor * torch.arange(4000.0)
    found = played(tone(1000.0), torch.tensor([RATE]), place[None])
    wanted = torch.sin(2 * torch.pi * 1000.0 * factor * (100.0 / factor + torch.arange(4000)) / RATE)
    assert (found[0] - wanted).abs().max() < 0.01


def test_rates_are_as_often_slower_as_faster_and_keep_to_the_share() -> None:
    rates = random_rates(4000, 0.15, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert abs(float(rates.log().mean())) < 0.005
    assert math.exp(-0.15) <= float(rates.min()) < 0.87
    assert 1.15 < float(rates.max()) <= math.exp(0.15)


def test_no_share_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    state = generator.get_state()
    assert torch.equal(random_rates(3, 0.0, torch.device("cpu"), generator), torch.ones(3))
    assert torch.equal(generator.get_state(), state)
