"""From the latent to the mel, step after step, fast: `AutoregressiveStep.advance` in memory that is allocated once.

x = (z - b) · exp(-s), where s and b of a step need the x before it. Keys and values are made once for a text, an LSTM
layer is one product a step, and nothing that a step needs is allocated in it. The flow nearest the latent decides how
long an utterance is; all others then run over its frames. Where flows run backward in time they read the text from its
end, so they are given it the other way round, and everything below only ever goes forward.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from moksori.models.flowtron.attention import AdditiveAttention, Projected
from moksori.models.flowtron.flows import AffineFlow, reordered, reversal_index
from moksori.models.flowtron.graphs import Replay
from moksori.models.flowtron.mean_loop import MeanLoop, PitchedMeanLoop, mean_loop
from moksori.models.flowtron.step import AutoregressiveStep
from moksori.nn.one_step import LstmCell, LstmWeights, Product, plain, single_threaded
from moksori.nn.precision import at_least_float32

_EXCLUDED = -1e9
"""Energy of what may not be looked at."""
LOOK_EVERY = {"cpu": 1, "cuda": 8}
"""Steps between two looks at whether all have stopped; each look waits for the device."""


@dataclass(frozen=True)
class Guide:
    """What an attention may do while it reads, so that it can neither loop nor leave something out.

    It stands at one token and never goes back: it may look `back` tokens behind that and `ahead` tokens before it, and
    goes to the one that it looks at most. It may not look past a `required` token that it has not been at, and has to
    go on once it has been at one for `most_steps`. The gate is heard when all required tokens have been reached.
    The attention of the other flows may look `back` tokens (1 at least) to both sides of what this one looks at most.
    """

    back: int
    ahead: int
    required: Bool[Tensor, "batch tokens"]
    most_steps: Int[Tensor, "batch tokens"]


@dataclass(frozen=True)
class Stop:
    """When an utterance ends. gate: probability beyond which it does; 1 or more: never. most_steps: of each item."""

    gate: float
    most_steps: Int[Tensor, " batch"]


@dataclass(frozen=True)
class Melody:
    """What is asked of the pitches of a model that draws them, as they are in its first flow.

    given: kept to instead of what would be drawn. raised: how much higher than drawn all of them are to be.
    """

    given: Float[Tensor, "batch steps pitches"] | None = None
    raised: float = 0.0


@dataclass(frozen=True)
class Inverted:
    """What a flow's inverse gives, in forward time; padding is whatever.

    x: of the steps of the longest item. lengths: steps of each item. attention: 0 beyond them; of no tokens where
    weights were given. stopped: whether an item ended by itself, not at its bound. gate_logits: None without gate.
    """

    x: Float[Tensor, "batch steps channels"]
    lengths: Int[Tensor, " batch"]
    attention: Float[Tensor, "batch steps tokens"]
    stopped: Bool[Tensor, " batch"]
    gate_logits: Float[Tensor, "batch steps"] | None


@torch.inference_mode()
def inverted(
    flow: AffineFlow,
    z: Float[Tensor, "batch steps channels"],
    lengths: Int[Tensor, " batch"],
    projected: Projected,
    weights: Float[Tensor, "batch steps tokens"] | None = None,
    temperature: float = 1.0,
    guide: Guide | None = None,
    near: Float[Tensor, "batch steps tokens"] | None = None,
    stop: Stop | None = None,
    graph: bool = True,
    melody: Melody | None = None,
) -> Inverted:
    """x of z, one step after the other.

    lengths: real steps of each item; with `stop` they are those that it may have, and a flow that runs backward takes
    the last of them first: its utterances are anchored at the end of z. weights: given ones instead of the attention's
    own, and then neither guide nor temperature matter. temperature: below 1 the attention is sharper. near: attention
    of another flow for the same steps, in forward time, from whose first choice this one keeps within `guide.back`
    tokens, instead of finding its own way. graph: replay one step as a CUDA graph, where there is CUDA. melody: what is
    asked of its pitches; for a flow that knows pitches alone.
    """
    steps = z.shape[1]
    backward = flow.backward_in_time
    order = reversal_index(lengths, steps) if backward else None
    tokens = projected.mask.shape[1]
    reading = reversal_index(projected.mask.sum(dim=1), tokens) if backward and weights is None else None
    own = Projected(*(reordered(x, reading).contiguous() for x in (projected.keys, projected.values, projected.mask)))
    loop = StepLoop(flow.step, own, temperature, guide is not None or near is not None)
    if weights is not None:
        loop.contexts = reordered(weights, order).matmul(own.values).transpose(0, 1)
    elif near is not None:
        assert guide is not None
        loop.way = _near_way(reordered(near, order), reading, max(guide.back, 1), own.mask)
    elif guide is not None:
        loop.place = Place(guide, own.mask, reading)
    if flow.step.attention.location is not None:
        loop.locate = _located(flow.step.attention, projected, reading)
    if melody is not None:
        assert isinstance(loop.mean, PitchedMeanLoop)
        loop.mean.raised = melody.raised
        if melody.given is not None:
            loop.melody = reordered(melody.given, order).transpose(0, 1).to(loop.z).contiguous()
            loop.mean.given = torch.zeros_like(loop.melody[0])
    with single_threaded(z.device):
        run = loop.run(reordered(z, order).transpose(0, 1).to(loop.z).contiguous(), stop, graph)
    found = lengths if stop is None else run.lengths
    width = steps if stop is None else int(found.max())
    x, attention, gate = (
        None if rows is None else rows[:width].transpose(0, 1) for rows in (run.x, run.attention, run.gate)
    )
    assert x is not None
    assert attention is not None
    back = reversal_index(found, width) if backward else None
    attention = reordered(attention, back)
    if reading is not None:
        attention = reordered(attention.transpose(1, 2), reading).transpose(1, 2)
    real = torch.arange(width, device=z.device) < found.unsqueeze(1)
    return Inverted(
        reordered(x, back),
        found,
        attention.masked_fill(~real.unsqueeze(2), 0.0),
        run.stopped,
        None if gate is None else reordered(gate, back),
    )


@dataclass(frozen=True)
class _Run:
    """What a loop leaves, step after step in the flow's own time."""

    x: Float[Tensor, "steps batch channels"]
    attention: Float[Tensor, "steps batch tokens"]
    gate: Float[Tensor, "steps batch"] | None
    lengths: Int[Tensor, " batch"]
    stopped: Bool[Tensor, " batch"]


class StepLoop:
    """One flow's network over one text, step after step.

    projected: the text in the order in which the flow reads it. restricted: some tokens may be forbidden to some steps.
    contexts: given ones for each step, then there is no attention. way: lowest and highest token of each step, and
    place: where the attention stands, if either restricts it. locate: keys by the sum of all weights so far and the
    weights of the step before, where they depend on them. melody: pitches of each step, kept to.
    """

    contexts: Float[Tensor, "steps batch channels"] | None = None
    way: Int[Tensor, "steps two batch one"] | None = None
    place: "Place | None" = None
    locate: Callable[[Tensor, Tensor], Tensor] | None = None
    melody: Float[Tensor, "steps batch pitches"] | None = None

    def __init__(
        self, step: AutoregressiveStep, projected: Projected, temperature: float = 1.0, restricted: bool = False
    ) -> None:
        batch, tokens, width = projected.values.shape
        cells = _fused(step)
        self._attention_cell = LstmCell(cells[0], batch)
        self._decoder_cells = [LstmCell(weights, batch) for weights in cells[1 : 1 + step.decoder_lstm.num_layers]]
        hidden = step.attention_lstm.hidden_size
        new = projected.values.new_zeros
        read = self._decoder_cells[0].input
        self._left: Tensor | None = None
        if step.text_mean is not None:  # the decoder reads what the mean left of the x before, too
            read, self._left = read[:, : hidden + width], read[:, hidden + width :]
        self._hidden, self._context = read[:, :hidden], read[:, hidden:]
        query = new(batch, width)
        self._ask = Product(plain(step.attention.query.weight), None, self._attention_cell.hidden, query)
        self._query, self._angles = query.unsqueeze(1), new(batch, tokens, width)
        self._keys, self._values = at_least_float32(projected.keys).clone(), at_least_float32(projected.values)
        self._score = plain(step.attention.score.weight)[0] / temperature
        self._excluded: Tensor | None = None if bool(projected.mask.all()) and not restricted else ~projected.mask
        self._padding, self._beyond = ~projected.mask, ~projected.mask
        self._tokens = torch.arange(tokens, device=projected.mask.device)
        self.weights = new(batch, tokens)
        self._energy, self._cumulative = new(batch, tokens), new(batch, tokens)
        self.gate: Tensor | None = None
        if step.gate is not None:
            self.gate = new(batch, 1)
            self._open = Product(plain(step.gate.weight), plain(step.gate.bias), read, self.gate)
        last = self._decoder_cells[-1].hidden
        self._dense: list[tuple[Product, Tensor]] = []
        for layer in step.dense:
            out = new(batch, hidden)
            weight, bias = cast(Tensor, layer.weight), cast(Tensor, layer.bias)
            self._dense.append((Product(plain(weight), plain(bias), last, out), out))
            last = out
        channels = step.head.out_features // 2
        made = new(batch, 2 * channels)
        self._head = Product(plain(step.head.weight), plain(step.head.bias), last, made)
        self._log_scale, self._shift = made[:, :channels], made[:, channels:]
        self._limit = step.log_scale_limit
        self.z, self.x = new(batch, channels), self._attention_cell.input
        self.mean: MeanLoop | None = None
        if step.text_mean is not None:
            assert self._left is not None
            self.mean = mean_loop(cells[-1], step.text_mean, self._context, self._left, self.x)
        self.given = new(batch, width)
        self.low, self.high = (torch.zeros(batch, 1, dtype=torch.long, device=query.device) for _ in range(2))

    def reset(self) -> None:
        """Back to before the first step."""
        for cell in (self._attention_cell, *self._decoder_cells):
            cell.reset()
        if self.mean is not None:
            self.mean.reset()
        self.weights.zero_()
        self._cumulative.zero_()
        if self.place is not None:
            self.place.reset()

    def step(self) -> None:
        """From `z`, and what is kept of the step before, to `x`, `weights` and `gate`."""
        self._attention_cell.advance()
        self._hidden.copy_(self._attention_cell.hidden)
        if self.contexts is None:
            self._attend()
        else:
            self._context.copy_(self.given)
        if self.gate is not None:
            self._open()
        if self.mean is not None:
            self.mean.read()
        below = None
        for cell in self._decoder_cells:
            if below is not None:
                cell.input.copy_(below)
            cell.advance()
            below = cell.hidden
        for product, out in self._dense:
            product()
            out.tanh_()
        self._head()
        if self._limit is None:
            self._log_scale.neg_()
        else:
            self._log_scale.div_(self._limit).tanh_().mul_(-self._limit)
        torch.sub(self.z, self._shift, out=self.x)
        self.x.mul_(self._log_scale.exp_())
        if self.mean is not None:
            self.mean.add()

    def _attend(self) -> None:
        self._ask()
        if self.locate is not None:
            self._keys.copy_(self.locate(self._cumulative, self.weights))
        torch.add(self._keys, self._query, out=self._angles)
        self._angles.tanh_()
        torch.matmul(self._angles, self._score, out=self._energy)
        if self._excluded is not None:
            if self.place is not None:
                self.place.allowed(self.low, self.high)
            if self.place is not None or self.way is not None:
                torch.lt(self._tokens, self.low, out=self._excluded)
                torch.gt(self._tokens, self.high, out=self._beyond)
                self._excluded.logical_or_(self._beyond).logical_or_(self._padding)
            self._energy.masked_fill_(self._excluded, _EXCLUDED)
        torch.softmax(self._energy, dim=1, out=self.weights)
        self._cumulative.add_(self.weights)
        torch.bmm(self.weights.unsqueeze(1), self._values, out=self._context.unsqueeze(1))
        if self.place is not None:
            self.place.went(self.weights)

    def run(self, z: Float[Tensor, "steps batch channels"], stop: Stop | None, graph: bool) -> _Run:
        """All steps, or as many as `stop` allows."""
        steps, batch, _ = z.shape
        attending = self.contexts is None
        x = torch.empty_like(z)
        attention = z.new_empty(steps, batch, self.weights.shape[1] if attending else 0)
        gate = None if self.gate is None else z.new_empty(steps, batch)
        ending = None if stop is None else _Ending(stop, self.place)
        one = Replay(self.step, z.device, graph)
        self.reset()
        every = LOOK_EVERY.get(z.device.type, 1)
        for t in range(steps):
            self.z.copy_(z[t])
            if self.contexts is not None:
                self.given.copy_(self.contexts[t])
            elif self.way is not None:
                self.low.copy_(self.way[t, 0])
                self.high.copy_(self.way[t, 1])
            if self.melody is not None and isinstance(self.mean, PitchedMeanLoop) and self.mean.given is not None:
                self.mean.given.copy_(self.melody[t])
            one()
            x[t] = self.x
            if attending:
                attention[t] = self.weights
            if gate is not None and self.gate is not None:
                gate[t] = self.gate[:, 0]
            if ending is not None:
                ending.after_step(self.gate)
                if t % every == every - 1 and not ending.some_go_on():
                    break
        if ending is not None:
            return _Run(x, attention, gate, ending.lengths, ending.stopped)
        lengths = torch.full((batch,), steps, device=z.device)
        return _Run(x, attention, gate, lengths, torch.ones_like(lengths, dtype=torch.bool))


class Place:
    """Where each item's attention stands, and how long it has been there; in the order in which the flow reads."""

    def __init__(self, guide: Guide, mask: Bool[Tensor, "batch tokens"], reading: Tensor | None) -> None:
        required, most = (reordered(x, reading) for x in (guide.required, guide.most_steps))
        batch, tokens = mask.shape
        self._back = guide.back
        self.last = mask.sum(dim=1, keepdim=True) - 1
        self._most = most.clamp(min=1).to(torch.long)
        index = torch.arange(tokens, device=mask.device).expand(batch, -1)
        # The first required token after each: the smallest index from there on.
        there = torch.where(required & mask, index, torch.full_like(index, tokens))
        nearest = there.flip(1).cummin(dim=1).values.flip(1)
        after = torch.cat([nearest[:, 1:], torch.full_like(nearest[:, :1], tokens)], dim=1)
        self._furthest = torch.minimum(torch.minimum(after, index + guide.ahead), self.last)
        self._first = torch.minimum(nearest[:, :1], self._furthest[:, :1])
        self._none_left = after == tokens
        self.position, self._held = (torch.zeros(batch, 1, dtype=torch.long, device=mask.device) for _ in range(2))

    def reset(self) -> None:
        """To the beginning."""
        self.position.zero_()
        self._held.zero_()

    def allowed(self, low: Int[Tensor, "batch 1"], high: Int[Tensor, "batch 1"]) -> None:
        """Writes the lowest and the highest token that the next step may look at."""
        low.copy_(torch.where(self.overdue(), self.position + 1, self.position - self._back).clamp_max_(self.last))
        high.copy_(torch.where(self._held > 0, self._furthest.gather(1, self.position), self._first))

    def reached_all(self) -> Bool[Tensor, "batch 1"]:
        """Whether no required token lies ahead."""
        return self._none_left.gather(1, self.position)

    def overdue(self) -> Bool[Tensor, "batch 1"]:
        """Whether it has been at its token for as long as it may."""
        return self._held >= self._most.gather(1, self.position)

    def went(self, weights: Float[Tensor, "batch tokens"]) -> None:
        """Goes to what a step has looked at most, if that lies ahead."""
        found = torch.maximum(weights.argmax(dim=1, keepdim=True), self.position)
        self._held.mul_(found == self.position).add_(1)
        self.position.copy_(found)


class _Ending:
    """Who has come to an end: by the gate, by having been at the last token for as long as allowed, or by the bound."""

    def __init__(self, stop: Stop, place: Place | None) -> None:
        threshold = min(max(stop.gate, 0.0), 1.0)
        self._threshold = float(torch.logit(torch.tensor(threshold, dtype=torch.float64)))
        self._most, self._place = stop.most_steps, place
        self.lengths = torch.zeros_like(self._most)
        self.stopped = torch.zeros_like(self._most, dtype=torch.bool)
        self._going = self._most > 0

    def after_step(self, gate: Float[Tensor, "batch 1"] | None) -> None:
        """Counts a step of all that go on; the step in which the gate opens is kept."""
        self.lengths.add_(self._going)
        ends = torch.zeros_like(self.stopped) if gate is None else gate[:, 0] > self._threshold
        if self._place is not None:
            at_last = self._place.position == self._place.last
            ends = (ends & self._place.reached_all()[:, 0]) | (at_last & self._place.overdue())[:, 0]
        self.stopped.logical_or_(ends & self._going)
        self._going = self._going & ~ends & (self.lengths < self._most)

    def some_go_on(self) -> bool:
        return bool(self._going.any())


def _located(
    attention: AdditiveAttention, projected: Projected, reading: Tensor | None
) -> Callable[[Tensor, Tensor], Tensor]:
    """Keys of cumulative attention in the order in which a flow reads; its convolutions know only the forward one."""

    def keys(cumulative: Tensor, previous: Tensor) -> Tensor:
        made = attention.located_keys(projected, reordered(cumulative, reading), reordered(previous, reading))
        return reordered(made, reading)

    return keys


def _near_way(
    near: Float[Tensor, "batch steps tokens"], reading: Tensor | None, beside: int, mask: Bool[Tensor, "batch tokens"]
) -> Int[Tensor, "steps two batch one"]:
    """Lowest and highest token of each step: at most `beside` from what another flow looks at most."""
    chosen = near.argmax(dim=2)
    if reading is not None:
        chosen = reading.gather(1, chosen)
    last = mask.sum(dim=1, keepdim=True) - 1
    bounds = torch.stack([(chosen - beside).clamp(min=0), torch.minimum(chosen + beside, last)])
    return bounds.permute(2, 0, 1).unsqueeze(3).contiguous()


def _fused(step: AutoregressiveStep) -> tuple[LstmWeights, ...]:
    """The step's LSTM layers as single products, made once and again when a weight has changed."""
    key = tuple((p.data_ptr(), p.dtype, None if p.is_inference() else p._version) for p in step.parameters())
    kept = step.__dict__.get("_one_step")
    if kept is None or kept[0] != key:
        layers = [LstmWeights.of(step.attention_lstm, 0)]
        layers += [LstmWeights.of(step.decoder_lstm, layer) for layer in range(step.decoder_lstm.num_layers)]
        layers += [] if step.text_mean is None else [LstmWeights.of(step.text_mean.lstm, 0)]
        kept = key, tuple(layers)
        if not step.training:
            step.__dict__["_one_step"] = kept
    return cast(tuple[LstmWeights, ...], kept[1])
