"""Singing a score in the voice of a prompt, spoken or sung: notes decide durations and pitch, the prompt who sings."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from moksori.audio.autocorrelation import autocorrelation_f0
from moksori.corpus.melody import midi, note_name
from moksori.errors import BadInput, MoksoriError, UnsupportedTask
from moksori.pipeline.codecs import FoundCodec
from moksori.pipeline.conversions import likes
from moksori.pipeline.enrolment import Like
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.prompt_choice import Prompt
from moksori.pipeline.prompted_voice import PromptedVoice
from moksori.pipeline.prompts import prompt_choice, prompted_families, unlearnt
from moksori.pipeline.score import MOST_KEY, Chords, Score, in_range, read_score
from moksori.pipeline.score_phrases import DEFAULT_VIBRATO_CENTS, Phrase, phrases
from moksori.pipeline.seeds import chosen_seed, sentence_generator
from moksori.pipeline.sentences import Sentence
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.speech import Speech
from moksori.pipeline.speech_timings import SentenceTiming, token_symbols, word_spans
from moksori.pipeline.text_batches import text_batch
from moksori.text.symbols import is_vowel
from moksori.text.tokenizer import Encoded, TextConfig
from moksori.types import SayControls, Waveform

SUNG_ABOVE_SPOKEN = 5.0
"""Semitones by which people sing higher than they speak, in the middle of their songs."""
FAR_SEMITONES = 9.0
"""How far a song may lie from there before it is told."""
FADE_SECONDS = 0.005


@dataclass(frozen=True)
class SingOptions:
    """How a score is sung; out-of-range values raise BadInput.

    part, verse, chords, lyrics: see `score.read_score`. key: semitones, -36 to 36, or "auto": by octaves to where the
    voice sings. speed: factor of the tempo, 0.25 to 4. vibrato_cents: to either side, 0 to 200. variation: of the start
    noise, None = the model's. language: of the words, None = the model's. volume_db: gain.
    """

    part: str | None = None
    verse: int = 1
    chords: Chords = "refuse"
    lyrics: str | None = None
    key: int | Literal["auto"] = 0
    speed: float = 1.0
    vibrato_cents: float = DEFAULT_VIBRATO_CENTS
    variation: float | None = None
    language: str | None = None
    volume_db: float = 0.0

    def __post_init__(self) -> None:
        _within("speed", self.speed, 0.25, 4.0)
        _within("vibrato", self.vibrato_cents, 0.0, 200.0)
        _within("volume", self.volume_db, -80.0, 40.0)
        if self.variation is not None:
            _within("variation", self.variation, 0.0, 10.0)
        if self.key != "auto" and not (type(self.key) is int and abs(self.key) <= MOST_KEY):
            raise BadInput(f"key {self.key!r}: expected whole semitones from -{MOST_KEY} to {MOST_KEY}, or auto")
        if type(self.verse) is not int or self.verse < 1:
            raise BadInput(f"verse {self.verse!r}: expected a whole number from 1 on")
        if self.chords not in ("refuse", "highest", "lowest"):
            raise BadInput(f"chords {self.chords!r}: expected refuse, highest or lowest")


@dataclass(frozen=True, kw_only=True)
class Sung(Speech):
    """A sung score; what is heard when stands in `sentences`, one for each phrase.

    f0: what was to be sung, in Hz, of each frame of `frame_seconds`; 0 where there is no voice. key: semitones by
    which the score was moved. notes: what a person should know of score and prompt.
    """

    f0: Float[np.ndarray, " frames"]
    frame_seconds: float
    key: int
    notes: tuple[str, ...]


def sing(
    speaker: Speaker,
    score: str | Path | Score,
    like: Like | Sequence[Like],
    options: SingOptions | None = None,
    seed: int | None = None,
    progress: Progress = no_progress,
) -> Sung:
    """A score in the voice of recordings or `.voice` files; the same seed gives the same samples, None draws one.

    score: a MusicXML or MIDI file, or what `read_score` made of one. progress: is told phrases.
    Raises UnsupportedTask for a model that takes no pitch and durations in a prompt's voice, BadInput, TextError or
    AudioError for a score, lyrics or recordings that cannot be used, MoksoriError where the model makes NaN.
    """
    options = options or SingOptions()
    voice, config = _singing(speaker)

    def encode(words: str) -> Encoded:
        return speaker.encoded(Sentence(words), None, options.language)

    found = _score(score, options, encode, config)
    choice, notes = prompt_choice(voice.codec, likes(like))
    centre = _centre(choice.voice, voice.codec)
    key = _key(found, options, centre)
    found = in_range(found.moved(key, options.speed), key)
    notes = (*notes, *found.remarks, *unlearnt(speaker, options.language), *_far(found, centre))
    seed = chosen_seed(seed)
    rate, hop = speaker.sample_rate, voice.latent_model.hop_length
    planned = phrases(found, encode, config, hop / rate, options.vibrato_cents)
    total = planned[-1].start_frame + planned[-1].frames
    samples, f0 = np.zeros(total * hop, np.float32), np.zeros(total, np.float32)
    timings = []
    progress(0, len(planned))
    for number, phrase in enumerate(planned):
        plan = choice.plan(voice.codec.model, speaker.loaded.device, _row(phrase.f0, speaker))
        controls = SayControls(variation=options.variation, prompt=plan)
        with torch.inference_mode():
            spoken = voice.say(
                text_batch(phrase.encoded, 0, speaker.loaded.device, phrase.durations),
                controls,
                sentence_generator(seed, number),
            )
        made = spoken.waveform[0, : int(spoken.waveform_lengths[0])].float().cpu().numpy()
        if len(made) != phrase.frames * hop or not np.isfinite(made).all():
            raise MoksoriError(
                f"{speaker.name}: made NaN, or {len(made)} samples where {phrase.frames * hop} were asked for, of "
                f"{phrase.text[:40]!r}: try another seed"
            )
        first = phrase.start_frame
        samples[first * hop : (first + phrase.frames) * hop] = _faded(made, rate)
        f0[first : first + phrase.frames] = phrase.f0
        timings.append(_timing(number, phrase, config, hop / rate))
        progress(number + 1, len(planned))
    samples = np.clip(samples * np.float32(10.0 ** (options.volume_db / 20.0)), -1.0, 1.0)
    text = " ".join(phrase.text for phrase in planned)
    return Sung(samples, rate, timings, seed, speaker.name, text, f0=f0, frame_seconds=hop / rate, key=key, notes=notes)


def _singing(speaker: Speaker) -> tuple[PromptedVoice, TextConfig]:
    if not isinstance(speaker.model, PromptedVoice) or speaker.manifest.text is None:
        raise UnsupportedTask(
            f"{speaker.name}: a {speaker.manifest.family!r} model does not sing scores: use one of the family "
            f"{' or '.join(prompted_families())}"
        )
    return speaker.model, speaker.manifest.text


def _score(
    score: str | Path | Score, options: SingOptions, encode: Callable[[str], Encoded], config: TextConfig
) -> Score:
    if isinstance(score, Score):
        return score

    def syllables_of(word: str) -> int:
        encoded = encode(word)
        symbols = [config.symbols[int(token)] for token in encoded.tokens]
        return sum(is_vowel(symbol) for symbol in symbols)

    return read_score(score, options.part, options.verse, options.chords, options.lyrics, syllables_of)


def _key(score: Score, options: SingOptions, centre: float | None) -> int:
    if options.key != "auto":
        return options.key
    if centre is None:
        raise BadInput("key auto: no pitch is heard in the prompt: give semitones, or another prompt")
    return 12 * round((centre - score.median_pitch) / 12.0)


def _centre(prompt: Prompt, codec: FoundCodec) -> float | None:
    """The MIDI number in the middle of what the voice sings, by where the prompt's pitch is; None without any."""
    with torch.inference_mode():
        sound = codec.model.expand(prompt.latents(codec.model, codec.device).latent)[0].float().cpu().numpy()
    f0 = autocorrelation_f0(Waveform(sound, codec.model.sample_rate), codec.model.hop_length)
    voiced = f0[f0 > 0.0]
    return midi(float(np.median(voiced))) + SUNG_ABOVE_SPOKEN if len(voiced) > 10 else None


def _far(score: Score, centre: float | None) -> tuple[str, ...]:
    """That a song lies far from where the voice sings."""
    if centre is None or abs(score.median_pitch - centre) <= FAR_SEMITONES:
        return ()
    away = score.median_pitch - centre
    return (
        f"{score.name}: lies around {note_name(round(score.median_pitch))}, {abs(away):.0f} semitones "
        f"{'above' if away > 0 else 'below'} where this voice would sing: --key auto moves it there by octaves",
    )


def _row(f0: Float[np.ndarray, " frames"], speaker: Speaker) -> Float[torch.Tensor, "1 frames"]:
    return torch.from_numpy(f0)[None].to(speaker.loaded.device)


def _faded(samples: Float[np.ndarray, " samples"], rate: int) -> Float[np.ndarray, " samples"]:
    """Without a step at the ends, where silence or another phrase meets it."""
    count = min(round(FADE_SECONDS * rate), len(samples) // 2)
    ramp = np.linspace(0.0, 1.0, count, dtype=np.float32)
    faded = samples.copy()
    faded[:count] *= ramp
    faded[len(samples) - count :] *= ramp[::-1]
    return faded


def _timing(number: int, phrase: Phrase, config: TextConfig, frame_seconds: float) -> SentenceTiming:
    tokens = tuple(zip(token_symbols(phrase.encoded, config), phrase.durations.tolist(), strict=True))
    start = phrase.start_frame * frame_seconds
    return SentenceTiming(number, phrase.text, start, frame_seconds, tokens, word_spans(phrase.encoded, config))


def _within(name: str, value: float, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        raise BadInput(f"{name} {value!r}: expected a number from {low:g} to {high:g}")
