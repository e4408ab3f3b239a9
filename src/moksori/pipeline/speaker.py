"""A loaded model that speaks texts: sentence by sentence, each with its own random numbers.

Sentence k of a text draws its noise from a generator seeded with (seed, k) alone, so a sentence sounds the same whether
it is spoken in memory, streamed to a file, or after a resumed job.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int

from moksori.audio.resample import Resampler
from moksori.errors import BadInput, CheckpointError, MoksoriError, TextError, UnsupportedTask
from moksori.models.checkpoint import Loaded, fingerprint
from moksori.models.contract import CHUNK_FRAMES, CanSay
from moksori.pipeline.lexicon_scopes import unknown_scopes
from moksori.pipeline.mel_voice import MelVoice, latent_model, speaking_families, speaking_model
from moksori.pipeline.models import unknown_speaker
from moksori.pipeline.performer import check_length, check_texts, collected
from moksori.pipeline.prompted_voice import PromptedVoice
from moksori.pipeline.say_options import FASTEST, SLOWEST, SayOptions
from moksori.pipeline.seeds import chosen_seed, sentence_generator, sentence_seed
from moksori.pipeline.sentences import Gap, Piece, Sentence, arriving, readings, sentences
from moksori.pipeline.speech import Speech
from moksori.pipeline.speech_timings import (
    Durations,
    DurationSource,
    SentenceTiming,
    Word,
    token_symbols,
    word_spans,
)
from moksori.pipeline.text_batches import text_batch
from moksori.text.inline import as_written
from moksori.text.lexicon import Lexicon, LexiconSource
from moksori.text.markup import MAXIMUM_SHIFT_SEMITONES
from moksori.text.tokenizer import Encoded, Tokenizer
from moksori.types import SayControls, SpokenFlags, TextBatch, Voice

if TYPE_CHECKING:
    from moksori.pipeline.convert import Conversion
    from moksori.pipeline.enrolment import Like
    from moksori.pipeline.manner import Manner, StyleSource
    from moksori.pipeline.recordings import Audio
    from moksori.pipeline.score import Score
    from moksori.pipeline.sing import SingOptions, Sung
    from moksori.pipeline.streaming import SpeechStream

logger = logging.getLogger(__name__)

__all__ = ["Gap", "Piece", "SayOptions", "Sentence", "Speaker", "Speech", "Word", "readings", "sentences"]


@dataclass(frozen=True)
class Line:
    """A sentence as a model is asked for it; `batch` is None where there is nothing to speak.

    played_rate: rate at which the model's samples are to be played.
    """

    number: int
    sentence: Sentence
    encoded: Encoded
    options: SayOptions
    batch: TextBatch | None = None
    controls: SayControls = field(default_factory=SayControls)
    generator: torch.Generator | None = None
    played_rate: int = 0


class Finish:
    """Makes of a model's samples those that are heard, block by block: rate, volume, limits.

    Raises MoksoriError for NaN and infinity.
    """

    def __init__(self, model: str, line: Line, sample_rate: int) -> None:
        self._model, self._text = model, line.sentence.text
        self._resampler = Resampler(line.played_rate, sample_rate)
        self._gain = np.float32(10.0 ** ((line.options.volume_db + line.sentence.style.volume_db) / 20.0))

    def __call__(self, samples: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " heard"]:
        """The next samples; those that are ready."""
        if not np.isfinite(samples).all():
            raise MoksoriError(
                f"{self._model}: made NaN or infinity of {self._text[:60]!r}: try another seed or a lower variation"
            )
        return np.clip(self._resampler.push(samples) * self._gain, -1.0, 1.0)

    def rest(self) -> Float[np.ndarray, " heard"]:
        """What was held back, after the last samples."""
        return np.clip(self._resampler.finish() * self._gain, -1.0, 1.0)


class Speaker:
    """A model that speaks: `say` for texts in memory, `stream` for sound at once, `pieces` for texts of any length.

    lexicon: pronunciations for all that it says. vocoder: for a model that makes mels, a name or folder; None: the one
    that the model names, or one for such mels. A model's attribute `takes_pitch`, where it has one, tells whether it
    follows a pitch, or what it says is to be played faster or slower instead; `mixes_durations` whether it takes a
    `duration_mix`; `changes_speed` whether it can speak faster or slower; `keeps_best` whether it takes `best_of`.
    Raises UnsupportedTask if the model cannot speak, CheckpointError if the folder names two different text settings.
    """

    def __init__(self, loaded: Loaded, lexicon: LexiconSource | None = None, vocoder: str | Path | None = None) -> None:
        model = speaking_model(loaded, vocoder)
        if model is None or loaded.manifest.text is None:
            raise UnsupportedTask(
                f"{loaded.manifest.name}: a {loaded.manifest.family!r} model cannot speak: use one of "
                f"{', '.join(speaking_families())}"
            )
        own = getattr(getattr(loaded.model, "config", None), "text", None)
        if own is not None and own != loaded.manifest.text:  # other ids than those it was trained with would be babble
            raise CheckpointError(f"{loaded.folder}: config.json's text and model.text differ: copy the model again")
        self.loaded = loaded
        self.manifest = loaded.manifest
        self._model: CanSay = model
        self._named = vocoder
        self._text = loaded.manifest.text
        self.lexicon = Lexicon.of(lexicon)
        self._tokenizers: dict[Lexicon, Tokenizer] = {}
        self._doubted: set[str] = set()
        self._device = loaded.device

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def model(self) -> CanSay:
        """The network."""
        return self._model

    @property
    def sample_rate(self) -> int:
        return self.manifest.sample_rate

    @property
    def identity(self) -> dict[str, object]:
        """What decides how it sounds, the options aside: a job goes on only with the same."""
        vocoder = {"vocoder": self._model.vocoder.fingerprint} if isinstance(self._model, MelVoice) else {}
        if isinstance(self._model, PromptedVoice):
            vocoder = {"codec": self._model.codec.fingerprint}
        return {
            "model": self.name,
            "fingerprint": fingerprint(self.loaded.folder),
            **vocoder,
            "speaker_lexicon": self.lexicon.as_json(),
        }

    @property
    def speakers(self) -> tuple[str, ...]:
        """The names that `speaker=` takes."""
        return self.manifest.speakers or (self.manifest.name,)

    def say(
        self,
        text: str,
        speed: float = 1.0,
        variation: float | None = None,
        pause: float | None = None,
        seed: int | None = None,
        speaker: str | None = None,
        language: str | None = None,
        volume: float = 0.0,
        lexicon: LexiconSource | None = None,
        ssml: bool | None = None,
        pitch: float = 0.0,
        duration_mix: float | None = None,
        durations: DurationSource = None,
        style: "StyleSource | Sequence[StyleSource] | None" = None,
        strength: "float | tuple[float, float] | None" = None,
        blend: "str | Mapping[str, float] | None" = None,
        manner: "Manner | None" = None,
        best_of: int | None = None,
        like: "Like | Sequence[Like] | None" = None,
        prosody: "Like | None" = None,
    ) -> Speech:
        """The text as speech; the same seed gives the same samples, None draws one.

        speed: factor, 2 = half as long. variation: 0 = the same sound every time, None = the model's own.
        pause: seconds between sentences. volume: dB. Ranges: see SayOptions. lexicon: a mapping of word to IPA or
        respelling, or lexicon files. ssml: whether the text is SSML; None = where it starts with `<speak`.
        pitch: semitones. duration_mix: share of sampled durations, for models with two duration predictors. durations:
        frames of every token: `sentences` of a Speech, or the JSON of its timings, perhaps edited.
        style: reference clips or styles, of which `strength` is taken; blend: shares by name, or as "a=0.3,b=0.7", of
        speakers, styles or seeds; manner: these and more, see Manner. For models whose latents can be chosen.
        best_of: draws of each sentence of which the best is kept, for models that may leave something out.
        like: recordings or `.voice` files of who is to speak, for models that imitate; prosody: a recording in whose
        manner, instead of theirs.
        Raises TextError for a text with nothing to speak or of more than 200,000 characters, BadInput for a value out
        of range, UnknownName for a speaker or language that does not exist.
        """
        if not isinstance(text, str):
            raise TextError(f"text: expected a string, found {type(text).__name__}")
        check_length(text)
        options = SayOptions(
            speed, variation, pause, speaker, language, volume, Lexicon.of(lexicon), pitch, duration_mix,
            Durations.of(durations), best_of=best_of,
        )  # fmt: skip
        options = self.in_voice(self._in_manner(options, manner, style, strength, blend), like, prosody)
        texts = list(readings(text, language or self.language_of(speaker), ssml))
        return collected(self, texts, options, chosen_seed(seed), text)

    def pieces(
        self,
        texts: Iterable[Sentence],
        options: SayOptions,
        seed: int,
        first: int = 0,
        gap: Gap = Gap(),
        told: set[str] | None = None,
    ) -> Iterator[Piece]:
        """Sentence after sentence as sound, in bounded memory; the silence at the end of the text is the caller's.

        first: the number of the first of these sentences in the whole text; gap: the state before it. told: symbols
        that were warned of; new ones are added.
        """
        for line in self.lines(texts, options, seed, first, told):
            piece = Piece(line.number, line.sentence, np.zeros(0, np.float32), None)
            if line.batch is not None:
                piece = self._piece(line, self.silence(gap.seconds(options.pause)))
            yield piece
            gap = gap.after(piece)

    def stream(
        self,
        text: str | Iterable[str],
        speed: float = 1.0,
        variation: float | None = None,
        pause: float | None = None,
        seed: int | None = None,
        speaker: str | None = None,
        language: str | None = None,
        volume: float = 0.0,
        lexicon: LexiconSource | None = None,
        ssml: bool | None = None,
        pitch: float = 0.0,
        duration_mix: float | None = None,
        durations: DurationSource = None,
        style: "StyleSource | Sequence[StyleSource] | None" = None,
        strength: "float | tuple[float, float] | None" = None,
        blend: "str | Mapping[str, float] | None" = None,
        manner: "Manner | None" = None,
        best_of: int | None = None,
        like: "Like | Sequence[Like] | None" = None,
        prosody: "Like | None" = None,
        chunk_frames: int | Sequence[int] = CHUNK_FRAMES,
    ) -> "SpeechStream":
        """What `say` says, in blocks of samples that can be heard while the rest is made; iterate over it.

        text: a text of any length, or its parts as they come, such as the words of a language model: each sentence is
        spoken as soon as it is complete. chunk_frames: frames of a sentence in the first, second, ... block; the last
        one holds for all that follow. All else: as for `say`, and with the same seed the same samples but for rounding
        (docs/streaming.md). What an iterator of parts raises comes through, after the sentences that were complete.
        Raises as `say` does; of parts, what is wrong with them when they are spoken.
        """
        from moksori.pipeline.streaming import SpeechStream, check_chunks

        sizes = check_chunks(chunk_frames)
        options = SayOptions(
            speed, variation, pause, speaker, language, volume, Lexicon.of(lexicon), pitch, duration_mix,
            Durations.of(durations), best_of=best_of,
        )  # fmt: skip
        options = self.in_voice(self._in_manner(options, manner, style, strength, blend), like, prosody)
        self._check_options(options)
        spoken = language or self.language_of(speaker)
        if isinstance(text, str):
            self.check(readings(text, spoken, ssml), options)
            texts = readings(text, spoken, ssml)
        elif isinstance(text, Iterable):
            texts = arriving(text, spoken, ssml)
        else:
            raise TextError(f"text: expected a string or an iterator of strings, found {type(text).__name__}")
        return SpeechStream(self, texts, options, chosen_seed(seed), sizes)

    def style(
        self,
        clips: "StyleSource | Sequence[StyleSource]",
        name: str | None = None,
        mode: str = "batch",
        speaker: str | None = None,
    ) -> Voice:
        """The style of reference clips, which `style=` takes and `moksori.pipeline.voices.write_voice` keeps in a file.

        clips: StyleClips, or recordings with a text file beside them. mode: see Manner. speaker: who is to speak.
        Raises UnsupportedTask for a model without latents, AudioError, TextError or BadInput for a clip of no use.
        """
        from moksori.pipeline.manner import Manner
        from moksori.pipeline.styles import style_of

        manner = Manner.of(style=clips)
        return style_of(self, () if manner is None else manner.styles, mode, name, speaker)[0]

    def convert(
        self,
        audio: "Audio",
        speaker: str | None = None,
        source: str | None = None,
        seed: int | None = None,
        variation: float | None = None,
        pitch: float = 0.0,
        like: "Like | Sequence[Like] | None" = None,
        strength: float = 1.0,
        text: str | None = None,
        language: str | None = None,
    ) -> "Conversion":
        """A recording, spoken by another speaker of the model: see `moksori.pipeline.convert.Converter.convert`."""
        from moksori.pipeline.convert import Converter

        return Converter(self.loaded, self._named).convert(
            audio, speaker, source, seed, variation, pitch, like, strength, text=text, language=language
        )

    def denoise(
        self,
        audio: "Audio",
        seed: int | None = None,
        variation: float | None = None,
        like: "Like | Sequence[Like] | None" = None,
    ) -> "Conversion":
        """A recording made anew, for models that imitate: see `moksori.pipeline.convert.Converter.denoise`."""
        from moksori.pipeline.convert import Converter

        return Converter(self.loaded, self._named).denoise(audio, seed, variation, like)

    def enroll(self, recordings: "Like | Sequence[Like]", name: str | None = None) -> Voice:
        """The voice of recordings as a prompt, which `like=` takes and `moksori.pipeline.voices.write_voice` keeps.

        Raises UnsupportedTask for a model that imitates nobody, otherwise as `prompts.read_prompt` does.
        """
        from moksori.pipeline.conversions import likes
        from moksori.pipeline.prompts import enroll_prompt

        return enroll_prompt(self.loaded, likes(recordings), name, self._named).voice

    def sing(
        self,
        score: "str | Path | Score",
        like: "Like | Sequence[Like]",
        options: "SingOptions | None" = None,
        seed: int | None = None,
    ) -> "Sung":
        """A score in the voice of recordings, for models that imitate: see `moksori.pipeline.sing.sing`."""
        from moksori.pipeline.sing import sing

        return sing(self, score, like, options, seed)

    def lines(
        self, texts: Iterable[Sentence], options: SayOptions, seed: int, first: int = 0, told: set[str] | None = None
    ) -> Iterator[Line]:
        """Sentence after sentence, ready for the model; arguments as for `pieces`."""
        self._check_options(options)
        told = set() if told is None else told
        tokenizers: dict[str | None, Tokenizer] = {}
        for number, sentence in enumerate(texts, start=first):
            encoded = self._encoded(sentence, options, tokenizers)
            for symbol in encoded.unknown:
                if symbol not in told:
                    told.add(symbol)
                    logger.warning("%s does not know the symbol %r and leaves it out", self.name, symbol)
            yield self._line(number, sentence, encoded, options, seed)

    def check(self, texts: Iterable[Sentence], options: SayOptions | None = None) -> int:
        """Reads texts through before anything is spoken; returns how many sentences they have.

        options: what they will be spoken with.
        Raises UnknownName for a voice that the model lacks, TextError where given durations are not of these texts, and
        UnsupportedTask for an option that the model does not have.
        """
        options = options or SayOptions()
        self._check_options(options)
        return check_texts(texts, lambda n, sentence: self.check_sentence(n, sentence, options), options.durations)

    def check_sentence(self, number: int, sentence: Sentence, options: SayOptions) -> bool:
        """Checks one sentence, see `check`; whether durations were given for it."""
        if sentence.style.voice is not None:
            self.row_of(sentence.style.voice)
        if options.durations is None:
            return False
        encoded = self._encoded(sentence, options, {})
        if not _has_words(encoded):
            return False
        self._given_frames(number, sentence, encoded, options.durations)
        return True

    def silence(self, seconds: float) -> Float[np.ndarray, " samples"]:
        """Zeros."""
        return np.zeros(round(seconds * self.sample_rate), np.float32)

    def _tokenizer(self, lexicon: Lexicon, voice: str | None) -> Tokenizer:
        """A tokenizer with the entries that hold for a voice."""
        self.row_of(voice)
        whole = self.lexicon + lexicon
        lexicon = whole.for_voice(self.name, voice or self.speakers[0])
        if lexicon not in self._tokenizers:
            doubt = unknown_scopes(whole, (self.name, *self.speakers))
            if doubt and doubt not in self._doubted:
                self._doubted.add(doubt)
                logger.warning("%s", doubt)
            self._tokenizers[lexicon] = Tokenizer(self._text, lexicon)
        return self._tokenizers[lexicon]

    def language_of(self, voice: str | None = None) -> str:
        """The language a speaker of the model speaks where none is asked for; None is the first speaker.

        Where a prompt says who speaks, None is nobody, and the language the model's.
        """
        if voice is None and isinstance(self._model, PromptedVoice):
            return self._text.language
        return self.manifest.speaker_languages.get(voice or self.speakers[0], self._text.language)

    def row_of(self, voice: str | None) -> int:
        """The row of the speaker table of a speaker; None is the first. Raises UnknownName with the nearest names."""
        if voice is not None and voice not in self.speakers:
            raise unknown_speaker(voice, self.speakers)
        return self.manifest.speakers.index(voice) if voice in self.manifest.speakers else 0

    def _check_options(self, options: SayOptions) -> None:
        self.row_of(options.speaker)
        if options.duration_mix is not None and not getattr(self._model, "mixes_durations", False):
            raise UnsupportedTask(
                f"{self.name}: has not both a stochastic and a deterministic duration predictor, so there is nothing "
                "to mix: leave the duration mix out"
            )
        if options.best_of is not None and not getattr(self._model, "keeps_best", False):
            raise UnsupportedTask(f"{self.name}: leaves nothing out, so no draw is the best: leave best-of out")
        steady = options.speed == 1.0 and options.shift_semitones == 0.0
        if not steady and not getattr(self._model, "changes_speed", True):
            raise UnsupportedTask(
                f"{self.name}: speaks at its own speed and pitch only: leave the speed and the pitch out"
            )
        if options.latent is not None and latent_model(self._model) is None:
            raise UnsupportedTask(
                f"{self.name}: has no latents to choose: leave styles, blends, components and prosody out"
            )
        if options.prompt is None and isinstance(self._model, PromptedVoice):
            raise BadInput(f"{self.name}: speaks in the voice of a recording: give one, --like prompt.wav")
        if options.prompt is not None and not isinstance(self._model, PromptedVoice):
            raise UnsupportedTask(f"{self.name}: speaks in its own voices: leave the recording of another one out")
        if isinstance(self._model, MelVoice):
            _ = self._model.vocoder  # one that is missing is told of before anything is spoken

    def in_manner(self, options: SayOptions, manner: "Manner | None") -> SayOptions:
        """The options with what a Manner asks for; raises as `styles.choose` does."""
        from moksori.pipeline.styles import choose

        chosen = choose(self, manner, options.speaker, options.language)
        return options if chosen is None else replace(options, latent=chosen.choice)

    def in_voice(
        self, options: SayOptions, like: "Like | Sequence[Like] | None", prosody: "Like | None" = None
    ) -> SayOptions:
        """The options with whose voice is to be imitated, and in whose manner it is to speak.

        What a person should know of the recordings is logged. Raises UnsupportedTask for a model that imitates nobody,
        BadInput for a manner without a voice, and as `prompts.read_prompt` does.
        """
        if like is None and prosody is None:
            return options
        from moksori.pipeline.prompts import choose_voice

        return choose_voice(self, options, like, prosody)

    def _in_manner(
        self,
        options: SayOptions,
        manner: "Manner | None",
        style: "StyleSource | Sequence[StyleSource] | None",
        strength: "float | tuple[float, float] | None",
        blend: "str | Mapping[str, float] | None",
    ) -> SayOptions:
        if manner is None and style is None and blend is None:
            if strength is not None:
                raise BadInput(f"strength {strength!r}: is that of a style: give clips with it")
            return options
        from moksori.pipeline.manner import Manner

        return self.in_manner(options, Manner.of(manner, style, strength, blend))

    def encoded(self, sentence: Sentence, voice: str | None = None, language: str | None = None) -> Encoded:
        """A text as the voice reads it."""
        return self._encoded(sentence, SayOptions(speaker=voice, language=language), {})

    def _encoded(self, sentence: Sentence, options: SayOptions, tokenizers: dict[str | None, Tokenizer]) -> Encoded:
        """The sentence's tokens; `tokenizers` keeps those of the voices met so far."""
        voice = sentence.style.voice or options.speaker
        if voice not in tokenizers:
            tokenizers[voice] = self._tokenizer(options.lexicon, voice)
        language = sentence.style.language or options.language or self.language_of(voice)
        tokenizers[voice].check_sounds(sentence.text, language)
        return tokenizers[voice].encode(sentence.text, language)

    def _given_frames(
        self, number: int, sentence: Sentence, encoded: Encoded, durations: Durations
    ) -> Int[np.ndarray, " tokens"]:
        given = durations[number]
        if given is None:
            raise TextError(
                f"durations: have none for sentence {number + 1}, {sentence.text[:40]!r}: give those of the whole text"
            )
        return given.frames_for(token_symbols(encoded, self._text), sentence.text)

    def _line(self, number: int, sentence: Sentence, encoded: Encoded, options: SayOptions, seed: int) -> Line:
        style, durations = sentence.style, None
        if not _has_words(encoded):
            return Line(number, sentence, encoded, options)
        if options.durations is not None:
            durations = self._given_frames(number, sentence, encoded, options.durations)
        batch = text_batch(encoded, self.row_of(style.voice or options.speaker), self._device, durations)
        shift = options.shift_semitones + style.shift_semitones
        shift = min(max(shift, -MAXIMUM_SHIFT_SEMITONES), MAXIMUM_SHIFT_SEMITONES)
        follows = getattr(self._model, "takes_pitch", True)
        # What a model without a source says slower is played faster: it lasts as long, and formants move along.
        played_rate = self.sample_rate if follows else round(self.sample_rate * 2.0 ** (shift / 12.0))
        speed = min(max(options.speed * style.rate, SLOWEST), FASTEST) * self.sample_rate / played_rate
        controls = SayControls(
            options.variation, speed, shift if follows else 0.0, options.duration_mix, best_of=options.best_of
        )
        if options.prompt is not None and isinstance(self._model, PromptedVoice):
            plan = options.prompt.plan(self._model.codec.model, self._device)
            controls = replace(controls, prompt=plan)
        model = latent_model(self._model)
        if options.latent is not None and model is not None:
            controls = options.latent.controls(controls, model, batch, number, sentence_seed)
        generator = sentence_generator(seed, number, self._device)
        return Line(number, sentence, encoded, options, batch, controls, generator, played_rate)

    def _piece(self, line: Line, before: Float[np.ndarray, " samples"]) -> Piece:
        assert line.batch is not None
        with torch.inference_mode():
            spoken = self._model.say(line.batch, line.controls, line.generator)
        length = int(spoken.waveform_lengths[0])
        samples = spoken.waveform[0, :length].float().cpu().numpy()
        finish = Finish(self.name, line, self.sample_rate)
        samples = np.concatenate([finish(samples), finish.rest()])
        timing = self.timing(line, len(before), length, spoken.durations, spoken.flags)
        return Piece(line.number, line.sentence, np.concatenate([before, samples]), timing)

    def timing(
        self,
        line: Line,
        before: int,
        length: int,
        durations: Int[torch.Tensor, "batch tokens"],
        flags: Sequence[SpokenFlags] = (),
    ) -> SentenceTiming:
        """What is heard when; `before`: samples of silence ahead, `length`: samples that the model makes.

        flags: of what it made; what a person should know of it is logged.
        """
        encoded = line.encoded
        frames = durations[0, : len(encoded.tokens)].tolist()
        timing = SentenceTiming(
            line.number,
            " ".join(as_written(line.sentence.text).split()),
            before / self.sample_rate,
            length / max(sum(frames), 1) / line.played_rate,
            tuple(zip(token_symbols(encoded, self._text), frames, strict=True)),
            word_spans(encoded, self._text),
            line.sentence.role,
            flags[0] if flags else None,
        )
        for doubt in timing.doubts:
            logger.warning("%s, %r: %s", self.name, line.sentence.text[:40], doubt)
        if line.options.durations is not None:
            self._check_frames(timing, line.options.durations)
        return timing

    def _check_frames(self, timing: SentenceTiming, durations: Durations) -> None:
        """Raises where the model did not keep to given durations, or they count frames of another length."""
        given = durations[timing.number]
        if given is None or given.tokens != timing.tokens:
            raise UnsupportedTask(f"{self.name}: a {self.manifest.family!r} model takes no durations: leave them out")
        if given.frame_seconds is not None and abs(given.frame_seconds / timing.frame_seconds - 1.0) > 1e-4:
            raise TextError(
                f"durations: count frames of {given.frame_seconds:.6g} s, but {self.name} speaks in frames of "
                f"{timing.frame_seconds:.6g} s here: give them to the voice, at the pitch, that they were made with"
            )


def _has_words(encoded: Encoded) -> bool:
    return any(word.end_token > word.start_token for word in encoded.words)
