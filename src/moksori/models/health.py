"""How a run is doing: readings with the range in which they are well, and what to do where they are not."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """One measure, the range in which it is well, and what to do where it lies outside; empty where it is well."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    advice: str

    @property
    def is_well(self) -> bool:
        return self.low <= self.value <= self.high

    def line(self) -> str:
        """For a log."""
        band = f"{self.low:.3g} to {self.high:.3g}" if math.isfinite(self.high) else f"{self.low:.3g} and more"
        return f"{self.name} {self.value:.3g} {self.unit}, well at {band}" + (f": {self.advice}" if self.advice else "")


class RunningMeans:
    """Means of training terms over the last steps, some fifty by default: one batch alone says little."""

    def __init__(self, memory: float = 0.98) -> None:
        self._memory = memory
        self.values: dict[str, float] = {}

    def look(self, terms: Mapping[str, float]) -> None:
        """Takes in the terms of a step."""
        for name, value in terms.items():
            before = self.values.get(name, value)
            self.values[name] = self._memory * before + (1.0 - self._memory) * value
