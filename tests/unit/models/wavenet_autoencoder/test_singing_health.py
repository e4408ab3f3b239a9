"""Readings say what is wrong and what to do; a run that is lost is stopped."""

import logging
import math

import pytest
import torch
from small_singers import small_model, small_objective, sung

from moksori.errors import TrainingCollapsed
from moksori.models.wavenet_autoencoder.health import CollapseDetector, health

WELL = {
    "bits": 2.5, "code_gain": 0.3, "code_spread": 0.2, "singer_gain": 0.05, "code_probe": 0.3,
    "confusion": math.log(4), "partials": 0.28,
}  # fmt: skip
ILL = [
    ("bits", 6.0, "noise yet"),
    ("code_gain", 0.0, "would babble"),
    ("code_spread", 1e-5, "hardly change"),
    ("partials", 0.9, "half breath"),
    ("singer_gain", 0.0, "conversion would change nothing"),
    ("code_probe", 0.9, "keep the source's voice"),
    ("confusion", 0.1, "tells the singers apart"),
    ("confusion", 9.0, "resistance=uniform"),
]


def test_a_run_that_is_well_has_no_advice() -> None:
    readings = health(WELL, singers=4)
    assert len(readings) == 7
    assert all(reading.is_well and not reading.advice for reading in readings)
    assert "bits a sample, well at 0 to 3.5" in readings[0].line()
    assert {r.name for r in health(WELL, singers=1)} == {
        "reconstruction", "what the codes tell", "spread of the codes", "what the partials leave"
    }  # fmt: skip
    assert health({}, singers=4) == []


@pytest.mark.parametrize(("measure", "value", "advice"), ILL)
def test_each_reading_that_is_not_well_says_what_to_do(measure: str, value: float, advice: str) -> None:
    ill = [reading for reading in health({**WELL, measure: value}, singers=4) if not reading.is_well]
    assert len(ill) == 1
    assert advice in ill[0].line()


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"confusion": 2.9}, r"over 2 ln 4 = 2\.77"),
        ({"confusion": 1.3, "code_spread": 1e-5}, "they carry nothing"),
        ({"bits": 7.95}, "the decoder learns nothing"),
    ],
)
def test_a_lost_run_is_stopped_with_its_reason_and_not_before_its_time(terms, message: str) -> None:
    detector = CollapseDetector(singers=4, from_step=10, bits_of_noise=8.0)
    for step in range(1, 10):
        detector.look(terms, step)
    with pytest.raises(TrainingCollapsed, match=message):
        detector.look(terms, 10)


def test_one_bad_step_stops_nothing() -> None:
    detector = CollapseDetector(singers=4, from_step=10, bits_of_noise=8.0)
    for step in range(40):
        detector.look({"bits": 3.0, "confusion": 20.0 if step == 30 else 1.4, "code_spread": 0.2}, step)


def test_the_objective_looks_at_its_terms() -> None:
    objective = small_objective("objective.watch_from_step=1")
    next(objective.updates(sung([0, 1], 800), 5, torch.Generator().manual_seed(0)))
    with pytest.raises(TrainingCollapsed, match="step 6"):
        objective.observe({"confusion": torch.tensor(5.0)})


def test_codes_and_vectors_that_matter_show_in_validation(caplog) -> None:
    """A decoder that reads codes and vector loses by strangers' ones; one that does not, does not."""
    objective = small_objective("objective.watch_from_step=1").eval()
    batch = sung([0, 1], 800)
    condition = objective.model.decoders[0].stack
    with torch.no_grad():
        for layer in (condition.condition, condition.vector):
            layer.projection.weight.zero_()
        deaf = objective.validate(batch, torch.Generator().manual_seed(0))
    assert float(deaf["code_gain"]) == pytest.approx(0.0, abs=1e-5)
    assert float(deaf["singer_gain"]) == pytest.approx(0.0, abs=1e-5)
    objective._steps = 5
    with caplog.at_level(logging.WARNING), torch.no_grad():
        objective.validate(batch, torch.Generator().manual_seed(0))
        objective.validate(batch, torch.Generator().manual_seed(0))
    assert caplog.text.count("conversion would change nothing") == 1


def test_one_singer_is_told(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        small_objective("model.num_speakers=1").initialise([])
    assert "one singer" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):  # a table of two, as `tiny` has: what counts is who is heard
        small_objective().initialise([sung([0, 1], 1600), sung([0, 0], 1600)])
        assert "one singer" not in caplog.text
        small_objective().initialise([sung([0, 0], 1600), sung([0], 1600)])
    assert "one singer" in caplog.text
    assert small_model("model.num_speakers=1").num_singers == 1
