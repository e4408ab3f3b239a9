"""The layout of `transformers`: `config.json`, `model.safetensors`, `vocab.json`, `tokenizer_config.json`.

The decoder's weights are folded, flow and posterior keep their weight norm. What transformers calls log variances are
log standard deviations, and its spectrogram is the latent z.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moksori.errors import CheckpointError
from moksori.models.checkpoint import Loaded
from moksori.models.decoders.config import HifiganConfig
from moksori.models.interop import Imported, Layout
from moksori.models.vits.config import VitsConfig
from moksori.models.vits.interop.official import WAVENET
from moksori.models.vits.interop.reading import (
    DURATION_NOISE,
    MAXIMUM_TABLE,
    assembled,
    checked_config,
    manifest,
    mel_config,
    noise,
    noise_note,
    number,
    read_json,
    real,
    require,
    speaker_names,
    text_config,
)
from moksori.models.vits.interop.tables import Row, give, within
from moksori.models.vits.model import Vits
from moksori.text.tokenizer import TextConfig

SEPARABLE = (
    Row("depthwise.{k}", "convs_dilated.{k}"),
    Row("pointwise.{k}", "convs_pointwise.{k}"),
    Row("depthwise_norms.{k}.norm", "norms_1.{k}"),
    Row("pointwise_norms.{k}.norm", "norms_2.{k}"),
)
SPLINE = (
    Row("input", "conv_pre"),
    *within("stack", "conv_dds", SEPARABLE),
    Row("projection", "conv_proj"),
)
TEXT_LAYER = (
    Row("attention.query", "attention.q_proj", "linear"),
    Row("attention.key", "attention.k_proj", "linear"),
    Row("attention.value", "attention.v_proj", "linear"),
    Row("attention.output", "attention.out_proj", "linear"),
    Row("attention.relative_key", "attention.emb_rel_k", "relative"),
    Row("attention.relative_value", "attention.emb_rel_v", "relative"),
    Row("attention_norm.norm", "layer_norm"),
    Row("feed_forward.expand", "feed_forward.conv_1"),
    Row("feed_forward.contract", "feed_forward.conv_2"),
    Row("feed_forward_norm.norm", "final_layer_norm"),
)
TABLE = (
    Row("text_encoder.embedding", "text_encoder.embed_tokens"),
    *within("text_encoder.transformer.layers.{i}", "text_encoder.encoder.layers.{i}", TEXT_LAYER),
    Row("text_encoder.projection", "text_encoder.project"),
    Row("posterior_encoder.input", "posterior_encoder.conv_pre"),
    *within("posterior_encoder.wavenet", "posterior_encoder.wavenet", WAVENET),
    Row("posterior_encoder.projection", "posterior_encoder.conv_proj"),
    Row("flow.couplings.{i}.input", "flow.flows.{i}.conv_pre"),
    *within("flow.couplings.{i}.wavenet", "flow.flows.{i}.wavenet", WAVENET),
    Row("flow.couplings.{i}.shift", "flow.flows.{i}.conv_post"),
    Row("stochastic_duration.text_input", "duration_predictor.conv_pre"),
    *within("stochastic_duration.text_stack", "duration_predictor.conv_dds", SEPARABLE),
    Row("stochastic_duration.text_output", "duration_predictor.conv_proj"),
    Row("stochastic_duration.condition.projection", "duration_predictor.cond"),
    Row("stochastic_duration.flow.affine.translation", "duration_predictor.flows.0.translate", "tensor"),
    Row("stochastic_duration.flow.affine.log_scale", "duration_predictor.flows.0.log_scale", "tensor"),
    *within("stochastic_duration.flow.splines.{i}", "duration_predictor.flows.{i+1}", SPLINE),
    Row("stochastic_duration.duration_input", "duration_predictor.post_conv_pre"),
    *within("stochastic_duration.duration_stack", "duration_predictor.post_conv_dds", SEPARABLE),
    Row("stochastic_duration.duration_output", "duration_predictor.post_conv_proj"),
    Row("stochastic_duration.posterior_flow.affine.translation", "duration_predictor.post_flows.0.translate", "tensor"),
    Row("stochastic_duration.posterior_flow.affine.log_scale", "duration_predictor.post_flows.0.log_scale", "tensor"),
    *within("stochastic_duration.posterior_flow.splines.{i}", "duration_predictor.post_flows.{i+1}", SPLINE),
    Row("deterministic_duration.first", "duration_predictor.conv_1"),
    Row("deterministic_duration.first_norm.norm", "duration_predictor.norm_1"),
    Row("deterministic_duration.second", "duration_predictor.conv_2"),
    Row("deterministic_duration.second_norm.norm", "duration_predictor.norm_2"),
    Row("deterministic_duration.projection", "duration_predictor.proj"),
    Row("deterministic_duration.condition.projection", "duration_predictor.cond"),
    Row("decoder.generator.input", "decoder.conv_pre"),
    Row("decoder.generator.condition.projection", "decoder.cond"),
    Row("decoder.generator.upsamplers.{i}", "decoder.upsampler.{i}"),
    Row("decoder.generator.blocks.{i}.dilated.{k}", "decoder.resblocks.{i}.convs1.{k}"),
    Row("decoder.generator.blocks.{i}.plain.{k}", "decoder.resblocks.{i}.convs2.{k}"),
    Row("decoder.generator.output", "decoder.conv_post"),
    Row("speaker_embedding", "embed_speaker"),
)
FIXED = {
    "hidden_act": "relu",
    "use_bias": True,
    "layer_norm_eps": 1e-5,
    "leaky_relu_slope": 0.1,
    "depth_separable_channels": 2,
    "depth_separable_num_layers": 3,
    "duration_predictor_flow_bins": 10,
    "duration_predictor_tail_bound": 5.0,
    "duration_predictor_kernel_size": 3,
    "duration_predictor_num_flows": 4,
    "wavenet_dilation_rate": 1,
    "wavenet_dropout": 0.0,
}
"""Settings that all published VITS models share and that ours does not have."""


def read(path: Path) -> Imported:
    """The model of a folder that `VitsModel.save_pretrained` and `VitsTokenizer.save_pretrained` wrote."""
    folder = path if path.is_dir() else path.parent
    settings = read_json(folder / "config.json")
    if settings.get("model_type") != "vits":
        raise CheckpointError(f"{folder}: its config.json is no VITS model of transformers (model_type is not vits)")
    config = vits_config(settings, _text(folder, settings), folder)
    speed = real(settings, "speaking_rate", 1.0, folder, 0.05, 20.0)
    built = assembled(config, _tensors(folder), TABLE, str(folder), 1.0 / speed)
    of_durations = noise(settings, "noise_scale_duration", 0.8, folder)
    notes = (*built.notes, *noise_note(config.variation, of_durations))
    speakers = speaker_names(settings.get("speakers"), settings.get("num_speakers", 1), folder)
    described = manifest(config, folder, "the transformers format", speakers, built.absent)
    return Imported(built.model, described, None, notes)


def vits_config(settings: Mapping[str, Any], text: TextConfig, where: Path) -> VitsConfig:
    """Our settings from those of a `transformers.VitsConfig`, as its `to_dict` gives them."""
    require(settings, FIXED, where)
    hidden = number(settings, "hidden_size", 192, where)
    kernel = number(settings, "wavenet_kernel_size", 5, where)
    rates = settings.get("upsample_rates", (8, 8, 2, 2))
    n_fft = 2 * (number(settings, "spectrogram_bins", 513, where) - 1)
    stochastic = bool(settings.get("use_stochastic_duration_prediction", True))
    try:
        hop = math.prod(rates)
    except TypeError as error:
        raise CheckpointError(f"{where}: upsample_rates is {rates!r}, expected a list of numbers") from error
    rate = number(settings, "sampling_rate", 16000, where)
    return checked_config(
        {
            "mel": mel_config(rate, n_fft, hop, n_fft),
            "text": text,
            "num_symbols": number(settings, "vocab_size", 38, where),
            "latent_channels": number(settings, "flow_size", 192, where),
            "num_speakers": max(number(settings, "num_speakers", 1, where, 0), 1),
            "speaker_channels": number(settings, "speaker_embedding_size", 0, where, 0) or 256,
            "variation": noise(settings, "noise_scale", 0.667, where),
            "text_encoder": {
                "channels": hidden,
                "hidden_channels": number(settings, "ffn_dim", 768, where),
                "num_heads": number(settings, "num_attention_heads", 2, where),
                "num_layers": number(settings, "num_hidden_layers", 6, where),
                "kernel_size": number(settings, "ffn_kernel_size", 3, where),
                "dropout": settings.get("hidden_dropout", 0.1),
                "window": number(settings, "window_size", 4, where, 0),
            },
            "posterior": {
                "channels": hidden,
                "kernel_size": kernel,
                "num_layers": number(settings, "posterior_encoder_num_wavenet_layers", 16, where),
            },
            "flow": {
                "channels": hidden,
                "kernel_size": kernel,
                "num_layers": number(settings, "prior_encoder_num_wavenet_layers", 4, where),
                "num_couplings": number(settings, "prior_encoder_num_flows", 4, where),
            },
            "duration": {
                "stochastic": stochastic,
                "deterministic": not stochastic,
                "channels": hidden,
                "deterministic_channels": number(settings, "duration_predictor_filter_channels", 256, where),
                "dropout": settings.get("duration_predictor_dropout", 0.5),
            },
            "decoder": {
                "kind": "hifigan",
                "channels": number(settings, "upsample_initial_channel", 512, where),
                "rates": rates,
                "kernel_sizes": settings.get("upsample_kernel_sizes", (16, 16, 4, 4)),
                "residual_kernel_sizes": settings.get("resblock_kernel_sizes", (3, 7, 11)),
                "residual_dilations": settings.get("resblock_dilation_sizes", ((1, 3, 5),) * 3),
                "residual_kind": 1,
            },
        },
        str(where),
    )


def _text(folder: Path, settings: Mapping[str, Any]) -> TextConfig:
    vocabulary_path, tokenizer_path = folder / "vocab.json", folder / "tokenizer_config.json"
    if not vocabulary_path.is_file():
        raise CheckpointError(f"{folder}: has no vocab.json, so its ids cannot be told: copy the tokenizer's files too")
    vocabulary = read_json(vocabulary_path)
    tokenizer = read_json(tokenizer_path) if tokenizer_path.is_file() else {}
    if tokenizer.get("is_uroman"):
        raise CheckpointError(
            f"{folder}: its texts must be romanised by uroman first (is_uroman), which moksori does not do: "
            "only voices that read their own script or phonemes can be imported"
        )
    if not all(isinstance(index, int) and index >= 0 for index in vocabulary.values()):
        raise CheckpointError(f"{vocabulary_path}: expected a table of symbols and ids: copy it again")
    count = number(settings, "vocab_size", len(vocabulary), folder, 1, MAXIMUM_TABLE)
    symbols = [""] * count
    for symbol, index in vocabulary.items():
        if index < count:
            symbols[index] = symbol
    phonemes = bool(tokenizer.get("phonemize", True))
    return text_config(
        "characters" if phonemes else "letters",
        # transformers always asks espeak for American English.
        "en-us" if phonemes else str(tokenizer.get("language") or "en-us"),
        symbols,
        count,
        bool(tokenizer.get("add_blank", True)),
        vocabulary_path,
    )


def _tensors(folder: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        names = sorted({Path(str(name)).name for name in (read_json(index).get("weight_map") or {}).values()})
    tensors: dict[str, Any] = {}
    for name in names:
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder}: has no {name}: only safetensors are read of this format; a pytorch_model.bin can be "
                "converted by transformers' own save_pretrained"
            )
        try:
            tensors.update(load_file(folder / name))
        except (OSError, SafetensorError, ValueError) as error:
            raise CheckpointError(
                f"{folder / name}: truncated, or no safetensors file ({error}): copy it again"
            ) from error
    return tensors


def write(loaded: Loaded, folder: Path) -> tuple[str, ...]:
    """Fills a folder that `VitsModel.from_pretrained` reads; raises CheckpointError for what it has no place for.

    Returns what its tokenizer does otherwise than ours.
    """
    from safetensors.torch import save_file

    model = loaded.model
    assert isinstance(model, Vits)
    settings = hf_settings(model, loaded.manifest.name)
    save_file(give(model.state_dict(), TABLE, folded="decoder."), folder / "model.safetensors", {"format": "pt"})
    if loaded.manifest.speakers:
        settings["speakers"] = list(loaded.manifest.speakers)
    text = model.config.text
    files = {
        "config.json": settings,
        "vocab.json": {symbol: index for index, symbol in enumerate(text.symbols) if symbol},
        "tokenizer_config.json": {
            "tokenizer_class": "VitsTokenizer",
            "add_blank": text.blanks,
            "is_uroman": False,
            "language": text.language,
            "normalize": text.mode == "letters",
            "phonemize": text.mode != "letters",
            "pad_token": text.symbols[0] or "<pad>",
            "unk_token": "<unk>",
        },
    }
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    absent = loaded.manifest.absent
    return (
        *_text_notes(text),
        *(f"the {part.replace('_', ' ')} holds zeros, as its source lacked it" for part in absent),
    )


def _text_notes(text: TextConfig) -> tuple[str, ...]:
    """How far VitsTokenizer gives the ids that the model was trained with."""
    wrong = {
        "it has no start and end symbols": text.ends,
        "it puts the symbol of id 0 between the others": text.blanks and text.blank != text.symbols[0],
        "it puts blanks at both ends too": text.blanks and text.blank_places != "around",
        "its symbols are single characters": text.mode == "phones",
        "it asks espeak for American English": text.mode == "characters" and text.language != "en-us",
    }
    found = [problem for problem, present in wrong.items() if present]
    if not found:
        return ()
    return (f"VitsTokenizer cannot make this voice's ids ({'; '.join(found)}): give the model ids from moksori's",)


def hf_settings(model: Vits, name: str) -> dict[str, Any]:
    """The `config.json` of transformers for a model; raises CheckpointError naming what it has no place for."""
    config = model.config
    text, posterior, flow, duration, decoder = (
        config.text_encoder,
        config.posterior,
        config.flow,
        config.duration,
        config.decoder,
    )
    problems = {
        f"decoder.kind {decoder.kind}": not isinstance(decoder, HifiganConfig),
        "decoder.residual_kind 2": isinstance(decoder, HifiganConfig) and decoder.residual_kind != 1,
        f"prior.kind {config.prior.kind}": config.prior.kind != "token",
        "text_encoder.pre_norm": text.pre_norm,
        "text_encoder.stress_embedding": text.stress_embedding,
        "posterior.log_magnitude": posterior.log_magnitude,
        "clamp_log_std": config.clamp_log_std,
        "two duration predictors": duration.stochastic and duration.deterministic,
        f"duration.rounding {duration.rounding}": duration.rounding != "ceil",
        "different widths of its parts": len({text.channels, posterior.channels, flow.channels, duration.channels}) > 1,
        "different kernel sizes of posterior and flow": posterior.kernel_size != flow.kernel_size,
    }
    found = [problem for problem, present in problems.items() if present]
    if found:
        raise CheckpointError(
            f"{name}: transformers' VitsModel has no place for {', '.join(found)}: only models with the paper's "
            "networks can be written so, as the presets vits/ljspeech and vits/vctk make them"
        )
    assert isinstance(decoder, HifiganConfig)
    return {
        "architectures": ["VitsModel"],
        "model_type": "vits",
        **FIXED,
        "vocab_size": config.num_symbols or len(config.text.symbols),
        "hidden_size": text.channels,
        "num_hidden_layers": text.num_layers,
        "num_attention_heads": text.num_heads,
        "window_size": text.window,
        "ffn_dim": text.hidden_channels,
        "ffn_kernel_size": text.kernel_size,
        "hidden_dropout": text.dropout,
        "attention_dropout": text.dropout,
        "activation_dropout": text.dropout,
        "flow_size": config.latent_channels,
        "spectrogram_bins": config.mel.n_fft // 2 + 1,
        "use_stochastic_duration_prediction": duration.stochastic,
        "num_speakers": config.num_speakers,
        "speaker_embedding_size": config.condition_channels,
        "upsample_initial_channel": decoder.channels,
        "upsample_rates": list(decoder.rates),
        "upsample_kernel_sizes": list(decoder.kernel_sizes),
        "resblock_kernel_sizes": list(decoder.residual_kernel_sizes),
        "resblock_dilation_sizes": [list(dilations) for dilations in decoder.residual_dilations],
        "duration_predictor_dropout": duration.dropout,
        "duration_predictor_filter_channels": duration.deterministic_channels,
        "prior_encoder_num_flows": flow.num_couplings,
        "prior_encoder_num_wavenet_layers": flow.num_layers,
        "posterior_encoder_num_wavenet_layers": posterior.num_layers,
        "wavenet_kernel_size": flow.kernel_size,
        # A stochastic predictor has its length built in.
        "speaking_rate": 1.0 if duration.stochastic else 1.0 / float(model.duration_scale),
        "noise_scale": config.variation,
        "noise_scale_duration": DURATION_NOISE * config.variation,
        "sampling_rate": config.mel.sample_rate,
    }


def recognises(path: Path) -> bool:
    """A folder whose config.json says `model_type` vits."""
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name not in ("config.json", "model.safetensors"):
        return False
    try:
        return read_json(folder / "config.json").get("model_type") == "vits"
    except CheckpointError:
        return False


LAYOUT = Layout("hf", "transformers' VitsModel", recognises, read, write)
