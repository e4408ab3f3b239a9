"""The hard list: which words a voice skips, says twice or never reaches, by a recogniser that knows the list."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from moksori.errors import BadInput, UnsupportedTask
from moksori.evaluation import recognisers
from moksori.evaluation.hard_sentences import HardSentence, count_slips, hard_sentences
from moksori.evaluation.intelligibility import LEVEL_LUFS
from moksori.evaluation.memory import Memory
from moksori.evaluation.names import NOISE, OWN_OTHER_TEXTS
from moksori.evaluation.report import Group, Picture, Report, environment
from moksori.evaluation.score import (
    Item,
    Judges,
    SystemScores,
    noise_like,
    score_system,
    summarise,
    with_other_texts,
)
from moksori.models.checkpoint import count_parameters, fingerprint
from moksori.pipeline.enrolment import Like
from moksori.pipeline.evaluate_settings import PICTURED
from moksori.pipeline.evaluation_run import NOISE_SENTENCES, Steps
from moksori.pipeline.models import unknown_speaker
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.prompted_voice import PromptedVoice
from moksori.pipeline.seeds import sentence_generator
from moksori.pipeline.speaker import Speaker
from moksori.types import SpokenFlags, Voice, Waveform

TASK = "hard"
HARD = ("words", "opinion")
CORPUS, SPLIT = "sentences", "english"
"""What stands in the report where other tasks have a corpus and its split."""


@dataclass(frozen=True)
class _Said:
    """A sentence of the list, spoken. flags: of the model, where it has some."""

    sentence: HardSentence
    item: Item
    flags: SpokenFlags | None


def evaluate_hard(
    speaker: Speaker,
    limit: int | None = None,
    seed: int = 0,
    *,
    voice: str | None = None,
    variation: float | None = None,
    threads: int = 1,
    workers: int = 1,
    measures: Sequence[str] | None = None,
    recogniser: str = recognisers.DEFAULT,
    memory: Path | None = None,
    like: Sequence[Like] = (),
    progress: Progress = no_progress,
) -> Report:
    """Says the 50 sentences of the list and counts what was skipped, repeated and cut off; groups are their kinds.

    limit: only the first so many of each kind; the recogniser's language model is of all even then. voice: a speaker
    of the model, the first English one if not given. measures: some of HARD. like: recordings and `.voice` files of who
    is to say them, for models that imitate. All else: see `evaluate`.
    Raises BadInput for a voice or measures that do not fit, UnsupportedTask for somebody to imitate where the model
    imitates nobody, MissingExtra without the packages of [evaluate].
    """
    chosen = tuple(HARD if measures is None else measures)
    for name in chosen:
        if name not in HARD:
            raise BadInput(f"measure {name!r}: the task {TASK!r} has {', '.join(HARD)}")
    if "words" not in chosen:
        raise BadInput(f"the task {TASK!r} counts words: leave the measure 'words' in")
    named = _voice(speaker, voice)
    imitated = _imitated(speaker, like)
    listed = [s for kind in dict.fromkeys(s.kind for s in hard_sentences()) for s in _of_kind(kind)[:limit]]
    texts = [s.text for s in hard_sentences()]
    judges = Judges(texts, chosen, threads, recogniser_name=recogniser, memory=Memory(memory))
    for group in chosen:
        judges.load(group)
    here, steps = environment(threads), Steps(progress)
    steps.total = 2 * len(listed) + min(NOISE_SENTENCES, len(listed))
    said = _say(speaker, named, listed, seed, variation, imitated, steps.part())
    scored = score_system(
        speaker.name, [s.item for s in said], judges, workers=workers, seed=seed, progress=steps.part()
    )
    scored, notes = _with_slips(scored, said, seed)
    controls = _controls(scored, said, judges, seed, workers, steps.part())
    noted = [*notes, *_warnings(controls)]
    groups = tuple(_group(kind, scored, controls, said, seed) for kind in dict.fromkeys(s.kind for s in listed))
    return Report(
        model=speaker.name,
        model_hash=fingerprint(speaker.loaded.folder),
        corpus=CORPUS,
        split=SPLIT,
        language="en-us",
        seed=seed,
        level_lufs=LEVEL_LUFS,
        groups=groups,
        environment=here,
        language_model=judges.recogniser.description,
        left_out=dict(judges.recogniser.left_out),
        notes=tuple(noted),
        pictures=_pictures(scored, said),
        task=TASK,
        recogniser=judges.recogniser.name,
        material="hard sentences, of which nothing else than skipping, repeating and stopping too early is asked"
        + ("" if imitated is None else f", in the voice of {imitated.name}"),
        parameters=count_parameters(speaker.loaded.folder),
    )


def _of_kind(kind: str) -> list[HardSentence]:
    return [sentence for sentence in hard_sentences() if sentence.kind == kind]


def _voice(speaker: Speaker, wanted: str | None) -> str:
    """Who speaks: `wanted`, or the first whose language is English."""
    if wanted is not None and wanted not in speaker.speakers:
        raise unknown_speaker(wanted, speaker.speakers)
    for name in speaker.speakers if wanted is None else (wanted,):
        if speaker.language_of(name if name in speaker.manifest.speakers else None).lower().startswith("en"):
            return name
    whose = f"{wanted!r} is not" if wanted is not None else f"none of {', '.join(speaker.speakers)} is"
    raise UnsupportedTask(f"{speaker.name}: the hard list and its recogniser are English, and {whose}")


def _imitated(speaker: Speaker, like: Sequence[Like]) -> Voice | None:
    """Who is to be imitated, heard once; None for a model that has voices of its own."""
    if like:
        return speaker.enroll(list(like))
    if isinstance(speaker.model, PromptedVoice):
        raise BadInput(f"{speaker.name}: speaks in the voice of a recording: give one, --like prompt.wav")
    return None


def _say(
    speaker: Speaker,
    voice: str,
    listed: Sequence[HardSentence],
    seed: int,
    variation: float | None,
    imitated: Voice | None,
    progress: Progress,
) -> list[_Said]:
    named = voice if imitated is None and voice in speaker.manifest.speakers else None  # a prompt says who speaks
    say = partial(
        speaker.say, variation=variation, pause=0.0, speaker=named, like=imitated, language=speaker.language_of(voice)
    )
    say(listed[0].text, seed=seed)  # loading is not timed
    found: list[_Said] = []
    for place, sentence in enumerate(listed):
        own_seed = sentence_generator(seed, place).initial_seed()
        started = time.perf_counter()
        speech = say(sentence.text, seed=own_seed)
        seconds = time.perf_counter() - started
        name = f"{sentence.kind} {sum(s.sentence.kind == sentence.kind for s in found) + 1}"
        flags = speech.sentences[0].flags if speech.sentences else None
        item = Item(name, sentence.text, speech.waveform, speech.waveform, seconds)
        found.append(_Said(sentence, item, flags))
        progress(len(found), len(listed))
    return found


def _with_slips(scored: SystemScores, said: Sequence[_Said], seed: int) -> tuple[SystemScores, list[str]]:
    """The scores with what went wrong in each sentence, and that in words."""
    items, notes = [], []
    for item, spoken in zip(scored.items, said, strict=True):
        if item.heard is None:
            items.append(item)
            continue
        slips = count_slips(item.text, item.heard)
        values = {**item.values, **slips.values}
        if spoken.flags is not None:
            values |= {"truncated": float(spoken.flags.truncated), "coverage": spoken.flags.coverage}
        items.append(replace(item, values=values))
        if not slips.clean:
            notes.append(f"{item.name}, {_beginning(item.text)}: {slips}")
    return SystemScores(scored.name, summarise(items, seed), tuple(items)), notes


def _controls(
    scored: SystemScores, said: Sequence[_Said], judges: Judges, seed: int, workers: int, progress: Progress
) -> list[SystemScores]:
    """What must fail: the same sounds against other sentences of the list, and noise."""
    words = judges.only(["words"])
    noise = [
        replace(s.item, waveform=noise_like(s.item.waveform, seed, place), compute_seconds=float("nan"))
        for place, s in enumerate(said[:NOISE_SENTENCES])
    ]
    return [
        with_other_texts(OWN_OTHER_TEXTS, scored, judges, seed),
        score_system(NOISE, noise, words, workers=workers, seed=seed, note="must be above 90 % WER", progress=progress),
    ]


def _warnings(controls: Sequence[SystemScores]) -> list[str]:
    found = []
    for control, least in zip(controls, (0.8, 0.9), strict=True):
        if (rate := control.measures.get("wer")) is not None and rate.value <= least:
            found.append(
                f"WARNING: the control {control.name!r} has {100 * rate.value:.1f} % word errors instead of more than "
                f"{100 * least:.0f} %: the recogniser guesses, do not rely on these counts"
            )
    return found


def _group(
    kind: str, scored: SystemScores, controls: Sequence[SystemScores], said: Sequence[_Said], seed: int
) -> Group:
    names = {s.item.name for s in said if s.sentence.kind == kind}
    systems = []
    for system in (scored, *controls):
        items = tuple(item for item in system.items if item.name in names)
        if items:
            systems.append(SystemScores(system.name, summarise(items, seed), items, system.note))
    return Group(kind, "en-us", len(names), len(_of_kind(kind)), tuple(systems))


def _pictures(scored: SystemScores, said: Sequence[_Said]) -> tuple[Picture, ...]:
    """The first sounds in which something went wrong, or just the first."""
    wrong = [place for place, item in enumerate(scored.items) if item.values.get("clean") == 0.0]
    places = [*wrong, *(place for place in range(len(said)) if place not in wrong)][:PICTURED]
    sounds: list[dict[str, Waveform]] = [{scored.name: said[place].item.waveform} for place in places]
    return tuple(Picture(said[place].item.name, sound) for place, sound in zip(places, sounds, strict=True))


def _beginning(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
