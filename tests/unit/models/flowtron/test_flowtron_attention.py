"""Attention made in pieces is the plain one, its prior is what SciPy says, and padding has no weight."""

import numpy as np
import pytest
import torch
from scipy.stats import betabinom

from moksori.losses.alignment import beta_binomial_log_prior, forward_sum_loss
from moksori.models.flowtron import attention as module
from moksori.models.flowtron.alignment import alignment_report
from moksori.models.flowtron.attention import AdditiveAttention, additive_energies, path_weights
from moksori.models.flowtron.text_encoder import MaskedInstanceNorm


def plain(query: torch.Tensor, key: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.tanh(query[:, :, None] + key[:, None]) @ weight


@pytest.mark.parametrize("piece", [1, 50, 10**6])
def test_energies_in_pieces_equal_the_plain_ones(piece: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "_PIECE", piece)
    draw = torch.Generator().manual_seed(0)
    query, key, weight = (torch.randn(*s, generator=draw, dtype=torch.float64) for s in ((2, 7, 4), (2, 5, 4), (4,)))
    leaves = [t.clone().requires_grad_() for t in (query, key, weight)]
    others = [t.clone().requires_grad_() for t in (query, key, weight)]
    found, expected = additive_energies(*leaves), plain(*others)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(found.shape, generator=draw, dtype=torch.float64)
    found.backward(upstream)
    expected.backward(upstream)
    for one, other in zip(leaves, others, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def attended(prior: torch.Tensor | None = None, temperature: float = 1.0):
    torch.manual_seed(0)
    layer = AdditiveAttention(4, 3, 6)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    with torch.no_grad():
        projected = layer.project(torch.randn(2, 5, 3), mask)
        return layer, projected, layer(3.0 * torch.randn(2, 7, 4), projected, prior, temperature)


def test_weights_sum_to_one_over_real_tokens() -> None:
    prior = beta_binomial_log_prior(torch.tensor([7, 6]), torch.tensor([5, 3]), 7, 5)
    for given in (None, prior):
        _, projected, found = attended(given)
        torch.testing.assert_close(found.weights.sum(dim=2), torch.ones(2, 7))
        assert float(found.weights[1, :, 3:].max()) < 1e-30
        torch.testing.assert_close(found.context, found.weights @ projected.values)


def test_prior_multiplies_weights_and_leaves_the_content_alone() -> None:
    prior = beta_binomial_log_prior(torch.tensor([7, 7]), torch.tensor([5, 3]), 7, 5)
    _, _, without = attended()
    _, _, found = attended(prior)
    product = without.weights * prior.exp()
    torch.testing.assert_close(found.weights, product / product.sum(dim=2, keepdim=True))
    torch.testing.assert_close(found.log_content, without.log_weights)


def test_low_temperature_sharpens() -> None:
    _, _, warm = attended()
    _, _, cold = attended(temperature=0.1)
    assert torch.equal(warm.weights.argmax(dim=2), cold.weights.argmax(dim=2))
    assert bool((cold.weights.amax(dim=2) > warm.weights.amax(dim=2)).all())


def test_forced_weights_are_kept_to() -> None:
    layer, projected, _ = attended()
    weights = path_weights(torch.tensor([[[0, 0], [1, 2]], [[0, 1], [2, 2]]]), 5)
    assert weights[0].tolist() == [[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0, 0.0]]
    found = layer.forced(weights, projected)
    torch.testing.assert_close(found.context[0, 1], projected.values[0, 1:3].mean(dim=0))


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_prior_rows_are_the_beta_binomial(scale: float) -> None:
    frames, tokens = 11, 6
    found = beta_binomial_log_prior(torch.tensor([frames]), torch.tensor([tokens]), frames, tokens, scale)[0].exp()
    frame = np.arange(1, frames + 1)[:, None]
    rows = betabinom(tokens - 1, scale * frame, scale * (frames + 1 - frame)).pmf(np.arange(tokens))
    torch.testing.assert_close(found, torch.from_numpy(rows).float(), atol=5e-6, rtol=0.0)
    torch.testing.assert_close(found, found.flip(0, 1), atol=5e-6, rtol=0.0)


def test_norm_of_padded_items_is_that_of_each_alone() -> None:
    torch.manual_seed(0)
    norm = MaskedInstanceNorm(4)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x, lengths = torch.randn(3, 4, 9), [9, 2, 6]
    mask = torch.arange(9)[None, None] < torch.tensor(lengths)[:, None, None]
    found = norm(x, mask)
    for item, length in enumerate(lengths):
        alone = torch.nn.functional.instance_norm(x[item : item + 1, :, :length], weight=norm.weight, bias=norm.bias)
        torch.testing.assert_close(found[item : item + 1, :, :length], alone)
        assert not bool(found[item, :, length:].any())


def test_forward_sum_prefers_the_true_order() -> None:
    path = torch.tensor([0, 0, 1, 1, 2, 2, 2, 3, 3, 3])
    lengths = torch.tensor([10]), torch.tensor([4])
    sharp = (torch.nn.functional.one_hot(path, 4).float() * 4.0).log_softmax(dim=1)[None]
    shuffled = sharp[:, :, torch.tensor([2, 0, 3, 1])]
    assert float(forward_sum_loss(sharp, *lengths)) < 0.5 * float(forward_sum_loss(shuffled, *lengths))


def report(tokens: list[int], path: torch.Tensor | None = None):
    weights = torch.nn.functional.one_hot(torch.tensor([tokens]), 4).float()
    return alignment_report(weights, torch.tensor([len(tokens)]), torch.tensor([4]), path)


def test_measures_of_alignment() -> None:
    good = report([0, 0, 1, 2, 3, 3])
    assert good.aligned
    assert (float(good.monotonic), float(good.coverage), float(good.sharpness)) == (1.0, 1.0, 1.0)
    assert good.agreement is None
    skips = report([0, 0, 2, 2, 1, 1])
    assert float(skips.monotonic) == pytest.approx(3 / 5)
    assert float(skips.coverage) == pytest.approx(3 / 4)
    assert not skips.aligned
    stuck = report([0, 0, 0, 0, 0, 0], path=torch.tensor([[[0], [0], [1], [1], [3], [3]]]))
    assert stuck.agreement is not None
    assert float(stuck.agreement) == pytest.approx(4 / 6)
    assert float(stuck.coverage) == pytest.approx(1 / 3)  # the path itself has no step with token 2


def cumulative_layer() -> AdditiveAttention:
    torch.manual_seed(3)
    layer = AdditiveAttention(4, 3, 6, cumulative=True)
    assert layer.location is not None
    with torch.no_grad():
        for parameter in layer.location.parameters():
            parameter.normal_(0.0, 2.0)
    return layer


def test_cumulative_attention_knows_where_it_has_been() -> None:
    """Equal queries: content alone looks at the same tokens for ever, this one moves; and it is the formula's."""
    layer = cumulative_layer()
    memory, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    hidden = torch.randn(2, 1, 4).expand(-1, 6, -1)
    prior = beta_binomial_log_prior(torch.tensor([6, 6]), torch.tensor([5, 3]), 6, 5)
    with torch.no_grad():
        projected = layer.project(memory, mask)
        found = layer(hidden, projected, prior)
        assert float((found.log_content[:, 1:] - found.log_content[:, :-1]).abs().amax(dim=2)[0].min()) > 1e-4
        cumulative, previous = found.weights[:, :3].sum(dim=1), found.weights[:, 2]
        keys = layer.key(memory * layer.location(cumulative, previous, mask))  # type: ignore[misc]
        energy = plain(layer.query(hidden[:, 3:4]), keys, layer.score.weight[0]) + prior[:, 3:4]
        expected = energy.masked_fill(~mask[:, None], -torch.inf).softmax(dim=2)
        later = layer(hidden[:, 3:], projected, prior[:, 3:], before=(cumulative, previous))
    torch.testing.assert_close(found.weights[:, 3:4], expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.weights[:, 3:], later.weights, atol=1e-6, rtol=1e-5)


def test_cumulative_attention_has_its_gradients_and_does_not_see_padding() -> None:
    layer = cumulative_layer()
    memory, hidden = torch.randn(1, 3, 3), torch.randn(1, 4, 4)
    longer = torch.nn.functional.pad(memory, (0, 0, 0, 2), value=5.0)
    mask = torch.tensor([[True, True, True, False, False]])
    with torch.no_grad():
        alone = layer(hidden, layer.project(memory, mask[:, :3]))
        padded = layer(hidden, layer.project(longer, mask))
    torch.testing.assert_close(padded.weights[:, :, :3], alone.weights)
    made = layer(hidden, layer.project(memory, mask[:, :3]))
    torch.testing.assert_close(made.weights.detach(), alone.weights)
    made.context.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in layer.parameters())


def test_a_new_location_gate_is_almost_open() -> None:
    torch.manual_seed(0)
    layer = AdditiveAttention(4, 3, 6, cumulative=True)
    torch.manual_seed(0)
    mask = torch.ones(2, 5, dtype=torch.bool)
    projected, hidden = layer.project(torch.randn(2, 5, 3), mask), torch.randn(2, 4, 4)
    with torch.no_grad():
        found = layer(hidden, projected)
        layer.location = None
        plain_one = layer(hidden, projected)
    torch.testing.assert_close(found.weights, plain_one.weights, atol=0.02, rtol=0.0)
