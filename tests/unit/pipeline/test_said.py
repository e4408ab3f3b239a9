"""What is said in a recording: found where it is, doubted where it is not, and said anew in another voice."""

import numpy as np
import pytest
import soundfile
from small_converter import save_converter

from moksori.audio.autocorrelation import autocorrelation_f0
from moksori.errors import BadInput, CheckpointError, TextError, UnsupportedTask
from moksori.models.checkpoint import load_model, read_manifest
from moksori.pipeline.convert import Converter, ConvertOptions
from moksori.pipeline.models import find_model
from moksori.pipeline.prompted_conversion import ThroughPrompts
from moksori.pipeline.recordings import open_recording
from moksori.pipeline.said import POOR_FIT, Said, SaidSentence, TextFinder
from moksori.pipeline.say import load
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import Waveform

TEXT = "The quick brown fox jumps over the lazy dog. Nobody knows what it was looking for."
OTHER = "We shall begin the long and rather dull meeting at twelve. Bring every report with you, please."
RATE = 8000


@pytest.fixture(scope="module")
def spoken():
    """A text, spoken by the bundled voice, which tells when each word is heard."""
    return load("kathleen").say(TEXT, seed=3)


@pytest.fixture(scope="module")
def reads() -> TextConfig:
    found = read_manifest(find_model("naturalspeech2-compact")).text
    assert found is not None
    return found


def find(spoken, reads, text=TEXT, seconds=None) -> Said:
    samples = spoken.samples if seconds is None else spoken.samples[: int(seconds * spoken.sample_rate)]
    return TextFinder().find(text, "en-us", samples, spoken.sample_rate, 256, reads)


def test_words_are_found_where_the_voice_says_them(spoken, reads) -> None:
    said = find(spoken, reads)
    assert [sentence.text for sentence in said.sentences] == TEXT.replace(". ", ".|").split("|")
    assert said.sentences[0].start == 0
    assert said.sentences[0].stop == said.sentences[1].start
    assert said.sentences[1].stop == len(spoken.samples) // 256
    assert said.misfit < POOR_FIT
    edges = []
    for sentence in said.sentences:
        ends = np.concatenate([[0], np.cumsum(sentence.frames)]) + sentence.start
        edges += [ends[word.start_token] * 256 / spoken.sample_rate for word in sentence.encoded.words]
    wanted = [word.start_seconds for word in spoken.timings]
    assert len(edges) == len(wanted)
    off = np.abs(np.subtract(edges, wanted))
    assert np.quantile(off, 0.8) < 0.1
    assert off.max() < 0.25


def test_a_text_of_something_else_is_doubted(spoken, reads) -> None:
    assert find(spoken, reads, OTHER).misfit > POOR_FIT


def test_what_cannot_be_found_is_said(spoken, reads) -> None:
    with pytest.raises(BadInput, match="too short for its text"):
        find(spoken, reads, seconds=0.5)
    with pytest.raises(TextError, match="holds no words"):
        find(spoken, reads, "...")
    with pytest.raises(BadInput, match="at most 120 s"):
        TextFinder().find(TEXT, "en-us", np.zeros(130 * RATE, np.float32), RATE, 80, reads)
    with pytest.raises(CheckpointError, match="other symbols"):
        find(spoken, reads.model_copy(update={"language_token": False}))


class Known:
    """Finds two sentences in halves of any recording."""

    def __init__(self, misfit: float = 0.3) -> None:
        self.misfit = misfit

    def find(self, text, language, samples, sample_rate, hop_length, wanted) -> Said:
        encoded = Tokenizer(wanted).encode("one two", "en-us")
        whole = len(samples) // hop_length
        sentences = []
        for start, stop in ((0, whole // 2), (whole // 2, whole)):
            frames = np.ones(len(encoded.tokens), np.int64)
            frames[-1] = stop - start - len(frames) + 1
            sentences.append(SaidSentence(text, encoded, frames, start, stop))
        return Said(tuple(sentences), self.misfit)


@pytest.fixture
def sayer(codec_folder, tmp_path):
    import small_sayer

    small_sayer.register()
    return load_model(small_sayer.save_sayer(tmp_path / "home" / "models" / "sayer", codec_folder))


def tone(tmp_path, name: str, hertz: float, seconds: float = 4.003):
    time = np.arange(int(seconds * RATE)) / RATE
    sound = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 6))
    soundfile.write(tmp_path / name, 0.1 * sound * (1.2 + np.sin(2 * np.pi * 2.3 * time)), RATE)
    return tmp_path / name


def test_it_is_said_anew_at_the_targets_pitch_and_as_long(sayer, tmp_path) -> None:
    way = ThroughPrompts(sayer, finder=Known())
    source, target = tone(tmp_path, "a.wav", 110.0), tone(tmp_path, "b.wav", 180.0)
    options = ConvertOptions(like=(target,), text="one two. one two.", variation=0.0)
    way.check(options)
    job = way.job(open_recording(source, RATE), options, 1)
    made = np.concatenate(list(job.blocks))
    assert len(made) == int(4.003 * RATE)
    heard = autocorrelation_f0(Waveform(made, RATE), 80)
    assert np.median(heard[heard > 0]) == pytest.approx(180.0, rel=0.03)
    assert not any("--text" in note or "hardly fits" in note for note in job.notes)
    lifted = way.job(open_recording(source, RATE), ConvertOptions(like=(target,), text="x", shift_semitones=12.0), 1)
    heard = autocorrelation_f0(Waveform(np.concatenate(list(lifted.blocks)), RATE), 80)
    assert np.median(heard[heard > 0]) == pytest.approx(360.0, rel=0.03)


def test_doubts_and_the_lack_of_a_text_are_told(sayer, tmp_path) -> None:
    source, target = tone(tmp_path, "a.wav", 110.0), tone(tmp_path, "b.wav", 180.0)
    recording = open_recording(source, RATE)
    doubtful = ThroughPrompts(sayer, finder=Known(0.7)).job(recording, ConvertOptions(like=(target,), text="x"), 1)
    assert any("hardly fits" in note for note in doubtful.notes)
    blind = ThroughPrompts(sayer, finder=Known()).job(recording, ConvertOptions(like=(target,)), 1)
    assert any("--text" in note for note in blind.notes)


def test_texts_are_for_models_that_speak_and_need_somebody_to_speak_them(sayer, tmp_path) -> None:
    target = tone(tmp_path, "b.wav", 180.0)
    with pytest.raises(BadInput, match="nobody to say it"):
        ConvertOptions(speaker="ann", text="x")
    with pytest.raises(BadInput, match="is that of a text"):
        ConvertOptions(like=(target,), language="de")
    with pytest.raises(UnsupportedTask, match="without key and strength"):
        Converter(sayer).check(ConvertOptions(like=(target,), text="x", strength=0.5))
    with pytest.raises(UnsupportedTask, match="needs not know what is said"):
        Converter(load_model(save_converter(tmp_path / "trio"))).check(ConvertOptions(like=(target,), text="x"))
