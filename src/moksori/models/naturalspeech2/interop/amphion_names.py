"""Which of our weights is which of Amphion's: names, and what is turned round, cut or put together on the way.

Their networks are ours but for four things, none of which needs another network. Their encoders add the first row of a
table of sines to every step (the row was meant to follow time, and follows the place in the batch): here it lies in
what is added to every step anyway, the table of stress and a bias. Their sigmoid half of the gates comes before the
tanh half. Their embeddings are not scaled. Their layers have projections of their own for time and condition, which
here are one for all layers.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from moksori.errors import CheckpointError

PRIOR, PROMPT, DENOISER = "prior_encoder", "prompt_encoder", "diffusion.diff_estimator"
DROPPED = ("quantizer.", f"{PRIOR}.encoder.enc_emb_tokens.", f"{PRIOR}.pitch_bins", f"{PRIOR}.encoder.position_emb.",
           f"{PROMPT}.position_emb.")  # fmt: skip
"""The codec's codebooks, which come with the codec; a second name of the symbols' table; tables that are computed."""
NULLS = ("null_condition", "prompt_tokens.null")
"""Ours alone: what stands for no text and no prompt, for guidance, with which theirs were not trained."""


class Weights:
    """Their weights by name, of which it is kept which have been asked for."""

    def __init__(self, tensors: Mapping[str, Tensor], where: str) -> None:
        self._tensors, self._where = tensors, where
        self._used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __getitem__(self, name: str) -> Tensor:
        """Raises CheckpointError for a weight that is not there or is no number."""
        if name not in self._tensors:
            raise CheckpointError(f"{self._where}: lacks {name!r}: it is another model, or not the whole of one")
        tensor = self._tensors[name].float()
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{self._where}: {name!r} holds NaN or infinity: take an earlier checkpoint")
        self._used.add(name)
        return tensor

    def count(self, pattern: str) -> int:
        """How many numbers in a row, from 0, make `pattern` with its `{}` filled a name that is there."""
        number = 0
        while pattern.format(number) in self._tensors:
            number += 1
        return number

    def left(self) -> list[str]:
        """Names that nobody asked for and that are not known to be needless, sorted."""
        return sorted(name for name in self._tensors if name not in self._used and not name.startswith(DROPPED))


def ours(weights: Weights) -> dict[str, Tensor]:
    """All weights of our model, but for the statistics of latents and `NULLS`; raises CheckpointError."""
    return dict(_all(weights))


def _all(w: Weights) -> Iterator[tuple[str, Tensor]]:
    embedding = w[f"{PRIOR}.enc_emb_tokens.weight"]
    hidden = embedding.shape[1]
    scale = hidden**-0.5
    yield "phoneme_encoder.embedding.weight", embedding * scale
    yield "phoneme_encoder.stress_embedding.weight", (_first_sines(hidden) * scale).expand(3, -1)
    yield from _transformer(w, f"{PRIOR}.encoder", "phoneme_encoder.transformer")
    for name in ("duration_predictor", "pitch_predictor"):
        yield from _predictor(w, f"{PRIOR}.{name}", name)
    yield "pitch_embedding.table.weight", w[f"{PRIOR}.pitch_embedding.weight"]

    into = w["prompt_lin.weight"] if "prompt_lin.weight" in w else torch.eye(hidden)
    bias = w["prompt_lin.bias"] if "prompt_lin.bias" in w else torch.zeros(hidden)
    yield "prompt_encoder.input.weight", into.unsqueeze(2)
    yield "prompt_encoder.input.bias", bias + _first_sines(hidden)
    yield from _transformer(w, PROMPT, "prompt_encoder.transformer")
    yield "prompt_tokens.queries", w["query_emb.weight"].T.unsqueeze(0)
    yield from _attention(w, "query_attn", "prompt_tokens.attention")
    yield from _denoiser(w)


def _first_sines(channels: int) -> Tensor:
    """Row 0 of their table: sin 0 and cos 0 in turn."""
    return torch.tensor([0.0, 1.0]).repeat(channels // 2)


def _transformer(w: Weights, theirs: str, mine: str) -> Iterator[tuple[str, Tensor]]:
    for layer in range(w.count(f"{theirs}.layers.{{}}.self_attn.in_proj_weight")):
        there, here = f"{theirs}.layers.{layer}", f"{mine}.layers.{layer}"
        yield from _norm(w, f"{there}.ln_1", f"{here}.attention_norm")
        yield from _norm(w, f"{there}.ln_2", f"{here}.feed_forward_norm")
        yield from _attention(w, f"{there}.self_attn", f"{here}.attention")
        yield from _layer(w, f"{there}.ffn.ffn_1", f"{here}.feed_forward.expand")
        yield from _layer(w, f"{there}.ffn.ffn_2", f"{here}.feed_forward.contract")
    yield from _norm(w, f"{theirs}.last_ln", f"{mine}.final_norm")


def _predictor(w: Weights, theirs: str, mine: str) -> Iterator[tuple[str, Tensor]]:
    for layer in range(w.count(f"{theirs}.conv.{{}}.0.weight")):
        yield from _layer(w, f"{theirs}.conv.{layer}.0", f"{mine}.convolutions.{layer}")
        yield from _norm(w, f"{theirs}.conv.{layer}.2", f"{mine}.norms.{layer}")
    for place in range(w.count(f"{theirs}.cattn.{{}}.0.in_proj_weight")):
        yield from _attention(w, f"{theirs}.cattn.{place}.0", f"{mine}.attentions.{place}")
        yield from _norm(w, f"{theirs}.cattn.{place}.1", f"{mine}.attention_norms.{place}")
    yield from _layer(w, f"{theirs}.linear", f"{mine}.head")


def _denoiser(w: Weights) -> Iterator[tuple[str, Tensor]]:
    layers = w.count(f"{DENOISER}.layers.{{}}.dilated_conv.weight")
    yield from _layer(w, f"{DENOISER}.in_proj", "denoiser.input")
    yield from _layer(w, f"{DENOISER}.skip_proj", "denoiser.skip")
    yield from _layer(w, f"{DENOISER}.out_proj", "denoiser.output")
    yield from _norm(w, f"{DENOISER}.cond_ln", "denoiser.condition_norm")
    for part in ("weight", "bias"):
        yield f"denoiser.time.expand.{part}", w[f"{DENOISER}.mlp.0.{part}"]
        yield f"denoiser.time.contract.{part}", w[f"{DENOISER}.mlp.2.{part}"]
        each = [f"{DENOISER}.layers.{layer}" for layer in range(layers)]
        yield f"denoiser.time_projection.{part}", torch.cat([w[f"{layer}.diffusion_proj.{part}"] for layer in each])
        conditions = [_turned(w[f"{layer}.cond_proj.{part}"]) for layer in each]
        yield f"denoiser.stack.condition.projection.{part}", torch.cat(conditions)
        for index, layer in enumerate(each):
            yield f"denoiser.stack.gates.{index}.{part}", _turned(w[f"{layer}.dilated_conv.{part}"])
            both = w[f"{layer}.out_proj.{part}"]
            last = index == layers - 1  # whose residual half goes nowhere
            yield f"denoiser.stack.residual_skips.{index}.{part}", both.chunk(2)[1] if last else both
    films = [layer for layer in range(layers) if f"{DENOISER}.layers.{layer}.film.gain.weight" in w]
    for place, index in enumerate(films):
        there, here = f"{DENOISER}.layers.{index}", f"denoiser.films.{place}"
        yield from _norm(w, f"{there}.ln", f"{here}.norm")
        yield from _attention(w, f"{there}.attn", f"{here}.attention")
        for part in ("weight", "bias"):
            both = torch.cat([_turned(w[f"{there}.film.{half}.{part}"]) for half in ("gain", "bias")])
            yield f"{here}.film.projection.{part}", both.unsqueeze(2) if part == "weight" else both


def _layer(w: Weights, theirs: str, mine: str) -> Iterator[tuple[str, Tensor]]:
    """A convolution, or a linear layer, which is one of width 1."""
    weight = w[f"{theirs}.weight"]
    yield f"{mine}.weight", weight.unsqueeze(2) if weight.dim() == 2 else weight
    yield f"{mine}.bias", w[f"{theirs}.bias"]


def _norm(w: Weights, theirs: str, mine: str) -> Iterator[tuple[str, Tensor]]:
    """A normalisation, or one that a vector steers: gain and shift in the same order."""
    if f"{theirs}.style.weight" in w:
        yield from _layer(w, f"{theirs}.style", f"{mine}.film.projection")
        return
    yield f"{mine}.norm.weight", w[f"{theirs}.weight"]
    yield f"{mine}.norm.bias", w[f"{theirs}.bias"]


def _attention(w: Weights, theirs: str, mine: str) -> Iterator[tuple[str, Tensor]]:
    """torch's attention, which has its three projections in one."""
    weights = w[f"{theirs}.in_proj_weight"].unsqueeze(2).chunk(3)
    for name, weight, bias in zip(
        ("query", "key", "value"), weights, w[f"{theirs}.in_proj_bias"].chunk(3), strict=True
    ):
        yield f"{mine}.{name}.weight", weight
        yield f"{mine}.{name}.bias", bias
    yield from _layer(w, f"{theirs}.out_proj", f"{mine}.output")


def _turned(rows: Tensor) -> Tensor:
    """The second half first: the order of our gates."""
    return torch.cat(rows.chunk(2)[::-1])
