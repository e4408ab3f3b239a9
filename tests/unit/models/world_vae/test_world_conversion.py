"""Conversion: a stream gives the whole, as late as it says; pitch, voices, and recordings that are none."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import configured, small_model

from moksori.audio.f0 import extract_f0
from moksori.corpus.synthetic import synthetic_examples
from moksori.errors import BadInput, MissingExtra, UnknownName, UnsupportedTask
from moksori.models.checkpoint import Manifest, load_model, save_model
from moksori.models.contract import CanConvert, CanConvertInBlocks, CanConvertLive, CanEncode, CanReconstruct, CanRemark
from moksori.models.world_vae import WorldVae
from moksori.models.world_vae.conversion import StreamConversion, source_range
from moksori.pipeline.convert import Converter, ConvertOptions
from moksori.types import ConvertControls, LongRecording, PitchRange, SoundBatch, SpeechNeeds, Voice, Waveform

pytest.importorskip("pyworld")
RATE = 16000
HIGH = PitchRange(float(np.log(220.0)), 0.05)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """1.6 s and some samples of tones at 120 Hz."""
    examples = synthetic_examples(SpeechNeeds(RATE, 80), 4, seed=1)
    return np.concatenate([example.waveform for example in examples])[:26_017]


def recording_of(samples: np.ndarray, block: int) -> LongRecording:
    return LongRecording(len(samples), RATE, lambda: (samples[at : at + block] for at in range(0, len(samples), block)))


def whole(model: WorldVae, samples: np.ndarray, target: Voice, controls: ConvertControls, seed: int = 1) -> np.ndarray:
    sounds = SoundBatch(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
    return model.convert(sounds, target, None, controls, torch.Generator().manual_seed(seed)).waveform[0].numpy()


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model.context_frames=3", "model.smoothing_frames=3", "model.variation=0.5", "model.pitch=true"),
        ("model.encoder=null", "model.post_filter=1.0"),
    ],
    ids=str,
)
def test_blocks_of_any_size_give_the_whole(speech: np.ndarray, overrides: tuple[str, ...]) -> None:
    model, controls = small_model(*overrides), ConvertControls(shift_semitones=2.0)
    target = Voice("world_vae", 1, pitch=HIGH)
    for contract in (CanConvert, CanConvertInBlocks, CanConvertLive, CanEncode, CanReconstruct, CanRemark):
        assert isinstance(model, contract)
    made = whole(model, speech, target, controls)
    assert made.shape == speech.shape
    assert bool(np.isfinite(made).all())
    for block in (777, 20_000):
        parts = model.convert_in_blocks(
            recording_of(speech, block), target, None, controls, generator=torch.Generator().manual_seed(1)
        )
        assert np.array_equal(torch.cat(list(parts), dim=1)[0].numpy(), made)
    assert not np.array_equal(whole(model, speech, target, controls, seed=2), made)  # its noise follows from the seed


def test_a_stream_is_as_late_as_it_says(speech: np.ndarray) -> None:
    model = small_model()
    given, late, came = 0, 0, 0
    stream = model.stream(Voice("world_vae", 0, pitch=HIGH), ConvertControls(), torch.Generator().manual_seed(0))
    blocks = []
    for at in range(0, len(speech), 80):
        block = speech[at : at + 80]
        came += len(block)
        late = max(late, came - given)  # a sample that has come and not left
        blocks.append(stream.push(block))
        given += blocks[-1].shape[1]
    blocks.append(stream.finish())
    assert late <= round(stream.delay_seconds * RATE) + 80
    assert late >= 0.9 * stream.delay_seconds * RATE
    assert sum(block.shape[1] for block in blocks) == len(speech)
    again = model.stream(Voice("world_vae", 0, pitch=HIGH), ConvertControls(), torch.Generator().manual_seed(0))
    at_once = torch.cat([again.push(speech), again.finish()], dim=1)
    assert torch.equal(torch.cat(blocks, dim=1), at_once)


def test_pitch_goes_to_where_the_target_speaks(speech: np.ndarray) -> None:
    model = small_model()

    def middle(target: Voice, controls: ConvertControls) -> float:
        made = whole(model, speech, target, controls)
        f0 = extract_f0(Waveform(made, RATE), 80, 71.0, 500.0, "dio")
        assert (f0 > 0).sum() > 50
        return float(np.median(f0[f0 > 0]))

    known, unknown = Voice("world_vae", 1, pitch=HIGH), Voice("world_vae", 1)
    assert middle(known, ConvertControls()) == pytest.approx(220.0, rel=0.05)
    assert middle(unknown, ConvertControls()) == pytest.approx(120.0, rel=0.05)
    assert middle(unknown, ConvertControls(shift_semitones=7.0)) == pytest.approx(120.0 * 2 ** (7 / 12), rel=0.05)
    heard = source_range(recording_of(speech, 999), model.config)
    assert heard is not None
    assert heard.mean == pytest.approx(np.log(120.0), abs=0.03)
    assert source_range(recording_of(np.zeros(8000, np.float32), 999), model.config) is None


def test_a_live_source_is_learnt_while_it_comes(speech: np.ndarray) -> None:
    """At first the source is taken to speak where the target does; then its own range moves it there."""
    long = np.tile(speech, 4)
    stream = small_model().stream(
        Voice("world_vae", 0, pitch=HIGH), ConvertControls(), torch.Generator().manual_seed(0)
    )
    made = torch.cat([stream.push(long), stream.finish()], dim=1)[0].numpy()
    f0 = extract_f0(Waveform(made, RATE), 80, 71.0, 500.0, "dio")
    last = f0[3 * len(f0) // 4 :]
    assert float(np.median(last[last > 0])) == pytest.approx(220.0, rel=0.08)


@pytest.mark.parametrize("kind", ["silence", "noise", "clipped", "short", "empty"])
def test_what_is_no_speech_is_converted_all_the_same(speech: np.ndarray, kind: str) -> None:
    sound = {
        "silence": np.zeros(12_000, np.float32),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(12_000).astype(np.float32),
        "clipped": np.clip(20.0 * speech[:12_000], -1.0, 1.0),
        "short": speech[2000:2050],
        "empty": speech[:0],
    }[kind]
    model, target = small_model(), Voice("world_vae", 0, pitch=HIGH)
    made = whole(model, sound, target, ConvertControls())
    assert made.shape == sound.shape
    assert bool(np.isfinite(made).all())
    if kind == "silence":
        assert float(np.abs(made).max()) < 1e-3
    if kind in ("silence", "noise"):
        remarks = model.remarks(Waveform(sound, RATE), Voice("world_vae", 0, "ada"))
        assert len(remarks) == 2
        assert "at what pitch 'ada' speaks is not known" in remarks[0]
        assert "next to nothing in it is voiced" in remarks[1]


def test_copies_and_codes(speech: np.ndarray) -> None:
    model = small_model()
    sound = torch.from_numpy(speech[:16_000])[None]
    copy = model.reconstruct(sound, torch.tensor([0]), torch.Generator().manual_seed(0))
    assert copy.shape == sound.shape
    f0 = extract_f0(Waveform(copy[0].numpy(), RATE), 80, 71.0, 500.0, "dio")
    assert float(np.median(f0[f0 > 0])) == pytest.approx(120.0, rel=0.05)  # its own pitch
    codes = model.encode(sound)
    assert codes.shape == (1, 8, 200)
    mean = model.codes(SoundBatch(sound, torch.tensor([16_000])))["content"]
    assert torch.allclose(mean, codes.mean(dim=2), atol=1e-5)


def test_other_voices_and_more_of_a_speaker_make_another_sound(speech: np.ndarray) -> None:
    model = small_model()
    one, other = (whole(model, speech, Voice("world_vae", k), ConvertControls()) for k in (0, 1))
    assert not np.allclose(one, other, atol=1e-3)
    still = whole(model, speech, Voice("world_vae", 0), ConvertControls(variation=0.0))
    assert np.array_equal(still, one)  # z's mean is the default
    moved = whole(model, speech, Voice("world_vae", 0), ConvertControls(variation=2.0))
    assert not np.allclose(moved, one, atol=1e-3)


def test_loudness_stays_the_sources_where_that_is_asked_for(speech: np.ndarray) -> None:
    """A model that makes shapes of any sum; a fifth of a second has the power that it had, within what pulses allow."""
    off = {}
    for kept in (False, True):
        model = small_model(f"model.keep_energy={kept}")
        with torch.no_grad():
            model.decoder.last.bias += 0.2  # three dB and more in every bin
        made = whole(model, speech, Voice("world_vae", 0), ConvertControls())
        power = [np.square(x[: len(x) // 3200 * 3200].reshape(-1, 3200)).mean(axis=1) for x in (made, speech)]
        loud = power[1] > 0.1 * power[1].max()
        off[kept] = float(np.abs(10 * np.log10(power[0][loud] / power[1][loud])).mean())
    assert off[True] < 2.5
    assert off[False] > off[True] + 2.0


def test_the_noise_of_a_frame_is_its_own(speech: np.ndarray) -> None:
    """Frames that two chunks need are given the same noise by both."""
    model = small_model("model.smoothing_frames=5")
    stream = StreamConversion(model, 0, None, None, ConvertControls(variation=1.0), generator=torch.Generator())
    first = stream._noise_at(np.arange(0, 12))
    second = stream._noise_at(np.arange(8, 20))
    assert torch.equal(first[8:], second[:4])


# ---- the road of the command line ----


@pytest.fixture
def converter(tmp_path: Path) -> Converter:
    config = configured()
    manifest = Manifest(
        family="world_vae", name="pair", model=config.model.model_dump(mode="json"), speakers=("ada", "bela"),
        speaker_pitch={"ada": (4.79, 0.05)}, sample_rate=RATE,
    )  # fmt: skip
    save_model(tmp_path / "pair", small_model(), manifest)
    return Converter(load_model(tmp_path / "pair"))


def test_it_converts_any_recording(converter: Converter, speech: np.ndarray) -> None:
    stereo = np.stack([speech, 0.5 * speech], axis=1)
    wide = np.repeat(stereo, 6, axis=0)  # 96 kHz
    found = converter.convert((wide, 96_000), speaker="ada", seed=1)
    assert found.sample_rate == RATE
    assert len(found.samples) == pytest.approx(len(speech), abs=2)
    assert converter.convert((wide, 96_000), speaker="ada", seed=1).samples.tolist() == found.samples.tolist()
    clipped = np.clip(8.0 * speech, -0.9, 0.9)
    notes = " ".join(converter.convert((clipped, RATE), speaker="bela", seed=1).notes)
    assert "is clipped" in notes
    assert "at what pitch 'bela' speaks is not known" in notes
    assert converter.convert((speech, RATE), speaker="ada", key=3.0, seed=1).samples.shape == speech.shape
    live = converter.live([speech], RATE, speaker="ada", seed=1)
    assert live.delay_seconds == pytest.approx(0.5 + 0.26 + 0.06 + 0.05, abs=0.05)
    assert sum(len(block) for block in live) == len(speech)


def test_without_pyworld_it_says_what_to_install(
    converter: Converter, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(MissingExtra, match="conversion frame by frame needs the package 'pyworld': pip install"):
        converter.convert((speech, RATE), speaker="ada")


def test_what_it_cannot_do_is_told(converter: Converter, speech: np.ndarray) -> None:
    with pytest.raises(UnknownName, match="did you mean 'ada'"):
        converter.convert((speech, RATE), speaker="adda")
    with pytest.raises(UnsupportedTask, match="nothing lies between the speakers"):
        converter.check(ConvertOptions(speaker="ada", strength=0.5))
    with pytest.raises(UnsupportedTask, match="knows no key"):
        converter.convert((speech, RATE), speaker="ada", key="auto")
    with pytest.raises(UnsupportedTask, match="imitates no voice of a recording"):
        converter.convert((speech, RATE), like=[(speech, RATE)])
    with pytest.raises(BadInput, match="silent"):
        converter.convert((np.zeros(16_000, np.float32), RATE), speaker="ada")
