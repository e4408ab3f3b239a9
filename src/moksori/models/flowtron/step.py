"""One autoregressive step of Flowtron: what the frames before and the text say of the scale and shift of the next.

previous frames ─► attention LSTM ─► h ─► attention over the text ─► c
[h ; c] ─┬─► gate (in the last flow)
         └─► decoder LSTM ─► dense, tanh ─► head, zero at first ─► log scale s, shift b

With a text mean m(c so far), which departs from the paper, the decoder LSTM reads x - m of the step before as well,
and the flow is z = exp(s) · (x - m) + b. Where the last channels of x are pitches, m is that of a mel with these: they
are drawn first, and the Jacobian is triangular as before.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.models.flowtron.attention import AdditiveAttention, Attended, Projected, Trace
from moksori.models.flowtron.text_mean import PitchedTextMean, State, TextMean
from moksori.nn.conv import zero_initialised
from moksori.nn.precision import at_least_float32, full_precision
from moksori.nn.recurrent import remember_at_first


@dataclass(frozen=True)
class StepOutput:
    """Of all steps, in the flow's own order of time. gate_logits: None in a flow without gate. mean: what x is by the
    text alone; None without a text mean."""

    log_scale: Float[Tensor, "batch steps channels"]
    shift: Float[Tensor, "batch steps channels"]
    attended: Attended
    gate_logits: Float[Tensor, "batch steps"] | None
    mean: Float[Tensor, "batch steps channels"] | None = None


@dataclass(frozen=True)
class StepState:
    """What is kept from one step to the next."""

    attention: State
    decoder: State
    trace: Trace | None = None
    text: State | None = None
    mean: Tensor | None = None


class AutoregressiveStep(nn.Module):
    """The network of one flow.

    channels: of a step's input, bands times the frames of a group. gate: whether it says when to stop. text_mean: of
    contexts of `attention_channels`. log_scale_limit: see FlowtronConfig.
    """

    def __init__(
        self,
        channels: int,
        memory_channels: int,
        hidden_channels: int = 1024,
        attention_channels: int = 640,
        num_decoder_layers: int = 2,
        num_dense_layers: int = 2,
        gate: bool = False,
        log_scale_limit: float | None = None,
        cumulative_attention: bool = False,
        text_mean: TextMean | None = None,
    ) -> None:
        super().__init__()
        self.log_scale_limit = log_scale_limit
        self.attention_lstm = nn.LSTM(channels, hidden_channels, batch_first=True)
        self.attention = AdditiveAttention(hidden_channels, memory_channels, attention_channels, cumulative_attention)
        width = hidden_channels + attention_channels
        self.gate = nn.Linear(width, 1) if gate else None
        self.text_mean = text_mean
        if text_mean is not None:
            width += channels
        self.decoder_lstm = nn.LSTM(width, hidden_channels, num_layers=num_decoder_layers, batch_first=True)
        self.dense = nn.ModuleList(nn.Linear(hidden_channels, hidden_channels) for _ in range(num_dense_layers))
        self.head = zero_initialised(nn.Linear(hidden_channels, 2 * channels))
        for lstm in (self.attention_lstm, self.decoder_lstm):
            remember_at_first(lstm)
        for layer in self.dense:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight)
        if self.gate is not None:
            nn.init.xavier_uniform_(self.gate.weight)

    def forward(
        self,
        x: Float[Tensor, "batch steps channels"],
        projected: Projected,
        log_prior: Float[Tensor, "batch steps tokens"] | None = None,
        weights: Float[Tensor, "batch steps tokens"] | None = None,
        keep: Bool[Tensor, "batch steps"] | None = None,
        gate_trunk: bool = True,
        temperature: float = 1.0,
    ) -> StepOutput:
        """Scales and shifts of all steps at once, each from the x before it alone.

        weights: of the attention, instead of its own. keep: which x the LSTMs see, the others are 0 to them; None: all.
        gate_trunk: whether the gate's gradient goes further than the gate.
        """
        before = F.pad(x[:, :-1], (0, 0, 1, 0))
        previous = before if keep is None else before * keep.unsqueeze(2)
        hidden, _ = self.attention_lstm(previous)
        attended = self._attend(hidden, projected, log_prior, weights, temperature)
        read = torch.cat([hidden, attended.context.to(hidden.dtype)], dim=2)
        gate_logits = None
        if self.gate is not None:
            gate_logits = self.gate(read if gate_trunk else read.detach()).squeeze(2)
        gate_logits = None if gate_logits is None else at_least_float32(gate_logits)
        mean = None
        if self.text_mean is not None:
            told, _ = self.text_mean.told(attended.context)
            mean = self.text_mean.mean(told, x[..., x.shape[2] - self.text_mean.pitches :])
            # The likelihood does not teach it: that would have it say what the frames before say better.
            before = before - F.pad(mean.detach()[:, :-1], (0, 0, 1, 0))
            left = before if keep is None else before * keep.unsqueeze(2)
            read = torch.cat([read, left.to(read.dtype)], dim=2)
        decoded, _ = self.decoder_lstm(read)
        log_scale, shift = self._head(decoded)
        for known in (self.held(before), None if mean is None else mean.detach()):
            shift = shift if known is None else shift - torch.exp(log_scale) * known
        return StepOutput(log_scale, shift, attended, gate_logits, mean)

    def begin(self, batch: int, like: Tensor) -> StepState:
        """The state before the first step."""
        attention, decoder = (
            (like.new_zeros(lstm.num_layers, batch, lstm.hidden_size),) * 2
            for lstm in (self.attention_lstm, self.decoder_lstm)
        )
        return StepState(attention, decoder)

    def advance(
        self,
        z: Float[Tensor, "batch channels"],
        previous: Float[Tensor, "batch channels"],
        state: StepState,
        projected: Projected,
        weights: Float[Tensor, "batch tokens"] | None = None,
        temperature: float = 1.0,
    ) -> tuple[Float[Tensor, "batch channels"], StepState]:
        """One step of the inverse: x of z, given the x before it (0 at the first)."""
        hidden, attention = self.attention_lstm(previous.unsqueeze(1), state.attention)
        given = None if weights is None else weights[:, None]
        attended = self._attend(hidden, projected, None, given, temperature, state.trace)
        trace = state.trace
        if self.attention.location is not None:
            now = attended.weights[:, 0]
            trace = (now if trace is None else trace[0] + now, now)
        read = torch.cat([hidden, attended.context], dim=2)
        before, told, text = previous.unsqueeze(1), None, state.text
        if self.text_mean is not None:
            told, text = self.text_mean.told(attended.context, state.text)
            before = before if state.mean is None else before - state.mean
            read = torch.cat([read, before], dim=2)
        decoded, decoder = self.decoder_lstm(read, state.decoder)
        log_scale, shift = self._head(decoded)
        x, mean = self.solved(z.unsqueeze(1), log_scale, shift, before, told)
        return x[:, 0], StepState(attention, decoder, trace, text, mean)

    def solved(
        self,
        z: Float[Tensor, "*axes channels"],
        log_scale: Float[Tensor, "*axes channels"],
        shift: Float[Tensor, "*axes channels"],
        before: Float[Tensor, "*axes channels"],
        told: Float[Tensor, "*axes read"] | None,
    ) -> tuple[Float[Tensor, "*axes channels"], Float[Tensor, "*axes channels"] | None]:
        """x of z, and its mean by the text: (z - b) · exp(-s), what holds of the pitch before, and the mean.

        log_scale, shift: of the head. before: what the mean left open of the x before. told: what the mean is made of.
        """
        x, held = (z - shift) * torch.exp(-log_scale), self.held(before)
        x = x if held is None else x + held
        if self.text_mean is None or told is None:
            return x, None
        if not isinstance(self.text_mean, PitchedTextMean):
            mean = self.text_mean.out(told)
            return x + mean, mean
        mels = x.shape[-1] - self.text_mean.pitches
        of_pitch = self.text_mean.pitch(told)
        pitch = x[..., mels:] + of_pitch
        of_mels = self.text_mean.mels(told, pitch)
        return torch.cat([x[..., :mels] + of_mels, pitch], dim=-1), torch.cat([of_mels, of_pitch], dim=-1)

    def held(self, before: Float[Tensor, "*axes channels"]) -> Float[Tensor, "*axes channels"] | None:
        """What of the pitch follows from the x before, less its mean, by a matrix; None in a step without pitches."""
        if not isinstance(self.text_mean, PitchedTextMean):
            return None
        with full_precision(before.device.type):
            before = at_least_float32(before)
            mels = before.shape[-1] - self.text_mean.pitches
            return F.pad(self.text_mean.hold(before[..., mels:]), (mels, 0))

    def _attend(
        self,
        hidden: Tensor,
        projected: Projected,
        log_prior: Tensor | None,
        weights: Tensor | None,
        temperature: float,
        before: Trace | None = None,
    ) -> Attended:
        if weights is not None:
            return self.attention.forced(weights, projected)
        return self.attention(hidden, projected, log_prior, temperature, before)

    def _head(self, decoded: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.dense:
            decoded = torch.tanh(layer(decoded))
        with full_precision(decoded.device.type):
            log_scale, shift = self.head(at_least_float32(decoded)).chunk(2, dim=2)
            limit = self.log_scale_limit
            return log_scale if limit is None else limit * torch.tanh(log_scale / limit), shift
