"""What training comes to on frames of known facts (specification F11): identity, sharpness, distance to the target."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import batch_of, small_objective, take_steps

from moksori.audio.f0 import extract_f0
from moksori.audio.io import read
from moksori.corpus.synthetic import write_synthetic
from moksori.models.checkpoint import Manifest, load_model, save_model
from moksori.models.world_vae import WorldVae
from moksori.models.world_vae.objective import _spread_over
from moksori.pipeline.convert import Converter, ConvertOptions, convert_to_file
from moksori.pipeline.run_config import run_config
from moksori.pipeline.take_over import Source, take_over
from moksori.pipeline.train import train
from moksori.types import SpeechNeeds

NETWORKS = (
    "model.latent_channels=16", "model.speaker_channels=8", "model.encoder={channels: [8, 8, 16, 16]}",
    "model.decoder={first_channels: 16, channels: [16, 8, 4], last_kernel_size: 33, tanh: true}",
    "objective.critic={channels: [8, 16], kernel_sizes: [7, 25]}", "objective.critic_steps=3",
    "objective.frames_per_clip=4", "objective.adversarial_from_step=100", "objective.adversarial_weight=4",
    "objective.kl_weight=4", "objective.probe=false",
)  # fmt: skip
"""kl_weight: so that z does not hold all of a frame, and reconstruction alone is blurred."""
PHASE_ONE, PHASE_TWO = 100, 50


def both() -> dict[str, WorldVae]:
    """The VAE, and the same from the end of phase 1 on with a critic."""
    found = {}
    begun = small_objective(*NETWORKS, "objective.adversarial=none")
    begun.initialise([batch_of(16, 32, 9000 + seed) for seed in range(4)])
    take_steps(begun, PHASE_ONE)
    for kind in ("none", "gp"):
        objective = small_objective(*NETWORKS, f"objective.adversarial={kind}")
        objective.model.load_state_dict(begun.model.state_dict())
        take_steps(objective, PHASE_TWO, first=PHASE_ONE)
        assert isinstance(objective.model, WorldVae)
        found[kind] = objective.model.eval()
    return found


def distortion(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mel-cepstral distortion without the mels, in dB: 24 cepstra of the shape, without the first."""
    cepstra = [np.fft.irfft(shape.numpy() * np.log(10.0) / 2.0, axis=1)[:, 1:25] for shape in (one, other)]
    each = 2.0 * np.sqrt(2.0 * np.square(cepstra[0] - cepstra[1]).sum(axis=1))
    return float(10.0 / np.log(10.0) * each.mean())


def test_both_convert_and_the_game_sharpens() -> None:
    held_out = batch_of(40, 32, 777, same=True)
    spreads = {}
    for kind, model in both().items():
        frames = _spread_over(model, held_out, 32)
        with torch.no_grad():
            made = model.decode(model.posterior(frames.x).mean, 1 - frames.speaker)
        target = frames.centre.unflatten(0, (20, 2, 32)).flip(1).flatten(0, 2)  # the same, by the other speaker
        # Who speaks, by a linear classifier of real frames.
        real, sign = frames.centre.double().numpy(), 2.0 * frames.speaker.numpy() - 1.0
        middle = real.mean(axis=0)
        weights = np.linalg.solve((real - middle).T @ (real - middle) + 50.0 * np.eye(513), (real - middle).T @ sign)
        heard = (made.double().numpy() - middle) @ weights > 0
        assert (heard == (1 - frames.speaker.numpy()).astype(bool)).mean() >= 0.8
        back = model.range.inverse
        assert distortion(back(made), back(target)) < 0.8 * distortion(back(frames.centre), back(target))
        ratios = [
            float(
                made[frames.speaker == 1 - k].var(dim=0).mean() / frames.centre[frames.speaker == k].var(dim=0).mean()
            )
            for k in (0, 1)
        ]
        spreads[kind] = float(np.abs(np.log(ratios)).mean())
    assert spreads["gp"] < spreads["none"]


def test_trained_from_a_corpus_it_converts_a_file(tmp_path: Path) -> None:
    """The road of the command line: corpus, cached features, both phases, a model folder, a recording."""
    pytest.importorskip("pyworld")
    corpus = write_synthetic(tmp_path / "tones", 8, needs=SpeechNeeds(16000, 80), speakers=2).corpus
    assignments = ["training.max_steps=4", "training.validate_every=4", "objective.adversarial_from_step=2"]
    result = train("world_vae/tiny", corpus.folder, tmp_path / "run", assignments)
    assert result.finished
    assert list((corpus.folder / "features").glob("envelopes-*/train.safetensors"))
    converter = Converter(load_model(result.model))
    assert converter.speakers == ("tone0", "tone1")
    assert np.exp(converter.manifest.speaker_pitch["tone1"][0]) == pytest.approx(210.0, rel=0.05)
    source = next(utterance for utterance in corpus.split("test") if utterance.speaker == "tone0")
    written = convert_to_file(converter, source.audio, tmp_path / "out.wav", ConvertOptions("tone1"), seed=1)
    made = read(written.path)
    f0 = extract_f0(made, 80, 71.0, 500.0, "dio")
    assert len(made.samples) == pytest.approx(source.duration_seconds * 16000, abs=1)
    assert float(np.median(f0[f0 > 0])) == pytest.approx(210.0, rel=0.08)


def test_a_speaker_more_is_a_row_more(tmp_path: Path) -> None:
    """Fine-tuning on a corpus with somebody new: known speakers keep their rows wherever they come to stand."""
    old = small_objective()
    with torch.no_grad():
        old.model.speaker_pitch.copy_(torch.tensor([[4.5, 0.1], [5.5, 0.2]]))
    manifest = Manifest(
        family="world_vae", name="two", model=old.model.config.model_dump(mode="json"), speakers=("ada", "cora"),
        sample_rate=16000,
    )  # fmt: skip
    save_model(tmp_path / "two", old.model, manifest, discriminators=old.discriminators.state_dict())
    new = small_objective("model.num_speakers=3", seed=1)
    family = run_config("world_vae/tiny").family
    take_over(new, Source.find(str(tmp_path / "two")), family, ("ada", "bela", "cora"))
    before, after = old.model.speaker_embedding.weight.half().float(), new.model.speaker_embedding.weight
    assert torch.equal(after[[0, 2]], before)
    assert torch.allclose(after[1], before.mean(dim=0), atol=1e-6)
    assert torch.allclose(new.model.speaker_pitch[:, 0], torch.tensor([4.5, 5.0, 5.5]), atol=1e-2)
    assert torch.equal(new.model.decoder.last.weight, old.model.decoder.last.weight.half().float())
