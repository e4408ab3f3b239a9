"""Speaking: from tokens and a prompt to latents."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from moksori.errors import BadInput
from moksori.models.naturalspeech2.denoiser import Prepared
from moksori.models.naturalspeech2.length import whole_frames
from moksori.models.naturalspeech2.pitch import Pitch
from moksori.models.naturalspeech2.prompt import HeardPrompt
from moksori.nn.diffusion_samplers import SAMPLERS, Denoise, Noise, item_noise
from moksori.nn.masks import masked, sequence_mask
from moksori.types import LatentBatch, SayControls, SpokenLatents, TextBatch

if TYPE_CHECKING:
    from moksori.models.naturalspeech2.model import Naturalspeech2


LEVEL_FRAMES = 40
"""On each side of a frame, in which guidance measures how far guesses go: half a second."""
BELIEVED_FRAMES = 128
"""Whose mean is what the model believes of a voice: 1.6 s, longer than it looks around itself."""


@dataclass(frozen=True)
class Plan:
    """All that is decided before the first step of the diffusion: what is said where, at which pitch, in which voice.

    condition: c, or the learnt one that stands for no text. correction: what is added to all standardised latents.
    """

    condition: Float[Tensor, "batch channels frames"]
    prompt: HeardPrompt
    durations: Int[Tensor, "batch tokens"]
    pitch: Pitch
    mask: Bool[Tensor, "batch 1 frames"]
    correction: Float[Tensor, "batch latent 1"] | None = None

    @classmethod
    def of(
        cls,
        condition: Float[Tensor, "batch channels frames"],
        prompt: HeardPrompt,
        mask: Bool[Tensor, "batch 1 frames"],
    ) -> "Plan":
        """Of a condition that is there already: of no tokens, and no pitch beside what the condition tells."""
        silence = torch.zeros_like(condition[:, 0])
        return cls(condition, prompt, torch.zeros_like(mask[:, 0], dtype=torch.int64), Pitch.of(silence), mask)

    @property
    def frame_lengths(self) -> Int[Tensor, " batch"]:
        return self.mask.sum(dim=(1, 2))

    def stretch(self, start: int, stop: int) -> "Plan":
        """Some of the frames; durations stay those of the whole."""
        condition, mask = self.condition[:, :, start:stop], self.mask[:, :, start:stop]
        pitch = Pitch(self.pitch.log_f0[:, start:stop], self.pitch.voiced[:, start:stop])
        return replace(self, condition=condition, pitch=pitch, mask=mask)


def say_latents_like(
    model: "Naturalspeech2",
    text: TextBatch,
    prompt: LatentBatch,
    controls: SayControls,
    f0: Float[Tensor, "batch frames"] | None = None,
    prosody: LatentBatch | None = None,
    generator: Generator | None = None,
) -> SpokenLatents:
    """See `models.contract_latents.CanSayLatents`.

    One number is drawn from the generator, from which the noise of every item follows: the same text and prompt sound
    alike whatever else is in the batch. Raises BadInput for what does not fit together.
    """
    plan = corrected(model, planned(model, text, prompt, controls, f0, prosody), prompt)
    start, noise = drawn(model, plan, controls, generator)
    latent = sampled(model, plan, start, noise)
    return SpokenLatents(latent, plan.frame_lengths, plan.durations, plan.pitch.hertz(plan.mask))


def drawn(
    model: "Naturalspeech2", plan: Plan, controls: SayControls, generator: Generator | None
) -> tuple[Float[Tensor, "batch latent frames"], Noise]:
    """z_1, and where samplers that want more noise have it from."""
    sampling, (items, _, frames) = model.config.sampling, plan.mask.shape
    variation = sampling.variation if controls.variation is None else controls.variation
    noise = item_noise(alike(items, generator)) if variation else torch.zeros_like
    return variation * masked(noise(plan.condition.new_zeros(items, model.latent_channels, frames)), plan.mask), noise


def sampled(
    model: "Naturalspeech2", plan: Plan, start: Float[Tensor, "batch latent frames"], noise: Noise | None = None
) -> Float[Tensor, "batch latent frames"]:
    """From z_1 to latents as the codec makes them, as the model's settings say; 0 at padding."""
    return raw(model, plan, solved(model, plan, start, noise))


def solved(
    model: "Naturalspeech2", plan: Plan, start: Float[Tensor, "batch latent frames"], noise: Noise | None = None
) -> Float[Tensor, "batch latent frames"]:
    """From z_1 to the standardised latents that the diffusion ends at, and what is to be added to them."""
    sampling = model.config.sampling
    denoise = guided(model, plan, sampling.guidance)
    latent = SAMPLERS[sampling.sampler](denoise, start, model.process, sampling.steps, noise=noise).float()
    return latent if plan.correction is None else latent + plan.correction


def raw(
    model: "Naturalspeech2", plan: Plan, latent: Float[Tensor, "batch latent frames"]
) -> Float[Tensor, "batch latent frames"]:
    """Standardised latents, through the postfilter where there is one, as the codec makes them; 0 at padding."""
    if model.postfilter is not None:
        latent = model.postfilter(latent, plan.condition, plan.prompt.summary, plan.mask)
    return masked(model.standardize.inverse(latent), plan.mask)


def alike(items: int, generator: Generator | None) -> list[Generator]:
    """A generator for each item, all in the same state, which follows from one draw: who else is in the batch makes no
    difference."""
    device = None if generator is None else generator.device
    seed = int(torch.randint(2**62, (1,), generator=generator, device=device))
    return [Generator().manual_seed(seed) for _ in range(items)]


def planned(
    model: "Naturalspeech2",
    text: TextBatch,
    prompt: LatentBatch,
    controls: SayControls,
    f0: Float[Tensor, "batch frames"] | None = None,
    prosody: LatentBatch | None = None,
) -> Plan:
    """The plan of texts in the voices of prompts. Raises BadInput for what does not fit together."""
    _check(model, text, prompt, controls, f0, prosody)
    heard = heard_prompt(model, prompt)
    manner = heard if prosody is None else heard_prompt(model, prosody)
    token_mask = sequence_mask(text.token_lengths, text.tokens.shape[1])
    states = model.encode(text.tokens, text.stress, token_mask, heard)
    if text.durations is not None:
        durations = text.durations * token_mask[:, 0]
    else:
        frames = torch.expm1(model.log_durations(states, token_mask, manner).float()) / controls.speed
        durations = whole_frames(frames, model.sounding[text.tokens], token_mask, model.config.longest_token_frames)
    lengths = durations.sum(dim=1)
    if int(lengths.min()) < 1:
        raise BadInput("a text without any frame: its tokens hold no sound, or all given durations are 0")
    mask = sequence_mask(lengths)
    expanded = model.expanded(states, durations, mask)
    if f0 is None:
        log_f0, voicing = model.predicted_pitch(expanded, mask, manner)
        voiced = torch.ones_like(mask[:, 0]) if voicing is None else voicing > 0.0
        pitch = Pitch(log_f0.float(), voiced)
    elif f0.shape[1] < mask.shape[2]:
        raise BadInput(f"F0 of {f0.shape[1]} frames for {mask.shape[2]}: give one value for each frame")
    else:
        pitch = Pitch.of(f0[:, : mask.shape[2]] * mask[:, 0])
    pitch = pitch.shifted(controls.shift_semitones)
    return Plan(model.condition(expanded, pitch, mask), heard, durations, pitch, mask)


def corrected(model: "Naturalspeech2", plan: Plan, prompt: LatentBatch) -> Plan:
    """The plan of speech in a prompt's voice, with what `SamplingConfig.mean_correction` adds to it."""
    share = model.config.sampling.mean_correction
    return replace(plan, correction=share * missed_mean(model, prompt, plan.prompt)) if share else plan


def guided(model: "Naturalspeech2", plan: Plan, guidance: float = 1.0) -> Denoise:
    """The denoiser for a plan, as samplers call it: z_null + w (z_full - z_null), both passes as one batch.

    The standard deviation of what comes out is held at that of z_full, frame by frame in the second around each, so
    that no frame depends on what is far from it. guidance: w; 1: one pass alone.
    """
    prepared, mask = model.prepared(plan.condition, plan.prompt), plan.mask
    if guidance == 1.0:
        return _one_pass(model, prepared, mask)
    none = torch.zeros_like(mask[:, 0, 0])
    twice = _one_pass(
        model, prepared.beside(model.prepared(plan.condition, plan.prompt, none, none)), torch.cat([mask, mask])
    )

    def denoise(zt: Tensor, t: float) -> Tensor:
        full, null = twice(torch.cat([zt, zt]), t).chunk(2)
        mixed = null + guidance * (full - null)
        factor = (_deviation(full, mask) / _deviation(mixed, mask).clamp(min=1e-6)).clamp(max=1.0)
        return mixed * factor

    return denoise


def _one_pass(model: "Naturalspeech2", prepared: Prepared, mask: Bool[Tensor, "batch 1 frames"]) -> Denoise:
    def denoise(zt: Tensor, t: float) -> Tensor:
        return model.guess(zt, torch.full((1,), t, device=zt.device), prepared, mask)

    return denoise


def _deviation(
    z: Float[Tensor, "batch channels frames"], mask: Bool[Tensor, "batch 1 frames"]
) -> Float[Tensor, "batch 1 frames"]:
    """Over channels and the real frames at most LEVEL_FRAMES away; what is beyond the real ones is 0."""

    def around(x: Tensor) -> Tensor:
        return F.avg_pool1d(x, 2 * LEVEL_FRAMES + 1, 1, LEVEL_FRAMES)

    count = (around(mask.float()) * z.shape[1]).clamp(min=1e-6)
    mean = around(z.sum(dim=1, keepdim=True)) / count
    return (around(z.square().sum(dim=1, keepdim=True)) / count - mean.square()).clamp(min=0.0).sqrt()


def heard_prompt(model: "Naturalspeech2", prompt: LatentBatch) -> HeardPrompt:
    """What is heard of raw latents."""
    latent, _ = _standardised(model, prompt)
    return model.hear(latent, prompt.frame_lengths)


def missed_mean(model: "Naturalspeech2", prompt: LatentBatch, heard: HeardPrompt) -> Float[Tensor, "batch latent 1"]:
    """What the mean of a prompt's standardised latents has that the model does not believe of this voice.

    What it believes is its guess from noise alone without a text, the same noise each time: all that it then knows is
    the voice. Voices that are unlike those of its training it takes for more usual ones, and what it misses of them it
    misses in whatever they say. A mean over seconds has the sounds in it that happen to be said there as well, so a
    share of it is the voice's.
    """
    latent, mask = _standardised(model, prompt)
    mean = latent.sum(dim=2, keepdim=True) / mask.sum(dim=2, keepdim=True)
    noise = believed_noise(model.latent_channels).to(latent).expand(len(latent), -1, -1)
    items, _, frames = noise.shape
    nothing = latent.new_zeros(items, model.config.hidden_channels, frames)
    prepared = model.prepared(nothing, heard, torch.zeros_like(mask[:, 0, 0]))
    guess = model.guess(noise, latent.new_ones(1), prepared, mask.new_ones(items, 1, frames))
    return mean - guess.mean(dim=2, keepdim=True)


def believed_noise(channels: int) -> Float[Tensor, "1 latent frames"]:
    """From which the model guesses what it believes of a voice: the same each time."""
    return torch.randn(1, channels, BELIEVED_FRAMES, generator=Generator().manual_seed(0))


def _standardised(
    model: "Naturalspeech2", prompt: LatentBatch
) -> tuple[Float[Tensor, "batch latent frames"], Bool[Tensor, "batch 1 frames"]]:
    """Raw latents standardised, 0 at padding, and which frames are real."""
    mask = sequence_mask(prompt.frame_lengths, prompt.latent.shape[2])
    return masked(model.standardize(prompt.latent), mask), mask


def _check(
    model: "Naturalspeech2",
    text: TextBatch,
    prompt: LatentBatch,
    controls: SayControls,
    f0: Float[Tensor, "batch frames"] | None,
    prosody: LatentBatch | None,
) -> None:
    items = len(text.tokens)
    for name, latents in (("prompt", prompt), ("prosody", prosody)):
        if latents is None:
            continue
        if len(latents.latent) != items:
            raise BadInput(f"{len(latents.latent)} {name}s for {items} texts: give one for each")
        if latents.latent.shape[1] != model.latent_channels:
            raise BadInput(
                f"{name} latents have {latents.latent.shape[1]} channels, this model hears {model.latent_channels}: "
                "take those of its codec"
            )
        if int(latents.frame_lengths.min()) < 1:
            raise BadInput(f"a {name} without any frame: give some seconds of speech")
    if controls.speed <= 0.0:
        raise BadInput(f"speed {controls.speed:g}: expected more than 0")
    if f0 is not None and text.durations is None:
        raise BadInput("F0 is given frame by frame, so the durations of the tokens must be given too")
