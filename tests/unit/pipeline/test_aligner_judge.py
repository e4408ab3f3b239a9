"""The aligner as a judge, judged itself: speech of another text, of shuffled words or in noise must fit worse."""

import dataclasses

import numpy as np
import pytest
import torch

from moksori.corpus.manifest import Corpus, read_utterance, rewrite
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import CorpusError
from moksori.evaluation.durations import TimedWord, duration_errors
from moksori.evaluation.likelihood import shuffled_words
from moksori.evaluation.score import noise_like
from moksori.pipeline import align
from moksori.pipeline.aligner_judge import AlignerJudge, timed_words
from moksori.pipeline.speech_timings import SentenceTiming, token_symbols, word_spans
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import SpeechNeeds, Waveform

NEEDS = SpeechNeeds(16000, 200)
QUICK = ("training.max_steps=80", "training.batch_size=8", "objective.uniform_steps=30")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Tones with known durations, and the judge that has learnt them."""
    synthetic = write_synthetic(tmp_path_factory.mktemp("judge") / "tones", count=32, seed=5, needs=NEEDS, speakers=2)
    return synthetic, AlignerJudge(synthetic.corpus, assignments=QUICK)


@pytest.fixture(scope="module")
def spoken(made):
    """Utterances that the aligner has not learnt, with their sound."""
    return [(u, read_utterance(u)) for u in (*made[0].corpus.split("valid"), *made[0].corpus.split("test"))]


def mixed(sound: Waveform, noise: Waveform, ratio_db: float) -> Waveform:
    samples = sound.samples + noise.samples * 10 ** (-ratio_db / 20)
    return Waveform((samples / 3).astype(np.float32), sound.sample_rate)


def test_noise_shuffled_words_and_other_texts_fit_worse(made, spoken) -> None:
    judge, texts = made[1], [u.text for u, _ in spoken]
    for place, (utterance, sound) in enumerate(spoken):
        own = judge.log_likelihoods(sound, [utterance.text], utterance)[0]
        worse = judge.log_likelihoods(
            sound, [shuffled_words(utterance.text, place), texts[(place + 1) % len(texts)]], utterance
        )
        assert max(worse) < own - 2.0
        noise = noise_like(sound, 1, place)
        levels = [mixed(sound, noise, ratio_db) for ratio_db in (20.0, 10.0, 0.0)]
        falling = [judge.fit(s, utterance.text, texts, utterance, own)["likelihood_ratio"] for s in (*levels, noise)]
        assert falling == sorted(falling, reverse=True)
        assert falling[0] < 0.0


def test_the_recording_itself_has_a_ratio_of_nought_and_a_margin(made, spoken) -> None:
    judge, texts = made[1], [u.text for u, _ in spoken]
    utterance, sound = spoken[0]
    alone = judge.fit(sound, utterance.text, texts, utterance)
    assert set(alone) == {"log_likelihood", "text_margin"}
    assert alone["text_margin"] > 2.0
    again = judge.fit(sound, utterance.text, texts, utterance, alone["log_likelihood"])
    assert again["likelihood_ratio"] == 0.0
    assert judge.fit(sound, texts[1], texts, utterance)["text_margin"] < alone["text_margin"] - 2.0
    assert judge.fit(noise_like(sound, 3), utterance.text, texts, utterance)["text_margin"] < alone["text_margin"] - 2.0


def test_level_and_rate_change_little(made, spoken) -> None:
    judge = made[1]
    for utterance, sound in spoken:
        louder = Waveform(0.25 * sound.samples, sound.sample_rate)
        first, second = (judge.log_likelihoods(s, [utterance.text], utterance)[0] for s in (sound, louder))
        assert second == pytest.approx(first, abs=0.3)


def test_a_text_that_the_sound_cannot_hold_has_no_number(made, spoken) -> None:
    utterance, sound = spoken[0]
    long = " ".join([utterance.text] * 60)
    own, none = made[1].log_likelihoods(sound, [utterance.text, long], utterance)
    assert np.isfinite(own)
    assert np.isnan(none)
    assert made[1].words(sound, dataclasses.replace(utterance, text=long)) == []


def test_words_have_the_frames_that_the_aligner_gives_them(made, spoken, monkeypatch) -> None:
    synthetic, judge = made
    for utterance, sound in spoken:
        frames = synthetic.durations[utterance.name]
        monkeypatch.setattr(judge._aligner, "align", lambda batch, frames=frames: torch.from_numpy(frames)[None])
        found = judge.words(sound, utterance)
        assert [word.phones for word in found] == [word.phones for word in timed(utterance.text, frames)]
        errors = duration_errors(found, timed(utterance.text, frames))
        assert (errors.mae, errors.pause_mae, errors.compared) == pytest.approx((0.0, 0.0, 1.0), abs=1e-6)
        slower = duration_errors(found, timed(utterance.text, frames + 2))
        assert slower.mae == pytest.approx(25.0)
        assert slower.pause_mae == pytest.approx(25.0)


def timed(text: str, frames: np.ndarray) -> list[TimedWord]:
    tokenizer = Tokenizer(TextConfig())
    encoded = tokenizer.encode(text)
    tokens = tuple(zip(token_symbols(encoded, tokenizer.config), frames.tolist(), strict=True))
    timing = SentenceTiming(0, text, 0.0, 200 / 16000, tokens, word_spans(encoded, tokenizer.config))
    return timed_words(timing.words)


def test_the_judge_is_kept_in_the_corpus(made, monkeypatch) -> None:
    monkeypatch.setattr(align, "fit", lambda *a, **k: pytest.fail("it was learnt again"))
    AlignerJudge(Corpus.open(made[0].corpus.folder), assignments=QUICK)


def test_without_training_recordings_there_is_no_judge(made, tmp_path) -> None:
    corpus = made[0].corpus
    rewrite(tmp_path, corpus.info, {"train": [], "test": corpus.split("test")})
    with pytest.raises(CorpusError, match="no training recordings"):
        AlignerJudge(Corpus.open(tmp_path), assignments=QUICK)
