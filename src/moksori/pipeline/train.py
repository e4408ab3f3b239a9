"""Train a model on a corpus: one call from manifests to a model folder that speaks."""

import copy
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from moksori.corpus.augment import Augmenter
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus
from moksori.errors import BadInput, CheckpointError, ConfigError, CorpusError, MoksoriError
from moksori.models.checkpoint import Loaded, Manifest, save_model
from moksori.models.contract import CanChangeKey, CanVocode, Objective
from moksori.pipeline.adapt import VALIDATED_CLIPS, adapted_run
from moksori.pipeline.align import align
from moksori.pipeline.batches import ExampleBatches, fixed_batches, of_some_speakers
from moksori.pipeline.codes_of import LearntCodec
from moksori.pipeline.languages import check_language
from moksori.pipeline.mels_of import with_mels
from moksori.pipeline.model_card import model_card
from moksori.pipeline.pitch_ranges import pitch_ranges
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.pipeline.speaker_table import in_table, with_table
from moksori.pipeline.take_over import Source, TakenOver, take_over
from moksori.pipeline.units import with_units
from moksori.pipeline.whole_files import why_unwritable
from moksori.text.tokenizer import TextConfig
from moksori.training.checkpoints import TrainingState, checkpoints
from moksori.training.log import RunLog
from moksori.training.loop import Progress as StepProgress
from moksori.training.loop import Watcher, fit
from moksori.training.processes import Crew
from moksori.training.team import check_device
from moksori.training.transfer import TransferReport
from moksori.types import Example, SpeechNeeds

logger = logging.getLogger(__name__)

SHORTEST_SECONDS, LONGEST_SECONDS = 0.6, 20.0
VALIDATION_CLIPS = 40
CALIBRATION_BATCHES = 6
RUN_NAME = "run.json"
_KEPT = ("adaptation", "source", "taken_over", "speakers")
"""Keys of `run.json` that only a run's beginning knows."""


@dataclass(frozen=True)
class TrainResult:
    """What a run has come to. model: the folder of the averaged weights, the best by
    validation or, after an adversarial game, the newest; ready for `moksori say --voice`.
    stopped_early: whether validations without a better total (`training.patience`) ended it."""

    run: Path
    model: Path
    state: TrainingState
    finished: bool
    transferred: TransferReport | None
    stopped_early: bool = False


@dataclass(frozen=True)
class Listener:
    """How a run tells its caller what it does: `stage` names a part of the work, then come its units or steps.

    tell: is given lines to read before training starts: the plan of an adaptation, and what was taken over.
    """

    stage: Callable[[str], None] = lambda name: None
    progress: Progress = no_progress
    step: Callable[[StepProgress], None] = lambda progress: None
    tell: Callable[[Sequence[str]], None] = lambda lines: None


def train(
    preset: str | Path | None,
    corpus: str | Path | None,
    run: str | Path | None = None,
    assignments: Sequence[str] = (),
    start_from: str | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    aligner_assignments: Sequence[str] = (),
    processes: int | None = None,
) -> TrainResult:
    """Trains the model of a preset (`vits/compact`) or YAML file on a corpus folder.

    run: where everything is kept, `runs/FAMILY-PRESET-CORPUS` by default. assignments: `key.path=value` overrides.
    start_from: a model's name or folder whose weights are taken over where they fit. Without a preset that model is
    adapted: it keeps its shape and symbols, and a plan is made from the minutes of speech (`pipeline.adapt`).
    resume: goes on with the run in `run`; preset and corpus are then read from there.
    aligner_assignments: overrides for the aligner, where the family needs durations.
    processes: that share each batch, which stays as large as it is; on the CPU one thread each is best, on GPUs each
    has its own. None: 1, or with `resume` as many as before. A script that takes several must be importable: its work
    belongs under `if __name__ == "__main__"`.
    Raises ConfigError, CorpusError, CheckpointError for what is wrong before anything starts, TrainingFailed after.
    """
    listener = listener or Listener()
    plan = _plan(preset, corpus, run, assignments, start_from, resume, aligner_assignments, listener)
    if processes is not None:
        plan = replace(plan, processes=processes)
    folder = plan.folder
    whole = found = Corpus.open(plan.corpus)
    if plan.config.family.speaker_tables:
        # A run from before tables were recorded has the corpus's own.
        found = with_table(whole, plan.record.get("speakers", whole.info.speakers if resume else None))
        plan = replace(plan, record={**plan.record, "speakers": list(found.info.speakers)})
    config = _fitted_to(plan.config, found, assignments)
    crew = Crew(plan.processes, partial(_objective, config))
    crew.check(config.training.batch_size)
    check_device(config.training)
    if reason := why_unwritable(folder):
        raise BadInput(f"{folder}: cannot be written ({reason}); name another --run")
    needs = config.family.needs(config.model, config.objective)
    text: TextConfig = getattr(config.model, "text", None) or TextConfig(language=found.info.language)
    begun = resume and bool(checkpoints(folder / "checkpoints"))
    source = None if plan.start_from is None or begun else Source.find(plan.start_from)
    codec = LearntCodec.of(needs) if needs.codes_of else None
    objective = _objective(config, codec)
    taken: TakenOver | None = None
    if source is not None:  # before the minutes that alignment takes: it may not fit
        taken = take_over(objective, source, config.family, found.info.speakers)
        plan = replace(plan, record={**plan.record, "taken_over": taken.recorded()})
        listener.tell(taken.lines())
    table = found.info.speakers if config.family.speaker_tables else None
    examples, validation = _examples(
        whole, needs, text, plan.aligner_assignments, objective.model, codec, listener, table
    )
    examples = of_some_speakers(examples, config.training.speaker_share)
    _write_plan(plan, config)
    target = folder / "model"
    moves_pitch = isinstance(objective.model, CanChangeKey) or getattr(objective.model, "moves_pitch", False)
    ranges = pitch_ranges(examples, alone=moves_pitch)
    required = {} if codec is None else codec.required
    manifest = _manifest(config, found, text, needs, plan)
    manifest = manifest.model_copy(update={"speaker_pitch": ranges, "requires": required})
    notes = f"Adapted from {plan.record['source']['name']}." if plan.adapts else ""
    looks = -(-VALIDATED_CLIPS // max(len(validation), 1)) if plan.adapts else 1

    augmenter = _augmenter(config, needs, examples)
    batches = ExampleBatches(
        examples,
        needs.in_batches,
        config.training.batch_size,
        config.training.seed,
        augmenter,
        config.training.speaker_balance,
    )
    crew.check(batches.smallest)

    def export(averaged: nn.Module, state: TrainingState) -> None:
        averaged = copy.deepcopy(averaged).eval()  # calibrated for speaking; training goes on with what it has learnt
        device = next(averaged.parameters()).device
        objective.calibrate(averaged, (batches.batch(index).to(device) for index in range(CALIBRATION_BATCHES)))
        described = manifest.model_copy(update={"steps": state.step})
        save_model(target, averaged, described, model_card(described, notes), _discriminators(objective))

    def speak(averaged: nn.Module, step: int, log: RunLog) -> None:
        _speak(averaged, manifest, config.sentences, step, log)

    listener.stage("training")
    result = fit(
        objective,
        batches,
        fixed_batches(validation * looks, needs.in_batches, config.training.batch_size),
        config.training,
        folder,
        Watcher(on_step=listener.step, speak=speak, on_best=export),
        resume=resume,
        initialise=taken is None or taken.other_front_end != "",
        crew=crew,
    )
    transferred = None if taken is None else taken.report
    return TrainResult(folder, target, result.state, result.finished, transferred, result.stopped_early)


@dataclass(frozen=True)
class _Plan:
    """What a run is made of; all but the configuration is kept in its `run.json`.

    record: what else is kept there: the plan of an adaptation, its source, and what was taken over.
    """

    folder: Path
    config: RunConfig
    corpus: Path
    start_from: str | None
    aligner_assignments: tuple[str, ...]
    record: Mapping[str, Any] = field(default_factory=dict)
    processes: int = 1

    @property
    def adapts(self) -> bool:
        """Whether the run follows the plan of an adaptation, not a preset that was named."""
        return "adaptation" in self.record


def _plan(
    preset: str | Path | None,
    corpus: str | Path | None,
    run: str | Path | None,
    assignments: Sequence[str],
    start_from: str | None,
    resume: bool,
    aligner_assignments: Sequence[str],
    listener: Listener,
) -> _Plan:
    """The run's folder, configuration and corpus, after checking that they do not contradict what is there."""
    if resume:
        if run is None:
            raise ConfigError("--resume needs --run DIR, the folder of the run to go on with")
        return _recorded_plan(Path(run), corpus, assignments)
    if corpus is None or (preset is None and start_from is None):
        raise ConfigError(
            "name a preset and a corpus: moksori train vits/compact --corpus DST; or a voice to adapt: "
            "moksori train --from kathleen --corpus DST"
        )
    record: dict[str, Any] = {}
    lines: tuple[str, ...] = ()
    if preset is None:
        assert start_from is not None
        source = Source.find(start_from)
        adapted = adapted_run(source, Corpus.open(corpus), assignments, SHORTEST_SECONDS, LONGEST_SECONDS)
        config = adapted.config
        record = {"adaptation": adapted.plan.recorded(), "source": _origin(source)}
        lines = adapted.plan.lines()
        name = f"{source.manifest.name}-to-{Path(corpus).resolve().name}"
    else:
        config = run_config(preset, assignments)
        name = f"{str(preset).removesuffix('.yaml').replace('/', '-')}-{Path(corpus).resolve().name}"
    folder = Path(run) if run is not None else Path("runs") / name
    done = checkpoints(folder / "checkpoints")
    if done:
        raise ConfigError(
            f"{folder} holds a run at {done[-1].name}: add --resume (with --run {folder}) to go on, "
            "or name another --run"
        )
    if lines:
        listener.tell(lines)
    return _Plan(folder, config, Path(corpus).resolve(), start_from, tuple(aligner_assignments), record)


def _recorded_plan(folder: Path, corpus: str | Path | None, assignments: Sequence[str]) -> _Plan:
    """The plan that a run was started with; `corpus` names it anew where it has moved."""
    if not (folder / "config.yaml").is_file():
        raise CheckpointError(f"{folder}: holds no run (no config.yaml): start one without --resume")
    config = run_config(folder / "config.yaml", assignments)
    try:
        recorded = json.loads((folder / RUN_NAME).read_text(encoding="utf-8"))
        source = Path(corpus or recorded["corpus"])
        aligner_assignments = tuple(recorded.get("aligner_assignments", ()))
        record = {name: recorded[name] for name in _KEPT if name in recorded}
        processes = int(recorded.get("processes", 1))
        return _Plan(folder, config, source, recorded.get("from"), aligner_assignments, record, processes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if corpus is not None:
            return _Plan(folder, config, Path(corpus), None, ())
        raise CheckpointError(
            f"{folder}: {RUN_NAME} is missing or broken, so its corpus is not known: name it with --corpus DST"
        ) from error


def _objective(config: RunConfig, codec: LearntCodec | None = None) -> Objective:
    """Model and objective with first weights that follow from the seed; the caller's random numbers are left alone.

    codec: whose codes they learn; None: where they learn some, it is loaded.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        objective = config.family.objective(config.family.model(config.model), config.objective)
    needs = config.family.needs(config.model, config.objective)
    if needs.codes_of:
        objective.take_codec((codec or LearntCodec.of(needs)).model)
    return objective


def _fitted_to(config: RunConfig, corpus: Corpus, assignments: Sequence[str]) -> RunConfig:
    """The configuration with the corpus's language and number of speakers, where they were not set by hand."""
    named = {assignment.partition("=")[0] for assignment in assignments}
    changes: dict[str, Any] = {}
    text = getattr(config.model, "text", None)
    if text is not None and "model.text.language" not in named:
        changes["text"] = text.model_copy(update={"language": corpus.info.language})
    elif text is not None and text.mode != "letters":  # which are read in any language
        check_language(text.language, "setting model.text.language")
    speakers = len(corpus.info.speakers)
    if hasattr(config.model, "num_speakers") and config.model.num_speakers < speakers:
        if "model.num_speakers" in named:
            raise ConfigError(
                f"model.num_speakers={config.model.num_speakers}, but {corpus.folder} has {speakers} speakers: "
                "leave it out"
            )
        changes["num_speakers"] = speakers
    if not changes:
        return config
    return replace(config, model=config.model.model_copy(update=changes))


def _examples(
    corpus: Corpus,
    needs: SpeechNeeds,
    text: TextConfig,
    aligner_assignments: Sequence[str],
    model: nn.Module,
    codec: LearntCodec | None,
    listener: Listener,
    table: Sequence[str] | None = None,
) -> tuple[list[Example], list[Example]]:
    """Training and validation examples; clips that cannot be used are left out and named in the log.

    table: the speakers who have a row in the model; None: it knows no rows, and takes whoever speaks.
    """
    durations = None
    if needs.durations:
        listener.stage("aligning")
        splits = [split for split in ("train", "valid") if split in corpus.splits and corpus.split(split)]
        alignment = align(corpus, needs, text, splits, assignments=aligner_assignments, progress=listener.progress)
        durations = dict(alignment.durations)
        if alignment.too_short:
            logger.warning("%d recordings are too short for their text and left out", len(alignment.too_short))
        corpus = corpus.without(alignment.too_short)
    listener.stage("preparing")
    usable: dict[str, list[Example]] = {}
    for split in ("train", "valid"):
        if split not in corpus.splits or not corpus.split(split):
            usable[split] = []
            continue
        items = prepare(corpus, split, needs, text, durations, listener.progress)
        if needs.units:
            items = with_units(items, needs)
        if needs.mels_of:
            listener.stage("listening")
            assert isinstance(model, CanVocode)
            items = with_mels(items, needs, model.mel_config, corpus, split, listener.progress)
        if codec is not None:
            listener.stage("coding")
            items = codec.with_codes(items, needs, corpus, split, listener.progress)
        if table is not None:  # not before: what is kept of a split is of all its clips
            items = in_table(items, table, split)
        longest = float("inf") if needs.stretch_frames else LONGEST_SECONDS
        limits = SHORTEST_SECONDS * needs.sample_rate, longest * needs.sample_rate
        usable[split] = [e for e in items if limits[0] <= len(e.waveform) <= limits[1]]
        if len(usable[split]) < len(items):
            logger.warning(
                "%d clips of the %s split are not %g to %g s long and left out; `moksori corpus split` cuts long ones",
                len(items) - len(usable[split]),
                split,
                SHORTEST_SECONDS,
                longest,
            )
        if needs.tokens and not needs.durations:  # the search for a path needs a frame for each token
            fitting = [e for e in usable[split] if _least_frames(model, e) <= len(e.waveform) // needs.hop_length]
            if len(fitting) < len(usable[split]):
                logger.warning(
                    "%d clips of the %s split are too short for their text and left out",
                    len(usable[split]) - len(fitting),
                    split,
                )
            usable[split] = fitting
    if not usable["train"]:
        raise CorpusError(
            f"{corpus.folder}: no training clip is {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g} s long and long enough "
            "for its text; run 'moksori corpus check'"
        )
    if not usable["valid"]:
        logger.warning("the corpus has no validation split: the last weights are exported, not the best")
    return usable["train"], usable["valid"][:VALIDATION_CLIPS]


def _augmenter(config: RunConfig, needs: SpeechNeeds, examples: Sequence[Example]) -> Augmenter | None:
    """What lays noise over the training recordings; None where the settings ask for none."""
    if not config.augmentation.kinds:
        return None
    if not needs.noisy:
        raise ConfigError(
            f"augmentation.kinds: {config.family.name} models learn from clean recordings; leave augmentation out"
        )
    return Augmenter(config.augmentation, [e.waveform for e in examples], needs.sample_rate, config.training.seed)


def _least_frames(model: nn.Module, example: Example) -> int:
    """Frames that a path through the tokens has at least: one for each, or what the model says."""
    assert example.tokens is not None
    own = getattr(model, "minimum_frames", None)
    return len(example.tokens) if own is None else int(own(torch.from_numpy(example.tokens)))


def _write_plan(plan: _Plan, config: RunConfig) -> None:
    recorded = {
        "corpus": str(plan.corpus.resolve()),
        "from": plan.start_from,
        "aligner_assignments": list(plan.aligner_assignments),
        "processes": plan.processes,
        **plan.record,
    }
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        for name, content in (("config.yaml", config.to_yaml()), (RUN_NAME, json.dumps(recorded, indent=2) + "\n")):
            partial = plan.folder / f".{name}.partial"
            partial.write_text(content, encoding="utf-8")
            partial.replace(plan.folder / name)
    except OSError as error:
        reason = error.strerror or error
        raise MoksoriError(f"{plan.folder}: cannot be written ({reason}); name another --run") from error


def _manifest(config: RunConfig, corpus: Corpus, text: TextConfig, needs: SpeechNeeds, plan: _Plan) -> Manifest:
    info = corpus.info
    licence, data = info.licence, (f"{info.name} ({info.licence})",)
    if plan.adapts:  # what the source was made of is in the new weights too
        origin = plan.record["source"]
        licence, data = _both(licence, origin["licence"]), (*origin["data"], *data)
    return Manifest(
        family=config.family.name,
        name=info.name,
        model=config.model.model_dump(mode="json"),
        text=text if needs.in_batches.tokens else None,
        speakers=_speakers(config, corpus),
        language=info.language,
        speaker_languages=_speaker_languages(corpus),
        licence=licence,
        data=data,
        sample_rate=needs.sample_rate,
    )


def _speakers(config: RunConfig, corpus: Corpus) -> tuple[str, ...]:
    """The speaker table's names; where a family has no table, whom it has heard."""
    if config.family.speaker_tables:
        return tuple(corpus.info.speakers)
    return tuple(sorted({utterance.speaker for utterance in corpus.split("train")}))


def _origin(source: Source) -> dict[str, Any]:
    """What a model made of another one has to state of that: its licence, and the recordings it came from."""
    manifest = source.manifest
    unstated = f"what {manifest.name} was trained on ({manifest.licence or 'licence not stated'})"
    return {"name": manifest.name, "licence": manifest.licence, "data": list(manifest.data or (unstated,))}


def _both(licence: str, other: str) -> str:
    """The licence of weights that come from recordings under one and a model under another; "" where one is unknown."""
    if not licence or not other:
        return ""
    same = licence.casefold().replace(" ", "-") == other.casefold().replace(" ", "-")
    return other if same else f"{licence} AND {other}"


def _speaker_languages(corpus: Corpus) -> dict[str, str]:
    """The language of each speaker who mostly speaks another one than the corpus's."""
    heard: dict[str, Counter[str]] = {}
    for utterance in corpus.split("train"):
        heard.setdefault(utterance.speaker, Counter())[utterance.language] += 1
    most = {speaker: languages.most_common(1)[0][0] for speaker, languages in sorted(heard.items())}
    return {speaker: language for speaker, language in most.items() if language != corpus.info.language}


def _discriminators(objective: Objective) -> dict[str, torch.Tensor] | None:
    discriminators = getattr(objective, "discriminators", None)
    return None if discriminators is None else discriminators.state_dict()


def _speak(model: nn.Module, manifest: Manifest, sentences: Sequence[str], step: int, log: RunLog) -> None:
    """The fixed sentences in the averaged weights' voice, as sound and spectrogram, for families that speak."""
    from moksori.audio.mel import MelConfig, MelSpectrogram
    from moksori.models.contract import CanSayMels
    from moksori.models.contract_latents import CanSayLatents
    from moksori.pipeline.mel_voice import can_speak
    from moksori.pipeline.speaker import Speaker
    from moksori.pipeline.vocoding import any_vocoder_for

    if not can_speak(model) or isinstance(model, CanSayLatents):  # which speak in the voice of a recording alone
        return
    if isinstance(model, CanSayMels) and any_vocoder_for(model.mel_config) is None:
        return
    speaker = Speaker(Loaded(model, manifest, Path()))
    rate = manifest.sample_rate
    mel = MelSpectrogram(MelConfig(sample_rate=rate, f_max_hz=min(8000.0, rate / 2)))
    for index, sentence in enumerate(sentences):
        speech = speaker.say(sentence, seed=index)
        log.sound(step, f"sentence/{index}", np.clip(speech.samples, -1.0, 1.0), speech.sample_rate)
        log.picture(step, f"sentence_mel/{index}", mel(torch.from_numpy(speech.samples)[None])[0].numpy())
