"""Couplings, affine and spline flows: inverses, Jacobians, masks."""

import pytest
import torch
from torch import nn

from moksori.nn.flows import ChannelFlip, CouplingFlow, ElementwiseAffine, ResidualCoupling, SplineFlow
from moksori.nn.masks import sequence_mask


@torch.no_grad()
def shake(module: nn.Module) -> None:
    """Moves every parameter off its start, zero-initialised ones included; otherwise the flows are identities."""
    for parameter in module.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))


def ones_mask(time: int, batch: int = 1) -> torch.Tensor:
    return torch.ones(batch, 1, time, dtype=torch.bool)


def test_flip_reverses_all_channels() -> None:
    x = torch.arange(6.0).reshape(1, 6, 1)
    assert ChannelFlip(6)(x).flatten().tolist() == [5, 4, 3, 2, 1, 0]


def test_fresh_flow_is_a_permutation() -> None:
    x = torch.randn(2, 6, 9)
    mask = ones_mask(9, batch=2)
    torch.testing.assert_close(CouplingFlow(6, 8, 5, 2, num_couplings=4)(x, mask), x)
    torch.testing.assert_close(CouplingFlow(6, 8, 5, 2, num_couplings=3)(x, mask), x.flip(1))


@pytest.mark.parametrize("condition_channels", [0, 3])
def test_coupling_flow_inverts(condition_channels: int) -> None:
    torch.manual_seed(0)
    flow = CouplingFlow(6, 8, 5, 2, 4, condition_channels=condition_channels)
    shake(flow)
    mask = sequence_mask(torch.tensor([12, 7]))
    z = torch.randn(2, 6, 12) * mask
    condition = torch.randn(2, condition_channels, 1) if condition_channels else None
    z_p = flow(z, mask, condition)
    assert (z_p - z).abs().max() > 0.1
    torch.testing.assert_close(flow.inverse(z_p, mask, condition), z, atol=1e-5, rtol=0)
    torch.testing.assert_close(flow(flow.inverse(z, mask, condition), mask, condition), z, atol=1e-5, rtol=0)


def test_coupling_flow_preserves_volume() -> None:
    torch.manual_seed(1)
    flow = CouplingFlow(4, 8, 5, 2, 3).double()
    shake(flow)
    time = 5
    jacobian = torch.autograd.functional.jacobian(
        lambda flat: flow(flat.reshape(1, 4, time), ones_mask(time)).flatten(), torch.randn(4 * time).double()
    )
    assert abs(abs(torch.linalg.det(jacobian).item()) - 1) < 1e-9


def test_coupling_keeps_its_first_half() -> None:
    coupling = ResidualCoupling(6, 8, 5, 2)
    shake(coupling)
    x = torch.randn(1, 6, 9)
    y = coupling(x, ones_mask(9))
    assert torch.equal(y[:, :3], x[:, :3])
    assert (y[:, 3:] - x[:, 3:]).abs().max() > 0.01
    with pytest.raises(ValueError, match="channels 5 is odd"):
        ResidualCoupling(5, 8, 5, 2)


def test_coupling_flow_ignores_padding_and_batch() -> None:
    torch.manual_seed(2)
    flow = CouplingFlow(6, 8, 5, 2, 4).double()
    shake(flow)
    mask = sequence_mask(torch.tensor([15, 8]))
    z = torch.randn(2, 6, 15).double()
    for function in (flow, flow.inverse):
        out = function(z, mask) * mask
        changed = function(torch.where(mask, z, 100.0), mask) * mask
        torch.testing.assert_close(changed, out, atol=1e-9, rtol=0)
        torch.testing.assert_close(out[1:, :, :8], function(z[1:, :, :8], mask[1:, :, :8]), atol=1e-9, rtol=0)


def flows_with_volume() -> list[nn.Module]:
    torch.manual_seed(3)
    flows = [ElementwiseAffine(2).double(), SplineFlow(2, 8, 3, 3).double()]
    for flow in flows:
        shake(flow)
    return flows


@pytest.mark.parametrize("flow", flows_with_volume(), ids=["affine", "spline"])
def test_flows_with_volume(flow: nn.Module) -> None:
    """Inverse, log-determinant against the full Jacobian, padding."""
    mask = sequence_mask(torch.tensor([6, 4]))
    x = 2 * torch.randn(2, 2, 6).double() * mask
    y, log_det = flow(x, mask)
    assert (y - x).abs().max() > 0.05
    torch.testing.assert_close(flow.inverse(y, mask), x, atol=1e-9, rtol=0)
    for item, length in enumerate((6, 4)):
        jacobian = torch.autograd.functional.jacobian(
            lambda flat, n=length: flow(flat.reshape(1, 2, n), ones_mask(n))[0].flatten(),
            x[item, :, :length].flatten(),
        )
        torch.testing.assert_close(log_det[item], torch.linalg.slogdet(jacobian).logabsdet, atol=1e-9, rtol=0)
    changed, changed_log_det = flow(torch.where(mask, x, 3.0), mask)
    torch.testing.assert_close(changed, y, atol=1e-9, rtol=0)
    torch.testing.assert_close(changed_log_det, log_det, atol=1e-9, rtol=0)


def test_spline_flow_is_float32_under_autocast() -> None:
    torch.manual_seed(4)
    flow = SplineFlow(2, 8, 3, 3)
    shake(flow)
    x, condition = torch.randn(1, 2, 7), torch.randn(1, 8, 1)
    expected, _ = flow(x, ones_mask(7), condition)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, log_det = flow(x, ones_mask(7), condition)
    assert y.dtype == log_det.dtype == torch.float32
    torch.testing.assert_close(y, expected)
