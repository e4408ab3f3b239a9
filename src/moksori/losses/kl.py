"""KL divergence between a posterior and a prior behind a normalizing flow."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from moksori.nn.precision import at_least_float32, full_precision


def flow_kl(
    z_p: Float[Tensor, "batch channels frames"],
    posterior_log_std: Float[Tensor, "batch channels frames"],
    prior_mean: Float[Tensor, "batch channels frames"],
    prior_log_std: Float[Tensor, "batch channels frames"],
    mask: Bool[Tensor, "batch 1 frames"],
) -> Float[Tensor, ""]:
    """KL(q(z|x) ‖ p(z|c)) in nats: summed over channels, mean over valid frames (VITS, Eq. 3 and 4).

    z_p: f(z) for a sample z of the posterior and a volume-preserving flow f. The posterior's entropy is exact and the
    prior's part is this one sample, so a single batch may come out negative though the expectation cannot.
    """
    with full_precision(z_p.device.type):
        z_p, posterior_log_std, prior_mean, prior_log_std = map(
            at_least_float32, (z_p, posterior_log_std, prior_mean, prior_log_std)
        )
        square = (z_p - prior_mean).square() * torch.exp(-2.0 * prior_log_std)
        kl = prior_log_std - posterior_log_std - 0.5 + 0.5 * square
        # where, not a product: a value that overflowed in the padding must not turn the sum into NaN.
        return torch.where(mask, kl, 0.0).sum() / mask.sum()
