"""NaturalSpeech 2 as modules that are traced into graphs: what comes before the diffusion, one guess of it, and the
postfilter behind it.
"""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moksori.models.naturalspeech2.length import whole_frames
from moksori.models.naturalspeech2.model import Naturalspeech2
from moksori.models.naturalspeech2.pitch import Pitch
from moksori.models.naturalspeech2.speaking import believed_noise
from moksori.nn.alignment import expand_by_path
from moksori.nn.conv import fold_weight_norm

PRIOR_OUTPUTS = (
    "condition", "prompt_tokens", "null_condition", "null_tokens", "durations", "f0", "voice", "believed_noise",
)  # fmt: skip


class PriorGraph(nn.Module):
    """One text and one prompt to what the diffusion is told; `speaking.planned` in operators that graphs have.

    Nothing depends in Python on how long text or prompt are. Works on a copy of the model.
    """

    def __init__(self, model: Naturalspeech2) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        fold_weight_norm(self.model)
        self.believed_noise = believed_noise(model.latent_channels)

    def forward(
        self,
        tokens: Int[Tensor, "1 tokens"],
        stress: Int[Tensor, "1 tokens"],
        prompt: Float[Tensor, "1 latent heard"],
        speed: Float[Tensor, " 1"],
        shift_semitones: Float[Tensor, " 1"],
    ) -> tuple[Tensor, ...]:
        """`PRIOR_OUTPUTS`. prompt: latents as the codec makes them. speed: durations are divided by it."""
        model = self.model
        everywhere = torch.ones_like(prompt[:, :1], dtype=torch.bool)
        heard = model.hear(model.standardize(prompt), everywhere.sum(dim=(1, 2)))
        token_mask = torch.ones_like(tokens, dtype=torch.bool).unsqueeze(1)
        states = model.encode(tokens, stress, token_mask, heard)
        frames = (torch.exp(model.log_durations(states, token_mask, heard)) - 1.0) / speed  # graphs have no expm1
        durations = whole_frames(frames, model.sounding[tokens], token_mask, model.config.longest_token_frames)
        ends = durations.cumsum(dim=1)
        at = torch.arange(ends[0, -1])  # type: ignore[call-overload]
        path = (ends.unsqueeze(1) <= at[None, :, None]).sum(dim=2)  # how many tokens have ended: the one that sounds
        expanded = expand_by_path(states, path)
        mask = torch.ones_like(expanded[:, :1], dtype=torch.bool)
        log_f0, voicing = model.predicted_pitch(expanded, mask, heard)
        voiced = torch.ones_like(mask[:, 0]) if voicing is None else voicing > 0.0
        shift = shift_semitones * (torch.log(torch.tensor(2.0)) / 12.0)
        pitch = Pitch(log_f0 + shift, voiced)
        condition = model.condition(expanded, pitch, mask)
        null = model.null_condition + torch.zeros_like(condition)
        return (
            condition,
            heard.tokens,
            null,
            model.prompt_tokens.none * 1.0,
            durations,
            pitch.hertz(mask),
            heard.summary,
            self.believed_noise * 1.0,
        )


class StepGraph(nn.Module):
    """z_t and t to the guess of z_0, for any number of items of one length; works on a copy of the model."""

    def __init__(self, model: Naturalspeech2) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        fold_weight_norm(self.model)

    def forward(
        self,
        noised: Float[Tensor, "batch latent frames"],
        time: Float[Tensor, " 1"],
        condition: Float[Tensor, "batch channels frames"],
        prompt_tokens: Float[Tensor, "batch channels tokens"],
    ) -> Tensor:
        model = self.model
        prepared = model.denoiser.prepare(condition, prompt_tokens)
        mask = torch.ones_like(noised[:, :1], dtype=torch.bool)
        return model.guess(noised, time, prepared, mask)


class PostfilterGraph(nn.Module):
    """Standardised latents as the diffusion ends at them to those that are made sound of; works on a copy."""

    def __init__(self, model: Naturalspeech2) -> None:
        super().__init__()
        assert model.postfilter is not None
        self.postfilter = copy.deepcopy(model.postfilter).eval()

    def forward(
        self,
        latent: Float[Tensor, "1 latent frames"],
        condition: Float[Tensor, "1 channels frames"],
        voice: Float[Tensor, "1 channels 1"],
    ) -> Tensor:
        found: Tensor = self.postfilter(latent, condition, voice, torch.ones_like(latent[:, :1], dtype=torch.bool))
        return found
