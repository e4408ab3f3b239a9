"""Pitch beside the latents: what the decoder is told of it, and how conversion moves it."""

import pytest
import torch

from moksori.audio.harmonics import HIGHEST_LOG_F0, LOWEST_LOG_F0, STEPS, pulse_train_mels
from moksori.audio.mel import MEL_16KHZ, MelSpectrogram
from moksori.models.decoders.pitch import Pitch
from moksori.models.dsvae import FAMILY, Dsvae, DsvaeConfig, DsvaeObjective, DsvaeObjectiveConfig
from moksori.models.dsvae.config import (
    ConvolutionalContentConfig,
    ConvolutionalDecoderConfig,
    PitchConfig,
    SharedEncoderConfig,
    SpeakerPosteriorConfig,
)
from moksori.models.dsvae.harmonics import mean_pitch
from moksori.types import SpeechBatch

SMALL = DsvaeConfig(
    speaker_channels=8,
    content_channels=4,
    shared=SharedEncoderConfig(channels=16, num_layers=1),
    speaker=SpeakerPosteriorConfig(hidden_channels=8, num_layers=1),
    content=ConvolutionalContentConfig(channels=16, inner_channels=32, num_layers=1),
    decoder=ConvolutionalDecoderConfig(channels=16, inner_channels=32, num_layers=1),
    pitch=PitchConfig(channels=8, num_layers=1),
)


def model() -> Dsvae:
    torch.manual_seed(0)
    return Dsvae(SMALL).eval()


def pulses(f0: float, seconds: float = 0.5) -> torch.Tensor:
    time = torch.arange(int(16000 * seconds)) / 16000
    return sum(torch.cos(2 * torch.pi * k * f0 * time) for k in range(1, int(8000 / f0)))[None] * 0.02


@pytest.mark.parametrize("f0", [80.0, 150.0, 320.0])
def test_the_table_is_what_pulses_look_like(f0: float) -> None:
    """A row is nearest to the mel of real pulses of its pitch, of all rows."""
    seen = MelSpectrogram(MEL_16KHZ)(pulses(f0))[0, :, 10:20].mean(dim=1)
    seen = (seen - seen.mean()) / seen.std()
    table = pulse_train_mels(MEL_16KHZ)
    alike = (table * seen).mean(dim=1)
    found = LOWEST_LOG_F0 + float(alike.argmax()) / (STEPS - 1) * (HIGHEST_LOG_F0 - LOWEST_LOG_F0)
    assert found == pytest.approx(torch.log(torch.tensor(f0)).item(), abs=0.03)
    assert alike.max() > 0.8


def test_a_higher_voice_raises_the_pitch_that_is_drawn_and_nothing_else() -> None:
    made, mel = model(), MelSpectrogram(MEL_16KHZ)(pulses(120.0))
    voice, content = made.voice(mel).mean.detach(), made.content(mel).mean.detach()
    assert voice.shape == (1, 9)
    assert content.shape == (1, mel.shape[2], 6)
    given: list[torch.Tensor] = []
    made.decoder.register_forward_pre_hook(lambda _, arguments: given.append(arguments[1]))
    made.decode(voice, content)
    made.decode(voice + torch.tensor([0.0] * 8 + [0.5]), content)
    height = [features[..., -2] for features in given]
    voicing = content[..., -1]
    assert torch.allclose(height[1] - height[0], 0.5 * voicing, atol=1e-5)
    assert torch.equal(given[0][..., :4], given[1][..., :4])


def test_the_mean_counts_voiced_frames_alone() -> None:
    pitch = Pitch(torch.tensor([[5.0, 6.0, 4.0, 4.4]]), torch.tensor([[1.0, 0.0, 1.0, 1.0]]))
    assert float(mean_pitch(pitch)) == pytest.approx((5.0 + 4.0 + 4.4) / 3)
    mask = torch.tensor([[[True, True, True, False]]])
    assert float(mean_pitch(pitch, mask)) == pytest.approx(4.5)
    assert float(mean_pitch(Pitch(pitch.log_f0, torch.zeros(1, 4)))) == pytest.approx(5.1)


def test_it_asks_for_pitch_and_learns_it() -> None:
    needs = FAMILY.needs(SMALL, DsvaeObjectiveConfig())
    assert (needs.f0, needs.f0_method) == (True, "fast")
    assert not FAMILY.needs(DsvaeConfig(), DsvaeObjectiveConfig()).f0
    objective = DsvaeObjective(model(), DsvaeObjectiveConfig(crop_frames=20))
    sound = torch.cat([pulses(110.0), pulses(220.0)])[:, : 31 * 256]
    f0 = torch.tensor([110.0, 220.0])[:, None].expand(2, 31)
    batch = SpeechBatch(("a", "b"), sound, torch.tensor([31 * 256] * 2), torch.tensor([0, 0]), f0=f0)
    objective.initialise([batch])
    optimizer = torch.optim.Adam(objective.model.parameters(), 5e-3)
    errors = []
    for step in range(60):
        update = next(iter(objective.updates(batch, step, torch.Generator().manual_seed(step))))
        optimizer.zero_grad()
        update.total().backward()
        optimizer.step()
        errors.append(float(update.terms["pitch"]))
    assert errors[-1] < 0.3 * errors[0]
    voices = objective.model.eval().speaker_vector(objective.model.mel(sound))
    assert float(voices[1, -1] - voices[0, -1]) == pytest.approx(0.693, abs=0.25)
