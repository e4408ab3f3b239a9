"""The task `codec`: bit rates beside each other, strangers and acquaintances apart."""

from pathlib import Path

import numpy as np
import pytest
from small_imitator import save_vocoder, talk

from moksori.audio.io import write
from moksori.cli.main import main
from moksori.corpus.manifest import Corpus, CorpusInfo, rewrite
from moksori.errors import BadInput, UnknownName, UnsupportedTask
from moksori.evaluation.bars import codec_bars
from moksori.evaluation.names import GRIFFIN_LIM, HUMAN, at_stages
from moksori.models.checkpoint import load_model
from moksori.pipeline.codec import SoundCodec
from moksori.pipeline.evaluate import evaluate
from moksori.pipeline.evaluate_codec import evaluate_codec, ladder, material, stage_use
from moksori.pipeline.evaluate_settings import Settings
from moksori.types import Utterance, Waveform

RATE = 16000


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """`ann` trains and is tested, `bob` and `eve` are tested alone, and there is a song."""
    folder = tmp_path_factory.mktemp("people")
    clips = [("train", "ann", 2.0, "one"), ("test", "ann", 2.1, "two"), ("test", "song", 2.5, "")]
    clips += [("test", name, 2.2, f"{name} says {word}") for name in ("bob", "eve") for word in ("a", "b", "c")]
    parts: dict[str, list[Utterance]] = {}
    for place, (split, speaker, seconds, text) in enumerate(clips):
        path = folder / f"{speaker}_{place}.flac"
        write(path, talk(seconds, RATE, 100.0 + 20 * place, place))
        parts.setdefault(split, []).append(Utterance(path.stem, text, speaker, "en-us", path, 0.0, seconds, RATE))
    rewrite(folder, CorpusInfo("people", "CC0", "en-us", ("ann", "bob", "eve", "song")), parts)
    return folder


@pytest.fixture
def codec(codec_family, tmp_path) -> Path:
    return codec_family.save_codec(tmp_path / "coder", sample_rate=RATE, hop_length=10, stages=3)


def test_steps_of_the_ladder():
    assert [ladder(n) for n in (1, 2, 3, 8, 12, 16)] == [
        [1], [1, 2], [1, 2, 3], [1, 2, 4, 8], [1, 2, 4, 8, 12], [1, 2, 4, 8, 16],
    ]  # fmt: skip


def test_bit_rates_stand_beside_each_other_and_strangers_apart(codec, people, tmp_path):
    report = evaluate(codec, people, limit=2, measures=["copy"], vocoder=save_vocoder(tmp_path / "voc"))
    assert (report.task, report.grouped_by, report.headline) == ("codec", "people", "unseen")
    assert [(group.speaker, group.n) for group in report.groups] == [("unseen", 2), ("seen", 1), ("singing", 1)]
    names = [HUMAN, GRIFFIN_LIM, "voc", at_stages("coder", 1), at_stages("coder", 2), "coder"]
    for group in report.groups:
        assert [s.name for s in group.systems] == names
        rows = [group.system(name).measures for name in names[3:]]
        assert [row["bits_per_second"].value for row in rows] == [16000.0, 32000.0, 48000.0]
        distances = [row["mel_distance"].value for row in rows]
        assert distances == sorted(distances, reverse=True)
        assert all(row["rtf"].value > 0 for row in rows)
    assert {item.name.partition("_")[0] for item in report.groups[0].systems[0].items} == {"bob", "eve"}
    assert report.systems == report.groups[0].systems
    assert sum("entries in" in note for note in report.notes) == 3
    assert {bar.measure for bar in report.bars()} == {"stoi", "rtf"}
    assert "kbit/s" in report.groups[0].header()


def test_other_codecs_may_stand_beside(codec, people):
    settings = Settings(Corpus.open(people), limit=1, measures=("copy",))
    beside = {"half": (lambda place, sound: Waveform(sound.samples / 2, sound.sample_rate), 1234.0)}
    found = evaluate_codec(load_model(codec), settings, beside=beside)
    half = found.groups[0].system("half").measures
    assert half["bits_per_second"].value == 1234.0
    assert 0.3 < half["mel_distance"].value <= np.log(2) + 0.01  # less where both are at the floor


def test_without_strangers_all_are_acquaintances(codec, people, tmp_path):
    opened = Corpus.open(people)
    rewrite(tmp_path / "known", opened.info, {"train": opened.split("test"), "test": opened.split("test")})
    parts = material(Settings(Corpus.open(tmp_path / "known"), limit=3))
    assert {name: len(clips) for name, clips in parts.items()} == {"seen": 3, "singing": 1}


def test_the_bars_are_those_of_all_stages(codec, people):
    report = evaluate(codec, people, limit=1, measures=["copy"])
    clear = report.system("coder").measures["stoi"].value
    bar = codec_bars(report.systems, "coder")[0]
    assert (bar.measure, bar.value, bar.limit, bar.reached) == ("stoi", clear, 0.88, clear >= 0.88)


def test_how_a_codebook_is_used_is_told(codec):
    lines = stage_use(SoundCodec(load_model(codec)), [talk(1.0)])
    assert len(lines) == 3
    assert lines[0].startswith("stage 1: ")
    assert " of 1000 entries in 1600 frames, perplexity " in lines[0]
    assert lines[0].endswith(" of 10 bits")


def test_what_cannot_be_measured_is_told(codec, people):
    with pytest.raises(BadInput, match="the task 'codec' has copy, opinion, speaker"):
        evaluate(codec, people, measures=["words"])
    with pytest.raises(UnsupportedTask, match=r"task 'vocode': coder \(smallcodec\) can do codec"):
        evaluate(codec, people, task="vocode")
    with pytest.raises(UnknownName, match="unknown split"):
        evaluate(codec, people, split="valid")


def test_the_command_prints_the_bit_rates(codec, people, tmp_path, capsys):
    result = tmp_path / "out" / "r.json"
    arguments = ["evaluate", str(codec), "--corpus", str(people), "--limit", "1", "--measure", "copy"]
    assert main([*arguments, "--json", str(result)]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "coder, 1 stage" in printed
    assert "kbit/s" in printed
    assert result.is_file()
