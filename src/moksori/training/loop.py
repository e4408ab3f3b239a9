"""The training loop: one for all families, adversarial or not. It knows objectives and batches, no family.

Everything random in step k follows from (seed, k), and batch k is a pure function of k, so that a killed run continues
as the unbroken one would, bit for bit on the CPU.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from moksori.errors import MoksoriError
from moksori.models.contract import Objective, Update
from moksori.training.checkpoints import TrainingState, checkpoints, load_checkpoint, prune, save_checkpoint
from moksori.training.config import OptimizerConfig, TrainingConfig
from moksori.training.ema import AveragedModel
from moksori.training.log import RunLog
from moksori.training.schedules import learning_rate
from moksori.types import SpeechBatch

logger = logging.getLogger(__name__)


class TrainingFailed(MoksoriError):
    """A loss or gradient is not a number; the message names the clips of the batch."""


class Batches(Protocol):
    """Training data: the batch of a step, always the same for the same step."""

    def batch(self, step: int) -> SpeechBatch: ...


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
    """The end of a run: the averaged model, and where the run stands."""

    averaged: AveragedModel
    state: TrainingState
    finished: bool


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
) -> FitResult:
    """Trains until max_steps or max_minutes, leaving checkpoints and logs under `folder`.

    resume: goes on from the newest checkpoint in `folder/checkpoints`, if there is one.
    initialise: lets the objective take statistics of the data first; False where weights were taken over with theirs.
    pause_at: stops after this many steps without changing the schedule; a later call goes on.
    With several devices each process takes its own batches, and the gradients are averaged; only the first process
    writes. Raises TrainingFailed, naming the clips, when a loss or a gradient is not finite.
    """
    watcher = watcher or Watcher()
    fabric = _fabric(config)
    device = fabric.device
    objective.to(device).train()
    optimizers = {
        name: _optimizer(list(parameters), _settings(config, name), device)
        for name, parameters in objective.parameter_groups().items()
    }
    saved = checkpoints(folder / "checkpoints") if resume else []
    if initialise and not saved:
        objective.initialise(batches.batch(step).to(device) for step in range(8))
    averaged = AveragedModel(objective.model, config.ema_decay)
    state = TrainingState()
    if saved:
        state = load_checkpoint(saved[-1], objective, averaged, optimizers)
        logger.info("resumed from %s", saved[-1])
    log = RunLog(folder, steps_done=state.step) if fabric.is_global_zero else None
    rates: list[float] = []
    try:
        while not _done(state, config):
            if pause_at is not None and state.step >= pause_at:
                break
            began = time.perf_counter()
            batch = batches.batch(state.step * fabric.world_size + fabric.global_rank).to(device)
            terms = _step(objective, optimizers, batch, config, state, fabric)
            state.step += 1
            averaged.update(objective.model, state.step)
            spent = time.perf_counter() - began
            state.elapsed_seconds += spent
            if fabric.world_size > 1:  # all must end at the same step
                state.elapsed_seconds = fabric.broadcast(state.elapsed_seconds)
            if log is None:
                continue
            rates = [*rates[-49:], spent]
            if state.step % config.log_every == 0 or state.step == 1:
                log.scalars(state.step, "train", terms | {"seconds_per_step": sum(rates) / len(rates)})
            watcher.on_step(_progress(state, config, rates, terms))
            _periodic(objective, averaged, optimizers, validation, config, state, folder, log, watcher)
    finally:
        if log is not None:
            log.close()
    if log is not None and not (folder / "checkpoints" / f"step-{state.step:08d}").exists():
        save_checkpoint(folder / "checkpoints", objective, averaged, optimizers, state)
    fabric.barrier()
    return FitResult(averaged, state, _done(state, config))


def _step(
    objective: Objective,
    optimizers: Mapping[str, torch.optim.Optimizer],
    batch: SpeechBatch,
    config: TrainingConfig,
    state: TrainingState,
    fabric: Any,
) -> dict[str, float]:
    """One training step: every update of the objective, each with its own optimizer; returns what to log."""
    draw = state.step * fabric.world_size + fabric.global_rank
    torch.manual_seed(_seed(config.seed, draw))  # dropout
    generator = torch.Generator(device=batch.waveform.device).manual_seed(_seed(config.seed + 1, draw))
    objective.train()
    updates = objective.updates(batch, state.step, generator)
    logged: dict[str, float] = {}
    while True:
        with fabric.autocast():
            update = next(updates, None)
        if update is None:
            return logged
        optimizer = optimizers[update.optimizer]
        settings = _settings(config, update.optimizer)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, state.step, _fraction_done(state, config))
        optimizer.zero_grad(set_to_none=True)
        total = update.total()
        _refuse_nan(total, update, batch, state.step)
        fabric.backward(total)
        norm = _gradients(optimizer, settings, fabric)
        _refuse_nan(norm, update, batch, state.step)
        optimizer.step()
        logged |= {name: float(value.detach()) for name, value in update.terms.items()}
        logged |= {f"{update.optimizer}/total": float(total.detach()), f"{update.optimizer}/gradient_norm": float(norm)}
        logged[f"{update.optimizer}/learning_rate"] = float(optimizer.param_groups[0]["lr"])


def _gradients(optimizer: torch.optim.Optimizer, settings: OptimizerConfig, fabric: Any) -> Tensor:
    """Averages the gradients over processes, clips them, and returns their norm."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if fabric.world_size > 1:
        flat = torch.cat([g.flatten() for g in gradients])
        flat = fabric.all_reduce(flat, reduce_op="mean")
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))
    norm = torch.nn.utils.get_total_norm(gradients)
    if settings.clip_norm is not None:
        torch._foreach_mul_(gradients, torch.clamp(settings.clip_norm / (norm + 1e-6), max=1.0))
    return norm


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
        if best:
            state.best_total, state.best_step = measures["total"], state.step
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


def native_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 natively, so that autocast is faster than float32."""
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private: absent in some versions
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def _fabric(config: TrainingConfig) -> Any:
    try:
        from lightning.fabric import Fabric
    except ImportError as error:
        from moksori.errors import MissingExtra

        raise MissingExtra("lightning", "train", "training") from error
    for name in ("lightning", "lightning.fabric"):  # it tells the precision, which config.yaml and the caller know
        logging.getLogger(name).setLevel(logging.WARNING)
    accelerator = "auto" if config.device == "auto" else config.device
    cuda = torch.cuda.is_available() and accelerator != "cpu"
    half = config.precision == "bf16"
    if config.precision == "auto":
        half = torch.cuda.is_bf16_supported() if cuda else native_bf16()
    fabric = Fabric(
        accelerator=accelerator, devices="auto" if cuda else 1, precision="bf16-mixed" if half else "32-true"
    )
    fabric.launch()
    return fabric


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
    return _fraction_done(state, config) >= 1.0


def _progress(state: TrainingState, config: TrainingConfig, rates: list[float], terms: dict[str, float]) -> Progress:
    seconds = sum(rates) / len(rates)
    remaining = [(config.max_steps - state.step) * seconds] if config.max_steps else []
    if config.max_minutes:
        remaining.append(60.0 * config.max_minutes - state.elapsed_seconds)
    return Progress(state.step, state.elapsed_seconds, min(remaining, default=None), 1.0 / seconds, terms)


def _refuse_nan(value: Tensor, update: Update, batch: SpeechBatch, step: int) -> None:
    if not bool(torch.isfinite(value)):
        terms = ", ".join(f"{name} {float(term.detach()):.4g}" for name, term in update.terms.items())
        raise TrainingFailed(
            f"step {step}: the {update.optimizer} loss or its gradient is not finite ({terms}); the batch holds "
            f"{', '.join(batch.names)}; look at these clips with `moksori corpus check`, or lower the learning rate"
        )
