"""Mu-law: sound as one of 256 codes, fine where it is quiet (G.711; van den Oord et al. 2016, section 2.2).

f(x) = sign(x) · ln(1 + mu |x|) / ln(1 + mu), and the code is f brought from [-1, 1] to 0 ... mu and rounded, halves
upwards. So silence, which lies between codes 127 and 128 of 256, is 128.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

LEVELS = 256


def compressed(sound: Float[Tensor, "*shape"], levels: int = LEVELS) -> Float[Tensor, "*shape"]:
    """f(x) of sound in [-1, 1]; what lies outside is taken for the border. levels: mu + 1."""
    mu = levels - 1
    sound = sound.clamp(-1.0, 1.0)
    return sound.sign() * torch.log1p(mu * sound.abs()) / math.log(levels)


def expanded(value: Float[Tensor, "*shape"], levels: int = LEVELS) -> Float[Tensor, "*shape"]:
    """The inverse of `compressed`: sign(y) · ((1 + mu)^|y| - 1) / mu."""
    return value.sign() * torch.expm1(value.abs() * math.log(levels)) / (levels - 1)


def encode_mu_law(sound: Float[Tensor, "*shape"], levels: int = LEVELS) -> Int[Tensor, "*shape"]:
    """The code of each sample, int64 from 0 to levels - 1: the one rounding rule of the house."""
    mu = levels - 1
    return torch.floor((compressed(sound, levels) + 1.0) * (0.5 * mu) + 0.5).long().clamp(0, mu)


def decode_mu_law(codes: Int[Tensor, "*shape"], levels: int = LEVELS) -> Float[Tensor, "*shape"]:
    """The sample in [-1, 1] that a code stands for, float32; `encode_mu_law` gives the code back."""
    return expanded(codes.float() * (2.0 / (levels - 1)) - 1.0, levels)


def code_nats(
    logits: Float[Tensor, "batch levels samples"], codes: Int[Tensor, "batch samples"]
) -> Float[Tensor, "batch samples"]:
    """-ln p of codes, in float32."""
    rows = logits.transpose(1, 2)
    if not rows.is_contiguous():
        return F.cross_entropy(logits.float(), codes, reduction="none")
    nats = F.cross_entropy(rows.flatten(0, 1).float(), codes.flatten(), reduction="none")
    return nats.unflatten(0, codes.shape)


def pick_codes(
    logits: Float[Tensor, "*shape levels"],
    uniforms: Float[Tensor, "*shape"],
    temperature: float | Float[Tensor, "*shape"] = 1.0,
) -> Int[Tensor, "*shape"]:
    """Codes with probabilities softmax(logits / temperature), by the inverse of their cumulative sum.

    uniforms: in [0, 1), one for each code; equal ones give equal codes, whatever drew them. temperature: 0 takes the
    most probable code, the first of equals. Sums are in float64, so that other implementations come to the same.
    """
    warmth = torch.as_tensor(temperature, dtype=torch.float32, device=logits.device).expand(logits.shape[:-1])
    cooled = logits.float() - logits.float().amax(dim=-1, keepdim=True)
    cooled = cooled / torch.where(warmth > 0, warmth, 1.0).unsqueeze(-1)
    sums = cooled.exp().double().cumsum(dim=-1)
    drawn = (sums <= uniforms.double().unsqueeze(-1) * sums[..., -1:]).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
    return torch.where(warmth > 0, drawn, logits.argmax(dim=-1))
