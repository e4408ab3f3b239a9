"""Networks one step at a time: the same function as PyTorch's own, in memory that stays where it is."""

import pytest
import torch
from torch import nn

from moksori.nn.one_step import LstmCell, LstmWeights, Product, single_threaded


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_a_stack_of_cells_is_an_lstm(batch: int, bias: bool) -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(5, 7, num_layers=2, bias=bias, batch_first=True)
    x = torch.randn(batch, 9, 5)
    expected, (_, cells) = lstm(x)
    first, second = (LstmCell(LstmWeights.of(lstm, layer), batch) for layer in range(2))
    made = []
    for t in range(x.shape[1]):
        first.input.copy_(x[:, t])
        first.advance()
        second.input.copy_(first.hidden)
        second.advance()
        made.append(second.hidden.clone())
    torch.testing.assert_close(torch.stack(made, dim=1), expected.detach(), atol=1e-6, rtol=0)
    torch.testing.assert_close(second.cell, cells[1].detach(), atol=1e-6, rtol=0)


def test_a_cell_starts_anew_and_stays_where_it_is() -> None:
    torch.manual_seed(0)
    cell = LstmCell(LstmWeights.of(nn.LSTM(3, 4), 0), 2)
    places = [cell.input.data_ptr(), cell.hidden.data_ptr(), cell.cell.data_ptr()]
    runs = []
    for _ in range(2):
        cell.reset()
        for _ in range(3):
            cell.input.fill_(0.5)
            cell.advance()
        runs.append(cell.hidden.clone())
    assert torch.equal(*runs)
    assert runs[0].abs().max() > 0
    assert places == [cell.input.data_ptr(), cell.hidden.data_ptr(), cell.cell.data_ptr()]


@pytest.mark.parametrize("batch", [1, 4])
def test_a_product_reads_and_writes_in_place(batch: int) -> None:
    weight, bias = torch.randn(6, 3), torch.randn(6)
    x, out, alone = torch.zeros(batch, 5)[:, 1:4], torch.zeros(batch, 6), torch.zeros(batch, 6)
    product, without = Product(weight, bias, x, out), Product(weight, None, x, alone)
    for _ in range(2):
        x.normal_()
        product()
        without()
        torch.testing.assert_close(out, nn.functional.linear(x, weight, bias))
        torch.testing.assert_close(alone, nn.functional.linear(x, weight))


def test_threads_come_back_also_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError), single_threaded(torch.device("cpu")):
            _ = 1 // (torch.get_num_threads() - 1)
        assert torch.get_num_threads() == 2
        with single_threaded(torch.device("cuda")):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
