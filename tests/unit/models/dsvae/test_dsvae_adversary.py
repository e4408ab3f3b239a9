"""The discriminator of D-DSVAE's mels: what it is told, whom it teaches, and when."""

from functools import cache

import pytest
import torch
from torch import Tensor

from moksori.corpus.synthetic import synthetic_examples
from moksori.models.contract import Update
from moksori.models.dsvae import Dsvae, DsvaeConfig, DsvaeObjective, DsvaeObjectiveConfig
from moksori.models.dsvae.adversary import Judged, discriminator_update, model_terms
from moksori.models.dsvae.config import AdversaryConfig, PitchConfig
from moksori.nn.discriminators import MelDiscriminator
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.run_config import run_config
from moksori.types import SpeechBatch, SpeechNeeds

BANDS, VOICE = 40, 16
CONFIG = AdversaryConfig(channels=(8, 8, 8), head_start_steps=2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def discriminator() -> MelDiscriminator:
    torch.manual_seed(0)
    return MelDiscriminator(CONFIG.channels, VOICE)


@cache
def speech() -> SpeechBatch:
    rate_and_hop = (16000, 256)
    needs = SpeechNeeds(*rate_and_hop, tokens=False, f0=True, f0_method="fast")
    return fixed_batches(synthetic_examples(needs, 4, seed=0, speakers=2), needs, 4)[0]


def objective(**changes: object) -> DsvaeObjective:
    settings = run_config("dsvae/tiny").model
    assert isinstance(settings, DsvaeConfig)
    torch.manual_seed(0)
    model = Dsvae(settings.model_copy(update={"pitch": PitchConfig(channels=16, num_layers=1)}))
    config = DsvaeObjectiveConfig.model_validate({"crop_frames": 32, "adversary": CONFIG.model_dump(), **changes})
    return DsvaeObjective(model, config)


def step(taught: DsvaeObjective, number: int) -> dict[str, Update]:
    return {update.optimizer: update for update in taught.updates(speech(), number, seeded())}


def judged(seed: int = 0) -> Judged:
    draw = seeded(seed)
    mels = [torch.randn(6, BANDS, 32, generator=draw) for _ in range(3)]
    voices = [torch.randn(6, VOICE, generator=draw) for _ in range(2)]
    return Judged(mels[0], mels[1].requires_grad_(), mels[2].requires_grad_(), *voices)


@pytest.mark.parametrize("frames", [1, 7, 100])
def test_the_score_of_every_place_depends_on_the_voice(frames: int) -> None:
    listens, mel = discriminator(), torch.randn(2, BANDS, frames, generator=seeded())
    with torch.no_grad():
        one, two = (listens(mel, torch.randn(2, VOICE, generator=seeded(k))).score for k in (1, 2))
    assert one.shape == (2, (BANDS // 8) * -(-frames // 4))
    assert bool((one != two).all())


def test_where_a_band_lies_matters() -> None:
    """Without the plane of places a shift by a whole stride would only shift the scores inside."""
    listens, voice = discriminator(), torch.zeros(1, VOICE)
    mel = torch.zeros(1, BANDS, 16)
    with torch.no_grad():
        inside = listens(mel, voice).score.view(5, 4)[1:4, 1:3]
    assert (inside[0] - inside[2]).abs().max() > 1e-3


def test_each_side_teaches_its_own_weights_alone() -> None:
    listens, given = discriminator(), judged()
    discriminator_update(listens, CONFIG, given).total().backward()
    assert given.copy.grad is None
    assert given.conversion.grad is None
    assert all(p.grad is not None for p in listens.parameters())
    listens.zero_grad()
    terms = model_terms(listens, given)
    (terms["adversarial"] + terms["feature_matching"]).backward()
    assert all(p.grad is None for p in listens.parameters())
    assert all(p.requires_grad for p in listens.parameters())
    for made in (given.copy, given.conversion):
        assert made.grad is not None
        assert bool(made.grad.abs().sum() > 0)


def test_it_learns_whose_mel_it_is() -> None:
    """Recordings whose loud band tells the voice: what is not the claimed voice's gets the lower score."""
    torch.manual_seed(0)
    listens = MelDiscriminator((8, 16, 16), VOICE)
    optimizer = torch.optim.Adam(listens.parameters(), 3e-3, betas=(0.5, 0.9))
    told: list[float] = []
    for number in range(150):
        draw = seeded(number)
        who = torch.arange(8) % 4
        mel = 0.3 * torch.randn(8, BANDS, 16, generator=draw)
        mel[torch.arange(8), 8 * who + 4] += 3.0
        voice = torch.eye(VOICE)[who]
        update = discriminator_update(listens, CONFIG, Judged(mel, mel, mel, voice, voice.roll(-1, 0)))
        optimizer.zero_grad()
        update.total().backward()
        optimizer.step()
        told.append(float(update.terms["voices_told"]))
    assert sum(told[-10:]) / 10 > 0.5 > abs(told[0])


def test_it_has_a_head_start_and_then_both_play() -> None:
    taught = objective()
    assert set(taught.parameter_groups()) == {"model", "discriminator"}
    assert taught.newest_is_best
    first, later = step(taught, 1), step(taught, 2)
    assert set(first) == set(later) == {"model", "discriminator"}
    assert "adversarial" not in first["model"].weights
    assert "adversarial" in later["model"].weights
    assert later["model"].weights["feature_matching"] == CONFIG.feature_matching_weight


def test_no_game_before_its_step_and_none_without_it() -> None:
    late = objective(adversary={**CONFIG.model_dump(), "start_step": 5})
    assert set(step(late, 4)) == {"model"}
    assert set(step(late, 5)) == {"model", "discriminator"}
    plain = objective(adversary=None)
    assert plain.discriminators is None
    assert not plain.newest_is_best
    assert set(plain.parameter_groups()) == {"model"}
    expected = step(late, 4)["model"].total()
    torch.testing.assert_close(step(plain, 4)["model"].total(), expected)


def test_conversions_teach_the_decoder_alone() -> None:
    taught = objective()
    seen: list[Judged] = []
    original = taught._judged

    def kept(*given: object) -> Judged:
        seen.append(original(*given))  # type: ignore[arg-type]
        return seen[-1]

    taught._judged = kept  # type: ignore[assignment, method-assign]
    step(taught, 3)
    seen[0].conversion.square().sum().backward()

    def moved(part: torch.nn.Module) -> float:
        return sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None)

    model = taught.model
    assert moved(model.decoder) > 0
    assert moved(model.content_posterior) == moved(model.speaker_posterior) == moved(model.shared_encoder) == 0.0


def test_the_conversion_is_at_the_asked_voices_height() -> None:
    """The pitch that the decoder is told of moves by the difference of the recordings' means."""
    taught = objective()
    told: list[Tensor] = []
    original = taught.model.with_pitch

    def kept(content: Tensor, pitch: object) -> Tensor:
        told.append(pitch.log_f0)  # type: ignore[attr-defined]
        return original(content, pitch)  # type: ignore[arg-type]

    taught.model.with_pitch = kept  # type: ignore[method-assign]
    step(taught, 0)
    own, asked = told
    shift = (asked - own)[:, :1]
    torch.testing.assert_close(asked - own, shift.expand_as(own), atol=1e-4, rtol=0)
    assert float(shift.abs().max()) > 0.05
    assert abs(float(shift.sum())) < 1e-4  # once round the batch
