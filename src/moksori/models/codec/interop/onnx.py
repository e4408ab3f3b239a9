"""A codec as two ONNX graphs, compared with torch before they are written.

    NAME-encoder.onnx   waveform ─► codes, states
    NAME-decoder.onnx   latent ─► waveform

A waveform is a whole number of frames long: zeros follow what is not. Latents are sums of the codebooks' rows, which
NAME-codebooks.npy holds, `[stages, codes, channels]`. NAME.json tells the rest.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from moksori.models.checkpoint import Loaded
from moksori.models.codec.interop.graphs import DecoderGraph, EncoderGraph, least_frames, require_graphs
from moksori.models.codec.model import Codec
from moksori.models.decoders.refined import RefinedDecoder, Spectrum
from moksori.models.interop import Layout
from moksori.models.onnx_file import GraphCheck, described, require_onnx, session, traced, write_graphs

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-4
"""Largest difference of a sample or a state from torch's that a written graph may have."""
OWN_ERRORS = 4.0
"""Of a sample after steps of Griffin-Lim: so many times what torch's own rounding makes of it, if that is more. Where a
bin is all but silent its phase is divided by next to nothing, and each step takes the last digits further."""
LEAST_EQUAL = 0.99
"""Share of the codes that must be torch's: two codes may be as near as each other."""
SHAPES = ((1, 5), (2, 40), (1, 160))
"""Batch and frames of what graphs and torch both look at."""


def graphs(model: Codec) -> "dict[str, ModelProto]":
    """`encoder` and `decoder`, not yet compared with the model."""
    waveform = torch.zeros(2, 8 * model.hop_length)
    latent = torch.zeros(2, model.latent_channels, 7)
    frames = {0: "batch", 2: "frames"}
    return {
        "encoder": traced(
            EncoderGraph(model), {"waveform": waveform}, ("codes", "states"),
            {"waveform": {0: "batch", 1: "samples"}, "codes": frames, "states": frames},
        ),
        "decoder": traced(
            DecoderGraph(model), {"latent": latent}, ("waveform",),
            {"latent": frames, "waveform": {0: "batch", 1: "samples"}},
        ),
    }  # fmt: skip


@torch.no_grad()
def checked(name: str, model: Codec, made: "Mapping[str, ModelProto]") -> float:
    """The largest difference between a sample or a state of the graphs, run by onnxruntime, and torch's.

    Raises MoksoriError where one differs by more than TOLERANCE, fewer codes than LEAST_EQUAL are torch's, or a graph
    does not run.
    """
    check = GraphCheck(name, "encodes and decodes")
    encoder, decoder = (session(made[part]) for part in ("encoder", "decoder"))
    draw = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch, frames in SHAPES:
        samples = max(frames, least_frames(model)) * model.hop_length
        time = torch.arange(samples) / model.sample_rate
        tones = torch.sin(2.0 * torch.pi * torch.tensor([[150.0], [420.0]])[:batch] * time)
        waveform = 0.2 * tones + 0.02 * torch.randn(batch, samples, generator=draw)
        codes = model.compress(waveform)
        latent = model.latents(codes)
        where = f" for {frames} frames"
        found_codes, states = check.run(encoder, {"waveform": waveform})
        (sound,) = check.run(decoder, {"latent": latent})
        wanted, allowed = _wanted(model, latent)
        worst = max(
            worst,
            check.difference("states", states, model.encoder(waveform), TOLERANCE, where),
            check.difference("waveform", sound, wanted, allowed, where),
        )
        equal = float((found_codes == codes.numpy()).mean())
        if equal < LEAST_EQUAL:
            raise check.error(f"give {equal:.1%} of torch's codes (at least {LEAST_EQUAL:.0%})")
    return worst


def _wanted(model: Codec, latent: Tensor) -> tuple[Tensor, float]:
    """The sound of latents, in double precision from the first phases on, and how far a graph may be from it."""
    own, decoder = model.expand(latent), model.decoder
    if not isinstance(decoder, RefinedDecoder):
        return own, TOLERANCE
    first = decoder.spectrum(latent if model.restorer is None else model.restorer(latent))
    precise = copy.deepcopy(decoder).double().render(Spectrum(first.magnitude.double(), first.phase.double()))
    return precise, max(TOLERANCE, OWN_ERRORS * float((own - precise).abs().max()))


def describe(loaded: Loaded) -> dict[str, Any]:
    """The JSON beside the graphs."""
    manifest, model = loaded.manifest, loaded.model
    assert isinstance(model, Codec)
    return {
        **described(manifest),
        "hop_length": model.hop_length,
        "stages": model.stages,
        "code_count": model.code_count,
        "latent_channels": model.latent_channels,
        "least_frames": least_frames(model),
    }


def write(loaded: Loaded, folder: Path) -> tuple[str, ...]:
    """Fills a folder with both graphs, the codebooks and NAME.json; raises MissingExtra, UnsupportedTask for a codec of
    the samples, and MoksoriError where the check fails."""
    require_onnx()
    model, name = loaded.model, loaded.manifest.name
    assert isinstance(model, Codec)
    require_graphs(name, model)
    made = graphs(model)
    worst = checked(name, model, made)
    write_graphs(folder, loaded.manifest, made, describe(loaded))
    np.save(folder / f"{name}-codebooks.npy", model.codebooks.detach().numpy(), allow_pickle=False)
    return (
        f"differs from torch by at most {worst:.0e}",
        f"the encoder takes {least_frames(model)} frames or more: zeros may follow what is shorter",
    )


LAYOUT = Layout("onnx", "ONNX graphs", lambda path: False, None, write, family="codec")
