"""Mixtures of logistic distributions over samples of 16 (or any other number of) bits.

Salimans, Karpathy, Chen, Kingma, "PixelCNN++" (2017, arXiv:1701.05517), section 2.1; for WaveNet van den Oord et al.,
"Parallel WaveNet" (2017, arXiv:1711.10433).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from moksori.nn.mulaw import pick_codes
from moksori.nn.precision import at_least_float32

LEAST_UNIFORM = 1e-5
"""Uniforms are kept so far from 0 and 1: a sample is at most 11.5 scales from its mean."""
_LEAST_SHARE = 1e-5


def log_scale_floor(levels: int) -> float:
    """The least log-scale that is learnt: -16 for 16 bits, where a bin is 3e-5 wide, and -7 for 8."""
    return -16.0 if levels > 1024 else -7.0


def logistic_mixture_log_probability(
    parameters: Float[Tensor, "batch parameters samples"],
    sound: Float[Tensor, "batch samples"],
    levels: int = 65536,
) -> Float[Tensor, "batch samples"]:
    """ln p of samples that are one of `levels` evenly spaced values from -1 to 1, in nats.

    parameters: three for each component: logits of the weights, means, log-scales, each group together. A bin reaches
    half a step to both sides, and the outer ones to infinity, so that the probabilities of all add up to 1.
    Raises ValueError for a number of parameters that is not a multiple of 3.
    """
    logits, means, log_scales = _parts(at_least_float32(parameters), levels)
    x = at_least_float32(sound).unsqueeze(1)
    half = 1.0 / (levels - 1)
    inverse = torch.exp(-log_scales)
    centred = x - means
    upper, lower = inverse * (centred + half), inverse * (centred - half)
    share = torch.sigmoid(upper) - torch.sigmoid(lower)
    # Far out in a tail the difference of two sigmoids is lost in rounding: the density in the middle times the width.
    middle = inverse * centred
    density = middle - log_scales - 2.0 * F.softplus(middle) + math.log(2.0 * half)
    inner = torch.where(share > _LEAST_SHARE, share.clamp(min=1e-12).log(), density)
    edge = 1.0 - 1.5 * half  # between the outermost values and the next ones
    log_share = torch.where(x < -edge, F.logsigmoid(upper), torch.where(x > edge, F.logsigmoid(-lower), inner))
    return torch.logsumexp(F.log_softmax(logits, dim=1) + log_share, dim=1)


def pick_logistic_mixture(
    parameters: Float[Tensor, "batch parameters"],
    uniforms: Float[Tensor, "batch 2"],
    temperature: float | Float[Tensor, " batch"] = 1.0,
    levels: int = 65536,
) -> Float[Tensor, " batch"]:
    """Samples in [-1, 1]: the first uniform picks a component, the second gives x = mean + scale · ln(u / (1 - u)).

    temperature: divides the weights' logits and multiplies the scale; 0 takes the mean of the weightiest component.
    """
    logits, means, log_scales = _parts(at_least_float32(parameters).unsqueeze(2), levels)
    chosen = pick_codes(logits[..., 0], uniforms[:, 0], temperature).unsqueeze(1)
    mean, log_scale = means[..., 0].gather(1, chosen)[:, 0], log_scales[..., 0].gather(1, chosen)[:, 0]
    u = uniforms[:, 1].clamp(LEAST_UNIFORM, 1.0 - LEAST_UNIFORM)
    return (mean + temperature * log_scale.exp() * (u.log() - torch.log1p(-u))).clamp(-1.0, 1.0)


def _parts(parameters: Float[Tensor, "batch parameters samples"], levels: int) -> tuple[Tensor, Tensor, Tensor]:
    if parameters.shape[1] % 3:
        raise ValueError(f"{parameters.shape[1]} parameters: a mixture of logistics has three for each component")
    logits, means, log_scales = parameters.chunk(3, dim=1)
    return logits, means, log_scales.clamp(min=log_scale_floor(levels))
