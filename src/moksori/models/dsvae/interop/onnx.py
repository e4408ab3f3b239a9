"""D-DSVAE as two ONNX graphs, encoder and decoder, compared with torch before they are written.

    NAME-encoder.onnx   mel ─► speaker, speaker_log_std, content, content_log_std
    NAME-decoder.onnx   speaker, content ─► mel

Mels are natural logarithms, `[batch, bands, frames]`, as NAME.json describes them. What comes out of the encoder are
means and deviations: whoever wants a sample adds `exp(content_log_std)` times noise, and the graphs draw none. So a
conversion is decoder(speaker of the target, content of the source). Where the JSON says `pitch`, the speaker's last
number is a mean ln F0, and the content's last two are ln F0 against that mean and voicing. Where it says `recentre`,
the content's means lie before it; conversions then add the difference of the target's and the source's to the content
(models.dsvae.recentre). Where it says `centred`, all content goes into the decoder less its mean over voiced frames.
Where `reach` is not 1, z_s, with which the speaker begins, goes that many times the way from the source's to the
target's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from moksori.models.checkpoint import Loaded
from moksori.models.dsvae.model import Dsvae
from moksori.models.interop import Layout
from moksori.models.onnx_file import GraphCheck, described, require_onnx, session, traced, write_graphs

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-4
"""Largest difference of any number from torch's that a written graph may have."""
SHAPES = ((1, 1), (1, 7), (3, 50), (1, 251), (2, 100))
"""Batch and frames of the mels that graph and torch both look at."""


class Encoder(nn.Module):
    """The encoding half, with outputs by their place."""

    def __init__(self, model: Dsvae) -> None:
        super().__init__()
        self.model = model

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        speaker, content = self.model.voice(mel), self.model.content(mel)
        return speaker.mean, speaker.log_std, content.mean, content.log_std


class Decoder(nn.Module):
    """The decoding half."""

    def __init__(self, model: Dsvae) -> None:
        super().__init__()
        self.model = model

    def forward(self, speaker: Tensor, content: Tensor) -> Tensor:
        return self.model.decode(speaker, content)


ENCODED = ("speaker", "speaker_log_std", "content", "content_log_std")
_MEL, _CONTENT = {0: "batch", 2: "frames"}, {0: "batch", 1: "frames"}


def graphs(model: Dsvae) -> "dict[str, ModelProto]":
    """`encoder` and `decoder`, not yet compared with the model."""
    config = model.config
    mel = torch.zeros(2, config.mel.n_mels, 5)
    latents = {
        "speaker": torch.zeros(2, model.voice_channels),
        "content": torch.zeros(2, 5, model.content_width),
    }
    one = {0: "batch"}
    encoded = {"speaker": one, "speaker_log_std": one, "content": _CONTENT, "content_log_std": _CONTENT}
    return {
        "encoder": traced(Encoder(model), {"mel": mel}, ENCODED, {"mel": _MEL, **encoded}),
        "decoder": traced(Decoder(model), latents, ("mel",), {"speaker": one, "content": _CONTENT, "mel": _MEL}),
    }


@torch.no_grad()
def checked(name: str, model: Dsvae, made: "Mapping[str, ModelProto]") -> float:
    """The largest difference between a number of the graphs, run by onnxruntime, and torch's.

    Raises MoksoriError where one differs by more than TOLERANCE, or a graph does not run.
    """
    check = GraphCheck(name, "converts")
    encoder, decoder = (session(made[part]) for part in ("encoder", "decoder"))
    config, draw = model.config, torch.Generator().manual_seed(0)
    worst = 0.0
    for batch, frames in SHAPES:
        mel = 2.0 * torch.randn(batch, config.mel.n_mels, frames, generator=draw) - 5.0
        expected = Encoder(model)(mel)
        speaker = torch.randn(batch, model.voice_channels, generator=draw)
        content = torch.randn(batch, frames, model.content_width, generator=draw)
        where = f" for {batch} x {frames} frames"
        found = check.run(encoder, {"mel": mel}, where)
        said = check.run(decoder, {"speaker": speaker, "content": content}, where)
        pairs = zip((*ENCODED, "mel"), (*found, *said), (*expected, model.decode(speaker, content)), strict=True)
        for output, value, other in pairs:
            worst = max(worst, check.difference(output, value, other, TOLERANCE, where))
    return worst


def describe(loaded: Loaded) -> dict[str, Any]:
    """The JSON beside the graphs."""
    manifest, model = loaded.manifest, loaded.model
    assert isinstance(model, Dsvae)
    return {
        **described(manifest),
        "mel": model.config.mel.model_dump(mode="json"),
        "speaker_channels": model.voice_channels,
        "content_channels": model.content_width,
        "pitch": model.pitch_predictor is not None,
        "recentre": model.config.recentre,
        "centred": model.config.centred,
        "reach": model.config.reach,
        "vocoder": dict(manifest.requires),
    }


def write(loaded: Loaded, folder: Path) -> tuple[str, ...]:
    """Fills a folder with both graphs and NAME.json; raises MissingExtra, and MoksoriError where the check fails."""
    require_onnx()
    model, name = loaded.model, loaded.manifest.name
    assert isinstance(model, Dsvae)
    made = graphs(model)
    worst = checked(name, model, made)
    write_graphs(folder, loaded.manifest, made, describe(loaded))
    return (
        f"differs from torch by at most {worst:.0e}",
        "mels come in and go out: their settings are in the JSON, and a vocoder makes them sound",
    )


LAYOUT = Layout("onnx", "ONNX graphs", lambda path: False, None, write, family="dsvae")
