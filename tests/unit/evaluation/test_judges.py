"""The judges are judged: real speech must beat the same speech spoilt, by a margin; few clips, so margins are wide."""

import numpy as np
import pytest

from moksori.audio.io import read
from moksori.audio.resample import resample
from moksori.corpus.splits import held_out_sentences
from moksori.evaluation.score import Item, Judges, noise_like, score_system, with_other_texts
from moksori.types import Waveform

pytestmark = pytest.mark.data
CLIPS = 6


@pytest.fixture(scope="module")
def texts():
    return held_out_sentences("kathleen")


@pytest.fixture(scope="module")
def judges(texts):
    return Judges(texts, ("words", "opinion", "spectrum"))


@pytest.fixture(scope="module")
def clips(recordings, judges, texts):
    rows = {}
    for line in (recordings / "kathleen" / "metadata.csv").read_text(encoding="utf-8").splitlines()[1:]:
        name, _, text = line.split("|")[:3]
        rows[text] = name
    wanted = [text for text in texts if text in rows and judges.recogniser.covers(text)][:CLIPS]
    return [(rows[text], text, read(recordings / "kathleen" / f"{rows[text]}.flac", 16000)) for text in wanted]


def scored(clips, judges, measures, spoil, count=CLIPS):
    items = [Item(name, text, wave, spoil(k, wave)) for k, (name, text, wave) in enumerate(clips[:count])]
    return score_system("x", items, judges.only(measures))


def with_noise(decibels):
    def spoil(place, wave):
        noise = noise_like(wave, 0, place).samples
        return Waveform(wave.samples + noise * np.float32(10 ** (-decibels / 20)), wave.sample_rate)

    return spoil


def shuffled(place, wave):
    """The recording in pieces of a quarter of a second, in another order."""
    pieces = np.array_split(wave.samples, max(len(wave.samples) // 4000, 2))
    order = np.random.default_rng(place).permutation(len(pieces))
    return Waveform(np.concatenate([pieces[k] for k in order]), wave.sample_rate)


def higher(place, wave):
    """Four semitones up and faster, by playing it at another rate."""
    return resample(Waveform(wave.samples, round(wave.sample_rate * 2 ** (4 / 12))), wave.sample_rate)


def test_the_recogniser_understands_people_and_nothing_else(clips, judges):
    human = scored(clips, judges, ["words"], lambda k, w: w)
    assert human.measures["wer"].value < 0.06
    assert scored(clips, judges, ["words"], shuffled).measures["wer"].value > 0.4
    assert scored(clips, judges, ["words"], with_noise(-5)).measures["wer"].value > human.measures["wer"].value + 0.2
    assert scored(clips, judges, ["words"], lambda k, w: noise_like(w, 0, k)).measures["wer"].value > 0.9
    assert with_other_texts("control", human, judges).measures["wer"].value > 0.8


def test_the_order_of_the_recordings_does_not_matter(clips, judges):
    forward = [judges.recogniser.transcribe(wave) for _, _, wave in clips[:3]]
    assert [judges.recogniser.transcribe(wave) for _, _, wave in clips[2::-1]] == forward[::-1]


def test_loudness_does_not_reach_the_scores(clips, judges):
    _, _, wave = clips[0]
    quiet = Waveform(wave.samples * np.float32(0.25), wave.sample_rate)
    assert judges.recogniser.transcribe(quiet) == judges.recogniser.transcribe(wave)
    assert judges.dnsmos(quiet).ovrl == pytest.approx(judges.dnsmos(wave).ovrl, abs=0.01)


def test_opinions_fall_with_noise(clips, judges):
    human = scored(clips, judges, ["opinion"], lambda k, w: w, 2).measures
    noisy = scored(clips, judges, ["opinion"], with_noise(10), 2).measures
    assert human["ovrl"].value > noisy["ovrl"].value + 0.5
    assert human["bak"].value > noisy["bak"].value + 0.8
    assert human["p808"].value > noisy["p808"].value + 0.4


def test_distances_grow_with_what_is_wrong(clips, judges):
    noisy = scored(clips, judges, ["spectrum"], with_noise(20), 3).measures
    shifted = scored(clips, judges, ["spectrum"], higher, 3).measures
    other = [Item(name, text, wave, clips[(k + 1) % CLIPS][2]) for k, (name, text, wave) in enumerate(clips[:3])]
    wrong = score_system("x", other, judges.only(["spectrum"])).measures
    assert noisy["mcd"].value > 1.0
    assert wrong["mcd"].value > 6.0
    assert noisy["log_f0_rmse"].value < 0.1
    assert shifted["f0_ratio"].value == pytest.approx(2 ** (4 / 12), rel=0.04)
    assert shifted["log_f0_rmse"].value > 0.2
    assert shifted["duration_ratio"].value == pytest.approx(2 ** (-4 / 12), rel=0.03)


def test_a_voice_is_more_like_itself_than_like_another(recordings, clips):
    from moksori.errors import MissingExtra
    from moksori.evaluation.speaker import SpeakerEncoder

    try:
        encoder = SpeakerEncoder()
    except MissingExtra as error:
        pytest.skip(str(error))
    stranger = read(sorted((recordings / "librispeech-samples").glob("*.ogg"))[0])
    same = encoder.similarity(clips[0][2], clips[1][2])
    assert same > 0.7
    assert encoder.similarity(clips[0][2], stranger) < same - 0.15
    assert encoder.similarity(clips[0][2], Waveform(np.zeros(16000, np.float32), 16000)) == 0.0
    assert np.linalg.norm(encoder.embed(clips[0][2])) == pytest.approx(1.0, abs=1e-4)
