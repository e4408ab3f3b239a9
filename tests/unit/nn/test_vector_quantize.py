"""Quantisers: nearest codes, gradients that pass, codebooks that follow the data and stay in use; jitter."""

import math

import pytest
import torch
from torch import nn

from moksori.nn import vector_quantize
from moksori.nn.masks import sequence_mask
from moksori.nn.vector_quantize import Quantizer, ScalarQuantizer, VectorQuantizer, jittered, perplexity


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filled(quantizer: VectorQuantizer, seed: int = 1) -> VectorQuantizer:
    """With a codebook of random vectors: the first one's lie within 1/K of 0."""
    with torch.no_grad():
        quantizer.codebook.copy_(drawn(*quantizer.codebook.shape, seed=seed))
    return quantizer


EVERY = [
    lambda: filled(VectorQuantizer(6, 16)),
    lambda: filled(VectorQuantizer(6, 16, decay=None)),
    lambda: filled(VectorQuantizer(6, 16, look_up_channels=3, normalised=True)),
    lambda: ScalarQuantizer(6, (4, 3, 2)),
]
NAMES = ["average", "loss", "sphere", "scalars"]


def test_the_nearest_code_by_brute_force() -> None:
    quantizer, states = filled(VectorQuantizer(5, 32)).eval(), drawn(3, 40, 5)
    found = quantizer(states)
    expected = (states[:, :, None] - quantizer.codebook).square().sum(dim=-1).argmin(dim=-1)
    assert torch.equal(found.codes, expected)
    torch.testing.assert_close(found.states, quantizer.codebook[expected])


@pytest.mark.parametrize("make", EVERY, ids=NAMES)
def test_codes_give_the_states_back(make) -> None:
    quantizer = make().eval()
    found = quantizer(2.0 * drawn(3, 50, 6))
    torch.testing.assert_close(quantizer.lookup(found.codes), found.states, rtol=1e-5, atol=1e-5)
    assert 0 <= int(found.codes.min()) <= int(found.codes.max()) < quantizer.size
    assert len(found.codes.unique()) > 3


def test_the_gradient_passes_straight_through() -> None:
    quantizer, states = filled(VectorQuantizer(5, 8)), drawn(2, 7, 5).requires_grad_()
    wanted = drawn(2, 7, 5, seed=3)
    (quantizer(states).states * wanted).sum().backward()
    assert torch.equal(states.grad, wanted)


@pytest.mark.parametrize("make", EVERY, ids=NAMES)
def test_evaluation_changes_nothing_and_training_counts(make) -> None:
    quantizer, states = make().eval(), drawn(2, 9, 6)
    before = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    quantizer(states)
    assert all(torch.equal(before[name], tensor) for name, tensor in quantizer.state_dict().items())
    quantizer.train()(states)
    assert not torch.equal(before["counts"], quantizer.counts)


def test_the_loss_terms() -> None:
    """|sg(z) - e|² reaches the codebook alone, beta |z - sg(e)|² the states alone."""
    quantizer, states = filled(VectorQuantizer(4, 8, decay=None, commitment=0.25)), drawn(2, 6, 4).requires_grad_()
    found = quantizer(states)
    difference = states.detach() - quantizer.codebook.detach()[found.codes]
    assert float(found.loss.detach()) == pytest.approx(1.25 * float(difference.square().mean()), rel=1e-5)
    found.loss.backward()
    torch.testing.assert_close(states.grad, 0.25 * 2 * difference / difference.numel())
    expected = torch.zeros(8, 4).index_add_(0, found.codes.flatten(), -2 * difference.flatten(0, 1))
    torch.testing.assert_close(quantizer.codebook.grad, expected / difference.numel())
    average = filled(VectorQuantizer(4, 8))
    assert float(average(states).loss.detach()) == pytest.approx(0.25 * float(difference.square().mean()), rel=1e-5)


def test_the_average_comes_to_the_means_of_clusters() -> None:
    means = torch.tensor([[4.0, 0.0], [-4.0, 1.0], [0.0, -5.0]])
    quantizer = VectorQuantizer(2, 3, decay=0.9)
    with torch.no_grad():
        quantizer.codebook.copy_(means * 0.5)
        quantizer.sums.copy_(quantizer.codebook)
    for step in range(150):
        place = torch.randint(0, 3, (4, 60), generator=torch.Generator().manual_seed(step))
        quantizer(means[place] + 0.3 * drawn(4, 60, 2, seed=step))
    torch.testing.assert_close(quantizer.codebook, means, rtol=0.0, atol=0.1)
    assert float(quantizer.counts.sum()) == pytest.approx(240.0, rel=1e-3)
    assert float(quantizer.usage()[0]) == pytest.approx(3.0, rel=0.02)


def test_the_moving_average_is_the_published_one() -> None:
    quantizer = filled(VectorQuantizer(2, 4, decay=0.8, restart_after=0))
    quantizer.sums.copy_(quantizer.codebook)
    states, e = drawn(1, 12, 2), quantizer.codebook.clone()
    codes = quantizer(states).codes[0]
    counts = 0.8 + 0.2 * torch.bincount(codes, minlength=4)
    smooth = (counts + 1e-5) / (counts.sum() + 4e-5) * counts.sum()
    sums = 0.8 * e + 0.2 * torch.zeros(4, 2).index_add_(0, codes, states[0])
    torch.testing.assert_close(quantizer.counts, smooth)
    torch.testing.assert_close(quantizer.codebook, sums / smooth[:, None])


@pytest.mark.parametrize("decay", [0.9, None])
def test_a_dead_code_is_revived(decay: float | None) -> None:
    """Half of the codes lie far off; after enough steps without use they lie among the data and are taken."""
    quantizer = VectorQuantizer(2, 8, decay=decay, restart_after=20)
    with torch.no_grad():
        quantizer.codebook[:4] = drawn(4, 2)
        quantizer.codebook[4:] = 100.0
        if quantizer.follows:
            quantizer.sums.copy_(quantizer.codebook)
    for step in range(700):
        quantizer(drawn(2, 40, 2, seed=step), generator=torch.Generator().manual_seed(step))
        if step == 15:
            assert float(quantizer.codebook.detach().max()) == pytest.approx(100.0, rel=1e-2)
    assert float(quantizer.codebook.detach().abs().max()) < 5.0
    assert len(quantizer.eval()(drawn(4, 100, 2, seed=999)).codes.unique()) == 8


def test_without_restart_a_dead_code_stays_dead() -> None:
    quantizer = VectorQuantizer(2, 4, decay=0.9, restart_after=0)
    with torch.no_grad():
        quantizer.codebook[0] = 100.0
        quantizer.sums.copy_(quantizer.codebook)
    for step in range(60):
        quantizer(drawn(2, 40, 2, seed=step))
    assert float(quantizer.codebook[0].min()) > 50.0
    assert float(quantizer.usage()[1]) == 3.0


def test_it_starts_among_the_data() -> None:
    points = drawn(600, 3) * 0.1 + 5.0
    quantizer = VectorQuantizer(3, 16)
    assert len(quantizer.eval()(points[None]).codes.unique()) == 1  # every state has the outermost vector
    quantizer.start(points, torch.Generator().manual_seed(0))
    found = quantizer(points[None])
    assert len(found.codes.unique()) == 16
    assert float(found.commitment) < 0.5 * float(points.var(dim=0).mean())
    quantizer.start(points[:5], torch.Generator().manual_seed(0))
    assert bool(quantizer.codebook.isfinite().all())


@pytest.mark.parametrize("make", EVERY, ids=NAMES)
def test_padding_neither_counts_nor_teaches(make) -> None:
    short, states = sequence_mask(torch.tensor([5, 8]), 8), drawn(2, 8, 6)
    one, two = make(), make()
    two.load_state_dict(one.state_dict())
    left = one(states, short)
    right = two(torch.where(short.transpose(1, 2), states, 50.0), short)
    torch.testing.assert_close(left.loss, right.loss)
    assert torch.equal(left.codes, right.codes)
    assert not left.codes[0, 5:].any()
    assert not left.states[0, 5:].any()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name


@pytest.mark.parametrize("make", EVERY, ids=NAMES)
def test_shares_of_a_batch_come_to_the_same_codebook(make, monkeypatch) -> None:
    """What two processes have after each other's numbers were added to their own is what one has with all of them."""
    states = drawn(4, 10, 6)
    whole, parts = make(), [make(), make()]
    for part in parts:
        part.load_state_dict(whole.state_dict())
    whole(states)
    told: list[list[torch.Tensor]] = []
    for rank in range(2):  # first only to hear what each would give
        heard: list[torch.Tensor] = []
        monkeypatch.setattr(vector_quantize, "_over_processes", lambda value, into=heard: into.append(value) or value)
        quantizer = make()
        quantizer.load_state_dict(parts[rank].state_dict())
        quantizer(states[rank::2])
        told.append(heard)
    for rank, part in enumerate(parts):
        totals = iter([a + b for a, b in zip(*told, strict=True)])
        monkeypatch.setattr(vector_quantize, "_over_processes", lambda value, given=totals: next(given))
        part(states[rank::2])
        for name, tensor in whole.state_dict().items():
            torch.testing.assert_close(part.state_dict()[name], tensor, msg=name)


def test_perplexity() -> None:
    assert float(perplexity(torch.ones(64))) == pytest.approx(64.0)
    assert float(perplexity(torch.tensor([7.0, 0.0, 0.0]))) == pytest.approx(1.0)
    assert float(perplexity(torch.tensor([3.0, 1.0]))) == pytest.approx(math.exp(0.5623351446))


def test_while_states_pass_codes_are_learnt() -> None:
    quantizer, states = filled(VectorQuantizer(4, 8)), drawn(2, 6, 4)
    before = quantizer.codebook.clone()
    torch.testing.assert_close(quantizer(states, passes=True).states, states)
    assert not torch.equal(before, quantizer.codebook)


def test_scalars_have_all_their_levels() -> None:
    quantizer = ScalarQuantizer(3, (8, 5, 4)).eval()
    with torch.no_grad():
        quantizer.into.weight.copy_(torch.eye(3))
        quantizer.into.bias.zero_()
    found = quantizer(2.0 * drawn(1, 20000, 3))
    assert len(found.codes.unique()) == quantizer.size == 160
    states = drawn(1, 5, 3).requires_grad_()
    quantizer(states).states.sum().backward()
    assert bool(states.grad.any())
    assert float(found.loss) == 0.0
    with pytest.raises(ValueError, match="at least 2 levels"):
        ScalarQuantizer(3, (8, 1))


def test_distances_are_float32_under_autocast() -> None:
    """Codes a thousandth apart, which bfloat16 cannot tell: the nearest is found all the same."""
    quantizer = VectorQuantizer(1, 4).eval()
    with torch.no_grad():
        quantizer.codebook.copy_(torch.tensor([[8.0], [8.001], [8.002], [8.003]]))
    states = torch.tensor([[[8.0021], [8.0009], [8.0], [8.0031]]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert quantizer(states).codes.tolist() == [[2, 1, 0, 3]]


def test_jitter_moves_by_one_and_stays_inside() -> None:
    states = torch.arange(30.0).expand(200, 30).unsqueeze(2)
    mask = sequence_mask(torch.tensor([20] * 100 + [30] * 100), 30)
    moved = jittered(states, 0.5, mask, torch.Generator().manual_seed(0))[:, :, 0] - states[:, :, 0]
    inside = moved[:, 1:19]
    assert float(moved[:100, :20].abs().max()) == 1.0
    assert float((inside != 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float((inside > 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert bool((moved[:, 0] >= 0).all())
    assert bool((moved[:100, 19] <= 0).all())
    assert bool((moved[100:, 29] <= 0).all())
    assert torch.equal(jittered(states, 0.0, mask), states)


def test_what_is_quantised_leaves_something_for_the_next() -> None:
    """A stack of quantisers, each of what the ones before left: a residual codec is made of these."""
    states = drawn(2, 200, 4)
    rest, errors = states, []
    stack = nn.ModuleList(VectorQuantizer(4, 16) for _ in range(3))
    for index, quantizer in enumerate(stack):
        assert isinstance(quantizer, Quantizer)
        quantizer.start(rest.flatten(0, 1), torch.Generator().manual_seed(index))
        rest = rest - quantizer.eval()(rest).states
        errors.append(float(rest.square().mean()))
    assert errors[0] > 2.0 * errors[1] > 4.0 * errors[2]
