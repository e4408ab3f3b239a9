"""Texts to mels: seeds, lengths, speed, the best of several draws, and what is said of a bad one."""

import math
import time

import pytest
import torch
from small_flowtron import lengthened, small_flowtron, small_text

from moksori.models.contract import CanSayMels
from moksori.models.flowtron import speaking
from moksori.models.flowtron.model import Flowtron
from moksori.models.flowtron.sampling import Melody
from moksori.models.flowtron.speaking import Sampled, attention_report, most_frames, required_tokens, token_durations
from moksori.types import LatentPlan, SayControls, TextBatch


def _talkative(scale: float = 0.2, **settings: object) -> Flowtron:
    """Attention in a window, room enough to get through it, and a gate that opens now and then."""
    model = lengthened(small_flowtron(scale=scale, attention_window=(1, 3), **settings), slope=25.0)
    torch.nn.init.normal_(model.flows[-1].step.gate.weight, std=2.0)
    return model


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_same_seed_says_the_same_and_no_variation_says_it_always() -> None:
    model, text = _talkative(), small_text(9)
    assert isinstance(model, CanSayMels)
    first = model.say_mels(text, SayControls(), _seeded())
    again = model.say_mels(text, SayControls(), _seeded())
    assert torch.equal(first.mel, again.mel)
    other = model.say_mels(text, SayControls(), _seeded(1))
    assert first.mel.shape != other.mel.shape or not torch.equal(first.mel, other.mel)
    silent = [model.say_mels(text, SayControls(variation=0.0), _seeded(seed)).mel for seed in (0, 1)]
    assert torch.equal(*silent)


@pytest.mark.parametrize("group", [1, 2])
def test_durations_add_up_and_no_token_is_left_out(group: int) -> None:
    model, text = _talkative(group=group, num_flows=1), small_text(9, 4)
    said = model.say_mels(text, SayControls(), _seeded())
    assert said.durations.sum(dim=1).tolist() == said.frame_lengths.tolist()
    assert said.mel.shape == (2, 6, int(said.frame_lengths.max()))
    assert said.durations[1, 4:].tolist() == [0] * 5
    assert (said.durations[0] > 0).all()
    assert [flag.coverage for flag in said.flags] == [1.0, 1.0]
    assert [flag.truncated for flag in said.flags] == [False, False]


def test_given_durations_are_kept_to() -> None:
    model, text = _talkative(), small_text(4, 3)
    durations = torch.tensor([[3, 0, 5, 4], [2, 2, 7, 0]])
    given = TextBatch(text.tokens, text.stress, text.token_lengths, text.speaker, durations)
    said = model.say_mels(given, SayControls(), _seeded())
    assert said.durations.tolist() == durations.tolist()
    assert said.frame_lengths.tolist() == [12, 11]
    assert said.mel.shape[2] == 12
    assert torch.equal(said.mel, model.say_mels(given, SayControls(), _seeded()).mel)


@pytest.mark.parametrize("speed", [0.5, 2.0, 1.3])
def test_another_speed_stretches_the_same_reading(speed: float) -> None:
    model, text = _talkative(), small_text(9, 5)
    own = model.say_mels(text, SayControls(), _seeded())
    said = model.say_mels(text, SayControls(speed=speed), _seeded())
    for before, after in zip(own.frame_lengths.tolist(), said.frame_lengths.tolist(), strict=True):
        assert after == pytest.approx(before / speed, abs=2)
    assert said.durations.sum(dim=1).tolist() == said.frame_lengths.tolist()
    assert torch.isfinite(said.mel).all()


def test_speed_1_of_a_stretch_is_the_reading_itself() -> None:
    model, text = _talkative(), small_text(9)
    latent = torch.randn(1, 6, 200)
    memory = model.memory(text)
    made = speaking.sample(model, memory, latent, torch.tensor([200]), speaking.guide_of(model, text))
    same = speaking._stretched(model, made, memory, latent, SayControls(), None, _seeded())
    torch.testing.assert_close(same.frames, made.frames, atol=1e-4, rtol=0)


def test_the_best_of_several_draws_is_kept() -> None:
    model, text = _talkative(), small_text(9, 5)
    text = TextBatch(text.tokens, text.stress, text.token_lengths, torch.zeros_like(text.speaker))
    drawn: list[torch.Tensor] = []
    draw = Flowtron.drawn_latent

    def remembered(self, like, expected, controls, generator=None):  # type: ignore[no-untyped-def]
        drawn.append(draw(self, like, expected, controls, generator))
        return drawn[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flowtron, "drawn_latent", remembered)
        said = model.say_mels(text, SayControls(best_of=4), _seeded())
    assert drawn[0].shape[0] == 8
    candidates = []
    for item in range(2):
        rows = slice(4 * item, 4 * item + 4)
        many = TextBatch(*(x[item : item + 1].expand(4, *x.shape[1:]) for x in (text.tokens, text.stress)),
                         *(x[item : item + 1].expand(4) for x in (text.token_lengths, text.speaker)))  # fmt: skip
        made = speaking.sample(
            model, model.memory(many), drawn[0][rows], most_frames(model, speaking.expected_frames(model, many)),
            speaking.guide_of(model, many),
        )  # fmt: skip
        report = attention_report(made, required_tokens(model, many), 2)
        score = report.coverage + 0.5 * report.monotonic + 0.1 * report.sharpness - 10.0 * made.truncated
        candidates.append((made, int(score.argmax())))
        assert said.flags[item].monotonic == pytest.approx(float(report.monotonic[int(score.argmax())]))
    for item, (made, best) in enumerate(candidates):
        frames = int(made.frame_lengths[best])
        assert int(said.frame_lengths[item]) == frames
        torch.testing.assert_close(said.mel[item, :, :frames], made.frames[best, :, :frames], atol=1e-4, rtol=0)


def test_one_draw_does_where_all_are_the_same() -> None:
    model = _talkative(best_of=3)
    assert speaking.best_of(model, SayControls()) == 3
    assert speaking.best_of(model, SayControls(best_of=1)) == 1
    assert speaking.best_of(model, SayControls(variation=0.0)) == 1


def test_a_gate_that_never_fires_is_told_of_and_costs_bounded_time() -> None:
    model = lengthened(small_flowtron())
    torch.nn.init.constant_(model.flows[-1].step.gate.bias, -20.0)
    torch.nn.init.zeros_(model.flows[-1].step.gate.weight)
    text = small_text(900)
    assert int(most_frames(model, speaking.expected_frames(model, text))) == speaking.MAXIMUM_FRAMES
    short = small_text(9, 3)
    said = model.say_mels(short, SayControls(), _seeded())
    assert [flag.truncated for flag in said.flags] == [True, True]
    # 1.6 times the 4 frames a token and 6, in whole groups
    assert said.frame_lengths.tolist() == [68, 30]


def test_a_text_longer_than_any_seen_takes_bounded_time_and_is_told_of() -> None:
    model = _talkative(num_flows=1)
    text = small_text(400)
    started = time.perf_counter()
    said = model.say_mels(text, SayControls(), _seeded())
    assert time.perf_counter() - started < 20
    assert int(said.frame_lengths) <= speaking.MAXIMUM_FRAMES
    assert said.durations.sum().item() == int(said.frame_lengths)
    assert said.flags[0].truncated
    assert said.flags[0].coverage < 1.0


def test_a_chosen_latent_is_said_as_it_is() -> None:
    model, text = lengthened(small_flowtron(scale=0.2)), small_text(5)
    latent = torch.randn(6, 15)
    said = model.say_mels(text, SayControls(latent=LatentPlan(given=latent)))
    assert said.frame_lengths.tolist() == [15]
    memory = model.memory(text)
    padded = torch.nn.functional.pad(latent, (0, 1))[None]
    expected = model.decode(padded, torch.tensor([15]), memory)
    torch.testing.assert_close(said.mel, expected[..., :15])


def test_a_lower_temperature_makes_the_attention_sharper() -> None:
    text = small_text(9)
    found = []
    report = attention_report

    def remembered(made: Sampled, due: torch.Tensor, group: int) -> speaking.AttentionReport:
        found.append(float(report(made, due, group).sharpness))
        return report(made, due, group)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speaking, "attention_report", remembered)
        for temperature in (1.0, 0.3):
            _talkative(attention_temperature=temperature).say_mels(text, SayControls(), _seeded())
    assert found[1] > found[0] + 0.05


def test_reports_are_of_each_item_and_of_its_worst_flow() -> None:
    straight = torch.eye(4)[None]
    skipping = torch.zeros(1, 4, 4)
    skipping[0, torch.arange(4), torch.tensor([0, 0, 3, 2])] = 0.5
    mel = torch.zeros(1, 6, 4)
    made = Sampled(mel, torch.tensor([4]), mel, (straight, skipping), torch.tensor([False]))
    report = attention_report(made, torch.ones(1, 4, dtype=torch.bool), 1)
    assert float(report.coverage) == pytest.approx(0.75)  # of 0, 2, 3
    assert float(report.monotonic) == pytest.approx(1 / 3)  # 0 -> 0; then 3 on, then back
    assert float(report.sharpness) == pytest.approx(0.5)
    only = attention_report(made, torch.tensor([[True, False, True, False]]), 1)
    assert float(only.coverage) == 1.0
    nothing = attention_report(made, torch.zeros(1, 4, dtype=torch.bool), 1)
    assert float(nothing.coverage) == 1.0


def test_durations_where_no_path_fits() -> None:
    attention = torch.zeros(1, 2, 4)
    attention[0, 0, 1] = attention[0, 1, 3] = 1.0
    found = token_durations([attention], torch.tensor([4]), torch.tensor([4]), 2)
    assert found.tolist() == [[0, 2, 0, 2]]


@pytest.mark.parametrize("variation", [100.0, 1e30, float("inf"), float("nan")])
def test_absurd_variations_come_to_an_end(variation: float) -> None:
    said = _talkative(log_scale_limit=6.0).say_mels(small_text(9), SayControls(variation=variation), _seeded())
    assert said.durations.sum().item() == int(said.frame_lengths)
    assert int(said.frame_lengths) <= 370
    assert bool(torch.isfinite(said.mel).all()) == math.isfinite(variation)


def test_tokens_that_take_no_time_may_be_left_out() -> None:
    model, text = lengthened(small_flowtron()), small_text(4, 3)
    model.symbol_frames[text.tokens[0, 2]] = 1.0
    found = required_tokens(model, text)
    assert found[0].tolist() == [token != text.tokens[0, 2] for token in text.tokens[0]]
    assert found[1, 3:].tolist() == [False]


def _pitched() -> Flowtron:
    model = _talkative(scale=0.1, pitch=True, text_mean_channels=5)
    model.standardize.mean[-1], model.standardize.std[-1] = 5.0, 0.25
    torch.nn.init.normal_(model.flows[0].step.text_mean.out.weight, std=0.2)
    return model


@torch.no_grad()
def test_a_given_melody_is_kept_to_and_heard_in_the_mel() -> None:
    model, text = _pitched(), small_text(5, 3)
    memory, lengths = model.memory(text), torch.tensor([12, 9])
    latent = torch.randn(2, 7, 12)
    low, high = (torch.full((2, 12), value) for value in (4.8, 5.4))
    made = [
        speaking.decode(model, latent, lengths, memory, melody=Melody(model.pitch_groups(pitch, 6)))
        for pitch in (low, high)
    ]
    for drawn, pitch in zip(made, (low, high), strict=True):
        torch.testing.assert_close(drawn.frames[0, 6], pitch[0], atol=1e-5, rtol=0)
    assert float((made[0].frames[0, :6] - made[1].frames[0, :6]).abs().min(dim=0).values.max()) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("semitones", [-3.0, 4.0])
def test_a_pitch_that_is_asked_for_is_that_much_higher(semitones: float) -> None:
    model, text = _pitched(), small_text(9)
    assert model.takes_pitch
    assert not _talkative().takes_pitch
    plain, other = (
        speaking.sample(model, model.memory(text), torch.zeros(1, 7, 60), torch.tensor([60]), gate=1.0,
                        melody=speaking.melody_of(model, SayControls(shift_semitones=shift)))
        for shift in (0.0, semitones)
    )  # fmt: skip
    moved = 12.0 / math.log(2.0) * (other.frames[0, 6] - plain.frames[0, 6])
    assert float(moved[:10].mean()) == pytest.approx(semitones, abs=0.5)
    assert bool(((moved - semitones).abs() < 1.5).all())
