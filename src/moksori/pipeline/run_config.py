"""A training run's whole configuration: preset or file, overrides, one validation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from moksori.config import Config, load_preset, override, read_yaml, validate
from moksori.corpus.augment import AugmentationConfig
from moksori.errors import ConfigError
from moksori.models.contract import Family
from moksori.models.registry import family
from moksori.training.config import TrainingConfig


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run. model and objective are of the family's own configuration classes."""

    family: Family
    model: Any
    objective: Any
    training: TrainingConfig
    sentences: tuple[str, ...]
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def to_yaml(self) -> str:
        """The complete settings, every default spelt out; reading them back gives an equal run."""
        sections: dict[str, Any] = {"family": self.family.name}
        for name in ("model", "objective", "training", "augmentation"):
            section: Config = getattr(self, name)
            sections[name] = section.model_dump(mode="json")
        return yaml.safe_dump(sections | {"sentences": list(self.sentences)}, sort_keys=False, allow_unicode=True)


DEFAULT_SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "She had your dark suit in greasy wash water all year.",
    "Was it you who called me at half past nine yesterday?",
)


def run_config(
    preset: str | Path, assignments: Iterable[str] = (), model: Mapping[str, Any] | None = None
) -> RunConfig:
    """A run from a preset's name or a YAML file, with `key.path=value` overrides.

    model: the settings of a trained model, which stand in the place of the preset's.
    Raises ConfigError for unknown keys and bad values, UnknownName for an unknown preset or family.
    """
    settings = read_yaml(Path(preset)) if Path(preset).suffix in (".yaml", ".yml") else load_preset(str(preset))
    settings = override(settings if model is None else {**settings, "model": dict(model)}, assignments)
    known = {"family", "model", "objective", "training", "augmentation", "sentences"}
    unknown = sorted(str(name) for name in settings if name not in known)
    if unknown:
        near = get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the sections are {', '.join(sorted(known))}"
        raise ConfigError(f"unknown setting {unknown[0]!r}: {hint}")
    if "family" not in settings:
        raise ConfigError(f"{preset}: the setting 'family' is missing")
    chosen = family(str(settings["family"]))
    return RunConfig(
        family=chosen,
        model=validate(chosen.config, settings.get("model") or {}, "model"),
        objective=validate(chosen.objective_config, settings.get("objective") or {}, "objective"),
        training=validate(TrainingConfig, settings.get("training") or {}, "training"),
        sentences=_sentences(settings.get("sentences")),
        augmentation=validate(AugmentationConfig, settings.get("augmentation") or {}, "augmentation"),
    )


def _sentences(given: Any) -> tuple[str, ...]:
    if given is None:
        return DEFAULT_SENTENCES
    if not isinstance(given, list) or not all(isinstance(sentence, str) and sentence.strip() for sentence in given):
        raise ConfigError(
            f"setting sentences = {given!r}: expected a list of texts, none of them empty, for example ['Hello.']"
        )
    return tuple(given)
