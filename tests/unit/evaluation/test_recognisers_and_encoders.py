"""Judges by name: the default ones, Whisper and WavLM where they are installed, and nothing that is fetched unasked."""

import sys
import types

import numpy as np
import pytest

from moksori.errors import BadInput, UnknownName
from moksori.evaluation.recognisers import FasterWhisper, Whisper, build_recogniser
from moksori.evaluation.score import Item, Judges, score_system
from moksori.evaluation.speaker_encoders import build_encoder
from moksori.types import Waveform


def speech(seconds=1.0, rate=16000, pitch=120.0):
    time = np.arange(round(seconds * rate)) / rate
    return Waveform((0.2 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), rate)


def test_names_are_checked_before_anything_is_loaded():
    with pytest.raises(UnknownName, match="did you mean 'whisper'"):
        Judges(["x"], recogniser_name="wisper")
    with pytest.raises(UnknownName, match="did you mean 'wavlm'"):
        Judges(["x"], encoder_name="wavlmm")
    with pytest.raises(UnknownName, match="recogniser"):
        build_recogniser("nobody", ["x"])


def test_pocketsphinx_is_the_default_and_names_itself():
    pytest.importorskip("pocketsphinx")
    found = build_recogniser("pocketsphinx", ["the dog ran away", "seven cats sat down"])
    other = build_recogniser("pocketsphinx", ["the dog ran away"])
    assert found.name == "pocketsphinx"
    assert found.identity != other.identity
    assert found.identity == build_recogniser("pocketsphinx", ["the dog ran away", "seven cats sat down"]).identity


def test_whisper_listens_where_its_weights_are(monkeypatch, tmp_path):
    heard = {}

    class Model:
        def transcribe(self, samples, **options):
            heard.update(options, level=float(np.abs(samples).max()), seconds=len(samples) / 16000)
            return {"text": " The dog, ran away! "}

    package = types.ModuleType("whisper")
    package.load_model = lambda path, device: Model()
    monkeypatch.setitem(sys.modules, "whisper", package)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(BadInput, match=r"whisper:base\.en: no weights .* nothing is downloaded"):
        Whisper()
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper" / "base.en.pt").write_bytes(b"weights")
    judges = Judges(["unused"], ("words",), recogniser_name="whisper")
    scored = score_system("model", [Item("a", "The dog ran away.", speech(), speech())], judges)
    assert scored.measures["wer"].value == 0.0
    assert heard["temperature"] == 0.0
    assert heard["condition_on_previous_text"] is False
    assert heard["seconds"] == pytest.approx(1.4)
    assert judges.recogniser.name == "whisper:base.en"
    assert "open vocabulary" in judges.recogniser.description
    assert judges.recogniser.transcribe(Waveform(np.zeros(16000, np.float32), 16000)) == ""


def test_faster_whisper_looks_on_this_machine_only(monkeypatch):
    asked = {}

    class Model:
        def __init__(self, model, **options):
            asked.update(options)
            if model != "here":
                raise OSError("not in the cache")

        def transcribe(self, samples, **options):
            return iter([types.SimpleNamespace(text=" the dog"), types.SimpleNamespace(text=" ran")]), None

    package = types.ModuleType("faster_whisper")
    package.WhisperModel = Model
    monkeypatch.setitem(sys.modules, "faster_whisper", package)
    assert FasterWhisper("here").transcribe(speech()) == "the dog ran"
    assert asked["local_files_only"] is True
    with pytest.raises(BadInput, match="no weights on this machine"):
        FasterWhisper("elsewhere")


@pytest.mark.parametrize(("name", "package"), [("whisper", "openai-whisper"), ("faster-whisper", "faster-whisper")])
def test_a_missing_package_is_named(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, name.replace("-", "_"), None)
    with pytest.raises(BadInput, match=f"pip install {package}"):
        build_recogniser(name, ["x"])


def test_wavlm_embeds_from_a_folder_and_is_never_fetched(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.WavLMConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=(16, 16, 16),
        conv_kernel=(10, 8, 4), conv_stride=(10, 8, 4), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        tdnn_dim=(16, 16, 16, 16, 32), xvector_output_dim=8, num_feat_extract_layers=3,
    )  # fmt: skip
    transformers.WavLMForXVector(config).save_pretrained(tmp_path / "tiny")
    encoder = build_encoder(f"wavlm:{tmp_path / 'tiny'}")
    one, same, other = encoder.embed(speech()), encoder.embed(speech()), encoder.embed(speech(pitch=300.0))
    assert one.shape == (8,)
    assert np.linalg.norm(one) == pytest.approx(1.0, abs=1e-5)
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)
    assert not encoder.embed(Waveform(np.zeros(8000, np.float32), 16000)).any()
    assert encoder.name == "wavlm:tiny"
    with pytest.raises(BadInput, match="nothing is downloaded unasked"):
        build_encoder("wavlm:nobody/nothing-of-this-name")
