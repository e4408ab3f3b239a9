"""What D is told of each sample before it is made: waves of the pitch, and the sound of the partials."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from moksori.audio.emphasis import emphasised
from moksori.models.wavenet_autoencoder.partials import (
    Driven,
    Partials,
    held,
    live,
    measured,
    strength_error,
    turns,
)
from moksori.models.wavenet_autoencoder.pitch import cycles, excitation, locked
from moksori.nn.precision import full_precision

if TYPE_CHECKING:
    from moksori.models.wavenet_autoencoder.model import WavenetAutoencoder

_FLOOR = 1e-5
"""Energy a sample below which a recording's partials count for less."""


def driven_by(
    model: "WavenetAutoencoder",
    waveform: Float[Tensor, "batch samples"],
    codes: Float[Tensor, "batch code frames"],
    vector: Float[Tensor, "batch channels"],
    f0: Float[Tensor, "batch pitches"] | None,
) -> Driven | None:
    """What is known beforehand of each sample of a recording, in the phases that it has; None for nothing."""
    pitch = model.config.pitch
    if pitch is None or not pitch.excitation:
        return None
    f0, hop = model.known(f0), pitch.hop_length
    with torch.no_grad(), full_precision(waveform.device.type):
        going = f0 if model.envelope is None else held(f0)
        voiced = (going > 0).double().repeat_interleave(hop, dim=1)
        phase = locked(cycles(going, hop, model.sample_rate), waveform, voiced, model.sample_rate)
        if model.envelope is None:
            return Driven(excitation(phase, f0, hop, model.sample_rate, pitch.harmonics))
        turned, alive = turns(phase, pitch.partials, hop), live(going, pitch.partials, model.sample_rate)
        target = emphasised(waveform, model.config.pre_emphasis)
        own = measured(turned, target, alive)
    with full_precision(waveform.device.type):
        partials = told_partials(model, model.condition(codes, f0).float(), vector, f0, going, turned, own.angle())
        # Of the strength before the first frame nothing is known: it is taken for that of the first.
        partials = replace(partials, before=partials.strength[:, :, 0] * alive[:, :, 0])
        sound, heard = partials.sound(), (f0 > 0).float().repeat_interleave(hop, dim=1)
        errors = {
            "partials": _unexplained(target, sound, heard),
            "strength": strength_error(partials.strength, own),
        }
        return Driven(partials.waves(pitch.harmonics, alive), sound, errors)


def told_partials(
    model: "WavenetAutoencoder",
    condition: Float[Tensor, "batch channels frames"],
    vector: Float[Tensor, "batch singer"] | None,
    f0: Float[Tensor, "batch frames"],
    going: Float[Tensor, "batch frames"],
    turned: Tensor,
    phase: Float[Tensor, "batch partials frames"] | None = None,
) -> Partials:
    """Partials as codes, singer and pitch tell them, from silence on.

    going: `held` F0. turned: of `turns`. phase: theta_k; None: of the filter of minimum phase. Raises ValueError
    where the model makes none.
    """
    if model.envelope is None or model.config.pitch is None:
        raise ValueError("this model makes no partials")
    count = model.config.pitch.partials
    knots = model.envelope(condition, vector)
    strength = model.envelope.amplitude(knots, going, count)
    strength = strength * live(going, count, model.sample_rate) * (f0 > 0).unsqueeze(1)
    if phase is None:
        phase = model.envelope.phase(knots, going, count)
    found = torch.polar(torch.ones_like(phase), phase) * strength
    return Partials(turned, found, torch.zeros_like(found[:, :, 0]))


def drive_of(
    model: "WavenetAutoencoder", decoder: int, driven: Driven | None
) -> Float[Tensor, "batch residual samples"] | None:
    """What is known beforehand, as it is added to a decoder's first convolution."""
    if driven is None or model.drives is None:
        return None
    found: Tensor = model.drives[decoder](driven.waves)
    if driven.partials is not None and model.partial_drives is not None:
        found = found + model.partial_drives[decoder](driven.partials.unsqueeze(1))
    return found


def _unexplained(
    target: Float[Tensor, "batch samples"],
    partials: Float[Tensor, "batch samples"],
    voiced: Float[Tensor, "batch samples"],
) -> Float[Tensor, ""]:
    """Share of the energy of voiced samples that partials leave over, a mean over recordings that have such."""
    energy = (target.square() * voiced).sum(dim=1)
    left = ((target - partials).square() * voiced).sum(dim=1)
    heard = (energy > 0).to(energy)
    return (left / (energy + _FLOOR * voiced.sum(dim=1).clamp(min=1.0)) * heard).sum() / heard.sum().clamp(min=1.0)
