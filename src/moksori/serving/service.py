"""What all protocols share: the models, the voices, the thread that works, and who may be worked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moksori.audio.encode import StreamFormat
from moksori.models.contract import CHUNK_FRAMES
from moksori.pipeline.arriving_speech import ArrivingSpeech
from moksori.pipeline.catalogue import DEFAULT_VOICE, BecomeBy, Catalogue, SpokenBy
from moksori.pipeline.clips import StyleClip
from moksori.pipeline.convert import ConvertOptions
from moksori.pipeline.enrolment import Enrolled, enroll
from moksori.pipeline.kept_voices import KeptVoice, KeptVoices
from moksori.pipeline.manner import Manner
from moksori.pipeline.model_shelf import ModelShelf
from moksori.pipeline.performer import Performer
from moksori.pipeline.relayed_speaker import RelayedSpeaker
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.score import read_score
from moksori.pipeline.seeds import chosen_seed
from moksori.pipeline.sing import SingOptions, sing
from moksori.pipeline.sound_in_progress import BUSY_CHUNK_FRAMES, EncodedSound, SoundInProgress
from moksori.pipeline.speech import synthetic_metadata
from moksori.pipeline.styles import style_of
from moksori.pipeline.together import Together
from moksori.serving.admission import Admission
from moksori.serving.errors import Refused
from moksori.serving.metrics import Metrics
from moksori.serving.schemas import SpeechRequest, SpeechSettings
from moksori.serving.settings import Settings
from moksori.serving.worker import Worker
from moksori.text.lexicon import Lexicon
from moksori.types import Voice

PCM_RATE = 24_000
"""Of pcm that nobody chose a rate for: clients of OpenAI's expect it."""


@dataclass(frozen=True)
class Form:
    """How a sound is to leave. rate: Hz; None: the model's own."""

    format: StreamFormat = "mp3"
    rate: int | None = None

    @property
    def heard_rate(self) -> int | None:
        """What an encoder is told."""
        return PCM_RATE if self.format == "pcm" and self.rate is None else self.rate


@dataclass(frozen=True)
class Spoken:
    """Who speaks, how, and in what language."""

    performer: Performer
    options: SayOptions
    who: SpokenBy
    language: str


class Service:
    """The methods that make sound are called in the worker's thread, and raise MoksoriErrors."""

    def __init__(self, settings: Settings) -> None:
        import torch

        self.settings = settings
        self.catalogue = Catalogue(KeptVoices(settings.voices))
        self.shelf = ModelShelf(self.catalogue, settings.keep_models, settings.device)
        self.worker = Worker(settings.threads or max(torch.get_num_threads() // 2, 1))
        self.admission = Admission(settings.concurrency, settings.queue)
        self.metrics = Metrics(self.admission)
        self._together = Together(settings.batch, self.metrics.batches.observe)

    def first_models(self) -> list[str]:
        """Those to be loaded at the start; raises UnknownName for one that is not here."""
        named = [self.catalogue.default("speech") if n == DEFAULT_VOICE else n for n in self.settings.preload]
        return [self.catalogue.named(name).model.name for name in named if name is not None]

    def performer(self, asked: SpeechSettings) -> Spoken:
        """Who is to speak, loaded."""
        who = self.catalogue.speaker_of(asked.model_name, asked.voice_name)
        speaker = self.shelf.take(who.model).speaker
        options = SayOptions(
            speed=asked.speed,
            variation=asked.variation,
            pause_seconds=asked.pause,
            speaker=who.speaker,
            language=asked.language,
            volume_db=asked.volume,
            lexicon=Lexicon.of(dict(asked.lexicon)),
            shift_semitones=asked.pitch,
        )
        if asked.style:
            styles = tuple(self.catalogue.style_of(who.model, name) for name in asked.style)
            options = speaker.in_manner(options, Manner.of(style=styles, strength=asked.strength))
        performer: Performer = speaker
        if who.kept is not None and who.converter:
            performer = RelayedSpeaker(speaker, self.shelf.take(who.converter).converter, who.kept.voice)
        elif who.kept is not None:
            options = speaker.in_voice(options, who.kept.voice)
        return Spoken(performer, options, who, asked.language or speaker.language_of(who.speaker))

    def speech(self, asked: SpeechRequest) -> EncodedSound:
        """A text as sound that is made while it leaves."""
        return self._encoded(self.plain_speech(asked), Form(asked.response_format, asked.sample_rate))

    def plain_speech(self, asked: SpeechRequest) -> SoundInProgress:
        """The same before it is encoded."""
        self.check_text(asked.input)
        spoken = self.performer(asked)
        sound = SoundInProgress.spoken(
            spoken.performer,
            asked.input,
            spoken.options,
            asked.seed,
            spoken.who.named,
            spoken.language,
            asked.ssml,
            self._chunk_frames,
            self._together,
        )
        self.metrics.characters.inc(len(asked.input))
        return replace(sound, notes=asked.notes)

    def arriving(self, asked: SpeechSettings) -> tuple[ArrivingSpeech, Spoken]:
        """What speaks sentences that are still to come."""
        spoken = self.performer(asked)
        return ArrivingSpeech(spoken.performer, spoken.options, chosen_seed(asked.seed), self._chunk_frames), spoken

    def conversion(
        self,
        recording: Path,
        by: BecomeBy,
        targets: Sequence[Path],
        options: ConvertOptions,
        seed: int | None,
        form: Form,
        text: str | None = None,
        language: str | None = None,
    ) -> EncodedSound:
        """A recording in another voice. text: what is said in it, and its language, for models that say it anew."""
        likes = (by.kept.voice,) if by.kept is not None else tuple(targets)
        options = replace(options, speaker=by.speaker, like=likes, text=text or None, language=language or None)
        return self._encoded(
            SoundInProgress.converted(self.shelf.take(by.model).converter, recording, options, seed), form
        )

    def song(
        self,
        score: Path,
        model: str,
        likes: Sequence[Path | Voice],
        voice: str,
        options: SingOptions,
        seed: int | None,
        form: Form,
    ) -> EncodedSound:
        """A score, sung; it is whole when its first sound leaves."""
        most = self.settings.most_seconds
        speaker = self.shelf.take(model).speaker
        if options.lyrics is None:  # what is wrong with a score, and how long it is, is known before it is sung
            found = read_score(score, options.part, options.verse, options.chords)
            if found.duration_seconds / options.speed > most:
                raise Refused(400, f"the score lasts longer than {most:g} s: give a part of it", "too_long", "score")
        sung = sing(speaker, score, list(likes), options, seed)
        tags = synthetic_metadata(sung.model, sung.seed, sung.text)
        return self._encoded(SoundInProgress.made(sung, sung.model, voice, sung.seed, tags, sung.notes), form)

    def clone(
        self,
        recordings: Sequence[Path],
        sources: Sequence[str],
        consent: str,
        name: str,
        model: str | None,
        text: str | None,
    ) -> tuple[KeptVoice, tuple[str, ...]]:
        """A voice of recordings, or a style where the model has styles; kept. Notes of what to know of them.

        sources: what the recordings are called. text: what is said in them, for a style.
        """
        chosen = model or self.catalogue.default("clone")
        if chosen is None:
            raise Refused(400, "no model here makes voices of recordings", "unsupported", "model")
        shelved, tasks = self.shelf.take(chosen), self.catalogue.named(chosen).tasks
        if "style" in tasks and "clone" not in tasks:
            found = Enrolled(*style_of(shelved.speaker, [StyleClip(path, text) for path in recordings], name=name))
        else:
            found = enroll(shelved.loaded, recordings, name)
        kept = self.catalogue.kept.add(replace(found.voice, consent=consent, sources=tuple(sources)))
        return kept, found.notes

    def check_text(self, text: str) -> None:
        """Raises Refused for a text that is too long."""
        most = self.settings.most_characters
        if len(text) > most:
            message = f"input: has {len(text):,} characters, {most:,} at most are taken: send it in parts"
            raise Refused(400, message, "too_long", "input")

    @property
    def _chunk_frames(self) -> Sequence[int]:
        """Small blocks, which are soon heard, for who is here alone."""
        return CHUNK_FRAMES if self.admission.active + self.admission.waiting <= 1 else BUSY_CHUNK_FRAMES

    def _encoded(self, sound: SoundInProgress, form: Form) -> EncodedSound:
        most = self.settings.most_seconds
        return EncodedSound(sound, form.format, form.heard_rate, most, self.settings.watermark)

    def close(self) -> None:
        """Ends the thread."""
        self.worker.close()
