"""Checkpoints in the layout of Amphion's NaturalSpeech 2: read, computed as they compute, refused."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import restated_amphion as restated
import torch
from torch.testing import assert_close

from moksori.errors import CheckpointError
from moksori.models.checkpoint import load_model
from moksori.models.naturalspeech2 import Naturalspeech2
from moksori.models.naturalspeech2.interop.amphion import LAYOUT
from moksori.models.naturalspeech2.pitch import Pitch
from moksori.nn.masks import sequence_mask
from moksori.pipeline.import_model import import_model
from moksori.text.tokenizer import Tokenizer

SMALL = restated.Sizes(
    rows=92, hidden=12, heads=2, layers=2, filters=20, width=9, convolutions=4, every=3, bins=20, latent=6, tokens=5,
    steps=5, codebooks=2, entries=4,
)  # fmt: skip
TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}


def folder_of(path: Path, sizes: restated.Sizes = SMALL, **settings: int) -> Path:
    """A checkpoint as their trainer leaves it, with its JSON."""
    path.mkdir()
    torch.save(restated.drawn(sizes), path / "pytorch_model.bin")
    encoder = {"encoder_head": sizes.heads}
    described = {
        "model_type": "NaturalSpeech2",
        "model": {
            "prior_encoder": {"encoder": encoder, "duration_predictor": {"attn_head": sizes.heads},
                              "pitch_predictor": {"attn_head": sizes.heads}},
            "prompt_encoder": encoder, "query_emb": {"head_num": sizes.heads},
            "diffusion": {"wavenet": {"attn_head": sizes.heads, "dilation_cycle": 2}}, **settings,
        },
    }  # fmt: skip
    (path / "exp_config.json").write_text(json.dumps(described))
    return path


def test_the_published_sizes_are_those_of_the_published_checkpoint() -> None:
    assert len(restated.shapes(restated.Sizes())) == 1125


def test_an_imported_model_computes_what_theirs_computes(tmp_path: Path) -> None:
    made = import_model(folder_of(tmp_path / "theirs", inference_step=30), tmp_path / "ours")
    assert made.layout == "amphion"
    loaded = load_model(tmp_path / "ours")
    model, theirs = loaded.model, restated.Restated(restated.drawn(SMALL), SMALL)
    assert isinstance(model, Naturalspeech2)
    assert model.config.sampling.steps == 30
    draw = torch.Generator().manual_seed(1)
    latent, tokens = torch.randn(1, 6, 11, generator=draw), torch.randint(0, 89, (1, 7), generator=draw)
    durations, noised = torch.tensor([[2, 1, 0, 3, 1, 2, 4]]), torch.randn(1, 6, 13, generator=draw)
    with torch.no_grad():
        prompt = model.hear(latent, torch.tensor([11]))
        heard, queries = theirs.heard(latent[0].T)
        assert_close(prompt.states[0].T, heard, **TOLERANCE)
        assert_close(prompt.tokens[0].T, queries, **TOLERANCE)

        mask = sequence_mask(torch.tensor([7]))
        states = model.encode(tokens, torch.zeros_like(tokens), mask, prompt)
        encoded = theirs.encoded(tokens[0], heard)
        assert_close(states[0].T, encoded, **TOLERANCE)
        expected = theirs.predictor("prior_encoder.duration_predictor", encoded, heard)
        assert_close(model.log_durations(states, mask, prompt)[0], expected, **TOLERANCE)

        frames = sequence_mask(torch.tensor([13]))
        expanded = model.expanded(states, durations, frames)
        spread = encoded.repeat_interleave(durations[0], dim=0)
        log_f0, voicing = model.predicted_pitch(expanded, frames, prompt)
        assert voicing is None
        assert_close(log_f0[0], theirs.predictor("prior_encoder.pitch_predictor", spread, heard), **TOLERANCE)
        pitch = torch.linspace(3.5, 7.4, 13)
        condition = model.condition(expanded, Pitch(pitch[None], torch.ones(1, 13, dtype=torch.bool)), frames)
        assert_close(condition[0].T, theirs.pitched(spread, pitch), **TOLERANCE)

        for t in (0.05, 0.8):
            found = model.guess(noised, torch.tensor([t]), model.prepared(condition, prompt), frames)
            expected = theirs.guess(noised[0].T, t, condition[0].T, queries)
            assert_close(found[0].T, expected, **TOLERANCE)


def test_texts_are_rows_of_their_table(tmp_path: Path) -> None:
    """Units in CMUdict's order, a pause for a mark, nothing between words; unlisted words are said somehow."""
    read = LAYOUT.read
    assert read is not None
    found = read(folder_of(tmp_path / "theirs"))
    assert isinstance(found.model, Naturalspeech2)
    tokenizer = Tokenizer(found.manifest.text)
    tokens = tokenizer.encode("{HH AH0} {K AA1}, zq").tokens.tolist()
    assert tokens[:4] == [42, 9, 52, 2]
    table = found.model.phoneme_encoder.embedding.weight
    theirs = restated.drawn(SMALL)["prior_encoder.enc_emb_tokens.weight"]
    scale = found.model.phoneme_encoder.scale
    for token, row in zip(tokens[4:], (84, 82, 52, 84), strict=True):  # the mark, Z, K, the mark at the end
        assert_close(table[token] * scale, theirs[row])
    assert not found.model.sounding[[84, 85, 86, tokens[4]]].any()
    assert found.model.sounding[tokens[:4]].all()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    read = LAYOUT.read
    assert read is not None
    weights, folder = restated.drawn(SMALL), folder_of(tmp_path / "theirs")

    def refused(changed: dict[str, torch.Tensor], message: str) -> None:
        torch.save(changed, folder / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match=message):
            read(folder)

    net = "diffusion.diff_estimator"
    refused({name: t for name, t in weights.items() if "mlp.2.bias" not in name}, r"lacks 'diffusion.*mlp\.2\.bias'")
    refused({**weights, "extra.weight": torch.zeros(1)}, r"1 weights that are not known \(extra.weight")
    wrong = {**weights, f"{net}.skip_proj.weight": torch.zeros(12, 13, 1)}
    refused(wrong, r"what makes 'denoiser.skip.weight' has the shape \[12, 13, 1\]")
    refused({**weights, "prompt_lin.bias": torch.full((12,), torch.nan)}, "NaN or infinity")
    refused({"a": torch.zeros(1)}, "lacks 'prior_encoder")
    torch.save(["nothing"], folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds no table of weights"):
        read(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(print))
    with pytest.raises(CheckpointError, match="refused, it holds more than weights"):
        read(folder)
    few = folder_of(tmp_path / "few", replace(SMALL, rows=80))
    with pytest.raises(CheckpointError, match="has 80 symbols"):
        read(few)


def test_only_its_own_files_are_recognised(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "theirs")
    assert LAYOUT.recognises(folder)
    assert LAYOUT.recognises(folder / "pytorch_model.bin")
    assert not LAYOUT.recognises(tmp_path)
    (folder / "exp_config.json").write_text('{"model_type": "vits"}')
    assert not LAYOUT.recognises(folder)
