"""`moksori.load`: a model by its name, as something with the verbs that it can do."""

from pathlib import Path
from typing import Any, Literal, overload

from moksori.errors import UnsupportedTask
from moksori.models.checkpoint import load_model
from moksori.models.contract import CanConvert, CanConvertMels, CanDraw, CanVocode
from moksori.models.contract_latents import CanCompress
from moksori.nn.conv import arranged_for_inference
from moksori.pipeline.codec import SoundCodec
from moksori.pipeline.convert import Converter
from moksori.pipeline.draw import SoundDrawer
from moksori.pipeline.mel_voice import can_speak
from moksori.pipeline.models import find_model
from moksori.pipeline.say import check_precision, lower_precision
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.vocode import MelVocoder
from moksori.text.lexicon import LexiconSource

Precision = Literal["fp32", "bf16"]


@overload
def load(
    name: None = None,
    device: str = "cpu",
    lexicon: LexiconSource | None = None,
    precision: Precision = "fp32",
    vocoder: str | Path | None = None,
) -> Speaker: ...


@overload
def load(
    name: str | Path,
    device: str = "cpu",
    lexicon: LexiconSource | None = None,
    precision: Precision = "fp32",
    vocoder: str | Path | None = None,
) -> Any: ...


def load(
    name: str | Path | None = None,
    device: str = "cpu",
    lexicon: LexiconSource | None = None,
    precision: Precision = "fp32",
    vocoder: str | Path | None = None,
) -> Speaker | Converter | MelVocoder | SoundCodec | SoundDrawer:
    """The model called `name` (a model's name, a family, or a model folder); None is the default voice.

    A model that speaks comes as a Speaker (`say`, `stream`, and `convert` where it can), one that only converts as a
    Converter (`convert`, `denoise`, `enroll`), a vocoder as a MelVocoder (`vocode`, `mel`), a codec as a SoundCodec
    (`encode`, `decode`), one that makes sound of nothing as a SoundDrawer (`draw`).
    lexicon, precision: for models that speak, see `moksori.pipeline.say.load`. vocoder: for models that make mels, a
    name or folder; None: the one that the model names, or one for such mels.
    Raises UnknownName with the nearest names, CheckpointError for a broken folder, UnsupportedTask for a model that
    does none of these, or not in this precision, BadInput for a precision that does not exist.
    """
    check_precision(precision)
    loaded = load_model(find_model(name), device=device)
    arranged_for_inference(loaded.model)
    lower_precision(loaded, precision)
    if not can_speak(loaded.model):
        if lexicon is not None:
            raise UnsupportedTask(f"{loaded.manifest.name}: does not speak texts: leave the lexicon out")
        if isinstance(loaded.model, CanCompress):
            return SoundCodec(loaded)
        if isinstance(loaded.model, CanConvertMels | CanConvert):
            return Converter(loaded, vocoder)
        if isinstance(loaded.model, CanVocode):
            return MelVocoder(loaded)
        if isinstance(loaded.model, CanDraw):
            return SoundDrawer(loaded)
    return Speaker(loaded, lexicon, vocoder)  # raises for a model that cannot speak, naming the families that can
