"""Both networks of the aligner: the same contract, and boundaries that a corpus of tones knows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from moksori.corpus.collate import collate
from moksori.corpus.synthetic import synthetic_examples
from moksori.errors import ConfigError
from moksori.models.aligner import Aligner, AlignerObjective, ForwardSumAligner, MelStateAligner
from moksori.nn.alignment import AlignmentError
from moksori.pipeline.batches import ExampleBatches
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.text.symbols import GAP_ID, SYMBOL_IDS
from moksori.training.loop import fit
from moksori.types import Example, SpeechBatch, SpeechNeeds

NEEDS = SpeechNeeds(16000, 200, durations=True)
TINY = {"aligner/tiny": MelStateAligner, "aligner/forward_sum_tiny": ForwardSumAligner}


def configured(preset: str, *more: str) -> RunConfig:
    return run_config(preset, ["model.mel.sample_rate=16000", "model.mel.hop_length=200", "training.device=cpu", *more])


def built(config: RunConfig, seed: int = 0) -> Aligner:
    torch.manual_seed(seed)
    model = config.family.model(config.model)
    assert isinstance(model, Aligner)
    return model


def tones(count: int, seed: int = 0, speakers: int = 1) -> list[Example]:
    return synthetic_examples(NEEDS, count, seed, speakers=speakers)


def median_boundary_error(model: Aligner, examples: Sequence[Example]) -> float:
    """In frames, over the inner boundaries of all tokens."""
    errors = []
    for example in examples:
        assert example.durations is not None
        found = model.align(collate([example], NEEDS))[0].numpy()
        errors.append(np.abs(np.cumsum(found) - np.cumsum(example.durations))[:-1])
    return float(np.median(np.concatenate(errors)))


@pytest.mark.parametrize(("preset", "network"), TINY.items())
def test_configuration_chooses_the_network(preset: str, network: type[Aligner]) -> None:
    assert type(built(configured(preset))) is network


def test_an_override_of_the_kind_chooses_too_and_a_wrong_one_is_refused() -> None:
    assert type(built(configured("aligner/compact", "model.network={kind: forward_sum}"))) is ForwardSumAligner
    with pytest.raises(ConfigError, match="backwards"):
        configured("aligner/compact", "model.network={kind: backwards}")


def test_names_of_the_mel_state_weights_are_those_of_earlier_models() -> None:
    assert set(built(configured("aligner/tiny", "model.num_speakers=2")).state_dict()) == {
        "standardize.mean", "standardize.std", "embedding.weight", "stress_embedding.weight", "speaker_offset.weight",
        "convolutions.0.weight", "convolutions.0.bias", "convolutions.1.weight", "convolutions.1.bias",
        "norms.0.weight", "norms.0.bias", "norms.1.weight", "norms.1.bias", "to_mel.weight", "to_mel.bias",
    }  # fmt: skip


@pytest.mark.parametrize("preset", TINY)
def test_durations_fill_each_recording_and_no_token_is_empty(preset: str) -> None:
    model, examples = built(configured(preset)), tones(3)
    batch = collate(examples, NEEDS)
    durations = model.align(batch)
    torch.testing.assert_close(durations.sum(dim=1), batch.waveform_lengths // 200)
    assert batch.token_lengths is not None
    for row, count in zip(durations, batch.token_lengths.tolist(), strict=True):
        assert (row[:count] >= 1).all()
        assert (row[count:] == 0).all()
    assert model.misfit(batch).shape == (3,)
    assert (model.misfit(batch) > 0).all()


@pytest.mark.parametrize("preset", TINY)
def test_an_item_is_aligned_alike_alone_and_beside_a_longer_one(preset: str) -> None:
    config = configured(preset)
    model, examples = built(config), tones(6)
    shorter, longer = sorted(examples, key=lambda e: len(e.waveform))[:: len(examples) - 1]
    alone, both = collate([shorter], NEEDS), collate([shorter, longer], NEEDS)
    assert shorter.tokens is not None
    count = len(shorter.tokens)
    # The last frame's spectrum reaches over the end, into what collate pads, so a frame may change sides.
    assert int((model.align(alone)[0] - model.align(both)[0, :count]).abs().sum()) <= 2
    torch.testing.assert_close(model.misfit(alone)[0], model.misfit(both)[0], rtol=0.05, atol=0.0)


@pytest.mark.parametrize("preset", TINY)
def test_gradient_reaches_every_parameter(preset: str) -> None:
    config = configured(preset, "model.num_speakers=2")
    model = built(config)
    objective = config.family.objective(model, config.objective).train()
    batch = collate(tones(4, speakers=2), NEEDS)
    objective.initialise([batch])
    (update,) = objective.updates(batch, 10**6)
    update.total().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("preset", TINY)
def test_a_recording_shorter_than_its_text_is_refused(preset: str) -> None:
    model, example = built(configured(preset)), tones(1)[0]
    assert example.tokens is not None
    fewest = int(model.minimum_frames(torch.from_numpy(example.tokens)))
    assert fewest >= len(example.tokens)

    def cut(frames: int) -> SpeechBatch:
        samples = np.resize(example.waveform, frames * 200).astype(np.float32)
        short = Example(example.utterance, samples, 0, example.tokens, example.stress)
        return collate([short], SpeechNeeds(16000, 200))

    assert (model.align(cut(fewest)).sum(dim=1) == fewest).all()
    with pytest.raises(AlignmentError, match="too short"):
        model.align(cut(fewest - 1))


@pytest.mark.parametrize(
    ("preset", "settings", "frames"),
    [
        ("aligner/tiny", ["training.max_steps=150"], 2.0),
        ("aligner/forward_sum_tiny", ["training.max_steps=250", "objective.binarisation_start=120"], 4.0),
    ],
)
def test_it_learns_the_boundaries_of_tones(preset: str, settings: list[str], frames: float, tmp_path: Path) -> None:
    """Unheard tones of 4 to 7 frames a phone, from paths that were 18 and more frames off."""
    config = configured(preset, *settings, "training.save_every=1000", "training.validate_every=1000")
    model = built(config)
    objective = config.family.objective(model, config.objective)
    assert isinstance(objective, AlignerObjective)
    unheard = tones(8, seed=1)
    before = median_boundary_error(model, unheard)
    fit(objective, ExampleBatches(tones(32), NEEDS, 8, 0), [], config.training, tmp_path)
    after = median_boundary_error(model.eval(), unheard)
    assert before > 10.0
    assert after <= frames


def test_a_pause_may_sound_like_itself_or_like_the_silence_at_the_end() -> None:
    shared = built(configured("aligner/tiny"))
    own = built(configured("aligner/tiny", "model.network.shared_silence=false"))
    assert isinstance(shared, MelStateAligner)
    assert isinstance(own, MelStateAligner)
    example = tones(1)[0]
    batch = collate([example], NEEDS)
    states, mel = shared.states(batch), shared.mel(batch)
    assert example.tokens is not None
    gaps = np.isin(example.tokens, [GAP_ID, SYMBOL_IDS["."]])
    assert states.pause[0].tolist() == gaps[states.token[0].numpy()].tolist()
    assert states.pause.any()
    plain, with_silence = own.scores(own.states(batch), mel), shared.scores(states, mel)
    silence = plain[:, :, -1:]
    torch.testing.assert_close(with_silence, torch.where(states.pause, torch.maximum(plain, silence), plain))
    path = torch.full((1, mel.shape[2]), int(states.pause[0].int().argmax()))
    error = shared.path_error(states, mel, path)
    here, end = (
        own.path_error(own.states(batch), mel, p) for p in (path, torch.full_like(path, states.mel.shape[2] - 1))
    )
    torch.testing.assert_close(error, torch.minimum(here, end))


def test_forward_sum_draws_the_soft_alignment_to_its_path_after_the_start() -> None:
    config = configured("aligner/forward_sum_tiny")
    objective = config.family.objective(built(config), config.objective).train()
    batch = collate(tones(3), NEEDS)
    weights = [next(iter(objective.updates(batch, step))).weights["binarisation"] for step in (0, 19, 20, 24, 29, 500)]
    assert weights == pytest.approx([0.0, 0.0, 0.1, 0.5, 1.0, 1.0])
    terms = objective.validate(batch)
    torch.testing.assert_close(terms["total"], terms["forward_sum"] + terms["binarisation"])
    picture = objective.pictures(batch)["alignment"]
    torch.testing.assert_close(picture.sum(dim=0), torch.ones(picture.shape[1]))
