"""Amphion's NaturalSpeech 2 restated: the names and shapes of its weights, and what it computes of them for one item.

Written from its description, with torch's own functions on rows `[time, channels]`, so that nothing is shared with what
it is compared with.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Sizes:
    """The defaults are those of the published checkpoint."""

    rows: int = 100
    hidden: int = 512
    heads: int = 8
    layers: int = 6
    filters: int = 2048
    width: int = 9
    convolutions: int = 30
    every: int = 3
    bins: int = 512
    latent: int = 128
    tokens: int = 32
    steps: int = 40
    codebooks: int = 32
    entries: int = 1024


def shapes(s: Sizes) -> dict[str, tuple[int, ...]]:
    """Name -> shape of all tensors of a checkpoint."""
    return dict(_shapes(s))


def _linear(name: str, out: int, *into: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (out, *into)
    yield f"{name}.bias", (out,)


def _attention(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.in_proj_weight", (3 * width, width)
    yield f"{name}.in_proj_bias", (3 * width,)
    yield from _linear(f"{name}.out_proj", width, width)


def _encoder(s: Sizes, name: str, styled: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    def norm(place: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from _linear(f"{place}.style", 2 * s.hidden, s.hidden) if styled else _linear(place, s.hidden)

    yield f"{name}.position_emb.pe", (50, 1, s.hidden)
    for layer in range(s.layers):
        here = f"{name}.layers.{layer}"
        yield from norm(f"{here}.ln_1")
        yield from norm(f"{here}.ln_2")
        yield from _attention(f"{here}.self_attn", s.hidden)
        yield from _linear(f"{here}.ffn.ffn_1", s.filters, s.hidden, s.width)
        yield from _linear(f"{here}.ffn.ffn_2", s.hidden, s.filters)
    yield from norm(f"{name}.last_ln")


def _predictor(s: Sizes, name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for layer in range(s.convolutions):
        yield from _linear(f"{name}.conv.{layer}.0", s.hidden, s.hidden, width)
        yield from _linear(f"{name}.conv.{layer}.2", s.hidden)
    for place in range(len(range(0, s.convolutions, s.every))):
        yield from _attention(f"{name}.cattn.{place}.0", s.hidden)
        yield from _linear(f"{name}.cattn.{place}.1", s.hidden)
    yield from _linear(f"{name}.linear", 1, s.hidden)


def _shapes(s: Sizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "prior_encoder.enc_emb_tokens.weight", (s.rows, s.hidden)
    yield "prior_encoder.encoder.enc_emb_tokens.weight", (s.rows, s.hidden)
    yield from _encoder(s, "prior_encoder.encoder", styled=True)
    yield from _predictor(s, "prior_encoder.duration_predictor", 3)
    yield from _predictor(s, "prior_encoder.pitch_predictor", 5)
    yield "prior_encoder.pitch_bins", (s.bins - 1,)
    yield "prior_encoder.pitch_embedding.weight", (s.bins, s.hidden)
    net = "diffusion.diff_estimator"
    yield from _linear(f"{net}.in_proj", s.hidden, s.latent, 1)
    yield from _linear(f"{net}.mlp.0", 4 * s.hidden, s.hidden)
    yield from _linear(f"{net}.mlp.2", s.hidden, 4 * s.hidden)
    yield from _linear(f"{net}.cond_ln", s.hidden)
    for layer in range(s.steps):
        here = f"{net}.layers.{layer}"
        yield from _linear(f"{here}.dilated_conv", 2 * s.hidden, s.hidden, 3)
        yield from _linear(f"{here}.diffusion_proj", s.hidden, s.hidden)
        yield from _linear(f"{here}.cond_proj", 2 * s.hidden, s.hidden, 1)
        yield from _linear(f"{here}.out_proj", 2 * s.hidden, s.hidden, 1)
        if layer % s.every == 0:
            yield from _attention(f"{here}.attn", s.hidden)
            yield from _linear(f"{here}.film.gain", 2 * s.hidden, s.hidden)
            yield from _linear(f"{here}.film.bias", 2 * s.hidden, s.hidden)
            yield from _linear(f"{here}.ln", s.hidden)
    yield from _linear(f"{net}.skip_proj", s.hidden, s.hidden, 1)
    yield from _linear(f"{net}.out_proj", s.latent, s.hidden, 1)
    yield from _linear("prompt_lin", s.hidden, s.latent)
    yield from _encoder(s, "prompt_encoder", styled=False)
    yield "query_emb.weight", (s.tokens, s.hidden)
    yield from _attention("query_attn", s.hidden)
    for book in range(s.codebooks):
        here = f"quantizer.vq.layers.{book}._codebook"
        yield f"{here}.inited", (1,)
        yield f"{here}.cluster_size", (s.entries,)
        for part in ("embed", "embed_avg"):
            yield f"{here}.{part}", (s.entries, s.latent)


def drawn(s: Sizes) -> Weights:
    """Random weights of these names and shapes; tables that their code computes are as it computes them."""
    draw = torch.Generator().manual_seed(0)
    found = {name: 0.3 * torch.randn(shape, generator=draw) for name, shape in shapes(s).items()}
    edges = torch.linspace(math.log(50.0), math.log(1100.0), s.bins - 1)
    found["prior_encoder.pitch_bins"] = edges.exp()
    found["prior_encoder.encoder.enc_emb_tokens.weight"] = found["prior_encoder.enc_emb_tokens.weight"]
    angles = torch.arange(50).unsqueeze(1) * torch.exp(torch.arange(0, s.hidden, 2) * (-math.log(10000.0) / s.hidden))
    table = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).unsqueeze(1)
    for name in ("prior_encoder.encoder", "prompt_encoder"):
        found[f"{name}.position_emb.pe"] = table
    return found


class Restated:
    """What their code computes for one item."""

    def __init__(self, weights: Weights, sizes: Sizes) -> None:
        self.w, self.s = weights, sizes

    def linear(self, name: str, x: Tensor) -> Tensor:
        weight = self.w[f"{name}.weight"]
        return F.linear(x, weight.reshape(weight.shape[0], -1), self.w[f"{name}.bias"])

    def conv(self, name: str, x: Tensor, dilation: int = 1) -> Tensor:
        weight = self.w[f"{name}.weight"]
        padding = (weight.shape[2] - 1) * dilation // 2
        return F.conv1d(x.T[None], weight, self.w[f"{name}.bias"], padding=padding, dilation=dilation)[0].T

    def norm(self, name: str, x: Tensor, styles: Tensor | None = None) -> Tensor:
        if styles is None:
            return F.layer_norm(x, x.shape[1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"])
        gain, shift = self.linear(f"{name}.style", styles.mean(0)).chunk(2)
        return gain * F.layer_norm(x, x.shape[1:]) + shift

    def attention(self, name: str, x: Tensor, memory: Tensor) -> Tensor:
        layer = torch.nn.MultiheadAttention(self.s.hidden, self.s.heads, batch_first=True)
        kept = {n.removeprefix(f"{name}."): t for n, t in self.w.items() if n.startswith(f"{name}.")}
        layer.load_state_dict(kept)
        return layer(x[None], memory[None], memory[None])[0][0]

    def encoder(self, name: str, x: Tensor, styles: Tensor | None) -> Tensor:
        x = x + self.w[f"{name}.position_emb.pe"][:1, 0]  # the row of the item, for all of its steps
        for layer in range(self.s.layers):
            here = f"{name}.layers.{layer}"
            y = self.norm(f"{here}.ln_1", x, styles)
            x = x + self.attention(f"{here}.self_attn", y, y)
            y = self.norm(f"{here}.ln_2", x, styles)
            x = x + self.linear(f"{here}.ffn.ffn_2", self.conv(f"{here}.ffn.ffn_1", y).relu())
        return self.norm(f"{name}.last_ln", x, styles)

    def predictor(self, name: str, x: Tensor, heard: Tensor) -> Tensor:
        for layer in range(self.s.convolutions):
            came = x
            if layer % self.s.every == 0:
                there = f"{name}.cattn.{layer // self.s.every}"
                x = (x + self.attention(f"{there}.0", self.norm(f"{there}.1", x), heard)) / math.sqrt(2.0)
            x = self.norm(f"{name}.conv.{layer}.2", self.conv(f"{name}.conv.{layer}.0", x).relu())
            x = x + came if layer else x
        return self.linear(f"{name}.linear", x)[:, 0]

    def heard(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The prompt's states and what the queries read off them. latent: `[frames, channels]`."""
        states = self.encoder("prompt_encoder", self.linear("prompt_lin", latent), None)
        return states, self.attention("query_attn", self.w["query_emb.weight"], states)

    def encoded(self, tokens: Tensor, heard: Tensor) -> Tensor:
        return self.encoder("prior_encoder.encoder", self.w["prior_encoder.enc_emb_tokens.weight"][tokens], heard)

    def pitched(self, expanded: Tensor, log_f0: Tensor) -> Tensor:
        bins = torch.bucketize(log_f0.exp(), self.w["prior_encoder.pitch_bins"])
        return expanded + self.w["prior_encoder.pitch_embedding.weight"][bins]

    def guess(self, noised: Tensor, t: float, condition: Tensor, tokens: Tensor) -> Tensor:
        net, half = "diffusion.diff_estimator", self.s.hidden // 2
        angles = t * torch.exp(torch.arange(half) * (-math.log(10000.0) / (half - 1)))
        time = torch.cat([angles.sin(), angles.cos()])
        inner = self.linear(f"{net}.mlp.0", time)
        time = self.linear(f"{net}.mlp.2", inner * torch.tanh(F.softplus(inner)))
        condition = self.norm(f"{net}.cond_ln", condition)
        x, skips = self.linear(f"{net}.in_proj", noised).relu(), []
        for layer in range(self.s.steps):
            x, skip = self.layer(layer, x, time, condition, tokens)
            skips.append(skip)
        whole = torch.stack(skips).sum(0) / math.sqrt(self.s.steps)
        return self.linear(f"{net}.out_proj", self.linear(f"{net}.skip_proj", whole).relu())

    def layer(self, index: int, x: Tensor, time: Tensor, condition: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        here = f"diffusion.diff_estimator.layers.{index}"
        y = x + self.linear(f"{here}.diffusion_proj", time)
        gates = self.conv(f"{here}.dilated_conv", y, 2 ** (index % 2)) + self.linear(f"{here}.cond_proj", condition)
        if index % self.s.every == 0:
            read = self.attention(f"{here}.attn", self.norm(f"{here}.ln", y), tokens)
            gates = self.linear(f"{here}.film.gain", read) * gates + self.linear(f"{here}.film.bias", read)
        gate, filtered = gates.chunk(2, dim=1)
        residual, skip = self.linear(f"{here}.out_proj", gate.sigmoid() * filtered.tanh()).chunk(2, dim=1)
        return (x + residual) / math.sqrt(2.0), skip
