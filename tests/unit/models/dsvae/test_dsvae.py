"""D-DSVAE: shapes, sizes, masks, the prior, and what the loss is made of (specification section 11)."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from moksori.corpus.synthetic import synthetic_examples
from moksori.models.dsvae import Dsvae, DsvaeConfig, DsvaeObjective, DsvaeObjectiveConfig
from moksori.models.dsvae.config import ContentPriorConfig, SpeakerPosteriorConfig
from moksori.models.dsvae.encoder import GaussianHead
from moksori.models.dsvae.prior import ContentPrior, MelUnits
from moksori.nn.masks import sequence_mask
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.run_config import run_config
from moksori.types import SpeechBatch, SpeechNeeds


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def settings() -> DsvaeConfig:
    config = run_config("dsvae/tiny").model
    assert isinstance(config, DsvaeConfig)
    return config


def model(**changes: object) -> Dsvae:
    torch.manual_seed(0)
    return Dsvae(settings().model_copy(update=changes)).eval()


def mels(batch: int, frames: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, settings().mel.n_mels, frames, generator=seeded(seed)) - 4.0


@cache
def speech() -> SpeechBatch:
    needs = SpeechNeeds(settings().mel.sample_rate, settings().mel.hop_length, tokens=False)
    return fixed_batches(synthetic_examples(needs, 4, seed=0, speakers=2), needs, 4)[0]


@pytest.mark.parametrize("frames", [1, 7, 100, 251])
def test_shapes(frames: int) -> None:
    made, mel = model(), mels(2, frames)
    latents = made.encode(mel)
    assert latents.speaker.mean.shape == (2, 16)
    assert latents.content.mean.shape == (2, frames, 8)
    assert made.content_prior(latents.content.mean, None, seeded()).mean.shape == (2, frames, 8)
    assert made.decode(latents.speaker.mean, latents.content.mean).shape == mel.shape


def test_padding_and_neighbours_change_nothing() -> None:
    made = model()
    lengths = torch.tensor([60, 41])
    mel, mask = mels(2, 60), sequence_mask(lengths)
    mel[1, :, 41:] = 7.0  # whatever stands there
    both, alone = made.encode(mel, mask), made.encode(mel[1:, :, :41])
    torch.testing.assert_close(both.speaker.mean[1:], alone.speaker.mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(both.content.mean[1:, :41], alone.content.mean, atol=1e-5, rtol=0)
    decoded = made.decode(both.speaker.mean, both.content.mean, mask)
    expected = made.decode(alone.speaker.mean, alone.content.mean)
    torch.testing.assert_close(decoded[1:, :, :41], expected, atol=1e-4, rtol=0)
    assert decoded[1, :, 41:].abs().max() == 0.0


def test_without_pooling_the_ends_of_both_directions_speak() -> None:
    made = model(speaker=SpeakerPosteriorConfig(hidden_channels=64, num_layers=1, pooling=False))
    mel, mask = mels(2, 60), sequence_mask(torch.tensor([60, 41]))
    found = made.encode(mel, mask).speaker.mean[1:]
    torch.testing.assert_close(found, made.encode(mel[1:, :, :41]).speaker.mean, atol=1e-5, rtol=0)
    assert not torch.allclose(found, model().encode(mel, mask).speaker.mean[1:], atol=1e-3)


def test_heads_bound_the_variance_and_keep_gradients_finite() -> None:
    head = GaussianHead(4, 3)
    found = head(1e4 * torch.randn(5, 4, generator=seeded()))
    assert bool(((found.log_std >= -4.0) & (found.log_std <= 2.0)).all())
    found.kl_to_standard().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in head.parameters() if p.grad is not None)


def test_the_prior_rolls_out_by_itself_or_follows_the_posterior() -> None:
    torch.manual_seed(0)
    own = ContentPrior(ContentPriorConfig(hidden_channels=16), 4)
    follows = ContentPrior(ContentPriorConfig(hidden_channels=16, feed="posterior"), 4)
    follows.load_state_dict(own.state_dict())
    one, two = torch.randn(2, 9, 4, generator=seeded(1)), torch.randn(2, 9, 4, generator=seeded(2))
    assert torch.equal(own(one, None, seeded()).mean, own(two, None, seeded()).mean)
    assert not torch.equal(own(one, None, seeded(5)).mean, own(one, None, seeded()).mean)
    assert not torch.equal(follows(one).mean, follows(two).mean)
    assert torch.equal(follows(one).mean[:, 0], follows(two).mean[:, 0])  # the first step is given nothing
    # Fed with its own samples, the parallel form gives the roll-out.
    noise = torch.randn(2, 9, 4, generator=seeded())
    rolled = own.rolled_out(noise)
    torch.testing.assert_close(follows(rolled.at(noise)).mean, rolled.mean)


def test_units_guide_the_prior() -> None:
    torch.manual_seed(0)
    prior = ContentPrior(ContentPriorConfig(hidden_channels=16, units="kmeans_mel", num_units=6), 4)
    sample = torch.zeros(1, 5, 4)
    first, second = torch.zeros(1, 5, dtype=torch.int64), torch.tensor([[0, 0, 3, 3, 3]])
    one, two = prior(sample, first, seeded()).mean, prior(sample, second, seeded()).mean
    assert torch.equal(one[:, :2], two[:, :2])
    assert not torch.allclose(one[:, 2:], two[:, 2:], atol=1e-4)


@pytest.mark.parametrize("random", [False, True])
def test_mel_units_tell_clusters_apart(random: bool) -> None:
    torch.manual_seed(0)
    units = MelUnits(12, 4, random=random)
    centres = 4.0 * torch.randn(4, 12, generator=seeded())
    which = torch.arange(400) % 4
    frames = centres[which] + 0.1 * torch.randn(400, 12, generator=seeded(1))
    units.fit(frames, seeded(2))
    found = units(frames.T[None])[0]
    for cluster in range(4):
        assert len(set(found[which == cluster].tolist())) == 1
    if not random:
        assert len(set(found.tolist())) == 4


def test_conversion_takes_content_from_one_and_the_voice_from_the_other() -> None:
    made = model()
    source, target = mels(1, 50), made.speaker_vector(mels(1, 70, seed=3))
    latents = made.encode(source)
    with torch.no_grad():
        copy, swapped = (made.decode(s, latents.content.mean) for s in (latents.speaker.mean, target))
    torch.testing.assert_close(made.converted(source, target, strength=0.0), copy)
    torch.testing.assert_close(made.converted(source, target), swapped)
    assert not torch.allclose(copy, swapped, atol=1e-2)  # a norm per channel would delete the voice here
    hoarse = [made.converted(source, target, temperature=1.0, generator=seeded(s)) for s in (0, 0, 1)]
    assert torch.equal(hoarse[0], hoarse[1])
    assert not torch.equal(hoarse[0], hoarse[2])


def objective(**changes: object) -> DsvaeObjective:
    made = DsvaeObjective(model(), DsvaeObjectiveConfig(crop_frames=32).model_copy(update=changes))
    made.initialise([speech()])
    return made


def test_one_speaker_is_told(caplog: pytest.LogCaptureFixture) -> None:
    objective()
    assert "one speaker" not in caplog.text
    DsvaeObjective(model(), DsvaeObjectiveConfig()).initialise([replace(speech(), speaker=speech().speaker * 0)])
    assert "the corpus has one speaker" in caplog.text


def terms_of(made: DsvaeObjective, step: int = 0) -> tuple[dict[str, Tensor], dict[str, float]]:
    (update,) = made.updates(speech(), step, seeded())
    return dict(update.terms), dict(update.weights)


def test_reductions() -> None:
    terms, weights = terms_of(objective())
    bands = settings().mel.n_mels
    torch.testing.assert_close(terms["speaker_kl"] * bands, terms["speaker_nats"])
    torch.testing.assert_close(terms["content_kl"] * bands, terms["content_nats"])
    assert weights == {"reconstruction": 1.0, "speaker_kl": 0.01, "content_kl": 10.0}
    assert terms_of(objective(beta_warmup_steps=100), 25)[1]["content_kl"] == 2.5


def test_controllers_hold_the_nats_where_they_are_wanted() -> None:
    plain = terms_of(objective())[0]
    held = terms_of(objective(speaker_capacity=30.0, content_capacity=4.0))[0]
    bands = settings().mel.n_mels
    # Every recording of an untrained model is under both.
    torch.testing.assert_close(held["speaker_kl"] * bands, 30.0 - plain["speaker_nats"])
    torch.testing.assert_close(held["content_kl"] * bands, 4.0 - plain["content_nats"])
    free = terms_of(objective(free_nats=100.0))[0]
    assert float(free["content_kl"].detach()) * bands == pytest.approx(100.0 * settings().content_channels)


def test_crops_of_noisy_and_clean_are_the_same_stretch() -> None:
    made = objective()
    batch = speech()
    doubled = SpeechBatch(batch.names, batch.waveform, batch.waveform_lengths, batch.speaker, noisy=batch.waveform)
    crops = made._crops(doubled, torch.tensor([0, 3, 5, 9]))
    assert torch.equal(crops.seen, crops.clean)
    inside = made.model.mel(batch.waveform)[3, :, 9 : 9 + 32]
    torch.testing.assert_close(crops.clean[3], inside, atol=1e-4, rtol=0)


def test_short_recordings_are_repeated_not_padded() -> None:
    made = objective(crop_frames=120)
    hop = settings().mel.hop_length
    wave = speech().waveform[:1, : 40 * hop]
    short = SpeechBatch(("a",), wave, torch.tensor([40 * hop]), torch.tensor([0]))
    mel = made._crops(short, torch.tensor([0])).clean[0]
    torch.testing.assert_close(mel[:, 45:75], mel[:, 5:35], atol=1e-4, rtol=0)
    torch.testing.assert_close(mel[:, 85:115], mel[:, 5:35], atol=1e-4, rtol=0)
