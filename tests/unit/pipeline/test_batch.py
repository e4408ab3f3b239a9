"""Lists of texts: a file each, the same bytes in whatever order and by whichever engine, and work that goes on."""

import random

import pytest

from moksori.audio.io import read_metadata
from moksori.cli.main import main
from moksori.errors import BadInput, MissingExtra, TextError, UnknownName
from moksori.pipeline.batch import read_list, speak_list
from moksori.pipeline.engines import engine

LIST = "name\ttext\tspeaker\tspeed\nfirst\tHello there.\t\t\nsecond\tGood bye.\tbob\t2\n\nthird\tAnd again.\t\t\n"


class Shuffled:
    """An engine that works off items in another order, each by a worker of its own."""

    def run(self, make_worker, items):
        for item in random.Random(1).sample(items, len(items)):
            yield item, make_worker()(item)


@pytest.fixture
def lines(tmp_path):
    def of(text=LIST):
        (tmp_path / "l.tsv").write_text(text, encoding="utf-8")
        return read_list(tmp_path / "l.tsv")

    return of


def test_lists(lines):
    found = lines()
    assert [(line.name, line.text, line.speaker, line.speed, line.line) for line in found] == [
        ("first", "Hello there.", None, None, 2),
        ("second", "Good bye.", "bob", 2.0, 3),
        ("third", "And again.", None, None, 5),
    ]
    assert [(line.name, line.text) for line in lines("a\tHello.\nb\tBye.")] == [("a", "Hello."), ("b", "Bye.")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("../a\tHello.", "file name"),
        ("a/b\tHello.", "file name"),
        ("a\tHello.\nA\tBye.", "twice"),
        ("a\t...", "nothing to say"),
        ("a", "cells"),
        ("name\ttext\twhat\na\tb\tc", "column 'what'"),
        ("name\ttext\tspeed\na\tb\tquick", "expected a number"),
        ("name\ttext\tspeed\na\tb\t1000", "speed"),
        ("name\ttext\tseed\na\tb\t-1", "seed"),
        ("name\ttext", "no line"),
    ],
)
def test_what_is_wrong_is_told(lines, text, said):
    with pytest.raises((BadInput, TextError), match=said):
        lines(text)


def spoken(lines, folder, voice, **options):
    return list(speak_list(lines, folder, voice=voice, form="wav", **options))


def test_the_bytes_do_not_depend_on_the_engine_or_the_order(lines, toy_folder, tmp_path):
    found = lines()
    made = spoken(found, tmp_path / "a", toy_folder, seed=7)
    assert [one.error for one in made] == [None] * 3
    spoken(found[::-1], tmp_path / "b", toy_folder, seed=7, engine=Shuffled())
    for line in found:
        first, second = (tmp_path / folder / f"{line.name}.wav" for folder in "ab")
        assert first.read_bytes() == second.read_bytes()
    assert len({one.seed for one in made}) == 3
    assert read_metadata(tmp_path / "a" / "first.wav")["seed"] == str(made[0].seed)


def test_it_goes_on_where_it_stopped(lines, toy_folder, tmp_path):
    work = speak_list(lines(), tmp_path / "a", voice=toy_folder, form="wav", seed=7)
    next(work)
    work.close()
    assert sorted(path.name for path in (tmp_path / "a").glob("*.wav")) == ["first.wav"]
    made = spoken(lines(), tmp_path / "a", toy_folder)  # the seed is the list's
    assert [one.resumed for one in made] == [True, False, False]
    changed = spoken(lines(LIST.replace("Good bye", "Good day")), tmp_path / "a", toy_folder)
    assert {one.line.name: one.resumed for one in changed} == {"first": True, "second": False, "third": True}
    (tmp_path / "a" / "first.wav").unlink()
    assert not spoken(lines(), tmp_path / "a", toy_folder)[-1].error
    assert not any(one.resumed for one in spoken(lines(), tmp_path / "a", toy_folder, seed=8))


def test_a_line_that_fails_does_not_stop_the_others(lines, toy_folder, tmp_path):
    made = spoken(lines(LIST.replace("bob", "carol")), tmp_path / "a", toy_folder, seed=1)
    assert [bool(one.error) for one in made] == [False, True, False]
    assert "carol" in made[1].error


def test_engines_have_names():
    with pytest.raises(UnknownName, match="ray"):
        engine("rai")


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"moksori\[scale\]"):
        engine("ray")


def test_the_verb(toy_home, tmp_path, capsys):
    (tmp_path / "l.tsv").write_text(LIST, encoding="utf-8")
    batch = ["say", "--batch", str(tmp_path / "l.tsv")]
    assert main([*batch, "-o", str(tmp_path / "a"), "--format", "opus", "--seed", "1", "--watermark"]) == 0
    assert "3 of 3 files" in capsys.readouterr().out
    assert read_metadata(tmp_path / "a" / "second.opus")["watermark"] == "moksori-1"
    for wrong in (["-o", str(tmp_path / "a.wav")], [], ["-o", str(tmp_path / "b"), "a text"]):
        assert main([*batch, *wrong]) == 2
    assert main(["say", "Hello.", "--engine", "ray", "-o", str(tmp_path / "c.wav")]) == 2
    (tmp_path / "l.tsv").write_text(LIST.replace("bob", "carol"), encoding="utf-8")
    assert main([*batch, "-o", str(tmp_path / "d")]) == 1
    assert "l.tsv:3: second" in capsys.readouterr().err


@pytest.mark.slow
def test_ray_gives_the_same_bytes(lines, tmp_path):
    """Takes a minute: on a Ray of this machine, with the bundled voice."""
    pytest.importorskip("ray.data", reason="the engine ray needs the package ray: pip install 'moksori[scale]'")
    found = lines("a\tHello there.\nb\tGood bye.")
    spoken(found, tmp_path / "local", None, seed=5)
    made = spoken(found, tmp_path / "ray", None, seed=5, engine=engine("ray"))
    assert [one.error for one in made] == [None] * 2
    for name in ("a.wav", "b.wav"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
