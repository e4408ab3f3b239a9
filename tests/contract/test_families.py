"""What every registered family promises; a new family is tested by being registered."""

import copy
import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from moksori.config import preset_names
from moksori.corpus.synthetic import synthetic_examples
from moksori.models.checkpoint import Manifest, load_model, save_model
from moksori.models.contract import CanSay, CanSayMels, CanTakeStyle, Objective
from moksori.models.registry import family_names
from moksori.nn.source_filter import Excitation, pulse_train
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.text.tokenizer import TextConfig
from moksori.types import SayControls, SpeechBatch, TextBatch

TINY = [name for name in preset_names() if name.endswith("tiny")]
PARAMETERS = {
    "vits/ljspeech": (("model.num_symbols=38",), 36.29e6),
    "vits/vctk": (("model.num_symbols=38",), 39.67e6),
    "vits/piper_medium": ((), 23.66e6),
    "codec/16khz": ((), 23_673_026),
    "dsvae/vctk": ((), 45_186_848),
    "vocoder/hifigan": ((), 13.92e6),
    "wavenet_autoencoder/base": (("model.num_speakers=5",), 7_300_096),
    "wavenet_autoencoder/music": (("model.num_speakers=6",), 29_892_416),
    "wavenet_autoencoder/nsynth": ((), 61_410_064),
    "vqvae/base": (("model.num_speakers=102",), 11_068_352),
    "vqvae/wave": (("model.num_speakers=109",), 15_390_592),
    "wavenet/base": ((), 3_694_446),
    "wavenet/unconditional": ((), 1_760_704),
}
"""Preset -> overrides and its number of parameters without discriminators; 36.29 M is what the published code has.

Of Piper's medium 15.79 M speak, 63.1 MB in float32: the size of its published voices."""


@cache
def configured(preset: str) -> RunConfig:
    return run_config(preset)


def made(preset: str, seed: int = 0) -> Objective:
    config = configured(preset)
    torch.manual_seed(seed)
    return config.family.objective(config.family.model(config.model), config.objective)


@cache
def batch_of(preset: str, count: int = 2) -> SpeechBatch:
    config = configured(preset)
    needs = config.family.needs(config.model, config.objective)
    examples = synthetic_examples(needs, count, seed=1, text=getattr(config.model, "text", None))
    return fixed_batches(examples, needs, count)[0]


def step(objective: Objective, batch: SpeechBatch, seed: int = 0, number: int = 0) -> dict[str, float]:
    """One training step's gradients, left in place; the terms by name."""
    torch.manual_seed(seed)
    objective.train()
    objective.zero_grad()
    terms: dict[str, float] = {}
    for update in objective.updates(batch, number, torch.Generator().manual_seed(seed)):
        update.total().backward()
        terms |= {name: float(value.detach()) for name, value in update.terms.items()}
    return terms


def test_every_family_has_a_tiny_preset() -> None:
    assert {name.partition("/")[0] for name in TINY} == set(family_names())


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_validates_builds_and_reads_back(preset: str, tmp_path) -> None:
    config = configured(preset)
    assert config.family.name == preset.partition("/")[0]
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert run_config(path) == config
    with torch.device("meta"):
        model = config.family.model(config.model)
        objective = config.family.objective(model, config.objective)
    groups = objective.parameter_groups()
    assert set(groups) <= set(config.training.optimizers)
    stepped = [parameter for parameters in groups.values() for parameter in parameters]
    assert len({id(p) for p in stepped}) == len(stepped)
    assert {id(p) for p in stepped} == {id(p) for p in objective.parameters() if p.requires_grad}


@pytest.mark.parametrize("preset", PARAMETERS)
def test_published_sizes(preset: str) -> None:
    overrides, published = PARAMETERS[preset]
    config = run_config(preset, overrides)
    with torch.device("meta"):
        model = config.family.model(config.model)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(published, rel=5e-3)


@pytest.mark.parametrize("preset", TINY)
def test_gradients_reach_all_parameters(preset: str) -> None:
    objective, batch = made(preset), batch_of(preset)
    optimizer = torch.optim.SGD(objective.parameters(), lr=1e-4)
    reached: set[str] = set()
    for number in range(4):  # layers behind one that starts at zero are reached from the second step on
        step(objective, batch, seed=number, number=1000 + number)
        reached |= {n for n, p in objective.named_parameters() if p.grad is not None and bool(p.grad.any())}
        assert all(bool(p.grad.isfinite().all()) for p in objective.parameters() if p.grad is not None)
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 10.0)
        optimizer.step()
    assert {name for name, _ in objective.named_parameters()} - reached == set()


@pytest.mark.parametrize("preset", TINY)
def test_equal_seeds_repeat_a_step(preset: str) -> None:
    batch = batch_of(preset)
    first, second = made(preset), made(preset)
    assert step(first, batch, seed=5) == step(second, batch, seed=5)
    for (name, one), two in zip(first.named_parameters(), second.parameters(), strict=True):
        assert one.grad is two.grad is None or torch.equal(one.grad, two.grad), name


@pytest.mark.parametrize("preset", TINY)
def test_validation_repeats_and_gives_a_total(preset: str) -> None:
    objective, batch = made(preset).eval(), batch_of(preset)
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    with torch.no_grad():
        one, two = (objective.validate(batch, torch.Generator().manual_seed(3)) for _ in range(2))
    assert {n: float(v) for n, v in one.items()} == {n: float(v) for n, v in two.items()}
    assert bool(torch.isfinite(one["total"]))
    assert all(torch.equal(before[name], tensor) for name, tensor in objective.state_dict().items())
    assert all(picture.dim() == 2 for picture in objective.pictures(batch, torch.Generator().manual_seed(3)).values())


@pytest.mark.parametrize("preset", TINY)
def test_saved_and_loaded_it_is_the_same_model(preset: str, tmp_path) -> None:
    config = configured(preset)
    needs = config.family.needs(config.model, config.objective)
    text: TextConfig | None = getattr(config.model, "text", None)
    manifest = Manifest(
        family=config.family.name,
        name="tiny",
        model=config.model.model_dump(mode="json"),
        text=text,
        sample_rate=needs.sample_rate,
    )
    model = made(preset).model.eval()
    rounded = {n: t.half().to(t.dtype) if t.is_floating_point() else t for n, t in model.state_dict().items()}
    model.load_state_dict(rounded)
    save_model(tmp_path / "tiny", model, manifest)
    loaded = load_model(tmp_path / "tiny").model
    assert type(loaded) is type(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    if isinstance(model, CanSay):
        spoken = [m.say(text_of(preset), SayControls(), torch.Generator().manual_seed(0)) for m in (model, loaded)]
        assert torch.equal(spoken[0].waveform, spoken[1].waveform)


# ---- families that speak ----


def text_of(preset: str, items: slice = slice(0, 1), padding: int = 0) -> TextBatch:
    batch = batch_of(preset)
    assert batch.tokens is not None and batch.stress is not None and batch.token_lengths is not None  # noqa: PT018
    lengths = batch.token_lengths[items]
    width = int(lengths.max())
    tokens, stress = (torch.nn.functional.pad(t[items, :width], (0, padding)) for t in (batch.tokens, batch.stress))
    return TextBatch(tokens, stress, lengths, batch.speaker[items])


def speaking() -> list[str]:
    return [preset for preset in TINY if isinstance(made(preset).model, CanSay)]


@pytest.mark.parametrize("preset", speaking())
def test_equal_seeds_speak_equally(preset: str) -> None:
    model, text = made(preset).model.eval(), text_of(preset)
    one, two, other = (model.say(text, SayControls(), torch.Generator().manual_seed(s)) for s in (7, 7, 8))
    assert torch.equal(one.waveform, two.waveform)
    assert one.waveform.shape != other.waveform.shape or not torch.equal(one.waveform, other.waveform)
    assert int(one.durations.sum()) * model.config.mel.hop_length == int(one.waveform_lengths) == one.waveform.shape[1]


@pytest.mark.parametrize("preset", speaking())
def test_padding_and_neighbours_do_not_change_speech(preset: str, monkeypatch) -> None:
    """Without variation and with the decoder's own noise held still; a vocoder's last overlap is left out."""

    def still_pulses(self, f0, voicing, generator=None):
        return self.stft(pulse_train(f0, voicing, self.sample_rate, self.hop_length)) * self.pulse_scale

    def still_noise(self, batch, frames, device, generator=None, lengths=None):
        samples = torch.randn(1, frames * self.hop_length, generator=torch.Generator().manual_seed(0))
        return self.stft(samples.expand(batch, -1)) * self.noise_scale

    monkeypatch.setattr(Excitation, "pulses", still_pulses)
    monkeypatch.setattr(Excitation, "noise", still_noise)
    model, controls = made(preset).model.eval(), SayControls(variation=0.0)
    both = model.say(text_of(preset, slice(0, 2)), controls)
    for item in range(2):
        alone = model.say(text_of(preset, slice(item, item + 1)), controls)
        padded = model.say(text_of(preset, slice(item, item + 1), padding=5), controls)
        tokens = alone.durations.shape[1]
        length = int(alone.waveform_lengths)
        inside = length - 3 * model.config.mel.n_fft // 2
        assert inside > 0.5 * length
        for found, row in ((both, item), (padded, 0)):
            assert found.durations[row, :tokens].tolist() == alone.durations[0].tolist()
            assert int(found.durations[row, tokens:].sum()) == 0
            assert int(found.waveform_lengths[row]) == length
            assert float(found.waveform[row, length:].abs().sum()) == 0.0
            scale = float(alone.waveform.abs().max())
            difference = (found.waveform[row, :inside] - alone.waveform[0, :inside]).abs().max()
            assert float(difference) < 1e-4 * scale


# ---- families that speak in mels, and those whose latents can be chosen ----


def speaking_in_mels() -> list[str]:
    return [preset for preset in TINY if isinstance(made(preset).model, CanSayMels)]


def choosing() -> list[str]:
    return [preset for preset in TINY if isinstance(made(preset).model, CanTakeStyle)]


def shaken(preset: str) -> torch.nn.Module:
    """The model with layers that start at zero filled: they would hide what comes before them."""
    model = copy.deepcopy(made(preset).model).eval()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if not bool(parameter.any()):
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=draw))
    return model


@pytest.mark.parametrize("preset", speaking_in_mels())
def test_equal_seeds_make_equal_mels(preset: str) -> None:
    model, text = shaken(preset), text_of(preset)
    one, two, other = (model.say_mels(text, SayControls(), torch.Generator().manual_seed(s)) for s in (7, 7, 8))
    assert torch.equal(one.mel, two.mel)
    assert one.mel.shape != other.mel.shape or not torch.equal(one.mel, other.mel)
    assert int(one.durations.sum()) == int(one.frame_lengths) == one.mel.shape[2]
    assert one.mel.shape[1] == model.mel_config.n_mels
    still = [model.say_mels(text, SayControls(variation=0.0)) for _ in range(2)]
    assert torch.equal(still[0].mel, still[1].mel)


@pytest.mark.parametrize("preset", speaking_in_mels())
def test_padding_and_neighbours_do_not_change_mels(preset: str) -> None:
    model, controls = shaken(preset), SayControls(variation=0.0)
    both = model.say_mels(text_of(preset, slice(0, 2)), controls)
    floor = math.log(model.mel_config.floor)
    for item in range(2):
        alone = model.say_mels(text_of(preset, slice(item, item + 1)), controls)
        padded = model.say_mels(text_of(preset, slice(item, item + 1), padding=5), controls)
        tokens, frames = alone.durations.shape[1], int(alone.frame_lengths)
        for found, row in ((both, item), (padded, 0)):
            assert int(found.frame_lengths[row]) == frames
            assert found.durations[row, :tokens].tolist() == alone.durations[0].tolist()
            assert int(found.durations[row, tokens:].sum()) == 0
            assert torch.allclose(found.mel[row, :, :frames], alone.mel[0], atol=1e-4)
            assert torch.allclose(found.mel[row, :, frames:], torch.tensor(floor))


@pytest.mark.parametrize("preset", speaking_in_mels())
def test_given_durations_are_kept_to(preset: str) -> None:
    model, text = shaken(preset), text_of(preset)
    durations = torch.randint(2, 6, text.tokens.shape, generator=torch.Generator().manual_seed(0))
    found = model.say_mels(replace(text, durations=durations), SayControls(), torch.Generator().manual_seed(1))
    assert torch.equal(found.durations, durations)
    assert int(found.frame_lengths) == int(durations.sum()) == found.mel.shape[2]


@pytest.mark.parametrize("preset", choosing())
def test_latents_that_are_read_say_the_same_mels(preset: str) -> None:
    model, text = shaken(preset), text_of(preset, slice(0, 2))
    lengths = torch.tensor([41, 36])
    frames = torch.randn(2, model.latent_bands, 41, generator=torch.Generator().manual_seed(2)) - 5.0
    read = model.read_latents(frames, lengths, text)
    said = model.say_latents(read.latent, lengths, text, SayControls())
    mel = frames[:, : model.mel_config.n_mels]
    for row, length in enumerate(lengths.tolist()):
        assert float((said.mel[row, :, :length] - mel[row, :, :length]).abs().max()) < 1e-3
    one = model.style_mean([read.latent[0, :, :41], read.latent[1, :, :36]], "time_and_batch")
    assert one.shape == (model.latent_bands, 1)
