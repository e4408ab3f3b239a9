"""What a run leaves behind: `metrics.jsonl`, TensorBoard events, and the lines that a person watches."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped


class RunLog:
    """Writes scalars, sounds and pictures of a run; TensorBoard only where it is installed.

    On resume the lines of `metrics.jsonl` beyond `steps_done` are dropped, so that the file holds one curve.
    """

    def __init__(self, folder: Path, steps_done: int = 0, tensorboard: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        self._truncate(steps_done)
        self._file = self.path.open("a", encoding="utf-8")
        self._events = _summary_writer(folder / "tensorboard", steps_done + 1) if tensorboard else None

    def scalars(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """One line of `metrics.jsonl`: steps done, kind ("train" or "valid") and the values by name, to 7 digits."""
        rounded = {name: float(f"{value:.7g}") for name, value in values.items()}
        self._file.write(json.dumps({"step": step, "kind": kind} | rounded) + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{kind}/{name}", value, step)

    def sound(self, step: int, name: str, samples: Float[np.ndarray, " samples"], sample_rate: int) -> None:
        """A waveform in [-1, 1] to listen to."""
        if self._events is not None:
            self._events.add_audio(name, samples[None], step, sample_rate=sample_rate)

    def picture(self, step: int, name: str, pixels: Shaped[np.ndarray, "height width"]) -> None:
        """A matrix (spectrogram, alignment), row 0 at the bottom, drawn in colour."""
        if self._events is not None:
            import matplotlib

            low, high = float(pixels.min()), float(pixels.max())
            scaled = (pixels - low) / max(high - low, 1e-9)
            self._events.add_image(name, matplotlib.colormaps["magma"](scaled[::-1])[..., :3], step, dataformats="HWC")

    def close(self) -> None:
        """Flushes and closes everything."""
        self._file.close()
        if self._events is not None:
            self._events.close()

    def _truncate(self, steps_done: int) -> None:
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= steps_done:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue  # the line being written when the run was killed
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        partial.replace(self.path)


def _summary_writer(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step)
