"""How a run is doing: readings with the range in which they are well, and what to do where they are not."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from logging import Logger


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


class Readings:
    """Readings of measures; what was not measured is not told."""

    def __init__(self, measures: Mapping[str, float]) -> None:
        self._measures = measures
        self.found: list[Reading] = []

    def read(
        self, name: str, key: str, low: float, high: float, unit: str, below: str, above: str | None = None
    ) -> None:
        """A measure by its key. below, above: what to do where it lies there; above None: the same as below."""
        value = self._measures.get(key)
        if value is None:
            return
        if above is None:
            advice = "" if low <= value <= high else below
        else:
            advice = below if value < low else above if value > high else ""
        self.found.append(Reading(name, value, low, high, unit, advice))


class Teller:
    """Warns of each reading that is not well, once, from a step on: nothing is well at first."""

    def __init__(self, from_step: int, logger: Logger) -> None:
        self._from, self._logger, self._told = from_step, logger, set[str]()

    def tell(self, readings: Iterable[Reading], step: int) -> None:
        """Takes in what a validation after `step` steps found."""
        if step < self._from:
            return
        for reading in readings:
            if not reading.is_well and reading.name not in self._told:
                self._told.add(reading.name)
                self._logger.warning("step %d: %s", step, reading.line())


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
