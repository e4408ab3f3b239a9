"""The denoiser: a WaveNet that guesses the latents from noised ones, told time, condition and prompt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.models.naturalspeech2.config import DenoiserConfig
from moksori.nn.attention import Attended, CrossAttention
from moksori.nn.conv import ChannelNorm, ProductConv1d, zero_initialised
from moksori.nn.film import Film
from moksori.nn.masks import masked
from moksori.nn.timestep_embedding import TimestepEmbedding
from moksori.nn.wavenet import WaveNetStack


@dataclass(frozen=True)
class Prepared:
    """All that a step needs and that is the same in every step: computed once for an utterance.

    biases: W_c c of all layers. prompts: keys and values of what the layers with FiLM attend to, one for each. voice:
    W_t v, what goes into all layers beside the time.
    """

    biases: Float[Tensor, "batch gates frames"]
    prompts: tuple[Attended, ...]
    voice: Float[Tensor, "batch inputs 1"] | None = None

    def beside(self, other: "Prepared") -> "Prepared":
        """Both as one batch, this one's items first: for guidance."""
        prompts = []
        for one, two in zip(self.prompts, other.prompts, strict=True):
            mask = None if one.mask is None or two.mask is None else torch.cat([one.mask, two.mask])
            prompts.append(Attended(torch.cat([one.key, two.key]), torch.cat([one.value, two.value]), mask))
        voice = None if self.voice is None or other.voice is None else torch.cat([self.voice, other.voice])
        return Prepared(torch.cat([self.biases, other.biases]), tuple(prompts), voice)


class PromptFilm(nn.Module):
    """Frames attend to the prompt, and what they read scales and shifts the gates: FiLM (figure 3 of the paper)."""

    def __init__(self, channels: int, prompt_channels: int, num_heads: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.attention = CrossAttention(channels, prompt_channels, num_heads)
        self.film = Film(channels, 2 * channels)

    def forward(
        self,
        heard: Float[Tensor, "batch channels frames"],
        gates: Float[Tensor, "batch both frames"],
        prompt: Attended,
    ) -> Float[Tensor, "batch both frames"]:
        steered: Tensor = self.film(gates, self.attention(self.norm(heard), prompt))
        return steered


class Denoiser(nn.Module):
    """z_t, t -> the guess of z_0; see `nn.wavenet.WaveNetStack` for a layer.

    The skips' sum over the root of their number goes through two 1x1 convolutions, of which the last starts at zero.
    """

    def __init__(self, config: DenoiserConfig, latent_channels: int, condition_channels: int, num_heads: int) -> None:
        super().__init__()
        self.config, channels = config, config.channels
        self.input = ProductConv1d(latent_channels, channels, 1)
        self.condition_norm = ChannelNorm(condition_channels)
        self.time = TimestepEmbedding(channels, 4 * channels, config.time_scale)
        self.time_projection = nn.Linear(channels, channels * config.num_layers)
        self.stack = WaveNetStack(
            channels,
            config.kernel_size,
            config.num_layers,
            condition_channels=condition_channels,
            dropout=config.dropout,
            weight_norm=False,
            dilations=config.all_dilations,
            residual_scale=math.sqrt(0.5),
        )
        films = 0 if config.prompt == "none" else len(range(0, config.num_layers, config.film_every))
        self.films = nn.ModuleList(PromptFilm(channels, condition_channels, num_heads) for _ in range(films))
        self.voice = zero_initialised(nn.Linear(condition_channels, channels)) if config.hears_voice else None
        self.skip = ProductConv1d(channels, channels, 1)
        self.output = zero_initialised(ProductConv1d(channels, latent_channels, 1))

    @property
    def context_frames(self) -> int:
        """Frames on each side that a guess depends on."""
        return self.stack.context_steps

    def prepare(
        self,
        condition: Float[Tensor, "batch condition frames"],
        prompt: Float[Tensor, "batch condition steps"],
        prompt_mask: Bool[Tensor, "batch 1 steps"] | None = None,
    ) -> Prepared:
        """prompt: the tokens, the voice last where it is heard, or the frames' states with their mask."""
        biases = self.stack.biases(self.condition_norm(condition))
        assert biases is not None
        attended, voice = [], None
        if self.voice is not None:
            prompt, last = prompt[:, :, :-1], prompt[:, :, -1]
            voice = F.linear(self.voice(last), self.time_projection.weight).unsqueeze(2)
        for film in self.films:
            assert isinstance(film, PromptFilm)
            attended.append(film.attention.projected(prompt, prompt_mask))
        return Prepared(biases, tuple(attended), voice)

    def times(self, t: Float[Tensor, " batch"]) -> Float[Tensor, "batch inputs 1"]:
        """W_t temb of all layers; one row serves all items of a batch."""
        inputs: Tensor = self.time_projection(self.time(t)).unsqueeze(2)
        return inputs

    def forward(
        self,
        noised: Float[Tensor, "batch latent frames"],
        times: Float[Tensor, "_ inputs 1"],
        prepared: Prepared,
        mask: Bool[Tensor, "batch 1 frames"],
    ) -> Float[Tensor, "batch latent frames"]:
        """The guess of z_0, 0 at padding. times: of `times`."""
        x = torch.relu(self.input(masked(noised, mask)))
        inputs = times if prepared.voice is None else times + prepared.voice
        skip = self.stack.with_biases(
            x, mask, prepared.biases, inputs=inputs, modulate=_Steering(self.films, prepared.prompts, self.config)
        )
        hidden = F.relu(self.skip(skip * self.config.num_layers**-0.5))
        return masked(self.output(hidden), mask)


class _Steering:
    """What the stack does to the gates of its layers: those with a FiLM are steered by the prompt."""

    def __init__(self, films: nn.ModuleList, prompts: Sequence[Attended], config: DenoiserConfig) -> None:
        self._films, self._prompts, self._every = films, prompts, config.film_every

    def __call__(self, layer: int, heard: Tensor, gates: Tensor) -> Tensor:
        place, rest = divmod(layer, self._every)
        if rest or not self._prompts:
            return gates
        steered: Tensor = self._films[place](heard, gates, self._prompts[place])
        return steered
