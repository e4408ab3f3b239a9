"""Voices in the layouts of the authors, of Coqui and of Piper become ours and sound the same; nothing is executed."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_vits import (
    COQUI_SYMBOLS,
    LETTERS,
    PIPER_SYMBOLS,
    SPELLINGS,
    coqui_settings,
    coqui_state,
    judges_state,
    official_settings,
    official_state,
    piper_checkpoint,
    piper_voice,
    small,
    spoken,
    write_json,
)

from moksori.cli.main import main
from moksori.errors import CheckpointError, UnknownName
from moksori.models.checkpoint import has_discriminators, load_model, read_manifest, read_weights
from moksori.models.pickles import read_pickle
from moksori.models.vits import Vits
from moksori.nn.discriminators import DiscriminatorEnsemble
from moksori.pipeline.import_model import import_model
from moksori.pipeline.models import find_model
from moksori.pipeline.say import load
from moksori.text.symbols import OFFICIAL_SYMBOLS
from moksori.text.tokenizer import TextConfig, Tokenizer

ENGLISH = TextConfig(mode="characters", blanks=True, ends=False, symbols=OFFICIAL_SYMBOLS)
COQUI = TextConfig(mode="letters", blanks=True, ends=False, symbols=COQUI_SYMBOLS)
PIPER = TextConfig(mode="characters", blanks=True, ends=True, blank_places="between", symbols=PIPER_SYMBOLS)
TOLERANCE = {"old": 0.0, "new": 0.0, "folded": 1e-5}


def official(folder: Path, model: Vits, spelling: str = "old", posterior: bool = True, judges: bool = True) -> Path:
    folder.mkdir()
    state = official_state(model, spelling, posterior)
    torch.save({"model": state, "iteration": 12, "optimizer": None, "learning_rate": 2e-4}, folder / "G_900.pth")
    if judges:
        torch.save({"model": judges_state(spelling), "iteration": 12, "optimizer": {}}, folder / "D_900.pth")
    write_json(folder / "config.json", official_settings(model))
    return folder


def coqui(folder: Path, model: Vits, spelling: str = "new") -> Path:
    folder.mkdir()
    state = {**coqui_state(model, spelling), **judges_state(spelling, "disc.nets.")}
    stored = {"config": coqui_settings(model), "model": state, "optimizer": [{}, {}], "scaler": None, "step": 77,
              "epoch": 2, "model_loss": np.float64(3.5)}  # fmt: skip
    torch.save(stored, folder / "model_file.pth")
    write_json(folder / "config.json", coqui_settings(model))
    if model.config.num_speakers > 1:
        write_json(folder / "speakers.json", {f"c{k}": k for k in range(model.config.num_speakers)})
    return folder


def piper(folder: Path, model: Vits, spelling: str = "old") -> Path:
    checkpoints = folder / "lightning_logs" / "version_0" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(piper_checkpoint(model, spelling), checkpoints / "epoch=3-step=1234.ckpt")
    write_json(folder / "config.json", piper_voice(model))
    return folder


LAYOUTS = {"official": (official, ENGLISH), "coqui": (coqui, COQUI), "piper": (piper, PIPER)}


def assert_sounds_the_same(model: Vits, folder: Path, tolerance: float) -> None:
    imported = load_model(folder)
    for speaker in {0, model.config.num_speakers - 1}:
        variation = model.config.variation
        expected, made = spoken(model, speaker, variation), spoken(imported.model, speaker, variation)
        assert torch.equal(made.durations, expected.durations)
        assert float(expected.waveform.abs().max()) > 1e-3
        torch.testing.assert_close(made.waveform, expected.waveform, rtol=0, atol=tolerance)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_imported_voice_gives_the_same_samples(tmp_path, layout, spelling):
    write, text = LAYOUTS[layout]
    model = small(3, text=text, block=2 if layout == "piper" else 1)
    made = import_model(write(tmp_path / "source", model, spelling), tmp_path / "voice")
    assert made.layout == layout
    assert_sounds_the_same(model, tmp_path / "voice", TOLERANCE[spelling])
    manifest = read_manifest(tmp_path / "voice")
    names = {"official": "speaker", "coqui": "c", "piper": "p"}[layout]
    assert manifest.speakers == tuple(f"{names}{k}" for k in range(3))
    assert manifest.name == "voice"
    assert manifest.absent == ()
    assert manifest.steps == {"official": 0, "coqui": 77, "piper": 1234}[layout]
    assert find_model(tmp_path / "voice") == tmp_path / "voice"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_speaker_and_deterministic_durations(tmp_path, layout):
    write, text = LAYOUTS[layout]
    model = small(1, stochastic=False, block=2, text=text)
    import_model(write(tmp_path / "source", model), tmp_path / "voice", layout)
    assert_sounds_the_same(model, tmp_path / "voice", 0.0)
    assert read_manifest(tmp_path / "voice").speakers == ()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_posterior_comes_along(tmp_path, layout):
    write, text = LAYOUTS[layout]
    model = small(2, text=text)
    import_model(write(tmp_path / "source", model), tmp_path / "voice")
    sound, speaker = torch.rand(1, 320) - 0.5, torch.tensor([1])
    expected = model.reconstruct(sound, speaker, temperature=0.0)
    torch.testing.assert_close(
        load_model(tmp_path / "voice").model.reconstruct(sound, speaker, temperature=0.0), expected
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_discriminators_come_along_under_our_names(tmp_path, layout, spelling):
    write, text = LAYOUTS[layout]
    made = import_model(write(tmp_path / "source", small(text=text), spelling), tmp_path / "voice")
    assert made.discriminators
    assert has_discriminators(tmp_path / "voice")
    stored = read_weights(tmp_path / "voice", "discriminators")
    with torch.device("meta"):
        known = DiscriminatorEnsemble.of_vits().state_dict()
    assert set(stored) <= set(known)
    assert len(stored) == 4 * 3
    expected = judges_state("folded")["discriminators.1.convs.0.weight"]
    g, v = (stored[f"discriminators.1.layers.0.parametrizations.weight.original{k}"].float() for k in (0, 1))
    torch.testing.assert_close(g * v / v.flatten(1).norm(dim=1).reshape(g.shape), expected, rtol=0, atol=1e-3)


def test_a_voice_without_posterior_speaks_and_is_marked(tmp_path, capsys):
    model = small(text=ENGLISH)
    made = import_model(official(tmp_path / "source", model, posterior=False, judges=False), tmp_path / "voice")
    assert made.manifest.absent == ("posterior_encoder",)
    assert any("cannot convert" in note for note in made.notes)
    assert not made.discriminators
    assert main(["info", str(tmp_path / "voice")]) == 0
    assert "posterior_encoder" in capsys.readouterr().out
    assert_sounds_the_same(model, tmp_path / "voice", 0.0)
    stored = load_file(tmp_path / "voice" / "model.safetensors")
    assert not stored["posterior_encoder.projection.weight"].any()
    assert bool(
        load_model(tmp_path / "voice").model.reconstruct(torch.rand(1, 160), torch.tensor([0])).isfinite().all()
    )


def test_rows_of_zeros_survive_being_folded(tmp_path):
    """g · v / |v| has no direction there and would be NaN."""
    model = small(text=ENGLISH)
    source = official(tmp_path / "source", model, "folded")
    stored = torch.load(source / "G_900.pth")
    stored["model"]["flow.flows.0.enc.in_layers.0.weight"][3] = 0.0
    torch.save(stored, source / "G_900.pth")
    import_model(source, tmp_path / "voice")
    gate = load_model(tmp_path / "voice").model.flow.couplings[0].wavenet.gates[0]
    assert bool(gate.weight.isfinite().all())
    assert not gate.weight[3].any()
    assert gate.weight[2].any()


def test_length_scale_is_built_in(tmp_path):
    for stochastic in (True, False):
        model = small(text=PIPER, stochastic=stochastic)
        source = piper(tmp_path / f"source{stochastic}", model)
        write_json(source / "config.json", {**piper_voice(model), "inference": {"length_scale": 2.0}})
        import_model(source, tmp_path / f"voice{stochastic}")
        ids = torch.arange(5, 30)[None]
        mask = torch.ones_like(ids, dtype=torch.bool)[:, None]
        slow = load_model(tmp_path / f"voice{stochastic}").model
        logs = []
        for speaking in (model, slow):
            encoded = speaking.text_encoder(ids, mask)
            logs.append(speaking.log_durations(encoded, mask, None, 0.8, None, torch.Generator().manual_seed(1)))
        torch.testing.assert_close(logs[1] - logs[0], torch.full_like(logs[0], float(np.log(2))), rtol=0, atol=1e-5)


def test_other_noise_ratios_are_told(tmp_path):
    model = small(text=PIPER)
    source = piper(tmp_path / "source", model)
    write_json(source / "config.json", {**piper_voice(model), "inference": {"noise_scale": 0.5, "noise_w": 0.1}})
    made = import_model(source, tmp_path / "voice")
    assert made.manifest.model["variation"] == 0.5
    assert any("noise" in note for note in made.notes)
    assert not import_model(piper(tmp_path / "usual", model), tmp_path / "other").notes


# --- front ends: the ids that the projects' own code gives, written down by hand


def test_the_authors_front_end(tmp_path):
    import_model(official(tmp_path / "source", small(text=ENGLISH)), tmp_path / "voice")
    tokens = Tokenizer(read_manifest(tmp_path / "voice").text).encode("Hello.").tokens.tolist()
    assert tokens == [0, 50, 0, 83, 0, 54, 0, 156, 0, 57, 0, 135, 0, 4, 0]  # h ə l ˈ o ʊ .


def test_pipers_front_end(tmp_path):
    import_model(piper(tmp_path / "source", small(text=PIPER)), tmp_path / "voice")
    text = read_manifest(tmp_path / "voice").text
    ids = {symbol: index for index, symbol in enumerate(PIPER_SYMBOLS)}
    expected = [ids["^"], 0]
    for phoneme in "həlˈoʊ.":
        expected += [ids[phoneme], 0]
    said = Tokenizer(text).encode("Hello.")
    assert said.tokens.tolist() == [*expected, ids["$"]]
    word = said.words[0]
    assert [said.tokens[word.start_token], said.tokens[word.end_token - 1]] == [ids["h"], ids["ʊ"]]
    # Letters and marks apart: ç is c and a cedilla, whose own id the trainer never saw.
    taken_apart = Tokenizer(text).encode("[[ça]]").tokens.tolist()
    assert taken_apart == [1, 0, ids["c"], 0, ids["\u0327"], 0, ids["a"], 0, 2]


def test_coquis_front_end(tmp_path):
    import_model(coqui(tmp_path / "source", small(text=COQUI)), tmp_path / "voice")
    ids = {symbol: index for index, symbol in enumerate(COQUI_SYMBOLS)}
    blank = ids["<BLNK>"]
    assert blank == len(COQUI_SYMBOLS) - 1
    expected = [blank]
    for letter in "a cab.":
        expected += [ids[letter], blank]
    said = Tokenizer(read_manifest(tmp_path / "voice").text).encode("A cab.")
    assert said.tokens.tolist() == expected
    assert [word.text for word in said.words] == ["A", "cab."]


def test_the_original_mms_files_with_their_vocabulary(tmp_path):
    source = official(
        tmp_path / "source", small(text=TextConfig(mode="letters", symbols=LETTERS, blanks=True, ends=False))
    )
    settings = json.loads((source / "config.json").read_text())
    settings["data"]["text_cleaners"] = ["transliteration_cleaners"]
    write_json(source / "config.json", settings)
    (source / "vocab.txt").write_text("".join(f"{symbol}\n" for symbol in LETTERS), encoding="utf-8")
    import_model(source, tmp_path / "voice")
    tokens = Tokenizer(read_manifest(tmp_path / "voice").text).encode("Ab!").tokens.tolist()
    assert tokens == [0, LETTERS.index("a"), 0, LETTERS.index("b"), 0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_imported_voice_speaks_on_the_command_line(tmp_path, capsys, layout):
    write, text = LAYOUTS[layout]
    write(tmp_path / "source", small(2, text=text))
    assert main(["import", str(tmp_path / "source"), "-o", str(tmp_path / "voice")]) == 0
    out = capsys.readouterr().out
    assert f"{layout}, 2 speakers" in out
    assert "discriminators included" in out
    speaker = read_manifest(tmp_path / "voice").speakers[1]
    sound = tmp_path / "hello.wav"
    arguments = ["say", "A cab, hello.", "--voice", str(tmp_path / "voice"), "-o", str(sound), "--speaker", speaker]
    assert main([*arguments, "--seed", "1"]) == 0
    assert sound.stat().st_size > 1000
    first = load(tmp_path / "voice").say("A cab, hello.", seed=1, speaker=speaker)
    assert [word.text for word in first.timings][-1].startswith("hello")


# --- what must be refused


class Bomb:
    """Leaves a file behind when it is unpickled by Python's own reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class Call:
    """Asks for a call of something harmless in itself, which no list of weights needs."""

    def __reduce__(self):
        return eval, ("1 + 1",)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bomb", [Bomb, lambda path: Call()])
def test_a_pickle_that_would_run_something_is_refused_in_one_line(tmp_path, capsys, layout, bomb):
    write, text = LAYOUTS[layout]
    source = write(tmp_path / "source", small(text=text))
    target = next(path for pattern in ("*.ckpt", "G_*.pth", "model_file.pth") for path in source.rglob(pattern))
    stored = torch.load(target, weights_only=False)
    torch.save({**stored, "extra": bomb(tmp_path / "exploded")}, target)
    assert main(["import", str(source), "-o", str(tmp_path / "voice")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "refused" in error
    assert not (tmp_path / "exploded").exists()
    assert not (tmp_path / "voice").exists()


def test_the_bomb_would_go_off(tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize("layout", ["plain", "legacy", "empty", "cut", "noise"])
def test_files_that_are_no_checkpoint(tmp_path, layout):
    path = tmp_path / "G_1.pth"
    if layout == "plain":
        path.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    elif layout == "legacy":
        torch.save({"model": Bomb(tmp_path / "exploded")}, path, _use_new_zipfile_serialization=False)
    elif layout == "noise":
        path.write_bytes(bytes(range(256)) * 8)
    elif layout == "cut":
        torch.save({"model": torch.zeros(100)}, path)
        path.write_bytes(path.read_bytes()[:300])
    else:
        path.touch()
    with pytest.raises(CheckpointError, match=r"refused|damaged") as caught:
        read_pickle(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_paths_and_numpy_scalars_beside_the_weights_become_nothing(tmp_path):
    torch.save({"where": Path("/etc"), "loss": np.float32(2.0), "x": torch.ones(2)}, tmp_path / "a.pth")
    stored = read_pickle(tmp_path / "a.pth")
    assert type(stored["where"]).__name__ == "Inert"
    assert type(stored["loss"]).__name__ == "Inert"
    assert stored["x"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("official", lambda s: s.pop("dec.conv_post.weight"), "lacks 1 weights"),
        ("official", lambda s: s.update({"enc_p.more.weight": torch.ones(1)}), "that VITS lacks"),
        ("official", lambda s: s.update({"dec.conv_post.weight": torch.ones(1, 9, 7)}), "has the shape"),
        ("official", lambda s: s["dec.conv_pre.bias"].fill_(float("nan")), "NaN"),
        ("official", lambda s: s.update({"enc_p.emb.weight": torch.ones(40, 16)}), "vocab.txt"),
        ("official", lambda s: s.update({"enc_p.tone_emb.weight": torch.ones(2, 16)}), "MeloTTS"),
        ("official", lambda s: s.pop("enc_q.proj.bias"), "lacks 1 weights"),
        ("coqui", lambda s: s.update({"text_encoder.emb.weight": torch.ones(40, 16)}), "32 symbols"),
        ("coqui", lambda s: s.pop("waveform_decoder.ups.0.bias"), "lacks 1 weights"),
        ("piper", lambda s: s.pop("model_g.enc_p.emb.weight"), "no VITS generator"),
    ],
)
def test_other_weights_than_the_settings_say(tmp_path, layout, change, message):
    write, text = LAYOUTS[layout]
    source = write(tmp_path / "source", small(text=text))
    target = next(path for pattern in ("*.ckpt", "G_*.pth", "model_file.pth") for path in source.rglob(pattern))
    stored = torch.load(target, weights_only=False)
    change(stored["state_dict" if layout == "piper" else "model"])
    torch.save(stored, target)
    with pytest.raises(CheckpointError, match=message):
        import_model(source, tmp_path / "voice")


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("official", {"data": {"text_cleaners": ["korean_cleaners"]}}, "korean_cleaners"),
        ("official", {"model": {"upsample_rates": [4, 8]}}, "decoder.rates"),
        ("official", {"model": {"hidden_channels": "wide"}}, "whole number"),
        ("official", {"model": []}, "make no VITS"),
        ("official", {"model": [1]}, "model is list"),
        ("coqui", {"model_args": {"use_language_embedding": True}}, "use_language_embedding"),
        ("coqui", {"model_args": {"use_d_vector_file": True}}, "use_d_vector_file"),
        ("coqui", {"characters": {"characters_class": "my.Letters"}}, "Letters is not known"),
        ("coqui", {"enable_eos_bos_chars": True}, "enable_eos_bos_chars"),
        ("piper", {"phoneme_type": "pinyin"}, "pinyin"),
        ("piper", {"phoneme_map": {"a": ["b"]}}, "phoneme_map"),
        ("piper", {"phoneme_id_map": {"_": [0], "^": [1]}}, "lacks '\\$'"),
        ("piper", {"phoneme_id_map": {"_": [999]}}, "999"),
        ("piper", {"inference": {"length_scale": 0}}, "length scale"),
    ],
)
def test_settings_that_cannot_be_imported_are_named(tmp_path, layout, change, message):
    write, text = LAYOUTS[layout]
    source = write(tmp_path / "source", small(text=text))
    settings = json.loads((source / "config.json").read_text())
    for key, value in change.items():
        merged = isinstance(value, dict) and key not in ("phoneme_id_map", "phoneme_map")
        settings[key] = {**settings.get(key, {}), **value} if merged else value
    write_json(source / "config.json", settings)
    with pytest.raises(CheckpointError, match=message):
        import_model(source, tmp_path / "voice")


def test_paths_that_are_no_model(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        import_model(tmp_path / "nowhere", tmp_path / "voice")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="fits no format"):
        import_model(tmp_path / "empty", tmp_path / "voice")
    with pytest.raises(UnknownName, match="piper"):
        import_model(tmp_path / "empty", tmp_path / "voice", "pipper")
    (tmp_path / "voice.onnx").touch()
    with pytest.raises(CheckpointError, match="ONNX"):
        import_model(tmp_path / "voice.onnx", tmp_path / "voice")
    for layout in ("hf", "official", "coqui", "piper"):
        with pytest.raises(CheckpointError):
            import_model(tmp_path / "empty", tmp_path / "voice", layout)
    import_model(official(tmp_path / "source", small(text=ENGLISH)), tmp_path / "voice")
    with pytest.raises(CheckpointError, match="already"):
        import_model(tmp_path / "voice", tmp_path / "again")


def test_unknown_formats_are_answered_by_all_known_ones(tmp_path, capsys):
    assert main(["export", "kathleen", "--format", "foo", "-o", str(tmp_path / "out")]) == 2
    assert "unknown export format 'foo': known: " in (said := capsys.readouterr().err)
    assert all(name in said for name in ("hf", "onnx", "piper", "flowtron"))
    assert main(["import", str(tmp_path), "--format", "foo", "-o", str(tmp_path / "out")]) == 2
    assert "unknown import format 'foo': known: " in (said := capsys.readouterr().err)
    assert all(name in said for name in ("hf", "coqui", "piper", "official", "flowtron", "amphion"))


def test_the_source_and_other_folders_are_left_alone(tmp_path, capsys):
    source = official(tmp_path / "source", small(text=ENGLISH), judges=False)
    before = sorted(path.name for path in source.iterdir())
    assert main(["import", str(source), "-o", str(source)]) == 2
    assert "is the source itself" in capsys.readouterr().err
    assert sorted(path.name for path in source.iterdir()) == before
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    (mine / "thesis.txt").write_text("years of work")
    assert main(["import", str(source), "-o", str(mine)]) == 2
    assert "(thesis.txt)" in capsys.readouterr().err
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert import_model(source, tmp_path / "ours").folder == tmp_path / "ours"
    import_model(source, tmp_path / "ours")
    assert sorted(path.name for path in (tmp_path / "ours").iterdir())[:2] == ["README.md", "config.json"]


def test_the_python_name():
    import moksori

    assert moksori.interop.import_model is import_model


def test_a_file_alone_is_enough_where_its_settings_lie_beside_it(tmp_path):
    source = official(tmp_path / "source", small(text=ENGLISH))
    shutil.move(source / "config.json", source / "ljs_base.json")
    shutil.move(source / "G_900.pth", source / "pretrained_ljs.pth")
    made = import_model(source / "pretrained_ljs.pth", tmp_path / "voice")
    assert (made.layout, made.discriminators) == ("official", False)
