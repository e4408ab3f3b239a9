"""Monotonic alignment search against all paths there are, and the two directions between a path and durations."""

import itertools

import numpy as np
import pytest
import torch

from moksori.nn.alignment import (
    AlignmentError,
    durations_to_path,
    expand_by_path,
    gaussian_scores,
    monotonic_durations,
    search_path,
)

BACKENDS = ("numpy", "torch", "numba")


def all_paths(frames: int, tokens: int) -> list[np.ndarray]:
    """Every monotonic path: a choice of the frames at which the next token begins."""
    cuts = itertools.combinations(range(1, frames), tokens - 1)
    return [np.searchsorted(np.array(cut), np.arange(frames), side="right") for cut in cuts]


def durations_of(scores: np.ndarray, backend: str) -> list[int]:
    pytest.importorskip("numba") if backend == "numba" else None
    frames, tokens = scores.shape
    batch = torch.from_numpy(scores)[None]
    return monotonic_durations(batch, torch.tensor([frames]), torch.tensor([tokens]), backend)[0].tolist()


def test_the_best_of_all_paths() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        tokens = int(draw.integers(1, 7))
        frames = int(draw.integers(tokens, 9))
        scores = draw.standard_normal((frames, tokens)).astype(np.float32)
        best = max(all_paths(frames, tokens), key=lambda path: scores[np.arange(frames), path].sum())
        path = search_path(scores)
        assert path.tolist() == best.tolist()
        for backend in BACKENDS:
            assert durations_of(scores, backend) == np.bincount(best, minlength=tokens).tolist()


def test_back_ends_agree_on_ties_and_ties_stay_on_the_token() -> None:
    draw = np.random.default_rng(1)
    for _ in range(60):
        tokens = int(draw.integers(1, 7))
        frames = int(draw.integers(tokens, 12))
        scores = draw.integers(0, 2, (frames, tokens)).astype(np.float32)  # nearly every choice is a tie
        expected = np.bincount(search_path(scores), minlength=tokens).tolist()
        assert [durations_of(scores, backend) for backend in BACKENDS] == [expected] * len(BACKENDS)
    # Read from the end, a tie stays on its token, so that all slack ends up with the last one.
    assert durations_of(np.zeros((7, 3), np.float32), "numpy") == [1, 1, 5]


@pytest.mark.parametrize("backend", BACKENDS)
def test_as_many_frames_as_tokens_and_one_token(backend: str) -> None:
    draw = np.random.default_rng(2)
    assert durations_of(draw.standard_normal((5, 5)).astype(np.float32), backend) == [1] * 5
    assert durations_of(draw.standard_normal((5, 1)).astype(np.float32), backend) == [5]
    assert durations_of(draw.standard_normal((1, 1)).astype(np.float32), backend) == [1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_never_enters(backend: str) -> None:
    pytest.importorskip("numba") if backend == "numba" else None
    draw = torch.Generator().manual_seed(3)
    scores = torch.randn(3, 12, 6, generator=draw)
    frames, tokens = torch.tensor([12, 7, 4]), torch.tensor([5, 6, 1])
    tempting = scores.clone()
    for item in range(3):
        tempting[item, frames[item] :] = 1e6
        tempting[item, :, tokens[item] :] = 1e6
    found = monotonic_durations(tempting, frames, tokens, backend)
    for item in range(3):
        alone = search_path(scores[item, : frames[item], : tokens[item]].numpy())
        assert found[item].tolist() == np.bincount(alone, minlength=6).tolist()
    assert found.sum(dim=1).tolist() == frames.tolist()


def test_half_precision_scores_are_searched_in_float32_without_gradient() -> None:
    scores = torch.randn(1, 9, 4, generator=torch.Generator().manual_seed(4)).bfloat16().requires_grad_()
    found = monotonic_durations(scores, torch.tensor([9]), torch.tensor([4]))
    assert found.tolist() == [np.bincount(search_path(scores[0].detach().float().numpy())).tolist()]
    assert not found.requires_grad


@pytest.mark.parametrize("backend", BACKENDS)
def test_refusals_name_the_item(backend: str) -> None:
    scores = torch.zeros(2, 4, 5)
    with pytest.raises(AlignmentError, match="item 1: 4 frames cannot hold 5 tokens"):
        monotonic_durations(scores, torch.tensor([4, 4]), torch.tensor([4, 5]), backend)
    scores[0, 1, 1] = torch.nan
    with pytest.raises(AlignmentError, match="NaN"):
        monotonic_durations(scores, torch.tensor([4, 4]), torch.tensor([4, 4]), backend)


def test_a_single_search_refuses_too() -> None:
    with pytest.raises(AlignmentError, match="3 frames cannot hold 4"):
        search_path(np.zeros((3, 4), np.float32))
    with pytest.raises(AlignmentError, match="NaN"):
        search_path(np.full((3, 2), np.nan, np.float32))
    with pytest.raises(AlignmentError, match="unknown back end 'cuda'"):
        monotonic_durations(torch.zeros(1, 2, 1), torch.tensor([2]), torch.tensor([1]), "cuda")


def test_durations_and_paths_are_inverse() -> None:
    durations = torch.tensor([[2, 0, 3, 1], [1, 1, 0, 0]])
    path = durations_to_path(durations, 8)
    assert path.tolist() == [[0, 0, 2, 2, 2, 3, 3, 3], [0, 1, 3, 3, 3, 3, 3, 3]]  # behind the end: the last token
    counts = torch.stack([torch.bincount(row[:total], minlength=4) for row, total in zip(path, (6, 2), strict=True)])
    assert counts.tolist() == durations.tolist()
    states = torch.randn(2, 3, 4)
    expanded = expand_by_path(states, path)
    assert expanded.shape == (2, 3, 8)
    torch.testing.assert_close(expanded[0, :, 3], states[0, :, 2])
    one_hot = torch.nn.functional.one_hot(path, 4).float()
    torch.testing.assert_close(expanded, states @ one_hot.transpose(1, 2))


def test_scores_are_the_log_density() -> None:
    draw = torch.Generator().manual_seed(5)
    latent, mean = torch.randn(2, 6, 9, generator=draw), torch.randn(2, 6, 4, generator=draw)
    log_std = 0.5 * torch.randn(2, 6, 4, generator=draw)
    normal = torch.distributions.Normal(mean[:, :, None], log_std.exp()[:, :, None])
    expected = normal.log_prob(latent[..., None]).sum(dim=1)
    torch.testing.assert_close(gaussian_scores(latent, mean, log_std), expected, rtol=1e-5, atol=1e-4)
    half = gaussian_scores(latent.bfloat16(), mean.bfloat16(), log_std.bfloat16())
    assert half.dtype == torch.float32


def test_the_compiled_search_leaves_torch_its_number_of_threads():
    pytest.importorskip("numba")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        monotonic_durations(torch.randn(2, 20, 5), torch.tensor([20, 20]), torch.tensor([5, 5]), backend="numba")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
