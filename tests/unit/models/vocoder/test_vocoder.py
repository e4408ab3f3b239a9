"""Vocoders: their slices, masks and chunks, and what training compares."""

from dataclasses import replace

import pytest
import torch

from moksori.corpus.synthetic import synthetic_examples
from moksori.models.decoders.config import HifiganConfig, HomomorphicConfig, IstftConfig
from moksori.models.vocoder import Vocoder, VocoderConfig, VocoderObjective, VocoderObjectiveConfig
from moksori.nn.discriminators import AveragedScaleDiscriminator
from moksori.nn.masks import sequence_mask
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.run_config import run_config
from moksori.types import SpeechBatch, SpeechNeeds

DECODERS = {
    "istft": IstftConfig(channels=32, inner_channels=64, num_layers=2),
    "hifigan": HifiganConfig(channels=32),
    "homomorphic": HomomorphicConfig(
        channels=32, inner_channels=64, num_layers=2, fine_channels=16, fine_inner_channels=32, fine_layers=1,
        pitch_channels=16, pitch_layers=1,
    ),
}  # fmt: skip
KINDS = sorted(DECODERS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vocoder(kind: str, **changes: object) -> Vocoder:
    torch.manual_seed(0)
    return Vocoder(VocoderConfig(decoder=DECODERS[kind]).model_copy(update=changes)).eval()


def mels(frames: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 80, frames, generator=seeded()) - 5.0


def speech(count: int = 3) -> SpeechBatch:
    needs = SpeechNeeds(22050, 256, tokens=False, f0=True)
    return fixed_batches(synthetic_examples(needs, count, seed=0), needs, count)[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 9, 100])
def test_a_frame_is_a_hop_of_samples(kind: str, frames: int) -> None:
    sound = vocoder(kind).vocode(mels(frames, 2), generator=seeded())
    assert sound.shape == (2, frames * 256)
    assert bool(sound.isfinite().all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(1,), (3, 7, 40), (1000,)])
def test_chunks_are_the_whole(kind: str, sizes: tuple[int, ...]) -> None:
    made, mel = vocoder(kind), mels(90)
    whole = made.vocode(mel)
    parts = torch.cat(list(made.vocode_in_chunks(mel, sizes)), dim=1)
    assert parts.shape == whole.shape
    assert float((parts - whole).abs().max()) <= 1e-5 * max(1.0, float(whole.abs().max()))


@pytest.mark.parametrize("kind", ["hifigan", "istft"])
def test_padding_is_silent_and_changes_nothing_before_the_last_overlap(kind: str) -> None:
    made, mel = vocoder(kind), mels(60, 2)
    mel[1, :, 41:] = 9.0
    both = made.vocode(mel, sequence_mask(torch.tensor([60, 41])))
    alone = made.vocode(mel[1:, :, :41])
    inside = 38 * 256
    torch.testing.assert_close(both[1:, :inside], alone[:, :inside], atol=1e-5, rtol=1e-4)
    assert both[1, 41 * 256 :].abs().max() == 0.0


def objective(kind: str = "istft", standardize: bool = True, **changes: object) -> VocoderObjective:
    config = VocoderObjectiveConfig(
        slice_frames=20, slice_margin_frames=3, adversarial_start=None, loss_weights={"mel": 1.0, "stft": 1.0}
    )
    return VocoderObjective(vocoder(kind, standardize=standardize), config.model_copy(update=changes))


def test_a_slice_is_what_the_recording_has_there() -> None:
    made, batch = objective(), speech()
    start = torch.tensor([0, 5, 17])
    cut = made._slice(batch, start)
    mel = made.model.front_end(batch.waveform)
    for item, first in enumerate(start.tolist()):
        torch.testing.assert_close(cut.real[item], batch.waveform[item, first * 256 : (first + 20) * 256])
        inner = mel[item, :, first : first + 20]
        borders = 2 if first == 0 else 0  # where the whole recording's mel is reflected
        torch.testing.assert_close(cut.mel[item, :, 3 + borders : 23], inner[:, borders:], atol=1e-4, rtol=0)
    assert cut.mask[0, 0, :4].tolist() == [False, False, False, True]
    assert bool(cut.mask[1].all())


def test_a_recording_shorter_than_a_slice_ends_in_silence() -> None:
    made, batch = objective(), speech(1)
    short = SpeechBatch(("a",), batch.waveform[:, : 8 * 256], torch.tensor([8 * 256]), torch.tensor([0]))
    cut = made._slice(short, torch.tensor([0]))
    assert int(cut.mask.sum()) == 8
    assert cut.real[0, 8 * 256 :].abs().max() == 0.0
    assert made._rendered(cut, seeded()).sound[0, 8 * 256 :].abs().max() == 0.0


def test_blurred_mels_are_smoother_and_not_all_of_them() -> None:
    batch = speech()
    made = objective()
    start = torch.tensor([4, 4, 4])
    one, two = made._slice(batch, start).mel, made._slice(batch, start, blurred=0.34).mel
    assert not torch.equal(one[0], two[0])
    assert torch.equal(one[1:], two[1:])
    assert two[0].diff(dim=1).abs().mean() < 0.8 * one[0].diff(dim=1).abs().mean()


def test_another_model_s_mels_lie_where_the_recording_s_do() -> None:
    made, batch = objective(), speech()
    frames = int(batch.waveform_lengths.max()) // 256
    counted = torch.arange(frames).float().expand(3, 80, -1) + 1000.0 * torch.arange(3)[:, None, None]
    start = torch.tensor([0, 5, 17])
    with_mels = replace(batch, mel=counted)
    cut, own = made._slice(with_mels, start, made=0.67, blurred=1.0), made._slice(batch, start)
    for item in (0, 1):
        places = torch.arange(int(start[item]) - 3, int(start[item]) + 23).clamp(min=0)
        assert torch.equal(cut.mel[item], (places + 1000.0 * item).expand(80, -1))
    assert cut.mel[2].diff(dim=1).abs().mean() < 0.8 * own.mel[2].diff(dim=1).abs().mean()  # its own, blurred
    assert torch.equal(cut.real, own.real)
    assert torch.equal(made._slice(with_mels, start).mel, own.mel)
    assert torch.equal(made._slice(batch, start, made=1.0).mel, own.mel)


def test_validation_vocodes_the_other_model_s_mels() -> None:
    made, batch = objective(), speech()
    frames = int(batch.waveform_lengths.max()) // 256
    own = made.model.front_end(batch.waveform)
    silent = torch.full((3, 80, frames), -11.0)
    one, same, other = (made.validate(b)["total"] for b in (batch, replace(batch, mel=own), replace(batch, mel=silent)))
    assert float(same) == pytest.approx(float(one), rel=1e-2)
    assert abs(float(other) - float(one)) > 0.02 * float(one)


def test_the_adversaries_come_in_turn() -> None:
    config = run_config("vocoder/tiny", ["objective.adversarial_start=2", "objective.head_start_steps=3"])
    torch.manual_seed(0)
    made = config.family.objective(config.family.model(config.model), config.objective)
    needs = config.family.needs(config.model, config.objective)
    batch = fixed_batches(synthetic_examples(needs, 2, seed=0), needs, 2)[0]

    def names(step: int) -> list[tuple[str, bool]]:
        return [(u.optimizer, "adversarial" in u.weights) for u in made.updates(batch, step, seeded())]

    assert names(1) == [("model", False)]
    assert names(2) == [("discriminator", False), ("model", False)]
    assert names(5) == [("discriminator", False), ("model", True)]


def test_a_source_follows_the_pitch_of_the_recording() -> None:
    weights = {"mel": 1.0, "pitch": 1.0, "voicing": 1.0}
    made = objective("homomorphic", loss_weights=weights)
    (update,) = made.updates(speech(), 0, seeded())
    assert {"pitch", "voicing"} <= set(update.terms)
    update.total().backward()
    predictor = made.model.decoder.pitch_predictor
    assert isinstance(predictor, torch.nn.Module)
    assert any(p.grad is not None and bool(p.grad.any()) for p in predictor.parameters())


def test_published_discriminators() -> None:
    """Kong et al. 2020: three scales of 9.87 M weights each, the later two on averages of 2 and 4 samples."""
    first, third = AveragedScaleDiscriminator(0, normalization="spectral"), AveragedScaleDiscriminator(2)
    assert sum(p.numel() for p in first.parameters()) == pytest.approx(9.87e6, rel=5e-3)
    sound = torch.randn(2, 8192, generator=seeded())
    assert first(sound).score.shape[1] == pytest.approx(4 * third(sound).score.shape[1], abs=4)
    assert len(first(sound).features) == 8
