"""A share's rows are what one process draws for the same items: noise, integers, dropout, in every layout of memory."""

import pytest
import torch
import torch.nn.functional as F

from moksori.errors import ConfigError
from moksori.models.contract import Update
from moksori.training.shares import Share, WholeBatchDraws
from moksori.types import SpeechBatch


def batch(items: int = 5) -> SpeechBatch:
    x = torch.arange(items * 6.0).reshape(items, 6)
    lengths = torch.arange(1, items + 1)
    return SpeechBatch(tuple(f"clip{i}" for i in range(items)), x, lengths, torch.arange(items), f0=x[:, :3])


DRAWS = {
    "rand by numbers": lambda x: torch.rand(x.shape[0], 3),
    "randn by shape": lambda x: torch.randn(x.shape, dtype=torch.float64),
    "randn by name": lambda x: torch.randn(size=(x.shape[0], 20)),
    "randn with a generator": lambda x: torch.randn((x.shape[0], 17), generator=torch.Generator().manual_seed(9)),
    "one axis": lambda x: torch.rand(x.shape[0]),
    "randint to": lambda x: torch.randint(1000, (x.shape[0], 4)),
    "randint from to": lambda x: torch.randint(500, 1000, (x.shape[0], 4)),
    "randint by name": lambda x: torch.randint(low=-9, high=1000, size=(x.shape[0], 4)),
    "rand_like": torch.rand_like,
    "randn_like of a transposed one": lambda x: torch.randn_like(
        x.unsqueeze(2).expand(-1, -1, 7).transpose(1, 2).clone()
    ),
    "dropout": lambda x: F.dropout(x, 0.4),
    "dropout of a layer": lambda x: torch.nn.Dropout(0.7).train()(x.expand(3, -1, -1).transpose(0, 1)),
    "dropout in place": lambda x: F.dropout(x.clone(), 0.3, True, True),
    "dropout in bfloat16": lambda x: F.dropout(x.bfloat16(), 0.3),
    "no dropout": lambda x: F.dropout(x, 0.5, training=False),
    "all dropped": lambda x: F.dropout(x, 1.0),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("world", [2, 3])
def test_rows_of_what_is_drawn_for_all(draw, world: int) -> None:
    x = batch().waveform + 1.0
    torch.manual_seed(7)
    whole, after = draw(x), torch.rand(7)
    for rank in range(world):
        torch.manual_seed(7)
        with WholeBatchDraws(rank, world, len(x)):
            own = draw(x[rank::world])
            assert torch.equal(own, whole[rank::world])
            assert torch.equal(torch.rand(7), after)  # no axis of the batch: equal, and the stream is as far


def test_dropout_lets_gradients_through() -> None:
    x = torch.ones(3, 50, requires_grad=True)
    with WholeBatchDraws(0, 2, 6):
        y = F.dropout(x, 0.25)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert y.detach().unique().tolist() == pytest.approx([0.0, 4 / 3])


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: torch.bernoulli(x),
        lambda x: x.normal_(),
        lambda x: torch.rand_like(x, dtype=torch.float64),
        lambda x: F.dropout1d(x),
        lambda x: torch.multinomial(x, 1),
        lambda x: torch.empty_like(x).exponential_(),
    ],
)
def test_other_draws_are_refused(draw) -> None:
    with WholeBatchDraws(0, 2, 4), pytest.raises(TypeError, match="processes that share a batch"):
        draw(torch.ones(2, 3))


def test_shares_are_strided_and_keep_the_padding() -> None:
    shares = [Share.of(batch(), rank, 2) for rank in range(2)]
    assert [share.batch.names for share in shares] == [("clip0", "clip2", "clip4"), ("clip1", "clip3")]
    assert shares[1].names == batch().names
    assert torch.equal(shares[1].batch.waveform, batch().waveform[1::2])
    assert torch.equal(shares[1].batch.f0, batch().f0[1::2])
    assert shares[1].batch.tokens is None
    assert shares[1].batch.waveform.is_contiguous()
    alone = Share.of(batch(), 0, 1)
    update = Update("model", {"a": torch.tensor(2.0)}, {"a": 1.0})
    assert alone.weighed(update, lambda counts: pytest.fail("nobody to ask")) is update
    with pytest.raises(ConfigError, match="a batch of 2 clips cannot be shared by 3 processes"):
        Share.of(batch(2), 0, 3)


def test_means_are_weighed_by_their_counts() -> None:
    frames, values = torch.tensor([4.0, 1.0, 2.0]), torch.tensor([1.0, 10.0, 5.0])
    whole = float((frames * values).sum() / frames.sum())
    updates, shares = [], [Share.of(batch(3), rank, 2) for rank in range(2)]
    for rows in (slice(0, None, 2), slice(1, None, 2)):
        n, v = frames[rows], values[rows]
        terms = {"framewise": (n * v).sum() / n.sum(), "itemwise": v.mean(), "nowhere": torch.zeros(())}
        updates.append(Update("model", terms, {}, {"framewise": n.sum(), "nowhere": torch.tensor(0)}))
    counts = torch.stack([torch.tensor([6.0, 2.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])]).sum(dim=0).double()
    weighed = [share.weighed(update, lambda own: counts) for share, update in zip(shares, updates, strict=True)]
    total = {name: float(sum(part.terms[name] for part in weighed)) for name in updates[0].terms}
    assert total == pytest.approx({"framewise": whole, "itemwise": float(values.mean()), "nowhere": 0.0})
