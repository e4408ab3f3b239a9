"""The aligner of a corpus as a judge of speech: how well a sound fits a text, and how long each phone of it lasts.

It has learnt from the recordings of the corpus's training split alone, never from synthetic speech.
"""

from collections.abc import Sequence

import numpy as np

from moksori.audio.loudness import normalize_loudness
from moksori.audio.resample import resample
from moksori.audio.trim import trim_silence
from moksori.corpus.collate import collate
from moksori.corpus.manifest import Corpus
from moksori.errors import CorpusError
from moksori.evaluation.durations import TimedWord
from moksori.evaluation.intelligibility import LEVEL_LUFS
from moksori.evaluation.likelihood import OTHER_TEXTS, likelihood_ratio, other_texts, text_margin
from moksori.pipeline.align import fewest_frames, trained_aligner
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.speech_timings import SentenceTiming, Word, token_symbols, word_spans
from moksori.pipeline.timings import ALIGNED_HOP, ALIGNED_RATE
from moksori.text.tokenizer import Encoded, TextConfig, Tokenizer
from moksori.types import Example, SpeechNeeds, Utterance, Waveform

KEEP_SECONDS = 0.07
"""Silence that stays at the ends, as `corpus import` leaves it: a model's own must not count."""


class AlignerJudge:
    """The aligner that `moksori corpus align` trains, at 16 kHz; found in the corpus or trained anew.

    preset, assignments: of its training, see `align`. Raises CorpusError if the corpus has nothing to learn from.
    """

    def __init__(
        self,
        corpus: Corpus,
        progress: Progress = no_progress,
        preset: str | None = None,
        assignments: Sequence[str] = (),
    ) -> None:
        if not corpus.utterances.get("train"):
            raise CorpusError(f"{corpus.folder}: holds no training recordings: take a corpus with a split 'train'")
        self._needs, text = SpeechNeeds(ALIGNED_RATE, ALIGNED_HOP), TextConfig(language=corpus.info.language)
        self._aligner = trained_aligner(corpus, self._needs, text, preset, assignments, progress)
        self._tokenizer = Tokenizer(text)
        self._encoded: dict[tuple[str, str], Encoded] = {}
        self._speakers = corpus.speakers

    def log_likelihoods(self, waveform: Waveform, texts: Sequence[str], utterance: Utterance) -> list[float]:
        """Mean log-likelihood of a frame for each text, in nats; NaN where the sound is too short for it.

        utterance: tells speaker and language, not the text.
        """
        sound = self._sound(waveform)
        examples = [self._example(sound, text, utterance) for text in texts]
        fitting = [place for place, example in enumerate(examples) if self._fits(example)]
        found = np.full(len(texts), np.nan)
        if fitting:
            batch = collate([examples[place] for place in fitting], self._needs)
            found[fitting] = self._aligner.log_likelihood(batch).numpy()
        return found.tolist()

    def fit(
        self, waveform: Waveform, text: str, texts: Sequence[str], utterance: Utterance, recording: float | None = None
    ) -> dict[str, float]:
        """How well a sound fits `text`: `log_likelihood`, `text_margin` against others of `texts`, `likelihood_ratio`.

        recording: the log-likelihood of the human recording for the text of `utterance`; None for that one itself.
        """
        others = other_texts(texts, text, OTHER_TEXTS)
        own, *rest = self.log_likelihoods(waveform, [text, *others], utterance)
        values = {"log_likelihood": own, "text_margin": text_margin(own, rest)}
        return values if recording is None else {**values, "likelihood_ratio": likelihood_ratio(own, recording)}

    def words(self, waveform: Waveform, utterance: Utterance) -> list[TimedWord]:
        """When each phone of the utterance's text is heard; none where the sound is too short for it."""
        return timed_words(self.timed(waveform, utterance)[1])

    def timed(self, waveform: Waveform, utterance: Utterance) -> tuple[Waveform, tuple[Word, ...]]:
        """A sound as it is aligned (16 kHz, levelled, hardly any silence at its ends), and when in it each word of the
        utterance's text is heard; no words where it is too short for them."""
        sound = self._sound(waveform)
        example = self._example(sound, utterance.text, utterance)
        if not self._fits(example):
            return sound, ()
        encoded, config = self._tokens(utterance.text, utterance.language), self._tokenizer.config
        frames = self._aligner.align(collate([example], self._needs))[0].tolist()
        tokens = tuple(zip(token_symbols(encoded, config), frames, strict=True))
        timing = SentenceTiming(0, utterance.text, 0.0, ALIGNED_HOP / ALIGNED_RATE, tokens, word_spans(encoded, config))
        return sound, timing.words

    def _sound(self, waveform: Waveform) -> Waveform:
        levelled = normalize_loudness(resample(waveform, ALIGNED_RATE), LEVEL_LUFS)
        samples = trim_silence(levelled, keep_seconds=KEEP_SECONDS).samples
        return Waveform(samples[: len(samples) // ALIGNED_HOP * ALIGNED_HOP], ALIGNED_RATE)

    def _example(self, sound: Waveform, text: str, utterance: Utterance) -> Example:
        encoded = self._tokens(text, utterance.language)
        speaker = self._speakers[utterance.speaker]
        return Example(utterance, sound.samples, speaker, encoded.tokens, encoded.stress)

    def _tokens(self, text: str, language: str) -> Encoded:
        key = (text, language)
        if key not in self._encoded:
            self._encoded[key] = self._tokenizer.encode(text, language)
        return self._encoded[key]

    def _fits(self, example: Example) -> bool:
        return fewest_frames(self._aligner, example) <= len(example.waveform) // ALIGNED_HOP


def timed_words(words: Sequence[Word]) -> list[TimedWord]:
    """Words as the measure of durations takes them; those without sounds are left out."""
    return [
        TimedWord(
            tuple(phoneme.symbol for phoneme in word.phonemes),
            (*(phoneme.start_seconds for phoneme in word.phonemes), word.phonemes[-1].end_seconds),
        )
        for word in words
        if word.phonemes
    ]
