"""What all layouts share: reading their JSON, and building our model from their settings and tensors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moksori.config import validate
from moksori.errors import CheckpointError, ConfigError
from moksori.models.checkpoint import Manifest
from moksori.models.interop import parsed_settings
from moksori.models.vits.config import VitsConfig
from moksori.models.vits.interop.tables import Row, take
from moksori.models.vits.model import Vits
from moksori.text.tokenizer import TextConfig
from moksori.types import MAXIMUM_VARIATION

POSTERIOR = "posterior_encoder"
DURATION_NOISE = 1.2
"""Our duration noise, in units of `variation`."""
MAXIMUM_LAYERS = 256
MAXIMUM_TABLE = 65536
"""Rows of symbols and speakers, far above any known voice's."""
MAXIMUM_SIZE = 2**20
"""Of widths, samples and rates: settings are read before the weights are, and none may ask for endless memory."""
MAXIMUM_REAL = 1e6
_LANGUAGES = {"eng": "en-us", "en": "en-us", "deu": "de", "nld": "nl", "kor": "ko"}


@dataclass(frozen=True)
class Built:
    """A model with its weights; `absent`: the parts that the source lacked."""

    model: Vits
    absent: tuple[str, ...]
    notes: tuple[str, ...]


def checked_config(settings: Mapping[str, Any], where: str) -> VitsConfig:
    """Our settings; raises CheckpointError where the source's make no model."""
    try:
        return validate(VitsConfig, dict(settings))
    except ConfigError as error:
        raise CheckpointError(f"{where}: its settings make no VITS that is known here: {error}") from error


def assembled(
    config: VitsConfig, tensors: Mapping[str, Tensor], rows: Sequence[Row], where: str, length_scale: float = 1.0
) -> Built:
    """A model of ours with another project's tensors.

    length_scale: the source's default; it is built in, so that speed 1 is as fast as there.
    Raises CheckpointError if tensors are missing, left over, of another shape or not finite.
    """
    _refuse_endless(config, where)
    try:
        with torch.device("meta"):  # shapes alone, before settings can ask for any amount of memory
            own = Vits(config).state_dict()
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{where}: its settings make no model: {' '.join(str(error).split())}") from error
    if not config.condition_channels:  # some projects give a model of one speaker the layers, and never use them
        tensors = {name: tensor for name, tensor in tensors.items() if not _conditions(name)}
    taken = take(own, tensors, rows)
    expected = {name for name in own if name.startswith(f"{POSTERIOR}.")}
    missing = [name for name in taken.missing if name not in expected]
    lost = set(taken.missing) & expected
    absent = (POSTERIOR,) if lost == expected else ()
    if lost and not absent:
        missing += sorted(lost)
    if missing or taken.unused:
        parts = []
        if missing:
            parts.append(f"lacks {len(missing)} weights ({missing[0]} first, by our name)")
        if taken.unused:
            parts.append(f"has {len(taken.unused)} weights that VITS lacks ({taken.unused[0]} first)")
        raise CheckpointError(f"{where}: {' and '.join(parts)}: it is another model, or its settings are")
    for name, tensor in taken.tensors.items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{where}: weight {name!r} holds NaN or infinity: take an earlier checkpoint")
    model = Vits(config).eval()
    state = model.state_dict()
    zeros = {name: torch.zeros_like(state[name]) for name in expected} if absent else {}
    # g · v / |v| needs a direction: ones, with a length of 0.
    zeros.update({name: torch.ones_like(state[name]) for name in zeros if name.endswith(".original1")})
    model.load_state_dict({**state, **taken.tensors, **zeros})
    _stretch(model, length_scale, where)
    notes = ("no posterior encoder: the model speaks, but cannot convert or be trained on",) if absent else ()
    return Built(model, absent, notes)


def _refuse_endless(config: VitsConfig, where: str) -> None:
    """Settings are read before the weights are: none may ask for a million layers."""
    counts = {
        "text encoder layers": config.text_encoder.num_layers,
        "posterior layers": config.posterior.num_layers,
        "flow layers": config.flow.num_layers,
        "couplings": config.flow.num_couplings,
    }
    for what, value in counts.items():
        if not 0 < value <= MAXIMUM_LAYERS:
            raise CheckpointError(f"{where}: {value} {what}: expected 1 to {MAXIMUM_LAYERS}: copy the model again")


def _conditions(name: str) -> bool:
    """Whether a tensor belongs to a layer that takes the speaker vector."""
    return any(part in ("cond", "cond_layer") for part in name.split("."))


@torch.no_grad()
def _stretch(model: Vits, length_scale: float, where: str) -> None:
    """Builds a factor of all durations into the duration predictors."""
    if not 0.05 <= length_scale <= 20.0:
        raise CheckpointError(f"{where}: its length scale {length_scale!r} is no sensible factor: 0.05 to 20")
    if length_scale == 1.0:
        return
    model.duration_scale.fill_(length_scale)
    if model.stochastic_duration is not None:
        # log d = (z - translation) · exp(-log_scale) is channel 0 of the flow's last step.
        affine = model.stochastic_duration.flow.affine
        affine.translation[0] -= math.log(length_scale) * affine.log_scale[0].exp()


def manifest(
    config: VitsConfig, source: Path, layout: str, speakers: tuple[str, ...], absent: tuple[str, ...]
) -> Manifest:
    """What config.json says of an imported model: licence and data are not in such files and stay open."""
    return Manifest(
        family="vits",
        name=source.stem if source.is_file() else source.name,
        model=config.model_dump(mode="json"),
        text=config.text,
        speakers=speakers,
        language=config.text.language,
        data=(f"not stated: imported from {layout} ({source.name})",),
        sample_rate=config.mel.sample_rate,
        absent=absent,
    )


def noise_note(noise: float, duration_noise: float) -> tuple[str, ...]:
    """What is lost where the source's two noises do not stand in our fixed ratio."""
    if math.isclose(duration_noise, DURATION_NOISE * noise, rel_tol=0.01):
        return ()
    return (
        f"its duration noise {duration_noise:g} becomes {DURATION_NOISE} times its noise {noise:g}, "
        f"{DURATION_NOISE * noise:g}: rhythm varies differently",
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; raises CheckpointError otherwise."""
    value = parsed_settings(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(value).__name__}: copy the model again")
    return value


def beside(weights: Path, *keys: str, levels: int = 0) -> Path:
    """The JSON file with all of `keys` in the folder of a file of weights, or up to `levels` folders above it."""
    folder = weights.parent
    broken: CheckpointError | None = None
    for _ in range(levels + 1):
        names = [folder / "config.json", weights.with_suffix(".json"), *sorted(folder.glob("*.json"))]
        for path in dict.fromkeys(names):
            try:
                if path.is_file() and all(key in read_json(path) for key in keys):
                    return path
            except CheckpointError as error:
                broken = broken or (error if path in names[:2] else None)
        folder = folder.parent
    raise broken or CheckpointError(
        f"{weights}: no JSON with the settings {', '.join(keys)} beside it: put the model's config.json there"
    )


def section(settings: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    """A part of the settings; empty where it is missing or null."""
    value = settings.get(key) or {}
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: {key} is {type(value).__name__}, expected an object: copy the model again")
    return value


def number(
    settings: Mapping[str, Any], key: str, otherwise: int, where: "str | Path", least: int = 1, most: int = MAXIMUM_SIZE
) -> int:
    """A whole number of a sensible size; null and missing mean `otherwise`."""
    value = settings.get(key)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_whole(value):
        raise CheckpointError(f"{where}: {key} is {value!r}, expected a whole number: copy the model again")
    if not least <= value <= most:
        raise CheckpointError(f"{where}: {key} is {value:.6g}, expected {least} to {most}: copy the model again")
    return int(value)


def real(
    settings: Mapping[str, Any],
    key: str,
    otherwise: float,
    where: "str | Path",
    least: float = -MAXIMUM_REAL,
    most: float = MAXIMUM_REAL,
) -> float:
    """A number within limits; null and missing mean `otherwise`."""
    value = settings.get(key)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise CheckpointError(f"{where}: {key} is {value!r}, expected a number: copy the model again")
    if not least <= value <= most:
        raise CheckpointError(f"{where}: {key} is {value:.6g}, expected {least:g} to {most:g}: copy the model again")
    return float(value)


def noise(settings: Mapping[str, Any], key: str, otherwise: float, where: "str | Path") -> float:
    """A noise, in the limits that `variation` has."""
    return real(settings, key, otherwise, where, 0.0, MAXIMUM_VARIATION)


def _is_whole(value: int | float) -> bool:
    return isinstance(value, int) or value.is_integer()


def require(settings: Mapping[str, Any], fixed: Mapping[str, Any], where: "str | Path") -> None:
    """Raises CheckpointError for a setting that VITS here has no choice about and that is another one there."""
    for key, value in fixed.items():
        if settings.get(key, value) not in (value, None):
            raise CheckpointError(f"{where}: {key} is {settings[key]!r}, only {value!r} can be imported")


def state_of(stored: Any, key: str, path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, under `key` or at its top; raises CheckpointError if there are none."""
    state = stored.get(key, stored) if isinstance(stored, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no table of weights: it is another kind of file")
    # Wrappers for several GPUs put a prefix before all names.
    tensors = {
        str(name).removeprefix("module."): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)
    }
    if not tensors:
        raise CheckpointError(f"{path}: holds no table of weights: it is another kind of file")
    return tensors


def speaker_names(names: Any, count: Any, where: "str | Path") -> tuple[str, ...]:
    """The speaker table in its order, from a list, a name -> id table, or a number; empty for one speaker."""
    if isinstance(count, bool) or not isinstance(count, int | None):
        raise CheckpointError(f"{where}: {count!r} speakers: expected a number")
    count = count or 0
    if count > MAXIMUM_TABLE:
        raise CheckpointError(f"{where}: {count} speakers: expected {MAXIMUM_TABLE} at most: copy the model again")
    if count <= 1:
        return ()
    known: dict[int, str] = {}
    if isinstance(names, dict):
        known = {index: str(name) for name, index in names.items() if isinstance(index, int)}
    elif isinstance(names, list | tuple):
        known = {index: str(name) for index, name in enumerate(names)}
    return tuple(known.get(index, f"speaker{index}") for index in range(count))


def mel_config(
    sample_rate: int, n_fft: int, hop: int, window: int, bands: int = 80, f_min: float = 0.0, f_max: Any = None
) -> dict[str, Any]:
    """Our settings of the transform, from the numbers the other projects keep; f_max: half the rate by default."""
    return {
        "sample_rate": sample_rate,
        "n_fft": n_fft,
        "hop_length": hop,
        "window_length": window,
        "n_mels": bands,
        "f_min_hz": f_min,
        "f_max_hz": f_max or sample_rate / 2,
        "epsilon": 1e-6,
    }


def language_code(language: str) -> str:
    """A language as espeak names it, where it has another name in three letters; itself otherwise."""
    return _LANGUAGES.get(language.lower(), language.lower().replace("_", "-"))


def text_config(
    mode: str,
    language: str,
    symbols: Sequence[str],
    count: int,
    blanks: bool,
    where: "str | Path",
    blank: str | None = None,
    places: str = "around",
    ends: bool = False,
    lower_case: bool = False,
) -> TextConfig:
    """The front end of an imported voice.

    symbols: in the order of their ids; "" where an id has none. count: rows of the model's table; further ids have no
    symbol. blank: symbol of the blanks, that of id 0 by default. lower_case: the source lowers its texts first, so that
    capitals in its table are never used.
    """
    listed = list(symbols) + [""] * (count - len(symbols))
    if len(listed) != count:
        raise CheckpointError(f"{where}: {len(symbols)} symbols for a table of {count}: they are of different models")
    blank = listed[0] if blank is None else blank
    if blanks and not blank:
        raise CheckpointError(f"{where}: the blank, id 0, has no symbol: add it to the vocabulary")
    if lower_case:
        listed = ["" if symbol != symbol.lower() and symbol != blank else symbol for symbol in listed]
    return validate(
        TextConfig,
        {
            "language": language_code(language),
            "mode": mode,
            "blanks": blanks,
            "blank": blank or "_",
            "blank_places": places,
            "ends": ends,
            "symbols": listed,
        },
    )
