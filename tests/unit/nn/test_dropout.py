"""Dropout: the law of its masks, and where they lie."""

import pytest
import torch

from moksori.nn.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_masks_follow_the_law_of_dropout(p: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(7, 333, 41).transpose(1, 2).requires_grad_()  # channels last, no multiple of four
    y = Dropout(p)(x)
    assert y.stride() == x.stride()
    kept = y.detach() != 0
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / (1 - p)), rtol=1e-4, atol=0)
    flat = (~kept).transpose(1, 2).flatten().float()
    for place in range(4):  # each of the four that share a word
        assert float(flat[place::4].mean()) == pytest.approx(p, abs=0.012)
    for lag in (1, 2, 3, 4):  # and none knows of another
        assert float(((flat[lag:] - p) * (flat[:-lag] - p)).mean()) == pytest.approx(0.0, abs=0.006)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach())


def test_a_mask_is_drawn_anew_and_by_the_seed() -> None:
    layer, x = Dropout(0.3), torch.ones(10, 100)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)
    assert not torch.equal(first, second)
    assert torch.equal(layer(x), first)
    assert torch.equal(layer.eval()(x), x)
    assert not Dropout(1.0)(x).any()
    assert Dropout(0.3)(x.bfloat16()).dtype == torch.bfloat16
    assert Dropout(0.3)(x[:0]).shape == (0, 100)
    assert not Dropout(0.3)(torch.ones(1000)).all()
