"""Speaking with Flowtron: how long it may take, where its attention may go, and what came of it (specification, 7)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from moksori.models.decoders.pitch import semitones
from moksori.models.flowtron.alignment import reached, steady
from moksori.models.flowtron.attention import path_weights
from moksori.models.flowtron.flows import AffineFlow
from moksori.models.flowtron.latents import token_path
from moksori.models.flowtron.sampling import Guide, Inverted, Melody, Stop, inverted
from moksori.models.flowtron.style_measures import Asked, asked, measured, phone_counts
from moksori.nn.alignment import monotonic_durations
from moksori.nn.masks import sequence_mask
from moksori.types import SayControls, SpokenFlags, SpokenMels, TextBatch

if TYPE_CHECKING:
    from moksori.models.flowtron.model import Flowtron, Memory

GATE = 0.5
LONGEST_TIMES = 1.6
"""An utterance may be so many times as long as the training recordings would have it."""
MAXIMUM_FRAMES = 4000
"""And no longer than this, 46 s at 22.05 kHz: texts are spoken a sentence at a time, which are shorter."""
HOLD_TIMES, HOLD_FRAMES = 2.0, 14.0
"""An attention may stay with a token for so many times its symbol's mean, and so many frames more: longer than all but
2 in 1000 tokens of a reader are, most of these pauses."""
REQUIRED_FRAMES = 2.5
"""Symbols with a mean of fewer frames may be left out, and so may spaces: every third lasts a frame or none."""


@dataclass(frozen=True)
class Sampled:
    """What speaking gives, in forward time. Padding of frames and latent is at the floor, and 0.

    latent: the part that was used, so that `Flowtron.decode` gives the mel again. frame_lengths: whole groups of
    frames. attention: of each flow, from the mel to the latent. truncated: cut at its bound, the end never came.
    """

    frames: Float[Tensor, "batch bands padded"]
    frame_lengths: Int[Tensor, " batch"]
    latent: Float[Tensor, "batch bands padded"]
    attention: tuple[Float[Tensor, "batch groups tokens"], ...]
    truncated: Bool[Tensor, " batch"]


@dataclass(frozen=True)
class AttentionReport:
    """How well each item's attention went, of the worst of its flows; all from 0 to 1.

    coverage: share of the due tokens that some step looked at most. monotonic: share of the steps that stayed, or went
    on by as many tokens at most as there are frames in a step. sharpness: mean of the largest weight.
    """

    coverage: Float[Tensor, " batch"]
    monotonic: Float[Tensor, " batch"]
    sharpness: Float[Tensor, " batch"]


@torch.inference_mode()
def sample(
    model: "Flowtron",
    memory: "Memory",
    latent: Float[Tensor, "batch bands padded"],
    most_frames: Int[Tensor, " batch"],
    guide: Guide | None = None,
    gate: float = GATE,
    temperature: float = 1.0,
    graph: bool = True,
    melody: Melody | None = None,
) -> Sampled:
    """Mels of latents that are longer than the utterances will be: when they end is what the gate says.

    latent: of whole groups of frames; where the flow nearest it runs backward in time (any even number of alternating
    flows) its last frames are used, otherwise its first. most_frames: of each item. guide: None lets the attention go
    where it wants, as the authors do. gate: probability beyond which to stop, 1: never. temperature: of the attention.
    melody: what is asked of the pitches, in a model of pitch.
    """
    group = model.config.group
    x = model.stacked(latent)
    lengths = torch.full((len(x),), x.shape[1], device=x.device)
    stop = Stop(gate, (most_frames // group).clamp(min=1, max=x.shape[1]))
    found: list[Inverted] = []
    for index, flow in reversed(list(enumerate(model.flows))):
        assert isinstance(flow, AffineFlow)
        projected = flow.step.attention.project(memory.states, memory.mask)
        own = None if index else melody
        if not found:
            out = inverted(flow, x, lengths, projected, None, temperature, guide, None, stop, graph, own)
            used = _used(x, out.lengths, flow.backward_in_time)
        else:
            near = None if guide is None else found[0].attention
            out = inverted(flow, x, lengths, projected, None, temperature, guide, near, None, graph, own)
        found.append(out)
        x, lengths = out.x, found[0].lengths
    frames = lengths * group
    made = _raw(model, x, frames)
    used = model.ungrouped(used) * sequence_mask(frames, made.shape[2])
    return Sampled(made, frames, used, tuple(out.attention for out in reversed(found)), ~found[0].stopped)


@torch.inference_mode()
def decode(
    model: "Flowtron",
    latent: Float[Tensor, "batch bands padded"],
    frame_lengths: Int[Tensor, " batch"],
    memory: "Memory",
    path: Int[Tensor, "batch frames"] | None = None,
    weights: Sequence[Float[Tensor, "batch groups tokens"]] | None = None,
    graph: bool = True,
    melody: Melody | None = None,
) -> Sampled:
    """The mels of latents of known lengths: the exact inverse of `Flowtron.encode`; the gate is not asked.

    path: the token of each frame, kept to instead of the attention. weights: likewise those of each flow's attention,
    from the mel to the latent. melody: what is asked of the pitches, in a model of pitch.
    """
    x, lengths = model.stacked(latent), model.group_lengths(frame_lengths)
    if path is not None:
        forced = path_weights(model.path_groups(path, x.shape[1]), memory.mask.shape[1]).to(memory.states)
        weights = [forced] * len(model.flows)
    attention: list[Tensor] = []
    for index, flow in reversed(list(enumerate(model.flows))):
        assert isinstance(flow, AffineFlow)
        projected = flow.step.attention.project(memory.states, memory.mask)
        given = None if weights is None else weights[index]
        out = inverted(flow, x, lengths, projected, given, graph=graph, melody=None if index else melody)
        attention.append(out.attention if given is None else given)
        x = out.x
    made = _raw(model, x, frame_lengths)
    used = latent * sequence_mask(lengths * model.config.group, latent.shape[2])
    nowhere = torch.zeros(len(made), dtype=torch.bool, device=made.device)
    return Sampled(made, frame_lengths, used, tuple(reversed(attention)), nowhere)


@torch.inference_mode()
def say_mels(
    model: "Flowtron", text: TextBatch, controls: SayControls, generator: Generator | None = None
) -> SpokenMels:
    """The mels of texts. See `models.contract.CanSayMels`.

    Given durations are kept to by making the attention follow them. Another speed is said in two goes: at the model's
    own, and then again with its attention stretched in time. Of `best_of` draws the one is kept whose attention went
    best.
    """
    if controls.latent is not None and controls.latent.given is not None:
        given = controls.latent.given.expand(len(text.tokens), -1, -1)
        lengths = torch.full_like(text.token_lengths, given.shape[2])
        return model.say_latents(_whole_groups(given, model.config.group), lengths, text, controls)
    if text.durations is not None:
        return _kept_to(model, text, text.durations, controls, generator)
    tries = best_of(model, controls)
    many = text if tries == 1 else _repeated(text, tries)
    expected = expected_frames(model, many)
    most = most_frames(model, expected)
    latent = draw_latents(model, controls, int(most.max()), expected, generator)
    temperature = model.config.attention_temperature
    memory = memory_of(model, many, controls)
    guide, melody = guide_of(model, many), melody_of(model, controls)
    made = sample(model, memory, latent, most, guide, temperature=temperature, melody=melody)
    report = attention_report(made, required_tokens(model, many), model.config.group)
    kept = _best(made, report, tries)
    flags = tuple(
        SpokenFlags(bool(made.truncated[k]), float(report.coverage[k]), float(report.monotonic[k])) for k in kept
    )
    made = _items(made, kept, model.config.group)
    styled = styled_by(model, made, text, controls)
    if controls.speed != 1.0 or styled is not None:
        made = _stretched(model, made, memory_of(model, text, controls), latent[kept], controls, styled, generator)
    durations = token_durations(made.attention, made.frame_lengths, text.token_lengths, model.config.group)
    mel = model.spoken_mel(made.frames, sequence_mask(made.frame_lengths, made.frames.shape[2]))
    return SpokenMels(mel, made.frame_lengths, durations, flags)


def best_of(model: "Flowtron", controls: SayControls) -> int:
    """How many draws to choose from; one where all would be the same."""
    variation = model.config.variation if controls.variation is None else controls.variation
    if variation == 0.0:
        return 1
    return max(1, model.config.best_of if controls.best_of is None else controls.best_of)


def _kept_to(
    model: "Flowtron",
    text: TextBatch,
    durations: Int[Tensor, "batch tokens"],
    controls: SayControls,
    generator: Generator | None,
) -> SpokenMels:
    """Texts with given durations."""
    memory, group = memory_of(model, text, controls), model.config.group
    durations = durations * memory.mask
    lengths = durations.sum(dim=1)
    longest = int(lengths.max())
    latent = draw_latents(model, controls, -(-longest // group) * group, lengths.float(), generator)
    path = token_path(durations, longest)
    made = decode(model, latent, lengths, memory, path, melody=melody_of(model, controls))
    styled = styled_by(model, made, text, controls)
    if styled is not None:
        groups = latent.shape[2] // group
        melody = Melody(given=model.pitch_groups(styled.log_f0, groups))
        made = decode(model, latent, lengths, memory, path, melody=melody)
    mel = model.spoken_mel(made.frames, sequence_mask(lengths, made.frames.shape[2]))[..., :longest]
    return SpokenMels(mel, lengths, durations, (SpokenFlags(),) * len(lengths))


def memory_of(model: "Flowtron", text: TextBatch, controls: SayControls) -> "Memory":
    """A text with its speaker, or the mixture of speakers that is asked for."""
    vector = model.mixed_speaker(controls)
    return model.memory(text, None if vector is None else vector.expand(len(text.tokens), -1))


def styled_by(model: "Flowtron", made: Sampled, text: TextBatch, controls: SayControls) -> Asked | None:
    """What styles ask of the pitch and pace of what was drawn; None where there is nothing to ask."""
    plan = controls.latent
    if not model.config.pitch or plan is None or not plan.styles:
        return None
    own = measured(model, made.frames, made.frame_lengths, phone_counts(model, text))
    return asked(plan, own, made.frames[:, -1], made.frame_lengths, semitones(controls.shift_semitones))


def melody_of(model: "Flowtron", controls: SayControls) -> Melody | None:
    """How much higher a model of pitch is to speak; None where it is as drawn."""
    if not model.takes_pitch or controls.shift_semitones == 0.0:
        return None
    return Melody(raised=semitones(controls.shift_semitones) / float(model.standardize.std[-1]))


def expected_frames(model: "Flowtron", text: TextBatch) -> Float[Tensor, " batch"]:
    """How long texts take to say, by the line through the lengths of the training recordings."""
    return (model.length_slope * text.token_lengths + model.length_offset).clamp(min=1.0)


def most_frames(model: "Flowtron", expected: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """How long texts may take to say: whole groups of frames."""
    group = model.config.group
    bound = (LONGEST_TIMES * expected.double()).ceil().clamp(min=1, max=MAXIMUM_FRAMES).long()
    return -(-bound // group) * group


def draw_latents(
    model: "Flowtron",
    controls: SayControls,
    frames: int,
    expected: Float[Tensor, " batch"],
    generator: Generator | None = None,
) -> Float[Tensor, "batch bands frames"]:
    """As `controls` ask for; expected: frames of the utterances that will be taken out of it."""
    like = torch.zeros(len(expected), model.config.bands, frames, device=expected.device)
    return model.drawn_latent(like, expected.round().long(), controls, generator)


def required_tokens(model: "Flowtron", text: TextBatch) -> Bool[Tensor, "batch tokens"]:
    """Tokens that are heard: those of symbols that take time and are no spaces."""
    mask = sequence_mask(text.token_lengths, text.tokens.shape[1])[:, 0]
    heard = model.symbol_frames >= REQUIRED_FRAMES
    symbols = model.config.text.symbols
    if len(symbols) == len(heard):
        spaces = torch.tensor([symbol.isspace() for symbol in symbols], device=heard.device)
        heard = heard & ~spaces
    return mask & heard[text.tokens]


def guide_of(model: "Flowtron", text: TextBatch) -> Guide | None:
    """The window in which the attention moves, where the model has one."""
    if model.config.attention_window is None:
        return None
    frames = HOLD_TIMES * model.symbol_frames[text.tokens] + HOLD_FRAMES
    most = (frames / model.config.group).ceil().long()
    return Guide(*model.config.attention_window, required_tokens(model, text), most)


def attention_report(made: Sampled, due: Bool[Tensor, "batch tokens"], group: int) -> AttentionReport:
    """Of what was sampled. due: tokens that have to be looked at; group: frames of a step."""
    coverage, monotonic, sharpness = [], [], []
    steps = -(-made.frame_lengths // group)
    for attention in made.attention:
        real = sequence_mask(steps, attention.shape[1])[:, 0]
        weight, token = attention.max(dim=2)
        found = reached(token, real, attention.shape[2])
        coverage.append((found & due).sum(dim=1) / due.sum(dim=1).clamp(min=1))
        coverage[-1] = torch.where(due.any(dim=1), coverage[-1], torch.ones_like(coverage[-1]))
        wrong = ~steady(token, group) & real[:, 1:]
        monotonic.append(1.0 - wrong.sum(dim=1) / (steps - 1).clamp(min=1))
        sharpness.append((weight * real).sum(dim=1) / steps.clamp(min=1))
    worst = (torch.stack(found).amin(dim=0) for found in (coverage, monotonic, sharpness))
    return AttentionReport(*worst)


def token_durations(
    attention: Sequence[Float[Tensor, "batch groups tokens"]],
    frame_lengths: Int[Tensor, " batch"],
    token_lengths: Int[Tensor, " batch"],
    group: int,
) -> Int[Tensor, "batch tokens"]:
    """Frames of each token: the best monotonic path through the attention of all flows together.

    An item of fewer steps than tokens, which no path goes through: what each step looks at most counts.
    """
    steps = -(-frame_lengths // group)
    scores = torch.stack([weights.clamp(min=1e-8).log() for weights in attention]).mean(dim=0)
    scores = scores.nan_to_num(nan=0.0)  # what was made of NaN is told of where it is to be heard
    real = sequence_mask(steps, scores.shape[1])[:, 0]
    token = scores.argmax(dim=2).cummax(dim=1).values
    found = torch.zeros(len(token), scores.shape[2] + 1, dtype=torch.long, device=token.device)
    found = found.scatter_add(1, torch.where(real, token, scores.shape[2]), torch.ones_like(token))[:, :-1]
    fits = steps >= token_lengths
    if bool(fits.any()):
        found[fits] = monotonic_durations(scores[fits], steps[fits], token_lengths[fits])
    return found * group


def _stretched(
    model: "Flowtron",
    made: Sampled,
    memory: "Memory",
    latent: Float[Tensor, "batch bands padded"],
    controls: SayControls,
    styled: Asked | None,
    generator: Generator | None,
) -> Sampled:
    """The same said at another speed, and with a style's pitch: the attention and the melody are stretched in time, and
    as much of the latent is used as that takes."""
    group = model.config.group
    steps = made.frame_lengths // group
    speed = controls.speed if styled is None else controls.speed * styled.pace
    wanted = (steps / speed).round().clamp(min=1, max=MAXIMUM_FRAMES // group).long()
    longest = int(wanted.max())
    place = (torch.arange(longest, device=steps.device) + 0.5) * (steps / wanted).unsqueeze(1)
    place = torch.minimum(place.long(), steps.unsqueeze(1) - 1)
    rows = torch.arange(len(place), device=place.device).unsqueeze(1)
    weights = [attention[rows, place] for attention in made.attention]
    missing = longest * group - latent.shape[2]
    if missing > 0:
        more = draw_latents(model, controls, missing, wanted.float() * group, generator)
        backward = model.config.flow_directions[-1] == "backward"
        latent = torch.cat([more, latent] if backward else [latent, more], dim=2)
    used = _used(model.stacked(latent), wanted, model.config.flow_directions[-1] == "backward")
    melody = melody_of(model, controls)
    if styled is not None:
        melody = Melody(given=model.pitch_groups(styled.log_f0, -(-styled.log_f0.shape[1] // group))[rows, place])
    return decode(model, model.ungrouped(used), wanted * group, memory, weights=weights, melody=melody)


def _used(
    x: Float[Tensor, "batch steps channels"], lengths: Int[Tensor, " batch"], from_the_end: bool
) -> Float[Tensor, "batch longest channels"]:
    """The steps of a latent that utterances of given lengths take: its last ones, or its first."""
    step = torch.arange(int(lengths.max()), device=x.device)
    first = x.shape[1] - lengths if from_the_end else torch.zeros_like(lengths)
    index = (first.unsqueeze(1) + step).clamp(max=x.shape[1] - 1)
    return x[torch.arange(len(x), device=x.device).unsqueeze(1), index]


def _raw(
    model: "Flowtron", x: Float[Tensor, "batch steps channels"], frame_lengths: Int[Tensor, " batch"]
) -> Float[Tensor, "batch bands padded"]:
    """Frames of what the first flow's inverse gives, at the mel's floor beyond the end."""
    frames = model.frames_of(x)
    mask = sequence_mask(frame_lengths, frames.shape[2])
    return torch.where(mask, frames, math.log(model.config.mel.floor))


def _repeated(text: TextBatch, times: int) -> TextBatch:
    """Each item so many times, one after the other."""
    return TextBatch(
        *(x.repeat_interleave(times, dim=0) for x in (text.tokens, text.stress, text.token_lengths, text.speaker))
    )


def _best(made: Sampled, report: AttentionReport, tries: int) -> list[int]:
    """Of each item's draws the one that came to its end, left least out and went most steadily."""
    score = report.coverage + 0.5 * report.monotonic + 0.1 * report.sharpness - 10.0 * made.truncated
    first = torch.arange(0, len(score), tries, device=score.device)
    best: list[int] = (first + score.view(-1, tries).argmax(dim=1)).tolist()
    return best


def _whole_groups(latent: Float[Tensor, "batch bands frames"], group: int) -> Float[Tensor, "batch bands padded"]:
    """Zeros after the end, so that the frames make whole groups."""
    return torch.nn.functional.pad(latent, (0, -latent.shape[2] % group))


def _items(made: Sampled, kept: Sequence[int], group: int) -> Sampled:
    """Some of the items, padded to the longest of them."""
    rows = torch.tensor(kept, device=made.frames.device)
    frames = made.frame_lengths[rows]
    longest = int(frames.max())
    return Sampled(
        made.frames[rows, :, :longest],
        frames,
        made.latent[rows, :, :longest],
        tuple(attention[rows, : longest // group] for attention in made.attention),
        made.truncated[rows],
    )
