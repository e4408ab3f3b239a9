"""Scores, sung in the voices of prompts: is it what the notes say, and who is heard?

Three songs that belong to nobody, in the voices of people that no training heard, in octaves where these sing.
"""

import time
from dataclasses import asdict

import numpy as np

from moksori.evaluation.melody import compare_melodies, frames_in_tune, sung_f0
from moksori.evaluation.report import Group, Picture
from moksori.evaluation.score import Item, Judges, score_system
from moksori.models.checkpoint import Loaded
from moksori.pipeline.evaluate_material import Person, strangers
from moksori.pipeline.evaluate_settings import PICTURED, Findings, Settings
from moksori.pipeline.evaluation_run import Steps
from moksori.pipeline.score import Score, SungNote, under_notes
from moksori.pipeline.seeds import sentence_generator
from moksori.pipeline.sing import SingOptions, Sung, sing
from moksori.pipeline.speaker import Speaker

SCORES = ("melody", "speaker")
JUDGED_SCORES = {"melody": "melody", "speaker": "speaker"}
"""Groups of the task's measures, and those of `evaluation.score.GROUPS` that they need."""
SINGERS = 4
"""Prompts, where nobody says how many."""
SONGS = {
    "twinkle": (
        (60, 60, 67, 67, 69, 69, 67, 65, 65, 64, 64, 62, 62, 60),
        (1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2),
        "Twin-kle twin-kle lit-tle star how I won-der what you are",
    ),
    "jacques": (
        (60, 62, 64, 60, 60, 62, 64, 60, 64, 65, 67, 64, 65, 67),
        (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 2),
        "Are you sleep-ing are you sleep-ing broth-er John broth-er John",
    ),
    "joy": (
        (64, 64, 65, 67, 67, 65, 64, 62, 60, 60, 62, 64, 64, 62, 62),
        (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1.5, 0.5, 2),
        "Joy-ful joy-ful we a-dore thee God of glo-ry Lord of love",
    ),
}
"""Pitches as MIDI numbers, beats, words."""
BEAT_SECONDS = 0.5


def song(name: str) -> Score:
    """One of SONGS."""
    pitches, beats, words = SONGS[name]
    ends = np.cumsum(np.array(beats)) * BEAT_SECONDS
    starts = np.concatenate([[0.0], ends[:-1]])
    notes = tuple(
        SungNote(float(start), float(end), pitch, place=f"note {number}")
        for number, (start, end, pitch) in enumerate(zip(starts, ends, pitches, strict=True), start=1)
    )
    return under_notes(Score(name, notes), words, lambda word: 1)


def evaluate_scores(loaded: Loaded, settings: Settings, task: str = "sing") -> Findings:
    """Measures how a model that sings scores keeps to them, song by song; `limit` prompts, SINGERS if None.

    Raises CorpusError where there are not two people that no training heard, BadInput for a measure it has not.
    """
    speaker = Speaker(loaded, None, settings.vocoder)
    groups = settings.chosen(SCORES, task)
    judges, groups = settings.judges((), groups, JUDGED_SCORES)
    people = strangers(settings.corpus, settings.split)[: settings.limit or SINGERS]
    steps = Steps(settings.progress)
    steps.total = len(SONGS) * len(people)
    found, pictures = [], []
    for name in SONGS:
        progress, items, sounds = steps.part(), [], []
        for place, person in enumerate(people):
            item, sung = _sung(speaker, song(name), person, place, settings, judges, groups)
            items.append(item)
            sounds.append({"prompt": person.prompt, speaker.name: sung.waveform})
            progress(len(items), len(people))
        scored = score_system(speaker.name, items, judges.only([]), workers=settings.workers, seed=settings.seed)
        found.append(Group(name, "", len(items), len(items), (scored,)))
        pictures += [Picture(item.name, sound) for item, sound in zip(items, sounds, strict=True)]
    told = f"{len(SONGS)} scores in the voices of {len(people)} prompts of people that no training heard"
    return Findings(tuple(found), judges, tuple(pictures[:PICTURED]), (), told)


def _sung(
    speaker: Speaker,
    score: Score,
    person: Person,
    place: int,
    settings: Settings,
    judges: Judges,
    groups: list[str],
) -> tuple[Item, Sung]:
    options, seed = SingOptions(key="auto", variation=settings.variation), sentence_generator(settings.seed, place)
    started = time.perf_counter()
    sung = sing(speaker, score, person.prompt, options, seed.initial_seed())
    seconds = time.perf_counter() - started
    values: dict[str, float] = {}
    if "melody" in groups:
        rate = speaker.sample_rate
        heard = sung_f0(sung.waveform, round(sung.frame_seconds * rate))[: len(sung.f0)]
        near, both = frames_in_tune(sung.f0, heard)
        melody = asdict(compare_melodies(sung.f0, heard, sung.frame_seconds))
        kept = ("raw_pitch_accuracy", "raw_chroma_accuracy", "octave_errors", "voicing_recall", "voicing_false_alarm")
        values = {"score_pitch": near / both if both else 0.0, **{name: melody[name] for name in kept}}
    if "speaker" in groups:
        values["speaker"] = float(judges.embed(sung.waveform) @ judges.embed(person.prompt))
    name = f"{score.name} by {person.name} ({sung.key:+d} semitones)"
    return Item(name, "", person.prompt, sung.waveform, seconds, person.name, values), sung
