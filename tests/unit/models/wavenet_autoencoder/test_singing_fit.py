"""A vector for a stranger: the weights stay, the cost falls, the seed decides; and the variants with other decoders."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_singers import small_model, small_objective, sung, take_steps

from moksori.audio.io import read
from moksori.models.wavenet_autoencoder import WavenetAutoencoder
from moksori.models.wavenet_autoencoder.driving import driven_by
from moksori.models.wavenet_autoencoder.fitting import fit_vector
from moksori.models.wavenet_autoencoder.tuning import LEARNING_RATE
from moksori.types import ConvertControls, PitchRange, SoundBatch, SpeechBatch, Voice, Waveform


def stranger() -> list[Waveform]:
    return [Waveform(x, 8000) for x in sung([3, 3], 6_000).waveform.numpy()]


def test_only_the_vector_moves_and_the_cost_falls() -> None:
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    told = []
    one, two = (
        fit_vector(model, stranger(), 8, torch.Generator().manual_seed(1), lambda done, total: told.append(done))
        for _ in range(2)
    )
    assert torch.equal(one.vector, two.vector)
    assert one.bits_after < one.bits_before
    assert one.vector.shape == (model.voice_channels,)
    assert float(one.vector[-1]) == pytest.approx(np.median(np.log(sung([3, 3], 6_000).f0.numpy())), abs=0.05)
    assert told == [*range(1, 9)] * 2
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    voice = Voice("wavenet_autoencoder", vector=one.vector)
    assert model.auto_key_of(PitchRange(float(one.vector[-1]) - np.log(2.0), 0.1), voice) == 12


def test_a_vector_is_fitted_to_the_partials_too() -> None:
    objective = small_objective("model.pitch.harmonics=2", "model.pitch.partials=16")
    take_steps(objective, 20)
    model, batch = objective.model.eval(), sung([3, 3], 6_000)

    def off(vector: torch.Tensor) -> float:
        with torch.no_grad():
            codes = model.encode(batch.waveform)
            return float(
                driven_by(model, batch.waveform, codes, vector[None].expand(2, -1), batch.f0).errors["strength"]
            )

    found = fit_vector(model, stranger(), 30, torch.Generator().manual_seed(1))
    assert off(found.vector[:-1]) < off(model.speaker_embedding.weight[found.nearest].detach())


def test_it_starts_from_the_nearest_singer_of_the_table() -> None:
    model = small_model("model.num_speakers=3")
    costs = [fit_vector(model, stranger(), 0, torch.Generator().manual_seed(1))]
    assert torch.equal(costs[0].vector[:-1], model.speaker_embedding.weight[costs[0].nearest].detach())
    assert costs[0].bits_after == pytest.approx(costs[0].bits_before, rel=1e-5)


def test_the_last_layers_are_tuned_in_a_copy_and_sing_in_place_of_the_models() -> None:
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    told: list[tuple[int, int]] = []
    found = fit_vector(
        model, stranger(), 10, torch.Generator().manual_seed(1), lambda *steps: told.append(steps), tuned_layers=2
    )
    assert told == [(step, 20) for step in range(1, 21)]
    last = len(model.config.decoder.dilations) - 1
    layers = {f"stack.{kind}.{place}.{part}" for kind in ("gates", "residual_skips") for place in (last - 1, last)
              for part in ("weight", "bias")}  # fmt: skip
    assert set(found.tuned) == layers | {f"head_{end}.{part}" for end in ("in", "out") for part in ("weight", "bias")}
    own = dict(model.decoders[0].named_parameters())
    moved = {name: float((value - own[name]).detach().abs().max()) for name, value in found.tuned.items()}
    assert all(0.0 < by <= 10 * LEARNING_RATE * 1.01 for by in moved.values())  # Adam goes no further
    assert found.bits_tuned < found.bits_after < found.bits_before
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())

    tuned = {name: 1.5 * value for name, value in found.tuned.items()}
    voice = Voice("wavenet_autoencoder", vector=found.vector, tuned=tuned)
    batch, changed = sung([0], 1_500), copy.deepcopy(model)
    changed.decoders[0].load_state_dict({**changed.decoders[0].state_dict(), **tuned})
    sounds = SoundBatch(batch.waveform, batch.waveform_lengths)

    def made(by: WavenetAutoencoder, target: Voice) -> torch.Tensor:
        return by.convert(sounds, target, None, ConvertControls(), torch.Generator().manual_seed(0)).waveform

    sound = made(model, voice)
    assert torch.equal(sound, made(changed, replace(voice, tuned={})))
    assert not torch.equal(sound, made(model, replace(voice, tuned={})))
    for wrong in ({"stack.gates.99.weight": torch.zeros(1)}, {"head_out.bias": torch.zeros(3)}):
        with pytest.raises(ValueError, match="in this decoder it is"):
            model.stream(replace(voice, tuned=wrong), ConvertControls())


def test_what_cannot_be_fitted_is_said() -> None:
    with pytest.raises(ValueError, match="6 layers to tune: the decoder has 5"):
        fit_vector(small_model(), stranger(), tuned_layers=6)
    with pytest.raises(ValueError, match="less than 200 samples"):
        fit_vector(small_model(), [Waveform(np.zeros(150, np.float32), 8000)])
    with pytest.raises(ValueError, match="no singers' vectors"):
        fit_vector(small_model("model.decoders=per_domain"), stranger())


def test_a_domain_learns_in_its_own_decoder_only() -> None:
    objective = small_objective("model.decoders=per_domain", "model.num_speakers=3")
    for update in objective.updates(sung([0, 2], 800), 0, torch.Generator().manual_seed(0)):
        if update.optimizer == "model":
            update.total().backward()
    reached = [any(p.grad is not None and bool(p.grad.any()) for p in d.parameters()) for d in objective.model.decoders]
    assert reached == [True, False, True]


VARIANTS = [("model.decoders=per_domain",), ("model.speaker_channels=0", "model.pitch=null")]


@pytest.mark.parametrize("overrides", VARIANTS)
def test_music_is_translated_and_nsynth_copies(overrides) -> None:
    """A decoder a domain; and NSynth's, which is told of nobody: both train, and make sound of a recording's length."""
    objective = small_objective(*overrides)
    terms = take_steps(objective, 3)
    assert terms[-1]["reconstruction"] < terms[0]["reconstruction"]
    model, batch = objective.model.eval(), sung([0], 1_500)
    sounds = SoundBatch(batch.waveform, batch.waveform_lengths)
    one, two = (
        model.convert(
            sounds, Voice("wavenet_autoencoder", domain), None, ConvertControls(), torch.Generator().manual_seed(0)
        ).waveform
        for domain in (0, 1)
    )
    assert one.shape == batch.waveform.shape
    assert torch.equal(one, two) == ("model.speaker_channels=0" in overrides)


@pytest.mark.data
def test_speech_becomes_music_and_music_speech(recordings) -> None:
    """UMTN on two real domains, a few steps: each learns to be copied, and each is translated into the other."""
    names = ("noise-music/fs_cello_phrase.flac", "ljspeech-mini/LJ001-0001.ogg")
    files = [recordings / name for name in names]
    sounds = [read(file, 8000).samples for file in files]
    objective = small_objective("model.decoders=per_domain", "model.pitch=null", "objective.slice_semitones=0")
    waveform = torch.from_numpy(np.stack([sound[8000:24000] for sound in sounds]))
    batch = SpeechBatch(("cello", "speech"), waveform, torch.tensor([16000, 16000]), torch.tensor([0, 1]))
    first = objective.eval().validate(batch)["total"]
    optimizers = {
        name: torch.optim.Adam(list(parameters), lr=3e-3) for name, parameters in objective.parameter_groups().items()
    }
    objective.train()
    for step in range(15):
        for update in objective.updates(batch, step, torch.Generator().manual_seed(step)):
            optimizers[update.optimizer].zero_grad()
            update.total().backward()
            optimizers[update.optimizer].step()
    assert float(objective.eval().validate(batch)["total"]) < float(first) - 0.05
    one = SoundBatch(waveform[:, :4000], torch.tensor([4000, 4000]))
    swapped = [
        objective.model.convert(
            one, Voice("wavenet_autoencoder", domain), None, ConvertControls(), torch.Generator().manual_seed(0)
        ).waveform
        for domain in (0, 1)
    ]
    assert all(bool(sound.isfinite().all()) and float(sound.std()) > 1e-3 for sound in swapped)
    assert not torch.equal(*swapped)


def test_mixtures_of_logistics_sing_samples_of_16_bits() -> None:
    objective = small_objective("model.decoder={mixtures: 3, one_hot: false}")
    terms = take_steps(objective, 2)
    assert all(np.isfinite(term["reconstruction"]) for term in terms)
    batch = sung([0], 400)
    model = objective.model.eval()
    made = model.decode(
        model.encode(batch.waveform), model.vectors(batch.speaker), batch.f0, 1.0, torch.Generator().manual_seed(0)
    )
    assert made.shape == (1, 400)
    assert len(made.unique()) > 100  # samples, not codes; an untrained mixture often lies beyond full scale
