"""Training's prompts: a piece u:v of an utterance is the prompt, what is left of it the target (section 4)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from moksori.nn.masks import sequence_mask

CROP_EDGE_FRAMES = 16
"""Nothing is learnt so near to where a target was cropped: what lies beyond is not silence, as the network is told."""


@dataclass(frozen=True)
class Cut:
    """Which tokens and frames of each utterance are the target's, and which are the prompt's, by their numbers.

    frames: of the target, in order, as many as frame_lengths says; what lies beyond the widest target that there is
    room for is left out of it. tokens: likewise, all of them. Beyond these counts stands anything.
    learnt: frames whose latents are learnt, which those at the junction are not. prompt_rows: the utterance of the
    batch that an item's prompt is of.
    """

    frames: Int[Tensor, "batch target"]
    frame_lengths: Int[Tensor, " batch"]
    tokens: Int[Tensor, "batch tokens"]
    token_lengths: Int[Tensor, " batch"]
    learnt: Bool[Tensor, "batch 1 target"]
    prompt_frames: Int[Tensor, "batch prompt"]
    prompt_lengths: Int[Tensor, " batch"]
    prompt_rows: Int[Tensor, " batch"]

    @property
    def mask(self) -> Bool[Tensor, "batch 1 target"]:
        """True at frames of the target."""
        return sequence_mask(self.frame_lengths, self.frames.shape[1])

    @property
    def token_mask(self) -> Bool[Tensor, "batch 1 tokens"]:
        return sequence_mask(self.token_lengths, self.tokens.shape[1])

    @property
    def prompt_mask(self) -> Bool[Tensor, "batch 1 prompt"]:
        return sequence_mask(self.prompt_lengths, self.prompt_frames.shape[1])

    def of_frames(
        self, values: Shaped[Tensor, "batch *channels all_frames"]
    ) -> Shaped[Tensor, "batch *channels target"]:
        """What belongs to the target's frames; at padding anything."""
        return taken(values, self.frames)

    def of_tokens(self, values: Int[Tensor, "batch all_tokens"]) -> Int[Tensor, "batch tokens"]:
        """What belongs to the target's tokens, 0 at padding."""
        return taken(values, self.tokens) * self.token_mask[:, 0]

    def of_prompt(
        self, values: Shaped[Tensor, "batch *channels all_frames"]
    ) -> Shaped[Tensor, "batch *channels prompt"]:
        """What belongs to the prompt's frames; at padding anything."""
        return taken(values[self.prompt_rows], self.prompt_frames)


@dataclass(frozen=True)
class Crop:
    """Frames of each target that are learnt from: `at`, by their numbers; mask: which of them are real; whole: those
    from whose neighbourhood nothing was left out."""

    at: Int[Tensor, "batch taken"]
    mask: Bool[Tensor, "batch 1 taken"]
    whole: Bool[Tensor, "batch 1 taken"]

    @classmethod
    def of(cls, found: Cut, size: int | None, places: Float[Tensor, " batch"] | None) -> "Crop":
        """`size` frames of each target, from a place between 0, its beginning, and 1; None: all of it."""
        lengths, room = found.frame_lengths, found.frames.shape[1]
        if size is None or places is None or size >= room:
            at = torch.arange(room, device=lengths.device).repeat(len(lengths), 1)
            return cls(at, found.mask, found.mask)
        start = (places * ((lengths - size).clamp(min=0) + 1)).long()
        step = torch.arange(size, device=start.device)
        mask = sequence_mask((lengths - start).clamp(max=size), size)
        edges = ((start > 0).unsqueeze(1) & (step < CROP_EDGE_FRAMES)) | (
            (start + size < lengths).unsqueeze(1) & (step >= size - CROP_EDGE_FRAMES)
        )
        return cls(start.unsqueeze(1) + step, mask, mask & ~edges.unsqueeze(1))


def cut(
    durations: Int[Tensor, "batch tokens"],
    token_lengths: Int[Tensor, " batch"],
    prompt_length: int,
    places: Float[Tensor, " batch"],
    room: int,
    junction: int = 0,
    other: Int[Tensor, " batch"] | None = None,
) -> Cut:
    """Takes a prompt out of each utterance: whole tokens within `prompt_length` frames, at most half of it.

    places: where in the utterance, 0 to 1. Where not one whole token lies there, the one in its middle is taken out,
    and its first frames are the prompt. room: frames of the widest target. junction: see `Cut.learnt`, on each side.
    other: for each item the utterance that its prompt is taken from instead, anywhere; -1: its own. Then the target
    stays whole.
    """
    real = sequence_mask(token_lengths, durations.shape[1])[:, 0]
    durations = durations * real
    ends = durations.cumsum(dim=1)
    lengths = ends[:, -1]
    asked = lengths.div(2, rounding_mode="floor").clamp(min=1, max=prompt_length)
    start = (places * (lengths - asked + 1)).long()
    first = ((ends - durations < start.unsqueeze(1)) & real).sum(dim=1)
    beyond = _ended(ends, start + asked, real)
    nothing = beyond <= first
    middle = torch.minimum(_ended(ends, start + asked // 2, real), token_lengths - 1)
    first, beyond = torch.where(nothing, middle, first), torch.where(nothing, middle + 1, beyond)
    if other is not None:
        first, beyond = (torch.where(other >= 0, 0, value) for value in (first, beyond))
    edges = torch.cat([torch.zeros_like(ends[:, :1]), ends], dim=1)
    u, v = (edges.gather(1, value.unsqueeze(1))[:, 0] for value in (first, beyond))

    rows, prompt_start, prompt_lengths = torch.arange(len(lengths), device=lengths.device), u, v - u
    if other is not None:
        rows = torch.where(other >= 0, other, rows)
        whole = lengths[rows].clamp(max=prompt_length)
        prompt_start = torch.where(other >= 0, (places * (lengths[rows] - whole + 1)).long(), u)
        prompt_lengths = torch.where(other >= 0, whole, prompt_lengths)
    heard = torch.arange(prompt_length, device=lengths.device)

    place = torch.arange(room, device=lengths.device)
    frame_lengths = (lengths - (v - u)).clamp(max=room)
    joined = (u > 0) & (u < frame_lengths) & (v > u)
    near = ((place - u.unsqueeze(1) >= -junction) & (place - u.unsqueeze(1) < junction)) & joined.unsqueeze(1)
    mask = sequence_mask(frame_lengths, room)
    return Cut(
        frames=_skipping(place, u, v),
        frame_lengths=frame_lengths,
        tokens=_skipping(torch.arange(durations.shape[1], device=lengths.device), first, beyond),
        token_lengths=token_lengths - (beyond - first),
        learnt=mask & ~near.unsqueeze(1),
        prompt_frames=prompt_start.unsqueeze(1) + heard,
        prompt_lengths=prompt_lengths.clamp(max=prompt_length),
        prompt_rows=rows,
    )


def taken(
    values: Shaped[Tensor, "batch *channels steps"], places: Int[Tensor, "batch taken"]
) -> Shaped[Tensor, "batch *channels taken"]:
    """The values at some steps of each item; of a step beyond the last, the last one's."""
    inside = places.clamp(max=values.shape[-1] - 1)
    if values.dim() == 3:
        inside = inside.unsqueeze(1).expand(-1, values.shape[1], -1)
    return values.gather(-1, inside)


def _ended(
    ends: Int[Tensor, "batch tokens"], frame: Int[Tensor, " batch"], real: Bool[Tensor, "batch tokens"]
) -> Int[Tensor, " batch"]:
    """Tokens that end at a frame or before it."""
    return ((ends <= frame.unsqueeze(1)) & real).sum(dim=1)


def _skipping(
    place: Int[Tensor, " steps"], start: Int[Tensor, " batch"], stop: Int[Tensor, " batch"]
) -> Int[Tensor, "batch steps"]:
    """0, 1, 2, ... without the numbers from `start` to before `stop`."""
    return place + (place >= start.unsqueeze(1)) * (stop - start).unsqueeze(1)
