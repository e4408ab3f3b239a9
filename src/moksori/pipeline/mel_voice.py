"""A model that speaks in mels, and the vocoder that makes them heard, as one model that speaks."""

from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Generator, nn
from torch.nn.utils.rnn import pad_sequence

from moksori.audio.mel import MelSpectrogram
from moksori.errors import UnsupportedTask
from moksori.models import registry
from moksori.models.checkpoint import Loaded
from moksori.models.contract import CanSay, CanSayMels, CanTakeStyle
from moksori.models.contract_latents import CanSayLatents
from moksori.pipeline.prompted_voice import PromptedVoice
from moksori.pipeline.vocoding import Sounding, find_vocoder
from moksori.types import SayControls, Spoken, SpokenMels, TextBatch


class MelVoice:
    """`CanSay` and `CanReconstruct` of a model that makes mels.

    vocoder: a name or folder; None: the one that the model names, or one for such mels. It is found when it is first
    needed.
    """

    mixes_durations = False

    def __init__(self, loaded: Loaded, vocoder: str | Path | None = None) -> None:
        assert isinstance(loaded.model, CanSayMels)
        self.loaded, self.mel_model = loaded, loaded.model
        self._named = vocoder

    @cached_property
    def vocoder(self) -> Sounding:
        """Raises CheckpointError where there is none for these mels, naming the remedy."""
        return find_vocoder(self.loaded.manifest, self.mel_model.mel_config, self._named, self.loaded.device)

    @property
    def takes_pitch(self) -> bool:
        """Whether its pitch can be moved; else what is to be higher is said slower and played faster."""
        return bool(getattr(self.mel_model, "takes_pitch", False))

    @property
    def keeps_best(self) -> bool:
        """Whether it takes the best of several draws."""
        return bool(getattr(self.mel_model, "keeps_best", False))

    @property
    def changes_speed(self) -> bool:
        """Whether what it says can be said faster or slower."""
        return bool(getattr(self.mel_model, "changes_speed", True))

    def say(self, text: TextBatch, controls: SayControls, generator: Generator | None = None) -> Spoken:
        """The sound of what the model makes; an item's samples are its frames times the hop."""
        made = self._mels(text, controls, generator)
        hop = self.mel_model.mel_config.hop_length
        sounds = []
        for mel, frames in zip(made.mel, made.frame_lengths.tolist(), strict=True):
            sounds.append(self._sound(mel[None, :, :frames], generator))
        waveform = pad_sequence(sounds, batch_first=True)
        return Spoken(waveform, made.frame_lengths * hop, made.durations, made.flags)

    def _mels(self, text: TextBatch, controls: SayControls, generator: Generator | None) -> SpokenMels:
        plan, device = controls.latent, text.tokens.device
        if plan is None or plan.given is None or not isinstance(self.mel_model, CanTakeStyle):
            return self.mel_model.say_mels(text, controls, generator)
        frames = torch.tensor([plan.given_frames], device=device)
        return self.mel_model.say_latents(plan.given[None].to(device), frames, text, controls)

    def reconstruct(
        self,
        waveform: Float[torch.Tensor, "batch samples"],
        speaker: Int[torch.Tensor, " batch"],
        generator: Generator | None = None,
    ) -> Float[torch.Tensor, "batch samples"]:
        """Copy-synthesis: the recordings' own mels through the vocoder, the best that the model can sound like."""
        front_end = MelSpectrogram(self.mel_model.mel_config).to(waveform.device)
        return torch.stack([self._sound(mel[None], generator) for mel in front_end(waveform)])

    def _sound(
        self, mel: Float[torch.Tensor, "1 mels frames"], generator: Generator | None
    ) -> Float[torch.Tensor, " samples"]:
        return torch.cat(list(self.vocoder.sound([mel], mel.shape[2], generator)), dim=1)[0]


def speaking_model(loaded: Loaded, vocoder: str | Path | None = None) -> CanSay | None:
    """The model as one that speaks, with its vocoder or codec where it takes one; None where it cannot speak.

    vocoder: likewise a codec's name or folder. Raises UnsupportedTask where one is named for a model that takes none.
    """
    if isinstance(loaded.model, CanSayMels):
        return MelVoice(loaded, vocoder)
    if isinstance(loaded.model, CanSayLatents):
        return PromptedVoice(loaded, vocoder)
    if not isinstance(loaded.model, CanSay):
        return None
    if vocoder is not None:
        raise UnsupportedTask(f"{loaded.manifest.name}: makes sound itself and takes no vocoder: leave it out")
    return loaded.model


def latent_model(model: CanSay) -> CanTakeStyle | None:
    """What is inside a voice, where its latents can be chosen."""
    inner: object = model.mel_model if isinstance(model, MelVoice) else model
    return inner if isinstance(inner, CanTakeStyle) else None


def can_speak(model: nn.Module | object) -> bool:
    """Whether a model speaks texts, in sound, in mels or in latents of a codec."""
    return isinstance(model, CanSay | CanSayMels | CanSayLatents)


def speaking_families() -> list[str]:
    """Families whose models speak."""
    return [name for name in registry.family_names() if speaks(name)]


def speaks(family: str) -> bool:
    """Whether the models of a family speak, without any weights."""
    model = registry.family(family).model
    return any(hasattr(model, way) for way in ("say", "say_mels", "say_latents_like"))
