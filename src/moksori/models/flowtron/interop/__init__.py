"""Flowtron in the files of other projects: the authors' checkpoints, and ONNX graphs."""

from moksori.models.flowtron.interop import authors, onnx
from moksori.models.interop import Layout

LAYOUTS: tuple[Layout, ...] = (authors.LAYOUT, onnx.LAYOUT)

__all__ = ["LAYOUTS"]
