"""Speaking and copy-synthesis: noise, seeds, speed, lengths, guards, and every kind of decoder."""

import math
from dataclasses import replace

import pytest
import torch
from tiny_model import DECODERS, HIFIGAN, ISTFT, generator, model, text

from moksori.errors import ConfigError
from moksori.models.decoders.pitch import Pitch, pitch_from_f0
from moksori.models.vits.model import Frames, Vits
from moksori.models.vits.prior import PLACE_FEATURES, place_features
from moksori.types import SayControls, TextBatch


@pytest.fixture(scope="module")
def plain() -> Vits:
    """Without noise of its own in the decoder, so that `variation` decides alone."""
    return model(ISTFT)


def test_without_variation_speech_is_always_the_same(plain: Vits) -> None:
    first, second = (plain.say(text(), SayControls(variation=0.0)) for _ in range(2))
    assert torch.equal(first.waveform, second.waveform)


@pytest.mark.parametrize("decoder", DECODERS)
def test_equal_seeds_give_equal_sound_and_lengths_fit(decoder: str) -> None:
    made = model(DECODERS[decoder])
    one, two, other = (made.say(text(), SayControls(), generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.waveform, two.waveform)
    assert one.waveform.shape != other.waveform.shape or not torch.equal(one.waveform, other.waveform)
    assert int(one.durations.sum()) * 256 == int(one.waveform_lengths) == one.waveform.shape[1]
    assert int(one.durations.min()) >= 1
    assert bool(one.waveform.isfinite().all())


@pytest.mark.parametrize("rounding", ["ceil", "nearest"])
def test_speed_scales_the_length(rounding: str) -> None:
    made = model(ISTFT, f"model.duration.rounding={rounding}")
    with torch.no_grad():  # about 13 frames a token, so that rounding does not matter
        made.deterministic_duration.projection.bias.fill_(2.5)
    lengths = {}
    for speed in (0.5, 1.0, 2.0):
        lengths[speed] = int(made.say(text(30), SayControls(variation=0.0, speed=speed)).durations.sum())
    assert lengths[0.5] / lengths[1.0] == pytest.approx(2.0, rel=0.1)
    assert lengths[1.0] / lengths[2.0] == pytest.approx(2.0, rel=0.1)


def test_rounding_up_and_to_the_nearest() -> None:
    logs, mask = torch.tensor([[1.4, 1.4, 1.4, 0.2, 9.0]]).log(), torch.tensor([[[True, True, True, True, False]]])
    assert model(ISTFT, "model.duration.rounding=ceil").whole_frames(logs, mask, 1.0).tolist() == [[2, 2, 2, 1, 0]]
    nearest = model(ISTFT, "model.duration.rounding=nearest")
    assert nearest.whole_frames(logs, mask, 1.0).tolist() == [[1, 2, 1, 1, 0]]  # 1.4, 2.8, 4.2; a token has one frame
    many = torch.full((1, 1000), 3.3).log()
    total = int(nearest.whole_frames(many, torch.ones(1, 1, 1000, dtype=torch.bool), 1.0).sum())
    assert total == 3300  # the running sum keeps its expectation


def test_one_wild_token_does_not_last_for_ever(plain: Vits) -> None:
    limit = math.ceil(plain.config.maximum_token_seconds * 22050 / 256)
    logs = torch.tensor([[1.0, 50.0, 800.0]])
    durations = plain.whole_frames(logs, torch.ones(1, 1, 3, dtype=torch.bool), 1.0)
    assert int(durations.max()) <= limit
    slow = plain.whole_frames(logs, torch.ones(1, 1, 3, dtype=torch.bool), 0.1)
    assert int(slow.max()) <= limit


def test_the_two_predictors_are_mixed_in_the_log() -> None:
    made = model(ISTFT)
    encoded, mask = made.encode_text(text())
    with torch.no_grad():
        made.duration_scale.fill_(1.5)
        stochastic = made.stochastic_duration.sample(encoded.hidden, mask, None, 0.5, generator(3))
        deterministic = made.deterministic_duration(encoded.hidden, mask, None) + math.log(1.5)
        mixed = made.log_durations(encoded, mask, None, 0.5, None, generator(3))
    expected = 0.2 * (stochastic.exp() + 0.5).log() + 0.8 * deterministic
    torch.testing.assert_close(mixed, expected)


def test_a_mixture_can_be_asked_for() -> None:
    made = model(ISTFT)
    assert made.mixes_durations
    encoded, mask = made.encode_text(text())
    said = {mix: made.say(text(), SayControls(0.5, 1.0, 0.0, mix), generator(1)).durations for mix in (None, 0.2, 1.0)}
    assert torch.equal(said[None], said[0.2])  # the preset's own
    assert not torch.equal(said[0.2], said[1.0])
    for mix, seeds_differ in ((0.0, False), (1.0, True)):
        first, second = (made.log_durations(encoded, mask, None, 0.8, mix, generator(seed)) for seed in (1, 2))
        assert torch.equal(first, second) is not seeds_differ
    assert not model(ISTFT, "model.duration.deterministic=false").mixes_durations


@pytest.mark.parametrize("decoder", DECODERS)
def test_given_durations_are_kept_and_the_models_own_give_the_same_sound(decoder: str) -> None:
    made = model(DECODERS[decoder])
    own = made.say(text(), SayControls(), generator(1))
    again = made.say(replace(text(), durations=own.durations), SayControls(), generator(1))
    assert torch.equal(again.waveform, own.waveform)
    wanted = torch.tensor([[1, 2, 3, 40, 5, 1, 1, 2, 9]])
    spoken = made.say(replace(text(), durations=wanted), SayControls(speed=3.0), generator(1))
    assert torch.equal(spoken.durations, wanted)
    assert spoken.waveform.shape[1] == 64 * 256


@pytest.mark.parametrize("decoder", DECODERS)
def test_copy_synthesis_keeps_the_length(decoder: str) -> None:
    made = model(DECODERS[decoder])
    waveform = 0.1 * torch.randn(2, 20 * 256 + 100, generator=generator())
    copy = made.reconstruct(waveform, torch.zeros(2, dtype=torch.int64), generator())
    assert copy.shape == (2, 20 * 256)
    again = made.reconstruct(waveform, torch.zeros(2, dtype=torch.int64), generator())
    assert torch.equal(copy, again)
    if decoder != "homomorphic":
        means = [made.reconstruct(waveform, torch.zeros(2, dtype=torch.int64), temperature=0.0) for _ in range(2)]
        assert torch.equal(*means)


def test_speakers_differ() -> None:
    made = model(ISTFT, "model.num_speakers=2", "model.speaker_channels=8")
    base = text()
    spoken = [
        made.say(TextBatch(base.tokens, base.stress, base.token_lengths, torch.tensor([s])), SayControls(variation=0.0))
        for s in (0, 1)
    ]
    assert not torch.equal(spoken[0].waveform[:, :256], spoken[1].waveform[:, :256])


# ---- decoders by themselves ----


@pytest.mark.parametrize("decoder", DECODERS)
def test_decoders_ignore_padding_but_for_the_last_overlap(decoder: str, monkeypatch) -> None:
    made = model(DECODERS[decoder]).decoder
    z = torch.randn(1, 16, 30, generator=generator(1))
    mask = torch.ones(1, 1, 30, dtype=torch.bool)
    padded_mask = torch.nn.functional.pad(mask, (0, 7))
    pitch = Pitch(torch.full((1, 37), 5.0), torch.nn.functional.pad(torch.ones(1, 30), (0, 7)))
    with torch.no_grad():
        alone = made(z, mask, None, pitch.cut(0, 30), generator=generator(2))
        padded = made(torch.nn.functional.pad(z, (0, 7)), padded_mask, None, pitch, generator=generator(2))
    assert alone.shape == (1, 1, 30 * 256)
    assert padded.shape == (1, 1, 37 * 256)
    inside = 30 * 256 if decoder == "hifigan" else 28 * 256 - 512
    torch.testing.assert_close(padded[..., :inside], alone[..., :inside], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("decoder", DECODERS)
def test_renderings_differ_only_where_the_decoder_has_noise(decoder: str) -> None:
    made = model(DECODERS[decoder]).decoder
    z = torch.randn(2, 16, 12, generator=generator(1))
    with torch.no_grad():
        pair = made(z, renderings=2, generator=generator(2))
    assert pair.shape == (2, 2, 12 * 256)
    assert torch.equal(pair[0], pair[1]) is not made.has_noise


def test_the_source_follows_the_pitch_and_its_shift() -> None:
    made = model()
    steady = Pitch(torch.full((1, 60), math.log(200.0)), torch.ones(1, 60))
    with torch.no_grad():
        for part, log_gain in ((made.decoder.pulse_filter, 0.0), (made.decoder.noise_filter, -20.0)):  # no noise
            part.cepstrum.weight.zero_()
            part.cepstrum.bias.zero_()
            part.cepstrum.bias[0] = log_gain
        z = torch.zeros(1, 16, 60)
        for semitones, hertz in ((0.0, 200.0), (12.0, 400.0), (-7.0, 200.0 * 2 ** (-7 / 12))):
            waveform = made.decoder(z, None, None, steady.shifted(semitones), generator=generator())[0, 0]
            middle = waveform[4096 : 4096 + 8192] * torch.hann_window(8192)
            spectrum = torch.fft.rfft(middle, 65536).abs()
            peak = spectrum[: int(1.5 * hertz / 22050 * 65536)].argmax()
            assert float(peak) * 22050 / 65536 == pytest.approx(hertz, rel=0.005)


def test_a_shift_moves_only_models_with_a_source() -> None:
    assert [model(DECODERS[kind]).takes_pitch for kind in ("hifigan", "istft", "homomorphic")] == [False, False, True]
    made = model()
    plain, shifted = (
        made.say(text(), SayControls(variation=0.0, shift_semitones=s), generator(1)).waveform for s in (0.0, 5.0)
    )
    assert plain.shape == shifted.shape
    assert not torch.allclose(plain, shifted)


def test_rates_must_multiply_to_the_hop() -> None:
    with pytest.raises(ConfigError, match=r"multiply to 128, but mel.hop_length is 256"):
        model(HIFIGAN.replace("[8, 8, 4]", "[8, 8, 2]"))
    with pytest.raises(ConfigError, match="both off: one is needed to speak"):
        model("model.duration.stochastic=false", "model.duration.deterministic=false")


def test_filters_come_finer_than_latents_but_fill_the_same_time() -> None:
    base = model()
    for rate, n_fft in ((1, 1024), (2, 512), (4, 512)):
        made = model(f"model.decoder.rate={rate}", f"model.decoder.n_fft={n_fft}", "model.decoder.pulse_quefrencies=40")
        z = torch.randn(1, 16, 12, generator=generator(1))
        assert made.decoder(z, generator=generator()).shape == base.decoder(z, generator=generator()).shape
    with pytest.raises(ConfigError, match=r"decoder.rate 3 does not divide mel.hop_length 256"):
        model("model.decoder.rate=3")
    with pytest.raises(ConfigError, match=r"quefrencies 300 and 64 must lie in 1 to n_fft / 2 = 256"):
        model("model.decoder.pulse_quefrencies=300")


# ---- pitch, places and frames ----


def test_finer_pitch_lies_on_the_line_between_frames() -> None:
    coarse = Pitch(torch.tensor([[5.0, 5.4, 5.2]]), torch.tensor([[0.0, 1.0, 1.0]]))
    fine = coarse.finer(2)
    torch.testing.assert_close(fine.log_f0, torch.tensor([[5.0, 5.1, 5.3, 5.35, 5.25, 5.2]]))
    torch.testing.assert_close(fine.voicing, torch.tensor([[0.0, 0.25, 0.75, 1.0, 1.0, 1.0]]))
    assert coarse.finer(1) is coarse


def test_pitch_is_interpolated_in_the_log_and_held_at_the_ends() -> None:
    f0 = torch.tensor([[0.0, 0.0, 100.0, 0.0, 0.0, 0.0, 400.0, 0.0], [0.0] * 8, [150.0] * 8])
    pitch = pitch_from_f0(f0)
    expected = [100.0, 100.0, 100.0, 100 * 2**0.5, 200.0, 100 * 2**1.5, 400.0, 400.0]
    torch.testing.assert_close(pitch.log_f0[0].exp(), torch.tensor(expected), rtol=1e-4, atol=1e-3)
    assert pitch.voicing[0].tolist() == [0, 0, 1, 0, 0, 0, 1, 0]
    torch.testing.assert_close(pitch.log_f0[1].exp(), torch.full((8,), 200.0))
    assert float(pitch.voicing[1].sum()) == 0
    torch.testing.assert_close(pitch.log_f0[2].exp(), torch.full((8,), 150.0))
    octave = pitch.shifted(12.0).log_f0 - pitch.log_f0
    torch.testing.assert_close(octave, torch.full_like(octave, math.log(2.0)))


def test_place_features_are_as_written() -> None:
    place, duration = torch.tensor([[0, 1, 2, 3, 0]]), torch.tensor([[4, 4, 4, 4, 1]])
    features = place_features(place, duration)
    assert features.shape == (1, PLACE_FEATURES, 5)
    f = torch.tensor([0.125, 0.375, 0.625, 0.875, 0.5])
    torch.testing.assert_close(features[0, 0], f)
    torch.testing.assert_close(features[0, 1], 1 - f)
    torch.testing.assert_close(features[0, 2], torch.sin(math.pi * f))
    torch.testing.assert_close(features[0, 3], torch.sin(2 * math.pi * f), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(features[0, 4], torch.tensor([0.05, 0.15, 0.25, 0.35, 0.05]))
    torch.testing.assert_close(features[0, 5], torch.tensor([0.35, 0.25, 0.15, 0.05, 0.05]))
    torch.testing.assert_close(features[0, 6], 0.5 * torch.tensor([4.0, 4, 4, 4, 1]).log())
    torch.testing.assert_close(features[0, 7], torch.tensor([0.25, 0.25, 0.25, 0.25, 1.0]))


def test_frames_know_token_place_and_duration_in_windows_too() -> None:
    frames = Frames.from_durations(torch.tensor([[2, 3, 1], [1, 1, 0]]))
    assert frames.token.tolist()[0] == [0, 0, 1, 1, 1, 2]
    assert frames.place.tolist()[0] == [0, 1, 0, 1, 2, 0]
    assert frames.duration.tolist()[0] == [2, 2, 3, 3, 3, 1]
    assert frames.mask[:, 0].tolist() == [[True] * 6, [True, True, False, False, False, False]]
    part = frames.window(torch.tensor([3, 1]), 4)
    assert part.token[0, :3].tolist() == [1, 1, 2]
    assert part.place[0, :3].tolist() == [1, 2, 0]
    assert part.mask[:, 0].tolist() == [[True, True, True, False], [True, False, False, False]]


def test_a_frame_prior_sees_the_place_and_not_the_padding() -> None:
    made = model()
    encoded, _ = made.encode_text(text(4))
    durations = torch.tensor([[3, 5, 2, 4]])
    with torch.no_grad():
        whole = made.prior(encoded, Frames.from_durations(durations))
        padded = made.prior(encoded, Frames.from_durations(durations, 20))
    torch.testing.assert_close(padded.mean[..., :14], whole.mean, rtol=1e-5, atol=1e-6)
    assert float(padded.mean[..., 14:].abs().sum()) == 0.0
    assert not torch.allclose(whole.mean[..., 3], whole.mean[..., 5])  # two frames of one token differ
