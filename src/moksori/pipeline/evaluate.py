"""Measuring a model on a corpus: `evaluate` finds out what it can do and measures that.

Speech from text is measured here, speaker by speaker: recordings, copies, model and controls by the same judges. The
other tasks are in `evaluate_convert`, `evaluate_copies` and `evaluate_codec`.
"""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from moksori.corpus.manifest import Corpus, read_utterance
from moksori.corpus.splits import sentence_key
from moksori.errors import BadInput, CorpusError, MissingExtra, UnsupportedTask, unknown_name
from moksori.evaluation import recognisers, speaker_encoders
from moksori.evaluation.intelligibility import LEVEL_LUFS
from moksori.evaluation.memory import Memory
from moksori.evaluation.report import Group, Report, environment
from moksori.evaluation.score import MEASURES, Judges
from moksori.evaluation.speaker import Voices
from moksori.models.checkpoint import Loaded, count_parameters, fingerprint, load_model, read_manifest
from moksori.models.contract import CanChangeKey, CanConvert, CanConvertMels, CanDraw, CanEnroll, CanReconstruct
from moksori.models.contract_latents import CanCompress, CanConvertLatents, CanSayLatents
from moksori.nn.conv import arranged_for_inference
from moksori.pipeline.aligner_judge import AlignerJudge
from moksori.pipeline.enrolment import Like
from moksori.pipeline.evaluate_codec import evaluate_codec
from moksori.pipeline.evaluate_convert import evaluate_convert
from moksori.pipeline.evaluate_copies import evaluate_denoise, evaluate_sing, evaluate_vocode
from moksori.pipeline.evaluate_hard import evaluate_hard
from moksori.pipeline.evaluate_like import evaluate_prompted
from moksori.pipeline.evaluate_scores import evaluate_scores
from moksori.pipeline.evaluate_settings import PICTURED, Baseline, Findings, Settings, Task
from moksori.pipeline.evaluate_songs import evaluate_songs
from moksori.pipeline.evaluation_run import Run, Sentences, Steps
from moksori.pipeline.mel_voice import can_speak, speaks
from moksori.pipeline.models import find_model
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.prompts import takes_prompts
from moksori.pipeline.say import load
from moksori.pipeline.seeds import chosen_seed
from moksori.pipeline.speaker import Speaker
from moksori.types import Utterance

if TYPE_CHECKING:
    from collections.abc import Iterator


def _evaluate_singing(loaded: Loaded, settings: Settings, task: str = "sing") -> Findings:
    """Of models that speak in the voice of a prompt scores that they sing, of those that change who sings between their
    own singers the conversions, of others the copies of songs."""
    if isinstance(loaded.model, CanSayLatents):
        return evaluate_scores(loaded, settings, task)
    evaluated = evaluate_songs if isinstance(loaded.model, CanChangeKey) else evaluate_sing
    return evaluated(loaded, settings, task)


def _evaluate_like(loaded: Loaded, settings: Settings, task: str = "like") -> Findings:
    """Of models that speak in the voice of a prompt what they say, of others conversions to that voice."""
    evaluated = evaluate_prompted if isinstance(loaded.model, CanSayLatents) else evaluate_convert
    return evaluated(loaded, settings, task)


TASKS = ("speak", "hard", "like", "convert", "sing", "vocode", "codec", "denoise")
_OTHERS: Mapping[str, Task] = {
    "like": _evaluate_like,
    "convert": evaluate_convert,
    "sing": _evaluate_singing,
    "vocode": evaluate_vocode,
    "codec": evaluate_codec,
    "denoise": evaluate_denoise,
}
_FIRST = ("speak", "convert", "codec", "vocode", "denoise", "like", "sing")
"""What is measured where nothing is asked for: the first of these that the model can do."""
VOICE_CLIPS = 20
"""Recordings of which the mean voice of a speaker is made; fewer where there are dozens of speakers."""
VOICE_CLIPS_IN_ALL = 300
_OPTIONAL = ("spectrum", "speaker")
"""Groups whose packages exist only as source: left out with a note where they are not installed."""
_ALIGNED = ("durations", "likelihood")
EVERYBODY = "all"


def evaluate(
    model: str | Path | None,
    corpus_folder: str | Path | None,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    *,
    task: str | None = None,
    speakers: Sequence[str] | None = None,
    variation: float | None = None,
    threads: int = 1,
    workers: int = 1,
    measures: Sequence[str] | None = None,
    recogniser: str = recognisers.DEFAULT,
    encoder: str = speaker_encoders.DEFAULT,
    memory: str | Path | None = None,
    targets: int | None = None,
    noises: str | Path | None = None,
    vocoder: str | Path | None = None,
    like: Sequence[Like] = (),
    baseline: Baseline = Baseline(),
    progress: Progress = no_progress,
) -> Report:
    """Measures what a model can do over a split of a corpus, beside human recordings and baselines, by the same judges.

    task: one of TASKS; None takes the first that the model can do of speaking, converting and vocoding.
    `speak`: over sentences, speaker by speaker, beside recordings and copy-synthesis of the same. Where a sentence was
    recorded several times, one take is the reference and one other is a system of its own. Word errors are measured of
    English speakers only, with one recogniser for all. `hard`: over a list of sentences of its own, which needs no
    corpus: see `evaluate_hard`. `convert`, `like`: see `evaluate_convert`, and of models that speak in the voice of a
    prompt `evaluate_like`; `vocode`, `denoise`, `sing`: see `evaluate_copies`, of models that change who sings
    `evaluate_songs`, and of those that sing scores `evaluate_scores`; `codec`: see `evaluate_codec`.

    limit: only the first so many sentences of each speaker, in the other tasks so many recordings; the recogniser's
    language model is of all of them even then. speakers: of the corpus, for `speak`; None or "all" takes all that the
    model knows.
    seed: of the model's noise (sentence k of a speaker: from seed and k) and of the bootstrap. variation: None = the
    model's own.
    threads: of the model and of DNSMOS. workers: scoring processes, 1 or 2; the numbers do not depend on it.
    measures: groups of the task's measures; None takes all whose packages are here and that suit the language, and the
    report's notes tell what is missing. `durations` and `likelihood` train an aligner on the corpus's training split
    where it has none yet, a minute or more.
    recogniser, encoder: names in `evaluation.recognisers` and `evaluation.speaker_encoders`. memory: a file in which
    the judges' figures are kept, so that no sound is judged twice. targets: of each conversion's source. noises: a
    folder of what is laid over recordings; None makes noise up. vocoder: for models that make mels, or latents. like:
    who says the hard list, of a model that speaks in the voice of a prompt. baseline: what stands beside such a model.
    Raises UnknownName, CheckpointError or UnsupportedTask for the model, CorpusError for the corpus, UnknownName or
    BadInput for a speaker that the corpus or the model lacks, BadInput for a limit under 1, MissingExtra without the
    packages of [evaluate].
    """
    seed = chosen_seed(seed)
    for name, value in (("limit", limit), ("threads", threads), ("workers", workers), ("targets", targets)):
        if value is not None and value < 1:
            raise BadInput(f"{name} {value}: expected at least 1")
    recognisers.check_recogniser(recogniser)
    speaker_encoders.check_encoder(encoder)
    if task is not None and task not in TASKS:
        raise unknown_name("task", task, TASKS)
    kept = None if memory is None else Path(memory)
    if task == "hard":
        if speakers is not None and len(speakers) != 1:
            raise BadInput(f"speakers {', '.join(speakers)}: the hard list is said by one: name one")
        with _torch_threads(threads):
            return evaluate_hard(
                load(model, vocoder=vocoder), limit, seed, voice=speakers[0] if speakers else None, variation=variation,
                threads=threads, workers=workers, measures=measures, recogniser=recogniser, memory=kept,
                like=like, progress=progress,
            )  # fmt: skip
    if like:
        raise BadInput(
            "voices to imitate are given for the task 'hard' only: others take the corpus's people as prompts"
        )
    if corpus_folder is None:
        raise BadInput("no corpus: give one made by 'moksori corpus import'; only the task 'hard' needs none")
    corpus = Corpus.open(corpus_folder)
    settings = Settings(
        corpus, split, limit, seed, variation, threads, workers, None if measures is None else tuple(measures),
        recogniser, encoder, kept, targets,
        None if noises is None else Path(noises), vocoder, progress, baseline=baseline,
    )  # fmt: skip
    if task in (None, "speak") and _speaks(model):
        return _evaluate_speech(model, settings, speakers)
    return _evaluate_other(model, settings, task)


def tasks_of(loaded: Loaded) -> list[str]:
    """What a model can be measured in, in the order in which it is chosen."""
    model = loaded.model
    able: set[str] = set()
    if isinstance(model, CanSayLatents):  # what it is made for comes first
        return ["like", "sing", *(["convert"] if isinstance(model, CanConvertLatents) else [])]
    if can_speak(model):
        able.add("speak")
    if isinstance(model, CanEnroll) and isinstance(model, CanConvertMels):
        able |= {"convert", "like", "denoise", "sing"}
    elif isinstance(model, CanConvert) and len(loaded.manifest.speakers) > 1 and not loaded.manifest.absent:
        able.add("convert")
        if isinstance(model, CanChangeKey):
            able.add("sing")
    if isinstance(model, CanReconstruct) and not isinstance(model, CanDraw) and not loaded.manifest.absent:
        able |= {"vocode", "sing"}
    if isinstance(model, CanCompress):
        able.add("codec")
    return [task for task in _FIRST if task in able]


def _speaks(model: str | Path | None) -> bool:
    """Whether the model's family speaks in voices of its own; told without its weights."""
    if model is None:
        return True
    family = read_manifest(find_model(model)).family
    return speaks(family) and not takes_prompts(family)


def _evaluate_other(model: str | Path | None, settings: Settings, task: str | None) -> Report:
    loaded = load_model(find_model(model))
    arranged_for_inference(loaded.model)
    able = tasks_of(loaded)
    if not able or (task is not None and task not in able):
        wanted = f"task {task!r}" if task is not None else "nothing to measure"
        what = ", ".join(able) if able else "nothing that is measured here"
        raise UnsupportedTask(f"{wanted}: {loaded.manifest.name} ({loaded.manifest.family}) can do {what}")
    task = task or able[0]
    here = environment(settings.threads)
    with _torch_threads(settings.threads):
        found = _OTHERS[task](loaded, settings, task)
    judges = found.judges
    listening = "words" in judges.measures
    return Report(
        model=loaded.manifest.name,
        model_hash=fingerprint(loaded.folder),
        corpus=settings.corpus.info.name,
        split=settings.split,
        language=settings.corpus.info.language,
        seed=settings.seed,
        level_lufs=LEVEL_LUFS,
        groups=found.groups,
        environment=here,
        language_model=judges.recogniser.description if listening else "",
        left_out=dict(judges.recogniser.left_out) if listening else {},
        notes=tuple(settings.notes),
        pictures=found.pictures,
        task=task,
        recogniser=judges.recogniser.name if listening else "",
        speaker_encoder=judges.encoder.name if "speaker" in judges.measures else "",
        trials=found.trials,
        material=found.material,
        parameters=count_parameters(loaded.folder),
        headline=found.headline,
    )


def _evaluate_speech(model: str | Path | None, settings: Settings, speakers: Sequence[str] | None) -> Report:
    corpus, split, seed, threads = settings.corpus, settings.split, settings.seed, settings.threads
    measures, notes = settings.measures, settings.notes
    utterances, takes = _one_take(corpus.split(split))
    if not utterances:
        raise CorpusError(f"{corpus.folder}: the split {split!r} is empty; name another with --split")
    speaker = load(model, vocoder=settings.vocoder)
    judged = _by_speaker(
        corpus, utterances, takes, settings.limit, _known(speaker, corpus, utterances, speakers, notes)
    )
    judged, wanted = _measured(judged, measures, notes)
    english = [text for sentences in judged if sentences.english for text in sentences.texts]
    judges = _judges(wanted, settings, english)
    here = environment(threads)
    with _torch_threads(threads):
        aligner = _aligner(judges, corpus, measures is not None, notes, settings.progress)
        if "speaker" in judges.measures:
            judges.voices = _voices(corpus, judges, {u.name for u in corpus.split(split)})
        run = Run(speaker, judges, aligner, seed, settings.variation, settings.workers, notes, Steps(settings.progress))
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
        recogniser=judges.recogniser.name if listening else "",
        speaker_encoder=judges.encoder.name if "speaker" in judges.measures else "",
        parameters=count_parameters(speaker.loaded.folder),
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


def _judges(chosen: Sequence[str], settings: Settings, texts: Sequence[str]) -> Judges:
    """The judges, loaded: a missing package is told before the model speaks for minutes. texts: for the recogniser."""
    memory = Memory(settings.memory)
    judges = Judges(texts, chosen, settings.threads, None, settings.recogniser, settings.encoder, memory)
    for group in chosen:
        try:
            judges.load(group)
        except MissingExtra as error:
            if settings.measures is not None or group not in _OPTIONAL:
                raise
            judges.measures = [name for name in judges.measures if name != group]
            settings.notes.append(f"not measured: {error}")
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
    embeddings = {name: [judges.embed(read_utterance(u)) for u in _spread(own, count)] for name, own in spoken.items()}
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
