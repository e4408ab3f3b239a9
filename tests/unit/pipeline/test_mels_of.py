"""Fine-tuning a vocoder on the mels that another model makes of the recordings, and on another front end."""

from pathlib import Path

import numpy as np
import pytest
import torch

from moksori.corpus import features
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import ConfigError, UnknownName, UnsupportedTask
from moksori.models.checkpoint import Manifest, has_discriminators, load_model, read_weights, save_model
from moksori.models.contract import CanReconstructMels
from moksori.pipeline import mels_of
from moksori.pipeline import train as module
from moksori.pipeline.batches import ExampleBatches
from moksori.pipeline.mels_of import with_mels
from moksori.pipeline.progress import no_progress
from moksori.pipeline.run_config import run_config
from moksori.pipeline.train import Listener, train
from moksori.types import LongRecording

FEW = (
    "training.max_steps=3", "training.save_every=3", "training.validate_every=3", "training.speak_every=0",
    "training.batch_size=2", "training.log_every=1", "training.device=cpu",
)  # fmt: skip
STANDARDIZED = (
    "model.standardize=true",
    "model.decoder={kind: istft, channels: 16, inner_channels: 32, num_layers: 1}",
)
PLAIN = ("objective.magnitude_steps=0", "objective.loss_weights.magnitude=0")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("corpus") / "tones", count=8, seed=5).corpus.folder


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory) -> Path:
    """A tiny vocoder, and a tiny model of mels with random weights, both of 16 kHz."""
    folder = tmp_path_factory.mktemp("runs")
    train("vocoder/tiny", corpus, folder / "vocoder", FEW)
    config = run_config("dsvae/tiny", ["model.mel.n_mels=80"])
    torch.manual_seed(0)
    manifest = Manifest(
        family="dsvae",
        name="dsvae",
        model=config.model.model_dump(mode="json"),
        sample_rate=config.model.mel.sample_rate,
    )
    save_model(folder / "dsvae", config.family.model(config.model), manifest)
    return folder


def needs_of(*assignments: str):
    config = run_config("vocoder/tiny", assignments)
    return config, config.family.needs(config.model, config.objective)


def test_mels_are_the_model_s_and_are_made_once(corpus, runs, monkeypatch):
    config, needs = needs_of(f"objective.mels_of={runs / 'dsvae'}")
    assert needs.mels_of
    found = Corpus.open(corpus)
    examples = prepare(found, "valid", needs)
    made = with_mels(examples, needs, config.model.mel, found, "valid", no_progress)
    model = load_model(runs / "dsvae").model
    assert isinstance(model, CanReconstructMels)
    for before, after in zip(examples, made, strict=True):
        recording = LongRecording(len(before.waveform), 16000, lambda before=before: iter([before.waveform]))
        expected = torch.cat(list(model.reconstruct_mels(recording)), dim=2)[0].numpy()
        assert after.mel.shape == (80, len(before.waveform) // 256)
        np.testing.assert_allclose(after.mel.astype(np.float32), expected, atol=2e-2)
        own = model.mel(torch.from_numpy(before.waveform)[None])[0].numpy()
        assert np.abs(own - expected).mean() > 0.1  # another mel than the recording's
    monkeypatch.setattr(mels_of, "_made", lambda *_: pytest.fail("they are in the cache"))
    again = with_mels(examples, needs, config.model.mel, found, "valid", no_progress)
    assert all(np.array_equal(a.mel, b.mel) for a, b in zip(again, made, strict=True))


def test_batches_hold_the_same_stretch_of_sound_and_mel(corpus, runs):
    config, needs = needs_of(f"objective.mels_of={runs / 'dsvae'}", "objective.slice_frames=4")
    found = Corpus.open(corpus)
    examples = with_mels(prepare(found, "train", needs), needs, config.model.mel, found, "train", no_progress)
    counted = [
        module.replace(
            e,
            waveform=np.repeat(np.arange(len(e.waveform) // 256), 256).astype(np.float32),
            mel=np.tile(np.arange(len(e.waveform) // 256), (80, 1)).astype(np.float16),
        )
        for e in examples
    ]
    assert max(e.mel.shape[1] for e in counted) > needs.stretch_frames == 32
    batch = ExampleBatches(counted, needs, 4, seed=0).batch(3)
    assert batch.mel is not None
    assert batch.mel.dtype == torch.float32
    assert torch.equal(batch.mel[:, 0], batch.waveform[:, ::256])
    assert int(batch.waveform[:, 0].max()) > 0  # some begin inside their recording


def test_a_vocoder_is_fine_tuned_on_another_model_s_mels(corpus, runs, tmp_path):
    settings = (*FEW, f"objective.mels_of={runs / 'dsvae'}", "objective.mels_of_share=1.0")
    stages = []
    listener = Listener(stage=stages.append)
    result = train("vocoder/tiny", corpus, tmp_path / "run", settings, str(runs / "vocoder"), listener=listener)
    assert result.finished
    assert result.transferred is not None
    assert not result.transferred.left
    assert "listening" in stages
    before, after = (read_weights(folder / "model") for folder in (runs / "vocoder", tmp_path / "run"))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert f"mels_of: {runs / 'dsvae'}" in (tmp_path / "run" / "config.yaml").read_text()


def test_what_makes_no_fitting_mels_is_refused_before_training(corpus, runs, tmp_path):
    def tuned(*more):
        return train("vocoder/tiny", corpus, tmp_path / "run", (*FEW, *more))

    with pytest.raises(UnsupportedTask, match="a 'vocoder' model makes no mels of recordings: name one of the family"):
        tuned(f"objective.mels_of={runs / 'vocoder'}")
    with pytest.raises(ConfigError, match=r"its mels are others \(sample_rate 16000 and 22050"):
        tuned(f"objective.mels_of={runs / 'dsvae'}", "model.mel.sample_rate=22050")
    with pytest.raises(UnknownName, match="unknown model 'nobody'"):
        tuned("objective.mels_of=nobody")
    assert not (tmp_path / "run").exists()


def test_another_rate_takes_all_weights_over_and_its_own_statistics(corpus, tmp_path, monkeypatch):
    first = train("vocoder/tiny", corpus, tmp_path / "slow", (*FEW, *STANDARDIZED, *PLAIN))
    assert has_discriminators(first.model)
    seen = {}
    fit = module.fit

    def spied(objective, *more, **options):
        seen["model"] = {name: tensor.clone() for name, tensor in objective.model.state_dict().items()}
        seen["discriminators"] = {name: t.clone() for name, t in objective.discriminators.state_dict().items()}
        return fit(objective, *more, **options)

    monkeypatch.setattr(module, "fit", spied)
    told = []
    settings = (*FEW, *STANDARDIZED, *PLAIN, "model.mel.sample_rate=22050")
    listener = Listener(tell=told.extend)
    second = train("vocoder/tiny", corpus, tmp_path / "fast", settings, str(tmp_path / "slow"), listener=listener)
    assert second.transferred is not None
    assert second.transferred.left == second.transferred.partial == second.transferred.unused == ()
    assert any("another front end (sample_rate 16000 and 22050)" in line for line in told)
    stored, judges = read_weights(first.model), read_weights(first.model, "discriminators")
    assert all(torch.equal(seen["model"][name], stored[name].float()) for name in stored)
    assert all(torch.equal(seen["discriminators"][name], judges[name].float()) for name in judges)
    slow, fast = (load_model(run.model).model.standardize for run in (first, second))
    assert not torch.allclose(slow.mean, fast.mean, atol=1e-2)
    third = train("vocoder/tiny", corpus, tmp_path / "same", (*FEW, *STANDARDIZED, *PLAIN), str(tmp_path / "slow"))
    assert torch.equal(load_model(third.model).model.standardize.mean, slow.mean)


@pytest.mark.parametrize("preset", ["vocoder/compact-22khz", "vocoder/compact-16khz"])
def test_the_compact_presets_have_one_shape(preset):
    other = {"vocoder/compact-22khz": "vocoder/compact-16khz"}.get(preset, "vocoder/compact-22khz")
    shapes = []
    for name in (preset, other):
        config = run_config(name)
        with torch.device("meta"):
            objective = config.family.objective(config.family.model(config.model), config.objective)
        shapes.append({key: tuple(tensor.shape) for key, tensor in objective.state_dict().items()})
    assert shapes[0] == shapes[1]


def test_the_cache_of_mels_follows_the_code(monkeypatch):
    features.front_end.cache_clear()
    before = features.front_end("mels")
    assert before != features.front_end("waveform")
