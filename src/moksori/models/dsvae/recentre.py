"""z_c with another mean: what is constant in it is the speaker's.

However dear the content is, its mean over a recording still tells people apart (docs/families/dsvae.md), and with it
the decoder says some of the source. Over a second of speech and more the mean holds little of what is said. So a voice
holds the mean of its z_c over voiced frames, and what is converted gets it in place of its own:

    z_c + w (mean of the target - mean of the source),        w = n / (n + LEAST_FRAMES) of n voiced frames

This is the first moment of adaptive instance normalisation (Chou et al., "One-shot voice conversion by separating
speaker and content representations with instance normalization", 2019), for conversion alone: pauses do not count, and
w keeps short words from being taken for the speaker. Where the decoder never sees the mean (`DsvaeConfig.centred`) the
target's is 0.
"""

from jaxtyping import Bool, Float
from torch import Tensor

LEAST_FRAMES = 15.0
"""A quarter of a second of voiced frames counts half."""


def frame_weights(
    content: Float[Tensor, "batch frames content"],
    voicing: Float[Tensor, "batch frames"] | None,
    mask: Bool[Tensor, "batch 1 frames"] | None = None,
) -> Float[Tensor, "batch frames"]:
    """1 for the frames that count: voiced ones, where it is known which are, else all that are real."""
    weight = content.new_ones(content.shape[:2]) if voicing is None else (voicing > 0.5).to(content.dtype)
    return weight if mask is None else weight * mask[:, 0]


def content_mean(
    content: Float[Tensor, "batch frames content"],
    voicing: Float[Tensor, "batch frames"] | None,
    mask: Bool[Tensor, "batch 1 frames"] | None = None,
) -> Float[Tensor, "batch content"]:
    """The mean of z_c over the frames that count; over all real ones where none does."""
    weight = frame_weights(content, voicing, mask)
    every = frame_weights(content, None, mask)
    weight = weight + every * (weight.sum(dim=1, keepdim=True) == 0)
    return (content * weight.unsqueeze(2)).sum(dim=1) / weight.sum(dim=1, keepdim=True).clamp(min=1.0)


def moved(
    own: Float[Tensor, "batch content"], count: Float[Tensor, " batch"], target: Float[Tensor, "batch content"]
) -> Float[Tensor, "batch 1 content"]:
    """What is added to every frame. own: mean of the source over `count` frames that counted."""
    weight = count / (count + LEAST_FRAMES)
    return (weight.unsqueeze(1) * (target - own)).unsqueeze(1)
