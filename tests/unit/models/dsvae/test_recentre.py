"""Conversions that give z_c the target's mean: over which frames, how much of it, by blocks, and off by default."""

from functools import cache

import pytest
import torch
from small_imitator import tiny_dsvae
from torch import Tensor

from moksori.corpus.synthetic import synthetic_examples
from moksori.models.dsvae import Dsvae, DsvaeObjective, DsvaeObjectiveConfig
from moksori.models.dsvae.conversion import ChunkedConversion, Chunking
from moksori.models.dsvae.recentre import LEAST_FRAMES, content_mean, moved
from moksori.pipeline.batches import fixed_batches
from moksori.types import SpeechBatch, SpeechNeeds

PITCH = "model.pitch={channels: 16, num_layers: 2}"


@cache
def model(pitch: bool = True) -> Dsvae:
    return tiny_dsvae(overrides=("model.recentre=true", *((PITCH,) if pitch else ())))


def mels(frames: int, seed: int = 5, batch: int = 1) -> Tensor:
    return torch.randn(batch, 80, frames, generator=torch.Generator().manual_seed(seed)) - 4.0


def test_the_mean_is_that_of_voiced_frames_or_of_all() -> None:
    content = torch.arange(12.0).view(1, 6, 2)
    voicing = torch.tensor([[0.9, 0.1, 0.9, 0.1, 0.9, 0.1]])
    assert content_mean(content, voicing).tolist() == [[4.0, 5.0]]
    assert content_mean(content, None).tolist() == [[5.0, 6.0]]
    assert content_mean(content, torch.zeros(1, 6)).tolist() == [[5.0, 6.0]]
    mask = torch.tensor([[[True, True, True, False, False, False]]])
    assert content_mean(content, voicing, mask).tolist() == [[2.0, 3.0]]
    assert content_mean(content, None, mask).tolist() == [[2.0, 3.0]]


def test_short_words_keep_most_of_their_own() -> None:
    own, target = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 2.0]])
    assert moved(own, torch.tensor([0.0]), target).tolist() == [[[0.0, 0.0]]]
    assert moved(own, torch.tensor([LEAST_FRAMES]), target).tolist() == [[[1.0, 0.0]]]
    assert float(moved(own, torch.tensor([10 * LEAST_FRAMES]), target)[0, 0, 0]) == pytest.approx(20 / 11)


@pytest.mark.parametrize("pitch", [False, True])
def test_the_decoder_is_given_the_targets_mean(pitch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made, source, target = model(pitch), mels(200), mels(300, seed=6)
    seen: list[Tensor] = []
    original = made.decode
    monkeypatch.setattr(made, "decode", lambda speaker, content, mask=None: seen.append(content) or original(
        speaker, content, mask
    ))  # fmt: skip
    voice = made.speaker_vector(target)
    assert voice.shape == (1, made.voice_channels) == (1, 16 + 8 + pitch)
    made.converted(source, voice)
    content = made.content(source).mean
    voicing = content[..., -1] if pitch else None
    counted = float((voicing > 0.5).sum()) if voicing is not None else 200.0
    own, wanted = content_mean(content[..., :8], voicing), made.voice_centre(voice)
    found = content_mean(seen[0][..., :8], voicing)
    share = counted / (counted + LEAST_FRAMES)
    torch.testing.assert_close(found, own + share * (wanted - own), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen[0][..., 8:], content[..., 8:])  # pitch and voicing are no content


def test_the_own_voice_changes_nothing() -> None:
    made, mel = model(), mels(200)
    own = made.speaker_vector(mel)
    torch.testing.assert_close(made.converted(mel, own), made.decode(own, made.content(mel).mean), atol=1e-5, rtol=1e-4)


def test_one_chunk_is_converted_as_a_whole_and_blocks_do_not_matter() -> None:
    made, mel, voice = model(), mels(137), model().speaker_vector(mels(100, seed=7))

    def pushed(chunking: Chunking, size: int) -> Tensor:
        conversion = ChunkedConversion(made, voice, chunking)
        with torch.inference_mode():
            return torch.cat([*(conversion.push(part) for part in mel.split(size, dim=2)), conversion.finish()], dim=2)

    torch.testing.assert_close(pushed(Chunking(0, 200, 50), 137), made.converted(mel, voice), atol=1e-4, rtol=0)
    short = Chunking(30, 20, 10)
    for size in (1, 7, 64):
        torch.testing.assert_close(pushed(short, size), pushed(short, 137), atol=1e-4, rtol=0)


def test_a_voice_of_nobody_has_the_mean_of_everybody() -> None:
    made = model()
    made.mean_content.copy_(torch.arange(8.0))
    drawn = made.draw_voice(0.5, 1.0, torch.Generator().manual_seed(0))
    assert drawn.shape == (made.voice_channels,)
    assert drawn[16:24].tolist() == list(range(8))
    made.mean_content.zero_()


def test_export_finds_the_mean_of_everybody() -> None:
    made = tiny_dsvae(overrides=("model.recentre=true", PITCH))
    objective = DsvaeObjective(made, DsvaeObjectiveConfig())
    objective.calibrate(made, [speech()])
    frames = speech().waveform_lengths // made.hop_length
    means = []
    for item, count in enumerate(frames.tolist()):
        means.append(made.voice_centre(made.speaker_vector(made.mel(speech().waveform[item : item + 1])[..., :count])))
    torch.testing.assert_close(made.mean_content, torch.cat(means).mean(dim=0), atol=1e-4, rtol=1e-3)


def test_it_is_off_where_nobody_asks_for_it() -> None:
    plain = tiny_dsvae()
    assert "mean_content" not in plain.state_dict()
    assert plain.voice_channels == 16


@cache
def speech() -> SpeechBatch:
    needs = SpeechNeeds(16000, 256, tokens=False, f0=True, f0_method="fast")
    return fixed_batches(synthetic_examples(needs, 4, seed=0, speakers=2), needs, 4)[0]
