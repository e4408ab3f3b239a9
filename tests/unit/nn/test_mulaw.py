"""Mu-law codes: every one survives, they are in order, silence is the middle, and chance picks them in proportion."""

import math

import numpy as np
import pytest
import torch

from moksori.nn.mulaw import compressed, decode_mu_law, encode_mu_law, expanded, pick_codes


@pytest.mark.parametrize("levels", [256, 512, 1024])
def test_every_code_survives_and_they_are_in_order(levels: int) -> None:
    codes = torch.arange(levels)
    sound = decode_mu_law(codes, levels)
    assert torch.equal(encode_mu_law(sound, levels), codes)
    assert bool((sound.diff() > 0).all())
    assert sound[0] == -1.0 and sound[-1] == 1.0  # noqa: PT018
    torch.testing.assert_close(sound, -sound.flip(0))


def test_silence_is_code_128_and_what_is_too_loud_the_outermost() -> None:
    sound = torch.tensor([0.0, -0.0, 1.0, -1.0, 7.0, -7.0])
    assert encode_mu_law(sound).tolist() == [128, 128, 255, 0, 255, 0]


def test_a_sample_is_at_most_half_a_step_from_its_code() -> None:
    sound = torch.linspace(-1.0, 1.0, 20_001)
    codes = encode_mu_law(sound)
    assert bool((codes.diff() >= 0).all())
    heard = decode_mu_law(codes)
    assert float((compressed(heard) - compressed(sound)).abs().max()) <= 1 / 255 + 1e-6
    # Half a step of 2 / 255 before expanding: its slope is at most ln 256 · 256 / 255 at full level.
    assert float((heard - sound).abs().max()) <= math.log(256) * 256 / 255 / 255 + 1e-6
    quiet = sound.abs() < 0.01
    assert float((heard - sound)[quiet].abs().max()) < 5e-4
    torch.testing.assert_close(expanded(compressed(sound)), sound, atol=1e-6, rtol=1e-5)


def test_the_formula_is_the_papers() -> None:
    sound = np.array([-0.5, -0.01, 0.003, 0.2])
    told = np.sign(sound) * np.log1p(255 * np.abs(sound)) / np.log(256)
    assert encode_mu_law(torch.from_numpy(sound)).tolist() == np.floor((told + 1) / 2 * 255 + 0.5).astype(int).tolist()


def test_codes_come_as_often_as_the_softmax_says() -> None:
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, -30.0])
    uniforms = (torch.arange(20_000) + 0.5) / 20_000
    for temperature in (1.0, 0.5):
        found = pick_codes(logits.expand(20_000, -1), uniforms, temperature).bincount(minlength=5) / 20_000
        torch.testing.assert_close(found, torch.softmax(logits / temperature, 0), atol=1e-4, rtol=0)


def test_temperature_zero_takes_the_likeliest_and_may_differ_from_item_to_item() -> None:
    logits = torch.tensor([[0.0, 3.0, 3.0], [0.0, 0.0, 5.0]])
    uniforms = torch.tensor([0.999, 0.001])
    assert pick_codes(logits, uniforms, 0.0).tolist() == [1, 2]
    assert pick_codes(logits, uniforms, torch.tensor([1.0, 1.0])).tolist() == [2, 0]
    assert pick_codes(logits, uniforms, torch.tensor([1.0, 0.0])).tolist() == [2, 2]
    assert int(pick_codes(logits[0], torch.tensor(1.0))) == 2  # rounding cannot lead beyond the last code
