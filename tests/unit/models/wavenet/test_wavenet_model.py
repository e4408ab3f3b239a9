"""WaveNet as a vocoder and as a source of sound: blocks, conditions, coding, and which of the two a model is."""

from functools import cache
from typing import Any

import pytest
import torch

from moksori.errors import ConfigError
from moksori.models.contract import CanDraw, CanReconstruct, CanVocode
from moksori.models.decoders.progressive import with_context
from moksori.models.wavenet import Wavenet
from moksori.models.wavenet.network import FinerSteps
from moksori.nn.mulaw import encode_mu_law
from moksori.pipeline.run_config import run_config

HOP = 128


@cache
def tiny(*overrides: str) -> Wavenet:
    """With random weights, louder where they decide, so that codes and mels matter."""
    config = run_config("wavenet/tiny", overrides)
    torch.manual_seed(0)
    model = config.family.model(config.model).eval()
    assert isinstance(model, Wavenet)
    with torch.no_grad():
        model.network.head_out.weight.mul_(6.0)
        model.network.stack.condition.projection.weight.mul_(4.0) if model.conditioner is not None else None
    return model


FREE = ("model.mel=null", "model.standardize=false")
LOGISTICS = ("model.coding={kind: logistics, mixtures: 3}",)


def mels(frames: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 40, frames, generator=torch.Generator().manual_seed(3)) - 4.0


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("overrides", [(), LOGISTICS, ("model.quiet_temperature=0.3", "model.quiet_level=-4.0")])
def test_blocks_of_any_size_sound_as_the_whole(overrides: tuple[str, ...]) -> None:
    model, mel = tiny(*overrides), mels(90)
    whole = model.vocode(mel, None, seeded())
    assert whole.shape == (1, 90 * HOP)
    assert float(whole.std()) > 1e-3
    for size in (7, 90):
        blocks = list(model.vocode_blocks(mel.split(size, dim=2), 90, seeded()))
        torch.testing.assert_close(torch.cat(blocks, dim=1), whole, atol=1e-5, rtol=0)
    assert not torch.equal(model.vocode(mel, None, seeded(2)), whole)


def test_an_end_that_nobody_knew_of_sounds_as_one_that_was_known_and_sound_leaves_as_soon_as_it_can() -> None:
    model, mel = tiny(), mels(40)
    reach, came, left = model.look_ahead_frames, 0, 0
    assert reach > 0

    def coming():
        nonlocal came
        for block in mel.split(5, dim=2):
            came += block.shape[2]
            yield block

    parts = []
    for block in model.vocode_blocks(coming(), None, seeded()):
        parts.append(block)
        left += block.shape[1] // HOP
        assert came == 40 or came - left == reach
    torch.testing.assert_close(torch.cat(parts, dim=1), model.vocode(mel, None, seeded()), atol=1e-5, rtol=0)
    assert list(model.vocode_blocks([], None)) == []
    with pytest.raises(ValueError, match="40 frames came, 60 were announced"):
        list(model.vocode_blocks([mel], 60))


def test_recordings_side_by_side_and_what_is_beyond_their_ends() -> None:
    model, mel = tiny(), mels(12, batch=5)
    mask = torch.arange(12)[None, None] < torch.tensor([12, 9, 12, 3, 1])[:, None, None]
    sound = model.vocode(mel, mask, seeded())
    assert [int(row.nonzero().max()) // HOP + 1 for row in sound] == [12, 9, 12, 3, 1]
    assert not torch.equal(sound[0], sound[2])
    assert model.reconstruct(torch.randn(2, 10 * HOP) * 0.1, torch.zeros(2, dtype=torch.int64)).shape == (2, 10 * HOP)


def test_folded_it_is_as_long_and_as_loud_and_a_short_mel_is_not_folded() -> None:
    model, mel = tiny("model.quiet_temperature=0.7", "model.quiet_level=-4.0"), mels(140)
    whole, folded = model.vocode(mel, None, seeded()), model.vocode_folded(mel, 8, seeded())
    assert folded.shape == whole.shape
    assert not torch.equal(folded, whole)
    level = 10 * torch.log10(folded.square().mean() / whole.square().mean())
    assert abs(float(level)) < 1.0
    short = model.vocode_folded(mel[..., :6], 8, seeded())
    torch.testing.assert_close(short, model.vocode(mel[..., :6], None, seeded()), atol=1e-5, rtol=0)


@pytest.mark.parametrize("overrides", [(), ("model.quiet_temperature=0.7", "model.network.head_condition=true")])
def test_conditions_are_projected_some_at_a_time_and_the_sound_is_the_same(
    overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, mel = tiny(*overrides), mels(140)
    whole, folded = tried.vocode(mel, None, seeded()), tried.vocode_folded(mel, 8, seeded())
    seen: list[int] = []
    conditions = tried.network.conditions

    def counted(*given: Any) -> Any:
        found = conditions(*given)
        parts = [part for part in (found.gates, found.head) if part is not None]
        seen.append(4 * sum(part.numel() for part in parts))
        return found

    monkeypatch.setattr(tried.network, "conditions", counted)
    frame = 4 * tried.config.condition.steps * tried.network.projected_channels
    monkeypatch.setattr("moksori.models.wavenet.model.CONDITION_BYTES", 16 * frame)
    torch.testing.assert_close(tried.vocode(mel, None, seeded()), whole, atol=1e-5, rtol=0)
    blocks = list(tried.vocode_blocks(mel.split(50, dim=2), 140, seeded()))
    torch.testing.assert_close(torch.cat(blocks, dim=1), whole, atol=1e-5, rtol=0)
    assert max(seen) <= 1.5 * 16 * frame  # a rest of less than half a chunk is joined to the chunk before it
    assert len(seen) > 15
    seen.clear()
    torch.testing.assert_close(tried.vocode_folded(mel, 8, seeded()), folded, atol=1e-5, rtol=0)
    assert max(seen) == 16 * frame
    assert len(seen) > 10


@torch.no_grad()
def test_conditions_are_made_of_the_frames_around_and_no_others() -> None:
    model, mel = tiny("model.condition.rates=[2, 4, 4]"), mels(40)
    whole, steps = model.condition(mel), model.config.condition.steps
    assert whole.shape == (1, 16, 40 * steps)
    reach = model.look_ahead_frames
    piece = with_context(lambda start, stop: model.condition(mel[..., start:stop]), reach, 11, 19, 40)
    torch.testing.assert_close(piece, whole[..., 11 * steps : 19 * steps], atol=1e-5, rtol=0)
    less = with_context(lambda start, stop: model.condition(mel[..., start:stop]), reach - 1, 11, 19, 40)
    assert not torch.allclose(less, whole[..., 11 * steps : 19 * steps], atol=1e-5)


@torch.no_grad()
def test_finer_steps_begin_as_straight_lines() -> None:
    line = torch.arange(8.0)[None, None]
    found = FinerSteps(1, 4)(line)[0, 0]
    expected = ((torch.arange(32) + 0.5) / 4 - 0.5).clamp(0.0, 7.0)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("overrides", [(), LOGISTICS])
def test_what_is_coded_comes_back(overrides: tuple[str, ...]) -> None:
    model = tiny(*overrides)
    time = torch.arange(4000) / 8000
    sound = (0.3 * torch.sin(2 * torch.pi * 300 * time))[None]
    coded = model.coded(sound)
    assert coded.is_floating_point() is bool(overrides)
    torch.testing.assert_close(model.decoded(coded), sound, atol=0.02 if not overrides else 1e-5, rtol=0)
    first, second = model.decoded(coded[:, :1500]), None
    second = model.decoded(coded[:, 1500:], first[:, -1:])
    torch.testing.assert_close(torch.cat([first, second], dim=1), model.decoded(coded), atol=1e-5, rtol=0)
    plain = tiny("model.pre_emphasis=0")
    assert torch.equal(plain.coded(sound), encode_mu_law(sound))
    # What pre-emphasis is for: less of the coding's noise above 2 kHz.
    noise = [(m.decoded(m.coded(sound)) - sound)[0] for m in (tiny(), plain)]
    high = [float(torch.fft.rfft(n)[1000:].abs().square().sum()) for n in noise]
    assert high[0] < 0.5 * high[1]


def test_a_model_is_a_vocoder_or_draws_of_nothing() -> None:
    vocoder, free = tiny(), tiny(*FREE)
    assert isinstance(vocoder, CanVocode) and not isinstance(vocoder, CanDraw)  # noqa: PT018
    assert isinstance(free, CanDraw) and not isinstance(free, CanVocode)  # noqa: PT018
    assert isinstance(vocoder, CanReconstruct)
    assert vocoder.mel_config.n_mels == 40
    assert free.sample_rate == 8000


def test_sound_of_nothing_follows_from_the_seed() -> None:
    model = tiny(*FREE)

    def drawn(samples: int, temperature: float | None = None, seed: int = 1) -> torch.Tensor:
        return torch.cat(list(model.draw_blocks(samples, temperature, seeded(seed))), dim=1)

    whole = drawn(20_000)
    assert whole.shape == (1, 20_000)
    assert torch.equal(drawn(5000), whole[:, :5000])
    assert not torch.equal(drawn(5000, seed=2), whole[:, :5000])
    assert torch.equal(drawn(3000, 0.0), drawn(3000, 0.0, seed=2))
    assert not torch.equal(drawn(3000, 0.5), whole[:, :3000])


def test_quiet_frames_are_drawn_at_their_own_temperature() -> None:
    model = tiny("model.quiet_temperature=0", "model.quiet_level=-6.0")
    mel = torch.full((1, 40, 30), -4.0)
    mel[..., 10:20] = -8.0
    one, two = (model.network.levels * model.vocode(mel, None, seeded(seed))[0] for seed in (1, 2))
    assert not torch.equal(one[: 10 * HOP], two[: 10 * HOP])
    quiet = [model.coded(model.vocode(mel[..., 10:20], None, seeded(seed))) for seed in (1, 2)]
    assert torch.equal(quiet[0], quiet[1])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.sample_rate=16000"], "sample_rate 16000 and mel.sample_rate 8000 differ"),
        (["model.condition.rates=[6]"], "mel.hop_length 128 is no multiple"),
        (["model.condition.rates=[3]"], "each must be even"),
        (["model.condition.kernel_size=4"], "kernel_size 4 is even"),
        (["model.condition.num_layers=0"], "condition.channels 16 must be mel.n_mels 40"),
        (["model.mel=null"], "leave out standardize"),
        (["objective.loss_weights={nats: 1, mel: 1}"], "the one loss here is nats"),
        (["model.network.layer=3"], "did you mean 'layers'"),
    ],
)
def test_settings_that_do_not_fit_are_told(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_config("wavenet/tiny", overrides)


@pytest.mark.parametrize(("preset", "field"), [("base", 505), ("compact", 2047), ("unconditional", 5147)])
def test_presets_hear_as_far_as_they_say(preset: str, field: int) -> None:
    config: Any = run_config(f"wavenet/{preset}")
    with torch.device("meta"):
        model = config.family.model(config.model)
    assert model.network.receptive_field == config.model.network.receptive_field == field
