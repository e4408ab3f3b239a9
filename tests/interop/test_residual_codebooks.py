"""Residual codebooks agree with the package vector-quantize-pytorch: codes, sums, commitment, moving averages.

Checked against version 1.32.0.
"""

import pytest
import torch

from moksori.nn.residual_quantize import ResidualQuantizer
from moksori.nn.vector_quantize import VectorQuantizer

package = pytest.importorskip(
    "vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed: it is what is compared with"
)
CHANNELS, SIZE, STAGES, DECAY = 6, 24, 3, 0.9


def both() -> tuple[ResidualQuantizer, torch.nn.Module]:
    """Ours and theirs with the same codebooks, which are also the moving averages' beginning."""
    ours = ResidualQuantizer(CHANNELS, SIZE, STAGES, dropout=0.0, decay=DECAY, restart_after=0)
    theirs = package.ResidualVQ(
        dim=CHANNELS, num_quantizers=STAGES, codebook_size=SIZE, decay=DECAY, threshold_ema_dead_code=0,
        rotation_trick=False, kmeans_init=False,
    )  # fmt: skip
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for index, stage in enumerate(ours.stages):
            assert isinstance(stage, VectorQuantizer)
            book = 0.5**index * torch.randn(SIZE, CHANNELS, generator=draw)
            stage.codebook.copy_(book)
            stage.sums.copy_(book)
            stage.counts.fill_(1.0)
            other = theirs.layers[index]._codebook
            other.embed.copy_(book[None])
            other.embed_avg.copy_(book[None])
            other.cluster_size.fill_(1.0)
    return ours, theirs


def test_codes_sums_and_commitment_are_equal() -> None:
    ours, theirs = both()
    states = torch.randn(2, 50, CHANNELS, generator=torch.Generator().manual_seed(1))
    found = ours.eval()(states.transpose(1, 2))
    latent, codes, _ = theirs.eval()(states)
    assert torch.equal(found.codes, codes.transpose(1, 2))
    torch.testing.assert_close(found.latent.transpose(1, 2), latent)
    torch.testing.assert_close(ours.lookup(found.codes).transpose(1, 2), theirs.get_output_from_indices(codes))
    found = ours.train()(states.transpose(1, 2))
    _, _, losses = theirs.train()(states)
    assert float(found.commitment) == pytest.approx(float(losses.mean()), rel=1e-4)


def test_codebooks_move_alike() -> None:
    ours, theirs = both()
    ours.train(), theirs.train()
    for step in range(4):
        states = torch.randn(3, 60, CHANNELS, generator=torch.Generator().manual_seed(10 + step))
        found = ours(states.transpose(1, 2))
        _, codes, _ = theirs(states)
        assert torch.equal(found.codes, codes.transpose(1, 2))
    for index in range(STAGES):
        book = theirs.layers[index]._codebook.embed[0]
        torch.testing.assert_close(ours.codebooks[index], book, rtol=1e-4, atol=1e-4)
