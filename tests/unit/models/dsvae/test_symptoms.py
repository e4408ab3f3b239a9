"""Each symptom of a D-DSVAE that has gone wrong is told, by measures and by models made to have it."""

import logging

import pytest
import torch
from torch import Tensor, nn

from moksori.models.dsvae import Dsvae, DsvaeConfig, DsvaeObjective, DsvaeObjectiveConfig
from moksori.models.dsvae.symptoms import constants_kept, content_constant, symptoms
from moksori.pipeline.run_config import run_config
from moksori.types import SpeechBatch

SOUND = {
    "content_nats": 2.0,
    "speaker_nats": 15.0,
    "encoder_constants": 0.3,
    "decoder_constants": 0.3,
    "content_constant": 0.1,
}


def small(preset: str = "dsvae/tiny", *settings: str) -> Dsvae:
    config = run_config(preset, settings).model
    assert isinstance(config, DsvaeConfig)
    torch.manual_seed(0)
    return Dsvae(config).eval()


def objective(model: Dsvae) -> DsvaeObjective:
    return DsvaeObjective(model, DsvaeObjectiveConfig(crop_frames=32)).eval()


def speech() -> SpeechBatch:
    waveform = 0.1 * torch.randn(6, 64 * 256, generator=torch.Generator().manual_seed(1))
    return SpeechBatch(tuple("abcdef"), waveform, torch.full((6,), 64 * 256), torch.zeros(6).long())


class PerChannel(nn.Module):
    """The norm that must not be used: each channel by itself over time."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return nn.functional.instance_norm(x)


@pytest.mark.parametrize(
    ("measure", "value", "name", "remedy"),
    [
        ("content_nats", 0.02, "content collapse", "objective.beta"),
        ("speaker_nats", 0.0, "speaker collapse", "objective.alpha"),
        ("encoder_constants", 1e-9, "deaf encoder", "joint_norm"),
        ("decoder_constants", 0.0, "deaf decoder", "joint_norm"),
        ("content_constant", 0.7, "leak", "content_channels"),
    ],
)
def test_measures_tell_the_symptom_and_the_remedy(measure: str, value: float, name: str, remedy: str) -> None:
    assert symptoms(SOUND) == {}
    assert symptoms({}) == {}
    found = symptoms({**SOUND, measure: value})
    assert list(found) == [name]
    assert remedy in found[name]


def test_settings_that_remedies_name_exist() -> None:
    worst = {"content_nats": 0.0, "speaker_nats": 0.0, "content_constant": 1.0}
    config = run_config("dsvae/tiny")
    for line in symptoms(worst).values():
        for word in line.replace(":", " ").replace(",", " ").split():
            section, _, rest = word.partition("=")[0].partition(".")
            held = getattr(config, section, None) if section in ("model", "objective") else None
            for part in rest.split(".") if held is not None else ():
                held = getattr(held, part)


def test_a_norm_per_channel_is_found_in_either_half() -> None:
    mel = torch.randn(4, 40, 60, generator=torch.Generator().manual_seed(0)) - 4.0
    mel += torch.randn(4, 40, 1, generator=torch.Generator().manual_seed(1))
    for sound in (small(), small("dsvae/study", "model.mel.n_mels=40")):
        assert min(constants_kept(sound, mel).values()) > 0.01
        assert symptoms(constants_kept(sound, mel)) == {}
    deaf = small()
    deaf.get_submodule("shared_encoder").add_module("norm", PerChannel())
    assert list(symptoms(constants_kept(deaf, mel))) == ["deaf encoder"]
    deaf = small()
    deaf.get_submodule("decoder.pre_net").add_module("norm", PerChannel())
    kept = constants_kept(deaf, mel)
    assert list(symptoms(kept)) == ["deaf decoder"]
    # What it does to conversion: another z_s is no other sound (but at the ends, where padding is heard).
    latents = deaf.encode(mel)
    own, other = (deaf.decode(z, latents.content.mean) for z in (latents.speaker.mean, latents.speaker.mean + 1.0))
    torch.testing.assert_close(own, other)


def test_collapsed_posteriors_are_found() -> None:
    for part, name in (("content_posterior", "content collapse"), ("speaker_posterior", "speaker collapse")):
        model = small()
        head = getattr(model, part).head
        prior = model.content_prior.head
        for layer in (head.mean, head.log_variance, prior.mean, prior.log_variance):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # N(0, 1), as both priors then are
        other = model.speaker_posterior if part == "content_posterior" else model.content_posterior
        nn.init.constant_(other.head.mean.bias, 3.0)
        measures = {key: float(value) for key, value in objective(model).validate(speech()).items()}
        assert name in symptoms(measures)
        assert len(symptoms(measures)) == 1


def test_a_constant_in_the_content_is_found() -> None:
    draw = torch.Generator().manual_seed(0)
    changing = torch.randn(8, 50, 4, generator=draw)
    constant = torch.randn(8, 1, 4, generator=draw).expand(-1, 50, -1)
    assert float(content_constant(changing)) < 0.05
    assert float(content_constant(constant)) == pytest.approx(1.0)
    assert 0.35 < float(content_constant(changing + constant)) < 0.7
    assert float(content_constant(torch.zeros(8, 50, 4))) == 0.0


def test_training_warns_once_and_not_at_its_beginning(caplog: pytest.LogCaptureFixture) -> None:
    model = small()
    for layer in (model.speaker_posterior.head.mean, model.speaker_posterior.head.log_variance):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    made = objective(model)
    with caplog.at_level(logging.WARNING):
        next(made.updates(speech(), 5))
        made.validate(speech())
        assert not caplog.messages
        next(made.updates(speech(), 999))
        made.validate(speech())
        made.validate(speech())
    told = [message for message in caplog.messages if "speaker collapse" in message]
    assert len(told) == 1
    assert told[0].startswith("step 1000: ")
