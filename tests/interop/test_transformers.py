"""transformers' VitsModel and ours are the same function: equal weights and noise give equal samples, both ways.

Left out on purpose: the training direction of the stochastic duration predictor, where transformers flips the channels
once more, after the affine layer, and so computes another likelihood than the paper's authors.
"""

from contextlib import contextmanager

import pytest
import torch
from small_vits import LETTERS, randomise, small, spoken, write_json
from torch import nn

from moksori.cli.main import main
from moksori.errors import CheckpointError
from moksori.models.checkpoint import Manifest, load_model, save_model
from moksori.models.vits import Vits
from moksori.pipeline.import_model import export_model, import_model
from moksori.pipeline.say import load
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import SayControls, TextBatch

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: it is the model compared with"
)

TOLERANCE = 1e-4
SMALL = {
    "vocab_size": len(LETTERS), "hidden_size": 16, "num_hidden_layers": 2, "ffn_dim": 24, "flow_size": 12,
    "spectrogram_bins": 33, "upsample_initial_channel": 16, "upsample_rates": [4, 4], "upsample_kernel_sizes": [8, 8],
    "resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 3], [1, 2]],
    "prior_encoder_num_wavenet_layers": 2, "posterior_encoder_num_wavenet_layers": 3,
    "duration_predictor_filter_channels": 20, "noise_scale": 0.667, "noise_scale_duration": 1.2 * 0.667,
}  # fmt: skip
# The sizes of the published models in text encoder, flow and durations; the decoder alone is small.
FULL_WIDTH = {**SMALL, "hidden_size": 192, "num_hidden_layers": 6, "ffn_dim": 768, "flow_size": 192,
              "prior_encoder_num_wavenet_layers": 4, "duration_predictor_filter_channels": 256}  # fmt: skip


def foreign(speakers: int = 1, stochastic: bool = True, seed: int = 0, **changes: object):
    """A transformers model with random numbers in all layers."""
    settings = {**SMALL, **changes, "use_stochastic_duration_prediction": stochastic, "num_speakers": speakers}
    settings["speaker_embedding_size"] = 6 if speakers > 1 else 0
    torch.manual_seed(seed)
    model = transformers.VitsModel(transformers.VitsConfig(**settings)).eval()
    randomise(model, seed)
    quietened(model, len(LETTERS))
    return model


@torch.no_grad()
def quietened(model, symbols: int) -> None:
    """Scales the last convolution, since their initialisation drives the tanh into its corners, where all agrees."""
    peaks: list[float] = []
    hook = model.decoder.conv_post.register_forward_hook(lambda *call: peaks.append(float(call[2].abs().max())))
    with equal_noise():
        model(torch.arange(symbols)[None], speaker_id=0 if model.config.num_speakers > 1 else None)
    hook.remove()
    model.decoder.conv_post.weight.mul_(0.5 / peaks[0])


def stored(model, folder, tokenizer=None):
    """A folder as save_pretrained leaves it, with the files of a character tokenizer as MMS voices have them."""
    model.save_pretrained(folder)
    write_json(folder / "vocab.json", {symbol: index for index, symbol in enumerate(LETTERS)})
    write_json(
        folder / "tokenizer_config.json",
        {"add_blank": True, "normalize": True, "phonemize": False, "is_uroman": False, "language": "xyz",
         "tokenizer_class": "VitsTokenizer", "pad_token": "_", "unk_token": "<unk>", **(tokenizer or {})},
    )  # fmt: skip
    return folder


@contextmanager
def equal_noise(noises=None, seed=7):
    """Within it every draw comes from one sequence, whatever layout in memory the model asks for.

    noises: the draws themselves, cut to the shape that is asked for.
    """
    draw = torch.Generator().manual_seed(seed)
    randn, randn_like = torch.randn, torch.randn_like
    given = list(noises or ())

    def drawn(shape):
        if noises is None:
            return randn(tuple(shape), generator=draw)
        return given.pop(0)[..., : shape[-1]].clone()

    torch.randn = lambda *shape, **options: drawn(shape)
    torch.randn_like = lambda like, **options: drawn(like.shape)
    try:
        yield
    finally:
        torch.randn, torch.randn_like = randn, randn_like


def ids(items: int, tokens: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(1, len(LETTERS), (items, tokens), generator=torch.Generator().manual_seed(seed))


def batch(tokens: torch.Tensor, lengths=None, speaker: int = 0) -> TextBatch:
    lengths = torch.full((len(tokens),), tokens.shape[1]) if lengths is None else torch.tensor(lengths)
    return TextBatch(tokens, torch.zeros_like(tokens), lengths, torch.full((len(tokens),), speaker))


@torch.inference_mode()
def theirs(model, tokens, lengths=None, speaker=None, noises=None):
    mask = None if lengths is None else (torch.arange(tokens.shape[1])[None] < torch.tensor(lengths)[:, None]).long()
    with equal_noise(noises):
        return model(input_ids=tokens, attention_mask=mask, speaker_id=speaker)


def ours(model: Vits, tokens, lengths=None, speaker=0, noises=None):
    with equal_noise(noises):
        return model.say(batch(tokens, lengths, speaker), SayControls())


def assert_same(made, expected) -> None:
    assert made.waveform_lengths.tolist() == expected.sequence_lengths.tolist()
    assert 1e-3 < float(expected.waveform.abs().max()) < 0.99, "silence and clipping would prove nothing"
    for item, length in enumerate(made.waveform_lengths):
        difference = (made.waveform[item, :length] - expected.waveform[item, :length]).abs().max()
        assert float(difference) < TOLERANCE


@pytest.mark.parametrize("speakers", [1, 3])
@pytest.mark.parametrize("stochastic", [True, False])
def test_their_weights_give_their_sound_in_our_model(tmp_path, speakers, stochastic):
    source = foreign(speakers, stochastic)
    import_model(stored(source, tmp_path / "source"), tmp_path / "ours")
    model = load_model(tmp_path / "ours").model
    speaker = None if speakers == 1 else speakers - 1
    for tokens in (1, 2, 3, 4, 5, 23):
        text = ids(1, tokens)
        assert_same(ours(model, text, speaker=speaker or 0), theirs(source, text, speaker=speaker))


@pytest.mark.parametrize("speakers", [1, 3])
@pytest.mark.parametrize("stochastic", [True, False])
def test_our_weights_give_our_sound_in_their_model(tmp_path, speakers, stochastic):
    model = small(speakers, stochastic)
    if not stochastic:
        model.duration_scale.fill_(1.7)
    folder = saved(model, tmp_path / "ours")
    export_model(folder, tmp_path / "theirs", "hf")
    exported, report = transformers.VitsModel.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    speaker = None if speakers == 1 else 1
    for tokens in (1, 2, 3, 4, 5, 23):
        text = ids(1, tokens)
        assert_same(ours(load_model(folder).model, text, speaker=speaker or 0), theirs(exported, text, speaker=speaker))


@pytest.mark.parametrize("stochastic", [True, False])
def test_the_published_sizes_agree_too(tmp_path, stochastic):
    source = foreign(
        2, stochastic, **{name: value for name, value in FULL_WIDTH.items() if name not in ("noise_scale",)}
    )
    import_model(stored(source, tmp_path / "source"), tmp_path / "ours")
    model = load_model(tmp_path / "ours").model
    text = ids(1, 21)
    assert_same(ours(model, text, speaker=1), theirs(source, text, speaker=1))


@pytest.mark.parametrize("stochastic", [True, False])
def test_padded_batches_agree(tmp_path, stochastic, monkeypatch):
    """With its masks left out, as transformers has none there, our decoder gives their batch to the last sample; with
    them each item sounds as transformers renders it alone."""
    source = foreign(3, stochastic)
    import_model(stored(source, tmp_path / "source"), tmp_path / "ours")
    model = load_model(tmp_path / "ours").model
    text, lengths = ids(3, 17), [17, 5, 1]
    draw = torch.Generator().manual_seed(2)
    noises = [torch.randn(3, 2, 17, generator=draw)] if stochastic else []
    noises.append(torch.randn(3, 12, 4000, generator=draw))

    masked = ours(model, text, lengths, 2, noises)
    for item, length in enumerate(lengths):
        alone = theirs(source, text[item : item + 1, :length], speaker=2, noises=[n[item : item + 1] for n in noises])
        size = int(masked.waveform_lengths[item])
        assert size == int(alone.sequence_lengths[0])
        assert float((masked.waveform[item, :size] - alone.waveform[0]).abs().max()) < TOLERANCE

    generator = model.decoder.generator
    unmasked = type(generator).forward
    monkeypatch.setattr(
        type(generator), "forward", lambda self, z, condition=None, mask=None: unmasked(self, z, condition)
    )
    assert_same(ours(model, text, lengths, 2, noises), theirs(source, text, lengths, 2, noises))


def test_the_posterior_and_the_flow_towards_the_prior_agree(tmp_path):
    source = foreign(3)
    import_model(stored(source, tmp_path / "source"), tmp_path / "ours")
    model = load_model(tmp_path / "ours").model
    spectrogram = torch.rand(2, 33, 19, generator=torch.Generator().manual_seed(3))
    mask = torch.ones(2, 1, 19, dtype=torch.bool)
    mask[1, :, 11:] = False
    speaker = torch.tensor([0, 2])
    condition = model.condition(speaker)
    with torch.no_grad():
        _, mean, log_std = source.posterior_encoder(
            spectrogram, mask.float(), source.embed_speaker(speaker).unsqueeze(-1)
        )
        posterior = model.posterior_encoder(spectrogram, mask, condition)
        torch.testing.assert_close(posterior.mean, mean, rtol=0, atol=1e-5)
        torch.testing.assert_close(posterior.log_std, log_std, rtol=0, atol=1e-5)
        expected = source.flow(mean, mask.float(), source.embed_speaker(speaker).unsqueeze(-1))
        torch.testing.assert_close(model.flow(mean, mask, condition), expected, rtol=0, atol=1e-5)


def test_a_round_trip_keeps_every_number(tmp_path):
    model = small(3)
    folder = saved(model, tmp_path / "ours")
    export_model(folder, tmp_path / "theirs", "hf")
    import_model(tmp_path / "theirs", tmp_path / "back")
    back = load_model(tmp_path / "back")
    assert back.manifest.speakers == ("a", "b", "c")
    assert back.model.config.model_dump(exclude={"text", "mel", "num_symbols"}) == model.config.model_dump(
        exclude={"text", "mel", "num_symbols"}
    )
    for name, tensor in model.state_dict().items():
        if not name.startswith("decoder.") or "parametrizations" not in name:
            torch.testing.assert_close(back.model.state_dict()[name], tensor, rtol=0, atol=0)
    for name, layer in model.decoder.named_modules():  # folded there: equal as weights
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            torch.testing.assert_close(
                back.model.decoder.get_submodule(name).weight, layer.weight, rtol=1e-6, atol=1e-7
            )
    assert float((spoken(back.model, 2).waveform - spoken(model, 2).waveform).abs().max()) < 1e-6


def test_their_speaking_rate_is_built_in(tmp_path):
    for stochastic in (True, False):
        source = foreign(1, stochastic, speaking_rate=0.7)
        folder = tmp_path / f"ours{stochastic}"
        import_model(stored(source, tmp_path / f"source{stochastic}"), folder)
        text = ids(1, 19)
        assert_same(ours(load_model(folder).model, text), theirs(source, text))


def test_their_tokenizer_and_ours_give_the_same_ids(tmp_path):
    stored(foreign(), tmp_path / "source")
    tokenizer = transformers.VitsTokenizer.from_pretrained(tmp_path / "source")
    import_model(tmp_path / "source", tmp_path / "ours")
    own = Tokenizer(load_model(tmp_path / "ours").manifest.text)
    for text in ("Hello, World.", "it's (not) a  test; is it", "ÜBER cafe"):
        plain = " ".join(text.split())  # doubled spaces are one for us
        assert own.encode(text).tokens.tolist() == tokenizer(plain)["input_ids"]
    assert export_model(tmp_path / "ours", tmp_path / "again", "hf").notes == ()
    again = transformers.VitsTokenizer.from_pretrained(tmp_path / "again")
    assert again("Hello, World.")["input_ids"] == tokenizer("Hello, World.")["input_ids"]


def test_an_imported_voice_speaks_letters(tmp_path, caplog):
    import_model(stored(foreign(2), tmp_path / "source"), tmp_path / "ours")
    voice = load(tmp_path / "ours")
    speech = voice.say("Hello there.", seed=3, speaker="speaker1")
    assert [word.text for word in speech.timings] == ["Hello", "there."]
    assert speech.sample_rate == 16000
    assert float(abs(speech.samples).max()) > 1e-3
    voice.say("Hello 한", seed=3)
    assert "한" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: write_json(f / "tokenizer_config.json", {"is_uroman": True}), "uroman"),
        (lambda f: (f / "vocab.json").unlink(), "no vocab.json"),
        (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}"), "truncated"),
        (lambda f: edit(f, hidden_size=32), "has the shape"),
        (lambda f: edit(f, num_hidden_layers=3), "lacks"),
        (lambda f: edit(f, num_hidden_layers=1), "that VITS lacks"),
        (lambda f: edit(f, hidden_act="gelu"), "hidden_act is 'gelu'"),
        (lambda f: edit(f, hidden_size=10**5), "has the shape"),
        (lambda f: edit(f, hidden_size=10**7), r"hidden_size is 1e\+07, expected 1 to"),
        (lambda f: edit(f, vocab_size="many"), "vocab_size is 'many'"),
        (lambda f: edit(f, vocab_size=10**12), r"vocab_size is 1e\+12, expected 1 to 65536"),
        (lambda f: edit(f, num_speakers=10**6), "speaker_embedding"),
        (lambda f: edit(f, posterior_encoder_num_wavenet_layers=10**5), "posterior layers"),
        (lambda f: edit(f, upsample_kernel_sizes=[7, 8]), "upsample kernel 7"),
    ],
)
def test_what_cannot_be_imported_is_told_in_one_line(tmp_path, change, message):
    folder = stored(foreign(), tmp_path / "source")
    change(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_model(folder, tmp_path / "ours")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours").exists()


def test_what_transformers_has_no_place_for_is_named(tmp_path):
    model = small(block=2)
    folder = saved(model, tmp_path / "ours")
    with pytest.raises(CheckpointError, match="residual_kind 2"):
        export_model(folder, tmp_path / "theirs", "hf")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(CheckpointError, match="is there already"):
        export_model(folder, tmp_path / "full", "hf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "ours"]


def edit(folder, **changes) -> None:
    import json

    path = folder / "config.json"
    write_json(path, {**json.loads(path.read_text()), **changes})


def saved(model: Vits, folder):
    """A model folder of ours, with exact weights."""
    config = model.config
    manifest = Manifest(
        family="vits", name=folder.name, model=config.model_dump(mode="json"), text=config.text,
        speakers=("a", "b", "c")[: config.num_speakers] if config.num_speakers > 1 else (), sample_rate=16000,
    )  # fmt: skip
    save_model(folder, model, manifest, exact=True)
    return folder


def test_the_command_tells_what_their_tokenizer_cannot_do(tmp_path, capsys):
    text = TextConfig(mode="letters", symbols=("^", "$", *LETTERS), blanks=True, blank_places="between")
    folder = saved(small(text=text), tmp_path / "ours")
    assert main(["export", str(folder), "--format", "hf", "-o", str(tmp_path / "theirs")]) == 0
    out = capsys.readouterr().out
    assert "written as hf" in out
    assert "no start and end symbols; it puts the symbol of id 0 between the others; it puts blanks at both ends" in out
    assert main(["export", str(folder), "--format", "hff", "-o", str(tmp_path / "more")]) == 2
    assert "did you mean 'hf'" in capsys.readouterr().err


def test_a_phoneme_voice_of_theirs_becomes_one_of_ours(tmp_path):
    symbols = ("_", " ", *"abdefhiklmnoprstuvwzæðŋɐɑɔəɚɛɜɡɪɹʃʊʌʒˈˌː.,?!")
    source = foreign(vocab_size=len(symbols))
    folder = stored(source, tmp_path / "source", {"phonemize": True, "language": None})
    write_json(folder / "vocab.json", {symbol: index for index, symbol in enumerate(symbols)})
    import_model(folder, tmp_path / "ours")
    voice = load(tmp_path / "ours")
    expected = TextConfig(mode="characters", blanks=True, ends=False, symbols=symbols)
    assert voice.manifest.text == expected
    said = Tokenizer(voice.manifest.text).encode("Hello.")
    assert said.tokens.tolist()[1::2] == [symbols.index(character) for character in "həlˈoʊ."]
    assert set(said.tokens.tolist()[::2]) == {0}
    assert voice.say("Hello.", seed=1).duration_seconds > 0
