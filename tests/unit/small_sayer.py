"""A model that speaks in the voice of a prompt, in latents of `small_codec`, and whose answers are known: a sine.

Its pitch is the given one, or 200 Hz moved by the shift; where the pitch is 0 there is silence. Its loudness is the
prompt's, and a token lasts six frames, or nine in the manner of another recording. Noise is a tenth of the variation.
"""

import math
import sys
import types
from pathlib import Path

import torch
from torch import nn

from moksori.config import Config
from moksori.models import registry
from moksori.models.checkpoint import Manifest, fingerprint, save_model
from moksori.models.contract import Family, Objective
from moksori.text.tokenizer import TextConfig
from moksori.types import LatentBatch, SpeechNeeds, SpokenLatents


class SmallSayerConfig(Config):
    """Rate in Hz and hop in samples, the codec's."""

    sample_rate: int = 8000
    hop_length: int = 20


class SmallSayer(nn.Module):
    def __init__(self, config: SmallSayerConfig) -> None:
        super().__init__()
        self.config = config
        self.unused = nn.Parameter(torch.zeros(1))

    sample_rate = property(lambda self: self.config.sample_rate)
    hop_length = property(lambda self: self.config.hop_length)
    latent_channels = property(lambda self: self.config.hop_length)

    def say_latents_like(self, text, prompt, controls, f0=None, prosody=None, generator=None):
        frames = max(round((6 if prosody is None else 9) / controls.speed), 1)
        durations = torch.full_like(text.tokens, frames) if text.durations is None else text.durations
        total = int(durations.sum(dim=1).max())
        if f0 is None:
            f0 = torch.full((len(text.tokens), total), 200.0)
        f0 = f0 * 2.0 ** (controls.shift_semitones / 12.0)
        hertz = f0.repeat_interleave(self.hop_length, dim=1)
        loudness = prompt.latent.square().mean(dim=(1, 2)).sqrt()[:, None] * math.sqrt(2.0)
        sound = loudness * torch.sin((2.0 * math.pi / self.sample_rate * hertz).cumsum(dim=1)) * (hertz > 0.0)
        variation = 0.0 if controls.variation is None else controls.variation
        sound = sound + 0.1 * variation * torch.randn(sound.shape, generator=generator)
        latent = sound.unflatten(1, (-1, self.hop_length)).transpose(1, 2)
        return SpokenLatents(latent, durations.sum(dim=1), durations, f0)

    def convert_latents(self, source, target, own, controls, text=None, f0=None, generator=None):
        """Everything as loud as the target's prompt; without one, half as loud as it was."""
        if target is None:
            return LatentBatch(0.5 * source.latent, source.frame_lengths)
        loudness = (latents.latent.square().mean().sqrt() for latents in (target, source))
        factor = next(loudness) / next(loudness)
        return LatentBatch(source.latent * factor**controls.strength, source.frame_lengths)


class NoObjective(Objective):
    def updates(self, batch, step, generator=None):
        yield from ()


FAMILY = Family(
    "smallsayer", SmallSayerConfig, Config, SmallSayer, NoObjective,
    lambda m, o: SpeechNeeds(m.sample_rate, m.hop_length), "for tests",
)  # fmt: skip


def register() -> None:
    """Makes the family known to the registry of this process."""
    module = types.ModuleType("moksori_smallsayer")
    module.FAMILY = FAMILY
    sys.modules[module.__name__] = module
    registry._MODULES["smallsayer"] = module.__name__


def save_sayer(folder: Path, codec: Path, **changes) -> Path:
    """A model on disk that speaks in latents of the codec in that folder."""
    settings = SmallSayerConfig()
    manifest = Manifest(
        family="smallsayer", name=folder.name, model=settings.model_dump(), text=TextConfig(),
        sample_rate=settings.sample_rate, requires={codec.name: fingerprint(codec)}, **changes,
    )  # fmt: skip
    save_model(folder, SmallSayer(settings), manifest)
    return folder


if __name__ == "__main__":  # the command line with these families known: python small_sayer.py say ... --like ...
    import small_codec

    small_codec.register()
    register()
    from moksori.cli.main import run

    run()
