"""Residual codebooks: sums of vectors, what each stage learns, dropout, codes that die and come back."""

import numpy as np
import pytest
import torch

from moksori.nn.residual_quantize import ResidualQuantizer
from moksori.nn.vector_quantize import VectorQuantizer


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filled(quantizer: ResidualQuantizer, seed: int = 1) -> ResidualQuantizer:
    """With codebooks of random vectors, each stage's half as long as those before."""
    with torch.no_grad():
        for index, stage in enumerate(quantizer.stages):
            assert isinstance(stage, VectorQuantizer)
            stage.codebook.copy_(0.5**index * drawn(*stage.codebook.shape, seed=seed + index))
            stage.sums.copy_(stage.codebook)
    return quantizer


def test_each_stage_takes_the_nearest_of_what_is_left() -> None:
    quantizer, states = filled(ResidualQuantizer(5, 16, 4)).eval(), drawn(2, 5, 30)
    found = quantizer(states)
    left = states.transpose(1, 2)
    for stage in range(4):
        book = quantizer.codebooks[stage]
        expected = (left[:, :, None] - book).square().sum(dim=-1).argmin(dim=-1)
        assert torch.equal(found.codes[:, stage], expected)
        left = left - book[expected]
    torch.testing.assert_close(found.latent, states - left.transpose(1, 2))
    assert torch.equal(found.codes, quantizer.codes(states))
    assert torch.equal(found.codes[:, :2], quantizer.codes(states, 2))


def test_latents_are_sums_of_rows_and_codes_pass_through_uint16() -> None:
    quantizer, states = filled(ResidualQuantizer(5, 300, 3)).eval(), drawn(2, 5, 30)
    found = quantizer(states)
    stored = found.codes.numpy().astype(np.uint16)
    codes = torch.from_numpy(stored.astype(np.int64))
    rows = sum(quantizer.codebooks[stage][codes[:, stage]] for stage in range(3))
    torch.testing.assert_close(quantizer.lookup(codes), rows.transpose(1, 2))
    torch.testing.assert_close(quantizer.lookup(codes), found.latent)
    part = sum(quantizer.codebooks[stage][codes[:, stage]] for stage in range(2))
    torch.testing.assert_close(quantizer.lookup(codes[:, :2]), part.transpose(1, 2))


def test_the_gradient_passes_and_commitment_is_of_each_residual() -> None:
    quantizer, states = filled(ResidualQuantizer(4, 8, 3, dropout=0.0)).eval(), drawn(2, 4, 9).requires_grad_()
    wanted = drawn(2, 4, 9, seed=5)
    found = quantizer(states)
    (found.latent * wanted).sum().backward()
    assert torch.equal(states.grad, wanted)
    left, squares = states.detach(), []
    for stage in range(3):
        left = left - quantizer.codebooks[stage][found.codes[:, stage]].transpose(1, 2)
        squares.append(left.square().mean())
    assert float(found.commitment.detach()) == pytest.approx(float(torch.stack(squares).mean()), rel=1e-5)
    states.grad = None
    found = quantizer(states)
    found.commitment.backward()
    residuals = [states.detach() - quantizer.lookup(found.codes[:, : stage + 1]) for stage in range(3)]
    expected = sum(2.0 * residual / residual.numel() / 3.0 for residual in residuals)
    torch.testing.assert_close(states.grad, expected)


def test_the_moving_average_is_that_of_a_restatement_in_numpy() -> None:
    """Two steps of N <- d N + (1 - d) n, M <- d M + (1 - d) sum, C = M / smoothed N, stage by stage."""
    size, decay, epsilon = 6, 0.9, 1e-5
    quantizer = filled(ResidualQuantizer(3, size, 2, dropout=0.0, decay=decay, restart_after=0)).train()
    counts = [np.ones(size) for _ in range(2)]
    sums = [quantizer.codebooks[stage].double().numpy().copy() for stage in range(2)]
    books = [total.copy() for total in sums]
    for step in range(2):
        states = drawn(2, 3, 20, seed=10 + step)
        quantizer(states)
        left = states.double().transpose(1, 2).reshape(-1, 3).numpy()
        for stage in range(2):
            codes = ((left[:, None] - books[stage]) ** 2).sum(axis=2).argmin(axis=1)
            chosen = books[stage][codes]
            taken = np.eye(size)[codes]
            counts[stage] = decay * counts[stage] + (1 - decay) * taken.sum(axis=0)
            sums[stage] = decay * sums[stage] + (1 - decay) * taken.T @ left
            total = counts[stage].sum()
            counts[stage] = (counts[stage] + epsilon) * total / (total + size * epsilon)
            books[stage] = sums[stage] / counts[stage][:, None]
            left = left - chosen
    for stage in range(2):
        np.testing.assert_allclose(quantizer.codebooks[stage].numpy(), books[stage], rtol=1e-4, atol=1e-5)


def test_a_dead_code_comes_back_among_the_residuals_and_stays() -> None:
    quantizer = filled(ResidualQuantizer(2, 4, 2, dropout=0.0, restart_below=0.1, restart_after=3)).train()
    stage = quantizer.stages[1]
    assert isinstance(stage, VectorQuantizer)
    with torch.no_grad():
        stage.codebook[2] = stage.sums[2] = 1e4  # where nothing ever is
        stage.counts[2] = 0.0
    generator = torch.Generator().manual_seed(0)
    far = []
    for step in range(12):
        quantizer(drawn(3, 2, 40, seed=step), generator=generator)
        far.append(float(stage.codebook[2].abs().max()))
    assert far[0] > 1e3
    assert max(far[3:]) < 5.0
    assert float(stage.counts[2]) > 0.1 * float(stage.counts.mean())


def test_dropout_uses_the_first_stages_alone() -> None:
    quantizer, states = filled(ResidualQuantizer(4, 8, 4)).train(), drawn(3, 4, 10)
    before = [stage.counts.clone() for stage in quantizer.stages if isinstance(stage, VectorQuantizer)]
    found = quantizer(states, kept=torch.tensor([1, 2, 2]))
    assert not bool(found.codes[0, 1:].any())
    assert not bool(found.codes[:, 2:].any())
    for stage in (2, 3):  # what nobody used has learnt nothing, and its counts fade
        part = quantizer.stages[stage]
        assert isinstance(part, VectorQuantizer)
        assert float(part.counts.sum()) < float(before[stage].sum())
    quantizer = filled(ResidualQuantizer(4, 8, 4))
    codes = quantizer.eval().codes(states)
    kept = filled(ResidualQuantizer(4, 8, 4)).train()(states, kept=torch.tensor([1, 2, 4]))
    for row, stages in enumerate((1, 2, 4)):
        torch.testing.assert_close(kept.latent[row], quantizer.lookup(codes[row : row + 1, :stages])[0])


def test_dropout_draws_every_number_of_stages_for_its_share_of_the_items() -> None:
    quantizer = filled(ResidualQuantizer(2, 4, 4, dropout=0.5)).train()
    with torch.no_grad():  # 0 is never the nearest
        for stage in quantizer.stages:
            assert isinstance(stage, VectorQuantizer)
            stage.codebook[0] = 1e3
    found = quantizer(drawn(4000, 2, 1), generator=torch.Generator().manual_seed(0))
    kept = (found.codes[:, :, 0] > 0).sum(dim=1)
    shares = torch.bincount(kept, minlength=5)[1:] / len(kept)
    torch.testing.assert_close(shares, torch.tensor([0.125, 0.125, 0.125, 0.625]), atol=0.03, rtol=0.0)


def test_padding_is_neither_learnt_nor_passed_on() -> None:
    states = drawn(2, 3, 12)
    mask = torch.ones(2, 1, 12, dtype=torch.bool)
    mask[1, :, 7:] = False
    louder = torch.where(mask, states, torch.full_like(states, 1e3))
    made = [filled(ResidualQuantizer(3, 8, 2, dropout=0.0)).train() for _ in range(2)]
    found = [
        q(x, mask, generator=torch.Generator().manual_seed(0)) for q, x in zip(made, (states, louder), strict=True)
    ]
    assert torch.equal(made[0].codebooks, made[1].codebooks)
    assert torch.equal(found[0].latent, found[1].latent)
    assert not bool(found[1].latent[1, :, 7:].any())
    assert float(found[0].commitment) == pytest.approx(float(found[1].commitment))


def test_start_leaves_less_with_every_stage() -> None:
    quantizer = ResidualQuantizer(3, 32, 3).eval()
    states = drawn(1, 3, 600)
    assert not bool(quantizer.started)
    quantizer.start(states[0].T, torch.Generator().manual_seed(0))
    assert bool(quantizer.started)
    left = [float((states - quantizer.lookup(quantizer.codes(states, count))).square().mean()) for count in (1, 2, 3)]
    assert left[0] < 0.35
    assert left[1] < 0.35 * left[0]
    assert left[2] < 0.5 * left[1]


def test_stages_that_are_not_there() -> None:
    quantizer = ResidualQuantizer(3, 8, 2)
    with pytest.raises(ValueError, match="0 stages: this quantiser has 1 to 2"):
        quantizer.codes(drawn(1, 3, 4), 0)
    with pytest.raises(ValueError, match="codes of 3 stages"):
        quantizer.lookup(torch.zeros(1, 3, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="0 stages"):
        ResidualQuantizer(3, 8, 0)


def test_bfloat16_states_are_quantised_in_float32() -> None:
    quantizer, states = filled(ResidualQuantizer(4, 16, 3)).eval(), drawn(1, 4, 20).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = quantizer(states)
    assert found.latent.dtype == torch.float32
    assert torch.equal(found.codes, quantizer.codes(states.float()))
