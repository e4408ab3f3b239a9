"""Codecs in the files of other projects: as ONNX graphs."""

from moksori.models.codec.interop.onnx import LAYOUT
from moksori.models.interop import Layout

LAYOUTS: tuple[Layout, ...] = (LAYOUT,)

__all__ = ["LAYOUTS"]
