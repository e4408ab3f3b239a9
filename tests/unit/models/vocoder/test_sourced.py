"""The decoder whose phases come from pulses and noise."""

import math

import pytest
import torch

from moksori.audio.mel import MEL_16KHZ, MelSpectrogram
from moksori.models.decoders.config import SourcedConfig
from moksori.models.decoders.pitch import Pitch
from moksori.models.decoders.refined import Spectrum
from moksori.models.decoders.sourced import SourcedDecoder
from moksori.models.vocoder import FAMILY, Vocoder, VocoderConfig, VocoderObjective, VocoderObjectiveConfig
from moksori.types import SpeechBatch

SMALL = {"channels": 16, "inner_channels": 32, "num_layers": 1, "pitch_channels": 16, "pitch_layers": 1}
NO_NOISE = -30.0
BINS = MEL_16KHZ.n_fft // 2 + 1


def decoder(log_noise: float | None = None, **settings: object) -> SourcedDecoder:
    torch.manual_seed(0)
    made = SourcedDecoder(SourcedConfig(**{**SMALL, **settings}), MEL_16KHZ).eval()
    torch.nn.init.zeros_(made.head.weight)
    with torch.no_grad():
        made.head.bias[:BINS].zero_()
        if log_noise is not None:
            made.head.bias[2 * BINS :] = log_noise
    return made


def model(**settings: object) -> Vocoder:
    torch.manual_seed(0)
    made = Vocoder(VocoderConfig(mel=MEL_16KHZ, decoder=SourcedConfig(**{**SMALL, **settings}))).eval()
    torch.nn.init.normal_(made.decoder.head.weight, std=0.1)
    torch.nn.init.normal_(made.decoder.pitch_predictor.to_pitch.weight, std=0.1)
    return made


def voice(seconds: float = 1.0) -> torch.Tensor:
    """Harmonics of a gliding pitch, 140 Hz at first."""
    time = torch.arange(int(seconds * 16000)) / 16000
    phase = 2 * torch.pi * (140 * time + 20 * time**2)
    return sum(torch.sin(k * phase) / k for k in range(1, 20))[None] * 0.1


def glide(frames: int) -> Pitch:
    """The pitch of `voice`."""
    centre = (torch.arange(frames)[None] + 0.5) * 256 / 16000
    return Pitch((140 + 40 * centre).log(), torch.ones_like(centre))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_tract_has_the_phase_of_a_minimum_phase_filter() -> None:
    """A resonance r e^(±ja): its cepstrum is 2 r^k cos(ak) / k, and its phase is known."""
    radius, angle = 0.8, 0.7
    made = decoder(envelope_quefrencies=200)
    delay = torch.exp(-1j * math.pi * torch.arange(BINS) / (BINS - 1))
    poles = (1 - radius * torch.exp(torch.tensor(1j * angle)) * delay) * (
        1 - radius * torch.exp(torch.tensor(-1j * angle)) * delay
    )
    response = 1 / poles
    found = made._tract(response.abs()[None, None].float())[0, 0]
    assert (found - response.angle()).abs().max() < 1e-3


@torch.no_grad()
def test_frames_agree_where_the_pitch_is_right() -> None:
    """Without training: of a recording's magnitudes and the source's phases most is left, a wrong pitch loses some."""
    real, lost = voice(), {}
    mel = MelSpectrogram(MEL_16KHZ)(real)
    for name, shift, noise in (("right", 0.0, NO_NOISE), ("wrong", 3.0, NO_NOISE), ("noise", 0.0, 6.0)):
        made = decoder(noise)
        magnitude = made.stft(real).abs()
        phase = made.spectrum(mel, None, glide(mel.shape[2]).shifted(shift), seeded()).phase
        heard = made.stft(made.render(Spectrum(magnitude, phase), 0)).abs()
        lost[name] = float((heard - magnitude).norm() / magnitude.norm())
    assert lost["right"] < 0.15
    assert lost["wrong"] > 0.3
    assert lost["noise"] > 0.3


def test_equal_draws_sound_equal_and_others_do_not() -> None:
    made, mel = model(), MelSpectrogram(MEL_16KHZ)(voice())
    one, same, other = (made.decoder(mel, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other, atol=1e-3)


def test_a_vocoder_always_draws_the_same_in_a_batch_too() -> None:
    made, mel = model(), MelSpectrogram(MEL_16KHZ)(voice())
    alone = made.vocode(mel)
    assert torch.equal(alone, made.vocode(mel, generator=seeded(2)))
    both = made.vocode(mel.expand(2, -1, -1))
    assert (both - alone).abs().max() < 1e-5


@pytest.mark.parametrize("sizes", [(12, 40), (7,), (200,)])
def test_chunks_are_the_whole(sizes: tuple[int, ...]) -> None:
    made = model()
    mel = made.front_end(voice(2.0))
    whole = made.vocode(mel)
    pieces = torch.cat(list(made.vocode_in_chunks(mel, sizes)), dim=1)
    assert (pieces - whole).abs().max() < 1e-5


def test_mels_that_come_block_by_block_sound_as_the_whole() -> None:
    made = model(refinements=1)
    mel = made.front_end(voice(3.0))
    whole = made.vocode(mel)
    blocks = made.vocode_blocks(mel.split(9, dim=2), mel.shape[2])
    assert (torch.cat(list(blocks), dim=1) - whole).abs().max() < 1e-5


def test_a_given_pitch_is_followed_in_pieces_too() -> None:
    made, mel = decoder(NO_NOISE), MelSpectrogram(MEL_16KHZ)(voice())
    frames = mel.shape[2]
    pitch, mask = glide(frames).shifted(2.0), torch.ones(1, 1, frames, dtype=torch.bool)
    sound = made.in_pieces(
        lambda start, stop: mel[:, :, start:stop],
        mask,
        shift_semitones=2.0,
        generator=seeded(),
        pitch=lambda start, stop: glide(frames).log_f0[:, start:stop],
    )
    pieces = torch.cat([sound(start, min(start + 20, frames)) for start in range(0, frames, 20)], dim=1)
    assert (pieces - made(mel, pitch=pitch, generator=seeded())[0]).abs().max() < 1e-5


def test_masked_frames_are_silent_and_change_nothing_before_them() -> None:
    made = model(refinements=1)
    mel = made.front_end(voice())
    padded = torch.cat([mel, torch.randn(1, 80, 20)], dim=2)
    mask = torch.arange(padded.shape[2])[None, None] < mel.shape[2]
    sound, alone = made.vocode(padded, mask), made.vocode(mel)
    assert sound[:, alone.shape[1] :].abs().max() == 0.0
    reach = 6 * 256  # windows that hang over the end
    assert (sound[:, : alone.shape[1] - reach] - alone[:, :-reach]).abs().max() < 1e-5


def batch() -> SpeechBatch:
    """Two recordings; of the second less than half is there."""
    wave, lengths = torch.cat([voice(), voice().flip(1)])[:, : 62 * 256], torch.tensor([62 * 256, 30 * 256])
    wave[torch.arange(wave.shape[1]) >= lengths[:, None]] = 0.0
    f0 = glide(62).log_f0.exp().repeat(2, 1)
    f0[:, ::7] = 0.0
    return SpeechBatch(("a", "b"), wave, lengths, torch.zeros(2, dtype=torch.long), f0=f0)


def test_everything_learns_with_frames_of_nothing_in_the_batch() -> None:
    made = model().train()
    weights = {"mel": 1.0, "stft": 1.0, "magnitude": 1.0, "pitch": 1.0, "voicing": 1.0}
    config = VocoderObjectiveConfig(
        slice_frames=40, slice_margin_frames=4, loss_weights=weights, adversarial_start=None
    )
    (update,) = VocoderObjective(made, config).updates(batch(), 0, seeded())
    update.total().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    assert made.decoder.head.weight.grad[BINS : 2 * BINS].abs().max() > 0  # turns
    assert made.decoder.head.weight.grad[2 * BINS :].abs().max() > 0  # noise


def test_the_pitch_is_learnt_with_the_magnitudes() -> None:
    made = model().train()
    weights = dict.fromkeys(("mel", "magnitude", "pitch", "voicing"), 1.0)
    config = VocoderObjectiveConfig(
        slice_frames=40, slice_margin_frames=4, loss_weights=weights, magnitude_steps=1, adversarial_start=None
    )
    (update,) = VocoderObjective(made, config).updates(batch(), 0, seeded())
    assert set(update.terms) == {"magnitude", "pitch", "voicing"}
    update.total().backward()
    bins = made.decoder.head.weight.grad.abs().amax(dim=1)
    assert bins[:BINS].max() > 0
    assert bins[BINS:].max() == 0  # no phase is made
    assert made.decoder.pitch_predictor.to_pitch.weight.grad.abs().max() > 0


def test_training_asks_for_the_pitch() -> None:
    needs = FAMILY.needs(
        VocoderConfig(decoder=SourcedConfig(**SMALL)),
        VocoderObjectiveConfig(pitch_method="fast", pitch_limits_hz=(60.0, 800.0)),
    )
    assert needs.f0
    assert needs.f0_method == "fast"
    assert needs.f0_limits_hz == (60.0, 800.0)
    assert not FAMILY.needs(VocoderConfig(), VocoderObjectiveConfig(pitch_method="fast")).f0


def test_statistics_of_mels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"decoder\.kind sourced.*leave standardize false"):
        VocoderConfig(decoder=SourcedConfig(), standardize=True)
