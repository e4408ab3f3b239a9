"""Readings: each symptom has its advice, a run that is well has none, and a collapse stops a run and says why."""

import pytest

from moksori.errors import TrainingCollapsed
from moksori.models.world_vae.health import CollapseDetector, health

WELL = {
    "kl": 20.0, "latent_gain": 15.0, "speaker_gain": 2.0, "leak_probe": 0.4, "spread": 0.8, "distance": 2.0,
}  # fmt: skip


def test_a_run_that_is_well_has_no_advice() -> None:
    assert [reading.advice for reading in health(WELL, 4, "gp")] == [""] * 6
    assert all(reading.is_well for reading in health(WELL, 4, "gp"))


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"kl": 0.1}, "none", "lower objective.kl_weight"),
        ({"kl": 400.0}, "none", "raise objective.kl_weight"),
        ({"latent_gain": 0.0}, "none", "the output is one vowel"),
        ({"speaker_gain": 0.0}, "none", "objective.adversarial=gp"),
        ({"leak_probe": 0.95}, "none", "keeps the source's voice"),
        ({"spread": 0.1}, "none", "model.post_filter=1"),
        ({"spread": 3.0}, "gp", "lower objective.adversarial_weight"),
        ({"distance": -1.0}, "clip", "raise objective.critic_steps"),
        ({"distance": 0.999}, "bce", "it is never wrong"),
    ],
)
def test_each_symptom_has_its_advice(change: dict[str, float], kind: str, said: str) -> None:
    usual = WELL if kind in ("clip", "gp") else {**WELL, "distance": 0.5}
    wrong = [reading for reading in health({**usual, **change}, 4, kind) if not reading.is_well]
    assert len(wrong) == 1
    assert said in wrong[0].advice
    assert wrong[0].advice in wrong[0].line()


def test_what_was_not_measured_is_not_told() -> None:
    assert [reading.name for reading in health({"spread": 1.0}, 4, "bce")] == ["spread of converted frames"]
    assert {reading.name for reading in health(WELL, 1, "none")} == {
        "what goes through z", "what z tells", "spread of converted frames",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"kl": 0.001}, "0.001 nats a frame go through z"),
        ({"kl": 10.0, "spread_converted": 1e-5, "spread_real": 0.1}, "one frame is made for all"),
        ({"kl": 10.0, "distance": 1e6}, "nothing holds its slope"),
    ],
)
def test_a_collapse_stops_the_run_and_says_why(terms: dict[str, float], said: str) -> None:
    detector = CollapseDetector(10, through_latent=True, adversarial="gp")
    detector.look(terms, 9)  # nothing is judged before
    with pytest.raises(TrainingCollapsed, match=said) as caught:
        detector.look(terms, 10)
    assert "step 10" in str(caught.value)
    assert "objective." in str(caught.value)


def test_a_plain_autoencoder_may_have_any_nats() -> None:
    CollapseDetector(0, through_latent=False, adversarial="none").look({"kl": 0.0}, 5)
