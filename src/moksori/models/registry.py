"""Family name -> module path, imported on demand: no cycles, no conditions on names; a new family is one line."""

from importlib import import_module
from typing import TYPE_CHECKING

from moksori.errors import unknown_name
from moksori.models.contract import Family

if TYPE_CHECKING:
    from moksori.models.interop import Layout

_MODULES = {
    "aligner": "moksori.models.aligner",
    "codec": "moksori.models.codec",
    "dsvae": "moksori.models.dsvae",
    "flowtron": "moksori.models.flowtron",
    "naturalspeech2": "moksori.models.naturalspeech2",
    "vits": "moksori.models.vits",
    "vocoder": "moksori.models.vocoder",
    "vqvae": "moksori.models.vqvae",
    "wavenet": "moksori.models.wavenet",
    "wavenet_autoencoder": "moksori.models.wavenet_autoencoder",
    "world_vae": "moksori.models.world_vae",
}

_LAYOUTS = (
    "moksori.models.vits.interop",
    "moksori.models.dsvae.interop",
    "moksori.models.flowtron.interop",
    "moksori.models.codec.interop",
    "moksori.models.naturalspeech2.interop",
)
"""Modules whose `LAYOUTS` are other projects' ways to store models of a family."""


def layouts() -> "tuple[Layout, ...]":
    """Other projects' model files that can be read or written, in the order in which they are tried."""
    return tuple(layout for module in _LAYOUTS for layout in import_module(module).LAYOUTS)


def family_names() -> list[str]:
    """The families of this installation, sorted."""
    return sorted(_MODULES)


def families_with(*methods: str) -> list[str]:
    """The families whose models have all these methods, sorted; told without any weights."""
    return [name for name in family_names() if all(hasattr(family(name).model, method) for method in methods)]


def family(name: str) -> Family:
    """The family of that name; raises UnknownName with the nearest."""
    if name not in _MODULES:
        raise unknown_name("family", name, _MODULES)
    found = import_module(_MODULES[name]).FAMILY
    assert isinstance(found, Family)
    return found
