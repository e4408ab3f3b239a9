"""Noise of any length: the same however it is read, drawn at once, in little memory."""

import pytest
import torch

from moksori.nn.distributions import RowGenerators
from moksori.nn.long_noise import PLACED_STEPS, LongNoise, PlacedNoise

CPU = torch.device("cpu")


def noise(total: int, stretch: int = 64, seed: int = 4) -> LongNoise:
    return LongNoise((2, 3), total, stretch, CPU, torch.Generator().manual_seed(seed))


def test_a_short_one_is_one_draw() -> None:
    expected = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(4))
    assert torch.equal(noise(50)(0, 50), expected)
    assert torch.equal(noise(64)(10, 30), torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(4))[..., 10:30])


@pytest.mark.parametrize("step", [1, 17, 64, 500])
def test_it_is_the_same_however_it_is_read(step: int) -> None:
    whole, pieces = noise(500)(0, 500), noise(500)
    read = [pieces(max(start - 9, 0), min(start + step, 500)) for start in range(0, 500, step)]
    for start, piece in zip(range(0, 500, step), read, strict=True):
        assert torch.equal(piece, whole[..., max(start - 9, 0) : min(start + step, 500)])
    assert whole.std() == pytest.approx(1.0, abs=0.05)
    assert not torch.equal(whole[..., :64], whole[..., 64:128])


def test_what_is_drawn_afterwards_does_not_depend_on_how_far_it_was_read() -> None:
    after = []
    for read in (0, 500):
        draw = torch.Generator().manual_seed(4)
        LongNoise((1,), 500, 64, CPU, draw)(0, read)
        after.append(torch.rand(3, generator=draw))
    assert torch.equal(*after)


def test_memory_does_not_grow_and_what_is_gone_is_told() -> None:
    long = noise(10_000)
    for start in range(0, 9_900, 30):
        long(start, start + 30)
        assert sum(part.shape[-1] for part in long._parts) <= 4 * 64
    with pytest.raises(ValueError, match="noise from 0 to 5"):
        long(0, 5)
    with pytest.raises(ValueError, match="10000 can be read"):
        long(9_990, 10_001)
    with pytest.raises(ValueError, match="stretch 0"):
        noise(5, stretch=0)


def test_without_a_generator_two_differ() -> None:
    first, second = (LongNoise((1,), 100, 64, CPU) for _ in range(2))
    assert not torch.equal(first(0, 100), second(0, 100))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_noise_by_its_place_is_the_same_wherever_reading_begins() -> None:
    total = 2 * PLACED_STEPS + 100
    whole = PlacedNoise(2, CPU, seeded(3))(0, total)
    assert whole.shape == (2, total)
    for start, stop in ((0, 1), (PLACED_STEPS - 5, PLACED_STEPS + 5), (2 * PLACED_STEPS, total), (70, 70)):
        assert torch.equal(PlacedNoise(2, CPU, seeded(3))(start, stop), whole[:, start:stop])
    assert float(whole.std()) == pytest.approx(1.0, abs=0.02)
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole[:, :50], whole[:, PLACED_STEPS : PLACED_STEPS + 50])
    assert not torch.equal(PlacedNoise(2, CPU, seeded(4))(0, 50), whole[:, :50])


def test_rows_with_generators_of_their_own_have_the_noise_that_they_have_alone() -> None:
    together = PlacedNoise(2, CPU, RowGenerators([seeded(5), seeded(6)]))(0, 40)
    for row, seed in zip(together, (5, 6), strict=True):
        assert torch.equal(row, PlacedNoise(1, CPU, seeded(seed))(0, 40)[0])
