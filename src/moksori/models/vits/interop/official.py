"""The layout of the VITS authors' code and of the original MMS files: `G_*.pth`, `D_*.pth` and a JSON.

The symbols are not in the files: 178 of them are the authors' English table, others need a `vocab.txt` (MMS), one
symbol a line, or a list `symbols` in the JSON.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from moksori.errors import CheckpointError
from moksori.models.interop import Imported, Layout
from moksori.models.pickles import read_pickle
from moksori.models.vits.interop.reading import (
    assembled,
    beside,
    checked_config,
    manifest,
    mel_config,
    number,
    read_json,
    real,
    section,
    speaker_names,
    state_of,
    text_config,
)
from moksori.models.vits.interop.tables import Row, count, discriminators, shape_of, within
from moksori.text.symbols import OFFICIAL_SYMBOLS
from moksori.text.tokenizer import TextConfig

WAVENET = (
    Row("gates.{k}", "in_layers.{k}"),
    Row("residual_skips.{k}", "res_skip_layers.{k}"),
    Row("condition.projection", "cond_layer"),
)
SEPARABLE = (
    Row("depthwise.{k}", "convs_sep.{k}"),
    Row("pointwise.{k}", "convs_1x1.{k}"),
    Row("depthwise_norms.{k}.norm", "norms_1.{k}", "norm"),
    Row("pointwise_norms.{k}.norm", "norms_2.{k}", "norm"),
)
SPLINE = (
    Row("input", "pre"),
    *within("stack", "convs", SEPARABLE),
    Row("projection", "proj"),
)
TEXT_ENCODER = (
    Row("embedding", "emb"),
    Row("transformer.layers.{i}.attention.query", "encoder.attn_layers.{i}.conv_q"),
    Row("transformer.layers.{i}.attention.key", "encoder.attn_layers.{i}.conv_k"),
    Row("transformer.layers.{i}.attention.value", "encoder.attn_layers.{i}.conv_v"),
    Row("transformer.layers.{i}.attention.output", "encoder.attn_layers.{i}.conv_o"),
    Row("transformer.layers.{i}.attention.relative_key", "encoder.attn_layers.{i}.emb_rel_k", "relative"),
    Row("transformer.layers.{i}.attention.relative_value", "encoder.attn_layers.{i}.emb_rel_v", "relative"),
    Row("transformer.layers.{i}.attention_norm.norm", "encoder.norm_layers_1.{i}", "norm"),
    Row("transformer.layers.{i}.feed_forward.expand", "encoder.ffn_layers.{i}.conv_1"),
    Row("transformer.layers.{i}.feed_forward.contract", "encoder.ffn_layers.{i}.conv_2"),
    Row("transformer.layers.{i}.feed_forward_norm.norm", "encoder.norm_layers_2.{i}", "norm"),
    Row("projection", "proj"),
)
POSTERIOR = (Row("input", "pre"), *within("wavenet", "enc", WAVENET), Row("projection", "proj"))
COUPLING = (Row("input", "pre"), *within("wavenet", "enc", WAVENET), Row("shift", "post"))
STOCHASTIC = (
    Row("text_input", "pre"),
    *within("text_stack", "convs", SEPARABLE),
    Row("text_output", "proj"),
    Row("condition.projection", "cond"),
    Row("duration_input", "post_pre"),
    *within("duration_stack", "post_convs", SEPARABLE),
    Row("duration_output", "post_proj"),
)
DETERMINISTIC = (
    Row("first", "conv_1"),
    Row("first_norm.norm", "norm_1", "norm"),
    Row("second", "conv_2"),
    Row("second_norm.norm", "norm_2", "norm"),
    Row("projection", "proj"),
    Row("condition.projection", "cond"),
)


def decoder(name: str, condition: str, residual_kind: int) -> tuple[Row, ...]:
    """Rows of the decoder `name`, whose speaker layer is `condition`.

    residual_kind: blocks of HiFi-GAN V1 (1) or V3 (2), as in `HifiganConfig`.
    """
    rows = (
        Row("input", "conv_pre"),
        Row("condition.projection", condition),
        Row("upsamplers.{i}", "ups.{i}"),
        Row("blocks.{i}.dilated.{k}", f"resblocks.{{i}}.{'convs1' if residual_kind == 1 else 'convs'}.{{k}}"),
        Row("blocks.{i}.plain.{k}", "resblocks.{i}.convs2.{k}"),
        Row("output", "conv_post"),
    )
    return within("decoder.generator", name, rows)


# Flips are entries of the authors' lists of flows, without weights.
TABLE = (
    *within("text_encoder", "enc_p", TEXT_ENCODER),
    *within("posterior_encoder", "enc_q", POSTERIOR),
    *within("flow.couplings.{i}", "flow.flows.{2i}", COUPLING),
    *within("stochastic_duration", "dp", STOCHASTIC),
    Row("stochastic_duration.flow.affine.translation", "dp.flows.0.m", "tensor"),
    Row("stochastic_duration.flow.affine.log_scale", "dp.flows.0.logs", "tensor"),
    *within("stochastic_duration.flow.splines.{i}", "dp.flows.{2i+1}", SPLINE),
    Row("stochastic_duration.posterior_flow.affine.translation", "dp.post_flows.0.m", "tensor"),
    Row("stochastic_duration.posterior_flow.affine.log_scale", "dp.post_flows.0.logs", "tensor"),
    *within("stochastic_duration.posterior_flow.splines.{i}", "dp.post_flows.{2i+1}", SPLINE),
    *within("deterministic_duration", "dp", DETERMINISTIC),
    Row("speaker_embedding", "emb_g"),
)


def table(residual_kind: int) -> tuple[Row, ...]:
    """All rows, for a decoder with the blocks of HiFi-GAN V1 (1) or V3 (2)."""
    return (*TABLE, *decoder("dec", "cond", residual_kind))


def structure(tensors: Mapping[str, Tensor], settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings of the networks, from the authors' names for them and, where those are silent, from the weights.

    `n_layers_q` is not read: the authors' posterior has 16 layers whatever it says.
    """
    _refuse_other_families(tensors, where)
    hidden = number(settings, "hidden_channels", 192, where)
    relative = tensors.get("enc_p.encoder.attn_layers.0.emb_rel_k")
    gate, kernel = shape_of(tensors, "flow.flows.0.enc.in_layers.0"), 5
    if gate is not None:
        kernel = gate[2]
    first = shape_of(tensors, "dp.conv_1")
    return {
        "latent_channels": number(settings, "inter_channels", 192, where),
        "text_encoder": {
            "channels": hidden,
            "hidden_channels": number(settings, "filter_channels", 768, where),
            "num_heads": number(settings, "n_heads", 2, where),
            "num_layers": number(settings, "n_layers", 6, where),
            "kernel_size": number(settings, "kernel_size", 3, where),
            "dropout": settings.get("p_dropout", 0.1),
            "window": 0 if relative is None else (relative.shape[-2] - 1) // 2,
        },
        "posterior": {
            "channels": hidden,
            "kernel_size": 5,
            "num_layers": count(tensors, "enc_q.enc.in_layers.", 16),
        },
        "flow": {
            "channels": hidden,
            "kernel_size": kernel,
            "num_layers": count(tensors, "flow.flows.0.enc.in_layers.", 4),
            "num_couplings": count(tensors, "flow.flows.", 4),
        },
        "duration": {
            "stochastic": first is None,
            "deterministic": first is not None,
            "channels": hidden,
            "deterministic_channels": 256 if first is None else first[0],
        },
        "decoder": {
            "kind": "hifigan",
            "channels": number(settings, "upsample_initial_channel", 512, where),
            "rates": settings.get("upsample_rates", (8, 8, 2, 2)),
            "kernel_sizes": settings.get("upsample_kernel_sizes", (16, 16, 4, 4)),
            "residual_kernel_sizes": settings.get("resblock_kernel_sizes", (3, 7, 11)),
            "residual_dilations": settings.get("resblock_dilation_sizes", ((1, 3, 5),) * 3),
            "residual_kind": 1 if shape_of(tensors, "dec.resblocks.0.convs1.0") else 2,
        },
        "speaker_channels": number(settings, "gin_channels", 0, where, 0) or 256,
    }


def _refuse_other_families(tensors: Mapping[str, Tensor], where: str) -> None:
    if any(name.startswith("sdp.") or ".tone_emb" in name or ".bert_proj" in name for name in tensors):
        raise CheckpointError(
            f"{where}: a MeloTTS or Bert-VITS2 model, with tone, language and BERT inputs that VITS lacks: "
            "it cannot be imported"
        )
    if "enc_p.emb.weight" not in tensors:
        raise CheckpointError(f"{where}: no VITS generator (it has no 'enc_p.emb.weight'): name the file G_*.pth")


def read(path: Path) -> Imported:
    """The model of a `.pth` file, or of the newest `G_*.pth` of a folder, with the discriminators beside it."""
    weights = _generator(path)
    settings_path = beside(weights, "data", "model")
    settings = read_json(settings_path)
    model, data = section(settings, "model", settings_path), section(settings, "data", settings_path)
    stored = read_pickle(weights)
    tensors = state_of(stored, "model", weights)
    networks = structure(tensors, model, str(weights))
    symbols = len(tensors["enc_p.emb.weight"])
    text = _text(settings, data, weights, symbols)
    speakers = speaker_names(settings.get("speakers") or data.get("speakers"), data.get("n_speakers", 0), settings_path)
    config = checked_config(
        {
            "mel": mel_config(
                number(data, "sampling_rate", 22050, settings_path),
                number(data, "filter_length", 1024, settings_path),
                number(data, "hop_length", 256, settings_path),
                number(data, "win_length", 1024, settings_path),
                number(data, "n_mel_channels", 80, settings_path),
                real(data, "mel_fmin", 0.0, settings_path),
                data.get("mel_fmax"),
            ),
            "text": text,
            "num_symbols": symbols,
            "num_speakers": max(len(speakers), 1),
            **networks,
        },
        str(settings_path),
    )
    built = assembled(config, tensors, table(networks["decoder"]["residual_kind"]), str(weights))
    judges = weights.with_name(weights.name.replace("G_", "D_", 1))
    kept = None
    if weights.name.startswith("G_") and judges.is_file():
        kept = discriminators(state_of(read_pickle(judges), "model", judges), "discriminators.")
    steps = stored.get("iteration") if isinstance(stored, dict) else None
    described = manifest(config, weights, "the VITS authors' format", speakers, built.absent)
    notes = built.notes
    if isinstance(steps, int):
        notes = (*notes, f"trained for {steps} epochs; how many steps these are, the file does not say")
    return Imported(built.model, described, kept, notes)


def _text(settings: Mapping[str, Any], data: Mapping[str, Any], weights: Path, count: int) -> TextConfig:
    listed = settings.get("symbols") or data.get("symbols")
    vocabulary = weights.with_name("vocab.txt")
    blanks = bool(data.get("add_blank", True))
    cleaners = data.get("text_cleaners") or ()
    if not isinstance(cleaners, list | tuple) or not all(isinstance(name, str) for name in cleaners):
        raise CheckpointError(f"{weights}: text_cleaners is {cleaners!r}, expected a list of names: copy it again")
    cleaners = tuple(cleaners)
    language = str(data.get("language") or "en-us")
    if vocabulary.is_file():
        lines = vocabulary.read_text(encoding="utf-8").split("\n")
        symbols = tuple(line for index, line in enumerate(lines) if line or index + 1 < len(lines))
        # The file was written from a list whose space became an empty line in some releases.
        symbols = tuple(symbol or " " for symbol in symbols)
        return text_config("letters", language, symbols, count, blanks, vocabulary, lower_case=False)
    symbols = tuple(listed) if isinstance(listed, list | tuple) else OFFICIAL_SYMBOLS
    if len(symbols) != count:
        raise CheckpointError(
            f"{weights}: has {count} symbols, not the {len(symbols)} of "
            f"{'its settings' if listed else 'the English models'}: put its vocab.txt beside it, a symbol a line"
        )
    if cleaners in ((), ("english_cleaners2",)):
        return text_config("characters", "en-us", symbols, count, blanks, weights)
    if cleaners == ("basic_cleaners",):
        return text_config("letters", language, symbols, count, blanks, weights, lower_case=True)
    raise CheckpointError(
        f"{weights}: its texts went through {', '.join(cleaners)}, which moksori does not have: only "
        "english_cleaners2 and basic_cleaners are known"
    )


def _generator(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(path.glob("G_*.pth"), key=lambda p: int("".join(re.findall(r"\d+", p.stem)) or 0))
    found = found or sorted(path.glob("*.pth"))
    if not found:
        raise CheckpointError(f"{path}: holds no G_*.pth: name the generator's file")
    return found[-1]


def recognises(path: Path) -> bool:
    """A `.pth` file, or a folder with one, and settings with the sections data and model beside it."""
    if path.is_file() and path.suffix not in (".pth", ".pt"):
        return False
    try:
        beside(_generator(path), "data", "model")
    except CheckpointError:
        return False
    return True


LAYOUT = Layout("official", "the VITS authors' .pth and JSON", recognises, read)
