"""What a style says of height, range and pace: read off frames, asked of what was drawn, and kept to."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_flowtron import lengthened, small_flowtron, small_text
from torch import Tensor

from moksori.models.flowtron import speaking
from moksori.models.flowtron.model import Flowtron
from moksori.models.flowtron.style_measures import MOST_PACE, MOST_SHIFT, Asked, Measured, asked, measured, phone_counts
from moksori.types import LatentPlan, SayControls, StyleMean, StyleMeasure, TextBatch, mean_measure

SEMITONE = math.log(2.0) / 12.0


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pitched() -> Flowtron:
    model = lengthened(small_flowtron(speaker_channels=0, num_speakers=1, pitch=True, text_mean_channels=8))
    model.standardize.mean[-1], model.standardize.std[-1] = 5.0, 0.2
    with torch.no_grad():
        model.flows[-1].step.gate.bias.fill_(-30.0)  # type: ignore[union-attr, operator]
    return model


def style(measure: StyleMeasure | None, bands: int = 7, start: float = 0.0, stop: float = 1.0) -> StyleMean:
    return StyleMean(torch.zeros(bands, 1), 1.0, start, stop, measure)


def plan(*styles: StyleMean, strength: float = 1.0) -> LatentPlan:
    return LatentPlan(styles, (strength, strength))


def own(log_f0: float = 5.0, deviation: float = 0.1, rate: float = 10.0) -> Measured:
    return Measured(torch.tensor([log_f0]), torch.tensor([deviation]), torch.tensor([rate]))


def wave(frames: int = 40, mean: float = 5.0, depth: float = 0.14) -> Tensor:
    return mean + depth * torch.sin(torch.arange(frames) * 2 * math.pi / 20)[None]


def test_measures_of_frames_are_those_of_what_is_heard() -> None:
    model = pitched()
    frames = torch.full((1, 7, 60), -11.0)
    frames[:, :6, 10:50] = -2.0  # loud
    frames[:, -1] = 9.0  # whatever the pitch is where nothing is heard
    frames[:, -1, 10:50] = wave()
    frames[:, -1, 30] = 5.0 + math.log(2.0)  # an octave too high
    found = measured(model, frames, torch.tensor([60]), torch.tensor([12]))
    assert float(found.log_f0) == pytest.approx(5.0, abs=1e-3)
    assert float(found.deviation) == pytest.approx(0.14 / math.sqrt(2), rel=0.02)
    assert float(found.phone_rate) == pytest.approx(12 / (40 * model.hop_length / model.sample_rate))
    padded = measured(model, torch.cat([frames, frames], dim=2), torch.tensor([60]), torch.tensor([12]))
    assert padded.items() == found.items()


def test_pitch_counts_by_how_loud_voices_are_there() -> None:
    """An s is loud above, and the pitch drawn beside it is nobody's."""
    model = pitched()
    frames = torch.full((1, 7, 40), -6.0)
    frames[:, 0, :20], frames[:, 5, 20:] = -2.0, -2.0
    frames[:, -1, :20], frames[:, -1, 20:] = 5.0, 5.0 + 6 * SEMITONE
    found = measured(model, frames, torch.tensor([40]), torch.tensor([9]))
    assert 5.0 < float(found.log_f0) < 5.0 + 1.5 * SEMITONE
    assert float(found.phone_rate) == pytest.approx(9 / (40 * model.hop_length / model.sample_rate))


def test_what_is_almost_silent_at_the_ends_takes_no_time() -> None:
    model = pitched()
    frames = torch.full((1, 7, 60), -11.0)
    frames[:, :6, 10:50] = -2.0
    for under_db, counted in ((36.0, 45), (40.0, 40)):
        frames[:, :6, 50:55] = -2.0 - under_db / 20.0 * math.log(10.0)
        found = measured(model, frames, torch.tensor([60]), torch.tensor([12]))
        assert float(found.phone_rate) == pytest.approx(12 / (counted * model.hop_length / model.sample_rate))


def test_phones_are_what_begins_with_a_letter() -> None:
    model = small_flowtron(num_symbols=None)
    symbols = model.config.text.symbols
    said = ["^", "h", "əl", " ", "!", ",", "a", "$"]
    tokens = torch.tensor([[symbols.index(symbol) for symbol in said]] * 2)
    text = TextBatch(tokens, torch.zeros_like(tokens), torch.tensor([8, 3]), torch.zeros(2, dtype=torch.long))
    letters = [symbol[0].isalpha() for symbol in said]
    assert phone_counts(model, text).tolist() == [sum(letters), sum(letters[:3])]
    assert sum(letters[:4]) == 2
    assert phone_counts(small_flowtron(), small_text(5, 3)).tolist() == [5, 3]  # a table of other symbols: all tokens


def test_nothing_is_asked_without_measures() -> None:
    assert asked(None, own(), wave(), torch.tensor([40])) is None
    assert asked(plan(style(None)), own(), wave(), torch.tensor([40])) is None
    weak = plan(style(StyleMeasure(6.0, 0.1, 20.0)), strength=0.0)
    assert asked(weak, own(), wave(), torch.tensor([40])) is None


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_height_range_and_pace_go_to_the_clips_by_the_strength(strength: float) -> None:
    goal = StyleMeasure(5.0 + 4 * SEMITONE, 0.15, 12.5)
    found = asked(plan(style(goal), strength=strength), own(), wave(depth=0.1 * math.sqrt(2)), torch.tensor([40]))
    assert found is not None
    assert float(found.log_f0.mean()) == pytest.approx(5.0 + strength * 4 * SEMITONE, abs=1e-4)
    assert float(found.log_f0.std(correction=0)) == pytest.approx(0.1 + strength * 0.05, rel=1e-3)
    assert float(found.pace) == pytest.approx(1.25**strength, rel=1e-5)


def test_a_voice_stays_itself() -> None:
    """However far a clip is."""
    goal = StyleMeasure(9.0, 3.0, 400.0)
    found = asked(plan(style(goal)), own(), wave(depth=0.0), torch.tensor([40]))
    assert found is not None
    assert float(found.log_f0.mean()) == pytest.approx(5.0 + MOST_SHIFT, abs=1e-5)
    assert float(found.pace) == pytest.approx(MOST_PACE)


def test_a_pitch_that_was_asked_for_is_kept() -> None:
    goal = StyleMeasure(5.0, 0.1, 10.0)
    raised = 2 * SEMITONE
    found = asked(plan(style(goal)), own(5.0 + raised), wave(mean=5.0 + raised), torch.tensor([40]), raised)
    assert found is not None
    assert float(found.log_f0.mean()) == pytest.approx(5.0 + raised, abs=1e-4)


def test_a_style_holds_where_it_is_placed() -> None:
    goal = StyleMeasure(5.0 + 4 * SEMITONE, 0.1, 20.0)
    found = asked(plan(style(goal, start=0.5)), own(), wave(depth=0.0), torch.tensor([40]))
    assert found is not None
    torch.testing.assert_close(found.log_f0[:, :20], torch.full((1, 20), 5.0))
    assert bool((found.log_f0[:, 20:] > 5.2).all())
    assert float(found.pace) == pytest.approx(math.sqrt(2.0), rel=1e-5)  # over half of the utterance


def test_means_of_measures() -> None:
    found = mean_measure([(StyleMeasure(5.0, 0.1, 1.0), 1.0), (StyleMeasure(5.4, 0.3, 4.0), 3.0)])
    assert found.log_f0 == pytest.approx(5.3)
    assert found.deviation == pytest.approx(0.25)
    assert found.phone_rate == pytest.approx(4.0**0.75)


class Kept:
    """What speaking asked of the pitch, and the frames that came of it."""

    def __init__(self, model: Flowtron, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Asked] = []
        self.frames: list[Tensor] = []
        spoken = model.spoken_mel

        def ask(*given: Any) -> Asked | None:
            found = asked(*given)
            self.asked += [] if found is None else [found]
            return found

        def heard(frames: Tensor, mask: Tensor | None = None) -> Tensor:
            self.frames.append(frames)
            return spoken(frames, mask)

        monkeypatch.setattr(speaking, "asked", ask)
        monkeypatch.setattr(model, "spoken_mel", heard)


def test_what_is_drawn_is_said_again_with_the_styles_pitch_and_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    model, text = pitched(), small_text(9)
    controls = SayControls(variation=0.5)
    plain = speaking.say_mels(model, text, controls, seeded())
    kept = Kept(model, monkeypatch)
    goal = StyleMeasure(5.0 + 5 * SEMITONE, 0.2, 1.3)
    styled = speaking.say_mels(model, text, replace(controls, latent=plan(style(goal))), seeded())
    (wanted,), (made,) = kept.asked, kept.frames
    expected = round(int(plain.frame_lengths) / 2 / float(wanted.pace)) * 2
    assert styled.frame_lengths.tolist() == [expected] != plain.frame_lengths.tolist()
    assert float(made[0, -1].mean()) == pytest.approx(float(wanted.log_f0.mean()), abs=0.02)
    ends = [float(made[0, -1, 0]), float(made[0, -1, -1])]
    assert ends == pytest.approx([float(wanted.log_f0[0, 0]), float(wanted.log_f0[0, -1])], abs=1e-5)


def test_given_durations_are_kept_and_the_pitch_is_the_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    model, text = pitched(), replace(small_text(5), durations=torch.tensor([[6, 4, 8, 4, 6]]))
    kept = Kept(model, monkeypatch)
    goal = StyleMeasure(5.0 + 5 * SEMITONE, 0.1, 3.0)
    said = speaking.say_mels(model, text, SayControls(variation=0.5, latent=plan(style(goal))), seeded())
    assert said.frame_lengths.tolist() == [28]
    torch.testing.assert_close(kept.frames[0][:, -1], kept.asked[0].log_f0)


def test_a_model_without_pitch_draws_as_the_paper_has_it() -> None:
    model = lengthened(small_flowtron(speaker_channels=0, num_speakers=1))
    goal = style(StyleMeasure(6.0, 0.2, 2.0), bands=6)
    text = small_text(9)
    with_measure, without = (
        speaking.say_mels(model, text, SayControls(latent=plan(one)), seeded()).mel
        for one in (goal, replace(goal, measure=None))
    )
    assert torch.equal(with_measure, without)
