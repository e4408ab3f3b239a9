"""NaturalSpeech 2 in the files of other projects: Amphion's checkpoints, and ONNX graphs."""

from moksori.models.interop import Layout
from moksori.models.naturalspeech2.interop import amphion, onnx

LAYOUTS: tuple[Layout, ...] = (amphion.LAYOUT, onnx.LAYOUT)

__all__ = ["LAYOUTS"]
