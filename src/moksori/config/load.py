"""Preset YAML -> `key.path=value` overrides -> one validation into a frozen Config.

Presets live in `presets/FAMILY/NAME.yaml`; one may start with `base: OTHER` and then holds only what differs.
"""

import typing
from collections.abc import Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from moksori.config.base import Config
from moksori.errors import ConfigError, unknown_name

C = TypeVar("C", bound=Config)


def preset_names() -> list[str]:
    """All presets as `family/name`, sorted."""
    root = resources.files("moksori.config") / "presets"
    names = []
    for family in root.iterdir():
        if family.is_dir():
            files = [file.name for file in family.iterdir() if file.name.endswith(".yaml")]
            names += [f"{family.name}/{file.removesuffix('.yaml')}" for file in files]
    return sorted(names)


def load_preset(name: str) -> dict[str, Any]:
    """The settings of the preset `family/name`, with those it is based on filled in.

    Raises UnknownName with the nearest presets, if there is none of that name.
    """
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names())
    family, _, preset = name.partition("/")
    text = (resources.files("moksori.config") / "presets" / family / f"{preset}.yaml").read_text(encoding="utf-8")
    settings = yaml.safe_load(text) or {}
    base = settings.pop("base", None)
    return settings if base is None else _merge(load_preset(f"{family}/{base}"), settings)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top level is a mapping; raises ConfigError naming file and line otherwise."""
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: expected settings as 'key: value' lines, found {type(settings).__name__}")
    return settings


def override(settings: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Settings with `key.path=value` assignments applied; values are read as YAML (`true`, `1e-4`, `[1, 2]`)."""
    result: dict[str, Any] = dict(settings)
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator or not path:
            raise ConfigError(f"override {assignment!r}: expected key.path=value, for example training.batch_size=8")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"override {assignment!r}: the value cannot be read as YAML") from error
        if isinstance(value, str):
            with suppress(ValueError):  # YAML 1.1 reads 1e-4 as text
                value = float(value)
        nested: Any = value
        for key in reversed(path.split(".")):
            nested = {key: nested}
        result = _merge(result, nested)
    return result


def validate(kind: type[C], settings: Mapping[str, Any], where: str = "") -> C:
    """One frozen Config from settings; a ConfigError names every bad key with its value and the nearest known key.

    where: the dotted path of the section, for messages (`"model"`).
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(f"setting {where} = {settings!r}: expected a section of key: value lines")
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(kind, settings, item, where) for item in error.errors()[:5])) from error


def _explain(kind: type[BaseModel], settings: Mapping[str, Any], item: Any, where: str) -> str:
    path = ".".join(str(part) for part in ([where] if where else []) + list(item["loc"]))
    if item["type"] == "extra_forbidden":
        known = _fields_at(kind, item["loc"][:-1])
        near = get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"unknown setting {path!r}: {hint}"
    message = item["msg"].removeprefix("Value error, ")
    if isinstance(item["input"], Mapping):
        return f"setting {path or kind.__name__}: {message}"
    return f"setting {path} = {item['input']!r}: {message}"


def _fields_at(kind: type[BaseModel], path: Iterable[Any]) -> list[str]:
    """Field names of the (possibly nested) section at `path`; names of union tags are stepped over."""
    current: list[type[BaseModel]] = [kind]
    for part in path:
        following: list[type[BaseModel]] = []
        for model in current:
            if part in model.model_fields:
                following += _models_in(model.model_fields[part].annotation)
        if following:
            current = following
        else:  # a union's tag: keep only the member that carries it
            tagged = [m for m in current if any(f.default == part for f in m.model_fields.values())]
            current = tagged or current
    return [name for model in current for name in model.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` laid over `base`; a section that changes its `kind` is replaced whole, since its other keys differ."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and not _other_kind(old, value):
            result[key] = _merge(old, value)
        else:
            result[key] = value
    return result


def _other_kind(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "kind" in new and new["kind"] != old.get("kind")
