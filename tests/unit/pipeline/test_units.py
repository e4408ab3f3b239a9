"""Ids of frames for the content prior: phones of the corpus, or a user's files; bad files are told in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from moksori.corpus.synthetic import synthetic_examples, write_synthetic
from moksori.errors import ConfigError, CorpusError
from moksori.models.dsvae import Dsvae, DsvaeObjective
from moksori.pipeline.batches import ExampleBatches, fixed_batches, stretch
from moksori.pipeline.run_config import run_config
from moksori.pipeline.train import train
from moksori.pipeline.units import with_units
from moksori.text.symbols import SYMBOLS
from moksori.types import Example, SpeechNeeds

NEEDS = SpeechNeeds(16000, 256, tokens=False, units=8)
SMALL = ("model.prior.feed=posterior", "training.max_steps=2", "training.batch_size=4", "augmentation.kinds=[]")


def examples(count: int = 3) -> list[Example]:
    return synthetic_examples(SpeechNeeds(16000, 256, tokens=True, durations=True), count, seed=0)


def frames(example: Example) -> int:
    return len(example.waveform) // 256


def write_all(folder: Path, held: list[Example], extra: int = 0) -> SpeechNeeds:
    """Units 0 to 7, every other recording as text."""
    for index, example in enumerate(held):
        ids = np.arange(frames(example) + extra) % 8
        if index % 2:
            (folder / f"{example.utterance.name}.txt").write_text(" ".join(map(str, ids)), encoding="utf-8")
        else:
            np.save(folder / f"{example.utterance.name}.npy", ids)
    return SpeechNeeds(16000, 256, tokens=False, units=8, unit_folder=str(folder))


@pytest.mark.parametrize("extra", [0, 2, -2])
def test_files_are_read_and_fitted_to_the_frames(tmp_path: Path, extra: int) -> None:
    held = examples()
    for example in with_units(held, write_all(tmp_path, held, extra)):
        assert example.units is not None
        assert len(example.units) == frames(example)
        known = frames(example) + min(extra, 0)
        assert example.units[:known].tolist() == (np.arange(known) % 8).tolist()
        assert (example.units[known:] == example.units[known - 1]).all()


def test_labels_are_the_tokens_by_their_durations() -> None:
    held = examples()
    for before, after in zip(held, with_units(held, NEEDS), strict=True):
        assert before.tokens is not None
        assert before.durations is not None
        assert after.units is not None
        assert after.units.tolist() == np.repeat(before.tokens, before.durations).tolist()
        assert after.tokens is None
        assert after.durations is None


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (None, "holds no"),
        ("0 1 x", "not a list of whole numbers"),
        ("", "one row of whole numbers"),
        ("0 1 2", "the recording has"),
        ("9", "set model.prior.num_units"),
    ],
)
def test_bad_files(tmp_path: Path, ids: str | None, message: str) -> None:
    held = examples(1)
    needs = SpeechNeeds(16000, 256, tokens=False, units=8, unit_folder=str(tmp_path))
    if ids is not None:
        text = ids if ids != "9" else " ".join(["9"] * frames(held[0]))
        (tmp_path / f"{held[0].utterance.name}.txt").write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        with_units(held, needs)


def test_other_bad_input(tmp_path: Path) -> None:
    held = examples(1)
    np.save(tmp_path / f"{held[0].utterance.name}.npy", np.zeros((frames(held[0]), 2)))
    with pytest.raises(CorpusError, match="one row"):
        with_units(held, SpeechNeeds(16000, 256, tokens=False, units=8, unit_folder=str(tmp_path)))
    with pytest.raises(CorpusError, match="no such folder"):
        with_units(held, SpeechNeeds(16000, 256, tokens=False, units=8, unit_folder=str(tmp_path / "none")))
    config = run_config("dsvae/tiny", ["model.prior.units=units"])
    with pytest.raises(ConfigError, match=r"objective\.unit_folder"):
        config.family.needs(config.model, config.objective)


def test_stretches_and_batches_keep_units_beside_their_frames() -> None:
    held = with_units(examples(), NEEDS)
    piece = stretch(held[0], SpeechNeeds(16000, 256, tokens=False, units=8, stretch_frames=20), 0.5)
    first = min(int(0.5 * (frames(held[0]) - 20 + 1)), frames(held[0]) - 20)
    assert held[0].units is not None
    assert piece.units is not None
    assert piece.units.tolist() == held[0].units[first : first + 20].tolist()
    (batch,) = fixed_batches(held, NEEDS.in_batches, 4)
    assert batch.units is not None
    assert batch.units.shape == (3, max(map(frames, held)))


def test_crops_and_their_units_are_the_same_stretch() -> None:
    config = run_config("dsvae/tiny", ["model.prior.units=labels", "objective.crop_frames=16"])
    torch.manual_seed(0)
    model = Dsvae(config.model)
    objective = DsvaeObjective(model, config.objective)
    assert model.content_prior.num_units == len(SYMBOLS)
    needs = config.family.needs(config.model, config.objective)
    assert needs.tokens
    assert needs.durations
    assert needs.units == len(SYMBOLS)
    held = with_units(examples(), needs)
    batch = ExampleBatches(held, needs.in_batches, 3, 0).batch(0)
    assert batch.units is not None
    assert batch.tokens is None
    crops = objective._crops(batch, torch.tensor([0, 5, 9]))
    assert crops.units is not None
    assert torch.equal(crops.units[1], batch.units[1, 5 : 5 + 16])
    (update,) = objective.updates(batch, 50, torch.Generator().manual_seed(0))
    update.total().backward()
    weight = model.content_prior.recurrent.weight_ih_l0.grad
    assert isinstance(weight, torch.Tensor)
    # A symbol that no recording holds has taught nothing.
    absent = sorted(set(range(len(SYMBOLS))) - set(batch.units.unique().tolist()))
    assert float(weight[:, 8:][:, absent].abs().max()) == 0.0
    assert float(weight[:, 8:].abs().max()) > 0.0
    bare = fixed_batches(examples(), SpeechNeeds(16000, 256, tokens=False), 3)[0]
    with pytest.raises(ConfigError, match="the batch has no units"):
        list(objective.updates(bare, 0))


def test_training_with_given_units_and_with_labels(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "corpus", 10, needs=SpeechNeeds(16000, 256))
    folder = tmp_path / "units"
    folder.mkdir()
    for split in ("train", "valid"):
        for utterance in made.corpus.split(split):
            count = int(utterance.duration_seconds * 16000) // 256
            (folder / f"{utterance.name}.txt").write_text("\n".join(str(k % 5) for k in range(count)))
    given = ["model.prior.units=units", "model.prior.num_units=5", f"objective.unit_folder={folder}"]
    result = train("dsvae/tiny", tmp_path / "corpus", tmp_path / "given", [*SMALL, *given])
    assert result.finished
    aligner = ("training.max_steps=3",)
    labels = [*SMALL, "model.prior.units=labels"]
    result = train("dsvae/tiny", tmp_path / "corpus", tmp_path / "labels", labels, aligner_assignments=aligner)
    assert result.finished
    assert (result.model / "config.json").is_file()
