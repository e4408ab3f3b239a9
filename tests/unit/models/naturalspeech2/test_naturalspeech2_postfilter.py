"""The postfilter: the identity at first, whatever is beside an item, and what alone learns in its stage."""

import types

import pytest
import torch
from small_naturalspeech2 import batch_of, made, prompts, rows, shaken, text_of
from torch import Tensor, nn

from moksori.errors import ConfigError, UnsupportedTask
from moksori.models.contract import Update
from moksori.models.naturalspeech2 import Naturalspeech2, Naturalspeech2Objective
from moksori.models.naturalspeech2.pairs import Pair, PairPool
from moksori.types import ConvertControls, LatentBatch, SayControls

NETWORK = "model.postfilter={channels: 12, inner_channels: 16, num_layers: 2, kernel_size: 3}"
GAME = "objective.postfilter={channels: [4, 6, 8], crop_frames: 12, head_start_steps: 3, rounds: 2}"
CONTROLS = SayControls(variation=0.5)


class MelsOf(nn.Module):
    """A codec that reads ten bands off latents of 16 channels."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.codebooks = torch.randn(4, 16, 16, generator=draw)
        self.bands = nn.Parameter(torch.randn(10, 16, 1, generator=draw) / 4.0)

    def standard_mels(self, latent: Tensor) -> Tensor:
        return nn.functional.conv1d(latent, self.bands)


def unable(_: Tensor) -> Tensor:
    raise UnsupportedTask("this codec's decoder takes latents as they are")


def taught(*settings: str) -> Naturalspeech2Objective:
    objective = made(NETWORK, GAME, *settings)
    objective.take_codec(MelsOf())  # type: ignore[arg-type]
    return objective


def moved(model: Naturalspeech2) -> Naturalspeech2:
    """The postfilter is no longer the identity."""
    assert model.postfilter is not None
    with torch.no_grad():
        model.postfilter.out.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(7))
    return model


def said(model: Naturalspeech2, items: slice = slice(None), padding: int = 0) -> LatentBatch:
    text = text_of(batch_of(), items, padding, given=True)
    found = model.say_latents_like(text, rows(prompts(), items, padding), CONTROLS, generator=torch.manual_seed(3))
    return LatentBatch(found.latent, found.frame_lengths)


def test_a_new_one_changes_nothing() -> None:
    model = shaken(NETWORK)
    assert model.postfilter is not None
    nn.init.zeros_(model.postfilter.out.weight)
    nn.init.zeros_(model.postfilter.out.bias)  # type: ignore[arg-type]
    with_it = said(model).latent
    model.postfilter = None
    torch.testing.assert_close(with_it, said(model).latent)


def test_it_moves_what_is_said_by_its_strength() -> None:
    whole, half = (moved(shaken(f"{NETWORK[:-1]}, strength: {share}}}")) for share in (1.0, 0.5))
    moved_all, moved_half = said(whole).latent, said(half).latent
    whole.postfilter = None
    plain = said(whole).latent
    assert float((moved_all - plain).abs().max()) > 0.1
    torch.testing.assert_close(moved_half, (plain + moved_all) / 2.0, atol=1e-5, rtol=1e-4)


def test_who_else_is_in_the_batch_makes_no_difference() -> None:
    model = moved(shaken(NETWORK))
    both = said(model)
    for item in range(2):
        alone = said(model, slice(item, item + 1), padding=3)
        frames = int(both.frame_lengths[item])
        torch.testing.assert_close(both.latent[item, :, :frames], alone.latent[0, :, :frames], atol=1e-4, rtol=1e-4)
        assert not both.latent[item, :, frames:].any()


def test_it_hears_the_text_and_the_voice() -> None:
    model = moved(shaken(NETWORK))
    assert model.postfilter is not None
    draw = torch.Generator().manual_seed(2)
    latent, mask = torch.randn(1, 16, 9, generator=draw), torch.ones(1, 1, 9, dtype=torch.bool)
    hidden = model.config.hidden_channels
    text, voice = torch.randn(2, 1, hidden, 9, generator=draw), torch.randn(2, 1, hidden, 1, generator=draw)
    first = model.postfilter(latent, text[0], voice[0], mask)
    assert float((first - model.postfilter(latent, text[1], voice[0], mask)).abs().max()) > 0.01
    assert float((first - model.postfilter(latent, text[0], voice[1], mask)).abs().max()) > 0.01


def test_conversion_goes_through_it_where_the_text_is_known() -> None:
    model = moved(shaken(NETWORK))
    text = text_of(batch_of(), slice(0, 1), given=True)
    assert text.durations is not None
    frames = int(text.durations.sum())
    source = prompts(1, frames)
    filtered, unheard = (
        model.convert_latents(source, rows(prompts(2), slice(1, 2)), None, ConvertControls(), words).latent
        for words in (text, None)
    )
    model.postfilter = None
    plain, plain_unheard = (
        model.convert_latents(source, rows(prompts(2), slice(1, 2)), None, ConvertControls(), words).latent
        for words in (text, None)
    )
    assert float((filtered - plain).abs().max()) > 0.1
    torch.testing.assert_close(unheard, plain_unheard)


def test_nothing_else_learns() -> None:
    objective = taught()
    model = moved(objective.model)
    groups = {name: list(parameters) for name, parameters in objective.parameter_groups().items()}
    assert model.postfilter is not None
    assert {id(p) for p in groups["model"]} == {id(p) for p in model.postfilter.parameters()}
    found = list(objective.updates(batch_of(), 9, torch.Generator().manual_seed(0)))
    assert [u.optimizer for u in found] == ["discriminator", "model"] * 2
    found[0].total().backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in groups["discriminator"])
    objective.zero_grad()
    found[1].total().backward()
    assert {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None} == {"postfilter"}
    assert all(p.grad is None for p in groups["discriminator"])
    assert objective.newest_is_best
    assert objective.discriminators is not None


def test_beside_the_other_losses_it_stays_as_it_is() -> None:
    objective = made(NETWORK)
    assert objective.model.postfilter is not None
    own = {id(p) for p in objective.model.postfilter.parameters()}
    assert own.isdisjoint(id(p) for p in objective.parameter_groups()["model"])
    (update,) = objective.updates(batch_of(), 0, torch.Generator().manual_seed(0))
    update.total().backward()
    assert all(p.grad is None for p in objective.model.postfilter.parameters())


def test_the_discriminator_has_no_say_in_its_head_start() -> None:
    def own(step: int) -> Update:
        return list(taught().updates(batch_of(), step, torch.Generator().manual_seed(0)))[1]

    assert own(2).terms.keys() == {"distance"}
    assert own(3).terms.keys() == {"distance", "adversarial", "feature_matching"}


def test_rounds_are_of_other_crops() -> None:
    first, _, second, _ = taught().updates(batch_of(), 9, torch.Generator().manual_seed(0))
    assert float(first.terms["discriminator"].detach()) != float(second.terms["discriminator"].detach())


def test_a_pool_keeps_what_was_said_last() -> None:
    pool = PairPool(5, 16, 8, 12)
    for first in (0, 2, 4):  # two at a time: the oldest is gone

        def rows(*shape: int, first: int = first) -> Tensor:
            return (first + torch.arange(2.0)).reshape(2, *[1] * len(shape)).expand(2, *shape)

        known = torch.ones(2, 1, 10, dtype=torch.bool)
        pool.take(Pair(rows(16, 10), rows(16, 10) + 10, rows(8, 10), rows(8, 1), known, known))
    found = pool.some(200, torch.Generator().manual_seed(0))
    assert set(found.said[:, 0, 0].tolist()) == {1.0, 2.0, 3.0, 4.0, 5.0}
    torch.testing.assert_close(found.heard[:, :, :10], found.said[:, :, :10] + 10)
    torch.testing.assert_close(found.voice, found.condition[:, :, :1])
    assert not found.said[:, :, 10:].any()
    assert bool(found.mask[:, :, :10].all())
    assert not found.learnt[:, :, 10:].any()
    few = PairPool(5, 16, 8, 10)
    few.take(Pair(rows(16, 10), rows(16, 10), rows(8, 10), rows(8, 1), known, known))
    assert set(few.some(50).said[:, 0, 0].tolist()) == {4.0, 5.0}


def test_rounds_learn_from_the_pool() -> None:
    """The second step of a run meets what was said in the first one too."""
    settings = (NETWORK, f"{GAME[:-1]}, pool_items: 8}}", "objective.crop_frames=20")
    objective = made(*settings)
    objective.take_codec(MelsOf())  # type: ignore[arg-type]
    game = objective.postfilter_game
    assert game is not None
    assert game.pool is not None
    for step in range(3):
        assert len(list(objective.updates(batch_of(3), step, torch.Generator().manual_seed(step)))) == 4
    assert int(game.pool.taken) == 9
    again = made(*settings)
    again.load_state_dict(objective.state_dict())
    assert again.postfilter_game is not None
    assert again.postfilter_game.pool is not None
    draws = [pool.some(4, torch.Generator().manual_seed(1)).said for pool in (game.pool, again.postfilter_game.pool)]
    assert torch.equal(*draws)
    assert bool(draws[0].any())
    with pytest.raises(ConfigError, match="set crop_frames too"):
        made(NETWORK, f"{GAME[:-1]}, pool_items: 8}}", "objective.crop_frames=null")


@pytest.mark.parametrize("conditional", [False, True])
def test_it_comes_nearer_to_recordings(conditional: bool) -> None:
    objective = taught(
        "objective.postfilter.distance_weight=4.0", f"objective.postfilter.conditional={conditional}",
        "objective.postfilter.crop_frames=40",
    )  # fmt: skip
    batch = batch_of()
    before = objective.validate(batch, torch.Generator().manual_seed(1))
    assert float(before["distance"]) == pytest.approx(float(before["plain"]), rel=1e-5)
    optimizers = {name: torch.optim.Adam(p, lr=5e-3) for name, p in objective.parameter_groups().items()}
    for step in range(40):
        for update in objective.updates(batch, step, torch.Generator().manual_seed(step)):
            optimizers[update.optimizer].zero_grad()
            update.total().backward()
            optimizers[update.optimizer].step()
    after = objective.validate(batch, torch.Generator().manual_seed(1))
    assert float(after["plain"]) == pytest.approx(float(before["plain"]), rel=1e-5)
    assert float(after["distance"]) < 0.8 * float(after["plain"])


def test_nothing_is_compared_where_a_prompt_was_cut_out() -> None:
    """Said and recorded are alike there, so that neither side can learn from what was never said so."""
    objective = taught()
    moved(objective.model)
    batch, game = batch_of(), objective.postfilter_game
    assert game is not None
    prior = objective.eval().prior(batch, torch.Generator().manual_seed(2))
    pair = game._pair(objective.model, prior, torch.Generator().manual_seed(0))
    assert not bool(pair.learnt.all())
    mels, wanted = game._mels(objective.model, pair)
    apart = (mels - wanted).abs().amax(dim=1, keepdim=True)
    assert not apart[~pair.learnt].any()
    assert float(apart[pair.learnt].detach().min()) > 0.0


def test_what_it_needs_is_said() -> None:
    with pytest.raises(ConfigError, match=r"set model\.postfilter=\{\} too"):
        made(GAME)
    objective, batch = made(NETWORK, GAME), batch_of()
    with pytest.raises(ConfigError, match="no codec was given"):
        list(objective.updates(batch, 0, torch.Generator().manual_seed(0)))
    without = types.SimpleNamespace(codebooks=MelsOf().codebooks)
    with pytest.raises(ConfigError, match="reads no mels off its latents"):
        objective.take_codec(without)  # type: ignore[arg-type]
    waves = MelsOf()
    waves.standard_mels = unable  # type: ignore[method-assign]
    with pytest.raises(UnsupportedTask, match="takes latents as they are"):  # before a run, not in its first step
        objective.take_codec(waves)  # type: ignore[arg-type]
