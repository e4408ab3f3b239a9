"""Each judge of copies and conversions moves the right way, by a stated margin, where real speech is spoilt.

Spoilt by noise, babble, words in another order, another speaker, another pitch. Two sentences of three people of
vctk-mini: the margins are wide for so few.
"""

import csv
from itertools import pairwise

import numpy as np
import pytest

from moksori.audio.io import read
from moksori.corpus.augment import mixed
from moksori.evaluation.mean_pitch_shift import mean_pitch_shift, median_f0
from moksori.evaluation.melody import compare_melodies, sung_f0
from moksori.evaluation.score import Item, Judges, score_system
from moksori.evaluation.trials import across_files, segments_of, trial_error_rate, within_files
from moksori.types import Waveform

pytestmark = pytest.mark.data
RATE = 16000
WOMAN, SAME_SEX, MAN = "p225", "p228", "p226"
SENTENCES = ("003", "008")


@pytest.fixture(scope="module")
def texts(recordings):
    with (recordings / "vctk-mini" / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="|", quoting=csv.QUOTE_NONE)
        return {row["id"].rpartition("_")[2]: row["text"] for row in rows if row["speaker"] == WOMAN}


@pytest.fixture(scope="module")
def spoken(recordings):
    """(speaker, sentence) -> the recording."""
    folder = recordings / "vctk-mini"
    found = {}
    for speaker in (WOMAN, SAME_SEX, MAN):
        for sentence in SENTENCES:
            found[speaker, sentence] = read(folder / f"{speaker}_{sentence}.flac", RATE)
    return found


@pytest.fixture(scope="module")
def judges(texts):
    for package in ("resemblyzer", "pesq", "pystoi", "pocketsphinx"):
        pytest.importorskip(package)
    return Judges(sorted(texts.values()), ("words", "opinion", "speaker", "copy"))


def with_noise(wave, snr_db, seed=0):
    noise = np.random.default_rng(seed).standard_normal(len(wave.samples))
    return Waveform(mixed(wave.samples, noise, snr_db, RATE), RATE)


def in_babble(wave, spoken, snr_db):
    others = [np.resize(w.samples, len(wave.samples)) for (who, _), w in spoken.items() if who != WOMAN]
    return Waveform(mixed(wave.samples, np.sum(others, axis=0), snr_db, RATE), RATE)


def words_moved(wave):
    """The recording in pieces of a third of a second, backwards in order."""
    size = RATE // 3
    pieces = [wave.samples[k : k + size] for k in range(0, len(wave.samples), size)]
    return Waveform(np.concatenate(pieces[::-1]), RATE)


def measured(judges, measures, spoken, texts, spoil):
    items = []
    for sentence in SENTENCES:
        wave = spoken[WOMAN, sentence]
        items.append(Item(sentence, texts[sentence], wave, spoil(wave)))
    return {key: e.value for key, e in score_system("x", items, judges.only(measures)).measures.items()}


def test_words_are_lost_in_babble_and_in_another_order_but_not_by_another_pitch(judges, spoken, texts):
    clean = measured(judges, ["words"], spoken, texts, lambda w: w)["wer"]
    babble = measured(judges, ["words"], spoken, texts, lambda w: in_babble(w, spoken, -5.0))["wer"]
    moved = measured(judges, ["words"], spoken, texts, words_moved)["wer"]
    shifted = measured(judges, ["words"], spoken, texts, lambda w: mean_pitch_shift(w, spoken[MAN, "003"]))["wer"]
    assert clean < 0.1
    assert babble > clean + 0.3
    assert moved > clean + 0.4
    assert shifted < clean + 0.15


def test_opinions_fall_in_babble_and_copies_lose_with_noise(judges, spoken, texts):
    clean = measured(judges, ["opinion"], spoken, texts, lambda w: w)
    babble = measured(judges, ["opinion"], spoken, texts, lambda w: in_babble(w, spoken, 5.0))
    assert clean["ovrl"] > babble["ovrl"] + 0.3
    assert clean["p808"] > babble["p808"] + 0.3
    levels = [measured(judges, ["copy"], spoken, texts, lambda w, snr=snr: with_noise(w, snr)) for snr in (40, 25, 10)]
    for better, worse in pairwise(levels):
        assert better["pesq"] > worse["pesq"] + 0.2
        assert better["mel_distance"] < worse["mel_distance"] - 0.2
    assert levels[0]["stoi"] > levels[2]["stoi"] + 0.03


def test_another_person_is_heard_as_another(judges, spoken):
    own, prompt = judges.embed(spoken[WOMAN, "003"]), judges.embed(spoken[WOMAN, "008"])
    woman, man = judges.embed(spoken[SAME_SEX, "008"]), judges.embed(spoken[MAN, "008"])
    assert own @ prompt > own @ woman + 0.1
    assert own @ prompt > own @ man + 0.2
    assert own @ woman > own @ man  # the order that ears would give
    found = segments_of((who, "F", f"{who} {k}", wave) for (who, k), wave in spoken.items() if who != MAN)
    vectors = np.stack([judges.embed(segment.waveform) for segment in found])
    draws = np.random.default_rng(0)
    for trials in (within_files(found), across_files(found)):
        assert trial_error_rate(vectors, trials).value < 0.15
        chance = [trial_error_rate(draws.standard_normal(vectors.shape), trials).value for _ in range(10)]
        assert np.mean(chance) > 0.35


def test_a_moved_pitch_is_found_by_how_much(spoken):
    source, target = spoken[WOMAN, "003"], spoken[MAN, "003"]
    moved = mean_pitch_shift(source, target)
    # The tracker takes other frames for voiced once the pitch is low.
    assert median_f0(moved) == pytest.approx(median_f0(target), rel=0.12)
    assert median_f0(source) > 1.3 * median_f0(target)
    assert len(moved.samples) == len(source.samples)
    tracks = [sung_f0(wave, 80) for wave in (source, moved)]
    apart = compare_melodies(tracks[0], tracks[1], 0.005)
    together = compare_melodies(tracks[0], tracks[1], 0.005, transposed=True)
    itself = compare_melodies(tracks[0], tracks[0], 0.005)
    assert itself.raw_pitch_accuracy == 1.0
    assert apart.raw_pitch_accuracy < 0.2
    assert together.raw_pitch_accuracy > apart.raw_pitch_accuracy + 0.3
    semitones = 12 * np.log2(median_f0(target) / median_f0(source))
    assert together.transposition == pytest.approx(semitones, abs=1.0)
    assert apart.voicing_recall > 0.6
