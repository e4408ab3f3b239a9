"""The fast loop: equal to the plain one, batched or not, and it always comes to an end."""

import math
from typing import Any

import pytest
import torch
from small_flowtron import item_of, lengthened, plain_inverse, small_flowtron, small_text

from moksori.models.flowtron.flows import AffineFlow
from moksori.models.flowtron.model import Flowtron
from moksori.models.flowtron.sampling import Guide, StepLoop, Stop, inverted
from moksori.models.flowtron.speaking import decode, sample


def _loose(tokens: int, batch: int = 1, back: int = 1, ahead: int = 3, most: int = 1000) -> Guide:
    required = torch.zeros(batch, tokens, dtype=torch.bool)
    return Guide(back, ahead, required, torch.full((batch, tokens), most))


def _gate(model: Flowtron, bias: float) -> None:
    """A gate that says the same at every step."""
    gate = model.flows[-1].step.gate
    torch.nn.init.zeros_(gate.weight)
    torch.nn.init.constant_(gate.bias, bias)


def _attends_only(model: Flowtron, place: int) -> None:
    """Makes every flow's attention love one place of the text, whatever the query, by planting its keys."""
    for flow in model.flows:
        attention = flow.step.attention
        torch.nn.init.zeros_(attention.query.weight)
        torch.nn.init.constant_(attention.score.weight, 1.0)

        def project(states, mask, attention=attention):
            from moksori.models.flowtron.attention import Projected

            keys = torch.full((*states.shape[:2], attention.key.out_features), -2.0)
            keys[:, place] = 2.0
            return Projected(keys, attention.value(states), mask)

        attention.project = project


@pytest.mark.parametrize("flows", [1, 2, 3])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("limit", [None, 2.0])
@torch.no_grad()
def test_the_fast_loop_equals_the_plain_one(flows: int, group: int, limit: float | None) -> None:
    model = small_flowtron(num_flows=flows, group=group, log_scale_limit=limit, scale=0.2)
    memory = model.memory(small_text(5, 9, 3))
    lengths = torch.tensor([7, 4, 9])
    for flow in model.flows:
        assert isinstance(flow, AffineFlow)
        z = torch.randn(3, 9, group * 6)
        projected = flow.step.attention.project(memory.states, memory.mask)
        fast = inverted(flow, z, lengths, projected, temperature=0.7)
        expected = plain_inverse(flow, z, lengths, projected, temperature=0.7)
        real = torch.arange(9) < lengths[:, None]
        torch.testing.assert_close(fast.x[real], expected[real], atol=1e-5, rtol=0)
        assert (expected - z)[real].abs().max() > 0.1


@pytest.mark.parametrize("flows", [1, 2, 3])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("pitch", [False, True])
@torch.no_grad()
def test_decoding_what_was_encoded_gives_it_back(flows: int, group: int, pitch: bool) -> None:
    model = small_flowtron(num_flows=flows, group=group, scale=0.2, pitch=pitch, text_mean_channels=5 * pitch)
    text = small_text(5, 9, 3)
    memory = model.memory(text)
    mel, lengths = torch.randn(3, model.config.bands, 18), torch.tensor([18, 11, 7])
    encoded = model.encode(mel, lengths, memory)
    back = decode(model, encoded.latent, lengths, memory)
    real = (torch.arange(18) < lengths[:, None])[:, None].expand_as(mel)
    assert (encoded.latent[..., :18] - mel)[real].abs().max() > 0.1
    torch.testing.assert_close(back.frames[..., :18][real], mel[real], atol=1e-4, rtol=0)
    for ours, theirs in zip(back.attention, encoded.attention, strict=True):
        steps = torch.arange(ours.shape[1]) < model.group_lengths(lengths)[:, None]
        torch.testing.assert_close(ours[steps], theirs[steps], atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("settings", [{"text_mean_channels": 5}, {"text_mean_channels": 5, "pitch": True}])
def test_the_fast_loop_with_its_helps_and_cumulative_attention_equals_the_plain_one(settings: dict[str, Any]) -> None:
    model = small_flowtron(cumulative_attention=True, decorrelate=True, scale=0.2, **settings)
    memory = model.memory(small_text(5, 9, 3))
    lengths = torch.tensor([7, 4, 9])
    for flow in model.flows:
        z = torch.randn(3, 9, 2 * model.config.bands)
        projected = flow.step.attention.project(memory.states, memory.mask)
        real = torch.arange(9) < lengths[:, None]
        fast, plain = inverted(flow, z, lengths, projected).x, plain_inverse(flow, z, lengths, projected)
        torch.testing.assert_close(fast[real], plain[real], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_path_is_kept_to_exactly() -> None:
    model = small_flowtron(scale=0.2)
    memory = model.memory(small_text(4, 3))
    lengths = torch.tensor([8, 6])
    path = torch.tensor([[0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 1, 1, 2, 2, 2, 2]])
    mel = torch.randn(2, 6, 8)
    latent = model.encode(mel, lengths, memory, attention_path=path).latent
    kept = decode(model, latent, lengths, memory, path)
    free = decode(model, latent, lengths, memory)
    torch.testing.assert_close(kept.frames[0], mel[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(kept.frames[1, :, :6], mel[1, :, :6], atol=1e-4, rtol=0)
    assert (free.frames[0] - mel[0]).abs().max() > 1e-3
    assert kept.attention[0][1, 0].tolist() == [0.5, 0.5, 0.0, 0.0]


@pytest.mark.parametrize("window", [None, (1, 3)])
@pytest.mark.parametrize("flows", [1, 2])
@torch.no_grad()
def test_a_batch_is_what_its_items_are_alone(flows: int, window: tuple[int, int] | None) -> None:
    model = lengthened(small_flowtron(num_flows=flows, scale=0.2))
    torch.nn.init.normal_(model.flows[-1].step.gate.weight, std=2.0)
    text = small_text(5, 12, 8)
    most = torch.tensor([20, 48, 30])
    latent = torch.randn(3, 6, 48)
    backward = model.config.flow_directions[-1] == "backward"
    guide = None if window is None else _loose(12, 3, *window, most=4)
    together = sample(model, model.memory(text), latent, most, guide)
    assert len(set(together.frame_lengths.tolist())) > 1
    for item in range(3):
        bound, own = int(most[item]), item_of(text, item)
        z = latent[item : item + 1, :, -bound:] if backward else latent[item : item + 1, :, :bound]
        tokens = own.tokens.shape[1]
        guide = None if window is None else _loose(tokens, 1, *window, most=4)
        alone = sample(model, model.memory(own), z, most[item : item + 1], guide)
        frames = int(alone.frame_lengths)
        assert frames == int(together.frame_lengths[item])
        assert bool(alone.truncated) == bool(together.truncated[item])
        torch.testing.assert_close(together.frames[item, :, :frames], alone.frames[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(together.latent[item, :, :frames], alone.latent[0])
        for ours, theirs in zip(together.attention, alone.attention, strict=True):
            torch.testing.assert_close(ours[item, : frames // 2, :tokens], theirs[0], atol=1e-4, rtol=0)
        assert float(together.frames[item, :, frames:].sub(math.log(1e-5)).abs().sum()) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("flows", [1, 2])
@torch.no_grad()
def test_what_was_sampled_is_the_mel_of_the_latent_that_was_used(flows: int) -> None:
    model = lengthened(small_flowtron(num_flows=flows, scale=0.2))
    torch.nn.init.normal_(model.flows[-1].step.gate.weight, std=2.0)
    memory = model.memory(small_text(6, 4))
    latent = torch.randn(2, 6, 40)
    made = sample(model, memory, latent, torch.tensor([40, 24]))
    again = decode(model, made.latent, made.frame_lengths, memory)
    torch.testing.assert_close(made.frames, again.frames, atol=1e-4, rtol=0)
    encoded = model.encode(made.frames, made.frame_lengths, memory)
    torch.testing.assert_close(encoded.latent, made.latent, atol=1e-4, rtol=0)
    frames = int(made.frame_lengths[0])
    taken = latent[0, :, -frames:] if flows == 2 else latent[0, :, :frames]
    torch.testing.assert_close(made.latent[0, :, :frames], taken)


@torch.no_grad()
def test_the_gate_stops_at_the_step_where_it_opens() -> None:
    model = small_flowtron()
    memory = model.memory(small_text(6))
    latent = torch.randn(1, 6, 40)
    _gate(model, -5.0)
    logits = sample(model, memory, latent, torch.tensor([40]))
    assert bool(logits.truncated)
    assert logits.frame_lengths.tolist() == [40]
    # A gate that reads the cell of a planted step: it opens where its own logit is largest.
    flow = model.flows[-1]
    torch.nn.init.normal_(flow.step.gate.weight)
    projected = flow.step.attention.project(memory.states, memory.mask)
    z = model.stacked(latent)
    free = inverted(flow, z, torch.tensor([20]), projected)
    assert free.gate_logits is not None
    own = free.gate_logits[0].flip(0)
    planted = int(own.argmax())
    assert planted > 0
    below = float(own[:planted].max())
    threshold = torch.sigmoid(torch.tensor((below + float(own[planted])) / 2)).item()
    stopped = sample(model, memory, latent, torch.tensor([40]), gate=threshold)
    assert stopped.frame_lengths.tolist() == [2 * (planted + 1)]
    assert not bool(stopped.truncated)
    for never in (1.0, 7.0):
        assert bool(sample(model, memory, latent, torch.tensor([40]), gate=never).truncated)


@torch.no_grad()
def test_a_window_leaves_no_token_out_and_gets_past_an_attention_that_is_stuck() -> None:
    model = small_flowtron()
    _gate(model, -9.0)
    _attends_only(model, place=3)
    text = small_text(8)
    memory, latent = model.memory(text), torch.randn(1, 6, 400)
    free = sample(model, memory, latent, torch.tensor([400]))
    assert free.attention[0].argmax(dim=2).unique().tolist() == [3]
    assert bool(free.truncated)
    required = torch.ones(1, 8, dtype=torch.bool)
    guide = Guide(1, 3, required, torch.full((1, 8), 5))
    guided = sample(model, memory, latent, torch.tensor([400]), guide)
    assert not bool(guided.truncated)
    assert int(guided.frame_lengths) < 2 * 8 * 5 + 10
    chosen = guided.attention[1][0].argmax(dim=1)
    assert set(chosen.tolist()) == set(range(8))
    positions = chosen.flip(0).cummin(dim=0).values  # it reads from the end, and may look one back
    assert int((positions[:-1] - positions[1:]).max()) == 1
    # The other flow may not stray from what the first has found.
    far = (guided.attention[0][0].argmax(dim=1) - chosen).abs()
    assert int(far.max()) <= 1


@torch.no_grad()
def test_a_window_skips_only_what_it_may() -> None:
    model = small_flowtron(num_flows=1)
    _gate(model, -9.0)
    _attends_only(model, place=7)
    memory, latent = model.memory(small_text(8)), torch.randn(1, 6, 200)
    for needed in ([2], [1, 4, 5], []):
        required = torch.zeros(1, 8, dtype=torch.bool)
        required[0, needed] = True
        guide = Guide(0, 4, required, torch.full((1, 8), 3))
        made = sample(model, memory, latent, torch.tensor([200]), guide)
        visited = set(made.attention[0][0].argmax(dim=1).tolist())
        assert {*needed, 7} <= visited
        assert len(visited) < 8


@torch.no_grad()
def test_an_early_gate_does_not_cut_a_guided_utterance() -> None:
    model = small_flowtron(num_flows=1)
    _gate(model, 9.0)
    _attends_only(model, place=0)
    memory, latent = model.memory(small_text(8)), torch.randn(1, 6, 200)
    assert sample(model, memory, latent, torch.tensor([200])).frame_lengths.tolist() == [2]
    required = torch.ones(1, 8, dtype=torch.bool)
    required[0, 7] = False  # silence, say
    guided = sample(model, memory, latent, torch.tensor([200]), Guide(1, 2, required, torch.full((1, 8), 4)))
    assert set(guided.attention[0][0].argmax(dim=1).tolist()) == set(range(7))
    assert not bool(guided.truncated)


@torch.no_grad()
def test_time_and_memory_are_bounded_by_the_bound() -> None:
    model = small_flowtron()
    _gate(model, -9.0)
    memory = model.memory(small_text(30))
    steps: list[int] = []
    run = StepLoop.step

    def counted(loop: StepLoop) -> None:
        steps.append(1)
        run(loop)

    StepLoop.step = counted  # type: ignore[method-assign]
    try:
        made = sample(model, memory, torch.randn(1, 6, 100), torch.tensor([50]))
    finally:
        StepLoop.step = run  # type: ignore[method-assign]
    assert made.frames.shape[2] == 50
    assert len(steps) == 2 * 25
    assert bool(made.truncated)


@torch.no_grad()
def test_what_a_step_needs_stays_where_it_is() -> None:
    model = small_flowtron()
    flow = model.flows[0]
    memory = model.memory(small_text(4, 6))
    projected = flow.step.attention.project(memory.states, memory.mask)
    loop = StepLoop(flow.step, projected)
    buffers = ("x", "z", "weights", "_energy", "_angles", "_query", "_log_scale", "_shift", "_context")
    places = {name: getattr(loop, name).data_ptr() for name in buffers}
    loop.run(torch.randn(5, 2, 12), None, graph=False)
    assert places == {name: getattr(loop, name).data_ptr() for name in buffers}


@torch.no_grad()
def test_fused_weights_follow_the_weights() -> None:
    model = small_flowtron(scale=0.2)
    flow = model.flows[0]
    memory = model.memory(small_text(4))
    projected = flow.step.attention.project(memory.states, memory.mask)
    z, lengths = torch.randn(1, 6, 12), torch.tensor([6])
    before = inverted(flow, z, lengths, projected).x
    torch.testing.assert_close(inverted(flow, z, lengths, projected).x, before, atol=0, rtol=0)
    flow.step.decoder_lstm.weight_hh_l1.mul_(-3.0)
    after = inverted(flow, z, lengths, projected).x
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after, plain_inverse(flow, z, lengths, projected), atol=1e-5, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: replays one step as a CUDA graph")
@pytest.mark.parametrize("window", [None, (1, 3)])
@torch.no_grad()
def test_a_graph_gives_what_the_steps_give(window: tuple[int, int] | None) -> None:
    model = lengthened(small_flowtron(scale=0.2)).cuda()
    text = small_text(5, 12)
    latent, most = torch.randn(2, 6, 48).cuda(), torch.tensor([20, 48]).cuda()
    guide = None
    if window is not None:
        guide = Guide(*window, torch.ones(2, 12, dtype=torch.bool).cuda(), torch.full((2, 12), 4).cuda())
    moved = type(text)(*(x.cuda() for x in (text.tokens, text.stress, text.token_lengths, text.speaker)))
    memory = model.memory(moved)
    graph = sample(model, memory, latent, most, guide)
    steps = sample(model, memory, latent, most, guide, graph=False)
    assert torch.equal(graph.frame_lengths, steps.frame_lengths)
    torch.testing.assert_close(graph.frames, steps.frames, atol=1e-4, rtol=0)


def test_a_stop_of_nothing_takes_one_step() -> None:
    model = small_flowtron(num_flows=1)
    flow = model.flows[0]
    memory = model.memory(small_text(4))
    projected = flow.step.attention.project(memory.states, memory.mask)
    stop = Stop(0.0, torch.tensor([9]))
    made = inverted(flow, torch.randn(1, 9, 12), torch.tensor([9]), projected, stop=stop)
    assert made.lengths.tolist() == [1]
    assert bool(made.stopped)
