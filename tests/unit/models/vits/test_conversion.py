"""Conversion: copy-synthesis where nobody changes, blocks like the whole, padding unheard, pitch where it belongs."""

import numpy as np
import pytest
import torch
from test_streaming import DECODERS, SPEAKERS, lively
from tiny_model import HIFIGAN, HOMOMORPHIC, ISTFT, generator, model

from moksori.models.contract import CanConvert, CanConvertInBlocks, CanTellSpeakers
from moksori.models.decoders import decoders
from moksori.models.decoders.pitch import PitchPredictor
from moksori.models.decoders.progressive import Progressive
from moksori.models.vits import conversion
from moksori.models.vits.model import Vits
from moksori.nn.flows import CouplingFlow
from moksori.types import ConvertControls, LongRecording, PitchRange, SoundBatch, Voice

HOP = 256
LOW = Voice("vits", 0, "low", pitch=PitchRange(4.7, 0.2))
HIGH = Voice("vits", 1, "high", pitch=PitchRange(5.4, 0.3))
TOLERANCE = 1e-5


def talk(samples: int, seed: int = 1) -> torch.Tensor:
    """A glide with overtones that comes and goes, and noise."""
    time = torch.arange(samples) / 22050
    phase = 2 * torch.pi * (150 * time + 20 * torch.sin(2.0 * time))
    harmonics = sum(torch.sin(k * phase) / k for k in range(1, 8))
    noise = torch.randn(samples, generator=generator(seed))
    return (0.1 * harmonics * (1 + torch.sin(9 * time)) + 0.02 * noise)[None]


def sounds(waveform: torch.Tensor, *lengths: int) -> SoundBatch:
    return SoundBatch(waveform, torch.tensor(lengths or [waveform.shape[1]]))


def recording(waveform: torch.Tensor, block: int = 5000) -> LongRecording:
    samples = waveform[0].numpy()
    return LongRecording(len(samples), 22050, lambda: iter(np.split(samples, range(block, len(samples), block))))


def two_speakers(decoder: str = HOMOMORPHIC) -> Vits:
    made = lively(decoder, *SPEAKERS)
    if isinstance(made.decoder, decoders.HifiganDecoder):
        with torch.no_grad():
            made.decoder.generator.output.weight.mul_(0.1)  # with speakers it would be all at full scale
    return made


def in_blocks(made: Vits, waveform: torch.Tensor, block: int, controls: ConvertControls, seed: int = 3) -> torch.Tensor:
    blocks = made.convert_in_blocks(recording(waveform), HIGH, LOW, controls, block, generator(seed))
    return torch.cat(list(blocks), dim=1)


def test_vits_converts_in_blocks_and_tells_speakers() -> None:
    made = model(ISTFT)
    assert isinstance(made, CanConvert)
    assert isinstance(made, CanConvertInBlocks)
    assert isinstance(made, CanTellSpeakers)
    with pytest.raises(ValueError, match="a source is needed"):
        made.convert(sounds(talk(1000)), HIGH, None, ConvertControls())


@pytest.mark.parametrize("decoder", DECODERS)
def test_with_the_same_speaker_it_is_copy_synthesis(decoder: str) -> None:
    made, waveform = two_speakers(DECODERS[decoder]), talk(70 * HOP)
    speaker = torch.tensor([HIGH.speaker])
    for variation in (0.0, 1.0):
        copy = made.reconstruct(waveform, speaker, generator(3), temperature=variation)
        controls = ConvertControls(variation=variation)
        converted = made.convert(sounds(waveform), HIGH, HIGH, controls, generator(3)).waveform
        assert float(copy.abs().max()) > 0.03
        assert float((converted - copy).abs().max()) < TOLERANCE
    other = made.convert(sounds(waveform), HIGH, LOW, controls, generator(3)).waveform
    assert float((other - copy).abs().max()) > 100 * TOLERANCE


@pytest.mark.parametrize("decoder", DECODERS)
def test_blocks_are_like_the_whole(decoder: str) -> None:
    made, waveform = two_speakers(DECODERS[decoder]), talk(150 * HOP + 77)
    controls = ConvertControls(variation=0.8, shift_semitones=2.0)
    whole = made.convert(sounds(waveform), HIGH, LOW, controls, generator(3)).waveform
    assert whole.shape == waveform.shape
    for block in (7, 33, 400):
        pieces = in_blocks(made, waveform, block, controls)
        assert pieces.shape == whole.shape
        assert float((pieces - whole).abs().max()) < TOLERANCE, block


@pytest.mark.parametrize("decoder", [HOMOMORPHIC, ISTFT], ids=["homomorphic", "istft"])
def test_long_ones_keep_little_and_are_still_like_the_whole(decoder: str, monkeypatch) -> None:
    """Noise comes in many stretches here, and most of what was made is dropped on the way."""
    monkeypatch.setattr(conversion, "NOISE_STRETCH_FRAMES", 128)
    monkeypatch.setattr(conversion, "MEASURED_FRAMES", 40)
    monkeypatch.setattr(decoders, "NOISE_STRETCH_SAMPLES", 16384)
    made, waveform = two_speakers(decoder), talk(900 * HOP - 100)
    kept: list[int] = []
    keep = Progressive._keep

    def watched(self: Progressive, new: torch.Tensor) -> None:
        keep(self, new)
        kept.append(self._made.shape[-1] // self._samples)

    whole = made.convert(sounds(waveform), HIGH, LOW, ConvertControls(variation=0.8), generator(3)).waveform
    monkeypatch.setattr(Progressive, "_keep", watched)
    pieces = in_blocks(made, waveform, 30, ConvertControls(variation=0.8))
    assert float((pieces - whole).abs().max()) < TOLERANCE
    assert max(kept) < 450


@pytest.mark.parametrize("part", ["posterior", "flow", "pitch"])
def test_less_context_is_heard(part: str, monkeypatch) -> None:
    made, waveform, controls = two_speakers(), talk(120 * HOP), ConvertControls(variation=0.0)
    whole = made.convert(sounds(waveform), HIGH, LOW, controls, generator(3)).waveform
    if part == "posterior":
        made.posterior_encoder.context = 0
    else:
        owner, name = {"flow": (CouplingFlow, "context_steps"), "pitch": (PitchPredictor, "context_frames")}[part]
        monkeypatch.setattr(owner, name, property(lambda self: 0))
    assert float((in_blocks(made, waveform, 7, controls) - whole).abs().max()) > TOLERANCE


@pytest.mark.parametrize("decoder", [HIFIGAN, ISTFT], ids=["hifigan", "istft"])
def test_neither_padding_nor_company_is_heard(decoder: str) -> None:
    made, controls = two_speakers(decoder), ConvertControls(variation=0.0)
    long, short = talk(90 * HOP), talk(51 * HOP + 13, seed=2)
    batch = torch.cat([long, torch.nn.functional.pad(short, (0, long.shape[1] - short.shape[1]), value=0.7)])
    together = made.convert(sounds(batch, long.shape[1], short.shape[1]), HIGH, LOW, controls, generator(3))
    assert together.waveform_lengths.tolist() == [long.shape[1], short.shape[1]]
    assert not together.waveform[1, short.shape[1] :].any()
    for row, alone in enumerate((long, short)):
        single = made.convert(sounds(alone), HIGH, LOW, controls, generator(3)).waveform[0]
        end = len(single) - (2 * HOP if decoder == ISTFT else 0)  # see Decoder.forward: its last frames overlap
        assert float((together.waveform[row, :end] - single[:end]).abs().max()) < TOLERANCE


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 1000])
def test_any_length_comes_back(samples: int) -> None:
    made = two_speakers(ISTFT)
    whole = made.convert(sounds(talk(samples)), HIGH, LOW, ConvertControls(), generator(3)).waveform
    assert whole.shape == (1, samples)
    assert bool(whole.isfinite().all())
    assert float((in_blocks(made, talk(samples), 2, ConvertControls()) - whole).abs().max()) < TOLERANCE


def test_equal_seeds_repeat_it_and_all_noise_is_drawn_before_the_first_block() -> None:
    made, waveform = two_speakers(), talk(60 * HOP)
    first, second, third = (in_blocks(made, waveform, 20, ConvertControls(), seed) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    draws = [generator(5), generator(5)]
    next(iter(made.convert_in_blocks(recording(waveform), HIGH, LOW, ConvertControls(), 20, draws[0])))
    made.convert(sounds(waveform), HIGH, LOW, ConvertControls(), draws[1])
    assert torch.equal(*(torch.rand(3, generator=draw) for draw in draws))


# ---- pitch ----


def course(made: Vits, waveform: torch.Tensor, source: Voice, target: Voice) -> conversion._Course:
    spectrogram = made.spectrogram(waveform)
    mask = torch.ones(1, 1, spectrogram.shape[2], dtype=torch.bool)
    return conversion._Course(made, lambda: lambda start, stop: spectrogram[..., start:stop], mask, source, target)


@torch.inference_mode()
def melodies(made: Vits, waveform: torch.Tensor, source: Voice, target: Voice) -> tuple[torch.Tensor, torch.Tensor]:
    """ln F0 as the flow moves it, and as it is moved after that."""
    way = course(made, waveform, source, target)
    total = way.mask.shape[2]
    z = way._changed(lambda a, b: made.posterior(way.spectrogram()(a, b), way.mask[..., a:b], way.before).mean)
    by_flow = made.decoder.pitch_predictor.predict(z(0, total), way.mask, way.after).log_f0[0]
    pitch = way._pitch(z)
    assert pitch is not None
    return by_flow, pitch(0, total)[0]


def voiced(made: Vits, log_f0: float) -> Vits:
    """The model with all frames voiced, around a pitch."""
    with torch.no_grad():
        made.decoder.pitch_predictor.to_pitch.bias.copy_(torch.tensor([log_f0, 9.0]))
    return made


def test_the_melody_is_moved_to_the_target_as_a_whole(monkeypatch) -> None:
    monkeypatch.setattr(conversion, "UNMOVED_SECONDS", 1e-6)
    wide = Voice("vits", 1, pitch=PitchRange(5.4, 0.5))
    by_flow, moved = melodies(voiced(two_speakers(), 4.9), talk(200 * HOP), LOW, wide)
    assert float(by_flow.std()) > 0.005
    assert abs(float(by_flow.mean()) - 5.4) > 0.2
    assert float(moved.mean()) == pytest.approx(5.4, abs=1e-3)
    assert float((moved - moved.mean() - by_flow + by_flow.mean()).abs().max()) < 1e-4


def test_nobody_leaves_their_range(monkeypatch) -> None:
    monkeypatch.setattr(conversion, "UNMOVED_SECONDS", 1e-6)
    narrow = Voice("vits", 1, pitch=PitchRange(5.4, 0.002))
    by_flow, moved = melodies(voiced(two_speakers(), 4.9), talk(200 * HOP), LOW, narrow)
    assert float((by_flow - by_flow.mean()).abs().max()) > 0.008
    assert float((moved - 5.4).abs().max()) == pytest.approx(0.008, abs=1e-4)


def test_a_word_is_moved_only_in_part() -> None:
    by_flow, moved = melodies(voiced(two_speakers(), 4.9), talk(20 * HOP), LOW, HIGH)
    share = 20 / (20 + conversion.UNMOVED_SECONDS * 22050 / HOP)
    assert float((moved - by_flow).mean()) == pytest.approx(share * float(HIGH.pitch.mean - by_flow.mean()), abs=1e-3)


def test_without_ranges_or_a_pitch_the_flow_alone_moves_it() -> None:
    plain = Voice("vits", 1)
    assert course(two_speakers(), talk(20 * HOP), LOW, plain)._pitch(None) is None
    assert course(two_speakers(ISTFT), talk(20 * HOP), LOW, HIGH)._pitch(None) is None
    made, waveform, controls = two_speakers(), talk(40 * HOP), ConvertControls(variation=0.0)
    by_flow = made.convert(sounds(waveform), plain, LOW, controls, generator(3)).waveform
    by_range = made.convert(sounds(waveform), HIGH, LOW, controls, generator(3)).waveform
    assert float((by_flow - by_range).abs().max()) > 0.01


# ---- who speaks ----


def test_distances_are_the_energy_of_what_the_flow_leaves() -> None:
    made = two_speakers(ISTFT)
    long, short = talk(60 * HOP), talk(31 * HOP, seed=2)
    batch = torch.cat([long, torch.nn.functional.pad(short, (0, long.shape[1] - short.shape[1]), value=0.4)])
    found = made.speaker_distances(sounds(batch, long.shape[1], short.shape[1]))
    assert found.shape == (2, 2)
    for row, alone in enumerate((long, short)):
        mask = torch.ones(1, 1, alone.shape[1] // HOP, dtype=torch.bool)
        for speaker in range(2):
            condition = made.condition(torch.tensor([speaker]))
            with torch.inference_mode():
                z = made.posterior(made.spectrogram(alone), mask, condition).mean
                energy = made.flow(z, mask, condition).square().mean()
            assert float(found[row, speaker]) == pytest.approx(float(energy), rel=1e-4)


def test_dropped_frames_are_told() -> None:
    made = Progressive(lambda start, stop: torch.arange(start, stop)[None], 0, 100, history=10)
    assert made(0, 30).tolist() == [list(range(30))]
    assert made(35, 40).tolist() == [list(range(35, 40))]
    assert made(22, 40).tolist() == [list(range(22, 40))]
    made(40, 60)
    with pytest.raises(ValueError, match="frames from 20 on: only those from"):
        made(20, 22)
