"""Streaming: the same samples whatever the chunks, and contexts that are neither too small nor guessed."""

import pytest
import torch
from tiny_model import HIFIGAN, HOMOMORPHIC, ISTFT, generator, model, text

from moksori.models.contract import CanStream
from moksori.models.decoders.decoders import HifiganDecoder, HomomorphicDecoder
from moksori.models.decoders.pitch import Pitch, PitchPredictor
from moksori.models.decoders.progressive import Progressive, chunks, with_context
from moksori.models.vits.model import Vits
from moksori.models.vits.prior import FramePrior
from moksori.nn.convnext import ConvNeXtStack
from moksori.nn.flows import CouplingFlow
from moksori.nn.hifigan import HifiGanGenerator
from moksori.pipeline.say import SayOptions, Speaker, load, readings
from moksori.pipeline.speaker import Line
from moksori.types import SayControls, SpokenBlocks, TextBatch

DOUBLE = (
    "model.decoder={kind: hifigan, channels: 16, rates: [8, 8, 2, 2], kernel_sizes: [16, 16, 4, 4], "
    "residual_kernel_sizes: [3, 5], residual_dilations: [[1, 3], [1, 3]], residual_kind: 1}"
)
ROUGH = "model.decoder.rate=1"  # one filter a frame
DECODERS = {"hifigan": DOUBLE, "single": HIFIGAN, "istft": ISTFT, "homomorphic": HOMOMORPHIC, "rate 1": ROUGH}
SPEAKERS = ("model.num_speakers=2", "model.speaker_channels=8")
TOLERANCE = 1e-5


def lively(*assignments: str) -> Vits:
    """A model in which no layer is left at zero, so that everything that is computed is heard."""
    made = model(*assignments)
    draw = generator(11)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "cepstrum" not in name:
                parameter.add_(0.08 * torch.randn(parameter.shape, generator=draw))
        made.deterministic_duration.projection.bias.fill_(2.4)
        if isinstance(made.decoder, HomomorphicDecoder):
            made.decoder.pitch_predictor.to_pitch.bias.copy_(torch.tensor([5.0, 0.0]))
            made.decoder.pulse_filter.cepstrum.bias[0] = -1.0  # as loud as speech
            made.decoder.noise_filter.cepstrum.bias[0] = -2.0
        if isinstance(made.decoder, HifiganDecoder):
            made.decoder.generator.output.weight.mul_(20.0)
    return made


@pytest.fixture(scope="module")
def bundled() -> Speaker:
    return load("kathleen")


def spoken_in_pieces(made: Vits, sizes: tuple[int, ...], batch: TextBatch, controls: SayControls) -> SpokenBlocks:
    stream = made.stream(batch, controls, sizes, generator(5))
    return SpokenBlocks(list(stream.blocks), stream.waveform_lengths, stream.durations)


@pytest.mark.parametrize("speakers", [(), SPEAKERS], ids=["one speaker", "two"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_chunks_make_no_difference(decoder: str, speakers: tuple[str, ...]) -> None:
    made = lively(DECODERS[decoder], *speakers)
    controls = SayControls(variation=0.8)
    for tokens, frames, settings in ((10, 50, ((1,), (7,))), (50, 250, ((32,), (160,), (12, 64, 160), (9999,)))):
        batch = text(tokens)
        if speakers:
            batch = TextBatch(batch.tokens, batch.stress, batch.token_lengths, torch.tensor([1]))
        whole = made.say(batch, controls, generator(5))
        assert int(whole.durations.sum()) > frames
        assert float(whole.waveform.abs().max()) > 0.03
        for sizes in settings:
            stream = spoken_in_pieces(made, sizes, batch, controls)
            assert torch.equal(stream.durations, whole.durations)
            assert torch.equal(stream.waveform_lengths, whole.waveform_lengths)
            assert len(stream.blocks) == 1 or stream.blocks[0].shape[1] == sizes[0] * 256
            stitched = torch.cat(stream.blocks, dim=1)
            assert stitched.shape == whole.waveform.shape
            error = float((stitched - whole.waveform).abs().max())
            assert error < TOLERANCE, sizes


TEXTS = (
    "Yes.",
    "The river had risen in the night, and the lower fields were under water as far as the church.",
)


@pytest.mark.parametrize("sizes", [(1,), (33,), (12, 64, 160), (160,)], ids=str)
@pytest.mark.parametrize("words", TEXTS, ids=["short", "long"])
def test_chunks_make_no_difference_to_the_bundled_voice(bundled: Speaker, words: str, sizes: tuple[int, ...]) -> None:
    """Its pulses' phase adds up the pitch of all frames before: that must come out the same to the last bit."""
    if words == TEXTS[1] and sizes == (1,):
        sizes = (1, 2, 3, 40)

    def line() -> Line:
        return next(bundled.lines(readings(words), SayOptions(pause_seconds=0.0), 3))

    made = bundled.model
    assert isinstance(made, Vits)
    first, second = line(), line()
    whole = made.say(first.batch, first.controls, first.generator).waveform
    blocks = list(made.stream(second.batch, second.controls, sizes, second.generator).blocks)
    assert blocks[0].shape[1] == sizes[0] * made.hop_length or len(blocks) == 1
    assert float((torch.cat(blocks, dim=1) - whole).abs().max()) < TOLERANCE


@pytest.mark.parametrize("part", ["prior", "flow", "pitch", "body", "filters"])
def test_less_context_is_heard(part: str, monkeypatch) -> None:
    made = lively(HOMOMORPHIC)
    assert made.decoder.context_frames == made.decoder.body.context_steps + made.decoder._filter_context
    batch, controls = text(30), SayControls()
    whole = made.say(batch, controls, generator(5)).waveform
    owner, name = {
        "prior": (FramePrior, "context_frames"),
        "flow": (CouplingFlow, "context_steps"),
        "pitch": (PitchPredictor, "context_frames"),
        "body": (ConvNeXtStack, "context_steps"),
        "filters": (HomomorphicDecoder, "_filter_context"),
    }[part]
    true = getattr(owner, name).fget
    monkeypatch.setattr(owner, name, property(lambda self: true(self) // 3))  # the stack's: body, fine body and pitch
    stitched = torch.cat(spoken_in_pieces(made, (7,), batch, controls).blocks, dim=1)
    assert float((stitched - whole).abs().max()) > TOLERANCE


def test_a_batch_streams_like_a_batch_and_a_shift_of_pitch_is_kept() -> None:
    made = lively(HOMOMORPHIC)
    base = text(14, 2)
    batch = TextBatch(base.tokens, base.stress, torch.tensor([14, 8]), base.speaker)
    for controls in (SayControls(), SayControls(shift_semitones=4.0)):
        whole = made.say(batch, controls, generator(5))
        stream = spoken_in_pieces(made, (5,), batch, controls)
        assert torch.equal(stream.waveform_lengths, whole.waveform_lengths)
        assert float((torch.cat(stream.blocks, dim=1) - whole.waveform).abs().max()) < TOLERANCE


def test_all_noise_is_drawn_before_the_first_block() -> None:
    """Two streams can share a generator, and what is drawn after a stream does not depend on how far it was read."""
    made = lively(HOMOMORPHIC)
    draw, other = generator(5), generator(5)
    made.stream(text(12), SayControls(), (4,), draw)  # not read at all
    made.say(text(12), SayControls(), other)
    assert torch.equal(torch.rand(3, generator=draw), torch.rand(3, generator=other))


def test_vits_can_stream() -> None:
    assert isinstance(model(ISTFT), CanStream)
    with pytest.raises(ValueError, match="all positive"):
        next(iter(model(ISTFT).stream(text(), SayControls(), (8, 0)).blocks))


# ---- receptive fields ----


def reach(compute, source: torch.Tensor, place: int, samples: int) -> int:
    """Frames on each side of frame `place` of `source` [batch, channels, frames] that a change there is seen in."""
    changed = source.clone()
    changed[..., place] += 5.0 * torch.randn(source.shape[:2], generator=generator(9), dtype=source.dtype)
    with torch.inference_mode():
        difference = (compute(source) != compute(changed)).reshape(-1, source.shape[2], samples).any(dim=2).any(dim=0)
    seen = difference.nonzero()[:, 0]
    return max(place - int(seen.min()), int(seen.max()) - place)


@pytest.mark.parametrize("decoder", DECODERS)
def test_decoders_know_how_far_they_look(decoder: str) -> None:
    made = lively(DECODERS[decoder]).decoder
    frames, place = 161, 80
    z = torch.randn(1, 16, frames, generator=generator(1))
    pitch = Pitch(torch.full((1, frames), 5.0), torch.ones(1, frames)) if made.takes_pitch else None
    measured = reach(lambda z: made(z, None, None, pitch, generator=generator(2)), z, place, 256)
    assert made.context_frames - 1 <= measured <= made.context_frames


def test_flow_and_pitch_know_how_far_they_look() -> None:
    made = lively(HOMOMORPHIC)
    frames, place = 161, 80
    z, mask = torch.randn(1, 16, frames, generator=generator(1)), torch.ones(1, 1, frames, dtype=torch.bool)
    flow = reach(lambda z: made.flow.inverse(z, mask).sum(dim=1, keepdim=True), z, place, 1)
    assert flow == made.flow.context_steps
    predictor = made.decoder.pitch_predictor
    pitch = reach(lambda z: predictor.predict(z, mask).log_f0.unsqueeze(1), z, place, 1)
    assert pitch == predictor.context_frames


@pytest.mark.parametrize(
    ("settings", "frames"),
    [
        ({}, 13),  # HiFi-GAN V1, specification 4.8: 13 frames each side
        (
            {
                "upsample_rates": (8, 8, 4),
                "upsample_kernels": (16, 16, 8),
                "residual_kernels": (3, 5, 7),
                "residual_dilations": ((1, 2), (2, 6), (3, 12)),
                "block": "single",
            },
            11,  # Piper's low and medium
        ),
    ],
)
def test_published_decoders_look_as_far_as_published(settings: dict, frames: int) -> None:
    torch.manual_seed(0)
    made = HifiGanGenerator(4, 16, **settings).double().eval()  # the outermost influence is faint
    assert made.context_steps == frames
    z = torch.randn(1, 4, 61, generator=generator(1), dtype=torch.float64)
    assert reach(made, z, 30, made.hop_length) == frames


# ---- sequences made in pieces ----


def test_progressive_makes_each_frame_once_and_only_what_is_asked_for() -> None:
    source, asked = torch.arange(40.0), []

    def smooth(start: int, stop: int) -> torch.Tensor:
        asked.append((start, stop))
        padded = torch.nn.functional.pad(source[start:stop], (2, 2))
        return padded.unfold(0, 5, 1).sum(dim=1).unsqueeze(0)

    whole = smooth(0, 40)[0]
    asked.clear()
    made = Progressive(smooth, 2, 40)
    assert torch.equal(made(3, 6)[0], whole[3:6])
    assert torch.equal(made(1, 5)[0], whole[1:5])
    assert torch.equal(made(4, 38)[0], whole[4:38])  # from here the end is in view: all the rest is made
    assert torch.equal(made(30, 40)[0], whole[30:40])
    assert asked == [(0, 8), (4, 40)]
    assert torch.equal(with_context(smooth, 2, 20, 25, 40)[0], whole[20:25])


@pytest.mark.parametrize(("total", "sizes"), [(1, (5,)), (100, (1,)), (100, (7, 30)), (161, (12, 64, 160)), (3, (2,))])
def test_chunks_cover_all_frames(total: int, sizes: tuple[int, ...]) -> None:
    spans = list(chunks(total, sizes))
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
    assert spans[-1][1] == total
    for (start, stop), size in zip(spans[:-1], (*sizes, *[sizes[-1]] * total), strict=False):
        assert stop - start == size
    last = sizes[min(len(spans), len(sizes)) - 1]
    assert spans[-1][1] - spans[-1][0] <= last + last // 2
