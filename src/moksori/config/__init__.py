"""Typed configuration: the base class, and loading of presets with `key.path=value` overrides."""

from moksori.config.base import Config
from moksori.config.load import load_preset, override, preset_names, read_yaml, validate

__all__ = ["Config", "load_preset", "override", "preset_names", "read_yaml", "validate"]
