"""`--best-of` reaches the models that follow it, and is refused where nothing would come of it."""

import pytest
import toy_voice
from small_imitator import save_vocoder

from moksori.cli.main import main
from moksori.errors import BadInput, UnsupportedTask
from moksori.pipeline.load import load
from moksori.pipeline.say_options import SayOptions


@pytest.fixture
def asked(toy_family, tmp_path, monkeypatch):
    """A home with a voice of mels that keeps the best draw; the list of what it is asked."""
    models = tmp_path / "home" / "models"
    save_vocoder(models / "through")
    toy_voice.save_toy_mel(models / "melly")
    monkeypatch.setenv("MOKSORI_HOME", str(tmp_path / "home"))
    found: list[int | None] = []
    say_mels = toy_voice.ToyMelVoice.say_mels

    def remembered(self, text, controls, generator=None):
        found.append(controls.best_of)
        return say_mels(self, text, controls, generator)

    monkeypatch.setattr(toy_voice.ToyMelVoice, "say_mels", remembered)
    monkeypatch.setattr(toy_voice.ToyMelVoice, "keeps_best", True, raising=False)
    return found


def test_the_model_is_asked_for_so_many_draws(asked, tmp_path) -> None:
    voice = load("melly")
    voice.say("One small step.", seed=1)
    voice.say("One small step.", seed=1, best_of=3)
    list(voice.stream("One small step.", seed=1, best_of=4))
    assert main(["say", "One.", "--voice", "melly", "--best-of", "5", "-o", str(tmp_path / "a.wav")]) == 0
    assert asked == [None, 3, 4, 5]


def test_a_job_is_another_one_with_other_draws() -> None:
    assert SayOptions(best_of=2).as_json() != SayOptions().as_json()
    assert "best_of" not in SayOptions().as_json()  # jobs from before go on


def test_bad_numbers_and_voices_that_leave_nothing_out(toy_folder) -> None:
    for number in (0, 17, 2.0, True):
        with pytest.raises(BadInput, match="from 1 to 16"):
            SayOptions(best_of=number)
    with pytest.raises(UnsupportedTask, match="leave best-of out"):
        load(toy_folder).say("One.", best_of=2)
