"""What an imported Flowtron is given by mistake: short, empty, endless and unreadable texts, weights that explode."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import restated_flowtron as restated
import torch

import moksori
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import BadInput, ConfigError, MoksoriError, TextError, UnknownName
from moksori.models.checkpoint import load_model, save_model
from moksori.models.flowtron.speaking import MAXIMUM_FRAMES
from moksori.pipeline.import_model import import_model
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.train import train
from moksori.types import SayControls, TextBatch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imported model of two speakers with random weights."""
    place = tmp_path_factory.mktemp("imported")
    torch.save({"state_dict": restated.Flowtron(speakers=2).state_dict()}, place / "theirs.pt")
    return import_model(place / "theirs.pt", place / "ours").folder


@pytest.fixture(scope="module")
def speaker(folder: Path) -> Speaker:
    loaded = moksori.load(folder)
    assert isinstance(loaded, Speaker)
    return loaded


def batch(*tokens: int) -> TextBatch:
    ids = torch.tensor([tokens])
    return TextBatch(ids, torch.zeros_like(ids), torch.tensor([len(tokens)]), torch.tensor([0]))


@pytest.mark.parametrize("tokens", [(5,), (5, 5), (0, 0, 0), (0,)])
def test_one_or_two_tokens_have_states(folder: Path, tokens: tuple[int, ...]) -> None:
    model = load_model(folder).model
    memory = model.memory(batch(*tokens))
    assert bool(memory.states.isfinite().all())
    made = model.say_mels(batch(*tokens), SayControls(), torch.Generator().manual_seed(0))
    assert bool(made.mel.isfinite().all())


def test_a_text_longer_than_any_is_bounded(folder: Path) -> None:
    model = load_model(folder).model
    begin = time.process_time()
    made = model.say_mels(batch(*range(1, 181), *range(1, 181), *range(1, 181)), SayControls(variation=0.0))
    assert made.mel.shape[2] <= MAXIMUM_FRAMES
    assert time.process_time() - begin < 30.0


@pytest.mark.parametrize("text", ["I", "a", "x!", "5", "{HH AY1}"])
def test_short_texts_are_spoken(speaker: Speaker, text: str) -> None:
    speech = speaker.say(text, seed=1)
    assert len(speech.samples) > 0
    assert bool(np.isfinite(speech.samples).all())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("?!", "no words"),
        ("жж", "no words"),
        ("word " * 2_000_000, "200,000 at most"),
        ("[[bøl]]", "'ø'"),
    ],
)
def test_what_cannot_be_said_is_told(speaker: Speaker, text: str, message: str) -> None:
    with pytest.raises(TextError, match=message):
        speaker.say(text, seed=1)


def test_a_dictionary_that_is_gone_is_told(folder: Path, tmp_path: Path) -> None:
    loaded = load_model(folder)
    text = loaded.manifest.text.model_copy(update={"dictionary": str(tmp_path / "gone")})
    settings = {**loaded.manifest.model, "text": text.model_dump(mode="json")}
    manifest = loaded.manifest.model_copy(update={"text": text, "model": settings})
    save_model(tmp_path / "moved", loaded.model, manifest)
    with pytest.raises(TextError, match=r"gone.*set text\.dictionary to null"):
        moksori.load(tmp_path / "moved").say("Hello", seed=1)


def test_a_speaker_that_is_not_in_the_table_is_told(speaker: Speaker) -> None:
    with pytest.raises(UnknownName, match="speaker1"):
        speaker.say("Hello", seed=1, speaker="speaker2")


def test_a_row_that_is_not_in_the_table_is_told(folder: Path) -> None:
    model = load_model(folder).model
    for row in (2, -1):
        text = replace(batch(5, 6), speaker=torch.tensor([row]))
        with pytest.raises(BadInput, match="rows 0 to 1"):
            model.memory(text)


def test_weights_that_explode_are_told(folder: Path, tmp_path: Path) -> None:
    loaded = load_model(folder)
    with torch.no_grad():
        for flow in loaded.model.flows:
            flow.step.head.bias[:80] = -80.0
    save_model(tmp_path / "exploding", loaded.model, loaded.manifest, exact=True)
    with pytest.raises(MoksoriError, match=r"NaN or infinity.*another seed"):
        moksori.load(tmp_path / "exploding").say("Hello there", seed=1)


def test_more_speakers_than_the_table_are_told(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "corpus", count=8, speakers=3)
    with pytest.raises(ConfigError, match="3 speakers"):
        train("flowtron/tiny", tmp_path / "corpus", tmp_path / "run", ["model.num_speakers=2"])
    assert not (tmp_path / "run").exists()
