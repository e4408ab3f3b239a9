"""What `moksori corpus sing` says when it is done."""

from types import SimpleNamespace

import pytest

from moksori.cli.corpus_sing import _print


@pytest.mark.parametrize(
    ("short", "told"),
    [
        (["train: a", "train: b"], "asked for: train: a, train: b\n"),
        ([f"train: {n}" for n in range(200)], "train: 4, train: 5 and 194 more\n"),
    ],
)
def test_of_hundreds_who_say_too_little_some_are_named(
    short: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    info = SimpleNamespace(counts={"train": {"utterances": 3.0, "hours": 0.01}})
    _print(SimpleNamespace(styles={}, info=info, made=3, made_before=0, short=short))  # type: ignore[arg-type]
    assert capsys.readouterr().out.endswith(told)
