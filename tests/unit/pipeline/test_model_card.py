"""A model card says how its model is used: each family has its own command."""

import pytest

from moksori.config import preset_names
from moksori.models.checkpoint import Manifest
from moksori.pipeline.model_card import example, model_card
from moksori.pipeline.run_config import run_config


def manifest(family: str, speakers: tuple[str, ...] = ("ann", "bob")) -> Manifest:
    assert f"{family}/tiny" in preset_names()
    model = run_config(f"{family}/tiny").model.model_dump(mode="json")
    return Manifest(family=family, name="mine", model=model, speakers=speakers, sample_rate=16000, licence="CC0-1.0")


@pytest.mark.parametrize(
    ("family", "command", "speakers", "care"),
    [
        ("vits", 'moksori say "Hello." --voice mine', "speakers: ann, bob", "The voice belongs to a person"),
        ("dsvae", "moksori convert talk.wav --like target.wav --model mine", "trained on 2 speakers", "consent"),
        ("vocoder", "moksori vocode talk.wav --model mine", "trained on 2 speakers", "no voice of its own"),
        ("codec", "moksori codec encode talk.wav --model mine -o talk.mkc", "trained on 2 speakers", "was coded"),
        ("aligner", "moksori info mine", "trained on 2 speakers", "The voice belongs"),
    ],
)
def test_each_family_has_its_command(family, command, speakers, care):
    card = model_card(manifest(family))
    assert f"```\n{command}" in card
    assert speakers in card
    assert care in card
    assert "Say that speech is synthetic" in card


def test_the_command_names_a_folder_where_there_is_one():
    assert example(manifest("vocoder"), "runs/a/model") == "moksori vocode talk.wav --model runs/a/model -o copy.wav"


@pytest.mark.parametrize(
    ("preset", "key"),
    [("tiny", " --key auto"), ("compact", " --key auto"), ("base", ""), ("music", ""), ("nsynth", "")],
)
def test_a_key_is_named_where_the_model_follows_the_pitch(preset, key):
    config = run_config(f"wavenet_autoencoder/{preset}").model
    made = Manifest(
        family="wavenet_autoencoder", name="mine", model=config.model_dump(mode="json"), speakers=("ann",),
        sample_rate=16000,
    )  # fmt: skip
    assert example(made, "mine") == f"moksori convert song.wav --singer ann{key} --model mine -o out.wav"
