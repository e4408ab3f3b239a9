"""Mels that come in blocks sound as the whole does, whatever the blocks, and in memory that does not grow."""

import pytest
import torch
from small_imitator import tiny_vocoder

from moksori.models.contract import CanVocode
from moksori.models.vocoder import model as vocoding

DECODERS = {
    "istft": (),
    "hifigan": (
        "model.decoder={kind: hifigan, channels: 16, rates: [8, 8, 2, 2], kernel_sizes: [16, 16, 4, 4], "
        "residual_kernel_sizes: [3], residual_dilations: [[1, 3]]}",
    ),
    "homomorphic": ("model.decoder={kind: homomorphic, channels: 32, inner_channels: 64, num_layers: 2}",),
    "sourced": ("model.decoder={kind: sourced, channels: 32, inner_channels: 64, num_layers: 2, pitch_layers: 1}",),
}


def mels(frames: int) -> torch.Tensor:
    return torch.randn(1, 80, frames, generator=torch.Generator().manual_seed(3)) - 4.0


@pytest.mark.parametrize("decoder", DECODERS)
def test_blocks_of_any_size_sound_as_the_whole(decoder: str, monkeypatch) -> None:
    monkeypatch.setattr(vocoding, "LONGEST_PIECE", 60)
    vocoder, frames = tiny_vocoder(overrides=DECODERS[decoder]), 190
    assert isinstance(vocoder, CanVocode)
    mel = mels(frames)
    whole = vocoder.vocode(mel, None, torch.Generator().manual_seed(1))
    assert whole.std() > 1e-4
    for size in (13, frames):
        blocks = vocoder.vocode_blocks(mel.split(size, dim=2), frames, torch.Generator().manual_seed(1))
        torch.testing.assert_close(torch.cat(list(blocks), dim=1), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("decoder", DECODERS)
def test_an_end_that_nobody_knew_of_sounds_as_one_that_was_known(decoder: str) -> None:
    vocoder, mel = tiny_vocoder(overrides=DECODERS[decoder]), mels(150)
    made = torch.cat(list(vocoder.vocode_blocks(mel.split(10, dim=2), None, torch.Generator().manual_seed(1))), dim=1)
    whole = vocoder.vocode(mel, None, torch.Generator().manual_seed(1))
    assert made.shape == whole.shape
    if decoder != "homomorphic":  # it draws other noise for a sequence without end
        torch.testing.assert_close(made, whole, atol=1e-5, rtol=0)
    assert list(vocoder.vocode_blocks([], None)) == []


def test_sound_leaves_when_what_it_depends_on_has_come() -> None:
    vocoder = tiny_vocoder()
    came = left = 0

    def coming():
        nonlocal came
        for block in mels(200).split(5, dim=2):
            came += block.shape[2]
            yield block

    for block in vocoder.vocode_blocks(coming(), None):
        left += block.shape[1] // 256
        assert came == 200 or came - left == vocoder.look_ahead_frames
    assert left == 200


def test_another_number_of_frames_than_announced_is_told() -> None:
    with pytest.raises(ValueError, match="100 frames came, 120 were announced"):
        list(tiny_vocoder().vocode_blocks(mels(100).split(30, dim=2), 120))
