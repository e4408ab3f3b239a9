"""Settings of a training run that do not depend on the family."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from moksori.config import Config

_Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class OptimizerConfig(Config):
    """One AdamW and its learning-rate schedule."""

    learning_rate: float = Field(default=2e-4, ge=0.0, allow_inf_nan=False)
    """0 leaves the parameters as they are."""
    betas: tuple[_Beta, _Beta] = (0.8, 0.99)
    epsilon: float = Field(default=1e-9, gt=0.0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.01, ge=0.0, allow_inf_nan=False)
    warmup_steps: int = Field(default=0, ge=0)
    """Steps of linear rise from 0."""
    schedule: Literal["constant", "exponential", "cosine"] = "cosine"
    """`cosine` falls over the whole planned run (by time under max_minutes); `exponential` by `decay` a step."""
    decay: float = Field(default=0.999999359, gt=0.0, le=1.0)
    """Factor per step of the exponential schedule; VITS's 0.999875 an epoch of 195 steps is 0.99999936 a step."""
    final_fraction: float = Field(default=0.03, ge=0.0, le=1.0)
    """What the cosine ends at, as a fraction of the learning rate."""
    clip_norm: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Gradients of a larger norm are scaled to it; None only measures the norm."""


class TrainingConfig(Config):
    """The loop's settings."""

    seed: int = 1234
    batch_size: int = Field(16, ge=1)
    speaker_balance: float = Field(0.0, ge=0.0, le=1.0)
    """How much more often than their share of the recordings seldom speakers are heard: 0 = every recording once an
    epoch, 1 = every speaker as often as any other."""
    speaker_share: float = Field(1.0, gt=0.0, le=1.0)
    """Of the corpus's speakers, the part whose recordings are trained on: to see what more data is worth. Who they are
    follows from their names alone, and those of a smaller part are among those of a larger one."""
    max_steps: int | None = Field(None, ge=1)
    """Steps after which the run ends; with max_minutes, whichever comes first."""
    max_minutes: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Wall-clock minutes of training after which the run ends; the cosine schedule is fitted to them."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` takes bf16 autocast where the processor or GPU computes it natively, else fp32."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:N` for the GPU of that number, or `mps`."""
    optimizers: Mapping[str, OptimizerConfig] = {"model": OptimizerConfig()}
    ema_decay: float = Field(0.999, ge=0.0, lt=1.0)
    """Decay of the averaged weights that are validated, spoken with and exported."""
    log_every: int = Field(20, ge=1)
    save_every: int = Field(500, ge=1)
    validate_every: int = Field(500, ge=1)
    patience: int | None = Field(None, ge=1)
    """Validations in a row without a better total that end the run; None: none do. What is exported is decided
    elsewhere: the best weights by validation, or the newest of an adversarial game."""
    speak_every: int = Field(1000, ge=0)
    """Steps between renderings of the fixed sentences; 0 = never."""
    keep_checkpoints: int = Field(2, ge=1)
    """Newest checkpoints kept, besides the best."""

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, device: str) -> str:
        # `gpu` is lightning's name for cuda or mps, which older settings have.
        if device not in ("auto", "cpu", "cuda", "gpu", "mps") and not re.fullmatch(r"cuda:[0-9]+", device):
            raise ValueError("expected auto, cpu, cuda, cuda:N (the GPU of that number) or mps")
        return device

    @model_validator(mode="after")
    def _has_an_end(self) -> "TrainingConfig":
        if self.max_steps is None and self.max_minutes is None:
            raise ValueError("set max_steps or max_minutes, so that the run has an end")
        return self
