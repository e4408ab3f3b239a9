"""A family that speaks in milliseconds: each token is a few frames of a sine, plus noise. For tests of the pipeline."""

import sys
import types
from pathlib import Path

import torch
from torch import Generator, nn

from moksori.audio.mel import MEL_16KHZ, MelConfig
from moksori.config import Config
from moksori.models import registry
from moksori.models.checkpoint import Manifest, save_model
from moksori.models.contract import Family, Objective
from moksori.text.tokenizer import TextConfig
from moksori.types import SayControls, SpeechNeeds, Spoken, SpokenFlags, SpokenMels, TextBatch


class ToyConfig(Config):
    """Sizes of the toy voice; `hop_length` samples a frame."""

    width: int = 4
    hop_length: int = 32
    frames_a_token: int = 6
    vocabulary: int = len(TextConfig().symbols)


class ToyMelConfig(Config):
    """A toy voice whose mels a vocoder turns into sound, and what it says of itself."""

    mel: MelConfig = MEL_16KHZ
    frames_a_token: int = 3
    changes_speed: bool = True
    truncated: bool = False
    coverage: float = 1.0


class ToyVoice(nn.Module):
    """Says each token as a sine whose pitch its embedding decides."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def say(self, text: TextBatch, controls: SayControls, generator: Generator | None = None) -> Spoken:
        frames = max(round(self.config.frames_a_token / controls.speed), 1)
        length = int(text.token_lengths[0])
        durations = torch.full((1, length), frames) if text.durations is None else text.durations[:, :length]
        pitch = self.embedding(text.tokens[:, :length]).sum(-1) + text.speaker[:, None]
        phase = pitch.repeat_interleave(durations[0] * self.config.hop_length, dim=1).mul(0.02).cumsum(1)
        variation = 0.5 if controls.variation is None else controls.variation
        noise = torch.randn(phase.shape, generator=generator) * 0.05 * variation
        waveform = 0.5 * torch.sin(phase) + noise
        return Spoken(waveform, torch.tensor([waveform.shape[1]]), durations)


class ToyMelVoice(nn.Module):
    """Says each token as a few frames of a loud band that its id decides; frames run on where it is told to be cut."""

    def __init__(self, config: ToyMelConfig) -> None:
        super().__init__()
        self.config = config
        self.loudness = nn.Parameter(torch.zeros(1))

    @property
    def mel_config(self) -> MelConfig:
        return self.config.mel

    @property
    def changes_speed(self) -> bool:
        return self.config.changes_speed

    def say_mels(self, text: TextBatch, controls: SayControls, generator: Generator | None = None) -> SpokenMels:
        frames = max(round(self.config.frames_a_token / controls.speed), 1)
        durations = torch.full_like(text.tokens, frames) if text.durations is None else text.durations
        band = text.tokens % self.config.mel.n_mels
        course = torch.stack([b.repeat_interleave(d) for b, d in zip(band, durations, strict=True)])
        mel = -6.0 + 5.0 * torch.nn.functional.one_hot(course, self.config.mel.n_mels).transpose(1, 2)
        variation = 0.5 if controls.variation is None else controls.variation
        mel = mel + self.loudness + variation * torch.randn(mel.shape, generator=generator)
        flags = SpokenFlags(truncated=self.config.truncated, coverage=self.config.coverage)
        return SpokenMels(mel, durations.sum(dim=1), durations, (flags,) * len(mel))


class SilentModel(nn.Module):
    """A model that cannot speak."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.layer = nn.Linear(config.width, config.width)


class ToyObjective(Objective):
    def updates(self, batch, step, generator=None):
        yield from ()


TOY = Family(
    "toy", ToyConfig, Config, ToyVoice, ToyObjective, lambda m, o: SpeechNeeds(8000, m.hop_length), "for tests"
)
TOY_MEL = Family(
    "toymel", ToyMelConfig, Config, ToyMelVoice, ToyObjective, lambda m, o: SpeechNeeds(16000, 256), "for tests"
)
MUTE = Family(
    "mute", ToyConfig, Config, SilentModel, ToyObjective, lambda m, o: SpeechNeeds(8000, m.hop_length), "mute"
)


def register() -> None:
    """Makes the families `toy`, `toymel` and `mute` known to the registry of this process."""
    for family in (TOY, TOY_MEL, MUTE):
        module = types.ModuleType(f"moksori_{family.name}")
        module.FAMILY = family
        sys.modules[module.__name__] = module
        registry._MODULES[family.name] = module.__name__


def manifest(name: str = "toy", **changes) -> Manifest:
    settings = {
        "family": "toy",
        "name": name,
        "model": ToyConfig().model_dump(),
        "text": TextConfig(),
        "sample_rate": 8000,
    }
    return Manifest(**{**settings, **changes})


def save_toy_mel(folder: Path, config: ToyMelConfig | None = None, **changes) -> Path:
    """A toy voice on disk that needs a vocoder."""
    config = config or ToyMelConfig()
    made = manifest(folder.name, family="toymel", model=config.model_dump(), sample_rate=16000, **changes)
    save_model(folder, ToyMelVoice(config), made)
    return folder


def save_toy(folder: Path, **changes) -> Path:
    """A toy voice on disk."""
    torch.manual_seed(0)
    made = manifest(folder.name, **changes)
    model = {"toy": ToyVoice, "mute": SilentModel}[made.family](ToyConfig(**made.model))
    save_model(folder, model, made)
    return folder


if __name__ == "__main__":  # the command line with the toy family known: python toy_voice.py say ...
    from moksori.cli.main import run

    sys.modules["toy_voice"] = sys.modules["__main__"]
    register()
    run()
