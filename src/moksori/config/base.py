"""The base class of every configuration."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen, typed section of settings: unknown keys are refused and every field has a default from its paper."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
