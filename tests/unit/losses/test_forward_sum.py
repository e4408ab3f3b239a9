"""The forward sum against an enumeration of all paths; the prior against SciPy; gradients."""

from itertools import groupby, product

import numpy as np
import pytest
import torch
from scipy.stats import betabinom

from moksori.losses.alignment import beta_binomial_log_prior, binarisation_loss, forward_sum_loss


def enumerated(log_alignment: torch.Tensor, blank_logit: float) -> float:
    """-log of the summed probability of all label sequences that are 1..N once repeats and blanks (0) are dropped."""
    frames, tokens = log_alignment.shape
    scores = torch.cat([torch.full((frames, 1), blank_logit, dtype=torch.float64), log_alignment.double()], dim=1)
    scores = scores.log_softmax(dim=1)
    wanted = list(range(1, tokens + 1))
    total = 0.0
    for labels in product(range(tokens + 1), repeat=frames):
        if [label for label, _ in groupby(labels) if label != 0] == wanted:
            total += float(torch.exp(sum(scores[t, label] for t, label in enumerate(labels))))  # type: ignore[arg-type]
    return -np.log(total)


@pytest.mark.parametrize(("frames", "tokens"), [(1, 1), (4, 2), (5, 3), (4, 4), (6, 3)])
@pytest.mark.parametrize("blank_logit", [-1.0, -8.0, 1.0])
def test_forward_sum_is_the_sum_over_all_monotonic_paths(frames: int, tokens: int, blank_logit: float) -> None:
    generator = torch.Generator().manual_seed(10 * frames + tokens)
    log_alignment = torch.randn(1, frames, tokens, generator=generator).log_softmax(dim=2)
    loss = forward_sum_loss(log_alignment, torch.tensor([frames]), torch.tensor([tokens]), blank_logit)
    assert float(loss) == pytest.approx(enumerated(log_alignment[0], blank_logit) / tokens, rel=1e-5, abs=1e-6)


def test_without_a_blank_only_paths_that_fill_every_frame_are_summed() -> None:
    """With uniform rows each of the C(T-1, N-1) monotonic paths has probability N^-T."""
    log_alignment = torch.zeros(1, 6, 3).log_softmax(dim=2)
    loss = forward_sum_loss(log_alignment, torch.tensor([6]), torch.tensor([3]), blank_logit=-1e3)
    assert float(loss) == pytest.approx(-np.log(10 * 3.0**-6) / 3, rel=1e-5)


def test_padding_of_frames_and_tokens_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    short = torch.randn(1, 5, 3, generator=generator).log_softmax(dim=2)
    long = torch.randn(1, 8, 4, generator=generator).log_softmax(dim=2)
    padded = torch.full((2, 8, 4), 3.0)
    padded[0, :5, :3], padded[1] = short[0], long[0]
    both = forward_sum_loss(padded, torch.tensor([5, 8]), torch.tensor([3, 4]))
    one = forward_sum_loss(short, torch.tensor([5]), torch.tensor([3]))
    other = forward_sum_loss(long, torch.tensor([8]), torch.tensor([4]))
    torch.testing.assert_close(both, (one + other) / 2)


def test_gradient_reaches_every_real_score_and_no_padding() -> None:
    scores = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    forward_sum_loss(scores.log_softmax(dim=2), torch.tensor([7, 5]), torch.tensor([4, 4])).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert (scores.grad[0] != 0).all()
    assert (scores.grad[1, :5] != 0).all()
    assert (scores.grad[1, 5:] == 0).all()


def test_following_the_gradient_makes_the_alignment_monotonic() -> None:
    scores = torch.zeros(1, 12, 4, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.1)
    for _ in range(150):
        loss = forward_sum_loss(scores.log_softmax(dim=2), torch.tensor([12]), torch.tensor([4]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best = scores[0].argmax(dim=1)
    assert best[0] == 0
    assert best[-1] == 3
    assert (best.diff() >= 0).all()


def test_a_recording_too_short_for_its_text_counts_nothing() -> None:
    scores = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(2), requires_grad=True)
    loss = forward_sum_loss(scores.log_softmax(dim=2), torch.tensor([3]), torch.tensor([5]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_prior_is_the_beta_binomial(scale: float) -> None:
    frames, tokens = torch.tensor([9, 30]), torch.tensor([4, 7])
    prior = beta_binomial_log_prior(frames, tokens, 30, 7, scale)
    assert prior.shape == (2, 30, 7)
    torch.testing.assert_close(prior.exp().sum(dim=2), torch.ones(2, 30), rtol=1e-4, atol=1e-4)
    for item, (count, size) in enumerate(zip(frames.tolist(), tokens.tolist(), strict=True)):
        t = np.arange(1, count + 1)[:, None]
        expected = betabinom.logpmf(np.arange(size)[None], size - 1, scale * t, scale * (count + 1 - t))
        np.testing.assert_allclose(prior[item, :count, :size].numpy(), expected, atol=2e-4)
    assert (prior[0, :, 4:] < -1e3).all()


def test_prior_stays_exact_for_long_clips() -> None:
    prior = beta_binomial_log_prior(torch.tensor([1600]), torch.tensor([300]), 1600, 300)
    assert prior.isfinite().all()
    torch.testing.assert_close(prior.exp().sum(dim=2), torch.ones(1, 1600), rtol=0.02, atol=0.0)


def test_binarisation_is_the_mean_over_real_frames() -> None:
    log_alignment = torch.tensor([[[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]]]).log()
    path = torch.tensor([[0, 1, 0]])
    mask = torch.tensor([[[True, True, False]]])
    assert float(binarisation_loss(log_alignment, path, mask)) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)
