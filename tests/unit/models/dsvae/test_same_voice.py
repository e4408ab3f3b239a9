"""z_s that finds its recording again, and a decoder that never sees the mean of z_c."""

import math
from functools import cache

import pytest
import torch
from small_imitator import tiny_dsvae
from torch import Tensor

from moksori.corpus.synthetic import synthetic_examples
from moksori.errors import ConfigError
from moksori.models.dsvae import Dsvae, DsvaeObjective, DsvaeObjectiveConfig
from moksori.models.dsvae.recentre import LEAST_FRAMES, content_mean
from moksori.models.dsvae.same_voice import same_voice
from moksori.pipeline.batches import fixed_batches
from moksori.types import ConvertControls, LongRecording, SpeechBatch, SpeechNeeds, Voice

PITCH = "model.pitch={channels: 16, num_layers: 2}"


@cache
def speech() -> SpeechBatch:
    needs = SpeechNeeds(16000, 256, tokens=False, f0=True, f0_method="fast")
    return fixed_batches(synthetic_examples(needs, 4, seed=0, speakers=2), needs, 4)[0]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(*overrides: str) -> Dsvae:
    return tiny_dsvae(overrides=(PITCH, *overrides))


def test_the_loss_is_that_of_finding_the_own_stretch_both_ways() -> None:
    first = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    second = torch.tensor([[1.0, 1.0], [0.0, 5.0]])
    half = math.sqrt(0.5)
    cosines = [[half, 0.0], [half, 1.0]]

    def lost(own: float, other: float) -> float:
        return -math.log(math.exp(own / 0.5) / (math.exp(own / 0.5) + math.exp(other / 0.5)))

    rows = [lost(cosines[0][0], cosines[0][1]), lost(cosines[1][1], cosines[1][0])]
    columns = [lost(cosines[0][0], cosines[1][0]), lost(cosines[1][1], cosines[0][1])]
    found = same_voice(first, second, torch.tensor([0, 1]), 0.5)
    assert float(found.loss) == pytest.approx((sum(rows) + sum(columns)) / 4, rel=1e-5)
    assert float(found.right) == 1.0
    assert float(same_voice(first, second.flip(0), torch.tensor([0, 1]), 0.5).right) == 0.0


def test_recordings_of_one_speaker_are_no_counterexamples() -> None:
    vectors = torch.randn(4, 8, generator=seeded())
    alike = vectors + 0.01 * torch.randn(4, 8, generator=seeded(1))
    assert float(same_voice(vectors, alike, torch.zeros(4, dtype=torch.int64), 0.1).loss) == pytest.approx(0.0)
    apart = same_voice(vectors[:2], vectors[:2].flip(0), torch.tensor([0, 0]), 0.1)
    assert float(apart.loss) == pytest.approx(0.0)


def test_the_decoder_hears_the_voice_of_the_other_stretch() -> None:
    model = made()
    with torch.no_grad():  # as good as certain, so that what is drawn tells whose it is
        model.speaker_posterior.head.log_variance.weight.zero_()
        model.speaker_posterior.head.log_variance.bias.fill_(-100.0)
        model.speaker_posterior.head.mean.weight.mul_(30.0)
    told: list[Tensor] = []
    given: list[Tensor] = []
    model.speaker_posterior.register_forward_hook(lambda _, inputs, output: told.append(output.mean.detach()))
    model.decoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    config = DsvaeObjectiveConfig.model_validate({"crop_frames": 16, "same_voice": {"weight": 0.3}})
    update = next(iter(DsvaeObjective(model, config).updates(speech(), 0, seeded(3))))
    first, second = told
    assert float((given[0] - second).abs().max()) < 0.1
    assert float((given[0] - first).abs().max()) > 0.5
    assert update.weights["same_voice"] == 0.3
    update.total().backward()
    assert float(model.speaker_posterior.head.mean.weight.grad.abs().sum()) > 0

    plain = DsvaeObjective(made(), DsvaeObjectiveConfig(crop_frames=16))
    assert "same_voice" not in next(iter(plain.updates(speech(), 0, seeded()))).terms


def test_it_learns_to_find_its_recording() -> None:
    """Twelve steps on four recordings: more of the stretches find theirs, and the loss falls."""
    model = made()
    config = DsvaeObjectiveConfig.model_validate({"crop_frames": 16, "same_voice": {"weight": 3.0}})
    objective = DsvaeObjective(model, config)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for step in range(40):
        update = next(iter(objective.updates(speech(), step, seeded(step))))
        optimizer.zero_grad()
        update.total().backward()
        optimizer.step()
        losses.append(float(update.terms["same_voice"].detach()))
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_the_decoder_never_sees_the_mean_of_the_content() -> None:
    model = made("model.centred=true")
    given: list[Tensor] = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[1].detach()))
    objective = DsvaeObjective(model, DsvaeObjectiveConfig(crop_frames=16, centre_weight=2.0))

    def step() -> tuple[Tensor, float, float]:
        given.clear()
        update = next(iter(objective.updates(speech(), 0, seeded())))
        assert update.weights["centre"] == 2.0 * objective.config.beta
        return given[0], float(update.terms["reconstruction"].detach()), float(update.terms["centre"].detach())

    content, lost, before = step()
    with torch.no_grad():
        model.content_posterior.head.mean.bias += 3.0
    again, still_lost, after = step()
    torch.testing.assert_close(again, content, atol=1e-4, rtol=1e-3)
    assert still_lost == pytest.approx(lost, rel=1e-3)
    assert after - before == pytest.approx(0.5 * 3.0**2 * 8 / 80, rel=0.1)


def test_conversions_take_the_mean_away_too() -> None:
    model = made("model.centred=true")
    assert model.voice_channels == 16 + 1
    assert "mean_content" not in model.state_dict()
    source, target = (torch.randn(1, 80, 200, generator=seeded(seed)) - 4.0 for seed in (5, 6))
    given: list[Tensor] = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[1]))
    model.converted(source, model.speaker_vector(target))
    content = model.content(source).mean
    voicing = content[..., -1]
    counted = float((voicing > 0.5).sum())
    own = content_mean(content[..., :8], voicing)
    left = content_mean(given[0][..., :8], voicing)
    torch.testing.assert_close(left, own * LEAST_FRAMES / (counted + LEAST_FRAMES), atol=1e-5, rtol=1e-4)


def test_a_mean_that_is_never_seen_cannot_be_the_targets() -> None:
    with pytest.raises(ConfigError, match="recentre and centred"):
        made("model.recentre=true", "model.centred=true")


def test_conversions_reach_beyond_the_target_and_copies_do_not() -> None:
    model = made("model.centred=true", "model.reach=1.5")
    with torch.no_grad():
        model.mean_speaker.copy_(torch.linspace(-1.0, 1.0, 16))
    source, target = (torch.randn(1, 80, 200, generator=seeded(seed)) - 4.0 for seed in (5, 6))
    given: list[Tensor] = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    wanted, own = model.speaker_vector(target), model.speaker_vector(source)
    far = own[:, :16] + 1.5 * (wanted[:, :16] - own[:, :16])
    from_mean = model.mean_speaker + 1.5 * (wanted[:, :16] - model.mean_speaker)
    assert model.wants_source
    assert torch.equal(model.reached(wanted, own)[:, 16:], wanted[:, 16:])  # the pitch stays the target's
    model.converted(source, wanted)
    model.converted(source, wanted, strength=0.0)
    model.converted(source, own)
    sound = 0.1 * torch.randn(32000, generator=seeded(7)).numpy()
    voices = [Voice("dsvae", vector=vector[0]) for vector in (wanted, own)]
    for known in (None, voices[1]):
        list(model.convert_to_mels([sound], voices[0], known, ConvertControls()))
    recording = LongRecording(len(sound), 16000, lambda: iter([sound]))
    list(model.reconstruct_mels(recording))
    heard = model.hear(recording).vector[None, :16]
    for found, expected in zip(given, (far, own[:, :16], own[:, :16], from_mean, far, heard), strict=True):
        torch.testing.assert_close(found, expected)


def test_export_finds_the_mean_voice() -> None:
    model = made("model.reach=1.2")
    DsvaeObjective(model, DsvaeObjectiveConfig()).calibrate(model, [speech()])
    frames = (speech().waveform_lengths // model.hop_length).tolist()
    voices = [
        model.speaker_vector(model.mel(speech().waveform[item : item + 1])[..., :count])
        for item, count in enumerate(frames)
    ]
    torch.testing.assert_close(model.mean_speaker, torch.cat(voices).mean(dim=0)[:16], atol=1e-4, rtol=1e-3)
