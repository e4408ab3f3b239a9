"""Flowtron in earnest on toys: its attention aligns within seconds, and a resumed run equals the unbroken one."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from moksori.audio.mel import MelConfig
from moksori.corpus.synthetic import synthetic_examples
from moksori.models.flowtron import Flowtron, FlowtronConfig, FlowtronObjective, FlowtronObjectiveConfig
from moksori.models.flowtron.objective import text_of
from moksori.nn.alignment import durations_to_path
from moksori.pipeline.batches import ExampleBatches, fixed_batches
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.training.loop import fit
from moksori.types import SpeechBatch

BANDS, SYMBOLS = 8, 12


class Unfolded(nn.Module):
    """Takes waveforms for mels, a frame after the other: toys need no sound."""

    def forward(self, waveform: Tensor) -> Tensor:
        return waveform.unflatten(1, (-1, BANDS)).transpose(1, 2)


def toy_batch(sounds: Tensor, items: int, seed: int) -> SpeechBatch:
    """Texts of 5 to 8 random symbols; each symbol is its own spectrum with some noise, for 2 to 5 frames."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(5, 9, (items,), generator=draw)
    tokens = torch.randint(0, SYMBOLS, (items, 8), generator=draw)
    durations = torch.randint(2, 6, (items, 8), generator=draw) * (torch.arange(8) < lengths[:, None])
    frames = durations.sum(dim=1)
    path = durations_to_path(durations, int(frames.max()))
    mel = sounds[tokens.gather(1, path)] + 0.3 * torch.randn(*path.shape, BANDS, generator=draw)
    return SpeechBatch(
        tuple(map(str, range(items))), mel.flatten(1), frames * BANDS, torch.zeros_like(lengths), tokens,
        torch.zeros_like(tokens), lengths, durations,
    )  # fmt: skip


def near(model: Flowtron, batch: SpeechBatch) -> list[float]:
    """Of each flow without prior: the share of frames whose first choice is within one token of the true one."""
    with torch.no_grad():
        memory = model.memory(text_of(batch))
        frames = batch.waveform_lengths // BANDS
        encoded = model.encode(model.mel(batch.waveform), frames, memory)
    assert batch.durations is not None
    path = durations_to_path(batch.durations, encoded.latent.shape[2])
    real = torch.arange(path.shape[1]) < frames[:, None]
    return [float(((a.argmax(dim=2) - path).abs() <= 1)[real].float().mean()) for a in encoded.attention]


def test_attention_aligns_on_both_flows() -> None:
    torch.manual_seed(0)
    mel = MelConfig(n_mels=BANDS, hop_length=BANDS, sample_rate=16000)
    model = Flowtron(
        FlowtronConfig.model_validate(
            {
                "mel": mel, "num_symbols": SYMBOLS, "speaker_channels": 0, "hidden_channels": 48,
                "attention_channels": 32, "num_decoder_layers": 1, "num_dense_layers": 1, "log_scale_limit": 6.0,
                "text_encoder": {"channels": 32, "num_layers": 1, "dropout": 0.0},
            }
        )
    )  # fmt: skip
    model.front_end = Unfolded()  # type: ignore[assignment]
    settings = {
        "alignment": "given", "blank_logit": -1.0, "forward_sum_weight": 0.1, "prior_hold_steps": 60,
        "prior_anneal_steps": 60, "frame_dropout": 0.15, "gate_trunk_from": None, "gate_positive_weight": 8.0,
    }  # fmt: skip
    objective = FlowtronObjective(model, FlowtronObjectiveConfig.model_validate(settings)).train()
    sounds = torch.randn(SYMBOLS, BANDS, generator=torch.Generator().manual_seed(1))
    held_out = toy_batch(sounds, 32, seed=10_000)
    before = near(model, held_out)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=5e-3)
    for step in range(180):
        update = next(objective.updates(toy_batch(sounds, 16, step), step, torch.Generator().manual_seed(step)))
        optimizer.zero_grad()
        update.total().backward()
        nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
    measures = objective.eval().validate(held_out)
    assert max(before) < 0.6
    assert min(near(model, held_out)) > 0.9
    assert float(measures["gate"]) < 0.5
    assert float(measures["flow_1/monotonic"]) > 0.9


def made(config: RunConfig, seed: int = 0) -> FlowtronObjective:
    torch.manual_seed(seed)
    return FlowtronObjective(Flowtron(config.model), config.objective)


def metrics(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds_per_step"} for line in lines]


def test_resumed_equals_unbroken_to_the_bit(tmp_path: Path) -> None:
    """Dropout, hidden frames, the prior while it is being annealed, averaged weights and metrics."""
    quiet = ("training.speak_every=0", "training.save_every=3", "training.device=cpu", "training.validate_every=3")
    steps = ("training.max_steps=6", "training.batch_size=2", "training.log_every=1", "objective.prior_hold_steps=1")
    config = run_config("flowtron/tiny", [*quiet, *steps])
    needs = config.family.needs(config.model, config.objective)
    examples = synthetic_examples(needs, 6, seed=0, text=config.model.text)
    batches = ExampleBatches(examples[:5], needs, 2, seed=3)
    validation = fixed_batches(examples[5:], needs, 2)
    unbroken, begun, resumed = made(config), made(config), made(config, seed=99)
    one = fit(unbroken, batches, validation, config.training, tmp_path / "whole")
    fit(begun, batches, validation, config.training, tmp_path / "parts", pause_at=3)
    two = fit(resumed, batches, validation, config.training, tmp_path / "parts")
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    for name, tensor in one.averaged.model.state_dict().items():
        assert torch.equal(tensor, two.averaged.model.state_dict()[name]), name
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")
