"""Training: losses in closed form, who learns from what, the phases, and statistics of the data."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_world import batch_of, configured, small_model, small_objective, take_steps

from moksori.errors import ConfigError
from moksori.models.contract import Objective, Update
from moksori.models.world_vae.features import SpectrumRange, relative_pitch, temporal_median
from moksori.models.world_vae.objective import squared_error
from moksori.nn.distributions import DiagonalGaussian
from moksori.pipeline.run_config import run_config
from moksori.training.checkpoints import checkpoints
from moksori.training.loop import fit
from moksori.types import SpeechBatch


def updates(objective: Objective, step: int = 100, seed: int = 0) -> Iterator[Update]:
    return objective.updates(batch_of(4, 32, seed=3), step, torch.Generator().manual_seed(seed))


def test_the_range_maps_there_and_back_but_for_what_is_clipped() -> None:
    draw = torch.Generator().manual_seed(0)
    shapes = torch.randn(4000, 513, generator=draw) * torch.linspace(0.1, 2.0, 513) - 3.0
    found = SpectrumRange(513)
    found.fit(shapes)
    x = found(shapes)
    assert float(x.min()) == -1.0
    assert float(x.max()) == 1.0
    outside = (x.abs() == 1.0).float().mean()
    assert float(outside) == pytest.approx(0.01, abs=0.003)
    back, inside = found.inverse(x), x.abs() < 1.0
    assert torch.allclose(back[inside], shapes[inside], atol=1e-4)
    assert bool((back[x == 1.0] <= shapes[x == 1.0] + 1e-4).all())
    assert torch.equal(found.low.half().float(), found.low)  # it is the same once it was saved


def test_kl_is_torchs_and_never_negative() -> None:
    draw = torch.Generator().manual_seed(0)
    mean, log_std = torch.randn(50, 8, generator=draw), 0.5 * torch.randn(50, 8, generator=draw)
    own = DiagonalGaussian(mean, log_std).kl_to_standard()
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, log_std.exp()), torch.distributions.Normal(0.0, 1.0)
    )
    assert torch.allclose(own, theirs, atol=1e-5)
    assert float(own.min()) >= 0.0


def test_reconstruction_is_the_gaussians_and_so_is_its_gradient() -> None:
    draw = torch.Generator().manual_seed(0)
    made = torch.randn(3, 6, generator=draw, requires_grad=True)
    wanted = torch.randn(3, 6, generator=draw)
    likelihood = torch.distributions.Normal(made, 1.0).log_prob(wanted).sum(dim=1).mean()
    constant = -0.5 * 6 * torch.log(torch.tensor(2.0 * torch.pi))
    assert float(squared_error(made, wanted).detach()) == pytest.approx(
        float((constant - likelihood).detach()), rel=1e-5
    )
    squared_error(made, wanted).backward()
    assert torch.allclose(made.grad, (made.detach() - wanted) / 3.0)


def test_nothing_of_the_critic_reaches_the_encoder_and_nothing_of_reconstruction_the_critic() -> None:
    objective = small_objective().train()
    found = {}
    for update in updates(objective):
        objective.zero_grad()
        if update.optimizer == "model":
            update.terms["adversarial"].backward(retain_graph=True)
            model, critic = objective.model, objective.critic
            assert all(p.grad is None for p in model.encoder.parameters())
            assert all(p.grad is None for p in critic.parameters())  # held still while G learns
            assert any(bool(p.grad.any()) for p in model.decoder.parameters() if p.grad is not None)
            assert bool(model.speaker_embedding.weight.grad.any())
            adversarial = model.decoder.last.weight.grad.clone()
            objective.zero_grad()
            update.terms["reconstruction"].backward()
            assert all(p.grad is None for p in critic.parameters())
            assert bool(model.encoder.mean.weight.grad.any())
            assert bool(model.decoder.last.weight.grad.any())
            assert not torch.allclose(model.decoder.last.weight.grad, adversarial)
        elif update.optimizer == "critic":
            update.total().backward()
            assert all(p.grad is None for p in objective.model.parameters())
        found[update.optimizer] = found.get(update.optimizer, 0) + 1
    assert found == {"critic": 2, "model": 1, "probe": 1}
    assert all(p.requires_grad for p in objective.parameters())


def test_the_probe_tells_and_does_not_teach() -> None:
    objective = small_objective().train()
    probe = list(updates(objective))[-1]
    objective.zero_grad()
    probe.total().backward()
    assert probe.optimizer == "probe"
    assert all(p.grad is None for p in objective.model.parameters())


@pytest.mark.parametrize("kind", ["bce", "clip", "gp"])
def test_each_form_of_the_game(kind: str) -> None:
    objective = small_objective(f"objective.adversarial={kind}")
    critic = torch.optim.SGD(objective.critic.parameters(), lr=1.0)
    for update in updates(objective.train()):
        if update.optimizer == "critic":
            assert ("penalty" in update.terms) == (kind == "gp")
            critic.zero_grad()
            update.total().backward()
            critic.step()
        elif update.optimizer == "model" and kind == "clip":  # each critic step was followed by a clip
            largest = max(float(p.detach().abs().max()) for p in objective.critic.parameters())
            assert largest <= 0.01
            critic_free = [p for p in objective.critic.parameters() if float(p.detach().abs().max()) > 0.0]
            assert critic_free


def test_phases_and_bursts() -> None:
    objective = small_objective(
        "objective.adversarial_from_step=10", "objective.burst_steps=7", "objective.burst_first=3",
        "objective.burst_every=50",
    )  # fmt: skip
    assert [objective.critic_steps(step) for step in (0, 9, 10, 12, 13, 59, 60, 61)] == [0, 0, 7, 7, 2, 2, 7, 2]
    early = [update for update in updates(objective, step=9)]
    assert [update.optimizer for update in early] == ["model", "probe"]
    assert "adversarial" not in early[0].terms
    assert small_objective("objective.adversarial=none").newest_is_best is False
    assert objective.newest_is_best


def test_a_resumed_run_goes_on_in_phase_two(tmp_path: Path) -> None:
    """The switch lies at step 4, the checkpoint at 6: both optimizers go on as in a run that was not interrupted."""
    overrides = [
        "objective.adversarial_from_step=4", "objective.frames_per_clip=1", "training.max_steps=8",
        "training.save_every=6", "training.device=cpu", "training.validate_every=8",
    ]  # fmt: skip

    class Batches:
        smallest = 4

        def batch(self, step: int) -> SpeechBatch:
            return batch_of(4, 32, seed=step % 5)

    def run(folder: Path, pause_at: int | None = None) -> dict[str, torch.Tensor]:
        config = run_config("world_vae/tiny", overrides)
        objective = small_objective(*overrides)
        result = fit(objective, Batches(), [batch_of(2, 16, 50)], config.training, folder, pause_at=pause_at)
        assert result.finished == (pause_at is None)
        return {name: tensor.clone() for name, tensor in objective.state_dict().items()}

    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", pause_at=6)
    assert len(checkpoints(tmp_path / "parts" / "checkpoints")) >= 1
    again = run(tmp_path / "parts")
    for name, tensor in whole.items():
        assert torch.equal(tensor, again[name]), name


def test_a_generator_alone_learns_from_the_critic() -> None:
    with pytest.raises(ConfigError, match="set objective"):
        small_objective("model.encoder=null", "objective.adversarial=none")
    objective = small_objective("model.encoder=null", "objective.adversarial=bce", "objective.adversarial_from_step=0")
    for update in updates(objective.train(), step=0):
        if update.optimizer == "model":
            assert set(update.weights) == {"adversarial"}
            update.total().backward()
    assert bool(objective.model.decoder.last.weight.grad.any())
    found = objective.eval().validate(batch_of(2, 16, 0), torch.Generator().manual_seed(0))
    assert "latent_gain" not in found
    assert bool(torch.isfinite(found["total"]))


def test_statistics_of_the_data() -> None:
    """The range over all frames; each speaker's pitch; variances for the post-filter, which then reaches them."""
    objective = small_objective("model.post_filter=1.0", "objective.adversarial=none")
    batches = [batch_of(8, 32, seed) for seed in range(3)]
    objective.initialise(batches)
    every = torch.cat([b.envelopes[:, :, 0].flatten(0, 1) for b in batches])
    share = (every < objective.model.range.low).float().mean()
    assert float(share) == pytest.approx(0.005, abs=0.004)
    for speaker, hertz in enumerate((110.0, 210.0)):
        known = objective.model.known_pitch(speaker)
        assert known.mean == pytest.approx(torch.log(torch.tensor(hertz)).item(), abs=0.03)
        assert known.deviation == pytest.approx(0.15, abs=0.02)
    model = objective.model.eval()
    objective.calibrate(model, batches)
    with torch.no_grad():
        x = model.range(every[:256].unsqueeze(1))
        made = model.decode(model.posterior(x).mean, torch.zeros(256, dtype=torch.long))
        wider = model.filtered(made, 0)
    plain = small_model("model.post_filter=0.0")
    assert torch.equal(plain.filtered(made, 0), made)
    gain = (wider.var(dim=0) / made.var(dim=0)).sqrt()
    assert float(gain.min()) >= 1.0
    assert float(gain.max()) <= 3.0 + 1e-4
    assert torch.allclose(wider.mean(dim=0), made.mean(dim=0), atol=0.05)


def test_one_speaker_is_told(caplog: pytest.LogCaptureFixture) -> None:
    objective = small_objective("model.num_speakers=1")
    batch = batch_of(2, 16, 0)
    alone = SpeechBatch(
        batch.names, batch.waveform, batch.waveform_lengths, batch.speaker * 0, envelopes=batch.envelopes,
        envelope_lengths=batch.envelope_lengths, envelope_f0=batch.envelope_f0,
    )  # fmt: skip
    objective.initialise([alone])
    assert "the corpus has one speaker" in caplog.text
    terms = [update.terms for update in objective.train().updates(alone, 100, torch.Generator().manual_seed(0))]
    assert all(bool(torch.isfinite(value)) for part in terms for value in part.values())


def test_a_batch_without_envelopes_is_told() -> None:
    objective = small_objective()
    batch = SpeechBatch(("a",), torch.zeros(1, 80), torch.tensor([80]), torch.tensor([0]))
    with pytest.raises(ConfigError, match="no spectral envelopes"):
        next(iter(objective.updates(batch, 0)))


def test_several_frames_are_heard_for_one() -> None:
    objective = small_objective("model.context_frames=3")
    batch = batch_of(4, 32, 0, context=3)
    list(objective.train().updates(batch, 100, torch.Generator().manual_seed(0)))
    needs = configured("model.context_frames=3")
    assert needs.family.needs(needs.model, needs.objective).envelopes.context == 3
    assert objective.model.encoder.layers[0][0].conv.in_channels == 3


def test_features_of_frames() -> None:
    x = torch.tensor([[0.0], [5.0], [1.0], [2.0], [3.0]])
    assert temporal_median(x, 3)[:, 0].tolist() == [1.0, 2.0, 2.0]
    assert temporal_median(x, 1) is x
    found = relative_pitch(torch.tensor([0.0, 200.0]), torch.tensor(5.0), torch.tensor(0.1))
    assert found[0].tolist() == [0.0, 0.0]
    assert found[1, 0].item() == pytest.approx((torch.log(torch.tensor(200.0)).item() - 5.0) / 0.1, rel=1e-4)
    assert found[1, 1].item() == 1.0


def test_readings_come_with_training() -> None:
    objective = small_objective("objective.adversarial_from_step=2")
    objective.initialise([batch_of(4, 32, seed) for seed in range(2)])
    take_steps(objective, 4)
    found = objective.eval().validate(batch_of(4, 32, 9), torch.Generator().manual_seed(0))
    wanted = {"spread", "distance", "reconstruction", "kl", "latent_gain", "speaker_gain", "leak_probe", "total"}
    assert set(found) == wanted
    assert float(found["total"]) == pytest.approx(float(found["reconstruction"] + found["kl"]), rel=1e-5)
    pictures = objective.pictures(batch_of(2, 16, 0))
    assert {picture.shape for picture in pictures.values()} == {(513, 32)}
