"""Voices that are kept have ids, and outlast who kept them."""

import pytest
import torch

from moksori.errors import BadInput, UnknownName
from moksori.pipeline import kept_voices
from moksori.pipeline.kept_voices import KeptVoices, is_kept
from moksori.types import Voice

ANNA = Voice("dsvae", name="Anna", vector=torch.randn(8), front_end="mel", model="0123", consent="agreed")


def test_a_voice_is_there_for_others_and_later(tmp_path) -> None:
    here, elsewhere = KeptVoices(tmp_path / "voices"), KeptVoices(tmp_path / "voices")
    assert elsewhere.all() == []
    kept = here.add(ANNA)
    assert is_kept(kept.id)
    found = elsewhere.get(kept.id)
    assert (found.voice.name, found.voice.consent, found.created) == ("Anna", "agreed", kept.created)
    assert torch.equal(found.voice.vector, ANNA.vector)
    elsewhere.remove(kept.id)
    assert here.all() == []
    with pytest.raises(UnknownName):
        here.get(kept.id)


@pytest.mark.parametrize("name", ["", "voice_", "../voice_0123456789abcdef", "voice_0123456789abcdeg", "voice_0123*"])
def test_other_names_find_nothing(name, tmp_path) -> None:
    (tmp_path / "voice_0123456789abcdef.txt").write_text("x")
    with pytest.raises(UnknownName):
        KeptVoices(tmp_path).get(name)
    with pytest.raises(UnknownName):
        KeptVoices(tmp_path).remove(name)
    assert not is_kept(name)


def test_broken_and_strange_files_are_left_out(tmp_path, caplog) -> None:
    kept = KeptVoices(tmp_path).add(ANNA)
    (tmp_path / "voice_0000000000000000.voice").write_bytes(b"no voice")
    (tmp_path / "voice_strange.voice").write_bytes(b"no voice")
    assert [each.id for each in KeptVoices(tmp_path).all()] == [kept.id]
    assert "left out" in caplog.text


def test_there_are_only_so_many(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(kept_voices, "MOST_VOICES", 1)
    voices = KeptVoices(tmp_path)
    voices.add(ANNA)
    with pytest.raises(BadInput, match="delete some"):
        voices.add(ANNA)
