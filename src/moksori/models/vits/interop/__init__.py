"""VITS in the files of other projects: a module a layout, each with its table of names; `tables.py` applies them."""

from moksori.models.interop import Layout
from moksori.models.vits.interop import coqui, huggingface, official, onnx, piper

LAYOUTS: tuple[Layout, ...] = (huggingface.LAYOUT, coqui.LAYOUT, piper.LAYOUT, official.LAYOUT, onnx.LAYOUT)

__all__ = ["LAYOUTS"]
