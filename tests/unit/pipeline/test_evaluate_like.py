"""Speech in the voices of prompts, measured: who says what, what stands beside it, what is asked and refused."""

import json
import shutil
import warnings
from dataclasses import replace
from functools import partial

import pytest
from small_ears import Ears
from small_imitator import save_imitator, save_vocoder, talk
from small_prompted import save_prompted

from moksori.audio.io import write
from moksori.cli.main import main
from moksori.corpus.manifest import Corpus, rewrite
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import BadInput, CorpusError, UnsupportedTask
from moksori.evaluation import recognisers, speaker_encoders
from moksori.evaluation.bars import prompted_bars
from moksori.evaluation.hard_sentences import HardSentence
from moksori.evaluation.names import COPY, HUMAN, OTHER_PEOPLE
from moksori.evaluation.score import SystemScores
from moksori.evaluation.statistics import Estimate
from moksori.pipeline import evaluate_hard
from moksori.pipeline import evaluate_like as module
from moksori.pipeline.aligner_judge import AlignerJudge
from moksori.pipeline.evaluate import evaluate
from moksori.pipeline.evaluate_like_material import clones
from moksori.pipeline.evaluate_settings import Baseline
from moksori.types import SpeechNeeds

QUICK = ("training.max_steps=20", "training.batch_size=6", "objective.uniform_steps=8")
SECONDS = (0.55, 1.1)
WOMEN, MEN = ("p225", "p228"), ("p226", "p227")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(speaker_encoders, "SpeakerEncoder", Ears)
    monkeypatch.setattr(module, "AlignerJudge", partial(AlignerJudge, assignments=QUICK))
    monkeypatch.setattr(module, "PROMPT_SECONDS", SECONDS)
    monkeypatch.setattr(module, "PICTURED", 0)  # each takes a second
    monkeypatch.setattr("moksori.pipeline.evaluate_like_material.LEAST_SAID_SECONDS", 0.2)
    monkeypatch.setattr("moksori.pipeline.evaluate_like_material.LEAST_SAID_WORDS", 1)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Tones: kathleen trains and is tested, two women and two men are in the test alone, one of them with one clip."""
    folder = tmp_path_factory.mktemp("people") / "tones"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_synthetic(folder, count=24, seed=3, needs=SpeechNeeds(16000, 200), speakers=4)
    opened = Corpus.open(folder)
    every = [u for split in ("train", "valid", "test") for u in opened.split(split)]
    long = sorted(every, key=lambda u: len(u.text.split()), reverse=True)
    cast = ["p225", "p226", "p225", "p226", "p228", "p227", "p228", "kathleen", "kathleen"]
    test = [replace(u, speaker=name) for u, name in zip(long, cast, strict=False)]
    train = [replace(u, speaker="kathleen") for u in long[len(cast) :]]
    speakers = (*WOMEN, *MEN, "kathleen")
    rewrite(folder, replace(opened.info, speakers=speakers), {"train": train, "test": test})
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    home = tmp_path_factory.mktemp("home") / "models"
    save_prompted(home)
    save_imitator(home / "imitator")
    save_vocoder(home / "vocoder")
    return home


@pytest.fixture
def home(models, monkeypatch, tmp_path):
    monkeypatch.setenv("MOKSORI_HOME", str(models.parent))
    monkeypatch.setattr("moksori.pipeline.models.bundled_folder", lambda: tmp_path / "bundled")
    return models


def test_prompts_are_whole_words_and_texts_are_what_else_is_said(people):
    corpus = Corpus.open(people)
    found = clones(corpus, "test", AlignerJudge(corpus, assignments=QUICK), None, SECONDS)
    by_person = {name: [c for c in found if c.utterance.speaker == name] for name in (*WOMEN, *MEN, "kathleen")}
    assert all(by_person.values())
    assert [c.place for c in found] == list(range(len(found)))
    assert [c.seen for c in found] == sorted(c.seen for c in found)
    assert {c.utterance.speaker for c in found if c.seen} == {"kathleen"}
    assert {c.sex for name in MEN for c in by_person[name]} == {"M"}
    texts = {u.name: u.text for u in corpus.split("test")}
    for clone in found:
        assert SECONDS[0] <= clone.prompt.sound.duration_seconds <= SECONDS[1]
        assert clone.prompt.words[-1].end_seconds <= clone.prompt.sound.duration_seconds + 0.01
        assert clone.recording.text == clone.utterance.text.rstrip(".")
    # The man with one clip is heard in its beginning, and what he goes on to say is the text.
    one = by_person["p227"][0]
    assert f"{one.prompt.text} {one.utterance.text}" == texts[one.utterance.name].rstrip(".")
    assert one.recording.words[0].start_seconds >= 0.0
    whole = AlignerJudge(corpus, assignments=QUICK).timed(one.recording.sound, one.utterance)[0]
    assert whole.duration_seconds <= one.recording.sound.duration_seconds + 1e-6
    limited = clones(corpus, "test", AlignerJudge(corpus, assignments=QUICK), 1, SECONDS)
    assert [c.seen for c in limited] == [False, True]


def test_the_report(people, home, toy_family, tmp_path, capsys):
    toy = toy_family.save_toy(tmp_path / "toy", speakers=("p225", "p226"))
    words = ["evaluate", "ns2-tiny", "--corpus", people, "--limit", "4", "--measure", "speaker", "--measure", "prosody"]
    words += ["--baseline-voice", toy, "--json", tmp_path / "r.json"]
    assert main([str(word) for word in words]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "texts in the voices of prompts of 0.55 to 1.1 s: 4 unseen people, 1 seen people" in shown
    assert "manner: utterances left out" in shown
    assert "(more than others of the same sex)" in shown
    assert "(more than toy, then imitator)" in shown
    told = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert (told["task"], told["headline"]) == ("like", "unseen people")
    systems = {s["name"]: s["measures"] for s in told["systems"]}
    assert list(systems) == [HUMAN, COPY, "ns2-tiny", "toy, then imitator", OTHER_PEOPLE]
    for name, measures in systems.items():
        assert -1.0 <= measures["spk_similarity"]["value"] <= 1.0
        assert measures["spk_similarity"]["n"] == 4
        assert ("rtf" in measures) == (name in ("ns2-tiny", "toy, then imitator"))
        assert ("speaker_eer" in measures) == (name != OTHER_PEOPLE)
    assert systems[HUMAN]["spk_similarity"]["value"] > systems[OTHER_PEOPLE]["spk_similarity"]["value"]
    assert systems[HUMAN]["prosody_pitch_mean"]["value"] < systems[OTHER_PEOPLE]["prosody_pitch_mean"]["value"]


def test_without_a_baseline_that_is_told(people, home):
    report, again = (evaluate("ns2-tiny", people, limit=1, measures=["speaker"]) for _ in range(2))
    assert report.scores()["speaker"] == again.scores()["speaker"]
    assert any(note.startswith("no baseline: ") for note in report.notes)
    assert not any("manner" in note for note in report.notes)
    with pytest.raises(BadInput, match="ns2-tiny: speaks in the voice of a prompt: name one with voices of its own"):
        evaluate("ns2-tiny", people, limit=1, measures=["speaker"], baseline=Baseline("ns2-tiny"))


def test_what_such_a_model_cannot_be_asked(people, home, tmp_path):
    with pytest.raises(UnsupportedTask, match=r"'speak': ns2-tiny \(naturalspeech2\) can do like"):
        evaluate("ns2-tiny", people, task="speak")
    with pytest.raises(BadInput, match="measure 'pitch': the task 'like' has words, opinion, speaker, prosody"):
        evaluate("ns2-tiny", people, measures=["pitch"])
    with pytest.raises(BadInput, match="for the task 'hard' only"):
        evaluate("ns2-tiny", people, like=["a.wav"])
    opened = Corpus.open(people)
    rewrite(
        tmp_path, opened.info, {"train": opened.split("train"), "test": [replace(opened.split("test")[0], text="")]}
    )
    with pytest.raises(CorpusError, match="nobody in its split 'test' says enough"):
        evaluate("ns2-tiny", tmp_path, measures=["speaker"])


def test_the_hard_list_needs_somebody_to_say_it(home, tmp_path, capsys):
    assert main(["evaluate", "ns2-tiny", "--task", "hard", "--json", str(tmp_path / "h.json")]) == 2
    assert "ns2-tiny: speaks in the voice of a recording: give one, --like prompt.wav" in capsys.readouterr().err


class Patient:
    """A recogniser that hears what it was told, in turn, and nothing of noise."""

    identity = name = description = "patient"
    left_out: dict[str, tuple[str, ...]] = {}  # noqa: RUF012

    def __init__(self, heard):
        self.heard = list(heard)

    def covers(self, text):
        return True

    def transcribe(self, waveform):
        return self.heard.pop(0) if self.heard else ""


def test_the_hard_list_is_said_in_the_voice_of_a_prompt(home, toy_family, tmp_path, monkeypatch):
    pytest.importorskip("jiwer")
    listed = [HardSentence("numbers", "One two three."), HardSentence("one word", "Seven.")]
    monkeypatch.setattr(evaluate_hard, "hard_sentences", lambda: listed)
    monkeypatch.setitem(recognisers.RECOGNISERS, "patient", lambda texts, model: Patient(["one three", "seven"]))
    write(tmp_path / "ann.wav", talk(1.5))
    asked = {"task": "hard", "measures": ["words"], "recogniser": "patient"}
    trained = tmp_path / "trained"  # as every model that was: it names whom it heard
    shutil.copytree(home / "ns2-tiny", trained)
    described = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    (trained / "config.json").write_text(json.dumps({**described, "speakers": ["bea", "cem"]}), encoding="utf-8")
    report = evaluate(trained, None, like=[tmp_path / "ann.wav"], **asked)
    assert report.material.endswith("in the voice of ann")
    measures = report.system(report.model).measures
    assert [measures[name].value for name in ("clean", "skips", "repeats")] == [0.5, 0.5, 0.0]
    toy = toy_family.save_toy(tmp_path / "toy")
    with pytest.raises(UnsupportedTask, match="takes no prompts"):
        evaluate(toy, None, like=[tmp_path / "ann.wav"], **asked)


def test_the_bars():
    def system(name, **values):
        return SystemScores(name, {key: Estimate(value, value, value, 9) for key, value in values.items()}, ())

    beside = [system(HUMAN, wer=0.02), system("a, then b", speaker=0.7), system(OTHER_PEOPLE, speaker=0.6)]
    good = prompted_bars([*beside, system("m", speaker=0.76, wer=0.069, rtf=0.3)], "m")
    assert [bar.limit for bar in good] == pytest.approx([0.75, 0.6, 0.7, 0.07, 0.4])
    assert all(bar.reached for bar in good)
    bad = prompted_bars([*beside, system("m", speaker=0.6, wer=0.071, rtf=0.5)], "m")
    assert not any(bar.reached for bar in bad)
    many = prompted_bars([system(HUMAN, wer=0.04), system(OTHER_PEOPLE), system("m", wer=0.09)], "m")
    assert many[0].limit == pytest.approx(0.1)
    assert prompted_bars([system(HUMAN, wer=0.02), system("m", speaker=0.9)], "m") == []
