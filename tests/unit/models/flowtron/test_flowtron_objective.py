"""The loss is the exact likelihood, padding and neighbours change none of its terms, and the helps come and go."""

import logging
import math
from dataclasses import replace

import five_bands as small
import pytest
import torch

from moksori.config import preset_names
from moksori.errors import ConfigError, UnknownName
from moksori.models.flowtron import FAMILY, Flowtron, FlowtronObjective
from moksori.models.flowtron.objective import text_of
from moksori.nn.alignment import durations_to_path
from moksori.pipeline.run_config import run_config
from moksori.training.transfer import SpeakerRows, transfer_weights
from moksori.types import LatentPlan, SayControls, SpeechBatch

GIVEN = {"alignment": "given", "blank_logit": -1.0, "forward_sum_weight": 0.1}


def terms(model: Flowtron, batch: SpeechBatch, step: int = 0, **settings: object) -> dict[str, float]:
    update = next(
        small.objective(model, **{**GIVEN, **settings}).updates(batch, step, torch.Generator().manual_seed(0))
    )
    return {name: float(term.detach()) for name, term in update.terms.items()}


def test_likelihood_is_that_of_a_normal_under_a_change_of_variables() -> None:
    """One flow, one item: x_t given the past is N(-b e^-s, e^-s), band by band; the mean over all of them."""
    model = small.model(num_flows=1)
    batch = small.batch((7,), (3,))
    with torch.no_grad():
        mel = model.mel(batch.waveform)
        memory = model.memory(small.text((3,)))
        step = model.flows[0].step
        projected = step.attention.project(memory.states, memory.mask)
        x = model.standardize(mel).transpose(1, 2)
        out = step(x, projected)
        mean = model.standardize.inverse((-out.shift * torch.exp(-out.log_scale)).transpose(1, 2))
        deviation = torch.exp(-out.log_scale).transpose(1, 2) * model.standardize.std[:, None]
        expected = -torch.distributions.Normal(mean, deviation).log_prob(mel).mean()
    batch = small.batch((7,), (3,))
    assert terms(model, batch, prior=False)["nll"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("group", [1, 2])
def test_padding_changes_no_term(group: int) -> None:
    model = small.model(group=group)
    for prior in (True, False):
        plain, padded = (terms(model, small.batch(padding=p), prior=prior) for p in (0, 6))
        assert plain.keys() == {"nll", "gate", "forward_sum", "path"}
        assert plain == pytest.approx(padded, rel=1e-5)


def test_a_batch_is_the_mean_of_its_items() -> None:
    """Means over steps count each item's steps, means over items each item once."""
    model = small.model()
    whole = small.batch()
    together = terms(model, whole)
    alone = [terms(model, small.batch().rows(item, 3)) for item in range(3)]
    frames = whole.waveform_lengths / whole.waveform_lengths.sum()
    for name in ("nll", "gate", "path"):
        assert together[name] == pytest.approx(
            sum(f * a[name] for f, a in zip(frames.tolist(), alone, strict=True)), rel=1e-5
        )
    assert together["forward_sum"] == pytest.approx(sum(a["forward_sum"] for a in alone) / 3, rel=1e-5)


@pytest.mark.parametrize(("num_flows", "first"), [(1, False), (2, True)])
def test_gate_stops_at_the_end_of_the_last_flow(num_flows: int, first: bool) -> None:
    """With two flows that is the recording's first frame, since the last runs backward."""
    made = small.objective(small.model(num_flows=num_flows), gate_positive_weight=1.0)
    batch = small.batch((9, 6), (3, 2))
    encoded = made.model.encode(
        made.model.mel(batch.waveform), batch.waveform_lengths // small.HOP, made.model.memory(small.text((3, 2)))
    )
    logits = torch.full((2, 9), -20.0)
    for item, length in enumerate((9, 6)):
        logits[item, 0 if first else length - 1] = 20.0
    good, bad = (made._gate(type(encoded)(**{**vars(encoded), "gate_logits": x})) for x in (logits, -logits))
    assert float(good) < 1e-6
    assert float(bad) == pytest.approx(20.0, rel=1e-3)


def test_gate_may_keep_its_gradient_to_itself() -> None:
    reached = []
    for start in (0, None):
        made = small.objective(small.model(), gate_trunk_from=start)
        next(made.updates(small.batch(), 0)).terms["gate"].backward()
        gradients = {n for n, p in made.model.named_parameters() if p.grad is not None and bool(p.grad.any())}
        reached.append(gradients)
    assert reached[1] == {"flows.1.step.gate.weight", "flows.1.step.gate.bias"}
    assert "text_encoder.embedding.weight" in reached[0]


def test_a_second_flow_leaves_the_likelihood_as_it_was() -> None:
    one, two = small.model(num_flows=1), small.model(num_flows=2, perturbed=False, seed=5)
    report = transfer_weights(two, one.state_dict())
    assert any(name.startswith("flows.1.step.gate") for name in report.left)
    batch = small.batch()
    assert terms(two, batch)["nll"] == pytest.approx(terms(one, batch)["nll"], rel=1e-6)


def test_hidden_frames_change_the_loss_and_not_the_map() -> None:
    """The affine map keeps the true frames: what is hidden is only what the LSTMs hear of the past."""
    model = small.model()
    clear, hidden = (terms(model, small.batch(), frame_dropout=share)["nll"] for share in (0.0, 0.5))
    assert clear != pytest.approx(hidden, rel=1e-3)
    mel, lengths = small.mels((6,))
    memory = model.memory(small.text((3,)))
    keep = [torch.zeros(1, 6, dtype=torch.bool)] * 2
    encoded = model.encode(mel, lengths, memory, keep=keep)
    moved = mel.clone().requires_grad_()
    latent = model.encode(moved, lengths, memory, keep=keep).latent
    torch.testing.assert_close(latent, encoded.latent)
    gradient = torch.autograd.grad(latent[0, :, 3].sum(), moved)[0][0].abs().sum(dim=0)
    assert bool((gradient > 0).tolist() == [False, False, False, True, False, False])


def test_prior_goes_and_path_term_fades() -> None:
    made = small.objective(small.model(), **GIVEN, prior_hold_steps=10, prior_anneal_steps=20)
    assert [made.config.prior_factor(s) for s in (0, 10, 20, 30, 99)] == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert made.config.path_weight_at(10) == 1.0
    assert made.config.path_weight_at(20) == pytest.approx(0.55)
    assert made.config.path_weight_at(99) == pytest.approx(0.1)
    batch = small.batch()
    sums = [float(next(made.updates(batch, step)).terms["forward_sum"].detach()) for step in (0, 20, 40)]
    assert sums[0] < sums[1] < sums[2]
    assert float(made.validate(batch)["forward_sum"]) == pytest.approx(sums[2], rel=1e-6)


def test_warns_once_where_the_prior_goes_too_early(caplog) -> None:
    made = small.objective(small.model(), **GIVEN, prior_hold_steps=5, prior_anneal_steps=5)
    batch = small.batch()
    with caplog.at_level(logging.WARNING):
        next(made.updates(batch, 3))
        made.validate(batch)
        assert not caplog.records
        for step in (4, 7, 8):  # the first of them is the last one with the whole prior
            next(made.updates(batch, step))
            made.validate(batch)
            assert len(caplog.records) == 1
    assert "objective.prior_hold_steps" in caplog.text


def test_paths_are_given_searched_or_absent() -> None:
    model, batch = small.model(), small.batch()
    assert "path" not in terms(model, batch, alignment="none")
    searched, given = (terms(model, batch, alignment=kind, prior=False)["path"] for kind in ("search", "given"))
    assert searched < given
    bare = SpeechBatch(**{**vars(batch), "durations": None})
    with pytest.raises(ConfigError, match="align the corpus first"):
        terms(model, bare)


def test_lengths_are_learnt_from_the_recordings() -> None:
    made = small.objective(small.model(), **GIVEN)
    batch = small.batch((20, 30, 40), (2, 4, 6))
    made.initialise([batch])
    assert float(made.model.length_slope) == pytest.approx(5.0, rel=1e-5)
    assert float(made.model.length_offset) == pytest.approx(10.0, rel=1e-5)
    assert float(made.model.frames_per_token) == pytest.approx(90 / 12, rel=1e-5)
    said, lasting = batch.tokens, batch.durations
    assert said is not None
    assert lasting is not None
    symbol = int(said[0, 0])
    real = torch.arange(6)[None] < torch.tensor([[2], [4], [6]])
    mean = lasting[(said == symbol) & real].float().mean()
    assert float(made.model.symbol_frames[symbol]) == pytest.approx(float(mean), rel=1e-5)


def test_validation_tells_of_each_flow_and_pictures_show_it() -> None:
    made = small.objective(small.model(), **GIVEN)
    found = made.validate(small.batch())
    for flow in (0, 1):
        assert {f"flow_{flow}/{name}" for name in ("monotonic", "coverage", "sharpness", "agreement")} <= found.keys()
    pictures = made.pictures(small.batch(), torch.Generator().manual_seed(0))
    assert pictures["attention/flow_1"].shape == (4, 24)
    assert pictures["mel/drawn"].shape == pictures["mel/recording"].shape == (5, 24)


def test_only_the_named_parts_learn() -> None:
    made = small.objective(small.model(), trained_parts=["flows.1.step.gate", "speaker_embedding"])
    learning = {id(p) for p in made.parameter_groups()["model"]}
    named = {name for name, p in made.model.named_parameters() if id(p) in learning}
    assert named == {"flows.1.step.gate.weight", "flows.1.step.gate.bias", "speaker_embedding.weight"}
    next(made.updates(small.batch(), 0)).total().backward()
    assert all((p.grad is not None) == (id(p) in learning) for p in made.model.parameters())
    with pytest.raises(UnknownName, match=r"did you mean 'flows.1.step.gate'"):
        small.objective(small.model(), trained_parts=["flows.1.step.gat"])


def test_a_model_of_one_speaker_goes_on_with_several() -> None:
    """Without a table before, it starts as it spoke; and the new rows can learn, since their readers are not zero."""
    one = small.model(speaker_table="several")
    many = small.model(speaker_table="several", num_speakers=3, perturbed=False, seed=7)
    rows = SpeakerRows(FAMILY.speaker_tables, (), ("a", "b", "c"), FAMILY.speaker_readers)
    report = transfer_weights(many, one.state_dict(), rows)
    assert set(report.left) == {"speaker_embedding.weight"}
    assert len(report.partial) == 4
    mel, lengths = small.mels()
    with torch.no_grad():
        before, after = (m.encode(mel, lengths, m.memory(small.text())).latent for m in (one, many))
    torch.testing.assert_close(before, after)
    next(small.objective(many).updates(small.batch(), 0)).terms["nll"].backward()
    assert many.speaker_embedding is not None
    assert bool(many.speaker_embedding.weight.grad.any())


def test_an_adaptation_freezes_the_text_encoder_where_there_is_little_speech() -> None:
    for config in (
        small.config(),
        small.config(decorrelate=True, speaker_table="several"),
        small.config(prior={"kind": "mixture", "num_components": 2}),
    ):
        assert FAMILY.adaptation is not None
        recipe = FAMILY.adaptation(config)
        assert recipe.preset in preset_names()
        freeze = run_config(recipe.preset, recipe.freeze).objective
        made = FlowtronObjective(Flowtron(config), freeze)
        frozen = [name for name, p in made.model.named_parameters() if not p.requires_grad]
        assert frozen
        assert all(name.startswith("text_encoder.") for name in frozen)


def test_the_text_mean_learns_from_its_own_term_alone() -> None:
    made = small.objective(small.model(text_mean_channels=6, group=2), alignment="given")
    own = list(made.model.flows[0].step.text_mean.parameters())
    (update,) = made.updates(small.batch((40, 31), (4, 2)), 0)
    grad = torch.autograd.grad(update.terms["nll"], own, retain_graph=True, allow_unused=True)
    assert all(g is None for g in grad)
    assert all(float(g.abs().max()) > 0 for g in torch.autograd.grad(update.terms["text_mean"], own))


def test_what_the_text_mean_misses_is_of_the_standardised_mel() -> None:
    model = small.model(text_mean_channels=6, group=2, standardize=True, decorrelate=True)
    batch = small.batch((40, 31), (4, 2))
    made = small.objective(model, alignment="given")
    made.initialise([batch])
    with torch.no_grad():
        model.flows[0].step.text_mean.out.weight.zero_()
        model.flows[0].step.text_mean.out.bias.zero_()
        mel, lengths = model.mel(batch.waveform), batch.waveform_lengths // model.hop_length
        memory = model.memory(text_of(batch))
        path = durations_to_path(batch.durations, mel.shape[2])
        found = model.encode(mel, lengths, memory, taught_path=path)
        missed, along = found.missed, found.missed_along
        square = model.standardize(mel)[0, :, :40].unflatten(1, (20, 2)).square().mean(dim=(0, 2))
    torch.testing.assert_close(missed, along)
    torch.testing.assert_close(missed[0, :20], square, atol=1e-4, rtol=1e-4)


def test_a_text_mean_says_a_text_when_all_frames_are_foretold_from_it() -> None:
    """On two fixed recordings the mean's own error falls to a small part of the mel's variance."""
    torch.manual_seed(0)
    model = small.model(text_mean_channels=16, standardize=True)
    batch = small.batch((40, 31), (4, 2))
    made = small.objective(model, alignment="given")
    made.initialise([batch])
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    errors = []
    for step in range(150):
        (update,) = made.updates(batch, step)
        errors.append(float(update.terms["text_mean"].detach()))
        optimiser.zero_grad()
        update.total().backward()
        optimiser.step()
    assert errors[-1] < 0.3 * errors[0]


def pitched(**settings: object) -> tuple[Flowtron, SpeechBatch]:
    """A model of pitch, and noise that is said to be voiced in its middle."""
    model = small.model(text_mean_channels=6, group=2, standardize=True, decorrelate=True, pitch=True, **settings)
    batch = small.batch((40, 31), (4, 2))
    f0 = torch.zeros(2, 40)
    f0[0, 10:30], f0[1, 5:20] = torch.linspace(180.0, 260.0, 20), 140.0
    return model, replace(batch, f0=f0)


def test_pitch_is_the_last_band_of_what_is_heard() -> None:
    model, batch = pitched()
    frames = model.frames(batch.waveform, batch.f0)
    assert frames.shape == (2, 6, 40)
    torch.testing.assert_close(frames[:, :5], model.mel(batch.waveform))
    assert float(frames[0, 5, 0]) == pytest.approx(math.log(180.0), abs=1e-5)
    assert float(frames[0, 5, 29]) == pytest.approx(math.log(260.0), abs=1e-5)
    with pytest.raises(ConfigError, match="needs F0"):
        model.frames(batch.waveform)


def test_a_model_of_pitch_knows_where_pitches_lie_and_learns_them() -> None:
    model, batch = pitched()
    made = small.objective(model, alignment="given")
    made.initialise([batch])
    mean = model.flows[0].step.text_mean
    torch.testing.assert_close(mean.place[0], model.standardize.mean[5])
    x = model.grouped(model.frames(batch.waveform, batch.f0), torch.tensor([40, 31]))
    assert x.shape[2] == 12
    assert model.decorrelate.axes.shape == (10, 10)
    with torch.no_grad():  # what turns the mel's mean is what turned the mel
        standard = torch.randn(1, 1, 10)
        torch.testing.assert_close(standard @ mean.axes, model.decorrelate(standard), atol=1e-4, rtol=1e-4)
    errors = []
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(120):
        (update,) = made.updates(batch, step, torch.Generator().manual_seed(step))
        errors.append(float(update.terms["text_mean"].detach()))
        optimiser.zero_grad()
        update.total().backward()
        optimiser.step()
    assert errors[-1] < 0.4 * errors[0]
    torch.testing.assert_close(model.frames_of(x)[..., :31], model.frames(batch.waveform, batch.f0)[..., :31],
                               atol=1e-3, rtol=1e-3)  # fmt: skip


def test_pitch_is_dithered_in_training_alone() -> None:
    model, batch = pitched()
    made = small.objective(model, alignment="given", pitch_dither=0.2)
    made.initialise([batch])

    def likelihood(seed: int) -> float:
        (update,) = made.updates(batch, 0, torch.Generator().manual_seed(seed))
        return float(update.terms["nll"].detach())

    assert likelihood(0) == likelihood(0) != likelihood(1)
    assert float(made.validate(batch)["nll"]) == float(made.validate(batch)["nll"])


def test_spoken_mels_are_given_the_spread_of_the_recordings() -> None:
    model = small.model(match_spread=1.0, standardize=True, mel={"n_mels": 20})
    batch = small.batch((40, 31), (4, 2))
    made = small.objective(model, alignment="given")
    made.initialise([batch])
    made.calibrate(model, [batch])
    assert model.detail is not None
    assert bool((model.detail.gain[12:] != 1.0).any())
    assert bool((model.detail.gain[:12] == 1.0).all())
    kept = model.detail.gain.clone()
    made.calibrate(model, [batch])  # what it has scaled already does not count
    torch.testing.assert_close(model.detail.gain, kept)
    text, controls = text_of(batch), SayControls(variation=0.0)
    said = model.say_mels(text, controls).mel
    model.detail.gain.fill_(1.0)
    plain = model.say_mels(text, controls).mel
    assert said.shape == plain.shape
    assert not torch.allclose(said, plain)
    given = SayControls(latent=LatentPlan(given=torch.randn(20, 8)))
    before = model.say_mels(text, given).mel
    model.detail.gain.fill_(2.0)
    torch.testing.assert_close(model.say_mels(text, given).mel, before)


def test_short_texts_have_time_where_speakers_are_not_alike() -> None:
    """A line through a slow reader's long texts and a quick one's short ones would give short texts none."""
    made = small.objective(small.model(), alignment="given")
    made.initialise([small.batch((12, 40), (4, 6))])
    assert float(made.model.length_offset) == 0.0
    assert float(made.model.length_slope) == pytest.approx(5.2, rel=1e-5)
