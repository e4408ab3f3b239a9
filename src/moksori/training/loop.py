"""The training loop: one for all families, adversarial or not. It knows objectives and batches, no family.

Everything random in step k follows from (seed, k), and batch k is a pure function of k, so that a killed run continues
as the unbroken one would, bit for bit on the CPU. Several processes run this same loop side by side, each with its
share of every batch; what must be equal in all of them is added up over them, or said by the first.
"""

import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moksori.errors import MoksoriError
from moksori.models.contract import Objective, Update
from moksori.training.checkpoints import TrainingState, checkpoints, load_checkpoint, prune, save_checkpoint
from moksori.training.config import OptimizerConfig, TrainingConfig
from moksori.training.ema import AveragedModel
from moksori.training.log import RunLog
from moksori.training.processes import Crew, assembled
from moksori.training.schedules import learning_rate
from moksori.training.shares import Share
from moksori.training.team import Batches, Team
from moksori.types import SpeechBatch

logger = logging.getLogger(__name__)


class TrainingFailed(MoksoriError):
    """A loss or gradient is not a number; the message names the clips of the batch."""


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after each step."""

    step: int
    elapsed_seconds: float
    remaining_seconds: float | None
    steps_per_second: float
    terms: Mapping[str, float]


@dataclass(frozen=True)
class Watcher:
    """Callbacks of a run.

    on_step: for a progress bar. speak: renders fixed sentences with the averaged weights. on_best: is given the
    averaged weights to export whenever they validate best (at each validation where the objective's newest are its
    best), and at the end of a run without validation.
    Of several processes only the first tells its watcher.
    """

    on_step: Callable[[Progress], None] = lambda progress: None
    speak: Callable[[torch.nn.Module, int, RunLog], None] = lambda model, step, log: None
    on_best: Callable[[torch.nn.Module, TrainingState], None] = lambda model, state: None


@dataclass(frozen=True)
class FitResult:
    """The end of a run: the averaged model, where the run stands, and whether it is patience that ended it."""

    averaged: AveragedModel
    state: TrainingState
    finished: bool
    stopped_early: bool = False


def fit(
    objective: Objective,
    batches: Batches,
    validation: Sequence[SpeechBatch],
    config: TrainingConfig,
    folder: Path,
    watcher: Watcher | None = None,
    resume: bool = True,
    initialise: bool = True,
    pause_at: int | None = None,
    crew: Crew | None = None,
) -> FitResult:
    """Trains until max_steps, max_minutes or the end of patience, leaving checkpoints and logs under `folder`.

    resume: goes on from the newest checkpoint in `folder/checkpoints`, if there is one.
    initialise: lets the objective take statistics of the data first; False where weights were taken over with theirs.
    pause_at: stops after this many steps without changing the schedule; a later call goes on.
    crew: further processes that share each batch. Gradients, logged terms and averaged weights are those of one process
    but for the order of additions; this one alone validates, calls the watcher and writes.
    Raises TrainingFailed, naming the clips, when a loss or a gradient is not finite; ConfigError for a crew that cannot
    share the batches, and ProcessEnded where one of it fails.
    """
    with assembled(config, crew, _follow) as team:
        device = team.fabric.device
        objective.to(device).train()
        saved = checkpoints(folder / "checkpoints") if resume and team.is_first else []
        if initialise and team.is_first and not saved:
            objective.initialise(batches.batch(step).to(device) for step in range(8))
        start = saved[-1] if saved else None
        return _train(objective, batches, validation, config, folder, watcher or Watcher(), start, pause_at, team)


def _follow(objective: Objective, config: TrainingConfig, team: Team) -> None:
    """The same run in a process beside the first, which is told everything."""
    _train(objective.to(team.fabric.device).train(), None, (), config, Path(), Watcher(), None, None, team)


def _train(
    objective: Objective,
    batches: Batches | None,
    validation: Sequence[SpeechBatch],
    config: TrainingConfig,
    folder: Path,
    watcher: Watcher,
    start: Path | None,
    pause_at: int | None,
    team: Team,
) -> FitResult:
    """The loop. batches, validation, folder, watcher, start (a checkpoint) and pause_at matter in the first process."""
    optimizers = {
        name: _optimizer(list(parameters), _settings(config, name), team.fabric.device)
        for name, parameters in objective.parameter_groups().items()
    }
    averaged = AveragedModel(objective.model, config.ema_decay)
    state = TrainingState()
    if start is not None:
        state = load_checkpoint(start, objective, averaged, optimizers)
        logger.info("resumed from %s", start)
    state = _taken_from_first(objective, averaged, optimizers, state, team)
    log = RunLog(folder, steps_done=state.step) if team.is_first else None
    rates: list[float] = []
    try:
        while _goes_on(state, config, pause_at, team):
            began = time.perf_counter()
            terms = _step(objective, optimizers, team.share(batches, state.step), config, state, team)
            state.step += 1
            averaged.update(objective.model, state.step)
            spent = time.perf_counter() - began
            state.elapsed_seconds += spent
            if log is None:
                continue
            rates = [*rates[-49:], spent]
            if state.step % config.log_every == 0 or state.step == 1:
                log.scalars(state.step, "train", terms | {"seconds_per_step": sum(rates) / len(rates)})
            watcher.on_step(_progress(state, config, rates, terms))
            if _due(state, config):
                with team.alone():
                    _periodic(objective, averaged, optimizers, validation, config, state, folder, log, watcher)
    finally:
        if log is not None:
            log.close()
    if log is not None and not (folder / "checkpoints" / f"step-{state.step:08d}").exists():
        save_checkpoint(folder / "checkpoints", objective, averaged, optimizers, state)
    team.fabric.barrier()
    return FitResult(averaged, state, _done(state, config), _out_of_patience(state, config))


def _taken_from_first(
    objective: Objective,
    averaged: AveragedModel,
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: TrainingState,
    team: Team,
) -> TrainingState:
    """Gives all processes the first one's weights, statistics and optimizers, and returns its state."""
    if team.world == 1:
        return state
    holders: dict[str, Any] = {
        "objective": objective,
        "averaged": averaged.model,
        **{f"of {n}": o for n, o in optimizers.items()},
    }
    buffer = io.BytesIO()
    if team.is_first:
        torch.save([asdict(state), {name: holder.state_dict() for name, holder in holders.items()}], buffer)
    told, states = torch.load(io.BytesIO(team.first_says(buffer.getvalue())), map_location="cpu")
    if team.is_first:
        return state
    for name, holder in holders.items():
        holder.load_state_dict(states[name])
    return TrainingState(**told)


def _goes_on(state: TrainingState, config: TrainingConfig, pause_at: int | None, team: Team) -> bool:
    """Whether another step comes. The first process's clock counts, for the learning rate too, so that all agree."""
    own = not _done(state, config) and (pause_at is None or state.step < pause_at)
    more, state.elapsed_seconds = team.first_says((own, state.elapsed_seconds))
    return bool(more)


def _step(
    objective: Objective,
    optimizers: Mapping[str, torch.optim.Optimizer],
    share: Share,
    config: TrainingConfig,
    state: TrainingState,
    team: Team,
) -> dict[str, float]:
    """One training step: every update of the objective, each with its own optimizer; returns what to log."""
    torch.manual_seed(_seed(config.seed, state.step))  # dropout
    generator = torch.Generator(device=share.batch.waveform.device).manual_seed(_seed(config.seed + 1, state.step))
    objective.train()
    updates = objective.updates(share.batch, state.step, generator)
    logged: dict[str, float] = {}
    while True:
        with team.fabric.autocast(), share.draws():
            update = next(updates, None)
        if update is None:
            return logged
        optimizer = optimizers[update.optimizer]
        settings = _settings(config, update.optimizer)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, state.step, _fraction_done(state, config))
        optimizer.zero_grad(set_to_none=True)
        update = share.weighed(update, team.add_up)
        team.fabric.backward(update.total())
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        update = _added_up(update, gradients, team)
        total, norm = update.total(), torch.nn.utils.get_total_norm(gradients)
        _refuse_nan(total, update, share.names, state.step)
        _refuse_nan(norm, update, share.names, state.step)
        if settings.clip_norm is not None:
            torch._foreach_mul_(gradients, torch.clamp(settings.clip_norm / (norm + 1e-6), max=1.0))
        optimizer.step()
        objective.observe(update.terms)
        logged |= {name: float(value) for name, value in update.terms.items()}
        logged |= {f"{update.optimizer}/total": float(total), f"{update.optimizer}/gradient_norm": float(norm)}
        logged[f"{update.optimizer}/learning_rate"] = float(optimizer.param_groups[0]["lr"])


def _added_up(update: Update, gradients: Sequence[Tensor], team: Team) -> Update:
    """Terms (without their graphs) and, in place, gradients of the whole batch: what all processes have, added up."""
    terms = {name: term.detach() for name, term in update.terms.items()}
    if team.world > 1:
        values = torch.stack([term.float() for term in terms.values()])
        total = team.add_up(torch.cat([values, *(gradient.flatten() for gradient in gradients)]))
        values, *sums = total.split([len(values), *(gradient.numel() for gradient in gradients)])
        for gradient, part in zip(gradients, sums, strict=True):
            gradient.copy_(part.view_as(gradient))
        terms = dict(zip(terms, values, strict=True))
    return replace(update, terms=terms)


def _periodic(
    objective: Objective,
    averaged: AveragedModel,
    optimizers: Mapping[str, torch.optim.Optimizer],
    validation: Sequence[SpeechBatch],
    config: TrainingConfig,
    state: TrainingState,
    folder: Path,
    log: RunLog,
    watcher: Watcher,
) -> None:
    """Validation, spoken sentences and checkpoints, when their step has come or the run ends."""
    ends = _done(state, config)
    best = False
    if validation and (state.step % config.validate_every == 0 or ends):
        measures = validate(objective, averaged, validation, config.seed)
        log.scalars(state.step, "valid", measures)
        best = measures["total"] < state.best_total
        state.validations_since_best += 1
        if best:
            state.best_total, state.best_step, state.validations_since_best = measures["total"], state.step, 0
        ends = _done(state, config)
        best = best or objective.newest_is_best
    if best or (ends and not validation):
        watcher.on_best(averaged.model, state)
    if config.speak_every and (state.step % config.speak_every == 0 or ends):
        if validation:
            _draw(objective, averaged, validation[0], state.step, config.seed, log)
        watcher.speak(averaged.model, state.step, log)
    if best or ends or state.step % config.save_every == 0:
        save_checkpoint(folder / "checkpoints", objective, averaged, optimizers, state)
        prune(folder / "checkpoints", config.keep_checkpoints, state.best_step)


@torch.no_grad()
def validate(
    objective: Objective, averaged: AveragedModel, validation: Sequence[SpeechBatch], seed: int
) -> dict[str, float]:
    """Mean measures of the held-out batches under the averaged weights; equal for equal weights and seed."""
    totals: dict[str, float] = {}
    with _averaged(objective, averaged) as device:
        for index, batch in enumerate(validation):
            generator = torch.Generator(device=device).manual_seed(_seed(seed + 2, index))
            for name, value in objective.validate(batch.to(device), generator).items():
                totals[name] = totals.get(name, 0.0) + float(value) / len(validation)
    return totals


@torch.no_grad()
def _draw(objective: Objective, averaged: AveragedModel, batch: SpeechBatch, step: int, seed: int, log: RunLog) -> None:
    with _averaged(objective, averaged) as device:
        generator = torch.Generator(device=device).manual_seed(_seed(seed + 3, 0))
        for name, matrix in objective.pictures(batch.to(device), generator).items():
            log.picture(step, name, matrix.float().cpu().numpy())


@contextmanager
def _averaged(objective: Objective, averaged: AveragedModel) -> Iterator[torch.device]:
    """The objective in evaluation mode with the averaged weights; yields its device."""
    trained = objective.model
    objective.eval()
    objective.model = averaged.model
    try:
        yield next(objective.parameters()).device
    finally:
        objective.model = trained
        objective.train()


def _optimizer(parameters: list[Any], settings: OptimizerConfig, device: torch.device) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        parameters,
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )


def _settings(config: TrainingConfig, name: str) -> OptimizerConfig:
    if name not in config.optimizers:
        raise MoksoriError(f"training.optimizers has no {name!r}; it has {sorted(config.optimizers)}")
    return config.optimizers[name]


def _seed(seed: int, step: int) -> int:
    """A 62-bit seed from two numbers; neighbouring steps give unrelated generators."""
    return ((seed * 0x9E3779B97F4A7C15) ^ ((step + 1) * 0xBF58476D1CE4E5B9)) & (2**62 - 1)


def _fraction_done(state: TrainingState, config: TrainingConfig) -> float:
    by_steps = state.step / config.max_steps if config.max_steps else 0.0
    by_time = state.elapsed_seconds / (60.0 * config.max_minutes) if config.max_minutes else 0.0
    return min(max(by_steps, by_time), 1.0)


def _done(state: TrainingState, config: TrainingConfig) -> bool:
    return _fraction_done(state, config) >= 1.0 or _out_of_patience(state, config)


def _out_of_patience(state: TrainingState, config: TrainingConfig) -> bool:
    return config.patience is not None and state.validations_since_best >= config.patience


def _due(state: TrainingState, config: TrainingConfig) -> bool:
    """Whether something is to be done beside training after this step."""
    periods = (config.validate_every, config.speak_every, config.save_every)
    return _done(state, config) or any(period and state.step % period == 0 for period in periods)


def _progress(state: TrainingState, config: TrainingConfig, rates: list[float], terms: dict[str, float]) -> Progress:
    seconds = sum(rates) / len(rates)
    remaining = [(config.max_steps - state.step) * seconds] if config.max_steps else []
    if config.max_minutes:
        remaining.append(60.0 * config.max_minutes - state.elapsed_seconds)
    return Progress(state.step, state.elapsed_seconds, min(remaining, default=None), 1.0 / seconds, terms)


def _refuse_nan(value: Tensor, update: Update, names: Sequence[str], step: int) -> None:
    if not bool(torch.isfinite(value)):
        terms = ", ".join(f"{name} {float(term):.4g}" for name, term in update.terms.items())
        raise TrainingFailed(
            f"step {step}: the {update.optimizer} loss or its gradient is not finite ({terms}); the batch holds "
            f"{', '.join(names)}; look at these clips with `moksori corpus check`, or lower the learning rate"
        )
