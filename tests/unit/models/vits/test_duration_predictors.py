"""Duration predictors: a proper likelihood, learning, sampling, masks, detachment."""

import pytest
import torch
from torch import Tensor, nn

from moksori.models.vits.duration_predictors import DeterministicDurationPredictor, StochasticDurationPredictor
from moksori.nn.masks import sequence_mask


@torch.no_grad()
def shake(module: nn.Module, amount: float = 0.2) -> None:
    for parameter in module.parameters():
        parameter.add_(amount * torch.randn_like(parameter))


def small_stochastic(**changes: object) -> StochasticDurationPredictor:
    torch.manual_seed(0)
    return StochasticDurationPredictor(6, hidden_channels=8, **changes)


def small_deterministic(**changes: object) -> DeterministicDurationPredictor:
    torch.manual_seed(0)
    return DeterministicDurationPredictor(6, hidden_channels=8, **changes)


def ones_mask(tokens: int, batch: int = 1) -> Tensor:
    return torch.ones(batch, 1, tokens, dtype=torch.bool)


def test_published_size() -> None:
    assert round(sum(p.numel() for p in StochasticDurationPredictor(192).parameters()) / 1e6, 2) == 1.32


def test_probabilities_of_all_durations_sum_to_one() -> None:
    """exp(-bound) is an unbiased estimate of p(d | text), so its mean, summed over d = 1, 2, ..., is 1.

    One wrong sign or missing log-determinant anywhere in the two flows breaks this.
    """
    predictor = small_stochastic(kernel_size=1).double().eval()
    shake(predictor, 0.04)
    draws, longest = 2000, 16
    durations = torch.arange(1, longest + 1).repeat_interleave(draws)[:, None]
    text = torch.randn(1, 6, 1).double().expand(len(durations), -1, -1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        bound = predictor.negative_log_likelihood(text, ones_mask(1, len(durations)), durations, generator=generator)
    probabilities = torch.exp(-bound).reshape(longest, draws).mean(dim=1)
    assert probabilities[-1] < 0.003  # what is longer than `longest` hardly counts
    assert probabilities.sum().item() == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("duration", [1, 2, 1000])
def test_loss_is_finite_for_any_duration(duration: int) -> None:
    predictor = small_stochastic()
    shake(predictor)
    loss = predictor.loss(torch.randn(2, 6, 5), ones_mask(5, 2), torch.full((2, 5), duration))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in predictor.parameters())


def test_loss_is_the_mean_per_valid_token() -> None:
    predictor = small_stochastic().double().eval()
    shake(predictor)
    x, durations = torch.randn(2, 6, 5).double(), torch.randint(1, 9, (2, 5))
    mask = sequence_mask(torch.tensor([5, 2]))
    bounds = predictor.negative_log_likelihood(x, mask, durations, generator=torch.Generator().manual_seed(2))
    loss = predictor.loss(x, mask, durations, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(loss, bounds.sum() / 7)
    # Padding changes nothing: neither its text nor its durations.
    changed_x, changed = torch.where(mask, x, 9.0), torch.where(mask[:, 0], durations, 77)
    again = predictor.loss(changed_x, mask, changed, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(again, loss, atol=1e-10, rtol=0)


def test_sampling_inverts_the_flow() -> None:
    """Durations pushed through the main flow come back from their noise, though sampling leaves one spline out."""
    predictor = small_stochastic().double().eval()
    shake(predictor)
    text, mask = torch.randn(2, 6, 7).double(), sequence_mask(torch.tensor([7, 4]))
    log_durations = torch.randn(2, 2, 7).double() * mask
    condition = predictor._text(text, mask, None)
    noise, _ = predictor.flow(log_durations, mask, condition)
    torch.testing.assert_close(predictor.transform(noise, text, mask), log_durations[:, 0], atol=1e-8, rtol=0)


def test_learns_poisson_durations() -> None:
    """Two kinds of token with means 3 and 11: the bound falls, and samples reproduce the means within 5 %."""
    torch.manual_seed(3)
    generator = torch.Generator().manual_seed(4)
    predictor = StochasticDurationPredictor(2, hidden_channels=16, dropout=0.0, num_flows=2)
    steps = 80
    optimizer = torch.optim.Adam(predictor.parameters(), lr=1e-2, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=5e-4)
    mask = ones_mask(64, 4)
    kinds = torch.arange(64).remainder(2).expand(4, -1)
    text = nn.functional.one_hot(kinds, 2).float().transpose(1, 2)
    means = torch.tensor([2.0, 10.0])[kinds]
    losses = []
    for _ in range(steps):
        durations = 1 + torch.poisson(means, generator=generator)
        loss = predictor.loss(text, mask, durations, generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) / 20 < sum(losses[:3]) / 3 - 0.5
    predictor.eval()
    with torch.no_grad():
        drawn = [predictor.sample(text, mask, temperature=1.0, generator=generator) for _ in range(16)]
    frames = torch.stack(drawn).exp().ceil()
    for kind, mean in enumerate((3.0, 11.0)):
        assert frames[:, kinds == kind].mean().item() == pytest.approx(mean, rel=0.05)


def test_sample_follows_temperature_generator_and_condition() -> None:
    predictor = small_stochastic(condition_channels=3).eval()
    shake(predictor)
    x, mask, speaker = torch.randn(2, 6, 5), sequence_mask(torch.tensor([5, 3])), torch.randn(2, 3, 1)

    def sample(temperature: float, seed: int, condition: Tensor = speaker) -> Tensor:
        return predictor.sample(x, mask, condition, temperature, torch.Generator().manual_seed(seed))

    assert sample(0.8, 1).shape == (2, 5)
    assert torch.equal(sample(0.8, 1), sample(0.8, 1))
    assert not torch.equal(sample(0.8, 1), sample(0.8, 2))
    assert torch.equal(sample(0.0, 1), sample(0.0, 2))
    assert not torch.equal(sample(0.0, 1), sample(0.0, 1, speaker + 1))
    assert torch.count_nonzero(sample(0.8, 1)[1, 3:]) == 0


def test_transform_ignores_padding_and_batch() -> None:
    predictor = small_stochastic().double().eval()
    shake(predictor)
    x, noise = torch.randn(2, 6, 9).double(), torch.randn(2, 2, 9).double()
    mask = sequence_mask(torch.tensor([9, 4]))
    out = predictor.transform(noise, x, mask)
    changed = predictor.transform(torch.where(mask, noise, 3.0), torch.where(mask, x, 50.0), mask)
    torch.testing.assert_close(changed, out, atol=1e-9, rtol=0)
    alone = predictor.transform(noise[1:, :, :4], x[1:, :, :4], mask[1:, :, :4])
    torch.testing.assert_close(out[1:, :4], alone, atol=1e-9, rtol=0)


def test_one_exported_graph_serves_any_length() -> None:
    """Splines, flows and noise without branches on data: what ONNX export needs."""
    predictor = small_stochastic(num_flows=2).eval()
    shake(predictor)

    class Sampler(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.predictor = predictor

        def forward(self, noise: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
            return self.predictor.transform(noise, x, mask), self.predictor.sample(x, mask)

    length = torch.export.Dim("length", min=2, max=1000)
    example = torch.randn(1, 2, 9), torch.randn(1, 6, 9), ones_mask(9)
    with torch.no_grad():
        graph = torch.export.export(Sampler(), example, dynamic_shapes=tuple({2: length} for _ in example)).module()
        for tokens in (2, 31):
            inputs = torch.randn(1, 2, tokens), torch.randn(1, 6, tokens), ones_mask(tokens)
            exported, drawn = graph(*inputs)
            torch.testing.assert_close(exported, predictor.transform(*inputs))
            assert drawn.shape == (1, tokens)


@pytest.mark.parametrize("build", [small_stochastic, small_deterministic])
def test_text_and_speaker_get_no_gradient(build: object) -> None:
    predictor = build(condition_channels=3)
    x = torch.randn(1, 6, 5, requires_grad=True)
    speaker = torch.randn(1, 3, 1, requires_grad=True)
    predictor.loss(x, ones_mask(5), torch.randint(1, 9, (1, 5)), speaker).backward()
    assert x.grad is None
    assert speaker.grad is None
    assert predictor.condition.projection.weight.grad is not None


def test_stochastic_is_float32_under_autocast() -> None:
    predictor = small_stochastic().eval()
    shake(predictor)
    x, mask, durations = torch.randn(1, 6, 5), ones_mask(5), torch.randint(1, 9, (1, 5))
    expected = predictor.loss(x, mask, durations, generator=torch.Generator().manual_seed(5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = predictor.loss(x, mask, durations, generator=torch.Generator().manual_seed(5))
        low = predictor.sample(x.bfloat16(), mask)
    torch.testing.assert_close(loss, expected)
    assert low.dtype == torch.float32


def test_deterministic_written_out() -> None:
    predictor = small_deterministic().double().eval()
    x = torch.randn(1, 6, 7).double()
    y = predictor.first_norm(torch.relu(predictor.first(x)))
    y = predictor.second_norm(torch.relu(predictor.second(y)))
    torch.testing.assert_close(predictor(x, ones_mask(7)), predictor.projection(y)[:, 0], atol=1e-12, rtol=0)


def test_deterministic_ignores_padding_and_batch() -> None:
    predictor = small_deterministic().double().eval()
    x, mask = torch.randn(2, 6, 9).double(), sequence_mask(torch.tensor([9, 4]))
    out = predictor(x, mask)
    torch.testing.assert_close(predictor(torch.where(mask, x, 50.0), mask), out, atol=1e-10, rtol=0)
    torch.testing.assert_close(out[1:, :4], predictor(x[1:, :, :4], mask[1:, :, :4]), atol=1e-10, rtol=0)
    assert torch.count_nonzero(out[1, 4:]) == 0


def test_deterministic_learns_durations_by_token() -> None:
    torch.manual_seed(6)
    predictor = DeterministicDurationPredictor(2, hidden_channels=16, dropout=0.0)
    optimizer = torch.optim.Adam(predictor.parameters(), lr=1e-2)
    kinds = torch.tensor([[0, 1, 1, 0, 1, 0, 0, 1]])
    text = nn.functional.one_hot(kinds, 2).float().transpose(1, 2)
    durations = torch.tensor([4, 15])[kinds]
    for _ in range(100):
        optimizer.zero_grad()
        predictor.loss(text, ones_mask(8), durations).backward()
        optimizer.step()
    torch.testing.assert_close(predictor(text, ones_mask(8)).exp(), durations.float(), rtol=0.05, atol=0)
