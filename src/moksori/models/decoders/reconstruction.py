"""Distances of decoded sound and pitch to the recordings', in training."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.losses.stft import SpectralDistance, energy_distance
from moksori.models.decoders.pitch import Pitch


def spectral_terms(
    mel: Callable[[Tensor], Tensor],
    spectral: SpectralDistance | None,
    generated: Float[Tensor, "renderings batch samples"],
    real: Float[Tensor, "batch samples"],
    repulsion: float = 0.0,
) -> dict[str, Tensor]:
    """`mel`, the mean absolute difference of log-mels, and `stft`, the multi-resolution distance.

    spectral: None leaves `stft` out. Two renderings with independent noise give energy distances (losses.stft), where
    `repulsion` weighs their distance to each other.
    """

    def distance(to_real: list[Tensor], between: Callable[[], Tensor]) -> Tensor:
        if len(to_real) == 1:
            return to_real[0]
        return energy_distance(to_real[0], to_real[1], between(), repulsion)

    with torch.autocast(real.device.type, enabled=False):
        real, generated = real.float(), generated.float()
        mels, real_mel = [mel(g) for g in generated], mel(real)
        distances = [(m - real_mel).abs().mean() for m in mels]
        terms = {"mel": distance(distances, lambda: (mels[0] - mels[1]).abs().mean())}
        if spectral is not None:
            target, own = spectral.features(real), [spectral.features(g) for g in generated]
            distances = [spectral.between(o, target, target) for o in own]
            terms["stft"] = distance(distances, lambda: spectral.between(own[0], own[1], target))
        return terms


def pitch_counts(counted: Bool[Tensor, "batch 1 frames"], pitch: Pitch) -> dict[str, Tensor]:
    """Over how many frames each of `pitch_terms` is a mean, for batches that are shared out."""
    return {"voicing": counted.sum(), "pitch": (counted[:, 0] * pitch.voicing).sum()}


def pitch_terms(
    predictor: nn.Module,
    frames: Float[Tensor, "batch channels frames"],
    mask: Bool[Tensor, "batch 1 frames"],
    counted: Bool[Tensor, "batch 1 frames"],
    pitch: Pitch,
    condition: Tensor | None = None,
) -> dict[str, Tensor]:
    """`pitch`, the mean absolute error of log F0 where the recording is voiced, and `voicing`, a cross entropy.

    counted: frames that losses count, of those that are real (`mask`).
    """
    log_f0, logit = predictor(frames, mask, condition)
    voiced = counted[:, 0] * pitch.voicing
    cross_entropy = nn.functional.binary_cross_entropy_with_logits(logit, pitch.voicing, reduction="none")
    return {
        "pitch": ((log_f0 - pitch.log_f0).abs() * voiced).sum() / voiced.sum().clamp(min=1.0),
        "voicing": (cross_entropy * counted[:, 0]).sum() / counted.sum().clamp(min=1),
    }
