"""The decoder that takes magnitudes from the mel and refines phases."""

import pytest
import torch

from moksori.audio.mel import MEL_16KHZ, MelSpectrogram
from moksori.errors import ConfigError
from moksori.models.decoders.config import RefinedConfig
from moksori.models.decoders.refined import RefinedDecoder, Spectrum
from moksori.models.vocoder import VocoderConfig
from moksori.models.vocoder.config import VocoderObjectiveConfig
from moksori.models.vocoder.model import Vocoder
from moksori.models.vocoder.objective import VocoderObjective

SMALL = {"channels": 16, "inner_channels": 32, "num_layers": 1}


def decoder(**settings: object) -> RefinedDecoder:
    torch.manual_seed(0)
    return RefinedDecoder(RefinedConfig(**{**SMALL, **settings}), MEL_16KHZ).eval()


def voice(seconds: float = 1.0) -> torch.Tensor:
    """Harmonics of a gliding pitch."""
    time = torch.arange(int(seconds * 16000)) / 16000
    phase = 2 * torch.pi * (140 * time + 20 * time**2)
    return sum(torch.sin(k * phase) / k for k in range(1, 20))[None] * 0.1


def test_magnitudes_start_from_what_the_mel_holds() -> None:
    made = decoder()
    torch.nn.init.zeros_(made.head.weight)
    torch.nn.init.zeros_(made.head.bias)
    mel = MelSpectrogram(MEL_16KHZ)(voice())
    spectrum = made.spectrum(mel)
    back = MelSpectrogram(MEL_16KHZ).from_linear(spectrum.magnitude)
    loud = mel > mel.max() - 3
    assert (back - mel)[loud].abs().median() < 0.05  # the cut at LEAST_MAGNITUDE lifts what lies between harmonics
    assert torch.equal(spectrum.phase, torch.zeros_like(spectrum.phase))


@pytest.mark.parametrize("damping", [0.0, 0.3])
@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_refining_brings_the_sound_nearer_to_the_magnitudes(momentum: float, damping: float) -> None:
    made = decoder(momentum=momentum, damping=damping)
    magnitude = made.stft(voice()).abs()
    phase = 2 * torch.pi * torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(1))
    far = []
    for steps in (0, 4, 16):
        made.refinements = steps
        sound = made.render(Spectrum(magnitude, phase))
        far.append(float((made.stft(sound).abs() - magnitude).norm() / magnitude.norm()))
    assert far[1] < 0.7 * far[0]
    assert far[2] < far[1]


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_a_sound_whose_frames_agree_stays_as_it_is(damping: float) -> None:
    made, sound = decoder(refinements=3, damping=damping), voice()
    spectrum = made.stft(sound)
    found = made.render(Spectrum(spectrum.abs(), spectrum.angle()))
    inside = slice(2048, found.shape[1] - 2048)
    torch.testing.assert_close(found[:, inside], sound[:, inside], atol=1e-4, rtol=0.0)


def test_damping_keeps_last_digits_from_growing() -> None:
    """Frames of chance agree on nothing, so that bins next to nothing are everywhere."""
    draw = torch.Generator().manual_seed(2)
    magnitude = torch.rand(1, 513, 60, generator=draw, dtype=torch.float64)
    phase = 2 * torch.pi * torch.rand(magnitude.shape, generator=draw, dtype=torch.float64)
    nudged = phase + 1e-6 * torch.randn(magnitude.shape, generator=draw, dtype=torch.float64)
    grown = []
    for damping in (0.0, 0.3):
        made = decoder(refinements=12, damping=damping).double()
        one, other = (made.render(Spectrum(magnitude, phi)) for phi in (phase, nudged))
        grown.append(float((one - other).abs().max() / one.abs().max()))
    assert grown[1] < 0.2 * grown[0]


def test_gradients_reach_magnitudes_and_phases_through_the_steps() -> None:
    made = decoder(refinements=3)
    made.forward(MelSpectrogram(MEL_16KHZ)(voice(0.3))).square().sum().backward()
    bins = MEL_16KHZ.n_fft // 2 + 1
    assert made.head.weight.grad is not None
    assert made.head.weight.grad.isfinite().all()
    assert made.head.weight.grad[:bins].abs().max() > 0
    assert made.head.weight.grad[bins:].abs().max() > 0


def test_chunks_are_the_whole() -> None:
    torch.manual_seed(0)
    model = Vocoder(VocoderConfig(mel=MEL_16KHZ, decoder=RefinedConfig(**SMALL, refinements=3))).eval()
    mel = model.front_end(voice(2.0))
    whole = model.vocode(mel)
    for sizes in ((12, 40), (7,), (200,)):
        pieces = torch.cat(list(model.vocode_in_chunks(mel, sizes)), dim=1)
        assert (pieces - whole).abs().max() < 1e-5


def test_masked_frames_are_silent_and_change_nothing_before_them() -> None:
    torch.manual_seed(0)
    model = Vocoder(VocoderConfig(mel=MEL_16KHZ, decoder=RefinedConfig(**SMALL, refinements=1))).eval()
    mel = model.front_end(voice(1.0))
    padded = torch.cat([mel, torch.randn(1, 80, 20)], dim=2)
    mask = torch.arange(padded.shape[2])[None, None] < mel.shape[2]
    sound, alone = model.vocode(padded, mask), model.vocode(mel)
    assert sound[:, alone.shape[1] :].abs().max() == 0.0
    reach = 6 * 256  # windows that hang over the end
    assert (sound[:, : alone.shape[1] - reach] - alone[:, :-reach]).abs().max() < 1e-5


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="leave standardize false"):
        VocoderConfig(decoder=RefinedConfig(), standardize=True)
    plain = Vocoder(VocoderConfig(decoder={"kind": "istft", "channels": 16, "inner_channels": 16, "num_layers": 1}))
    with pytest.raises(ConfigError, match=r"decoder\.kind refined"):
        VocoderObjective(plain, VocoderObjectiveConfig(adversarial_start=None, magnitude_steps=3))
