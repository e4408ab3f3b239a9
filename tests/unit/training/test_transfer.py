"""Taking over weights: by name, tables in part, and a report of what was not."""

import torch
from torch import nn

from moksori.training.transfer import transfer_weights


def model(symbols: int, width: int, extra: bool = False) -> nn.ModuleDict:
    parts = {"table": nn.Embedding(symbols, 4), "layer": nn.Linear(4, width)}
    return nn.ModuleDict(parts | ({"extra": nn.Linear(1, 1)} if extra else {}))


def test_takes_what_fits_and_tells_the_rest() -> None:
    source, target = model(5, 3), model(7, 3, extra=True)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    stored = {name: tensor.half() for name, tensor in source.state_dict().items()} | {"gone": torch.zeros(1)}
    report = transfer_weights(target, stored)
    assert report.whole == ("layer.weight", "layer.bias")
    assert report.partial == ("table.weight",)
    assert report.left == ("extra.weight", "extra.bias")
    assert report.unused == ("gone",)
    assert torch.equal(target["layer"].weight, source["layer"].weight.half().float())
    assert torch.equal(target["table"].weight[:5], source["table"].weight.half().float())
    assert torch.equal(target["table"].weight[5:], before["table.weight"][5:])
    assert report.summary() == (
        "2 tensors taken over, 1 in part (table.weight), 2 not found there (extra.weight, ...), "
        "1 not needed here (gone)"
    )


def test_a_smaller_table_takes_the_first_rows_and_other_widths_are_left() -> None:
    source, target = model(9, 5), model(6, 3)
    before = target["layer"].weight.detach().clone()
    report = transfer_weights(target, source.state_dict())
    assert torch.equal(target["table"].weight, source["table"].weight[:6])
    # Rows of a table mean the same on both sides; a wider layer's rows are taken by the same rule.
    assert "layer.weight" in report.partial
    assert torch.equal(target["layer"].weight, source["layer"].weight[:3])
    assert not torch.equal(target["layer"].weight, before)
    deeper = nn.ModuleDict({"table": nn.Embedding(6, 8)})
    assert transfer_weights(deeper, source.state_dict()).whole == ()
