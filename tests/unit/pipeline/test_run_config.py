"""A run's settings: presets, overrides, unions, and errors that name key, value and the nearest."""

from pathlib import Path

import pytest

from moksori.config import load_preset, override, preset_names
from moksori.errors import ConfigError, UnknownName
from moksori.models.decoders.config import HifiganConfig, HomomorphicConfig, IstftConfig
from moksori.pipeline.run_config import DEFAULT_SENTENCES, run_config


def test_overrides_are_read_as_yaml() -> None:
    settings = override(
        {"training": {"batch_size": 16, "seed": 1}},
        ["training.batch_size=8", "a.b.c=[1, 2]", "rate=1e-4", "on=true", "none=null", "text=hello", "empty="],
    )
    assert settings == {
        "training": {"batch_size": 8, "seed": 1},
        "a": {"b": {"c": [1, 2]}},
        "rate": 1e-4,
        "on": True,
        "none": None,
        "text": "hello",
        "empty": None,
    }
    assert override({}, ["a=b=c"]) == {"a": "b=c"}


@pytest.mark.parametrize("bad", ["training.batch_size", "=8"])
def test_an_override_needs_a_key_and_a_value(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"expected key\.path=value"):
        override({}, [bad])
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        override({}, ["a=[1"])


def test_presets_inherit_and_leave_their_base_alone() -> None:
    assert "base" not in load_preset("vits/tiny")
    tiny, compact = run_config("vits/tiny"), run_config("vits/compact")
    assert tiny.model.latent_channels == 16
    assert tiny.model.text == compact.model.text
    assert tiny.objective.loss_weights == compact.objective.loss_weights
    assert run_config("vits/compact", ["training.seed=7"]).training.seed == 7
    assert run_config("vits/compact").training.seed == 1234


def test_another_kind_replaces_its_section_whole() -> None:
    assert isinstance(run_config("vits/tiny").model.decoder, HomomorphicConfig)
    swapped = run_config("vits/tiny", ["model.decoder.kind=istft"]).model.decoder
    assert swapped == IstftConfig()  # the tiny widths were the other kind's
    kept = run_config("vits/tiny", ["model.decoder.kind=homomorphic", "model.decoder.num_layers=5"]).model.decoder
    assert (kept.channels, kept.num_layers) == (32, 5)
    hifigan = run_config("vits/tiny", ["model.decoder={kind: hifigan, channels: 64}"]).model.decoder
    assert hifigan == HifiganConfig(channels=64)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("model.latent_chanels=8", r"unknown setting 'model\.latent_chanels': did you mean 'latent_channels'"),
        ("model.decoder.pitch_chanels=8", r"did you mean 'pitch_channels'"),
        ("training.optimizers.model.learning_rat=1", r"did you mean 'learning_rate'"),
        ("trainig.seed=1", r"unknown setting 'trainig': did you mean 'training'"),
        ("training.batch_size=none", r"setting training\.batch_size = 'none'"),
        ("training.batch_size=0", r"setting training\.batch_size = 0: .*greater than or equal to 1"),
        ("training.precision=fp8", r"setting training\.precision = 'fp8': .*'fp32'"),
        ("model.decoder.kind=wavenet", r"model\.decoder.*'hifigan', 'istft', 'homomorphic'"),
        ("model.mel.hop_length=300", r"model\.mel|model:"),
        ("model=5", r"setting model = 5: expected a section"),
        ("training=[1]", r"setting training = \[1\]: expected a section"),
        ("sentences=Hello", r"setting sentences = 'Hello': expected a list of texts"),
        ("training.max_steps=null", r"set max_steps or max_minutes"),
        ("sentences=['Hello.', ' ']", r"setting sentences = \['Hello\.', ' '\]: .*none of them empty"),
        ("training.max_minutes=nan", r"setting training\.max_minutes = nan: .*finite"),
        ("training.device=cud", r"setting training\.device = 'cud': expected auto, cpu, cuda, cuda:N .* or mps"),
        ("training.device=cuda:x", r"setting training\.device = 'cuda:x': expected auto"),
        ("training.optimizers.model.learning_rate=-1", r"model\.learning_rate = -1: .*greater than or equal to 0"),
        ("training.optimizers.model.learning_rate=nan", r"model\.learning_rate = nan: .*finite"),
        ("training.optimizers.model.learning_rate=inf", r"model\.learning_rate = inf: .*finite"),
        ("training.optimizers.model.betas=[2, 3]", r"model\.betas\.0 = 2: .*less than 1"),
        ("training.optimizers.model.epsilon=0", r"model\.epsilon = 0: .*greater than 0"),
        ("training.optimizers.model.weight_decay=-0.1", r"model\.weight_decay = -0\.1: .*greater than or equal to 0"),
        ("training.optimizers.model.warmup_steps=-1", r"model\.warmup_steps = -1: .*greater than or equal to 0"),
        ("training.optimizers.model.decay=1.5", r"model\.decay = 1\.5: .*less than or equal to 1"),
        ("training.optimizers.model.final_fraction=-1", r"model\.final_fraction = -1: .*greater than or equal to 0"),
        ("training.optimizers.model.clip_norm=0", r"model\.clip_norm = 0: .*greater than 0"),
        ("model.decoder.channels=0", r"model\.decoder\.homomorphic\.channels = 0: .*greater than or equal to 1"),
        ("model.decoder={kind: istft, num_layers: 0}", r"num_layers = 0: .*greater than or equal to 1"),
        ("model.text_encoder.kernel_size=0", r"text_encoder\.kernel_size = 0: .*greater than or equal to 1"),
        ("model.flow.num_couplings=0", r"flow\.num_couplings = 0: .*greater than or equal to 1"),
        ("model.latent_channels=0", r"model\.latent_channels = 0: .*greater than or equal to 1"),
        ("model.variation=-1", r"setting model\.variation = -1: .*greater than or equal to 0"),
        ("objective.window_frames=1", r"window_frames 1 leaves nothing .* edges of window_edge_frames 2: expected 5"),
        ("objective.slice_frames=0", r"objective\.slice_frames = 0: .*greater than or equal to 1"),
        ("objective.loss_weights.mel=nan", r"objective\.loss_weights\.mel = nan: .*finite"),
        ("objective.loss_weights.mel=-1", r"objective\.loss_weights\.mel = -1: .*greater than or equal to 0"),
        ("objective.discriminators.periods=[0]", r"discriminators\.periods\.0 = 0: .*greater than or equal to 1"),
    ],
)
def test_errors_name_key_value_and_remedy(assignment: str, message: str) -> None:
    preset = "vits/ljspeech" if "hop_length" in assignment else "vits/tiny"
    with pytest.raises(ConfigError, match=message):
        run_config(preset, [assignment])


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_within_the_bounds(preset: str) -> None:
    assert run_config(preset).family.name


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_devices_that_may_be_named(device: str) -> None:
    assert run_config("vits/tiny", [f"training.device={device}"]).training.device == device


def test_unknown_presets_families_and_files(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown preset 'vits/tini': did you mean 'vits/tiny'"):
        run_config("vits/tini")
    with pytest.raises(UnknownName, match="unknown family 'vitz': did you mean 'vits'"):
        run_config("vits/tiny", ["family=vitz"])
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read"):
        run_config(tmp_path / "gone.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="expected settings as 'key: value' lines, found list"):
        run_config(tmp_path / "list.yaml")
    (tmp_path / "bare.yaml").write_text("training: {max_steps: 1}\n")
    with pytest.raises(ConfigError, match="'family' is missing"):
        run_config(tmp_path / "bare.yaml")


def test_written_out_settings_give_the_same_run(tmp_path: Path) -> None:
    config = run_config("vits/tiny", ["training.seed=5", "sentences=['Eins.', 'Zwei.']", "model.decoder.num_layers=3"])
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert run_config(path) == config
    assert config.sentences == ("Eins.", "Zwei.")
    assert run_config("vits/tiny").sentences == DEFAULT_SENTENCES
    assert run_config(path, ["training.seed=6"]).training.seed == 6
