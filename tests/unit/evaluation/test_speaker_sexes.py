"""The tracked table of speakers: what the recordings' own tables say."""

from importlib import resources

import pytest

from moksori.errors import CorpusError
from moksori.evaluation.speaker_sexes import main, make_table, speaker_sexes


def test_the_held_out_speakers_are_half_women_and_half_men():
    from moksori.corpus.splits import split_list

    held_out = split_list("librispeech-many").speakers
    sexes = [speaker_sexes()[name] for name in held_out]
    assert (sexes.count("F"), sexes.count("M")) == (16, 16)
    assert [speaker_sexes()[name] for name in ("p225", "p226", "p227", "p228", "LJ")] == ["F", "M", "M", "F", "F"]
    assert "crazy" not in speaker_sexes()


@pytest.mark.data
def test_the_command_makes_the_tracked_table(recordings):
    tracked = (resources.files("moksori") / "evaluation" / "speakers.tsv").read_text(encoding="utf-8")
    assert make_table(recordings) == tracked


def test_a_folder_without_the_column_is_named(tmp_path, capsys):
    with pytest.raises(CorpusError, match="columns speaker and sex"):
        make_table(tmp_path)
    (tmp_path / "librispeech-many").mkdir()
    (tmp_path / "librispeech-many" / "metadata.csv").write_text("id|speaker|text\na|b|c\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="columns speaker and sex"):
        make_table(tmp_path)
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
