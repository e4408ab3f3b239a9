"""A small VITS with random weights, and writers of other projects' files.

The writers go through the model's layers by hand, after the published formats; they share nothing with the importers.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from moksori.models.vits import Vits, VitsConfig
from moksori.text.tokenizer import TextConfig
from moksori.types import SayControls, Spoken, TextBatch

LETTERS = ("_", *" ',.abcdefghijklmnopqrstuvwxyz")
SPELLINGS = ("old", "new", "folded")


def small(
    speakers: int = 1,
    stochastic: bool = True,
    block: int = 1,
    text: TextConfig | None = None,
    seed: int = 0,
    **changes: object,
) -> Vits:
    """Random everywhere, also where a fresh model starts at zero."""
    settings: dict[str, object] = {
        "mel": {"sample_rate": 16000, "n_fft": 64, "hop_length": 16, "window_length": 64, "f_max_hz": 8000.0,
                "epsilon": 1e-6, "n_mels": 8},
        "text": text or TextConfig(mode="letters", symbols=LETTERS, blanks=True, ends=False),
        "latent_channels": 12,
        "num_speakers": speakers,
        "speaker_channels": 6,
        "text_encoder": {"channels": 16, "hidden_channels": 24, "num_layers": 2},
        "posterior": {"channels": 16, "num_layers": 3},
        "flow": {"channels": 16, "num_layers": 2, "num_couplings": 4},
        "duration": {"stochastic": stochastic, "deterministic": not stochastic, "channels": 16,
                     "deterministic_channels": 20},
        "decoder": {"kind": "hifigan", "channels": 16, "rates": (4, 4), "kernel_sizes": (8, 8),
                    "residual_kernel_sizes": (3, 5), "residual_dilations": ((1, 3), (1, 2)), "residual_kind": block},
        **changes,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = Vits(VitsConfig(**settings)).eval()
    randomise(model, seed)
    return model


@torch.no_grad()
def randomise(model: nn.Module, seed: int = 0) -> None:
    """Numbers of a useful size in all parameters that are constant; others stay as they were initialised."""
    draw = torch.Generator().manual_seed(seed + 100)
    for parameter in model.parameters():
        if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))


def spoken(model: Vits, speaker: int = 0, variation: float | None = None, seed: int = 5) -> Spoken:
    """A few tokens as sound."""
    rows = model.text_encoder.embedding.num_embeddings
    ids = torch.randint(1, rows, (1, 11), generator=torch.Generator().manual_seed(9))
    text = TextBatch(ids, torch.zeros_like(ids), torch.tensor([11]), torch.tensor([speaker]))
    return model.say(text, SayControls(variation), torch.Generator().manual_seed(seed))


class Writer:
    """Collects tensors under foreign names; `spelling` of weight norm: old, new or folded."""

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling
        self.tensors: dict[str, Tensor] = {}

    def tensor(self, name: str, value: Tensor) -> None:
        self.tensors[name] = value.detach().clone()

    def layer(self, name: str, layer: nn.Module) -> None:
        if parametrize.is_parametrized(layer):
            g, v = (getattr(layer.parametrizations.weight, f"original{n}") for n in (0, 1))
            if self.spelling == "old":
                self.tensor(f"{name}.weight_g", g)
                self.tensor(f"{name}.weight_v", v)
            elif self.spelling == "new":
                self.tensor(f"{name}.parametrizations.weight.original0", g)
                self.tensor(f"{name}.parametrizations.weight.original1", v)
            else:
                self.tensor(f"{name}.weight", v * g / v.flatten(1).norm(dim=1).reshape(g.shape))
        else:
            self.tensor(f"{name}.weight", layer.weight)
        if getattr(layer, "bias", None) is not None:
            self.tensor(f"{name}.bias", layer.bias)

    def norm(self, name: str, layer: nn.Module, shape: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        self.tensor(f"{name}.gamma", shape(layer.norm.weight))
        self.tensor(f"{name}.beta", shape(layer.norm.bias))

    def layers(self, name: str, layers: nn.ModuleList) -> None:
        for index, layer in enumerate(layers):
            self.layer(f"{name}.{index}", layer)

    def text_encoder(self, name: str, encoder: nn.Module) -> None:
        self.tensor(f"{name}.emb.weight", encoder.embedding.weight)
        for index, part in enumerate(encoder.transformer.layers):
            attention = f"{name}.encoder.attn_layers.{index}"
            for theirs, layer in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "output")):
                self.layer(f"{attention}.conv_{theirs}", getattr(part.attention, layer))
            self.tensor(f"{attention}.emb_rel_k", part.attention.relative_key[None])
            self.tensor(f"{attention}.emb_rel_v", part.attention.relative_value[None])
            self.norm(f"{name}.encoder.norm_layers_1.{index}", part.attention_norm)
            self.norm(f"{name}.encoder.norm_layers_2.{index}", part.feed_forward_norm)
            self.layer(f"{name}.encoder.ffn_layers.{index}.conv_1", part.feed_forward.expand)
            self.layer(f"{name}.encoder.ffn_layers.{index}.conv_2", part.feed_forward.contract)
        self.layer(f"{name}.proj", encoder.projection)

    def wavenet(self, name: str, stack: nn.Module) -> None:
        self.layers(f"{name}.in_layers", stack.gates)
        self.layers(f"{name}.res_skip_layers", stack.residual_skips)
        self.condition(f"{name}.cond_layer", stack.condition)

    def condition(self, name: str, part: nn.Module) -> None:
        if part.projection is not None:
            self.layer(name, part.projection)

    def posterior(self, name: str, encoder: nn.Module) -> None:
        self.layer(f"{name}.pre", encoder.input)
        self.wavenet(f"{name}.enc", encoder.wavenet)
        self.layer(f"{name}.proj", encoder.projection)

    def coupling(self, name: str, part: nn.Module) -> None:
        self.layer(f"{name}.pre", part.input)
        self.wavenet(f"{name}.enc", part.wavenet)
        self.layer(f"{name}.post", part.shift)

    def separable(self, name: str, stack: nn.Module) -> None:
        self.layers(f"{name}.convs_sep", stack.depthwise)
        self.layers(f"{name}.convs_1x1", stack.pointwise)
        for index, (first, second) in enumerate(zip(stack.depthwise_norms, stack.pointwise_norms, strict=True)):
            self.norm(f"{name}.norms_1.{index}", first)
            self.norm(f"{name}.norms_2.{index}", second)

    def duration_flow(self, name: str, flow: nn.Module, step: int, translation: str, log_scale: str) -> None:
        self.tensor(f"{name}.0.{translation}", flow.affine.translation)
        self.tensor(f"{name}.0.{log_scale}", flow.affine.log_scale)
        for index, spline in enumerate(flow.splines):
            place = f"{name}.{step * index + 1}"
            self.layer(f"{place}.pre", spline.input)
            self.separable(f"{place}.convs", spline.stack)
            self.layer(f"{place}.proj", spline.projection)

    def durations(self, name: str, model: Vits, step: int, translation: str, log_scale: str) -> None:
        stochastic, plain = model.stochastic_duration, model.deterministic_duration
        if stochastic is not None:
            self.layer(f"{name}.pre", stochastic.text_input)
            self.separable(f"{name}.convs", stochastic.text_stack)
            self.layer(f"{name}.proj", stochastic.text_output)
            self.condition(f"{name}.cond", stochastic.condition)
            self.layer(f"{name}.post_pre", stochastic.duration_input)
            self.separable(f"{name}.post_convs", stochastic.duration_stack)
            self.layer(f"{name}.post_proj", stochastic.duration_output)
            self.duration_flow(f"{name}.flows", stochastic.flow, step, translation, log_scale)
            self.duration_flow(f"{name}.post_flows", stochastic.posterior_flow, step, translation, log_scale)
        if plain is not None:
            coqui = translation == "translation"
            reshape = (lambda x: x[None, :, None]) if coqui else (lambda x: x)
            self.layer(f"{name}.conv_1", plain.first)
            self.norm(f"{name}.norm_1", plain.first_norm, reshape)
            self.layer(f"{name}.conv_2", plain.second)
            self.norm(f"{name}.norm_2", plain.second_norm, reshape)
            self.layer(f"{name}.proj", plain.projection)
            self.condition(f"{name}.cond", plain.condition)

    def decoder(self, name: str, generator: nn.Module, condition: str) -> None:
        self.layer(f"{name}.conv_pre", generator.input)
        self.condition(f"{name}.{condition}", generator.condition)
        self.layers(f"{name}.ups", generator.upsamplers)
        for index, block in enumerate(generator.blocks):
            if hasattr(block, "plain"):
                self.layers(f"{name}.resblocks.{index}.convs1", block.dilated)
                self.layers(f"{name}.resblocks.{index}.convs2", block.plain)
            else:
                self.layers(f"{name}.resblocks.{index}.convs", block.dilated)
        self.layer(f"{name}.conv_post", generator.output)


def official_state(model: Vits, spelling: str = "old", posterior: bool = True) -> dict[str, Tensor]:
    """Tensors under the names of the authors' code."""
    writer = Writer(spelling)
    writer.text_encoder("enc_p", model.text_encoder)
    if posterior:
        writer.posterior("enc_q", model.posterior_encoder)
    for index, coupling in enumerate(model.flow.couplings):
        writer.coupling(f"flow.flows.{2 * index}", coupling)
    writer.durations("dp", model, 2, "m", "logs")
    writer.decoder("dec", model.decoder.generator, "cond")
    if model.speaker_embedding is not None:
        writer.tensor("emb_g.weight", model.speaker_embedding.weight)
    return writer.tensors


def coqui_state(model: Vits, spelling: str = "new") -> dict[str, Tensor]:
    """Tensors under Coqui's names."""
    writer = Writer(spelling)
    writer.text_encoder("text_encoder", model.text_encoder)
    writer.posterior("posterior_encoder", model.posterior_encoder)
    for index, coupling in enumerate(model.flow.couplings):
        writer.coupling(f"flow.flows.{index}", coupling)
    writer.durations("duration_predictor", model, 1, "translation", "log_scale")
    writer.decoder("waveform_decoder", model.decoder.generator, "cond_layer")
    if model.speaker_embedding is not None:
        writer.tensor("emb_g.weight", model.speaker_embedding.weight)
    return writer.tensors


def judges_state(spelling: str = "old", prefix: str = "discriminators.") -> dict[str, Tensor]:
    """Two small discriminators under the authors' names; sizes are not looked at when they are imported."""
    writer = Writer(spelling)
    torch.manual_seed(4)
    normed = nn.utils.parametrizations.weight_norm
    writer.layer(f"{prefix}0.convs.0", normed(nn.Conv1d(1, 4, 15)))
    writer.layer(f"{prefix}0.conv_post", normed(nn.Conv1d(4, 1, 3)))
    writer.layer(f"{prefix}1.convs.0", normed(nn.Conv2d(1, 4, (5, 1))))
    writer.layer(f"{prefix}1.conv_post", normed(nn.Conv2d(4, 1, (3, 1))))
    return writer.tensors


def official_settings(model: Vits) -> dict[str, object]:
    """The authors' JSON for a model."""
    config = model.config
    decoder = config.decoder
    return {
        "train": {"learning_rate": 2e-4, "segment_size": 8192},
        "data": {
            "text_cleaners": ["english_cleaners2"], "max_wav_value": 32768.0, "add_blank": True,
            "sampling_rate": config.mel.sample_rate, "filter_length": config.mel.n_fft,
            "hop_length": config.mel.hop_length, "win_length": config.mel.window_length,
            "n_mel_channels": config.mel.n_mels, "mel_fmin": 0.0, "mel_fmax": None,
            "n_speakers": config.num_speakers if config.num_speakers > 1 else 0, "cleaned_text": True,
        },
        "model": {
            "inter_channels": config.latent_channels, "hidden_channels": config.text_encoder.channels,
            "filter_channels": config.text_encoder.hidden_channels, "n_heads": 2,
            "n_layers": config.text_encoder.num_layers, "kernel_size": 3, "p_dropout": 0.1,
            "resblock": str(decoder.residual_kind), "resblock_kernel_sizes": list(decoder.residual_kernel_sizes),
            "resblock_dilation_sizes": [list(d) for d in decoder.residual_dilations],
            "upsample_rates": list(decoder.rates), "upsample_initial_channel": decoder.channels,
            "upsample_kernel_sizes": list(decoder.kernel_sizes), "n_layers_q": 3, "use_spectral_norm": False,
            "gin_channels": config.condition_channels, "use_sdp": config.duration.stochastic,
        },
    }  # fmt: skip


def coqui_settings(model: Vits) -> dict[str, object]:
    """Coqui's config.json for a model whose symbols are those of VitsCharacters."""
    config = model.config
    decoder = config.decoder
    return {
        "model": "vits",
        "use_phonemes": False, "text_cleaner": "basic_cleaners", "add_blank": True, "enable_eos_bos_chars": False,
        "phoneme_language": None, "datasets": [{"language": "xx"}],
        "characters": {
            "characters_class": "TTS.tts.models.vits.VitsCharacters", "pad": "_", "eos": "", "bos": "",
            "blank": "<BLNK>", "characters": "zyxwvutsrqponmlkjihgfedcbaA", "punctuations": ",. ", "phonemes": None,
            "is_unique": False, "is_sorted": True,
        },
        "audio": {
            "sample_rate": config.mel.sample_rate, "fft_size": config.mel.n_fft, "hop_length": config.mel.hop_length,
            "win_length": config.mel.window_length, "num_mels": config.mel.n_mels, "mel_fmin": 0, "mel_fmax": None,
        },
        "model_args": {
            "num_chars": len(config.text.symbols), "hidden_channels": config.text_encoder.channels,
            "hidden_channels_ffn_text_encoder": config.text_encoder.hidden_channels, "num_heads_text_encoder": 2,
            "num_layers_text_encoder": config.text_encoder.num_layers, "kernel_size_text_encoder": 3,
            "kernel_size_posterior_encoder": 5, "dilation_rate_posterior_encoder": 1,
            "num_layers_posterior_encoder": config.posterior.num_layers, "kernel_size_flow": 5,
            "dilation_rate_flow": 1, "num_layers_flow": config.flow.num_layers,
            "resblock_type_decoder": str(decoder.residual_kind),
            "resblock_kernel_sizes_decoder": list(decoder.residual_kernel_sizes),
            "resblock_dilation_sizes_decoder": [list(d) for d in decoder.residual_dilations],
            "upsample_rates_decoder": list(decoder.rates), "upsample_initial_channel_decoder": decoder.channels,
            "upsample_kernel_sizes_decoder": list(decoder.kernel_sizes), "use_sdp": config.duration.stochastic,
            "inference_noise_scale": 0.5, "inference_noise_scale_dp": 0.6, "length_scale": 1.0,
            "use_speaker_embedding": config.num_speakers > 1, "num_speakers": config.num_speakers,
            "use_d_vector_file": False, "use_language_embedding": False, "encoder_sample_rate": None,
        },
    }  # fmt: skip


COQUI_SYMBOLS = ("_", *",. ", *"zyxwvutsrqponmlkjihgfedcbaA", "<BLNK>")
"""What Coqui makes of the characters in `coqui_settings`."""

PIPER_SYMBOLS = ("_", "^", "$", " ", *"abcdefghijklmnopqrstuvwxyzæðŋɐɑɔəɚɛɜɡɪʃʊʌʒˈˌː.,?!ç", "\u0327")


def piper_voice(model: Vits) -> dict[str, object]:
    """Piper's JSON of a voice."""
    speakers = model.config.num_speakers
    return {
        "audio": {"sample_rate": model.config.mel.sample_rate, "quality": "medium"},
        "espeak": {"voice": "en-us"},
        "phoneme_type": "espeak",
        "phoneme_map": {},
        "phoneme_id_map": {symbol: [index] for index, symbol in enumerate(PIPER_SYMBOLS)},
        "num_symbols": len(PIPER_SYMBOLS),
        "num_speakers": speakers,
        "speaker_id_map": {f"p{k}": k for k in range(speakers)} if speakers > 1 else {},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
    }


def piper_checkpoint(model: Vits, spelling: str = "old") -> dict[str, object]:
    """What Lightning saves of Piper's trainer, a path among the hyper-parameters included."""
    settings = official_settings(model)
    return {
        "epoch": 3,
        "global_step": 1234,
        "pytorch-lightning_version": "1.7.7",
        "state_dict": {
            **{f"model_g.{name}": tensor for name, tensor in official_state(model, spelling).items()},
            **{f"model_d.{name}": tensor for name, tensor in judges_state(spelling).items()},
        },
        "hyper_parameters": {
            **settings["model"],  # type: ignore[dict-item]
            "num_symbols": len(PIPER_SYMBOLS),
            "num_speakers": model.config.num_speakers,
            "filter_length": model.config.mel.n_fft,
            "hop_length": model.config.mel.hop_length,
            "win_length": model.config.mel.window_length,
            "mel_channels": model.config.mel.n_mels,
            "dataset": [Path("/somewhere/dataset.jsonl")],
        },
    }


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
