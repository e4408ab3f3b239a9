"""From a corpus on disk to a model that speaks in a prompt's voice: codes, durations and pitch are found on the way."""

import json

import pytest
import torch

from moksori.corpus.synthetic import write_synthetic
from moksori.errors import ConfigError
from moksori.models.checkpoint import Manifest, load_model, save_model
from moksori.pipeline.run_config import run_config
from moksori.pipeline.train import train
from moksori.types import LatentBatch, SayControls, SpeechNeeds, TextBatch

ALIGNER = ("training.max_steps=4", "training.batch_size=4")


@pytest.fixture
def codec(tmp_path):
    """A codec with weights that nobody trained, as a model folder."""
    config = run_config("codec/tiny")
    torch.manual_seed(0)
    model = config.family.model(config.model).eval()
    manifest = Manifest(
        family="codec", name="small", model=config.model.model_dump(mode="json"), sample_rate=model.sample_rate
    )
    save_model(tmp_path / "codec", model, manifest)
    return tmp_path / "codec"


@pytest.mark.slow
def test_training_finds_what_it_needs(codec, tmp_path) -> None:
    corpus = write_synthetic(tmp_path / "corpus", count=10, needs=SpeechNeeds(16000, 200), speakers=2).corpus
    settings = ("training.max_steps=4", "training.device=cpu", f"model.codec={codec}")
    with pytest.raises(ConfigError, match="stages, code_count and latent_channels"):
        train(
            "naturalspeech2/tiny", corpus.folder, tmp_path / "wrong", [*settings, "model.stages=5"],
            aligner_assignments=ALIGNER,
        )  # fmt: skip
    result = train("naturalspeech2/tiny", corpus.folder, tmp_path / "run", settings, aligner_assignments=ALIGNER)
    assert result.finished
    told = [json.loads(line) for line in (result.run / "metrics.jsonl").read_text().splitlines()]
    assert {"codes_1", "condition_gain", "prompt_gain", "data", "score", "cross_entropy"} <= set(told[-1])

    loaded = load_model(result.model)
    assert list(loaded.manifest.requires) == ["small"]
    model, heard = loaded.model, load_model(codec).model
    assert float(model.standardize.std.min()) > 0.0
    waveform = 0.1 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    latent = heard.latents(heard.compress(waveform))
    prompt = LatentBatch(latent, torch.tensor([latent.shape[2]]))
    tokens = torch.tensor([[178, 60, 61, 62]]).clamp(max=len(model.config.text.symbols) - 1)
    text = TextBatch(tokens, torch.zeros_like(tokens), torch.tensor([4]), torch.tensor([0]))
    said = model.say_latents_like(text, prompt, SayControls(), generator=torch.Generator().manual_seed(0))
    sound = heard.expand(said.latent)
    assert sound.shape == (1, int(said.frame_lengths) * 200)
    assert bool(sound.isfinite().all())


@pytest.mark.slow
def test_a_postfilter_learns_behind_a_model_and_from_the_mels_of_its_codec(codec, tmp_path) -> None:
    corpus = write_synthetic(tmp_path / "corpus", count=10, needs=SpeechNeeds(16000, 200), speakers=2).corpus
    settings = ["training.device=cpu", f"model.codec={codec}"]
    first = train(
        "naturalspeech2/tiny", corpus.folder, tmp_path / "first", [*settings, "training.max_steps=2"],
        aligner_assignments=ALIGNER,
    )  # fmt: skip
    second = [
        *settings, "training.max_steps=4", "training.save_every=2", "training.batch_size=2",
        "model.postfilter={channels: 8, inner_channels: 12, num_layers: 1}",
        "objective.postfilter={channels: [4, 6, 8], crop_frames: 12, head_start_steps: 1, conditional: true}",
        "training.optimizers.discriminator={learning_rate: 1.0e-3}",
    ]  # fmt: skip
    result = train(
        "naturalspeech2/tiny", corpus.folder, tmp_path / "second", second, start_from=str(first.model),
        aligner_assignments=ALIGNER,
    )  # fmt: skip
    told = [json.loads(line) for line in (result.run / "metrics.jsonl").read_text().splitlines()]
    assert {"distance", "plain", "told"} <= set(told[-1])
    before, after = (load_model(folder).model.state_dict() for folder in (first.model, result.model))
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before.get(name, -value))}
    assert changed == {"postfilter"}
    assert (result.model / "discriminators.safetensors").is_file()

    again = train(None, None, tmp_path / "second", ["training.max_steps=6"], resume=True)
    assert again.finished
    assert not torch.equal(
        load_model(again.model).model.postfilter.out.weight, after["postfilter.out.weight"]
    )  # fmt: skip
