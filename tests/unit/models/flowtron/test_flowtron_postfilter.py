"""The postfilter: the identity at first, whatever is beside an item, and what alone learns in its stage."""

from dataclasses import replace

import five_bands as small
import pytest
import torch
from pydantic import ValidationError

from moksori.errors import ConfigError
from moksori.models.contract import Update
from moksori.models.flowtron import Flowtron
from moksori.nn.discriminators import MelDiscriminator
from moksori.types import LatentPlan, SayControls, SpeechBatch

NETWORK = {"channels": 12, "inner_channels": 16, "num_layers": 2, "kernel_size": 3}
GAME = {"channels": (4, 6, 8), "crop_frames": 12, "head_start_steps": 3}
TRAINED = {"alignment": "given", "postfilter": GAME}


def model(moved: bool = True, **changes: object) -> Flowtron:
    """moved: the postfilter is no longer the identity."""
    made = small.model(group=2, standardize=True, postfilter=NETWORK, **changes)
    if moved:
        assert made.postfilter is not None
        torch.nn.init.normal_(made.postfilter.out.weight, std=0.3)
    return made


def pitched() -> SpeechBatch:
    batch = small.batch()
    f0 = 150.0 + 60.0 * torch.rand(3, batch.waveform.shape[1] // small.HOP, generator=torch.Generator().manual_seed(4))
    return replace(batch, f0=f0)


def updates(made: Flowtron, batch: SpeechBatch, step: int = 9) -> dict[str, Update]:
    """The discriminator's weights are the same each time."""
    torch.manual_seed(0)
    taught = small.objective(made, **TRAINED)
    return {u.optimizer: u for u in taught.updates(batch, step, torch.Generator().manual_seed(0))}


def test_a_new_one_changes_nothing() -> None:
    made, text = model(moved=False), replace(small.text(), durations=torch.full((3, 4), 5))
    with_it = made.say_mels(text, SayControls(variation=0.0)).mel
    made.postfilter = None
    plain = made.say_mels(text, SayControls(variation=0.0)).mel
    mask = torch.arange(plain.shape[2]) < torch.tensor([20, 10, 15])[:, None, None]
    floor = torch.log(torch.tensor(made.config.mel.floor))
    torch.testing.assert_close(with_it[mask.expand_as(plain)], plain.clamp(min=float(floor))[mask.expand_as(plain)])


@pytest.mark.parametrize("pitch", [False, True])
def test_who_else_is_in_the_batch_makes_no_difference(pitch: bool) -> None:
    made = model(**({"text_mean_channels": 6, "pitch": True} if pitch else {}))
    text = small.text((4, 2))
    durations = torch.tensor([[6, 5, 6, 5], [4, 5, 0, 0]])
    both = made.say_mels(replace(text, durations=durations), SayControls(variation=0.0))
    alone = made.say_mels(
        replace(small.text((2,)), tokens=text.tokens[1:, :2], durations=durations[1:, :2]), SayControls(variation=0.0)
    )
    assert both.frame_lengths.tolist() == [22, 9]
    torch.testing.assert_close(both.mel[1, :, :9], alone.mel[0, :, :9], atol=1e-5, rtol=1e-5)
    assert bool((both.mel[1, :, 9:] == torch.log(torch.tensor(made.config.mel.floor))).all())


def test_its_strength_is_a_share_of_the_way() -> None:
    whole = model()
    half = small.model(group=2, standardize=True, postfilter={**NETWORK, "strength": 0.5})
    half.load_state_dict(whole.state_dict())
    frames = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0)) - 5.0
    with torch.no_grad():
        moved, less = (made.refined(frames) for made in (whole, half))
    plain = whole.standardize(frames)[:, :5]
    assert float((moved - plain).abs().max()) > 0.1
    torch.testing.assert_close(less, (plain + moved) / 2.0)


def test_mels_of_given_latents_stay_as_they_are() -> None:
    made, text = model(), small.text((4,))
    given = SayControls(latent=LatentPlan(given=torch.randn(5, 8, generator=torch.Generator().manual_seed(1))))
    said = made.say_mels(text, given).mel
    made.postfilter = None
    torch.testing.assert_close(made.say_mels(text, given).mel, said)


@pytest.mark.parametrize("pitch", [False, True])
def test_nothing_else_learns(pitch: bool) -> None:
    made = model(**({"text_mean_channels": 6, "pitch": True} if pitch else {}))
    taught = small.objective(made, **TRAINED)
    groups = {name: list(parameters) for name, parameters in taught.parameter_groups().items()}
    assert made.postfilter is not None
    assert {id(p) for p in groups["model"]} == {id(p) for p in made.postfilter.parameters()}
    against, own = taught.updates(pitched(), 9, torch.Generator().manual_seed(0))
    assert (against.optimizer, own.optimizer) == ("discriminator", "model")
    against.total().backward()
    assert all(p.grad is None for p in made.parameters())
    assert all(p.grad is not None for p in groups["discriminator"])
    taught.zero_grad()
    own.total().backward()
    assert {n.split(".")[0] for n, p in made.named_parameters() if p.grad is not None} == {"postfilter"}
    assert all(p.grad is None for p in groups["discriminator"])


def test_the_discriminator_has_no_say_in_its_head_start() -> None:
    early, later = (updates(model(), small.batch(), step)["model"] for step in (2, 3))
    assert early.terms.keys() == {"distance"}
    assert later.terms.keys() == {"distance", "adversarial", "feature_matching"}


def test_it_comes_nearer_to_recordings() -> None:
    made, batch = model(moved=False), small.batch()
    taught = small.objective(made, alignment="given", postfilter={**GAME, "distance_weight": 2.0})
    before = taught.validate(batch, torch.Generator().manual_seed(1))
    assert float(before["distance"]) == pytest.approx(float(before["plain"]), rel=1e-5)
    optimizers = {name: torch.optim.Adam(p, lr=3e-3) for name, p in taught.parameter_groups().items()}
    for step in range(80):
        for update in taught.updates(batch, step, torch.Generator().manual_seed(step)):
            optimizers[update.optimizer].zero_grad()
            update.total().backward()
            optimizers[update.optimizer].step()
    after = taught.validate(batch, torch.Generator().manual_seed(1))
    assert float(after["plain"]) == pytest.approx(float(before["plain"]), rel=1e-6)
    assert float(after["distance"]) < 0.8 * float(after["plain"])


@pytest.mark.parametrize("conditional", [False, True])
def test_padding_changes_no_measure(conditional: bool) -> None:
    """Without variation, since what is drawn for the padding would move what is drawn after it."""
    taught = small.objective(
        model(), alignment="given", postfilter={**GAME, "variation": (0.0, 0.0), "conditional": conditional}
    )
    plain, padded = (taught.validate(small.batch(padding=p), torch.Generator().manual_seed(1)) for p in (0, 6))
    for name in ("distance", "plain", "told"):
        assert float(plain[name]) == pytest.approx(float(padded[name]), rel=1e-4, abs=1e-5)


def test_a_conditional_discriminator_is_told_what_is_said_frame_by_frame() -> None:
    made, batch = model(), small.batch()
    with torch.no_grad():
        made.postfilter.out.weight.mul_(0.1)  # type: ignore[union-attr]
    torch.manual_seed(0)
    taught = small.objective(made, alignment="given", postfilter={**GAME, "conditional": True})
    assert taught.postfilter_game is not None
    judge = taught.postfilter_game.discriminator
    assert judge.projection is not None
    heard: list[torch.Tensor] = []
    judge.projection.register_forward_hook(lambda _, inputs, __: heard.append(inputs[0]))
    against, own = taught.updates(batch, 9, torch.Generator().manual_seed(0))
    states = made.memory(small.text()).states
    frames = states[0].repeat_interleave(6, dim=0)  # of the first item: four tokens of six frames
    windows = frames.unfold(0, 4, 1).mean(dim=2)  # the discriminator's positions are four frames wide
    assert heard[0].shape == (6, 3, made.config.memory_channels)
    assert all(any(torch.allclose(told, w, atol=1e-5) for w in windows) for told in heard[0][0])
    against.total().backward()
    assert judge.projection.weight.grad is not None
    taught.zero_grad()
    own.total().backward()
    assert judge.projection.weight.grad is None


def test_exporting_leaves_what_it_follows_as_it_is() -> None:
    made = model(match_spread=1.0)
    taught = small.objective(made, **TRAINED)
    kept = {name: value.clone() for name, value in made.state_dict().items()}
    taught.calibrate(made, [small.batch()])
    assert all(torch.equal(kept[name], value) for name, value in made.state_dict().items())
    assert taught.newest_is_best


def test_flows_that_go_on_learning_leave_it_alone() -> None:
    """As in adapting to another speaker: it neither learns nor decays, and the fine structure is fitted before it."""
    made = model(match_spread=1.0, mel={"n_mels": 20})
    assert made.postfilter is not None
    taught = small.objective(made, alignment="given")
    taught.initialise([small.batch()])
    learning = {id(p) for group in taught.parameter_groups().values() for p in group}
    own = {id(p) for p in made.postfilter.parameters()}
    assert learning == {id(p) for p in made.parameters()} - own
    assert not taught.newest_is_best
    taught.calibrate(made, [small.batch()])
    assert made.detail is not None
    assert made.postfilter is not None
    with_it, kept = made.detail.gain.clone(), made.postfilter
    made.postfilter = None
    taught.calibrate(made, [small.batch()])
    torch.testing.assert_close(made.detail.gain, with_it)
    assert {id(p) for p in kept.parameters()} == own


def test_what_is_asked_for_must_be_there() -> None:
    with pytest.raises(ConfigError, match="the model has none to train"):
        small.objective(small.model(), **TRAINED)
    with pytest.raises(ConfigError, match="needs durations"):
        list(small.objective(model(), **TRAINED).updates(replace(small.batch(), durations=None), 0))
    with pytest.raises(ValidationError, match="postfilter needs standardize"):
        small.config(postfilter=NETWORK)


def test_the_pitch_is_seen() -> None:
    made = model(text_mean_channels=6, pitch=True)
    frames = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(0))
    frames[:, -1] = 5.0
    higher = frames.clone()
    higher[:, -1] = 5.4
    with torch.no_grad():
        one, other = made.refined(frames), made.refined(higher)
    assert (one - other).abs().max() > 1e-3


def test_a_discriminator_may_ask_for_reality_alone() -> None:
    torch.manual_seed(0)
    judge, mel = MelDiscriminator((4, 6, 8)), torch.randn(2, 16, 20)
    assert judge.projection is None
    found = judge(mel)
    assert found.score.shape == (2, 2 * 5)
    assert len(found.features) >= 3


def test_a_condition_may_change_from_frame_to_frame() -> None:
    torch.manual_seed(0)
    judge, mel = MelDiscriminator((4, 6, 8), 3), torch.randn(2, 16, 20)
    whole = torch.randn(2, 3)
    constant = whole.unsqueeze(2).expand(-1, -1, 20)
    torch.testing.assert_close(judge(mel, constant).score, judge(mel, whole).score)
    late = torch.cat([constant[:, :, :8], constant[:, :, 8:] + 1.0], dim=2)
    moved = (judge(mel, late).score - judge(mel, whole).score).reshape(2, 2, 5).abs().amax(dim=(0, 1))
    assert bool((moved[:2] < 1e-6).all())
    assert bool((moved[2:] > 1e-4).all())
