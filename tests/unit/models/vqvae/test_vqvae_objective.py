"""The loss: what it starts from, what reaches what, jitter and dropout in training alone, readings and collapse."""

import math

import pytest
import torch

from moksori.corpus.synthetic import synthetic_examples
from moksori.errors import TrainingCollapsed
from moksori.models.vqvae.health import CollapseDetector, health
from moksori.models.vqvae.objective import VqvaeObjective
from moksori.models.vqvae.probe import SpeakerProbe
from moksori.nn.gradient_reversal import ramp
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.run_config import run_config
from moksori.types import SpeechBatch

SOUND = (
    "model.decoder={kind: wavenet, residual_channels: 8, skip_channels: 8, cycles: 1, layers: 5}",
    "model.pitch={hop_length: 64, harmonics: false}", "objective.crop_codes=8",
)  # fmt: skip


def made(*overrides: str, count: int = 4) -> tuple[VqvaeObjective, SpeechBatch]:
    config = run_config("vqvae/tiny", overrides)
    torch.manual_seed(0)
    objective = config.family.objective(config.family.model(config.model), config.objective)
    needs = config.family.needs(config.model, config.objective)
    batch = fixed_batches(synthetic_examples(needs, count, seed=1, speakers=2), needs, count)[0]
    return objective.train(), batch


def updates(objective: VqvaeObjective, batch: SpeechBatch, step: int = 5, seed: int = 0):
    return {u.optimizer: u for u in objective.updates(batch, step, torch.Generator().manual_seed(seed))}


def test_it_starts_from_the_data() -> None:
    objective, batch = made()
    objective.initialise([batch, batch])
    crop = objective._crop(batch, objective._room(batch) // 2)
    real = crop.target.transpose(1, 2)[crop.mask[:, 0]]
    assert float(real.mean().abs()) < 0.02
    assert float(real.std()) == pytest.approx(1.0, abs=0.1)
    states = objective.model.states(crop.features)
    found = objective.model.quantizer.eval()(states, crop.mask)
    assert len(found.codes[crop.mask[:, 0]].unique()) > 16
    assert float(found.commitment.detach()) < 0.3 * float(states.var(dim=(0, 1)).mean())


def test_a_crop_is_what_a_whole_recording_gives() -> None:
    """Features, targets and melody of crops in the middle are those of recordings analysed whole."""
    objective, batch = made("objective.crop_codes=8")
    model = objective.model.eval()
    start = torch.full((4,), 12)
    crop = objective._crop(batch, start, standard=False)
    length = int(batch.waveform_lengths.min())
    whole = model.encoder.features(batch.waveform[:, :length])
    margin = model.encoder.margin
    torch.testing.assert_close(crop.features, whole[:, :, 12 - margin : 20 + margin], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(crop.target, objective.front_end(batch.waveform[:, :length])[:, :, 12:20])
    assert torch.equal(crop.melody[:, 1], (batch.f0[:, 12:20] > 0).float())
    assert bool(crop.mask.all())


def test_beyond_the_ends_nothing_is_learnt() -> None:
    objective, batch = made("objective.crop_codes=300")
    crop = objective._crop(batch, torch.zeros(4, dtype=torch.int64))
    assert torch.equal(crop.mask[:, 0].sum(dim=1), batch.waveform_lengths // 256)
    model, quantized = objective.model.eval(), None
    quantized = model.quantizer(model.states(crop.features), crop.mask)
    one = objective._reconstruction(crop, quantized.states, crop.speaker)
    crop.target[~crop.mask.expand_as(crop.target)] = 1e3
    assert torch.equal(one, objective._reconstruction(crop, quantized.states, crop.speaker))


@pytest.mark.parametrize("overrides", [(), SOUND], ids=["mel", "sound"])
def test_what_reaches_what(overrides: tuple[str, ...]) -> None:
    """The classifier's own update reaches the classifier alone; reconstruction reaches encoder, table and decoder."""
    objective, batch = made(*overrides)
    found = updates(objective, batch)
    assert set(found) == {"model", "probe"}
    found["probe"].total().backward()
    assert all(p.grad is None for p in objective.model.parameters())
    assert all(p.grad is not None for p in objective.probe.parameters())
    found["model"].terms["reconstruction"].backward(retain_graph=True)
    for part in (objective.model.encoder, objective.model.speaker_embedding, objective.model.decoder):
        assert any(bool(p.grad.any()) for p in part.parameters() if p.grad is not None)
    assert {"reconstruction", "quantisation", "perplexity", "codes_used", "state_norm"} <= set(found["model"].terms)


def test_resisting_turns_the_gradient_round() -> None:
    """What lets the classifier learn is, times the strength, what the encoder unlearns."""
    objective, batch = made("model.jitter=0")
    crop = objective._crop(batch, objective._room(batch) // 2)
    states = torch.randn(4, 32, 16).requires_grad_()
    forward = torch.nn.functional.cross_entropy(objective.probe(states, crop.mask), crop.speaker)
    (plain,) = torch.autograd.grad(forward, states)
    from moksori.nn.gradient_reversal import reversed_gradient

    turned = objective.probe(reversed_gradient(states, 0.5), crop.mask)
    (found,) = torch.autograd.grad(torch.nn.functional.cross_entropy(turned, crop.speaker), states)
    torch.testing.assert_close(found, -0.5 * plain)
    assert (ramp(0, 100), ramp(5, 0)) == (0.0, 1.0)
    assert ramp(100, 100) == pytest.approx(1.0, abs=1e-4)


def test_jitter_and_dropout_are_of_training_alone() -> None:
    objective, batch = made(*SOUND, "model.jitter=0.9", "model.decoder.input_dropout=0.5")
    objective.eval()
    one, other = (updates(objective, batch, seed=seed)["model"].terms for seed in (0, 0))
    crops = [objective._crop(batch, objective._room(batch) // 2) for _ in range(2)]
    states = objective.model.states(crops[0].features)
    quantized = objective.model.quantizer(states, crops[0].mask)
    still = [
        objective._terms(crops[0], states, quantized, torch.Generator().manual_seed(seed))[0]["reconstruction"]
        for seed in (1, 2)
    ]
    assert torch.equal(*still)
    assert torch.equal(one["reconstruction"], other["reconstruction"])
    objective.train()
    moved = [
        objective._terms(crops[0], states, quantized, torch.Generator().manual_seed(seed))[0]["reconstruction"]
        for seed in (1, 2)
    ]
    assert not torch.equal(*moved)


def test_first_steps_pass_states() -> None:
    objective, batch = made("objective.pass_steps=3", "model.jitter=0", "model.quantizer.decay=null")
    objective.initialise([batch])
    for step in (0, 3):
        objective.zero_grad()
        terms = updates(objective, batch, step)["model"].terms
        terms["reconstruction"].backward()
        assert any(bool(p.grad.any()) for p in objective.model.encoder.parameters() if p.grad is not None)
    passing = updates(objective, batch, 0)["model"].terms
    coded = updates(objective, batch, 3)["model"].terms
    assert float(passing["reconstruction"]) != float(coded["reconstruction"])
    assert float(passing["state_norm"]) == pytest.approx(float(passing["code_norm"]), rel=1e-4)
    assert float(coded["state_norm"]) != pytest.approx(float(coded["code_norm"]), rel=1e-4)


def test_some_steps_teach_it() -> None:
    """Some tones: the reconstruction falls, the codes stay in use, the decoder listens to them."""
    objective, batch = made("objective.scrubbing.weight=0", "objective.pass_steps=20")
    objective.initialise([batch])
    groups = {name: list(parameters) for name, parameters in objective.parameter_groups().items()}
    optimizers = {name: torch.optim.Adam(parameters, 2e-3) for name, parameters in groups.items()}
    first = None
    for step in range(50):
        objective.train()
        for update in objective.updates(batch, step, torch.Generator().manual_seed(step)):
            optimizers[update.optimizer].zero_grad()
            update.total().backward()
            optimizers[update.optimizer].step()
            objective.observe({name: term.detach() for name, term in update.terms.items()})
        first = first or float(update.terms["reconstruction"])
    found = {name: float(value) for name, value in objective.eval().validate(batch).items()}
    assert found["reconstruction"] < 0.75 * first
    assert found["perplexity"] > 16  # without the first steps it falls to 4
    assert found["code_gain"] > 0.1
    assert {"speaker_gain", "speaker_probe", "state_norm"} <= set(found)
    assert {reading.name for reading in objective.health(found)} >= {
        "perplexity of the codes", "codes in use", "what the codes tell", "who speaks, read off the codes",
    }  # fmt: skip


def test_readings_and_their_advice() -> None:
    well = {
        "perplexity": 40.0, "codes_used": 60.0, "code_gain": 0.5, "speaker_gain": 0.1, "speaker_probe": 0.3,
        "state_norm": 2.0, "code_norm": 1.9,
    }  # fmt: skip
    assert all(reading.is_well for reading in health(well, 64, 4))
    ill = {"perplexity": 3.0, "codes_used": 5.0, "code_gain": 0.0, "speaker_gain": 0.0, "speaker_probe": 0.9,
           "state_norm": 90.0, "code_norm": 1.0}  # fmt: skip
    readings = health(ill, 64, 4)
    assert not any(reading.is_well for reading in readings)
    assert all(reading.advice in reading.line() and reading.advice for reading in readings)
    assert len(health(ill, 64, 1)) == len(readings) - 2
    assert health({}, 64, 4) == []


def test_a_collapse_stops_the_run_and_says_why() -> None:
    detector = CollapseDetector(512, 100)
    for step in range(90):
        detector.look({"perplexity": 4.0}, step)
    with pytest.raises(TrainingCollapsed, match=r"^step 100: .* perplexity 4.0 of 512 codes, under 25.6; .*state_norm"):
        detector.look({"perplexity": 4.0}, 100)
    runaway = CollapseDetector(512, 1)
    with pytest.raises(TrainingCollapsed, match=r"states are 900 long and codes 2: they run away"):
        runaway.look({"perplexity": 300.0, "state_norm": 900.0, "code_norm": 2.0}, 1)
    CollapseDetector(512, 1).look({"perplexity": 200.0, "state_norm": 9.0, "code_norm": 8.0}, 5)


def test_the_probe_hears_each_item_by_itself() -> None:
    probe = SpeakerProbe(4, 8, 1, 3)
    states, mask = torch.randn(2, 6, 4), torch.ones(2, 1, 6, dtype=torch.bool)
    mask[0, 0, 4:] = False
    found = probe(states, mask)
    torch.testing.assert_close(found[:1], probe(states[:1, :4], mask[:1, :, :4]))
    torch.testing.assert_close(found, probe(100.0 * states, mask), rtol=1e-3, atol=1e-4)
    assert math.isfinite(float(probe(torch.zeros(1, 2, 4), mask[:1, :, :2]).sum().detach()))
