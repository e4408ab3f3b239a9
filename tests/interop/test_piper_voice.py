"""Voices of Piper: its phonemes become our tokens inside the graph, and piper-tts speaks with them."""

import csv
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from small_vits import small

from moksori.models.vits.interop.onnx import checked
from moksori.models.vits.interop.piper_graph import PiperTokens
from moksori.models.vits.interop.piper_symbols import PiperTable, Translated, translated
from moksori.models.vits.interop.piper_voice import LENGTHS, _cases, piper_graph
from moksori.pipeline.import_model import export_model
from moksori.pipeline.say import load
from moksori.text.tokenizer import TextConfig, Tokenizer

piper = pytest.importorskip("piper")
CHARACTERS = TextConfig(mode="characters", blanks=True, blank_places="between")
LETTERS = TextConfig(
    mode="letters", symbols=("_", *" ',.abcdefghijklmnopqrstuvwxyzäöü"), blanks=True, ends=False, language="de"
)
SENTENCES = (
    "Hello there.",
    "The birch canoe slid on the smooth planks, and the sheep climbed up the hill.",
    "Very fairly: the chair is by the door, or near the fire.",
    "It's a match; she watches the boats.",
    "What a surprise!",
    "Are you sure he is early",
    "Little people, a middle line, a colony of hours.",
    "I can see it in the end.",
    "The judge chose joy; the boy's loud oar hid the ear.",
)
"""Sounds that are one token or two by what follows, linking r and j, marks of all kinds."""


def ids_of(table: PiperTable, text: str) -> list[int]:
    """The ids that Piper gives one sentence."""
    from piper.phoneme_ids import phonemes_to_ids
    from piper.phonemize_espeak import EspeakPhonemizer

    if table.text.mode == "letters":
        sentences = [list(unicodedata.normalize("NFD", text))]
    else:
        sentences = EspeakPhonemizer().phonemize(table.text.language, text)
    return phonemes_to_ids([phoneme for sentence in sentences for phoneme in sentence], table.id_map())


def by_tensors(module: PiperTokens, ids: list[int]) -> Translated:
    found = module(torch.tensor([ids]), torch.tensor([len(ids)]))
    return Translated(*(values[0].tolist() for values in found))


@pytest.mark.parametrize("text", SENTENCES)
def test_pipers_phonemes_become_our_tokens(text: str) -> None:
    table = PiperTable(TextConfig())
    reading = translated(table, ids_of(table, text))
    expected = Tokenizer(TextConfig()).encode(text)
    assert reading.tokens == expected.tokens.tolist()
    assert reading.stress == expected.stress.tolist()


@pytest.mark.parametrize(
    "config", [TextConfig(), CHARACTERS, LETTERS, TextConfig(language="nl", ends=False), TextConfig(language="de")]
)
def test_tensors_read_as_the_plain_translation_does(config: TextConfig) -> None:
    table = PiperTable(config)
    module = PiperTokens(table)
    draw = np.random.default_rng(0)
    for count in (1, 2, 3, 10, 60, 300):
        # Half of them characters that come together in some token, so that there is something to join.
        codes = [code for gram in table.grams if len(gram.codes) > 1 for code in gram.codes] or [3]
        random = draw.integers(0, len(table.characters), count)
        ids = np.where(draw.random(count) < 0.5, draw.choice(codes, count), random).tolist()
        assert by_tensors(module, ids) == translated(table, ids)
    nothing = by_tensors(module, [1, 0, 2])
    assert len(nothing.tokens) == 2 * config.ends + config.blanks


def test_characters_with_blanks_are_as_piper_puts_them() -> None:
    """A voice imported from Piper gets the very ids back: `^`, then a blank after all but the last."""
    table = PiperTable(CHARACTERS)
    text = "Hello, is it you?"
    reading = translated(table, ids_of(table, text))
    assert reading.tokens == Tokenizer(CHARACTERS).encode(text).tokens.tolist()
    assert len(reading.tokens) == 2 * len(reading.tokens[::2]) - 1


def test_letters_are_read_without_espeak() -> None:
    table = PiperTable(LETTERS)
    reading = translated(table, ids_of(table, "Schöne Grüße"))
    spoken = [LETTERS.symbols[token] for token in reading.tokens if token]
    assert "".join(spoken) == "schöne grüe"  # this table has no ß


@pytest.mark.data
def test_share_of_equal_sentences(recordings: Path) -> None:
    """English sentences of a real corpus have our tokens, but where espeak tells Piper otherwise (97 % of 1,085)."""
    with (recordings / "kathleen" / "metadata.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file, delimiter="|")][::18]
    table, tokenizer = PiperTable(TextConfig()), Tokenizer(TextConfig())
    equal = 0
    for text in texts:
        expected = tokenizer.encode(text)
        reading = translated(table, ids_of(table, text))
        equal += reading.tokens == expected.tokens.tolist() and reading.stress == expected.stress.tolist()
    assert len(texts) >= 50
    assert equal >= 0.93 * len(texts)


@pytest.mark.parametrize("text", [CHARACTERS, LETTERS], ids=["characters", "letters"])
def test_the_graph_says_what_torch_says(text: TextConfig) -> None:
    model = small(speakers=2, text=text, stochastic=text.mode == "letters")
    table = PiperTable(text)
    graph = piper_graph(model, table)
    assert checked("small", model, graph, _cases(model, table)) < 2e-5
    assert len(list(_cases(model, table))) == len(LENGTHS)


def test_piper_speaks_with_the_bundled_voice(tmp_path: Path) -> None:
    from piper import PiperVoice, SynthesisConfig

    export_model("kathleen", tmp_path / "out", "piper")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["kathleen.onnx", "kathleen.onnx.json"]
    described = json.loads((tmp_path / "out" / "kathleen.onnx.json").read_text(encoding="utf-8"))
    assert described["phoneme_id_map"]["_"] == [0]
    voice = PiperVoice.load(tmp_path / "out" / "kathleen.onnx")
    text = "The quick brown fox jumps over the lazy dog."
    quiet = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0, normalize_audio=False)
    (chunk,) = voice.synthesize(text, quiet, include_alignments=True)
    assert chunk.sample_rate == 22050
    assert chunk.phoneme_alignments is not None
    assert sum(part.num_samples for part in chunk.phoneme_alignments) == len(chunk.audio_float_array)
    own = load("kathleen").say(text, variation=0.0, pause=0.0, seed=1).samples
    assert len(chunk.audio_float_array) == len(own)
    levels = [np.log(samples.reshape(-1, 256).std(axis=1) + 1e-4) for samples in (chunk.audio_float_array, own)]
    assert np.corrcoef(*levels)[0, 1] > 0.98
    # As it is used: several sentences, the voice's own noise, faster.
    chunks = list(voice.synthesize("Good morning. How are you?", SynthesisConfig(length_scale=0.8)))
    assert len(chunks) == 2
    assert all(np.abs(chunk.audio_float_array).max() > 0.5 for chunk in chunks)
