"""A codec whose answers are known: each frame's samples are its latent, and random codebooks stand for them.

Its decoder mixes in a tenth of the next frame, so that what streams has to wait for one.
"""

import sys
import types
from pathlib import Path

import torch
from torch import nn

from moksori.config import Config
from moksori.errors import AudioError
from moksori.models import registry
from moksori.models.checkpoint import Manifest, save_model
from moksori.models.contract import Family, Objective
from moksori.types import SpeechNeeds


class SmallCodecConfig(Config):
    """Rate in Hz, hop in samples, stages and entries of the codebooks; breaks: what is wrong with it."""

    sample_rate: int = 8000
    hop_length: int = 20
    stages: int = 3
    code_count: int = 1000
    breaks: str = ""


class SmallCodec(nn.Module):
    def __init__(self, config: SmallCodecConfig) -> None:
        super().__init__()
        self.config = config
        made = torch.Generator().manual_seed(0)
        scale = 0.2 / 2.0 ** torch.arange(config.stages)
        rows = torch.randn(config.stages, config.code_count, config.hop_length, generator=made) * scale[:, None, None]
        rows[:, 0] = 0.0  # silence is coded as silence
        self.rows = nn.Parameter(rows.half().float())

    sample_rate = property(lambda self: self.config.sample_rate)
    hop_length = property(lambda self: self.config.hop_length)
    stages = property(lambda self: self.config.stages)
    code_count = property(lambda self: self.config.code_count)
    latent_channels = property(lambda self: self.config.hop_length)
    look_ahead_frames = property(lambda self: 1)
    codebooks = property(lambda self: self.rows.detach())

    @torch.no_grad()
    def compress(self, waveform, stages=None):
        if waveform.shape[1] == 0:
            raise AudioError("no sample")
        missing = -waveform.shape[1] % self.hop_length
        frames = nn.functional.pad(waveform, (0, missing)).unflatten(1, (-1, self.hop_length))
        codes, rest = [], frames
        for rows in self.rows[: stages or self.stages]:
            nearest = torch.cdist(rest, rows[None]).argmin(dim=2)
            codes.append(nearest)
            rest = rest - rows[nearest]
        return torch.stack(codes, dim=1)

    def compress_blocks(self, recording, stages=None):
        held = torch.zeros(1, 0)
        for block in recording.blocks():
            held = torch.cat([held, torch.from_numpy(block)[None]], dim=1)
            whole = held.shape[1] // self.hop_length * self.hop_length
            if whole:
                yield self.compress(held[:, :whole], stages)
            held = held[:, whole:]
        if held.shape[1]:
            yield self.compress(held, stages)

    def latents(self, codes):
        pairs = zip(self.rows, codes.unbind(1), strict=False)
        return sum(rows[code] for rows, code in pairs).detach().transpose(1, 2)

    def expand(self, latent):
        return torch.cat(list(self.expand_blocks([latent])), dim=1)

    def expand_blocks(self, blocks, frames=None):
        held = None
        for block in blocks:
            held = block if held is None else torch.cat([held, block], dim=2)
            yield self._mixed(held[:, :, :-1], held[:, :, 1:])
            held = held[:, :, -1:]
        yield self._mixed(held, torch.zeros_like(held))

    def _mixed(self, latent, following):
        sound = (latent + 0.1 * following).transpose(1, 2).flatten(1)
        return sound * float("nan") if self.config.breaks == "nan" else sound


class NoObjective(Objective):
    def updates(self, batch, step, generator=None):
        yield from ()


FAMILY = Family(
    "smallcodec", SmallCodecConfig, Config, SmallCodec, NoObjective,
    lambda m, o: SpeechNeeds(m.sample_rate, m.hop_length, tokens=False), "for tests",
)  # fmt: skip


def register() -> None:
    """Makes the family known to the registry of this process."""
    module = types.ModuleType("moksori_smallcodec")
    module.FAMILY = FAMILY
    sys.modules[module.__name__] = module
    registry._MODULES["smallcodec"] = module.__name__


def save_codec(folder: Path, **config) -> Path:
    """A codec on disk."""
    settings = SmallCodecConfig(**config)
    manifest = Manifest(
        family="smallcodec", name=folder.name, model=settings.model_dump(), sample_rate=settings.sample_rate
    )
    save_model(folder, SmallCodec(settings), manifest)
    return folder


if __name__ == "__main__":  # the command line with this family known: python small_codec.py codec encode ...
    register()
    from moksori.cli.main import run

    run()
