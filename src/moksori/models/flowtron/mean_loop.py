"""The text mean step after step, in memory that is allocated once: what `sampling.StepLoop` asks at every step."""

import torch
from jaxtyping import Float
from torch import Tensor

from moksori.audio.harmonics import HIGHEST_LOG_F0, LOWEST_LOG_F0
from moksori.models.flowtron.text_mean import PitchedTextMean, TextMean
from moksori.nn.one_step import LstmCell, LstmWeights, Product, plain


class MeanLoop:
    """Call `read` once the context of a step stands there, then `add` when x is made but for its mean.

    context, left: what the attention has read and what the mean left open of the x before; x: of the step. They stay
    where they are.
    """

    def __init__(
        self,
        weights: LstmWeights,
        network: TextMean,
        context: Float[Tensor, "batch context"],
        left: Float[Tensor, "batch channels"],
        x: Float[Tensor, "batch channels"],
    ) -> None:
        batch, new = len(x), left.new_zeros
        self.mean = new(x.shape)
        self._context, self._left, self._x = context, left, x
        self._cell = LstmCell(weights, batch)
        hidden = self._cell.hidden.shape[1]
        self._told = new(batch, hidden + context.shape[1])
        self._told_state, self._told_context = self._told[:, :hidden], self._told[:, hidden:]
        mels = x.shape[1] - network.pitches if network.pitches else 0
        out = self.mean[:, mels:]
        self._say = Product(plain(network.out.weight), plain(network.out.bias), self._told, out)

    def reset(self) -> None:
        """Back to before the first step."""
        self._cell.reset()
        self.mean.zero_()

    def read(self) -> None:
        """Takes in what the attention has read, and says what the x before has over its mean."""
        torch.sub(self._x, self.mean, out=self._left)
        self._cell.input.copy_(self._context)
        self._cell.advance()
        self._told_state.copy_(self._cell.hidden)
        self._told_context.copy_(self._context)
        self._say()

    def add(self) -> None:
        """Adds the mean to x."""
        self._x.add_(self.mean)


class PitchedMeanLoop(MeanLoop):
    """That of frames with a pitch: it is made whole before the mel's mean, which is one for that pitch."""

    given: Float[Tensor, "batch pitches"] | None = None
    """Pitches of the step that are not drawn but kept to."""
    raised = 0.0
    """How much higher than drawn all pitches are to be, as they are in the flow."""

    def __init__(
        self,
        weights: LstmWeights,
        network: PitchedTextMean,
        context: Float[Tensor, "batch context"],
        left: Float[Tensor, "batch channels"],
        x: Float[Tensor, "batch channels"],
    ) -> None:
        super().__init__(weights, network, context, left, x)
        batch, new, group = len(x), left.new_zeros, network.group
        mels = x.shape[1] - group
        self._x_mels, self._x_pitch = x[:, :mels], x[:, mels:]
        self._mean_mels, self._mean_pitch = self.mean[:, :mels], self.mean[:, mels:]
        self._held, self._body = new(batch, group), new(batch, network.body.out_features)
        self._hold = Product(plain(network.hold.weight), None, left[:, mels:], self._held)
        self._embody = Product(plain(network.body.weight), plain(network.body.bias), self._told, self._body)
        both = new(batch, 2 * mels)
        self._level, self._depth = both[:, :mels], both[:, mels:]
        weight, bias = (
            torch.cat([plain(getattr(layer, name)) for layer in (network.level, network.depth)])
            for name in ("weight", "bias")
        )
        self._shape = Product(weight, bias, self._body, both)
        self._tilted, self._turned = new(batch, mels), new(batch, mels)
        self._tilt = Product(plain(network.tilt.weight), None, self._x_pitch, self._tilted)
        self._table = plain(network.ripples)
        steps = (len(self._table) - 1) / (HIGHEST_LOG_F0 - LOWEST_LOG_F0)
        middle, spread = network.place.tolist()
        self._slope, self._offset = steps * spread, steps * (middle - LOWEST_LOG_F0)
        self._last = len(self._table) - 1.001
        self._place, self._share = new(batch, group), new(batch * group, 1)
        self._row = torch.zeros(batch * group, dtype=torch.long, device=x.device)
        self._ripple, self._next = new(batch * group, self._table.shape[1]), new(batch * group, self._table.shape[1])
        self._rippled = self._ripple.view(batch, mels)
        self._turn = Product(plain(network.axes).T.contiguous(), None, self._rippled, self._turned)

    def add(self) -> None:
        self._hold()
        if self.raised:  # the mean itself, or what is held of the deviation would add it again
            self._mean_pitch.add_(self.raised)
        self._x_pitch.add_(self._held).add_(self._mean_pitch)
        if self.given is not None:
            self._x_pitch.copy_(self.given)
        self._embody()
        self._body.relu_()
        self._shape()
        torch.mul(self._x_pitch, self._slope, out=self._place)
        self._place.add_(self._offset).clamp_(0.0, self._last)
        share = self._share.view_as(self._place)
        torch.floor(self._place, out=share)
        self._row.copy_(share.view(-1))
        torch.sub(self._place, share, out=share)
        torch.index_select(self._table, 0, self._row, out=self._ripple)
        torch.index_select(self._table, 0, self._row.add_(1), out=self._next)
        self._ripple.lerp_(self._next, self._share)
        self._rippled.mul_(self._depth)
        self._tilt()
        self._rippled.add_(self._tilted)
        self._turn()
        torch.add(self._level, self._turned, out=self._mean_mels)
        self._x_mels.add_(self._mean_mels)


def mean_loop(
    weights: LstmWeights,
    network: TextMean,
    context: Float[Tensor, "batch context"],
    left: Float[Tensor, "batch channels"],
    x: Float[Tensor, "batch channels"],
) -> MeanLoop:
    """The loop of a network; see MeanLoop."""
    if isinstance(network, PitchedTextMean):
        return PitchedMeanLoop(weights, network, context, left, x)
    return MeanLoop(weights, network, context, left, x)
