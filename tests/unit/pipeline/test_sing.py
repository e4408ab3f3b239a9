"""Singing: phrases of a score in frames and F0, and their sound in the voice of a prompt."""

import itertools

import numpy as np
import pytest
import soundfile
import torch

from moksori.audio.autocorrelation import autocorrelation_f0
from moksori.corpus.melody import hertz
from moksori.errors import BadInput, TextError, UnsupportedTask
from moksori.pipeline.say import load
from moksori.pipeline.score import Score, SungNote
from moksori.pipeline.score_phrases import (
    CONSONANT_SHARE,
    MOST_PHRASE_SECONDS,
    consonant_seconds,
    is_voiced,
    phrases,
    sung_pitch,
)
from moksori.pipeline.sing import SingOptions, sing
from moksori.text.tokenizer import TextConfig, Tokenizer

CONFIG = TextConfig()
FRAME = 0.0125


def notes(*given) -> tuple[SungNote, ...]:
    """(start, end, pitch, syllable, ends_word) of each."""
    return tuple(SungNote(*one, place=f"note {n}") for n, one in enumerate(given, 1))


STAR = Score(
    "star",
    notes(
        (0.0, 0.5, 60, "twin", False), (0.5, 1.0, 60, "kle", True), (1.0, 1.5, 67, "lit", False),
        (1.5, 2.0, 67, "tle", True), (2.0, 3.0, 69, "star", True),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def encode():
    return Tokenizer(CONFIG).encode


def symbols(phrase):
    return [CONFIG.symbols[token] for token in phrase.encoded.tokens]


def begins(phrase):
    """Frame of the song at which each token begins."""
    return phrase.start_frame + np.concatenate([[0], np.cumsum(phrase.durations)[:-1]])


def test_vowels_begin_on_the_beat(encode) -> None:
    (phrase,) = phrases(STAR, encode, CONFIG, FRAME)
    found = symbols(phrase)
    places = dict(zip(found, begins(phrase) * FRAME, strict=True))
    lead = places["ɪ"] if found.count("ɪ") == 1 else begins(phrase)[found.index("ɪ")] * FRAME
    # The song begins before its first note by what leads to it: t, w, and a tenth of a second of silence.
    assert lead == pytest.approx(0.1 + consonant_seconds("t") + consonant_seconds("w"), abs=FRAME)
    assert places["ɑːɹ"] == pytest.approx(lead + 2.0, abs=FRAME)
    assert phrase.frames * FRAME == pytest.approx(lead + 3.0 + 0.1, abs=FRAME)
    assert phrase.durations.min() >= 1
    assert len(phrase.f0) == phrase.frames == phrase.durations.sum()
    assert found[0] == "^"
    assert found[-1] == "$"


def test_consonants_keep_their_length_and_the_vowel_takes_the_rest(encode) -> None:
    def durations(seconds):
        score = Score("so", notes((0.0, seconds, 60, "sea", True), (seconds, 2 * seconds, 60, "see", True)))
        (phrase,) = phrases(score, encode, CONFIG, FRAME)
        found = symbols(phrase)
        second = len(found) - 1 - found[::-1].index("s")
        return phrase.durations[second] * FRAME, phrase.durations[found.index("iː")] * FRAME

    assert durations(1.0) == pytest.approx((0.1, 0.9), abs=0.03)
    assert durations(3.0) == pytest.approx((0.1, 2.9), abs=0.03)
    consonant, vowel = durations(0.12)  # a fast tune: no more than a share of the note
    assert consonant <= 0.12 * CONSONANT_SHARE + FRAME
    assert vowel >= 0.03


def test_pitch_is_that_of_the_notes(encode) -> None:
    (phrase,) = phrases(STAR, encode, CONFIG, FRAME, vibrato_cents=0.0)
    offset = begins(phrase)[symbols(phrase).index("ɑːɹ")] * FRAME - 2.0
    times = (phrase.start_frame + np.arange(phrase.frames) + 0.5) * FRAME - offset
    for start, end, pitch in ((0.05, 0.95, 60), (1.05, 1.95, 67), (2.05, 2.95, 69)):
        inside = phrase.f0[(times > start) & (times < end)]
        voiced = inside[inside > 0]
        assert len(voiced) > 0.6 * len(inside)
        np.testing.assert_allclose(voiced, hertz(pitch), rtol=1e-4)
    silent = np.repeat([not is_voiced(symbol) for symbol in symbols(phrase)], phrase.durations)
    assert not phrase.f0[silent].any()
    assert (phrase.f0[~silent] > 0).all()


def test_glide_and_vibrato() -> None:
    tune = notes((0.0, 1.0, 60, "a", True), (1.0, 3.0, 72, "b", True))
    times = np.arange(0.0, 3.0, 0.001)
    plain = 12.0 * np.log2(sung_pitch(tune, times, 0.0) / hertz(60))
    moving = times[(plain > 0.01) & (plain < 11.99)]
    assert (moving[0], moving[-1]) == pytest.approx((0.97, 1.03), abs=0.003)
    assert plain[times == 1.0] == pytest.approx(6.0, abs=0.01)
    shaken = 12.0 * np.log2(sung_pitch(tune, times, 25.0) / hertz(60)) - plain
    assert not shaken[(times > 1.0) & (times < 1.24)].any()
    assert np.abs(shaken).max() == pytest.approx(0.25, abs=0.01)
    late = shaken[(times > 1.5) & (times < 2.9)]
    assert np.count_nonzero(np.diff(np.sign(late))) == pytest.approx(2 * 5.5 * 1.4, abs=2)


def test_held_notes_move_the_pitch_and_not_the_vowel(encode) -> None:
    score = Score("oh", notes((0.0, 1.0, 60, "oh", True), (1.0, 2.0, 64, "", True), (2.0, 2.5, 62, "no", True)))
    (phrase,) = phrases(score, encode, CONFIG, FRAME, 0.0)
    found = symbols(phrase)
    assert found.count("oʊ") == 2
    assert phrase.durations[found.index("oʊ")] * FRAME == pytest.approx(1.93, abs=0.04)
    first = found.index("oʊ")
    sung = phrase.f0[phrase.durations[:first].sum() :][: phrase.durations[first]]
    assert (sung[20], sung[120]) == pytest.approx((hertz(60), hertz(64)), rel=1e-4)


def test_a_word_of_more_vowels_than_notes_and_the_other_way(encode) -> None:
    (one,) = phrases(Score("s", notes((0.0, 1.0, 60, "city", True))), encode, CONFIG, FRAME)
    found = symbols(one)
    vowels = [n for n, symbol in enumerate(found) if symbol in ("ɪ", "i", "iː")]
    starts = begins(one)[vowels] * FRAME
    assert starts[1] - starts[0] == pytest.approx(0.5, abs=2 * FRAME)
    tune = notes((0.0, 1.0, 60, "ma", False), (1.0, 2.0, 64, "a", False), (2.0, 3.0, 65, "m", True))
    (held,) = phrases(Score("s", tune), encode, CONFIG, FRAME)
    assert held.frames * FRAME > 3.0


def test_rests_part_phrases_and_long_songs_are_cut(encode) -> None:
    tune = [(float(k), k + 0.9, 60, "la", True) for k in range(40)]
    short = phrases(Score("la", notes(*tune)), encode, CONFIG, FRAME)
    assert len(short) >= 40 / MOST_PHRASE_SECONDS
    assert all(phrase.frames * FRAME < MOST_PHRASE_SECONDS + 1.0 for phrase in short)
    apart = phrases(Score("la", notes((0, 1, 60, "la", True), (3, 4, 60, "la", True))), encode, CONFIG, FRAME)
    assert len(apart) == 2
    for before, after in itertools.pairwise(short):
        assert before.start_frame + before.frames <= after.start_frame
    # The beats stay where they are, however often the song is cut.
    vowel = symbols(short[0]).index("l") + 1
    beats = [begins(phrase)[vowel] * FRAME for phrase in short]
    steps = np.diff(beats)
    np.testing.assert_allclose(steps, np.round(steps), atol=2 * FRAME)


def test_a_rest_within_a_phrase_is_silent(encode) -> None:
    score = Score("la", notes((0.0, 1.0, 60, "la", True), (1.3, 2.0, 62, "la", True)))
    (phrase,) = phrases(score, encode, CONFIG, FRAME)
    gap = symbols(phrase).index(" ")
    assert phrase.durations[gap] * FRAME == pytest.approx(0.3 - consonant_seconds("l"), abs=2 * FRAME)
    start = phrase.durations[:gap].sum()
    assert not phrase.f0[start : start + phrase.durations[gap]].any()


def test_the_token_of_a_language_has_a_frame_and_no_pitch(encode) -> None:
    config = TextConfig(language_token=True)
    (phrase,) = phrases(STAR, Tokenizer(config).encode, config, FRAME)
    assert symbols(phrase)[:2] == ["^", "<en-us>"]
    assert (phrase.durations[0], phrase.durations[1]) == (7, 1)
    assert not phrase.f0[:8].any()
    (without,) = phrases(STAR, encode, CONFIG, FRAME)
    np.testing.assert_array_equal(phrase.durations[2:], without.durations[1:])


def test_words_without_sound_are_told(encode) -> None:
    with pytest.raises(TextError, match="note 1: '…' holds nothing to sing"):
        phrases(Score("s", notes((0.0, 1.0, 60, "…", True))), encode, CONFIG, FRAME)


def test_models_without_phones_do_not_sing(encode) -> None:
    with pytest.raises(UnsupportedTask):
        phrases(STAR, encode, TextConfig(blanks=True), FRAME)


@pytest.fixture
def singer(codec_folder, tmp_path):
    import small_sayer

    small_sayer.register()
    return load(small_sayer.save_sayer(tmp_path / "home" / "models" / "sayer", codec_folder))


@pytest.fixture
def prompt(tmp_path):
    time = np.arange(4 * 8000) / 8000
    sound = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 6)) * (np.sin(2 * np.pi * 2 * time) > -0.5)
    soundfile.write(tmp_path / "prompt.wav", 0.2 * sound, 8000)
    return tmp_path / "prompt.wav"


def test_sings_the_tune(singer, prompt) -> None:
    sung = sing(singer, STAR, prompt, SingOptions(vibrato_cents=0.0), seed=1)
    assert len(sung.samples) == len(sung.f0) * 20
    assert sung.text == "twinkle little star"
    heard = autocorrelation_f0(sung.waveform, 20, 100.0, 900.0)
    both = (heard > 0) & (sung.f0 > 0)
    cents = 1200.0 * np.abs(np.log2(heard[both] / sung.f0[both]))
    assert np.count_nonzero(both) > 0.7 * np.count_nonzero(sung.f0)
    assert np.mean(cents < 50.0) > 0.9
    assert [word.text for word in sung.timings] == ["twinkle", "little", "star"]
    np.testing.assert_array_equal(
        sung.samples, sing(singer, STAR, prompt, SingOptions(vibrato_cents=0.0), seed=1).samples
    )


def test_key_and_tempo(singer, prompt) -> None:
    plain = sing(singer, STAR, prompt, seed=1)
    moved = singer.sing(STAR, prompt, SingOptions(key=-5, speed=2.0), seed=1)
    assert moved.duration_seconds == pytest.approx(plain.duration_seconds - 1.5, abs=0.05)
    assert moved.f0[moved.f0 > 0].max() == pytest.approx(hertz(64), rel=0.02)
    low = Score("low", tuple(SungNote(n.start_seconds, n.end_seconds, n.pitch - 24, n.syllable) for n in STAR.notes))
    automatic = sing(singer, low, prompt, SingOptions(key="auto"), seed=1)
    assert automatic.key in (12, 24)
    assert sing(singer, low, prompt, seed=1).notes[-1].startswith("low: lies around")
    with pytest.raises(BadInput, match="leave --key out"):
        sing(singer, low, prompt, SingOptions(key=-3))


@pytest.mark.parametrize(
    "wrong", [{"key": 1.5}, {"key": 40}, {"speed": 0.0}, {"vibrato_cents": -1.0}, {"verse": 0}, {"chords": "all"}]
)
def test_options_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(BadInput):
        SingOptions(**wrong)


def test_a_voice_of_its_own_does_not_sing_scores(toy_home, prompt) -> None:
    with pytest.raises(UnsupportedTask, match="does not sing scores"):
        sing(load("toy"), STAR, prompt)


def test_nan_is_told(singer, prompt, monkeypatch) -> None:
    from moksori.errors import MoksoriError

    codec = singer.model.codec.model
    monkeypatch.setattr(codec, "expand", lambda latent: torch.full((1, latent.shape[2] * 20), torch.nan))
    monkeypatch.setattr("moksori.pipeline.sing._centre", lambda prompt, codec: 60.0)
    with pytest.raises(MoksoriError, match="NaN"):
        sing(singer, STAR, prompt, seed=1)
