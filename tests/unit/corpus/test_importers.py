"""Every source layout, made small; and what is wrong with them."""

import pytest

from moksori.corpus import importers
from moksori.corpus.importers import detect
from moksori.errors import CorpusError, UnknownName


@pytest.fixture
def ljspeech(tmp_path, tone):
    folder = tmp_path / "LJSpeech-1.1"
    for index in range(3):
        tone(folder / "wavs" / f"LJ001-000{index}.wav", rate=22050)
    rows = [f"LJ001-000{index}|In 18{index}.|In eighteen hundred and {index}." for index in range(3)]
    rows += ["LJ001-0009|Gone.|Gone.", "LJ001-0010|two columns"]
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def vctk(tmp_path, tone):
    folder = tmp_path / "VCTK-Corpus"
    for speaker in ("p225", "p226"):
        for number in (1, 2):
            tone(folder / "wav48" / speaker / f"{speaker}_00{number}.wav")
            text = folder / "txt" / speaker / f"{speaker}_00{number}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(f"Please call Stella {number}.\n", encoding="utf-8")
    table = (
        "ID  AGE  GENDER  ACCENTS  REGION\n225  23  F    English    Southern England\n226  22  M    English    Surrey\n"
    )
    (folder / "speaker-info.txt").write_text(table, encoding="utf-8")
    return folder


@pytest.fixture
def libritts(tmp_path, tone):
    chapter = tmp_path / "LibriTTS" / "dev-clean" / "84" / "121123"
    names = [f"84_121123_00000{index}_000000" for index in range(3)]
    for name in names:
        tone(chapter / f"{name}.wav", rate=24000)
    lines = [f"{name}\tMr. X said {index}.\tMister X said {index}." for index, name in enumerate(names)]
    (chapter / "84_121123.trans.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (chapter / "84_121123.book.tsv").write_text(
        "\n".join(f"{n}\ta\tb\t0.0\t20.0" for n in names) + "\n", encoding="utf-8"
    )
    (tmp_path / "LibriTTS" / "SPEAKERS.txt").write_text("; ID|SEX\n84 | F | dev-clean | 8.0 | Name\n", encoding="utf-8")
    return tmp_path / "LibriTTS"


def test_csv_reads_rows_licence_and_drops_what_is_missing(csv_source):
    folder = csv_source(count=4)
    with (folder / "metadata.csv").open("a", encoding="utf-8") as stream:
        stream.write("gone|ann|No recording.|\nr1|ann|Again.|\nshort|ann\n../escape|ann|Out.|\n\n")
    assert detect(folder) == "csv"
    source = importers.read(None, folder)
    assert [row.name for row in source.rows] == ["r0", "r1", "r2", "r3"]
    assert source.rows[0].speaker == "bob"
    assert source.licence == "CC0 1.0"
    reasons = {row.name: row.reason for row in source.dropped}
    assert "line 6: no recording gone (.flac, .ogg, .opus, .wav or .mp3)" in reasons["gone"]
    assert "duplicate id" in reasons["r1"]
    assert "2 columns, need 3" in reasons["short"]
    assert "no recording" in reasons["../escape"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"r0|bob|Text without a header.\n", "header"),
        (b"id|text\nr0|Hello.\n", "lacks speaker"),
        ("id|speaker|text\nr0|bob|Gr\u00fc\u00dfe\n".encode("latin-1"), "not UTF-8"),
        (b"id|speaker|text\n", "no usable recording"),
    ],
)
def test_bad_csv_metadata_is_named(csv_source, content, message):
    folder = csv_source(count=1)
    (folder / "metadata.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        importers.read("csv", folder)


def test_folder_form_takes_subfolders_as_speakers(tmp_path, tone):
    folder = tmp_path / "talks"
    for name in ("ann/one", "bob/one", "bob/two"):
        tone(folder / f"{name}.wav")
    (folder / "ann/one.txt").write_text("Hello\n there.\n", encoding="utf-8")
    (folder / "bob/one.txt").write_text("Bye.", encoding="utf-8")
    assert detect(folder) == "folder"
    source = importers.read(None, folder)
    assert [(row.name, row.speaker, row.text) for row in source.rows] == [
        ("ann/one", "ann", "Hello there."),
        ("bob/one", "bob", "Bye."),
    ]
    assert [row.name for row in source.dropped] == ["bob/two"]


def test_ljspeech_through_lhotse_with_a_broken_recording(ljspeech):
    (ljspeech / "wavs" / "LJ001-0001.wav").write_bytes(b"not a wav")
    assert detect(ljspeech) == "ljspeech"
    source = importers.read(None, ljspeech)
    assert [(row.name, row.text) for row in source.rows] == [
        ("LJ001-0000", "In eighteen hundred and 0."),
        ("LJ001-0002", "In eighteen hundred and 2."),
    ]
    assert source.rows[0].audio == (ljspeech / "wavs" / "LJ001-0000.wav").resolve()
    assert {row.name for row in source.dropped} == {"LJ001-0001", "LJ001-0009", "LJ001-0010"}


def test_vctk_through_lhotse_with_a_missing_recording(vctk):
    (vctk / "wav48" / "p226" / "p226_002.wav").unlink()
    assert detect(vctk) == "vctk"
    source = importers.read(None, vctk)
    assert [(row.name, row.speaker, row.sex) for row in source.rows] == [
        ("p225_001", "p225", "F"),
        ("p225_002", "p225", "F"),
        ("p226_001", "p226", "M"),
    ]
    assert source.rows[0].text == "Please call Stella 1."
    assert [row.name for row in source.dropped] == ["p226_002"]


def test_libritts_through_lhotse(libritts):
    assert detect(libritts) == "libritts"
    source = importers.read(None, libritts)
    assert [row.text for row in source.rows] == [f"Mister X said {index}." for index in range(3)]
    assert {row.speaker for row in source.rows} == {"84"}
    assert source.rows[0].audio.is_file()


def test_a_recipe_that_fails_says_whose_corpus(libritts):
    next(libritts.rglob("*.book.tsv")).unlink()
    with pytest.raises(CorpusError, match="Lhotse's recipe for LibriTTS"):
        importers.read("libritts", libritts)


def test_unknown_things_are_named(tmp_path):
    with pytest.raises(UnknownName, match="ljspeech"):
        importers.read("ljspech", tmp_path)
    with pytest.raises(CorpusError, match="no such folder"):
        importers.read(None, tmp_path / "missing")
    with pytest.raises(CorpusError, match="no known corpus form"):
        importers.read(None, tmp_path)
    with pytest.raises(CorpusError, match="no recordings"):
        importers.read("folder", tmp_path)
