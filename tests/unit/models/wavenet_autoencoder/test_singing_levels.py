"""How loud what is drawn may be: as the source is where nothing is voiced."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from small_singers import small_model

from moksori.errors import ConfigError
from moksori.models.wavenet_autoencoder.config import PitchConfig
from moksori.models.wavenet_autoencoder.levels import Rest, source_levels
from moksori.types import ConvertControls, SoundBatch, Voice

HOP, FRAMES = 40, 60
CONFIG = PitchConfig(hop_length=HOP, excitation=True, partials=8, rest=0.25, over_source=1.5)


def test_the_level_of_a_frame_is_that_of_the_loudest_near_it() -> None:
    samples = np.zeros(20 * HOP, np.float32)
    samples[10 * HOP : 11 * HOP] = 0.5
    levels = source_levels(samples, 0, 20, HOP, 0.0)
    assert levels == pytest.approx([0.5 if 8 <= frame <= 12 else 0.0 for frame in range(20)])
    parts = [source_levels(samples, at * HOP, 5, HOP, 0.9) for at in (0, 5, 10, 15)]
    assert np.array_equal(np.concatenate(parts), source_levels(samples, 0, 20, HOP, 0.9))


@pytest.mark.parametrize("start", [-3 * HOP, 18 * HOP])
def test_beyond_a_recording_there_is_silence(start: int) -> None:
    levels = source_levels(np.ones(20 * HOP, np.float32), start, 6, HOP, 0.0)
    assert levels.shape == (6,)
    assert set(levels.tolist()) == {0.0, 1.0}


def test_noise_is_held_to_the_source_where_nothing_is_voiced_and_to_its_share_elsewhere() -> None:
    drawn = 0.4 * torch.randn(1, FRAMES * HOP, generator=torch.Generator().manual_seed(0))
    f0 = torch.zeros(1, FRAMES)
    f0[:, 40:] = 200.0
    source = torch.full((1, FRAMES), 0.02)
    source[:, 20:40] = 1.0  # louder than what is drawn, which stays as it is
    factor = Rest(CONFIG)(drawn, f0, source)[0]
    quiet = (factor * drawn[0])[2 * HOP : 20 * HOP].square().mean().sqrt()
    assert float(quiet) == pytest.approx(1.5 * 0.02, rel=0.1)
    assert torch.equal(factor[21 * HOP : 40 * HOP], torch.ones(19 * HOP))
    assert factor[41 * HOP :].tolist() == pytest.approx([0.25] * 19 * HOP)
    assert float(factor[40 * HOP : 41 * HOP].diff().max()) <= 0.0


def test_it_goes_on_from_block_to_block() -> None:
    drawn = torch.randn(1, FRAMES * HOP, generator=torch.Generator().manual_seed(1))
    f0 = torch.zeros(1, FRAMES)
    f0[:, 10:20] = 150.0
    source = torch.rand(1, FRAMES, generator=torch.Generator().manual_seed(2))
    whole, rest = Rest(CONFIG)(drawn, f0, source), Rest(CONFIG)
    cuts = [0, 1, 7, 31, FRAMES]
    parts = [rest(drawn[:, a * HOP : b * HOP], f0[:, a:b], source[:, a:b]) for a, b in pairwise(cuts)]
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_a_silent_source_gives_silence() -> None:
    model = small_model("model.pitch.harmonics=3", "model.pitch.partials=24", "model.pitch.over_source=1.4")
    silence = SoundBatch(torch.zeros(1, 8_000), torch.tensor([8_000]))
    made = model.convert(silence, Voice("wavenet_autoencoder", 1), None, ConvertControls(), torch.Generator())
    assert float(made.waveform.abs().max()) < 1e-4


def test_it_needs_partials() -> None:
    with pytest.raises(ConfigError, match="over_source"):
        small_model("model.pitch.over_source=1.4")
