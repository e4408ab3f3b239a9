"""Speech in any voice without a model for it: one voice says the text, and a converter gives it the prompt's."""

from dataclasses import dataclass, field

from moksori.errors import BadInput
from moksori.evaluation.speaker_sexes import speaker_sexes
from moksori.pipeline.convert import Converter, find_converter
from moksori.pipeline.evaluate_like_material import Clone
from moksori.pipeline.evaluate_settings import Baseline
from moksori.pipeline.prompted_voice import PromptedVoice
from moksori.pipeline.say import load
from moksori.pipeline.seeds import sentence_generator
from moksori.pipeline.speaker import Speaker
from moksori.types import Voice, Waveform


@dataclass
class Relay:
    """voice: who says it. converter: what makes the prompt's voice of that."""

    voice: Speaker
    converter: Converter
    _targets: dict[str, Voice] = field(default_factory=dict)

    def say(self, clone: Clone, seed: int) -> Waveform | None:
        """The text in the prompt's voice; None where no speaker of the voice speaks its language."""
        named = self._speaker(clone)
        if named is None:
            return None
        own_seed = sentence_generator(seed, clone.place).initial_seed()
        known = named if named in self.voice.manifest.speakers else None
        speech = self.voice.say(clone.utterance.text, seed=own_seed, pause=0.0, speaker=known)
        return self.converter.convert(speech.waveform, like=self._target(clone), seed=own_seed).waveform

    def _speaker(self, clone: Clone) -> str | None:
        """One who speaks the text's language, of the prompt's sex if there is one."""
        language = clone.utterance.language.lower()[:2]
        able = [name for name in self.voice.speakers if self._language(name) == language]
        alike = [name for name in able if speaker_sexes().get(name, "") == clone.sex]
        return next(iter([*alike, *able]), None)

    def _language(self, name: str) -> str:
        return self.voice.language_of(name if name in self.voice.manifest.speakers else None).lower()[:2]

    def _target(self, clone: Clone) -> Voice:
        if clone.name not in self._targets:
            self._targets[clone.name] = self.converter.enroll(clone.prompt.sound, clone.utterance.speaker)
        return self._targets[clone.name]


def relay_of(baseline: Baseline) -> Relay:
    """The models that are named, the default ones for those that are not.

    Raises UnknownName or CheckpointError where there is none, BadInput for one that cannot do its part.
    """
    voice, converter = load(baseline.voice), find_converter(baseline.converter)
    if isinstance(voice.model, PromptedVoice):
        raise BadInput(f"baseline voice {voice.name}: speaks in the voice of a prompt: name one with voices of its own")
    if converter.speakers:
        raise BadInput(f"baseline converter {converter.name}: imitates nobody: name one that takes a recording")
    return Relay(voice, converter)
