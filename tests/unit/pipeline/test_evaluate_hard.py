"""`moksori evaluate --task hard`: what a recogniser hears of the list becomes counts, controls and a bar."""

import json

import pytest

from moksori.cli.main import main
from moksori.errors import BadInput, UnsupportedTask
from moksori.evaluation import recognisers
from moksori.evaluation.hard_sentences import hard_sentences
from moksori.evaluation.intelligibility import spoken_words
from moksori.evaluation.names import NOISE, OWN_OTHER_TEXTS
from moksori.pipeline.evaluate import evaluate


class Told:
    """A recogniser that knows how many samples each sentence has, and mishears those that it was told to."""

    identity = name = description = "told"
    left_out: dict[str, tuple[str, ...]] = {}  # noqa: RUF012

    def __init__(self, lengths: dict[int, str], slips: dict[str, str]) -> None:
        self.lengths, self.slips = lengths, slips

    def covers(self, text: str) -> bool:
        return True

    def transcribe(self, waveform) -> str:
        text = self.lengths.get(waveform.samples.tobytes().__hash__(), "")
        return self.slips.get(text, " ".join(spoken_words(text)))


@pytest.fixture
def told(toy_folder, monkeypatch):
    """The recogniser, which hears all that the toy voice says with seed 0 but one word of two sentences."""
    from moksori.pipeline.say import load
    from moksori.pipeline.seeds import sentence_generator

    voice = load(toy_folder)
    firsts: dict[str, list[str]] = {}
    for sentence in hard_sentences():
        firsts.setdefault(sentence.kind, []).append(sentence.text)
    texts = [text for kind in firsts.values() for text in kind[:2]]
    heard = {}
    for place, text in enumerate(texts):
        seed = sentence_generator(0, place).initial_seed()
        sound = voice.say(text, seed=seed, pause=0.0, speaker="ann").waveform
        heard[sound.samples.tobytes().__hash__()] = text
    skipped, again = texts[2], texts[6]
    words = spoken_words(skipped)
    slips = {skipped: " ".join(words[:3] + words[4:]), again: f"{spoken_words(again)[0]} " * 2}
    ears = Told(heard, slips)
    monkeypatch.setitem(recognisers.RECOGNISERS, "told", lambda texts, model: ears)
    return skipped, again


def test_slips_controls_and_the_bar(toy_folder, told) -> None:
    pytest.importorskip("jiwer")
    skipped, again = told
    report = evaluate(toy_folder, None, task="hard", limit=2, measures=["words"], recogniser="told")
    assert [group.speaker for group in report.groups] == ["repeats", "numbers", "long", "one word", "tongue twisters"]
    assert (report.n, report.of) == (10, 50)
    own = report.system("toy")
    assert own is not None
    assert own.measures["clean"].value == pytest.approx(0.8)
    assert own.measures["skips"].value == pytest.approx(0.1)
    assert own.measures["repeats"].value == pytest.approx(0.1)
    assert own.measures["cut_off"].value == 0.0
    by_text = {item.text: item for item in own.items}
    assert by_text[skipped].values["skips"] == 1.0
    assert by_text[again].values["repeats"] == 1.0
    assert own.measures["rtf"].value > 0
    for control, least in ((OWN_OTHER_TEXTS, 0.8), (NOISE, 0.9)):
        assert report.system(control).measures["wer"].value > least
    (bar,) = report.bars()
    assert (bar.measure, bar.limit, bar.reached) == ("clean", 0.9, False)
    assert len([note for note in report.notes if "skipped" in note or "repeated" in note]) == 2
    assert not any("WARNING" in note for note in report.notes)
    assert len(report.pictures) == 3
    assert report.pictures[0].name == "numbers 1"


def test_the_command_needs_no_corpus(toy_folder, told, tmp_path, capsys) -> None:
    pytest.importorskip("jiwer")
    result = tmp_path / "hard.json"
    arguments = ["--task", "hard", "--limit", "2", "--measure", "words", "--recogniser", "told", "--json", str(result)]
    assert main(["evaluate", str(toy_folder), *arguments]) == 0
    assert "misses the bar" in capsys.readouterr().out
    stored = json.loads(result.read_text())
    assert stored["task"] == "hard"
    assert stored["speakers"][1]["systems"][0]["sentences"][0]["skips"] == 1.0
    assert main(["evaluate", str(toy_folder)]) == 2
    assert "--corpus" in capsys.readouterr().err


def test_what_does_not_fit_is_refused(toy_folder) -> None:
    with pytest.raises(BadInput, match="leave the measure 'words' in"):
        evaluate(toy_folder, None, task="hard", measures=["opinion"])
    with pytest.raises(BadInput, match="measure 'spectrum'"):
        evaluate(toy_folder, None, task="hard", measures=["words", "spectrum"])
    with pytest.raises(BadInput, match="name one"):
        evaluate(toy_folder, None, task="hard", speakers=["ann", "bob"])
    with pytest.raises(BadInput, match="carl"):
        evaluate(toy_folder, None, task="hard", speakers=["carl"])
    with pytest.raises(BadInput, match="no corpus"):
        evaluate(toy_folder, None, task="speak")


def test_a_voice_of_another_language_is_refused(toy_family, tmp_path) -> None:
    folder = toy_family.save_toy(tmp_path / "toy", speakers=("ann",))
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["speaker_languages"] = {"ann": "de"}
    path.write_text(json.dumps(config))
    with pytest.raises(UnsupportedTask, match="English"):
        evaluate(folder, None, task="hard", measures=["words"])
