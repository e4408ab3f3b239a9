"""Tasks beyond speech from text: who is heard, the baselines beside the model, what a model can be asked."""

import json

import numpy as np
import pytest
from small_converter import save_converter
from small_ears import Ears
from small_imitator import save_imitator, save_vocoder

from moksori.audio.io import write
from moksori.cli.main import main
from moksori.corpus.augment import active_power
from moksori.corpus.manifest import Corpus, CorpusInfo, rewrite
from moksori.errors import BadInput, CorpusError, UnsupportedTask
from moksori.evaluation import speaker_encoders
from moksori.evaluation.bars import NOISE_DB
from moksori.evaluation.names import COPY, GRIFFIN_LIM, HUMAN, NOISY, PITCH_SHIFT, UNCHANGED, at_snr
from moksori.pipeline.evaluate import evaluate
from moksori.pipeline.evaluate_material import Noises, pairs, strangers
from moksori.types import Utterance, Waveform

RATE = 16000
# Names of the house's speakers, whose sex is in the tracked table; each has a pitch of its own.
PITCHES = {"p225": 210.0, "p228": 245.0, "p226": 110.0, "p227": 130.0, "ls39": 190.0, "kathleen": 180.0}


@pytest.fixture(autouse=True)
def ears(monkeypatch):
    monkeypatch.setattr(speaker_encoders, "SpeakerEncoder", Ears)


def voiced(seconds, pitch, seed):
    """A harmonic tone with vibrato whose loudness rises and falls as words do."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * pitch * time + 0.8 * np.sin(2 * np.pi * 3 * time + seed)
    sound = sum(np.sin(k * phase) / k for k in range(1, 8)) * (1.05 + np.sin(2 * np.pi * 2.5 * time + seed))
    noise = np.random.default_rng(seed).normal(0, 0.003, len(time))
    return Waveform((0.08 * sound + noise).astype(np.float32), RATE)


def corpus_of(folder, clips):
    """clips: (split, speaker, seconds, text)."""
    parts: dict[str, list[Utterance]] = {}
    for place, (split, speaker, seconds, text) in enumerate(clips):
        path = folder / "audio" / f"{speaker}_{place}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, voiced(seconds, PITCHES.get(speaker, 150.0), place))
        language = "en-us" if text else "ja"
        parts.setdefault(split, []).append(Utterance(path.stem, text, speaker, language, path, 0.0, seconds, RATE))
    speakers = tuple(dict.fromkeys(speaker for _, speaker, _, _ in clips))
    rewrite(folder, CorpusInfo("people", "CC0", "en-us", speakers), parts)
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Kathleen trains; two women and two men of several clips, one woman of one, one clip too short, one song."""
    clips = [("train", "kathleen", 2.0, "one two"), ("test", "kathleen", 2.2, "three four")]
    clips += [("test", name, 3.1, f"{name} says {word}") for name in ("p225", "p228") for word in ("this", "that")]
    clips += [("test", name, 3.2, f"{name} says {word}") for name in ("p226", "p227") for word in ("a", "b", "c")]
    clips += [("test", "ls39", 7.0, "a long one"), ("test", "ls40", 3.0, "a short one"), ("test", "nit_f001", 2.6, "")]
    return corpus_of(tmp_path_factory.mktemp("people"), clips)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_vocoder(folder / "voc")
    return save_imitator(folder / "imitator"), folder / "voc"


# ---- whom is heard


def test_strangers_are_in_no_other_split_and_no_recording_has_two_parts_to_play(people):
    found = {person.name: person for person in strangers(Corpus.open(people), "test")}
    assert set(found) == {"p225", "p228", "p226", "p227", "ls39"}
    assert {name: person.sex for name, person in found.items()} == {
        "p225": "F", "p228": "F", "p226": "M", "p227": "M", "ls39": "F",
    }  # fmt: skip
    three = found["p226"]
    heard = [three.prompt.samples.tobytes(), *(known.samples.tobytes() for known in three.known)]
    assert len(set(heard)) == 2  # a prompt, one that judges know; the third is converted
    assert [u.speaker for u in three.sources] == ["p226"]
    halves = found["ls39"]
    assert len(halves.prompt.samples) + len(halves.known[0].samples) == 7 * RATE
    assert 2.3 < halves.prompt.duration_seconds < 4.7


def test_a_corpus_without_strangers_is_named(people, tmp_path):
    opened = Corpus.open(people)
    rewrite(tmp_path, opened.info, {"train": opened.split("test"), "test": opened.split("test")})
    with pytest.raises(CorpusError, match=r"0 people .* held-out speakers"):
        strangers(Corpus.open(tmp_path), "test")


def test_pairs_follow_from_the_seed_and_take_both_sexes(people):
    found = strangers(Corpus.open(people), "test")
    made = pairs(found, found, 2, 0)
    assert made == pairs(found, found, 2, 0)
    assert [p.name for p in made] != [p.name for p in pairs(found, found, 2, 1)]
    assert [pair.place for pair in made] == list(range(10))
    for first, second in zip(made[::2], made[1::2], strict=True):
        assert first.source is second.source
        assert first.target.sex == first.source.sex != second.target.sex
    assert all(pair.source.name != pair.target.name for pair in made)
    assert len(pairs(found, found, None, 0)) == 5 * 4


def test_noise_has_its_ratio_and_is_the_same_excerpt_at_each(tmp_path):
    clean = voiced(2.0, 150.0, 1)
    made_up = Noises(None, 3)
    loud, quiet = (made_up.over(clean, snr, 5).samples - clean.samples for snr in (5.0, 15.0))
    assert np.corrcoef(loud, quiet)[0, 1] > 0.999
    ratio = 10 * np.log10(active_power(clean.samples, RATE) / np.mean(loud.astype(float) ** 2))
    assert ratio == pytest.approx(5.0, abs=0.1)
    assert not np.allclose(made_up.over(clean, 5.0, 6).samples, made_up.over(clean, 5.0, 5).samples)
    write(tmp_path / "hum.wav", voiced(1.0, 50.0, 2))
    assert "noise and music of" in Noises(tmp_path, 0).description
    assert not np.allclose(Noises(tmp_path, 0).over(clean, 5.0, 0).samples, clean.samples)


# ---- what is measured


def figures(report):
    return {
        (group.speaker, system.name): {k: e for k, e in system.measures.items() if k != "rtf"}
        for group in report.groups
        for system in group.systems
    }


def test_a_model_that_imitates_is_measured_between_strangers(models, people, tmp_path):
    imitator, vocoder = models
    asked = ["speaker", "pitch", "noise", "trials"]
    memory = tmp_path / "m.jsonl"
    report = evaluate(imitator, people, limit=2, measures=asked, vocoder=vocoder, memory=memory)
    noisy = at_snr("imitator", NOISE_DB)
    assert report.task == "convert"
    assert [group.speaker for group in report.groups] == ["same sex", "other sex"]
    for group in report.groups:
        assert [s.name for s in group.systems] == [HUMAN, UNCHANGED, COPY, PITCH_SHIFT, "imitator", noisy]
        people_, same, shifted = (group.system(name).measures for name in (HUMAN, UNCHANGED, PITCH_SHIFT))
        assert people_["nearer"].value == 1.0
        assert same["nearer"].value == 0.0
        assert same["melody"].value == pytest.approx(1.0)
        assert shifted["f0_error"].value < 0.3 < same["f0_error"].value
        assert people_["speaker"].value > same["speaker"].value
        assert {"speaker", "speaker_source", "speaker_eer", "speaker_accepted", "rtf"} <= set(
            group.system("imitator").measures
        )
    assert report.speaker_encoder == "ears"
    assert (report.recogniser, report.language_model) == ("", "")
    codes = {(row.code, row.kind) for row in report.trials}
    assert {("speaker", "within files"), ("content", "within files"), ("ears", "within files")} <= codes
    assert {bar.measure for bar in report.bars()} == {"nearer", "speaker", "rtf", "speaker_eer"}
    assert "4 conversions of 2 recordings among 5 people that no training heard" in report.summary()
    # The same again, now from what the judges said before: equal to the bit.
    again = evaluate(imitator, people, limit=2, measures=asked, vocoder=vocoder, memory=memory)
    assert repr(figures(again)) == repr(figures(report))
    assert again.trials == report.trials
    stored = json.loads(report.to_json(), parse_constant=pytest.fail)
    assert stored["task"] == "convert"
    assert "spk_similarity" in stored["systems"][0]["measures"]
    assert stored["trials"][0]["error_rate"]["n"] > 0


def test_a_prompt_is_what_likeness_is_with(models, people):
    imitator, vocoder = models
    report = evaluate(imitator, people, task="like", limit=2, measures=["speaker"], vocoder=vocoder)
    assert report.task == "like"
    assert [s.name for s in report.systems] == [HUMAN, "imitator"]
    assert report.system(HUMAN).measures["speaker"].value > 0.9  # another recording of the person
    assert 0.0 <= report.system("imitator").measures["speaker_eer"].value <= 1.0
    assert report.trials == ()


def test_a_model_of_its_own_speakers_is_measured_between_them(tmp_path):
    names = ("ann", "bob", "cleo")
    clips = [("train", name, 3.1, "one two") for name in names for _ in range(2)]
    clips += [("test", name, 1.0, f"{name} three") for name in names]
    corpus = corpus_of(tmp_path / "corpus", clips)
    report = evaluate(save_converter(tmp_path / "three"), corpus, task="convert", measures=["speaker", "pitch"])
    assert [s.name for s in report.systems] == [HUMAN, UNCHANGED, COPY, PITCH_SHIFT, "three"]
    assert report.system("three").measures["nearer"].n == 6
    assert "6 conversions of 3 recordings among 3 speakers of the model" in report.summary()
    with pytest.raises(UnsupportedTask, match=r"'like': three \(vits\) can do speak, convert"):
        evaluate(save_converter(tmp_path / "three"), corpus, task="like")


def test_copies_stand_beside_griffin_lim_in_speech_and_in_singing(models, people):
    report = evaluate(models[1], people, limit=1, measures=["copy"])
    assert report.task == "vocode"
    assert [group.speaker for group in report.groups] == ["speech", "singing"]
    for group in report.groups:
        assert [s.name for s in group.systems] == [HUMAN, GRIFFIN_LIM, "voc"]
        assert group.system(GRIFFIN_LIM).measures["mel_distance"].value < 0.4
        assert group.system("voc").measures["rtf"].value > 0
        assert "rtf" not in group.system(HUMAN).measures
    assert {picture.name.rpartition(" ")[2] for picture in report.pictures} == {"(speech)", "(singing)"}
    assert report.systems == report.groups[0].systems  # songs are no part of the vocoder's figures
    assert (report.n, [row[0] for row in report.rows()]) == (1, ["speech", "singing"])


def test_a_tune_is_compared_with_the_sung_one(models, people):
    report = evaluate(models[1], people, task="sing", measures=["melody"])
    assert [group.speaker for group in report.groups] == ["nit_f001_14"]
    plain = report.system(GRIFFIN_LIM).measures
    assert plain["raw_pitch_accuracy"].value > 0.8
    assert plain["octave_errors"].value < 0.05
    assert "transposition" not in plain


def test_noise_is_laid_over_at_four_ratios(models, people):
    imitator, vocoder = models
    report = evaluate(imitator, people, task="denoise", limit=1, measures=["copy"], vocoder=vocoder)
    assert [group.speaker for group in report.groups] == ["clean", "15 dB", "10 dB", "5 dB"]
    distances = [group.system(NOISY).measures["mel_distance"].value for group in report.groups[1:]]
    assert distances == sorted(distances)
    assert report.groups[0].system(NOISY).measures == {}  # the recordings themselves
    assert all("imitator" in [s.name for s in group.systems] for group in report.groups)
    assert any("coloured noise" in note for note in report.notes)


def test_what_a_model_cannot_do_is_told(models, people, toy_family, tmp_path):
    with pytest.raises(UnsupportedTask, match=r"'convert': voc \(vocoder\) can do vocode, sing"):
        evaluate(models[1], people, task="convert")
    with pytest.raises(UnsupportedTask, match="speak"):
        evaluate(models[1], people, task="speak")
    mute = toy_family.save_toy(tmp_path / "mute", family="mute")
    with pytest.raises(UnsupportedTask, match="nothing to measure: mute"):
        evaluate(mute, people)
    with pytest.raises(BadInput, match="the task 'vocode' has copy, opinion"):
        evaluate(models[1], people, measures=["words"])
    songless = corpus_of(tmp_path / "songless", [("test", "p225", 2.5, "a"), ("train", "p226", 2.5, "b")])
    with pytest.raises(CorpusError, match="no songs"):
        evaluate(models[1], songless, task="sing")


def test_the_command_writes_a_page_and_judges_no_sound_twice(models, people, tmp_path, capsys):
    page, result = tmp_path / "page.html", tmp_path / "out" / "r.json"
    arguments = ["evaluate", str(models[0]), "--corpus", str(people), "--limit", "1", "--measure", "speaker"]
    arguments += ["--vocoder", str(models[1]), "--json", str(result), "--page", str(page), "--targets", "1"]
    assert main(arguments) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "nearer to the target %" in printed
    assert f"wrote {page}" in printed
    memory = tmp_path / "out" / "judgements.jsonl"
    judged = memory.read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    assert text.count("<audio ") == text.count("<img ") == 5
    assert "http://" not in text
    assert "https://" not in text
    assert "imitator: Changing who speaks" in text
    evaluate(models[0], people, limit=1, measures=["speaker"], vocoder=models[1], targets=1, memory=memory)
    assert memory.read_text(encoding="utf-8") == judged
    assert main([*arguments[:4], "--page", "page.pdf"]) == 2
    assert ".html" in capsys.readouterr().err
