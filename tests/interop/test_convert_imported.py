"""Imported voices of several speakers convert between them; without a posterior they say why not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_vits import small
from test_import import COQUI, ENGLISH, coqui, official

from moksori.errors import UnsupportedTask
from moksori.models.vits import Vits
from moksori.pipeline.convert import find_converter
from moksori.pipeline.import_model import import_model
from moksori.pipeline.recordings import open_recording
from moksori.types import Waveform

RATE, HOP = 16000, 16
LAYOUTS = {"official": (official, ENGLISH), "coqui": (coqui, COQUI)}


def talk(frames: int = 500) -> Waveform:
    time = np.arange(frames * HOP) / RATE
    return Waveform((0.1 * np.sin(900 * time) * (1 + np.sin(9 * time))).astype(np.float32), RATE)


@torch.inference_mode()
def by_hand(model: Vits, waveform: torch.Tensor, source: int, target: int) -> torch.Tensor:
    """The four networks one after the other, as the appendix of the paper has it."""
    before, after = (model.condition(torch.tensor([index])) for index in (source, target))
    mask = torch.ones(1, 1, waveform.shape[1] // HOP, dtype=torch.bool)
    z_p = model.flow(model.posterior(model.spectrogram(waveform), mask, before).mean, mask, before)
    return model.decoder(model.flow.inverse(z_p, mask, after), None, after)[0, 0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_imported_voice_converts_as_its_networks_do(layout: str, tmp_path: Path) -> None:
    write, text = LAYOUTS[layout]
    model = small(speakers=3, text=text)
    import_model(write(tmp_path / "source", model), tmp_path / "voice")
    converter = find_converter(tmp_path / "voice", "")
    first, _, last = converter.speakers
    made = converter.convert(talk(), last, source=first, seed=1, variation=0.0)
    levelled = np.concatenate(list(open_recording(talk(), RATE).sound.blocks()))
    expected = by_hand(model, torch.from_numpy(levelled)[None], 0, 2)
    assert float(expected.abs().max()) > 1e-3
    np.testing.assert_allclose(made.samples, expected.numpy(), rtol=0, atol=1e-5)
    assert converter.convert(talk(), last, seed=1).source in converter.speakers


def test_without_a_posterior_it_only_speaks(tmp_path: Path) -> None:
    model = small(speakers=2, text=ENGLISH)
    import_model(official(tmp_path / "source", model, posterior=False, judges=False), tmp_path / "voice")
    with pytest.raises(UnsupportedTask, match="was imported without posterior_encoder, so it speaks but cannot listen"):
        find_converter(tmp_path / "voice", "0")
