"""What an evaluation in the voices of prompts is made of: some seconds of a person, and what else the person said.

The aligner of the corpus tells where words begin and end, so that a prompt is whole words, whose text is known, and
what is to be said is what the person says in another recording, or after the prompt where there is only one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from moksori.corpus.manifest import Corpus, read_utterance
from moksori.corpus.splits import order
from moksori.errors import CorpusError
from moksori.evaluation.speaker_sexes import speaker_sexes
from moksori.pipeline.aligner_judge import AlignerJudge
from moksori.pipeline.evaluate_material import held_out
from moksori.pipeline.speech_timings import Word
from moksori.types import Utterance, Waveform

PROMPT_SECONDS = (3.0, 5.0)
LEAST_SAID_SECONDS, LEAST_SAID_WORDS = 2.0, 3
"""Of what is to be said: shorter texts tell little."""
SENTENCES = 3
"""Of each person at most."""


@dataclass(frozen=True)
class Aligned:
    """A sound, and when in it each word is heard."""

    sound: Waveform
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True)
class Clone:
    """A text that is to be said in the voice of a prompt. recording: the person says it. place: its number, for seeds.

    utterance: with that text, for the aligner; its sound may hold more. seen: whether trainings heard the person.
    """

    place: int
    name: str
    sex: str
    prompt: Aligned
    recording: Aligned
    utterance: Utterance
    seen: bool


def clones(
    corpus: Corpus,
    split: str,
    aligner: AlignerJudge,
    limit: int | None,
    seconds: tuple[float, float] = PROMPT_SECONDS,
) -> list[Clone]:
    """Texts of the split's people whom no training heard, at most `limit`, and of the others, at most as many again.

    Who comes first is the order of lots. Recordings without text are left out, and those too short for a prompt.
    Raises CorpusError where nothing is left.
    """
    strangers = {u.speaker for u in held_out(corpus, split)}
    spoken: dict[str, list[Utterance]] = {}
    for utterance in corpus.split(split):
        if utterance.text:
            spoken.setdefault(utterance.speaker, []).append(utterance)
    found: list[Clone] = []
    for seen in (False, True):
        names = sorted((name for name in spoken if (name not in strangers) == seen), key=order)
        people = [_of_person(sorted(spoken[name], key=lambda u: order(u.name)), aligner, seconds) for name in names]
        for place, (prompt, recording, utterance) in enumerate(_in_turns(people)):
            if limit is not None and place >= limit:
                break
            sex = speaker_sexes().get(utterance.speaker, "")
            found.append(Clone(len(found), utterance.name, sex, prompt, recording, utterance, seen))
    if not found:
        raise CorpusError(
            f"{corpus.folder}: nobody in its split {split!r} says enough: a prompt takes {seconds[0]:g} to "
            f"{seconds[1]:g} s, and {LEAST_SAID_SECONDS:g} s more are to be said"
        )
    return found


_Said = tuple[Aligned, Aligned, Utterance]


def _in_turns(people: Sequence[Iterator[_Said]]) -> Iterator[_Said]:
    """Everybody's first, then everybody's second, ..."""
    waiting = list(people)
    while waiting:
        still = []
        for person in waiting:
            said = next(person, None)
            if said is not None:
                still.append(person)
                yield said
        waiting = still


def _of_person(clips: Sequence[Utterance], aligner: AlignerJudge, seconds: tuple[float, float]) -> Iterator[_Said]:
    """A prompt of the first clip that is long enough for one, and what the others say; of one clip alone, its rest."""
    for place, clip in enumerate(clips):
        whole = _aligned(aligner, clip)
        cut = _cut(whole, seconds, rest=len(clips) == 1)
        if cut is None:
            continue
        prompt, rest = cut
        if len(clips) == 1:
            if rest is not None:
                yield prompt, rest, replace(clip, text=rest.text)
            return
        others = [other for other in (*clips[place + 1 :], *clips[:place]) if other.text != clip.text]
        for other in others[:SENTENCES]:
            recording = _aligned(aligner, other)
            if _says_enough(recording):
                yield prompt, recording, other
        return


def _aligned(aligner: AlignerJudge, utterance: Utterance) -> Aligned:
    sound, words = aligner.timed(read_utterance(utterance), utterance)
    return Aligned(sound, tuple(word for word in words if word.phonemes))


def _says_enough(said: Aligned) -> bool:
    return said.sound.duration_seconds >= LEAST_SAID_SECONDS and len(said.words) >= LEAST_SAID_WORDS


def _cut(whole: Aligned, seconds: tuple[float, float], rest: bool) -> tuple[Aligned, Aligned | None] | None:
    """A recording in two at its longest pause within these seconds; as a whole where it is no longer and needs no rest.

    None where it is too short.
    """
    length, (least, most) = whole.sound.duration_seconds, seconds
    if not rest and least <= length <= most and whole.words:
        return whole, None
    found: tuple[float, float, int] | None = None
    for place, (before, after) in enumerate(pairwise(whole.words), start=1):
        middle = (before.end_seconds + after.start_seconds) / 2
        pause = (round(after.start_seconds - before.end_seconds, 3), middle, place)
        if least <= middle <= most and (found is None or pause > found):
            found = pause
    if found is None:
        return None
    _, middle, place = found
    rate = whole.sound.sample_rate
    at = round(middle * rate)
    first = Aligned(Waveform(whole.sound.samples[:at], rate), whole.words[:place])
    second = Aligned(
        Waveform(whole.sound.samples[at:], rate), tuple(_earlier(word, at / rate) for word in whole.words[place:])
    )
    return (first, second if _says_enough(second) else None) if rest else (first, None)


def _earlier(word: Word, seconds: float) -> Word:
    phonemes = tuple(
        replace(p, start_seconds=p.start_seconds - seconds, end_seconds=p.end_seconds - seconds) for p in word.phonemes
    )
    return replace(
        word, start_seconds=word.start_seconds - seconds, end_seconds=word.end_seconds - seconds, phonemes=phonemes
    )
