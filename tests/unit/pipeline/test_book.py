"""Audiobooks: the same bytes whether or not the work was interrupted, titles, several voices, nothing half written."""

import itertools

import pytest

from moksori.audio.io import read, read_metadata
from moksori.cli.main import main
from moksori.errors import BadInput, TextError, UnknownName
from moksori.pipeline import book as books
from moksori.pipeline import say
from moksori.pipeline.book_reading import plain_reading, reader, scripted
from moksori.pipeline.book_text import Book, Chapter, chapters_of
from moksori.pipeline.say_options import SayOptions

BOOK = Book(
    "A Book", [Chapter("One", "One\n\nFirst words. And more."), Chapter("Two: Night/Day", "Second words. Last.")], "Ann"
)


@pytest.fixture
def voice(toy_folder):
    return say.load(toy_folder)


@pytest.fixture
def write(voice, tmp_path):
    def written(book=BOOK, name="out", form="flac", **options):
        read = options.pop("read", None) or plain_reading(voice, SayOptions())
        return books.write_book(book, voice, read, tmp_path / name, form=form, **options)

    return written


def test_a_folder_of_chapters(write, tmp_path):
    done = write(seed=3)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["1 One.flac", "2 Two Night Day.flac", "book.m3u8"]
    tags = read_metadata(tmp_path / "out" / "2 Two Night Day.flac")
    wanted = {"title": "Two: Night/Day", "album": "A Book", "artist": "Ann", "tracknumber": "2", "synthetic": "true"}
    assert {name: tags[name] for name in wanted} == wanted
    lengths = [len(read(tmp_path / "out" / name).samples) / 8000 for name in names[:2]]
    assert sum(lengths) == pytest.approx(done.duration_seconds)
    assert (tmp_path / "out" / "book.m3u8").read_text().splitlines()[2] == names[0]
    assert not (tmp_path / "out.parts").exists()


def test_an_interrupted_book_goes_on_with_the_same_bytes(write, voice, tmp_path):
    write(name="whole", seed=5)
    plain = plain_reading(voice, SayOptions())
    calls = itertools.count()

    def interrupted(chapter):
        # Each chapter is read twice: to be checked, and to be spoken.
        for number, sentence in enumerate(plain(chapter)):
            if next(calls) == 9 and number:
                raise KeyboardInterrupt
            yield sentence

    with pytest.raises(KeyboardInterrupt):
        write(seed=5, read=interrupted)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.parts" / "001.flac").exists()
    done = write()  # the seed is that of the work
    assert (done.seed, done.resumed) == (5, 1)
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_a_chapter_that_changed_is_spoken_anew(write, voice, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(books, "_as_folder", full)
        with pytest.raises(OSError, match="No space"):
            write(seed=1)
    changed = Book("A Book", [BOOK.chapters[0], Chapter("Two", "Something else.")])
    assert write(changed).resumed == 1
    assert not (tmp_path / "out.parts").exists()


def test_other_settings_begin_anew(write, tmp_path, monkeypatch):
    monkeypatch.setattr(books, "_as_folder", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write(seed=1)
    monkeypatch.undo()
    done = write(seed=1, options=SayOptions(speed=2.0))
    assert done.resumed == 0


def test_a_script_speaks_with_several_voices(toy_folder, tmp_path):
    text = "cast: A = ann\n[chapter One]\nA: Hello there.\nBOB: Yes.\n[chapter Two]\nBob: No.\n[pause 1]\na: Why?\n"
    book = Book("Play", chapters_of(text, "Play", script=True))
    voice = say.load(toy_folder)
    cast, read = scripted(text, SayOptions(), None, voice)
    assert [[s.role for s in read(chapter)] for chapter in book.chapters] == [["A", "BOB"], ["BOB", "", "A"]]
    done = books.write_book(book, cast, read, tmp_path / "play", seed=1, form="wav")
    assert done.chapters == 2
    with pytest.raises(UnknownName, match="Carol"):
        scripted(text.replace("BOB", "Carol"), SayOptions(), None, voice)


def test_a_line_that_nobody_says_is_named_by_its_place(toy_folder):
    text = "[chapter One]\nAnn: Hello.\n[chapter Two]\nNobody's line.\nAnn: Yes.\n"
    voice = say.load(toy_folder)
    _, read = scripted(text, SayOptions(), None, voice)
    with pytest.raises(TextError, match=":4:"):
        list(read(chapters_of(text, "Play", script=True)[1]))


def test_outputs_that_cannot_be(write, tmp_path):
    (tmp_path / "there").mkdir()
    for name, said in (("a.wav", "suffix"), ("there", "exists already"), ("no/folder", "does not exist")):
        with pytest.raises(BadInput, match=said):
            write(name=name)
    (tmp_path / "busy.parts").mkdir()
    (tmp_path / "busy.parts" / "mine.txt").touch()
    with pytest.raises(BadInput, match="no unfinished book"):
        write(name="busy")
    assert (tmp_path / "busy.parts" / "mine.txt").exists()


def test_an_m4b_has_the_chapters_where_they_are_heard(write, tmp_path):
    pytest.importorskip("av", reason="m4b files need the package av: pip install 'moksori[book]'")
    from moksori.audio.m4b import open_mp4

    done = write(name="book.m4b", seed=3, watermark=True)
    found = open_mp4(tmp_path / "book.m4b")
    assert [title for title, _, _ in found.chapters] == ["One", "Two: Night/Day"]
    assert found.chapters[1][2] == pytest.approx(done.duration_seconds, abs=0.01)
    assert found.tags["album"] == "A Book"
    assert found.tags["watermark"] == "moksori-1"
    heard = sum(len(block) for block in found.blocks) / 8000
    assert heard == pytest.approx(done.duration_seconds, abs=0.15)


def test_another_language_is_told(toy_home):
    book = Book("B", [Chapter("B", "Hallo.")], language="de-AT")
    assert "'de-AT'" in reader(book, "b.txt", SayOptions()).notes[0]
    assert not reader(Book("B", [], language="en"), "b.txt", SayOptions()).notes


def test_the_verb(toy_home, tmp_path, capsys):
    source = tmp_path / "novel.txt"
    source.write_text("Chapter 1\n\nHello there.\n\nChapter 2\n\nGood bye.\n", encoding="utf-8")
    assert main(["book", str(source), "--list"]) == 0
    assert "Chapter 2  (4 words)" in capsys.readouterr().out
    assert main(["book", str(source), "-o", str(tmp_path / "novel"), "--format", "wav", "--seed", "1"]) == 0
    assert "in 2 chapters" in capsys.readouterr().out
    assert read_metadata(tmp_path / "novel" / "1 Chapter 1.wav")["album"] == "novel"
    for arguments in (["-o", str(tmp_path / "x.mp3")], [], ["--cast", "A=b", "-o", str(tmp_path / "y")]):
        assert main(["book", str(source), *arguments]) == 2
        assert "Traceback" not in capsys.readouterr().err
