"""Processes that share a batch come to the gradients of one that has it all, in every family and with equal draws."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from moksori.config import preset_names
from moksori.corpus.synthetic import synthetic_examples
from moksori.models.contract import Objective
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.training.shares import Share
from moksori.types import SpeechBatch

TINY = [(name, ()) for name in preset_names() if name.endswith("tiny")]
MORE = [
    ("vits/tiny", (
        "objective.alignment=search", "objective.window_frames=null", "model.prior={kind: token}",
        "objective.search_noise=0.01",
    )),
    ("vits/tiny", ("objective.energy_repulsion=1", "model.num_speakers=2")),
]  # fmt: skip
ITEMS = 5


def made(config: RunConfig) -> Objective:
    torch.manual_seed(0)
    return config.family.objective(config.family.model(config.model), config.objective).train()


def whole_batch(config: RunConfig) -> SpeechBatch:
    needs = config.family.needs(config.model, config.objective)
    text = getattr(config.model, "text", None)
    return fixed_batches(synthetic_examples(needs, ITEMS, seed=1, text=text), needs, ITEMS)[0]


def gradients(
    objective: Objective, share: Share, add_up: Callable[[str, Tensor], Tensor], step: int
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """Of a share: each update's own gradients by parameter, its weighed terms by name; no optimizer steps between."""
    torch.manual_seed(3)
    updates = objective.updates(share.batch, step, torch.Generator().manual_seed(4))
    found: dict[str, Tensor] = {}
    terms: dict[str, Tensor] = {}
    groups = {name: {id(p) for p in parameters} for name, parameters in objective.parameter_groups().items()}
    number = 0
    while True:
        with share.draws():
            update = next(updates, None)
        if update is None:
            return found, terms
        name, number = update.optimizer, number + 1  # one optimizer may step several times
        weighed = share.weighed(update, lambda counts, key=f"{name} {number}": add_up(key, counts))
        objective.zero_grad()
        weighed.total().backward()
        own = {
            n: p.grad.clone() for n, p in objective.named_parameters() if id(p) in groups[name] and p.grad is not None
        }
        found |= {f"{name} {n}": gradient for n, gradient in own.items()}
        terms |= {f"{name} {n}": term.detach() for n, term in weighed.terms.items()}


CASES = [(*case, 2) for case in TINY + MORE] + [("vits/tiny", (), 3)]


@pytest.mark.parametrize(("preset", "overrides", "world"), CASES, ids=lambda value: str(value)[:40])
def test_shares_add_up_to_the_whole(preset: str, overrides: tuple[str, ...], world: int) -> None:
    config = run_config(preset, overrides)
    batch = whole_batch(config)
    whole, whole_terms = gradients(made(config), Share.of(batch, 0, 1), lambda name, counts: counts, 100)

    totals: dict[str, Tensor] = {}

    def collect(name: str, counts: Tensor) -> Tensor:
        totals[name] = totals.get(name, 0.0) + counts
        return counts

    for rank in range(world):  # what an all-reduce would tell each of them
        gradients(made(config), Share.of(batch, rank, world), collect, 100)
    parts = [
        gradients(made(config), Share.of(batch, rank, world), lambda name, _: totals[name], 100)
        for rank in range(world)
    ]
    assert all(set(terms) == set(whole_terms) for _, terms in parts)
    for name, term in whole_terms.items():
        torch.testing.assert_close(sum(terms[name] for _, terms in parts), term, rtol=1e-5, atol=1e-6, msg=name)
    for name, gradient in whole.items():
        total = sum(own[name] for own, _ in parts)
        scale = float(gradient.abs().max())
        assert float((total - gradient).abs().max()) <= 1e-5 * max(scale, 1.0), (name, scale)
