"""Cross-entropy on the codes of a residual quantiser: equation 5 of NaturalSpeech 2 (Shen et al. 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from moksori.nn.precision import full_precision


@dataclass(frozen=True)
class CodesFound:
    """loss: nats a frame, mean over stages and real frames. accuracy: share of the frames whose nearest code is right,
    for each stage that was looked at."""

    loss: Float[Tensor, ""]
    accuracy: Float[Tensor, " looked_at"]


def latents_of_codes(
    codes: Int[Tensor, "batch stages frames"], codebooks: Float[Tensor, "all_stages size channels"]
) -> Float[Tensor, "batch channels frames"]:
    """The sum of the codebooks' rows; of the first stages where codes has fewer than there are codebooks."""
    stages = range(codes.shape[1])
    parts = [F.embedding(codes[:, stage].long(), codebooks[stage]) for stage in stages]
    return torch.stack(parts).sum(dim=0).transpose(1, 2)


def residual_cross_entropy(
    latent: Float[Tensor, "batch channels frames"],
    codes: Int[Tensor, "batch stages frames"],
    codebooks: Float[Tensor, "all_stages size channels"],
    mask: Bool[Tensor, "batch 1 frames"],
    stages: Sequence[int],
    temperature: Float[Tensor, " batch"] | Float[Tensor, " all_stages"] | float = 1.0,
    of_items: bool = False,
) -> CodesFound:
    """How well the codes of a recording can be read off a guess of its latents, with the true codes before a stage.

    r_j = latent - sum_{i<j} C_i[code_i], logit_jk = (2 r_j·C_j[k] - |C_j[k]|²) / tau_j, which is -|r_j - C_j[k]|² by
    tau_j but for what all k share. latent: raw, as the codec makes it. stages: numbers of those that are looked at.
    temperature: tau, of each stage or of all; or, of_items, of each item. In full precision under autocast too: nearest
    codes turn on little.
    """
    with full_precision(latent.device.type):
        guess, books = latent.float().transpose(1, 2)[mask[:, 0]], codebooks.float()
        true = codes.transpose(1, 2)[mask[:, 0]].long()
        tau: Tensor | float = temperature
        if of_items and isinstance(temperature, Tensor):
            tau = temperature[:, None].expand(-1, mask.shape[2])[mask[:, 0]].unsqueeze(1)
        before = [torch.zeros_like(guess)]
        for stage in range(max(stages)):
            before.append(before[-1] + F.embedding(true[:, stage], books[stage]))
        losses, hits = [], []
        for stage in stages:
            own = tau[stage] if isinstance(tau, Tensor) and not of_items else tau
            # One product with all that is in it: for each pass over the logits that is saved a twentieth of the time.
            inverse = torch.ones_like(guess[:, :1]) / own
            asked = torch.cat([2.0 * inverse * (guess - before[stage]), -inverse], dim=1)
            answered = torch.cat([books[stage], books[stage].square().sum(dim=1, keepdim=True)], dim=1)
            logits = asked @ answered.T
            losses.append(F.cross_entropy(logits, true[:, stage], reduction="sum"))
            hits.append((logits.detach().argmax(dim=1) == true[:, stage]).sum())
        count = max(len(true), 1)
        return CodesFound(torch.stack(losses).mean() / count, torch.stack(hits).float() / count)
