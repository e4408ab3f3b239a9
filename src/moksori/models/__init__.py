"""The model families, their registry and their folders on disk.

Called as a function, `moksori.models()` lists the models of this machine: the name is promised both as a function and
as a package, and the import system puts the package there, so the package answers the call.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self) -> Any:
        """The models that `moksori.load` finds by name: see `moksori.pipeline.models.models`."""
        return import_module("moksori.pipeline.models").models()


sys.modules[__name__].__class__ = _CallablePackage
