"""`moksori say --script`: a dialogue and its cast."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moksori.errors import BadInput

if TYPE_CHECKING:
    from moksori.pipeline.dialogue import Cast
    from moksori.pipeline.sentences import Sentence
    from moksori.pipeline.speaker import SayOptions


def check_script_usage(
    script: Path | None, text: str | None, file: Path | None, ssml: bool | None, output: Path | None
) -> None:
    """Raises BadInput for options that contradict each other, before anything is loaded."""
    if script is None:
        raise BadInput("--cast: is for a dialogue: add --script FILE")
    for name, given in (("a text", text), ("--file", file), ("--ssml", ssml)):
        if given is not None:
            raise BadInput(f"--script {script}: {name} is given as well: give one of them")
    if output is None:
        raise BadInput(f"--script {script}: a dialogue is written to a file: name it with -o talk.wav")


def cast_of(
    path: Path, cast: Sequence[str], voice: str | None, options: "SayOptions"
) -> "tuple[Cast, Callable[[], Iterator[Sentence]]]":
    """The voices of a script, and what they say, to be read as often as asked."""
    from moksori.pipeline.dialogue import Cast, Script, parse_cast

    script = Script(path)
    voices = {role: spec for part in cast for role, spec in parse_cast(part, "--cast").items()}
    performers = Cast.of(script, voices, voice)
    languages = performers.languages(options)
    return performers, lambda: script.sentences(languages)
