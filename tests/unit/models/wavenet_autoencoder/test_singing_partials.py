"""Partials: measured in a recording, told by codes, and a harmonic part that goes on from block to block."""

import math

import numpy as np
import pytest
import torch
from small_singers import configured, small_model, small_objective, sung, take_steps
from torch import Tensor

from moksori.audio.f0 import extract_f0
from moksori.errors import ConfigError
from moksori.models.wavenet_autoencoder.conversion import Singer
from moksori.models.wavenet_autoencoder.partials import Envelope, Partials, held, live, measured, mel, turns
from moksori.models.wavenet_autoencoder.pitch import cycles
from moksori.types import ConvertControls, LongRecording, SoundBatch, Voice, Waveform

RATE, HOP, COUNT = 16000, 80, 40
SILENCE = 128
STRENGTH, PHASE = (0.5, 0.3, 0.2, 0.1), (0.3, 1.0, -2.0, 0.5)
WITH = (
    "model.pitch.harmonics=3",
    "model.pitch.partials=24",
    "model.pitch.rest=0.4",
    "model.pitch.over_source=1.4",
    "model.upsampling=linear",
    "model.pre_emphasis=0.8",
)


def gliding(frames: int = 200, silent: slice = slice(100, 110)) -> Tensor:
    f0 = 200.0 * torch.linspace(1.0, 1.3, frames)[None]
    f0[:, silent] = 0.0
    return f0


def made_of(f0: Tensor) -> Tensor:
    phase = cycles(held(f0), HOP, RATE)
    waves = [
        a * torch.cos(2 * math.pi * (k + 1) * phase + t) for k, (a, t) in enumerate(zip(STRENGTH, PHASE, strict=True))
    ]
    return torch.stack(waves).sum(dim=0).float() * (held(f0) > 0).float().repeat_interleave(HOP, dim=1)


def test_strength_and_phase_of_a_recording_are_found() -> None:
    f0 = gliding()
    going = held(f0)
    turned, alive = turns(cycles(going, HOP, RATE), COUNT, HOP), live(going, COUNT, RATE)
    found = measured(turned, made_of(f0), alive)
    for frame in (20, 60, 150):
        assert found[0, :4, frame].abs().numpy() == pytest.approx(STRENGTH, abs=0.03)
        assert found[0, :4, frame].angle().numpy() == pytest.approx(PHASE, abs=0.15)
        assert float(found[0, 4:, frame].abs().max()) < 0.03


def test_partials_made_of_what_was_measured_are_the_recording() -> None:
    f0 = gliding()
    turned, sound = turns(cycles(held(f0), HOP, RATE), COUNT, HOP), made_of(f0)
    strength = measured(turned, sound, live(held(f0), COUNT, RATE)) * (f0 > 0).unsqueeze(1)
    partials = Partials(turned, strength, strength[:, :, 0])
    left = (sound - partials.sound()).square().sum() / sound.square().sum()
    assert float(left) < 0.01
    assert float(partials.sound()[:, 101 * HOP : 110 * HOP].abs().max()) == 0.0  # they fade in one frame


def test_nothing_is_made_above_half_the_rate_nor_where_nothing_is_voiced() -> None:
    alive = live(torch.tensor([[0.0, 100.0, 1000.0]]), COUNT, RATE)
    assert alive[0].sum(dim=0).tolist() == [0.0, 40.0, 7.0]
    assert torch.equal(held(torch.tensor([[0.0, 5.0, 0.0, 0.0]])), torch.tensor([[0.0, 5.0, 5.0, 0.0]]))
    assert held(torch.tensor([[0.0, 1.0]]), torch.tensor([7.0]))[0, 0] == 7.0


def test_the_phase_is_that_of_the_filter_of_minimum_phase() -> None:
    envelope = Envelope(4, 0, 8, 48, RATE)
    hertz = 700.0 * (10.0 ** (torch.linspace(0.0, float(mel(torch.tensor(8000.0))), 48).numpy() / 2595.0) - 1.0)
    poles = [0.9, 0.85 * np.exp(1j * 0.8), 0.85 * np.exp(-1j * 0.8)]
    turn = np.exp(-2j * np.pi * hertz / RATE)
    response = 1.0 / np.prod([1.0 - pole * turn for pole in poles], axis=0)
    f0 = torch.full((1, 3), 240.0)
    knots = torch.from_numpy(np.log(np.abs(response)).astype(np.float32))[None, :, None].expand(1, 48, 3)
    heard = np.exp(-2j * np.pi * 240.0 * np.arange(1, 21) / RATE)
    wanted = np.angle(1.0 / np.prod([1.0 - pole * heard for pole in poles], axis=0))
    assert envelope.phase(knots, f0, 20)[0, :, 1].numpy() == pytest.approx(wanted, abs=0.06)
    wanted = np.abs(1.0 / np.prod([1.0 - pole * heard for pole in poles], axis=0))
    assert envelope.amplitude(knots, f0, 20)[0, :, 1].numpy() == pytest.approx(wanted, rel=0.06)


def test_the_envelope_stays_where_it_is_when_the_key_moves() -> None:
    envelope = Envelope(4, 0, 8, 48, RATE)
    knots = torch.randn(1, 48, 1)
    low, high = (envelope.amplitude(knots, torch.full((1, 1), hertz), 24) for hertz in (150.0, 300.0))
    assert low[0, 1::2, 0].numpy() == pytest.approx(high[0, :12, 0].numpy(), rel=1e-4)


def test_what_is_drawn_counts_less_where_it_is_voiced() -> None:
    f0 = torch.full((1, 200), 260.0)
    f0[:, 80:120] = 0.0
    made = {}
    for rest in (0.0, 0.5, 1.0):
        model = small_model(*WITH, "model.pre_emphasis=0", f"model.pitch.rest={rest}")
        singer = Singer(model, model.vectors(torch.tensor([1])), torch.Generator().manual_seed(0), "eager")
        condition = model.condition(torch.zeros(1, 8, 40), f0)
        parts = [singer.sing(condition[:, :, at : at + 50], f0[:, at : at + 50]) for at in range(0, 200, 50)]
        made[rest] = torch.cat(parts, dim=1)[0]
    whole, half, none = made[1.0], made[0.5], made[0.0]
    free = torch.stack([whole, half, none]).abs().amax(dim=0) < 1.0  # else it was cut off
    assert float(free.float().mean()) > 0.5
    voiced = (f0[0] > 0).repeat_interleave(40)
    assert torch.allclose(half[free & voiced], 0.5 * (whole + none)[free & voiced], atol=1e-5)
    unvoiced = slice(81 * 40, 120 * 40)
    assert torch.equal(whole[unvoiced], none[unvoiced])
    heard = extract_f0(Waveform(none.numpy(), model.sample_rate), 40, 60.0, 800.0, "fast")
    assert np.median(heard[10:70]) == pytest.approx(260.0, rel=0.01)


@pytest.mark.parametrize("block", [333, 5_000])
def test_blocks_give_the_whole(block) -> None:
    song = sung([0], 10_000).waveform[0].numpy()[:9_937]
    model, controls, target = small_model(*WITH), ConvertControls(shift_semitones=3.0), Voice("wavenet_autoencoder", 1)
    sounds = SoundBatch(torch.from_numpy(song)[None], torch.tensor([len(song)]))
    whole = model.convert(sounds, target, None, controls, torch.Generator().manual_seed(1)).waveform
    recording = LongRecording(
        len(song), model.sample_rate, lambda: (song[at : at + block] for at in range(0, len(song), block))
    )
    parts = model.convert_in_blocks(recording, target, None, controls, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.cat(list(parts), dim=1), whole)


def test_a_decoder_that_draws_nothing_leaves_the_partials_at_the_pitch_asked_for() -> None:
    """Whatever D says, what is voiced is sung at the pitch it is given: here D says silence."""
    model = small_model(*WITH, "model.pre_emphasis=0")
    singer = Singer(model, model.vectors(torch.tensor([1])), torch.Generator().manual_seed(0), "eager")
    singer._sampler.draw = lambda uniforms, conditions, temperature: torch.full((1, uniforms.shape[1]), SILENCE)
    f0 = torch.full((1, 200), 260.0)
    sound = singer.sing(model.condition(torch.zeros(1, 8, 40), f0), f0)[0]
    heard = extract_f0(Waveform(sound.numpy(), model.sample_rate), 40, 60.0, 800.0, "fast")
    assert np.median(heard[20:-20]) == pytest.approx(260.0, rel=0.01)


def test_training_explains_more_of_what_is_voiced() -> None:
    objective = small_objective(*WITH)
    left = [terms["partials"] for terms in take_steps(objective, 40)]
    assert np.mean(left[-5:]) < 0.5 * np.mean(left[:3])
    assert all(parameter.grad is not None for parameter in objective.model.envelope.parameters())
    assert float(objective.validate(sung([0, 1], 4_000))["partials"]) < np.mean(left[:3])


def test_more_harmonics_than_partials_are_refused() -> None:
    with pytest.raises(ConfigError, match="partials 2 are fewer than harmonics 3"):
        configured("model.pitch.harmonics=3", "model.pitch.partials=2")
