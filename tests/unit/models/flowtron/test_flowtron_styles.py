"""Interpolation, posteriors and places of styles, and what a model reads off mels and says of latents."""

import math
from dataclasses import replace

import pytest
import torch
from small_flowtron import SYMBOLS, small_flowtron, small_text
from torch import Generator

from moksori.errors import BadInput, UnsupportedTask
from moksori.models.contract import CanSayMels, CanTakeStyle
from moksori.models.flowtron.latents import attended_durations, token_path
from moksori.models.flowtron.style import mixed, places, planned_noise, slerp, style_course, style_mean, tiled
from moksori.types import LatentPlan, SayControls, StyleMean, TextBatch

MELS = 6


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def test_slerp_goes_along_the_arc_and_keeps_lengths():
    first, second = torch.tensor([[3.0], [0.0]]), torch.tensor([[0.0], [3.0]])
    third = slerp(first, second, 1.0 / 3.0)
    assert torch.allclose(third, 3.0 * torch.tensor([[math.cos(math.pi / 6)], [math.sin(math.pi / 6)]]), atol=1e-6)
    u, v = noise(80, 50), noise(80, 50, seed=1)
    half = slerp(u, v, 0.5)
    assert torch.allclose(half.norm(dim=0), (u.norm(dim=0) + v.norm(dim=0)) / 2, rtol=1e-4)
    straight = mixed([u, v], [0.5, 0.5], "linear")
    assert float(straight.norm(dim=0).mean()) < 0.8 * float(half.norm(dim=0).mean())
    assert torch.allclose(slerp(u, v, 0.0), u, atol=1e-5)
    assert torch.allclose(slerp(u, v, 1.0), v, atol=1e-5)


def test_slerp_of_parallel_and_zero_vectors_is_finite():
    u = noise(5, 4)
    assert torch.allclose(slerp(u, 2.0 * u, 0.5), 1.5 * u, atol=1e-5)
    assert torch.isfinite(slerp(u, -u, 0.5)).all()
    assert torch.isfinite(slerp(torch.zeros_like(u), u, 0.3)).all()


def test_mixing_takes_shares_whatever_their_sum_and_three_by_turns():
    parts = [noise(4, 3, seed=seed) for seed in range(3)]
    expected = 0.5 * parts[0] + 0.25 * parts[1] + 0.25 * parts[2]
    assert torch.allclose(mixed(parts, [2.0, 1.0, 1.0], "linear"), expected, atol=1e-6)
    assert torch.allclose(mixed(parts, [0.0, 5.0, 0.0], "slerp"), parts[1], atol=1e-5)
    three = mixed([p / p.norm(dim=0) for p in parts], [1.0, 1.0, 1.0], "slerp")
    assert torch.allclose(three.norm(dim=0), torch.ones(3), atol=1e-4)
    for wrong in ([0.0, 0.0], [-1.0, 2.0], [math.nan, 1.0]):
        with pytest.raises(BadInput, match="weights"):
            mixed(parts[:2], wrong, "linear")


def test_a_styles_mean_is_one_frame_or_a_course_counted_from_the_end():
    short, long = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0, 7.0]])
    assert style_mean([short, long], "time_and_batch").tolist() == [[(1.5 + 5.0) / 2]]
    assert style_mean([short, long], "batch").tolist() == [[2.5, 3.0, 4.5]]
    assert tiled(short, 5).tolist() == [[2.0, 1.0, 2.0, 1.0, 2.0]]
    for latents, mode in (([], "batch"), ([torch.zeros(1, 0)], "batch"), ([short], "median")):
        with pytest.raises(BadInput):
            style_mean(latents, mode)


def test_strength_runs_from_prior_to_style_and_ramps_between():
    style = StyleMean(torch.full((MELS, 1), 4.0))
    place = places(10, torch.tensor([10.0]), from_the_end=True)
    for strength in (0.0, 0.9, 1.0):
        course = style_course(LatentPlan((style,), (strength, strength)), place)
        assert torch.allclose(course, torch.full((1, MELS, 10), 4.0 * strength))
    ramp = style_course(LatentPlan((style,), (0.0, 1.0)), place)[0, 0]
    assert torch.allclose(ramp, 4.0 * (torch.arange(10) + 0.5) / 10)


def test_places_are_anchored_where_the_utterance_is():
    late = places(8, torch.tensor([4.0, 8.0]), from_the_end=True)
    assert late[0].tolist() == [-0.875, -0.625, -0.375, -0.125, 0.125, 0.375, 0.625, 0.875]
    early = places(8, torch.tensor([4.0]), from_the_end=False)
    assert early[0, :4].tolist() == [0.125, 0.375, 0.625, 0.875]
    styles = (StyleMean(torch.ones(MELS, 1), 1.0, 0.0, 0.5), StyleMean(torch.full((MELS, 1), 3.0), 1.0, 0.5, 1.0))
    assert style_course(LatentPlan(styles), late)[0, 0].tolist() == [1.0] * 6 + [3.0] * 2
    overlapping = (StyleMean(torch.ones(MELS, 1)), StyleMean(torch.full((MELS, 1), 3.0), 3.0, 0.5, 1.0))
    assert style_course(LatentPlan(overlapping), early)[0, 0, :4].tolist() == [1.0, 1.0, 2.5, 2.5]


def test_noise_of_seeds_repeats_and_is_mixed():
    like = torch.zeros(2, MELS, 40)
    alone = planned_noise(LatentPlan(samples=((3, 1.0),)), like)
    assert torch.equal(alone[0], alone[1])
    assert torch.equal(alone, planned_noise(LatentPlan(samples=((3, 1.0),)), like))
    both = planned_noise(LatentPlan(samples=((3, 0.5), (9, 0.5))), like)[0]
    other = planned_noise(LatentPlan(samples=((9, 1.0),)), like)[0]
    assert float(both.std()) == pytest.approx(1.0, abs=0.15)
    assert not torch.allclose(both, alone[0])
    quiet = planned_noise(LatentPlan(samples=((3, 0.5), (9, 0.5)), sample_way="linear"), like)[0]
    assert torch.allclose(quiet, (alone[0] + other) / 2, atol=1e-6)
    own = planned_noise(None, like, Generator().manual_seed(0))
    assert torch.equal(own, planned_noise(LatentPlan(), like, Generator().manual_seed(0)))


def test_drawn_latents_are_variation_times_noise_around_the_style():
    model = small_flowtron()
    like, expected = torch.zeros(1, MELS, 20), torch.tensor([10])
    plan = LatentPlan((StyleMean(torch.full((MELS, 1), 2.0)),), (0.5, 0.5))

    def drawn(variation, plan):
        controls = SayControls(variation=variation, latent=plan)
        return model.drawn_latent(like, expected, controls, Generator().manual_seed(1))

    assert torch.equal(drawn(0.0, None), torch.zeros_like(like))
    assert torch.allclose(drawn(0.0, plan), torch.ones_like(like))
    assert torch.allclose(drawn(0.8, plan), 1.0 + drawn(0.8, None), atol=1e-6)
    assert torch.allclose(drawn(0.8, None), 2.0 * drawn(0.4, None))


def test_the_posteriors_noise_is_that_of_what_the_strength_leaves():
    model, like, expected = small_flowtron(), torch.zeros(1, MELS, 20), torch.tensor([20])
    style = StyleMean(torch.zeros(MELS, 4), 1.0, 0.0, 0.5)

    def drawn(strength, posterior=True):
        plan = LatentPlan((style,), strength, posterior=posterior)
        controls = SayControls(variation=0.5, latent=plan)
        return model.drawn_latent(like, expected, controls, Generator().manual_seed(1))

    plain = drawn((0.0, 0.0))
    assert torch.equal(plain, model.drawn_latent(like, expected, SayControls(0.5), Generator().manual_seed(1)))
    assert torch.equal(drawn((0.91, 0.91), posterior=False), plain)
    assert torch.allclose(drawn((0.91, 0.91))[..., :10], 0.3 * plain[..., :10], atol=1e-6)
    assert torch.equal(drawn((0.91, 0.91))[..., 10:], plain[..., 10:])  # no style holds in the second half
    assert float(drawn((1.0, 1.0))[..., :10].abs().max()) == 0.0
    assert torch.allclose(drawn((0.0, 1.0))[..., 9], plain[..., 9] * (1.0 - 9.5 / 20) ** 0.5, atol=1e-6)


def test_reading_and_saying_are_each_others_inverse():
    model, text = small_flowtron(), small_text(5, 4)
    assert isinstance(model, CanTakeStyle)
    assert isinstance(model, CanSayMels)
    lengths = torch.tensor([21, 16])
    mel = noise(2, MELS, 21) - 5.0
    read = model.read_latents(mel, lengths, text)
    said = model.say_latents(read.latent, lengths, text, SayControls())
    assert torch.equal(said.frame_lengths, lengths)
    for item, frames in enumerate(lengths.tolist()):
        assert float((said.mel[item, :, :frames] - mel[item, :, :frames]).abs().max()) < 1e-4
    assert read.durations.sum(dim=1).tolist() == [21, 16]
    assert torch.isfinite(read.log_likelihood).all()
    given = replace(text, durations=read.durations)
    kept = model.read_latents(mel, lengths, given)
    again = model.say_latents(kept.latent, lengths, given, SayControls())
    assert torch.equal(again.durations, read.durations)
    assert float((again.mel[0] - mel[0]).abs().max()) < 1e-4


def test_another_speaker_changes_what_is_said_of_the_same_latent():
    model, text, lengths = small_flowtron(), small_text(5), torch.tensor([20])
    mel = noise(1, MELS, 20) - 5.0
    read = model.read_latents(mel, lengths, text)
    other = model.say_latents(read.latent, lengths, replace(text, speaker=torch.tensor([1])), SayControls())
    assert float((other.mel - mel).abs().max()) > 1e-3
    mixed_vector = model.mixed_speaker(SayControls(speakers=((0, 0.25), (1, 0.75))))
    table = model.speaker_embedding.weight
    assert torch.allclose(mixed_vector[0], 0.25 * table[0] + 0.75 * table[1], atol=1e-6)
    only = model.say_latents(read.latent, lengths, text, SayControls(speakers=((1, 1.0),)))
    assert torch.allclose(only.mel, other.mel, atol=1e-5)


def test_speakers_that_cannot_be_mixed_are_refused():
    with pytest.raises(BadInput, match="rows 0 to 1"):
        small_flowtron().mixed_speaker(SayControls(speakers=((7, 1.0),)))
    alone = small_flowtron(num_speakers=1, speaker_table="several")
    assert not alone.mixes_speakers
    with pytest.raises(UnsupportedTask, match="no table of several speakers"):
        alone.mixed_speaker(SayControls(speakers=((0, 1.0),)))


def test_paths_and_durations():
    assert token_path(torch.tensor([[2, 0, 3]]), 7).tolist() == [[0, 0, 2, 2, 2, 2, 2]]
    with pytest.raises(BadInput, match="no frames"):
        token_path(torch.zeros(1, 3, dtype=torch.long), 4)
    model, lengths = small_flowtron(), torch.tensor([6])
    long = TextBatch(
        torch.randint(1, SYMBOLS, (1, 9)), torch.zeros(1, 9, dtype=torch.long), torch.tensor([9]), torch.tensor([0])
    )
    encoded = model.encode(noise(1, MELS, 6), lengths, model.memory(long))
    durations, sure = attended_durations(encoded, lengths, long.token_lengths, 2)
    assert (durations.sum(), sure.sum()) == (0, 0)  # more tokens than steps: no path


def test_the_surer_the_attention_is_of_its_path_the_higher_its_alignment():
    model, text, lengths = small_flowtron(), small_text(4), torch.tensor([16])
    encoded = model.encode(noise(1, MELS, 16), lengths, model.memory(text))
    path = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3])

    def sure(weight: float) -> float:
        weights = torch.full((1, 8, 4), (1.0 - weight) / 3)
        weights[0, torch.arange(8), path] = weight
        given = replace(encoded, log_content=(weights.log(), weights.log()))
        durations, found = attended_durations(given, lengths, text.token_lengths, 2)
        assert durations.tolist() == [[4, 6, 2, 4]]
        return float(found)

    assert sure(0.9) == pytest.approx(0.9)
    assert sure(0.5) == pytest.approx(0.5)
