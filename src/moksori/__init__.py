"""moksori: neural voice models in Python; `moksori.load().say("Hello.").save("hello.wav")`.

The public names are resolved when first used, so that `import moksori` loads neither torch nor numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moksori.models.registry import family_names as families
    from moksori.pipeline.dialogue import dialogue
    from moksori.pipeline.load import load

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "corpus",
    "dialogue",
    "evaluation",
    "families",
    "interop",
    "load",
    "models",
    "serving",
    "training",
]

_NAMES = {
    "dialogue": ("moksori.pipeline.dialogue", "dialogue"),
    "families": ("moksori.models.registry", "family_names"),
    "load": ("moksori.pipeline.load", "load"),
}
_PACKAGES = {
    "corpus": "moksori.corpus",
    "evaluation": "moksori.evaluation",
    "interop": "moksori.pipeline.import_model",
    "models": "moksori.models",
    "serving": "moksori.serving",
    "training": "moksori.training",
}


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(_PACKAGES[name])
    if name in _NAMES:
        module, attribute = _NAMES[name]
        found = getattr(import_module(module), attribute)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'moksori' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
