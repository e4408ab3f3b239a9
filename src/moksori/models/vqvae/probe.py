"""The classifier that reads the speaker off codes: a measure of what they tell, and what an encoder can resist."""

from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class SpeakerProbe(nn.Module):
    """1x1 layers over states with ELU, a logit for each speaker, the mean over time. Frames are heard one by one."""

    def __init__(self, code_channels: int, channels: int, num_layers: int, speakers: int) -> None:
        super().__init__()
        sizes = [code_channels, *[channels] * num_layers]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.last = nn.Linear(sizes[-1], speakers)

    def forward(
        self, states: Float[Tensor, "batch frames code"], mask: Bool[Tensor, "batch 1 frames"]
    ) -> Float[Tensor, "batch speakers"]:
        """Logits. Each item's states are brought to length 1 on average first: small codes are no way out."""
        weights = mask.transpose(1, 2)
        count = weights.sum(dim=1, keepdim=True).clamp(min=1)
        scale = ((states.square() * weights).sum(dim=(1, 2), keepdim=True) / (count * states.shape[2])).sqrt()
        hidden = states / (scale + 1e-6)
        for layer in self.layers:
            hidden = F.elu(layer(hidden))
        return ((self.last(hidden) * weights).sum(dim=1) / count[:, 0]).float()
