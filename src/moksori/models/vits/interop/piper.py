"""The layout of Piper's trainer: a `.ckpt` of Lightning's with the official names, and the voice's JSON.

`model_g.` is before the generator's names and `model_d.` before the discriminators'. The JSON, `config.json` of the
training or `VOICE.onnx.json` of the release, tells symbols and ids; a blank stands between all of them, but neither
before `^` nor after `$`, as the trainer's own front end puts them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moksori.errors import CheckpointError
from moksori.models.interop import Imported, Layout
from moksori.models.pickles import read_pickle
from moksori.models.vits.interop.official import structure, table
from moksori.models.vits.interop.piper_voice import write
from moksori.models.vits.interop.reading import (
    assembled,
    beside,
    checked_config,
    manifest,
    mel_config,
    noise,
    noise_note,
    number,
    read_json,
    real,
    section,
    speaker_names,
    state_of,
    text_config,
)
from moksori.models.vits.interop.tables import discriminators
from moksori.text.tokenizer import TextConfig

GENERATOR, DISCRIMINATORS = "model_g.", "model_d."
MEDIUM = {
    "upsample_initial_channel": 256,
    "upsample_rates": (8, 8, 4),
    "upsample_kernel_sizes": (16, 16, 8),
    "resblock_kernel_sizes": (3, 5, 7),
    "resblock_dilation_sizes": ((1, 2), (2, 6), (3, 12)),
}
"""The trainer's defaults, for what a checkpoint does not say."""


def read(path: Path) -> Imported:
    """The model of a `.ckpt` with its JSON beside it or up to three folders above, where the trainer leaves it."""
    weights = _checkpoint(path)
    voice_path = beside(weights, "phoneme_id_map", levels=3)
    voice = read_json(voice_path)
    stored = read_pickle(weights)
    state = state_of(stored, "state_dict", weights)
    tensors = {n.removeprefix(GENERATOR): t for n, t in state.items() if n.startswith(GENERATOR)}
    settings = stored.get("hyper_parameters") if isinstance(stored, dict) else None
    settings = {**MEDIUM, **{str(k): v for k, v in (settings or {}).items()}} if isinstance(settings, dict) else MEDIUM
    audio, inference = section(voice, "audio", voice_path), section(voice, "inference", voice_path)
    networks = structure(tensors, settings, str(weights))
    symbols = len(tensors["enc_p.emb.weight"])
    varied = noise(inference, "noise_scale", 0.667, voice_path)
    speaker_table = tensors.get("emb_g.weight")
    speakers = speaker_names(
        voice.get("speaker_id_map"), 0 if speaker_table is None else len(speaker_table), voice_path
    )
    config = checked_config(
        {
            "mel": mel_config(
                number(audio, "sample_rate", number(settings, "sample_rate", 22050, weights), voice_path),
                number(settings, "filter_length", 1024, weights),
                number(settings, "hop_length", 256, weights),
                number(settings, "win_length", 1024, weights),
                number(settings, "mel_channels", 80, weights),
            ),
            "text": _text(voice, symbols, voice_path),
            "num_symbols": symbols,
            "num_speakers": max(len(speakers), 1),
            "variation": varied,
            **networks,
        },
        str(weights),
    )
    length = real(inference, "length_scale", 1.0, voice_path)
    built = assembled(config, tensors, table(networks["decoder"]["residual_kind"]), str(weights), length)
    described = manifest(config, weights, "Piper", speakers, built.absent)
    steps = stored.get("global_step")
    if isinstance(steps, int) and steps > 0:
        described = described.model_copy(update={"steps": steps})
    notes = (*built.notes, *noise_note(varied, noise(inference, "noise_w", 0.8, voice_path)))
    return Imported(built.model, described, discriminators(state, f"{DISCRIMINATORS}discriminators."), notes)


def _text(voice: Mapping[str, Any], count: int, where: Path) -> TextConfig:
    ids = section(voice, "phoneme_id_map", where)
    symbols = [""] * count
    for symbol, places in ids.items():
        if not isinstance(places, list) or len(places) != 1 or not isinstance(places[0], int):
            raise CheckpointError(f"{where}: phoneme_id_map gives {symbol!r} the ids {places!r}, expected one id")
        if not 0 <= places[0] < count:
            raise CheckpointError(f"{where}: phoneme_id_map has the id {places[0]}, the weights have {count} symbols")
        symbols[places[0]] = symbol
    kind = voice.get("phoneme_type", "espeak")
    if kind not in ("espeak", "text"):
        raise CheckpointError(f"{where}: phoneme_type {kind!r} is not known here: espeak and text are")
    if voice.get("phoneme_map"):
        raise CheckpointError(f"{where}: it replaces phonemes (phoneme_map), which cannot be imported")
    for symbol in ("_", "^", "$"):
        if symbol not in ids:
            raise CheckpointError(f"{where}: phoneme_id_map lacks {symbol!r}: copy it again")
    # Its front end takes letters and marks apart, so that composed letters in the table are never used.
    import unicodedata

    symbols = ["" if unicodedata.normalize("NFD", symbol) != symbol else symbol for symbol in symbols]
    language = section(voice, "espeak", where).get("voice") or section(voice, "language", where).get("code")
    return text_config(
        "characters" if kind == "espeak" else "letters",
        str(language or "en-us"),
        symbols,
        count,
        True,
        where,
        "_",
        places="between",
        ends=True,
        lower_case=kind == "text",
    )


def _checkpoint(path: Path) -> Path:
    if path.is_file() and path.suffix != ".json":
        return path
    folder = path if path.is_dir() else path.parent
    found = sorted(folder.glob("*.ckpt")) or sorted(folder.glob("lightning_logs/*/checkpoints/*.ckpt"))
    if not found:
        raise CheckpointError(f"{folder}: holds no .ckpt file: name the checkpoint of the training")
    return max(found, key=lambda p: p.stat().st_mtime)


def recognises(path: Path) -> bool:
    """A `.ckpt` file, or a folder with one, and a JSON with a `phoneme_id_map` near it."""
    if path.is_file() and path.suffix not in (".ckpt", ".json"):
        return False
    try:
        beside(_checkpoint(path), "phoneme_id_map", levels=3)
    except CheckpointError:
        return False
    return True


LAYOUT = Layout("piper", "Piper's training checkpoint, written as a voice of Piper", recognises, read, write)
