"""Sound of nothing but chance: `SoundDrawer.draw`, and `draw_to_file` of any length."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from moksori.audio.stream import write_blocks
from moksori.errors import BadInput, MoksoriError, UnsupportedTask
from moksori.models import registry
from moksori.models.checkpoint import Loaded, load_model
from moksori.models.contract import CanDraw
from moksori.pipeline.made_sound import told
from moksori.pipeline.models import find_model
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.seeds import chosen_seed, sentence_generator
from moksori.pipeline.speech import synthetic_metadata
from moksori.pipeline.vocode import MAXIMUM_SECONDS, Vocoded, WrittenVocoding
from moksori.pipeline.watermark import in_file


class SoundDrawer:
    """A model that makes sound of nothing, ready: `draw`.

    Raises UnsupportedTask, naming the families that can, for a model that does not.
    """

    def __init__(self, loaded: Loaded) -> None:
        if not isinstance(loaded.model, CanDraw):
            names = registry.families_with("draw_blocks")
            raise UnsupportedTask(
                f"{loaded.manifest.name}: this {loaded.manifest.family!r} model makes no sound of nothing: name one of "
                f"the family {' or '.join(names)} that was trained without mels (model.mel=null), or give it an input"
            )
        self.loaded, self.model = loaded, loaded.model

    @property
    def name(self) -> str:
        return self.loaded.manifest.name

    @property
    def sample_rate(self) -> int:
        """Of what it makes, in Hz."""
        return self.model.sample_rate

    def draw(self, seconds: float, seed: int | None = None, temperature: float | None = None) -> Vocoded:
        """So many seconds of sound; the same seed gives the same samples, None draws one.

        temperature: below 1 the likelier comes more often still, 0 always; None takes the model's own.
        Raises BadInput for seconds that are not above 0, or more than an hour, and for a temperature out of range.
        """
        samples = self._samples(seconds, temperature)
        if seconds > MAXIMUM_SECONDS:
            raise BadInput(
                f"seconds {seconds:g}: {MAXIMUM_SECONDS:g} at most are made in memory: write it to a file with "
                "moksori.pipeline.draw.draw_to_file"
            )
        seed = chosen_seed(seed)
        sound = np.concatenate(list(self._sound(samples, seed, temperature)))
        return Vocoded(sound, self.sample_rate, seed, self.name)

    def _samples(self, seconds: float, temperature: float | None) -> int:
        if not (math.isfinite(seconds) and seconds * self.sample_rate >= 1):
            raise BadInput(f"seconds {seconds:g}: expected more than 0")
        if temperature is not None and not 0.0 <= temperature <= 2.0:
            raise BadInput(f"temperature {temperature:g}: expected 0 to 2; below 1 the likelier comes more often")
        return round(seconds * self.sample_rate)

    def _sound(self, samples: int, seed: int, temperature: float | None) -> Iterator[Float[np.ndarray, " block"]]:
        generator = sentence_generator(seed, 0, self.loaded.device)
        for block in self.model.draw_blocks(samples, temperature, generator):
            sound = block[0].float().cpu().numpy()
            if not np.isfinite(sound).all():
                raise MoksoriError(f"{self.name}: made NaN or infinity: use another model")
            yield np.clip(sound, -1.0, 1.0)


def find_drawer(name: str | Path | None = None, device: str = "cpu") -> SoundDrawer:
    """The model called `name`, or the default of the family `wavenet`; raises as `find_model` and SoundDrawer do."""
    return SoundDrawer(load_model(find_model("wavenet" if name is None else name), device=device))


def draw_to_file(
    drawer: SoundDrawer,
    seconds: float,
    sound: str | Path,
    seed: int | None = None,
    temperature: float | None = None,
    progress: Progress = no_progress,
    watermark: bool = False,
) -> WrittenVocoding:
    """Writes so many seconds of sound, in memory that does not grow with them; whole, or not at all.

    Raises as `SoundDrawer.draw` does but for the hour, AudioError or BadInput for a path that cannot be written.
    """
    from moksori.pipeline.say import check_output

    target = Path(sound)
    check_output(target)
    samples = drawer._samples(seconds, temperature)
    seed, rate = chosen_seed(seed), drawer.sample_rate
    started = time.perf_counter()
    blocks = told(drawer._sound(samples, seed, temperature), rate, samples, progress)
    marked, tags = in_file(blocks, rate, synthetic_metadata(drawer.name, seed), watermark)
    write_blocks(target, marked, rate, samples, tags)
    compute = time.perf_counter() - started
    return WrittenVocoding(target, None, seed, 0, samples / rate, compute, ())
