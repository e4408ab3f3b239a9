"""Measuring a voice on a corpus, speaker by speaker: recordings, copies, model and controls by the same judges."""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from moksori.corpus.manifest import Corpus, read_utterance
from moksori.corpus.splits import sentence_key
from moksori.errors import BadInput, CorpusError, MissingExtra, unknown_name
from moksori.evaluation.intelligibility import LEVEL_LUFS
from moksori.evaluation.report import Group, Report, environment
from moksori.evaluation.score import MEASURES, Judges
from moksori.evaluation.speaker import Voices
from moksori.models.checkpoint import fingerprint
from moksori.pipeline.aligner_judge import AlignerJudge
from moksori.pipeline.evaluation_run import Run, Sentences, Steps
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.say import load
from moksori.pipeline.speaker import Speaker, chosen_seed
from moksori.types import Utterance

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURED = 3
"""Sentences to look at, shared among the speakers, but one of each."""
VOICE_CLIPS = 20
"""Recordings of which the mean voice of a speaker is made; fewer where there are dozens of speakers."""
VOICE_CLIPS_IN_ALL = 300
_OPTIONAL = ("spectrum", "speaker")
"""Groups whose packages exist only as source: left out with a note where they are not installed."""
_ALIGNED = ("durations", "likelihood")
EVERYBODY = "all"


def evaluate(
    model: str | Path | None,
    corpus_folder: str | Path,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    *,
    speakers: Sequence[str] | None = None,
    variation: float | None = None,
    threads: int = 1,
    workers: int = 1,
    measures: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> Report:
    """Measures a model over the sentences of a split, beside the human recordings and copy-synthesis of the same.

    Where a sentence was recorded several times, one take is the reference and one other is a system of its own. Each
    speaker is a group of the report. Word errors are measured of English speakers only, with one recogniser for all.

    limit: only the first so many sentences of each speaker; the recogniser's language model is of all of them even
    then. speakers: of the corpus; None or "all" takes all that the model knows.
    seed: of the model's noise (sentence k of a speaker: from seed and k) and of the bootstrap. variation: None = the
    model's own.
    threads: of the model and of DNSMOS. workers: scoring processes, 1 or 2; the numbers do not depend on it.
    measures: groups of `score.MEASURES`; None takes all whose packages are here and that suit the language, and the
    report's notes tell what is missing. `durations` and `likelihood` train an aligner on the corpus's training split
    where it has none yet, a minute or more.
    Raises UnknownName, CheckpointError or UnsupportedTask for the model, CorpusError for the corpus, UnknownName or
    BadInput for a speaker that the corpus or the model lacks, BadInput for a limit under 1, MissingExtra without the
    packages of [evaluate].
    """
    seed = chosen_seed(seed)
    for name, value in (("limit", limit), ("threads", threads), ("workers", workers)):
        if value is not None and value < 1:
            raise BadInput(f"{name} {value}: expected at least 1")
    corpus = Corpus.open(corpus_folder)
    utterances, takes = _one_take(corpus.split(split))
    if not utterances:
        raise CorpusError(f"{corpus.folder}: the split {split!r} is empty; name another with --split")
    speaker = load(model)
    notes: list[str] = []
    judged = _by_speaker(corpus, utterances, takes, limit, _known(speaker, corpus, utterances, speakers, notes))
    judged, wanted = _measured(judged, measures, notes)
    english = [text for sentences in judged if sentences.english for text in sentences.texts]
    judges = _judges(wanted, measures is not None, english, threads, notes)
    here = environment(threads)
    with _torch_threads(threads):
        aligner = _aligner(judges, corpus, measures is not None, notes, progress)
        if "speaker" in judges.measures:
            judges.voices = _voices(corpus, judges, {u.name for u in corpus.split(split)})
        run = Run(speaker, judges, aligner, seed, variation, workers, notes, Steps(progress))
        run.tell_what_is_missing()
        run.steps.total = sum(run.work(sentences) for sentences in judged)
        groups, pictures = [], []
        for sentences in judged:
            systems, pictured = run.systems(sentences, max(1, PICTURED // len(judged)))
            of = len(sentences.texts)
            groups.append(Group(sentences.speaker, sentences.language, len(sentences.chosen), of, tuple(systems)))
            pictures += pictured
    listening = "words" in judges.measures
    return Report(
        model=speaker.name,
        model_hash=fingerprint(speaker.loaded.folder),
        corpus=corpus.info.name,
        split=split,
        language=corpus.info.language,
        seed=seed,
        level_lufs=LEVEL_LUFS,
        groups=tuple(groups),
        environment=here,
        language_model=judges.recogniser.description if listening else "",
        left_out=dict(judges.recogniser.left_out) if listening else {},
        notes=tuple(notes),
        pictures=tuple(pictures),
    )


def _one_take(utterances: Sequence[Utterance]) -> tuple[list[Utterance], dict[str, Utterance]]:
    """One recording of each sentence and speaker, the first by name; and by that name another take, if there is one."""
    groups: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault((utterance.speaker, sentence_key(utterance.text)), []).append(utterance)
    ordered = [sorted(group, key=lambda u: u.name) for group in groups.values()]
    return [group[0] for group in ordered], {group[0].name: group[1] for group in ordered if len(group) > 1}


def _known(
    speaker: Speaker,
    corpus: Corpus,
    utterances: Sequence[Utterance],
    wanted: Sequence[str] | None,
    notes: list[str],
) -> list[str]:
    """The speakers that are measured, in the corpus's order; those that the model does not know are left out."""
    there = {u.speaker for u in utterances}
    present = [name for name in corpus.info.speakers if name in there]
    present += sorted(there - set(present))
    if wanted is not None and list(wanted) != [EVERYBODY]:
        for name in wanted:
            if name not in present:
                raise unknown_name(f"speaker of {corpus.folder}", name, present)
        asked = [name for name in present if name in wanted]
    else:
        asked = present
    if len(speaker.speakers) == 1 and len(corpus.info.speakers) == 1:
        return asked  # one voice, one reader: the sentences may well be somebody else's
    known = [name for name in asked if name in speaker.speakers]
    if not known:
        raise BadInput(
            f"{speaker.name}: knows none of the speakers {', '.join(asked)} of {corpus.folder}: it has "
            f"{', '.join(speaker.speakers)}: take a corpus with one of these"
        )
    if missing := [name for name in asked if name not in known]:
        notes.append(f"not measured, as {speaker.name} does not know them: {', '.join(missing)}")
    return known


def _by_speaker(
    corpus: Corpus,
    utterances: Sequence[Utterance],
    takes: Mapping[str, Utterance],
    limit: int | None,
    names: Sequence[str],
) -> list[Sentences]:
    found = []
    for name in names:
        own = [u for u in utterances if u.speaker == name]
        language = own[0].language or corpus.info.language
        found.append(Sentences(name, language, own[:limit], takes, [u.text for u in own]))
    return found


def _measured(
    judged: Sequence[Sentences], wanted: Sequence[str] | None, notes: list[str]
) -> tuple[list[Sentences], list[str]]:
    """The speakers of whom something can be measured, and the groups of measures of them together."""
    chosen = list(MEASURES if wanted is None else wanted)
    foreign = [sentences for sentences in judged if not sentences.english]
    if "words" not in chosen or not foreign:
        return list(judged), chosen
    named = ", ".join(dict.fromkeys(repr(sentences.language) for sentences in foreign))
    whose = "" if len(judged) == 1 else f" of {', '.join(sentences.speaker for sentences in foreign)}"
    notes.append(f"word error rate: not measured{whose}, the recogniser knows English only and this is {named}")
    if "likelihood" in chosen:
        notes.append("the aligner's likelihood ratio tells how well sounds fit a text; it is no word error rate")
    kept = list(judged) if set(chosen) != {"words"} else [s for s in judged if s.english]
    if not kept:
        raise BadInput(f"nothing left to measure for the language {named}; choose opinion, spectrum or likelihood")
    if not any(sentences.english for sentences in kept):
        chosen.remove("words")
    return kept, chosen


def _judges(chosen: Sequence[str], asked: bool, texts: Sequence[str], threads: int, notes: list[str]) -> Judges:
    """The judges, loaded: a missing package is told before the model speaks for minutes.

    asked: whether a person has chosen these groups. texts: for the recogniser.
    """
    judges = Judges(texts, chosen, threads)
    for group in chosen:
        try:
            judges.load(group)
        except MissingExtra as error:
            if asked or group not in _OPTIONAL:
                raise
            judges.measures = [name for name in judges.measures if name != group]
            notes.append(f"not measured: {error}")
    return judges


def _aligner(judges: Judges, corpus: Corpus, asked: bool, notes: list[str], progress: Progress) -> AlignerJudge | None:
    """The aligner of the corpus where it is needed; a corpus that has nothing to train one on goes without."""
    if not set(_ALIGNED) & set(judges.measures):
        return None
    try:
        return AlignerJudge(corpus, progress)
    except CorpusError as error:
        if asked:
            raise
        judges.measures = [name for name in judges.measures if name not in _ALIGNED]
        notes.append(f"durations and likelihood ratio: not measured, there is no aligner: {error}")
        return None


def _voices(corpus: Corpus, judges: Judges, judged: set[str]) -> Voices | None:
    """What each speaker of the corpus sounds like, from training recordings; None if it has none."""
    if "train" not in corpus.splits:
        return None
    spoken: dict[str, list[Utterance]] = {name: [] for name in corpus.info.speakers}
    for utterance in corpus.split("train"):
        if utterance.name not in judged:
            spoken.setdefault(utterance.speaker, []).append(utterance)
    count = max(3, min(VOICE_CLIPS, VOICE_CLIPS_IN_ALL // max(len(spoken), 1)))
    embeddings = {
        name: [judges.encoder.embed(read_utterance(u)) for u in _spread(own, count)] for name, own in spoken.items()
    }
    voices = Voices.of(embeddings)
    return voices if voices.names else None


def _spread(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """`count` of them at equal distances, so that they are not all of one chapter or day."""
    count = min(count, len(utterances))
    return [utterances[k * len(utterances) // count] for k in range(count)]


@contextmanager
def _torch_threads(threads: int) -> "Iterator[None]":
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
