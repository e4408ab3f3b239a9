"""Whose voice a model that imitates prompts is to speak in, and in whose manner: resolved, as codes of its codec."""

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int

from moksori.models.contract_latents import CanCompress
from moksori.types import LatentBatch, PromptPlan


@dataclass(frozen=True, eq=False)
class Prompt:
    """Some seconds of a voice as a codec's codes, all that is kept of the recordings that they come from.

    codec: the fingerprint of the codec, to which alone they mean something. sources: names of the recordings. consent:
    what the voice files among them say of it.
    """

    name: str
    codes: Int[torch.Tensor, "stages frames"]
    codec: str
    sources: tuple[str, ...] = ()
    consent: str = ""

    def latents(self, codec: CanCompress, device: torch.device | str) -> LatentBatch:
        """What a model is given of it, as a batch of one."""
        codes = self.codes[None].to(device)
        return LatentBatch(codec.latents(codes), torch.tensor([codes.shape[2]], device=device))


@dataclass(frozen=True, eq=False)
class PromptChoice:
    """voice: who is to speak. prosody: whose manner is followed in durations and pitch; None: the voice's own."""

    voice: Prompt
    prosody: Prompt | None = None

    def plan(
        self, codec: CanCompress, device: torch.device | str, f0: Float[torch.Tensor, "1 frames"] | None = None
    ) -> PromptPlan:
        """As a model is given it. f0: Hz of each frame, where it is known beforehand."""
        prosody = None if self.prosody is None else self.prosody.latents(codec, device)
        return PromptPlan(self.voice.latents(codec, device), prosody, f0)

    @property
    def digest(self) -> str:
        """Tells other choices apart, for the header of a job."""
        digest = hashlib.sha256()
        for prompt in (self.voice, self.prosody):
            if prompt is not None:
                digest.update(prompt.codec.encode() + prompt.codes.to(torch.int32).cpu().numpy().tobytes())
            digest.update(b"|")
        return digest.hexdigest()[:16]
