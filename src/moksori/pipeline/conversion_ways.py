"""How models change who speaks: between the speakers of a model's table, or through voices that they imitate."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float

from moksori.corpus.check import CLIPPED_FRACTION, clipped_fraction
from moksori.errors import AudioError, BadInput, MoksoriError, UnsupportedTask, unknown_name
from moksori.models import registry
from moksori.models.checkpoint import Loaded, Manifest
from moksori.models.contract import (
    CanChangeKey,
    CanConvert,
    CanConvertInBlocks,
    CanConvertLive,
    CanConvertMels,
    CanEnroll,
    CanRemark,
    CanTellSpeakers,
)
from moksori.models.streamed import through
from moksori.pipeline.conversions import ConvertOptions
from moksori.pipeline.enrolment import Enrolled, enroll, hear, rate_remarks, source_remarks
from moksori.pipeline.recordings import OpenRecording
from moksori.pipeline.seeds import sentence_generator
from moksori.pipeline.song_likeness import song_remarks
from moksori.pipeline.vocoding import Sounding, find_vocoder
from moksori.pipeline.voices import is_voice_file, keeps_voices, voice_of
from moksori.types import PitchRange, SoundBatch, Voice, Waveform

_LONGEST_LOOK_SECONDS = 4.0
_LOOK_BUDGET_SECONDS = 200.0  # of sound that is looked at to find out who speaks, over all speakers


@dataclass(frozen=True)
class Job:
    """A conversion that is ready to be made."""

    source: Voice | None
    target: Voice
    blocks: Iterator[Float[np.ndarray, " block"]]
    notes: tuple[str, ...]

    @property
    def source_name(self) -> str:
        return "" if self.source is None else self.source.name


class Way(Protocol):
    """How a model gets from a recording to another voice."""

    def check(self, options: ConvertOptions) -> None:
        """Raises UnknownName, BadInput or UnsupportedTask where the options are not for this model."""

    def job(self, recording: OpenRecording, options: ConvertOptions, seed: int) -> Job: ...


def way_of(loaded: Loaded, vocoder: str | Path | None = None) -> "BetweenSpeakers | ThroughVoices":
    """How a model converts; raises UnsupportedTask, saying why, where it cannot."""
    manifest, model = loaded.manifest, loaded.model
    if isinstance(model, CanEnroll) and isinstance(model, CanConvertMels):
        return ThroughVoices(loaded, vocoder)
    # A model that may make either has its mels' settings where it makes mels.
    if isinstance(model, CanConvertMels) and getattr(model, "mel_config", None) is not None:
        return BetweenSpeakersInMels(loaded, vocoder)
    if not isinstance(model, CanConvert):
        raise UnsupportedTask(
            f"{manifest.name}: a {manifest.family!r} model cannot convert: use one of "
            f"{', '.join(sorted({*table_families(), *imitating_families()}))}"
        )
    if manifest.absent:
        raise UnsupportedTask(
            f"{manifest.name}: was imported without {', '.join(manifest.absent)}, so it speaks but cannot listen: "
            "import it from a checkpoint that holds all parts"
        )
    if len(manifest.speakers) < 2 and isinstance(model, CanTellSpeakers):
        raise UnsupportedTask(
            f"{manifest.name}: has one speaker, and conversion is between the speakers of a model: use a model of "
            "several (see 'moksori models')"
        )
    if vocoder is not None:
        raise UnsupportedTask(f"{manifest.name}: makes sound itself and takes no vocoder: leave it out")
    return BetweenSpeakers(loaded)


def table_families() -> list[str]:
    """Families that convert between the speakers of a model."""
    return registry.families_with("convert")


def imitating_families() -> list[str]:
    """Families that convert to the voice of a recording."""
    return registry.families_with("convert_to_mels", "hear")


class BetweenSpeakers:
    """A model with a table of speakers that converts between them."""

    def __init__(self, loaded: Loaded) -> None:
        self.manifest, self._loaded = loaded.manifest, loaded
        self._model: CanConvert | CanConvertMels = _converting(loaded)
        self._device = loaded.device

    def check(self, options: ConvertOptions) -> None:
        name = self.manifest.name
        if options.like:
            self._check_likes(options)
        elif options.speaker is None:
            raise UnsupportedTask(
                f"{name}: converts to its own speakers only, and cleans no recordings: name a speaker, or use one of "
                f"{', '.join(imitating_families())}"
            )
        if options.source is not None and not self.takes_source:
            raise BadInput(f"source {options.source!r}: {name} needs not know who sings: leave the source out")
        for known in (options.speaker, options.source):
            if known is not None and known not in self.manifest.speakers:
                raise unknown_name("speaker", known, self.manifest.speakers)
        if options.strength != 1.0:
            raise UnsupportedTask(f"{name}: nothing lies between the speakers of its table: leave the strength out")
        if (options.shift_semitones or options.key) and not getattr(self._model, "takes_pitch", False):
            raise UnsupportedTask(f"{name}: follows no pitch: leave pitch and key out")
        if options.key == "auto" and not isinstance(self._model, CanChangeKey):
            raise UnsupportedTask(f"{name}: knows no key: leave --key auto out, or give --pitch in semitones")

    def _check_likes(self, options: ConvertOptions) -> None:
        name = self.manifest.name
        if not keeps_voices(self._loaded):
            raise UnsupportedTask(
                f"{name}: a {self.manifest.family!r} model imitates no voice of a recording: use one of "
                f"{', '.join(imitating_families())}"
            )
        for like in options.like:
            if not isinstance(like, Voice) and not is_voice_file(like):
                raise UnsupportedTask(
                    f"{name}: hears no voice in a recording at once: fit one first, 'moksori voice fit {like} --model "
                    f"{name} -o x.voice', and give it with --like x.voice"
                )

    def job(self, recording: OpenRecording, options: ConvertOptions, seed: int) -> Job:
        sings = isinstance(self._model, CanChangeKey)
        notes = []
        if sings:
            notes = [*rate_remarks(recording), *song_remarks(recording, self.manifest.speaker_pitch)]
        source = self._voice(options.source) if options.source is not None else None
        if source is None and isinstance(self._model, CanTellSpeakers):
            source = self._nearest(self._model, recording)
            notes.append(
                f"{recording.name}: taken as spoken by {source.name!r}, the best fit of {len(self.manifest.speakers)} "
                "speakers; --source names another"
            )
        target = self.target(options).voice
        if isinstance(self._model, CanRemark):
            notes += self._remarks(self._model, recording, target)
        if options.key == "auto":
            options, said = self._keyed(recording, target, options)
            notes.append(said)
        if source is not None and source.speaker == target.speaker:
            notes.append(f"{source.name!r} stays {target.name!r}: the recording is only analysed and made anew")
        blocks = self._blocks(recording, target, source, options, sentence_generator(seed, 0, self._device))
        return Job(source, target, checked(self.manifest.name, recording.name, blocks), tuple(notes))

    def target(self, options: ConvertOptions) -> Enrolled:
        """Who is to be heard: of the table, or of voices in files."""
        if options.like:
            return enroll(self._loaded, options.like)
        assert options.speaker is not None
        return Enrolled(self._voice(options.speaker), ())

    @property
    def takes_source(self) -> bool:
        """Whether it may be told who is heard in a recording; whoever sings a song is all the same to its model."""
        return not isinstance(self._model, CanChangeKey)

    @property
    def is_live(self) -> bool:
        return isinstance(self._model, CanConvertLive) and not isinstance(self._model, CanTellSpeakers)

    def live(
        self, sound: Iterable[Float[np.ndarray, " block"]], target: Voice, options: ConvertOptions, seed: int
    ) -> Iterator[Float[np.ndarray, " block"]]:
        """Sound as it comes, at the model's rate and level, in another voice; as many samples as came."""
        assert isinstance(self._model, CanConvertLive)
        generator = sentence_generator(seed, 0, self._device)
        conversion = self._model.stream(target, options.controls, generator)
        made = (block for block in through(conversion, sound) if block.shape[1])
        return checked(self.manifest.name, "what comes in", made)

    def live_delay_seconds(self, target: Voice) -> float:
        """From a sample that comes in to the same one as it leaves, the work itself and changes of rate aside."""
        assert isinstance(self._model, CanConvertLive)
        return self._model.stream(target, ConvertOptions().controls).delay_seconds

    def auto_key(self, recording: OpenRecording, target: Voice) -> int | None:
        """Semitones that bring a song to where the target sings; None where either is not known.

        Raises UnsupportedTask for a model that knows no key.
        """
        if not isinstance(self._model, CanChangeKey):
            raise UnsupportedTask(f"{self.manifest.name}: knows no key: leave --key auto out, or give semitones")
        return self._model.auto_key(recording.sound, target)

    def _remarks(self, model: CanRemark, recording: OpenRecording, target: Voice) -> list[str]:
        """What the model has to say of the recording, and whether it is clipped."""
        loudest = recording.stretch(*recording.scan.loudest_stretch(_LONGEST_LOOK_SECONDS))
        notes = source_remarks(recording)
        if clipped_fraction(loudest) > CLIPPED_FRACTION:
            notes.append(f"{recording.name}: is clipped, which will be heard as roughness: record it at a lower level")
        said = model.remarks(Waveform(loudest, recording.sound.sample_rate), target)
        return [*notes, *(f"{recording.name}: {remark}" for remark in said)]

    def _keyed(self, recording: OpenRecording, target: Voice, options: ConvertOptions) -> tuple[ConvertOptions, str]:
        """The options with the key that brings the song to where the target sings, and what to tell of it."""
        found = self.auto_key(recording, target)
        if found is None:
            return replace(options, key=0.0), (
                f"{recording.name}: the key stays: next to nothing in it is sung at a pitch, or it is not known where "
                f"{target.name!r} sings"
            )
        return replace(options, key=float(found)), f"{recording.name}: key {found:+d} semitones"

    def _voice(self, name: str) -> Voice:
        return speaker_voice(self.manifest, name)

    def _nearest(self, model: CanTellSpeakers, recording: OpenRecording) -> Voice:
        """Who is likeliest to have spoken the loudest stretch of the recording."""
        speakers = self.manifest.speakers
        seconds = min(_LONGEST_LOOK_SECONDS, max(_LOOK_BUDGET_SECONDS / len(speakers), 0.5))
        stretch = self._tensor(recording.stretch(*recording.scan.loudest_stretch(seconds)))
        with torch.inference_mode():
            distances = model.speaker_distances(SoundBatch(stretch, torch.tensor([stretch.shape[1]])))[0]
        return self._voice(speakers[int(distances[: len(speakers)].argmin())])

    def _blocks(
        self,
        recording: OpenRecording,
        target: Voice,
        source: Voice | None,
        options: ConvertOptions,
        generator: torch.Generator,
    ) -> Iterator[Float[torch.Tensor, "1 samples"]]:
        model, controls = self._model, options.controls
        with torch.inference_mode():
            if isinstance(model, CanConvertInBlocks):
                blocks = model.convert_in_blocks(recording.sound, target, source, controls, generator=generator)
                yield from blocks
                return
            assert isinstance(model, CanConvert)
            whole = self._tensor(recording.stretch(0, recording.sound.samples))
            sounds = SoundBatch(whole, torch.tensor([whole.shape[1]], device=self._device))
            yield model.convert(sounds, target, source, controls, generator).waveform

    def _tensor(self, samples: Float[np.ndarray, " samples"]) -> Float[torch.Tensor, "1 samples"]:
        return torch.from_numpy(samples)[None].to(self._device)


class ThroughMels:
    """What ways of conversion have in common whose models make mels: a vocoder, found when it is first needed.

    named: a vocoder's name or folder; None: the one that the model names, or one for such mels.
    """

    manifest: Manifest
    _mels: CanConvertMels
    _device: torch.device
    _named: str | Path | None
    is_live = True

    @cached_property
    def vocoder(self) -> Sounding:
        """Making voices takes none."""
        return find_vocoder(self.manifest, self._mels.mel_config, self._named, self._device)

    def live(
        self, sound: Iterable[Float[np.ndarray, " block"]], target: Voice, options: ConvertOptions, seed: int
    ) -> Iterator[Float[np.ndarray, " block"]]:
        """Sound as it comes, at the model's rate and level, in another voice; it ends with the last whole frame."""
        generator = sentence_generator(seed, 0, self._device)
        mels = self._mels.convert_to_mels(sound, target, None, options.controls, True, generator)
        return checked(self.manifest.name, "what comes in", self.vocoder.sound(mels, None, generator))

    def live_delay_seconds(self, target: Voice) -> float:
        """From a sample that comes in to the same one as it leaves: the model's own delay and the vocoder's."""
        mel = self._mels.mel_config
        frames = self._mels.live_delay_frames + self.vocoder.model.look_ahead_frames
        return frames * mel.hop_length / mel.sample_rate

    def _blocks(
        self,
        recording: OpenRecording,
        target: Voice,
        source: Voice | None,
        options: ConvertOptions,
        generator: torch.Generator,
    ) -> Iterator[Float[torch.Tensor, "1 samples"]]:
        """A whole recording in another voice, as many samples as it has."""
        samples, hop = recording.sound.samples, self._mels.mel_config.hop_length
        blocks, controls = recording.sound.blocks(), options.controls
        mels = self._mels.convert_to_mels(blocks, target, source, controls, generator=generator)
        given = 0
        for block in self.vocoder.sound(mels, -(-samples // hop), generator):
            yield block[:, : samples - given]
            given += block.shape[1]


class BetweenSpeakersInMels(ThroughMels, BetweenSpeakers):
    """A model with a table of speakers that makes mels. vocoder: see ThroughMels."""

    def __init__(self, loaded: Loaded, vocoder: str | Path | None = None) -> None:
        assert isinstance(loaded.model, CanConvertMels)
        super().__init__(loaded)
        self._mels, self._named = loaded.model, vocoder


class ThroughVoices(ThroughMels):
    """A model that imitates voices of recordings; what it makes are mels. vocoder: see ThroughMels."""

    def __init__(self, loaded: Loaded, vocoder: str | Path | None = None) -> None:
        assert isinstance(loaded.model, CanConvertMels)
        self.loaded, self.manifest, self._mels = loaded, loaded.manifest, loaded.model
        self._device, self._named = loaded.device, vocoder

    def check(self, options: ConvertOptions) -> None:
        name = self.manifest.name
        if options.speaker is not None:
            raise UnsupportedTask(
                f"{name}: has no speakers of its own: give a recording of {options.speaker!r} with --like, or a model "
                "that knows that name"
            )
        if options.source is not None:
            raise BadInput(f"source {options.source!r}: {name} needs not know who speaks: leave the source out")
        if options.shift_semitones or options.key:
            raise UnsupportedTask(f"{name}: follows no pitch: leave pitch and key out")

    def target(self, options: ConvertOptions) -> Enrolled:
        """The voice that is to be imitated."""
        return enroll(self.loaded, options.like)

    def job(self, recording: OpenRecording, options: ConvertOptions, seed: int) -> Job:
        notes = source_remarks(recording)
        own = self._own_voice(recording, needed=not options.like or options.strength != 1.0)
        if options.like:
            found = self.target(options)
            target, notes = found.voice, [*notes, *found.notes]
        else:
            assert own is not None
            target = own
        blocks = self._blocks(recording, target, own, options, sentence_generator(seed, 0, self._device))
        source = own if not options.like else None
        return Job(source, target, checked(self.manifest.name, recording.name, blocks), tuple(notes))

    def _own_voice(self, recording: OpenRecording, needed: bool) -> Voice | None:
        """The source's; None where it is not asked for, or only wanted and too short to tell."""
        if not needed and not getattr(self._mels, "wants_source", False):
            return None
        try:
            vector = hear(self.loaded, recording).vector
        except AudioError:
            if needed:
                raise
            return None
        return voice_of(self.loaded, vector, Path(recording.name).stem, (recording.name,))


def speaker_voice(manifest: Manifest, name: str) -> Voice:
    """A speaker of a model's table, with the pitch where it is known."""
    known = manifest.speaker_pitch.get(name)
    pitch = None if known is None else PitchRange(*known)
    return Voice(manifest.family, manifest.speakers.index(name), name, pitch=pitch)


def _converting(loaded: Loaded) -> CanConvert | CanConvertMels:
    model = loaded.model
    assert isinstance(model, CanConvert | CanConvertMels)
    return model


def checked(
    model: str, recording: str, blocks: Iterable[Float[torch.Tensor, "1 samples"]]
) -> Iterator[Float[np.ndarray, " block"]]:
    """As samples that can be written."""
    for block in blocks:
        samples = block[0].float().cpu().numpy()
        if not np.isfinite(samples).all():
            raise MoksoriError(f"{model}: made NaN or infinity of {recording}: try a lower variation")
        yield np.clip(samples, -1.0, 1.0)
