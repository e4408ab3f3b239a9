"""Names of Flowtron's weights, ours beside the authors', and what the settings are that such weights belong to.

Shapes differ in one place only: their head is a convolution of kernel 1. A flow that runs backward in time is wrapped
there, and its names have an `ar_step.` more; whether they have is read off the file.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from moksori.errors import CheckpointError
from moksori.models.flowtron.config import FlowtronConfig

OWN_PREFIX = "prior.average_"
OWN_STATISTICS = (
    "length_slope",
    "length_offset",
    "symbol_frames",
    "frames_per_token",
    "standardize.mean",
    "standardize.std",
)
"""Of ours, what the authors' models do not have; their first values change nothing."""

_ROWS = (
    (r"speaker_embedding\.weight", "speaker_embedding.weight"),
    (r"text_encoder\.embedding\.weight", "embedding.weight"),
    (r"text_encoder\.convolutions\.(\d+)\.(weight|bias)", r"encoder.convolutions.\1.0.conv.\2"),
    (r"text_encoder\.norms\.(\d+)\.(weight|bias)", r"encoder.convolutions.\1.1.\2"),
    (r"text_encoder\.lstm\.(\w+)", r"encoder.lstm.\1"),
    (r"flows\.(\d+)\.step\.attention_lstm\.(\w+)", r"flows.\1.@attention_lstm.\2"),
    (r"flows\.(\d+)\.step\.attention\.(query|key|value)\.weight", r"flows.\1.@attention_layer.\2.linear_layer.weight"),
    (r"flows\.(\d+)\.step\.attention\.score\.weight", r"flows.\1.@attention_layer.v.linear_layer.weight"),
    (r"flows\.(\d+)\.step\.decoder_lstm\.(\w+)", r"flows.\1.@lstm.\2"),
    (r"flows\.(\d+)\.step\.dense\.(\d+)\.(weight|bias)", r"flows.\1.@dense_layer.layers.\2.linear_layer.\3"),
    (r"flows\.(\d+)\.step\.head\.(weight|bias)", r"flows.\1.@conv.\2"),
    (r"flows\.(\d+)\.step\.gate\.(weight|bias)", r"flows.\1.@gate_layer.linear_layer.\2"),
    (
        r"flows\.(\d+)\.step\.attention\.location\.(hidden|out)\.(weight|bias)",
        r"flows.\1.@attn_cond_layer.location_conv_\2.conv.\3",
    ),
    (r"prior\.mel_encoder\.convolutions\.(\d+)\.(weight|bias)", r"mel_encoder.convolutions.\1.0.conv.\2"),
    (r"prior\.mel_encoder\.norms\.(\d+)\.(weight|bias)", r"mel_encoder.convolutions.\1.1.\2"),
    (r"prior\.mel_encoder\.lstm\.(\w+)", r"mel_encoder.lstm.\1"),
    (r"prior\.weight_layer\.(weight|bias)", r"gaussian_mixture.prob_layer.linear_layer.\1"),
    (r"prior\.mean_layer\.(weight|bias)", r"gaussian_mixture.mean_layer.linear_layer.\1"),
    (r"prior\.log_variance_layer\.(weight|bias)", r"gaussian_mixture.log_var_layer.linear_layer.\1"),
    (r"prior\.mean", "gaussian_mixture.mean"),
    (r"prior\.log_variance", "gaussian_mixture.log_var"),
)
_PATTERNS = tuple((re.compile(ours), theirs) for ours, theirs in _ROWS)
_FLOW = re.compile(r"flows\.(\d+)\.(ar_step\.)?")
WRAPPER = "ar_step."
ALIASES = (("location_conv_hidden.", "conv_layers.0."), ("location_conv_out.", "conv_layers.2."))
"""Cumulative attention's convolutions are in their files twice, under these names too."""
MAXIMUM_COUNT = 64
"""Of flows and layers, far above any known model's."""


def foreign(name: str, wrapped: Iterable[int]) -> str | None:
    """Their name of our tensor; None for one that they do not have. wrapped: the flows whose names have `ar_step.`."""
    for pattern, theirs in _PATTERNS:
        match = pattern.fullmatch(name)
        if match:
            inner = WRAPPER if name.startswith("flows.") and int(match[1]) in set(wrapped) else ""
            return match.expand(theirs).replace("@", inner)
    return None


def alias(theirs: str) -> str | None:
    """The second name of a tensor in their files, where it has one."""
    return next((theirs.replace(name, other) for name, other in ALIASES if name in theirs), None)


def wrapped_flows(tensors: Mapping[str, Tensor]) -> frozenset[int]:
    """The flows whose names have the level of a flow that runs backward."""
    return frozenset(int(match[1]) for name in tensors if (match := _FLOW.match(name)) and match[2])


@dataclass(frozen=True)
class Sizes:
    """What the weights tell. gate_flow: the flow with the gate; None: there is none.

    num_components: of a mixture prior, whose network has `prior_channels`; 0: the prior is one Gaussian.
    """

    num_symbols: int
    text_channels: int
    text_layers: int
    text_kernel: int
    num_speakers: int
    speaker_channels: int
    num_flows: int
    bands: int
    hidden_channels: int
    attention_channels: int
    num_decoder_layers: int
    num_dense_layers: int
    gate_flow: int | None
    cumulative_attention: bool
    num_components: int
    prior_channels: int
    learned_means: bool

    def settings(self) -> dict[str, Any]:
        """As settings of ours, without text."""
        return {
            "mel": {"n_mels": self.bands},
            "num_symbols": self.num_symbols,
            "text_encoder": {
                "channels": self.text_channels,
                "num_layers": self.text_layers,
                "kernel_size": self.text_kernel,
            },
            "num_speakers": max(self.num_speakers, 1),
            "speaker_channels": self.speaker_channels,
            "num_flows": self.num_flows,
            "hidden_channels": self.hidden_channels,
            "attention_channels": self.attention_channels,
            "num_decoder_layers": self.num_decoder_layers,
            "num_dense_layers": self.num_dense_layers,
            "cumulative_attention": self.cumulative_attention,
            "prior": self._prior(),
        }

    def _prior(self) -> dict[str, Any]:
        if not self.num_components:
            return {"kind": "gaussian"}
        means = "learned" if self.learned_means else "fixed"
        return {
            "kind": "mixture",
            "num_components": self.num_components,
            "means": means,
            "channels": self.prior_channels,
        }


def sizes(tensors: Mapping[str, Tensor], where: str) -> Sizes:
    """Reads them off names and shapes; raises CheckpointError for weights that are no Flowtron's."""
    first = f"flows.0.{WRAPPER if 0 in wrapped_flows(tensors) else ''}"
    num_flows = _count(tensors, _FLOW, where)
    conv = _shape(tensors, "encoder.convolutions.0.0.conv.weight", 3, where)
    symbols = _shape(tensors, "embedding.weight", 2, where)
    speakers: tuple[int, ...] = (0, 0)
    if "speaker_embedding.weight" in tensors:
        speakers = _shape(tensors, "speaker_embedding.weight", 2, where)
    components: tuple[int, ...] = (0, 0)
    if any(name.startswith(("gaussian_mixture.", "mel_encoder.")) for name in tensors):
        components = _shape(tensors, "gaussian_mixture.prob_layer.linear_layer.weight", 2, where)
    gates = [int(match[1]) for name in tensors if ".gate_layer." in name and (match := _FLOW.match(name))]
    if gates and set(gates) != {num_flows - 1}:
        raise CheckpointError(
            f"{where}: has a gate in flow {min(gates)} of {num_flows}, only the last one's is known: add the flow that "
            "is missing, or take a checkpoint of the whole model"
        )
    return Sizes(
        num_symbols=symbols[0],
        text_channels=symbols[1],
        text_layers=_count(tensors, re.compile(r"encoder\.convolutions\.(\d+)\."), where),
        text_kernel=conv[2],
        num_speakers=speakers[0],
        speaker_channels=speakers[1],
        num_flows=num_flows,
        bands=_shape(tensors, f"{first}attention_lstm.weight_ih_l0", 2, where)[1],
        hidden_channels=_shape(tensors, f"{first}attention_lstm.weight_hh_l0", 2, where)[1],
        attention_channels=_shape(tensors, f"{first}attention_layer.query.linear_layer.weight", 2, where)[0],
        num_decoder_layers=_count(tensors, re.compile(rf"{re.escape(first)}lstm\.weight_ih_l(\d+)$"), where),
        num_dense_layers=_count(
            tensors, re.compile(rf"{re.escape(first)}dense_layer\.layers\.(\d+)\."), where, least=0
        ),
        gate_flow=gates[0] if gates else None,
        cumulative_attention=f"{first}attn_cond_layer.location_conv_hidden.conv.weight" in tensors,
        num_components=components[0],
        prior_channels=components[1],
        learned_means="gaussian_mixture.mean_layer.linear_layer.weight" in tensors,
    )


def check_directions(config: FlowtronConfig, wrapped: frozenset[int], where: str) -> None:
    """Raises CheckpointError unless every second flow is one that runs backward."""
    backward = {index for index, direction in enumerate(config.flow_directions) if direction == "backward"}
    if wrapped != backward:
        raise CheckpointError(
            f"{where}: its flows {sorted(wrapped)} run backward in time, expected {sorted(backward)}: it is another "
            "kind of model"
        )


def _count(tensors: Mapping[str, Tensor], pattern: re.Pattern[str], where: str, least: int = 1) -> int:
    """How many numbers there are, 0 to n - 1, where the pattern matches."""
    numbers = {int(match[1]) for name in tensors if (match := pattern.match(name))}
    if numbers != set(range(len(numbers))) or not least <= len(numbers) <= MAXIMUM_COUNT:
        raise CheckpointError(
            f"{where}: has the parts {sorted(numbers)[:8]} of {pattern.pattern!r}, expected all from 0 on, at most "
            f"{MAXIMUM_COUNT}: it is no Flowtron, or not the whole of one"
        )
    return len(numbers)


def _shape(tensors: Mapping[str, Tensor], name: str, axes: int, where: str) -> tuple[int, ...]:
    if name not in tensors or tensors[name].dim() != axes:
        raise CheckpointError(f"{where}: no Flowtron (it has no {name!r} of {axes} axes): name another file")
    return tuple(tensors[name].shape)
