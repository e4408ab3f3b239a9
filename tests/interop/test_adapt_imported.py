"""Voices of other projects, imported, take a real training step towards another speaker, and speak afterwards."""

import json
from pathlib import Path

import pytest
import torch
from small_vits import PIPER_SYMBOLS, small
from test_import import COQUI, ENGLISH, PIPER, coqui, official, piper

from moksori.corpus import synthetic
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import TextError
from moksori.models.checkpoint import Manifest, load_model, read_manifest, read_weights, save_model
from moksori.pipeline import adapt
from moksori.pipeline.import_model import export_model, import_model
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.train import Listener, train

QUICK = (
    "training.max_steps=1", "training.validate_every=1", "training.speak_every=0", "training.batch_size=2",
    "training.device=cpu", "training.precision=fp32", "objective.discriminators.scale=false",
    "objective.discriminators.periods=[2]", "objective.discriminators.period_channels=[4, 4, 4, 4, 4]",
    "objective.head_start_steps=0",
)  # fmt: skip
HOW_MANY = {"official": 1, "coqui": 2, "piper": 1, "hf": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Words whose sounds every one of the tables has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "WORDS", ("one", "two", "seven", "lemon", "open", "many", "yellow"))
        return write_synthetic(tmp_path_factory.mktemp("corpus") / "tones", count=6, seed=4).corpus.folder


@pytest.fixture(autouse=True)
def few_seconds(monkeypatch) -> None:
    monkeypatch.setattr(adapt, "LEAST_MINUTES", 0.01)


def imported(layout: str, folder: Path, **options: object) -> Path:
    """A random voice in another project's files, imported."""
    folder.mkdir(parents=True)
    speakers = HOW_MANY[layout]
    text = {"official": ENGLISH, "coqui": COQUI, "piper": PIPER, "hf": None}[layout]
    model = small(speakers=speakers, text=text)
    if layout == "hf":
        described = Manifest(
            family="vits", name="x", model=model.config.model_dump(mode="json"), text=model.config.text,
            sample_rate=16000,
        )  # fmt: skip
        save_model(folder / "ours", model, described, exact=True)
        export_model(folder / "ours", folder / "theirs", "hf")
    else:
        {"official": official, "coqui": coqui, "piper": piper}[layout](folder / "theirs", model, **options)
    return import_model(folder / "theirs", folder / "voice").folder


@pytest.mark.parametrize("layout", HOW_MANY)
def test_takes_a_step_towards_a_new_speaker_and_speaks(layout: str, corpus: Path, tmp_path) -> None:
    voice = imported(layout, tmp_path / "source")
    told: list[str] = []
    result = train(None, corpus, tmp_path / "run", QUICK, start_from=str(voice), listener=Listener(tell=told.extend))
    assert any("vits/ljspeech_adapt" in line for line in told)
    assert result.transferred is not None
    model_left = [name for name in result.transferred.left if not name.startswith("discriminators.")]
    assert model_left == []
    before, after = read_weights(voice), read_weights(result.model)
    assert before.keys() == after.keys()
    assert not torch.equal(after["flow.couplings.0.input.bias"].float(), before["flow.couplings.0.input.bias"].float())
    manifest = read_manifest(result.model)
    kept = read_manifest(voice).model
    assert manifest.model == kept | {"text": kept["text"] | {"language": "en-us"}}
    assert (manifest.speakers, manifest.licence, manifest.steps) == (("tone0",), "", 1)
    assert len(Speaker(load_model(result.model)).say("one lemon", seed=1).samples) > 0


def test_a_voice_without_posterior_encoder_gets_a_new_one_and_a_warning(corpus: Path, tmp_path, caplog) -> None:
    voice = imported("official", tmp_path / "source", posterior=False)
    told: list[str] = []
    result = train(None, corpus, tmp_path / "run", QUICK, start_from=str(voice), listener=Listener(tell=told.extend))
    assert "holds no posterior_encoder, which starts from new weights" in caplog.text
    assert "  the source lacks posterior_encoder: new weights there" in told
    assert read_manifest(result.model).absent == ()
    recorded = json.loads((tmp_path / "run" / "run.json").read_text())["taken_over"]
    assert recorded["absent"] == ["posterior_encoder"]
    part = next(part for part in recorded["parts"] if part["part"] == "posterior_encoder")
    assert (part["whole"], part["anew"] > 0) == (0, True)


def test_sounds_that_an_imported_table_lacks_are_named(tmp_path) -> None:
    assert "ɹ" not in PIPER_SYMBOLS  # and the English of the made-up corpus needs it
    corpus = write_synthetic(tmp_path / "tones", count=6, seed=4).corpus.folder
    voice = imported("piper", tmp_path / "source")
    with pytest.raises(TextError, match=r"voice has no symbol for 'ɹ' in \d clips"):
        train(None, corpus, tmp_path / "run", QUICK, start_from=str(voice))
    assert not (tmp_path / "run").exists()
