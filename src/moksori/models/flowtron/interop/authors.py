"""The layout of the Flowtron authors' code: a `.pt` with a `state_dict`, or with a whole module under `model`.

Neither holds symbols, speakers' names or settings. 185 symbols are those of the published models. Beside the file may
lie the authors' JSON (`model_config`, `data_config`), a dictionary of CMUdict's format (`cmudict*`), and `speakers.txt`
with a name a line, in the order of the table.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from moksori.config import validate
from moksori.errors import CheckpointError, ConfigError
from moksori.models.checkpoint import Loaded, Manifest
from moksori.models.flowtron.config import FlowtronConfig, MixturePriorConfig
from moksori.models.flowtron.flows import AffineFlow
from moksori.models.flowtron.interop.names import (
    OWN_PREFIX,
    OWN_STATISTICS,
    Sizes,
    alias,
    check_directions,
    foreign,
    sizes,
    wrapped_flows,
)
from moksori.models.flowtron.model import Flowtron
from moksori.models.flowtron.prior import MixturePrior
from moksori.models.interop import Imported, Layout
from moksori.models.pickles import Shell, read_modules, tensors_of
from moksori.text.arpabet import pronunciations
from moksori.text.symbols import FLOWTRON_SYMBOLS
from moksori.text.tokenizer import TextConfig

SUFFIX = ".pt"
SPEAKERS_NAME = "speakers.txt"
NO_GATE_BIAS = -30.0
"""Of the gate that a model without one is given: it never says stop, so lengths come from the length model."""
_MAXIMUM_ROWS = 65536


def read(path: Path) -> Imported:
    """The model of a `.pt` file, or of the one in a folder."""
    file = weights_file(path)
    stored = read_modules(file)
    tensors = state_of(stored, file)
    found = sizes(tensors, str(file))
    settings = _settings(file)
    text, notes = _text(found, settings, file)
    config = _config(found, settings, text, str(file))
    model, missing = _filled(config, tensors, found, str(file))
    steps = stored.get("iteration") if isinstance(stored, dict) else None
    steps = steps if isinstance(steps, int) and steps > 0 else 0
    manifest = Manifest(
        family="flowtron",
        name=file.stem,
        model=config.model_dump(mode="json"),
        text=config.text,
        speakers=_speakers(file, found.num_speakers),
        language=config.text.language,
        data=(f"not stated: imported from the Flowtron authors' format ({file.name})",),
        sample_rate=config.mel.sample_rate,
        steps=steps,
    )
    return Imported(model, manifest, None, (*notes, *missing, *_KNOWN_NOTES))


_KNOWN_NOTES = (
    "frames lie 128 samples later than in the authors' mels, whose edges are padded otherwise; speech sounds the same",
    "the length of what it says is bounded by common figures, not by those of its own recordings",
)


def weights_file(path: Path) -> Path:
    """The file itself, or the only `.pt` of a folder."""
    if path.is_file():
        return path
    found = sorted(path.glob(f"*{SUFFIX}"))
    if len(found) != 1:
        raise CheckpointError(f"{path}: holds {len(found)} {SUFFIX} files, expected one: name the file")
    return found[0]


def state_of(stored: Any, file: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint: under `state_dict`, of the module under `model`, or at its top."""
    table: Any = stored
    if isinstance(stored, dict):
        table = stored.get("state_dict", stored.get("model", stored))
    found = tensors_of(table) if isinstance(table, Shell) else table
    if not isinstance(found, Mapping) or not any(isinstance(tensor, Tensor) for tensor in found.values()):
        raise CheckpointError(f"{file}: holds no table of weights: it is another kind of file")
    # Wrappers for several GPUs put a prefix before all names.
    return {str(name).removeprefix("module."): t for name, t in found.items() if isinstance(t, Tensor)}


def _settings(file: Path) -> Mapping[str, Any]:
    """The authors' JSON beside a file, `{}` where there is none."""
    for path in sorted(file.parent.glob("*.json")):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(value, dict) and isinstance(value.get("model_config"), dict):
            return value
    return {}


def _text(found: Sizes, settings: Mapping[str, Any], file: Path) -> tuple[TextConfig, tuple[str, ...]]:
    if found.num_symbols != len(FLOWTRON_SYMBOLS):
        raise CheckpointError(
            f"{file}: has {found.num_symbols} symbols, not the {len(FLOWTRON_SYMBOLS)} of the published models, and "
            "does not say which: it cannot be imported"
        )
    data = settings.get("data_config")
    data = data if isinstance(data, dict) else {}
    share = data.get("p_arpabet", 1.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
        raise CheckpointError(f"{file}: p_arpabet beside it is {share!r}, expected 0 to 1: correct its JSON")
    dictionaries = sorted(p for p in file.parent.glob("cmudict*") if p.is_file() and p.suffix in ("", ".dict", ".txt"))
    values: dict[str, Any] = {
        "mode": "arpabet",
        "phoneme_share": float(share),
        "keep_ambiguous": data.get("keep_ambiguous") is True,
    }
    if dictionaries:
        pronunciations(str(dictionaries[0]))
        values["dictionary"] = str(dictionaries[0].resolve())
        return TextConfig(**values), (f"words are looked up in {dictionaries[0]}, which must stay where it is",)
    note = "words are looked up in the lexicon of moksori: put a cmudict file beside the weights for its own sounds"
    return TextConfig(**values), (note,)


def _config(found: Sizes, settings: Mapping[str, Any], text: TextConfig, where: str) -> FlowtronConfig:
    networks = settings.get("model_config") or {}
    for name, count in (("speakers", found.num_speakers), ("symbols", found.num_symbols)):
        if count > _MAXIMUM_ROWS:
            raise CheckpointError(f"{where}: {count} {name}: expected {_MAXIMUM_ROWS} at most: copy the model again")
    values = {**found.settings(), "text": text.model_dump(mode="json")}
    if networks.get("dummy_speaker_embedding") is True:
        values["speaker_table"] = "dummy"
    try:
        return validate(FlowtronConfig, values)
    except ConfigError as error:
        raise CheckpointError(f"{where}: its weights make no Flowtron that is known here: {error}") from error


def _filled(
    config: FlowtronConfig, tensors: Mapping[str, Tensor], found: Sizes, where: str
) -> tuple[Flowtron, tuple[str, ...]]:
    """Our model with their weights, and notes; every weight must have its place and every place its weight."""
    wrapped = wrapped_flows(tensors)
    check_directions(config, wrapped, where)
    with torch.device("meta"):  # shapes alone, before anything is allocated
        own = Flowtron(config).state_dict()
    taken: dict[str, Tensor] = {}
    used: set[str] = set()
    for name, place in own.items():
        theirs = foreign(name, wrapped)
        if theirs is None or (".step.gate." in name and found.gate_flow is None):
            continue
        if theirs not in tensors:
            raise CheckpointError(f"{where}: lacks {theirs!r}: it is another model, or not the whole of one")
        tensor = tensors[theirs].float()
        if [n for n in tensor.shape if n != 1] != [n for n in place.shape if n != 1]:
            raise CheckpointError(
                f"{where}: {theirs!r} has the shape {list(tensor.shape)}, the other weights ask for "
                f"{list(place.shape)}: it is another model"
            )
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{where}: {theirs!r} holds NaN or infinity: take an earlier checkpoint")
        taken[name] = tensor.reshape(place.shape)
        used |= {theirs, alias(theirs) or theirs}
    left = sorted(set(tensors) - used)
    if left:
        raise CheckpointError(f"{where}: has {len(left)} weights that are not known ({left[0]} first): another model")
    model = Flowtron(config).eval()
    model.load_state_dict({**model.state_dict(), **taken})
    notes: tuple[str, ...] = ()
    if isinstance(model.prior, MixturePrior):
        notes = (_without_averages(model.prior),)
    if found.gate_flow is not None:
        return model, notes
    last = model.flows[-1]
    assert isinstance(last, AffineFlow)
    assert last.step.gate is not None
    nn.init.zeros_(last.step.gate.weight)
    nn.init.constant_(last.step.gate.bias, NO_GATE_BIAS)
    told = "it has no gate, so it never says when to stop: what it says is as long as the length model thinks"
    return model, (*notes, told)


@torch.no_grad()
def _without_averages(prior: MixturePrior) -> str:
    """Sets what a mixture is without reference, which their files do not have: all components alike."""
    if prior.mean_layer is None:
        prior.average_mean.copy_(prior.mean)
        prior.average_log_variance.copy_(prior.log_variance)
        return "how much its recordings had of each component is not known: without a choice all count alike"
    return "the means of its components are read off a reference: without one, what it says is of one Gaussian"


def _speakers(file: Path, count: int) -> tuple[str, ...]:
    """Names from `speakers.txt`, else numbers of rows; none for one speaker."""
    if count <= 1:
        return ()
    listed = file.with_name(SPEAKERS_NAME)
    if not listed.is_file():
        return tuple(f"speaker{index}" for index in range(count))
    try:
        names = listed.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{listed}: cannot be read: save it as UTF-8, a name a line") from error
    names = [name.strip() for name in names if name.strip()]
    if len(names) != count or len(set(names)) != count:
        raise CheckpointError(
            f"{listed}: {len(names)} names, {len(set(names))} of them different, for {count} rows of the table: give "
            "each row its own name, in the table's order"
        )
    return tuple(names)


def recognises(path: Path) -> bool:
    """A `.pt` file, or a folder with one."""
    if path.is_dir():
        return any(path.glob(f"*{SUFFIX}"))
    return path.suffix == SUFFIX


def write(loaded: Loaded, folder: Path) -> tuple[str, ...]:
    """NAME.pt with a `state_dict` of their names, and the JSON that their code reads; raises where there is no place.

    What their networks do not have: groups of frames, standardised mels, bounded scales, stress, other directions.
    """
    model, manifest = loaded.model, loaded.manifest
    assert isinstance(model, Flowtron)
    config = model.config
    _require_place(config, manifest.name)
    wrapped = {index for index, direction in enumerate(config.flow_directions) if direction == "backward"}
    given: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        theirs = foreign(name, wrapped)
        if theirs is not None:
            tensor = tensor.detach().float().cpu().clone()
            if ".step.head.weight" in name:
                tensor = tensor.unsqueeze(-1)
            elif name in ("prior.mean", "prior.log_variance"):
                tensor = tensor.unsqueeze(0)
            given[theirs] = tensor
            given.update({second: tensor for second in (alias(theirs),) if second is not None})
        elif name not in OWN_STATISTICS and not name.startswith(OWN_PREFIX):
            raise CheckpointError(f"{manifest.name}: {name!r} has no place in the authors' layout")
    torch.save({"state_dict": given, "iteration": manifest.steps}, folder / f"{manifest.name}{SUFFIX}")
    described = json.dumps({"model_config": _described(config), "data_config": _data(config)}, indent=1)
    (folder / "config.json").write_text(described + "\n", encoding="utf-8")
    if manifest.speakers:
        (folder / SPEAKERS_NAME).write_text("\n".join(manifest.speakers) + "\n", encoding="utf-8")
    return ("the length model and licence stay behind: the layout has no place for them",)


def _require_place(config: FlowtronConfig, name: str) -> None:
    default = FlowtronConfig(num_flows=config.num_flows)
    missing = {
        "group": config.group != 1,
        "standardize": config.standardize,
        "decorrelate": config.decorrelate,
        "text_mean_channels": config.text_mean_channels > 0,
        "pitch": config.pitch,
        "match_spread": config.match_spread > 0,
        "postfilter": config.postfilter is not None,
        "log_scale_limit": config.log_scale_limit is not None,
        "directions": config.flow_directions != default.flow_directions,
        "text_encoder.stress_embedding": config.text_encoder.stress_embedding,
        "speaker_table": not config.has_speaker_table,
        "text.symbols": config.text.symbols != FLOWTRON_SYMBOLS,
    }
    wrong = [setting for setting, is_wrong in missing.items() if is_wrong]
    if wrong:
        raise CheckpointError(
            f"{name}: {wrong[0]} is not as in the authors' networks, whose layout has no place for it: only models of "
            "flowtron/ljspeech, flowtron/libritts and imported ones can be written so"
        )


def _described(config: FlowtronConfig) -> dict[str, Any]:
    mixture = config.prior if isinstance(config.prior, MixturePriorConfig) else None
    return {
        "n_speakers": config.num_speakers,
        "n_speaker_dim": config.speaker_channels,
        "n_text": len(config.text.symbols),
        "n_text_dim": config.text_encoder.channels,
        "n_flows": config.num_flows,
        "n_mel_channels": config.mel.n_mels,
        "n_attn_channels": config.attention_channels,
        "n_hidden": config.hidden_channels,
        "n_lstm_layers": config.num_decoder_layers,
        "mel_encoder_n_hidden": 512 if mixture is None else mixture.channels,
        "n_components": 0 if mixture is None else mixture.num_components,
        "mean_scale": 0.0 if mixture is None else mixture.mean_scale,
        "fixed_gaussian": mixture is None or mixture.means == "fixed",
        "dummy_speaker_embedding": config.speaker_table == "dummy",
        "use_gate_layer": True,
        "use_cumm_attention": config.cumulative_attention,
    }


def _data(config: FlowtronConfig) -> dict[str, Any]:
    mel = config.mel
    return {
        "sampling_rate": mel.sample_rate,
        "filter_length": mel.n_fft,
        "hop_length": mel.hop_length,
        "win_length": mel.window_length,
        "mel_fmin": mel.f_min_hz,
        "mel_fmax": mel.f_max_hz,
        "p_arpabet": config.text.phoneme_share,
        "keep_ambiguous": config.text.keep_ambiguous,
    }


LAYOUT = Layout("flowtron", "the Flowtron authors' .pt", recognises, read, write, family="flowtron")
