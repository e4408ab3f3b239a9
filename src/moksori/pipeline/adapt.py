"""Adapting a trained voice to a new speaker: a plan made from the minutes of speech there are.

The plan is a set of overrides under those that a person gives, so that every number in it can be changed.
"""

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from moksori.config import validate
from moksori.corpus.manifest import Corpus
from moksori.errors import CorpusError, TextError, UnsupportedTask
from moksori.models import registry
from moksori.models.checkpoint import DISCRIMINATORS_STEM, has_discriminators, read_weights
from moksori.models.contract import Adaptation
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.pipeline.take_over import DISCRIMINATORS, Source
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import Utterance

LEAST_MINUTES, FEW_MINUTES, MANY_MINUTES = 1.0, 5.0, 60.0
"""Under the first nothing is to be learnt; under the second a part is frozen; over the third a full training is due."""
FEW_RATE = 0.5
"""Factor on the learning rates with little speech, which a network learns by heart the sooner the faster it learns."""
VALIDATIONS, PATIENCE = 10, 3
"""Validations in a plan, and how many of them in a row may bring nothing better before the run ends."""
ROUND_STEPS = 25
VALIDATED_CLIPS = 16
"""A small validation split is looked at so often, at other places each time, that it counts for so many clips."""


@dataclass(frozen=True)
class SpeechFound:
    """What a corpus has for a training: minutes and clips of its training split, clips of its validation split.

    Clips of other lengths than a training takes are not counted. speakers: minutes of each.
    """

    minutes: float
    clips: int
    validation_clips: int
    speakers: Mapping[str, float]

    @classmethod
    def in_corpus(cls, corpus: Corpus, shortest_seconds: float, longest_seconds: float) -> "SpeechFound":
        def usable(split: str) -> list[Utterance]:
            listed = corpus.split(split) if split in corpus.splits else []
            return [u for u in listed if shortest_seconds <= u.duration_seconds <= longest_seconds]

        train = usable("train")
        speakers = dict.fromkeys(sorted({u.speaker for u in train}), 0.0)
        for utterance in train:
            speakers[utterance.speaker] += utterance.duration_seconds / 60
        return cls(sum(speakers.values()), len(train), len(usable("valid")), speakers)


@dataclass(frozen=True)
class AdaptationPlan:
    """How a model is adapted, and why.

    preset: of objective and training settings. steps: None where only minutes were given by hand. learning_rates: by
    optimizer. frozen: parts that stay as they are. patience: validations without a better total that end the run; None:
    it takes all its steps.
    settings: the plan as `key.path=value` overrides. notes: what a person should know beforehand, a line each.
    """

    source: str
    preset: str
    minutes: float
    clips: int
    validation_clips: int
    steps: int | None
    learning_rates: Mapping[str, float]
    frozen: tuple[str, ...]
    validate_every: int
    patience: int | None
    settings: tuple[str, ...]
    notes: tuple[str, ...]

    def lines(self) -> tuple[str, ...]:
        """The plan for a person."""
        rates = ", ".join(f"{name} {rate:.2g}" for name, rate in self.learning_rates.items())
        steps = "as many as the minutes given allow" if self.steps is None else str(self.steps)
        stop = "no early stop" if self.patience is None else f"stops after {self.patience} without a better total"
        return (
            f"adapting {self.source} to {self.minutes:.1f} minutes of speech ({self.clips} clips; "
            f"{self.validation_clips} to validate on)",
            f"  settings    {self.preset}",
            f"  steps       {steps}, a validation every {self.validate_every}; {stop}",
            f"  rates       {rates}",
            f"  frozen      {', '.join(self.frozen) or 'nothing'}",
            *(f"  note        {note}" for note in self.notes),
        )

    def recorded(self) -> dict[str, Any]:
        """What `run.json` keeps."""
        return asdict(self)


def steps_for(minutes: float, steps_of_one_minute: int) -> int:
    """Steps worth taking, a whole number of validations: `steps_of_one_minute` times the root of the minutes.

    Twice the speech holds less than twice as much that is new, and each clip is heard less often: 530 times with one
    minute, 170 with ten, 95 with thirty (clips of 4 s, batches of 16). Over MANY_MINUTES no more are added.
    """
    exact = steps_of_one_minute * math.sqrt(min(max(minutes, LEAST_MINUTES), MANY_MINUTES))
    return VALIDATIONS * ROUND_STEPS * max(1, round(exact / VALIDATIONS / ROUND_STEPS))


def plan_adaptation(
    source: str,
    recipe: Adaptation,
    speech: SpeechFound,
    learning_rates: Mapping[str, float],
    new_language: bool = False,
    discriminators: bool = True,
) -> AdaptationPlan:
    """The plan for so much speech.

    recipe: the family's. learning_rates: of its preset, by optimizer. new_language: the corpus speaks one that the
    source does not. discriminators: whether the source brings the preset's.
    Raises CorpusError for less than LEAST_MINUTES of speech.
    """
    if speech.minutes < LEAST_MINUTES:
        raise CorpusError(
            f"{speech.minutes:.2f} minutes of usable speech in the training split: a voice cannot be learnt from less "
            f"than {LEAST_MINUTES:g}; 5 to 30 are what --from is for"
        )
    steps = steps_for(speech.minutes, recipe.steps)
    few = speech.minutes < FEW_MINUTES
    frozen = recipe.frozen if few and not new_language else ()
    rates = {name: rate * (FEW_RATE if few else 1.0) for name, rate in learning_rates.items()}
    every = steps // VALIDATIONS
    patience = PATIENCE if speech.validation_clips else None
    settings = [f"training.max_steps={steps}", f"training.validate_every={every}", f"training.speak_every={every}"]
    settings += [f"training.optimizers.{name}.learning_rate={rate:.6g}" for name, rate in rates.items()]
    settings += [f"training.patience={'null' if patience is None else patience}"]
    settings += recipe.freeze if frozen else ()
    settings += () if discriminators else recipe.fresh_discriminators
    return AdaptationPlan(
        source=source,
        preset=recipe.preset,
        minutes=round(speech.minutes, 2),
        clips=speech.clips,
        validation_clips=speech.validation_clips,
        steps=steps,
        learning_rates=rates,
        frozen=frozen,
        validate_every=every,
        patience=patience,
        settings=tuple(settings),
        notes=tuple(_notes(recipe, speech, new_language, discriminators)),
    )


def _notes(recipe: Adaptation, speech: SpeechFound, new_language: bool, discriminators: bool) -> Iterable[str]:
    if speech.minutes > MANY_MINUTES:
        yield f"over {MANY_MINUTES:g} minutes a training in full is the better way: moksori train {recipe.full}"
    short = [name for name, minutes in speech.speakers.items() if minutes < LEAST_MINUTES]
    if short:
        yield f"less than {LEAST_MINUTES:g} minute each: {', '.join(short[:8])}{' ...' if len(short) > 8 else ''}"
    if new_language:
        yield "the source never spoke this language: all of it learns, and it takes the more speech"
    if not discriminators:
        yield "the source brings no discriminators that fit: new ones learn alone first"
    if not speech.validation_clips:
        yield "the corpus has no validation split: the run takes all its steps and keeps its last weights"


@dataclass(frozen=True)
class PlannedRun:
    """A run's configuration with the plan that it follows."""

    config: RunConfig
    plan: AdaptationPlan


def adapted_run(
    source: Source, corpus: Corpus, assignments: Iterable[str], shortest_seconds: float, longest_seconds: float
) -> PlannedRun:
    """The configuration that adapts a model to a corpus: its own shape, the family's preset, the plan, `assignments`.

    Raises UnsupportedTask for a family that is not adapted, CorpusError for too little speech, TextError for symbols
    that the model's table lacks, ConfigError for the assignments.
    """
    manifest = source.manifest
    family = registry.family(manifest.family)
    if family.adaptation is None:
        able = [name for name in registry.family_names() if registry.family(name).adaptation is not None]
        raise UnsupportedTask(
            f"--from {source.name}: a {manifest.family!r} model is not adapted to speakers (families that are: "
            f"{', '.join(able)}): name a preset to train it"
        )
    given = tuple(assignments)
    recipe = family.adaptation(validate(family.config, manifest.model, f"model of {source.folder}"))
    preset = run_config(recipe.preset, (), manifest.model)
    known = {_base(language) for language in (manifest.language, *manifest.speaker_languages.values())}
    spoken = {_base(u.language) for u in _learnt_from(corpus)}
    plan = plan_adaptation(
        source.name,
        recipe,
        SpeechFound.in_corpus(corpus, shortest_seconds, longest_seconds),
        {name: settings.learning_rate for name, settings in preset.training.optimizers.items()},
        new_language=not spoken <= known,
        discriminators=_brings_discriminators(source, run_config(recipe.preset, given, manifest.model)),
    )
    config = run_config(recipe.preset, (*plan.settings, *given), manifest.model)
    if not any(assignment.startswith("sentences=") for assignment in given):
        config = replace(config, sentences=_sentences(corpus) or config.sentences)
    text = getattr(config.model, "text", None)
    if text is not None:
        refuse_unknown_symbols(corpus, text, source.name)
    return PlannedRun(config, _with_overrides(plan, config, given) if given else plan)


def _with_overrides(plan: AdaptationPlan, config: RunConfig, given: tuple[str, ...]) -> AdaptationPlan:
    """The plan as it stands after a person's own settings, which it names."""
    training = config.training
    return replace(
        plan,
        steps=training.max_steps,
        learning_rates={name: settings.learning_rate for name, settings in training.optimizers.items()},
        validate_every=training.validate_every,
        patience=training.patience,
        notes=(*plan.notes, f"set by hand: {' '.join(given)}"),
    )


def refuse_unknown_symbols(corpus: Corpus, text: TextConfig, source: str) -> None:
    """Raises TextError where the texts of a corpus need letters or phones that a model's table lacks, naming them.

    Punctuation that is not there only falls away.
    """
    tokenizer = Tokenizer(text)
    missing: dict[str, list[str]] = {}
    for utterance in _learnt_from(corpus):
        for symbol in tokenizer.encode(utterance.text, utterance.language).unknown:
            if any(unicodedata.category(character)[0] in "LMN" for character in symbol):
                missing.setdefault(symbol, []).append(utterance.name)
    if missing:
        named = ", ".join(
            f"{symbol!r} in {len(clips)} {'clip' if len(clips) == 1 else 'clips'} ({clips[0]}"
            f"{', ...' if len(clips) > 1 else ''})"
            for symbol, clips in list(missing.items())[:12]
        )
        raise TextError(
            f"{source} has no symbol for {named}: its table does not hold these sounds; leave the clips out of the "
            "corpus, or adapt a model that knows them"
        )


def _learnt_from(corpus: Corpus) -> list[Utterance]:
    return [u for split in ("train", "valid") if split in corpus.splits for u in corpus.split(split)]


def _brings_discriminators(source: Source, config: RunConfig) -> bool:
    """Whether the source's discriminators are those of the configuration, tensor for tensor."""
    with torch.device("meta"):
        objective = config.family.objective(config.family.model(config.model), config.objective)
    wanted = getattr(objective, DISCRIMINATORS, None)
    if wanted is None:
        return True
    if not has_discriminators(source.folder):
        return False
    stored = read_weights(source.folder, DISCRIMINATORS_STEM)
    return all(n in stored and stored[n].shape == tensor.shape for n, tensor in wanted.state_dict().items())


def _sentences(corpus: Corpus, count: int = 3) -> tuple[str, ...]:
    """What is spoken during the run: sentences of the corpus that it does not learn."""
    texts = [u.text for u in corpus.split("valid")] if "valid" in corpus.splits else []
    return tuple(dict.fromkeys(texts))[:count]


def _base(language: str) -> str:
    """`en` of `en-us`: another accent is no other language."""
    return language.partition("-")[0]
