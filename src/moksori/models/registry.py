"""Family name -> module path, imported on demand: no cycles, no conditions on names; a new family is one line."""

from importlib import import_module

from moksori.errors import unknown_name
from moksori.models.contract import Family

_MODULES = {
    "aligner": "moksori.models.aligner",
    "vits": "moksori.models.vits",
}


def family_names() -> list[str]:
    """The families of this installation, sorted."""
    return sorted(_MODULES)


def family(name: str) -> Family:
    """The family of that name; raises UnknownName with the nearest."""
    if name not in _MODULES:
        raise unknown_name("family", name, _MODULES)
    found = import_module(_MODULES[name]).FAMILY
    assert isinstance(found, Family)
    return found
