"""How a codec is trained: its start among the data, which losses come when, what validation tells."""

from dataclasses import replace

import pytest
import torch

from moksori.corpus.synthetic import synthetic_examples
from moksori.errors import ConfigError
from moksori.models.codec import Codec, CodecObjective
from moksori.models.codec.encoder import MelEncoder
from moksori.models.codec.health import health
from moksori.models.codec.slices import Slice, louder, slice_of
from moksori.models.registry import family
from moksori.models.vocoder import FAMILY as VOCODER
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.run_config import run_config
from moksori.training.transfer import transfer_weights
from moksori.types import SpeechBatch

WAVE = (
    "model.encoder={kind: seanet, channels: 8, strides: [2, 4, 5, 5], residual_layers: 1}",
    "model.decoder={kind: seanet, channels: 8, strides: [2, 4, 5, 5], residual_layers: 1}",
    "objective.restored_steps=0", "objective.magnitude_steps=0", "objective.adversarial_loss=hinge",
    "objective.loss_weights={multi_mel: 15, waveform: 0.1, commitment: 0.25, adversarial: 1, feature_matching: 2,"
    " restored: 0, magnitude: 0, mel: 0, stft: 0}",
)  # fmt: skip


SOURCED = (
    "model.decoder.sound={kind: sourced, channels: 32, inner_channels: 64, num_layers: 2}",
    "objective.loss_weights={restored: 20, magnitude: 50, pitch: 40, voicing: 1, mel: 22.5, stft: 2.5, commitment: 1}",
)


def made(overrides: tuple[str, ...] = (), count: int = 2) -> tuple[CodecObjective, SpeechBatch]:
    config = run_config("codec/tiny", overrides)
    torch.manual_seed(0)
    objective = family("codec").objective(Codec(config.model), config.objective)
    assert isinstance(objective, CodecObjective)
    needs = config.family.needs(config.model, config.objective)
    return objective.train(), fixed_batches(synthetic_examples(needs, count, seed=1), needs, count)[0]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def terms_of(objective: CodecObjective, batch: SpeechBatch, step: int) -> list[tuple[str, set[str], set[str]]]:
    updates = list(objective.updates(batch, step, seeded()))
    return [(update.optimizer, set(update.terms), set(update.weights)) for update in updates]


def test_losses_come_in_their_order() -> None:
    objective, batch = made((
        "objective.restored_steps=1", "objective.magnitude_steps=2", "objective.adversarial_start=3",
        "objective.head_start_steps=1",
    ))  # fmt: skip
    silent = {"commitment", "restored"}
    sounding = silent | {"magnitude", "mel", "stft"}
    assert terms_of(objective, batch, 0) == [("model", silent, silent)]
    assert terms_of(objective, batch, 1) == [("model", silent | {"magnitude"}, silent | {"magnitude"})]
    assert terms_of(objective, batch, 2) == [("model", sounding, sounding)]
    assert terms_of(objective, batch, 3)[0][0] == "discriminator"
    assert terms_of(objective, batch, 3)[1] == ("model", sounding, sounding)
    playing = sounding | {"adversarial", "feature_matching"}
    assert terms_of(objective, batch, 4)[1] == ("model", playing, playing)


def test_it_starts_with_principal_components_and_codebooks_among_the_data() -> None:
    """As many latent channels as bands: what the projection takes, the restorer gives back before any training."""
    objective, batch = made(("model.latent_channels=80",))
    model = objective.model
    assert not bool(model.quantizer.started)
    objective.initialise([batch])
    assert bool(model.quantizer.started)
    assert isinstance(model.encoder, MelEncoder) and model.restorer is not None  # noqa: PT018
    with torch.no_grad():
        sound = objective._slice(batch, objective._room(batch) // 2).real  # what it was laid among
        mel = model.encoder.front_end(sound)
        torch.testing.assert_close(model.restorer(model.encoder.states(mel)), mel, rtol=1e-3, atol=1e-3)
        states = model.encoder(sound)
        few, all_ = (model.latents(model.quantizer.codes(states, count)) for count in (1, 4))
    whole = float(states.square().mean())
    assert float((states - all_).square().mean()) < 0.6 * float((states - few).square().mean()) < 0.6 * whole


def test_fewer_latent_channels_keep_what_varies_most() -> None:
    objective, batch = made(("model.latent_channels=12",))
    objective.initialise([batch])
    model = objective.model
    assert isinstance(model.encoder, MelEncoder) and model.restorer is not None  # noqa: PT018
    with torch.no_grad():
        cut = objective._slice(batch, objective._room(batch) // 2)
        mel = model.encoder.front_end(cut.real)
        rest = model.restorer(model.encoder.states(mel)) - mel
    centred = mel - mel.mean(dim=(0, 2), keepdim=True)
    assert float(rest.square().mean()) < 0.2 * float(centred.square().mean())
    spread = model.encoder.states(mel).detach().std(dim=(0, 2))
    assert bool((spread.diff() <= 1e-3).all())  # the first channels vary most


def test_codebooks_that_nobody_laid_are_laid_in_the_first_step() -> None:
    """Weights that are taken over from a vocoder bring none."""
    objective, batch = made()
    update = next(iter(objective.updates(batch, 0, seeded())))
    assert not bool(objective.model.quantizer.started)
    objective.observe(update.terms)
    assert bool(objective.model.quantizer.started)
    laid = objective.model.codebooks.clone()
    objective.observe(next(iter(objective.updates(batch, 1, seeded()))).terms)
    assert float((objective.model.codebooks - laid).abs().max()) < 0.5 * float(laid.abs().max())


def test_a_vocoder_s_decoder_and_discriminators_fit() -> None:
    config = run_config("vocoder/tiny")
    source = VOCODER.objective(VOCODER.model(config.model), config.objective)
    objective, _ = made(SOURCED)
    report = transfer_weights(objective.model, source.model.state_dict())
    decoder = [name for name in objective.model.state_dict() if name.startswith("decoder.")]
    assert set(report.whole) == set(decoder)
    assert objective.discriminators is not None
    judges = transfer_weights(objective.discriminators, source.discriminators.state_dict())
    assert not judges.left


@pytest.mark.parametrize("overrides", [(), WAVE], ids=["mel", "wave"])
def test_one_batch_is_learnt_by_heart(overrides: tuple[str, ...]) -> None:
    objective, batch = made((*overrides, "objective.adversarial_start=null", "objective.magnitude_steps=0",
                             "objective.restored_steps=0", "objective.gain_db=[0, 0]", "model.quantizer.dropout=0",
                             "model.quantizer.size=64"))  # fmt: skip
    objective.initialise([batch])
    optimizer = torch.optim.AdamW(objective.model.parameters(), lr=3e-3, betas=(0.8, 0.99))
    key, found = "multi_mel" if overrides else "restored", []
    for step in range(60):
        (update,) = objective.updates(batch, step, seeded(step))
        optimizer.zero_grad()
        update.total().backward()
        torch.nn.utils.clip_grad_norm_(objective.model.parameters(), 10.0)
        optimizer.step()
        found.append(float(update.terms[key].detach()))
    assert sum(found[-5:]) < 0.7 * sum(found[:5])


def test_a_decoder_with_a_source_learns_the_pitch_and_asks_nothing_of_the_mels_for_it() -> None:
    objective, batch = made((*SOURCED, "objective.adversarial_start=null"))
    assert batch.f0 is not None
    objective.initialise([batch])
    (update,) = objective.updates(batch, 5, seeded())
    assert {"pitch", "voicing"} <= set(update.counts)
    model = objective.model
    (update.terms["pitch"] + update.terms["voicing"]).backward(retain_graph=True)
    told = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert told == {"pitch_predictor"}
    update.total().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    assert {"pitch", "voicing"} <= set(objective.eval().validate(batch, seeded()))
    with pytest.raises(ConfigError, match="needs F0"):
        next(iter(objective.updates(replace(batch, f0=None), 5, seeded())))


def test_fixed_codes_stay_while_what_makes_sound_of_them_learns() -> None:
    objective, batch = made(("objective.fixed_codes=true", "objective.restored_steps=0", "objective.magnitude_steps=0"))
    objective.initialise([batch])
    model = objective.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = [p for p in objective.parameter_groups()["model"] if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, 1e-3)
    for step in range(2):
        for update in objective.updates(batch, step, seeded(step)):
            if update.optimizer == "model":
                optimizer.zero_grad()
                update.total().backward()
                optimizer.step()
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"restorer", "decoder"}


def test_fixed_codes_are_still_heard_with_fewer_stages() -> None:
    terms = []
    for dropout in (0.0, 1.0):
        objective, batch = made(("objective.fixed_codes=true", f"model.quantizer.dropout={dropout}"))
        objective.initialise([batch])
        terms.append(float(next(objective.updates(batch, 0, seeded())).terms["commitment"]))
    assert terms[1] > 1.01 * terms[0]  # a coarser sum of codes lies farther away


def test_balanced_weights_stand_for_shares() -> None:
    objective, batch = made((*WAVE, "objective.balance=true", "objective.adversarial_start=0"))
    _, update = objective.updates(batch, 0, seeded())
    assert set(update.weights) == {"balanced", "commitment"}
    assert {"multi_mel", "waveform", "adversarial", "feature_matching"} <= set(update.terms)
    update.total().backward()
    assert all(bool(p.grad.isfinite().all()) for p in objective.model.parameters() if p.grad is not None)
    assert objective.balancer is not None
    assert int((objective.balancer.norms > 0).sum()) == 4


def test_validation_tells_distance_and_use_of_each_stage() -> None:
    objective, batch = made()
    objective.initialise([batch])
    found = objective.eval().validate(batch, seeded())
    assert {f"{name}_{stage}" for name in ("perplexity", "used") for stage in range(1, 5)} <= set(found)
    assert float(found["distance"]) > 0.0
    assert float(found["half_distance"]) > 0.0
    pictures = objective.pictures(batch)
    assert pictures["mel/copy"].shape == pictures["mel/recording"].shape


def test_idle_codebooks_are_warned_of() -> None:
    readings = health({"perplexity_1": 900.0, "used_1": 1024.0, "perplexity_2": 3.0, "used_2": 10.0}, 1024, 2)
    assert [reading.is_well for reading in readings] == [True, True, False, False]
    assert "restart_below" in readings[2].line()


def test_slices_have_their_surroundings_and_silence_beyond_the_ends() -> None:
    waveform = torch.arange(1.0, 101.0).expand(2, -1)
    batch = SpeechBatch(("a", "b"), waveform, torch.tensor([100, 60]), torch.zeros(2, dtype=torch.int64))
    cut = slice_of(batch, torch.tensor([10, 50]), 20, 5)
    assert cut.real[0].tolist() == list(range(11, 31))
    assert cut.wide[0].tolist() == list(range(6, 36))
    assert cut.real[1].tolist() == [*range(51, 61), *[0] * 10]
    start = slice_of(replace(batch), torch.tensor([0, 0]), 20, 5)
    assert start.wide[0].tolist() == [0] * 5 + list(range(1, 26))


def test_gains_never_clip() -> None:
    cut = Slice(torch.tensor([[0.5, -0.1], [0.9, 0.0], [0.001, 0.0], [0.0, 0.0]]), 0)
    for seed in range(20):
        found = louder(cut, (-6.0, 12.0), seeded(seed)).wide
        gain = found[:3, 0] / cut.wide[:3, 0]
        assert float(found.abs().max()) <= 0.99001
        assert float(gain.min()) >= 10 ** (-6 / 20) - 1e-4
        assert float(gain.max()) <= 10 ** (12 / 20) + 1e-4
    assert louder(cut, (0.0, 0.0)) is cut


def test_the_faithful_preset_takes_a_step() -> None:
    """Hinge game with five discriminators of complex spectra, DAC's mels; small slices, two stages."""
    config = run_config("codec/16khz", (
        "objective.slice_frames=12", "objective.slice_margin_frames=0", "objective.adversarial_start=0",
        "model.quantizer.stages=2", "model.quantizer.size=16",
    ))  # fmt: skip
    torch.manual_seed(0)
    objective = config.family.objective(config.family.model(config.model), config.objective).train()
    needs = config.family.needs(config.model, config.objective)
    batch = fixed_batches(synthetic_examples(needs, 1, seed=1), needs, 1)[0]
    objective.initialise([batch])
    found = set()
    for update in objective.updates(batch, 0, seeded()):
        update.total().backward()
        found |= set(update.weights)
    assert found == {"discriminator", "commitment", "waveform", "multi_mel", "adversarial", "feature_matching"}
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in objective.parameters())
