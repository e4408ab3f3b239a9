"""Dialogues: scripts of `name: text`, and a cast of voices that speaks them at one sample rate.

# Comments and blank lines are free; a blank line makes the longer pause of a paragraph.
cast: Anna = kathleen, Bob = my-voices:bob
Anna: Did you hear that?
  A line that is indented, or has no name in front, goes on with what she says.
[pause 1.5]
Bob: I did: it came from outside.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np
from jaxtyping import Float

from moksori.audio.resample import resample
from moksori.errors import BadInput, TextError, UnknownName, unknown_name
from moksori.pipeline.models import find_model
from moksori.pipeline.performer import check_length, check_texts, collected
from moksori.pipeline.say import load
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.seeds import chosen_seed
from moksori.pipeline.sentences import Gap, Piece, Sentence, sentences
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.speech import Speech
from moksori.types import Waveform

MAXIMUM_PAUSE_SECONDS = 60.0
_LINE_CHARACTERS = 2**16
_NAMED = re.compile(r"([^\s:\[#][^:.,;!?\"()\[\]]{0,39}?)\s*:(?:\s+|$)(.*)", re.DOTALL)
_PAUSE = re.compile(r"\[\s*pause\s+([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*s?\s*\]", re.IGNORECASE)
_BROKEN_PAUSE = re.compile(r"\[\s*pause\b[^\]]*\]?", re.IGNORECASE)
_HEADER = "cast"


@dataclass(frozen=True)
class Turn:
    """What one role says in one go; `pause_seconds` instead, where the script asks for silence.

    line: of the script where it starts, from 1. ends_paragraph: a blank line follows.
    """

    role: str
    text: str
    line: int
    ends_paragraph: bool = False
    pause_seconds: float | None = None


class Script:
    """A dialogue that can be read again and again: a string, or a UTF-8 file (a Path) of any length.

    roles: who speaks, in order of appearance, with the line where they first do. header: role -> voice, as the script's
    own `cast:` lines name them. Upper and lower case do not tell roles apart.
    Raises TextError, with the line's number, for what cannot be read, and BadInput for what is neither.
    """

    def __init__(self, source: str | Path) -> None:
        if not isinstance(source, str | Path):
            raise BadInput(f"script: expected its text or a file's Path, found {type(source).__name__}: give one")
        self.source = source
        self.where = str(source) if isinstance(source, Path) else "script"
        self.header: dict[str, str] = {}
        self.roles: dict[str, int] = {}
        self._spelled: dict[str, str] = {}
        """Role in lower case -> as it is first written."""
        for turn in self.turns():
            if turn.role:
                self.roles.setdefault(turn.role, turn.line)
        if not self.roles:
            raise TextError(f"{self.where}: nobody speaks in it: write lines such as 'Anna: Hello.'")

    def turns(self) -> Iterator[Turn]:
        """Turn after turn, read as they are asked for."""
        try:
            with io.StringIO(self.source) if isinstance(self.source, str) else self._opened(self.source) as file:
                yield from self._read(file)
        except UnicodeDecodeError as error:
            raise TextError(f"{self.where}: no UTF-8 text: convert it (iconv -t utf-8)") from error

    def sentences(self, languages: Mapping[str, str]) -> Iterator[Sentence]:
        """The sentences of all turns with their roles; languages: of each role, decides where sentences end."""
        for turn in self.turns():
            if turn.pause_seconds is not None:
                yield Sentence("", pause_seconds=turn.pause_seconds)
                continue
            found = sentences(" ".join(turn.text.split()), languages[turn.role])
            previous: Sentence | None = None
            for sentence in found:
                if previous is not None:
                    yield previous
                previous = replace(sentence, role=turn.role, ends_paragraph=False)
            if previous is not None:
                yield replace(previous, ends_paragraph=turn.ends_paragraph)

    def _opened(self, path: Path) -> TextIO:
        try:
            return path.open(encoding="utf-8-sig")
        except OSError as error:
            raise TextError(
                f"{path}: cannot be read: {(error.strerror or str(error)).lower()}: check the name"
            ) from error

    def _read(self, file: TextIO) -> Iterator[Turn]:
        role, start, said = "", 0, list[str]()
        for number, line in enumerate(iter(lambda: file.readline(_LINE_CHARACTERS), ""), start=1):
            bare = line.strip()
            if bare.startswith("#"):
                continue
            pause = _PAUSE.fullmatch(bare)
            named = None if line[0].isspace() else _NAMED.fullmatch(bare)
            if pause is None and _BROKEN_PAUSE.fullmatch(bare):
                raise TextError(
                    f"{self.where}:{number}: {bare[:40]!r}: expected seconds in brackets, such as [pause 1.5]"
                )
            if bare and pause is None and named is None:
                if not role:
                    raise TextError(f"{self.where}:{number}: {bare[:40]!r}: nobody says this: begin it with 'NAME: '")
                start = start if said else number
                said.append(bare)
                continue
            if said:  # whatever comes now, what was being said is over
                yield Turn(role, " ".join(said), start, ends_paragraph=not bare)
                said = []
            if pause is not None:
                yield Turn("", "", number, pause_seconds=self._pause(pause[1], number))
            elif named is not None and named[1].casefold() == _HEADER:
                self.header.update(parse_cast(named[2], f"{self.where}:{number}"))
            elif named is not None:
                role = self._spelled.setdefault(named[1].casefold(), named[1])
                start, said = number, [named[2]] if named[2] else []
        if said:
            yield Turn(role, " ".join(said), start, ends_paragraph=True)

    def _pause(self, seconds: str, number: int) -> float:
        if float(seconds) > MAXIMUM_PAUSE_SECONDS:
            raise TextError(f"{self.where}:{number}: pause {seconds}: at most {MAXIMUM_PAUSE_SECONDS:g} seconds")
        return float(seconds)


def parse_cast(text: str, where: str = "cast") -> dict[str, str]:
    """`Anna=kathleen, Bob=DIR:speaker` as role -> voice; raises BadInput for a part without a role or a voice."""
    found: dict[str, str] = {}
    for part in text.split(","):
        role, equals, voice = (piece.strip() for piece in part.partition("="))
        if not (role and equals and voice):
            raise BadInput(f"{where}: {part.strip()[:40]!r}: expected NAME=VOICE or NAME=VOICE:SPEAKER, commas between")
        found[role] = voice
    return found


@dataclass(frozen=True)
class Member:
    """The voice of one role; name: a speaker of its model, None is the first."""

    speaker: Speaker
    name: str | None = None


Voices = Mapping[str, str | Path | Speaker]
"""Role -> a model's name or folder, `MODEL:SPEAKER`, a speaker of the default voice, or a loaded voice."""


class Cast:
    """Voices that speak a script together, at the highest of their sample rates; it speaks as a Speaker does."""

    def __init__(self, members: Mapping[str, Member]) -> None:
        self.members = dict(members)
        self.sample_rate = max(member.speaker.sample_rate for member in self.members.values())
        self.name = " + ".join(dict.fromkeys(member.speaker.name for member in self.members.values()))

    @classmethod
    def of(cls, script: Script, voices: Voices | None = None, voice: str | Path | Speaker | None = None) -> Self:
        """A voice for each role: as `voices` says, else the script's header, else the speaker of that name in `voice`.

        Raises UnknownName, with the nearest names and the line, for a role without a voice and a voice without a role.
        """
        given = {role.casefold(): spec for role, spec in (voices or {}).items()}
        spoken = {role.casefold() for role in script.roles}
        for role in voices or {}:
            if role.casefold() not in spoken:
                raise UnknownName(f"the cast has {unknown_name('role', role, script.roles)}")
        specs: Voices = {**{role.casefold(): spec for role, spec in script.header.items()}, **given}
        finder = _Finder(voice)
        return cls({role: finder.member(role, specs, script) for role in script.roles})

    @property
    def identity(self) -> dict[str, object]:
        """What decides how it sounds, the options aside."""
        members = {role: {**m.speaker.identity, "speaker": m.name} for role, m in self.members.items()}
        return {"model": self.name, "cast": members}

    def languages(self, options: SayOptions) -> dict[str, str]:
        """What each role speaks."""
        return {r: options.language or m.speaker.language_of(m.name) for r, m in self.members.items()}

    def silence(self, seconds: float) -> Float[np.ndarray, " samples"]:
        """Zeros."""
        return np.zeros(round(seconds * self.sample_rate), np.float32)

    def check(self, texts: Iterable[Sentence], options: SayOptions | None = None) -> int:
        """Reads a script's sentences through before anything is spoken, as `Speaker.check` does."""
        options = options or SayOptions()
        own = {role: self._options(role, options) for role in self.members}
        for role, member in self.members.items():
            member.speaker.check([], replace(own[role], durations=None))

        def check_one(number: int, sentence: Sentence) -> bool:
            if not sentence.role:
                return False
            return self.members[sentence.role].speaker.check_sentence(number, sentence, own[sentence.role])

        return check_texts(texts, check_one, options.durations)

    def pieces(
        self,
        texts: Iterable[Sentence],
        options: SayOptions,
        seed: int,
        first: int = 0,
        gap: Gap = Gap(),
        told: set[str] | None = None,
    ) -> Iterator[Piece]:
        """Sentence after sentence, each in the voice of its role; see `Speaker.pieces`."""
        told = set() if told is None else told
        own = {role: self._options(role, options) for role in self.members}
        for number, sentence in enumerate(texts, start=first):
            piece = Piece(number, sentence, np.zeros(0, np.float32), None)
            if sentence.role:
                speaker = self.members[sentence.role].speaker
                for piece in speaker.pieces([sentence], own[sentence.role], seed, number, gap, told):
                    piece = self._at_own_rate(piece, speaker, gap.seconds(options.pause))
            yield piece
            gap = gap.after(piece)

    def _options(self, role: str, options: SayOptions) -> SayOptions:
        if options.speaker is not None:
            raise BadInput(f"speaker {options.speaker!r}: in a dialogue the cast tells who speaks: leave it out")
        return replace(options, speaker=self.members[role].name)

    def _at_own_rate(self, piece: Piece, speaker: Speaker, silence: float) -> Piece:
        if speaker.sample_rate == self.sample_rate or piece.timing is None:
            return piece
        before = self.silence(silence)
        spoken = Waveform(piece.samples[len(speaker.silence(silence)) :], speaker.sample_rate)
        samples = np.concatenate([before, np.clip(resample(spoken, self.sample_rate).samples, -1.0, 1.0)])
        timing = replace(piece.timing, start_seconds=len(before) / self.sample_rate)
        return replace(piece, samples=samples, timing=timing)


class _Finder:
    """Finds the voices of roles; loads each model once, the default one where it is needed."""

    def __init__(self, voice: str | Path | Speaker | None) -> None:
        self._voice = voice
        self._loaded: dict[Path, Speaker] = {}

    def member(self, role: str, specs: Voices, script: Script) -> Member:
        spec = specs.get(role.casefold())
        if isinstance(spec, Speaker):
            return Member(spec)
        if spec is None:
            default = self._default()
            for name in default.speakers:
                if name.casefold() == role.casefold():
                    return Member(default, name)
            error = unknown_name("role", role, [*default.speakers, *script.header])
            raise UnknownName(
                f"{script.where}:{script.roles[role]}: {error} (speakers of {default.name}); "
                f"or give the role a voice: --cast '{role}=VOICE'"
            )
        if self._voice is not None and str(spec) in self._default().speakers:
            return Member(self._default(), str(spec))
        model, colon, name = str(spec).rpartition(":")
        if not colon or Path(spec).exists():
            return Member(self._load(spec))
        speaker = self._load(model)
        if name not in speaker.speakers:
            raise unknown_name(f"speaker of {speaker.name}", name, speaker.speakers)
        return Member(speaker, name)

    def _default(self) -> Speaker:
        return self._voice if isinstance(self._voice, Speaker) else self._load(self._voice)

    def _load(self, name: str | Path | None) -> Speaker:
        folder = find_model(name)
        if folder not in self._loaded:
            self._loaded[folder] = load(folder)
        return self._loaded[folder]


def dialogue(
    script: str | Path,
    cast: Voices | None = None,
    voice: str | Path | Speaker | None = None,
    seed: int | None = None,
    **options: Any,
) -> Speech:
    """A script as speech, each line in the voice of its role; its timings name who speaks.

    script: lines of `name: text`, a string or a file's Path. cast: role -> voice. voice: the model whose speakers stand
    for roles of their names. options: those of `SayOptions` for all voices, such as speed=1.1.
    Raises BadInput for a script that is no text, UnknownName for a role without a voice, TextError for a script that
    cannot be read or is longer than is spoken in memory (`say.speak_to_file` takes a Cast too).
    """
    read = Script(script)
    text = " ".join(turn.text for turn in read.turns())
    check_length(text)
    chosen, performers = SayOptions(**options), Cast.of(read, cast, voice)
    texts = list(read.sentences(performers.languages(chosen)))
    return collected(performers, texts, chosen, chosen_seed(seed), text)
