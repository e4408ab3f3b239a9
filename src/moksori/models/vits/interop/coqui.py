"""The layout of Coqui TTS: `model_file.pth` and `config.json`.

Its list of flows has no entries for the flips, its decoder calls the speaker layer `cond_layer`, and its blank is the
last symbol, not the first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moksori.errors import CheckpointError
from moksori.models.interop import Imported, Layout
from moksori.models.pickles import read_pickle
from moksori.models.vits.interop.official import (
    COUPLING,
    DETERMINISTIC,
    POSTERIOR,
    SPLINE,
    STOCHASTIC,
    TEXT_ENCODER,
    decoder,
)
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
    require,
    section,
    speaker_names,
    state_of,
    text_config,
)
from moksori.models.vits.interop.tables import Row, discriminators, shape_of, within
from moksori.text.tokenizer import TextConfig

TABLE = (
    *within("text_encoder", "text_encoder", TEXT_ENCODER),
    *within("posterior_encoder", "posterior_encoder", POSTERIOR),
    *within("flow.couplings.{i}", "flow.flows.{i}", COUPLING),
    *within("stochastic_duration", "duration_predictor", STOCHASTIC),
    Row("stochastic_duration.flow.affine.translation", "duration_predictor.flows.0.translation", "tensor"),
    Row("stochastic_duration.flow.affine.log_scale", "duration_predictor.flows.0.log_scale", "tensor"),
    *within("stochastic_duration.flow.splines.{i}", "duration_predictor.flows.{i+1}", SPLINE),
    Row(
        "stochastic_duration.posterior_flow.affine.translation", "duration_predictor.post_flows.0.translation", "tensor"
    ),
    Row("stochastic_duration.posterior_flow.affine.log_scale", "duration_predictor.post_flows.0.log_scale", "tensor"),
    *within("stochastic_duration.posterior_flow.splines.{i}", "duration_predictor.post_flows.{i+1}", SPLINE),
    *within("deterministic_duration", "duration_predictor", DETERMINISTIC),
    Row("speaker_embedding", "emb_g"),
)
FIXED = {
    "use_d_vector_file": False,
    "use_language_embedding": False,
    "encoder_sample_rate": None,
    "dilation_rate_posterior_encoder": 1,
    "dilation_rate_flow": 1,
}
_LOWERING = ("english_cleaners", "phoneme_cleaners", "basic_cleaners", "multilingual_cleaners", "basic_german_cleaners")
_TRAINING_ONLY = ("disc.", "audio_transform.", "speaker_manager.", "language_manager.")


def table(residual_kind: int) -> tuple[Row, ...]:
    """All rows, for a decoder with the blocks of HiFi-GAN V1 (1) or V3 (2)."""
    return (*TABLE, *decoder("waveform_decoder", "cond_layer", residual_kind))


def read(path: Path) -> Imported:
    """The model of a `.pth` file with its config.json, or of a folder with both; the discriminators are inside."""
    weights = _weights(path)
    settings_path = beside(weights, "model_args")
    settings = read_json(settings_path)
    arguments, audio = section(settings, "model_args", settings_path), section(settings, "audio", settings_path)
    require(arguments, FIXED, settings_path)
    stored = read_pickle(weights)
    tensors = state_of(stored, "model", weights)
    judges = discriminators(tensors, "disc.nets.")
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(_TRAINING_ONLY)}
    if "text_encoder.emb.weight" not in tensors:
        raise CheckpointError(f"{weights}: no VITS model of Coqui (it has no 'text_encoder.emb.weight')")
    symbols = len(tensors["text_encoder.emb.weight"])
    hidden = number(arguments, "hidden_channels", 192, settings_path)
    first = shape_of(tensors, "duration_predictor.conv_1")
    projection = shape_of(tensors, "text_encoder.proj")
    relative = tensors.get("text_encoder.encoder.attn_layers.0.emb_rel_k")
    kind = 1 if shape_of(tensors, "waveform_decoder.resblocks.0.convs1.0") else 2
    speaker_table = tensors.get("emb_g.weight")
    table_size = 0 if speaker_table is None else len(speaker_table)
    speakers = speaker_names(_speaker_ids(settings, arguments, weights), table_size, settings_path)
    varied = noise(arguments, "inference_noise_scale", 0.667, settings_path)
    config = checked_config(
        {
            "mel": mel_config(
                number(audio, "sample_rate", 22050, settings_path),
                number(audio, "fft_size", 1024, settings_path),
                number(audio, "hop_length", 256, settings_path),
                number(audio, "win_length", 1024, settings_path),
                number(audio, "num_mels", 80, settings_path),
                real(audio, "mel_fmin", 0.0, settings_path),
                audio.get("mel_fmax"),
            ),
            "text": _text(settings, symbols, settings_path),
            "num_symbols": symbols,
            "latent_channels": hidden if projection is None else projection[0] // 2,
            "num_speakers": max(len(speakers), 1),
            "speaker_channels": 256 if speaker_table is None else speaker_table.shape[1],
            "variation": varied,
            "text_encoder": {
                "channels": hidden,
                "hidden_channels": number(arguments, "hidden_channels_ffn_text_encoder", 768, settings_path),
                "num_heads": number(arguments, "num_heads_text_encoder", 2, settings_path),
                "num_layers": number(arguments, "num_layers_text_encoder", 6, settings_path),
                "kernel_size": number(arguments, "kernel_size_text_encoder", 3, settings_path),
                "dropout": arguments.get("dropout_p_text_encoder", 0.1),
                "window": 0 if relative is None else (relative.shape[-2] - 1) // 2,
            },
            "posterior": {
                "channels": hidden,
                "kernel_size": number(arguments, "kernel_size_posterior_encoder", 5, settings_path),
                "num_layers": number(arguments, "num_layers_posterior_encoder", 16, settings_path),
            },
            "flow": {
                "channels": hidden,
                "kernel_size": number(arguments, "kernel_size_flow", 5, settings_path),
                "num_layers": number(arguments, "num_layers_flow", 4, settings_path),
            },
            "duration": {
                "stochastic": first is None,
                "deterministic": first is not None,
                "channels": hidden,
                "deterministic_channels": 256 if first is None else first[0],
                "dropout": arguments.get("dropout_p_duration_predictor", 0.5),
            },
            "decoder": {
                "kind": "hifigan",
                "channels": number(arguments, "upsample_initial_channel_decoder", 512, settings_path),
                "rates": arguments.get("upsample_rates_decoder", (8, 8, 2, 2)),
                "kernel_sizes": arguments.get("upsample_kernel_sizes_decoder", (16, 16, 4, 4)),
                "residual_kernel_sizes": arguments.get("resblock_kernel_sizes_decoder", (3, 7, 11)),
                "residual_dilations": arguments.get("resblock_dilation_sizes_decoder", ((1, 3, 5),) * 3),
                "residual_kind": kind,
            },
        },
        str(settings_path),
    )
    length = real(arguments, "length_scale", 1.0, settings_path)
    built = assembled(config, tensors, table(kind), str(weights), length)
    notes = (*built.notes, *noise_note(varied, noise(arguments, "inference_noise_scale_dp", 1.0, settings_path)))
    if first is not None:
        notes = (*notes, "its deterministic duration predictor norms with 1e-4 in the root, ours with 1e-5")
    described = manifest(config, weights, "Coqui TTS", speakers, built.absent)
    steps = stored.get("step") if isinstance(stored, dict) else None
    if isinstance(steps, int) and steps > 0:
        described = described.model_copy(update={"steps": steps})
    return Imported(built.model, described, judges, notes)


def _speaker_ids(settings: Mapping[str, Any], arguments: Mapping[str, Any], weights: Path) -> Any:
    """The name -> id table of `speakers.json`, which lies beside the model; a `.pth` one is not opened."""
    for name in (weights.with_name("speakers.json"), weights.with_name("speaker_ids.json")):
        if name.is_file():
            return read_json(name)
    return settings.get("speakers") or arguments.get("speakers")


def _text(settings: Mapping[str, Any], count: int, where: Path) -> TextConfig:
    characters = section(settings, "characters", where)
    if not characters:
        raise CheckpointError(f"{where}: has no characters, so its ids cannot be told: take the config.json of the run")
    if settings.get("enable_eos_bos_chars"):
        raise CheckpointError(f"{where}: enable_eos_bos_chars is true, only false can be imported")

    def part(key: str) -> str:
        value = characters.get(key)
        return value if isinstance(value, str) else ""

    kind = part("characters_class").rpartition(".")[2]
    phonemes = bool(settings.get("use_phonemes"))
    blank = part("blank") or "<BLNK>"
    if kind in ("", "VitsCharacters"):
        # The order is that of the strings: this class never sorts, whatever `is_sorted` says.
        blank = "<BLNK>"
        symbols = [part("pad"), *part("punctuations"), *part("characters"), *part("phonemes"), blank]
    elif kind in ("IPAPhonemes", "Graphemes"):
        letters = list(part("characters"))
        letters = list(dict.fromkeys(letters)) if characters.get("is_unique") else letters
        letters = sorted(letters) if characters.get("is_sorted", True) else letters
        special = [symbol for symbol in (part("pad"), part("eos"), part("bos"), part("blank")) if symbol]
        symbols = [*special, *letters, *part("punctuations")]
    else:
        raise CheckpointError(
            f"{where}: characters_class {kind} is not known: VitsCharacters, IPAPhonemes and Graphemes are"
        )
    if len(symbols) != count:
        raise CheckpointError(
            f"{where}: its characters are {len(symbols)} symbols, the weights have {count}: not of one model"
        )
    language = settings.get("phoneme_language") if phonemes else _first_language(settings)
    return text_config(
        "characters" if phonemes else "letters",
        str(language or "en-us"),
        symbols,
        count,
        bool(settings.get("add_blank", True)),
        where,
        blank,
        lower_case=not phonemes and settings.get("text_cleaner") in _LOWERING,
    )


def _first_language(settings: Mapping[str, Any]) -> Any:
    datasets = settings.get("datasets")
    first = datasets[0] if isinstance(datasets, list) and datasets else {}
    return first.get("language") if isinstance(first, dict) else None


def _weights(path: Path) -> Path:
    if path.is_file() and path.suffix != ".json":
        return path
    folder = path if path.is_dir() else path.parent
    for name in ("model_file.pth", "best_model.pth", "model.pth"):
        if (folder / name).is_file():
            return folder / name
    found = sorted(p for p in folder.glob("*.pth") if p.stem not in ("speakers", "language_ids"))
    if not found:
        raise CheckpointError(f"{folder}: holds no .pth file: name the model's file")
    return found[-1]


def recognises(path: Path) -> bool:
    """A `.pth` file, or a folder with one, and a config.json whose model is vits, with `model_args`."""
    if path.is_file() and path.suffix not in (".pth", ".pt", ".json"):
        return False
    try:
        return read_json(beside(_weights(path), "model_args")).get("model", "vits") == "vits"
    except CheckpointError:
        return False


LAYOUT = Layout("coqui", "Coqui TTS", recognises, read)
