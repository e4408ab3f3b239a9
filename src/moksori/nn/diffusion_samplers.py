"""Samplers of a variance-preserving diffusion whose network guesses the data: noise goes in, data comes out.

All are plain functions of one signature, so that a setting chooses among them by name (`SAMPLERS`):
`sampler(denoise, start, process, steps, t_end, noise) -> z_0`.
denoise: (z_t, t) -> the guess of z_0, as long as z_t; t is one float for everything. start: z at t = 1, whatever is
known of its scale. steps: of the solver, at least 1. t_end: where the solver stops; None takes its own. noise: gives
standard normal noise of the shape that it is handed, for samplers that draw some; None: torch's own generator.
Padding is the network's business: what it says is 0 stays small.
Sources: Song et al. 2021 (arXiv:2011.13456) the equations that are solved, which NaturalSpeech 2 takes with Euler's
method; DDIM is Song et al. 2021 (arXiv:2010.02502); Heun's method with times that crowd where the data is, Karras et
al. 2022 (arXiv:2206.00364); DPM-Solver++ (2M), Lu et al. 2022 (arXiv:2211.01095, algorithm 2).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from moksori.nn.diffusion import VariancePreserving

Denoise = Callable[[Tensor, float], Tensor]
"""(z_t `[batch, channels, frames]`, t) -> the guess of z_0, of the same shape."""
Noise = Callable[[Tensor], Tensor]
"""A tensor -> standard normal noise of its shape, type and device."""
FORWARD_START = 1e-3
"""Where the way from data to noise begins: at t = 0 there is no noise, and the score has no value."""


class Sampler(Protocol):
    """What all samplers here are: see the head of this file."""

    def __call__(
        self,
        denoise: Denoise,
        start: Float[Tensor, "batch channels frames"],
        process: VariancePreserving,
        steps: int,
        t_end: float | None = None,
        noise: Noise | None = None,
    ) -> Float[Tensor, "batch channels frames"]: ...


def item_noise(generators: Sequence[Generator]) -> Noise:
    """Noise that items draw for themselves, each from its own generator on the CPU: nothing else in the batch, padding
    included, makes a difference to an item's frames.

    Each draw takes one number of a generator, the seed of its frames, so that later draws do not depend on how long the
    padded batch was.
    """

    def draw(like: Tensor) -> Tensor:
        if len(generators) != len(like):
            raise ValueError(f"{len(generators)} generators for a batch of {len(like)}")
        return torch.stack([_frames(like.shape[1], like.shape[2], generator) for generator in generators]).to(like)

    return draw


def _frames(channels: int, frames: int, generator: Generator) -> Float[Tensor, "channels frames"]:
    seed = int(torch.randint(2**62, (1,), generator=generator))
    # torch draws in groups of 16 and the last group anew where it is not whole: whole ones begin alike at any length.
    drawn = torch.randn(-(-frames // 16) * 16, channels, generator=Generator().manual_seed(seed))
    return drawn[:frames].T


def euler(
    denoise: Denoise,
    start: Float[Tensor, "batch channels frames"],
    process: VariancePreserving,
    steps: int,
    t_end: float | None = None,
    noise: Noise | None = None,
) -> Float[Tensor, "batch channels frames"]:
    """Euler's method on the probability-flow ODE, the score at the middle time of each step: NaturalSpeech 2's own.

    dz/dt = -1/2 beta_t (z + score). One evaluation a step; t_end 0, which no middle time reaches.
    """
    z, h = start, (1.0 - (t_end or 0.0)) / _checked(steps)
    for step in range(steps):
        t = 1.0 - (step + 0.5) * h
        z = z - h * _slope(denoise, z, process, t)
    return z


def sde(
    denoise: Denoise,
    start: Float[Tensor, "batch channels frames"],
    process: VariancePreserving,
    steps: int,
    t_end: float | None = None,
    noise: Noise | None = None,
) -> Float[Tensor, "batch channels frames"]:
    """Euler and Maruyama's method on the reverse SDE: dz = -(1/2 z + score) beta dt + sqrt(beta) dw, time backwards.

    Times are middle times as for `euler`; one evaluation a step; t_end 0. The last step adds no noise, which nothing
    would take away.
    """
    z, h = start, (1.0 - (t_end or 0.0)) / _checked(steps)
    for step in range(steps):
        t = 1.0 - (step + 0.5) * h
        beta = process.beta(t)
        z = z + h * beta * (0.5 * z + process.score(denoise(z, t), z, t))
        if step < steps - 1:
            z = z + math.sqrt(h * beta) * (torch.randn_like(z) if noise is None else noise(z))
    return z


def ddim(
    denoise: Denoise,
    start: Float[Tensor, "batch channels frames"],
    process: VariancePreserving,
    steps: int,
    t_end: float | None = None,
    noise: Noise | None = None,
) -> Float[Tensor, "batch channels frames"]:
    """DDIM without noise: the guess and the noise that it stands for, put together for the next time.

    Quadratic times to t_end 1e-3, where the guess itself is what comes out: steps + 1 evaluations.
    """
    z = start
    times = quadratic_times(steps, 1e-3 if t_end is None else t_end)
    for now, then in pairwise(times):
        z = _exponential_step(z, denoise(z, now), process, now, then)
    return denoise(z, times[-1])


def heun(
    denoise: Denoise,
    start: Float[Tensor, "batch channels frames"],
    process: VariancePreserving,
    steps: int,
    t_end: float | None = None,
    noise: Noise | None = None,
) -> Float[Tensor, "batch channels frames"]:
    """Heun's method on the ODE: the slopes at both ends of a step, averaged. Quadratic times to t_end 1e-3; two
    evaluations a step.

    At t_end the score divides what is wrong with the guess by a variance of 6e-5, so that an error of the network comes
    out many times as large (some 15 times with 4 steps): for exact networks; `karras` is the one for others.
    """
    z = start
    for now, then in pairwise(quadratic_times(steps, 1e-3 if t_end is None else t_end)):
        z = _heun_step(denoise, z, process, now, then)
    return z


def karras(
    denoise: Denoise,
    start: Float[Tensor, "batch channels frames"],
    process: VariancePreserving,
    steps: int,
    t_end: float | None = None,
    noise: Noise | None = None,
) -> Float[Tensor, "batch channels frames"]:
    """Heun's method with a last step that takes the guess as it is (Karras et al. 2022, algorithm 1).

    Quadratic times to t_end 1e-3; 2 · steps - 1 evaluations. An error of the network comes out no larger than it is.
    """
    z = start
    *most, (now, then) = pairwise(quadratic_times(steps, 1e-3 if t_end is None else t_end))
    for here, there in most:
        z = _heun_step(denoise, z, process, here, there)
    return _exponential_step(z, denoise(z, now), process, now, then)


def dpmpp2m(
    denoise: Denoise,
    start: Float[Tensor, "batch channels frames"],
    process: VariancePreserving,
    steps: int,
    t_end: float | None = None,
    noise: Noise | None = None,
) -> Float[Tensor, "batch channels frames"]:
    """DPM-Solver++ (2M): as `ddim`, with a guess that is continued along the last two, but for the last step.

    Quadratic times to t_end 0.01, where the guess itself is what comes out: steps + 1 evaluations.
    """
    times = quadratic_times(steps, 0.01 if t_end is None else t_end)
    return denoise(_multistep(denoise, start, process, times, lower_order_last=True), times[-1])


def forward_ode(
    denoise: Denoise,
    z0: Float[Tensor, "batch channels frames"],
    process: VariancePreserving,
    steps: int,
    t_start: float = FORWARD_START,
) -> Float[Tensor, "batch channels frames"]:
    """The ODE from data to noise: the z_1 from which the same network's ODE leads back to `z0`.

    What a conversion keeps of its source lies in it: continued with another condition it becomes that sound in another
    voice. The second-order exponential steps of `dpmpp2m`, turned round, on quadratic times: with an exact network 25
    steps and back again by `backward_ode` are off by 0.003 rms on a mixture whose peaks are 1 from the middle (by 0.139
    with first-order steps evenly spread in ln(alpha/sigma)). One evaluation a step. t_start: `z0` is taken for z there;
    for networks that err it has to be where sigma is about as large as their error.
    """
    return _multistep(denoise, z0, process, quadratic_times(steps, t_start)[::-1])


def backward_ode(
    denoise: Denoise,
    z1: Float[Tensor, "batch channels frames"],
    process: VariancePreserving,
    steps: int,
    t_end: float = FORWARD_START,
) -> Float[Tensor, "batch channels frames"]:
    """The way back of `forward_ode`, by the same steps: z at `t_end`, what is left of the noise there included."""
    return _multistep(denoise, z1, process, quadratic_times(steps, t_end))


def quadratic_times(steps: int, t_end: float) -> list[float]:
    """steps + 1 times from 1 to t_end whose square roots are evenly spread: they crowd where the data is.

    Raises ValueError for steps below 1, or a t_end that is not above 0 and below 1.
    """
    if not 0.0 < t_end < 1.0:
        raise ValueError(f"t_end {t_end}: expected a time above 0, where the score has no value, and below 1")
    root = math.sqrt(t_end) - 1.0
    return [(1.0 + step / _checked(steps) * root) ** 2 for step in range(steps + 1)]


SAMPLERS: Mapping[str, Sampler] = MappingProxyType(
    {"euler": euler, "sde": sde, "ddim": ddim, "heun": heun, "karras": karras, "dpmpp2m": dpmpp2m}
)
"""Samplers by the names that settings give them; `euler` and `sde` are NaturalSpeech 2's."""
DRAWING = frozenset({"sde"})
"""Those that draw noise on their way, and not only what they start from."""


def _checked(steps: int) -> int:
    if steps < 1:
        raise ValueError(f"steps {steps}: expected at least 1")
    return steps


def _slope(denoise: Denoise, z: Tensor, process: VariancePreserving, t: float) -> Tensor:
    """dz/dt of the probability-flow ODE."""
    return -0.5 * process.beta(t) * (z + process.score(denoise(z, t), z, t))


def _heun_step(denoise: Denoise, z: Tensor, process: VariancePreserving, now: float, then: float) -> Tensor:
    """z at `then` by the mean of the slopes at both ends, the second where the first leads to."""
    first = _slope(denoise, z, process, now)
    second = _slope(denoise, z + (then - now) * first, process, then)
    return z + 0.5 * (then - now) * (first + second)


def _exponential_step(z: Tensor, guess: Tensor, process: VariancePreserving, now: float, then: float) -> Tensor:
    """z at `then`, exact for a guess that does not change between the two times, forwards or backwards."""
    ratio = process.sigma(then) / process.sigma(now)
    return ratio * z + (process.alpha(then) - ratio * process.alpha(now)) * guess


def _multistep(
    denoise: Denoise,
    z: Tensor,
    process: VariancePreserving,
    times: Sequence[float],
    lower_order_last: bool = False,
) -> Tensor:
    """Exponential steps with the guess extrapolated to the middle of each step in ln(alpha/sigma), the first without.

    lower_order_last: the last step without, where the guess changes too fast to be continued.
    """
    before: Tensor | None = None
    size_before = 0.0
    for step, (now, then) in enumerate(pairwise(times)):
        guess = denoise(z, now)
        size = process.log_snr(then) - process.log_snr(now)
        used = guess
        if before is not None and not (lower_order_last and step == len(times) - 2):
            used = guess + 0.5 * size / size_before * (guess - before)
        z = _exponential_step(z, used, process, now, then)
        before, size_before = guess, size
    return z
