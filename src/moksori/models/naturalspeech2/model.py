"""NaturalSpeech 2: the parts of figure 1 and 2, and what passes between them.

tokens ─► phoneme encoder ─► duration predictor ─► expanded ─► pitch predictor ─► + pitch embedding = c ─┐
prompt ─► prompt encoder ─┬─► both predictors                                                          │
                          └─► m tokens ─────────────────────────────────────────────────────────► denoiser ─► z_0
noise z_1 ────────────────────────────────────────────────────────────────────────────────────────────┘
Letters: z = latents, standardised unless they are called raw; H_p = states of the prompt; c = condition.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.models.naturalspeech2.config import Naturalspeech2Config
from moksori.models.naturalspeech2.conversion import convert_latents
from moksori.models.naturalspeech2.denoiser import Denoiser, Prepared
from moksori.models.naturalspeech2.length import sounding_symbols
from moksori.models.naturalspeech2.phoneme_encoder import PhonemeEncoder
from moksori.models.naturalspeech2.pitch import USUAL_HZ, Pitch, PitchEmbedding
from moksori.models.naturalspeech2.postfilter import Postfilter
from moksori.models.naturalspeech2.predictors import Predictor
from moksori.models.naturalspeech2.prompt import HeardPrompt, PromptEncoder, PromptTokens
from moksori.models.naturalspeech2.speaking import say_latents_like
from moksori.models.naturalspeech2.streaming import stream_latents_like
from moksori.nn.alignment import durations_to_path, expand_by_path
from moksori.nn.diffusion import VariancePreserving
from moksori.nn.masks import masked, sequence_mask
from moksori.nn.precision import full_precision
from moksori.nn.standardize import Standardize
from moksori.types import ConvertControls, LatentBatch, SayControls, SpokenLatentBlocks, SpokenLatents, TextBatch


class Naturalspeech2(nn.Module):
    """The model. standardize: of latents, by the training recordings; sounding: which symbols are sounds."""

    sounding: Tensor

    def __init__(self, config: Naturalspeech2Config) -> None:
        super().__init__()
        self.config, hidden, heads = config, config.hidden_channels, config.num_heads
        num_symbols = config.num_symbols or len(config.text.symbols)
        self.process = VariancePreserving(config.beta_0, config.beta_1)
        self.standardize = Standardize(config.latent_channels)
        self.register_buffer("sounding", sounding_symbols(config.text.symbols, num_symbols), persistent=False)
        self.phoneme_encoder = PhonemeEncoder(
            config.phoneme_encoder, num_symbols, hidden, heads, config.prompt_adaptive_norm
        )
        self.duration_predictor = Predictor(config.duration, hidden, heads, hears_prompt=config.predictor_prompt)
        outputs = 2 if config.pitch.voicing else 1
        self.pitch_predictor = Predictor(config.pitch.predictor, hidden, heads, outputs, config.predictor_prompt)
        assert self.pitch_predictor.head.bias is not None
        with torch.no_grad():  # what it is to say lies around 5, not around 0
            self.pitch_predictor.head.bias[0] = torch.log(torch.tensor(USUAL_HZ))
        self.pitch_embedding = PitchEmbedding(config.pitch, hidden)
        self.prompt_encoder = PromptEncoder(config.prompt_encoder, config.latent_channels, hidden, heads)
        self.prompt_tokens = PromptTokens(
            config.prompt_tokens, config.latent_channels, hidden, heads, config.denoiser.hears_voice
        )
        self.null_condition = nn.Parameter(torch.randn(1, hidden, 1) * hidden**-0.5)
        self.denoiser = Denoiser(config.denoiser, config.latent_channels, hidden, heads)
        self.postfilter: Postfilter | None = None
        if config.postfilter is not None:
            self.postfilter = Postfilter(config.postfilter, config.latent_channels, hidden)
        self._in_bfloat16 = False

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        return self.config.hop_length

    @property
    def latent_channels(self) -> int:
        return self.config.latent_channels

    # ---- the parts, one after the other ----

    def hear(self, latent: Float[Tensor, "batch latent frames"], lengths: Int[Tensor, " batch"]) -> HeardPrompt:
        """What is heard of prompts. latent: standardised."""
        mask = sequence_mask(lengths, latent.shape[2])
        states = self.prompt_encoder(latent, mask)
        summary = states.sum(dim=2, keepdim=True) / mask.sum(dim=2, keepdim=True).clamp(min=1)
        return HeardPrompt(states, mask, summary, self.prompt_tokens(latent, states, mask))

    def encode(
        self,
        tokens: Int[Tensor, "batch tokens"],
        stress: Int[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch 1 tokens"],
        prompt: HeardPrompt,
    ) -> Float[Tensor, "batch channels tokens"]:
        """States of the tokens."""
        states: Tensor = self.phoneme_encoder(tokens, stress, mask, prompt.summary)
        return states

    def log_durations(
        self,
        states: Float[Tensor, "batch channels tokens"],
        mask: Bool[Tensor, "batch 1 tokens"],
        prompt: HeardPrompt,
    ) -> Float[Tensor, "batch tokens"]:
        """ln(1 + frames) of each token; what the phoneme encoder learns it does not learn from them."""
        return self.duration_predictor(states.detach(), mask, prompt)[:, 0]

    def expanded(
        self,
        states: Float[Tensor, "batch channels tokens"],
        durations: Int[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch 1 frames"],
    ) -> Float[Tensor, "batch channels frames"]:
        """The state of its token for each frame: the length regulator."""
        return masked(expand_by_path(states, durations_to_path(durations, mask.shape[2])), mask)

    def predicted_pitch(
        self,
        expanded: Float[Tensor, "batch channels frames"],
        mask: Bool[Tensor, "batch 1 frames"],
        prompt: HeardPrompt,
    ) -> tuple[Float[Tensor, "batch frames"], Float[Tensor, "batch frames"] | None]:
        """ln F0 of each frame, and where the model tells voicing its logit."""
        found = self.pitch_predictor(expanded, mask, prompt)
        return found[:, 0], found[:, 1] if self.config.pitch.voicing else None

    def condition(
        self, expanded: Float[Tensor, "batch channels frames"], pitch: Pitch, mask: Bool[Tensor, "batch 1 frames"]
    ) -> Float[Tensor, "batch channels frames"]:
        """c: what is said in each frame, and at which pitch."""
        return masked(expanded + self.pitch_embedding(pitch), mask)

    def prepared(
        self,
        condition: Float[Tensor, "batch channels frames"],
        prompt: HeardPrompt,
        keep_condition: Bool[Tensor, " batch"] | None = None,
        keep_prompt: Bool[Tensor, " batch"] | None = None,
    ) -> Prepared:
        """What the denoiser needs in every step. keep_condition, keep_prompt: of each item, whether it is given them or
        the learnt ones that stand for none; None: it is."""
        if keep_condition is not None:
            condition = torch.where(keep_condition[:, None, None], condition, self.null_condition)
        frames = self.config.denoiser.prompt == "frames"
        heard: Tensor = prompt.tokens
        null: Tensor = self.prompt_tokens.none
        if frames:
            heard, null = prompt.states, null.mean(dim=2, keepdim=True)
        if keep_prompt is not None:
            heard = torch.where(keep_prompt[:, None, None], heard, null)
        with self._denoising(condition):
            return self.denoiser.prepare(condition, heard, prompt.mask if frames else None)

    def guess(
        self,
        noised: Float[Tensor, "batch latent frames"],
        t: Float[Tensor, " _"],
        prepared: Prepared,
        mask: Bool[Tensor, "batch 1 frames"],
    ) -> Float[Tensor, "batch latent frames"]:
        """The guess of z_0 from z_t, 0 at padding, in full precision. t: of each item, or one for all."""
        with self._denoising(noised):
            found: Tensor = self.denoiser(noised, self.denoiser.times(t), prepared, mask)
        with full_precision(noised.device.type):
            found = found.float()
            if self.config.denoiser.preconditioned:
                alpha, sigma = (part[:, None, None] for part in (self.process.alpha(t), self.process.sigma(t)))
                found = masked(alpha * noised.float() + sigma * found, mask)
        return found

    def lower_precision(self) -> None:
        """The denoiser runs in bfloat16; what it says how long and how high stays as it is, and so do its steps."""
        self._in_bfloat16 = True

    def _denoising(self, x: Tensor) -> AbstractContextManager[object]:
        return torch.autocast(x.device.type, torch.bfloat16) if self._in_bfloat16 else nullcontext()

    # ---- what the pipeline asks for: models.contract_latents ----

    @torch.no_grad()
    def say_latents_like(
        self,
        text: TextBatch,
        prompt: LatentBatch,
        controls: SayControls,
        f0: Float[Tensor, "batch frames"] | None = None,
        prosody: LatentBatch | None = None,
        generator: Generator | None = None,
    ) -> SpokenLatents:
        """The latents of texts in the voices of prompts: see `speaking.say_latents_like`."""
        return say_latents_like(self, text, prompt, controls, f0, prosody, generator)

    def stream_latents_like(
        self,
        text: TextBatch,
        prompt: LatentBatch,
        controls: SayControls,
        chunk_frames: Sequence[int],
        f0: Float[Tensor, "batch frames"] | None = None,
        prosody: LatentBatch | None = None,
        generator: Generator | None = None,
    ) -> SpokenLatentBlocks:
        """`say_latents_like` stretch by stretch: see `streaming.stream_latents_like`."""
        return stream_latents_like(self, text, prompt, controls, chunk_frames, f0, prosody, generator)

    @torch.no_grad()
    def convert_latents(
        self,
        source: LatentBatch,
        target: LatentBatch | None,
        own: LatentBatch | None,
        controls: ConvertControls,
        text: TextBatch | None = None,
        f0: Float[Tensor, "batch frames"] | None = None,
        generator: Generator | None = None,
    ) -> LatentBatch:
        """What is said in recordings, in the voices of prompts: see `conversion.convert_latents`."""
        return convert_latents(self, source, target, own, controls, text, f0, generator)
