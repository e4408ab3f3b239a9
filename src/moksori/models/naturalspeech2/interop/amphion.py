"""The layout of Amphion's NaturalSpeech 2: `pytorch_model.bin`, a table of weights, on latents of EnCodec at 24 kHz.

Beside it may lie their JSON (`model_type` NaturalSpeech2), which tells what shapes do not, and a dictionary
of CMUdict's format (`cmudict*`) for the words. The codec is a model of its own.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moksori.config import validate
from moksori.errors import CheckpointError, ConfigError
from moksori.models.checkpoint import Manifest
from moksori.models.interop import Imported, Layout
from moksori.models.naturalspeech2.config import Naturalspeech2Config
from moksori.models.naturalspeech2.interop.amphion_names import DENOISER, NULLS, PRIOR, PROMPT, Weights, ours
from moksori.models.naturalspeech2.interop.amphion_text import text_config, told_rows
from moksori.models.naturalspeech2.model import Naturalspeech2
from moksori.models.pickles import read_pickle

NAME = "pytorch_model.bin"
CODEC = "encodec-24khz"
"""What the codec of imported models is called in their settings."""
SAMPLE_RATE, HOP, STAGES, CODES = 24000, 320, 16, 1024
"""EnCodec at 12 kbit/s."""
_MODEL_TYPE = "NaturalSpeech2"
_MOST_ROWS = 65536
_MOST_JSON = 2**20


def recognises(path: Path) -> bool:
    """A file `pytorch_model.bin`, or a folder with one, with no JSON beside it that says it is something else."""
    file = path / NAME if path.is_dir() else path
    if file.name != NAME or not file.is_file():
        return False
    kinds = {value["model_type"] for value in _described(file) if isinstance(value.get("model_type"), str)}
    return not kinds or _MODEL_TYPE in kinds


def read(path: Path) -> Imported:
    """The model of a file, or of the one in a folder."""
    file = path / NAME if path.is_dir() else path
    stored = read_pickle(file)
    if not isinstance(stored, Mapping) or not any(isinstance(tensor, Tensor) for tensor in stored.values()):
        raise CheckpointError(f"{file}: holds no table of weights: it is another kind of file")
    # Wrappers for several GPUs put a prefix before all names.
    tensors = {str(name).removeprefix("module."): t for name, t in stored.items() if isinstance(t, Tensor)}
    weights = Weights(tensors, str(file))
    rows = weights[f"{PRIOR}.enc_emb_tokens.weight"].shape[0]
    text, notes = text_config(rows, file)
    config = _config(tensors, weights, text.model_dump(mode="json"), _settings(file), str(file))
    model = _filled(config, weights, rows, str(file))
    manifest = Manifest(
        family="naturalspeech2",
        name=file.parent.name or file.stem,
        model=config.model_dump(mode="json"),
        text=config.text,
        language=config.text.language,
        data=(f"not stated: imported from Amphion's format ({file.name})",),
        sample_rate=config.sample_rate,
    )
    return Imported(model, manifest, None, (*notes, *_NOTES))


_NOTES = (
    "it makes latents of EnCodec at 24 kHz, which is not in the file: without that codec they make no sound",
    "it was not trained for guidance, and durations are rounded so that their sum is kept, not one by one",
)


def _described(file: Path) -> list[dict[str, Any]]:
    """All JSON objects beside a file that can be read."""
    found = []
    for path in sorted(file.parent.glob("*.json")):
        try:
            value = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size <= _MOST_JSON else None
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _settings(file: Path) -> Mapping[str, Any]:
    """`model` of their JSON, `{}` where there is none."""
    for value in _described(file):
        if isinstance(value.get("model"), dict) and "prior_encoder" in value["model"]:
            return dict(value["model"])
    return {}


def _told(settings: Mapping[str, Any], path: str, default: int, where: str) -> int:
    """A whole number above 0 of their settings, by its place; raises CheckpointError for anything else."""
    value: Any = settings
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_ROWS:
        raise CheckpointError(f"{where}: {path} beside it is {value!r}, expected a whole number: correct its JSON")
    return value


def _config(
    tensors: Mapping[str, Tensor],
    weights: Weights,
    text: Mapping[str, Any],
    settings: Mapping[str, Any],
    where: str,
) -> Naturalspeech2Config:
    """What the shapes tell; heads, dilations and steps are those of the settings, or the published ones."""
    bins = weights[f"{PRIOR}.pitch_bins"]
    if bins.dim() != 1 or len(bins) < 2:
        raise CheckpointError(f"{where}: its table of pitches has the shape {list(bins.shape)}: it is another model")
    heads = _told(settings, "prior_encoder.encoder.encoder_head", 8, where)
    others = ("prior_encoder.duration_predictor.attn_head", "prior_encoder.pitch_predictor.attn_head",
              "prompt_encoder.encoder_head", "query_emb.head_num", "diffusion.wavenet.attn_head")  # fmt: skip
    if any(_told(settings, other, heads, where) != heads for other in others):
        raise CheckpointError(
            f"{where}: its attentions have different numbers of heads: only equal ones are known here"
        )
    cycle = _told(settings, "diffusion.wavenet.dilation_cycle", 2, where)
    layers = weights.count(f"{DENOISER}.layers.{{}}.dilated_conv.weight")
    films = [layer for layer in range(layers) if f"{DENOISER}.layers.{layer}.film.gain.weight" in weights]
    latent, channels = (_shape(tensors, f"{DENOISER}.in_proj.weight", 3, where)[axis] for axis in (1, 0))
    symbols = text["symbols"]
    values = {
        "text": text,
        "num_symbols": len(symbols),
        "codec": CODEC,
        "sample_rate": SAMPLE_RATE,
        "hop_length": HOP,
        "latent_channels": latent,
        "stages": STAGES,
        "code_count": CODES,
        "hidden_channels": _shape(tensors, f"{PRIOR}.enc_emb_tokens.weight", 2, where)[1],
        "num_heads": heads,
        "phoneme_encoder": _encoder(tensors, weights, f"{PRIOR}.encoder", where),
        "prompt_adaptive_norm": f"{PRIOR}.encoder.last_ln.style.weight" in weights,
        "prompt_encoder": _encoder(tensors, weights, PROMPT, where),
        "prompt_tokens": _shape(tensors, "query_emb.weight", 2, where)[0],
        "duration": _predictor(tensors, weights, "duration_predictor", settings, where),
        "pitch": {
            "predictor": _predictor(tensors, weights, "pitch_predictor", settings, where),
            "bins": len(bins) + 1,
            "lowest_hz": round(float(bins[0]), 3),
            "highest_hz": round(float(bins[-1]), 3),
        },
        "denoiser": {
            "channels": channels,
            "num_layers": layers,
            "kernel_size": _shape(tensors, f"{DENOISER}.layers.0.dilated_conv.weight", 3, where)[2],
            "dilations": [2 ** (layer % cycle) for layer in range(min(cycle, 16))],
            "film_every": films[1] if len(films) > 1 else max(layers, 1),
            "time_scale": 1.0,
        },
        "sampling": {"sampler": "euler", "steps": _told(settings, "inference_step", 200, where)},
    }
    try:
        return validate(Naturalspeech2Config, values)
    except ConfigError as error:
        raise CheckpointError(f"{where}: its weights make no model that is known here: {error}") from error


def _encoder(tensors: Mapping[str, Tensor], weights: Weights, name: str, where: str) -> dict[str, Any]:
    shape = _shape(tensors, f"{name}.layers.0.ffn.ffn_1.weight", 3, where)
    layers = weights.count(f"{name}.layers.{{}}.self_attn.in_proj_weight")
    return {"num_layers": layers, "ffn_channels": shape[0], "kernel_size": shape[2], "window": 0}


def _predictor(
    tensors: Mapping[str, Tensor], weights: Weights, name: str, settings: Mapping[str, Any], where: str
) -> dict[str, Any]:
    theirs = f"{PRIOR}.{name}"
    layers, reads = (weights.count(f"{theirs}.{part}") for part in ("conv.{}.0.weight", "cattn.{}.0.in_proj_weight"))
    every = _told(settings, f"prior_encoder.{name}.cross_attn_per_layer", 3, where)
    if len(range(0, layers, every)) != reads:
        raise CheckpointError(
            f"{where}: {theirs} has {reads} attentions in {layers} layers, not one in {every}: lay its JSON beside it"
        )
    return {
        "num_layers": layers,
        "kernel_size": _shape(tensors, f"{theirs}.conv.0.0.weight", 3, where)[2],
        "attention_every": every,
        "residual": "before_attention",
    }


def _shape(tensors: Mapping[str, Tensor], name: str, axes: int, where: str) -> tuple[int, ...]:
    found = tuple(tensors[name].shape) if name in tensors else ()
    if len(found) != axes or max(found) > _MOST_ROWS:
        told = f"has the shape {list(found)}" if found else "is missing"
        raise CheckpointError(f"{where}: {name!r} {told}: it is another model, or not the whole of one")
    return found


def _filled(config: Naturalspeech2Config, weights: Weights, rows: int, where: str) -> Naturalspeech2:
    """Our model with their weights; every weight must have its place and every place its weight."""
    with torch.device("meta"):  # shapes alone, before anything is allocated
        places = Naturalspeech2(config).state_dict()
    given = ours(weights)
    given["phoneme_encoder.embedding.weight"] = told_rows(given["phoneme_encoder.embedding.weight"], config.text)
    left = weights.left()
    if left:
        raise CheckpointError(f"{where}: has {len(left)} weights that are not known ({left[0]} first): another model")
    for name, place in places.items():
        if name in given and given[name].shape != place.shape:
            raise CheckpointError(
                f"{where}: what makes {name!r} has the shape {list(given[name].shape)}, the other weights ask for "
                f"{list(place.shape)}: it is another model"
            )
    own = {name for name in places if name in NULLS or name.startswith("standardize.")}
    missing, unknown = sorted(set(places) - own - set(given)), sorted(set(given) - set(places))
    if missing or unknown:
        raise CheckpointError(f"{where}: nothing in it is {(missing or unknown)[0]!r}: it is another model")
    model = Naturalspeech2(config).eval()
    model.load_state_dict({**model.state_dict(), **given})
    with torch.no_grad():
        model.null_condition.zero_()
        model.prompt_tokens.null.zero_()
    return model


LAYOUT = Layout("amphion", "Amphion's NaturalSpeech 2", recognises, read, family="naturalspeech2")
