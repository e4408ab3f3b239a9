"""Conversion: a stream gives the whole, as late as it says; the key; both back ends; the phase of the excitation."""

import numpy as np
import pytest
import torch
from small_singers import small_model, sung

from moksori.models.contract import CanConvert, CanConvertInBlocks
from moksori.models.wavenet_autoencoder.conversion import Chunking, key_between
from moksori.models.wavenet_autoencoder.pitch import cycles, excitation, locked, standard_pitch
from moksori.nn.mulaw import encode_mu_law
from moksori.types import ConvertControls, LongRecording, PitchRange, SoundBatch, Voice

RATE = 8000


def recording_of(samples: np.ndarray, block: int) -> LongRecording:
    return LongRecording(len(samples), RATE, lambda: (samples[at : at + block] for at in range(0, len(samples), block)))


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    return sung([0], 10_000).waveform[0].numpy()[:9_937]


@pytest.mark.parametrize("overrides", [(), ("model.upsampling=linear", "model.pre_emphasis=0.8")], ids=str)
def test_blocks_of_any_size_give_the_whole(song, overrides) -> None:
    model, controls = small_model(*overrides), ConvertControls(shift_semitones=3.0)
    target = Voice("wavenet_autoencoder", 1)
    assert isinstance(model, CanConvert)
    assert isinstance(model, CanConvertInBlocks)
    sounds = SoundBatch(torch.from_numpy(song)[None], torch.tensor([len(song)]))
    whole = model.convert(sounds, target, None, controls, torch.Generator().manual_seed(1)).waveform
    assert whole.shape == (1, len(song))
    assert float(whole.std()) > 0.01
    for block in (333, 5_000):
        parts = model.convert_in_blocks(
            recording_of(song, block), target, None, controls, generator=torch.Generator().manual_seed(1)
        )
        assert torch.equal(torch.cat(list(parts), dim=1), whole)
    other = model.convert(sounds, target, None, controls, torch.Generator().manual_seed(2)).waveform
    assert not torch.equal(whole, other)


def test_it_is_as_late_as_it_says(song) -> None:
    model = small_model()
    stream = model.stream(Voice("wavenet_autoencoder", 0), ConvertControls(), torch.Generator().manual_seed(0))
    lateness, came, given = 0, 0, 0
    for at in range(0, len(song), 50):
        came += len(song[at : at + 50])
        lateness = max(lateness, came - given)  # a sample that has come and not left
        given += stream.push(song[at : at + 50]).shape[1]
    allowed = round(stream.delay_seconds * RATE)
    assert allowed - 50 <= lateness <= allowed + 50
    assert given + stream.finish().shape[1] == len(song)
    causal = Chunking.of(small_model("model.encoder.causal=true", "model.pitch=null"))
    assert causal.delay_samples == causal.samples


def test_what_it_remembers_does_not_grow(song) -> None:
    model = small_model()
    stream = model.stream(Voice("wavenet_autoencoder", 0), ConvertControls(), torch.Generator().manual_seed(0))
    kept = []
    for _ in range(12):  # a song of 15 s
        for at in range(0, len(song), 500):
            stream.push(song[at : at + 500])
        kept.append(sum(value.nbytes for value in vars(stream).values() if isinstance(value, np.ndarray)))
    chunking = stream.chunking
    most = chunking.delay_samples + chunking.before + chunking.pitch_margin + chunking.pool + 500
    assert 0 < max(kept) <= 4 * most


def test_what_follows_a_chunk_and_its_reach_does_not_matter(song) -> None:
    model, controls = small_model(), ConvertControls()
    chunking = Chunking.of(model)
    changed = song.copy()
    changed[chunking.delay_samples :] *= -0.5
    sounds = [SoundBatch(torch.from_numpy(x)[None], torch.tensor([len(x)])) for x in (song, changed)]
    one, two = (
        model.convert(x, Voice("wavenet_autoencoder"), None, controls, torch.Generator().manual_seed(0)).waveform
        for x in sounds
    )
    assert torch.equal(one[:, : chunking.samples], two[:, : chunking.samples])
    assert not torch.equal(one, two)


def test_the_numba_step_and_the_queue_sing_the_same() -> None:
    model, batch = small_model(), sung([0, 1], 400)
    codes, vector = model.encode(batch.waveform).detach(), model.vectors(batch.speaker).detach()
    one, two = (
        model.decode(codes, vector, batch.f0, 0.9, torch.Generator().manual_seed(3), backend)
        for backend in ("eager", "numba")
    )
    assert float((one != two).float().mean()) < 0.01


def test_the_likeliest_samples_are_those_that_the_teacher_forced_pass_names() -> None:
    """No shift is lost between the pass that learns and the one that sings."""
    model, batch = small_model("model.pitch=null"), sung([1], 600)
    codes, vector = model.encode(batch.waveform).detach(), model.vectors(batch.speaker).detach()
    made = model.decode(codes, vector, None, 0.0, backend="eager")
    network = model.decoders[0]
    with torch.no_grad():
        outputs = network(encode_mu_law(made), model.condition(codes), vector)
    assert float((outputs.argmax(dim=1) == encode_mu_law(made)).float().mean()) > 0.99


def test_another_key_moves_the_excitation_by_as_much() -> None:
    f0 = torch.full((1, 200), 200.0)
    phase = cycles(f0 * 2 ** (7 / 12), 40, RATE)
    turns = torch.diff(phase[0]).remainder(1.0).sum()
    assert float(turns) == pytest.approx((200 * 40 - 1) * 200 * 2 ** (7 / 12) / RATE, rel=1e-6)
    halves = [cycles(f0[:, :70], 40, RATE)]
    halves.append(cycles(f0[:, 70:], 40, RATE, halves[0][:, -1]))
    apart = torch.cat(halves, dim=1) - cycles(f0, 40, RATE)
    assert float((torch.cos(2 * torch.pi * apart) - 1.0).abs().max()) < 1e-9


def test_the_locked_phase_runs_with_the_fundamental() -> None:
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    tone = torch.cos(2 * torch.pi * 220.0 * time + 1.3) + 0.5 * torch.cos(2 * torch.pi * 440.0 * time)
    f0 = torch.full((1, 200), 219.0)  # a hertz off, as trackers are
    phase = locked(cycles(f0, 40, RATE), tone[None], torch.ones(1, RATE), RATE)
    wanted = torch.cos(2 * torch.pi * 220.0 * time + 1.3)
    found = excitation(phase, f0, 40, RATE)[0, 0]
    inner = slice(800, -800)
    assert float(np.corrcoef(found[inner], wanted[inner])[0, 1]) > 0.995
    assert not bool(excitation(phase, torch.zeros(1, 200), 40, RATE).any())


def test_harmonics_stand_at_multiples_of_the_pitch_and_below_half_the_rate() -> None:
    f0 = torch.tensor([[500.0] * 100 + [0.0] * 100])
    waves = excitation(cycles(f0, 40, RATE), f0, 40, RATE, harmonics=10)[0]
    assert waves.shape == (20, 8000)
    assert not bool(waves[:, 4000:].any())
    assert torch.equal(waves[:2], excitation(cycles(f0, 40, RATE), f0, 40, RATE)[0])
    loudest = torch.fft.rfft(waves[:, :4000].double()).abs().argmax(dim=1) * RATE / 4000
    below = [order * 500 for order in range(1, 11) if order * 500 < RATE / 2]
    assert loudest[: 2 * len(below)].tolist() == [hertz for hertz in below for _ in range(2)]
    assert not bool(waves[2 * len(below) :].any())


def test_the_automatic_key_goes_from_the_songs_middle_to_the_singers(song) -> None:
    model = small_model()
    high = Voice("wavenet_autoencoder", 1, pitch=PitchRange(float(np.log(400.0)), 0.2))
    heard = np.median(np.log(sung([0], 10_000).f0[0].numpy()))
    assert model.auto_key(recording_of(song, 700), high) == round(12 * (np.log(400.0) - heard) / np.log(2))
    assert model.auto_key(recording_of(np.zeros(8000, np.float32), 700), high) is None
    assert model.auto_key(recording_of(song, 700), Voice("wavenet_autoencoder", 1)) is None
    assert key_between(PitchRange(4.0, 0.1), PitchRange(8.0, 0.1)) == 24


def test_unvoiced_frames_have_no_height() -> None:
    height, voiced = standard_pitch(torch.tensor([[0.0, 200.0]]))
    assert height[0].tolist() == pytest.approx([0.0, (np.log(200.0) - 5.3) / 0.45], abs=1e-5)
    assert voiced[0].tolist() == [0.0, 1.0]


def test_a_voice_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="has 3 numbers, expected 9"):
        small_model().stream(Voice("wavenet_autoencoder", vector=torch.zeros(3), name="x"), ConvertControls())
