"""What WaveNet is trained on: crops that are scored as they would be in the whole recording; it learns a tone."""

import copy
import math

import pytest
import torch
from torch.nn import functional

from moksori.corpus.synthetic import synthetic_examples
from moksori.models.contract import Objective
from moksori.models.wavenet import Wavenet, WavenetConfig, WavenetObjective, WavenetObjectiveConfig
from moksori.models.wavenet.config import MuLawConfig, NetworkConfig
from moksori.models.wavenet.objective import surprise
from moksori.nn.masks import sequence_mask
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.run_config import run_config
from moksori.training.checkpoints import TrainingState, load_checkpoint, save_checkpoint
from moksori.training.ema import AveragedModel
from moksori.types import SpeechBatch


def objective(*overrides: str) -> WavenetObjective:
    config = run_config("wavenet/tiny", overrides)
    torch.manual_seed(0)
    found = config.family.objective(config.family.model(config.model), config.objective)
    assert isinstance(found, WavenetObjective)
    return found


def batch(count: int = 3) -> SpeechBatch:
    config = run_config("wavenet/tiny")
    needs = config.family.needs(config.model, config.objective)
    return fixed_batches(synthetic_examples(needs, count, seed=1), needs, count)[0]


@torch.no_grad()
def test_a_crop_is_scored_as_in_the_whole_recording() -> None:
    """With as much context as the receptive field: codes, mels and conditions lie where they lie in the whole."""
    made, given = objective("objective.crop_frames=6"), batch(1)
    model = made.model
    made.initialise([given])
    model.network.stack.condition.projection.weight.mul_(5.0)  # a condition that is late would be seen
    hop, frames = model.hop_length, int(given.waveform_lengths[0]) // model.hop_length
    assert made.config.context_frames * hop >= model.network.receptive_field
    whole = surprise(model(given.waveform, model.front_end(given.waveform)), model.coded(given.waveform))
    start = (frames - 6) // 2
    found = made.validate(given)
    there = whole[0, start * hop : (start + 6) * hop].mean()
    assert float(found["total"]) == pytest.approx(float(there), abs=1e-4)
    assert float(found["bits"]) == pytest.approx(float(there) / math.log(2.0), abs=1e-4)
    late = whole[0, (start + 1) * hop : (start + 7) * hop].mean()
    assert abs(float(late - there)) > 1e-3


@torch.no_grad()
def test_what_is_beyond_a_recording_is_not_scored() -> None:
    made, given = objective("objective.crop_frames=200"), batch(3)
    crop = made._crop(given, torch.zeros(3, dtype=torch.int64))
    assert crop.scored.sum(dim=1).tolist() == given.waveform_lengths.tolist()
    assert torch.equal(crop.scored, sequence_mask(given.waveform_lengths, crop.scored.shape[1])[:, 0])
    before = crop.inputs[:, : made.config.context_frames * made.model.hop_length]
    assert bool((before == 128).all())  # what precedes a recording is silence


@torch.no_grad()
def test_an_untrained_network_knows_nothing() -> None:
    made = objective("objective.crop_frames=20")
    made.model.network.head_out.weight.zero_()
    made.model.network.head_out.bias.zero_()
    found = made.validate(batch())
    assert float(found["nats"]) == pytest.approx(math.log(256), abs=1e-4)
    assert float(found["bits"]) == pytest.approx(8.0, abs=1e-4)


def test_surprise_is_cross_entropy_of_codes() -> None:
    logits, codes = torch.randn(2, 7, 5), torch.randint(0, 7, (2, 5))
    torch.testing.assert_close(surprise(logits, codes), functional.cross_entropy(logits, codes, reduction="none"))


def tone(samples: int = 8000) -> torch.Tensor:
    return (0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(samples) / 8000))[None]


def test_it_learns_a_tone_and_sings_it_alone() -> None:
    torch.manual_seed(0)
    network = NetworkConfig(residual_channels=16, skip_channels=32, kernel_size=2, layers=5, cycles=1)
    model = Wavenet(WavenetConfig(sample_rate=8000, mel=None, coding=MuLawConfig(), network=network))
    given = SpeechBatch(("tone",), tone(), torch.tensor([8000]), torch.zeros(1, dtype=torch.int64))
    made = WavenetObjective(model, WavenetObjectiveConfig(crop_frames=2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(120):
        (update,) = made.updates(given, step, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        update.total().backward()
        optimizer.step()
    with torch.no_grad():
        nats = surprise(model(tone()), model.coded(tone())).mean()
        said = model.decoded(model(tone()).argmax(dim=1))
    assert float(nats) < 0.5
    for sound in (said, torch.cat(list(model.draw_blocks(8000, 0.0)), dim=1)):
        spectrum = torch.fft.rfft(sound[0, 4000:] * torch.hann_window(4000)).abs()
        assert float(spectrum.argmax()) * 2.0 == pytest.approx(440.0, rel=0.01)
        assert float(sound[0, 4000:].square().mean().sqrt()) == pytest.approx(0.5 / math.sqrt(2), rel=0.1)


def test_what_it_draws_follows_the_mels() -> None:
    changes = [
        "model.network.layers=5", "model.network.cycles=1", "model.condition.rates=[]", "model.pre_emphasis=0",
        "objective.crop_frames=6", "objective.context_frames=0",
    ]  # fmt: skip
    made = objective(*changes)
    model, time = made.model, torch.arange(8192) / 8000
    sound = torch.stack([0.3 * torch.sin(2 * torch.pi * pitch * time) for pitch in (300, 520)])
    given = SpeechBatch(("low", "high"), sound, torch.tensor([8192, 8192]), torch.zeros(2, dtype=torch.int64))
    made.initialise([given])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(150):
        (update,) = made.updates(given, step, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        update.total().backward()
        optimizer.step()
    mel = model.eval().front_end(sound)
    drawn = model.vocode(torch.cat([mel[:1, :, :32], mel[1:, :, 32:]], dim=2), None, torch.Generator().manual_seed(1))
    for part, pitch in ((drawn[0, 1000:4000], 300), (drawn[0, 4600:8000], 520)):
        spectrum = torch.fft.rfft(part * torch.hann_window(len(part)), 8000).abs()
        assert float(spectrum.argmax()) == pytest.approx(pitch, rel=0.02)
        assert float(part.std()) == pytest.approx(0.3 / math.sqrt(2), rel=0.1)


def test_resumed_it_goes_on_with_the_same_loss(tmp_path) -> None:
    given = batch()

    def steps(made: Objective, optimizer: torch.optim.Optimizer, first: int, last: int) -> list[float]:
        losses = []
        for step in range(first, last):
            (update,) = made.updates(given, step, torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            update.total().backward()
            optimizer.step()
            losses.append(float(update.total().detach()))
        return losses

    made = objective()
    made.initialise([given])
    optimizer = torch.optim.AdamW(made.parameters(), lr=1e-3)
    steps(made, optimizer, 0, 2)
    averaged = AveragedModel(made.model, 0.9)
    save_checkpoint(tmp_path, made, averaged, {"model": optimizer}, TrainingState(step=2))
    unbroken = steps(copy.deepcopy(made), optimizer, 2, 3) + steps(made, optimizer, 2, 4)
    again = objective()
    fresh = torch.optim.AdamW(again.parameters(), lr=1e-3)
    load_checkpoint(tmp_path / "step-00000002", again, AveragedModel(again.model, 0.9), {"model": fresh})
    assert steps(again, fresh, 2, 4) == unbroken[1:]
    assert unbroken[0] == unbroken[1]


def test_pictures_show_what_is_drawn_freely() -> None:
    found = objective().eval().pictures(batch(), torch.Generator().manual_seed(1))
    assert found["mel/copy"].shape == found["mel/recording"].shape == (40, 12)
    free = objective("model.mel=null", "model.standardize=false").eval()
    (drawn,) = free.pictures(batch(), torch.Generator().manual_seed(1)).values()
    assert drawn.shape[0] == 80
