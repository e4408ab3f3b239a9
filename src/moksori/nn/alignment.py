"""Monotonic alignment search, and the two directions between a path and durations.

A path assigns every frame to one token; tokens follow each other in order, none is skipped (Kim et al. 2020,
"Glow-TTS", algorithm 1). Three back ends give the same path bit for bit: NumPy (vectorised over tokens), torch
(batched, stays on the device) and numba (compiled; used when it is installed).
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

_MINUS_INFINITY = -1e9


class AlignmentError(ValueError):
    """The scores admit no monotonic path: fewer frames than tokens, or a score that is not a number."""


def search_path(
    scores: Float[np.ndarray, "frames tokens"],
) -> Int[np.ndarray, " frames"]:
    """The monotonic path of the highest total score: the token of every frame.

    V[t, n] = Q[t, n] + max(V[t-1, n], V[t-1, n-1]); starts at (0, 0), ends at (T-1, N-1); ties stay on the token.
    Raises AlignmentError if there are fewer frames than tokens, or a score is NaN.
    """
    frames, tokens = scores.shape
    _check(bool(np.isnan(scores).any()), [frames], [tokens])
    value = np.full((frames, tokens), _MINUS_INFINITY, dtype=np.float32)
    value[0, 0] = scores[0, 0]
    for t in range(1, frames):
        lowest, highest = max(0, tokens + t - frames), min(tokens - 1, t)
        stay = value[t - 1, lowest : highest + 1]
        advance = value[t - 1, max(lowest - 1, 0) : highest]
        if lowest == 0:  # the first token cannot be entered from before it
            advance = np.concatenate([np.array([_MINUS_INFINITY], dtype=np.float32), advance])
        value[t, lowest : highest + 1] = scores[t, lowest : highest + 1] + np.maximum(stay, advance)
    path = np.empty(frames, dtype=np.int64)
    token = tokens - 1
    for t in range(frames - 1, -1, -1):
        path[t] = token
        if token > 0 and (token == t or value[t - 1, token] < value[t - 1, token - 1]):
            token -= 1
    return path


def monotonic_durations(
    scores: Float[Tensor, "batch frames tokens"],
    frame_lengths: Int[Tensor, " batch"],
    token_lengths: Int[Tensor, " batch"],
    backend: str = "auto",
) -> Int[Tensor, "batch tokens"]:
    """Frames of each token on the best monotonic path of every item; padding never enters, and gets 0.

    scores: log-likelihood of frame t under token n, any float type; the search runs in float32 without gradient.
    backend: "numpy", "numba", "torch", or "auto" (torch on an accelerator; on the CPU numba if installed, else NumPy).
    Raises AlignmentError naming the item if it has fewer frames than tokens, or a NaN score.
    """
    scores = scores.detach().float()
    _check(bool(scores.isnan().any()), frame_lengths.tolist(), token_lengths.tolist())
    if backend == "auto":
        backend = "torch" if scores.device.type != "cpu" else ("numba" if _numba_search() is not None else "numpy")
    if backend == "torch":
        return _search_torch(scores, frame_lengths, token_lengths)
    values = np.ascontiguousarray(scores.cpu().numpy())
    frames, tokens = frame_lengths.cpu().numpy().astype(np.int64), token_lengths.cpu().numpy().astype(np.int64)
    durations = np.zeros((values.shape[0], values.shape[2]), dtype=np.int64)
    if backend == "numba":
        search = _numba_search()
        if search is None:
            raise AlignmentError("the numba back end needs the package numba: pip install 'moksori[fast]'")
        search(values, frames, tokens, durations)
    elif backend == "numpy":
        for item in range(len(values)):
            path = search_path(values[item, : frames[item], : tokens[item]])
            durations[item, : tokens[item]] = np.bincount(path, minlength=tokens[item])
    else:
        raise AlignmentError(f"unknown back end {backend!r}: numpy, numba, torch or auto")
    return torch.from_numpy(durations).to(scores.device)


def durations_to_path(durations: Int[Tensor, "batch tokens"], frames: int) -> Int[Tensor, "batch frames"]:
    """The token of every frame; frames beyond the last token keep the last index (mask them)."""
    ends = durations.cumsum(dim=1)
    frame = torch.arange(frames, device=durations.device)
    path = torch.searchsorted(ends, frame.expand(durations.shape[0], -1).contiguous(), right=True)
    return path.clamp(max=durations.shape[1] - 1)


def expand_by_path(
    states: Float[Tensor, "batch channels tokens"], path: Int[Tensor, "batch frames"]
) -> Float[Tensor, "batch channels frames"]:
    """Each frame's token state: the gather that replaces a matrix product with a 0/1 alignment."""
    return states.gather(2, path.unsqueeze(1).expand(-1, states.shape[1], -1))


def gaussian_scores(
    latent: Float[Tensor, "batch channels frames"],
    mean: Float[Tensor, "batch channels tokens"],
    log_std: Float[Tensor, "batch channels tokens"],
) -> Float[Tensor, "batch frames tokens"]:
    """log N(latent_t; mean_n, exp(log_std_n)) summed over channels, in two matrix products (VITS, section 2.2.1)."""
    latent, mean, log_std = latent.float(), mean.float(), log_std.float()
    precision = torch.exp(-2.0 * log_std)
    constant = (-0.5 * np.log(2.0 * np.pi) - log_std - 0.5 * mean.square() * precision).sum(dim=1)
    square = torch.matmul((-0.5 * latent.square()).transpose(1, 2), precision)
    cross = torch.matmul(latent.transpose(1, 2), mean * precision)
    return square + cross + constant.unsqueeze(1)


def _check(has_nan: bool, frames: list[int], tokens: list[int]) -> None:
    for item, (frame_count, token_count) in enumerate(zip(frames, tokens, strict=True)):
        if token_count < 1 or frame_count < token_count:
            raise AlignmentError(
                f"item {item}: {frame_count} frames cannot hold {token_count} tokens of at least one frame each; "
                "the recording is too short for its text"
            )
    if has_nan:
        raise AlignmentError("the alignment scores hold NaN")


def _search_torch(scores: Tensor, frame_lengths: Tensor, token_lengths: Tensor) -> Tensor:
    batch, frames, tokens = scores.shape
    n = torch.arange(tokens, device=scores.device)
    frame_lengths, token_lengths = frame_lengths.to(scores.device), token_lengths.to(scores.device)
    minus_infinity = torch.full((batch, 1), _MINUS_INFINITY, device=scores.device)
    value = torch.full((batch, tokens), _MINUS_INFINITY, device=scores.device)
    value[:, 0] = scores[:, 0, 0]
    advanced = torch.zeros(batch, frames, tokens, dtype=torch.bool, device=scores.device)
    for t in range(1, frames):
        before = torch.cat([minus_infinity, value[:, :-1]], dim=1)
        advanced[:, t] = (value < before) | (n == t)
        reachable = (n <= t) & (n >= (token_lengths + t - frame_lengths).unsqueeze(1))
        best = scores[:, t] + torch.maximum(value, before)
        value = torch.where(reachable, best, torch.full_like(best, _MINUS_INFINITY))
    token = token_lengths - 1
    durations = torch.zeros(batch, tokens, dtype=torch.int64, device=scores.device)
    rows = torch.arange(batch, device=scores.device)
    for t in range(frames - 1, -1, -1):
        inside = t < frame_lengths
        durations[rows, token] += inside.long()
        token = token - (inside & (token > 0) & advanced[rows, t, token]).long()
    return durations


@cache
def _numba_search() -> Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], None] | None:
    """The compiled search over a batch, or None without numba; compiled code is cached on disk."""
    try:
        import numba
    except ImportError:
        return None

    # On one thread: the pool of parallel=True shares OpenMP with torch and silently raises torch's number of threads,
    # which costs the whole training more than the search takes.
    @numba.njit(cache=True, nogil=True)
    def search(scores, frame_lengths, token_lengths, durations):  # type: ignore[no-untyped-def]
        for item in range(scores.shape[0]):
            frames, tokens = frame_lengths[item], token_lengths[item]
            value = np.full((frames, tokens), np.float32(-1e9), dtype=np.float32)
            value[0, 0] = scores[item, 0, 0]
            for t in range(1, frames):
                for n in range(max(0, tokens + t - frames), min(tokens - 1, t) + 1):
                    best = value[t - 1, n]
                    if n > 0 and value[t - 1, n - 1] > best:
                        best = value[t - 1, n - 1]
                    value[t, n] = scores[item, t, n] + best
            n = tokens - 1
            for t in range(frames - 1, -1, -1):
                durations[item, n] += 1
                if n > 0 and (n == t or value[t - 1, n] < value[t - 1, n - 1]):
                    n -= 1

    return search
