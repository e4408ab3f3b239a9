"""The Flowtron authors' computation, written anew from the equations, in their layout of names: time is the first axis,
LSTMs run over packed sequences, every second flow is reversed by a flip and a roll, norms see one item at a time.

Shares nothing with the package; what the tests compare it with.
"""

import sys
import types

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SYMBOLS = 185


def packed(lstm: nn.LSTM, x: Tensor, lengths: Tensor) -> Tensor:
    """An LSTM over the real steps of time-major sequences; zeros beyond."""
    out, _ = lstm(pack_padded_sequence(x, lengths, enforce_sorted=False))
    return pad_packed_sequence(out, total_length=x.shape[0])[0]


class LinearNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.linear_layer = nn.Linear(inputs, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_layer(x)


class ConvNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Encoder(nn.Module):
    def __init__(self, channels: int, layers: int = 3, kernel: int = 5, inputs: int | None = None) -> None:
        super().__init__()
        widths = [inputs or channels, *[channels] * layers]
        self.convolutions = nn.ModuleList(
            nn.Sequential(ConvNorm(before, channels, kernel), nn.InstanceNorm1d(channels, affine=True))
            for before in widths[:-1]
        )
        self.lstm = nn.LSTM(channels, channels // 2, 1, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [batch, channels, tokens] -> [tokens, batch, channels]."""
        items = []
        for item, length in zip(x, lengths, strict=True):
            one = item[None, :, :length]
            for layer in self.convolutions:
                one = F.relu(layer(one))
            items.append(F.pad(one[0], (0, x.shape[2] - int(length))))
        return packed(self.lstm, torch.stack(items).permute(2, 0, 1), lengths)


class GaussianMixture(nn.Module):
    """Shares of components, and their means and log variances, from a vector of each recording."""

    def __init__(self, channels: int, components: int, bands: int, fixed: bool) -> None:
        super().__init__()
        self.bands, self.components = bands, components
        self.prob_layer = LinearNorm(channels, components)
        if fixed:
            self.register_buffer("mean", 3.0 * torch.eye(bands)[None, :, :components])
            self.register_buffer("log_var", torch.full((1, bands, components), 0.1))
        else:
            self.mean_layer = LinearNorm(channels, components * bands)
            self.log_var_layer = LinearNorm(channels, components * bands)

    def forward(self, heard: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, C] -> prob [B, K], mean and log variance [B, D, K]."""
        prob = self.prob_layer(heard).softmax(dim=1)
        if not hasattr(self, "mean_layer"):
            return prob, self.mean.expand(len(heard), -1, -1), self.log_var.expand(len(heard), -1, -1)
        shape = (len(heard), self.bands, self.components)
        return prob, self.mean_layer(heard).reshape(shape), self.log_var_layer(heard).reshape(shape)


class AttentionConditioning(nn.Module):
    """Gates keys by where the attention has been; its convolutions are there under two names."""

    def __init__(self, memory: int) -> None:
        super().__init__()
        self.location_conv_hidden = ConvNorm(2, 32, 5)
        self.location_conv_out = ConvNorm(32, memory, 3)
        self.conv_layers = nn.Sequential(self.location_conv_hidden, nn.ReLU(), self.location_conv_out, nn.Sigmoid())

    def forward(self, seen: Tensor) -> Tensor:
        return self.conv_layers(seen)


class Attention(nn.Module):
    def __init__(self, query: int, memory: int, channels: int) -> None:
        super().__init__()
        self.query = LinearNorm(query, channels, bias=False)
        self.key = LinearNorm(memory, channels, bias=False)
        self.value = LinearNorm(memory, channels, bias=False)
        self.v = LinearNorm(channels, 1, bias=False)

    def forward(
        self, hidden: Tensor, memory: Tensor, lengths: Tensor, prior: Tensor | None, gated: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """hidden [T, B, H], memory [L, B, E], prior [B, T, L] -> context [T, B, A], weights [B, T, L]."""
        query, key, value = self.query(hidden), self.key(memory if gated is None else gated), self.value(memory)
        energy = self.v(torch.tanh(query[:, None] + key[None])).squeeze(3).permute(2, 0, 1)
        padding = torch.arange(memory.shape[0])[None] >= lengths[:, None]
        energy = energy.masked_fill(padding[:, None], -float("inf"))
        weights = energy.softmax(dim=2)
        if prior is not None:
            score = torch.log(weights + 1e-20) + torch.log(prior + 1e-20)
            weights = score.masked_fill(padding[:, None], -float("inf")).softmax(dim=2)
        return torch.einsum("btl,lba->tba", weights, value), weights


class DenseLayer(nn.Module):
    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(LinearNorm(channels, channels) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


class ArStep(nn.Module):
    def __init__(
        self,
        bands: int,
        memory: int,
        hidden: int,
        attention: int,
        layers: int,
        dense: int,
        gate: bool,
        cumulative: bool,
    ) -> None:
        super().__init__()
        if cumulative:
            self.attn_cond_layer = AttentionConditioning(memory)
        self.conv = nn.Conv1d(hidden, 2 * bands, 1)
        self.lstm = nn.LSTM(hidden + attention, hidden, layers)
        self.attention_lstm = nn.LSTM(bands, hidden)
        self.attention_layer = Attention(hidden, memory, attention)
        self.dense_layer = DenseLayer(hidden, dense)
        if gate:
            self.gate_layer = LinearNorm(hidden + attention, 1)

    def forward(self, mel: Tensor, text: Tensor, out_lens: Tensor, in_lens: Tensor, prior: Tensor | None):
        """mel [T, B, D], text [L, B, E] -> z [T, B, D], log_s [T, B, D], gate [T, B] or None, weights [B, T, L]."""
        before = torch.cat([torch.zeros_like(mel[:1]), mel[:-1]])
        hidden = packed(self.attention_lstm, before, out_lens)
        context, weights = self._attend(hidden, text, in_lens, prior)
        read = torch.cat([hidden, context], dim=2)
        gate = self.gate_layer(read).squeeze(2) if hasattr(self, "gate_layer") else None
        decoded = self.dense_layer(packed(self.lstm, read, out_lens))
        log_s, shift = self.conv(decoded.permute(1, 2, 0)).permute(2, 0, 1).chunk(2, dim=2)
        return torch.exp(log_s) * mel + shift, log_s, gate, weights

    def _attend(self, hidden: Tensor, text: Tensor, in_lens: Tensor, prior: Tensor | None) -> tuple[Tensor, Tensor]:
        if not hasattr(self, "attn_cond_layer"):
            return self.attention_layer(hidden, text, in_lens, prior)
        contexts, weights = [], [torch.zeros(hidden.shape[1], 1, len(text))]
        for index in range(len(hidden)):
            seen = torch.cat([sum(weights), weights[-1]], dim=1)
            gates = self.attn_cond_layer(seen).permute(2, 0, 1)
            context, now = self.attention_layer(hidden[index : index + 1], text, in_lens, None, text * gates)
            contexts.append(context)
            weights.append(now)
        return torch.cat(contexts), torch.cat(weights[1:], dim=1)


def reversed_in_time(x: Tensor, lengths: Tensor) -> Tensor:
    """Flip, then roll every item so that its real steps come first; x [T, B, ...]."""
    flipped = x.flip(0)
    rolled = [flipped[:, item].roll(int(length), dims=0) for item, length in enumerate(lengths)]
    return torch.stack(rolled, dim=1)


class ArBackStep(nn.Module):
    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.ar_step = ArStep(*sizes)

    def forward(self, mel: Tensor, text: Tensor, out_lens: Tensor, in_lens: Tensor, prior: Tensor | None):
        if prior is not None:
            prior = reversed_in_time(prior.transpose(0, 1), out_lens).transpose(0, 1)
        z, log_s, gate, weights = self.ar_step(reversed_in_time(mel, out_lens), text, out_lens, in_lens, prior)
        return reversed_in_time(z, out_lens), log_s, gate, weights


class Flowtron(nn.Module):
    def __init__(
        self,
        bands: int = 80,
        speakers: int = 1,
        flows: int = 2,
        channels: int = 12,
        speaker_channels: int = 4,
        hidden: int = 14,
        attention: int = 10,
        layers: int = 2,
        dense: int = 2,
        gate: bool = True,
        symbols: int = SYMBOLS,
        seed: int = 0,
        cumulative: bool = False,
        components: int = 0,
        fixed: bool = True,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.speaker_embedding = nn.Embedding(speakers, speaker_channels)
        self.embedding = nn.Embedding(symbols, channels)
        self.flows = nn.ModuleList()
        for index in range(flows):
            kind = ArStep if index % 2 == 0 else ArBackStep
            has_gate = gate and index == flows - 1
            memory = channels + speaker_channels
            self.flows.append(kind(bands, memory, hidden, attention, layers, dense, has_gate, cumulative))
        self.encoder = Encoder(channels)
        if components:
            self.mel_encoder = Encoder(16, layers=2, kernel=3, inputs=bands)
            self.gaussian_mixture = GaussianMixture(16, components, bands, fixed)
        with torch.no_grad():  # norms and LSTMs are not left at values that hide an error
            for name, parameter in self.named_parameters():
                if name.endswith("bias") or ".1." in name or "lstm" in name:
                    parameter.add_(0.3 * torch.randn_like(parameter))

    def forward(self, mel: Tensor, speaker: Tensor, text: Tensor, in_lens: Tensor, out_lens: Tensor, prior=None):
        """mel [B, D, T] -> z [T, B, D], and of each flow log_s, gate and weights in the flow's own order of time."""
        states = self.encoder(self.embedding(text).transpose(1, 2), in_lens)
        vector = self.speaker_embedding(speaker)[None].expand(len(states), -1, -1)
        memory = torch.cat([states, vector], dim=2)
        z, found = mel.permute(2, 0, 1), []
        for flow in self.flows:
            z, log_s, gate, weights = flow(z, memory, out_lens, in_lens, prior)
            found.append((z, log_s, gate, weights))
        return z, found


def log_density(model: Flowtron, z: Tensor, mel: Tensor, lengths: Tensor) -> Tensor:
    """Nats of each number of z [T, D] of each item, summed over its real frames and bands; z [T, B, D] -> [B]."""
    if not hasattr(model, "gaussian_mixture"):
        normal = torch.distributions.Normal(0.0, 1.0)
        return torch.stack([normal.log_prob(z[:length, b]).sum() for b, length in enumerate(lengths)])
    found = []
    for b, length in enumerate(lengths):
        states = model.mel_encoder(mel[b : b + 1, :, :length], lengths[b : b + 1])
        prob, mean, log_var = model.gaussian_mixture(states.mean(dim=0))
        each = torch.distributions.Normal(mean[0], (0.5 * log_var[0]).exp()).log_prob(z[:length, b, :, None])
        found.append((each + prob[0].log()).logsumexp(dim=2).sum())
    return torch.stack(found)


def as_elsewhere(model: nn.Module) -> str:
    """Gives the model's own classes a home that no reader has; returns its name, for `gone`."""
    home = types.ModuleType("flowtron_of_theirs")
    for part in model.modules():
        kind = type(part)
        if kind.__module__ == __name__:
            setattr(home, kind.__name__, kind)
            kind.__module__ = home.__name__
    sys.modules[home.__name__] = home
    return home.__name__


def gone(name: str) -> None:
    """Takes the home away, and brings the classes back."""
    for kind in vars(sys.modules.pop(name)).values():
        if isinstance(kind, type):
            kind.__module__ = __name__
